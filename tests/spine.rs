//! The path of a row, walked by an admin in psql: link, discover, adopt, sync, read, change, sync again.

use std::time::Duration;

use crate::support::link;
use crate::support::postgres::{self, Database};
use crate::support::server::{ADMIN_PASSWORD, Server};

/// A source with deals, one of them worth 77600.55, and quotas with a key of two fields.
async fn source(rows: u32) -> Database {
    let database = postgres::database().await;
    database
        .execute(&format!(
            "CREATE TABLE opportunity (id bigint PRIMARY KEY, name text NOT NULL, stage text, amount numeric(18,2),
                 close_date date, updated_at timestamptz NOT NULL DEFAULT clock_timestamp());
             INSERT INTO opportunity SELECT i, 'Deal ' || i, (ARRAY['Open','Won','Lost'])[1 + i % 3], i * 1.25,
                 date '2026-01-01' + i % 300 FROM generate_series(1, {rows}) i;
             UPDATE opportunity SET amount = 77600.55 WHERE id = 7;
             CREATE INDEX ON opportunity (updated_at);
             CREATE TABLE quota (owner_id int, period text, target numeric(18,2), PRIMARY KEY (owner_id, period));
             INSERT INTO quota SELECT i, '2026-Q' || q, 1000 * i FROM generate_series(1, 5) i, generate_series(1, 4) q;
             ANALYZE;"
        ))
        .await;
    database
}

