//! Fields come, go, widen and change their names; every release reads as it always did.

use crate::support::link;
use crate::support::postgres::{self, Database};
use crate::support::server::Server;

/// A server with one synced table, and what releases answered when they were the newest.
struct World {
    database: Database,
    server: Server,
    known: Vec<(i64, String, String)>,
}

const DEAL: &str = "CREATE TABLE deal (id int PRIMARY KEY, amount int, ratio real, price numeric(10,2),
        code varchar(8), note text, updated_at timestamptz NOT NULL DEFAULT clock_timestamp());
    INSERT INTO deal SELECT i, i * 10, i / 4.0, i * 1.25, 'c' || i, 'note ' || i FROM generate_series(1, 2000) i;
    UPDATE deal SET amount = NULL, note = NULL WHERE id % 7 = 0;
    CREATE INDEX ON deal (updated_at)";

impl World {
    async fn new() -> Self {
        let database = postgres::database().await;
        database.execute(DEAL).await;
        let server = Server::start();
        link(&server, &database);
        server.rows(&[
            "CALL add_object('crm', 'public.deal', unique_fields => 'id', cursor_field => 'updated_at')",
        ]);
        let mut world = World { database, server, known: Vec::new() };
        assert!(world.sync("full").contains("|full|succeeded|2000|"));
        world
    }

    /// Syncs, and notes what the release then answers.
    fn sync(&mut self, mode: &str) -> String {
        let synced = self.server.rows(&[&format!("CALL sync('crm', '{mode}')")]);
        self.remember();
        synced
    }

    fn remember(&mut self) {
        let release = self.server.rows(&["SELECT max(id) FROM tributary.release"]).parse().unwrap();
        let columns = "SELECT name FROM tributary.release_field WHERE to_release IS NULL";
        let columns = self.server.rows(&[columns]).replace('\n', ", ");
        let query = format!("SELECT {columns} FROM deal ORDER BY id");
        let answer = self.server.rows(&[&query]);
        self.known.push((release, query, answer));
        self.check();
    }

    /// Every release so far answers as it did.
    fn check(&self) {
        for (release, query, answer) in &self.known {
            let now = self.server.rows(&[&format!("SET tributary.as_of = '{release}'"), query]);
            assert_eq!(now.strip_prefix("SET\n"), Some(answer.as_str()), "release {release}: {query}");
            let all = self.server.rows(&[
                &format!("SET tributary.as_of = '{release}'"),
                "SELECT count(*), count(id) FROM deal",
            ]);
            let rows = answer.lines().count();
            assert_eq!(all, format!("SET\n{rows}|{rows}"));
        }
    }

    async fn change(&self, sql: &str) {
        self.database.execute(sql).await;
    }

