//! What changes do not tell is found in the night all the same.

use super::last;
use crate::support::link;
use crate::support::postgres;
use crate::support::server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_gone_leave_with_the_batch_unless_somebody_said_otherwise() {
    let database = postgres::database().await;
    let table = |name: &str| {
        format!(
            "CREATE TABLE {name} (id int PRIMARY KEY, amount numeric(18,2),
                 updated_at timestamptz NOT NULL DEFAULT clock_timestamp());
             INSERT INTO {name} SELECT i, i FROM generate_series(1, 100) i;"
        )
    };
    database.execute(&format!("{}{}", table("deal"), table("note"))).await;
    let server = Server::start();
    link(&server, &database);
    server.rows(&[
        "CALL add_object('crm', 'public.deal', unique_fields => 'id', cursor_field => 'updated_at')",
        "CALL add_object('crm', 'public.note', unique_fields => 'id', cursor_field => 'updated_at')",
        "CALL sync('crm', 'full')",
        "CALL set_import('crm', 'note', sweep => false)",
        "CALL create_statement('counted', $$SELECT count(*) AS deals FROM crm.deal$$)",
    ]);
    assert_eq!(server.rows(&["SELECT name, sweep FROM tributary.object ORDER BY 1"]), "deal|t\nnote|f");
    database.execute("DELETE FROM deal WHERE id <= 7; DELETE FROM note WHERE id <= 7").await;
    database.execute("UPDATE deal SET amount = -1, updated_at = clock_timestamp() WHERE id = 50").await;
    assert!(last(&server, &["CALL run_batch()"]).contains("|succeeded|"));
    let counts = "SELECT (SELECT count(*) FROM crm.deal), (SELECT count(*) FROM crm.note),
        (SELECT amount FROM crm.deal WHERE id = 50), (SELECT deals FROM statement.counted)";
    assert_eq!(server.rows(&[counts]), "93|100|-1.00|93");
    let runs = "SELECT object, mode, deleted, updated FROM tributary.run ORDER BY id DESC LIMIT 2";
    let runs = server.rows(&[runs]);
    assert!(runs.contains("crm.deal|sweep|7|1") && runs.contains("crm.note|diff|0|0"), "{runs}");
    // More than may disappear is held, in the night as ever.
    database.execute("DELETE FROM deal WHERE id <= 60").await;
    let row = last(&server, &["CALL run_batch()"]);
    assert!(row.contains("|partial|"), "{row}");
    assert_eq!(server.rows(&["SELECT count(*) FROM crm.deal"]), "93");
}

#[test]
fn a_batch_is_ended_by_its_name() {
    let server = Server::demo();
    let error = server.error("CALL cancel_batch('2020-01-01')");
    assert!(error.contains("there is no batch `2020-01-01`"), "{error}");
    // Behind others it has not begun.
    let names: Vec<_> = (0..4)
        .map(|_| {
            server.rows(&["CALL run_batch(wait => false)"]);
            last(&server, &["SELECT name FROM tributary.batch ORDER BY id DESC LIMIT 1"])
        })
        .collect();
    server.rows(&[&format!("CALL cancel_batch('{}')", names[3])]);
    let status = |name: &str| format!("SELECT status FROM tributary.batch WHERE name = '{name}'");
    super::until("it has ended", || last(&server, &[&status(&names[3])]) == "cancelled");
    super::until("the others have ended", || last(&server, &[&status(&names[2])]) == "succeeded");
    let error = server.error(&format!("CALL cancel_batch('{}')", names[3]));
    assert!(error.contains("has ended: cancelled"), "{error}");
}
