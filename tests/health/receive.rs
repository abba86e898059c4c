//! Whoever is told of alerts: a real mail server, and receivers of webhooks.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, Mac};
use serde_json::Value;
use sha2::Sha256;

use crate::drivers::installed;
use crate::rest::server::{Asked, Said, Server as Receiver};

pub(super) const MAIL_PASSWORD: &str = "canary of mail: p@ss/word";
pub(crate) const WEBHOOK_SECRET: &str = "canary-of-the-webhook-secret";
/// Part of the URL of the chat, which is its secret.
pub(super) const CHAT_PATH: &str = "/services/canary-of-the-chat";

/// A mail server; it ends when dropped.
pub(super) struct MailServer {
    child: Child,
    pub(super) port: u16,
    mails: Arc<Mutex<Vec<Value>>>,
}

impl MailServer {
    pub(super) fn start(port: u16) -> Self {
        let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/health/mail_server.py");
        let mut child = Command::new(installed("venv/bin/python"))
            .arg(script)
            .args([&port.to_string(), MAIL_PASSWORD])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.next().expect("the mail server says its port").unwrap().parse().unwrap();
        let mails: Arc<Mutex<Vec<Value>>> = Arc::default();
        let kept = mails.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        MailServer { child, port, mails }
    }

    pub(super) fn mails(&self) -> Vec<Value> {
        self.mails.lock().unwrap().clone()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The URL by which the server reaches a mail server.
pub(super) fn mail_url(port: u16) -> String {
    let password: String = MAIL_PASSWORD.bytes().map(|byte| format!("%{byte:02X}")).collect();
    format!("smtp://alerts:{password}@127.0.0.1:{port}")
}

/// A receiver that takes everything.
pub(crate) async fn receiver() -> Receiver {
    Receiver::start(|_| Said(200, Vec::new(), b"ok".to_vec())).await
}

/// A webhook as a program checks it that follows the standard: the signature over id, time and body, and the time.
pub(crate) fn verified(asked: &Asked, secret: &str) -> Value {
    let header = |name: &str| asked.headers.get(name).unwrap_or_else(|| panic!("{name} in {asked:?}"));
    let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{id}.{timestamp}.{}", asked.body).as_bytes());
    let expected = format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()));
    assert_eq!(*header("webhook-signature"), expected);
    let age = chrono::DateTime::from_timestamp(timestamp.parse().unwrap(), 0).unwrap().timestamp_micros();
    assert!((tributary::model::now_micros() - age).abs() < 60_000_000, "{timestamp}");
    assert_eq!(header("content-type"), "application/json");
    serde_json::from_str(&asked.body).unwrap()
}

/// Waits until something is so, at most half a minute.
pub(super) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(30), "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
