//! Compactions: the same rows in other files.

use super::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tributary::error::Kind;
use tributary::snapshot::{Compacted, Extent};

async fn compact(table: &Table, extent: Extent) -> Compacted {
    table.compact(extent, &CancellationToken::new()).await.unwrap()
}

/// A table of some base files side by side, one a lane.
async fn side_by_side(table: &Table, lanes: i64, rows: i64) -> Arc<Snapshot> {
    let mut writer = table.replace(&deal()).await.unwrap();
    for lane in 0..lanes {
        writer
            .write(lane as usize, numbered((lane * rows..(lane + 1) * rows).map(|i| (i, i))))
            .await
            .unwrap();
    }
    writer.prepare().await.unwrap().commit(commit(1)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn any_mix_of_merges_and_compactions_equals_a_map() {
    for seed in 0..3 {
        let store = Store::new();
        let table = store.table();
        let mut random = random(seed);
        let mut expected: BTreeMap<i64, i64> = (0..4000).map(|i| (i, i)).collect();
        let mut history = vec![(side_by_side(&table, 4, 1000).await.version(), expected.clone())];
        for run in 2..40 {
            let count = pick(&mut random, 150);
            let changes: Vec<_> =
                (0..count).map(|_| (pick(&mut random, 6000) - 500, pick(&mut random, 99))).collect();
            let changes: Vec<_> = changes.into_iter().map(|(id, amount)| (id.max(0), amount)).collect();
            let deleted: Vec<_> = (0..pick(&mut random, 90)).map(|_| pick(&mut random, 6000)).collect();
            expected.extend(changes.iter().copied());
            expected.retain(|id, _| !deleted.contains(id));
            let (snapshot, counts) = upsert(&table, run, numbered(changes), &deleted).await;
            assert_eq!(counts.total as usize, expected.len(), "seed {seed} run {run}");
            history.push((snapshot.content(), expected.clone()));
            let extent = match pick(&mut random, 3) {
                0 => Extent::Everything,
                1 => Extent::Due,
                _ => continue,
            };
            let before = table.latest().await.unwrap().unwrap();
            compact(&table, extent).await;
            let after = table.latest().await.unwrap().unwrap();
            assert_eq!(after.content(), before.content());
            assert!(!table.is_compaction_due().await.unwrap());
            assert_eq!(content(&store, &after).await, model(expected.clone()), "seed {seed} run {run}");
        }
        // Every version is read in its newest arrangement, here and by another process.
        let other = store.reopened();
        for (version, expected) in &history {
            for (warehouse, table) in [(&store.warehouse, &table), (&other, &other.table("1", "deal"))] {
                let read = table.at(*version).await.unwrap();
                assert_eq!((read.content(), read.rows()), (*version, expected.len() as u64));
                let rows = sql_in(warehouse, &read, "SELECT id, amount FROM t").await;
                let rows: BTreeMap<_, _> =
                    rows.into_iter().map(|row| (row[0].clone(), row[1].parse().unwrap())).collect();
                assert_eq!(rows, model(expected.clone()), "seed {seed} version {version}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_a_version_says_of_itself_is_taken_over() {
    let store = Store::new();
    let table = store.table();
    side_by_side(&table, 3, 1000).await;
    let (before, _) = upsert(&table, 7, numbered([(5, -5), (1500, -1), (9999, 9)]), &[6]).await;
    let done = compact(&table, Extent::Everything).await;
    // The files fit into one.
    assert_eq!((done.files_before, done.files_after, done.rows, done.lost), (4, 1, 3000, 0));
    let after = table.latest().await.unwrap().unwrap();
    assert!(after.is_compaction() && after.version() > before.version());
    assert_eq!((after.content(), after.rows()), (before.version(), before.rows()));
    assert_eq!((after.run_id(), after.fence(), after.watermark()), (7, 7, before.watermark()));
    assert_eq!((after.columns(), after.key()), (before.columns(), before.key()));
    assert_eq!(table.at(before.version()).await.unwrap().version(), after.version());
    assert_eq!(store.reopened().table("1", "deal").at(1).await.unwrap().version(), after.version());

    // There is nothing left to do.
    assert_eq!(compact(&table, Extent::Everything).await.rows, 0);
    assert_eq!(table.latest().await.unwrap().unwrap().version(), after.version());

    // A writer whose lease was lost is refused as before; one that changes nothing makes no version.
    let mut writer = table.upsert(&deal()).await.unwrap();
    writer.write(0, numbered([(5, 0)])).await.unwrap();
    let refused = writer.prepare().await.unwrap().commit(commit(6)).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Conflict);
    let mut writer = table.upsert(&deal()).await.unwrap();
    writer.write(0, numbered([(5, -5)])).await.unwrap();
    let same = Commit { run_id: 8, ..commit(7) };
    let same = writer.prepare().await.unwrap().commit(same).await.unwrap();
    assert_eq!((same.content(), same.run_id()), (before.version(), 7));
    let (next, _) = upsert(&table, 8, numbered([(5, 8)]), &[]).await;
    assert_eq!((next.content(), next.is_compaction()), (next.version(), false));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_worn_ranges_are_due() {
    let store = Store::new();
    let table = store.table();
    side_by_side(&table, 3, 1000).await;
    upsert(&table, 2, numbered((0..90).map(|i| (i, -1))), &[]).await;
    assert!(!table.is_compaction_due().await.unwrap());
    // More than a tenth of the first file is gone now; the others are left as they are.
    upsert(&table, 3, numbered([(500, -1), (1500, -1)]), &(90..110).collect::<Vec<_>>()).await;
    assert!(table.is_compaction_due().await.unwrap());
    let done = compact(&table, Extent::Due).await;
    assert_eq!(done.rows, 980, "the first file and its part of the runs");
    assert!(!table.is_compaction_due().await.unwrap());
    let mut expected: BTreeMap<i64, i64> = (0..3000).map(|i| (i, i)).collect();
    expected.extend((0..90).chain([500, 1500]).map(|i| (i, -1)));
    expected.retain(|id, _| !(90..110).contains(id));
    let after = table.latest().await.unwrap().unwrap();
    assert_eq!(content(&store, &after).await, model(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_small_runs_become_one_without_touching_the_base() {
    let store = Store::new();
    let table = store.table();
    side_by_side(&table, 1, 5000).await;
    for run in 2..11 {
        assert!(!table.is_compaction_due().await.unwrap());
        upsert(&table, run, numbered([(run, -run), (6000, run)]), &[]).await;
    }
    let done = compact(&table, Extent::Due).await;
    assert_eq!((done.files_before, done.files_after, done.rows), (10, 2, 10));
    let mut expected: BTreeMap<i64, i64> = (0..5000).map(|i| (i, i)).collect();
    expected.extend((2..11).map(|run| (run, -run)));
    expected.insert(6000, 10);
    let after = table.latest().await.unwrap().unwrap();
    assert_eq!(content(&store, &after).await, model(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn small_neighbours_and_tables_without_base_files_are_joined() {
    let store = Store::new();
    side_by_side(&store.table(), 12, 10).await;
    let done = compact(&store.table(), Extent::Due).await;
    assert_eq!((done.files_before, done.files_after, done.rows), (12, 1, 120));

    let table = store.warehouse.table("1", "merged");
    for run in 1..4 {
        upsert(&table, run, numbered((0..100).map(|i| (i * run, run))), &[]).await;
    }
    assert!(!table.is_compaction_due().await.unwrap());
    compact(&table, Extent::Everything).await;
    let after = table.latest().await.unwrap().unwrap();
    let expected = (1..4).flat_map(|run| (0..100).map(move |i| (i * run, run)));
    assert_eq!(content(&store, &after).await, model(expected));
    assert!(store.path().with_file_name("merged").join("base").exists());
}

/// Keys whose first column is the same in several base files.
#[tokio::test(flavor = "multi_thread")]
async fn keys_of_several_columns_stay_apart() {
    let store = Store::new();
    let table = store.table();
    let spec = spec(&[("n", FieldType::Int64), ("v", FieldType::Int64), ("t", FieldType::Text)], &["t", "n"]);
    let batch = |rows: &[(i64, i64)]| {
        let (numbers, values): (Vec<_>, Vec<_>) = rows.iter().copied().unzip();
        let texts =
            StringArray::from(numbers.iter().map(|n| if *n < 900 { "a" } else { "b" }).collect::<Vec<_>>());
        let columns: Vec<ArrayRef> =
            vec![Arc::new(Int64Array::from(numbers)), Arc::new(Int64Array::from(values)), Arc::new(texts)];
        RecordBatch::try_new(spec.schema(), columns).unwrap()
    };
    let mut writer = table.replace(&spec).await.unwrap();
    for lane in 0..10 {
        let rows: Vec<_> = (lane * 100..(lane + 1) * 100).map(|i| (i, 0)).collect();
        writer.write(lane as usize, batch(&rows)).await.unwrap();
    }
    writer.prepare().await.unwrap().commit(commit(1)).await.unwrap();
    for run in 2..12 {
        let mut writer = table.upsert(&spec).await.unwrap();
        let rows: Vec<_> = (0..60).map(|i| ((i * 37 + run * 11) % 1100, run)).collect();
        writer.write(0, batch(&rows)).await.unwrap();
        writer.prepare().await.unwrap().commit(commit(run)).await.unwrap();
    }
    let before = table.latest().await.unwrap().unwrap();
    let expected = store.sql(&before, "SELECT t, n, v FROM t ORDER BY t, n").await;
    for extent in [Extent::Due, Extent::Everything] {
        compact(&table, extent).await;
        let after = table.latest().await.unwrap().unwrap();
        assert_eq!(store.sql(&after, "SELECT t, n, v FROM t ORDER BY t, n").await, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_prepared_before_a_compaction_lands_after_it() {
    let store = Store::new();
    let table = store.table();
    side_by_side(&table, 2, 1000).await;
    upsert(&table, 2, numbered([(3, -3)]), &[4]).await;
    let mut merge = table.upsert(&deal()).await.unwrap();
    merge.write(0, numbered([(3, 33), (5, 55)])).await.unwrap();
    merge.delete(numbered_keys(&[1999])).await.unwrap();
    let merge = merge.prepare().await.unwrap();
    let mut full = table.replace(&deal()).await.unwrap();
    full.write(0, numbered((0..2000).map(|i| (i, if i == 7 { 77 } else { i })))).await.unwrap();
    let full = full.prepare().await.unwrap();

    compact(&table, Extent::Everything).await;
    let merged = merge.commit(commit(3)).await.unwrap();
    let mut expected: BTreeMap<i64, i64> = (0..1999).map(|i| (i, i)).collect();
    expected.extend([(3, 33), (5, 55)]);
    expected.remove(&4);
    assert_eq!(content(&store, &merged).await, model(expected));
    compact(&table, Extent::Everything).await;
    let replaced = full.commit(commit(4)).await.unwrap();
    let expected = (0..2000).map(|i| (i, if i == 7 { 77 } else { i }));
    assert_eq!(content(&store, &replaced).await, model(expected));
}

/// Writers, compactors and readers at the same time: every version that a reader sees is whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn syncs_compactions_and_readers_do_not_disturb_each_other() {
    let store = Arc::new(Store::new());
    let table = store.table();
    // Pairs of rows whose amounts are opposite.
    replace(&table, 1, &[numbered((0..1000).map(|i| (i, if i % 2 == 0 { i } else { 1 - i })))]).await;
    let done = Arc::new(AtomicBool::new(false));
    let mut helpers = tokio::task::JoinSet::new();
    for number in 0..2 {
        let (store, done) = (store.clone(), done.clone());
        helpers.spawn(async move {
            // Each a process of its own, so to speak.
            let table = store.reopened().table("1", "deal");
            let mut compacted = 0;
            while !done.load(Ordering::Relaxed) {
                let extent = if number == 0 { Extent::Due } else { Extent::Everything };
                compacted += compact(&table, extent).await.rows;
            }
            assert!(compacted > 0 || number == 0);
        });
    }
    let (reader, stopped) = (store.clone(), done.clone());
    helpers.spawn(async move {
        let mut reads = 0;
        while !stopped.load(Ordering::Relaxed) || reads < 10 {
            let newest = reader.table().latest().await.unwrap().unwrap();
            let sql = "SELECT count(*), count(DISTINCT id), sum(amount) FROM t";
            assert_eq!(reader.sql(&newest, sql).await, [["1000", "1000", "0"]], "{newest:?}");
            reads += 1;
        }
    });
    let mut writers = tokio::task::JoinSet::new();
    for worker in 0..2 {
        let table = store.reopened().table("1", "deal");
        writers.spawn(async move {
            let mut random = random(worker as u64);
            for round in 0..20 {
                let pairs = (0..20).map(|_| 2 * pick(&mut random, 500)).collect::<Vec<_>>();
                let value = pick(&mut random, 1000);
                let rows = pairs.iter().flat_map(|id| [(*id, value), (*id + 1, -value)]);
                let mut writer = table.upsert(&deal()).await.unwrap();
                writer.write(0, numbered(rows)).await.unwrap();
                let same_fence = Commit { fence: 1, ..commit(worker * 100 + round) };
                writer.prepare().await.unwrap().commit(same_fence).await.unwrap();
            }
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended.unwrap();
    }
    done.store(true, Ordering::Relaxed);
    while let Some(ended) = helpers.join_next().await {
        ended.unwrap();
    }
    assert_eq!(store.table().latest().await.unwrap().unwrap().rows(), 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_given_up_at_any_moment_changes_nothing() {
    let store = Store::new();
    let table = store.table();
    let mut expected: BTreeMap<i64, i64> = (0..40_000).map(|i| (i, i)).collect();
    side_by_side(&table, 4, 10_000).await;
    for run in 2..5 {
        let changes = (0..300).map(|i| (i * 133, -run)).collect::<Vec<_>>();
        expected.extend(changes.iter().copied());
        upsert(&table, run, numbered(changes), &[run]).await;
        expected.remove(&run);
    }
    let expected = model(expected);
    for moment in 0..12 {
        let (other, cancel) = (store.reopened(), CancellationToken::new());
        let (table, token) = (other.table("1", "deal"), cancel.clone());
        let work = tokio::spawn(async move { table.compact(Extent::Everything, &token).await });
        tokio::time::sleep(Duration::from_millis(moment * 7)).await;
        // In turn told to stop, and left alone like by a process that is killed.
        match moment % 2 {
            0 => cancel.cancel(),
            _ => work.abort(),
        }
        match work.await {
            Ok(Err(error)) => assert_eq!(error.kind(), Kind::Cancelled, "{error:?}"),
            Ok(Ok(_)) => {}
            Err(error) => assert!(error.is_cancelled()),
        }
        let read = store.reopened().table("1", "deal").latest().await.unwrap().unwrap();
        assert_eq!((read.content(), read.fence()), (3, 4));
        assert_eq!(content(&store, &read).await, expected);
    }
    compact(&table, Extent::Everything).await;
    let after = table.latest().await.unwrap().unwrap();
    assert_eq!(content(&store, &after).await, expected);
    let (next, _) = upsert(&table, 9, numbered([(1, 1)]), &[]).await;
    assert_eq!(next.rows(), after.rows());
}
