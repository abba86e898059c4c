//! Tables of many columns: every type, long texts, and the memory of a writer.

use super::*;
use arrow::array::*;
use arrow::datatypes::{DataType, Field, Int32Type};
use tributary::snapshot::Extent;

#[allow(dead_code)]
#[path = "../../benches/merge/rows.rs"]
mod rows;

/// Every type that a column can have.
fn every_type() -> WriteSpec {
    let list = |t| FieldType::List(Box::new(t));
    spec(
        &[
            ("k", FieldType::Text),
            ("tags", list(FieldType::Text)),
            ("b", FieldType::Boolean),
            ("i2", FieldType::Int16),
            ("i4", FieldType::Int32),
            ("i8", FieldType::Int64),
            ("f4", FieldType::Float32),
            ("f8", FieldType::Float64),
            ("d9", FieldType::Decimal(9, 2)),
            ("d18", FieldType::Decimal(18, 2)),
            ("d38", FieldType::Decimal(38, 10)),
            ("bytes", FieldType::Bytes),
            ("day", FieldType::Date),
            ("at", FieldType::Timestamp),
            ("utc", FieldType::TimestampTz),
            ("numbers", list(FieldType::Int32)),
        ],
        &["k"],
    )
}

/// A row a number; each third value is NULL.
fn every_value(rows: &[i64]) -> RecordBatch {
    let of = |shift: i64| rows.iter().map(move |i| ((i + shift) % 3 != 0).then_some(*i)).collect::<Vec<_>>();
    let decimal = |precision, scale, shift, factor: i128| {
        let values: Decimal128Array = of(shift).iter().map(|v| v.map(|v| v as i128 * factor)).collect();
        Arc::new(values.with_precision_and_scale(precision, scale).unwrap())
    };
    let mut tags =
        ListBuilder::new(StringBuilder::new()).with_field(Field::new("element", DataType::Utf8, true));
    for i in rows {
        match i % 4 {
            0 => tags.append_null(),
            1 => tags.append_value(Vec::<Option<&str>>::new()),
            _ => tags.append_value([Some("a"), None, Some("ü")]),
        }
    }
    let numbers = rows.iter().map(|i| (i % 2 == 0).then(|| vec![Some(*i as i32), None]));
    let numbers = ListArray::from_iter_primitive::<Int32Type, _, _>(numbers);
    let numbers =
        arrow::compute::cast(&numbers, &FieldType::List(Box::new(FieldType::Int32)).arrow()).unwrap();
    let floats = |v: i64| if v % 7 == 0 { f64::NAN } else { v as f64 / 4.0 };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|i| format!("{}{i:07}", "key ".repeat(30))))),
        Arc::new(tags.finish()),
        Arc::new(of(0).iter().map(|v| v.map(|v| v % 2 == 0)).collect::<BooleanArray>()),
        Arc::new(of(1).iter().map(|v| v.map(|v| v as i16)).collect::<Int16Array>()),
        Arc::new(of(2).iter().map(|v| v.map(|v| v as i32)).collect::<Int32Array>()),
        Arc::new(of(0).into_iter().collect::<Int64Array>()),
        Arc::new(of(1).iter().map(|v| v.map(|v| floats(v) as f32)).collect::<Float32Array>()),
        Arc::new(of(2).iter().map(|v| v.map(floats)).collect::<Float64Array>()),
        decimal(9, 2, 0, 1),
        decimal(18, 2, 1, -1_000_001),
        decimal(38, 10, 2, 10i128.pow(30)),
        Arc::new(of(0).iter().map(|v| v.map(|v| v.to_le_bytes())).collect::<BinaryArray>()),
        Arc::new(of(1).iter().map(|v| v.map(|v| v as i32)).collect::<Date32Array>()),
        Arc::new(of(2).into_iter().collect::<TimestampMicrosecondArray>()),
        Arc::new(of(0).into_iter().collect::<TimestampMicrosecondArray>().with_timezone("UTC")),
        numbers,
    ];
    RecordBatch::try_new(every_type().schema(), columns).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_is_read_back_from_full_writes_and_merges() {
    let store = Store::new();
    let table = store.table();
    let mut writer = table.replace(&every_type()).await.unwrap();
    for part in shuffled(20_000, 4).chunks(3000) {
        writer.write(0, every_value(part)).await.unwrap();
    }
    let full = writer.prepare().await.unwrap().commit(commit(1)).await.unwrap();
    let ids: Vec<_> = (0..20_000).collect();
    let expected = texts(&every_value(&ids));
    assert_eq!(store.sql(&full, "SELECT * FROM t ORDER BY k").await, expected);

    // Unchanged rows of every type are recognised; the others are found by keys longer than any statistics.
    let mut changed = every_value(&[4, 6, 20_003]);
    let mut columns = changed.columns().to_vec();
    columns[9] = every_value(&[10, 12, 20_003]).column(9).clone();
    changed = RecordBatch::try_new(changed.schema(), columns).unwrap();
    let mut writer = table.upsert(&every_type()).await.unwrap();
    writer.write(0, changed).await.unwrap();
    writer.write(0, every_value(&(100..300).collect::<Vec<_>>())).await.unwrap();
    writer.delete(every_value(&[19_999, 30_000]).project(&[0]).unwrap()).await.unwrap();
    let prepared = writer.prepare().await.unwrap();
    let counts = prepared.counts();
    assert_eq!((counts.unchanged, counts.updated, counts.inserted, counts.deleted), (200, 2, 1, 1));
    let merged = prepared.commit(commit(2)).await.unwrap();
    let mut expected = expected;
    expected.pop();
    expected[4][9] = texts(&every_value(&[10]))[0][9].clone();
    expected[6][9] = texts(&every_value(&[12]))[0][9].clone();
    expected.extend(texts(&every_value(&[20_003])));
    assert_eq!(store.sql(&merged, "SELECT * FROM t ORDER BY k").await, expected);

    // Other files hold the same rows; reading all of them again finds nothing to write.
    let compacted = table.compact(Extent::Everything, &Default::default()).await.unwrap();
    assert_eq!((compacted.files_after, compacted.rows), (1, 20_000));
    let merged = table.at(merged.version()).await.unwrap();
    assert_eq!(store.sql(&merged, "SELECT * FROM t ORDER BY k").await, expected);
    let mut again = every_value(&ids[..19_999]);
    let mut columns = again.columns().to_vec();
    let moved = ids[..19_999].iter().map(|i| if [4, 6].contains(i) { i + 6 } else { *i });
    columns[9] = every_value(&moved.collect::<Vec<_>>()).column(9).clone();
    again = RecordBatch::try_new(again.schema(), columns).unwrap();
    let mut writer = table.replace(&every_type()).await.unwrap();
    writer.write(0, again).await.unwrap();
    writer.write(1, every_value(&[20_003])).await.unwrap();
    let prepared = writer.prepare().await.unwrap();
    assert_eq!((prepared.counts().unchanged, prepared.counts().bytes_written), (20_000, 0));
    prepared.discard().await.unwrap();

    // Filters on a wide row are evaluated while reading; NaN is larger than every number.
    let key = &expected[7][0];
    let found = store.sql(&merged, &format!("SELECT * FROM t WHERE k = '{key}'")).await;
    assert_eq!(found, [expected[7].clone()]);
    for (filter, column, value) in [
        ("d38 = -0.0", 10, Some("0.0000000000")),
        ("f8 > 1e300", 7, Some("NaN")),
        ("utc = timestamp '1970-01-01T00:00:00.000100Z'", 14, Some("1970-01-01T00:00:00.000100Z")),
        ("day = date '1970-01-11'", 12, Some("1970-01-11")),
        ("d18 = CAST('-70000.07' AS DECIMAL(18,2))", 9, Some("-70000.07")),
    ] {
        let rows = store.sql(&merged, &format!("SELECT * FROM t WHERE {filter} ORDER BY k")).await;
        let matching = |row: &&Vec<String>| value.is_some_and(|value| row[column] == value);
        assert_eq!(rows, expected.iter().filter(matching).cloned().collect::<Vec<_>>(), "{filter}");
    }
}

