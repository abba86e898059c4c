//! The simulated vendors, asked by plain HTTP: they answer what the contracts of the real ones say and refuse what
//! those refuse.

mod hubspot;
mod hubspot_oauth;
mod hubspot_search;
mod salesforce;
mod salesforce_bulk;
mod salesforce_oauth;

use reqwest::redirect::Policy;
use serde_json::Value;

/// An answer, taken apart.
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Got {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The query parameter of the place that a redirect leads to.
    pub(crate) fn redirected(&self, parameter: &str) -> Option<String> {
        let url = url::Url::parse(self.header("location")).unwrap();
        url.query_pairs().find(|(name, _)| name == parameter).map(|(_, value)| value.into_owned())
    }
}

/// A client with one token.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl Client {
    pub(crate) fn new(base: &str, token: &str) -> Self {
        let http = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
        Client { http, base: base.into(), token: token.into() }
    }

    pub(crate) async fn get(&self, path: &str) -> Got {
        self.send(self.http.get(format!("{}{path}", self.base))).await.unwrap()
    }

    pub(crate) async fn try_get(&self, path: &str) -> reqwest::Result<Got> {
        self.send(self.http.get(format!("{}{path}", self.base))).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Got {
        let request = self.http.post(format!("{}{path}", self.base));
        self.send(request.header("content-type", "application/json").body(body.to_string())).await.unwrap()
    }

    pub(crate) async fn post_text(&self, path: &str, content_type: &str, body: &str) -> Got {
        let request = self.http.post(format!("{}{path}", self.base));
        self.send(request.header("content-type", content_type).body(body.to_string())).await.unwrap()
    }

    pub(crate) async fn request(&self, method: &str, path: &str, body: &Value) -> Got {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.http.request(method, format!("{}{path}", self.base));
        self.send(request.header("content-type", "application/json").body(body.to_string())).await.unwrap()
    }

    pub(crate) async fn form(&self, path: &str, fields: &[(&str, &str)]) -> Got {
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(fields);
        let request = self.http.post(format!("{}{path}", self.base));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        self.send(request.body(body.finish())).await.unwrap()
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> reqwest::Result<Got> {
        let request = match self.token.is_empty() {
            true => request,
            false => request.header("authorization", format!("Bearer {}", self.token)),
        };
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Got { status, headers, text: response.text().await? })
    }
}

/// Code verifier and S256 challenge.
pub(crate) fn pkce() -> (String, String) {
    use base64::Engine;
    use sha2::Digest;
    let verifier = "a-code-verifier-of-at-least-43-characters-0123456789";
    let digest = sha2::Sha256::digest(verifier.as_bytes());
    (verifier.into(), base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(digest))
}
