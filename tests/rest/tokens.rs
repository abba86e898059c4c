//! Ways to log in, and what becomes of secrets.

use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use tributary::error::Kind;

use super::server::Said;
use super::*;
use crate::support::signing::{PRIVATE_KEY, public_key};

const LIST: &str = "list: { request: { get: /list }, records: /r }";

/// Tells who asks, and gives tokens that are good for one request each when `short` is set.
async fn login(short: bool) -> Server {
    let given = Arc::new(AtomicUsize::new(0));
    Server::start(move |asked| match asked.path.as_str() {
        "/token" => {
            let number = given.fetch_add(1, Ordering::SeqCst) + 1;
            json!({"access_token": format!("t{number}"), "expires_in": 3600, "data": {"token": format!("t{number}"), "lives": "3600"}}).into()
        }
        "/list" => {
            let newest = format!("Bearer t{}", given.load(Ordering::SeqCst));
            let authorization = asked.headers.get("authorization").cloned().unwrap_or_default();
            match short && (authorization != newest || authorization == "Bearer t1") {
                true => Said(401, Vec::new(), Vec::new()),
                false => json!({"r": things(0..1)}).into(),
            }
        }
        _ => json!({"id": "me"}).into(),
    })
    .await
}

async fn header_of(login_yaml: &str, given: &[(&str, &str)], name: &str) -> (String, Server) {
    let server = login(false).await;
    let source = open(&server, &manifest(login_yaml, LIST, ""), &secrets(given));
    pages(&source, What::Full).await.unwrap();
    let asked = server.log().into_iter().rfind(|asked| asked.path == "/list").unwrap();
    (asked.headers.get(name).cloned().unwrap_or_default(), server)
}

#[tokio::test]
async fn every_way_to_log_in_signs_requests() {
    let (header, _) = header_of(BEARER, &[("token", "s3cret")], "authorization").await;
    assert_eq!(header, "Bearer s3cret");
    let basic = "- basic: { ask: { key: Key }, user: \"{secret.key}\", password: x }";
    let (header, _) = header_of(basic, &[("key", "k")], "authorization").await;
    assert_eq!(header, format!("Basic {}", base64::prelude::BASE64_STANDARD.encode("k:x")));
    let own = "- header: { ask: { key: Key }, name: X-Api-Key, value: \"{secret.key}\" }";
    let (header, _) = header_of(own, &[("key", "k")], "x-api-key").await;
    assert_eq!(header, "k");
    let exchange = "- exchange: { ask: { id: Id, key: Key }, request: { post: /token, form: { client_id: \"{secret.id}\", client_secret: \"{secret.key}\" } }, token: /data/token, expires_in: /data/lives, scheme: Zoho-oauthtoken }";
    let (header, server) = header_of(exchange, &[("id", "i&d"), ("key", "k")], "authorization").await;
    assert_eq!(header, "Zoho-oauthtoken t1");
    assert_eq!(server.log()[0].body, "client_id=i%26d&client_secret=k");
    let grant = "- client_credentials: { ask: { client_id: Id, client_secret: Key }, token: https://api.test/token, client_id: \"{secret.client_id}\", client_secret: \"{secret.client_secret}\", scopes: [a, b] }";
    let (header, server) =
        header_of(grant, &[("client_id", "i"), ("client_secret", "{k}")], "authorization").await;
    assert_eq!(header, "Bearer t1");
    let body = &server.log()[0].body;
    assert_eq!(body, "grant_type=client_credentials&client_id=i&client_secret=%7Bk%7D&scope=a+b");
}

#[tokio::test]
async fn a_signed_statement_can_be_checked() {
    let grant = "- jwt_bearer: { ask: { key: Key, who: User }, token: https://api.test/token, issuer: app, subject: \"{secret.who}\", audience: https://api.test, key: \"{secret.key}\" }";
    let (header, server) = header_of(grant, &[("key", PRIVATE_KEY), ("who", "anna")], "authorization").await;
    assert_eq!(header, "Bearer t1");
    let form: HashMap<_, _> =
        url::form_urlencoded::parse(server.log()[0].body.as_bytes()).into_owned().collect();
    assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
    let parts: Vec<_> = form["assertion"].split('.').collect();
    let decode = |part: &str| base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(part).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&decode(parts[1])).unwrap();
    assert_eq!((claims["iss"].as_str(), claims["sub"].as_str()), (Some("app"), Some("anna")));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 180);
    let public =
        ring::signature::UnparsedPublicKey::new(&ring::signature::RSA_PKCS1_2048_8192_SHA256, public_key());
    public.verify(format!("{}.{}", parts[0], parts[1]).as_bytes(), &decode(parts[2])).unwrap();
}

#[tokio::test]
async fn a_refused_token_is_renewed_exactly_once() {
    let exchange = "- exchange: { ask: { key: Key }, request: { post: /token }, token: /access_token }";
    let server = login(true).await;
    let source = open(&server, &manifest(exchange, LIST, ""), &secrets(&[("key", "k")]));
    pages(&source, What::Full).await.unwrap();
    let count = |path: &str| server.log().iter().filter(|asked| asked.path == path).count();
    assert_eq!((count("/token"), count("/list")), (2, 2));
    // A source that refuses every token is asked twice.
    let server = Server::start(|asked| match asked.path.as_str() {
        "/token" => json!({"access_token": "t"}).into(),
        "/me" => json!({"id": "me"}).into(),
        _ => Said(401, Vec::new(), br#"{"message": "who are you"}"#.to_vec()),
    })
    .await;
    let source = open(&server, &manifest(exchange, LIST, ""), &secrets(&[("key", "k")]));
    let error = pages(&source, What::Full).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthenticated);
    assert_eq!(server.log().iter().filter(|asked| asked.path == "/list").count(), 2);
}

#[tokio::test]
async fn secrets_are_in_no_error() {
    const SECRET: &str = "c4n4ry-t0ken";
    for status in [400, 401, 403, 404, 500, 302] {
        let server = Server::start(move |_| Said(status, Vec::new(), Vec::new())).await;
        let source = open(&server, &manifest(BEARER, LIST, ""), &secrets(&[("token", SECRET)]));
        let error = source.whoami().await.unwrap_err();
        assert!(!format!("{error:?} {error}").contains(SECRET), "{error:?}");
    }
    let server = login(false).await;
    let bad = format!("{SECRET}\nX-Other: 1");
    let source = open(&server, &manifest(BEARER, LIST, ""), &secrets(&[("token", &bad)]));
    let error = source.whoami().await.unwrap_err();
    assert!(!format!("{error:?} {error}").contains(SECRET), "{error:?}");
    let missing = open(&server, &manifest(BEARER, LIST, ""), &HashMap::new());
    let error = missing.whoami().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.detail().unwrap().contains("`token` (Token)"), "{error:?}");
}

#[tokio::test]
async fn a_source_that_is_silent_is_given_up() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", silent.local_addr().unwrap());
    let source = open_at(&base, &manifest(BEARER, LIST, ""), &secrets(&[("token", "t")]));
    let started = std::time::Instant::now();
    let error = source.whoami().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{error:?}");
    assert!(error.what().contains("does not answer"), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(20));
}
