//! A large company beside the demonstration: 300 objects of 200 fields, 10,000 runs and what they published, written
//! straight into the state of a server that does not run.

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection, Executor, Row};

/// Objects beside those of the demonstration.
pub(crate) const OBJECTS: i64 = 300;
/// Fields of each.
pub(crate) const FIELDS: i64 = 200;
/// Runs beside those of the demonstration.
pub(crate) const RUNS: i64 = 10_000;
/// Runs that are published by one release.
const RUNS_OF_RELEASE: i64 = 10;
/// The connection that they belong to.
pub(crate) const CONNECTION: &str = "demo";

const HOUR: i64 = 3_600_000_000;

/// Every page of the console with something in it, by its route. It takes what [`BESIDE`] makes, and what [`KEY`] gives for
/// `KEY`.
pub(crate) const PAGES: &[(&str, &str)] = &[
    ("/", "/"),
    ("/account", "/account"),
    ("/alerts", "/alerts"),
    ("/audit", "/audit"),
    ("/audit", "/audit?verb=sync&page=3"),
    ("/batches", "/batches"),
    ("/batches/{batch}", "/batches/1"),
    ("/connections/{connection}", "/connections/demo"),
    ("/connections/{connection}/objects", "/connections/demo/objects"),
    ("/connections/{connection}/sync", "/connections/demo/sync"),
    ("/connectors", "/connectors"),
    ("/connectors/{connector}", "/connectors/postgresql"),
    ("/explain", "/explain"),
    ("/explain", "/explain?object=demo.opportunity&key=KEY"),
    ("/objects", "/objects"),
    ("/objects", "/objects?q=object_2"),
    ("/objects/{connection}/{object}", "/objects/demo/object_1"),
    ("/objects/{connection}/{object}/fields/{field}", "/objects/demo/object_1/fields/field_7"),
    ("/objects/{connection}/{object}/import", "/objects/demo/object_1/import"),
    ("/objects/{connection}/{object}/preview", "/objects/demo/opportunity/preview"),
    ("/objects/{connection}/{object}/runs", "/objects/demo/object_1/runs"),
    ("/objects/{connection}/{object}/sync", "/objects/demo/opportunity/sync"),
    ("/overrides", "/overrides"),
    ("/overrides/record", "/overrides/record?object=demo.opportunity&key=KEY"),
    ("/people", "/people"),
    ("/people/{name}", "/people/ada"),
    ("/query", "/query"),
    ("/query/names", "/query/names"),
    ("/query/names", "/query/names?schema=demo&table=object_1"),
    ("/releases", "/releases"),
    ("/releases", "/releases?page=5"),
    ("/releases/diff", "/releases/diff"),
    ("/releases/diff", "/releases/diff?from=release+900&to=release+960"),
    ("/releases/{release}", "/releases/900"),
    ("/runs", "/runs"),
    ("/runs", "/runs?object=demo.object_7"),
    ("/runs", "/runs?status=failed&page=2"),
    ("/runs/{run}", "/runs/1005000"),
    ("/runs/{run}", "/runs/1010000"),
    ("/statements", "/statements"),
    ("/statements/new", "/statements/new"),
    ("/statements/{statement}", "/statements/won"),
    ("/statements/{statement}/edit", "/statements/won/edit"),
    ("/syncs/{sync}", "/syncs/1000500"),
];

/// The key of a record.
pub(crate) const KEY: &str = "SELECT id FROM demo.opportunity ORDER BY id LIMIT 1";

/// What the demonstration has of everything else before it is [`fill`]ed.
pub(crate) const BESIDE: &[&str] = &[
    "CREATE USER ada PASSWORD 'an analyst of tests reads'",
    "GRANT SELECT ON demo.opportunity TO ada",
    "CALL create_statement('won', $$SELECT owner_id, sum(amount) AS total FROM demo.opportunity GROUP BY 1$$, \
     unique_fields => 'owner_id')",
    "CALL run_batch()",
];

