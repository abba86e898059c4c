//! What was chosen when an object was adopted or a connection made, changed later.

use super::{linked, newest, says};

const DEALS: &str = "CREATE TABLE deal (id int PRIMARY KEY, amount numeric(8,2), score int, updated_at timestamptz NOT NULL DEFAULT now());
     CREATE INDEX ON deal (updated_at);
     INSERT INTO deal SELECT i, i * 1.5, i FROM generate_series(1, 20) i";
const ADOPT: &str = "CALL add_object('crm', 'public.deal', cursor_field => 'updated_at')";
const TYPES: &str = "SELECT string_agg(data_type || coalesce('(' || numeric_precision || ',' || numeric_scale || ')', ''), ' ' ORDER BY column_name) \
     FROM information_schema.columns WHERE table_name = 'deal' AND column_name IN ('amount', 'score')";

#[tokio::test(flavor = "multi_thread")]
async fn a_field_is_kept_in_a_wider_type_from_the_next_sync_on() {
    let (database, server) = linked(DEALS).await;
    server.rows(&[ADOPT, "CALL sync('crm', 'full')"]);
    let out = server.psql(&["CALL set_field('crm', 'deal', 'amount', type => 'numeric(20,6)')"]);
    says(
        &String::from_utf8_lossy(&out.stderr),
        &["the next sync rewrites the stored rows with `amount` as numeric(20,6)"],
    );
    server.rows(&["CALL set_field('crm', 'deal', 'score', type => 'bigint')"]);
    let kept = "SELECT type FROM tributary.field WHERE name IN ('amount', 'score') ORDER BY name";
    assert_eq!(server.rows(&[kept]), "numeric(20,6)\nbigint");
    assert_eq!(
        server.rows(&["SELECT amount, score FROM deal WHERE id = 3"]),
        "4.50|3",
        "readers keep the old type until then"
    );
    database.execute("UPDATE deal SET amount = 7, updated_at = now() WHERE id = 3").await;
    server.rows(&["CALL sync('crm', 'diff')"]);
    assert_eq!(newest(&server), ("succeeded".into(), [0, 1, 0, 20]), "a diff goes on");
    assert_eq!(
        server.rows(&["SELECT amount, score FROM deal WHERE id IN (2, 3) ORDER BY id"]),
        "3.000000|2\n7.000000|3"
    );
    assert!(server.rows(&[TYPES]).contains("numeric(20,6)"));
    let out = server.psql(&["CALL set_field('crm', 'deal', 'amount', type => 'numeric(8,2)')"]);
    says(&String::from_utf8_lossy(&out.stderr), &["the next sync reads `crm.deal` in full"]);
    server.rows(&["CALL sync('crm', 'diff')"]);
    assert_eq!(server.rows(&["SELECT amount FROM deal WHERE id = 3"]), "7.00");
    for (call, words) in [
        (
            "CALL set_field('crm', 'deal', 'amount', type => 'integer')",
            "is numeric(8,2) at the source: integer does not hold all of its values",
        ),
        ("CALL set_field('crm', 'deal', 'amount', type => 'money')", "unknown field type `money`"),
        ("CALL set_field('crm', 'deal', 'amuont', type => 'text')", "did you mean `amount`?"),
        (
            "CALL set_field('crm', 'deal', 'id', type => 'double precision')",
            "is a unique field and cannot be double precision",
        ),
    ] {
        says(&server.error(call), &[words]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_that_a_field_is_volatile_is_heard_after_every_sync() {
    let (_database, server) = linked(DEALS).await;
    server.rows(&[
        ADOPT,
        "CALL set_field('crm', 'deal', 'score', volatile => true)",
        "CALL sync('crm', 'full')",
    ]);
    let volatile = "SELECT name, volatile FROM tributary.field WHERE volatile";
    assert_eq!(server.rows(&[volatile]), "score|t");
    server.rows(&["CALL sync('crm', 'diff')"]);
    assert_eq!(server.rows(&[volatile]), "score|t");
    server.rows(&["CALL set_field('crm', 'deal', 'score', volatile => false)", "CALL sync('crm', 'diff')"]);
    assert_eq!(server.rows(&[volatile]), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_a_connection_are_tried_before_they_count() {
    let (_database, server) = linked(DEALS).await;
    server.rows(&[ADOPT, "CALL sync('crm', 'full')"]);
    let settings =
        "SELECT settings::jsonb ->> 'port', settings::jsonb ->> 'parallel', status FROM tributary.connection";
    let before = server.rows(&[settings]);
    let refused = server.error(r#"CALL set_connection('crm', '{"port": 1}')"#);
    says(&refused, &["ERROR"]);
    assert_eq!(server.rows(&[settings]), before, "{refused}");
    says(
        &server.error(r#"CALL set_connection('crm', '{"password": "x"}')"#),
        &["`password` is a secret, not a setting"],
    );
    says(&server.error(r#"CALL set_connection('crm', '{"prot": 1}')"#), &["prot"]);
    says(&server.error("CALL set_connection('crm', 'port=1')"), &["the settings are not JSON"]);
    let changed = server.rows(&[r#"CALL set_connection('crm', '{"parallel": 2}')"#]);
    says(&changed, &["crm|postgresql|connected|"]);
    assert_eq!(server.rows(&[settings]), before.replace("||", "|2|"));
    server.rows(&["CALL sync('crm', 'full')", r#"CALL set_connection('crm', '{"parallel": null}')"#]);
    assert_eq!(server.rows(&[settings]), before);
}
