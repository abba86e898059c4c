//! HubSpot, simulated: CRM objects, search, associations, owners, pipelines and OAuth v3.
//!
//! Facts come from HubSpot's published API reference and usage guidelines; what production connectors found out is
//! built in too: the search index lags, merged records vanish, unknown properties are ignored in silence.

mod access;
mod associations;
mod batch;
mod condition;
mod control;
mod data;
mod discovery;
mod error;
mod limit;
mod list;
mod oauth;
mod route;
mod schema;
mod search;
mod store;

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
pub use limit::Limits;
use oauth::Grants;
use store::Store;

/// Client id of the app that is registered without being asked.
pub const CLIENT_ID: &str = "d3m0c11e-0000-4000-8000-hubspot00001";
/// Its secret.
pub const CLIENT_SECRET: &str = "demo-hubspot-client-secret";
/// The token of the private app of the first portal.
pub const PRIVATE_TOKEN: &str = "pat-eu1-d3m00000-0000-4000-8000-000000000001";

/// What to simulate.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen; port 0 chooses a free one.
    pub address: SocketAddr,
    /// Determines the data.
    pub seed: u64,
    /// How much data.
    pub size: Size,
    /// Apps that may ask for grants.
    pub apps: Vec<RegisteredApp>,
    /// Budgets of calls.
    pub limits: Limits,
    /// How long a change stays invisible to the search.
    pub index_lag: Duration,
    /// How long an access token lives.
    pub token_life: Duration,
    /// Whether a refresh replaces the refresh token. HubSpot may, but did not for years.
    pub rotates: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            seed: 1,
            size: Size::default(),
            apps: vec![RegisteredApp {
                client_id: CLIENT_ID.into(),
                client_secret: CLIENT_SECRET.into(),
                redirect_uris: Vec::new(),
            }],
            limits: Limits::default(),
            index_lag: Duration::ZERO,
            token_life: Duration::from_secs(1_800),
            rotates: false,
        }
    }
}

/// A simulated HubSpot that runs until this is dropped.
#[derive(Debug)]
pub struct Running {
    /// Where both the API and the authorization page are, for example `http://127.0.0.1:40123`.
    pub base_url: String,
    /// The other side of the simulation.
    pub control: Control,
    _stop: DropGuard,
}

/// Starts a HubSpot with two portals. The second one has other data, for logins as somebody else.
pub async fn start(options: Options) -> Result<Running> {
    let (listener, base_url) = door::bind(options.address).await?;
    let vendor = Arc::new(HubSpot::new(options, base_url.clone()));
    let stop = CancellationToken::new();
    tokio::spawn(door::open(vendor.clone(), "api", listener, stop.clone()));
    Ok(Running { base_url, control: Control::new(vendor, 0), _stop: stop.drop_guard() })
}

/// An account of a customer.
#[derive(Debug)]
struct Portal {
    id: u64,
    domain: String,
    user: String,
    user_id: u64,
    store: Mutex<Store>,
}

#[derive(Debug)]
struct HubSpot {
    options: Options,
    base_url: String,
    clock: Clock,
    traffic: Traffic,
    portals: Vec<Portal>,
    grants: Mutex<Grants>,
    meter: Mutex<limit::Meter>,
}

impl HubSpot {
    fn new(options: Options, base_url: String) -> Self {
        let clock = Clock::default();
        let small = Size { people: 4, accounts: 5, contacts: 6, deals: 12 };
        let portal = |number: u64, size: Size| {
            let company = Company::new(options.seed + number, size);
            Portal {
                id: 62_515 + number * 1_000_003,
                domain: format!("portal{}.example", number + 1),
                user: format!("admin@portal{}.example", number + 1),
                user_id: 12_282_590 + number,
                store: Mutex::new(data::fill(&company)),
            }
        };
        let portals = vec![portal(0, options.size), portal(1, small)];
        let grants = Mutex::new(Grants::new(options.apps.clone()));
        HubSpot {
            options,
            base_url,
            clock,
            traffic: Traffic::default(),
            portals,
            grants,
            meter: Mutex::default(),
        }
    }

    /// Index lag in milliseconds.
    fn lag(&self) -> i64 {
        i64::try_from(self.options.index_lag.as_millis()).unwrap_or(i64::MAX / 4)
    }
}

impl Vendor for HubSpot {
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
            return (
                endpoint,
                Answer::html(414, "<html><body><h1>414 Request-URI Too Large</h1></body></html>"),
            );
        }
        (endpoint, handler(self, request).unwrap_or_else(|refused| refused))
    }

    fn failure(&self, status: u16) -> Answer {
        error::envelope(status, "INTERNAL_ERROR", "internal error")
    }

    fn rate_limited(&self, retry_after: Option<u64>, daily: bool) -> Answer {
        let policy = if daily { error::Policy::Daily } else { error::Policy::TenSecondly };
        let answer = error::rate_limited(policy);
        match retry_after {
            Some(seconds) => answer.with("retry-after", seconds.to_string()),
            None => answer,
        }
    }
}
