//! State lost, files damaged, backups: through the commands of the operator and psql.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::link;
use crate::support::postgres::{self, Database};
use crate::support::server::Server;

/// Deals and owners.
async fn source() -> Database {
    let database = postgres::database().await;
    database
        .execute(
            "CREATE TABLE deal (id int PRIMARY KEY, amount numeric(18,2), note text,
                 updated_at timestamptz NOT NULL DEFAULT clock_timestamp());
             INSERT INTO deal SELECT i, i * 1.25, 'n' || i FROM generate_series(1, 3000) i;
             CREATE INDEX ON deal (updated_at);
             CREATE TABLE owner (id int PRIMARY KEY, name text); INSERT INTO owner VALUES (1, 'Ada');
             CREATE TABLE gone (id int PRIMARY KEY); INSERT INTO gone VALUES (1); ANALYZE",
        )
        .await;
    database
}

/// Two releases, then definitions that changed, and an object that was dropped.
async fn used(database: &Database, server: &Server) {
    link(server, database);
    server.rows(&[
        "CALL add_object('crm', 'public.deal', cursor_field => 'updated_at')",
        "CALL add_object('crm', 'public.owner')",
        "CALL add_object('crm', 'public.gone')",
        "CALL sync('crm','full')",
    ]);
    database.execute("UPDATE deal SET amount = 0, updated_at = clock_timestamp() WHERE id <= 10").await;
    server.rows(&[
        "CALL sync('crm','diff', object => 'deal')",
        "CALL drop_object('crm', 'gone')",
        "CALL rename_object('crm', 'owner', 'person')",
        "CALL set_import('crm', 'deal', max_loss_percent => 7, frequency => 'manual')",
        "CALL freeze('2026-10', as_of => '1', reason => 'paid')",
        "CALL freeze('Größe', as_of => '2')",
        "CALL freeze('slip')",
        "CALL unfreeze('slip')",
        "CALL set_retention(400)",
        "CALL set_retention(365)",
        "CALL set_schedule('02:30', 'Europe/Berlin')",
        "CALL erase('crm', 'deal', '77', 'asked for by letter')",
    ]);
}

/// All that can be read: rows of now and of before, and the definitions.
fn everything(server: &Server) -> String {
    server.rows(&[
        "SELECT * FROM deal ORDER BY id",
        "SELECT * FROM person ORDER BY id",
        "SELECT * FROM tributary.release ORDER BY id",
        "SELECT * FROM tributary.release_object ORDER BY release, connection, object",
        "SELECT name, source_object, label, unique_fields, cursor_field, max_loss_percent, frequency, created_at \
         FROM tributary.object ORDER BY name",
        "SELECT * FROM tributary.field ORDER BY connection, object, name",
        "SELECT name, connector, settings FROM tributary.connection",
        "SELECT name, value FROM tributary.setting ORDER BY name",
        "SET tributary.as_of = '1'",
        "SELECT * FROM deal ORDER BY id",
        "SELECT * FROM gone",
    ])
}

fn tributary(arguments: &[&str], data: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tributary")).args(arguments).arg("--data").arg(data).output().unwrap()
}

