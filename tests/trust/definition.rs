//! Caps, replacements, previews, and definitions that change: what is read for it is what it needs.

use super::{count, linked, linked_to, newest, reasons, says};
use crate::conformance::vendor::Vendor;

#[tokio::test(flavor = "multi_thread")]
async fn a_maximum_stops_cleanly_and_removes_nothing() {
    let (database, server) =
        linked("CREATE TABLE deal (id int PRIMARY KEY, at timestamptz DEFAULT now())").await;
    database.execute("INSERT INTO deal SELECT generate_series(1, 100)").await;
    server.rows(&["CALL add_object('crm', 'public.deal', cursor_field => 'at')", "CALL sync('crm', 'full')"]);
    server.rows(&["CALL set_import('crm', 'deal', max_rows => 40)"]);
    database.execute("DELETE FROM deal WHERE id <= 5").await;
    let synced = server.rows(&["CALL sync('crm', 'full')"]);
    says(&synced, &["|capped|40|", "stopped at the maximum number of records (40)", "max_rows"]);
    assert_eq!(count(&server), 100, "rows that a capped read did not see are not gone");
    says(&server.rows(&["SELECT state FROM tributary.object"]), &["capped"]);
    // Another key makes it another table: what is read of it is not everything, and does not become everything.
    server.rows(&["CALL set_fields('crm', 'deal', fields => 'id')"]);
    server.psql(&["CALL sync('crm', 'full')"]);
    assert_eq!(count(&server), 100);
    server.rows(&["CALL set_import('crm', 'deal', max_rows => 0)"]);
    server.rows(&["CALL sync('crm', 'full')"]);
    assert_eq!(count(&server), 95);
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_all_before_a_sync_is_one_swap_and_keeps_the_past() {
    let (database, server) = linked("CREATE TABLE deal (id int PRIMARY KEY, name text)").await;
    database.execute("INSERT INTO deal SELECT i, 'old' FROM generate_series(1, 100) i").await;
    server.rows(&[
        "CALL add_object('crm', 'public.deal')",
        "CALL set_import('crm', 'deal', delete_all_before_sync => true)",
        "CALL sync('crm', 'full')",
    ]);
    database
        .execute("DELETE FROM deal WHERE id <= 10; UPDATE deal SET name = 'new'; INSERT INTO deal VALUES (101, 'new')")
        .await;
    // Somebody reads all the time: there is no moment without rows.
    let reader = server.connect().await;
    let reading = tokio::spawn(async move {
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..400 {
            let row =
                reader.query_one("SELECT count(*), count(DISTINCT name), min(name) FROM crm.deal", &[]).await;
            let row = row.unwrap();
            seen.insert((row.get::<_, i64>(0), row.get::<_, i64>(1), row.get::<_, String>(2)));
        }
        seen
    });
    server.rows(&["CALL sync('crm', 'diff')"]);
    let seen = reading.await.unwrap();
    let allowed = [(100, 1, "old".to_string()), (91, 1, "new".to_string())];
    assert!(seen.iter().all(|row| allowed.contains(row)), "{seen:?}");
    assert_eq!(newest(&server), ("succeeded".into(), [1, 90, 10, 91]));
    assert_eq!(
        server.rows(&["SET tributary.as_of = '1'", "SELECT count(*), max(name) FROM deal"]),
        "SET\n100|old"
    );
    assert_eq!(server.rows(&["SELECT count(*) FROM diff('crm.deal', 1, 2)"]), "101");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_shows_records_and_what_the_source_is_told() {
    let (database, server) = linked("CREATE TABLE deal (id int PRIMARY KEY, name text)").await;
    database.execute("INSERT INTO deal SELECT i, 'n' || i FROM generate_series(1, 100) i").await;
    server.rows(&["CALL add_object('crm', 'public.deal')"]);
    server.rows(&["CALL set_import('crm', 'deal', filter => 'id > 98')"]);
    let out = server.psql(&["CALL preview('crm', 'deal', 5)"]);
    let (rows, told) = (String::from_utf8(out.stdout).unwrap(), String::from_utf8(out.stderr).unwrap());
    assert_eq!(rows.lines().count(), 2, "{rows}");
    says(&rows, &[r#"{"id":"99","name":"n99"}"#, r#"{"id":"100","name":"n100"}"#]);
    says(&told, &["PostgreSQL is told WHERE", "98"]);
    assert_eq!(server.rows(&["SELECT count(*) FROM tributary.run"]), "0");
    says(&server.error("CALL preview('crm', 'deal', 0)"), &["`n` cannot be 0", "1 to 1000"]);
    says(&server.error("CALL preview('crm', 'dael')"), &["did you mean `deal`"]);

    let vendor = Vendor::start("salesforce", 7).await;
    let server = linked_to(&vendor);
    server.rows(&["CALL set_import('crm', 'deal', filter => 'amount > 100000')"]);
    let out = server.psql(&["CALL preview('crm', 'deal', n => 3)"]);
    assert_eq!(String::from_utf8(out.stdout).unwrap().lines().count(), 3);
    says(&String::from_utf8(out.stderr).unwrap(), &["Amount > 100000"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_field_is_read_alone_and_saved_with_a_sync() {
    let vendor = Vendor::start("hubspot", 7).await;
    let Vendor::HubSpot(running) = &vendor else { panic!() };
    let server = linked_to(&vendor);
    server.rows(&[
        "CALL set_fields('crm', 'deal', fields => 'id,dealname,dealstage')",
        "CALL sync('crm', 'full')",
    ]);
    let live = running.control.live("deals");
    running.control.update("deals", live[0].id, &[("dealname", "changed")]);
    running.control.archive("deals", live[1].id);
    vendor.settle();
    vendor.traffic().reset();
    server.rows(&["CALL set_fields('crm', 'deal', fields => 'id,dealname,dealstage,amount', sync => true)"]);
    let run = "SELECT mode, status FROM tributary.run ORDER BY id DESC LIMIT 1";
    assert_eq!(server.rows(&[run]), "diff|succeeded with warnings");
    let warned = server.rows(&["SELECT warnings FROM tributary.run ORDER BY id DESC LIMIT 1"]);
    says(&warned, &["read alone for the rows that are there: amount"]);
    for call in vendor.traffic().log().iter().filter(|call| call.uri.starts_with("/crm/v3/objects/deals?")) {
        let is_fill = call.uri.contains("archived=false");
        assert!(!is_fill || (call.uri.contains("amount") && !call.uri.contains("dealstage")), "{}", call.uri);
    }
    let all = "SELECT id, dealname, dealstage, amount::text FROM crm.deal";
    let rows = server.connect().await.query(all, &[]).await.unwrap();
    let row = |row: &tokio_postgres::Row| {
        let values = (1..4).map(|at| {
            row.get::<_, Option<String>>(at).map(|text| match at {
                3 => crate::conformance::replica::plain(&text),
                _ => text,
            })
        });
        (row.get::<_, String>(0), values.collect::<Vec<_>>())
    };
    let kept: crate::conformance::replica::Table = rows.iter().map(row).collect();
    assert_eq!(kept, vendor.truth());
    // What is deselected is not read, and what is selected again holds nothing of the time between.
    server.rows(&["CALL set_fields('crm', 'deal', fields => 'id,dealname,dealstage')", "CALL sync('crm')"]);
    running.control.update("deals", live[2].id, &[("amount", "77.5")]);
    running.control.update_silently("deals", live[3].id, &[("amount", "88.5")]);
    vendor.settle();
    server.rows(&["CALL sync('crm')"]);
    server.rows(&[
        "CALL set_fields('crm', 'deal', fields => 'id,dealname,dealstage,amount')",
        "CALL sync('crm')",
    ]);
    let amounts = format!(
        "SELECT amount::float8 FROM crm.deal WHERE id IN ('{}', '{}') ORDER BY 1",
        live[2].id, live[3].id
    );
    assert_eq!(server.rows(&[&amounts]), "77.5\n88.5");
    server.rows(&["CALL sync('crm', 'full')"]);
    assert_eq!(newest(&server).1, [0, 0, 0, vendor.truth().len() as u64]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_sees_what_no_change_tells() {
    let vendor = Vendor::start("salesforce", 7).await;
    let Vendor::Salesforce(running) = &vendor else { panic!() };
    let server = linked_to(&vendor);
    let volatile = "SELECT string_agg(name, ',') FROM tributary.field WHERE object = 'deal' AND volatile";
    let volatile = server.rows(&[volatile]);
    assert!(!volatile.is_empty());
    server.rows(&[
        &format!("CALL set_fields('crm', 'deal', fields => 'id,name,stage_name,amount,{volatile}')"),
        "CALL sync('crm', 'full')",
    ]);
    let live = running.control.live("Opportunity");
    for record in &live[..3] {
        running.control.unshare("Opportunity", &record.id);
    }
    running.control.delete("Opportunity", &live[3].id);
    running.control.update("Opportunity", &live[4].id, &[("Name", "changed".into())]);
    vendor.settle();
    let synced = server.rows(&["CALL sync('crm', 'sweep')"]);
    says(&synced, &["|sweep|succeeded"]);
    assert_eq!(reasons(&server), "deleted|1\nnot visible to this login|3");
    assert_eq!(count(&server), vendor.truth().len() as u64);
    assert_eq!(server.rows(&["SELECT count(*) FROM crm.deal WHERE name = 'changed'"]), "1");
    for mode in ["sweep", "diff", "full"] {
        server.rows(&[&format!("CALL sync('crm', '{mode}')")]);
        assert_eq!(newest(&server).1, [0, 0, 0, vendor.truth().len() as u64], "{mode}");
    }
    // Losing too much is held here too.
    for record in &live[5..150] {
        running.control.unshare("Opportunity", &record.id);
    }
    let before = count(&server);
    says(&server.rows(&["CALL sync('crm', 'sweep')"]), &["|sweep|held|", "losing 145 of them"]);
    assert_eq!(reasons(&server), "not visible to this login|145");
    assert_eq!(count(&server), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn volatile_fields_are_brought_up_to_date_by_a_sweep_alone() {
    let vendor = Vendor::start("hubspot", 7).await;
    let Vendor::HubSpot(running) = &vendor else { panic!() };
    let server = linked_to(&vendor);
    let volatile = "SELECT name FROM tributary.field WHERE object = 'deal' AND volatile AND type LIKE 'numeric%' LIMIT 1";
    let name = server.rows(&[volatile]);
    let api = server.rows(&[&format!(
        "SELECT source_field FROM tributary.field WHERE object = 'deal' AND name = '{name}'"
    )]);
    server.rows(&[
        &format!("CALL set_fields('crm', 'deal', fields => 'id,dealname,{name}')"),
        "CALL sync('crm', 'full')",
    ]);
    let id = running.control.live("deals")[7].id;
    running.control.update_silently("deals", id, &[(&api, "4321")]);
    vendor.settle();
    let value = format!("SELECT {name}::float8 FROM crm.deal WHERE id = '{id}'");
    server.rows(&["CALL sync('crm', 'diff')"]);
    assert_ne!(server.rows(&[&value]), "4321");
    server.rows(&["CALL sync('crm', 'sweep')"]);
    assert_eq!(server.rows(&[&value]), "4321");
    assert_eq!(newest(&server).1[1], 1, "only the row whose value moved is written");
}

#[tokio::test(flavor = "multi_thread")]
async fn new_fields_are_added_where_that_is_wanted() {
    let (database, server) = linked(
        "CREATE TABLE deal (id int PRIMARY KEY, at timestamptz NOT NULL DEFAULT now()); CREATE INDEX ON deal (at);
         INSERT INTO deal SELECT generate_series(1, 50)",
    )
    .await;
    server.rows(&[
        "CALL add_object('crm', 'public.deal', cursor_field => 'at')",
        "CALL set_import('crm', 'deal', new_fields => 'add')",
        "CALL sync('crm')",
    ]);
    says(&server.error("CALL set_import('crm', 'deal', new_fields => 'ad')"), &["`ad`", "`offer` and `add`"]);
    database.execute("ALTER TABLE deal ADD COLUMN note text DEFAULT 'filled'").await;
    let synced = server.rows(&["CALL sync('crm', 'diff')"]);
    says(&synced, &["|diff|succeeded with warnings|"]);
    assert_eq!(server.rows(&["SELECT count(*), min(note), max(note) FROM deal"]), "50|filled|filled");
}
