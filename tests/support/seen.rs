//! What a browser got.

use reqwest::header::HeaderMap;

/// An answer with its text.
pub(crate) struct Seen {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Seen {
    pub(crate) async fn of(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Seen { status, headers, text: response.text().await.unwrap() }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The cookie that was set, as the browser sends it back.
    pub(crate) fn cookie(&self) -> &str {
        self.header("set-cookie").split(';').next().unwrap()
    }

    /// The whole cookie of the session that it sets.
    pub(crate) fn session(&self) -> Option<String> {
        let cookies = self.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap());
        cookies.into_iter().find(|cookie| cookie.starts_with("tributary-session=")).map(str::to_string)
    }
}
