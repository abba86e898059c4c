//! Health of connections, alerts and where they go, and numbers for Prometheus: through the real server, with simulated
//! vendors, a real mail server and receivers of webhooks.

mod clock;
mod metrics;
mod migration;
pub(crate) mod receive;
mod trouble;

use tributary::demo::hubspot;

use crate::rest::server::Server as Receiver;
use crate::support::folder::folder_of_this_run;
use crate::support::server::{Builder, Server};
use receive::{CHAT_PATH, MAIL_PASSWORD, MailServer, WEBHOOK_SECRET, mail_url, receiver, until, verified};

const OPEN: &str = "SELECT count(*) FROM tributary.alert WHERE cleared_at IS NULL";

/// A server with a configuration file.
fn configured(text: &str) -> Builder {
    let folder = tempfile::tempdir_in(folder_of_this_run("tributary-test-health")).unwrap().keep();
    let config = folder.join("tributary.toml");
    std::fs::write(&config, text).unwrap();
    Server::builder().args(&["--config", config.to_str().unwrap()])
}

async fn vendor() -> hubspot::Running {
    let options = hubspot::Options { limits: hubspot::Limits::none(), ..hubspot::Options::default() };
    hubspot::start(options).await.unwrap()
}

/// The settings that lead HubSpot to a simulated one.
fn moved(vendor: &hubspot::Running) -> String {
    format!("[connector_base]\nhubspot = \"{}\"\n", vendor.base_url)
}

/// The connection `crm`, with two objects, synced.
fn link(server: &Server) {
    server.rows(&[
        "CALL connect('hubspot', name => 'crm')",
        &format!("CALL set_secret('crm', 'token', '{}')", hubspot::PRIVATE_TOKEN),
        "CALL add_object('crm', 'company')",
        "CALL add_object('crm', 'deal')",
        "CALL sync('crm', 'full')",
    ]);
}

fn health(server: &Server) -> String {
    server.rows(&[
        "SELECT coalesce(object, '-'), state, turn FROM tributary.health ORDER BY object NULLS FIRST",
    ])
}

