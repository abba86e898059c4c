//! Versions as queries see them.

use super::*;
use datafusion::physical_plan::displayable;
use tributary::snapshot::Extent;

fn context(store: &Store, snapshot: &Arc<Snapshot>) -> SessionContext {
    context_of(&store.warehouse, snapshot, 2)
}

async fn large(store: &Store) -> Arc<Snapshot> {
    worn(store, 300).await
}

/// 300,000 rows of which `count` were changed, and as many deleted, all over the table.
async fn worn(store: &Store, count: i64) -> Arc<Snapshot> {
    let table = store.table();
    let batches: Vec<_> = (0..60).map(|b| numbered((b * 5000..(b + 1) * 5000).map(|i| (i, i)))).collect();
    replace(&table, 1, &batches).await;
    let step = 300_000 / count;
    let changes = (0..count).map(|i| (i * step + 7, -1));
    let deleted: Vec<_> = (0..count).map(|i| i * step + 8).collect();
    upsert(&table, 2, numbered(changes), &deleted).await.0
}

#[tokio::test(flavor = "multi_thread")]
async fn counting_reads_no_file_and_bounds_prune() {
    let store = Store::new();
    let snapshot = large(&store).await;
    let context = context(&store, &snapshot);
    let plan = context.sql("SELECT count(*) FROM t").await.unwrap().create_physical_plan().await.unwrap();
    let text = displayable(plan.as_ref()).indent(false).to_string();
    assert!(!text.contains("DataSourceExec"), "{text}");
    assert_eq!(int(&store.sql(&snapshot, "SELECT count(*) FROM t").await), 299_700);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lookup_by_key_reads_pages_not_files() {
    let store = Store::new();
    let snapshot = large(&store).await;
    for (id, amount) in
        [(7, Some(-1)), (8, None), (9, Some(9)), (299_007, Some(-1)), (299_999, Some(299_999))]
    {
        let rows = store.sql(&snapshot, &format!("SELECT amount FROM t WHERE id = '{id:09}'")).await;
        assert_eq!(rows, amount.map(|a| vec![a.to_string()]).into_iter().collect::<Vec<_>>(), "{id}");
    }
    // What is read is checked: damage where a query reads fails it, damage elsewhere does not.
    let store = Store::new();
    let batches: Vec<_> = (0..60).map(|b| numbered((b * 15_000..(b + 1) * 15_000).map(|i| (i, i)))).collect();
    let (snapshot, _) = replace(&store.table(), 1, &batches).await;
    let file = store.files("base").remove(0);
    let mut bytes = std::fs::read(&file).unwrap();
    assert!(bytes.len() > 4 * (128 << 10), "several blocks of checksums, not {}", bytes.len());
    bytes[4..100].fill(0);
    std::fs::write(&file, bytes).unwrap();
    assert_eq!(store.sql(&snapshot, "SELECT amount FROM t WHERE id = '000850123'").await, [["850123"]]);
    for sql in ["SELECT amount FROM t WHERE id = '000000001'", "SELECT max(id) FROM t WHERE amount <> 5"] {
        let context = context(&store, &snapshot);
        assert!(context.sql(sql).await.unwrap().collect().await.is_err(), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_whose_first_column_hardly_differs_is_found_by_the_others() {
    let store = Store::new();
    let table = store.table();
    let spec = spec(
        &[("area", FieldType::Text), ("id", FieldType::Int64), ("amount", FieldType::Int64)],
        &["area", "id"],
    );
    // Ids that ascend, and do not fit in a few bytes together.
    let id = |number: i64| number * 1009 + number * number % 1009;
    let rows = |numbers: std::ops::Range<i64>, amount: i64| {
        let areas: StringArray =
            numbers.clone().map(|number| Some(if number < 700_000 { "eu" } else { "us" })).collect();
        let amounts: Int64Array = numbers.clone().map(|number| Some(number * amount)).collect();
        let ids = numbers.map(id);
        let columns: Vec<ArrayRef> =
            vec![Arc::new(areas), Arc::new(Int64Array::from_iter_values(ids)), Arc::new(amounts)];
        RecordBatch::try_new(spec.schema(), columns).unwrap()
    };
    let mut writer = table.replace(&spec).await.unwrap();
    for from in (0..900_000).step_by(15_000) {
        writer.write(0, rows(from..from + 15_000, 1)).await.unwrap();
    }
    let snapshot = writer.prepare().await.unwrap().commit(commit(1)).await.unwrap();
    // Whoever reads some of the first pages of the second column fails. Behind them are others that all need.
    let file = store.files("base").remove(0);
    let mut bytes = std::fs::read(&file).unwrap();
    let end = bytes.len() / 10;
    bytes[32 << 10..end].fill(0);
    std::fs::write(&file, bytes).unwrap();
    let lookup = |number: i64| format!("SELECT amount FROM t WHERE area = 'eu' AND id = {}", id(number));
    assert_eq!(store.sql(&snapshot, &lookup(650_123)).await, [["650123"]]);
    let context = context(&store, &snapshot);
    assert!(context.sql(&lookup(90_000)).await.unwrap().collect().await.is_err(), "the damage is read");
    let mut writer = table.upsert(&spec).await.unwrap();
    writer.write(0, rows(650_123..650_124, -1)).await.unwrap();
    writer.write(0, rows(899_990..900_010, -1)).await.unwrap();
    let merged = writer.prepare().await.unwrap().commit(commit(2)).await.unwrap();
    assert_eq!(merged.rows(), 900_010);
    assert_eq!(store.sql(&merged, &lookup(650_123)).await, [["-650123"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lookup_by_key_skips_the_runs_without_it() {
    let store = Store::new();
    let table = store.table();
    replace(&table, 1, &[numbered((0..5000).map(|i| (i, i)))]).await;
    for run in 0..5 {
        upsert(&table, 2 + run, numbered((0..500).map(|i| (i * 10 + run, -1))), &[]).await;
    }
    let snapshot = table.latest().await.unwrap().unwrap();
    for (id, amount) in [(2507, "2507"), (2503, "-1")] {
        let rows = store.sql(&snapshot, &format!("SELECT amount FROM t WHERE id = '{id:09}'")).await;
        assert_eq!(rows, [[amount]]);
    }
    // Bloom filters are known by now: without the runs, what is in none of them is found as before.
    store.files("runs").iter().for_each(|file| std::fs::remove_file(file).unwrap());
    assert_eq!(store.sql(&snapshot, "SELECT amount FROM t WHERE id = '000002507'").await, [["2507"]]);
    let context = context(&store, &snapshot);
    let in_a_run = context.sql("SELECT amount FROM t WHERE id = '000002503'").await.unwrap();
    assert!(in_a_run.collect().await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_key_is_looked_up_and_scanned_alike() {
    let store = Store::new();
    let snapshot = large(&store).await;
    for (by_key, otherwise) in [
        ("id = '000001007'", "id || '' = '000001007'"),
        ("'000001007' = id AND amount > 5", "id || '' = '000001007' AND amount > 5"),
        ("id = '000001007' AND amount = -1", "id || '' = '000001007' AND amount = -1"),
        ("id = 'nobody'", "id || '' = 'nobody'"),
        ("id = '000001007' AND id = '000002007'", "id || '' = '000001007' AND id = '000002007'"),
        ("id = '000001007' OR id = '000002007'", "id || '' IN ('000001007', '000002007')"),
        ("id = NULL", "id || '' = NULL"),
    ] {
        for columns in ["*", "amount", "count(*)", "max(id)", "1"] {
            let one = store.sql(&snapshot, &format!("SELECT {columns} FROM t WHERE {by_key}")).await;
            let other = store.sql(&snapshot, &format!("SELECT {columns} FROM t WHERE {otherwise}")).await;
            assert_eq!(one, other, "{columns} where {by_key}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_rows_stay_away_in_every_kind_of_query() {
    // Few gaps are skipped by the scan, many are masked after it.
    for (count, is_masked) in [(100, false), (1000, true)] {
        let store = Store::new();
        let snapshot = worn(&store, count).await;
        let (all, least) = (300_000 - count, count + 1);
        let texts = |text: &str| vec![vec![text.to_string()]];
        for (sql, expected) in [
            ("SELECT count(*) FROM t WHERE amount = -1".to_string(), count.to_string()),
            ("SELECT count(*) FROM t WHERE amount % 3000 = 8".into(), "0".into()),
            ("SELECT count(*) FROM t".into(), all.to_string()),
            // Neither what is unknown counts, nor what was deleted, which ends in 8.
            (
                "SELECT count(*) FROM t WHERE nullif(amount % 10, 5) <> 1".into(),
                (240_000 - count).to_string(),
            ),
            (
                "SELECT count(DISTINCT id) FROM t WHERE nullif(amount % 10, 5) <> 1".into(),
                (240_000 - count).to_string(),
            ),
            ("SELECT count(amount) FROM t".into(), all.to_string()),
            ("SELECT count(*) FROM (SELECT id FROM t LIMIT 299950)".into(), 299_950.min(all).to_string()),
            (format!("SELECT count(*) FROM (SELECT id FROM t LIMIT {})", all + 9), all.to_string()),
            ("SELECT min(id) FROM t WHERE id >= '000003007'".into(), "000003007".into()),
            ("SELECT min(id) FROM t WHERE id > '000003007'".into(), "000003009".into()),
            ("SELECT max(amount) FROM t WHERE id BETWEEN '000003007' AND '000003008'".into(), "-1".into()),
            (
                format!("SELECT sum(amount) FROM (SELECT amount FROM t ORDER BY amount LIMIT {least})"),
                format!("-{count}"),
            ),
            (
                "SELECT sum(a + b - amount) FROM (SELECT amount AS a, id, amount AS b, amount FROM t \
                 WHERE id < '000000010' AND amount <> 2)"
                    .into(),
                // 0 to 9 without 2, 7 now -1, 8 deleted.
                "27".into(),
            ),
            ("SELECT count(*) FROM t a JOIN t b ON a.id = b.id WHERE a.amount < 0".into(), count.to_string()),
            ("SELECT count(DISTINCT amount) FROM t".into(), (all - count + 1).to_string()),
        ] {
            assert_eq!(store.sql(&snapshot, &sql).await, texts(&expected), "{sql}");
        }
        let context = context(&store, &snapshot);
        let plan = context.sql("SELECT sum(amount) FROM t").await.unwrap();
        let plan = plan.create_physical_plan().await.unwrap();
        let text = displayable(plan.as_ref()).indent(false).to_string();
        assert_eq!(text.contains("is_live"), is_masked, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worn_table_is_planned_as_a_whole_one() {
    let store = Store::new();
    let snapshot = worn(&store, 1000).await;
    let context = context(&store, &snapshot);
    let plan = async |sql: &str| {
        let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        displayable(plan.as_ref()).indent(false).to_string()
    };
    // The largest come first, and what is deleted, 299708, is not among them.
    let largest = "SELECT id AS a, amount AS b FROM t WHERE amount < 299710 ORDER BY amount DESC, id LIMIT 3";
    let expected = [["000299709", "299709"], ["000299706", "299706"], ["000299705", "299705"]];
    assert_eq!(store.sql(&snapshot, largest).await, expected);
    let text = plan(largest).await;
    assert!(text.contains("reverse_row_groups=true") && text.contains("is_live"), "{text}");
    // A column that the scan filters by and nobody else needs is not read once more.
    let narrow = "SELECT sum(b) FROM (SELECT amount AS b, id FROM t WHERE id < '000000010') x";
    assert_eq!(store.sql(&snapshot, narrow).await, [["29"]]);
    let text = plan(narrow).await;
    assert!(text.contains("projection=[amount@1 as b, \u{1}file"), "{text}");
    // What is computed of deleted rows fails nothing.
    let share = "SELECT sum(1 / (amount - 8)) AS s FROM t WHERE id < '000000020' AND id > '000000001'";
    assert_eq!(store.sql(&snapshot, share).await, [["1"]]);
    // A file without such rows is not opened.
    let negative = "SELECT count(DISTINCT id) FROM t WHERE amount < 0";
    assert_eq!(store.sql(&snapshot, negative).await, [["1000"]]);
    store.files("base").iter().for_each(|file| std::fs::remove_file(file).unwrap());
    assert_eq!(store.sql(&snapshot, negative).await, [["1000"]]);
    let small = context.sql("SELECT count(DISTINCT id) FROM t WHERE amount < 1").await.unwrap();
    assert!(small.collect().await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_needs_no_order_lets_go_of_it() {
    let store = Store::new();
    let snapshot = worn(&store, 1000).await;
    let context = context(&store, &snapshot);
    let halves = "SELECT id, amount, amount % 2 = 0 AS is_even FROM t WHERE id > '000000100'";
    for (sql, is_in_any_order) in [
        ("SELECT id, sum(amount), avg(amount), count(*) FROM t GROUP BY id".to_string(), true),
        (format!("SELECT is_even, min(id), count(DISTINCT amount) FROM ({halves}) GROUP BY is_even"), true),
        ("SELECT count(*) FROM t a JOIN t b ON a.id = b.id WHERE a.amount < b.amount + 1".into(), true),
        ("SELECT DISTINCT amount % 10 FROM t".into(), true),
        ("SELECT array_agg(id) FROM t".into(), false),
        ("SELECT sum(amount), string_agg(id, ',') FROM t".into(), false),
        ("SELECT first_value(id) FROM t WHERE amount > 5".into(), false),
        ("SELECT sum(amount) FROM (SELECT amount FROM t LIMIT 10000)".into(), false),
        ("SELECT DISTINCT id FROM t LIMIT 3".into(), false),
        (halves.into(), false),
    ] {
        let plan = context.sql(&sql).await.unwrap().create_physical_plan().await.unwrap();
        let text = displayable(plan.as_ref()).indent(false).to_string();
        assert!(text.contains("is_live"), "{sql}: {text}");
        assert_eq!(text.contains("in any order"), is_in_any_order, "{sql}: {text}");
    }
    let groups = "SELECT amount % 3, count(*), sum(amount), min(id), max(id) FROM t GROUP BY 1 ORDER BY 1";
    let table = store.table();
    table.compact(Extent::Everything, &Default::default()).await.unwrap();
    let compacted = table.latest().await.unwrap().unwrap();
    let groups_of = async |snapshot| store.sql(snapshot, groups).await;
    assert_eq!(groups_of(&snapshot).await, groups_of(&compacted).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bounds_of_a_worn_table_are_those_of_what_is_left() {
    let store = Store::new();
    worn(&store, 1000).await;
    let ends = [0, 299_999];
    let snapshot = upsert(&store.table(), 3, numbered([(5, -2)]), &ends).await.0;
    let sql = "SELECT min(id), max(id), min(amount), max(amount) FROM t";
    assert_eq!(store.sql(&snapshot, sql).await, [["000000001", "000299998", "-2", "299998"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_or_damaged_file_is_named() {
    let store = Store::new();
    let (snapshot, _) = replace(&store.table(), 1, &[numbered((0..9999).map(|i| (i, i)))]).await;
    let file = store.files("base").remove(0);
    let name = file.file_name().unwrap().to_str().unwrap().to_string();
    let bytes = std::fs::read(&file).unwrap();
    for content in [None, Some(bytes[..bytes.len() / 2].to_vec())] {
        match content {
            None => std::fs::remove_file(&file).unwrap(),
            Some(content) => std::fs::write(&file, content).unwrap(),
        }
        let context = context(&store, &snapshot);
        let failed = context.sql("SELECT sum(amount) FROM t").await.unwrap().collect().await.unwrap_err();
        let text = failed.to_string();
        assert!(text.contains(&name) && text.contains("`1/deal`"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watermark_of_any_shape_is_read_back() {
    let store = Store::new();
    let table = store.table();
    for (run, watermark) in [
        (1, None),
        (2, Some(serde_json::json!({"cursor": "2026-01-01T00:00:00Z", "nested": [1, {"q": "\"\\\n€"}]}))),
        (3, Some(serde_json::json!(12345678901234567u64))),
        (4, None),
    ] {
        let mut writer = table.upsert(&deal()).await.unwrap();
        writer.write(0, numbered([(run, 0)])).await.unwrap();
        let commit = Commit { run_id: run, fence: 0, watermark: watermark.clone() };
        writer.prepare().await.unwrap().commit(commit).await.unwrap();
        let read = store.reopened().table("1", "deal").latest().await.unwrap().unwrap();
        assert_eq!((read.watermark(), read.run_id(), read.version()), (watermark, run, run - 1));
    }
}
