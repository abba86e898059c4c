//! The whole way: a link asked for in SQL, a browser, the vendor, and data that arrives.

use std::collections::HashMap;
use std::path::Path;

use tributary::demo::hubspot::{self, CLIENT_ID, CLIENT_SECRET, Limits, RegisteredApp, Running};

use super::{browser, consent};
pub(super) use crate::support::seen::Seen;
use crate::support::server::{Builder, Server};

/// A server that browsers reach, in front of a simulated HubSpot that knows its address.
struct Stage {
    vendor: Running,
    server: Server,
    web: String,
    _folder: tempfile::TempDir,
}

/// A server whose connector is reached at `base`, with an app of the operator.
pub(crate) fn server(connector: &str, base: &str, app: (&str, &str), folder: &Path) -> Builder {
    let config = folder.join("tributary.toml");
    let text = format!(
        "[connector_base]\n{connector} = \"{base}\"\n[oauth.{connector}]\nclient_id = \"{}\"\nclient_secret = \"{}\"\n",
        app.0, app.1
    );
    std::fs::write(&config, text).unwrap();
    Server::builder().args(&["--config", config.to_str().unwrap(), "--web-listen", "127.0.0.1:0"])
}

/// Where browsers reach a server.
pub(crate) fn web_of(server: &Server) -> String {
    let said = server.said();
    let line =
        said.lines().find(|line| line.starts_with("browsers are served")).unwrap_or_else(|| panic!("{said}"));
    line.split_whitespace().last().unwrap().to_string()
}

/// The links of `CALL connect(...)`.
pub(super) fn links(server: &Server, call: &str) -> (String, String) {
    let row = server.rows(&[call]);
    let cells: Vec<_> = row.split('|').collect();
    assert_eq!(cells.len(), 7, "{row}");
    (cells[5].to_string(), cells[6].to_string())
}

/// Presses the button behind a link.
pub(super) async fn press(link: &str) -> Seen {
    Seen::of(browser().post(link)).await
}

/// Brings what the vendor gave back to the server.
pub(super) async fn come_back(
    web: &str,
    connector: &str,
    cookie: &str,
    back: &HashMap<String, String>,
) -> Seen {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(back);
    let address = format!("{web}/oauth/callback/{connector}?{}", query.finish());
    Seen::of(browser().get(address).header("cookie", cookie)).await
}

impl Stage {
    async fn set() -> Self {
        let options =
            hubspot::Options { limits: Limits::none(), apps: Vec::new(), ..hubspot::Options::default() };
        let vendor = hubspot::start(options).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let builder = server("hubspot", &vendor.base_url, (CLIENT_ID, CLIENT_SECRET), folder.path());
        let server = tokio::task::spawn_blocking(|| builder.start()).await.unwrap();
        let web = web_of(&server);
        vendor.control.register(RegisteredApp {
            client_id: CLIENT_ID.into(),
            client_secret: CLIENT_SECRET.into(),
            redirect_uris: vec![format!("{web}/oauth/callback/hubspot")],
        });
        Stage { vendor, server, web, _folder: folder }
    }

    fn portal(&self) -> String {
        self.vendor.control.portal_id().to_string()
    }

