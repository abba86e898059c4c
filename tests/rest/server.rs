//! A server whose answers are a function of the request.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use serde_json::Value;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: std::collections::BTreeMap<String, String>,
    pub(crate) headers: std::collections::BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Asked {
    pub(crate) fn number(&self, name: &str) -> Option<usize> {
        self.query.get(name)?.parse().ok()
    }
}

/// An answer: status, headers, body.
pub(crate) struct Said(pub(crate) u16, pub(crate) Vec<(&'static str, String)>, pub(crate) Vec<u8>);

impl From<Value> for Said {
    fn from(value: Value) -> Self {
        Said(200, Vec::new(), value.to_string().into_bytes())
    }
}

type Answer = Arc<dyn Fn(&Asked) -> Said + Send + Sync>;

#[derive(Clone)]
struct Shared {
    answer: Answer,
    log: Arc<Mutex<Vec<Asked>>>,
}

/// A server on a free port, until it is dropped.
pub(crate) struct Server {
    pub(crate) base: String,
    shared: Shared,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// The answer may use `{base}` in a body for its own address.
    pub(crate) async fn start(answer: impl Fn(&Asked) -> Said + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let shared = Shared { answer: Arc::new(answer), log: Arc::default() };
        let app = axum::Router::new().fallback(handle).with_state((shared.clone(), base.clone()));
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Server { base, shared, task }
    }

    /// Everything that was asked.
    pub(crate) fn log(&self) -> Vec<Asked> {
        self.shared.log.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn handle(State((shared, base)): State<(Shared, String)>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let query = parts.uri.query().unwrap_or_default();
    let asked = Asked {
        method: parts.method.to_string(),
        path: parts.uri.path().to_string(),
        query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        headers: parts
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_string()))
            .collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let Said(status, headers, body) = (shared.answer)(&asked);
    shared.log.lock().unwrap().push(asked);
    let mut response = Response::builder().status(status).header("date", "Thu, 26 Nov 2026 01:00:00 GMT");
    for (name, value) in headers {
        response = response.header(name, value.replace("{base}", &base));
    }
    let body = match String::from_utf8(body) {
        Ok(text) => text.replace("{base}", &base).into_bytes(),
        Err(error) => error.into_bytes(),
    };
    response.body(Body::from(body)).unwrap()
}
