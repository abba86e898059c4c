//! Full writes.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_in_order_is_kept_as_it_is() {
    let store = Store::new();
    assert!(!store.table().exists().await.unwrap());
    assert!(store.table().latest().await.unwrap().is_none());
    let batches: Vec<_> = (0..20).map(|b| numbered((b * 1000..(b + 1) * 1000).map(|i| (i, i * 2)))).collect();
    let (snapshot, counts) = replace(&store.table(), 1, &batches).await;
    assert_eq!((counts.read, counts.inserted, counts.total), (20_000, 20_000, 20_000));
    assert!(counts.bytes_written > 0);
    assert_eq!(snapshot.version(), 0);
    assert_eq!(content(&store, &snapshot).await, model((0..20_000).map(|i| (i, i * 2))));
    assert_eq!(store.files("base").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_in_any_order_and_lane_end_up_sorted_and_apart() {
    let store = Store::new();
    let ids = shuffled(400_000, 1);
    let mut writer = store.table().replace(&deal()).await.unwrap();
    for (number, part) in ids.chunks(5000).enumerate() {
        writer.write(number % 3, numbered(part.iter().map(|i| (*i, i + 1)))).await.unwrap();
    }
    let prepared = writer.prepare().await.unwrap();
    assert_eq!(prepared.counts().total, 400_000);
    assert_eq!(prepared.counts().duplicates, 0);
    let snapshot = prepared.commit(commit(1)).await.unwrap();
    assert_eq!(content(&store, &snapshot).await, model((0..400_000).map(|i| (i, i + 1))));
    assert_eq!(store.files("base").len(), 1, "only the merged file is left");
    let rows = store.sql(&snapshot, "SELECT id FROM t LIMIT 3").await;
    assert_eq!(rows, [["000000000"], ["000000001"], ["000000002"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_equal_keys_the_highest_lane_and_then_the_last_row_is_kept() {
    let store = Store::new();
    let mut writer = store.table().replace(&deal()).await.unwrap();
    writer.write(1, numbered([(1, 10), (3, 30)])).await.unwrap();
    writer.write(0, numbered([(1, 11), (1, 12), (2, 20)])).await.unwrap();
    writer.write(0, numbered([(2, 21), (5, 50), (4, 40)])).await.unwrap();
    writer.write(0, numbered([(4, 41), (9, 90)])).await.unwrap();
    let prepared = writer.prepare().await.unwrap();
    assert_eq!((prepared.counts().read, prepared.counts().duplicates), (10, 4));
    let snapshot = prepared.commit(commit(1)).await.unwrap();
    let expected = model([(1, 10), (2, 21), (3, 30), (4, 41), (5, 50), (9, 90)]);
    assert_eq!(content(&store, &snapshot).await, expected);
}

/// Whatever the order and however often a key comes: the same as putting all rows into a map, lane by lane.
#[tokio::test(flavor = "multi_thread")]
async fn large_writes_with_duplicates_equal_a_map() {
    for seed in 0..3 {
        let store = Store::new();
        let mut random = random(seed);
        let mut lanes: Vec<Vec<Vec<(i64, i64)>>> = Vec::new();
        for lane in 0..3 {
            let mut batches = Vec::new();
            for batch in 0..40 {
                let rows = 1 + pick(&mut random, 9000);
                // Stretches in order and stretches out of order.
                let batch: Vec<_> = match pick(&mut random, 3) {
                    0 => (0..rows).map(|_| (pick(&mut random, 400_000), pick(&mut random, 1000))).collect(),
                    _ => (0..rows).map(|i| (batch * 9000 + i + lane, pick(&mut random, 1000))).collect(),
                };
                batches.push(batch);
            }
            lanes.push(batches);
        }
        let mut writer = store.table().replace(&deal()).await.unwrap();
        for number in 0..40 {
            for (lane, batches) in lanes.iter().enumerate() {
                writer.write(lane, numbered(batches[number].iter().copied())).await.unwrap();
            }
        }
        let expected = model(lanes.into_iter().flatten().flatten());
        let prepared = writer.prepare().await.unwrap();
        let counts = prepared.counts().clone();
        assert_eq!(counts.total as usize, expected.len());
        assert_eq!(counts.read, counts.total + counts.duplicates);
        let snapshot = prepared.commit(commit(1)).await.unwrap();
        assert_eq!(content(&store, &snapshot).await, expected, "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_without_a_whole_key_are_left_out_and_told() {
    let store = Store::new();
    let rows = deals(&[(Some("a"), 1), (None, 2), (Some("b"), 3), (None, 4)]);
    let (snapshot, counts) = replace(&store.table(), 1, &[rows]).await;
    assert_eq!((counts.read, counts.null_keys, counts.total), (4, 2, 2));
    assert_eq!(counts.null_key_sample, ["(NULL)", "(NULL)"]);
    assert_eq!(snapshot.rows(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_swaps_everything_and_old_versions_stay() {
    let store = Store::new();
    let (first, _) = replace(&store.table(), 1, &[numbered([(1, 1), (2, 2), (3, 3)])]).await;
    let (second, counts) = replace(&store.table(), 2, &[numbered([(3, 4), (4, 4)])]).await;
    assert_eq!((counts.before, counts.total, counts.updated), (3, 2, 1));
    assert_eq!((counts.inserted, counts.deleted), (1, 2));
    let (third, _) = replace(&store.table(), 3, &[]).await;
    assert_eq!(third.rows(), 0);
    assert_eq!(store.sql(&third, "SELECT count(*), max(amount) FROM t").await, [["0", "NULL"]]);
    assert_eq!(content(&store, &second).await, model([(3, 4), (4, 4)]));
    let other = store.reopened();
    for (version, known) in [(0, &first), (1, &second), (2, &third)] {
        let read = other.table("1", "deal").at(version).await.unwrap();
        assert_eq!(
            (read.version(), read.rows(), read.watermark()),
            (version, known.rows(), known.watermark())
        );
        assert_eq!(sql_in(&other, &read, "SELECT count(id) FROM t").await, [[known.rows().to_string()]]);
    }
    let missing = other.table("1", "deal").at(7).await.unwrap_err();
    assert!(missing.what().contains("no version 7"), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_several_columns_and_every_type_are_sorted_and_merged() {
    use arrow::array::*;
    let all = [
        ("b", FieldType::Boolean),
        ("s", FieldType::Int16),
        ("i", FieldType::Int32),
        ("d", FieldType::Decimal(20, 3)),
        ("day", FieldType::Date),
        ("at", FieldType::Timestamp),
        ("utc", FieldType::TimestampTz),
        ("t", FieldType::Text),
    ];
    for parts in
        [vec!["utc", "b"], vec!["d", "t"], vec!["b", "s", "i", "d", "day", "at", "utc", "t"], vec!["at"]]
    {
        let mut columns = all.to_vec();
        columns.insert(3, ("n", FieldType::Int64));
        let spec = spec(&columns, &parts);
        let store = Store::new();
        let batch = |ids: &[i64], value: i64| {
            let of = |f: &dyn Fn(i64) -> i64| ids.iter().map(|i| f(*i)).collect::<Vec<_>>();
            let columns: Vec<ArrayRef> = vec![
                Arc::new(BooleanArray::from(of(&|i| i % 2).iter().map(|i| *i == 1).collect::<Vec<_>>())),
                Arc::new(Int16Array::from(
                    of(&|i| i % 100 - 50).iter().map(|i| *i as i16).collect::<Vec<_>>(),
                )),
                Arc::new(Int32Array::from(of(&|i| i - 500).iter().map(|i| *i as i32).collect::<Vec<_>>())),
                Arc::new(Int64Array::from(vec![value; ids.len()])),
                Arc::new(
                    Decimal128Array::from(
                        of(&|i| (i - 500) * 1001).iter().map(|i| *i as i128).collect::<Vec<_>>(),
                    )
                    .with_precision_and_scale(20, 3)
                    .unwrap(),
                ),
                Arc::new(Date32Array::from(of(&|i| i - 700).iter().map(|i| *i as i32).collect::<Vec<_>>())),
                Arc::new(TimestampMicrosecondArray::from(of(&|i| (i - 500) * 1_000_001))),
                Arc::new(TimestampMicrosecondArray::from(of(&|i| (i / 2) * 77)).with_timezone("UTC")),
                Arc::new(StringArray::from_iter_values(
                    ids.iter().map(|i| format!("x{}", i * 7919 % 10_000)),
                )),
            ];
            RecordBatch::try_new(spec.schema(), columns).unwrap()
        };
        let mut writer = store.table().replace(&spec).await.unwrap();
        for part in shuffled(1000, 5).chunks(90) {
            writer.write(0, batch(part, 1)).await.unwrap();
        }
        let prepared = writer.prepare().await.unwrap();
        assert_eq!((prepared.counts().total, prepared.counts().duplicates), (1000, 0), "{parts:?}");
        prepared.commit(commit(1)).await.unwrap();

        let mut writer = store.table().upsert(&spec).await.unwrap();
        writer.write(0, batch(&[5, 999, 1003, 77], 2)).await.unwrap();
        let key: Vec<_> = parts.iter().map(|name| spec.schema().index_of(name).unwrap()).collect();
        writer.delete(batch(&[6, 2000, 500], 0).project(&key).unwrap()).await.unwrap();
        let prepared = writer.prepare().await.unwrap();
        let counts = prepared.counts();
        assert_eq!(
            (counts.inserted, counts.updated, counts.deleted, counts.total),
            (1, 3, 2, 999),
            "{parts:?}"
        );
        let snapshot = prepared.commit(commit(2)).await.unwrap();
        let rows = store.sql(&snapshot, "SELECT i FROM t WHERE n = 2 ORDER BY i").await;
        assert_eq!(rows, [["-495"], ["-423"], ["499"], ["503"]], "{parts:?}");
        assert_eq!(int(&store.sql(&snapshot, "SELECT count(n) FROM t WHERE n = 1").await), 995);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_without_a_key_is_replaced_in_order_of_arrival() {
    let store = Store::new();
    let spec = spec(&[("id", FieldType::Text), ("amount", FieldType::Int64)], &[]);
    let mut writer = store.table().replace(&spec).await.unwrap();
    writer.write(0, deals(&[(Some("b"), 1), (None, 2), (Some("b"), 1)])).await.unwrap();
    writer.write(1, deals(&[(Some("a"), 1)])).await.unwrap();
    let snapshot = writer.prepare().await.unwrap().commit(commit(1)).await.unwrap();
    assert_eq!(snapshot.rows(), 4);
    assert_eq!(int(&store.sql(&snapshot, "SELECT sum(amount) FROM t").await), 5);
    let refused = store.table().upsert(&spec).await.err().unwrap();
    assert!(refused.hint().unwrap().contains("unique fields"), "{refused:?}");
}
