//! Rules that a sync must pass, what they found, and what was set aside.

use super::{count, linked, newest, says};

const DEALS: &str = "CREATE TABLE deal (id int PRIMARY KEY, amount numeric(18,2), name text);
                     INSERT INTO deal SELECT i, i, 'n' FROM generate_series(1, 100) i";

#[tokio::test(flavor = "multi_thread")]
async fn nulls_and_sums_hold_a_run_and_the_last_good_snapshot_stays() {
    let (database, server) = linked(DEALS).await;
    server.rows(&[
        "CALL add_object('crm', 'public.deal')",
        "CALL set_gate('crm', 'deal', 'sum', 50, field => 'amount')",
        "CALL sync('crm', 'full')",
    ]);
    let rules = "SELECT rule, field, max, is_default FROM tributary.gate ORDER BY rule, field NULLS FIRST";
    assert_eq!(
        server.rows(&[rules]),
        "count||1|t\nduplicates||10|t\nnulls||20|t\nrows||30|t\nsum|amount|50|f"
    );
    database.execute("UPDATE deal SET name = NULL WHERE id <= 21").await;
    let synced = server.rows(&["CALL sync('crm', 'full')"]);
    says(
        &synced,
        &["|held|", "field `name` of `crm.deal` would be NULL in 21.0 % of the rows instead of 0.0 %"],
    );
    assert_eq!(server.rows(&["SELECT count(name) FROM deal"]), "100");
    let results = "SELECT rule, field, before, after, max, passed FROM tributary.gate_result
                   WHERE run = (SELECT max(id) FROM tributary.run) ORDER BY rule";
    assert_eq!(server.rows(&[results]), "nulls|name|0.0 %|21.0 %|20|f\nsum|amount|5050.00|5050.00|50|t");
    // Allowed for this field, it is published.
    server.rows(&["CALL set_gate('crm', 'deal', 'nulls', 30, field => 'name')", "CALL sync('crm', 'full')"]);
    assert_eq!(newest(&server).0, "succeeded");
    assert_eq!(server.rows(&["SELECT count(name) FROM deal"]), "79");
    database.execute("UPDATE deal SET amount = amount * 100 WHERE id = 100").await;
    says(
        &server.rows(&["CALL sync('crm', 'full')"]),
        &["|held|", "the sum of `amount`", "from 5050.00 to 14950.00"],
    );
    assert_eq!(server.rows(&["SELECT sum(amount) FROM deal"]), "5050.00");
    server.rows(&["CALL approve(object => 'deal', reason => 'a large deal')"]);
    assert_eq!(server.rows(&["SELECT sum(amount) FROM deal"]), "14950.00");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_make_no_sense_are_refused_in_words() {
    let (_database, server) = linked(DEALS).await;
    server.rows(&["CALL add_object('crm', 'public.deal')"]);
    for (call, words) in [
        (
            "'rowz', 5",
            &["unknown rule `rowz`", "did you mean `rows`", "rows, nulls, duplicates, count, sum"][..],
        ),
        ("'rows', 101", &["rule `rows` cannot allow 101", "0 to 100"]),
        ("'rows', -1", &["rule `rows` cannot allow -1"]),
        ("'rows', 5, field => 'amount'", &["rule `rows` is of no single field"]),
        ("'sum', 5", &["rule `sum` needs a field"]),
        ("'sum', 5, field => 'name'", &["field `name` of type text has no sum"]),
        ("'nulls', 5, field => 'amnt'", &["42703", "did you mean `amount`"]),
        ("'nulls', 5, off => true", &["cannot have a limit and be off"]),
    ] {
        says(&server.error(&format!("CALL set_gate('crm', 'deal', {call})")), words);
    }
    server.rows(&["CALL set_gate('crm', 'deal', 'nulls', off => true)"]);
    let nulls = "SELECT max, is_default FROM tributary.gate WHERE rule = 'nulls'";
    assert_eq!(server.rows(&[nulls]), "|f");
    server.rows(&["CALL set_gate('crm', 'deal', 'nulls')"]);
    assert_eq!(server.rows(&[nulls]), "20|t");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_aside_and_what_does_not_fit_can_be_read() {
    let (database, server) = linked("CREATE TABLE deal (id int, name text, amount numeric)").await;
    database
        .execute(
            "INSERT INTO deal SELECT i, 'n' || i, i FROM generate_series(1, 50) i;
             INSERT INTO deal VALUES (NULL, 'lost', 7)",
        )
        .await;
    server.rows(&["CALL add_object('crm', 'public.deal', unique_fields => 'id')"]);
    database.execute("UPDATE deal SET amount = 'NaN' WHERE id IN (1, 2)").await;
    server.rows(&["CALL sync('crm', 'full')"]);
    assert_eq!(count(&server), 50);
    let aside = server.rows(&["SELECT run, object, reason, record FROM tributary.quarantine"]);
    says(&aside, &["1|crm.deal|key field id is empty|", r#""id":null"#, r#""name":"lost""#]);
    let misfits = server.rows(&["SELECT run, object, field, count, sample FROM tributary.misfit"]);
    says(&misfits, &["1|crm.deal|amount|2|NaN"]);
    // An erasure takes what names records along.
    server.rows(&["CALL erase('crm', 'deal', key => '5', reason => 'asked to')"]);
    assert_eq!(server.rows(&["SELECT count(*) FROM tributary.quarantine"]), "0");
    assert_eq!(server.rows(&["SELECT sample IS NULL FROM tributary.misfit"]), "t");
    // Nobody sees it who may not see the object.
    server.rows(&["CREATE USER ada PASSWORD 'A long password 1'"]);
    for table in ["removal", "quarantine", "misfit", "gate", "gate_result"] {
        let mut client = server.client("psql");
        client.env("PGUSER", "ada").env("PGPASSWORD", "A long password 1");
        let out =
            client.args(["-XAt", "-c", &format!("SELECT count(*) FROM tributary.{table}")]).output().unwrap();
        assert_eq!(String::from_utf8(out.stdout).unwrap().trim(), "0", "{table}");
    }
}
