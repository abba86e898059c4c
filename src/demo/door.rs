//! The HTTP server of a simulated vendor: counts, lets planned events and failures happen, compresses, dates.

use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::clock::{Clock, http_date};
use super::fault::Fault;
use super::http::{Answer, Request};
use super::traffic::{Call, Traffic};
use crate::error::{Error, Kind, Result};

const MAX_BODY: usize = 16 << 20;
const KEPT_BODY: usize = 64 << 10;
/// Smaller bodies are sent as they are.
const COMPRESS_FROM: usize = 1_024;

/// A vendor behind the door.
pub(super) trait Vendor: Send + Sync + 'static {
    fn clock(&self) -> &Clock;
    fn traffic(&self) -> &Traffic;
    /// The name under which a request is counted, and its answer, made when called for.
    fn answer(&self, request: &Request) -> (&'static str, Answer);
    /// The name under which a request is counted.
    fn endpoint(&self, request: &Request) -> &'static str;
    /// The vendor's error body for a status.
    fn failure(&self, status: u16) -> Answer;
    /// The vendor's answer to too many requests.
    fn rate_limited(&self, retry_after: Option<u64>, daily: bool) -> Answer;
}

/// Opens a port and answers on it until `stop` is cancelled.
pub(super) async fn open<V: Vendor>(
    vendor: Arc<V>,
    host: &'static str,
    listener: TcpListener,
    stop: CancellationToken,
) {
    let app = axum::Router::new().fallback(move |request: axum::extract::Request| {
        let vendor = vendor.clone();
        async move { Ok::<_, Infallible>(handle(vendor.as_ref(), host, request).await) }
    });
    let served = axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(%error, host, "a simulated vendor stopped");
    }
}

/// A listener at `address`, and the URL that leads to it.
pub(super) async fn bind(address: SocketAddr) -> Result<(TcpListener, String)> {
    let failed = |error: std::io::Error| {
        Error::new(Kind::Unavailable, format!("the simulated vendor cannot listen on {address}: {error}"))
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let url = format!("http://{}", listener.local_addr().map_err(failed)?);
    Ok((listener, url))
}

async fn handle<V: Vendor>(
    vendor: &V,
    host: &'static str,
    request: axum::extract::Request,
) -> Response<Body> {
    let uri = request.uri().to_string();
    let accepts_gzip = request
        .headers()
        .get(header::ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.contains("gzip"));
    let request = match read(host, request).await {
        Ok(request) => request,
        Err(status) => return plain(status),
    };
    let place = format!("{} {}", request.method, request.path);
    for event in vendor.traffic().due(&place) {
        event();
    }
    let fault = vendor.traffic().take_fault(&place);
    let (endpoint, answer) = match &fault {
        Some(Fault::Status(status)) => (vendor.endpoint(&request), vendor.failure(*status)),
        Some(Fault::RateLimited { retry_after, daily }) => {
            (vendor.endpoint(&request), vendor.rate_limited(*retry_after, *daily))
        }
        Some(Fault::LoginPage) => (vendor.endpoint(&request), login_page()),
        Some(Fault::Bomb(bytes)) => (vendor.endpoint(&request), bomb(*bytes)),
        Some(Fault::Replace { status, content_type, body }) => {
            (vendor.endpoint(&request), Answer::new(*status, content_type, body.clone()))
        }
        Some(Fault::Truncated | Fault::Slow(_) | Fault::Stalled | Fault::HalfJson) | None => {
            vendor.answer(&request)
        }
    };
    let kept = &request.body[..request.body.len().min(KEPT_BODY)];
    vendor.traffic().record(Call {
        endpoint,
        uri,
        body: String::from_utf8_lossy(kept).into_owned(),
        status: answer.status.as_u16(),
    });
    let answer = answer.with("date", http_date(vendor.clock().micros()));
    match fault {
        Some(Fault::Slow(delay)) => {
            tokio::time::sleep(delay).await;
            send(answer, accepts_gzip)
        }
        Some(Fault::Truncated) => cut(answer, false),
        Some(Fault::Stalled) => cut(answer, true),
        Some(Fault::HalfJson) => {
            let half = answer.body.len() / 2;
            send(Answer { body: answer.body[..half].to_vec(), ..answer }, accepts_gzip)
        }
        _ => send(answer, accepts_gzip),
    }
}

async fn read(host: &'static str, request: axum::extract::Request) -> Result<Request, StatusCode> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, MAX_BODY).await.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
    let path = parts.uri.path().to_string();
    let decoded = |segment: &str| {
        let pairs = format!("x={}", segment.replace('+', "%2B"));
        url::form_urlencoded::parse(pairs.as_bytes()).next().map(|(_, value)| value.into_owned())
    };
    let segments = path.split('/').filter(|s| !s.is_empty()).filter_map(decoded).collect();
    let query = parts.uri.query().unwrap_or_default();
    Ok(Request {
        host,
        method: parts.method,
        segments,
        query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        uri_bytes: parts.uri.path_and_query().map_or(0, |whole| whole.as_str().len()),
        path,
        headers: parts.headers,
        body,
    })
}

fn plain(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn headed(answer: &Answer, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    for (name, value) in &answer.headers {
        let pair = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value));
        if let (Ok(name), Ok(value)) = pair {
            response.headers_mut().append(name, value);
        }
    }
    response
}

fn send(answer: Answer, accepts_gzip: bool) -> Response<Body> {
    let is_encoded = answer.headers.iter().any(|(name, _)| *name == "content-encoding");
    if !accepts_gzip || is_encoded || answer.body.len() < COMPRESS_FROM {
        let body = Body::from(answer.body.clone());
        return headed(&answer, body);
    }
    match gzip(&answer.body) {
        Ok(body) => headed(&answer.with("content-encoding", "gzip"), Body::from(body)),
        Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

fn gzip(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

/// Promises the whole length and sends half of it: then either closes the connection or goes silent.
fn cut(answer: Answer, stay: bool) -> Response<Body> {
    let half = Bytes::copy_from_slice(&answer.body[..answer.body.len() / 2]);
    let first = stream::once(async move { Ok::<_, std::io::Error>(half) });
    let rest = stream::once(async move {
        match stay {
            // Longer than any reader waits for the next byte.
            true => tokio::time::sleep(Duration::from_secs(3_600)).await,
            false => tokio::time::sleep(Duration::from_millis(20)).await,
        }
        Err(std::io::Error::new(std::io::ErrorKind::ConnectionReset, "cut on purpose"))
    });
    let length = answer.body.len().to_string();
    headed(&answer.with("content-length", length), Body::from_stream(first.chain(rest)))
}

fn login_page() -> Answer {
    Answer::html(200, "<!DOCTYPE html><html><head><title>Sign in</title></head><body>Sign in</body></html>")
}

fn bomb(bytes: usize) -> Answer {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let zeros = [0_u8; 1 << 16];
    let mut left = bytes;
    while left > 0 {
        let part = left.min(zeros.len());
        if encoder.write_all(&zeros[..part]).is_err() {
            break;
        }
        left -= part;
    }
    let body = encoder.finish().unwrap_or_default();
    Answer::new(200, "application/json", body).with("content-encoding", "gzip")
}
