//! Full writes of rows that are mostly there already.

use super::*;

async fn full(table: &Table, run: i64, rows: &BTreeMap<i64, i64>, lanes: usize) -> (Arc<Snapshot>, Counts) {
    let mut writer = table.replace(&deal()).await.unwrap();
    let rows: Vec<_> = rows.iter().map(|(id, amount)| (*id, *amount)).collect();
    for (number, part) in rows.chunks(rows.len().div_ceil(lanes).max(1)).enumerate() {
        writer.write(number, numbered(part.iter().copied())).await.unwrap();
    }
    let prepared = writer.prepare().await.unwrap();
    let counts = prepared.counts().clone();
    (prepared.commit(commit(run)).await.unwrap(), counts)
}

fn of(counts: &Counts) -> [u64; 5] {
    [counts.inserted, counts.updated, counts.deleted, counts.unchanged, counts.total]
}

#[tokio::test(flavor = "multi_thread")]
async fn writing_the_same_rows_again_writes_nothing() {
    let store = Store::new();
    let table = store.table();
    let rows: BTreeMap<i64, i64> = (0..20_000).map(|i| (i, i)).collect();
    let (first, counts) = full(&table, 1, &rows, 2).await;
    assert_eq!(of(&counts), [20_000, 0, 0, 0, 20_000]);
    let files = store.files("base");

    // The watermark moved: a commit without files.
    let (second, counts) = full(&table, 2, &rows, 3).await;
    assert_eq!((of(&counts), counts.bytes_written), ([0, 0, 0, 20_000, 20_000], 0));
    assert_eq!((second.version(), second.watermark()), (1, Some(serde_json::json!({"at": 2}))));
    assert_eq!(store.files("base").len(), files.len());

    // Not even that moved: no commit.
    let mut writer = table.replace(&deal()).await.unwrap();
    writer.write(0, numbered((0..20_000).rev().map(|i| (i, i)))).await.unwrap();
    let again = Commit { run_id: 3, ..commit(2) };
    let third = writer.prepare().await.unwrap().commit(again).await.unwrap();
    assert_eq!((third.version(), third.run_id()), (1, 2));
    assert_eq!(store.files("base").len(), files.len());
    assert!(store.files("runs").is_empty() && store.files("dv").is_empty());
    assert_eq!(content(&store, &third).await, content(&store, &first).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn few_changes_become_a_merge_and_many_a_replacement() {
    let store = Store::new();
    let table = store.table();
    let mut rows: BTreeMap<i64, i64> = (0..20_000).map(|i| (i * 2, i)).collect();
    full(&table, 1, &rows, 1).await;
    let base = store.files("base");
    rows.extend((0..500).map(|i| (i * 60, -1)));
    rows.extend((0..300).map(|i| (i * 100 + 1, 7)));
    (0..200).for_each(|i| _ = rows.remove(&(i * 150 + 2)));
    rows.extend([(50_000, 1), (50_001, 1)]);
    let expected = model(rows.clone());
    let (snapshot, counts) = full(&table, 2, &rows, 2).await;
    // A deleted row may be one of the changed ones.
    let deleted = 200;
    assert_eq!([counts.inserted, counts.deleted, counts.total], [302, deleted, rows.len() as u64]);
    assert_eq!(counts.updated + counts.unchanged, 20_000 - deleted);
    assert!(counts.bytes_written < 30_000, "{counts:?}");
    assert_eq!(store.files("base"), base, "the staged files are gone, the old ones are left");
    assert_eq!((store.files("runs").len(), store.files("dv").len()), (1, 1));
    assert_eq!(content(&store, &snapshot).await, expected);

    rows.values_mut().take(4000).for_each(|amount| *amount += 1);
    let (snapshot, counts) = full(&table, 3, &rows, 1).await;
    assert_eq!(of(&counts), [0, 4000, 0, rows.len() as u64 - 4000, rows.len() as u64]);
    assert_eq!(store.files("runs").len(), 1, "nothing was merged");
    assert_eq!(content(&store, &snapshot).await, model(rows));
}

#[tokio::test(flavor = "multi_thread")]
async fn any_series_of_full_writes_merges_and_compactions_equals_a_map() {
    use tributary::snapshot::Extent;
    for seed in 0..3 {
        let store = Store::new();
        let table = store.table();
        let mut random = random(seed);
        let mut rows: BTreeMap<i64, i64> = (0..5000).map(|i| (i, i)).collect();
        full(&table, 1, &rows, 3).await;
        for run in 2..30 {
            let before = rows.clone();
            // Stretches of keys and scattered ones.
            let start = pick(&mut random, 5000);
            let changes = pick(&mut random, 400);
            for i in 0..changes {
                let id = if run % 2 == 0 { start + i } else { pick(&mut random, 6000) };
                match pick(&mut random, 4) {
                    0 => _ = rows.remove(&id),
                    _ => _ = rows.insert(id, pick(&mut random, 5)),
                }
            }
            let inserted = rows.keys().filter(|id| !before.contains_key(id)).count();
            let deleted = before.keys().filter(|id| !rows.contains_key(id)).count();
            let updated = rows.iter().filter(|(id, v)| before.get(id).is_some_and(|old| old != *v)).count();
            let (_, counts) = match pick(&mut random, 3) {
                0 => {
                    let gone: Vec<_> = before.keys().filter(|id| !rows.contains_key(id)).copied().collect();
                    let changed = rows.iter().filter(|(id, v)| before.get(id) != Some(v));
                    upsert(&table, run, numbered(changed.map(|(id, v)| (*id, *v))), &gone).await
                }
                lanes => full(&table, run, &rows, 1 + lanes as usize).await,
            };
            assert_eq!(of(&counts)[..3], [inserted as u64, updated as u64, deleted as u64], "{seed} {run}");
            if pick(&mut random, 4) == 0 {
                table.compact(Extent::Everything, &Default::default()).await.unwrap();
            }
            let newest = table.latest().await.unwrap().unwrap();
            assert_eq!(content(&store, &newest).await, model(rows.clone()), "seed {seed} run {run}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_definition_replaces_and_a_damaged_table_is_mended() {
    let store = Store::new();
    let table = store.table();
    let rows: BTreeMap<i64, i64> = (0..1000).map(|i| (i, i)).collect();
    full(&table, 1, &rows, 1).await;
    std::fs::remove_file(store.files("base").remove(0)).unwrap();
    let (mended, counts) = full(&table, 2, &rows, 1).await;
    assert_eq!((mended.rows(), counts.total), (1000, 1000));
    assert_eq!(content(&store, &mended).await, model(rows.clone()));

    let other = spec(&[("id", FieldType::Text), ("amount", FieldType::Int64)], &["id", "amount"]);
    let mut writer = table.replace(&other).await.unwrap();
    writer.write(0, numbered(rows)).await.unwrap();
    let replaced = writer.prepare().await.unwrap().commit(commit(3)).await.unwrap();
    assert_eq!(
        (replaced.key(), replaced.rows()),
        (["id".to_string(), "amount".to_string()].as_slice(), 1000)
    );
    assert_eq!(store.files("base").len(), 2);
}
