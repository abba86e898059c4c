//! Settings, transactions, prepared statements.

use crate::support::company::{Company, run};
use tributary::query::TransactionStatus;

#[tokio::test]
async fn settings_are_set_shown_and_reset() {
    let company = Company::new();
    let session = company.admin();
    session.set_startup("application_name", "psql").unwrap();
    for (sql, value) in [
        ("show application_name", "psql"),
        ("set application_name to 'x'; show application_name", "x"),
        ("reset application_name; show application_name", "psql"),
        ("set statement_timeout = 500; show statement_timeout", "500ms"),
        ("set statement_timeout to '5s'; show statement_timeout", "5s"),
        ("set session statement_timeout = 0; show statement_timeout", "0"),
        ("show server_version", "15.18"),
        ("show server_version_num", "150018"),
        ("show standard_conforming_strings", "on"),
        ("show transaction isolation level", "read committed"),
        ("show TimeZone", "UTC"),
        ("set time zone 'utc'; show time zone", "UTC"),
        ("set time zone 'europe/berlin'; show time zone", "Europe/Berlin"),
        ("reset time zone; show time zone", "UTC"),
        ("set datestyle = 'ISO, MDY'; show datestyle", "ISO, MDY"),
        ("set extra_float_digits = 3; show extra_float_digits", "3"),
        ("reset all; show extra_float_digits", "1"),
        ("set search_path = crm, public; show search_path", "crm, public"),
        ("set names 'utf8'; show client_encoding", "UTF8"),
        ("select current_setting('application_name')", "psql"),
        ("select set_config('application_name', 'y', false)", "y"),
        ("show application_name", "y"),
        ("select current_setting('no.such', true)", "NULL"),
        ("select pg_backend_pid()", "7"),
        ("select current_database()", "acme"),
        ("select current_user", "root"),
        ("select session_user", "root"),
        ("select current_schema()", "crm"),
        ("reset search_path; select current_schema()", "public"),
        ("select pg_is_in_recovery()", "f"),
    ] {
        assert_eq!(run(&session, sql).await.unwrap().value(), value, "{sql}");
    }
    assert!(run(&session, "select version()").await.unwrap().value().starts_with("PostgreSQL 15"));
    assert!(run(&session, "show all").await.unwrap().rows.len() > 60);
    for (sql, state) in [
        ("show no_such_setting", "42704"),
        ("set no_such_setting = 1", "42704"),
        ("reset no_such_setting", "42704"),
        ("set server_version = '9.6'", "55P02"),
        ("set statement_timeout = 'soon'", "22023"),
        ("set client_encoding = 'latin1'", "22023"),
        ("select current_setting('no_such_setting')", "42704"),
        ("set application_name", "42601"),
    ] {
        assert_eq!(run(&session, sql).await.unwrap_err().sqlstate(), state, "{sql}");
    }
    let other = company.admin();
    assert_eq!(run(&other, "show application_name").await.unwrap().value(), "");
    assert_eq!(run(&session, "discard all").await.unwrap().tag, "DISCARD ALL");
    assert_eq!(run(&session, "show application_name").await.unwrap().value(), "psql");
}

#[tokio::test]
async fn reported_settings_are_told_once() {
    let company = Company::new();
    let session = company.admin();
    let first = session.take_reported();
    assert!(first.contains(&("server_version".into(), "15.18".into())));
    assert!(first.contains(&("is_superuser".into(), "on".into())));
    assert!(session.take_reported().is_empty());
    run(&session, "set application_name = 'x'; set work_mem = '64MB'").await.unwrap();
    assert_eq!(session.take_reported(), [("application_name".to_string(), "x".to_string())]);
}

