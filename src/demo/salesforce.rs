//! Salesforce, simulated: describe, SOQL over REST and Bulk API 2.0, getUpdated and getDeleted, OAuth.
//!
//! Facts come from Salesforce's REST, Bulk API 2.0 and SOAP API guides and its limits cheat sheet. As in reality
//! there are two hosts: one to log in at, and the instance that has the data, named by `instance_url`.

mod access;
mod bulk;
mod control;
mod data;
mod discovery;
mod error;
mod evaluate;
mod id;
mod jwt;
mod oauth;
mod objects;
mod plan;
mod query;
mod replication;
mod route;
mod schema;
mod soql;
mod store;
mod value;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::clock::Clock;
use super::company::{Company, Size};
pub use super::consent::RegisteredApp;
use super::door::{self, Vendor};
use super::http::{Answer, Request};
use super::traffic::Traffic;
use crate::error::Result;
pub use control::{Control, Live};
pub use jwt::Signer;
use oauth::Grants;
use store::Store;
pub use value::Cell;

/// Consumer key of the connected app that exists without being asked.
pub const CLIENT_ID: &str = "3MVG9demoConsumerKeyOfTheSimulatedSalesforce";
/// Its consumer secret.
pub const CLIENT_SECRET: &str = "demo-salesforce-consumer-secret";

/// The name of the login host in requests.
const LOGIN: &str = "login";
/// The name of the instance, which answers for My Domain too.
const INSTANCE: &str = "instance";

/// What to simulate.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the instance listens; port 0 chooses a free one.
    pub address: SocketAddr,
    /// Where the login host listens.
    pub login_address: SocketAddr,
    /// Determines the data.
    pub seed: u64,
    /// How much data.
    pub size: Size,
    /// Connected apps.
    pub apps: Vec<RegisteredApp>,
    /// Apps that may log in by a signed statement.
    pub signers: Vec<Signer>,
    /// Calls in 24 hours.
    pub daily_calls: u64,
    /// How long a session lives without being used.
    pub session: Duration,
    /// Whether the app rotates refresh tokens.
    pub rotates: bool,
    /// Rows of a page of a REST query.
    pub page_rows: usize,
    /// Characters of a page of a REST query, after which it ends early.
    pub page_characters: usize,
    /// How often a bulk job is asked for before it is complete.
    pub bulk_polls: u32,
    /// Rows of a query, or of a count, beyond which it takes too long.
    pub query_rows: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            login_address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            seed: 1,
            size: Size::default(),
            apps: vec![RegisteredApp {
                client_id: CLIENT_ID.into(),
                client_secret: CLIENT_SECRET.into(),
                redirect_uris: Vec::new(),
            }],
            signers: Vec::new(),
            daily_calls: 100_000,
            session: Duration::from_secs(7_200),
            rotates: false,
            page_rows: 2_000,
            page_characters: 4 << 20,
            bulk_polls: 2,
            query_rows: usize::MAX,
        }
    }
}

/// A simulated Salesforce that runs until this is dropped.
#[derive(Debug)]
pub struct Running {
    /// The instance, as `instance_url` names it.
    pub base_url: String,
    /// Where people log in and tokens are made.
    pub login_url: String,
    /// The other side of the simulation.
    pub control: Control,
    _stop: DropGuard,
}

/// Starts a Salesforce with two organisations. The second one has other data, for logins as somebody else.
pub async fn start(options: Options) -> Result<Running> {
    let (instance, base_url) = door::bind(options.address).await?;
    let (login, login_url) = door::bind(options.login_address).await?;
    let vendor = Arc::new(Salesforce::new(options, base_url.clone(), login_url.clone()));
    let stop = CancellationToken::new();
    tokio::spawn(door::open(vendor.clone(), INSTANCE, instance, stop.clone()));
    tokio::spawn(door::open(vendor.clone(), LOGIN, login, stop.clone()));
    let control = Control::new(vendor, 0);
    Ok(Running { base_url, login_url, control, _stop: stop.drop_guard() })
}

/// An organisation.
#[derive(Debug)]
struct Org {
    id: String,
    user: String,
    user_id: String,
    store: Mutex<Store>,
}

#[derive(Debug)]
struct Salesforce {
    options: Options,
    base_url: String,
    login_url: String,
    clock: Clock,
    traffic: Traffic,
    orgs: Vec<Org>,
    grants: Mutex<Grants>,
    cursors: Mutex<query::Cursors>,
    jobs: Mutex<bulk::Jobs>,
    meter: Mutex<access::Meter>,
}

impl Salesforce {
    fn new(options: Options, base_url: String, login_url: String) -> Self {
        let small = Size { people: 4, accounts: 5, contacts: 6, deals: 12 };
        let org = |number: u64, size: Size| {
            let id = id::make("00D", 1 + number);
            let company = Company::new(options.seed + number, size);
            Org {
                user: format!("admin@org{}.example", number + 1),
                user_id: id::make("005", 1),
                store: Mutex::new(data::fill(&company, &id)),
                id,
            }
        };
        let orgs = vec![org(0, options.size), org(1, small)];
        Salesforce {
            grants: Mutex::new(Grants::new(options.apps.clone())),
            options,
            base_url,
            login_url,
            clock: Clock::default(),
            traffic: Traffic::default(),
            orgs,
            cursors: Mutex::default(),
            jobs: Mutex::default(),
            meter: Mutex::default(),
        }
    }
}

impl Vendor for Salesforce {
    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    fn endpoint(&self, request: &Request) -> &'static str {
        route::route(request).0
    }

    fn answer(&self, request: &Request) -> (&'static str, Answer) {
        let (endpoint, handler) = route::route(request);
        if request.uri_bytes > access::MAX_URI {
            return (endpoint, Answer::html(414, "<html><body><h1>414 URI Too Long</h1></body></html>"));
        }
        if request.uri_bytes + access::header_bytes(request) > access::MAX_URI {
            return (
                endpoint,
                Answer::html(431, "<html><body><h1>431 Request Header Fields Too Large</h1></body></html>"),
            );
        }
        (endpoint, handler(self, request).unwrap_or_else(|refused| refused))
    }

    fn failure(&self, status: u16) -> Answer {
        let code = match status {
            401 => "INVALID_SESSION_ID",
            503 => "SERVER_UNAVAILABLE",
            _ => "UNKNOWN_EXCEPTION",
        };
        error::data(
            status,
            code,
            "An unexpected error occurred. Please include this ErrorId if you contact support",
        )
    }

    fn rate_limited(&self, retry_after: Option<u64>, daily: bool) -> Answer {
        // Salesforce says 403 and tells no time to wait; a time is added where the test plans one.
        let message = if daily {
            "TotalRequests Limit exceeded."
        } else {
            "ConcurrentRequests (Concurrent API Requests) Limit exceeded."
        };
        let answer = error::data(403, "REQUEST_LIMIT_EXCEEDED", message);
        match retry_after {
            Some(seconds) => answer.with("retry-after", seconds.to_string()),
            None => answer,
        }
    }
}