fn peak_megabytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// A full write of 300,000 wide rows whose numbers come in the order of `ORDER`.
#[test]
#[ignore = "runs in a process of its own, as part of `memory_is_bounded`"]
fn one_full_write() {
    let order = std::env::var("ORDER").unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::new();
        let ids: Vec<_> = if order == "sorted" { (0..300_000).collect() } else { shuffled(300_000, 1) };
        let before = peak_megabytes();
        let mut writer = store.table().replace(&rows::spec()).await.unwrap();
        let (first, second) = ids.split_at(ids.len() / 2);
        for (first, second) in first.chunks(8192).zip(second.chunks(8192)) {
            for (lane, part) in [first, second].into_iter().enumerate() {
                writer.write(lane, rows::batch(part.iter().map(|i| (*i as u64, 0)))).await.unwrap();
            }
        }
        let snapshot = writer.prepare().await.unwrap().commit(commit(1)).await.unwrap();
        assert_eq!(snapshot.rows(), 300_000);
        println!("peak {} MB", peak_megabytes() - before);
    });
}

/// A writer takes the same memory whatever it writes, also when everything arrives in random order.
#[test]
fn memory_is_bounded() {
    for order in ["sorted", "random"] {
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", "--nocapture", "snapshot::wide::one_full_write"])
            .env("ORDER", order)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&child.stdout).into_owned();
        let peak = text.split("peak ").nth(1).unwrap().split(' ').next().unwrap();
        assert!(peak.parse::<u64>().unwrap() < 180, "{text}");
    }
}
