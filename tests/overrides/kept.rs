//! What is told of overrides, how they end, and what survives what.

use std::process::Command;
use std::time::{Duration, Instant};

use super::World;
use crate::support::link;
use crate::support::postgres;
use crate::support::server::Server;

const SHOWN: &str =
    "SELECT key, field, value, old_value, source_value, source_changed, status, author, reason,
    from_release, to_release, ended_by, end_reason FROM tributary.override ORDER BY id";

#[tokio::test(flavor = "multi_thread")]
async fn the_table_tells_who_why_and_what_the_source_says_now() {
    let mut world = World::new().await;
    world.correct(77, "amount", "'1200.00'").await;
    world.correct(78, "stage", "NULL").await;
    world.correct(79, "amount", "'5'").await;
    let server = &world.server;
    assert_eq!(
        server.rows(&[SHOWN]),
        "77|amount|1200.00|96.25|96.25|f|active|admin|test|2|||\n\
         78|stage||Open|Open|f|active|admin|test|3|||\n\
         79|amount|5.00|98.75|98.75|f|active|admin|test|4|||"
    );
    world
        .database
        .execute(
            "UPDATE deal SET amount = 97, updated_at = clock_timestamp() WHERE id = 77; DELETE FROM deal WHERE id = 79",
        )
        .await;
    world.sync("full").await;
    let server = &world.server;
    server.rows(&[
        "CALL override('deal', '77', 'amount', '1300', reason => 'better')",
        "CALL clear_override('crm.deal', '78', 'stage', reason => 'was right')",
    ]);
    assert_eq!(
        server.rows(&[SHOWN]),
        "77|amount|1200.00|96.25|||replaced|admin|test|2|6|admin|\n\
         78|stage||Open|||cleared|admin|test|3|7|admin|was right\n\
         79|amount|5.00|98.75|||record gone|admin|test|4|||\n\
         77|amount|1300.00|97.00|97.00|f|active|admin|better|6|||"
    );
    world.database.execute("UPDATE deal SET amount = 99, updated_at = clock_timestamp() WHERE id = 77").await;
    world.sync("diff").await;
    let server = &world.server;
    let changed = "SELECT source_value, source_changed FROM tributary.override WHERE value = '1300.00'";
    assert_eq!(server.rows(&[changed]), "99.00|t");
    assert_eq!(server.rows(&["SELECT amount FROM deal WHERE id = 77"]), "1300.00");
    // Of the audit nothing must have to be erased.
    let audit = server.rows(&["SELECT arguments, outcome FROM tributary.audit WHERE verb LIKE '%override'"]);
    assert!(audit.contains("amount") && audit.contains("better") && !audit.contains("1300"), "{audit}");

    // A field that is not read any more, and one whose type is another one.
    server.rows(&[
        "CALL set_fields('crm', 'deal', fields => 'id,name,stage,flag,ratio,closed,tags,updated_at')",
    ]);
    let status = "SELECT status FROM tributary.override WHERE value = '1300.00'";
    assert_eq!(server.rows(&[status]), "field not imported");
    server.rows(&[
        "CALL set_fields('crm', 'deal', fields => 'id,name,stage,amount,flag,ratio,closed,tags,updated_at')",
    ]);
    world.sync("full").await;
    assert_eq!(world.server.rows(&["SELECT amount FROM deal WHERE id = 77"]), "1300.00");
    world.database.execute("ALTER TABLE deal ALTER amount TYPE numeric(20,4)").await;
    world.sync("full").await;
    assert_eq!(world.server.rows(&["SELECT amount FROM deal WHERE id = 77"]), "1300.0000");
    assert_eq!(world.server.rows(&[changed]), "99.0000|t");

    world.server.rows(&["CALL drop_object('crm', 'deal')"]);
    let ended = world.server.rows(&[
        "SELECT DISTINCT status FROM tributary.override WHERE ended_by IS NULL",
        "SET tributary.as_of = '2'",
        "SELECT amount FROM deal WHERE id = 77",
    ]);
    assert_eq!(ended, "dropped\nSET\n1200.00");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_override_ends_by_the_clock_with_a_release_of_its_own() {
    let mut world = World::new().await;
    let soon = "SELECT (now() + interval '3 seconds')::text";
    let soon = world.server.rows(&[soon]);
    world.server.rows(&[
        &format!(
            "CALL override('crm.deal', '77', 'amount', '1', reason => 'till then', expires => '{soon}')"
        ),
        "CALL override('crm.deal', '78', 'amount', '2', reason => 'for ever')",
        "CALL freeze('then', as_of => '2')",
    ]);
    let sum = "SELECT sum(amount) FROM deal WHERE id IN (77, 78)";
    assert_eq!(world.server.rows(&[sum]), "3.00");
    let open = world.server.connect().await;
    open.batch_execute("BEGIN").await.unwrap();
    let sum_of = |row: tokio_postgres::SimpleQueryMessage| match row {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_string),
        _ => None,
    };
    let first = open.simple_query(sum).await.unwrap().into_iter().find_map(sum_of);
    let begun = Instant::now();
    while world.server.rows(&[sum]) != "98.25" {
        assert!(begun.elapsed() < Duration::from_secs(20), "{}", world.server.rows(&[super::kept::SHOWN]));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // A transaction goes on reading its release, and so does everybody who asks for it.
    let second = open.simple_query(sum).await.unwrap().into_iter().find_map(sum_of);
    assert_eq!((first.as_deref(), second.as_deref()), (Some("3.00"), Some("3.00")));
    assert_eq!(world.server.rows(&["SET tributary.as_of = 'period then'", sum]), "SET\n98.50");
    let told =
        "SELECT status, to_release, ended_at >= expires_at, ended_by FROM tributary.override ORDER BY id";
    assert_eq!(world.server.rows(&[told]), "expired|4|t|\nactive|||");
    assert_eq!(world.server.rows(&["SELECT cause FROM tributary.release WHERE id = 4"]), "overrides expired");
    // What was due while the server was away has ended when it answers.
    let soon = world.server.rows(&["SELECT (now() + interval '2 seconds')::text"]);
    world.server.rows(&[&format!(
        "CALL override('crm.deal', '77', 'amount', '1', reason => 'again', expires => '{soon}')"
    )]);
    let (_, builder) = world.server.stop();
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.server = builder.start();
    assert_eq!(world.server.rows(&[sum]), "98.25");
}

#[tokio::test(flavor = "multi_thread")]
async fn overrides_survive_a_lost_state_and_a_backup() {
    let mut world = World::new().await;
    world.correct(77, "amount", "'1200.00'").await;
    world.correct(78, "stage", "'Corrected'").await;
    world.server.rows(&["CALL clear_override('crm.deal', '78', 'stage', reason => 'no')"]);
    world.overrides.pop();
    world.keep().await;
    world.correct(79, "stage", "'Corrected'").await;
    let shown = world.server.rows(&[SHOWN]);
    let folder = tempfile::tempdir().unwrap();
    let backup = folder.path().join("backup");
    let done = |arguments: &[&str], data: &std::path::Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tributary"));
        let out = command.args(arguments).arg("--data").arg(data).output().unwrap();
        assert!(out.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
    };
    done(&["backup", backup.to_str().unwrap(), "--with-key"], &world.server.data);
    let (_, builder) = world.server.stop();
    let data = builder.data_directory();
    for name in ["state.db", "state.db-wal", "state.db-shm"] {
        std::fs::remove_file(data.join(name)).ok();
    }
    done(&["recover"], &data);
    world.server = builder.start();
    assert_eq!(world.server.rows(&[SHOWN]), shown);
    let again = |world: &World| {
        world.check("rebuilt");
        world.releases.iter().for_each(|release| world.check_at(*release));
    };
    again(&world);
    world.server.stop();

    let restored = Server::builder();
    done(&["restore", backup.to_str().unwrap()], &restored.data_directory());
    world.server = restored.start();
    assert_eq!(world.server.rows(&[SHOWN]), shown);
    again(&world);
    // The copies beside the tables were made again: what is lost now can be rebuilt too.
    let begun = Instant::now();
    let (_, builder) = loop {
        let copies = world.server.data.join("snapshots/company/catalog/overrides");
        if copies.exists() || begun.elapsed() > Duration::from_secs(20) {
            tokio::time::sleep(Duration::from_millis(500)).await;
            break world.server.stop();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let data = builder.data_directory();
    for name in ["state.db", "state.db-wal", "state.db-shm"] {
        std::fs::remove_file(data.join(name)).ok();
    }
    done(&["recover"], &data);
    world.server = builder.start();
    assert_eq!(world.server.rows(&[SHOWN]), shown);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_record_loses_its_overrides_in_every_byte() {
    let database = postgres::database().await;
    database
        .execute(
            "CREATE TABLE quota (owner int, period text, target numeric(10,2), note text, PRIMARY KEY (owner, period));
             INSERT INTO quota SELECT i, '2026-Q' || q, i, 'n' FROM generate_series(1, 50) i, generate_series(1, 4) q;
             INSERT INTO quota VALUES (900, 'zz-canary-period', 1, 'n')",
        )
        .await;
    let server = Server::start();
    link(&server, &database);
    server.rows(&["CALL add_object('crm', 'public.quota')", "CALL sync('crm', 'full')"]);
    server.rows(&[
        r#"CALL override('crm.quota', '{"owner": 900, "period": "zz-canary-period"}', 'note', 'zz-canary-note', reason => 'a')"#,
        r#"CALL override('crm.quota', '[7, "2026-Q1"]', 'target', '70', reason => 'b')"#,
        r#"CALL override('crm.quota', '{"period": "2026-Q1", "owner": 7}', 'note', NULL, reason => 'c')"#,
    ]);
    assert_eq!(
        server.rows(&["SELECT owner, period, target, note FROM quota WHERE owner IN (7, 900) AND period <> '2026-Q2' ORDER BY 1, 2"]),
        "7|2026-Q1|70.00|\n7|2026-Q3|7.00|n\n7|2026-Q4|7.00|n\n900|zz-canary-period|1.00|zz-canary-note"
    );
    assert_eq!(
        server.rows(&["SELECT target, note FROM quota WHERE owner = 7 AND period = '2026-Q1'"]),
        "70.00|"
    );
    assert_eq!(
        server.rows(&["SELECT DISTINCT key FROM tributary.override ORDER BY 1"]),
        "{\"owner\":\"7\",\"period\":\"2026-Q1\"}\n{\"owner\":\"900\",\"period\":\"zz-canary-period\"}"
    );
    let hits = || {
        let out = Command::new("grep").args(["-rlaE", "zz-canary-(period|note)"]).arg(&server.data).output();
        String::from_utf8(out.unwrap().stdout).unwrap()
    };
    assert!(hits().contains("catalog/overrides") && hits().contains("state.db"), "{}", hits());
    server.rows(&[
        r#"CALL erase('crm', 'quota', key => '[900, "zz-canary-period"]', reason => 'asked', wait_secs => 0)"#,
    ]);
    assert_eq!(hits(), "");
    assert_eq!(server.rows(&["SELECT count(*) FROM tributary.override"]), "2");
    let all = "SELECT count(*), sum(target) FROM quota";
    assert_eq!(server.rows(&[all]), "200|5163.00");
    assert_eq!(server.rows(&["SET tributary.as_of = '2'", all]), "SET\n200|5100.00");
    assert_eq!(server.rows(&["SET tributary.as_of = '3'", all]), "SET\n200|5163.00");
    // What happened to it is told without saying what.
    let told = server.rows(&[
        "SELECT event, field, old, new, detail FROM tributary.explain('crm.quota', 900, 'zz-canary-period')",
    ]);
    assert_eq!(told, "erased||||it was erased from everything that is kept, and syncs leave it out");
    let (_, builder) = server.stop();
    for name in ["state.db", "state.db-wal", "state.db-shm"] {
        std::fs::remove_file(builder.data_directory().join(name)).ok();
    }
    let out = Command::new(env!("CARGO_BIN_EXE_tributary"))
        .args(["recover", "--data"])
        .arg(builder.data_directory())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let server = builder.start();
    assert_eq!(server.rows(&["SELECT count(*) FROM tributary.override"]), "2");
    assert_eq!(server.rows(&[all]), "200|5163.00");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_in_postgresql_keeps_overrides_as_well() {
    let state = postgres::database().await;
    let server = Server::builder().args(&["--state", &state.url()]).start();
    let mut world = World::on(server, postgres::database().await).await;
    world.correct(77, "amount", "'1200.00'").await;
    world.correct(77, "amount", "NULL").await;
    world.correct(78, "stage", "'Corrected'").await;
    let soon = world.server.rows(&["SELECT (now() + interval '2 seconds')::text"]);
    world.server.rows(&[
        &format!("CALL override('crm.deal', '79', 'flag', NULL, reason => 'soon', expires => '{soon}')"),
        "CALL clear_override('crm.deal', '78', 'stage', reason => 'was right')",
        r#"CALL override_many('crm.deal', '[{"key": 80, "field": "name", "value": "X"}]', reason => 'many')"#,
    ]);
    let status = "SELECT key, status FROM tributary.override ORDER BY id";
    let begun = Instant::now();
    while !world.server.rows(&[status]).contains("79|expired") {
        assert!(begun.elapsed() < Duration::from_secs(20), "{}", world.server.rows(&[status]));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(world.server.rows(&[status]), "77|replaced\n77|active\n78|cleared\n79|expired\n80|active");
    world.overrides.pop();
    world.note(80, "name", "'X'");
    world.keep().await;
    world.check("at the end");
    world.releases.clone().into_iter().for_each(|release| world.check_at(release));
    world.server.rows(&[
        "CALL erase('crm', 'deal', key => '80', reason => 'asked', wait_secs => 0)",
        "CALL drop_object('crm', 'deal')",
    ]);
    assert_eq!(world.server.rows(&[status]), "77|replaced\n77|dropped\n78|cleared\n79|expired");
}
