//! Bad input: each a clear error that names the thing, and nothing lost.

use crate::support::link;
use crate::support::postgres::{self, Database};
use crate::support::server::Server;

async fn linked(sql: &str) -> (Database, Server) {
    let database = postgres::database().await;
    database.execute(sql).await;
    let server = Server::start();
    link(&server, &database);
    (database, server)
}

/// Fails unless `text` has every one of `words`.
fn says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "`{word}` is missing from: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_and_names_that_are_wrong_are_told_in_words() {
    let (database, server) = linked("CREATE TABLE deal (id int PRIMARY KEY, amount numeric(18,2))").await;
    says(&server.error("CALL set_secret('crm', 'password', 'wrong')"), &["28", "password"]);
    says(&server.error("CALL set_secret('crm', 'pasword', 'x')"), &["pasword", "did you mean `password`"]);
    says(&server.error("CALL sync('crmm')"), &["crmm", "did you mean `crm`"]);
    says(&server.error("CALL connect('postgres')"), &["postgres", "did you mean `postgresql`"]);
    says(
        &server.error("CALL add_object('crm', 'public.dael')"),
        &["public.dael", "did you mean `public.deal`"],
    );
    says(&server.error("CALL synk('crm')"), &["42883", "synk"]);
    says(&server.error("CALL sync('crm', 'fast')"), &["fast", "diff", "full"]);
    says(&server.error("CALL sync('crm')"), &["no objects"]);
    let unreachable =
        format!(r#"{{"host":"127.0.0.1","port":{},"database":"x","user":"y"}}"#, postgres::free_port());
    server.rows(&[&format!("CALL connect('postgresql', name => 'away', settings => '{unreachable}')")]);
    server.psql(&["CALL set_secret('away', 'password', 'x')"]);
    says(&server.error("CALL discover('away')"), &["08", "127.0.0.1"]);
    let unknown = format!(r#"{{"host":"127.0.0.1","port":{},"databse":"x"}}"#, database.port);
    let call = format!("CALL connect('postgresql', name => 'typo', settings => '{unknown}')");
    says(&server.error(&call), &["databse", "did you mean `database`"]);
    let secret = r#"CALL connect('postgresql', name => 'leak', settings => '{"password":"canary"}')"#;
    let error = server.error(secret);
    says(&error, &["password", "set_secret"]);
    assert!(!server.said().contains("canary"));
    // The connection still works with the secret it had.
    server.rows(&["CALL discover('crm')"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_no_keys_are_counted_and_held() {
    let sql = "CREATE TABLE deal (id int, name text);
               INSERT INTO deal VALUES (1, 'a'), (1, 'b'), (NULL, 'c'), (2, 'd');
               CREATE TABLE empty_key (id int, name text); INSERT INTO empty_key VALUES (NULL, 'x')";
    let (_database, server) = linked(sql).await;
    says(&server.error("CALL add_object('crm', 'public.deal')"), &["needs at least one unique field"]);
    server.rows(&["CALL add_object('crm', 'public.deal', unique_fields => 'id')"]);
    let synced = server.rows(&["CALL sync('crm','full')"]);
    assert!(synced.contains("crm.deal|full|succeeded with warnings|4|2|0|0|2|1|1|"), "{synced}");
    assert_eq!(server.rows(&["SELECT id, name FROM deal ORDER BY id"]), "1|b\n2|d");
    server.rows(&["CALL add_object('crm', 'public.empty_key', unique_fields => 'id')"]);
    says(&server.rows(&["CALL sync('crm','full', object => 'empty_key')"]), &["held", "empty key"]);
    says(&server.error("SELECT * FROM empty_key"), &["42P01"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_changes_under_us_loses_no_data() {
    let sql = "CREATE TABLE deal (id int PRIMARY KEY, amount numeric(18,2), note text, size int);
               INSERT INTO deal SELECT i, i, 'n', i FROM generate_series(1, 100) i;
               CREATE TABLE gone (id int PRIMARY KEY)";
    let (database, server) = linked(sql).await;
    server.rows(&["CALL add_object('crm', 'public.deal')", "CALL add_object('crm', 'public.gone')"]);
    database.execute("DROP TABLE gone").await;
    let synced = server.rows(&["CALL sync('crm','full')"]);
    says(&synced, &["crm.deal|full|succeeded|100|", "crm.gone", "failed"]);
    server.rows(&["CALL drop_object('crm', 'gone')"]);

    database.execute("ALTER TABLE deal DROP COLUMN note; ALTER TABLE deal ALTER size TYPE bigint").await;
    says(&server.rows(&["CALL sync('crm','full')"]), &["succeeded with warnings"]);
    assert_eq!(server.rows(&["SELECT count(*), count(note), sum(size) FROM deal"]), "100|0|5050");

    database.execute("ALTER TABLE deal ALTER amount TYPE text").await;
    says(&server.error("CALL sync('crm','full')"), &["amount", "numeric(18,2)", "text"]);
    assert_eq!(server.rows(&["SELECT sum(amount) FROM deal"]), "5050.00");
    database.execute("ALTER TABLE deal RENAME id TO deal_id").await;
    says(&server.error("CALL sync('crm','full')"), &["key field `id`", "gone from the source"]);
    assert_eq!(server.rows(&["SELECT sum(amount) FROM deal"]), "5050.00");
}

#[tokio::test(flavor = "multi_thread")]
async fn losing_a_third_of_the_rows_is_held_until_a_person_says_so() {
    let (database, server) =
        linked("CREATE TABLE deal (id int PRIMARY KEY); INSERT INTO deal SELECT generate_series(1, 100)")
            .await;
    server.rows(&["CALL add_object('crm', 'public.deal')", "CALL sync('crm','full')"]);
    database.execute("DELETE FROM deal WHERE id > 60").await;
    says(&server.rows(&["CALL sync('crm','full')"]), &["held", "from 100 to 60", "CALL approve("]);
    assert_eq!(server.rows(&["SELECT count(*) FROM deal"]), "100");
    server.rows(&["CALL sync('crm','full', force => true, reason => 'test')"]);
    assert_eq!(server.rows(&["SELECT count(*) FROM deal"]), "60");
    assert_eq!(server.rows(&["SET tributary.as_of = '1'", "SELECT count(*) FROM deal"]), "SET\n100");
}

#[tokio::test(flavor = "multi_thread")]
async fn huge_and_hostile_identifiers_are_refused_briefly() {
    let (_database, server) = linked("CREATE TABLE \"We\"\"ird; --\" (\"I d\" int PRIMARY KEY)").await;
    let long = "x".repeat(10_240);
    for statement in [
        format!("SELECT {long} FROM {long}"),
        format!("CALL sync('{long}')"),
        format!("CALL connect('postgresql', name => '{long}')"),
        format!("CALL add_object('crm', '{long}')"),
        format!("SET tributary.as_of = '{long}'"),
    ] {
        let error = server.error(&statement);
        assert!(error.len() < 25_000, "{} bytes of error", error.len());
    }
    server.rows(&["CALL add_object('crm', 'public.\"We\"\"ird; --\"')", "CALL sync('crm','full')"]);
    assert_eq!(server.rows(&["SELECT count(i_d) FROM we_ird"]), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_is_refused_by_data_folder_and_by_port() {
    let server = Server::start();
    let same_data = Server::builder().data(&server.data).try_start().err().unwrap();
    says(&same_data.said, &["error:", server.data.file_name().unwrap().to_str().unwrap()]);
    let same_port =
        Server::builder().listen(&format!("127.0.0.1:{}", server.port)).try_start().err().unwrap();
    says(&same_port.said, &["error:", "cannot listen on", &server.port.to_string(), "--listen"]);
    assert_eq!(server.rows(&["SELECT 1"]), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_key_stops_the_start_and_loses_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let (status, builder) = Server::start().stop();
    assert!(status.success());
    let key = builder.data_directory().join("key");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    says(&builder.clone().try_start().err().unwrap().said, &["error:", "key", "chmod 600"]);
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let text = std::fs::read(&key).unwrap();
    std::fs::write(&key, "garbled").unwrap();
    says(&builder.clone().try_start().err().unwrap().said, &["error:", "key"]);
    std::fs::write(&key, text).unwrap();
    assert_eq!(builder.start().rows(&["SELECT 1"]), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_fails_the_sync_and_nothing_else() {
    // A file system of its own needs root; where the tests run without it there is nothing to fill.
    let mount = tempfile::tempdir().unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"])
        .arg(mount.path())
        .status()
        .is_ok_and(|status| status.success());
    assert!(mounted, "this test mounts a small file system: run it as root");
    let outcome = full_disk(mount.path()).await;
    assert!(std::process::Command::new("umount").args(["-l"]).arg(mount.path()).status().unwrap().success());
    outcome
}

async fn full_disk(mount: &std::path::Path) {
    let database = postgres::database().await;
    database
        .execute(
            "CREATE TABLE small (id int PRIMARY KEY); INSERT INTO small SELECT generate_series(1, 1000);
             CREATE TABLE large (id int PRIMARY KEY, noise text);
             INSERT INTO large SELECT i, string_agg(md5((i * 32 + j)::text), '') FROM generate_series(1, 40000) i,
                 generate_series(1, 32) j GROUP BY i",
        )
        .await;
    let server = Server::builder().data(&mount.join("data")).start();
    link(&server, &database);
    server.rows(&[
        "CALL add_object('crm', 'public.small')",
        "CALL sync('crm','full')",
        "CALL add_object('crm', 'public.large')",
    ]);
    says(
        &server.error("CALL sync('crm','full', object => 'large')"),
        &["the disk is full: `", "has 0 MB left", "nothing that was committed is lost"],
    );
    assert_eq!(server.rows(&["SELECT count(*) FROM small"]), "1000");
    server.rows(&["CALL drop_object('crm', 'large')", "CALL sync('crm','full')"]);
    assert_eq!(server.rows(&["SELECT status FROM tributary.run ORDER BY id DESC LIMIT 1"]), "succeeded");
}
