//! What a session must never do.

use crate::support::company::{Company, run};

#[tokio::test]
async fn nothing_writes() {
    let company = Company::new();
    let session = company.admin();
    for sql in [
        "insert into opportunity values (1)",
        "update opportunity set amount = 1",
        "delete from opportunity",
        "merge into opportunity using owner on true when matched then delete",
        "truncate opportunity",
        "create table x (a int)",
        "create table x as select 1",
        "create external table x stored as parquet location '/etc'",
        "create view v as select 1",
        "create schema s",
        "create database d",
        "create function f() returns int language sql as 'select 1'",
        "drop table opportunity",
        "alter table opportunity add column x int",
        "alter system set x = 1",
        "select 1 into x",
        "select * into x from opportunity",
        "with x as (insert into opportunity values (1) returning 1) select * from x",
        "with x as (delete from opportunity returning 1) select * from x",
        "explain insert into opportunity values (1)",
        "copy opportunity from stdin",
        "copy opportunity from '/etc/passwd'",
        "comment on table opportunity is 'x'",
        "refresh materialized view x",
    ] {
        let error = run(&session, sql).await.expect_err(sql);
        assert!(["25006", "0A000", "42501"].contains(&error.sqlstate()), "{sql}: {error:?}");
    }
    assert_eq!(run(&session, "insert into opportunity values (1)").await.unwrap_err().sqlstate(), "25006");
    assert_eq!(run(&session, "create table x (a int)").await.unwrap_err().sqlstate(), "25006");
    assert_eq!(run(&session, "select count(*) from opportunity").await.unwrap().value(), "1000");
}

#[tokio::test]
async fn no_file_and_no_address_can_be_reached() {
    let company = Company::new();
    let session = company.admin();
    let file = std::env::temp_dir().join("tributary-test-must-not-exist");
    let path = file.display();
    for sql in [
        format!("copy opportunity to '{path}'"),
        format!("copy (select 1) to '{path}'"),
        format!("copy (select 1) to '{path}' stored as parquet"),
        format!("copy (select 1) to program 'touch {path}'"),
        "select * from '/etc/passwd'".into(),
        "select * from \"/etc/passwd\"".into(),
        "select * from 'file:///etc/passwd'".into(),
        "select * from 'https://example.com/x.parquet'".into(),
        "select * from read_csv('/etc/passwd')".into(),
        "select * from read_parquet('/etc/passwd')".into(),
        "select * from parquet_metadata('/etc/passwd')".into(),
        "select pg_read_file('/etc/passwd')".into(),
        "select * from pg_ls_dir('/')".into(),
        "select lo_import('/etc/passwd')".into(),
        "load '/tmp/x.so'".into(),
        "do $$ begin end $$".into(),
        "set datafusion.execution.batch_size = 1".into(),
        "select @@version".into(),
        "select * from information_schema.df_settings".into(),
    ] {
        let result = run(&session, &sql).await;
        let is_harmless = sql.starts_with("set datafusion");
        assert!(result.is_err() || is_harmless, "{sql}: {result:?}");
    }
    assert!(!file.exists());
}

#[tokio::test]
async fn oversized_and_deep_statements_are_refused_or_answered() {
    let company = Company::new();
    let session = company.admin();
    for (sql, state) in [
        (format!("select {}1{}", "(".repeat(250), ")".repeat(250)), "54001"),
        (format!("select {}1", "- ".repeat(500)), "54001"),
        (format!("select 1{}", "+1".repeat(4_000)), "54001"),
        (format!("select '{}'", "x".repeat(2 << 20)), "54000"),
        (format!("select {}1{}", "array[".repeat(210), "]".repeat(210)), "54001"),
        (format!("select {}1", "1, ".repeat(20_000)), "54001"),
    ] {
        assert_eq!(run(&session, &sql).await.unwrap_err().sqlstate(), state, "{:.40}", sql);
    }
    let flat = format!("select 1{}", "+1".repeat(1_900));
    assert_eq!(run(&session, &flat).await.unwrap().value(), "1901");
    let columns = format!("select id{} from opportunity where id = 1", "+1".repeat(1_900));
    assert_eq!(run(&session, &columns).await.unwrap().value(), "1901");
    let alternatives = format!("select count(*) from opportunity where id = 0{}", " or id = 1".repeat(900));
    assert_eq!(run(&session, &alternatives).await.unwrap().value(), "1");
    let nested = format!("select {}1{}", "(".repeat(190), ")".repeat(190));
    assert_eq!(run(&session, &nested).await.unwrap().value(), "1");
    let list = (1..4_000).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let list = format!("select count(*) from opportunity where id in ({list})");
    assert_eq!(run(&session, &list).await.unwrap().value(), "1000");
    let unions = format!("select 1{}", " union all select 1".repeat(300));
    assert_eq!(run(&session, &unions).await.unwrap().rows.len(), 301);
    let concatenated = format!("select 'a'{}", "||'a'".repeat(900));
    assert_eq!(run(&session, &concatenated).await.unwrap().value().len(), 901);
}

#[tokio::test]
async fn texts_cannot_grow_without_bound() {
    let company = Company::new();
    let session = company.admin();
    for sql in [
        "select lpad('x', 2147483647, 'y')",
        "select rpad('x', 2147483647, 'y')",
        "select repeat('x', 2000000000)",
        "select repeat('0123456789', 200000000)",
        "select repeat(name, 100000000) from opportunity",
    ] {
        assert_eq!(run(&session, sql).await.unwrap_err().sqlstate(), "54000", "{sql}");
    }
    assert_eq!(run(&session, "select length(repeat('x', 1000))").await.unwrap().value(), "1000");
    assert_eq!(run(&session, "select lpad('7', 3, '0')").await.unwrap().value(), "007");
}
