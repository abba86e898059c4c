//! Full reads, keys, limits and filters.

use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::{Decimal128Type, Int64Type};
use tributary::model::{Comparison, Literal};

use super::*;
use crate::support::postgres::database;

#[tokio::test]
async fn a_large_table_is_read_in_parallel_and_completely() {
    let database = database().await;
    database
        .execute(
            "CREATE TABLE big AS SELECT i::bigint AS id, repeat('x', 200) AS filler, (i * 1.01)::numeric(18,2) AS amount \
             FROM generate_series(1, 400000) i; ALTER TABLE big ADD PRIMARY KEY (id); \
             DELETE FROM big WHERE id % 10 = 0; UPDATE big SET filler = 'y' WHERE id % 1000 = 1",
        )
        .await;
    let client = database.connect().await;
    let row = client
        .query_one(
            "SELECT count(*), sum(id)::bigint, (sum(amount) * 100)::bigint, pg_relation_size('big') FROM big",
            &[],
        )
        .await
        .unwrap();
    let expected: (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    assert!(row.get::<_, i64>(3) > 64 << 20, "large enough to be divided");

    for lanes in [1, 2, 5] {
        let source = source_with(&database, json!({"parallel": lanes}));
        let read = full("public.big", &[("id", "bigint"), ("filler", "text"), ("amount", "numeric(18,2)")]);
        let pages = pages(&*source, read).await.unwrap();
        let (mut count, mut ids, mut cents, mut seen) = (0, 0, 0, Vec::new());
        for page in &pages {
            count += page.rows.num_rows() as i64;
            let id = page.rows.column(0).as_primitive::<Int64Type>();
            ids += id.values().iter().sum::<i64>();
            cents +=
                page.rows.column(2).as_primitive::<Decimal128Type>().values().iter().sum::<i128>() as i64;
            assert!(page.rows.num_rows() <= 16_384);
            assert!(page.rows.get_array_memory_size() < 16 << 20);
            seen.extend_from_slice(id.values());
        }
        assert_eq!((count, ids, cents), expected, "{lanes} lanes");
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len() as i64, expected.0, "no row twice");
        let used = pages.iter().map(|page| page.lane).max().unwrap() + 1;
        assert_eq!(used, lanes, "lanes used");
    }
}

#[tokio::test]
async fn a_parallel_read_sees_one_moment() {
    let database = database().await;
    database
        .execute(
            "CREATE TABLE big AS SELECT i AS id, 0 AS round, repeat('x', 300) AS filler FROM generate_series(1, 300000) i",
        )
        .await;
    let source = source_with(&database, json!({"parallel": 2}));
    let mut stream = source.read(full("big", &[("id", "integer"), ("round", "integer"), ("filler", "text")]));
    let first = stream.next().await.unwrap().unwrap();
    database.execute("UPDATE big SET round = 1; DELETE FROM big WHERE id % 2 = 0").await;
    let mut count = first.rows.num_rows();
    while let Some(page) = stream.next().await {
        let page = page.unwrap();
        count += page.rows.num_rows();
        assert!(print(&page.rows).iter().all(|row| row[1] == "0"));
    }
    assert_eq!(count, 300_000);
}

#[tokio::test]
async fn a_partitioned_table_is_read_through_its_leaves() {
    let database = database().await;
    database
        .execute(
            "CREATE TABLE sale (id int, year int, filler text) PARTITION BY RANGE (year); \
             CREATE TABLE sale_old PARTITION OF sale FOR VALUES FROM (2000) TO (2020) PARTITION BY LIST (year); \
             CREATE TABLE sale_2000 PARTITION OF sale_old FOR VALUES IN (2000); \
             CREATE TABLE sale_rest PARTITION OF sale_old DEFAULT; \
             CREATE TABLE \"Sale New\" (filler text, year int, id int); \
             ALTER TABLE sale ATTACH PARTITION \"Sale New\" FOR VALUES FROM (2020) TO (2030); \
             INSERT INTO sale SELECT i, 2000 + i % 30, repeat('x', 250) FROM generate_series(1, 300000) i",
        )
        .await;
    let source = source_with(&database, json!({"parallel": 2}));
    let pages = pages(&*source, full("sale", &[("id", "integer"), ("year", "integer")])).await.unwrap();
    let mut ids: Vec<_> =
        pages.iter().flat_map(|page| print(&page.rows)).map(|row| row[0].parse::<i32>().unwrap()).collect();
    ids.sort_unstable();
    assert!(ids.iter().copied().eq(1..=300_000));
    assert!(pages.iter().any(|page| page.lane == 1));
    let objects: Vec<_> = source.objects().await.unwrap().into_iter().map(|object| object.api).collect();
    assert_eq!(objects, ["public.sale"], "partitions are not offered");
}

