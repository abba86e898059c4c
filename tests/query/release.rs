//! A statement, a transaction, a session reads one release.

use crate::support::company::{Company, owner, run};

fn with_a_second_release(company: &Company) {
    company.put("w1", 2, vec![owner(20)]);
    company.publish(2, "batch 2026-10-31", &[("o1", "crm", "opportunity", 1), ("w1", "crm", "owner", 2)]);
}

const COUNT: &str = "select count(*) from crm.owner";

#[tokio::test]
async fn a_transaction_keeps_its_release() {
    let company = Company::new();
    let session = company.admin();
    run(&session, "begin").await.unwrap();
    assert_eq!(run(&session, COUNT).await.unwrap().value(), "10");
    with_a_second_release(&company);
    assert_eq!(run(&session, COUNT).await.unwrap().value(), "10");
    assert_eq!(run(&session, "select count(*) from erp.owner").await.unwrap().value(), "3");
    assert_eq!(run(&session, "set tributary.as_of = '1'").await.unwrap_err().sqlstate(), "25001");
    run(&session, "rollback").await.unwrap();
    assert_eq!(run(&session, COUNT).await.unwrap().value(), "20");
    assert_eq!(run(&session, "select count(*) from erp.owner").await.unwrap_err().sqlstate(), "42P01");
}

#[tokio::test]
async fn a_prepared_statement_reads_the_newest_release() {
    let company = Company::new();
    let session = company.admin();
    run(&session, "prepare p as select count(*) from crm.owner where id > $1").await.unwrap();
    assert_eq!(run(&session, "execute p(0)").await.unwrap().value(), "10");
    let parsed = session.parse(COUNT).unwrap().remove(0);
    let prepared = session.prepare(&parsed, &[]).await.unwrap();
    with_a_second_release(&company);
    assert_eq!(run(&session, "execute p(0)").await.unwrap().value(), "20");
    let (notices, _) = tokio::sync::mpsc::unbounded_channel();
    let tributary::query::Execution::Rows { mut stream, .. } =
        session.execute(&prepared, Vec::new(), notices).await.unwrap()
    else {
        panic!("no rows");
    };
    let batch = futures::StreamExt::next(&mut stream).await.unwrap().unwrap();
    assert_eq!(crate::support::company::text(batch.column(0), 0).unwrap(), "20");
}

#[tokio::test]
async fn the_past_can_be_read() {
    let company = Company::new();
    let session = company.admin();
    with_a_second_release(&company);
    for (as_of, count) in [
        ("'1'", "10"),
        ("1", "10"),
        ("'release 1'", "10"),
        ("'release 2'", "20"),
        ("'batch 2026-10-31'", "20"),
        ("'1970-01-01 00:00:01.5'", "10"),
        ("'latest'", "20"),
        ("default", "20"),
    ] {
        run(&session, &format!("set tributary.as_of = {as_of}")).await.unwrap();
        assert_eq!(run(&session, COUNT).await.unwrap().value(), count, "{as_of}");
    }
    for as_of in ["'99'", "'batch 1999-01-01'", "'1970-01-01 00:00:00'", "'whenever'"] {
        let error = run(&session, &format!("set tributary.as_of = {as_of}")).await.unwrap_err();
        assert_eq!(error.sqlstate(), "22023", "{as_of}");
    }
    run(&session, "set tributary.as_of = 'release 1'").await.unwrap();
    assert_eq!(run(&session, "show tributary.as_of").await.unwrap().value(), "release 1");
    run(&session, "reset tributary.as_of").await.unwrap();
    assert_eq!(run(&session, COUNT).await.unwrap().value(), "20");
    let other = company.admin();
    other.set_startup("tributary.as_of", "1").unwrap();
    assert_eq!(run(&other, COUNT).await.unwrap().value(), "10");
    run(&other, "begin").await.unwrap();
    run(&other, "set local tributary.as_of = 'latest'").await.unwrap();
    assert_eq!(run(&other, COUNT).await.unwrap().value(), "20");
    run(&other, "commit").await.unwrap();
    assert_eq!(run(&other, COUNT).await.unwrap().value(), "10");
    assert_eq!(company.engine.newest().id, 2);
}
