//! What is refused, and how that is told.

use super::World;

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_corrected_is_refused_by_name_and_changes_nothing() {
    let world = World::new().await;
    let server = &world.server;
    let call = |arguments: &str| format!("CALL override({arguments})");
    for (arguments, state, parts) in [
        (
            "'crm.deal', '999999', 'amount', '1', reason => 'x'",
            "42704",
            ["`crm.deal` has no record with that key", "the key was `999999`"],
        ),
        (
            "'crm.deal', 'many', 'amount', '1', reason => 'x'",
            "22P02",
            ["the key does not fit unique field `id` of type integer", "the key was `many`"],
        ),
        (
            "'crm.deal', '77', 'amount', 'much', reason => 'x'",
            "22P02",
            ["the value does not fit field `amount` of `crm.deal`, a numeric(14,2)", "\"much\""],
        ),
        (
            "'crm.deal', '77', 'amount', '1.005', reason => 'x'",
            "22003",
            ["does not fit field `amount`", "`1.005` is not exactly a numeric(14,2)"],
        ),
        (
            "'crm.deal', '77', 'closed', '2026-02-30', reason => 'x'",
            "22008",
            ["does not fit field `closed` of `crm.deal`, a date", "2026-02-30"],
        ),
        (
            "'crm.deal', '77', 'amuont', '1', reason => 'x'",
            "42703",
            ["unknown field `amuont` of `crm.deal`", "did you mean `amount`"],
        ),
        ("'crm.dael', '77', 'amount', '1', reason => 'x'", "42704", ["unknown object `dael`", "deal"]),
        ("'cmr.deal', '77', 'amount', '1', reason => 'x'", "42704", ["unknown connection `cmr`", "crm"]),
        ("'nothing', '77', 'amount', '1', reason => 'x'", "42704", ["unknown object `nothing`", "crm.deal"]),
        (
            "'crm.deal', '77', 'id', '78', reason => 'x'",
            "0A000",
            ["`id` is a unique field of `crm.deal`", "override the other fields"],
        ),
        ("'crm.deal', '77', 'amount', '1', reason => ' '", "22023", ["needs a reason", "reason =>"]),
        ("'crm.deal', '77', 'amount', '1'", "42883", ["needs the argument `reason`", "arguments are"]),
        (
            "'crm.deal', '77', 'amount', '1', reason => 'x', expires => '2020-01-01'",
            "22023",
            ["`expires` has passed: 2020-01-01 00:00:00+00", "a time to come"],
        ),
    ] {
        let error = server.error(&call(arguments));
        assert!(error.contains(state), "{arguments}: {error}");
        parts.iter().for_each(|part| assert!(error.contains(part), "{part}: {error}"));
    }
    for (json, part) in [
        ("{}", "no JSON array"),
        ("[]", "0 corrections"),
        (r#"[{"key": 77, "field": "amount"}]"#, "missing field `value`"),
        (r#"[{"key": 77, "field": "amount", "value": 1.5}]"#, "write values in quotes"),
        (
            r#"[{"key": 77, "field": "amount", "value": 1}, {"key": "77", "field": "amount", "value": 2}]"#,
            "`amount` of one record is given twice",
        ),
        (
            r#"[{"key": 77, "field": "amount", "value": 1}, {"key": 999999, "field": "amount", "value": 2}]"#,
            "no record with that key",
        ),
    ] {
        let error = server.error(&format!("CALL override_many('crm.deal', '{json}', reason => 'x')"));
        assert!(error.contains(part), "{json}: {error}");
    }
    let error = server.error("CALL clear_override('crm.deal', '77', 'amount')");
    assert!(error.contains("no override of `amount` of that record of `crm.deal` is in force"), "{error}");
    assert_eq!(server.rows(&["SELECT count(*) FROM tributary.override"]), "0");
    assert_eq!(server.rows(&["SELECT max(id) FROM tributary.release"]), "1");
    world.check("after all that was refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_analyst_sees_corrections_and_histories_of_what_was_granted_and_sets_none() {
    let mut world = World::new().await;
    world.correct(77, "amount", "'1200.00'").await;
    let server = &world.server;
    server.rows(&["CREATE USER ada PASSWORD 'a long enough password'"]);
    let by_ada = |statement: &str| {
        let mut psql = server.client("psql");
        psql.envs([("PGUSER", "ada"), ("PGPASSWORD", "a long enough password")]);
        psql.args(["-XAtc", statement, "-v", "VERBOSITY=verbose"]);
        let out = psql.output().unwrap();
        String::from_utf8_lossy(&out.stdout).to_string() + &String::from_utf8_lossy(&out.stderr)
    };
    for statement in [
        "CALL override('crm.deal', '77', 'amount', '1', reason => 'x')",
        "CALL override_many('crm.deal', '[]', reason => 'x')",
        "CALL clear_override('crm.deal', '77')",
        "SELECT * FROM tributary.explain('crm.deal', '77')",
    ] {
        let said = by_ada(statement);
        assert!(said.contains("42501") && said.contains("permission denied"), "{statement}: {said}");
    }
    assert!(by_ada("SELECT * FROM tributary.explain('deal', '77')").contains("42P01"));
    assert_eq!(by_ada("SELECT count(*) FROM tributary.override").trim(), "0");
    server.rows(&["GRANT SELECT ON crm.deal TO ada"]);
    assert_eq!(by_ada("SELECT key, value FROM tributary.override").trim(), "77|1200.00");
    assert_eq!(by_ada("SELECT amount FROM deal WHERE id = 77").trim(), "1200.00");
    let told = by_ada("SELECT event FROM tributary.explain('deal', '77') ORDER BY at");
    assert!(told.contains("first seen") && told.contains("override set"), "{told}");
}
