//! HTTP to login servers: nothing is followed, nothing is waited for long, nothing large is taken.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use oauth2::{AsyncHttpClient, HttpRequest, HttpResponse};

use super::answer::normalised;
use crate::error::{Error, Result};

const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const LIMIT: Duration = Duration::from_secs(30);
const MAX_BODY: usize = 1 << 20;

/// Why there is no answer to judge. Neither URL nor body is told.
#[derive(Debug)]
pub(super) enum Lost {
    /// The request was not sent.
    Unreached(&'static str),
    /// The server is busy or broken, and said so.
    Status(u16),
    /// The request was sent and the answer did not come whole.
    Incomplete(&'static str),
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lost::Unreached(why) | Lost::Incomplete(why) => f.write_str(why),
            Lost::Status(status) => write!(f, "it answered {status}"),
        }
    }
}

impl std::error::Error for Lost {}

/// A client for login servers.
#[derive(Debug)]
pub(super) struct Transport(reqwest::Client);

impl Transport {
    pub(super) fn new() -> Result<Self> {
        built(builder())
    }

    pub(super) fn resolving_with<R: reqwest::dns::Resolve + 'static>(resolver: Arc<R>) -> Result<Self> {
        built(builder().dns_resolver(resolver))
    }

    /// Posts a form and returns the status.
    pub(super) async fn post_form(&self, url: &str, fields: &[(&str, &str)]) -> Result<u16, Lost> {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self.0.post(url).header("content-type", "application/x-www-form-urlencoded");
        let response = request.body(body).send().await.map_err(|error| lost(&error))?;
        Ok(response.status().as_u16())
    }

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, Lost> {
        let request = reqwest::Request::try_from(request)
            .map_err(|_| Lost::Unreached("the request to it cannot be made"))?;
        let response = self.0.execute(request).await.map_err(|error| lost(&error))?;
        let status = response.status().as_u16();
        if status == 429 || status >= 500 {
            return Err(Lost::Status(status));
        }
        let mut body = Vec::new();
        let mut parts = response.bytes_stream();
        while let Some(part) = parts.next().await {
            let part = part.map_err(|_| Lost::Incomplete("its answer broke off"))?;
            if body.len() + part.len() > MAX_BODY {
                return Err(Lost::Incomplete("its answer is larger than 1 MiB"));
            }
            body.extend_from_slice(&part);
        }
        let (status, body) = normalised(status, body);
        let mut answer = HttpResponse::new(body);
        *answer.status_mut() =
            status.try_into().map_err(|_| Lost::Incomplete("its answer has no valid status"))?;
        Ok(answer)
    }
}

fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT_LIMIT)
        .timeout(LIMIT)
        .user_agent(concat!("tributary/", env!("CARGO_PKG_VERSION")))
}

fn built(builder: reqwest::ClientBuilder) -> Result<Transport> {
    let built = builder.build().map(Transport);
    built.map_err(|error| Error::internal("the HTTP client cannot be made").with_source(error))
}

fn lost(error: &reqwest::Error) -> Lost {
    if error.is_connect() {
        Lost::Unreached("it cannot be reached")
    } else if error.is_timeout() {
        Lost::Incomplete("it did not answer in time")
    } else {
        Lost::Incomplete("the connection to it broke off")
    }
}

impl<'c> AsyncHttpClient<'c> for Transport {
    type Error = Lost;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, Lost>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}