/// Fills the state in a data folder.
pub(crate) async fn fill(data: &Path) {
    let options = SqliteConnectOptions::new().filename(data.join("state.db"));
    let mut state = SqliteConnection::connect_with(&options).await.unwrap();
    let connection: i64 = number(&mut state, "SELECT id FROM connections WHERE name = 'demo'").await;
    let release: i64 = number(&mut state, "SELECT max(id) FROM releases").await;
    let now: i64 = number(&mut state, "SELECT max(published_at) FROM releases").await;
    let fields = fields().replace('\'', "''");
    let release_of = format!("{release} + 1 + (i - 1) / {RUNS_OF_RELEASE}");
    let releases = RUNS / RUNS_OF_RELEASE;
    // Object k has the runs k, k + 300, ...; what its last three published is kept as three spans.
    let last = RUNS - OBJECTS;
    for statement in [
        format!(
            "INSERT INTO objects (id, connection_id, name, api, label, fields, import, schema_version, created_at)
             SELECT 'large' || i, {connection}, 'object_' || i, 'object_' || i, 'Object number ' || i, '{fields}',
                 (SELECT import FROM objects LIMIT 1), 1, {now} FROM {}",
            numbers(OBJECTS)
        ),
        format!(
            "INSERT INTO releases (id, published_at, cause)
             SELECT {release} + i, {now} + i * {HOUR} / 2, 'sync ' || (1000000 + i) FROM {}",
            numbers(releases)
        ),
        format!(
            "INSERT INTO release_objects
                 (object_id, from_release, to_release, connection, name, version, row_count, fields)
             SELECT 'large' || (1 + (i - 1) % {OBJECTS}), {release_of}, iif(i > {last}, NULL, {release} + 1 +
                 (i - 1 + {OBJECTS}) / {RUNS_OF_RELEASE}), 'demo', 'object_' || (1 + (i - 1) % {OBJECTS}), 1, 1000 + i,
                 '{fields}' FROM {} WHERE i > {last} - 2 * {OBJECTS}",
            numbers(RUNS)
        ),
        format!(
            "INSERT INTO syncs (id, mode, actor, started_at)
             SELECT 1000000 + i, 'diff', 'admin', {now} - {HOUR} * 24 * 30 + i * {HOUR} * 24 * 30 / {releases} FROM {}",
            numbers(releases)
        ),
        format!(
            "INSERT INTO runs (id, sync_id, object_id, object, mode, status, started_at, ended_at, counts, version,
                 release_id, cause, summary)
             SELECT 1000000 + i, 1000001 + (i - 1) / {RUNS_OF_RELEASE}, 'large' || (1 + (i - 1) % {OBJECTS}),
                 'demo.object_' || (1 + (i - 1) % {OBJECTS}), 'diff',
                 iif(i = {RUNS}, 'held', iif(i % 50 = 0, 'failed', 'succeeded')),
                 {now} - {HOUR} * 24 * 30 + i * {HOUR} * 24 * 30 / {RUNS},
                 {now} - {HOUR} * 24 * 30 + i * {HOUR} * 24 * 30 / {RUNS} + 90000000,
                 '{}', 1, iif(i % 50 = 0, NULL, {release_of}),
                 iif(i % 50 = 0, 'the source did not answer within 30 s: connection refused', NULL),
                 iif(i % 50 = 0, 'the source did not answer', NULL) FROM {}",
            counts(),
            numbers(RUNS)
        ),
        format!(
            "INSERT INTO removals (run_id, seq, object_id, record_key, reason)
             SELECT 1000000 + {RUNS}, i, 'large' || {}, '{{\"field_1\":\"' || i || '\"}}', 'deleted' FROM {}",
            1 + (RUNS - 1) % OBJECTS,
            numbers(5_000)
        ),
        format!(
            "INSERT INTO audits (id, at, actor, verb, arguments, outcome)
             SELECT 1000000 + i, {now} + i, 'admin', 'sync', '{{\"connection\":\"demo\",\"mode\":\"diff\"}}', 'done' FROM {}",
            numbers(RUNS)
        ),
        "UPDATE sequences SET value = (SELECT max(id) FROM releases) WHERE name = 'release'".into(),
        "UPDATE sequences SET value = (SELECT max(id) FROM runs) WHERE name = 'run'".into(),
        "UPDATE sequences SET value = (SELECT max(id) FROM syncs) WHERE name = 'sync'".into(),
        "UPDATE sequences SET value = (SELECT max(id) FROM audits) WHERE name = 'audit'".into(),
        "UPDATE sequences SET value = value + 1 WHERE name = 'catalog'".into(),
    ] {
        state.execute(statement.as_str()).await.unwrap_or_else(|error| panic!("{error}: {statement:.300}"));
    }
    state.close().await.unwrap();
}

async fn number(state: &mut SqliteConnection, query: &str) -> i64 {
    sqlx::query(query).fetch_one(state).await.unwrap().get(0)
}

/// A table of the numbers from 1 on as `i`.
fn numbers(count: i64) -> String {
    format!(
        "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) SELECT i FROM n)"
    )
}

/// The fields of an object as the state keeps them.
fn fields() -> String {
    let field = |place: i64| {
        format!(
            r#"{{"api":"Field_{place}__c","name":"field_{place}","column":"field_{place}","label":"Field number {place}","#
        ) + &format!(
            r#""data_type":"{}","native_type":"string","note":null,"selected":true,"key_position":{},"is_name":{},"volatile":false}}"#,
            if place % 3 == 0 { "numeric(18,2)" } else { "text" },
            if place == 1 { "0" } else { "null" },
            place == 2,
        )
    };
    format!("[{}]", (1..=FIELDS).map(field).collect::<Vec<_>>().join(","))
}

fn counts() -> &'static str {
    r#"{"read":1200,"inserted":100,"updated":900,"deleted":7,"merged":0,"left_filter":2,"not_visible":0,"unknown":0,"total":1000,"duplicates":0,"null_keys":0,"misfits":0,"misfits_of":[],"erased":0,"calls":12,"expected_calls":14,"bytes_written":123456,"warnings":[],"verdicts":[]}"#
}
