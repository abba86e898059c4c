//! Caps, replacements, previews.

use super::{count, linked, linked_to, newest, says};
use crate::conformance::vendor::Vendor;

#[tokio::test(flavor = "multi_thread")]
async fn a_maximum_stops_cleanly_and_removes_nothing() {
    let (database, server) =
        linked("CREATE TABLE deal (id int PRIMARY KEY, at timestamptz DEFAULT now())").await;
    database.execute("INSERT INTO deal SELECT generate_series(1, 100)").await;
    server.rows(&["CALL add_object('crm', 'public.deal', cursor_field => 'at')", "CALL sync('crm', 'full')"]);
    server.rows(&["CALL set_import('crm', 'deal', max_rows => 40)"]);
    database.execute("DELETE FROM deal WHERE id <= 5").await;
    let synced = server.rows(&["CALL sync('crm', 'full')"]);
    says(&synced, &["|capped|40|", "stopped at the maximum number of records (40)", "max_rows"]);
    assert_eq!(count(&server), 100, "rows that a capped read did not see are not gone");
    says(&server.rows(&["SELECT state FROM tributary.object"]), &["capped"]);
    // Another key makes it another table: what is read of it is not everything, and does not become everything.
    server.rows(&["CALL set_fields('crm', 'deal', fields => 'id')"]);
    server.psql(&["CALL sync('crm', 'full')"]);
    assert_eq!(count(&server), 100);
    server.rows(&["CALL set_import('crm', 'deal', max_rows => 0)"]);
    server.rows(&["CALL sync('crm', 'full')"]);
    assert_eq!(count(&server), 95);
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_all_before_a_sync_is_one_swap_and_keeps_the_past() {
    let (database, server) = linked("CREATE TABLE deal (id int PRIMARY KEY, name text)").await;
    database.execute("INSERT INTO deal SELECT i, 'old' FROM generate_series(1, 100) i").await;
    server.rows(&[
        "CALL add_object('crm', 'public.deal')",
        "CALL set_import('crm', 'deal', delete_all_before_sync => true)",
        "CALL sync('crm', 'full')",
    ]);
    database
        .execute("DELETE FROM deal WHERE id <= 10; UPDATE deal SET name = 'new'; INSERT INTO deal VALUES (101, 'new')")
        .await;
    // Somebody reads all the time: there is no moment without rows.
    let reader = server.connect().await;
    let reading = tokio::spawn(async move {
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..400 {
            let row =
                reader.query_one("SELECT count(*), count(DISTINCT name), min(name) FROM crm.deal", &[]).await;
            let row = row.unwrap();
            seen.insert((row.get::<_, i64>(0), row.get::<_, i64>(1), row.get::<_, String>(2)));
        }
        seen
    });
    server.rows(&["CALL sync('crm', 'diff')"]);
    let seen = reading.await.unwrap();
    let allowed = [(100, 1, "old".to_string()), (91, 1, "new".to_string())];
    assert!(seen.iter().all(|row| allowed.contains(row)), "{seen:?}");
    assert_eq!(newest(&server), ("succeeded".into(), [1, 90, 10, 91]));
    assert_eq!(
        server.rows(&["SET tributary.as_of = '1'", "SELECT count(*), max(name) FROM deal"]),
        "SET\n100|old"
    );
    assert_eq!(server.rows(&["SELECT count(*) FROM diff('crm.deal', 1, 2)"]), "101");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_shows_records_and_what_the_source_is_told() {
    let (database, server) = linked("CREATE TABLE deal (id int PRIMARY KEY, name text)").await;
    database.execute("INSERT INTO deal SELECT i, 'n' || i FROM generate_series(1, 100) i").await;
    server.rows(&["CALL add_object('crm', 'public.deal')"]);
    server.rows(&["CALL set_import('crm', 'deal', filter => 'id > 98')"]);
    let out = server.psql(&["CALL preview('crm', 'deal', 5)"]);
    let (rows, told) = (String::from_utf8(out.stdout).unwrap(), String::from_utf8(out.stderr).unwrap());
    assert_eq!(rows.lines().count(), 2, "{rows}");
    says(&rows, &[r#"{"id":"99","name":"n99"}"#, r#"{"id":"100","name":"n100"}"#]);
    says(&told, &["PostgreSQL is told WHERE", "98"]);
    assert_eq!(server.rows(&["SELECT count(*) FROM tributary.run"]), "0");
    says(&server.error("CALL preview('crm', 'deal', 0)"), &["`n` cannot be 0", "1 to 1000"]);
    says(&server.error("CALL preview('crm', 'dael')"), &["did you mean `deal`"]);

    let vendor = Vendor::start("salesforce", 7).await;
    let server = linked_to(&vendor);
    server.rows(&["CALL set_import('crm', 'deal', filter => 'amount > 100000')"]);
    let out = server.psql(&["CALL preview('crm', 'deal', n => 3)"]);
    assert_eq!(String::from_utf8(out.stdout).unwrap().lines().count(), 3);
    says(&String::from_utf8(out.stderr).unwrap(), &["Amount > 100000"]);
}