    /// The table equals the source's, by expressions that both understand.
    async fn equals_source(&self, ours: &str, theirs: &str) {
        let client = self.database.connect().await;
        let rows = client.simple_query(theirs).await.unwrap();
        let row = |message: &tokio_postgres::SimpleQueryMessage| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => {
                let cells = (0..row.len()).map(|at| row.get(at).unwrap_or_default().to_string());
                Some(cells.collect::<Vec<_>>().join("|"))
            }
            _ => None,
        };
        let expected: Vec<_> = rows.iter().filter_map(row).collect();
        assert_eq!(self.server.rows(&[ours]), expected.join("\n"), "{ours}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_field_is_offered_and_filled_when_it_is_chosen() {
    let mut world = World::new().await;
    world.change("ALTER TABLE deal ADD COLUMN \"Stage\" text DEFAULT 'open'").await;
    let synced = world.sync("diff");
    assert!(synced.contains("|diff|succeeded with warnings|"), "{synced}");
    let offered = "SELECT name, source_field, selected FROM tributary.field WHERE source_field = 'Stage'";
    assert_eq!(world.server.rows(&[offered]), "stage|Stage|f");
    assert!(world.server.error("SELECT stage FROM deal").contains("42703"));
    let synced = world.sync("diff");
    assert!(synced.contains("|diff|succeeded|"), "it is told once: {synced}");

    world.server.rows(&[
        "CALL set_fields('crm', 'deal', fields => 'id,amount,ratio,price,code,note,updated_at,stage')",
    ]);
    assert!(world.server.error("SELECT stage FROM deal").contains("42703"));
    world.sync("diff");
    assert_eq!(world.server.rows(&["SELECT count(*) FROM deal WHERE stage = 'open'"]), "2000");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_dropped_at_the_source_reads_null_and_a_key_fails_the_run() {
    let mut world = World::new().await;
    world.change("ALTER TABLE deal DROP COLUMN note").await;
    let synced = world.sync("diff");
    assert!(synced.contains("succeeded with warnings"), "{synced}");
    assert_eq!(world.server.rows(&["SELECT count(*), count(note), count(code) FROM deal"]), "2000|0|2000");
    let warned = world.server.rows(&["SELECT warnings FROM tributary.run ORDER BY id DESC LIMIT 1"]);
    assert!(warned.contains("field `note` is gone from the source"), "{warned}");

    // The same name again is the same field of the source.
    world.change("ALTER TABLE deal ADD COLUMN note text").await;
    world.change("UPDATE deal SET note = 'new', updated_at = clock_timestamp() WHERE id < 5").await;
    world.sync("diff");
    assert_eq!(world.server.rows(&["SELECT count(*), count(note) FROM deal"]), "2000|4");

    let newest = world.server.rows(&["SELECT max(id) FROM tributary.release"]);
    world.change("ALTER TABLE deal DROP COLUMN id").await;
    let failed = world.server.error("CALL sync('crm', 'diff')");
    assert!(failed.contains("22000"), "{failed}");
    let cause = world.server.rows(&["SELECT cause, remedy FROM tributary.run ORDER BY id DESC LIMIT 1"]);
    assert!(cause.contains("key field `id`") && cause.contains("set_fields"), "{cause}");
    assert_eq!(world.server.rows(&["SELECT max(id) FROM tributary.release"]), newest);
    world.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_widened_field_keeps_the_diff_a_diff() {
    let mut world = World::new().await;
    // Vectors and a second file beneath the rows that are rewritten.
    world.change("UPDATE deal SET amount = 5, updated_at = clock_timestamp() WHERE id % 100 = 3").await;
    world.sync("diff");
    for (round, alter) in [
        "ALTER TABLE deal ALTER amount TYPE bigint, ALTER ratio TYPE double precision",
        "ALTER TABLE deal ALTER id TYPE bigint, ALTER price TYPE numeric(14,3), ALTER code TYPE varchar(80)",
        "ALTER TABLE deal ALTER amount TYPE numeric(22,2), ALTER id TYPE numeric(20,0)",
    ]
    .iter()
    .enumerate()
    {
        world.change(alter).await;
        let values = ["5000000000", "4.125", "7.77"][round];
        world
            .change(&format!(
                "UPDATE deal SET amount = {values}, price = {values} / 1000, updated_at = clock_timestamp()
                 WHERE id IN ({round}, 100, 2000); INSERT INTO deal (id, code) VALUES ({}, 'wide')",
                5000 + round
            ))
            .await;
        let synced = world.sync("diff");
        assert!(synced.contains("|diff|succeeded with warnings|"), "{synced}");
        let query =
            "SELECT count(*), sum(amount), sum(price), min(id), max(id), min(amount), max(price) FROM deal";
        world.equals_source(query, query).await;
        let query = "SELECT id, amount, ratio, price FROM deal WHERE amount > 4 AND id <= 200 ORDER BY id";
        world.equals_source(query, query).await;
    }
    let types = "SELECT name, type FROM tributary.field WHERE name IN ('amount', 'price', 'id') ORDER BY 1";
    assert_eq!(world.server.rows(&[types]), "amount|numeric(22,2)\nid|numeric(20,0)\nprice|numeric(14,3)");
    let was = "SELECT type FROM tributary.release_field WHERE name = 'amount' ORDER BY from_release";
    assert_eq!(world.server.rows(&[was]), "integer\nbigint\nnumeric(22,2)");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_field_is_read_under_both_names_by_its_releases() {
    let mut world = World::new().await;
    world.server.rows(&["CALL set_import('crm', 'deal', filter => 'amount > 50 OR amount IS NULL')"]);
    world.sync("diff");
    let runs = || world.server.rows(&["SELECT mode FROM tributary.run ORDER BY id DESC LIMIT 1"]);
    assert_eq!(runs(), "diff", "the filter is new, and decided on what is stored");

    let renamed = world.server.rows(&["CALL rename_field('crm', 'deal', 'amount', 'value')"]);
    assert!(renamed.contains("\"value\" > 50"), "{renamed}");
    world.server.rows(&["CALL set_label('crm', 'deal', 'What it is worth', field => 'value')"]);
    world.remember();
    assert!(world.server.error("SELECT amount FROM deal").contains("42703"));
    let query = |name: &str| {
        format!(
            "SELECT count({name}), sum({name}), min({name}), max({name}) FROM deal WHERE {name} > 60 AND id < 1000"
        )
    };
    world.equals_source(&query("value"), &query("amount")).await;
    let query = |name: &str| {
        format!("SELECT id, {name} FROM deal WHERE {name} BETWEEN 100 AND 300 ORDER BY {name} DESC LIMIT 7")
    };
    world.equals_source(&query("value"), &query("amount")).await;
    let joined = world
        .server
        .rows(&["SELECT count(*) FROM deal a JOIN deal b ON a.value = b.value WHERE b.note = 'note 100'"]);
    assert_eq!(joined, "1");

    world.change("UPDATE deal SET amount = 77, updated_at = clock_timestamp() WHERE id = 100").await;
    let synced = world.sync("diff");
    assert!(synced.contains("|diff|succeeded|"), "a renaming reads nothing again: {synced}");
    assert_eq!(world.server.rows(&["SELECT value FROM deal WHERE id = 100"]), "77");
    assert_eq!(world.server.rows(&["SELECT count(*) FROM deal WHERE value = 77"]), "1");

    // The old name is free: another field of the source gets it.
    world.change("ALTER TABLE deal ADD COLUMN \"Amount\" int DEFAULT 1").await;
    world.sync("diff");
    world.server.rows(&[
        "CALL set_fields('crm', 'deal', fields => 'id,value,ratio,price,code,note,updated_at,amount')",
    ]);
    world.remember();
    world.sync("diff");
    world
        .equals_source(
            "SELECT sum(value), sum(amount), count(*) FROM deal",
            "SELECT sum(amount), sum(\"Amount\"), count(*) FROM deal WHERE amount > 50 OR amount IS NULL",
        )
        .await;
    let labels =
        "SELECT name, label FROM tributary.release_field WHERE source_field = 'amount' ORDER BY from_release";
    assert_eq!(world.server.rows(&[labels]), "amount|amount\nvalue|amount\nvalue|What it is worth");

    world.server.rows(&["CALL rename_field('crm', 'deal', 'id', 'number')"]);
    world.change("UPDATE deal SET note = 'again', updated_at = clock_timestamp() WHERE id = 100").await;
    let synced = world.server.rows(&["CALL sync('crm', 'diff')"]);
    assert!(synced.contains("|diff|succeeded|"), "{synced}");
    assert_eq!(world.server.rows(&["SELECT note, amount FROM deal WHERE number = 100"]), "again|1");
    world.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn impossible_names_and_types_are_refused() {
    let mut world = World::new().await;
    for (call, state, words) in [
        ("rename_field('crm', 'deal', 'amount', 'note')", "42701", "has a field `note` already"),
        ("rename_field('crm', 'deal', 'amuont', 'x')", "42703", "did you mean `amount`?"),
        ("rename_field('crm', 'deal', 'amount', 'Not Plain')", "42602", "cannot be the name of a field"),
        ("set_label('crm', 'deal', '')", "22023", "cannot be a label"),
    ] {
        let error = world.server.error(&format!("CALL {call}"));
        assert!(error.contains(state) && error.contains(words), "{error}");
    }
    world.change("ALTER TABLE deal ALTER amount TYPE text").await;
    let failed = world.server.error("CALL sync('crm', 'diff')");
    assert!(failed.contains("22000"), "{failed}");
    let cause = world.server.rows(&["SELECT cause, remedy FROM tributary.run ORDER BY id DESC LIMIT 1"]);
    assert!(cause.contains("from integer to text") && cause.contains("refresh => true"), "{cause}");
    world.check();
    world.server.rows(&["CALL set_fields('crm', 'deal', refresh => true)"]);
    world.check();
    world.sync("full");
    assert_eq!(world.server.rows(&["SELECT count(*) FROM deal WHERE amount = '30'"]), "1");
}
