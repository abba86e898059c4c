//! Runs that are held: listed, approved, rejected, forced.

use super::{count, linked, newest, reasons, says};

const DEALS: &str =
    "CREATE TABLE deal (id int PRIMARY KEY, stage text, updated_at timestamptz NOT NULL DEFAULT now());
                     CREATE INDEX ON deal (updated_at);
                     INSERT INTO deal SELECT i, 'open' FROM generate_series(1, 100) i";
const ADOPT: &str = "CALL add_object('crm', 'public.deal', cursor_field => 'updated_at')";

#[tokio::test(flavor = "multi_thread")]
async fn what_would_be_removed_can_be_read_and_approved() {
    let (database, server) = linked(DEALS).await;
    server.rows(&[ADOPT, "CALL sync('crm', 'full')"]);
    database.execute("DELETE FROM deal WHERE id > 60").await;
    let synced = server.rows(&["CALL sync('crm', 'full')"]);
    says(&synced, &["|held|", "from 100 to 60", "losing 40 of them", "CALL approve(2", "CALL reject(2)"]);
    assert_eq!((count(&server), reasons(&server).as_str()), (100, "deleted|40"));
    let listed = "SELECT object, key, removed FROM tributary.removal ORDER BY length(key), key LIMIT 1";
    assert_eq!(server.rows(&[listed]), "crm.deal|{\"id\":\"61\"}|f");
    let state = "SELECT state, state_reason FROM tributary.object";
    says(&server.rows(&[state]), &["held|run 2: ", "readers have the 100 rows published before"]);
    assert_eq!(server.rows(&["SELECT count(*) FROM tributary.release"]), "1");

    says(&server.error("CALL approve()"), &["name either a run or an object"]);
    says(&server.error("CALL approve(99)"), &["there is no run 99"]);
    says(&server.error("CALL approve(1)"), &["run 1 of `crm.deal` is not held", "`succeeded`"]);
    says(&server.error("CALL approve(object => 'crm.dael')"), &["did you mean `crm.deal`"]);
    let approved = server.rows(&["CALL approve(2, reason => 'cleaned up')"]);
    says(&approved, &["2|crm.deal|succeeded with warnings|60|2|approved by admin (cleaned up): "]);
    assert_eq!(count(&server), 60);
    assert_eq!(server.rows(&["SET tributary.as_of = '1'", "SELECT count(*) FROM deal"]), "SET\n100");
    assert_eq!(server.rows(&["SELECT bool_and(removed) FROM tributary.removal"]), "t");
    says(&server.rows(&[state]), &["current|"]);
    let audit = "SELECT actor, arguments, outcome FROM tributary.audit WHERE verb = 'approve' ORDER BY at DESC LIMIT 1";
    says(&server.rows(&[audit]), &["admin|", "\"reason\":\"cleaned up\"", "|done"]);
    says(&server.error("CALL approve(2)"), &["is not held"]);
    // The next diff goes on from there.
    server.rows(&["CALL sync('crm', 'diff')"]);
    assert_eq!(newest(&server), ("succeeded".into(), [0, 0, 0, 60]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_rejected_is_as_if_it_had_not_been_read() {
    let (database, server) = linked(DEALS).await;
    server.rows(&[ADOPT, "CALL sync('crm', 'full')"]);
    database.execute("DELETE FROM deal WHERE id > 20").await;
    server.rows(&["CALL sync('crm', 'full')"]);
    // A diff sees no deletions. It goes on from what is held, and is held for the same reason.
    database.execute("UPDATE deal SET stage = 'won', updated_at = now() WHERE id = 1").await;
    let synced = server.rows(&["CALL sync('crm', 'diff')"]);
    says(&synced, &["|held|", "from 100 to 20"]);
    assert_eq!(server.rows(&["SELECT count(*), max(stage) FROM deal"]), "100|open");
    says(&server.error("CALL reject(2)"), &["run 2 of `crm.deal` was followed by another one"]);
    let rejected = server.rows(&["CALL reject(object => 'crm.deal', reason => 'a test system')"]);
    says(&rejected, &["3|crm.deal|rejected|", "rejected by admin (a test system)"]);
    says(&server.error("CALL approve(3)"), &["`rejected`"]);
    says(&server.rows(&["SELECT state FROM tributary.object"]), &["rejected"]);
    // The source was mended: what changed meanwhile is read again, and nothing else is written.
    database.execute("INSERT INTO deal SELECT i, 'open', '2020-01-01' FROM generate_series(21, 100) i").await;
    server.rows(&["CALL sync('crm', 'diff')"]);
    assert_eq!(newest(&server), ("succeeded".into(), [0, 1, 0, 100]));
    assert_eq!(server.rows(&["SELECT count(*), max(stage) FROM deal"]), "100|won");
    server.rows(&["CALL sync('crm', 'full')"]);
    assert_eq!(newest(&server).1, [0, 80, 0, 100], "80 rows were made anew with another date");
}

#[tokio::test(flavor = "multi_thread")]
async fn force_needs_a_reason_and_leaves_it() {
    let (database, server) = linked(DEALS).await;
    server.rows(&[ADOPT, "CALL sync('crm', 'full')"]);
    database.execute("DELETE FROM deal WHERE id > 10").await;
    says(&server.error("CALL sync('crm', 'full', force => true)"), &["22023", "`force` needs a reason"]);
    let synced = server.rows(&["CALL sync('crm', 'full', force => true, reason => 'moved to archive')"]);
    says(&synced, &["|succeeded with warnings|"]);
    assert_eq!(count(&server), 10);
    let run = "SELECT warnings FROM tributary.run ORDER BY id DESC LIMIT 1";
    says(&server.rows(&[run]), &["published by force (moved to archive) although `crm.deal` would go"]);
    let audit = "SELECT arguments FROM tributary.audit WHERE verb = 'sync' ORDER BY at DESC LIMIT 1";
    says(&server.rows(&[audit]), &["moved to archive"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn reasons_of_postgresql_are_told_apart() {
    let (database, server) = linked(DEALS).await;
    server.rows(&[
        ADOPT,
        "CALL set_import('crm', 'deal', filter => 'stage = ''open''')",
        "CALL sync('crm', 'full')",
    ]);
    database
        .execute("DELETE FROM deal WHERE id <= 3; UPDATE deal SET stage = 'won' WHERE id IN (4, 5)")
        .await;
    server.rows(&["CALL sync('crm', 'full')"]);
    assert_eq!(reasons(&server), "deleted|3\nleft the filter|2");
    let run = "SELECT deleted, merged, left_filter, not_visible, unknown FROM tributary.run ORDER BY id DESC LIMIT 1";
    assert_eq!(server.rows(&[run]), "5|0|2|0|0");
    // Rows that a policy hides are not there and not deleted: nobody can tell.
    let user = format!("reader_{}", database.name);
    database
        .execute(&format!(
            "CREATE ROLE {user} LOGIN PASSWORD 'secret'; GRANT SELECT ON deal TO {user};
             ALTER TABLE deal ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON deal TO {user} USING (id > 10)"
        ))
        .await;
    let settings = format!(
        r#"{{"host":"127.0.0.1","port":{},"database":"{}","user":"{user}","sslmode":"disable"}}"#,
        database.port, database.name
    );
    server.rows(&[
        &format!("CALL connect('postgresql', name => 'seen', settings => '{settings}')"),
        "CALL set_secret('seen', 'password', 'secret')",
        "CALL add_object('seen', 'public.deal')",
        "CALL sync('seen', 'full')",
    ]);
    database.execute("ALTER POLICY p ON deal USING (id > 15)").await;
    server.rows(&["CALL sync('seen', 'full')"]);
    assert_eq!(reasons(&server), "unknown|5");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mass_drop_is_held_and_every_small_one_passes() {
    let (database, server) = linked("CREATE TABLE deal (id int PRIMARY KEY)").await;
    database.execute("INSERT INTO deal SELECT generate_series(1, 200)").await;
    server.rows(&["CALL add_object('crm', 'public.deal')", "CALL sync('crm', 'full')"]);
    for percent in [31, 40, 55, 70, 85, 99, 100] {
        database.execute(&format!("DELETE FROM deal WHERE id > {}", 200 - 2 * percent)).await;
        // As many others do not hide it.
        if percent % 2 == 1 {
            database
                .execute(&format!("INSERT INTO deal SELECT 1000 + generate_series(1, {})", 2 * percent))
                .await;
        }
        says(&server.rows(&["CALL sync('crm', 'full')"]), &["|held|"]);
        assert_eq!(count(&server), 200, "{percent} %");
        server.rows(&["CALL reject(object => 'deal')"]);
        database.execute("TRUNCATE deal; INSERT INTO deal SELECT generate_series(1, 200)").await;
        server.rows(&["CALL sync('crm', 'full')"]);
        assert_eq!(newest(&server), ("succeeded".into(), [0, 0, 0, 200]), "{percent} %");
    }
    database.execute("DELETE FROM deal WHERE id > 140").await;
    says(&server.rows(&["CALL sync('crm', 'full')"]), &["|succeeded|"]);
    assert_eq!(count(&server), 140);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_sync_that_is_rejected_is_read_in_full_again() {
    let (database, server) =
        linked("CREATE TABLE deal (id int, at int NOT NULL); CREATE INDEX ON deal (at)").await;
    database.execute("INSERT INTO deal SELECT i % 30, i FROM generate_series(1, 100) i").await;
    server.rows(&["CALL add_object('crm', 'public.deal', unique_fields => 'id', cursor_field => 'at')"]);
    says(&server.rows(&["CALL sync('crm', 'full')"]), &["|held|", "70 of 100 rows"]);
    says(&server.error("SELECT * FROM deal"), &["42P01"]);
    server.rows(&["CALL reject(1)"]);
    database.execute("DELETE FROM deal; INSERT INTO deal SELECT i, i FROM generate_series(1, 50) i").await;
    let synced = server.rows(&["CALL sync('crm', 'diff')"]);
    says(&synced, &["|full|succeeded|"]);
    assert_eq!(count(&server), 50);
}
