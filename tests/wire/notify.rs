//! LISTEN and NOTIFY between sessions.

use std::time::Duration;

use futures::StreamExt;
use tokio_postgres::{AsyncMessage, NoTls, Notification};

use crate::support::link;
use crate::support::postgres;
use crate::support::server::Server;
use crate::support::wire::*;

/// A client with what arrives for it.
async fn listener(
    config: tokio_postgres::Config,
) -> (tokio_postgres::Client, tokio::sync::mpsc::UnboundedReceiver<Notification>) {
    let (client, mut connection) = config.connect(NoTls).await.unwrap();
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut messages = futures::stream::poll_fn(move |context| connection.poll_message(context));
        while let Some(Ok(message)) = messages.next().await {
            if let AsyncMessage::Notification(notification) = message {
                sender.send(notification).ok();
            }
        }
    });
    (client, receiver)
}

async fn next(receiver: &mut tokio::sync::mpsc::UnboundedReceiver<Notification>) -> (String, String, i32) {
    let arrived = tokio::time::timeout(Duration::from_secs(10), receiver.recv()).await;
    let arrived = arrived.expect("a notification in time").unwrap();
    (arrived.channel().into(), arrived.payload().into(), arrived.process_id())
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_reach_those_who_listen_when_their_transaction_commits() {
    let wire = start(|_| {}).await;
    let (first, mut arrived) = listener(wire.config()).await;
    let second = wire.connect().await;
    let sender: i32 = second.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    first.batch_execute("LISTEN one; LISTEN \"Two\"").await.unwrap();
    second.batch_execute("NOTIFY one, 'a'").await.unwrap();
    assert_eq!(next(&mut arrived).await, ("one".into(), "a".into(), sender));
    second.batch_execute("NOTIFY \"Two\"").await.unwrap();
    assert_eq!(next(&mut arrived).await, ("Two".into(), String::new(), sender));
    // Nothing before the commit, nothing of what was rolled back, and the same message once.
    let script = "BEGIN; NOTIFY one, '1'; SAVEPOINT s; NOTIFY one, '2'; ROLLBACK TO s; NOTIFY one, '3';
        NOTIFY one, '1'; NOTIFY nobody, 'x'";
    second.batch_execute(script).await.unwrap();
    second.batch_execute("SELECT 1").await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(300), arrived.recv()).await.is_err());
    second.batch_execute("COMMIT").await.unwrap();
    assert_eq!(next(&mut arrived).await.1, "1");
    assert_eq!(next(&mut arrived).await.1, "3");
    second.batch_execute("BEGIN; NOTIFY one, 'lost'; ROLLBACK").await.unwrap();
    second.batch_execute("NOTIFY one, 'lost too'; SELECT 1/0").await.unwrap_err();
    // Through the function, with values from rows and parameters.
    second.execute("SELECT pg_notify('one', $1)", &[&"from a function"]).await.unwrap();
    assert_eq!(next(&mut arrived).await.1, "from a function");
    second.batch_execute("SELECT pg_notify('one', x) FROM (VALUES ('r1'), ('r2')) v(x)").await.unwrap();
    assert_eq!((next(&mut arrived).await.1, next(&mut arrived).await.1), ("r1".into(), "r2".into()));
    // One's own message, too; while in a transaction, at its end.
    first.batch_execute("BEGIN; SELECT 1").await.unwrap();
    second.batch_execute("NOTIFY one, 'late'").await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(300), arrived.recv()).await.is_err());
    first.batch_execute("NOTIFY one, 'own'; COMMIT").await.unwrap();
    assert_eq!((next(&mut arrived).await.1, next(&mut arrived).await.1), ("late".into(), "own".into()));
    let rows = first.query("SELECT * FROM pg_listening_channels() ORDER BY 1", &[]).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.get(0)).collect::<Vec<String>>(), ["Two", "one"]);
    first.batch_execute("UNLISTEN one").await.unwrap();
    second.batch_execute("NOTIFY one, 'unheard'; NOTIFY \"Two\", 'heard'").await.unwrap();
    assert_eq!(next(&mut arrived).await.1, "heard");
    first.batch_execute("UNLISTEN *").await.unwrap();
    assert!(first.query("SELECT * FROM pg_listening_channels()", &[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_payload_and_a_name_have_their_limits() {
    let wire = start(|_| {}).await;
    let client = wire.connect().await;
    client.batch_execute(&format!("NOTIFY one, '{}'", "x".repeat(7_999))).await.unwrap();
    for wrong in [
        format!("NOTIFY one, '{}'", "x".repeat(8_000)),
        "SELECT pg_notify('one', repeat('x', 8000))".to_string(),
        format!("NOTIFY {}", "x".repeat(64)),
        "SELECT pg_notify('', 'x')".to_string(),
        "SELECT pg_notify(NULL, 'x')".to_string(),
    ] {
        let error = client.batch_execute(&wrong).await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "22023", "{wrong:.40}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_reads_nothing_does_not_hold_up_memory() {
    let wire = start(|_| {}).await;
    // It listens and then stays within its transaction.
    let deaf = wire.connect().await;
    deaf.batch_execute("LISTEN one").await.unwrap();
    deaf.batch_execute("BEGIN; SELECT 1").await.unwrap();
    let client = wire.connect().await;
    let many = "SELECT pg_notify('one', id::text || repeat('x', 100)) FROM generate_series(1, 6000) g(id)";
    client.batch_execute(many).await.unwrap();
    let error = client.batch_execute(many).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "54000", "{error}");
    client.batch_execute("SELECT 1").await.unwrap();
    drop(deaf);
    tokio::time::sleep(Duration::from_millis(500)).await;
    client.batch_execute(many).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_ends_is_told_to_those_who_may_read() {
    let source = postgres::database().await;
    source.execute("CREATE TABLE deal (id int PRIMARY KEY); INSERT INTO deal VALUES (1); ANALYZE").await;
    let server = Server::start();
    link(&server, &source);
    server.rows(&[
        "CALL add_object('crm', 'public.deal')",
        "CREATE USER reader PASSWORD 'long enough to be one'",
    ]);
    let (admin, mut told) = listener(server.config()).await;
    let (reader, mut untold) = listener(server.config_of("reader", "long enough to be one")).await;
    admin.batch_execute("LISTEN tributary_sync").await.unwrap();
    reader.batch_execute("LISTEN tributary_sync").await.unwrap();
    server.rows(&["CALL sync('crm','full')"]);
    let (channel, payload, sender) = next(&mut told).await;
    let payload: serde_json::Value = serde_json::from_str(&payload).unwrap();
    assert_eq!((channel.as_str(), sender), ("tributary_sync", 0));
    assert_eq!(
        payload,
        serde_json::json!({"connection": "crm", "sync": 1, "release": 1, "outcome": "succeeded"})
    );
    assert!(
        tokio::time::timeout(Duration::from_millis(500), untold.recv()).await.is_err(),
        "no right, no news"
    );
    server.rows(&["GRANT SELECT ON crm.deal TO reader"]);
    source.execute("DROP TABLE deal").await;
    server.error("CALL sync('crm','full')");
    for arrived in [&mut told, &mut untold] {
        let payload: serde_json::Value = serde_json::from_str(&next(arrived).await.1).unwrap();
        assert_eq!((&payload["outcome"], &payload["release"]), (&"failed".into(), &serde_json::Value::Null));
    }
}
