//! Messages over HTTP: to a chat with Slack's incoming webhooks, and to a program.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, Mac};
use serde_json::json;
use sha2::Sha256;
use url::Url;

use super::text::{body, subject};
use super::{Channel, Notice};
use crate::error::{Error, Kind, Result};
use crate::model::now_micros;
use crate::secret::Secret;

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const LIMIT: Duration = Duration::from_secs(10);
/// Fewer could be guessed.
const LEAST_SECRET: usize = 16;

/// A chat that takes `{"text": ...}` by POST, as Slack's incoming webhooks do, and Mattermost and Discord's
/// `/slack` addresses after it.
pub struct Slack {
    http: reqwest::Client,
    url: Secret,
}

impl Slack {
    /// Checks the URL, which is the secret.
    pub fn new(url: Secret) -> Result<Self> {
        admit("alerts", "slack_url", &url)?;
        Ok(Slack { http: client()?, url })
    }
}

#[async_trait::async_trait]
impl Channel for Slack {
    fn name(&self) -> &'static str {
        "slack"
    }

    fn gathers(&self) -> bool {
        true
    }

    fn limit(&self) -> Duration {
        LIMIT
    }

    async fn deliver(&self, company: &str, notices: &[Notice]) -> Result<()> {
        let text = format!("{}\n\n{}", subject(company, notices), body(notices));
        // These three are all that Slack wants escaped.
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let request = self.http.post(self.url.expose()).header("content-type", "application/json");
        sent(request.body(json!({ "text": text }).to_string())).await
    }
}

/// A program that is told of each alert in JSON, signed as Standard Webhooks (1.0.0) says: `webhook-signature` holds
/// `v1,` and the base64 of HMAC-SHA256 over `webhook-id`, `webhook-timestamp` and the body, joined by dots. The
/// timestamp (seconds since 1970) lets the receiver refuse what was recorded and sent again; the id is the same when
/// a message is tried again.
pub struct Webhook {
    http: reqwest::Client,
    url: Secret,
    key: Secret,
}

impl Webhook {
    /// Checks URL and secret. A secret that begins with `whsec_` is base64 behind it; any other is taken as it is.
    pub fn new(url: Secret, key: Secret) -> Result<Self> {
        Self::of_section("alerts", url, key)
    }

    /// As [`Webhook::new`], for another section of the settings.
    pub fn of_section(section: &str, url: Secret, key: Secret) -> Result<Self> {
        admit(section, "webhook_url", &url)?;
        if key_bytes(&key).is_none_or(|key| key.len() < LEAST_SECRET) {
            let what = format!("`webhook_secret` of [{section}] is no secret that could sign");
            return Err(Error::new(Kind::Invalid, what)
                .with_hint(format!(
                    "write at least {LEAST_SECRET} characters, or whsec_ and base64; `openssl rand -base64 32` makes some"
                )));
        }
        Ok(Webhook { http: client()?, url, key })
    }

    /// Sends JSON, signed. The id is to be the same when a message is tried again.
    ///
    /// # Errors
    /// `Unavailable` unless it is taken within ten seconds.
    pub async fn post(&self, id: &str, body: String) -> Result<()> {
        let timestamp = now_micros().div_euclid(1_000_000);
        let signature = self.signature(id, timestamp, &body)?;
        let request = self.http.post(self.url.expose()).header("content-type", "application/json");
        let request = request.header("webhook-id", id).header("webhook-timestamp", timestamp);
        sent(request.header("webhook-signature", signature).body(body)).await
    }

    fn signature(&self, id: &str, timestamp: i64, body: &str) -> Result<String> {
        let key = key_bytes(&self.key).unwrap_or_default();
        let mut mac = Hmac::<Sha256>::new_from_slice(&key)
            .map_err(|_| Error::internal("a webhook cannot be signed"))?;
        mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
        Ok(format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes())))
    }
}

fn key_bytes(key: &Secret) -> Option<Vec<u8>> {
    match key.expose().strip_prefix("whsec_") {
        Some(text) => BASE64_STANDARD.decode(text).ok(),
        None => Some(key.expose().as_bytes().to_vec()),
    }
}

#[async_trait::async_trait]
impl Channel for Webhook {
    fn name(&self) -> &'static str {
        "webhook"
    }

    fn gathers(&self) -> bool {
        false
    }

    fn limit(&self) -> Duration {
        LIMIT
    }

    async fn deliver(&self, company: &str, notices: &[Notice]) -> Result<()> {
        for notice in notices {
            let mut body = json!({ "type": "alert", "company": company });
            let fields = serde_json::to_value(notice)
                .map_err(|error| Error::internal("an alert is not JSON").with_source(error))?;
            if let (Some(body), serde_json::Value::Object(fields)) = (body.as_object_mut(), fields) {
                body.extend(fields);
            }
            let body = body.to_string();
            let id = format!("{company}-alert-{}-{}", notice.alert, notice.event.as_str());
            self.post(&id, body).await?;
        }
        Ok(())
    }
}

/// By https, unless it stays on this machine. The URL is not quoted: it may be a secret.
fn admit(section: &str, key: &str, url: &Secret) -> Result<()> {
    let parsed = Url::parse(url.expose()).ok();
    let is_local = |url: &Url| matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    let fits = |url: &Url| url.scheme() == "https" || url.scheme() == "http" && is_local(url);
    match parsed.filter(fits) {
        Some(_) => Ok(()),
        None => {
            Err(Error::new(Kind::Invalid, format!("`{key}` of [{section}] is no URL to send messages to"))
                .with_hint("write an https URL; http for this machine only"))
        }
    }
}

fn client() -> Result<reqwest::Client> {
    let built = reqwest::Client::builder()
        // A redirect could lead what is signed elsewhere, and a proxy of the environment would see it.
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT_LIMIT)
        .timeout(LIMIT)
        .user_agent(concat!("tributary/", env!("CARGO_PKG_VERSION")))
        .build();
    built.map_err(|error| Error::internal("the HTTP client cannot be made").with_source(error))
}

/// Only the status counts.
async fn sent(request: reqwest::RequestBuilder) -> Result<()> {
    let unavailable = |why: String| Error::new(Kind::Unavailable, why);
    match request.send().await {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(unavailable(format!("the receiver answers {}", answer.status().as_u16()))),
        Err(error) if error.is_timeout() => Err(unavailable("the receiver does not answer in time".into())),
        Err(error) if error.is_connect() => Err(unavailable("the receiver cannot be reached".into())),
        Err(_) => Err(unavailable("the connection to the receiver broke off".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_the_standard() {
        // The example of the specification's reference libraries.
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into());
        let webhook = Webhook::new(Secret::new("https://example.com/hook".into()), secret).unwrap();
        let signature =
            webhook.signature("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature.unwrap(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn secrets_and_urls_are_checked_and_not_told() {
        let url = |text: &str| Secret::new(text.into());
        for text in ["http://hooks.example.com/hunter2", "hunter2", "ftp://hooks.example.com/hunter2"] {
            let error = Slack::new(url(text)).err().unwrap();
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
        let good = "https://example.com/hook";
        for key in ["hunter2", "whsec_hunter2", "whsec_aHVudGVyMg=="] {
            let error = Webhook::new(url(good), Secret::new(key.into())).err().unwrap();
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
        assert!(Slack::new(url("http://127.0.0.1:1/x")).is_ok());
    }
}
