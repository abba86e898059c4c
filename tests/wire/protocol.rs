//! The simple and the extended protocol, message by message.

use std::time::{Duration, Instant};

use crate::support::wire::*;

/// Describes the first error among replies as `SQLSTATE message`.
fn error(replies: &[Reply]) -> String {
    let error = replies.iter().find(|reply| reply.kind == b'E').expect("an error");
    format!("{} {}", error.state(), error.fields()[&'M'])
}

/// Texts of the only column of all rows.
fn column(replies: &[Reply]) -> Vec<String> {
    let rows = replies.iter().filter(|reply| reply.kind == b'D');
    rows.map(|row| String::from_utf8_lossy(&row.body[6..]).into_owned()).collect()
}

fn tag(replies: &[Reply]) -> String {
    let complete = replies.iter().rfind(|reply| reply.kind == b'C').expect("a command tag");
    String::from_utf8_lossy(&complete.body[..complete.body.len() - 1]).into_owned()
}

fn parse(name: &str, sql: &str) -> Vec<u8> {
    message(b'P', format!("{name}\0{sql}\0\0\0").as_bytes())
}

fn bind(portal: &str, statement: &str) -> Vec<u8> {
    message(b'B', format!("{portal}\0{statement}\0\0\0\0\0\0\0").as_bytes())
}

fn describe(kind: char, name: &str) -> Vec<u8> {
    message(b'D', format!("{kind}{name}\0").as_bytes())
}

fn execute(portal: &str, max_rows: u32) -> Vec<u8> {
    message(b'E', &[portal.as_bytes(), b"\0", &max_rows.to_be_bytes()].concat())
}

fn close(kind: char, name: &str) -> Vec<u8> {
    message(b'C', format!("{kind}{name}\0").as_bytes())
}

fn sync() -> Vec<u8> {
    message(b'S', b"")
}

impl Raw {
    async fn exchange(&mut self, messages: &[Vec<u8>]) -> Vec<Reply> {
        self.send(&messages.concat()).await;
        self.replies().await
    }
}

#[tokio::test]
async fn a_text_of_several_statements_is_run_up_to_the_first_error() {
    let wire = start(|_| {}).await;
    let mut raw = wire.raw_session().await;
    let replies =
        raw.query("select 1; select id from number order by id limit 2; select nope; CALL touch('x')").await;
    assert_eq!(kinds(&replies), "TDCTDDCEZ", "{replies:?}");
    assert_eq!(column(&replies), ["1", "0", "1"]);
    assert_eq!(wire.verbs.touched.load(std::sync::atomic::Ordering::SeqCst), 0);
    assert_eq!(kinds(&raw.query("").await), "IZ");
    assert_eq!(kinds(&raw.query(" ; ;; ").await), "IZ");
    assert_eq!(kinds(&raw.query("select 1;;select 2;").await), "TDCTDCZ");
    let replies = raw.query("select 1; this is no statement").await;
    assert_eq!(kinds(&replies), "EZ", "nothing runs of a text that cannot be read");
    assert!(error(&replies).starts_with("42601"), "{replies:?}");
    assert_eq!(tag(&raw.query("select id from number where id < 7").await), "SELECT 7");
}

#[tokio::test]
async fn the_extended_protocol_answers_every_message() {
    let wire = start(|_| {}).await;
    let mut raw = wire.raw_session().await;
    let sql = "select id from number where id < $1 order by id";
    let parse = message(b'P', &[b"s\0", sql.as_bytes(), b"\0\0\x01\0\0\0\x14"].concat());
    let replies = raw.exchange(&[parse, describe('S', "s"), sync()]).await;
    assert_eq!(kinds(&replies), "1tTZ", "{replies:?}");
    assert_eq!(replies[1].body, b"\0\x01\0\0\0\x14", "one int8");
    let bind = message(b'B', b"p\0s\0\0\x01\0\x01\0\x01\0\0\0\x08\0\0\0\0\0\0\0\x02\0\x01\0\x01");
    let messages = [bind, describe('P', "p"), execute("p", 0), execute("p", 0), close('P', "p"), sync()];
    let replies = raw.exchange(&messages).await;
    assert_eq!(kinds(&replies), "2TDDCC3Z", "{replies:?}");
    assert_eq!(replies[3].body, b"\0\x01\0\0\0\x08\0\0\0\0\0\0\0\x01", "binary as asked for");
    assert_eq!(tag(&replies[..5]), "SELECT 2");
    assert_eq!(tag(&replies), "SELECT 0", "asked again there is nothing left");
    let messages = [self::parse("", ""), self::bind("", ""), describe('P', ""), execute("", 0), sync()];
    assert_eq!(kinds(&raw.exchange(&messages).await), "12nIZ");
}

