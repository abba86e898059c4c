//! Login, requests, limits, and what answers mean.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::Entries;
use crate::catalog::body::Body;
use crate::catalog::template::Template;
use crate::catalog::text::{Name, Pointer, Span};

/// A request. Exactly one of `get`, `post` and `delete` says the URL; one without a host is relative to `http.base`.
/// Values are percent-encoded in URLs, in queries and in forms.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// URL of a GET.
    pub get: Option<Spanned<Template>>,
    /// URL of a POST.
    pub post: Option<Spanned<Template>>,
    /// URL of a DELETE.
    pub delete: Option<Spanned<Template>>,
    /// Query parameters; one whose placeholder has no value is left out.
    #[serde(default)]
    pub query: Entries<Template>,
    /// Headers beside those of `http.headers`.
    #[serde(default)]
    pub headers: Entries<Template>,
    /// JSON body.
    pub body: Option<Body>,
    /// Form body (`application/x-www-form-urlencoded`).
    #[serde(default)]
    pub form: Entries<Template>,
}

/// Who is logged in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Whoami {
    /// The request.
    pub request: Request,
    /// The user as people know it.
    pub user: Option<Pointer>,
    /// The id of the account. Another account after a reconnect means other data.
    pub account: Option<Pointer>,
}

/// How to talk to the API.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Scheme and host of every request with a relative URL.
    pub base: Template,
    /// Headers of every request.
    #[serde(default)]
    pub headers: Entries<Template>,
    /// How many calls may be made in what time. Every limit that fits a request holds.
    #[serde(default)]
    pub limits: Vec<Limit>,
    /// Requests under way at the same time; 4 by default.
    #[serde(default = "four")]
    pub concurrency: usize,
    /// A budget of calls per day that the API reports in a header.
    pub quota: Option<Quota>,
    /// A response header with the milliseconds to wait after a refusal that has no `Retry-After`.
    pub wait_header: Option<String>,
    /// Where error answers have their text for people; the first that is there is quoted.
    #[serde(default)]
    pub message: Vec<Pointer>,
}

fn four() -> usize {
    4
}

/// A limit of calls in a moving window of time.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// How many calls.
    pub calls: u32,
    /// In what time.
    pub per: Span,
    /// Only for requests whose path contains this.
    pub path: Option<String>,
}

/// A daily budget of calls that others share. A connection stops before it has used it up.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// The header; the first `used/allowed` after `name=` in it counts.
    pub header: String,
    /// What precedes the numbers, for example `api-usage=`.
    pub name: String,
    /// Percent of the whole budget after which no further call is made; 80 by default.
    #[serde(default = "eighty")]
    pub day: u8,
    /// Percent of the whole budget that one sync of one object may use; 25 by default.
    #[serde(default = "twenty_five")]
    pub run: u8,
}

impl Quota {
    /// Of `allowed` calls, those that may be made before no further one is.
    pub fn share_of_day(&self, allowed: u64) -> u64 {
        allowed.saturating_mul(u64::from(self.day)) / 100
    }

    /// Of `allowed` calls, those that one sync of one object may make.
    pub fn share_of_run(&self, allowed: u64) -> u64 {
        allowed.saturating_mul(u64::from(self.run)) / 100
    }
}

fn eighty() -> u8 {
    80
}

fn twenty_five() -> u8 {
    25
}

/// What an answer means that is no success.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorRule {
    /// HTTP statuses.
    pub status: Vec<u16>,
    /// Where the body must have one of `is`.
    pub at: Option<Pointer>,
    /// The texts that may stand there. Without it, that something stands there is enough.
    #[serde(default)]
    pub is: Vec<String>,
    /// A text that the body must contain.
    pub contains: Option<String>,
    /// What to do.
    pub then: Outcome,
    /// How long to wait before trying again, at least.
    pub wait: Option<Span>,
    /// What a person can do about it.
    pub hint: Option<String>,
    /// Values of the body that the error quotes, for example the scopes that are missing.
    pub show: Option<Pointer>,
}

/// What to do about an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Try again, waiting longer each time; give up after five attempts.
    Retry,
    /// Too many calls: wait as told, then go on. Waiting does not count as an attempt.
    Wait,
    /// The budget of the day is used up: end the run; the next one goes on.
    Quota,
    /// Get another token, once, and repeat the request.
    Refresh,
    /// The login is over; a person must log in again.
    Reconnect,
    /// This login may not read that.
    NoAccess,
    /// There is no such object (any more).
    NoObject,
    /// A field is gone, renamed or hidden from this login.
    NoField,
    /// There are no records; what follows is read as an empty page.
    Empty,
    /// The bulk API does not know this object: it is read page by page.
    NoBulk,
    /// It is too much for one request: a diff asks for half the time, and again; anything else fails.
    TooBroad,
    /// The run fails and quotes the answer.
    Fail,
}

/// A way to log in.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// A person logs in at the vendor, who sends them back with a code (authorization code grant).
    Oauth2(Oauth2),
    /// The application logs in as itself (client credentials grant).
    ClientCredentials(ClientCredentials),
    /// The application signs a statement that it acts for a user (JWT bearer grant, RS256).
    JwtBearer(JwtBearer),
    /// A request of the vendor's own that trades secrets for a token.
    Exchange(Box<Exchange>),
    /// User and password in every request.
    Basic(Basic),
    /// A fixed token in every request.
    Bearer(Bearer),
    /// A header of the vendor's own in every request.
    Header(Header),
}

