//! Random scripts through SQL: after any changes a diff gives what a full sync gives, and running again writes nothing.

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::resume::dies_at;
use super::{linked, linked_to, newest};
use crate::conformance::replica::{Table, plain};
use crate::conformance::vendor::Vendor;
use crate::support::server::Server;

/// Scripts of an ordinary test run, for each source; `TRIBUTARY_SEEDS` says another number.
const SCRIPTS: u64 = 2;

fn scripts() -> u64 {
    std::env::var("TRIBUTARY_SEEDS").map_or(SCRIPTS, |text| text.parse().unwrap())
}

/// A second diff and a full sync find nothing that the first diff did not.
fn changes_nothing(server: &Server, when: &str) {
    for mode in ["diff", "full"] {
        server.rows(&[&format!("CALL sync('crm', '{mode}')")]);
        let (status, [inserted, updated, deleted, _]) = newest(server);
        assert!(status.starts_with("succeeded"), "{when}, {mode}: {status}");
        assert_eq!([inserted, updated, deleted], [0, 0, 0], "{when}, {mode}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_diff_of_a_vendor_gives_what_a_full_sync_gives() {
    for name in ["hubspot", "salesforce"] {
        for seed in 0..scripts() {
            let vendor = Arc::new(Vendor::start(name, 100 + seed).await);
            let server = linked_to(&vendor);
            server.rows(&["CALL sync('crm', 'full')"]);
            let (mut random, mut deleted) = (StdRng::seed_from_u64(seed), Vec::new());
            for round in 0..3 {
                for _ in 0..random.random_range(1..25) {
                    vendor.anything(&mut random, &mut deleted);
                }
                vendor.settle();
                // Now and then a full sync breaks off, the world goes on, and the next one does from there.
                let breaks_off = random.random_bool(0.4);
                if breaks_off {
                    dies_at(&vendor, random.random_range(0..3));
                    server.psql(&["CALL sync('crm', 'full')"]);
                    vendor.traffic().heal();
                    for _ in 0..random.random_range(0..10) {
                        vendor.anything(&mut random, &mut deleted);
                    }
                    vendor.settle();
                }
                let mode = if breaks_off { "full" } else { "diff" };
                server.rows(&[&format!("CALL sync('crm', '{mode}')")]);
                let when = format!("{name}, seed {seed}, round {round}");
                let names = match name {
                    "hubspot" => "id, dealname, dealstage, amount",
                    _ => "id, name, stage_name, amount",
                };
                let rows = format!("SELECT {names}::text FROM crm.deal");
                let rows = server.connect().await.query(&rows, &[]).await.unwrap();
                let row = |row: &tokio_postgres::Row| {
                    let values = (1..4).map(|at| {
                        row.get::<_, Option<String>>(at).map(|text| match at {
                            3 => plain(&text),
                            _ => text,
                        })
                    });
                    (row.get::<_, String>(0), values.collect::<Vec<_>>())
                };
                let (kept, truth): (Table, Table) = (rows.iter().map(row).collect(), vendor.truth());
                assert_eq!(kept, truth, "{when}");
                changes_nothing(&server, &when);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_diff_of_a_postgresql_gives_what_a_full_sync_gives() {
    for seed in 0..scripts() {
        let (database, server) = linked(
            "CREATE TABLE deal (id int PRIMARY KEY, amount numeric(18,2), at timestamptz NOT NULL DEFAULT now());
             INSERT INTO deal SELECT i, i FROM generate_series(1, 300) i",
        )
        .await;
        server.rows(&[
            "CALL add_object('crm', 'public.deal', cursor_field => 'at')",
            "CALL sync('crm', 'full')",
        ]);
        let mut random = StdRng::seed_from_u64(seed);
        for round in 0..4 {
            let mut sql = String::new();
            for _ in 0..random.random_range(1..40) {
                let id = random.random_range(1..400);
                sql.push_str(&match random.random_range(0..5) {
                    0 => format!("DELETE FROM deal WHERE id = {id};"),
                    1 | 2 => format!(
                        "UPDATE deal SET amount = amount + 1, at = clock_timestamp() WHERE id = {id};"
                    ),
                    _ => format!(
                        "INSERT INTO deal VALUES ({id}, {id}.5) ON CONFLICT (id) DO UPDATE
                         SET amount = 7, at = clock_timestamp();"
                    ),
                });
            }
            database.execute(&sql).await;
            // A diff of a table is told of no deletions; a sweep finds them.
            server.rows(&["CALL sync('crm', 'sweep')"]);
            let both = "SELECT count(*), sum(amount), sum(id * amount) FROM deal";
            let sums = "SELECT count(*)::text || '|' || sum(amount)::text || '|' || sum(id * amount)::text FROM deal";
            let row = database.connect().await.query_one(sums, &[]).await.unwrap();
            assert_eq!(server.rows(&[both]), row.get::<_, String>(0), "seed {seed}, {round}");
            changes_nothing(&server, &format!("seed {seed}, round {round}"));
        }
    }
}