/// What a command said that succeeded.
fn done(arguments: &[&str], data: &Path) -> String {
    let out = tributary(arguments, data);
    assert!(out.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// What a command said that failed.
fn failed(arguments: &[&str], data: &Path) -> String {
    let out = tributary(arguments, data);
    assert!(!out.status.success(), "{arguments:?} did not fail");
    String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr)
}

fn lose_state(data: &Path) {
    for name in ["state.db", "state.db-wal", "state.db-shm"] {
        std::fs::remove_file(data.join(name)).ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_state_is_rebuilt_from_the_storage() {
    let (database, server) = (source().await, Server::start());
    used(&database, &server).await;
    let before = everything(&server);
    let runs: i64 = server.rows(&["SELECT max(id) FROM tributary.run"]).parse().unwrap();
    let (_, builder) = server.stop();
    let data = builder.data_directory();
    assert!(failed(&["recover"], &data).contains("is not empty"));
    lose_state(&data);
    let refused = builder.clone().try_start().err().unwrap().said;
    assert!(refused.contains("tributary recover"), "{refused}");

    let said = done(&["recover"], &data);
    assert!(
        said.contains("connections: 1, objects: 2, releases: ") && said.contains("set_secret('crm'"),
        "{said}"
    );
    assert!(said.contains("logins and rights cannot be rebuilt"), "{said}");
    let server = builder.start();
    assert_eq!(everything(&server), before);
    assert_eq!(server.rows(&["SELECT status FROM tributary.connection"]), "not connected");
    assert!(server.error("CALL sync('crm','diff')").contains("set_secret"));
    server.rows(&[&format!("CALL set_secret('crm', 'password', '{}')", postgres::PASSWORD)]);
    database.execute("UPDATE deal SET amount = 1, updated_at = clock_timestamp() WHERE id = 2000").await;
    let synced = server.rows(&["CALL sync('crm','diff', object => 'deal')"]);
    assert!(synced.contains("|crm.deal|diff|succeeded|"), "{synced}");
    assert_eq!(server.rows(&["SELECT amount FROM deal WHERE id = 2000"]), "1.00");
    // Who was erased is kept out by what was rebuilt too.
    database.execute("UPDATE deal SET updated_at = clock_timestamp() WHERE id = 77").await;
    server.rows(&["CALL sync('crm','full', object => 'deal')"]);
    assert_eq!(server.rows(&["SELECT count(*) FROM deal WHERE id = 77"]), "0");
    let next: i64 = server.rows(&["SELECT max(id) FROM tributary.run"]).parse().unwrap();
    assert!(next > runs - 2, "run {next} after {runs}");
    assert!(!server.said().contains("not mirrored"), "{}", server.said());

    // Once more, from what was kept since.
    let before = everything(&server);
    let (_, builder) = server.stop();
    lose_state(&data);
    done(&["recover"], &data);
    assert_eq!(everything(&builder.start()), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_made_while_everybody_works_is_the_company_of_that_moment() {
    let (database, server) = (source().await, Server::start());
    used(&database, &server).await;
    let before = everything(&server);
    let folder = tempfile::tempdir().unwrap();
    let (plain, with_key) = (folder.path().join("plain"), folder.path().join("with key"));
    let data = server.data.clone();
    let said = done(&["backup", plain.to_str().unwrap()], &data);
    assert!(said.contains("the key is not in it"), "{said}");
    done(&["backup", with_key.to_str().unwrap(), "--with-key"], &data);
    assert!(failed(&["backup", plain.to_str().unwrap()], &data).contains("not empty"));
    assert!(!plain.join("key").exists());
    // What comes later is not in it.
    database.execute("UPDATE deal SET amount = 7, updated_at = clock_timestamp()").await;
    server.rows(&["CALL sync('crm','diff')"]);
    server.stop();

    let builder = Server::builder();
    let restored = builder.data_directory();
    done(&["restore", with_key.to_str().unwrap()], &restored);
    assert!(failed(&["restore", with_key.to_str().unwrap()], &restored).contains("is not empty"));
    let server = builder.start();
    assert_eq!(everything(&server), before);
    // The key was in it: the secret is good, and the diff goes on from the watermark of that moment.
    let synced = server.rows(&["CALL sync('crm','diff', object => 'deal')"]);
    assert!(synced.contains("|crm.deal|diff|succeeded|"), "{synced}");
    assert_eq!(server.rows(&["SELECT sum(amount) FROM deal"]), "20993.00");
    assert!(!server.said().contains("not mirrored"), "{}", server.said());

    // From the embedded state into PostgreSQL, and back out of it.
    let state = postgres::database().await;
    let url = state.url();
    let builder = Server::builder().args(&["--state", &url]);
    let data = builder.data_directory();
    done(&["restore", with_key.to_str().unwrap(), "--state", &url], &data);
    let server = builder.start();
    assert_eq!(everything(&server), before);
    let third = folder.path().join("third");
    done(&["backup", third.to_str().unwrap(), "--state", &url], &data);
    assert_eq!(lines(&third), lines(&plain));
}

/// The rows of a dump that do not change by being restored.
fn lines(backup: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(backup.join("state.jsonl")).unwrap();
    let changes = ["\"audits\"", "\"sequences\"", "\"leases\""];
    let mut lines: Vec<_> = text
        .lines()
        .filter(|line| !changes.iter().any(|table| line.contains(table)))
        .map(String::from)
        .collect();
    lines.sort();
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_backup_is_refused_by_the_name_of_the_file() {
    let (database, server) = (source().await, Server::start());
    used(&database, &server).await;
    let folder = tempfile::tempdir().unwrap();
    let backup = folder.path().join("backup");
    let place = backup.to_str().unwrap();
    done(&["backup", place], &server.data);
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(backup.join("manifest.json")).unwrap()).unwrap();
    let mut names: Vec<_> = manifest["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["name"].as_str().unwrap().to_string())
        .collect();
    names.push("state.jsonl".into());
    assert!(names.len() > 8, "{names:?}");
    for (at, name) in names.iter().enumerate().filter(|(at, _)| at % 3 == 0 || *at + 1 == names.len()) {
        let path = backup.join(name);
        let whole = std::fs::read(&path).unwrap();
        let mut damaged = whole.clone();
        damaged[whole.len() / 2] ^= 1;
        std::fs::write(&path, damaged).unwrap();
        let said = failed(&["restore", place], &folder.path().join(format!("data {at}")));
        assert!(said.contains(name.as_str()) && said.contains("damaged"), "{name}: {said}");
        std::fs::write(&path, whole).unwrap();
    }
    std::fs::remove_file(backup.join("manifest.json")).unwrap();
    let said = failed(&["restore", place], &folder.path().join("cut short"));
    assert!(said.contains("no complete backup"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_named_and_other_tables_go_on() {
    let (database, server) = (source().await, Server::start());
    used(&database, &server).await;
    assert!(done(&["check"], &server.data).contains("everything is as it was written"));
    let (_, builder) = server.stop();
    let deal = Command::new("sh")
        .args(["-c", "ls -S snapshots/company/crm/*/base/*.parquet | head -1"])
        .current_dir(builder.data_directory())
        .output()
        .unwrap();
    let relative = String::from_utf8(deal.stdout).unwrap().trim().to_string();
    let path = builder.data_directory().join(&relative);
    let name = path.file_name().unwrap().to_str().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[1000] ^= 8;
    std::fs::write(&path, bytes).unwrap();
    let server = builder.start();
    let error = server.error("SELECT sum(amount) FROM deal");
    assert!(error.contains("XX001") && error.contains(name) && error.contains("damaged"), "{error}");
    assert_eq!(server.rows(&["SELECT name FROM person"]), "Ada");
    let said = failed(&["check"], &server.data);
    assert!(said.contains("damaged: ") && said.contains(name), "{said}");
    server.rows(&["CALL sync('crm','full')"]);
    assert_eq!(server.rows(&["SELECT count(*) FROM deal"]), "2999");
}