#[tokio::test]
async fn an_error_skips_to_sync() {
    let wire = start(|_| {}).await;
    let mut raw = wire.raw_session().await;
    let messages =
        [parse("", "select nope"), bind("", ""), execute("", 0), message(b'Q', b"select 1\0"), sync()];
    assert_eq!(kinds(&raw.exchange(&messages).await), "EZ");
    assert_eq!(kinds(&raw.query("select 1").await), "TDCZ");
    for (messages, expected) in [
        (
            vec![parse("", "select 1; select 2")],
            "42601 cannot insert multiple commands into a prepared statement",
        ),
        (vec![bind("", "x")], "26000 prepared statement \"x\" does not exist"),
        (vec![describe('S', "")], "26000 unnamed prepared statement does not exist"),
        (vec![describe('P', "x")], "34000 portal \"x\" does not exist"),
        (vec![execute("x", 0)], "34000 portal \"x\" does not exist"),
        (
            vec![parse("s", "select 1"), parse("s", "select 1")],
            "42P05 prepared statement \"s\" already exists",
        ),
        (vec![bind("p", "s"), bind("p", "s")], "42P03 cursor \"p\" already exists"),
        (
            vec![message(b'B', b"\0s\0\0\0\0\x01\xff\xff\xff\xff\0\0")],
            "08P01 bind message supplies 1 parameters, but prepared statement \"s\" requires 0",
        ),
        (
            vec![message(b'B', b"\0s\0\0\0\0\0\0\x02\0\x01\0\x01")],
            "08P01 bind message has 2 result formats but 1 results",
        ),
        (vec![message(b'P', b"\0select 1\0\0\x01\0\x01\0\0")], "42704 type with OID 65536 does not exist"),
    ] {
        let messages = [messages, vec![sync()]].concat();
        assert_eq!(error(&raw.exchange(&messages).await), expected);
    }
    assert_eq!(kinds(&raw.exchange(&[close('S', "none"), close('P', "none"), sync()]).await), "33Z");
}

#[tokio::test]
async fn a_portal_gives_its_rows_in_pieces() {
    let wire = start(|_| {}).await;
    let mut raw = wire.raw_session().await;
    let sql = "select id from number order by id limit 10000";
    let begin = [parse("", "begin"), bind("", ""), execute("", 0), sync()];
    assert_eq!(raw.exchange(&begin).await.last().unwrap().body, b"T");
    let replies = raw.exchange(&[parse("s", sql), bind("p", "s"), execute("p", 3), sync()]).await;
    assert_eq!(kinds(&replies), "12DDDsZ");
    let replies = raw.exchange(&[execute("p", 2), sync()]).await;
    assert_eq!((kinds(&replies).as_str(), column(&replies)), ("DDsZ", vec!["3".into(), "4".into()]));
    let replies = raw.exchange(&[execute("p", 9_995), sync()]).await;
    assert_eq!(replies.len(), 9_995 + 2);
    let replies = raw.exchange(&[execute("p", 1), sync()]).await;
    assert_eq!((kinds(&replies).as_str(), tag(&replies)), ("CZ", "SELECT 0".to_owned()));
    raw.exchange(&[bind("q", "s"), execute("q", 1), sync()]).await;
    assert_eq!(
        kinds(&raw.exchange(&[parse("", "commit"), bind("", ""), execute("", 0), sync()]).await),
        "12CZ"
    );
    assert_eq!(error(&raw.exchange(&[execute("q", 1), sync()]).await), "34000 portal \"q\" does not exist");
}

#[tokio::test]
async fn portals_without_a_transaction_end_with_sync() {
    let wire = start(|_| {}).await;
    let mut raw = wire.raw_session().await;
    let sql = "select id from number";
    let replies =
        raw.exchange(&[parse("s", sql), bind("p", "s"), execute("p", 1), execute("p", 1), sync()]).await;
    assert_eq!(kinds(&replies), "12DsDsZ");
    assert!(error(&raw.exchange(&[execute("p", 1), sync()]).await).starts_with("34000"));
}

