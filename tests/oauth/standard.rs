//! Against a server of the standard, in its strictest form: PKCE demanded, refresh tokens rotated, spent ones noticed.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tributary::error::Kind;
use tributary::oauth::{Failure, OauthClient, Provider};
use tributary::secret::Secret;
use tributary::service::GrantTokens;
use tributary::source::rest::token::Tokens;

use super::{REDIRECT, browser, file, open};
use crate::drivers::installed;

struct Standard {
    child: Child,
    issuer: String,
}

impl Standard {
    fn start() -> Self {
        let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oauth/server.mjs");
        let mut child = Command::new("node")
            .arg(script)
            .arg(installed("node_modules/oidc-provider/lib/index.js"))
            .arg(REDIRECT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut issuer = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut issuer).unwrap();
        Standard { child, issuer: issuer.trim().into() }
    }

    fn client(&self) -> OauthClient {
        let issuer = &self.issuer;
        let provider = Provider {
            label: "the standard".into(),
            authorize: format!("{issuer}/auth"),
            token: format!("{issuer}/token"),
            revoke: Some(format!("{issuer}/token/revocation")),
            scopes: vec!["openid".into(), "offline_access".into()],
            params: vec![("prompt".into(), "consent".into())],
            keep: vec![("id_token".into(), "/id_token".into())],
            ..super::provider("")
        };
        super::client(provider, "tributary", "a-secret-of-the-standard-server")
    }
}

impl Drop for Standard {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Follows the server's pages, with its cookies, until it sends the browser back to us.
async fn follow(issuer: &str, url: &str) -> HashMap<String, String> {
    let browser = browser();
    let mut cookies: HashMap<String, String> = HashMap::new();
    let mut next = url.to_string();
    for _ in 0..10 {
        let jar: Vec<_> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let answer = browser.get(&next).header("cookie", jar.join("; ")).send().await.unwrap();
        for set in answer.headers().get_all("set-cookie") {
            let (name, value) = set.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
            cookies.insert(name.into(), value.into());
        }
        let location = answer.headers().get("location").map(|value| value.to_str().unwrap().to_string());
        let location = location.unwrap_or_else(|| panic!("{next} leads nowhere: {}", answer.status()));
        if location.starts_with(REDIRECT) {
            return url::Url::parse(&location).unwrap().query_pairs().into_owned().collect();
        }
        next = if location.starts_with('/') { format!("{issuer}{location}") } else { location };
    }
    panic!("the server does not come to an end")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_life_of_a_grant() {
    let standard = Standard::start();
    let client = standard.client();
    let beginning = client.begin(REDIRECT).unwrap();
    let back = follow(&standard.issuer, &beginning.url).await;
    assert_eq!(back["state"], beginning.state.expose());
    let code = Secret::new(back["code"].clone());
    let login = client.redeem(&code, &beginning.verifier, REDIRECT).await.unwrap();
    assert_eq!(login.lives, Some(Duration::from_secs(3)));
    assert!(login.kept["id_token"].len() > 100);
    let folder = tempfile::tempdir().unwrap();
    let (_state, vault) = open(&file(folder.path()), folder.path()).await;
    vault.keep(1, &login).await.unwrap();
    let tokens = GrantTokens::new(vault.clone(), 1, standard.client());
    let mut last = tokens.current().await.unwrap();
    for _ in 0..3 {
        let next = tokens.renew(&last).await.unwrap();
        assert_ne!(next, last);
        last = next;
    }
    // The first one was spent by the first refresh: using it again ends the grant.
    let spent = Secret::new(login.refresh.as_ref().unwrap().to_string());
    assert!(matches!(client.refresh(&spent).await, Err(Failure::Over(_))));
    assert_eq!(tokens.renew(&last).await.unwrap_err().kind(), Kind::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn codes_and_revoked_grants_are_refused() {
    let standard = Standard::start();
    let client = standard.client();
    let beginning = client.begin(REDIRECT).unwrap();
    let back = follow(&standard.issuer, &beginning.url).await;
    let code = Secret::new(back["code"].clone());
    let other = client.begin(REDIRECT).unwrap();
    assert!(matches!(client.redeem(&code, &other.verifier, REDIRECT).await, Err(Failure::Over(_))));
    let back = follow(&standard.issuer, &client.begin(REDIRECT).unwrap().url).await;
    let unbound = Secret::new(back["code"].clone());
    assert!(client.redeem(&unbound, &Secret::new(String::new()), REDIRECT).await.is_err());
    let beginning = client.begin(REDIRECT).unwrap();
    let back = follow(&standard.issuer, &beginning.url).await;
    let login =
        client.redeem(&Secret::new(back["code"].clone()), &beginning.verifier, REDIRECT).await.unwrap();
    let refresh = Secret::new(login.refresh.unwrap().to_string());
    client.revoke(&refresh).await.unwrap();
    assert!(matches!(client.refresh(&refresh).await, Err(Failure::Over(_))));
    let wrong = super::client(client.provider().clone(), "tributary", "wrong");
    let Err(Failure::Refused(error)) = wrong.refresh(&refresh).await else { panic!() };
    assert!(error.hint().unwrap().contains("client secret"), "{error:?}");
}
