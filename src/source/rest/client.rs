//! Sending requests: one attempt ([`Transport`]), and everything that follows from its answer ([`Client`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use reqwest::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
};
use serde_json::Value;

use super::clock::http_date;
use super::guard::Guard;
use super::inflate::{MAX_BODY, gunzip};
use super::limit::Limits;
use super::outcome::{self, Verdict};
use super::request::{Call, Scope};
use super::token::{AccessToken, Tokens};
use super::{Patience, outcome::Refused};
use crate::catalog::Manifest;
use crate::catalog::manifest::{Auth, Outcome, Quota, Request};
use crate::error::{Error, Kind, Result};
use crate::model::{Micros, now_micros};

/// Attempts at one request that fail without an answer, or with one that says to try again.
const ATTEMPTS: u32 = 5;
/// Answers to one request that cannot be read.
const UNREADABLE: u32 = 3;
/// The longest that a source may make us wait at once.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// Refusals for too many calls, in a row, after which a run ends.
const REFUSALS: u32 = 60;

/// An answer, inflated.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Whether a rule says that there are no records.
    pub(crate) is_empty: bool,
}

impl Answer {
    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// A request that got no answer.
pub(crate) struct Trouble {
    /// Whether another attempt may get one.
    pub(crate) is_passing: bool,
    pub(crate) error: Error,
}

/// Sends requests, one attempt each, within limits of time and size. Cloning it is cheap.
#[derive(Clone)]
pub(crate) struct Transport {
    http: reqwest::Client,
    patience: Patience,
    label: Arc<str>,
}

impl Transport {
    pub(crate) fn new(manifest: &Manifest, guard: &Guard, patience: Patience) -> Result<Self> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("tributary/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(patience.connect)
            .read_timeout(patience.between_bytes)
            .timeout(patience.whole)
            .pool_max_idle_per_host(manifest.http.concurrency)
            .tcp_nodelay(true)
            // A redirect could lead a token elsewhere, and a proxy of the environment would see it.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy();
        if let Some(resolver) = guard.resolver() {
            builder = builder.https_only(true).dns_resolver(resolver);
        }
        let http = builder.build().map_err(|error| Error::internal("no HTTP client").with_source(error))?;
        Ok(Transport { http, patience, label: manifest.label.as_str().into() })
    }

    pub(crate) async fn once(&self, call: Call) -> Result<Answer, Trouble> {
        let mut request = self.http.request(call.method, call.url).header(ACCEPT_ENCODING, "gzip");
        for (name, value) in &call.headers {
            let header = HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_str(value).ok());
            let Some((name, mut value)) = header else {
                return Err(lasting(Error::new(
                    Kind::Invalid,
                    format!("`{name}` cannot be sent as a header"),
                )));
            };
            // Any of them may hold a secret; marked values are left out of debug output.
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        if let Some((content_type, body)) = call.body {
            request = request.header(CONTENT_TYPE, content_type).body(body.to_vec());
        }
        let answer = match tokio::time::timeout(self.patience.first_byte, request.send()).await {
            Ok(answer) => answer.map_err(|error| self.silence(&error))?,
            Err(_) => return Err(self.passing("does not answer")),
        };
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = self.body(answer).await?;
        let body = match headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
            None | Some(b"identity") => Bytes::from(body),
            Some(b"gzip" | b"x-gzip") if body.is_empty() => Bytes::new(),
            Some(b"gzip" | b"x-gzip") => {
                let inflated = tokio::task::spawn_blocking(move || gunzip(&body)).await.ok().flatten();
                Bytes::from(inflated.ok_or_else(|| self.too_much("cannot be inflated within the limit"))?)
            }
            Some(_) => return Err(self.too_much("has an encoding that nobody asked for")),
        };
        Ok(Answer { status, headers, body, is_empty: false })
    }

    async fn body(&self, mut answer: reqwest::Response) -> Result<Vec<u8>, Trouble> {
        let announced = answer.content_length().unwrap_or(0);
        if announced > MAX_BODY as u64 {
            return Err(self.too_much("is larger than 64 MiB"));
        }
        let mut body = Vec::with_capacity(announced as usize);
        while let Some(bytes) = answer.chunk().await.map_err(|error| self.silence(&error))? {
            if body.len() + bytes.len() > MAX_BODY {
                return Err(self.too_much("is larger than 64 MiB"));
            }
            body.extend_from_slice(&bytes);
        }
        Ok(body)
    }

