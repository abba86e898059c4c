//! Overrides and the history of records, against a source that is corrected in the same way.

mod explain;
mod kept;
mod refused;

use crate::support::link;
use crate::support::postgres::{self, Database};
use crate::support::server::Server;

const DEAL: &str = "CREATE TABLE deal (id int PRIMARY KEY, name text, stage text, amount numeric(14,2), flag boolean,
        ratio double precision, closed date, tags text[], updated_at timestamptz NOT NULL DEFAULT clock_timestamp());
    INSERT INTO deal SELECT i, 'Deal ' || i, (ARRAY['Open','Won','Lost'])[1 + i % 3], i * 1.25, i % 3 = 0, i / 8.0,
        date '2026-01-01' + i % 300, ARRAY['a b', NULL, i::text] FROM generate_series(1, 20000) i;
    UPDATE deal SET amount = NULL WHERE id % 701 = 0;
    CREATE INDEX ON deal (updated_at);";

/// What is asked of both sides. A corrected value is in a filter, an order, a group, a statistic, or beside a key.
const QUERIES: &[&str] = &[
    "SELECT count(*), count(amount), sum(amount), min(amount), max(amount), min(closed), max(closed) FROM deal",
    "SELECT count(*) FROM deal",
    "SELECT stage, count(*), sum(amount) FROM deal GROUP BY stage ORDER BY stage NULLS FIRST",
    "SELECT count(*), sum(id) FROM deal WHERE amount > 24000",
    "SELECT id, amount FROM deal WHERE amount > 999999 ORDER BY id",
    "SELECT id, amount FROM deal WHERE amount < 40 ORDER BY id",
    "SELECT count(*), sum(id) FROM deal WHERE amount IS NULL",
    "SELECT count(*), sum(id) FROM deal WHERE amount IS NOT NULL AND stage <> 'Won'",
    "SELECT id, stage FROM deal WHERE stage = 'Corrected' ORDER BY id",
    "SELECT count(*), sum(id) FROM deal WHERE stage IN ('Won', 'Corrected') AND closed >= date '2026-09-01'",
    "SELECT * FROM deal WHERE id = 77",
    "SELECT * FROM deal WHERE id = 78 AND amount > 100",
    "SELECT * FROM deal WHERE id = 4000 AND stage = 'Corrected'",
    "SELECT id, name, amount, flag, ratio, tags FROM deal WHERE id BETWEEN 4000 AND 4010 ORDER BY id",
    "SELECT id, amount FROM deal ORDER BY amount DESC NULLS LAST, id LIMIT 7",
    "SELECT id, closed FROM deal WHERE closed = (SELECT max(closed) FROM deal) ORDER BY id LIMIT 9",
    "SELECT count(*), sum(a.amount) FROM deal a JOIN deal b ON a.amount = b.amount WHERE b.flag",
    "SELECT name FROM deal WHERE name LIKE 'X%' ORDER BY 1",
    "SELECT count(*) FROM deal WHERE flag IS NULL OR ratio > 2400",
    "SELECT count(*), max(tags) FROM deal WHERE tags = ARRAY['c']",
];

/// A server, its source, and what readers are to see.
struct World {
    database: Database,
    server: Server,
    /// Column and value by record, in the order in which they were set.
    overrides: Vec<(i64, String, String)>,
    /// Releases of which the source has copies.
    releases: Vec<i64>,
}

impl World {
    async fn new() -> World {
        let database = postgres::database().await;
        World::on(Server::start(), database).await
    }

    async fn on(server: Server, database: Database) -> World {
        database.execute(DEAL).await;
        database.execute(&format!("ALTER DATABASE \"{}\" SET timezone = 'UTC'", database.name)).await;
        link(&server, &database);
        server.rows(&[
            "CALL add_object('crm', 'public.deal', unique_fields => 'id', cursor_field => 'updated_at')",
        ]);
        let mut world = World { database, server, overrides: Vec::new(), releases: Vec::new() };
        world.sync("full").await;
        world
    }

    async fn sync(&mut self, mode: &str) {
        let ended =
            self.server.rows(&[&format!("CALL sync('crm', '{mode}', force => true, reason => 'a test')")]);
        assert!(ended.contains("|succeeded"), "{ended}");
        self.database.execute("DROP TABLE IF EXISTS synced; CREATE TABLE synced AS TABLE deal").await;
        self.keep().await;
    }

