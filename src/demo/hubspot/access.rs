//! Who calls, what they may read, and whether their budget allows it.

use super::HubSpot;
use super::error::{self, correlation};
use super::limit::Left;
use crate::demo::clock::iso_millis;
use crate::demo::http::{Answer, Reply, Request};
use serde_json::json;

/// Longest path and query that is answered, in bytes: what connectors observed.
pub(super) const MAX_URI: usize = 16_300;

const DAY: i64 = 86_400_000;

/// A login that was accepted.
#[derive(Debug, Clone)]
pub(super) struct Login {
    pub(super) portal: usize,
    pub(super) scopes: Vec<String>,
    /// By OAuth, not by a private app's token.
    pub(super) is_oauth: bool,
}

impl Login {
    pub(super) fn has_any(&self, any_of: &[&str]) -> bool {
        any_of.is_empty() || any_of.iter().any(|wanted| self.scopes.iter().any(|scope| scope == wanted))
    }

    /// Whether sensitive properties of an object may be read.
    pub(super) fn sees_sensitive(&self, object: &str) -> bool {
        self.has_any(&[&format!("crm.objects.{object}.sensitive.read.v2")])
    }
}

/// Answers a call of the data API: token, budget, then `answer`. Every answer carries the budget's headers, except
/// those of the search.
pub(super) fn guarded(
    vendor: &HubSpot,
    request: &Request,
    is_search: bool,
    answer: impl FnOnce(&Login) -> Reply,
) -> Reply {
    let login = log_in(vendor, request)?;
    let day = vendor.clock.millis().div_euclid(DAY);
    let limits = vendor.options.limits;
    let left =
        vendor.meter.lock().take(login.portal, is_search, day, &limits).map_err(error::rate_limited)?;
    let headed = |answer: Answer| match is_search {
        true => answer,
        false => with_budget(vendor, answer, left, &login),
    };
    answer(&login).map(headed).map_err(headed)
}

/// Refuses a login that has none of the scopes.
pub(super) fn require(login: &Login, any_of: &[&str]) -> Result<(), Answer> {
    match login.has_any(any_of) {
        true => Ok(()),
        false => Err(error::missing_scopes(any_of)),
    }
}

fn with_budget(vendor: &HubSpot, answer: Answer, left: Left, login: &Login) -> Answer {
    let mut answer = answer;
    if let (Some(limit), Some(left)) = (vendor.options.limits.ten_seconds, left.ten_seconds) {
        answer = answer
            .with("x-hubspot-ratelimit-max", limit.to_string())
            .with("x-hubspot-ratelimit-remaining", left.to_string())
            .with("x-hubspot-ratelimit-interval-milliseconds", "10000");
    }
    if let (Some(limit), Some(left), false) = (vendor.options.limits.day, left.day, login.is_oauth) {
        answer = answer
            .with("x-hubspot-ratelimit-daily", limit.to_string())
            .with("x-hubspot-ratelimit-daily-remaining", left.to_string());
    }
    answer
}

fn log_in(vendor: &HubSpot, request: &Request) -> Result<Login, Answer> {
    let Some(token) = request.bearer() else {
        return Err(error::envelope(
            401,
            "INVALID_AUTHENTICATION",
            "Authentication credentials not found. This API supports OAuth 2.0 authentication and you can find more details at https://developers.hubspot.com/docs/methods/auth/oauth-overview",
        ));
    };
    if token.len() < 10 || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        // The edge cannot tell which region such a token belongs to.
        return Err(Answer::html(530, "<html><body><h1>Error 1016: Origin DNS error</h1></body></html>"));
    }
    let now = vendor.clock.millis();
    let grants = vendor.grants.lock();
    match grants.look_up(token) {
        Some(access) if access.expires.is_none_or(|at| at > now) => Ok(access.login.clone()),
        Some(access) => Err(expired(now, access.expires.unwrap_or_default())),
        // A private app's token that is not recognised is said to have expired in 1970.
        None if token.starts_with("pat-") => Err(expired(now, 0)),
        None => {
            Err(error::envelope(401, "INVALID_AUTHENTICATION", "The access token is invalid or was revoked."))
        }
    }
}

fn expired(now: i64, at: i64) -> Answer {
    let seconds = (now - at).div_euclid(1_000);
    let ago = if seconds < DAY / 1_000 {
        format!("{seconds} second(s)")
    } else {
        format!("{} day(s)", seconds / 86_400)
    };
    Answer::json(
        401,
        &json!({
            "status": "error",
            "message": format!("The OAuth token used to make this call expired {ago} ago."),
            "correlationId": correlation(),
            "category": "EXPIRED_AUTHENTICATION",
            "context": { "expire time": [iso_millis(at)] },
        }),
    )
}
