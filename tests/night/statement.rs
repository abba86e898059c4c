//! Statements: what is refused, what a failure leaves, who may read.

use super::{last, until};
use crate::support::link;
use crate::support::postgres::{self, Database};
use crate::support::server::Server;

/// A server with a table of deals, synced.
pub(super) async fn served() -> (Database, Server) {
    let database = postgres::database().await;
    database
        .execute(
            "CREATE TABLE deal (id bigint PRIMARY KEY, owner text, amount numeric(18,2), closed_at timestamptz,
                 updated_at timestamptz NOT NULL DEFAULT clock_timestamp());
             INSERT INTO deal SELECT i, 'owner ' || i % 3, i * 1.25, '2026-10-31 22:30+00'::timestamptz
                 + i * interval '10 minutes' FROM generate_series(1, 30) i;
             ANALYZE;",
        )
        .await;
    let server = Server::start();
    link(&server, &database);
    server.rows(&[
        "CALL add_object('crm', 'public.deal', unique_fields => 'id', cursor_field => 'updated_at')",
        "CALL sync('crm', 'full')",
    ]);
    (database, server)
}

pub(super) const OWNERS: &str = "CALL create_statement('by_owner', $$SELECT owner, count(*) AS deals, sum(amount) AS total \
    FROM deal GROUP BY owner$$, unique_fields => 'owner', description => 'Deals of each owner')";

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_a_statement_is_refused_with_the_reason() {
    let (_database, server) = served().await;
    server.rows(&[OWNERS, "CALL create_statement('top', $$SELECT max(total) AS best FROM by_owner$$)"]);
    for (call, sqlstate, words) in [
        ("create_statement('x', $$SELECT FROM WHERE$$)", "42601", "syntax error at or near"),
        (
            "create_statement('x', $$SELECT FROM WHERE$$)",
            "42601",
            "in the query of statement `x`, at character",
        ),
        (
            "create_statement('x', $$SELECT amont AS a FROM deal$$)",
            "42703",
            "Perhaps you meant to reference the column \"deal.amount\".",
        ),
        (
            "create_statement('x', $$SELECT * FROM crm.dael$$)",
            "42P01",
            "relation \"crm.dael\" does not exist",
        ),
        ("create_statement('x', $$SELECT * FROM crm.dael$$)", "42P01", "did you mean `crm.deal`?"),
        ("create_statement('x', $$SELECT * FROM statement.x$$)", "42P19", "each other: x -> x"),
        ("create_statement('x', $$SELECT * FROM tributary.run$$)", "0A000", "cannot read `tributary.run`"),
        ("create_statement('x', $$SELECT * FROM pg_class$$)", "0A000", "cannot read the catalog"),
        ("create_statement('x', $$SELECT * FROM diff('crm.deal', 1, 1)$$)", "0A000", "cannot read `diff`"),
        ("create_statement('x', $$SELECT random() AS r FROM deal$$)", "0A000", "cannot use `random()`"),
        (
            "create_statement('x', $$SELECT 1 + 1 FROM deal$$)",
            "42601",
            "column 1 of the statement has no name",
        ),
        (
            "create_statement('x', $$SELECT id, id FROM deal$$)",
            "42701",
            "column `id` of the statement appears twice",
        ),
        ("create_statement('x', $$SELECT $1 AS a$$)", "42P02", "has no parameters"),
        ("create_statement('x', $$SELECT 1 AS a; SELECT 2 AS a$$)", "42601", "exactly one query"),
        ("create_statement('x', $$CALL vacuum()$$)", "42601", "exactly one query"),
        (
            "create_statement('x', $$SELECT interval '1 day' AS i$$)",
            "0A000",
            "column `i` of the statement has a type",
        ),
        (
            "create_statement('x', $$SELECT id FROM deal$$, unique_fields => 'di')",
            "42703",
            "has no column `di`",
        ),
        (
            "create_statement('x', $$SELECT id FROM deal$$, time_zone => 'Europe/Berlim')",
            "22023",
            "`Europe/Berlim`",
        ),
        (
            "create_statement('x', $$SELECT id FROM deal$$, keep_days => -1)",
            "22023",
            "`keep_days` cannot be -1",
        ),
        (
            "create_statement('X y', $$SELECT id FROM deal$$)",
            "42602",
            "`X y` cannot be the name of a statement",
        ),
        ("create_statement('top', $$SELECT id FROM deal$$)", "42P07", "statement `top` exists already"),
        (
            "alter_statement('by_owner', query => $$SELECT 'a' AS owner, best AS total FROM top$$)",
            "42P19",
            "each other: by_owner -> top -> by_owner",
        ),
        ("drop_statement('by_owner')", "2BP01", "read by statement.top"),
        ("drop_statement('by_owener')", "42704", "unknown statement `by_owener` (did you mean `by_owner`?)"),
        ("compute('tip')", "42704", "unknown statement `tip`"),
        ("compute('top')", "22000", "statement.by_owner has no result yet"),
        ("verify_statement('top')", "42704", "statement.top has no result"),
        ("verify_statement('top', '2026-01-01')", "42704", "there is no batch `2026-01-01`"),
    ] {
        let error = server.error(&format!("CALL {call}"));
        assert!(error.contains(sqlstate) && error.contains(words), "{call}: {sqlstate} {words}\n{error}");
    }
    assert_eq!(
        server.rows(&["SELECT name, status FROM tributary.statement"]),
        "by_owner|not computed\ntop|failed"
    );
    // An analyst has no say.
    server.rows(&["CREATE USER ada PASSWORD 'a long enough password'"]);
    let mut psql = server.client("psql");
    let out = psql
        .envs([("PGUSER", "ada"), ("PGPASSWORD", "a long enough password")])
        .args(["-X", "-A", "-t", "-c", "CALL compute()"])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&out.stderr).contains("permission denied for procedure compute"));
}

