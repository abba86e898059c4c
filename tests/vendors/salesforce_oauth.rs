//! The grants of Salesforce.

use std::time::Duration;

use tributary::demo::salesforce::{CLIENT_ID, CLIENT_SECRET, RegisteredApp, Running, Signer};

use super::salesforce::{ROOT, start};
use super::{Client, Got, pkce};
use crate::support::signing::{jwt, public_key};

const REDIRECT: &str = "https://tributary.example/oauth/callback/salesforce";

async fn prepared(rotates: bool) -> (Running, Client) {
    let (running, _) = start(|options| options.rotates = rotates).await;
    running.control.register(RegisteredApp {
        client_id: CLIENT_ID.into(),
        client_secret: CLIENT_SECRET.into(),
        redirect_uris: vec![REDIRECT.into()],
    });
    let client = Client::new(&running.login_url, "");
    (running, client)
}

async fn authorize(client: &Client, scope: &str, choice: &str, redirect: &str) -> Got {
    let (_, challenge) = pkce();
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs([
        ("response_type", "code"),
        ("client_id", CLIENT_ID),
        ("redirect_uri", redirect),
        ("scope", scope),
        ("state", "s"),
        ("code_challenge", &challenge),
        ("choice", choice),
    ]);
    client.get(&format!("/services/oauth2/authorize?{}", query.finish())).await
}

async fn redeem(client: &Client, code: &str, verifier: &str) -> Got {
    client
        .form(
            "/services/oauth2/token",
            &[
                ("grant_type", "authorization_code"),
                ("code", code),
                ("redirect_uri", REDIRECT),
                ("client_id", CLIENT_ID),
                ("client_secret", CLIENT_SECRET),
                ("code_verifier", verifier),
            ],
        )
        .await
}

async fn tokens(running: &Running, client: &Client) -> serde_json::Value {
    let got = authorize(client, "api refresh_token id openid", running.control.org_id(), REDIRECT).await;
    redeem(client, &got.redirected("code").unwrap(), &pkce().0).await.json()
}

async fn refresh(client: &Client, token: &str) -> Got {
    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", token),
        ("client_id", CLIENT_ID),
        ("client_secret", CLIENT_SECRET),
    ];
    client.form("/services/oauth2/token", &fields).await
}

#[tokio::test]
async fn a_login_leads_to_the_instance_and_tells_no_expiry() {
    let (running, client) = prepared(false).await;
    let tokens = tokens(&running, &client).await;
    assert!(tokens.get("expires_in").is_none());
    assert_eq!(tokens["instance_url"], running.base_url);
    let access = tokens["access_token"].as_str().unwrap();
    let instance = Client::new(&running.base_url, access);
    assert_eq!(instance.get(&format!("{ROOT}/sobjects")).await.status, 200);
    let login_host = Client::new(&running.login_url, access).get(&format!("{ROOT}/sobjects")).await;
    assert_eq!(
        (login_host.status, login_host.json()[0]["errorCode"].as_str().unwrap()),
        (401, "INVALID_SESSION_ID")
    );
    assert_eq!(
        instance.get("/services/oauth2/userinfo").await.json()["organization_id"],
        running.control.org_id()
    );
    let identity = tokens["id"].as_str().unwrap().strip_prefix(&running.login_url).unwrap();
    let who = Client::new(&running.login_url, access).get(identity).await.json();
    assert_eq!(who["username"], "admin@org1.example");
}

#[tokio::test]
async fn wrong_links_and_verifiers_are_refused() {
    let (running, client) = prepared(false).await;
    let org = running.control.org_id();
    assert_eq!(authorize(&client, "api", org, "https://evil.example/").await.status, 400);
    let got = authorize(&client, "api unicorns", org, REDIRECT).await;
    assert_eq!(got.redirected("error").as_deref(), Some("invalid_scope"));
    let got = authorize(&client, "api", "deny", REDIRECT).await;
    assert_eq!(got.redirected("error").as_deref(), Some("access_denied"));
    for (verifier, error) in [("wrong", "invalid_request"), ("", "invalid_grant")] {
        let code = authorize(&client, "api", org, REDIRECT).await.redirected("code").unwrap();
        let got = redeem(&client, &code, verifier).await;
        assert_eq!((got.status, got.json()["error"].as_str().unwrap()), (400, error));
        assert_eq!(
            redeem(&client, &code, &pkce().0).await.json()["error"],
            "invalid_grant",
            "a code works once"
        );
    }
    let code = authorize(&client, "api", org, REDIRECT).await.redirected("code").unwrap();
    assert!(redeem(&client, &code, &pkce().0).await.json().get("refresh_token").is_none(), "not asked for");
}

