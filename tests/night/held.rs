//! A login that is revoked in the night: what does not need it goes on, what does is held with the reason, and
//! whoever waits for the batch hears of it.

use std::time::{Duration, Instant};

use futures::StreamExt;
use tributary::demo::hubspot;

use super::{last, until};
use crate::health::receive::{WEBHOOK_SECRET, receiver, verified};
use crate::support::folder::folder_of_this_run;
use crate::support::link;
use crate::support::postgres;
use crate::support::server::{Builder, Server};

async fn vendor() -> hubspot::Running {
    let options = hubspot::Options { limits: hubspot::Limits::none(), ..hubspot::Options::default() };
    hubspot::start(options).await.unwrap()
}

fn configured(vendor: &hubspot::Running, webhook: &str) -> Builder {
    let folder = tempfile::tempdir_in(folder_of_this_run("tributary-test-night")).unwrap().keep();
    let config = folder.join("tributary.toml");
    let text = format!(
        "[connector_base]\nhubspot = \"{}\"\n[batch]\nwebhook_url = \"{webhook}\"\nwebhook_secret = \"{WEBHOOK_SECRET}\"\n",
        vendor.base_url
    );
    std::fs::write(&config, text).unwrap();
    Server::builder().args(&["--config", config.to_str().unwrap()])
}