fn adopt(server: &Server) {
    server.rows(&[
        "CALL add_object('crm', 'public.opportunity', unique_fields => 'id', name_field => 'name', \
                   cursor_field => 'updated_at')",
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_links_a_database_and_keeps_it_fresh_in_psql_alone() {
    let database = source(1000).await;
    let server = Server::start();
    link(&server, &database);
    let found = server.rows(&["CALL discover('crm')"]);
    assert!(found.contains("public.opportunity|") && found.contains("|1000|id|"), "{found}");
    adopt(&server);
    server.rows(&["CALL add_object('crm', 'public.quota')"]);

    let synced = server.rows(&["CALL sync('crm','full')"]);
    assert!(synced.contains("crm.opportunity|full|succeeded|1000|1000|0|0|1000|"), "{synced}");
    assert!(synced.contains("crm.quota|full|succeeded|20|20|0|0|20|"), "{synced}");
    let found =
        server.rows(&["SELECT opportunity.amount FROM opportunity WHERE opportunity.amount = 77600.55"]);
    assert_eq!(found, "77600.55");

    database
        .execute("UPDATE opportunity SET amount = 1.10, updated_at = clock_timestamp() WHERE id IN (3, 5)")
        .await;
    database.execute("INSERT INTO opportunity VALUES (2000, 'New', 'Won', 5, now())").await;
    let synced = server.rows(&["CALL sync('crm','diff', object => 'opportunity')"]);
    assert!(synced.contains("crm.opportunity|diff|succeeded|"), "{synced}");
    let ours = server.rows(&["SELECT count(*), sum(amount), max(id) FROM opportunity"]);
    let theirs = database.connect().await;
    let row =
        theirs.query_one("SELECT count(*), sum(amount)::text, max(id) FROM opportunity", &[]).await.unwrap();
    let expected = format!("{}|{}|{}", row.get::<_, i64>(0), row.get::<_, String>(1), row.get::<_, i64>(2));
    assert_eq!(ours, expected);

    let runs = server.rows(&["SELECT object, mode, status, release FROM tributary.run ORDER BY id"]);
    assert_eq!(
        runs,
        "crm.opportunity|full|succeeded|1\ncrm.quota|full|succeeded|1\ncrm.opportunity|diff|succeeded|2"
    );
    assert_eq!(server.rows(&["SELECT id, objects FROM tributary.release ORDER BY id"]), "1|2\n2|2");

    // What is read in one text is one release, whatever is published meanwhile.
    database.execute("INSERT INTO opportunity VALUES (3000, 'Newer', 'Won', 5, now())").await;
    let texts = "SELECT count(*) FROM opportunity; CALL sync('crm', 'diff', object => 'opportunity'); \
                 SELECT count(*) FROM opportunity";
    let seen = server.rows(&[texts, "SELECT count(*) FROM opportunity"]);
    let seen: Vec<_> = seen.lines().filter(|line| !line.contains('|')).collect();
    assert_eq!(seen, ["1001", "1001", "1002"]);

    let then =
        server.rows(&["SET tributary.as_of = '1'", "SELECT sum(amount) FROM opportunity WHERE id IN (3, 5)"]);
    assert_eq!(then.lines().last(), Some("10.00"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demonstration_is_synced_before_the_port_is_announced() {
    let server = Server::demo();
    let stages =
        server.rows(&["SELECT stage, sum(opportunity.amount) FROM opportunity GROUP BY 1 ORDER BY 1"]);
    assert!(stages.lines().count() >= 5, "{stages}");
    assert_eq!(server.rows(&["SELECT count(*) FROM opportunity"]), "20000");
    assert_eq!(
        server.rows(&["SELECT unique_fields FROM tributary.object WHERE name = 'quota'"]),
        "owner_id,period"
    );
    let again = server.kill().verb("demo").start();
    assert_eq!(
        again.rows(&["SELECT count(*) FROM opportunity", "SELECT max(id) FROM tributary.release"]),
        "20000\n2",
        "one release of the embedded source, one of the simulated HubSpot"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_change_what_readers_see_from_the_next_release_on() {
    let database = source(30).await;
    let server = Server::start();
    link(&server, &database);
    adopt(&server);
    server.rows(&["CALL sync('crm','full')", "CALL rename_object('crm', 'opportunity', 'deal')"]);
    assert_eq!(server.rows(&["SELECT count(*) FROM deal"]), "30");
    assert!(server.error("SELECT count(*) FROM opportunity").contains("42P01"));
    assert_eq!(server.rows(&["SET tributary.as_of = '1'", "SELECT count(*) FROM opportunity"]), "SET\n30");

    server.rows(&["CALL set_fields('crm', 'deal', fields => 'id,amount')"]);
    assert!(server.error("SELECT name FROM deal").contains("42703"));
    server.rows(&["CALL set_import('crm', 'deal', filter => 'amount > 20', cursor_field => '')"]);
    let synced = server.rows(&[
        "CALL sync('crm','full', force => true, reason => 'test')",
        "SELECT count(*), min(amount) FROM deal",
    ]);
    assert!(synced.ends_with("15|21.25"), "{synced}");

    server.rows(&["CALL drop_object('crm', 'deal')"]);
    assert!(server.error("SELECT 1 FROM deal").contains("42P01"));
    assert!(
        server.rows(&["SET tributary.as_of = '1'", "SELECT count(*) FROM crm.opportunity"]).ends_with("30")
    );
    assert_eq!(server.rows(&["CALL disconnect('crm')"]).split('|').nth(2), Some("not connected"));
    assert!(
        server.rows(&["SELECT count(*) > 5, count(DISTINCT actor) FROM tributary.audit"]).starts_with("t|")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn analysts_read_what_they_were_granted_and_change_nothing() {
    let database = source(30).await;
    let server = Server::start();
    link(&server, &database);
    adopt(&server);
    server.rows(&[
        "CALL add_object('crm', 'public.quota')",
        "CALL sync('crm','full')",
        "CREATE USER ada PASSWORD 'a long enough password'",
        "GRANT SELECT ON crm.opportunity TO ada",
    ]);
    let config = server.config_of("ada", "a long enough password");
    let (ada, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let count: i64 = ada.query_one("SELECT count(*) FROM opportunity", &[]).await.unwrap().get(0);
    assert_eq!(count, 30);
    for (statement, state) in [
        ("SELECT * FROM crm.quota", "42501"),
        ("CALL sync('crm','full')", "42501"),
        ("CREATE USER eve PASSWORD 'another long password'", "42501"),
        ("SELECT * FROM tributary.audit", "42501"),
    ] {
        let error = ada.simple_query(statement).await.unwrap_err();
        assert_eq!(error.code().map(|code| code.code()), Some(state), "{statement}: {error:?}");
    }
    let tables = ada.query("SELECT object FROM tributary.release_object", &[]).await.unwrap();
    assert_eq!(tables.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>(), ["opportunity"]);
    server.rows(&["REVOKE SELECT ON crm.opportunity FROM ada"]);
    let error = ada.simple_query("SELECT 1 FROM opportunity").await.unwrap_err();
    assert_eq!(error.code().map(|code| code.code()), Some("42501"));
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_nowhere_in_the_clear() {
    let database = source(30).await;
    let server = Server::builder().env("TRIBUTARY_LOG", "trace").start();
    link(&server, &database);
    adopt(&server);
    server.error("CALL set_secret('crm', 'password', 'canary-of-a-wrong-password')");
    server.rows(&["CALL sync('crm','full')", "CREATE USER bo PASSWORD 'canary-of-a-user-password'"]);
    let shown = server.rows(&[
        "SELECT * FROM tributary.audit",
        "SELECT * FROM tributary.connection",
        "SELECT * FROM tributary.run",
        "SELECT * FROM tributary.user",
    ]);
    let said = server.said();
    let data = server.data.clone();
    server.stop();
    for canary in
        [postgres::PASSWORD, ADMIN_PASSWORD, "canary-of-a-wrong-password", "canary-of-a-user-password"]
    {
        assert!(!shown.contains(canary), "a system table shows `{canary}`");
        assert!(!said.contains(canary), "the log shows `{canary}`");
        let found = std::process::Command::new("grep").args(["-rlaF", canary]).arg(&data).output().unwrap();
        assert!(found.stdout.is_empty(), "`{canary}` is in {}", String::from_utf8_lossy(&found.stdout));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_sync_changes_nothing_and_an_abandoned_one_ends_well() {
    let database = source(200_000).await;
    let server = Server::start();
    link(&server, &database);
    adopt(&server);
    server.rows(&["CALL sync('crm','full')"]);
    database.execute("UPDATE opportunity SET amount = 0").await;

    let client = server.connect().await;
    let token = client.cancel_token();
    let call = tokio::spawn(async move { client.simple_query("CALL sync('crm','full')").await });
    tokio::time::sleep(Duration::from_millis(150)).await;
    token.cancel_query(tokio_postgres::NoTls).await.unwrap();
    let error = tokio::time::timeout(Duration::from_secs(5), call).await.unwrap().unwrap().unwrap_err();
    assert_eq!(error.code().map(|code| code.code()), Some("57014"), "{error:?}");
    assert_eq!(server.rows(&["SELECT max(id) FROM tributary.release"]), "1");
    assert_eq!(server.rows(&["SELECT status FROM tributary.run ORDER BY id DESC LIMIT 1"]), "cancelled");

    let mut abandoned = server.client("psql").args(["-c", "CALL sync('crm','full')"]).spawn().unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    abandoned.kill().unwrap();
    abandoned.wait().unwrap();
    for _ in 0..200 {
        if server.rows(&["SELECT max(id) FROM tributary.release"]) == "2" {
            assert_eq!(server.rows(&["SELECT sum(amount) FROM opportunity"]), "0.00");
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the abandoned sync did not end: {}", server.said());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_source_warns_of_is_told_and_kept() {
    let database = postgres::database().await;
    database
        .execute(
            "CREATE TABLE deal (id int PRIMARY KEY, changed timestamptz);
             INSERT INTO deal VALUES (1, now()), (2, NULL)",
        )
        .await;
    let server = Server::start();
    link(&server, &database);
    server.rows(&["CALL add_object('crm', 'public.deal', cursor_field => 'changed')"]);
    let out = server.psql(&["CALL sync('crm', 'full')"]);
    let notices = String::from_utf8(out.stderr).unwrap();
    let kept = server.rows(&["SELECT status, warnings FROM tributary.run"]);
    for told in [&notices, &kept] {
        assert!(told.contains("no index begins with the cursor `changed`"), "{told}");
        assert!(told.contains("some rows have no value in the cursor `changed`"), "{told}");
    }
    assert!(kept.starts_with("succeeded with warnings|"), "{kept}");
}
