//! `tributary.explain(object, key)`: the timeline of a record.

use super::World;

fn explained(world: &World, columns: &str, key: &str) -> String {
    world.server.rows(&[&format!("SELECT {columns} FROM tributary.explain('crm.deal', {key})")])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_tells_when_it_came_what_changed_and_why_it_went() {
    let mut world = World::new().await;
    world
        .database
        .execute("UPDATE deal SET amount = 97.5, stage = NULL, updated_at = clock_timestamp() WHERE id = 77")
        .await;
    world.sync("diff").await;
    world.correct(77, "amount", "'1200.00'").await;
    world
        .database
        .execute("UPDATE deal SET name = 'other', updated_at = clock_timestamp() WHERE id = 78")
        .await;
    world.sync("diff").await;
    world.server.rows(&["CALL clear_override('crm.deal', '77', reason => 'was right')"]);
    world
        .server
        .rows(&["CALL optimize('crm', 'deal')", "CALL rename_field('crm', 'deal', 'stage', 'phase')"]);
    world.database.execute("DELETE FROM deal WHERE id = 77").await;
    world.sync("full").await;
    world.database.execute("INSERT INTO deal (id, name) VALUES (77, 'back')").await;
    world.sync("diff").await;

    let columns = "release, event, field, old, new, run, mode, by";
    let told = explained(&world, columns, "'77'");
    let lines: Vec<_> = told.lines().filter(|line| !line.contains("updated_at|")).collect();
    let expected = [
        "1|first seen||||1|full|",
        "2|changed|amount|96.25|97.50|2|diff|",
        "2|changed|phase|Lost||2|diff|",
        "3|override set|amount|97.50|1200.00|||admin",
        "5|override cleared|amount|1200.00||||admin",
        "6|last seen||||3|diff|",
        "7|removed||",
        "8|seen again||",
        "8|last seen||||5|diff|",
    ];
    let shown: Vec<_> = lines
        .iter()
        .map(|line| match line.split('|').collect::<Vec<_>>()[..] {
            [release, "first seen", ..] => format!("{release}|first seen||||1|full|"),
            [release, event @ ("removed" | "seen again"), ..] => format!("{release}|{event}||"),
            _ => (*line).to_string(),
        })
        .collect();
    assert_eq!(shown, expected, "{told}");
    let details = explained(&world, "event, detail", "77");
    for part in [
        "override set|override 1: test",
        "override cleared|override 1: was right",
        "removed|the source did not give it any more: a full read of 19999 records",
        "last seen|the newest release has it",
    ] {
        assert!(details.contains(part), "{part}: {details}");
    }
    let first = explained(
        &world,
        "new, committed_at IS NOT NULL, at IS NOT NULL",
        "77 ) WHERE (event = 'first seen'",
    );
    assert!(first.contains("\"amount\": 96.25, \"flag\": false") && first.ends_with("|t|t"), "{first}");

    let asked = explained(&world, "request", "77 ) WHERE (event = 'first seen'");
    assert!(asked.contains("COPY (SELECT ") && asked.contains("FROM \"public\".\"deal\""), "{asked}");

    // A table like any other.
    assert_eq!(
        world.server.rows(&[
            "SELECT count(*) FROM tributary.explain('crm.deal', '77') e JOIN tributary.release r ON r.id = e.release \
             WHERE e.event = 'changed' AND e.field = 'amount'"
        ]),
        "1"
    );
    assert_eq!(
        explained(&world, "event, detail", "'31000'"),
        "never seen|no kept release has a record with that key"
    );
    for (call, state, part) in [
        ("'crm.deal'", "42883", "takes an object and the key"),
        ("'crm.deal', now()", "42883", "with constants"),
        ("'crm.nothing', '1'", "42P01", "crm.nothing"),
        ("'crm.deal', 'x'", "22023", "unique field `id` of type integer"),
        ("'crm.deal', '1', '2'", "22023", "has 1 unique fields, not 2"),
    ] {
        let error = world.server.error(&format!("SELECT * FROM tributary.explain({call})"));
        assert!(error.contains(state) && error.contains(part), "{call}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_caps_misfits_and_drops_are_told() {
    let mut world = World::new().await;
    world.server.rows(&["CALL set_import('crm', 'deal', filter => 'amount > 100')"]);
    world.sync("full").await;
    assert!(
        explained(&world, "event, detail", "5")
            .contains("removed|its last values do not match the filter `amount > 100`")
    );
    assert_eq!(
        explained(&world, "event, detail", "40000"),
        "never seen|no kept release has a record with that key; only records that match the filter `amount > 100` are imported"
    );
    world.server.rows(&["CALL set_import('crm', 'deal', filter => '', max_rows => 100)"]);
    let capped = world.server.rows(&["CALL sync('crm', 'full', force => true, reason => 'a test')"]);
    assert!(capped.contains("|capped|"), "{capped}");
    let told = explained(&world, "event, detail", "20000");
    assert!(told.contains("removed|the run stopped at the maximum number of records, 100"), "{told}");
    world.server.rows(&["CALL set_import('crm', 'deal', max_rows => 0)"]);
    world
        .database
        .execute("UPDATE deal SET closed = 'infinity', updated_at = clock_timestamp() WHERE id = 9")
        .await;
    let warned = world.server.rows(&["CALL sync('crm', 'full', force => true, reason => 'a test')"]);
    assert!(warned.contains("with warnings"), "{warned}");
    let told = explained(&world, "event, field, new, detail", "9");
    assert!(
        told.contains("closed||the run read values of this field as NULL that do not fit its type"),
        "{told}"
    );
    world.server.rows(&["CALL drop_object('crm', 'deal')"]);
    let told = explained(&world, "event, detail", "9");
    assert!(told.ends_with("last seen|the object was dropped after it"), "{told}");
}