    /// `value` is a literal of both sides' SQL, or NULL.
    async fn correct(&mut self, id: i64, field: &str, value: &str) {
        self.server
            .rows(&[&format!("CALL override('crm.deal', '{id}', '{field}', {value}, reason => 'test')")]);
        self.note(id, field, value);
        self.keep().await;
    }

    fn note(&mut self, id: i64, field: &str, value: &str) {
        self.overrides.retain(|(known, column, _)| (*known, column.as_str()) != (id, field));
        self.overrides.push((id, field.into(), value.into()));
    }

    /// Keeps at the source what the newest release is to show.
    async fn keep(&mut self) {
        let release: i64 = self.server.rows(&["SELECT max(id) FROM tributary.release"]).parse().unwrap();
        let mut statements =
            format!("DROP TABLE IF EXISTS copy_{release}; CREATE TABLE copy_{release} AS TABLE synced;");
        statements.push_str(&format!("ALTER TABLE copy_{release} ADD PRIMARY KEY (id);"));
        for (id, column, value) in &self.overrides {
            statements.push_str(&format!("UPDATE copy_{release} SET {column} = {value} WHERE id = {id};"));
        }
        self.database.execute(&statements).await;
        if self.releases.last() != Some(&release) {
            self.releases.push(release);
        }
    }

    /// Compares all answers in the newest release with those of the source.
    fn check(&self, when: &str) {
        let newest = *self.releases.last().unwrap();
        let ours: Vec<String> = QUERIES.iter().map(|query| self.server.rows(&[query])).collect();
        for (query, ours) in QUERIES.iter().zip(ours) {
            assert_eq!(ours, self.truth(query, newest), "{when}: {query}");
        }
    }

    fn check_at(&self, release: i64) {
        let set = format!("SET tributary.as_of = '{release}'");
        for query in QUERIES {
            let ours = self.server.rows(&[&set, query]);
            let ours = ours.strip_prefix("SET").unwrap().trim_start_matches('\n').to_string();
            assert_eq!(ours, self.truth(query, release), "release {release}: {query}");
        }
    }