/// Authorization code grant. The client's id and secret are the secrets `client_id` and `client_secret`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Oauth2 {
    /// Where the person logs in.
    pub authorize: Template,
    /// Where the code is traded for tokens, and tokens are refreshed.
    pub token: Template,
    /// Where the refresh token is revoked at disconnect.
    pub revoke: Option<Template>,
    /// Scopes that must be granted.
    pub scopes: Vec<String>,
    /// Scopes that are asked for where the account has them, in the parameter `optional_scope`.
    #[serde(default)]
    pub optional_scopes: Vec<String>,
    /// Further parameters of the authorize URL.
    #[serde(default)]
    pub params: Entries<Template>,
    /// Whether the exchange is bound to its beginning by PKCE (S256); true by default.
    #[serde(default = "yes")]
    pub pkce: bool,
    /// What precedes the token in the `Authorization` header; `Bearer` by default.
    #[serde(default = "bearer")]
    pub scheme: String,
    /// Values of the token answer that requests need; `{token.<name>}` is the value.
    #[serde(default)]
    pub keep: BTreeMap<Name, Pointer>,
    /// How long a token is used whose answer does not tell how long it lives.
    pub lives: Option<Span>,
}

fn yes() -> bool {
    true
}

fn bearer() -> String {
    "Bearer".into()
}

/// Client credentials grant.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientCredentials {
    /// The secrets to ask for, with what people call them.
    pub ask: Entries<String>,
    /// Where the token is fetched.
    pub token: Template,
    /// Id of the client.
    pub client_id: Template,
    /// Secret of the client.
    pub client_secret: Template,
    /// Scopes to ask for.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Further form parameters.
    #[serde(default)]
    pub params: Entries<Template>,
    /// What precedes the token in the `Authorization` header; `Bearer` by default.
    #[serde(default = "bearer")]
    pub scheme: String,
    /// Values of the token answer that requests need.
    #[serde(default)]
    pub keep: BTreeMap<Name, Pointer>,
}

/// JWT bearer grant (RFC 7523), signed with RS256.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwtBearer {
    /// The secrets to ask for, with what people call them.
    pub ask: Entries<String>,
    /// Where the token is fetched.
    pub token: Template,
    /// `iss`: who signs.
    pub issuer: Template,
    /// `sub`: for whom.
    pub subject: Template,
    /// `aud`: for what server.
    pub audience: Template,
    /// The private key, PKCS#8 in PEM.
    pub key: Template,
    /// How long a statement is valid; 3 minutes by default.
    pub valid: Option<Span>,
    /// What precedes the token in the `Authorization` header; `Bearer` by default.
    #[serde(default = "bearer")]
    pub scheme: String,
    /// Values of the token answer that requests need.
    #[serde(default)]
    pub keep: BTreeMap<Name, Pointer>,
}

/// A token that a request of the vendor's own gives.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// The secrets to ask for, with what people call them.
    pub ask: Entries<String>,
    /// The request.
    pub request: Request,
    /// Where its answer has the token.
    pub token: Pointer,
    /// Where its answer tells the seconds that the token lives.
    pub expires_in: Option<Pointer>,
    /// What precedes the token in the `Authorization` header; `Bearer` by default.
    #[serde(default = "bearer")]
    pub scheme: String,
    /// Values of the answer that requests need.
    #[serde(default)]
    pub keep: BTreeMap<Name, Pointer>,
}

/// HTTP basic authentication.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Basic {
    /// The secrets to ask for, with what people call them.
    pub ask: Entries<String>,
    /// The user.
    pub user: Template,
    /// The password.
    pub password: Template,
}

/// A fixed token.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bearer {
    /// The secrets to ask for, with what people call them.
    pub ask: Entries<String>,
    /// The token.
    pub token: Template,
    /// What precedes the token in the `Authorization` header; `Bearer` by default.
    #[serde(default = "bearer")]
    pub scheme: String,
}

/// A token in a header of the vendor's own.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The secrets to ask for, with what people call them.
    pub ask: Entries<String>,
    /// The name of the header.
    pub name: String,
    /// Its value.
    pub value: Template,
}

impl Auth {
    /// The word for it in the manifest.
    pub fn word(&self) -> &'static str {
        match self {
            Auth::Oauth2(_) => "oauth2",
            Auth::ClientCredentials(_) => "client_credentials",
            Auth::JwtBearer(_) => "jwt_bearer",
            Auth::Exchange(_) => "exchange",
            Auth::Basic(_) => "basic",
            Auth::Bearer(_) => "bearer",
            Auth::Header(_) => "header",
        }
    }

    /// The secrets that it asks for, with what people call them.
    pub fn asks(&self) -> Vec<(&str, &str)> {
        match self {
            Auth::Oauth2(_) => vec![("client_id", "Client id"), ("client_secret", "Client secret")],
            Auth::ClientCredentials(ClientCredentials { ask, .. })
            | Auth::JwtBearer(JwtBearer { ask, .. })
            | Auth::Basic(Basic { ask, .. })
            | Auth::Bearer(Bearer { ask, .. })
            | Auth::Header(Header { ask, .. }) => {
                ask.iter().map(|(name, label)| (name, label.as_str())).collect()
            }
            Auth::Exchange(exchange) => {
                exchange.ask.iter().map(|(name, label)| (name, label.as_str())).collect()
            }
        }
    }
}