    async fn log_in(&self, link: &str, portal: &str) -> Seen {
        let pressed = press(link).await;
        assert_eq!(pressed.status, 303, "{}", pressed.text);
        let back = consent(pressed.header("location"), portal).await;
        come_back(&self.web, "hubspot", pressed.cookie(), &back).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_leads_to_data_once() {
    let stage = Stage::set().await;
    let control = &stage.vendor.control;
    let (open, invite) = links(&stage.server, "CALL connect('hubspot')");
    assert!(open.starts_with(&format!("{}/connect/", stage.web)) && open != invite);
    for _ in 0..2 {
        let page = Seen::of(browser().get(&open)).await;
        assert_eq!(page.status, 200);
        assert!(
            page.text.contains("crm.objects.deals.read") && page.text.contains("admin asks"),
            "{}",
            page.text
        );
        let policy = page.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'self'") && policy.contains(&stage.vendor.base_url),
            "{policy}"
        );
        assert_eq!(
            (page.header("referrer-policy"), page.header("cache-control")),
            ("no-referrer", "no-store")
        );
    }
    let done = stage.log_in(&open, &stage.portal()).await;
    assert_eq!(done.status, 200, "{}", done.text);
    assert!(done.text.contains("is connected"), "{}", done.text);
    assert_eq!(press(&open).await.status, 404, "a link works once");
    let status = stage.server.rows(&["SELECT status FROM tributary.connection WHERE name = 'hubspot'"]);
    assert_eq!(status, "connected");
    stage.server.rows(&["CALL add_object('hubspot', 'deal')", "CALL sync('hubspot', 'full')"]);
    let count = || stage.server.rows(&["SELECT count(*) FROM hubspot.deal"]);
    assert_eq!(count(), control.live("deals").len().to_string());
    control.create("deals", &[("dealname", "later")]);
    control.expire_tokens();
    stage.server.rows(&["CALL sync('hubspot', 'full')"]);
    assert_eq!(count(), control.live("deals").len().to_string());
    assert_eq!(control.traffic().calls("POST /oauth/v3/token"), 2, "one login, one refresh");
    let audit =
        stage.server.rows(&["SELECT verb, actor, outcome FROM tributary.audit WHERE verb = 'log_in'"]);
    assert_eq!(audit, "log_in|admin|done");
    stage.server.rows(&["CALL disconnect('hubspot')"]);
    assert!(control.refresh_tokens().is_empty(), "revoked at the vendor");
    assert_eq!(Seen::of(browser().get(format!("{}/health", stage.web))).await.text, "ok\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_fits_one_browser_one_connector_and_one_moment() {
    let stage = Stage::set().await;
    let (open, invite) = links(&stage.server, "CALL connect('hubspot')");
    let begin = async |link: &str| {
        let pressed = press(link).await;
        let back = consent(pressed.header("location"), &stage.portal()).await;
        (pressed.cookie().to_string(), back)
    };
    let (cookie, back) = begin(&open).await;
    let wrong = come_back(&stage.web, "hubspot", "tributary-login=AAAA", &back).await;
    assert_eq!(wrong.status, 403, "another browser: {}", wrong.text);
    let again = come_back(&stage.web, "hubspot", &cookie, &back).await;
    assert_eq!(again.status, 403, "a state counts once");
    let (cookie, back) = begin(&invite).await;
    assert_eq!(come_back(&stage.web, "salesforce", &cookie, &back).await.status, 403, "another connector");
    let fresh = || links(&stage.server, "CALL connect('hubspot')").0;
    let (cookie, mut back) = begin(&fresh()).await;
    back.insert("state".into(), "x".repeat(43));
    assert_eq!(come_back(&stage.web, "hubspot", &cookie, &back).await.status, 403, "another state");
    let (cookie, mut back) = begin(&fresh()).await;
    back.insert("code".into(), "guessed".into());
    let guessed = come_back(&stage.web, "hubspot", &cookie, &back).await;
    assert!(guessed.status == 403 && guessed.text.contains("refused the login"), "{}", guessed.text);
    let pressed = press(&fresh()).await;
    let denied = consent(pressed.header("location"), "deny").await;
    let denied = come_back(&stage.web, "hubspot", pressed.cookie(), &denied).await;
    assert!(denied.status == 403 && denied.text.contains("access_denied"), "{}", denied.text);
    let status = stage.server.rows(&["SELECT status FROM tributary.connection WHERE name = 'hubspot'"]);
    assert_eq!(status, "not connected");
    assert!(stage.vendor.control.refresh_tokens().is_empty(), "no grant was made");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_account_is_refused_and_revoked() {
    let stage = Stage::set().await;
    let (open, _) = links(&stage.server, "CALL connect('hubspot')");
    assert_eq!(stage.log_in(&open, &stage.portal()).await.status, 200);
    let kept = stage.vendor.control.refresh_tokens();
    let (open, _) = links(&stage.server, "CALL connect('hubspot')");
    let other = stage.vendor.control.other_portal();
    let refused = stage.log_in(&open, &other.portal_id().to_string()).await;
    assert_eq!(refused.status, 409);
    assert!(refused.text.contains(&other.portal_id().to_string()), "{}", refused.text);
    assert_eq!(stage.vendor.control.refresh_tokens(), kept, "the new grant is revoked, the old one is kept");
    let (open, _) = links(&stage.server, "CALL connect('hubspot', name => 'second')");
    assert_eq!(stage.log_in(&open, &other.portal_id().to_string()).await.status, 200);
    let found = stage.server.rows(&["SELECT name, status FROM tributary.connection ORDER BY 1"]);
    assert_eq!(found, "hubspot|connected\nsecond|connected");
}