    fn silence(&self, error: &reqwest::Error) -> Trouble {
        let why = match () {
            () if error.is_timeout() => "does not answer".to_string(),
            () if error.is_connect() => {
                let mut root: &dyn std::error::Error = error;
                while let Some(cause) = root.source() {
                    root = cause;
                }
                format!("cannot be reached: {root}")
            }
            () => "breaks off its answer".to_string(),
        };
        self.passing(&why)
    }

    fn passing(&self, why: &str) -> Trouble {
        Trouble { is_passing: true, error: Error::new(Kind::Unavailable, format!("{} {why}", self.label)) }
    }

    fn too_much(&self, why: &str) -> Trouble {
        let what = format!("an answer of {} {why}", self.label);
        lasting(Error::new(Kind::Limit, what).with_hint("import fewer fields, or smaller pages"))
    }
}

fn lasting(error: Error) -> Trouble {
    Trouble { is_passing: false, error }
}

/// What to request.
pub(crate) enum Target<'a> {
    /// A request of the manifest.
    Request(&'a Request),
    /// A URL that an answer gave.
    Link(&'a str),
}

/// An answer that could not be read: why, for people.
pub(crate) struct Unreadable(pub(crate) String);

/// All requests of one connection: limits, tokens, repetition, outcomes.
pub(crate) struct Client {
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) guard: Guard,
    pub(crate) limits: Arc<Limits>,
    tokens: Result<Arc<dyn Tokens>, String>,
    transport: Transport,
    patience: Patience,
    /// The source's clock, as the newest answer told it.
    clock: AtomicI64,
    /// Calls of the day so far, and allowed.
    quota: Mutex<Option<(u64, u64)>>,
    /// Until when the source last made us wait.
    waits_until: AtomicI64,
    /// What the login still needs.
    incomplete: Option<Error>,
}

impl Client {
    pub(crate) fn new(
        manifest: Arc<Manifest>,
        guard: Guard,
        transport: Transport,
        limits: Arc<Limits>,
        tokens: Result<Arc<dyn Tokens>>,
        patience: Patience,
    ) -> Self {
        let (tokens, incomplete) = match tokens {
            Ok(tokens) => (Ok(tokens), None),
            Err(error) => (Err(error.to_string()), Some(error)),
        };
        Client {
            manifest,
            guard,
            limits,
            tokens,
            transport,
            patience,
            clock: AtomicI64::new(0),
            quota: Mutex::default(),
            waits_until: AtomicI64::new(0),
            incomplete,
        }
    }

    /// How patient this connection is.
    pub(crate) fn patience(&self) -> Patience {
        self.patience
    }

    /// The source's clock at the newest answer; `None` before the first one.
    pub(crate) fn clock(&self) -> Option<Micros> {
        Some(self.clock.load(Ordering::Relaxed)).filter(|at| *at != 0)
    }

    /// Calls of the day so far and allowed, as the source last told.
    pub(crate) fn quota(&self) -> Option<(u64, u64)> {
        *self.quota.lock()
    }

    /// Until when the source makes us wait, while it does.
    pub(crate) fn waits_until(&self) -> Option<Micros> {
        Some(self.waits_until.load(Ordering::Relaxed)).filter(|until| *until > now_micros())
    }

    /// The tokens, or what they still need.
    fn tokens(&self) -> Result<&Arc<dyn Tokens>> {
        self.tokens.as_ref().map_err(|what| match &self.incomplete {
            Some(error) => {
                let again = Error::new(error.kind(), what.clone());
                let again = match error.detail() {
                    Some(detail) => again.with_detail(detail),
                    None => again,
                };
                again.with_hint(error.hint().unwrap_or_default())
            }
            None => Error::internal(what.clone()),
        })
    }

    /// The answer to a request as a JSON document; null where a rule says that there is nothing.
    pub(crate) async fn json(&self, target: Target<'_>, scope: &Scope) -> Result<Value, Refused> {
        self.counted_json(target, scope, None).await
    }

