//! Diffs: nothing that commits is ever missed.

use super::*;
use crate::support::postgres::database;

/// Without overlap worth speaking of: what is found, the watermark found.
fn exact(database: &Database) -> Arc<dyn Source> {
    source_with(database, json!({"overlap_secs": 1}))
}

const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY, u timestamptz, l timestamp, d date, s bigserial); \
    CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.u := now(); NEW.l := now(); \
    NEW.d := now(); RETURN NEW; END $$; CREATE TRIGGER touch BEFORE INSERT OR UPDATE ON t FOR EACH ROW \
    EXECUTE FUNCTION touch();";

#[tokio::test]
async fn a_row_that_commits_late_is_found_by_the_next_diff() {
    let database = database().await;
    database.execute(&format!("{TABLE} INSERT INTO t SELECT 1")).await;
    for cursor in ["u", "l", "d", "s"] {
        database.execute("TRUNCATE t RESTART IDENTITY; INSERT INTO t SELECT 1").await;
        let source = exact(&database);
        let read = with_cursor(full("t", &[("id", "integer")]), cursor);
        let first = watermark(&*source, read.clone()).await;

        let late = database.connect().await;
        late.batch_execute("BEGIN; INSERT INTO t VALUES (2)").await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
        database.execute("INSERT INTO t SELECT i FROM generate_series(10, 2010) i").await;
        let pages = pages(&*source, since(&read, &first)).await.unwrap();
        let second = last_watermark(&pages).unwrap();
        let seen: Vec<_> =
            pages.iter().flat_map(|page| print(&page.rows)).map(|row| row[0].clone()).collect();
        assert!(seen.contains(&"2010".to_string()) && !seen.contains(&"2".to_string()));
        late.batch_execute("COMMIT").await.unwrap();

        let found = firsts(&*source, since(&read, &second)).await;
        assert!(found.contains(&"2".to_string()), "cursor {cursor}: {second:?}");
        // And the one after it does not read everything again for ever.
        if cursor == "u" {
            tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
            let third = watermark(&*source, since(&read, &second)).await;
            assert_eq!(firsts(&*source, since(&read, &third)).await, [""; 0]);
        }
    }
}

#[tokio::test]
async fn a_late_commit_is_found_by_a_login_that_may_not_see_other_sessions() {
    let database = database().await;
    let user = format!("{}_reader", database.name);
    database
        .execute(&format!(
            "{TABLE} INSERT INTO t VALUES (1); CREATE ROLE {user} LOGIN PASSWORD 'pw'; GRANT SELECT ON t TO {user}"
        ))
        .await;
    let mut settings = settings(&database);
    settings["user"] = json!(user);
    settings["overlap_secs"] = json!(1);
    let secrets = HashMap::from([("password".to_string(), "pw".to_string())]);
    let source = connectors().open("postgresql", &settings, &secrets, None).unwrap();
    let read = with_cursor(full("t", &[("id", "integer")]), "u");
    let first = watermark(&*source, read.clone()).await;
    let late = database.connect().await;
    late.batch_execute("BEGIN; INSERT INTO t VALUES (2)").await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
    let second = watermark(&*source, since(&read, &first)).await;
    let third = watermark(&*source, since(&read, &second)).await;
    late.batch_execute("COMMIT").await.unwrap();
    let found = firsts(&*source, since(&read, &third)).await;
    assert!(found.contains(&"2".to_string()), "{third:?}");
}

#[tokio::test]
async fn rows_with_the_same_time_are_all_found() {
    let database = database().await;
    database.execute("CREATE TABLE t (id int, u timestamptz)").await;
    let source = exact(&database);
    let read = with_cursor(full("t", &[("id", "integer")]), "u");
    let first = watermark(&*source, read.clone()).await;
    database.execute("INSERT INTO t SELECT i, now() FROM generate_series(1, 5) i").await;
    let pages = pages(&*source, since(&read, &first)).await.unwrap();
    assert_eq!(pages.iter().map(|page| page.rows.num_rows()).sum::<usize>(), 5);
}

#[tokio::test]
async fn values_of_the_future_and_null_values() {
    let database = database().await;
    database
        .execute("CREATE TABLE t (id int, u timestamptz); INSERT INTO t VALUES (1, NULL), (2, now() + '3 days'), (3, 'infinity'), (4, '-infinity'), (5, '2000-01-01')")
        .await;
    let source = exact(&database);
    let read = with_cursor(full("t", &[("id", "integer")]), "u");
    let pages = pages(&*source, read.clone()).await.unwrap();
    assert_eq!(pages.iter().map(|page| page.rows.num_rows()).sum::<usize>(), 5);
    let first = last_watermark(&pages).unwrap();
    assert_eq!(firsts(&*source, since(&read, &first)).await, ["2", "3"], "they cannot be told from new ones");
}

#[tokio::test]
async fn a_cursor_that_went_backwards_is_refused() {
    let database = database().await;
    database.execute("CREATE TABLE t AS SELECT i AS id, now() AS u FROM generate_series(1, 5000) i").await;
    let source = exact(&database);
    let by_id = with_cursor(full("t", &[("id", "integer")]), "id");
    let stored = watermark(&*source, by_id.clone()).await;
    database.execute("DELETE FROM t WHERE id > 4990").await;
    assert!(pages(&*source, since(&by_id, &stored)).await.is_ok(), "a few of the newest rows were deleted");
    database.execute("DELETE FROM t WHERE id > 10").await;
    let error = failure(&*source, since(&by_id, &stored)).await;
    assert!(
        error.what().contains("went backwards: it stood at `5000`, and the highest value now is `10`"),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("full sync"));

    let by_time = with_cursor(full("t", &[("id", "integer")]), "u");
    let mut stored = watermark(&*source, by_time.clone()).await;
    for key in ["at", "seen"] {
        stored.0[key] = json!(stored.0[key].as_i64().unwrap() + 86_400_000_000);
    }
    let error = failure(&*source, since(&by_time, &stored)).await;
    assert!(error.what().contains("went backwards"), "{error}");

    let error = failure(&*source, since(&by_id, &stored)).await;
    assert!(error.what().contains("is of field `u`"), "{error}");
    let error = failure(&*source, since(&by_id, &Watermark(json!("2024")))).await;
    assert!(error.what().contains("not one of a PostgreSQL source"), "{error}");
}

#[tokio::test]
async fn a_capped_read_carries_no_watermark() {
    let database = database().await;
    database.execute("CREATE TABLE t AS SELECT i AS id, now() AS u FROM generate_series(1, 10) i").await;
    let source = exact(&database);
    let read = Read { max_rows: Some(5), ..with_cursor(full("t", &[("id", "integer")]), "u") };
    let pages = pages(&*source, read).await.unwrap();
    assert!(pages.last().unwrap().capped);
    assert_eq!(last_watermark(&pages), None);
}

#[tokio::test]
async fn a_field_that_cannot_be_a_cursor_is_refused() {
    let database = database().await;
    database.execute("CREATE TABLE t (id int, name text)").await;
    let source = exact(&database);
    let error = failure(&*source, with_cursor(full("t", &[("id", "integer")]), "name")).await;
    assert_eq!(error.what(), "field `name` of type `text` cannot be a cursor");
    let error = failure(&*source, with_cursor(full("t", &[("id", "integer")]), "nam")).await;
    assert!(error.what().contains("did you mean `name`?"), "{error}");
}
