//! No secret of a login is in any place that lasts or that somebody sees: state, files, logs at their most talkative,
//! messages, answers.

use std::collections::BTreeSet;
use std::path::Path;

use tributary::demo::salesforce::{self, CLIENT_ID, CLIENT_SECRET, RegisteredApp};

use super::browser::{come_back, links, press, server, web_of};
use super::consent;

/// Every file below a folder that has one of the secrets in it, with that secret.
fn places(folder: &Path, secrets: &BTreeSet<String>) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(places(&path, secrets));
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        found.extend(
            secrets
                .iter()
                .filter(|secret| text.contains(*secret))
                .map(|secret| format!("{path:?}: {secret}")),
        );
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_of_a_login_appear_nowhere() {
    let options = salesforce::Options { rotates: true, apps: Vec::new(), ..salesforce::Options::default() };
    let vendor = salesforce::start(options).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let builder = server("salesforce", &vendor.base_url, (CLIENT_ID, CLIENT_SECRET), folder.path());
    let builder = builder.env("TRIBUTARY_LOG", "trace");
    let server = tokio::task::spawn_blocking(|| builder.start()).await.unwrap();
    let web = web_of(&server);
    vendor.control.register(RegisteredApp {
        client_id: CLIENT_ID.into(),
        client_secret: CLIENT_SECRET.into(),
        redirect_uris: vec![format!("{web}/oauth/callback/salesforce")],
    });
    let mut secrets = BTreeSet::from([CLIENT_SECRET.to_string()]);
    let (open, invite) = links(&server, "CALL connect('salesforce')");
    let tail = |link: &str| link.rsplit('/').next().unwrap().to_string();
    // The links themselves are what the call answers, so they are looked for in what lasts only.
    let mut lasting = BTreeSet::from([tail(&open), tail(&invite)]);
    let pressed = press(&open).await;
    lasting.insert(pressed.cookie().split_once('=').unwrap().1.to_string());
    let back = consent(pressed.header("location"), vendor.control.org_id()).await;
    lasting.insert(back["state"].clone());
    secrets.insert(back["code"].clone());
    let done = come_back(&web, "salesforce", pressed.cookie(), &back).await;
    assert_eq!(done.status, 200, "{}", done.text);
    let mut messages = done.text.clone();
    let remember = |secrets: &mut BTreeSet<String>| {
        secrets.extend(vendor.control.access_tokens());
        secrets.extend(vendor.control.refresh_tokens());
    };
    remember(&mut secrets);
    server.rows(&["CALL add_object('salesforce', 'Account')", "CALL sync('salesforce', 'full')"]);
    vendor.control.end_sessions();
    server.rows(&["CALL sync('salesforce', 'full')"]);
    remember(&mut secrets);
    vendor.control.revoke_grants();
    messages += &server.error("CALL discover('salesforce')");
    assert!(messages.contains("log in again") || messages.contains("connect again"), "{messages}");
    // What was sent to the token endpoint: codes, verifiers, every refresh token.
    for call in vendor.control.traffic().log().iter().filter(|call| call.endpoint.ends_with("oauth2/token")) {
        let sent = url::form_urlencoded::parse(call.body.as_bytes()).into_owned();
        let is_secret =
            |name: &str| ["code", "code_verifier", "refresh_token", "client_secret"].contains(&name);
        secrets.extend(sent.filter(|(name, _)| is_secret(name)).map(|(_, value)| value));
    }
    assert!(secrets.len() >= 6, "{secrets:?}");
    for table in ["connection", "connector", "audit", "run", "sync", "session", "object", "field"] {
        messages += &server.rows(&[&format!("SELECT * FROM tributary.{table}")]);
    }
    messages += &server.rows(&["SELECT * FROM salesforce.account"]);
    let log = server.said();
    assert!(log.contains("TRACE"), "the log tells everything");
    for secret in &secrets {
        assert!(!messages.contains(secret), "an answer has {secret}");
    }
    lasting.extend(secrets);
    for secret in &lasting {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "the log has a secret");
    }
    let data = server.data.clone();
    let (_, _again) = server.stop();
    assert_eq!(places(&data, &lasting), Vec::<String>::new());
}
