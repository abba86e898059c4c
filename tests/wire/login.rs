//! Nobody gets in without a password, and nothing is done for who has not got in.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tributary::pg::Limits;

use crate::support::wire::*;

fn query(sql: &str) -> Vec<u8> {
    message(b'Q', format!("{sql}\0").as_bytes())
}

#[tokio::test]
async fn the_right_password_opens_a_session() {
    let wire = start(|_| {}).await;
    let replies = wire.raw().await.log_in(USER, PASSWORD, b"").await;
    assert_eq!(kinds(&replies), "RRSSSSSSSSSSSSSKZ", "final, ok, settings, key, ready");
    let settings: Vec<_> = replies.iter().filter(|reply| reply.kind == b'S').collect();
    let text = |reply: &&Reply| String::from_utf8_lossy(&reply.body).replace('\0', "=");
    let settings: Vec<_> = settings.iter().map(text).collect();
    assert!(settings.contains(&"server_version=15.18=".to_owned()), "{settings:?}");
    assert!(settings.contains(&"is_superuser=on=".to_owned()), "{settings:?}");
    assert!(settings.contains(&format!("session_authorization={USER}=")), "{settings:?}");
    assert_eq!(replies.last().unwrap().body, b"I");
    assert!(wire.people.attempts.lock()[0].succeeded);
    assert_eq!(wire.server.sessions().list().len(), 1);
}

