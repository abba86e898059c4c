//! `diff(object, from, to)` against what the source says of the same moments.

use crate::support::link;
use crate::support::postgres::{self, Database};
use crate::support::server::Server;

const DEAL: &str = "CREATE TABLE deal (id int PRIMARY KEY, name text, stage text, amount numeric(14,2), flag boolean,
        ratio double precision, tags text[], updated_at timestamptz NOT NULL DEFAULT clock_timestamp());
    INSERT INTO deal SELECT i, 'Deal \"' || i || '\"', 'Open', i * 1.25, i % 3 = 0, i / 8.0, ARRAY['a b', NULL, i::text]
        FROM generate_series(1, 3000) i;
    UPDATE deal SET amount = NULL, tags = NULL WHERE id % 7 = 0;";

/// A server whose releases the source has copies of.
struct World {
    database: Database,
    server: Server,
    /// Every release with its columns in order.
    releases: Vec<(i64, Vec<String>)>,
}

impl World {
    async fn new() -> World {
        let database = postgres::database().await;
        database.execute(DEAL).await;
        let server = Server::start();
        link(&server, &database);
        server.rows(&[
            "CALL add_object('crm', 'public.deal', unique_fields => 'id', cursor_field => 'updated_at')",
        ]);
        let mut world = World { database, server, releases: Vec::new() };
        world.sync("full").await;
        world
    }

    /// Syncs, and lets the source keep what the release has to hold.
    async fn sync(&mut self, mode: &str) {
        self.server.rows(&[&format!("CALL sync('crm', '{mode}', force => true, reason => 'test')")]);
        let release: i64 = self.server.rows(&["SELECT max(id) FROM tributary.release"]).parse().unwrap();
        if self.releases.iter().any(|(known, _)| *known == release) {
            return;
        }
        self.database.execute(&format!("CREATE TABLE copy_{release} AS TABLE deal")).await;
        let out = self.server.client("psql").args(["-XAc", "SELECT * FROM deal LIMIT 0"]).output().unwrap();
        let header = String::from_utf8(out.stdout).unwrap();
        let columns = header.lines().next().unwrap().split('|').map(str::to_string).collect();
        self.releases.push((release, columns));
    }

    async fn change(&self, sql: &str) {
        self.database.execute(sql).await;
    }

    /// Compares the differences of two releases with those of their copies; returns how many there are.
    async fn check(&self, from: &(i64, Vec<String>), to: &(i64, Vec<String>)) -> usize {
        // Conditions on the key reach what is read.
        let condition = match (from.0 + to.0) % 7 {
            0 => "id = 35",
            1 => "id BETWEEN 100 AND 700 AND id <> 105 OR id IN (7, 3500)",
            _ => "true",
        };
        let ours = format!(
            "SELECT op, id, changed, old, new FROM diff('crm.deal', {}, {}) WHERE {condition} ORDER BY id",
            from.0, to.0
        );
        let ours = self.server.rows(&[&ours]);
        let theirs = self.truth(&expected(from, to, condition)).await;
        let differing = ours.lines().zip(theirs.lines()).find(|(ours, theirs)| ours != theirs);
        assert!(ours == theirs, "{} to {}: first {differing:?}", from.0, to.0);
        ours.lines().count()
    }

