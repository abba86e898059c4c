//! Which table a name stands for, and who may read it.

use crate::support::company::{Company, run};

#[tokio::test]
async fn tables_are_found_by_their_short_and_their_full_names() {
    let company = Company::new();
    let session = company.admin();
    for name in ["opportunity", "crm.opportunity", "acme.crm.opportunity", "Opportunity", "\"opportunity\""] {
        assert_eq!(
            run(&session, &format!("select count(*) from {name}")).await.unwrap().value(),
            "1000",
            "{name}"
        );
    }
    assert_eq!(run(&session, "select count(*) from erp.owner").await.unwrap().value(), "3");
    let error = run(&session, "select * from owner").await.unwrap_err();
    assert_eq!((error.sqlstate(), error.hint()), ("42P09", Some("write one of crm.owner, erp.owner")));
    let error = run(&session, "select * from oportunity").await.unwrap_err();
    assert_eq!((error.sqlstate(), error.hint()), ("42P01", Some("did you mean `opportunity`?")));
    assert_eq!(error.position(), Some(15));
    let error = run(&session, "select amout from opportunity").await.unwrap_err();
    assert_eq!(
        (error.sqlstate(), error.hint()),
        ("42703", Some("Perhaps you meant to reference the column \"opportunity.amount\"."))
    );
    assert_eq!(error.position(), Some(8));
    for (name, state) in [
        ("crmm.opportunity", "42P01"),
        ("other.crm.opportunity", "0A000"),
        ("\"Opportunity\"", "42P01"),
        ("tributary.runs", "42P01"),
        ("pg_catalog.nothing", "42P01"),
        ("'opportunity'", "42601"),
    ] {
        let error = run(&session, &format!("select * from {name}")).await.unwrap_err();
        assert_eq!(error.sqlstate(), state, "{name}: {error:?}");
    }
}

#[tokio::test]
async fn a_column_may_carry_the_name_of_its_table() {
    let company = Company::new();
    let sql =
        "SELECT stage, sum(opportunity.amount) FROM opportunity WHERE opportunity.amount = 79.19 GROUP BY 1";
    let answer = run(&company.admin(), sql).await.unwrap();
    assert_eq!(answer.rows, [[Some("Qualification".to_string()), Some("79.19".to_string())]]);
}

#[tokio::test]
async fn only_the_tables_of_the_statement_are_opened() {
    let company = Company::new();
    let session = company.admin();
    run(&session, "with owner as (select 1 as id) select * from owner join opportunity using (id)")
        .await
        .unwrap();
    let opened = company.world.opened.lock().unwrap().clone();
    assert!(!opened.is_empty() && opened.iter().all(|name| name == "opportunity"), "{opened:?}");
    let sql =
        "select 1 where exists (select 1 from erp.owner) and 1 in (select id from crm.owner union select 2)";
    run(&session, sql).await.unwrap();
}

#[tokio::test]
async fn what_was_not_granted_cannot_be_read() {
    let company = Company::new();
    let session = company.analyst();
    let statements = [
        "select * from opportunity",
        "select 1 from crm.owner where exists (select 1 from crm.opportunity)",
        "explain select * from opportunity",
        "copy opportunity to stdout",
        "with x as (select * from opportunity) select 1",
        "prepare p as select * from opportunity",
    ];
    company.world.grants.lock().unwrap().insert(("ann".into(), "crm.owner".into()));
    for sql in statements {
        let error = run(&session, sql).await.unwrap_err();
        assert_eq!(error.sqlstate(), "42501", "{sql}");
        assert_eq!(error.what(), "permission denied for table opportunity");
    }
    assert_eq!(run(&session, "select count(*) from crm.owner").await.unwrap().value(), "10");
    let error = run(&session, "select * from oportunity").await.unwrap_err();
    assert!(!format!("{error:?}").contains("opportunity"), "names of others' tables stay unknown: {error:?}");
    company.world.grants.lock().unwrap().insert(("ann".into(), "crm.opportunity".into()));
    assert_eq!(run(&session, "select count(*) from opportunity").await.unwrap().value(), "1000");
    company.world.grants.lock().unwrap().clear();
    assert_eq!(run(&session, "select count(*) from opportunity").await.unwrap_err().sqlstate(), "42501");
}

#[tokio::test]
async fn system_tables_answer_for_the_user() {
    let company = Company::new();
    let answer = run(&company.analyst(), "select by, id from tributary.run where id = 1").await.unwrap();
    assert_eq!(answer.rows, [[Some("ann".to_string()), Some("1".to_string())]]);
}
