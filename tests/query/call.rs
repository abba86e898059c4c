//! `CALL` and the statements for people and rights.

use std::sync::Arc;
use std::time::Duration;

use crate::support::company::{Company, run};
use tokio::sync::mpsc;
use tributary::query::{AdminStatement, GrantTarget};

#[tokio::test]
async fn arguments_are_matched_checked_and_defaulted() {
    let company = Company::new();
    let session = company.admin();
    let answer = run(&session, "call sync('crm')").await.unwrap();
    assert_eq!((answer.value(), answer.tag.as_str()), ("7", "CALL"));
    assert_eq!(answer.notices[0].message, "sync by root");
    run(&session, "CALL sync(mode => 'full', name => 'c' || 'rm', wait => false, \"limit\" => '10')")
        .await
        .unwrap();
    run(&session, "call tributary.sync('crm', 'full', wait => 'no', \"limit\" => 3.0)").await.unwrap();
    let calls: Vec<_> = company
        .world
        .calls
        .lock()
        .unwrap()
        .iter()
        .map(|c| {
            (
                c.text("name").unwrap().to_string(),
                c.text("mode").unwrap().to_string(),
                c.boolean("wait"),
                c.integer("limit"),
            )
        })
        .collect();
    assert_eq!(calls[0], ("crm".into(), "diff".into(), Some(true), None));
    assert_eq!(calls[1], ("crm".into(), "full".into(), Some(false), Some(10)));
    assert_eq!(calls[2], ("crm".into(), "full".into(), Some(false), Some(3)));
    for (sql, state, hint) in [
        ("call synk('crm')", "42883", "did you mean `sync`?"),
        ("call sync()", "42883", "arguments are: name (text)"),
        ("call sync('a', 'b', true, 1, 2)", "42883", "arguments are"),
        ("call sync('crm', nmode => 'full')", "42883", "arguments are"),
        ("call sync(name => 'crm', 'full')", "42601", ""),
        ("call sync('a', name => 'b')", "42601", ""),
        ("call sync(1)", "22023", ""),
        ("call sync('crm', wait => 'perhaps')", "22023", ""),
        ("call sync('crm', \"limit\" => 'x')", "22023", ""),
        ("call sync('crm'", "42601", ""),
        ("call other.sync('crm')", "42883", ""),
        ("call sync((select 1))", "0A000", ""),
    ] {
        let error = run(&session, sql).await.expect_err(sql);
        assert_eq!(error.sqlstate(), state, "{sql}: {error:?}");
        assert!(error.hint().unwrap_or_default().contains(hint), "{sql}: {error:?}");
    }
    assert_eq!(
        run(&company.analyst(), "call set_secret('a', 'b', 'c')").await.unwrap_err().sqlstate(),
        "42501"
    );
}

#[tokio::test]
async fn secrets_never_show() {
    let company = Company::new();
    let session = company.admin();
    for sql in [
        "call set_secret('crm', 'password', 'hunter2')",
        "call set_secret('crm', 'password', value => $$hunter2$$)",
        "call set_secret('crm', 'password', 'hun' || 'ter2')",
        "call set_sekret('crm', 'password', 'hunter2')",
        "call set_secret('crm', 'password', valu => 'hunter2')",
        "create user ann password 'hunter2'",
        "alter user ann with encrypted password 'hunter2'",
        "prepare p as call set_secret('crm', 'password', 'hunter2')",
        "execute p('hunter2')",
    ] {
        let parsed = session.parse(sql).unwrap().remove(0);
        assert!(!parsed.redacted_text().contains("hunter2"), "{}", parsed.redacted_text());
        assert!(!format!("{parsed:?}").contains("hunter2"));
        assert_eq!(parsed.text(), sql);
        if let Ok(prepared) = session.prepare(&parsed, &[]).await {
            assert!(!format!("{prepared:?}").contains("hunter2"));
        }
    }
    let parsed = session.parse("call set_secret('crm', 'password', 'hunter2')").unwrap().remove(0);
    assert_eq!(parsed.redacted_text(), "call set_secret('crm', 'password', '***')");
    run(&session, "call set_secret('crm', 'password', 'hunter2')").await.unwrap();
    assert!(!format!("{:?}", company.world.calls.lock().unwrap()).contains("hunter2"));
    for sql in ["call set_secret('crm', 'password' 'hunter2')", "create user ann password 'hunter2' 'x'"] {
        let error = session.parse(sql).unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
    assert!(!tributary::query::redact("call set_secret('hunter2").contains("hunter2"));
}

#[tokio::test]
async fn people_and_rights_are_handed_on() {
    let company = Company::new();
    let session = company.admin();
    run(
        &session,
        "create user ann password 'x'; alter role ann superuser nologin; drop user if exists ann; \
         grant select on crm.opportunity, erp.owner to ann, bob; revoke select on all tables in schema crm from ann",
    )
    .await
    .unwrap();
    let statements = company.world.statements.lock().unwrap();
    assert!(
        matches!(&statements[0], AdminStatement::CreateUser { name, password: Some(p), admin: false, login: true }
        if name == "ann" && p.reveal() == "x")
    );
    assert!(matches!(
        &statements[1],
        AdminStatement::AlterUser { password: None, admin: Some(true), login: Some(false), .. }
    ));
    assert!(matches!(&statements[2], AdminStatement::DropUser { if_exists: true, .. }));
    assert!(matches!(&statements[3], AdminStatement::Grant { targets, users }
        if targets.len() == 2 && users.len() == 2 && targets[0].object.as_deref() == Some("opportunity")));
    let all = GrantTarget { connection: "crm".into(), object: None, fields: Vec::new() };
    assert!(matches!(&statements[4], AdminStatement::Revoke { targets, .. } if targets[..] == [all.clone()]));
    drop(statements);
    for (sql, state) in [
        ("grant insert on crm.opportunity to ann", "0A000"),
        ("grant select on opportunity to ann", "42601"),
        ("create user", "42601"),
        ("create user ann valid until '2030-01-01'", "0A000"),
    ] {
        assert_eq!(run(&session, sql).await.unwrap_err().sqlstate(), state, "{sql}");
    }
}

#[tokio::test]
async fn a_cancel_stops_a_call_and_a_client_that_goes_does_not() {
    let company = Company::new();
    let session = Arc::new(company.admin());
    let canceller = session.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        canceller.cancel();
    });
    assert_eq!(run(&session, "call sync('crm', 'slow')").await.unwrap_err().sqlstate(), "57014");
    assert_eq!(*company.world.finished.lock().unwrap(), ["cancelled"]);
    run(&session, "set statement_timeout = 50").await.unwrap();
    assert_eq!(run(&session, "call sync('crm', 'slow')").await.unwrap_err().sqlstate(), "57014");
    run(&session, "reset statement_timeout").await.unwrap();
    let parsed = session.parse("call sync('crm', 'slow')").unwrap().remove(0);
    let prepared = session.prepare(&parsed, &[]).await.unwrap();
    let (notices, _) = mpsc::unbounded_channel();
    let left =
        tokio::time::timeout(Duration::from_millis(50), session.execute(&prepared, vec![], notices)).await;
    assert!(left.is_err());
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert_eq!(*company.world.finished.lock().unwrap(), ["cancelled", "cancelled", "sync"]);
}
