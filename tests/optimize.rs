//! Compaction as people meet it: `CALL optimize`, and by itself after syncs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::support::link;
use crate::support::postgres::{self, Database};
use crate::support::server::Server;

const SUMS: &str = "SELECT count(*), count(DISTINCT id), sum(amount) FROM opportunity";

async fn synced(rows: u32) -> (Database, Server) {
    let database = postgres::database().await;
    database
        .execute(&format!(
            "CREATE TABLE opportunity (id bigint PRIMARY KEY, amount numeric(18,2),
                 updated_at timestamptz NOT NULL DEFAULT clock_timestamp());
             INSERT INTO opportunity SELECT i, i * 1.25 FROM generate_series(1, {rows}) i;
             CREATE INDEX ON opportunity (updated_at);
             CREATE TABLE quota (owner_id int PRIMARY KEY, target int);
             INSERT INTO quota SELECT i, i FROM generate_series(1, 5) i;
             ANALYZE;"
        ))
        .await;
    let server = Server::start();
    link(&server, &database);
    server.rows(&[
        "CALL add_object('crm', 'public.opportunity', unique_fields => 'id', cursor_field => 'updated_at')",
        "CALL add_object('crm', 'public.quota')",
        "CALL sync('crm', 'full')",
    ]);
    (database, server)
}

async fn change(database: &Database, server: &Server, rows: &str) {
    database
        .execute(&format!(
            "UPDATE opportunity SET amount = amount + 1, updated_at = clock_timestamp() WHERE {rows}"
        ))
        .await;
    let said = server.rows(&["CALL sync('crm', 'diff', object => 'opportunity')"]);
    assert!(said.contains("|diff|succeeded|"), "{said}");
}

/// Texts of all commits of all tables that arranged rows anew.
fn compactions(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        if path.is_dir() {
            found.extend(compactions(&path));
        } else if path.extension().is_some_and(|e| e == "json") && folder.ends_with("_delta_log") {
            found.extend(fs::read_to_string(&path).ok().filter(|text| text.contains("\"OPTIMIZE\"")));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_optimizes_tables_and_no_answer_changes() {
    let (database, server) = synced(3000).await;
    for round in 0..3 {
        change(&database, &server, &format!("id % 100 = {round}")).await;
    }
    let (newest, then) = (server.rows(&[SUMS]), server.rows(&["SET tributary.as_of = '2'", SUMS]));
    let versions = "SELECT release, object, version FROM tributary.release_object ORDER BY 1, 2";
    let released = server.rows(&[versions]);

    let said = server.rows(&["CALL optimize('crm', object => 'opportunity')"]);
    let cells: Vec<_> = said.split('|').collect();
    assert_eq!(cells[..4], ["crm.opportunity", "4", "1", "3000"], "{said}");
    assert_eq!(server.rows(&[SUMS]), newest);
    assert_eq!(server.rows(&["SET tributary.as_of = '2'", SUMS]), then);
    assert_eq!(server.rows(&[versions]), released, "releases stay as they are");

    // Again there is nothing to do, for none of the objects.
    let said = server.rows(&["CALL optimize('crm')"]);
    assert!(said.contains("crm.opportunity|1|1|0|0|") && said.contains("crm.quota|1|1|0|0|"), "{said}");

    // The next diff continues where the last one ended, also after a restart.
    change(&database, &server, "id = 7").await;
    let newest = server.rows(&[SUMS]);
    let server = server.stop().1.start();
    assert_eq!(server.rows(&[SUMS]), newest);
    let audit =
        server.rows(&["SELECT arguments, outcome FROM tributary.audit WHERE verb = 'optimize' ORDER BY at"]);
    assert!(audit.starts_with(r#"{"connection":"crm","object":"opportunity"}|done"#), "{audit}");

    for (statement, part) in [
        ("CALL optimize('crm', object => 'oportunity')", "did you mean `opportunity`?"),
        ("CALL optimize('crn')", "did you mean `crm`?"),
    ] {
        let error = server.error(statement);
        assert!(error.contains(part), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn worn_tables_are_compacted_after_a_sync_by_themselves() {
    let (database, server) = synced(2000).await;
    change(&database, &server, "id <= 100").await;
    assert!(compactions(&server.data).is_empty(), "a twentieth is not worth it");
    change(&database, &server, "id > 1000 AND id <= 1400").await;
    let deadline = Instant::now() + Duration::from_secs(20);
    while compactions(&server.data).is_empty() {
        assert!(Instant::now() < deadline, "nothing was compacted: {}", server.said());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let row = database.connect().await;
    let row = row.query_one("SELECT count(*), sum(amount)::text FROM opportunity", &[]).await.unwrap();
    let expected = format!("{0}|{0}|{1}", row.get::<_, i64>(0), row.get::<_, String>(1));
    assert_eq!(server.rows(&[SUMS]), expected);

    // A full sync of the same rows changes none.
    let said = server.rows(&["CALL sync('crm', 'full', object => 'opportunity')"]);
    assert!(said.contains("crm.opportunity|full|succeeded|2000|0|0|0|2000|"), "{said}");
    let bytes = server.rows(&["SELECT bytes_written FROM tributary.run ORDER BY id DESC LIMIT 1"]);
    assert_eq!((bytes.as_str(), server.rows(&[SUMS])), ("0", expected));
}
