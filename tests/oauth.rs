//! Logins by OAuth: against the simulated vendors with their deviations, against a server of the standard, and with
//! processes that end at the wrong moment.

mod browser;
mod canary;
mod crash;
mod refresh;
mod standard;

pub(crate) use browser::{server as connected_to, web_of};

use std::path::Path;
use std::sync::Arc;

use tributary::demo::salesforce::{self, CLIENT_ID, CLIENT_SECRET, RegisteredApp, Running};
use tributary::oauth::{Application, OauthClient, Provider, Tokens};
use tributary::secret::{Keyring, Secret};
use tributary::service::{GrantTokens, Vault};
use tributary::state::State;

pub(crate) const REDIRECT: &str = "http://127.0.0.1:1/oauth/callback/salesforce";

/// A simulated Salesforce that knows our app.
pub(crate) async fn vendor(rotates: bool) -> Running {
    let app = RegisteredApp {
        client_id: CLIENT_ID.into(),
        client_secret: CLIENT_SECRET.into(),
        redirect_uris: vec![REDIRECT.into()],
    };
    let options = salesforce::Options { rotates, apps: vec![app], ..salesforce::Options::default() };
    salesforce::start(options).await.unwrap()
}

/// How the simulated Salesforce grants access.
pub(crate) fn provider(login_url: &str) -> Provider {
    Provider {
        label: "Salesforce".into(),
        authorize: format!("{login_url}/services/oauth2/authorize"),
        token: format!("{login_url}/services/oauth2/token"),
        revoke: Some(format!("{login_url}/services/oauth2/revoke")),
        scopes: vec!["api".into(), "refresh_token".into(), "openid".into()],
        optional_scopes: Vec::new(),
        params: vec![("prompt".into(), "login consent".into())],
        pkce: true,
        scheme: "Bearer".into(),
        keep: vec![("instance_url".into(), "/instance_url".into())],
        lives: None,
    }
}

pub(crate) fn client(provider: Provider, id: &str, secret: &str) -> OauthClient {
    let application = Application { id: id.into(), secret: Some(Secret::new(secret.into())) };
    OauthClient::new(provider, application).unwrap()
}

pub(crate) fn salesforce_client(login_url: &str) -> OauthClient {
    client(provider(login_url), CLIENT_ID, CLIENT_SECRET)
}

/// A browser that follows nothing by itself.
pub(crate) fn browser() -> reqwest::Client {
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap()
}

/// Opens a link, chooses an account, and returns the parameters that the browser is sent back with.
pub(crate) async fn consent(url: &str, choice: &str) -> std::collections::HashMap<String, String> {
    let answer = browser().get(format!("{url}&choice={choice}")).send().await.unwrap();
    assert_eq!(answer.status(), 302, "{}", answer.text().await.unwrap());
    let location = url::Url::parse(answer.headers()["location"].to_str().unwrap()).unwrap();
    location.query_pairs().into_owned().collect()
}

/// Logs a person in.
pub(crate) async fn log_in(client: &OauthClient, choice: &str) -> Tokens {
    let beginning = client.begin(REDIRECT).unwrap();
    let back = consent(&beginning.url, choice).await;
    assert_eq!(back["state"], beginning.state.expose());
    client.redeem(&Secret::new(back["code"].clone()), &beginning.verifier, REDIRECT).await.unwrap()
}

/// A state with one connection, in a folder or a database.
pub(crate) async fn open(url: &str, keys: &Path) -> (Arc<State>, Vault) {
    let state = Arc::new(State::open(url).await.unwrap());
    let keyring = Arc::new(Keyring::open(&keys.join("key")).unwrap());
    if state.connection("crm").await.unwrap().is_none() {
        state.create_connection("crm", "salesforce", &serde_json::json!({})).await.unwrap();
    }
    let vault = Vault::new(state.clone(), keyring, "acme");
    (state, vault)
}

pub(crate) fn file(folder: &Path) -> String {
    format!("sqlite://{}/state.db", folder.display())
}

/// Tokens of the connection made by [`open`].
pub(crate) fn tokens(vault: &Vault, login_url: &str) -> GrantTokens {
    GrantTokens::new(vault.clone(), 1, salesforce_client(login_url))
}
