//! The tables are Delta Lake: engines that are not ours read the same rows, after everything that changes them.

use std::path::PathBuf;
use std::process::Command;

use crate::drivers::installed;
use crate::support::link;
use crate::support::postgres;
use crate::support::server::Server;

/// Entry points that must give the same rows.
const READERS: [&str; 3] = ["polars scan_delta", "deltalake QueryBuilder", "duckdb delta_scan"];

/// The folder of the one table of a connection.
fn folder(server: &Server) -> PathBuf {
    let connection = server.data.join("snapshots/company/crm");
    let mut tables = std::fs::read_dir(connection).unwrap().map(|entry| entry.unwrap().path());
    let table = tables.next().unwrap();
    assert_eq!(tables.next(), None);
    table
}

fn others_read_the_same(server: &Server, table: &str, renamed: &[&str]) {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/open_format/read.py");
    let mut python: Command = server.client(installed("venv/bin/python"));
    let out =
        python.arg(script).arg(folder(server)).arg(table).args(renamed).env("TZ", "UTC").output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{said}{}", String::from_utf8_lossy(&out.stderr));
    let rows = server.rows(&[&format!("SELECT count(*) FROM {table}")]);
    for reader in READERS {
        assert!(said.contains(&format!("{reader}: same, {rows} rows")), "{said}");
    }
    // It gives rows that a vector deleted to nobody.
    assert!(
        said.contains("deltalake to_pyarrow_table: refused: ") && said.contains("deletionVectors"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_is_read_by_others() {
    let database = postgres::database().await;
    database.execute(include_str!("drivers/source.sql")).await;
    let server = Server::start();
    link(&server, &database);
    server.rows(&[
        "CALL add_object('crm', 'public.every_type', unique_fields => 'id')",
        "CALL sync('crm', 'full')",
    ]);
    others_read_the_same(&server, "crm.every_type", &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn others_read_the_same_after_merges_drift_and_erasure() {
    let database = postgres::database().await;
    database
        .execute(
            "CREATE TABLE deal (id int PRIMARY KEY, amount int, price numeric(18,2), tags text[],
                 updated_at timestamptz NOT NULL DEFAULT clock_timestamp(), local timestamp);
             INSERT INTO deal SELECT i, i, i * 1.25, ARRAY['t' || i % 3, NULL], clock_timestamp(),
                 timestamp '2026-01-01' + i * interval '1 second' FROM generate_series(1, 30000) i;
             CREATE INDEX ON deal (updated_at)",
        )
        .await;
    let server = Server::start();
    link(&server, &database);
    server.rows(&[
        "CALL add_object('crm', 'public.deal', unique_fields => 'id', cursor_field => 'updated_at')",
        "CALL sync('crm', 'full')",
    ]);
    others_read_the_same(&server, "deal", &[]);
    for round in 0..3 {
        database
            .execute(&format!(
                "UPDATE deal SET price = NULL, updated_at = clock_timestamp() WHERE id % 500 = {round};
                 INSERT INTO deal VALUES ({}, NULL, 1, '{{}}')",
                40_000 + round
            ))
            .await;
        assert!(server.rows(&["CALL sync('crm', 'diff')"]).contains("|diff|succeeded|"));
    }
    others_read_the_same(&server, "deal", &[]);

    database.execute("ALTER TABLE deal ADD COLUMN stage text DEFAULT 'open', ALTER amount TYPE bigint").await;
    assert!(server.rows(&["CALL sync('crm', 'diff')"]).contains("|diff|succeeded with warnings|"));
    others_read_the_same(&server, "deal", &[]);
    server.rows(&[
        "CALL set_fields('crm', 'deal', fields => 'id,amount,price,tags,updated_at,local,stage')",
        "CALL sync('crm', 'diff')",
        "CALL rename_field('crm', 'deal', 'amount', 'value')",
    ]);
    let stage = server.rows(&["SELECT column_name FROM tributary.field WHERE name = 'stage'"]);
    let renamed = ["value=amount".to_string(), format!("stage={stage}")];
    let renamed: Vec<_> = renamed.iter().map(String::as_str).collect();
    others_read_the_same(&server, "deal", &renamed);

    database.execute("DELETE FROM deal WHERE id % 3 = 0").await;
    assert!(
        server
            .rows(&["CALL sync('crm', 'full', force => true, reason => 'test')"])
            .contains("|full|succeeded with warnings|")
    );
    server.rows(&["CALL erase('crm', 'deal', key => '40001', reason => 'asked for')"]);
    others_read_the_same(&server, "deal", &renamed);
}
