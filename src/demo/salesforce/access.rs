//! Who calls, and whether the organisation has calls left.

use std::collections::BTreeMap;

use super::error::{data, invalid_session};
use super::{INSTANCE, Salesforce};
use crate::demo::http::{Answer, Reply, Request};

/// Longest URI with headers that is answered, in bytes.
pub(super) const MAX_URI: usize = 16_384;

const HOUR: i64 = 3_600_000;

/// Calls of each hour and organisation.
#[derive(Debug, Default)]
pub(super) struct Meter(BTreeMap<(usize, i64), u64>);

impl Meter {
    /// Calls of an organisation in the last 24 hours.
    pub(super) fn used(&self, org: usize, now: i64) -> u64 {
        let hour = now.div_euclid(HOUR);
        self.0.range((org, hour - 23)..=(org, hour)).map(|(_, calls)| calls).sum()
    }

    /// Adds calls.
    pub(super) fn add(&mut self, org: usize, now: i64, calls: u64) {
        *self.0.entry((org, now.div_euclid(HOUR))).or_default() += calls;
    }
}

/// A session that was accepted.
#[derive(Debug, Clone)]
pub(super) struct Login {
    pub(super) org: usize,
    pub(super) scopes: Vec<String>,
}

impl Login {
    pub(super) fn has(&self, scope: &str) -> bool {
        self.scopes.iter().any(|granted| granted == scope || granted == "full")
    }
}

/// Bytes of all headers of a request.
pub(super) fn header_bytes(request: &Request) -> usize {
    request.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

/// Answers a call of the data API: instance, session, calls left, then `answer`.
pub(super) fn guarded(vendor: &Salesforce, request: &Request, answer: impl FnOnce(&Login) -> Reply) -> Reply {
    // The login host has no data; a session of another instance looks like an expired one.
    if request.host != INSTANCE {
        return Err(invalid_session());
    }
    let login = log_in(vendor, request)?;
    if !login.has("api") {
        return Err(data(403, "API_DISABLED_FOR_ORG", "This session is not valid for use with the API"));
    }
    let now = vendor.clock.millis();
    let limit = vendor.options.daily_calls;
    let used = {
        let mut meter = vendor.meter.lock();
        if meter.used(login.org, now) >= limit {
            return Err(data(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."));
        }
        meter.add(login.org, now, 1);
        meter.used(login.org, now)
    };
    vendor.orgs[login.org].store.lock().catch_up(now);
    let told = format!("api-usage={used}/{limit}; api-bursts=1/750");
    let told = |answer: Answer| answer.with("sforce-limit-info", told.clone());
    answer(&login).map(&told).map_err(&told)
}

/// The session of a request; using it keeps it alive.
pub(super) fn log_in(vendor: &Salesforce, request: &Request) -> Result<Login, Answer> {
    let token = request.bearer().ok_or_else(invalid_session)?;
    let now = vendor.clock.millis();
    let life = i64::try_from(vendor.options.session.as_millis()).unwrap_or(i64::MAX / 4);
    vendor.grants.lock().touch(token, now, now + life).ok_or_else(invalid_session)
}