fn bodies(receiver: &Receiver) -> Vec<String> {
    receiver.log().into_iter().map(|asked| asked.body).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_login_is_red_and_told_once_until_it_is_mended() {
    let (vendor, mail, chat, hook) =
        (vendor().await, MailServer::start(0), receiver().await, receiver().await);
    let builder = configured(&format!(
        "{}[alerts]\nsmtp_url = \"{}\"\nmail_from = \"tributary@example.com\"\n\
         mail_to = [\"Ops <ops@example.com>\", \"anna@example.com\"]\nslack_url = \"{}{CHAT_PATH}\"\n\
         webhook_url = \"{}/hook\"\n",
        moved(&vendor),
        mail_url(mail.port),
        chat.base,
        hook.base
    ));
    // A secret may come from the environment like every other.
    let server = builder.env("TRIBUTARY_ALERT_WEBHOOK_SECRET", WEBHOOK_SECRET).start();
    link(&server);
    let green = "-|green|nobody\ncompany|green|nobody\ndeal|green|nobody";
    server.rows(&["CALL health()"]);
    assert_eq!(health(&server), green);
    assert_eq!(server.rows(&[OPEN]), "0");

    vendor.control.revoke(hubspot::PRIVATE_TOKEN);
    let row = server.rows(&["CALL health('crm')"]);
    let row = row.lines().next().unwrap();
    assert!(row.starts_with("crm||red|the source refuses the token of this connection"), "{row}");
    assert!(row.contains("set another one with `CALL set_secret(...)`|admin|"), "{row}");
    let status = "SELECT status, health FROM tributary.connection";
    assert_eq!(server.rows(&[status]), "needs you|red");
    until("somebody is told", || (mail.mails().len(), chat.log().len(), hook.log().len()) == (1, 1, 1)).await;
    // The same again, seen by another check, a sync of two objects and a restart.
    server.rows(&["CALL health('crm')"]);
    server.error("CALL sync('crm', 'full')");
    let (_, builder) = server.stop();
    let server = builder.start();
    server.rows(&["CALL health()"]);
    let alert = "SELECT cause, severity, connection, coalesce(object, '-'), turn, sent_at IS NOT NULL FROM tributary.alert";
    assert_eq!(server.rows(&[alert]), "login/1|critical|crm|-|admin|t");
    server.rows(&["CALL acknowledge_alert(1)"]);
    assert_eq!(server.rows(&["SELECT acknowledged_by FROM tributary.alert"]), "admin");

    let scopes = [
        "crm.objects.deals.read",
        "crm.schemas.deals.read",
        "crm.objects.companies.read",
        "crm.schemas.companies.read",
        "oauth",
    ];
    let token = vendor.control.private_app(&scopes);
    server.rows(&[&format!("CALL set_secret('crm', 'token', '{token}')")]);
    // Nobody has to ask for the check that follows.
    until("it is green by itself", || health(&server) == green && server.rows(&[OPEN]) == "0").await;
    until("somebody is told that it is over", || {
        (mail.mails().len(), chat.log().len(), hook.log().len()) == (2, 2, 2)
    })
    .await;

    let log = hook.log();
    let told: Vec<_> = log.iter().map(|asked| verified(asked, WEBHOOK_SECRET)).collect();
    assert_eq!((&told[0]["event"], &told[1]["event"]), (&"raised".into(), &"resolved".into()));
    assert_eq!(log[0].headers["webhook-id"], "company-alert-1-raised");
    assert_eq!(
        (&told[0]["alert"], &told[0]["connection"], &told[0]["turn"]),
        (&1.into(), &"crm".into(), &"admin".into())
    );
    assert!(told[0]["text"].as_str().unwrap().contains("the source refuses the token"), "{told:?}");
    assert!(told[0]["remedy"].as_str().unwrap().contains("set_secret"), "{told:?}");
    assert!(told[0]["cleared_at"].is_null() && told[1]["cleared_at"].is_string(), "{told:?}");
    let text: serde_json::Value = serde_json::from_str(&bodies(&chat)[0]).unwrap();
    assert_eq!(text.as_object().unwrap().keys().collect::<Vec<_>>(), ["text"]);
    assert!(text["text"].as_str().unwrap().contains("What to do: "), "{text}");
    let mails = mail.mails();
    assert_eq!(mails[0]["to"], serde_json::json!(["ops@example.com", "anna@example.com"]));
    let subject = mails[0]["subject"].as_str().unwrap();
    assert!(
        subject.starts_with("[tributary company] critical: `crm` cannot be synced: the source refuses"),
        "{subject}"
    );
    assert!(mails[1]["subject"].as_str().unwrap().starts_with("[tributary company] resolved: "), "{mails:?}");
    assert!(mails[0]["body"].as_str().unwrap().contains("Whose turn: admin."), "{mails:?}");
    assert_ne!(mails[0]["id"], mails[1]["id"]);

    let everything = format!("{mails:?} {:?} {:?} {}", bodies(&chat), bodies(&hook), server.said());
    let shown = server.rows(&["SELECT * FROM tributary.alert", "SELECT * FROM tributary.health"]);
    for canary in [hubspot::PRIVATE_TOKEN, &token, MAIL_PASSWORD, WEBHOOK_SECRET, CHAT_PATH] {
        assert!(!everything.contains(canary) && !shown.contains(canary), "`{canary}` got out");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_cannot_be_read_is_amber_and_shown_to_whom_it_concerns() {
    let vendor = vendor().await;
    let server = configured(&moved(&vendor)).start();
    link(&server);
    let token = vendor.control.private_app(&["crm.objects.deals.read", "crm.schemas.deals.read", "oauth"]);
    server.rows(&[&format!("CALL set_secret('crm', 'token', '{token}')")]);
    until("the check after the new login", || health(&server).contains("-|amber")).await;
    assert_eq!(health(&server), "-|amber|admin\ncompany|red|admin\ndeal|green|nobody");
    let cause = server.rows(&["SELECT cause FROM tributary.health WHERE object = 'company'"]);
    assert!(cause.contains("missing: crm.objects.companies.read"), "{cause}");
    let alerts = "SELECT severity, connection, object FROM tributary.alert WHERE cleared_at IS NULL";
    until("an alert of the object", || server.rows(&[alerts]) == "warning|crm|company").await;
    // A run that fails for the same reason takes its place, without a second one beside it.
    server.psql(&["CALL sync('crm', 'full')"]);
    until("an alert of the run", || server.rows(&[alerts]) == "critical|crm|company").await;
    let run = server.rows(&["SELECT text, run IS NOT NULL FROM tributary.alert WHERE cleared_at IS NULL"]);
    assert!(run.starts_with("sync of crm.company failed: ") && run.ends_with("|t"), "{run}");
    // A field that is gone is told of the object that lacks it.
    vendor.control.archive_property("deals", "dealname");
    server.rows(&["CALL health('crm')"]);
    let row = server.rows(&["SELECT state, cause FROM tributary.health WHERE object = 'deal'"]);
    assert_eq!(row, "amber|fields of `crm.deal` are gone from the source: dealname");

    server.rows(&["CREATE USER bo PASSWORD 'canary of bo'", "GRANT SELECT ON crm.deal TO bo"]);
    let (bo, connection) =
        server.config_of("bo", "canary of bo").connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let seen = bo.query("SELECT coalesce(object, '-') FROM tributary.health ORDER BY 1", &[]).await.unwrap();
    assert_eq!(seen.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>(), ["-", "deal"]);
    let seen = bo.query("SELECT object FROM tributary.alert", &[]).await.unwrap();
    assert!(seen.iter().all(|row| row.get::<_, Option<String>>(0).as_deref() == Some("deal")), "{seen:?}");
    let refused = bo.simple_query("CALL health()").await.unwrap_err();
    assert_eq!(refused.code().map(|code| code.code()), Some("42501"));
}
