//! What stays of statements: under another name, and after the state is lost.

use std::process::Command;

use super::last;
use super::statement::{OWNERS, served};

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_statement_keeps_rights_history_and_results() {
    let (_database, server) = served().await;
    server.rows(&[
        OWNERS,
        "CALL compute()",
        "CREATE USER ada PASSWORD 'a long enough password'",
        "GRANT SELECT ON statement.by_owner TO ada",
    ]);
    let result = server.rows(&["SELECT * FROM statement.by_owner ORDER BY 1"]);
    assert_eq!(
        server.rows(&["CALL rename_statement('by_owner', 'of_owners')"]),
        "statement.of_owners|by_owner"
    );
    assert_eq!(server.rows(&["SELECT * FROM statement.of_owners ORDER BY 1"]), result);
    assert!(server.error("SELECT * FROM statement.by_owner").contains("does not exist"));
    let then = last(&server, &["SET tributary.as_of = '2'", "SELECT count(*) FROM statement.by_owner"]);
    assert_eq!(then, "3", "past releases keep the old name");
    let runs = "SELECT statement, status FROM tributary.statement_run";
    assert_eq!(server.rows(&[runs]), "of_owners|succeeded");
    let verified = server.rows(&["CALL verify_statement('of_owners')"]);
    assert!(verified.starts_with("of_owners||1|") && verified.contains("|t|3|3|0|"), "{verified}");
    server.rows(&["CALL compute('of_owners')"]);
    assert_eq!(server.rows(&["SELECT * FROM statement.of_owners ORDER BY 1"]), result);
    let mut psql = server.client("psql");
    let out = psql
        .envs([("PGUSER", "ada"), ("PGPASSWORD", "a long enough password")])
        .args(["-X", "-A", "-t", "-c", "SELECT count(*) FROM statement.of_owners"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stdout), "3\n", "{out:?}");
    let audited = "SELECT arguments FROM tributary.audit WHERE verb = 'rename_statement'";
    assert!(server.rows(&[audited]).contains("of_owners"));

    // Its name stands in the queries of others.
    server.rows(&["CALL create_statement('top', $$SELECT max(total) AS best FROM of_owners$$)"]);
    for (call, sqlstate, words) in [
        ("rename_statement('of_owners', 'x')", "2BP01", "read by statement.top"),
        ("rename_statement('top', 'of_owners')", "42710", "`of_owners` exists already"),
        ("rename_statement('top', 'X y')", "42602", "`X y` cannot be the name of a statement"),
        ("rename_statement('tip', 'y')", "42704", "unknown statement `tip`"),
    ] {
        let error = server.error(&format!("CALL {call}"));
        assert!(error.contains(sqlstate) && error.contains(words), "{call}: {sqlstate} {words}\n{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovered_state_knows_what_was_computed() {
    let (database, server) = served().await;
    server.rows(&["CALL set_import('crm', 'deal', frequency => 'daily')", OWNERS]);
    let batch = server.rows(&["CALL run_batch()"]);
    assert!(batch.contains("|succeeded|"), "{batch}");
    let night = last(&server, &["SELECT name FROM tributary.batch"]);
    database
        .execute("UPDATE deal SET amount = amount * 2, updated_at = clock_timestamp() WHERE id < 9")
        .await;
    let changed = "CALL alter_statement('by_owner', query => $$SELECT owner, count(*) AS deals, sum(amount) / 3 AS \
                   total FROM deal GROUP BY owner$$)";
    server.rows(&["CALL sync('crm', 'diff')", changed, "CALL compute()"]);
    server.rows(&["CALL rename_statement('by_owner', 'of_owners')"]);
    let runs = "SELECT id, statement, batch, status, read_release, result_release FROM tributary.statement_run ORDER BY id";
    let batches = "SELECT name, status, release, result_release FROM tributary.batch";
    let (runs_before, batches_before) = (server.rows(&[runs]), server.rows(&[batches]));
    let verified = |server: &crate::support::server::Server| -> Vec<String> {
        ["run 1", "run 2", &night]
            .map(|which| {
                let row = server.rows(&[&format!("CALL verify_statement('of_owners', '{which}')")]);
                assert!(row.contains("|t|3|3|0|"), "{which}: {row}");
                row
            })
            .into()
    };
    let before = verified(&server);
    let data = server.data.clone();
    let (_, again) = server.stop();
    for file in std::fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().path()) {
        if file.file_name().unwrap().to_str().unwrap().starts_with("state.db") {
            std::fs::remove_file(file).unwrap();
        }
    }
    let recover =
        Command::new(env!("CARGO_BIN_EXE_tributary")).arg("recover").arg("--data").arg(&data).output();
    assert!(recover.as_ref().unwrap().status.success(), "{recover:?}");
    let server = again.start();
    assert_eq!(server.rows(&[runs]), runs_before);
    assert_eq!(server.rows(&[batches]), batches_before);
    assert_eq!(verified(&server), before);
    // What follows has numbers of its own, and what results read stays.
    server.rows(&["CALL set_retention(0)", "CALL vacuum(grace_hours => 0)", "CALL compute()"]);
    assert_eq!(last(&server, &["SELECT count(DISTINCT id) FROM tributary.statement_run"]), "3");
    assert_eq!(verified(&server), before);
}
