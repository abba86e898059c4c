//! Refreshing: once, however many ask; over when the vendor says so; never before the last answer is safe.

use std::sync::Arc;
use std::time::Duration;

use tributary::demo::Fault;
use tributary::error::Kind;
use tributary::service::GrantTokens;
use tributary::source::rest::token::Tokens;

use super::{file, log_in, open, salesforce_client, tokens, vendor};

const TOKEN: &str = "POST /services/oauth2/token";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_share_one_refresh() {
    let vendor = vendor(true).await;
    let folder = tempfile::tempdir().unwrap();
    let (_state, vault) = open(&file(folder.path()), folder.path()).await;
    let login = log_in(&salesforce_client(&vendor.login_url), vendor.control.org_id()).await;
    vault.keep(1, &login).await.unwrap();
    let tokens = Arc::new(tokens(&vault, &vendor.login_url));
    let first = tokens.current().await.unwrap();
    assert_eq!(first.kept["instance_url"], vendor.base_url);
    let before = vendor.control.traffic().calls(TOKEN);
    let callers = (0..50).map(|_| {
        let (tokens, first) = (tokens.clone(), first.clone());
        tokio::spawn(async move { tokens.renew(&first).await.unwrap() })
    });
    let mut renewed = Vec::new();
    for caller in callers.collect::<Vec<_>>() {
        renewed.push(caller.await.unwrap());
    }
    assert!(renewed.iter().all(|token| token == &renewed[0] && token != &first));
    assert_eq!(vendor.control.traffic().calls(TOKEN), before + 1);
    assert_eq!(tokens.current().await.unwrap(), renewed[0]);
    assert_eq!(vendor.control.reused_tokens(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_share_one_refresh() {
    let vendor = vendor(true).await;
    let (database, keys) = (crate::support::postgres::database().await, tempfile::tempdir().unwrap());
    let (_state, vault) = open(&database.url(), keys.path()).await;
    vault
        .keep(1, &log_in(&salesforce_client(&vendor.login_url), vendor.control.org_id()).await)
        .await
        .unwrap();
    let first = tokens(&vault, &vendor.login_url).current().await.unwrap();
    let before = vendor.control.traffic().calls(TOKEN);
    // Slow enough for every process to come while the first one waits for its answer.
    vendor.control.traffic().fail_next_at(TOKEN, 1, Fault::Slow(Duration::from_secs(1)));
    let mut processes = Vec::new();
    for _ in 0..5 {
        let (state, vault) = open(&database.url(), keys.path()).await;
        let (tokens, first) = (tokens(&vault, &vendor.login_url), first.clone());
        processes.push(tokio::spawn(async move {
            let renewed = tokens.renew(&first).await.unwrap();
            drop(state);
            renewed
        }));
    }
    let mut renewed = Vec::new();
    for process in processes {
        renewed.push(process.await.unwrap());
    }
    assert!(renewed.iter().all(|token| token == &renewed[0] && token != &first));
    assert_eq!(vendor.control.traffic().calls(TOKEN), before + 1);
    assert_eq!(vendor.control.reused_tokens(), 0);
}

#[tokio::test]
async fn a_token_is_refreshed_before_it_ends() {
    use tributary::demo::hubspot::{self, CLIENT_ID, CLIENT_SECRET, RegisteredApp};
    let redirect = super::REDIRECT.to_string();
    let app = RegisteredApp {
        client_id: CLIENT_ID.into(),
        client_secret: CLIENT_SECRET.into(),
        redirect_uris: vec![redirect],
    };
    // With a life of a second a token is replaced after three quarters of it.
    let options = hubspot::Options {
        apps: vec![app],
        token_life: Duration::from_secs(1),
        ..hubspot::Options::default()
    };
    let vendor = hubspot::start(options).await.unwrap();
    let provider = tributary::oauth::Provider {
        label: "HubSpot".into(),
        authorize: format!("{}/oauth/authorize", vendor.base_url),
        token: format!("{}/oauth/v3/token", vendor.base_url),
        revoke: Some(format!("{}/oauth/v3/token/revoke", vendor.base_url)),
        scopes: vec!["oauth".into(), "crm.objects.deals.read".into()],
        optional_scopes: vec!["crm.objects.custom.read".into()],
        keep: vec![("hub_id".into(), "/hub_id".into())],
        ..super::provider("")
    };
    let client = super::client(provider.clone(), CLIENT_ID, CLIENT_SECRET);
    let login = log_in(&client, &vendor.control.portal_id().to_string()).await;
    assert_eq!(login.lives, Some(Duration::from_secs(1)));
    assert_eq!(login.kept["hub_id"], vendor.control.portal_id().to_string());
    let folder = tempfile::tempdir().unwrap();
    let (_state, vault) = open(&file(folder.path()), folder.path()).await;
    vault.keep(1, &login).await.unwrap();
    let tokens = GrantTokens::new(vault.clone(), 1, client);
    let first = tokens.current().await.unwrap();
    assert_eq!(tokens.current().await.unwrap(), first);
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert_ne!(tokens.current().await.unwrap(), first);
    let kept = vault.refresh_token(1).await.unwrap().unwrap();
    let client = super::client(provider, CLIENT_ID, CLIENT_SECRET);
    client.revoke(&kept).await.unwrap();
    client.revoke(&kept).await.unwrap();
    assert!(vendor.control.refresh_tokens().is_empty());
}

#[tokio::test]
async fn what_the_vendor_ends_stays_ended_without_another_call() {
    let vendor = vendor(true).await;
    let folder = tempfile::tempdir().unwrap();
    let (state, vault) = open(&file(folder.path()), folder.path()).await;
    let client = salesforce_client(&vendor.login_url);
    vault.keep(1, &log_in(&client, vendor.control.org_id()).await).await.unwrap();
    let first = tokens(&vault, &vendor.login_url).current().await.unwrap();
    vendor.control.revoke_grants();
    let error = tokens(&vault, &vendor.login_url).renew(&first).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthenticated);
    assert!(error.what().contains("expired access/refresh token"), "{error}");
    let calls = vendor.control.traffic().total();
    assert!(tokens(&vault, &vendor.login_url).current().await.is_err());
    assert_eq!(vendor.control.traffic().total(), calls);
    assert_eq!(state.connection("crm").await.unwrap().unwrap().status, "needs you");
    vault.keep(1, &log_in(&client, vendor.control.org_id()).await).await.unwrap();
    assert_ne!(tokens(&vault, &vendor.login_url).current().await.unwrap(), first);
}

#[tokio::test]
async fn a_busy_vendor_ends_nothing() {
    let vendor = vendor(true).await;
    let folder = tempfile::tempdir().unwrap();
    let (_state, vault) = open(&file(folder.path()), folder.path()).await;
    vault
        .keep(1, &log_in(&salesforce_client(&vendor.login_url), vendor.control.org_id()).await)
        .await
        .unwrap();
    let tokens = tokens(&vault, &vendor.login_url);
    let first = tokens.current().await.unwrap();
    for status in [500, 503, 429] {
        vendor.control.traffic().fail_next_at(TOKEN, 1, Fault::Status(status));
        let error = tokens.renew(&first).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    }
    assert_ne!(tokens.renew(&first).await.unwrap(), first);
    assert_eq!(vendor.control.reused_tokens(), 0);
}

#[tokio::test]
async fn an_answer_that_gets_lost_is_asked_for_once_more() {
    // Without rotation the old token still works; a vendor with rotation has ended the grant by then.
    for (rotates, survives) in [(false, true), (true, false)] {
        let vendor = vendor(rotates).await;
        let folder = tempfile::tempdir().unwrap();
        let (_state, vault) = open(&file(folder.path()), folder.path()).await;
        vault
            .keep(1, &log_in(&salesforce_client(&vendor.login_url), vendor.control.org_id()).await)
            .await
            .unwrap();
        let tokens = tokens(&vault, &vendor.login_url);
        let first = tokens.current().await.unwrap();
        vendor.control.traffic().fail_next_at(TOKEN, 1, Fault::Truncated);
        assert_eq!(tokens.renew(&first).await.unwrap_err().kind(), Kind::Unavailable);
        let second = tokens.renew(&first).await;
        assert_eq!(second.is_ok(), survives, "{second:?}");
        let calls = vendor.control.traffic().total();
        let third = tokens.renew(&first).await;
        assert_eq!(third.is_ok(), survives);
        assert_eq!(vendor.control.traffic().total(), calls, "nobody asks again");
    }
}

#[tokio::test]
async fn answers_that_keep_getting_lost_end_the_tries() {
    let vendor = vendor(false).await;
    let folder = tempfile::tempdir().unwrap();
    let (_state, vault) = open(&file(folder.path()), folder.path()).await;
    vault
        .keep(1, &log_in(&salesforce_client(&vendor.login_url), vendor.control.org_id()).await)
        .await
        .unwrap();
    let tokens = tokens(&vault, &vendor.login_url);
    let first = tokens.current().await.unwrap();
    for fault in [Fault::LoginPage, Fault::HalfJson] {
        vendor.control.traffic().fail_next_at(TOKEN, 1, fault);
        assert_eq!(tokens.renew(&first).await.unwrap_err().kind(), Kind::Unavailable);
    }
    let calls = vendor.control.traffic().total();
    assert_eq!(tokens.renew(&first).await.unwrap_err().kind(), Kind::Unauthenticated);
    assert_eq!(vendor.control.traffic().total(), calls);
}

#[tokio::test]
async fn an_answer_that_cannot_be_stored_is_kept_until_it_can() {
    let vendor = vendor(true).await;
    let folder = tempfile::tempdir().unwrap();
    let (_state, vault) = open(&file(folder.path()), folder.path()).await;
    vault
        .keep(1, &log_in(&salesforce_client(&vendor.login_url), vendor.control.org_id()).await)
        .await
        .unwrap();
    let tokens = tokens(&vault, &vendor.login_url);
    let first = tokens.current().await.unwrap();
    let database =
        sqlx::any::AnyPoolOptions::new().max_connections(1).connect(&file(folder.path())).await.unwrap();
    let refuse =
        "CREATE TRIGGER full BEFORE UPDATE OF sealed ON oauth_grants BEGIN SELECT RAISE(FAIL, 'full'); END";
    sqlx::query(refuse).execute(&database).await.unwrap();
    assert!(tokens.renew(&first).await.is_err());
    let calls = vendor.control.traffic().calls(TOKEN);
    sqlx::query("DROP TRIGGER full").execute(&database).await.unwrap();
    let second = tokens.renew(&first).await.unwrap();
    assert_ne!(second, first);
    assert_eq!(vendor.control.traffic().calls(TOKEN), calls, "the answer was there already");
    assert_ne!(tokens.renew(&second).await.unwrap(), second);
    assert_eq!(vendor.control.reused_tokens(), 0);
}

#[tokio::test]
async fn a_caller_that_gives_up_takes_nothing_with_it() {
    let vendor = vendor(true).await;
    let folder = tempfile::tempdir().unwrap();
    let (_state, vault) = open(&file(folder.path()), folder.path()).await;
    vault
        .keep(1, &log_in(&salesforce_client(&vendor.login_url), vendor.control.org_id()).await)
        .await
        .unwrap();
    let tokens = tokens(&vault, &vendor.login_url);
    let first = tokens.current().await.unwrap();
    vendor.control.traffic().fail_next_at(TOKEN, 1, Fault::Slow(Duration::from_millis(200)));
    let gave_up = tokio::time::timeout(Duration::from_millis(50), tokens.renew(&first)).await;
    assert!(gave_up.is_err());
    assert_ne!(tokens.renew(&first).await.unwrap(), first);
    assert_eq!((vendor.control.traffic().calls(TOKEN), vendor.control.reused_tokens()), (2, 0));
}

#[tokio::test]
async fn tokens_show_themselves_nowhere() {
    let vendor = vendor(true).await;
    let folder = tempfile::tempdir().unwrap();
    let (_state, vault) = open(&file(folder.path()), folder.path()).await;
    let client = salesforce_client(&vendor.login_url);
    let login = log_in(&client, vendor.control.org_id()).await;
    vault.keep(1, &login).await.unwrap();
    let tokens = tokens(&vault, &vendor.login_url);
    let token = tokens.current().await.unwrap();
    vendor.control.revoke_grants();
    let error = tokens.renew(&token).await.unwrap_err();
    let shown = format!(
        "{login:?} {token:?} {client:?} {error:?} {:?}",
        client.begin(super::REDIRECT).unwrap().verifier
    );
    for secret in [login.access.as_str(), login.refresh.as_ref().unwrap(), super::CLIENT_SECRET] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