#[tokio::test]
async fn sessions_slide_and_end() {
    let (running, client) = prepared(false).await;
    let tokens = tokens(&running, &client).await;
    let instance = Client::new(&running.base_url, tokens["access_token"].as_str().unwrap());
    for _ in 0..3 {
        running.control.clock().advance(Duration::from_secs(6_000));
        assert_eq!(instance.get(&format!("{ROOT}/sobjects")).await.status, 200);
    }
    running.control.clock().advance(Duration::from_secs(7_300));
    assert_eq!(instance.get(&format!("{ROOT}/sobjects")).await.status, 401);
    let again = refresh(&client, tokens["refresh_token"].as_str().unwrap()).await.json();
    assert!(again.get("refresh_token").is_none(), "without rotation the old one stays");
    let instance = Client::new(&running.base_url, again["access_token"].as_str().unwrap());
    assert_eq!(instance.get(&format!("{ROOT}/sobjects")).await.status, 200);
}

#[tokio::test]
async fn a_spent_refresh_token_ends_the_whole_grant() {
    let (running, client) = prepared(true).await;
    let first = tokens(&running, &client).await;
    let old = first["refresh_token"].as_str().unwrap();
    let second = refresh(&client, old).await.json();
    let new = second["refresh_token"].as_str().unwrap();
    assert_ne!(old, new);
    let dead = refresh(&client, old).await;
    assert_eq!(
        (dead.status, dead.json()["error_description"].as_str().unwrap()),
        (400, "expired access/refresh token")
    );
    assert_eq!(running.control.reused_tokens(), 1);
    assert_eq!(refresh(&client, new).await.status, 400);
    let instance = Client::new(&running.base_url, second["access_token"].as_str().unwrap());
    assert_eq!(instance.get(&format!("{ROOT}/sobjects")).await.status, 401);
}

#[tokio::test]
async fn revoking_answers_in_forms_and_takes_the_sessions_along() {
    let (running, client) = prepared(false).await;
    let tokens = tokens(&running, &client).await;
    let instance = Client::new(&running.base_url, tokens["access_token"].as_str().unwrap());
    let revoke = async |token: &str| client.form("/services/oauth2/revoke", &[("token", token)]).await;
    assert_eq!(revoke(tokens["refresh_token"].as_str().unwrap()).await.status, 200);
    assert_eq!(instance.get(&format!("{ROOT}/sobjects")).await.status, 401);
    let again = revoke(tokens["refresh_token"].as_str().unwrap()).await;
    assert_eq!((again.status, again.text.starts_with("error=invalid_token&")), (400, true));
}

#[tokio::test]
async fn client_credentials_work_at_my_domain_only() {
    let (running, client) = prepared(false).await;
    let fields =
        [("grant_type", "client_credentials"), ("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)];
    assert_eq!(client.form("/services/oauth2/token", &fields).await.status, 400);
    let my_domain = Client::new(&running.base_url, "");
    let got = my_domain.form("/services/oauth2/token", &fields).await.json();
    assert!(got.get("refresh_token").is_none());
    let instance = Client::new(&running.base_url, got["access_token"].as_str().unwrap());
    assert_eq!(instance.get(&format!("{ROOT}/sobjects")).await.status, 200);
}

#[tokio::test]
async fn another_login_leads_to_other_data() {
    let (running, client) = prepared(false).await;
    let other = running.control.other_org();
    let code = authorize(&client, "api", other.org_id(), REDIRECT).await.redirected("code").unwrap();
    let tokens = redeem(&client, &code, &pkce().0).await.json();
    let instance = Client::new(&running.base_url, tokens["access_token"].as_str().unwrap());
    let counted = instance.get(&format!("{ROOT}/query?q=SELECT+COUNT()+FROM+Opportunity")).await.json();
    assert_eq!(counted["totalSize"], other.live("Opportunity").len());
    running.control.revoke_grants();
    assert_eq!(instance.get(&format!("{ROOT}/sobjects")).await.status, 200);
    other.revoke_grants();
    assert_eq!(instance.get(&format!("{ROOT}/sobjects")).await.status, 401);
}

#[tokio::test]
async fn a_signed_statement_opens_a_session() {
    let (running, _) = start(|options| {
        let users = vec!["admin@org1.example".into()];
        options.signers = vec![Signer { client_id: CLIENT_ID.into(), public_key: public_key(), users }];
    })
    .await;
    let client = Client::new(&running.login_url, "");
    let now = tributary::model::now_micros() / 1_000_000;
    let claims = serde_json::json!({
        "iss": CLIENT_ID, "sub": "admin@org1.example", "aud": "https://login.salesforce.com", "exp": now + 180,
    });
    let ask = async |claims: &serde_json::Value| {
        let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
        client.form("/services/oauth2/token", &[("grant_type", grant), ("assertion", &jwt(claims))]).await
    };
    let got = ask(&claims).await;
    assert_eq!(got.status, 200, "{}", got.text);
    assert!(got.json()["refresh_token"].is_null());
    for (claim, value, why) in [
        ("sub", "admin@org2.example".into(), "hasn't approved"),
        ("aud", "https://api.example".into(), "audience"),
        ("exp", (now - 60).into(), "expired"),
        ("exp", (now + 3600).into(), "expired"),
        ("iss", "somebody".into(), "client identifier"),
    ] {
        let mut claims = claims.clone();
        claims[claim] = value;
        let got = ask(&claims).await;
        assert_eq!(got.status, 400);
        assert!(got.text.contains(why), "{}", got.text);
    }
}