    /// [`Client::json`] for a read whose calls are counted.
    pub(crate) async fn counted_json(
        &self,
        target: Target<'_>,
        scope: &Scope,
        spent: Option<&AtomicU64>,
    ) -> Result<Value, Refused> {
        self.send(target, scope, spent, &mut |answer| {
            if answer.is_empty {
                return Ok(Value::Null);
            }
            serde_json::from_slice(&answer.body).map_err(|_| Unreadable(outcome::not_json(&answer.body)))
        })
        .await
    }

    /// Sends a request until `read` has read its answer, or nothing more can be done. `spent` counts
    /// the calls of one read, for its share of a daily quota.
    pub(crate) async fn send<T: Send>(
        &self,
        target: Target<'_>,
        scope: &Scope,
        spent: Option<&AtomicU64>,
        read: &mut (dyn FnMut(&Answer) -> Result<T, Unreadable> + Send),
    ) -> Result<T, Refused> {
        let tokens = self.tokens()?;
        let mut token = tokens.current().await?;
        let (mut attempts, mut unreadable, mut refusals, mut renewed) = (0, 0, 0, false);
        loop {
            self.within_quota(spent)?;
            let call = self.call(&target, scope, &token)?;
            let path = call.url.path().to_string();
            let permit = self.limits.acquire(&path).await?;
            if let Some(spent) = spent {
                spent.fetch_add(1, Ordering::Relaxed);
            }
            let answer = self.transport.once(call).await;
            drop(permit);
            let mut answer = match answer {
                Ok(answer) => answer,
                Err(trouble) if trouble.is_passing && attempts + 1 < ATTEMPTS => {
                    self.pause(attempts).await;
                    attempts += 1;
                    continue;
                }
                Err(trouble) => return Err(trouble.error.into()),
            };
            self.note(&answer);
            let verdict = outcome::judge(&self.manifest, &answer);
            let Some(Verdict { outcome, wait, .. }) = &verdict else {
                match read(&answer) {
                    Ok(value) => return Ok(value),
                    Err(_) if unreadable + 1 < UNREADABLE => {
                        self.pause(0).await;
                        unreadable += 1;
                        continue;
                    }
                    Err(why) => return Err(self.unreadable(&path, &why).into()),
                }
            };
            match outcome {
                Outcome::Refresh if !renewed => {
                    renewed = true;
                    token = tokens.renew(&token).await?;
                }
                Outcome::Empty => {
                    answer.is_empty = true;
                    return read(&answer).map_err(|why| self.unreadable(&path, &why).into());
                }
                Outcome::Wait if refusals < REFUSALS => {
                    refusals += 1;
                    self.wait(&answer, *wait).await;
                }
                Outcome::Retry if attempts + 1 < ATTEMPTS => {
                    match self.told(&answer).or(*wait) {
                        Some(wait) => self.sleep(wait).await,
                        None => self.pause(attempts).await,
                    }
                    attempts += 1;
                }
                _ => return Err(outcome::refused(&self.manifest, &answer, verdict, &path)),
            }
        }
    }

    fn call(&self, target: &Target<'_>, scope: &Scope, token: &Arc<AccessToken>) -> Result<Call> {
        let http = &self.manifest.http;
        let scope = scope.clone().with_token(token.clone());
        let mut call = match target {
            Target::Request(request) => Call::new(http, &self.guard, request, &scope)?,
            Target::Link(link) => Call::link(http, &self.guard, link, &scope)?,
        };
        let own = self.manifest.auth.iter().find_map(|auth| match auth {
            Auth::Header(header) if token.scheme.is_empty() => Some(header.name.clone()),
            _ => None,
        });
        let signed = match own {
            Some(name) => (name, token.secret.to_string()),
            None => (AUTHORIZATION.to_string(), format!("{} {}", token.scheme, &*token.secret)),
        };
        call.headers.push(signed);
        Ok(call)
    }