/// The message that ended a server built on the stock libraries.
#[tokio::test]
async fn the_largest_row_limit_costs_nothing() {
    let wire = start(|_| {}).await;
    let mut raw = wire.raw_session().await;
    for limit in [0x7fff_ffff, 0xffff_ffff, 0x8000_0000] {
        let messages = [parse("", "select id from number limit 5"), bind("", ""), execute("", limit), sync()];
        assert_eq!(kinds(&raw.exchange(&messages).await), "12DDDDDCZ", "{limit:x}");
    }
}

#[tokio::test]
async fn a_session_keeps_a_thousand_statements_and_no_more() {
    let wire = start(|_| {}).await;
    let mut raw = wire.raw_session().await;
    let mut messages: Vec<_> = (0..1_001).map(|n| parse(&format!("s{n}"), "select 1")).collect();
    messages.push(sync());
    let replies = raw.exchange(&messages).await;
    assert_eq!(kinds(&replies), format!("{}EZ", "1".repeat(1_000)));
    assert!(error(&replies).starts_with("53400"));
    assert_eq!(kinds(&raw.exchange(&[close('S', "s5"), parse("again", "select 1"), sync()]).await), "31Z");
}

#[tokio::test]
async fn rows_can_be_copied_out() {
    let wire = start(|_| {}).await;
    let mut raw = wire.raw_session().await;
    let lines = |replies: &[Reply]| {
        let lines = replies.iter().filter(|reply| reply.kind == b'd').flat_map(|reply| reply.body.clone());
        String::from_utf8_lossy(&lines.collect::<Vec<_>>()).into_owned()
    };
    let sql = "COPY (select id, name from number order by id limit 2) TO STDOUT";
    let replies = raw.query(sql).await;
    assert_eq!(kinds(&replies), "HddcCZ", "{replies:?}");
    assert_eq!((lines(&replies).as_str(), tag(&replies).as_str()), ("0\trow 0\n1\trow 1\n", "COPY 2"));
    let replies = raw.query(&format!("{sql} (FORMAT csv, HEADER)")).await;
    assert_eq!(lines(&replies), "id,name\n0,row 0\n1,row 1\n");
    let replies = raw.query(&format!("{sql} (FORMAT binary)")).await;
    assert_eq!(kinds(&replies), "HdddcCZ", "two rows, the header with the first, trailer");
    let none = sql.replace("limit 2", "limit 0");
    let replies = raw.query(&format!("{none} (FORMAT binary)")).await;
    assert_eq!(kinds(&replies), "HdcCZ", "header and trailer");
    assert_eq!((&replies[1].body[..6], &replies[1].body[19..]), (&b"PGCOPY"[..], &b"\xff\xff"[..]));
    let messages = [parse("", sql), bind("", ""), describe('P', ""), execute("", 1), sync()];
    assert_eq!(kinds(&raw.exchange(&messages).await), "12nHddcCZ");
}

#[tokio::test]
async fn a_failed_transaction_accepts_only_its_end() {
    let wire = start(|_| {}).await;
    let mut raw = wire.raw_session().await;
    assert_eq!(raw.query("begin; select nope").await.last().unwrap().body, b"E");
    assert!(error(&raw.query("select 1").await).starts_with("25P02"));
    assert!(error(&raw.exchange(&[parse("", "select 1"), sync()]).await).starts_with("25P02"));
    assert_eq!(raw.query("rollback").await.last().unwrap().body, b"I");
}

#[tokio::test]
async fn changed_settings_are_told() {
    let wire = start(|_| {}).await;
    let mut raw = wire.raw_session().await;
    let replies = raw.query("set application_name to 'psql'").await;
    assert_eq!(kinds(&replies), "CSZ");
    assert_eq!(replies[1].body, b"application_name\0psql\0");
}

#[tokio::test]
async fn flush_sends_what_is_there() {
    let wire = start(|_| {}).await;
    let mut raw = wire.raw_session().await;
    raw.send(&[parse("", "select 1"), message(b'H', b"")].concat()).await;
    assert_eq!(raw.reply().await.unwrap().kind, b'1');
    raw.send(&[parse("x", "select nope"), message(b'H', b"")].concat()).await;
    assert_eq!(raw.reply().await.unwrap().kind, b'E', "an error needs no Flush");
    raw.send(&sync()).await;
    assert_eq!(raw.reply().await.unwrap().kind, b'Z');
}