/// Two connections and a statement on each, and one on both.
async fn link_both(server: &Server) -> postgres::Database {
    let database = postgres::database().await;
    database
        .execute(
            "CREATE TABLE deal (id int PRIMARY KEY, amount numeric(18,2),
                 updated_at timestamptz NOT NULL DEFAULT clock_timestamp());
             INSERT INTO deal SELECT i, i FROM generate_series(1, 10) i;",
        )
        .await;
    link(server, &database);
    server.rows(&[
        "CALL add_object('crm', 'public.deal', unique_fields => 'id', cursor_field => 'updated_at')",
        "CALL sync('crm', 'full')",
        "CALL connect('hubspot')",
        &format!("CALL set_secret('hubspot', 'token', '{}')", hubspot::PRIVATE_TOKEN),
        "CALL add_object('hubspot', 'company')",
        "CALL sync('hubspot', 'full')",
        "CALL create_statement('own', $$SELECT sum(amount) AS total FROM crm.deal$$)",
        "CALL create_statement('theirs', $$SELECT count(*) AS companies FROM hubspot.company$$)",
        "CALL create_statement('both', $$SELECT total, companies FROM statement.own, statement.theirs$$)",
    ]);
    database
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_is_revoked_holds_what_reads_it_and_nothing_else() {
    let (vendor, hook) = (vendor().await, receiver().await);
    let server = configured(&vendor, &format!("{}/batch", hook.base)).start();
    let database = link_both(&server).await;
    assert!(server.rows(&["CALL run_batch()"]).contains("|succeeded|"));
    let both = "SELECT total, companies FROM statement.both";
    let companies = last(&server, &["SELECT count(*) FROM hubspot.company"]);
    assert_eq!(last(&server, &[both]), format!("55.00|{companies}"));

    // Listening as whoever may read nothing: the message tells numbers and names only.
    server.rows(&["CREATE USER ada PASSWORD 'a long enough password'"]);
    let config = server.config_of("ada", "a long enough password");
    let (client, mut connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
    let (sender, mut heard) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut messages = futures::stream::poll_fn(move |context| connection.poll_message(context));
        while let Some(Ok(message)) = messages.next().await {
            if let tokio_postgres::AsyncMessage::Notification(told) = message {
                sender.send((told.channel().to_string(), told.payload().to_string())).ok();
            }
        }
    });
    client.batch_execute("LISTEN tributary_batch").await.unwrap();

    vendor.control.revoke(hubspot::PRIVATE_TOKEN);
    database.execute("INSERT INTO deal VALUES (11, 45)").await;
    let row = server.rows(&["CALL run_batch()"]);
    assert!(row.contains("|partial|"), "{row}");
    let steps = "SELECT name, status, cause FROM tributary.batch_step WHERE batch = 2 ORDER BY position";
    let told = server.rows(&[steps]);
    let lines: Vec<_> = told.lines().collect();
    assert!(lines[0].starts_with("crm.deal|succeeded"), "{told}");
    assert!(lines[1].starts_with("hubspot.company|failed|the source refuses"), "{told}");
    assert!(lines.contains(&"statement.own|succeeded|"), "{told}");
    let held = "statement.theirs|held|waiting for hubspot.company (failed ";
    assert!(lines.iter().any(|line| line.starts_with(held)), "{told}");
    let held = "statement.both|held|waiting for statement.theirs (held ";
    assert!(lines.iter().any(|line| line.starts_with(held)), "{told}");
    assert_eq!(last(&server, &["SELECT total FROM statement.own"]), "100.00");
    assert_eq!(last(&server, &[both]), format!("55.00|{companies}"), "never of a mixed set");

    // What is heard: that statements may be computed elsewhere, on which release, and how it ended.
    let release = last(&server, &["SELECT release FROM tributary.batch WHERE id = 2"]);
    let (channel, released) = heard.recv().await.unwrap();
    let released: serde_json::Value = serde_json::from_str(&released).unwrap();
    assert_eq!((channel.as_str(), &released["type"]), ("tributary_batch", &"batch.released".into()));
    assert_eq!(released["release"].to_string(), release);
    assert_eq!(released["failed"], serde_json::json!(["hubspot.company"]));
    let (_, finished) = heard.recv().await.unwrap();
    let finished: serde_json::Value = serde_json::from_str(&finished).unwrap();
    assert_eq!(finished["status"], "partial");
    assert_eq!(finished["statements"]["held"].as_array().unwrap().len(), 2);
    until("four messages are posted", || hook.log().len() == 4);
    let posted: Vec<_> = hook.log().iter().map(|asked| verified(asked, WEBHOOK_SECRET)).collect();
    assert_eq!(posted[0]["type"], "batch.released");
    assert_eq!((&posted[2], &posted[3]), (&released, &finished));
    assert_eq!(hook.log()[2].headers["webhook-id"], "company-batch-2-released");

    // An object that is optional holds nothing.
    server.rows(&["CALL set_import('hubspot', 'company', required => false)"]);
    assert!(server.rows(&["CALL run_batch()"]).contains("|partial|"));
    assert_eq!(last(&server, &[both]), format!("100.00|{companies}"));
    let counted = "SELECT count(*) FROM tributary.alert WHERE cleared_at IS NULL AND cause = 'batch'";
    until("one alert for all", || server.rows(&[counted]) == "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_hangs_delays_no_batch_and_is_tried_again() {
    let vendor = vendor().await;
    // It takes connections and never answers.
    let deaf = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/batch", deaf.local_addr().unwrap());
    let server = configured(&vendor, &url).start();
    let _database = link_both(&server).await;
    let began = Instant::now();
    assert!(server.rows(&["CALL run_batch()"]).contains("|succeeded|"));
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    assert_eq!(last(&server, &["SELECT status FROM tributary.batch"]), "succeeded");
    // After a restart the same messages, in their order, to whoever takes them now.
    let (_, builder) = server.stop();
    let hook = receiver().await;
    let server = builder.args(&["--batch-webhook-url", &format!("{}/x", hook.base)]).start();
    until("what was not taken is sent", || hook.log().len() == 2);
    let types: Vec<_> =
        hook.log().iter().map(|asked| verified(asked, WEBHOOK_SECRET)["type"].to_string()).collect();
    assert_eq!(types, ["\"batch.released\"", "\"batch.finished\""]);
    drop((deaf, server));
}

#[test]
fn a_webhook_that_is_none_ends_the_start() {
    for (arguments, words) in [
        (vec!["--batch-webhook-url", "https://x.example/hook"], "needs `webhook_secret` too"),
        (
            vec![
                "--batch-webhook-url",
                "http://x.example/hook",
                "--batch-webhook-secret",
                "0123456789abcdef",
            ],
            "`webhook_url` of [batch] is no URL",
        ),
        (
            vec!["--batch-webhook-url", "https://x.example/hook", "--batch-webhook-secret", "short"],
            "`webhook_secret` of [batch] is no secret that could sign",
        ),
    ] {
        let not_started = Server::builder().args(&arguments).try_start().err().unwrap();
        assert!(not_started.said.contains(words), "{}", not_started.said);
    }
}