    fn note(&self, answer: &Answer) {
        if let Some(at) = answer.header("date").and_then(http_date) {
            self.clock.store(at, Ordering::Relaxed);
        }
        let Some(Quota { header, name, .. }) = &self.manifest.http.quota else { return };
        if let Some(numbers) = answer.header(header).and_then(|text| used_of(text, name)) {
            *self.quota.lock() = Some(numbers);
        }
    }

    /// Refuses to go on when the daily quota, or this run's share of it, is used up.
    fn within_quota(&self, spent: Option<&AtomicU64>) -> Result<()> {
        let (Some(quota), Some((used, allowed))) = (&self.manifest.http.quota, self.quota()) else {
            return Ok(());
        };
        let label = &self.manifest.label;
        let stop = |what: String| {
            Err(Error::new(Kind::Limit, what)
                .with_sqlstate(outcome::QUOTA)
                .with_detail(format!("{used} of {allowed} calls of the day are used"))
                .with_hint("sync tomorrow, fewer objects, or ask the vendor for a larger limit"))
        };
        if used >= quota.share_of_day(allowed) {
            return stop(format!("{}% of the daily API calls of {label} are used up", quota.day));
        }
        match spent.map(|spent| spent.load(Ordering::Relaxed)) {
            Some(spent) if spent >= quota.share_of_run(allowed).max(1) => {
                stop(format!("this run has used {}% of the daily API calls of {label}", quota.run))
            }
            _ => Ok(()),
        }
    }

    /// How long the answer tells to wait.
    fn told(&self, answer: &Answer) -> Option<Duration> {
        if let Some(text) = answer.header("retry-after") {
            if let Ok(seconds) = text.trim().parse::<u64>() {
                return Some(Duration::from_secs(seconds));
            }
            let now = answer.header("date").and_then(http_date).or(self.clock())?;
            return Some(Duration::from_micros(u64::try_from(http_date(text)? - now).unwrap_or(0)));
        }
        let milliseconds = answer.header(self.manifest.http.wait_header.as_deref()?)?.trim().parse().ok()?;
        Some(Duration::from_millis(milliseconds))
    }

    async fn wait(&self, answer: &Answer, least: Option<Duration>) {
        let wait = match self.told(answer) {
            Some(told) => told.max(least.unwrap_or_default()),
            None => least.unwrap_or_else(|| self.patience.unit.mul_f64(rand::random_range(1.0..10.0))),
        };
        self.sleep(wait).await;
    }

    /// Sleeps as the source told, at most an hour.
    async fn sleep(&self, wait: Duration) {
        let wait = wait.min(LONGEST_WAIT);
        tracing::debug!(source.name = %self.manifest.name.value, wait_ms = wait.as_millis() as u64, "waiting as told");
        let until = now_micros().saturating_add(wait.as_micros() as i64);
        self.waits_until.fetch_max(until, Ordering::Relaxed);
        tokio::time::sleep(wait).await;
    }

    /// Waits before the next attempt: 10, 30, 90, 270 units, a fifth more or less.
    async fn pause(&self, attempt: u32) {
        let wait = self.patience.unit * 10 * 3_u32.pow(attempt.min(3));
        tokio::time::sleep(wait.mul_f64(rand::random_range(0.8..1.2))).await;
    }

    fn unreadable(&self, path: &str, why: &Unreadable) -> Error {
        let what = format!("the answer of {} to `{path}` cannot be read: {}", self.manifest.label, why.0);
        Error::new(Kind::Data, what).with_hint("nothing was changed; try again later, or tell the vendor")
    }
}

/// The numbers of `name=used/allowed`, whatever else the text holds.
fn used_of(text: &str, name: &str) -> Option<(u64, u64)> {
    let (_, rest) = text.split_once(name)?;
    let (used, rest) = rest.split_once('/')?;
    let allowed: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((used.trim().parse().ok()?, allowed.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_are_read_leniently() {
        assert_eq!(used_of("api-usage=10018/100000", "api-usage="), Some((10018, 100_000)));
        assert_eq!(used_of("api-usage=5/100; api-bursts=1/750", "api-usage="), Some((5, 100)));
        assert_eq!(used_of("per-app-api-usage=17/250(appName=x)", "api-usage="), Some((17, 250)));
        assert_eq!(used_of("nothing", "api-usage="), None);
    }
}
