//! When those who are told are away, and when sources are.

use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::receive::{MAIL_PASSWORD, MailServer, WEBHOOK_SECRET, mail_url, until};
use super::{OPEN, configured, health, link, moved, vendor};
use crate::support::postgres::{self, free_port};
use crate::support::server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_hangs_and_a_mail_server_that_is_down_hold_up_nothing() {
    // It takes connections and says nothing.
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    let (vendor, port) = (vendor().await, free_port());
    let server = configured(&format!(
        "{}[alerts]\nsmtp_url = \"{}\"\nmail_from = \"tributary@example.com\"\nmail_to = [\"ops@example.com\"]\n\
         webhook_url = \"http://{}/hook\"\nwebhook_secret = \"{WEBHOOK_SECRET}\"\n",
        moved(&vendor),
        mail_url(port),
        hanging.local_addr().unwrap()
    ))
    .start();
    link(&server);
    vendor.control.revoke(tributary::demo::hubspot::PRIVATE_TOKEN);
    server.rows(&["CALL health()"]);
    let errors = "SELECT coalesce(send_error, '-') FROM tributary.alert";
    until("the mail server cannot be reached", || {
        server.rows(&[errors]).contains("the mail server cannot be reached")
    })
    .await;
    // While the webhook hangs, everything else goes on.
    let began = Instant::now();
    assert_eq!(server.rows(&["SELECT count(*) > 0 FROM crm.deal", OPEN]), "t\n1");
    server.rows(&["CALL health()"]);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    // The mail server comes back, and gets what waited for it.
    let mail = MailServer::start(port);
    until("the mail that waited", || mail.mails().len() == 1).await;
    until("the webhook is given up for now", || server.rows(&[errors]).contains("does not answer in time"))
        .await;
    assert_eq!(server.rows(&["SELECT count(*) FROM tributary.alert WHERE sent_at IS NOT NULL"]), "1");
    let said = server.said();
    assert!(said.contains("an alert could not be sent"), "{said}");
    assert!(!said.contains(MAIL_PASSWORD) && !said.contains(WEBHOOK_SECRET), "{said}");
}

#[test]
fn mistakes_in_the_settings_are_told_at_the_start() {
    for (text, told) in [
        ("[alerts]\nsmtp_url = \"smtps://u:hunter2@mail.example.com\"\n", "needs `mail_from` too"),
        ("[alerts]\nwebhook_url = \"https://example.com\"\n", "needs `webhook_secret` too"),
        (
            "[alerts]\nwebhook_url = \"http://example.com\"\nwebhook_secret = \"hunter2hunter2hunter2\"\n",
            "`webhook_url`",
        ),
        ("[alerts]\nslack_url = \"hunter2\"\n", "`slack_url` of [alerts] is no URL"),
        ("[alerts]\nslak_url = \"https://example.com\"\n", "slak_url"),
        ("metrics_token = \"hunter2\"\n", "`metrics-token` is too short"),
    ] {
        let refused = configured(text).try_start().err().unwrap();
        assert!(refused.said.contains(told), "{told} in {}", refused.said);
        assert!(!refused.said.contains("hunter2"), "{}", refused.said);
    }
}

/// Hands connections on to a PostgreSQL until it is closed, as a server that stops closes them.
struct Door {
    port: u16,
    closed: Arc<AtomicBool>,
}

impl Door {
    fn open(port: u16, to: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let (port, closed) = (listener.local_addr().unwrap().port(), Arc::new(AtomicBool::new(false)));
        let is_closed = closed.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if is_closed.load(Ordering::SeqCst) {
                    return;
                }
                let server = TcpStream::connect(("127.0.0.1", to)).unwrap();
                for (mut from, mut into) in
                    [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)]
                {
                    std::thread::spawn(move || {
                        std::io::copy(&mut from, &mut into).ok();
                        into.shutdown(std::net::Shutdown::Both).ok();
                    });
                }
            }
        });
        Door { port, closed }
    }

    fn close(self) -> u16 {
        self.closed.store(true, Ordering::SeqCst);
        TcpStream::connect(("127.0.0.1", self.port)).ok();
        let refused = || TcpStream::connect(("127.0.0.1", self.port)).is_err();
        while !refused() {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.port
    }
}

