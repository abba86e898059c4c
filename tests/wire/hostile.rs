//! Bytes that mean no good. Whatever is sent, a well-behaved client beside it is served.

use std::time::{Duration, Instant};

use rand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::wire::*;

/// Sends `attacks` one after the other while a client checks every time that it is still answered.
async fn survive(wire: &Wire, attacks: impl IntoIterator<Item = Vec<u8>>, logged_in: bool) {
    let mut control = wire.raw_session().await;
    for (count, attack) in attacks.into_iter().enumerate() {
        let mut raw = if logged_in { wire.raw_session().await } else { wire.raw().await };
        raw.send(&attack).await;
        let mut answer = [0; 1024];
        // Whether and what it answers does not matter.
        tokio::time::timeout(Duration::from_millis(20), raw.stream.read(&mut answer)).await.ok();
        drop(raw);
        if count % 20 == 0 {
            let begin = Instant::now();
            assert_eq!(
                control.query("").await.last().unwrap().kind,
                b'Z',
                "after attack {count}: {attack:?}"
            );
            assert!(begin.elapsed() < Duration::from_secs(1), "after attack {count}");
        }
    }
    assert_eq!(wire.server.panics(), 0);
}

#[tokio::test]
async fn random_bytes_before_the_login() {
    let wire = start(|_| {}).await;
    let mut rng = rand::rng();
    let attacks = (0..150).map(|count| {
        let mut bytes = vec![0; rng.random_range(0..200)];
        rng.fill(&mut bytes[..]);
        match count % 5 {
            // A believable length and version in front.
            0 if bytes.len() > 8 => {
                let length = bytes.len() as u32;
                bytes[..4].copy_from_slice(&length.to_be_bytes());
                bytes[4..8].copy_from_slice(&196_608_u32.to_be_bytes());
            }
            1 => bytes.splice(0..0, hello(USER)).for_each(drop),
            2 => bytes.splice(0..0, [&hello(USER)[..], b"p"].concat()).for_each(drop),
            3 => bytes.splice(0..0, (80_877_102_u64 | 16 << 32).to_be_bytes()).for_each(drop),
            _ => {}
        }
        bytes
    });
    survive(&wire, attacks.collect::<Vec<_>>(), false).await;
}

#[tokio::test]
async fn random_messages_after_the_login() {
    let wire = start(|config| config.limits.per_user = 100).await;
    let mut rng = rand::rng();
    let attacks = (0..150).map(|_| {
        let mut bytes = Vec::new();
        for _ in 0..4 {
            let kind = b"QPBDECHSXdcfpZ\0"[rng.random_range(0..15)];
            let mut body = vec![0; rng.random_range(0..40)];
            rng.fill(&mut body[..]);
            let mut frame = message(kind, &body);
            if rng.random_ratio(1, 3) {
                let length: u32 =
                    [0, 1, 3, 4, 5, 0x7fff_ffff, 0xffff_ffff, 0x3fff_ffff][rng.random_range(0..8)];
                frame[1..5].copy_from_slice(&length.to_be_bytes());
            }
            bytes.extend(frame);
        }
        bytes
    });
    survive(&wire, attacks.collect::<Vec<_>>(), true).await;
}

#[tokio::test]
async fn lengths_that_cannot_be_end_the_connection_at_once() {
    let wire = start(|_| {}).await;
    for length in [0_u32, 3, 16 * 1024 * 1024 + 1, 0x7fff_ffff, 0xffff_ffff] {
        let mut raw = wire.raw_session().await;
        raw.send(&[&b"Q"[..], &length.to_be_bytes()].concat()).await;
        let replies = raw.replies().await;
        assert_eq!(kinds(&replies), "E");
        assert_eq!((replies[0].state().as_str(), replies[0].fields()[&'S'].as_str()), ("08P01", "FATAL"));
    }
}

#[tokio::test]
async fn text_that_is_not_utf_8_is_an_error_and_no_more() {
    let wire = start(|_| {}).await;
    let mut raw = wire.raw_session().await;
    raw.send(&message(b'Q', b"select '\xff'\0")).await;
    let replies = raw.replies().await;
    assert_eq!(kinds(&replies), "EZ");
    assert_eq!(replies[0].state(), "22021");
    raw.send(&[message(b'P', b"\0\xff\0\0\0"), message(b'S', b"")].concat()).await;
    assert_eq!(kinds(&raw.replies().await), "EZ");
    assert_eq!(kinds(&raw.query("").await), "IZ");
}

#[tokio::test]
async fn many_who_say_nothing_do_not_keep_others_out() {
    let wire = start(|_| {}).await;
    let mut idle = Vec::new();
    for _ in 0..90 {
        idle.push(wire.raw().await);
    }
    let begin = Instant::now();
    wire.raw_session().await;
    assert!(begin.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn cancel_requests_with_guessed_keys_do_nothing() {
    let wire = start(|_| {}).await;
    let mut session = wire.raw_session().await;
    for guess in 0..50_u32 {
        let mut raw = wire.raw().await;
        let body = [80_877_102, 1, guess].map(u32::to_be_bytes).concat();
        raw.send(&[&16_u32.to_be_bytes()[..], &body].concat()).await;
        assert!(raw.reply().await.is_none(), "never answered");
    }
    assert_eq!(kinds(&session.query("").await), "IZ");
}

#[tokio::test]
async fn unencrypted_data_behind_a_request_for_tls_ends_the_connection() {
    let (folder, tls) = super::tls::certificate();
    let wire = start(|config| config.tls = Some(tls)).await;
    let mut raw = wire.raw().await;
    raw.send(&[&(80_877_103_u64 | 8 << 32).to_be_bytes()[..], &hello(USER)].concat()).await;
    let mut answer = Vec::new();
    raw.stream.read_to_end(&mut answer).await.ok();
    assert!(answer.len() <= 1, "nothing of the smuggled message is answered: {answer:?}");
    raw.stream.shutdown().await.ok();
    drop(folder);
}
