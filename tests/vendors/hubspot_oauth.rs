//! The grants of HubSpot.

use std::time::Duration;

use serde_json::json;
use tributary::demo::hubspot::{CLIENT_ID, CLIENT_SECRET, RegisteredApp, Running};

use super::hubspot::start;
use super::{Client, Got, pkce};

const REDIRECT: &str = "https://tributary.example/oauth/callback/hubspot";
const SCOPES: &str = "oauth crm.objects.deals.read";

async fn prepared(rotates: bool) -> (Running, Client) {
    let (running, _) = start(|options| options.rotates = rotates).await;
    running.control.register(RegisteredApp {
        client_id: CLIENT_ID.into(),
        client_secret: CLIENT_SECRET.into(),
        redirect_uris: vec![REDIRECT.into()],
    });
    let client = Client::new(&running.base_url, "");
    (running, client)
}

async fn authorize(client: &Client, change: &[(&str, &str)]) -> Got {
    let (_, challenge) = pkce();
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    let usual = [
        ("client_id", CLIENT_ID),
        ("redirect_uri", REDIRECT),
        ("scope", SCOPES),
        ("state", "a state & more"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    for (name, value) in usual {
        let changed = change.iter().find(|(changed, _)| *changed == name);
        query.append_pair(name, changed.map_or(value, |(_, value)| value));
    }
    query.extend_pairs(change.iter().filter(|(name, _)| !usual.iter().any(|(known, _)| known == name)));
    client.get(&format!("/oauth/authorize?{}", query.finish())).await
}

async fn code(running: &Running, client: &Client) -> String {
    let choice = running.control.portal_id().to_string();
    let got = authorize(client, &[("choice", &choice)]).await;
    assert_eq!(got.redirected("state").as_deref(), Some("a state & more"));
    got.redirected("code").unwrap()
}

async fn redeem(client: &Client, code: &str, change: &[(&str, &str)]) -> Got {
    let (verifier, _) = pkce();
    let usual = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", REDIRECT),
        ("client_id", CLIENT_ID),
        ("client_secret", CLIENT_SECRET),
        ("code_verifier", &verifier),
    ];
    let fields: Vec<_> = usual
        .iter()
        .map(|(name, value)| {
            (*name, change.iter().find(|(changed, _)| changed == name).map_or(*value, |(_, v)| *v))
        })
        .collect();
    client.form("/oauth/v3/token", &fields).await
}

async fn refresh(client: &Client, token: &str) -> Got {
    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", token),
        ("client_id", CLIENT_ID),
        ("client_secret", CLIENT_SECRET),
    ];
    client.form("/oauth/v3/token", &fields).await
}

#[tokio::test]
async fn a_person_consents_and_the_code_works_once() {
    let (running, client) = prepared(false).await;
    let page = authorize(&client, &[]).await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("crm.objects.deals.read") && page.text.contains("portal1.example"));
    let code = code(&running, &client).await;
    let got = redeem(&client, &code, &[]).await;
    assert_eq!(got.status, 200, "{}", got.text);
    let tokens = got.json();
    assert_eq!(
        (&tokens["expires_in"], &tokens["hub_id"]),
        (&json!(1800), &json!(running.control.portal_id()))
    );
    assert!(tokens["access_token"].as_str().unwrap().len() > 300);
    assert_eq!(redeem(&client, &code, &[]).await.json()["status"], "BAD_AUTH_CODE");
    let data = Client::new(&running.base_url, tokens["access_token"].as_str().unwrap());
    let deals = data.get("/crm/v3/objects/deals").await;
    assert_eq!(
        (deals.status, deals.header("x-hubspot-ratelimit-daily")),
        (200, ""),
        "not told to OAuth apps"
    );
    assert_eq!(data.get("/crm/v3/objects/contacts").await.status, 403);
    let introspected = client
        .form(
            "/oauth/v3/token/introspect",
            &[
                ("token", tokens["access_token"].as_str().unwrap()),
                ("client_id", CLIENT_ID),
                ("client_secret", CLIENT_SECRET),
            ],
        )
        .await
        .json();
    assert_eq!(
        (&introspected["active"], &introspected["hub_domain"]),
        (&json!(true), &json!("portal1.example"))
    );
}