/// A server with the tables `deal` and `owner` of a PostgreSQL behind a door.
async fn behind_a_door(state: Option<&str>) -> (postgres::Database, Door, Server) {
    let source = postgres::database().await;
    source
        .execute(
            "CREATE TABLE deal (id bigint PRIMARY KEY, amount numeric(18,2));
             INSERT INTO deal SELECT i, i FROM generate_series(1, 100) i;
             CREATE TABLE owner (id bigint PRIMARY KEY); INSERT INTO owner VALUES (1);",
        )
        .await;
    let door = Door::open(0, source.port);
    let server = match state {
        Some(url) => Server::builder().args(&["--state", url]).start(),
        None => Server::start(),
    };
    crate::support::link(&server, &postgres::Database { name: source.name.clone(), port: door.port });
    server.rows(&[
        "CALL add_object('crm', 'public.deal', unique_fields => 'id')",
        "CALL add_object('crm', 'public.owner', unique_fields => 'id')",
        "CALL sync('crm', 'full')",
    ]);
    (source, door, server)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_stops_is_one_alert_for_all_its_objects() {
    let (source, door, server) = behind_a_door(None).await;
    server.rows(&["CALL health()"]);
    assert_eq!(health(&server), "-|green|nobody\ndeal|green|nobody\nowner|green|nobody");
    let port = door.close();
    let row = server.rows(&["CALL health()"]);
    let row = row.lines().next().unwrap();
    assert!(row.starts_with(&format!("crm||red|cannot reach PostgreSQL at `127.0.0.1:{port}`: ")), "{row}");
    assert!(row.contains("|check the settings `host` and `port`") && row.contains("|admin|"), "{row}");
    // It is looked at again within the hour, not tomorrow.
    let soon =
        "SELECT next_check_at - checked_at <= interval '1 hour' FROM tributary.health WHERE object IS NULL";
    assert_eq!(server.rows(&[soon]), "t");
    server.error("CALL sync('crm', 'full')");
    let alerts = "SELECT cause, severity FROM tributary.alert WHERE cleared_at IS NULL";
    until("one alert", || server.rows(&[alerts]) == "connection/1|critical").await;
    assert_eq!(server.rows(&["SELECT count(*) FROM tributary.run WHERE status = 'failed'"]), "2");
    // It comes back: a sync shows it as well as a check.
    let _door = Door::open(port, source.port);
    server.rows(&["CALL sync('crm', 'full')"]);
    until("resolved", || server.rows(&[OPEN]) == "0").await;
    server.rows(&["CALL health()"]);
    assert_eq!(health(&server), "-|green|nobody\ndeal|green|nobody\nowner|green|nobody");
    assert_eq!(server.rows(&["SELECT count(*) FROM tributary.alert"]), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn held_and_failed_runs_and_late_objects_are_told_until_a_run_succeeds() {
    let state = postgres::database().await;
    let (source, _door, server) = behind_a_door(Some(&state.url())).await;
    let alerts = "SELECT cause LIKE 'run/%', severity, object FROM tributary.alert WHERE cleared_at IS NULL";
    source.execute("DELETE FROM deal WHERE id > 10").await;
    server.psql(&["CALL sync('crm', 'full')"]);
    until("a held run", || server.rows(&[alerts]) == "t|warning|deal").await;
    let text = server.rows(&["SELECT text, remedy FROM tributary.alert WHERE cleared_at IS NULL"]);
    assert!(text.starts_with("sync of crm.deal is held: `crm.deal` would go from 100 to 10 rows"), "{text}");
    assert!(text.contains("CALL approve("), "{text}");
    server.rows(&["CALL sync('crm', 'full', force => true, reason => 'test')"]);
    until("resolved", || server.rows(&[OPEN]) == "0").await;

    // The words of a source may quote a record: they are shown here, and do not leave.
    source.execute("ALTER TABLE owner RENAME TO people; CREATE VIEW owner AS SELECT id / (id - id) AS id FROM people").await;
    server.psql(&["CALL sync('crm', 'full')"]);
    until("a failed run", || server.rows(&[alerts]) == "t|critical|owner").await;
    let text = server.rows(&["SELECT text FROM tributary.alert WHERE cleared_at IS NULL"]);
    assert!(text.contains("division by zero"), "{text}");
    let left =
        state.connect().await.query_one("SELECT summary FROM alerts WHERE cleared_at IS NULL", &[]).await;
    let left: String = left.unwrap().get(0);
    assert!(left.contains("could not compute a value") && !left.contains("division"), "{left}");
    source.execute("DROP VIEW owner; ALTER TABLE people RENAME TO owner").await;
    server.rows(&["CALL sync('crm', 'full')"]);
    until("resolved", || server.rows(&[OPEN]) == "0").await;

    // Nobody said when a sync is expected, so nothing is late.
    let back = "UPDATE runs SET started_at = started_at - 97200000000, ended_at = ended_at - 97200000000";
    state.execute(back).await;
    server.rows(&["CALL health()"]);
    assert_eq!(server.rows(&[OPEN]), "0");
    let error = server.error("CALL expect_sync('crm', 9000)");
    assert!(error.contains("`hours` cannot be 9000"), "{error}");
    assert_eq!(server.rows(&["CALL expect_sync('crm', hours => 26)"]), "crm|26");
    assert_eq!(server.rows(&["SELECT late_after_hours FROM tributary.connection"]), "26");
    let late = "SELECT severity, object FROM tributary.alert WHERE cause LIKE 'late/%' AND cleared_at IS NULL ORDER BY 2";
    until("both are late", || server.rows(&[late]) == "critical|deal\ncritical|owner").await;
    // What is synced by hand is not expected.
    server.rows(&["CALL set_import('crm', 'owner', frequency => 'manual')", "CALL health()"]);
    until("one of them is not expected", || server.rows(&[late]) == "critical|deal").await;
    server.rows(&["CALL sync('crm', object => 'deal')"]);
    until("resolved", || server.rows(&[OPEN]) == "0").await;
    assert_eq!(server.rows(&["CALL expect_sync('crm', 0)"]), "crm|");
}
