//! Tables of many columns: every type, long texts, and how much a writer takes.

use super::*;
use arrow::array::*;
use arrow::datatypes::{DataType, Field, Int32Type};
use std::time::Instant;
use tributary::snapshot::Extent;

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

/// Fifteen columns, shaped like sales opportunities.
fn opportunity() -> WriteSpec {
    spec(
        &[
            ("id", FieldType::Text),
            ("name", FieldType::Text),
            ("account_name", FieldType::Text),
            ("owner_id", FieldType::Int32),
            ("stage", FieldType::Text),
            ("lead_source", FieldType::Text),
            ("amount", FieldType::Decimal(18, 2)),
            ("probability", FieldType::Float64),
            ("is_closed", FieldType::Boolean),
            ("close_date", FieldType::Date),
            ("created_at", FieldType::TimestampTz),
            ("updated_at", FieldType::TimestampTz),
            ("quantity", FieldType::Int32),
            ("seq_no", FieldType::Int64),
            ("description", FieldType::Text),
        ],
        &["id"],
    )
}

fn opportunities(ids: &[i64], salt: i64) -> RecordBatch {
    let h = |i: i64, k: i64| {
        let mixed = (i + salt).wrapping_mul(0x9E37_79B9_7F4A_7C15u64 as i64).wrapping_add(k * 0x632B_E59B);
        ((mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9u64 as i64) >> 20) & 0x7FFF_FFFF
    };
    let text =
        |f: &dyn Fn(i64) -> Option<String>| Arc::new(ids.iter().map(|i| f(*i)).collect::<StringArray>());
    let long = |f: &dyn Fn(i64) -> i64| ids.iter().map(|i| f(*i)).collect::<Vec<_>>();
    let columns: Vec<ArrayRef> = vec![
        text(&|i| Some(format!("006{:012X}AAA", i * 37))),
        text(&|i| Some(format!("Renewal - Acme {}", h(i, 3) % 50_000))),
        text(&|i| Some(format!("Globex {} GmbH", h(i, 4) % 50_000))),
        Arc::new(long(&|i| h(i, 5) % 500).into_iter().map(|v| Some(v as i32)).collect::<Int32Array>()),
        text(&|i| {
            Some(["Prospecting", "Proposal", "Closed Won", "Closed Lost"][h(i, 6) as usize % 4].into())
        }),
        text(&|i| (h(i, 7) % 100 >= 15).then(|| ["Web", "Phone", "Ads"][h(i, 8) as usize % 3].into())),
        Arc::new(
            (ids.iter().map(|i| (h(*i, 9) % 100 >= 5).then(|| h(*i, 10) as i128 % 10_000_000)))
                .collect::<Decimal128Array>()
                .with_precision_and_scale(18, 2)
                .unwrap(),
        ),
        Arc::new(ids.iter().map(|i| Some((h(*i, 13) % 1001) as f64 / 1000.0)).collect::<Float64Array>()),
        Arc::new(ids.iter().map(|i| Some(h(*i, 6) % 2 == 0)).collect::<BooleanArray>()),
        Arc::new(ids.iter().map(|i| Some(18_993 + (h(*i, 14) % 1461) as i32)).collect::<Date32Array>()),
        Arc::new(TimestampMicrosecondArray::from(long(&|i| i * 40_000_000)).with_timezone("UTC")),
        Arc::new(
            TimestampMicrosecondArray::from(long(&|i| h(i, 16) * 1_000 + h(i, 17) % 997))
                .with_timezone("UTC"),
        ),
        Arc::new(
            ids.iter()
                .map(|i| (h(*i, 18) % 10 > 0).then(|| (h(*i, 19) % 500) as i32))
                .collect::<Int32Array>(),
        ),
        Arc::new(Int64Array::from(ids.to_vec())),
        text(&|i| {
            let words: String = (21..31).map(|k| format!("{:07x} ", h(i, k))).collect();
            (h(i, 20) % 10 >= 3).then(|| words[..(h(i, 31) % 81) as usize].into())
        }),
    ];
    RecordBatch::try_new(opportunity().schema(), columns).unwrap()
}

fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

/// Of the calling thread alone.
fn thread_seconds() -> f64 {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    times.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

fn peak_megabytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// Numbers for people: `cargo test --release --test integration -- --ignored --nocapture snapshot::wide::measure`,
/// with ROWS and ORDER=sorted|random.
#[test]
#[ignore = "measures; run alone in its own process"]
fn measure() {
    let rows: i64 = std::env::var("ROWS").map_or(2_000_000, |rows| rows.parse().unwrap());
    let order = std::env::var("ORDER").unwrap_or("sorted".into());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::new();
        let table = store.table();
        let ids: Vec<_> = if order == "sorted" { (0..rows).collect() } else { shuffled(rows, 1) };
        let (mut generating, mut wall) = (0.0, 0.0);
        let (idle, started) = (peak_megabytes(), cpu_seconds());
        let mut writer = table.replace(&opportunity()).await.unwrap();
        let half = ids.len().div_ceil(2);
        for (first, second) in ids[..half].chunks(8192).zip(ids[half..].chunks(8192)) {
            let before = thread_seconds();
            let batches = [opportunities(first, 0), opportunities(second, 0)];
            generating += thread_seconds() - before;
            let clock = Instant::now();
            for (lane, batch) in batches.into_iter().enumerate() {
                writer.write(lane, batch).await.unwrap();
            }
            wall += clock.elapsed().as_secs_f64();
        }
        let clock = Instant::now();
        let snapshot = writer.prepare().await.unwrap().commit(commit(1)).await.unwrap();
        wall += clock.elapsed().as_secs_f64();
        let cpu = cpu_seconds() - started;
        println!(
            "full {order}: {} rows, cpu {:.2} s beside {generating:.2} s to make the rows, wall {wall:.2} s, \
             {} files, {} MB, peak {} MB over {idle} MB",
            snapshot.rows(),
            cpu - generating,
            store.files("base").len(),
            store.files("base").iter().map(|f| f.metadata().unwrap().len()).sum::<u64>() >> 20,
            peak_megabytes() - idle,
        );
        for run in 2..6 {
            let mut random = random(run as u64);
            let mut changed: Vec<_> = (0..10_000).map(|_| pick(&mut random, rows)).collect();
            changed.extend((0..2000).map(|i| rows + run * 2000 + i));
            let batch = opportunities(&changed, run);
            let (clock, before) = (Instant::now(), cpu_seconds());
            let mut writer = table.upsert(&opportunity()).await.unwrap();
            writer.write(0, batch).await.unwrap();
            let prepared = writer.prepare().await.unwrap();
            let prepared_at = clock.elapsed().as_secs_f64();
            let counts = prepared.counts().clone();
            prepared.commit(commit(run)).await.unwrap();
            println!(
                "diff: {:.3} s (prepare {prepared_at:.3}), cpu {:.3} s, {} updated, {} new, {} bytes a row",
                clock.elapsed().as_secs_f64(),
                cpu_seconds() - before,
                counts.updated,
                counts.inserted,
                counts.bytes_written / 12_000,
            );
        }
    });
}

/// A writer takes the same memory whatever it writes, also when everything arrives in random order.
#[test]
fn memory_is_bounded() {
    for order in ["sorted", "random"] {
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", "--nocapture", "snapshot::wide::measure"])
            .env("ROWS", "300000")
            .env("ORDER", order)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&child.stdout).into_owned();
        println!("{text}");
        let peak = text.split("peak ").nth(1).unwrap().split(' ').next().unwrap();
        assert!(peak.parse::<u64>().unwrap() < 180, "{text}");
    }
}
