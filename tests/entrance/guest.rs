//! A browser without a person: it keeps its session and sends what it is told to.

use crate::oauth::{browser, web_of};
pub(super) use crate::support::seen::Seen;
use crate::support::server::Server;

pub(super) struct Guest {
    pub(super) web: String,
    pub(super) client: reqwest::Client,
    /// The session, as it is sent back.
    pub(super) cookie: Option<String>,
}

/// The body of a form.
pub(super) fn form(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

impl Guest {
    pub(super) fn of(server: &Server) -> Self {
        Guest { web: web_of(server), client: browser(), cookie: None }
    }

    /// Somebody who is logged in.
    pub(super) async fn logged_in(server: &Server, name: &str, password: &str) -> Self {
        let mut guest = Self::of(server);
        let seen = guest.log_in(name, password).await;
        assert_eq!((seen.status, seen.header("location")), (303, "/"), "{}", seen.text);
        guest
    }

    pub(super) async fn log_in(&mut self, name: &str, password: &str) -> Seen {
        let seen = self.send("/login", &form(&[("name", name), ("password", password)])).await;
        self.keep(&seen);
        seen
    }

    /// Keeps the session that an answer sets.
    pub(super) fn keep(&mut self, seen: &Seen) {
        if let Some(cookie) = seen.session() {
            self.cookie = cookie.split(';').next().map(str::to_string);
        }
    }

    pub(super) async fn get(&self, path: &str) -> Seen {
        let mut request = self.client.get(format!("{}{path}", self.web));
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        Seen::of(request).await
    }

    /// A form as our own pages send it, but for the token.
    pub(super) async fn send(&self, path: &str, body: &str) -> Seen {
        Seen::of(self.request(path, body).header("origin", &self.web)).await
    }

    /// A form that says nothing of where it comes from.
    pub(super) fn request(&self, path: &str, body: &str) -> reqwest::RequestBuilder {
        let request = self.client.post(format!("{}{path}", self.web));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let request = match &self.cookie {
            Some(cookie) => request.header("cookie", cookie),
            None => request,
        };
        request.body(body.to_string())
    }

    /// The token that forms of this session hold.
    pub(super) async fn token(&self) -> String {
        let page = self.get("/account").await;
        assert_eq!(page.status, 200, "{}", page.text);
        let (_, rest) = page.text.split_once("name=\"csrf\" value=\"").unwrap();
        rest.split_once('"').unwrap().0.to_string()
    }

    /// A form with its token.
    pub(super) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Seen {
        let token = self.token().await;
        let fields = [fields, &[("csrf", token.as_str())]].concat();
        self.send(path, &form(&fields)).await
    }
}