    async fn truth(&self, sql: &str) -> String {
        let client = self.database.connect().await;
        client.batch_execute("SET timezone = 'UTC'").await.unwrap();
        let rows = client.simple_query(sql).await.unwrap();
        let lines = rows.iter().filter_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => {
                let cells = (0..row.len()).map(|at| row.get(at).unwrap_or_default());
                Some(cells.collect::<Vec<_>>().join("|"))
            }
            _ => None,
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// The column of the source that a column shows.
fn source_column(name: &str) -> &str {
    if name == "phase" { "stage" } else { name }
}

/// The differences of two copies, worked out by PostgreSQL.
fn expected(from: &(i64, Vec<String>), to: &(i64, Vec<String>), condition: &str) -> String {
    let (newer, older) = if from.0 > to.0 { (from, to) } else { (to, from) };
    let has =
        |side: &(i64, Vec<String>), column: &str| side.1.iter().any(|name| source_column(name) == column);
    let older_only = older.1.iter().filter(|name| !has(newer, source_column(name)));
    let (mut changed, mut old, mut new) = (Vec::new(), Vec::new(), Vec::new());
    for name in newer.1.iter().chain(older_only) {
        let column = source_column(name);
        let value = |side: &(i64, Vec<String>), alias: &str| match has(side, column) {
            true => format!("{alias}.{column}"),
            false => "NULL".to_string(),
        };
        let (a, b) = (value(from, "a"), value(to, "b"));
        let json = |value: &str| match column {
            "id" | "amount" | "ratio" | "flag" => format!("coalesce({value}::text, 'null')"),
            _ => format!("coalesce(to_json({value}::text)::text, 'null')"),
        };
        let differs = format!("{a}::text IS DISTINCT FROM {b}::text");
        let differs = match column {
            // Its digits after the point are no difference.
            "amount" => format!("{a}::numeric IS DISTINCT FROM {b}::numeric"),
            _ => differs,
        };
        let is_update = "a.id IS NOT NULL AND b.id IS NOT NULL";
        changed.push(format!("CASE WHEN {differs} THEN '{name}' END"));
        let (had, given) = (has(from, column), has(to, column));
        let (json_a, json_b) = (json(&a), json(&b));
        old.push(format!(
            "CASE WHEN {is_update} AND {differs} OR b.id IS NULL AND {had} THEN '\"{name}\": ' || {json_a} END"
        ));
        new.push(format!(
            "CASE WHEN {is_update} AND {differs} OR a.id IS NULL AND {given} THEN '\"{name}\": ' || {json_b} END"
        ));
    }
    let (changed, old, new) = (changed.join(", "), old.join(", "), new.join(", "));
    format!(
        "SELECT * FROM (SELECT CASE WHEN a.id IS NULL THEN 'insert' WHEN b.id IS NULL THEN 'delete' ELSE 'update' END,
            coalesce(a.id, b.id) AS id,
            CASE WHEN a.id IS NOT NULL AND b.id IS NOT NULL THEN array_remove(ARRAY[{changed}], NULL) END AS changed,
            CASE WHEN a.id IS NOT NULL THEN '{{' || concat_ws(', ', {old}) || '}}' END,
            CASE WHEN b.id IS NOT NULL THEN '{{' || concat_ws(', ', {new}) || '}}' END
        FROM copy_{} a FULL JOIN copy_{} b ON a.id = b.id) d 
        WHERE (changed IS NULL OR cardinality(changed) > 0) AND ({condition}) ORDER BY id",
        from.0, to.0
    )
}

/// A random change of some rows.
fn random_change(next: &mut impl FnMut(u64) -> u64, may_delete: bool) -> String {
    let mut statements = Vec::new();
    for _ in 0..=next(3) {
        let (modulus, rest) = (5 + next(900), next(5));
        let rows = format!("WHERE id % {modulus} = {rest}");
        statements.push(match next(if may_delete { 6 } else { 5 }) {
            0 => format!("UPDATE deal SET amount = amount + {}.5, updated_at = clock_timestamp() {rows}", next(9)),
            1 => format!("UPDATE deal SET stage = 'Stage {}', updated_at = clock_timestamp() {rows}", next(3)),
            2 => format!(
                "UPDATE deal SET name = E'n\\n\\\\' || id, tags = '{{}}', flag = NOT flag,
                    updated_at = clock_timestamp() {rows}"
            ),
            3 => format!("UPDATE deal SET ratio = NULL, amount = NULL, updated_at = clock_timestamp() {rows}"),
            4 => format!(
                "INSERT INTO deal (id, name, amount) SELECT i, 'new', 7.5 FROM generate_series({0}, {0} + {1}) i
                    ON CONFLICT DO NOTHING",
                next(4000),
                next(200)
            ),
            _ => format!("DELETE FROM deal {rows}"),
        });
    }
    statements.join("; ")
}

#[tokio::test(flavor = "multi_thread")]
async fn differences_are_those_of_the_source_whatever_lies_between() {
    let mut world = World::new().await;
    let mut state: u64 = 20_261_125;
    let mut next = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for round in 0..14 {
        match round {
            4 => world.change("ALTER TABLE deal ADD COLUMN note text; UPDATE deal SET note = 'n' WHERE id < 50").await,
            5 => drop(world.server.rows(&[
                "CALL set_fields('crm', 'deal', fields => 'id,name,stage,amount,flag,ratio,tags,updated_at,note')",
            ])),
            7 => drop(world.server.rows(&["CALL rename_field('crm', 'deal', 'stage', 'phase')"])),
            9 => world.change("ALTER TABLE deal ALTER amount TYPE numeric(22,3), ALTER id TYPE bigint").await,
            11 => drop(world.server.rows(&[
                "CALL set_fields('crm', 'deal', fields => 'id,name,phase,amount,ratio,tags,updated_at,note')",
            ])),
            _ => {}
        }
        // A diff does not see rows that are gone.
        let is_full = matches!(round, 2 | 5 | 8 | 11) || next(4) == 0;
        world.change(&random_change(&mut next, is_full)).await;
        world.sync(if is_full { "full" } else { "diff" }).await;
        if matches!(round, 3 | 6 | 10) {
            world.server.rows(&["CALL optimize('crm', 'deal')"]);
        }
    }
    assert!(world.releases.len() > 12, "{:?}", world.releases);
    let mut found = 0;
    for from in &world.releases {
        for to in &world.releases {
            found += world.check(from, to).await;
        }
        assert_eq!(world.check(from, from).await, 0);
    }
    assert!(found > 10_000, "{found} differences");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_changed_is_read() {
    let mut world = World::new().await;
    world.change("UPDATE deal SET stage = 'Won', updated_at = clock_timestamp() WHERE id IN (5, 1500)").await;
    world.sync("diff").await;
    world.server.rows(&["CALL optimize('crm', 'deal')"]);
    world.change("UPDATE deal SET stage = 'Lost', updated_at = clock_timestamp() WHERE id IN (7, 9)").await;
    world.change("INSERT INTO deal (id) VALUES (9000)").await;
    world.sync("diff").await;
    let plan = world.server.rows(&["EXPLAIN (ANALYZE, VERBOSE) SELECT * FROM diff('crm.deal', 2, 3)"]);
    let read: Vec<_> = plan
        .lines()
        .filter(|line| line.contains("DataSourceExec"))
        .map(|line| line.split("output_rows=").nth(1).unwrap().split([',', ' ']).next().unwrap())
        .collect();
    assert_eq!(read, ["2", "3"], "{plan}");
    assert_eq!(world.check(&world.releases[1], &world.releases[2]).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_names_its_object_and_releases_like_a_session_does() {
    let mut world = World::new().await;
    world.change("UPDATE deal SET name = 'x', updated_at = clock_timestamp() WHERE id = 3").await;
    world.sync("diff").await;
    let server = &world.server;
    let columns = "SELECT op, id, changed FROM diff";
    for call in ["('deal', 1, 2)", "('\"crm\".\"deal\"', 'release 1', 'latest')", "('deal', 'sync 1', 2)"] {
        assert_eq!(server.rows(&[&format!("{columns}{call}")]), "update|3|{name,updated_at}", "{call}");
    }
    let both =
        "SELECT a.id, b.op, count(*) OVER () FROM diff('deal', 1, 2) a JOIN diff('deal', 2, 1) b USING (id)";
    assert_eq!(server.rows(&[both]), "3|update|1");
    assert_eq!(server.rows(&["SELECT count(*) FROM diff('deal', 2, 2)"]), "0");
    for (call, state) in [
        ("('crm.nothing', 1, 2)", "42P01"),
        ("('deal', 1, 77)", "22023"),
        ("('deal', 'yesterday-ish', 2)", "22023"),
        ("('deal', 1)", "42883"),
        ("('deal', 1, NULL)", "0A000"),
    ] {
        let error = server.error(&format!("SELECT * FROM diff{call}"));
        assert!(error.contains(state), "{call}: {error}");
    }
    server.rows(&["CREATE USER ada PASSWORD 'a long enough password'"]);
    let by_ada = || {
        let mut psql = server.client("psql");
        psql.envs([("PGUSER", "ada"), ("PGPASSWORD", "a long enough password")]);
        psql.args(["-XAtc", &format!("{columns}('deal', 1, 2)"), "-v", "VERBOSITY=verbose"]);
        let out = psql.output().unwrap();
        String::from_utf8_lossy(&out.stdout).to_string() + &String::from_utf8_lossy(&out.stderr)
    };
    assert!(by_ada().contains("42501"), "{}", by_ada());
    server.rows(&["GRANT SELECT ON crm.deal TO ada"]);
    assert_eq!(by_ada().trim(), "update|3|{name,updated_at}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_one_release_only_is_all_new_or_all_gone() {
    let mut world = World::new().await;
    world
        .change(
            "CREATE TABLE note (id int PRIMARY KEY, text text); INSERT INTO note VALUES (1, 'a'), (2, NULL)",
        )
        .await;
    world.server.rows(&["CALL add_object('crm', 'public.note', unique_fields => 'id')"]);
    world.sync("full").await;
    let rows = |call: &str| world.server.rows(&[&format!("SELECT * FROM diff{call} ORDER BY id")]);
    let newest = world.releases.last().unwrap().0;
    assert_eq!(
        rows(&format!("('crm.note', 1, {newest})")),
        "insert|1|||{\"id\": 1, \"text\": \"a\"}\ninsert|2|||{\"id\": 2, \"text\": null}"
    );
    assert_eq!(
        rows(&format!("('crm.note', {newest}, 1)")),
        "delete|1||{\"id\": 1, \"text\": \"a\"}|\ndelete|2||{\"id\": 2, \"text\": null}|"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_difference_larger_than_memory_is_told_all_the_same() {
    let database = postgres::database().await;
    database
        .execute(
            "CREATE TABLE deal (id int PRIMARY KEY, name text);
             INSERT INTO deal SELECT i, md5(i::text) || repeat('x', 200) FROM generate_series(1, 150000) i",
        )
        .await;
    let server = Server::builder().args(&["--query-memory-mib", "128"]).start();
    link(&server, &database);
    server
        .rows(&["CALL add_object('crm', 'public.deal', unique_fields => 'id')", "CALL sync('crm', 'full')"]);
    database.execute("UPDATE deal SET name = md5(name) || repeat('y', 200) WHERE id % 3 > 0").await;
    server.rows(&["CALL sync('crm', 'full')"]);
    let query =
        "SELECT count(*), sum(id), min(length(new)) FROM diff('crm.deal', 1, 2) WHERE changed = '{name}'";
    assert_eq!(server.rows(&[query]), "100000|7500000000|244");
    let plan = server.rows(&[&format!("EXPLAIN (ANALYZE, VERBOSE) {query}")]);
    let spilled = plan.split("spill_count=").skip(1).any(|rest| !rest.starts_with('0'));
    assert!(spilled, "{plan}");
}