#[tokio::test]
async fn views_empty_tables_and_odd_names_are_read() {
    let database = database().await;
    database
        .execute(
            "CREATE SCHEMA \"My.Schema\"; CREATE TABLE \"My.Schema\".\"T \"\"x\" (\"Weird Col\" int, \"; drop\" text); \
             INSERT INTO \"My.Schema\".\"T \"\"x\" VALUES (1, 'a'); CREATE TABLE empty (id int); \
             CREATE VIEW v AS SELECT 7 AS n, 'x'::text AS t; CREATE MATERIALIZED VIEW m AS SELECT 8 AS n",
        )
        .await;
    let source = source(&database);
    let objects: Vec<_> = source.objects().await.unwrap().into_iter().map(|object| object.api).collect();
    assert_eq!(objects, ["\"My.Schema\".\"T \"\"x\"", "public.empty", "public.m", "public.v"]);
    assert_eq!(rows(&*source, everything(&*source, &objects[0]).await).await, [["1", "a"]]);
    let pages = pages(&*source, everything(&*source, "empty").await).await.unwrap();
    assert_eq!((pages.len(), pages[0].rows.num_rows()), (1, 0));
    assert_eq!(rows(&*source, everything(&*source, "v").await).await, [["7", "x"]]);
    assert_eq!(rows(&*source, everything(&*source, "m").await).await, [["8"]]);
}

#[tokio::test]
async fn keys_and_limits() {
    let database = database().await;
    database
        .execute("CREATE TABLE t AS SELECT i AS id, i % 3 AS k, 'x' AS rest FROM generate_series(1, 100) i")
        .await;
    let source = source(&database);
    let read = full("t", &[("id", "integer")]);
    let keys = Read { what: What::Keys, ..read.clone() };
    assert_eq!(firsts(&*source, keys).await.len(), 100);
    for (limit, expected, capped) in [(0, 0, true), (99, 99, true), (100, 100, false), (u64::MAX, 100, false)]
    {
        let pages = pages(&*source, Read { max_rows: Some(limit), ..read.clone() }).await.unwrap();
        let count: usize = pages.iter().map(|page| page.rows.num_rows()).sum();
        assert_eq!((count, pages.last().unwrap().capped), (expected, capped), "limit {limit}");
    }
}

fn compare(field: &str, data_type: &str, op: Comparison, literal: Literal) -> Filter {
    Filter::Compare { field: field.into(), data_type: data_type.parse().unwrap(), op, literal }
}