#[tokio::test]
async fn links_that_are_not_right_go_nowhere() {
    let (running, client) = prepared(false).await;
    for change in [
        ("client_id", "unknown"),
        ("redirect_uri", "https://tributary.example/oauth/callback/hubspot/"),
        ("redirect_uri", "https://evil.example/"),
        ("scope", "oauth no.such.scope"),
        ("scope", ""),
        ("code_challenge_method", "plain"),
    ] {
        let got = authorize(&client, &[change, ("choice", "62515")]).await;
        assert_eq!((got.status, got.header("location")), (400, ""), "{change:?}");
    }
    let denied = authorize(&client, &[("choice", "deny")]).await;
    assert_eq!(denied.redirected("error").as_deref(), Some("access_denied"));
    running.control.withhold(&["crm.objects.deals.read"]);
    assert_eq!(
        authorize(&client, &[("choice", "62515")]).await.status,
        400,
        "all of `scope` must be granted"
    );
    let optional = [("scope", "oauth"), ("optional_scope", "crm.objects.deals.read"), ("choice", "62515")];
    assert_eq!(authorize(&client, &optional).await.status, 302);
}

#[tokio::test]
async fn codes_are_bound_to_everything_and_die_young() {
    let (running, client) = prepared(false).await;
    for change in [
        ("redirect_uri", "https://tributary.example/other"),
        ("code_verifier", "another-verifier-of-at-least-43-characters-0123456"),
        ("code_verifier", ""),
        ("client_secret", "wrong"),
        ("grant_type", "password"),
    ] {
        let code = code(&running, &client).await;
        assert!(redeem(&client, &code, &[change]).await.status >= 400, "{change:?}");
    }
    let late = code(&running, &client).await;
    running.control.clock().advance(Duration::from_secs(61));
    assert_eq!(redeem(&client, &late, &[]).await.status, 400);
    let in_query = format!(
        "/oauth/v3/token?grant_type=refresh_token&client_id={CLIENT_ID}&client_secret={CLIENT_SECRET}"
    );
    assert_eq!(
        client.form(&in_query, &[]).await.json()["error"],
        "invalid_request",
        "the query does not count"
    );
    assert_eq!(client.post("/oauth/v3/token", &json!({})).await.status, 415);
    assert_eq!(client.form("/oauth/v1/token", &[]).await.status, 404);
}

#[tokio::test]
async fn tokens_live_half_an_hour_and_are_refreshed() {
    let (running, client) = prepared(false).await;
    let code = code(&running, &client).await;
    let first = redeem(&client, &code, &[]).await.json();
    let refresh_token = first["refresh_token"].as_str().unwrap();
    let old = Client::new(&running.base_url, first["access_token"].as_str().unwrap());
    running.control.clock().advance(Duration::from_secs(1_801));
    let got = old.get("/crm/v3/objects/deals").await;
    assert_eq!((got.status, got.json()["category"].as_str().unwrap()), (401, "EXPIRED_AUTHENTICATION"));
    let second = refresh(&client, refresh_token).await.json();
    assert_eq!(second["refresh_token"], refresh_token, "HubSpot gives the same one again");
    let access = second["access_token"].as_str().unwrap();
    assert_eq!(Client::new(&running.base_url, access).get("/crm/v3/objects/deals").await.status, 200);
    let revoked = client
        .form(
            "/oauth/v3/token/revoke",
            &[
                ("token", refresh_token),
                ("token_type_hint", "refresh_token"),
                ("client_id", CLIENT_ID),
                ("client_secret", CLIENT_SECRET),
            ],
        )
        .await;
    assert_eq!(revoked.status, 204);
    assert_eq!(refresh(&client, refresh_token).await.json()["status"], "BAD_REFRESH_TOKEN");
    let lives_on = Client::new(&running.base_url, access).get("/crm/v3/objects/deals").await;
    assert_eq!(lives_on.status, 200, "issued access tokens live on");
    running.control.uninstall();
    assert_eq!(Client::new(&running.base_url, access).get("/crm/v3/objects/deals").await.status, 401);
}

#[tokio::test]
async fn a_refresh_token_can_be_made_to_rotate() {
    let (running, client) = prepared(true).await;
    let code = code(&running, &client).await;
    let first = redeem(&client, &code, &[]).await.json();
    let second = refresh(&client, first["refresh_token"].as_str().unwrap()).await.json();
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    assert_eq!(refresh(&client, first["refresh_token"].as_str().unwrap()).await.status, 400);
    assert_eq!(running.control.refresh_tokens(), [second["refresh_token"].as_str().unwrap()]);
}