#[tokio::test]
async fn transactions_behave_as_in_postgresql() {
    let company = Company::new();
    let session = company.admin();
    assert_eq!(session.transaction(), TransactionStatus::Idle);
    assert_eq!(run(&session, "begin isolation level repeatable read, read only").await.unwrap().tag, "BEGIN");
    assert_eq!(session.transaction(), TransactionStatus::InTransaction);
    assert_eq!(run(&session, "begin").await.unwrap().notices[0].sqlstate, "25001");
    run(&session, "set work_mem = '8MB'; savepoint a; set work_mem = '16MB'; savepoint b").await.unwrap();
    assert_eq!(run(&session, "select 1/0").await.unwrap_err().sqlstate(), "22012");
    assert_eq!(session.transaction(), TransactionStatus::Failed);
    assert_eq!(run(&session, "select 1").await.unwrap_err().sqlstate(), "25P02");
    assert_eq!(run(&session, "rollback to a").await.unwrap().tag, "ROLLBACK");
    assert_eq!(session.transaction(), TransactionStatus::InTransaction);
    assert_eq!(run(&session, "show work_mem").await.unwrap().value(), "8MB");
    assert_eq!(run(&session, "release b").await.unwrap_err().sqlstate(), "3B001");
    assert_eq!(run(&session, "commit").await.unwrap().tag, "ROLLBACK");
    assert_eq!(run(&session, "show work_mem").await.unwrap().value(), "4MB");
    run(&session, "begin; set local work_mem = '1MB'; set extra_float_digits = 2; commit").await.unwrap();
    assert_eq!(run(&session, "show work_mem").await.unwrap().value(), "4MB");
    assert_eq!(run(&session, "show extra_float_digits").await.unwrap().value(), "2");
    assert_eq!(run(&session, "commit").await.unwrap().notices[0].sqlstate, "25P01");
    assert_eq!(run(&session, "savepoint x").await.unwrap_err().sqlstate(), "25P01");
    assert_eq!(run(&session, "start transaction read write; end").await.unwrap().tag, "COMMIT");
    assert_eq!(run(&session, "begin; select now() = now(); rollback").await.unwrap().tag, "ROLLBACK");
    run(&session, "begin").await.unwrap();
    let first = run(&session, "select now()").await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    assert_eq!(first, run(&session, "select now()").await.unwrap());
}

#[tokio::test]
async fn prepared_statements_belong_to_their_session() {
    let company = Company::new();
    let session = company.admin();
    let prepare = "prepare p (int, text) as select $1 + 1, upper($2)";
    assert_eq!(run(&session, prepare).await.unwrap().tag, "PREPARE");
    let answer = run(&session, "execute p(41, 'a')").await.unwrap();
    assert_eq!(
        (answer.value(), answer.types.as_slice()),
        ("42", &["int4".to_string(), "text".to_string()][..])
    );
    assert_eq!(run(&session, prepare).await.unwrap_err().sqlstate(), "42P05");
    assert_eq!(run(&session, "execute p(1)").await.unwrap_err().sqlstate(), "42601");
    assert_eq!(run(&company.admin(), "execute p(1, 'a')").await.unwrap_err().sqlstate(), "26000");
    assert_eq!(run(&session, "deallocate q").await.unwrap_err().sqlstate(), "26000");
    assert_eq!(run(&session, "deallocate p").await.unwrap().tag, "DEALLOCATE");
    assert_eq!(run(&session, "execute p(1, 'a')").await.unwrap_err().sqlstate(), "26000");
    assert_eq!(run(&session, "deallocate all").await.unwrap().tag, "DEALLOCATE ALL");
    assert_eq!(run(&session, "listen x; unlisten *").await.unwrap().tag, "UNLISTEN");
    assert_eq!(run(&session, "").await.unwrap().tag, "");
    assert_eq!(run(&session, "select 1; select 2;").await.unwrap().value(), "2");
}

#[tokio::test]
async fn explain_has_one_column() {
    let company = Company::new();
    let session = company.admin();
    let answer =
        run(&session, "explain select count(*) from opportunity where amount = 79.19").await.unwrap();
    assert_eq!(answer.names, ["QUERY PLAN"]);
    assert_eq!(answer.tag, "EXPLAIN");
    assert!(answer.rows.len() > 1);
    let answer = run(&session, "explain (analyze, costs off) select * from opportunity").await.unwrap();
    assert!(answer.column().join("\n").contains("actual time="));
    let answer = run(&session, "explain (analyze, verbose) select * from opportunity").await.unwrap();
    assert!(answer.column().join("\n").contains("metrics=["));
    let answer = run(&session, "explain (format json) select 1").await.unwrap();
    assert_eq!((answer.types[0].as_str(), answer.rows.len()), ("json", 1));
    assert_eq!(run(&session, "explain (format xml) select 1").await.unwrap_err().sqlstate(), "0A000");
}