#[tokio::test]
async fn filters_run_at_the_source() {
    use Comparison::{Eq, GreaterEq, Less, NotEq};
    let database = database().await;
    database
        .execute(
            "CREATE TYPE mood AS ENUM ('sad', 'happy'); \
             CREATE TABLE t (id int, name text, amount numeric(18,2), day date, at timestamptz, ok boolean, mood mood, \
             code char(5), uid uuid, cash money); INSERT INTO t VALUES \
             (1, 'O''Hara', 77600.55, '2024-01-01', '2024-01-01 12:00:00+02', true, 'sad', 'a', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 5), \
             (2, '50% \\ off', -1, '2024-01-02', '2024-01-01 10:00:00.000001+00', false, 'happy', 'b', NULL, 6), \
             (3, 'Zebra_', 77600.56, NULL, NULL, NULL, NULL, NULL, NULL, NULL), (4, 'apple', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
        )
        .await;
    let source = source(&database);
    let read = full("t", &[("id", "integer")]);
    let text = |text: &str| Literal::Text(text.into());
    let number = |number: &str| Literal::Number(number.into());
    let like = |pattern: &str| Filter::Like { field: "name".into(), pattern: pattern.into() };
    let day = 19_723; // 2024-01-01
    let moment = i64::from(day) * 86_400_000_000 + 10 * 3_600_000_000;
    let cases = [
        (compare("name", "text", Eq, text("O'Hara")), "1"),
        (compare("name", "text", Eq, text("50% \\ off")), "2"),
        (compare("name", "text", Eq, text("'; DROP TABLE t; --")), ""),
        (compare("name", "text", Eq, text("\\'; DROP TABLE t; --")), ""),
        (compare("name", "text", Less, text("a")), "123"),
        (compare("amount", "numeric(18,2)", Eq, number("77600.55")), "1"),
        (compare("amount", "numeric(18,2)", NotEq, number("-1.0e0")), "13"),
        (compare("cash", "numeric(20,2)", GreaterEq, number("5.5")), "2"),
        (compare("day", "date", GreaterEq, Literal::Date(day)), "12"),
        (compare("at", "timestamp with time zone", Eq, Literal::Timestamp(moment)), "1"),
        (compare("at", "timestamp with time zone", Eq, Literal::Timestamp(moment + 1)), "2"),
        (compare("at", "timestamp with time zone", GreaterEq, Literal::Date(day)), "12"),
        (compare("ok", "boolean", Eq, Literal::Boolean(false)), "2"),
        (compare("mood", "text", Eq, text("happy")), "2"),
        (compare("mood", "text", NotEq, text("no such mood")), "12"),
        (compare("code", "text", Eq, text("a")), "1"),
        (compare("uid", "text", Eq, text("not a uuid")), ""),
        (compare("uid", "text", Eq, text("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")), "1"),
        (
            Filter::In {
                field: "id".into(),
                data_type: FieldType::Int32,
                literals: vec![number("3"), number("4")],
            },
            "34",
        ),
        (Filter::In { field: "id".into(), data_type: FieldType::Int32, literals: vec![] }, ""),
        (Filter::IsNull { field: "day".into() }, "34"),
        (Filter::IsTrue { field: "ok".into() }, "1"),
        (Filter::Not(Box::new(Filter::IsTrue { field: "ok".into() })), "2"),
        (like("50\\%%"), "2"),
        (like("%\\\\%"), "2"),
        (like("%_"), "1234"),
        (like("%\\_"), "3"),
        (like("%'%"), "1"),
        (Filter::And(vec![]), "1234"),
        (Filter::Or(vec![]), ""),
        (
            Filter::Or(vec![
                like("a%"),
                Filter::And(vec![like("Z%"), Filter::IsNull { field: "ok".into() }]),
            ]),
            "34",
        ),
    ];
    for (filter, expected) in cases {
        let found = firsts(&*source, filtered(&read, filter.clone())).await.concat();
        assert_eq!(found, expected, "{filter:?}");
    }
    for filter in [
        compare("nope", "text", Eq, text("x")),
        compare("name\" = '' OR \"id", "integer", Eq, number("1")),
        compare("id", "integer", Eq, number("1 OR true")),
        compare("name", "text", Eq, text("a\0b")),
    ] {
        failure(&*source, filtered(&read, filter)).await;
    }
    assert_eq!(firsts(&*source, read).await.len(), 4, "the table is still there");
}

#[tokio::test]
async fn dropping_a_read_ends_it_at_the_server() {
    let database = database().await;
    database
        .execute(
            "CREATE TABLE t AS SELECT i AS id FROM generate_series(1, 10) i; \
             CREATE VIEW slow AS SELECT id, pg_sleep(30)::text AS s FROM t; \
             CREATE VIEW endless AS SELECT generate_series(1, 2000000000) AS id",
        )
        .await;
    let source = source(&database);
    let client = database.connect().await;
    let running = async || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY%' \
                   AND state = 'active'";
        client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0)
    };
    for view in ["slow", "endless"] {
        let mut stream = source.read(full(view, &[("id", "integer")]));
        let waiting = tokio::time::timeout(Duration::from_secs(2), stream.next());
        // The endless one delivers, and is dropped while it does; the slow one is dropped while it computes.
        waiting.await.ok();
        assert_eq!(running().await, 1, "{view}");
        drop(stream);
        let dropped = Instant::now();
        while running().await > 0 {
            assert!(dropped.elapsed() < Duration::from_secs(5), "{view} still runs");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn a_reader_that_waits_holds_the_source_back() {
    let database = database().await;
    database
        .execute("CREATE VIEW endless AS SELECT generate_series(1, 2000000000) AS id, repeat('x', 1000) AS s")
        .await;
    let source = source(&database);
    let mut stream = source.read(full("endless", &[("id", "integer"), ("s", "text")]));
    let mut bytes = 0;
    for _ in 0..5 {
        bytes += stream.next().await.unwrap().unwrap().rows.get_array_memory_size();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(bytes < 64 << 20, "{bytes}");
}

#[tokio::test]
async fn large_values_pass() {
    let database = database().await;
    database
        .execute("CREATE TABLE t AS SELECT i AS id, repeat(md5(i::text), 100000) AS s FROM generate_series(1, 20) i")
        .await;
    let source = source(&database);
    let pages = pages(&*source, full("t", &[("id", "integer"), ("s", "text")])).await.unwrap();
    let lengths: Vec<_> = pages.iter().flat_map(|page| print(&page.rows)).map(|row| row[1].len()).collect();
    assert_eq!(lengths, [3_200_000; 20]);
    assert!(pages.iter().all(|page| page.rows.num_rows() < 4), "pages are bounded by bytes");
}
