//! Filters that change: read is what the change needs, and the rows are those of a full sync.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{count, linked, linked_to, newest, reasons, says};
use crate::conformance::vendor::Vendor;
use crate::support::server::Server;

/// Scripts of an ordinary test run, for each source; `TRIBUTARY_SEEDS` says another number.
const SCRIPTS: u64 = 2;

fn scripts() -> u64 {
    std::env::var("TRIBUTARY_SEEDS").map_or(SCRIPTS, |text| text.parse().unwrap())
}

/// Any filter over a name, a stage and an amount; one that follows from `before` now and then.
fn any_filter(random: &mut StdRng, before: &str, [name, stage, amount]: [&str; 3]) -> String {
    let part = |random: &mut StdRng| match random.random_range(0..7) {
        0 => format!("{amount} > {}", random.random_range(0..500_000)),
        1 => format!("{amount} <= {}.5", random.random_range(0..900_000)),
        2 => format!("{amount} IS NULL"),
        3 => format!("{name} LIKE '{}%'", ["D", "A", "B", "N"][random.random_range(0..4)]),
        4 => format!("NOT ({amount} BETWEEN 1000 AND {})", random.random_range(1_000..400_000)),
        5 => format!("{stage} IN ('closedwon', 'Closed Won', 'Prospecting', 'a')"),
        _ => format!("NOT ({stage} = 'closedlost' OR {amount} > {})", random.random_range(0..300_000)),
    };
    let (one, other) = (part(random), part(random));
    match random.random_range(0..6) {
        0 => String::new(),
        1 => one,
        2 => format!("{one} AND {other}"),
        3 => format!("({one}) OR {other}"),
        4 if !before.is_empty() => format!("{before} OR {one}"),
        _ if !before.is_empty() => format!("({before}) AND {one}"),
        _ => one,
    }
}

/// A full sync finds nothing that the diff did not.
fn is_right(server: &Server, when: &str) {
    server.rows(&["CALL sync('crm', 'full')"]);
    let (status, [inserted, updated, deleted, _]) = newest(server);
    assert!(status.starts_with("succeeded"), "{when}: {status}");
    assert_eq!([inserted, updated, deleted], [0, 0, 0], "{when}");
}

fn mode(server: &Server) -> String {
    server.rows(&["SELECT mode FROM tributary.run ORDER BY id DESC LIMIT 1"])
}

