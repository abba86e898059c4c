//! Settings that the connection itself keeps to.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::support::wire::*;

fn statuses(replies: &[Reply]) -> BTreeMap<String, String> {
    let told = replies.iter().filter(|reply| reply.kind == b'S').map(|reply| {
        let mut parts =
            reply.body.split(|byte| *byte == 0).map(|part| String::from_utf8_lossy(part).into_owned());
        (parts.next().unwrap(), parts.next().unwrap())
    });
    told.collect()
}

#[tokio::test]
async fn a_client_is_told_what_postgresql_tells() {
    let wire = start(|_| {}).await;
    let mut raw = wire.raw().await;
    let replies = raw.log_in(USER, PASSWORD, b"").await;
    let told = statuses(&replies);
    let expected = [
        ("DateStyle", "ISO, MDY"),
        ("IntervalStyle", "postgres"),
        ("TimeZone", "UTC"),
        ("application_name", ""),
        ("client_encoding", "UTF8"),
        ("default_transaction_read_only", "off"),
        ("in_hot_standby", "off"),
        ("integer_datetimes", "on"),
        ("is_superuser", "on"),
        ("server_encoding", "UTF8"),
        ("server_version", "15.18"),
        ("session_authorization", USER),
        ("standard_conforming_strings", "on"),
    ];
    let expected: BTreeMap<_, _> = expected.map(|(name, value)| (name.to_string(), value.to_string())).into();
    assert_eq!(told, expected);
    let told = statuses(
        &raw.query("SET application_name = 'x'; SET work_mem = '5MB'; SET datestyle = 'german'").await,
    );
    let expected = [("DateStyle", "German, DMY"), ("application_name", "x")];
    assert_eq!(told, expected.map(|(name, value)| (name.to_string(), value.to_string())).into());
    // What a rollback takes back is told, too.
    raw.query("BEGIN; SET timezone = 'Europe/Berlin'").await;
    assert_eq!(statuses(&raw.query("ROLLBACK").await)["TimeZone"], "UTC");
}

#[tokio::test]
async fn a_session_that_is_idle_too_long_by_its_own_word_is_ended() {
    let wire = start(|_| {}).await;
    for (script, state) in [
        ("SET idle_session_timeout = 300", "57P05"),
        ("SET idle_in_transaction_session_timeout = 300; BEGIN", "25P03"),
        ("SET idle_in_transaction_session_timeout = 300; BEGIN; SELECT 1/0", "25P03"),
    ] {
        let mut raw = wire.raw_session().await;
        raw.query(script).await;
        let started = std::time::Instant::now();
        assert_eq!(raw.reply().await.unwrap().state(), state, "{script}");
        assert!(started.elapsed() < Duration::from_secs(10) && raw.reply().await.is_none(), "{script}");
    }
    let mut raw = wire.raw_session().await;
    raw.query("SET idle_in_transaction_session_timeout = 300").await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(kinds(&raw.query("SELECT 1").await), "TDCZ", "no transaction, no end");
}

#[tokio::test]
async fn messages_below_the_level_wanted_are_not_sent() {
    let wire = start(|_| {}).await;
    let mut raw = wire.raw_session().await;
    assert_eq!(kinds(&raw.query("COMMIT").await), "NCZ");
    raw.query("SET client_min_messages = error").await;
    assert_eq!(kinds(&raw.query("COMMIT").await), "CZ");
    raw.query("SET client_min_messages = warning").await;
    assert_eq!(kinds(&raw.query("COMMIT").await), "NCZ");
}

#[tokio::test]
async fn a_transaction_that_only_reads_changes_nothing() {
    let wire = start(|_| {}).await;
    let mut raw = wire.raw_session().await;
    for script in [
        "BEGIN READ ONLY; CREATE USER somebody",
        "BEGIN; SET TRANSACTION READ ONLY; CALL touch('x')",
        "SET default_transaction_read_only = on; CALL touch('x')",
    ] {
        let replies = raw.query(script).await;
        let error = replies.iter().find(|reply| reply.kind == b'E').unwrap_or_else(|| panic!("{script}"));
        assert_eq!(error.state(), "25006", "{script}");
        raw.query("ROLLBACK").await;
    }
}