#[tokio::test]
async fn a_statement_behind_a_wrong_password_never_runs() {
    let wire = start(|_| {}).await;
    let call = [query("CALL touch('x')"), message(b'P', b"\0CALL touch('x')\0\0\0")].concat();
    let call =
        [call, message(b'B', b"\0\0\0\0\0\0\0\0"), message(b'E', b"\0\0\0\0\0"), message(b'S', b"")].concat();
    let replies = wire.raw().await.log_in(USER, "wrong", &call).await;
    assert_eq!(kinds(&replies), "E", "one error and the end of the connection");
    assert_eq!(replies[0].fields()[&'S'], "FATAL");
    assert_eq!(replies[0].state(), "28P01");
    assert_eq!(wire.verbs.touched.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_error_of_the_user_store_lets_nobody_in() {
    let wire = start(|_| {}).await;
    wire.people.broken.store(true, Ordering::Relaxed);
    let mut raw = wire.raw().await;
    raw.send(&[hello(USER), query("CALL touch('x')")].concat()).await;
    let replies = raw.replies().await;
    assert_eq!(kinds(&replies), "E");
    assert_eq!(replies[0].fields()[&'S'], "FATAL");
    assert_eq!(wire.verbs.touched.load(Ordering::SeqCst), 0);
    assert!(!replies[0].fields()[&'M'].contains("disk"), "a stranger learns nothing of the store");
}

#[tokio::test]
async fn nothing_but_a_login_is_read_before_the_login() {
    let wire = start(|_| {}).await;
    let bodies: [&[u8]; 4] = [
        &query("CALL touch('x')"),
        &message(b'P', b"\0CALL touch('x')\0\0\0"),
        &message(b'S', b""),
        &message(b'Z', b""),
    ];
    for body in bodies {
        let mut raw = wire.raw().await;
        raw.send(&[&hello(USER), body].concat()).await;
        assert_eq!(kinds(&raw.replies().await), "RE", "{body:?}");
    }
    let mut raw = wire.raw().await;
    raw.send(&hello(USER)).await;
    raw.reply().await.unwrap();
    raw.send(&[&b"p"[..], &(20_000_u32).to_be_bytes(), &[b'x'; 20_000]].concat()).await;
    assert_eq!(raw.replies().await[0].state(), "08P01", "more than 16 KiB before the login");
    assert_eq!(wire.verbs.touched.load(Ordering::SeqCst), 0);
}

async fn challenge(wire: &Wire, user: &str) -> String {
    let mut raw = wire.raw().await;
    raw.send(&hello(user)).await;
    raw.reply().await.unwrap();
    raw.send(&sasl_initial("n,,n=,r=abc")).await;
    let body = raw.reply().await.unwrap().body[4..].to_vec();
    let text = String::from_utf8(body).unwrap();
    text.split_once(",s=").unwrap().1.to_owned()
}

#[tokio::test]
async fn an_unknown_user_cannot_be_told_from_a_wrong_password() {
    let wire = start(|_| {}).await;
    let known = challenge(&wire, USER).await;
    let unknown = challenge(&wire, "nobody").await;
    assert_eq!(known.len(), unknown.len());
    assert_eq!(unknown, challenge(&wire, "nobody").await, "the same salt every time");
    assert_ne!(unknown, challenge(&wire, "nobody else").await);
    let wrong = wire.raw().await.log_in("bob", "wrong", b"").await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let missing = wire.raw().await.log_in("nobody", "wrong", b"").await;
    assert_eq!(kinds(&wrong), kinds(&missing));
    assert_eq!(wrong[0].fields()[&'M'].replace("bob", "nobody"), missing[0].fields()[&'M']);
    assert_eq!(wrong[0].state(), missing[0].state());
}

#[tokio::test]
async fn guessing_is_slowed_down_and_nobody_is_locked_out() {
    let wire = start(|_| {}).await;
    wire.raw_session().await;
    let begin = Instant::now();
    let guesses = (0..6).map(|_| async { wire.raw().await.log_in("bob", "wrong", b"").await });
    let guesses = futures::future::join_all(guesses);
    // Five guesses take 1 + 2 + 4 + 8 seconds and more: after four seconds three have been looked at.
    tokio::time::timeout(Duration::from_secs(4), guesses).await.unwrap_err();
    assert!(wire.people.attempts.lock().iter().filter(|attempt| !attempt.succeeded).count() <= 3);
    // From the same address, but known from before.
    let begin_known = Instant::now();
    wire.raw_session().await;
    assert!(begin_known.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn limits_are_told_as_errors() {
    let limits = Limits { sessions: 5, reserved: 2, per_user: 2, logging_in: 3 };
    let wire = start(|config| config.limits = limits).await;
    let mut sessions = Vec::new();
    for user in ["bob", "bob", "cid"] {
        let mut raw = wire.raw().await;
        assert_eq!(raw.log_in(user, PASSWORD, b"").await.last().unwrap().kind, b'Z', "{user}");
        sessions.push(raw);
    }
    for (user, expected) in [("bob", "reserved"), ("dan", "reserved")] {
        let replies = wire.raw().await.log_in(user, PASSWORD, b"").await;
        let error = replies.last().unwrap();
        assert_eq!(error.state(), "53300");
        assert!(error.fields()[&'M'].contains(expected), "{error:?}");
    }
    sessions.push(wire.raw_session().await);
    sessions.push(wire.raw_session().await);
    let replies = wire.raw().await.log_in(USER, PASSWORD, b"").await;
    assert_eq!(replies.last().unwrap().state(), "53300");
    drop(sessions.remove(0));
    tokio::time::sleep(Duration::from_millis(200)).await;
    wire.raw_session().await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let mut raw = wire.raw().await;
        raw.send(&hello(USER)).await;
        raw.reply().await.unwrap();
        waiting.push(raw);
    }
    assert_eq!(wire.raw().await.replies().await[0].state(), "53300", "too many are logging in");
}

#[tokio::test]
async fn what_is_asked_for_at_the_start_is_checked() {
    let wire = start(|_| {}).await;
    let answer = async |packet: &[u8]| {
        let mut raw = wire.raw().await;
        raw.send(packet).await;
        raw.reply().await
    };
    let state = async |packet: &[u8]| answer(packet).await.unwrap().state();
    assert_eq!(state(&startup(196_608, &[("database", "x")])).await, "28000", "no user");
    assert_eq!(state(&startup(131_072, &[("user", USER)])).await, "0A000", "protocol 2");
    assert_eq!(state(&startup(196_608, &[("user", USER), ("replication", "true")])).await, "0A000");
    let newer = answer(&startup(0x0003_270f, &[("user", USER), ("_pq_.x", "1")])).await.unwrap();
    assert_eq!((newer.kind, &newer.body[..]), (b'v', &b"\0\x03\0\x02\0\0\0\x01_pq_.x\0"[..]));
    let mut raw = wire.raw().await;
    raw.send(&(80_877_104_u64 | 8 << 32).to_be_bytes()).await;
    raw.send(&(80_877_103_u64 | 8 << 32).to_be_bytes()).await;
    let mut answers = [0; 2];
    tokio::io::AsyncReadExt::read_exact(&mut raw.stream, &mut answers).await.unwrap();
    assert_eq!(&answers, b"NN", "neither GSS nor TLS is set up");
    assert_eq!(raw.log_in(USER, PASSWORD, b"").await.last().unwrap().kind, b'Z');
    // Another database.
    let mut config = wire.config();
    let error = config.dbname("other").connect(tokio_postgres::NoTls).await.err().unwrap();
    assert_eq!(error.code().unwrap().code(), "3D000");
}

#[tokio::test]
async fn a_defect_ends_one_connection_and_is_counted() {
    let wire = start(|_| {}).await;
    let mut beside = wire.raw_session().await;
    let mut raw = wire.raw().await;
    raw.send(&hello("defect")).await;
    assert!(raw.replies().await.is_empty());
    assert_eq!(wire.server.panics(), 1);
    assert_eq!(kinds(&beside.query("").await), "IZ");
}

#[tokio::test]
async fn from_other_machines_a_password_is_taken_over_tls_only() {
    // An address of this machine that is not the loopback; nothing is sent to find it.
    let probe = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    let found = probe.connect("10.255.255.255:9").and_then(|()| probe.local_addr());
    let Some(address) = found.ok().map(|found| found.ip()).filter(|ip| !ip.is_loopback()) else { return };
    for (allowed, expected) in [(false, 'E'), (true, 'R')] {
        let wire = start_on("0.0.0.0", |config| config.allow_plaintext = allowed).await;
        let stream = tokio::net::TcpStream::connect((address, wire.port)).await.unwrap();
        let mut raw = Raw { stream: tokio::io::BufReader::new(stream) };
        raw.send(&hello(USER)).await;
        let reply = raw.reply().await.unwrap();
        assert_eq!(reply.kind as char, expected);
        if !allowed {
            assert!(reply.fields()[&'M'].contains("is not encrypted"));
        }
    }
}

#[tokio::test]
async fn a_slow_login_is_ended() {
    let wire = start(|config| config.login_timeout = Duration::from_millis(300)).await;
    let mut silent = wire.raw().await;
    assert!(silent.reply().await.is_none());
    let mut slow = wire.raw().await;
    slow.send(&hello(USER)).await;
    assert_eq!(kinds(&slow.replies().await), "RE");
}

#[tokio::test]
async fn idle_sessions_and_a_shutdown_end_with_a_word() {
    let wire = start(|config| config.idle_timeout = Some(Duration::from_millis(300))).await;
    let mut raw = wire.raw_session().await;
    assert_eq!(raw.replies().await[0].state(), "57P05");
    let wire = start(|_| {}).await;
    let mut raw = wire.raw_session().await;
    drop(wire);
    assert_eq!(raw.replies().await[0].state(), "57P01");
}