fn set_filter(server: &Server, filter: &str) {
    server.rows(&[&format!("CALL set_import('crm', 'deal', filter => $${filter}$$)")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_any_change_of_the_filter_of_a_vendor_the_rows_are_those_of_a_full_sync() {
    for name in ["hubspot", "salesforce"] {
        let (mut diffs, mut changes) = (0, 0);
        for seed in 0..scripts() {
            let vendor = Vendor::start(name, 300 + seed).await;
            let server = linked_to(&vendor);
            let rules =
                ["rows", "nulls"].map(|rule| format!("CALL set_gate('crm', 'deal', '{rule}', off => true)"));
            server.rows(&[&rules[0], &rules[1], "CALL sync('crm', 'full')"]);
            let fields = match name {
                "hubspot" => ["dealname", "dealstage", "amount"],
                _ => ["name", "stage_name", "amount"],
            };
            let (mut random, mut deleted) = (StdRng::seed_from_u64(seed), Vec::new());
            let mut filter = String::new();
            for round in 0..5 {
                for _ in 0..random.random_range(0..12) {
                    vendor.anything(&mut random, &mut deleted);
                }
                vendor.settle();
                filter = any_filter(&mut random, &filter, fields);
                set_filter(&server, &filter);
                server.rows(&["CALL sync('crm', 'diff')"]);
                diffs += u32::from(mode(&server) == "diff");
                changes += 1;
                is_right(&server, &format!("{name}, seed {seed}, round {round}: {filter}"));
            }
        }
        assert!(diffs > 0, "{name}: {diffs} of {changes} changes were read by what they need");
        println!("{name}: {diffs} of {changes} changes of a filter were read by what they need");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_any_change_of_the_filter_of_a_table_the_rows_are_those_of_a_full_sync() {
    for seed in 0..scripts() {
        let (database, server) = linked(
            "CREATE TABLE deal (id int PRIMARY KEY, name text, stage text, amount numeric(18,2),
                 at timestamptz NOT NULL DEFAULT clock_timestamp());
             INSERT INTO deal SELECT i, chr(64 + i % 26), CASE i % 3 WHEN 0 THEN 'a' WHEN 1 THEN 'closedlost' END,
                 CASE WHEN i % 7 > 0 THEN i * 1000.25 END FROM generate_series(1, 500) i",
        )
        .await;
        server.rows(&[
            "CALL add_object('crm', 'public.deal', cursor_field => 'at')",
            "CALL set_gate('crm', 'deal', 'rows', off => true)",
            "CALL set_gate('crm', 'deal', 'nulls', off => true)",
            "CALL sync('crm', 'full')",
        ]);
        let mut random = StdRng::seed_from_u64(seed);
        let mut filter = String::new();
        for round in 0..8 {
            let id = 1_000 + round;
            database.execute(&format!("INSERT INTO deal VALUES ({id}, 'New', NULL, {id})")).await;
            filter = any_filter(&mut random, &filter, ["name", "stage", "amount"]);
            set_filter(&server, &filter);
            server.rows(&["CALL sync('crm', 'diff')"]);
            assert_eq!(mode(&server), "diff", "{filter}");
            let condition = if filter.is_empty() { "true" } else { &filter };
            let truth =
                format!("SELECT count(*)::text || '|' || coalesce(sum(id), 0) FROM deal WHERE {condition}");
            let truth = database.connect().await.query_one(&truth, &[]).await.unwrap().get::<_, String>(0);
            let rows = server.rows(&["SELECT count(*), coalesce(sum(id), 0) FROM deal"]);
            assert_eq!(rows, truth, "seed {seed}, round {round}: {filter}");
            is_right(&server, &format!("seed {seed}, round {round}: {filter}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_narrower_filter_reads_nothing_but_changes_and_a_wider_one_what_it_lets_in() {
    let vendor = Vendor::in_pages("salesforce", 3, 900).await;
    let server = linked_to(&vendor);
    server.rows(&["CALL set_gate('crm', 'deal', 'rows', off => true)", "CALL sync('crm', 'full')"]);
    let all = count(&server);
    let read = || server.rows(&["SELECT mode, rows_read FROM tributary.run ORDER BY id DESC LIMIT 1"]);
    vendor.clock().advance(std::time::Duration::from_secs(3_600));
    set_filter(&server, "amount > 100000");
    let planned = server.rows(&["CALL plan_sync('crm', 'diff')"]);
    says(&planned, &["|diff|0|", "the filter changed: read is what it lets in, removed what it leaves out"]);
    server.rows(&["CALL sync('crm', 'diff')"]);
    assert_eq!(read(), "diff|0");
    let large = count(&server);
    assert!(large < all);
    assert_eq!(reasons(&server), format!("left the filter|{}", all - large));
    // What is asked for is what was left out.
    set_filter(&server, "amount > 50000");
    server.rows(&["CALL sync('crm', 'diff')"]);
    let more = count(&server) - large;
    assert_eq!(read(), format!("diff|{more}"));
    let asked = server.rows(&["SELECT requests FROM tributary.run ORDER BY id DESC LIMIT 1"]);
    says(&asked, &["Amount > 50000", "NOT"]);
    is_right(&server, "wider");
    set_filter(&server, "");
    server.rows(&["CALL sync('crm', 'diff')"]);
    assert_eq!(count(&server), all);
    assert!(read().starts_with("diff|"), "{}", read());
    is_right(&server, "all");
}
