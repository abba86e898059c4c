//! Somebody with an HTTP client: logs in as a browser would, and then sends what it likes.

use std::sync::LazyLock;

use reqwest::header::HeaderMap;

use crate::oauth::{browser, web_of};
use crate::support::server::{ADMIN, ADMIN_PASSWORD, Server};

/// A person who may read one object and change nothing.
pub(super) const ANALYST: &str = "ada";
pub(super) const ANALYST_PASSWORD: &str = "an analyst of tests reads";

static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(browser);

/// Who sends requests.
pub(super) struct Visitor {
    pub(super) web: String,
    /// The session, as the browser sends it back.
    pub(super) cookie: Option<String>,
    /// The anti-forgery token of that session.
    pub(super) token: String,
}

/// What came back.
pub(super) struct Page {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) bytes: Vec<u8>,
    pub(super) took: std::time::Duration,
}

impl Page {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Visitor {
    /// Nobody in particular.
    pub(super) fn stranger(server: &Server) -> Self {
        Visitor { web: web_of(server), cookie: None, token: "0".repeat(64) }
    }

    pub(super) async fn admin(server: &Server) -> Self {
        Self::of(server, ADMIN, ADMIN_PASSWORD).await
    }

    pub(super) async fn analyst(server: &Server) -> Self {
        Self::of(server, ANALYST, ANALYST_PASSWORD).await
    }

    async fn of(server: &Server, name: &str, password: &str) -> Self {
        let mut visitor = Self::stranger(server);
        let came = visitor.post("/login", &[("name", name), ("password", password)]).await;
        assert_eq!(came.status, 303, "{name}: {}", came.text());
        let cookies = came.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap());
        let session =
            cookies.filter_map(|cookie| cookie.split(';').next()).find(|cookie| cookie.contains("session="));
        visitor.cookie = Some(session.unwrap().to_string());
        let home = visitor.get("/").await;
        assert_eq!(home.status, 200, "{}", home.text());
        visitor.token = between(&home.text(), "name=\"csrf\" value=\"", "\"").unwrap();
        visitor
    }

    pub(super) async fn get(&self, path: &str) -> Page {
        self.send(CLIENT.get(format!("{}{path}", self.web))).await
    }

    /// Sends a form as a page of ours does.
    pub(super) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        self.post_from(path, fields, Some(&self.web), &self.token).await
    }

    /// Sends a form with any origin and token.
    pub(super) async fn post_from(
        &self,
        path: &str,
        fields: &[(&str, &str)],
        origin: Option<&str>,
        token: &str,
    ) -> Page {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields).append_pair("csrf", token);
        let mut request = CLIENT
            .post(format!("{}{path}", self.web))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.finish());
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        self.send(request).await
    }

    async fn send(&self, mut request: reqwest::RequestBuilder) -> Page {
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        let began = std::time::Instant::now();
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let bytes = answer.bytes().await.map(|bytes| bytes.to_vec()).unwrap_or_default();
        Page { status, headers, bytes, took: began.elapsed() }
    }
}

/// The first text between two others.
pub(super) fn between(text: &str, before: &str, after: &str) -> Option<String> {
    let (_, rest) = text.split_once(before)?;
    Some(rest.split_once(after)?.0.to_string())
}
