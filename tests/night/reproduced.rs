//! A night of the demonstration: three systems, and pay that is the same whenever it is computed again.

use super::last;
use crate::support::server::Server;

const STATEMENTS: &[(&str, &str, &str)] = &[
    (
        "credited",
        "owner_id",
        "SELECT owner_id, count(*) AS deals, sum(amount) AS total, avg(amount) AS mean FROM demo.opportunity \
         WHERE stage = 'Closed Won' AND amount IS NOT NULL GROUP BY owner_id",
    ),
    (
        "commission_q4",
        "owner_id",
        "SELECT o.owner_id, o.owner_name, c.total, c.total * o.base_rate AS commission, c.total / 7 AS share, \
         now() AS computed_on FROM statement.credited c JOIN demo.owner o USING (owner_id)",
    ),
    (
        "pipeline",
        "dealstage",
        "SELECT dealstage, count(*) AS deals, sum(amount) AS total FROM hubspot.deal GROUP BY dealstage",
    ),
    (
        "booked",
        "stage_name",
        "SELECT stage_name, count(*) AS deals, sum(amount) AS total FROM salesforce.opportunity GROUP BY stage_name",
    ),
    (
        "company_total",
        "",
        "SELECT (SELECT sum(commission) FROM statement.commission_q4) AS commission, \
         (SELECT sum(total) FROM statement.pipeline) AS pipeline, (SELECT sum(total) FROM statement.booked) AS booked",
    ),
];

fn results(server: &Server, as_of: &str) -> Vec<String> {
    let read = |name: &str| {
        server.rows(&[
            &format!("SET tributary.as_of = '{as_of}'"),
            &format!("SELECT * FROM statement.{name} ORDER BY 1"),
        ])
    };
    STATEMENTS.iter().map(|(name, ..)| read(name)).collect()
}

#[test]
fn a_past_result_is_computed_again_to_the_cent() {
    let server = Server::demo();
    server.rows(&["CALL add_object('salesforce', 'Opportunity')", "CALL sync('salesforce', 'full')"]);
    for (name, key, query) in STATEMENTS {
        let made = server.rows(&[&format!(
            "CALL create_statement('{name}', $${query}$$, unique_fields => '{key}', description => 'Of the test')"
        )]);
        assert!(made.starts_with(&format!("statement.{name}|")), "{made}");
    }
    let night = |server: &Server| {
        let row = server.rows(&["CALL run_batch()"]);
        let fields: Vec<String> = row.split('|').map(str::to_string).collect();
        assert_eq!(fields[5], "succeeded", "{row}");
        fields[1].clone()
    };
    let first = night(&server);
    let date = last(&server, &["SELECT current_date"]);
    assert_eq!(first, date, "without a schedule a batch is called by its date");
    let then = results(&server, &format!("batch {first}"));
    assert!(then.iter().all(|rows| rows.lines().count() > 1), "{then:?}");
    // The release of the batch is what its statements read, whatever came after.
    let count = "SELECT count(*), sum(amount) FROM hubspot.deal";
    let deals = last(&server, &[&format!("SET tributary.as_of = 'batch {first}'"), count]);

    // Two more nights, in which the vendors' deals moved.
    for n in 1..=2 {
        let before = last(&server, &[count]);
        super::until("deals move", || {
            server.rows(&["CALL sync('hubspot', 'diff')"]);
            last(&server, &[count]) != before
        });
        assert_eq!(night(&server), format!("{date}.{n}"));
    }
    server.rows(&["CALL optimize('demo')", "CALL optimize('hubspot')", "CALL optimize('statement')"]);
    let removed = "SELECT count(*) FROM tributary.release WHERE removed_at IS NOT NULL";
    server.rows(&["CALL set_retention(0)", "CALL vacuum(grace_hours => 0)"]);
    assert_ne!(last(&server, &[removed]), "0", "what no result needs is gone");
    let server = server.kill().start();

    assert_ne!(results(&server, "latest"), then, "the newest is another one");
    assert_eq!(results(&server, &format!("batch {first}")), then);
    assert_eq!(last(&server, &[&format!("SET tributary.as_of = 'batch {first}'"), count]), deals);
    for (name, ..) in STATEMENTS {
        for batch in [first.clone(), format!("{date}.1"), format!("{date}.2")] {
            let row = server.rows(&[&format!("CALL verify_statement('{name}', '{batch}')")]);
            let fields: Vec<&str> = row.split('|').collect();
            assert_eq!((fields[0], fields[1], fields[4]), (*name, batch.as_str(), "t"), "{row}");
            assert!(fields[5] == fields[6] && fields[5] != "0" && fields[7] == "0", "{row}");
        }
    }

    // A record that leaves the past changes what the past gives: then the comparison says so.
    let won =
        "SELECT id FROM demo.opportunity WHERE stage = 'Closed Won' AND amount > 1000 ORDER BY id LIMIT 1";
    let id = last(&server, &[won]);
    server.rows(&[&format!(
        "CALL erase('demo', 'opportunity', key => '{id}', reason => 'test', wait_secs => 0)"
    )]);
    let row = server.rows(&[&format!("CALL verify_statement('credited', '{first}')")]);
    assert!(row.contains("|f|") && row.ends_with("|1|0|0|1"), "{row}");

    // Without the statement nothing needs its releases any more.
    let kept = || last(&server, &["SELECT count(*) FROM tributary.release WHERE removed_at IS NULL"]);
    assert!(kept().parse::<u32>().unwrap() > 3, "{}", kept());
    for (name, ..) in STATEMENTS.iter().rev() {
        server.rows(&[&format!("CALL drop_statement('{name}')")]);
    }
    server.rows(&["CALL vacuum(grace_hours => 0)"]);
    assert_eq!(kept(), "1");
    assert!(server.error("SELECT * FROM statement.pipeline").contains("does not exist"));
}