#[tokio::test]
async fn notices_come_while_a_call_runs() {
    let wire = start(|_| {}).await;
    let mut raw = wire.raw_session().await;
    let replies = raw.query("CALL touch('x')").await;
    assert_eq!(kinds(&replies), "NTDCZ");
    assert_eq!((replies[0].fields()[&'M'].as_str(), tag(&replies).as_str()), ("touched", "CALL"));
    raw.send(&message(b'Q', b"CALL wait('x')\0")).await;
    assert_eq!(raw.reply().await.unwrap().fields()[&'M'], "waiting");
}

/// A statement that never ends.
const ENDLESS: &str = "select sum(id) from endless";
/// One whose rows never end.
const MANY_ROWS: &str = "select id, name from endless";

async fn cancel(wire: &Wire, key: &[u8]) {
    let mut raw = wire.raw().await;
    let packet = [&((8 + key.len()) as u32).to_be_bytes()[..], &80_877_102_u32.to_be_bytes(), key].concat();
    raw.send(&packet).await;
    assert!(raw.reply().await.is_none());
}

async fn with_key(wire: &Wire) -> (Raw, Vec<u8>) {
    let mut raw = wire.raw().await;
    let replies = raw.log_in(USER, PASSWORD, b"").await;
    let key = replies.iter().find(|reply| reply.kind == b'K').unwrap().body.clone();
    (raw, key)
}

#[tokio::test]
async fn a_cancel_stops_what_runs_within_a_second() {
    let wire = start(|_| {}).await;
    for sql in [
        ENDLESS,
        "CALL wait('x')",
        "select id from endless order by name",
        "select id from endless where id < 0",
    ] {
        let (mut raw, key) = with_key(&wire).await;
        raw.send(&message(b'Q', format!("{sql}\0").as_bytes())).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(wire.server.sessions().list()[0].active, "{sql}");
        let begin = Instant::now();
        cancel(&wire, &key).await;
        let replies = raw.replies().await;
        assert!(begin.elapsed() < Duration::from_secs(1), "{sql}: {:?}", begin.elapsed());
        assert_eq!(error(&replies), "57014 canceling statement due to user request");
        assert_eq!(kinds(&raw.query("select 1").await), "TDCZ");
    }
    assert_eq!(wire.verbs.stopped.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_cancel_stops_rows_that_nobody_reads() {
    let wire = start(|_| {}).await;
    let (mut raw, key) = with_key(&wire).await;
    let messages = [parse("", MANY_ROWS), bind("", ""), execute("", 0), sync()];
    raw.send(&messages.concat()).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    cancel(&wire, &key).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let replies = raw.replies().await;
    assert_eq!(error(&replies), "57014 canceling statement due to user request");
    // What was in flight: buffers of the socket and ours, not the result.
    assert!(replies.len() < 1_000_000, "{}", replies.len());
}

#[tokio::test]
async fn a_statement_timeout_covers_planning_and_rows() {
    let wire = start(|_| {}).await;
    let mut raw = wire.raw_session().await;
    raw.query("set statement_timeout to 300").await;
    for sql in [ENDLESS, MANY_ROWS] {
        let begin = Instant::now();
        let replies = raw.query(sql).await;
        assert!(begin.elapsed() < Duration::from_millis(1300), "{sql}: {:?}", begin.elapsed());
        assert_eq!(error(&replies), "57014 canceling statement due to statement timeout");
    }
    raw.query("set statement_timeout to 0").await;
    assert_eq!(kinds(&raw.query("select 1").await), "TDCZ");
}

#[tokio::test]
async fn a_client_that_goes_away_takes_its_statement_with_it() {
    let wire = start(|_| {}).await;
    for sql in [ENDLESS, MANY_ROWS] {
        let mut raw = wire.raw_session().await;
        raw.send(&message(b'Q', format!("{sql}\0").as_bytes())).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        drop(raw);
        let begin = Instant::now();
        while !wire.server.sessions().list().is_empty() {
            assert!(begin.elapsed() < Duration::from_secs(1), "{sql}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut() {
    let wire = start(|config| config.stall_timeout = Duration::from_millis(500)).await;
    let mut raw = wire.raw_session().await;
    raw.send(&message(b'Q', format!("{MANY_ROWS}\0").as_bytes())).await;
    let begin = Instant::now();
    while !wire.server.sessions().list().is_empty() {
        assert!(begin.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_session_can_be_ended_from_outside() {
    let wire = start(|_| {}).await;
    let mut raw = wire.raw_session().await;
    raw.send(&message(b'Q', format!("{ENDLESS}\0").as_bytes())).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(wire.server.sessions().terminate_user(USER), 1);
    assert!(error(&raw.replies().await).starts_with("57P01"));
}