    fn truth(&self, query: &str, release: i64) -> String {
        let query = query.replace("FROM deal", &format!("FROM copy_{release} AS deal"));
        let query =
            query.replace("AS deal a", "AS a").replace("JOIN deal b", &format!("JOIN copy_{release} b"));
        let out = std::process::Command::new("psql")
            .args(["-XAtc", &query, "-v", "ON_ERROR_STOP=1", "-d", &self.database.url()])
            .output()
            .unwrap();
        assert!(out.status.success(), "{query}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap().trim_end().to_string()
    }

    /// Compares the records in which releases differ.
    fn check_diff(&self, from: i64, to: i64) {
        let ours =
            self.server.rows(&[&format!("SELECT op, id FROM diff('crm.deal', {from}, {to}) ORDER BY id")]);
        let theirs = self.truth(
            &format!(
                "SELECT CASE WHEN a.id IS NULL THEN 'insert' WHEN b.id IS NULL THEN 'delete' ELSE 'update' END,
                     coalesce(a.id, b.id) FROM copy_{from} a FULL JOIN copy_{to} b ON a.id = b.id
                 WHERE to_jsonb(a) IS DISTINCT FROM to_jsonb(b) ORDER BY 2"
            ),
            to,
        );
        assert_eq!(ours, theirs, "{from} to {to}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_sees_corrected_values_whatever_syncs_do_below_them() {
    let mut world = World::new().await;
    world.check("without any");
    for (id, field, value) in [
        (77, "amount", "'1200000.00'"),
        (78, "amount", "'3.5'"),
        (4000, "stage", "'Corrected'"),
        (4000, "amount", "NULL"),
        (4001, "flag", "NULL"),
        (19999, "closed", "'2031-01-01'"),
        (5, "name", "'X \"quoted\" \\ ''n'"),
        (701, "amount", "'0'"),
        (9000, "ratio", "'2500.5'"),
        (9001, "tags", "'{c}'"),
    ] {
        world.correct(id, field, value).await;
    }
    world.check("after the first");
    // The newer one counts; another field of the same record stays.
    world.correct(77, "amount", "'1300000.00'").await;
    world.correct(77, "stage", "'Corrected'").await;
    world.check("set again");

    // Corrected records change at the source too, and come and go.
    world
        .database
        .execute(
            "UPDATE deal SET amount = 1, stage = 'Lost', updated_at = clock_timestamp() WHERE id IN (77, 4000, 12);
             INSERT INTO deal (id, name, amount) VALUES (30000, 'new', 7)",
        )
        .await;
    world.sync("diff").await;
    world.check("after a diff");
    world.database.execute("DELETE FROM deal WHERE id IN (78, 9000) OR id % 500 = 3").await;
    world.sync("full").await;
    world.check("after a full read that lost two of them");
    world.server.rows(&["CALL optimize('crm', 'deal')"]);
    world.check("after a compaction");
    world.database.execute("INSERT INTO deal (id, name, amount) VALUES (78, 'back', 200)").await;
    world.sync("diff").await;
    world.check("when one is back");

    // So many that rows are told by masks, in one release.
    let mut many = Vec::new();
    for id in (10..20_000).step_by(9) {
        if world.server.rows(&[&format!("SELECT count(*) FROM deal WHERE id = {id}")]) == "0" {
            continue;
        }
        if many.len() >= 300 {
            break;
        }
        many.push(id);
    }
    let json: Vec<_> = many
        .iter()
        .map(|id| format!(r#"{{"key": {id}, "field": "amount", "value": "{}.75"}}"#, id * 100))
        .collect();
    let release = world.releases.last().unwrap() + 1;
    assert_eq!(
        world.server.rows(&[&format!(
            "CALL override_many('crm.deal', '[{}]', reason => 'quarter closed')",
            json.join(",")
        )]),
        format!("crm.deal|{}|{release}", many.len())
    );
    many.iter().for_each(|id| world.note(*id, "amount", &format!("'{}.75'", id * 100)));
    world.keep().await;
    world.check("with many");
    world
        .database
        .execute("UPDATE deal SET amount = 2, updated_at = clock_timestamp() WHERE id % 37 = 1")
        .await;
    world.sync("diff").await;
    world.check("with many after a diff");
    let scan = world.server.rows(&["EXPLAIN SELECT sum(amount) FROM deal WHERE amount > 5"]);
    assert!(scan.contains("is_live"), "no mask was tried: {scan}");

    // Taken back: the source's value of now is there again.
    world.server.rows(&[
        "CALL clear_override('crm.deal', '77')",
        "CALL clear_override('crm.deal', '4000', 'amount', reason => 'was right')",
    ]);
    world.overrides.retain(|(id, column, _)| *id != 77 && (*id, column.as_str()) != (4000, "amount"));
    world.keep().await;
    world.check("taken back");
    world.server.rows(&["CALL rename_field('crm', 'deal', 'ratio', 'quotient')"]);
    assert_eq!(world.server.rows(&["SELECT stage FROM deal WHERE id = 4000"]), "Corrected");
    world.server.rows(&["CALL rename_field('crm', 'deal', 'quotient', 'ratio')"]);

    let releases = world.releases.clone();
    for release in releases.iter().step_by(2) {
        world.check_at(*release);
    }
    for (from, to) in releases.iter().zip(&releases[1..]).chain([(&releases[0], releases.last().unwrap())]) {
        world.check_diff(*from, *to);
        world.check_diff(*to, *from);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_without_corrections_in_a_query_is_read_as_before() {
    let mut world = World::new().await;
    let plan = |query: &str| world.server.rows(&[&format!("EXPLAIN (COSTS OFF) {query}")]);
    let before = plan("SELECT sum(ratio) FROM deal");
    let whole = plan("SELECT sum(amount) FROM deal");
    world.server.rows(&["CALL override('crm.deal', '77', 'amount', '1', reason => 'test')"]);
    assert_eq!(plan("SELECT sum(ratio) FROM deal"), before, "another column is corrected");
    assert_ne!(plan("SELECT sum(amount) FROM deal"), whole);
    world.note(77, "amount", "'1'");
    world.keep().await;
    world.check("one");
    world.server.rows(&["CALL clear_override('crm.deal', '77')"]);
    let now = world.server.rows(&["EXPLAIN (COSTS OFF) SELECT sum(amount) FROM deal"]);
    assert_eq!(now, whole);
}