#[tokio::test(flavor = "multi_thread")]
async fn results_are_tables_with_keys_comments_and_rights() {
    let (_database, server) = served().await;
    server.rows(&[
        OWNERS,
        // The local month of a moment depends on the zone.
        "CALL create_statement('by_month', $$SELECT CAST(extract(month FROM closed_at) AS int) AS month, \
             count(*) AS deals, sum(amount) / 3 AS third FROM crm.deal GROUP BY 1$$, unique_fields => 'month', \
             time_zone => 'Europe/Berlin')",
    ]);
    let computed = server.rows(&["CALL compute()"]);
    assert_eq!(computed.lines().count(), 2, "{computed}");
    assert_eq!(
        server.rows(&["SELECT * FROM statement.by_owner ORDER BY owner"]),
        "owner 0|10|206.25\nowner 1|10|181.25\nowner 2|10|193.75"
    );
    // 22:40 UTC of the 31st is 23:40 in Berlin: two deals are of October.
    assert_eq!(
        server.rows(&["SELECT month, deals, third FROM statement.by_month ORDER BY 1"]),
        "10|2|1.2500000000000000\n11|28|192.5000000000000000"
    );
    // As tools see it.
    let described = server.rows(&["\\d statement.by_owner"]);
    assert!(described.contains("owner|text||not null|"), "{described}");
    let key = "SELECT indisprimary, indnatts FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid \
        WHERE c.relname = 'by_owner'";
    assert_eq!(server.rows(&[key]), "t|1");
    assert!(server.rows(&["\\dt+ statement.*"]).contains("Deals of each owner"));
    let columns = "SELECT column_name, data_type FROM information_schema.columns \
        WHERE table_schema = 'statement' AND table_name = 'by_owner' ORDER BY ordinal_position";
    assert_eq!(server.rows(&[columns]), "owner|text\ndeals|bigint\ntotal|numeric");
    // Rights as on any table.
    server.rows(&[
        "CREATE USER ada PASSWORD 'a long enough password'",
        "GRANT SELECT ON statement.by_owner TO ada",
    ]);
    let asked = |sql: &str| {
        let mut psql = server.client("psql");
        psql.envs([("PGUSER", "ada"), ("PGPASSWORD", "a long enough password")]);
        psql.args(["-X", "-A", "-t", "-c", sql]).output().unwrap()
    };
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    assert_eq!(text(asked("SELECT count(*) FROM statement.by_owner").stdout).trim(), "3");
    assert!(text(asked("SELECT * FROM statement.by_month").stderr).contains("permission denied"));
    assert_eq!(text(asked("SELECT name FROM tributary.statement").stdout).trim(), "by_owner");
    assert_eq!(
        text(asked("SELECT DISTINCT statement FROM tributary.statement_run").stdout).trim(),
        "by_owner"
    );
    assert!(server.error("GRANT SELECT ON statement.nothing TO ada").contains("unknown statement `nothing`"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_fails_keeps_its_last_result_and_is_told_until_it_is_mended() {
    let (database, server) = served().await;
    server.rows(&[
        "CALL create_statement('rate', $$SELECT 100 / (count(*) - 31) AS rate FROM deal$$)",
        "CALL create_statement('pay', $$SELECT rate * 2 AS pay FROM statement.rate$$)",
        "CALL create_statement('other', $$SELECT count(*) AS deals FROM deal$$)",
        "CALL compute()",
    ]);
    let pay = "SELECT pay, (SELECT rate FROM statement.rate), (SELECT deals FROM statement.other) FROM statement.pay";
    assert_eq!(last(&server, &[pay]), "-200|-100|30");
    let insert = "INSERT INTO deal VALUES (99, 'owner 9', 1, now())";
    database.execute(insert).await;
    let row = server.rows(&["CALL run_batch()"]);
    assert!(row.contains("|partial|"), "{row}");
    assert_eq!(last(&server, &[pay]), "-200|-100|31", "the last result stays");
    let stands = "SELECT name, status, cause FROM tributary.statement ORDER BY name";
    let told = server.rows(&[stands]);
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(lines[0], "other|succeeded|");
    assert!(lines[1].starts_with("pay|held|waiting for statement.rate (failed "), "{told}");
    assert_eq!(lines[2], "rate|failed|division by zero");
    let alerts =
        "SELECT cause, connection, object, severity FROM tributary.alert WHERE cleared_at IS NULL ORDER BY 1";
    until("the failure is an alert", || server.rows(&[alerts]).contains("|statement|rate|critical"));
    assert!(server.rows(&[alerts]).contains("batch||"), "{}", server.rows(&[alerts]));
    // The words of the query stay with those who may read the result.
    let row = server.error("CALL compute('rate')");
    assert!(row.contains("division by zero") && row.contains("the last result stays"), "{row}");

    // What is optional holds nobody up.
    server.rows(&["CALL alter_statement('rate', required => false)"]);
    assert!(server.rows(&["CALL run_batch()"]).contains("|partial|"));
    assert!(server.rows(&[stands]).contains("pay|succeeded|"), "{}", server.rows(&[stands]));

    server.rows(&[
        "CALL alter_statement('rate', query => $$SELECT 100 / nullif(count(*) - 31, 0) AS rate FROM deal$$)",
        "CALL run_batch()",
    ]);
    assert_eq!(last(&server, &[pay]), "||31");
    until("all is well again", || server.rows(&[alerts]).is_empty());

    // A key that is none is no result.
    let twice = "CALL create_statement('twice', $$SELECT owner FROM deal$$, unique_fields => 'owner')";
    let error = [server.rows(&[twice]), server.error("CALL compute('twice')")].concat();
    assert!(error.contains("27 rows of statement.twice repeat the `owner` of another"), "{error}");
    // And an object that is gone is named.
    server.rows(&["CALL drop_object('crm', 'deal')"]);
    let error = server.error("CALL compute('other')");
    assert!(error.contains("relation \"deal\" does not exist"), "{error}");
    assert_eq!(last(&server, &["SELECT deals FROM statement.other"]), "31");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_may_change_its_columns_and_the_past_keeps_its_own() {
    let (_database, server) = served().await;
    server.rows(&[OWNERS, "CALL compute('by_owner')"]);
    let release = last(&server, &["SELECT max(id) FROM tributary.release"]);
    server.rows(&[
        "CALL alter_statement('by_owner', query => $$SELECT owner, count(*)::text AS deals, max(id) AS newest \
             FROM deal GROUP BY owner$$)",
        "CALL compute('by_owner')",
    ]);
    let read = "SELECT * FROM statement.by_owner ORDER BY owner LIMIT 1";
    assert_eq!(last(&server, &[read]), "owner 0|10|30");
    assert_eq!(last(&server, &[&format!("SET tributary.as_of = '{release}'"), read]), "owner 0|10|206.25");
    // Each as it was computed, by its own query.
    for run in ["run 1", "run 2"] {
        let row = server.rows(&[&format!("CALL verify_statement('by_owner', '{run}')")]);
        assert!(row.contains("|t|3|3|0|"), "{row}");
    }
    // The state is made again from the storage, and nothing of it is dropped by the next release.
    let (_, builder) = server.stop();
    let data = builder.data_directory();
    std::fs::remove_file(data.join("state.db")).unwrap();
    for rest in ["state.db-wal", "state.db-shm"] {
        std::fs::remove_file(data.join(rest)).ok();
    }
    let recovered = std::process::Command::new(env!("CARGO_BIN_EXE_tributary"))
        .args(["recover", "--data", data.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(recovered.status.success(), "{}", String::from_utf8_lossy(&recovered.stderr));
    let server = builder.start();
    assert_eq!(last(&server, &[read]), "owner 0|10|30");
    server.rows(&["CALL compute()"]);
    assert_eq!(last(&server, &[read]), "owner 0|10|30");
}
