//! `kill -9` of the real server at random moments of syncs, compactions and vacuums. After every kill: it starts quickly, reads either what
//! was there before or all of what is new, shows every release as it was, and the next diff makes it right.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::support::link;
use crate::support::postgres::{self, Database};
use crate::support::server::Server;

/// Kills of an ordinary test run; `TRIBUTARY_KILLS` says another number, `TRIBUTARY_SEED` other moments.
const KILLS: u32 = 10;
const RESTART_LIMIT: Duration = Duration::from_secs(5);

/// Everything that a reader can tell of a release, in one statement. Both tables carry the number of the last change.
const SEEN: &str =
    "SELECT (SELECT max(round) FROM deal), (SELECT max(round) FROM owner), (SELECT count(*) FROM deal),
    (SELECT count(DISTINCT id) FROM deal), (SELECT sum(amount) FROM deal), (SELECT count(*) FROM owner),
    (SELECT sum(round) FROM owner)";

async fn source() -> Database {
    let database = postgres::database().await;
    database
        .execute(
            "CREATE TABLE deal (id bigint PRIMARY KEY, amount numeric(18,2), round int NOT NULL DEFAULT 0,
                 updated_at timestamptz NOT NULL DEFAULT clock_timestamp());
             INSERT INTO deal SELECT i, i * 1.25 FROM generate_series(1, 20000) i;
             CREATE TABLE owner (id int PRIMARY KEY, round int NOT NULL DEFAULT 0,
                 updated_at timestamptz NOT NULL DEFAULT clock_timestamp());
             INSERT INTO owner SELECT i FROM generate_series(1, 50) i;",
        )
        .await;
    database
}

/// Changes both tables: some rows, some new ones.
async fn change(client: &tokio_postgres::Client, round: u32) {
    let change = format!(
        "BEGIN;
         UPDATE deal SET amount = amount + 1, round = {round}, updated_at = clock_timestamp() WHERE id % 10 = {round} % 10;
         INSERT INTO deal (id, amount, round) VALUES ({}, 1, {round});
         UPDATE owner SET round = {round}, updated_at = clock_timestamp();
         COMMIT",
        1_000_000 + round
    );
    client.batch_execute(&change).await.unwrap();
}

/// What a reader of the source sees.
async fn truth(client: &tokio_postgres::Client) -> String {
    let seen = client.simple_query(SEEN).await.unwrap();
    let row = seen.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let row = row.unwrap();
    (0..row.len()).map(|column| row.get(column).unwrap()).collect::<Vec<_>>().join("|")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_moment_loses_nothing() {
    let number = |name: &str, otherwise| std::env::var(name).map_or(otherwise, |text| text.parse().unwrap());
    let (kills, seed) = (number("TRIBUTARY_KILLS", KILLS), number("TRIBUTARY_SEED", 7));
    let random = &mut StdRng::seed_from_u64(u64::from(seed));
    let database = source().await;
    let client = database.connect().await;
    let mut server = Server::start();
    link(&server, &database);
    server.rows(&[
        "CALL add_object('crm', 'public.deal', unique_fields => 'id', cursor_field => 'updated_at')",
        "CALL add_object('crm', 'public.owner', unique_fields => 'id', cursor_field => 'updated_at')",
    ]);
    let mut releases = BTreeMap::new();
    let mut durations = BTreeMap::new();
    const CALLS: [&str; 4] =
        ["CALL sync('crm', 'full')", "CALL sync('crm', 'diff')", "CALL optimize('crm')", "CALL vacuum()"];
    for call in CALLS {
        let started = Instant::now();
        server.rows(&[call]);
        durations.insert(call, started.elapsed());
    }
    remember(&server, &mut releases);
    let mut slowest = Duration::ZERO;
    let mut landed = 0;
    for round in 1..=kills {
        let expected = server.rows(&[SEEN]);
        change(&client, round).await;
        let call = CALLS[[0, 0, 1, 1, 1, 2, 3][random.random_range(0..7)]];
        let moment = durations[call].mul_f64(random.random_range(0.0..1.3));
        let mut caller = server
            .client("psql")
            .args(["-c", call])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        tokio::time::sleep(moment).await;
        let builder = server.kill();
        caller.wait().unwrap();
        server = builder.start();
        let what = format!("kill {round} (seed {seed}) {moment:?} into {call}");
        slowest = slowest.max(server.started_in);
        assert!(server.started_in < RESTART_LIMIT, "{what}: started in {:?}", server.started_in);
        let (seen, truth) = (server.rows(&[SEEN]), truth(&client).await);
        assert!(seen == expected || seen == truth, "{what}: {seen} is neither {expected} nor {truth}");
        landed += u32::from(seen == truth);
        server.rows(&["CALL sync('crm', 'diff')"]);
        assert_eq!(server.rows(&[SEEN]), truth, "{what}: after the next diff");
        remember(&server, &mut releases);
    }
    assert_eq!(server.rows(&["SELECT count(*) FROM tributary.run WHERE status = 'running'"]), "0");
    println!(
        "{kills} kills, {landed} after the release, slowest start {slowest:?}, {} releases",
        releases.len()
    );
}

/// Reads the newest releases and an old one; what was seen of a release once must be seen again.
fn remember(server: &Server, releases: &mut BTreeMap<i64, String>) {
    let newest: i64 = server.rows(&["SELECT max(id) FROM tributary.release"]).parse().unwrap();
    let old = releases.keys().copied().filter(|id| newest - id >= 4 && id % 7 == newest % 7);
    let wanted: Vec<i64> = old.chain((newest - 3).max(1)..=newest).collect();
    for id in wanted {
        let seen = server.rows(&[&format!("SET tributary.as_of = '{id}'"), SEEN]);
        let first_seen = releases.entry(id).or_insert_with(|| seen.clone());
        assert_eq!(*first_seen, seen, "release {id} has changed");
        let numbers: Vec<&str> = seen.trim_start_matches("SET\n").split('|').collect();
        assert_eq!(numbers[0], numbers[1], "release {id} mixes two rounds: {seen}");
        assert_eq!(numbers[2], numbers[3], "release {id} has a key twice: {seen}");
    }
}
