//! Keyed merges.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn many_merges_equal_a_map_and_every_version_stays() {
    let store = Store::new();
    let table = store.table();
    let mut random = random(3);
    let mut expected: BTreeMap<i64, i64> = (0..3000).map(|i| (i * 3, i)).collect();
    let (snapshot, _) = replace(&table, 1, &[numbered(expected.clone())]).await;
    let mut history = vec![(snapshot, expected.clone())];
    for run in 2..35 {
        let changes: Vec<_> =
            (0..pick(&mut random, 200)).map(|_| (pick(&mut random, 12_000), pick(&mut random, 99))).collect();
        let deleted: Vec<_> = (0..pick(&mut random, 60)).map(|_| pick(&mut random, 12_000)).collect();
        let before = expected.clone();
        expected.extend(changes.iter().copied());
        expected.retain(|id, _| !deleted.contains(id));
        let (snapshot, counts) = upsert(&table, run, numbered(changes), &deleted).await;
        let inserted = expected.keys().filter(|id| !before.contains_key(id)).count();
        let removed = before.keys().filter(|id| !expected.contains_key(id)).count();
        let changed = expected.iter().filter(|(id, v)| before.get(id).is_some_and(|old| old != *v)).count();
        assert_eq!((counts.inserted, counts.deleted), (inserted as u64, removed as u64), "run {run}");
        assert_eq!((counts.updated, counts.total), (changed as u64, expected.len() as u64), "run {run}");
        assert_eq!(content(&store, &snapshot).await, model(expected.clone()), "run {run}");
        history.push((snapshot, expected.clone()));
    }
    let other = store.reopened();
    for (known, expected) in &history {
        let read = other.table("1", "deal").at(known.version()).await.unwrap();
        assert_eq!((read.rows(), read.watermark()), (expected.len() as u64, known.watermark()));
        let sum = sql_in(&other, &read, "SELECT sum(amount) FROM t").await;
        assert_eq!(int(&sum), expected.values().sum::<i64>());
    }
    let checkpoints = store.files("_delta_log").into_iter();
    assert!(checkpoints.filter(|path| path.to_string_lossy().contains("checkpoint")).count() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_makes_the_table_when_there_is_none() {
    let store = Store::new();
    let (snapshot, counts) = upsert(&store.table(), 1, numbered([(2, 2), (1, 1), (2, 3)]), &[1]).await;
    assert_eq!((counts.read, counts.inserted, counts.deleted, counts.duplicates), (3, 1, 0, 2));
    assert_eq!(content(&store, &snapshot).await, model([(2, 3)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_change_is_not_written() {
    let store = Store::new();
    let table = store.table();
    replace(&table, 1, &[numbered((0..100).map(|i| (i, i)))]).await;
    let (second, counts) = upsert(&table, 2, numbered([(5, 5), (6, 7), (7, 7)]), &[]).await;
    assert_eq!((counts.unchanged, counts.updated, second.version()), (2, 1, 1));

    // Everything is as it was: only the watermark is committed.
    let (third, counts) = upsert(&table, 3, numbered([(5, 5), (6, 7)]), &[4711]).await;
    assert_eq!((counts.unchanged, counts.updated, counts.deleted, counts.bytes_written), (2, 0, 0, 0));
    assert_eq!((third.version(), third.watermark()), (2, Some(serde_json::json!({"at": 3}))));
    assert_eq!(store.files("runs").len(), 1);

    // Not even that moved: there is no new version.
    let mut writer = table.upsert(&deal()).await.unwrap();
    writer.write(0, numbered([(5, 5)])).await.unwrap();
    let again = Commit { run_id: 4, ..commit(3) };
    let fourth = writer.prepare().await.unwrap().commit(again).await.unwrap();
    assert_eq!((fourth.version(), fourth.run_id()), (2, 3));
    assert_eq!(content(&store, &fourth).await.len(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_which_nothing_is_left_leaves_the_table() {
    let store = Store::new();
    let table = store.table();
    replace(&table, 1, &[numbered([(1, 1), (2, 2)])]).await;
    upsert(&table, 2, numbered([(3, 3)]), &[]).await;
    let (snapshot, counts) = upsert(&table, 3, numbered([(4, 4)]), &[1, 2]).await;
    assert_eq!((counts.deleted, counts.total), (2, 2));
    assert!(store.files("dv").is_empty(), "no vector is needed to remove a file");
    assert_eq!(content(&store, &snapshot).await, model([(3, 3), (4, 4)]));
    let (empty, _) = upsert(&table, 4, numbered([]), &[3, 4]).await;
    assert_eq!(empty.rows(), 0);
    let (again, _) = upsert(&table, 5, numbered([(1, 9)]), &[]).await;
    assert_eq!(content(&store, &again).await, model([(1, 9)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_of_writes_and_deletions_of_a_key_counts() {
    let store = Store::new();
    let table = store.table();
    replace(&table, 1, &[numbered([(1, 1), (2, 2), (3, 3)])]).await;
    let mut writer = table.upsert(&deal()).await.unwrap();
    writer.delete(numbered_keys(&[1, 2])).await.unwrap();
    writer.write(4, numbered([(1, 10), (3, 30)])).await.unwrap();
    writer.delete(numbered_keys(&[3])).await.unwrap();
    let prepared = writer.prepare().await.unwrap();
    let counts = prepared.counts();
    assert_eq!((counts.read, counts.updated, counts.deleted, counts.total), (2, 1, 2, 1));
    let snapshot = prepared.commit(commit(2)).await.unwrap();
    assert_eq!(content(&store, &snapshot).await, model([(1, 10)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_merge_is_set_aside_and_equals_a_map() {
    let store = Store::new();
    let table = store.table();
    let batches: Vec<_> = (0..60).map(|b| numbered((b * 5000..(b + 1) * 5000).map(|i| (i, i)))).collect();
    replace(&table, 1, &batches).await;
    let mut expected: BTreeMap<i64, i64> = (0..300_000).map(|i| (i, i)).collect();
    let mut writer = table.upsert(&deal()).await.unwrap();
    for part in shuffled(500_000, 9)[..320_000].chunks(7001) {
        expected.extend(part.iter().map(|i| (*i, -1)));
        writer.write(0, numbered(part.iter().map(|i| (*i, -1)))).await.unwrap();
    }
    let gone: Vec<_> = (0..20_000).collect();
    expected.retain(|id, _| *id >= 20_000);
    writer.delete(numbered_keys(&gone)).await.unwrap();
    let prepared = writer.prepare().await.unwrap();
    assert_eq!(prepared.counts().total, expected.len() as u64);
    let snapshot = prepared.commit(commit(2)).await.unwrap();
    assert_eq!(content(&store, &snapshot).await, model(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_change_writes_little() {
    let store = Store::new();
    let table = store.table();
    let batches: Vec<_> = (0..40).map(|b| numbered((b * 5000..(b + 1) * 5000).map(|i| (i, i)))).collect();
    replace(&table, 1, &batches).await;
    let mut random = random(1);
    let changes: Vec<_> = (0..2000).map(|_| (pick(&mut random, 200_000), -1)).collect();
    let (_, counts) = upsert(&table, 2, numbered(changes), &[]).await;
    assert!(counts.bytes_written < 2000 * 40, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_key_or_type_needs_a_full_write() {
    let store = Store::new();
    let table = store.table();
    replace(&table, 1, &[numbered([(1, 1)])]).await;
    let other_type = spec(&[("id", FieldType::Text), ("amount", FieldType::Float64)], &["id"]);
    let other_key = spec(&[("id", FieldType::Text), ("amount", FieldType::Int64)], &["id", "amount"]);
    for (spec, part) in [(other_type, "from `bigint` to `double precision`"), (other_key, "(id, amount)")] {
        let refused = table.upsert(&spec).await.unwrap().prepare().await.err().unwrap();
        assert!(refused.what().contains(part), "{refused:?}");
        assert!(refused.hint().unwrap().contains("full sync"), "{refused:?}");
    }
}
