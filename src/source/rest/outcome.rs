//! What an answer means, by the rules of the manifest and, where none fits, by HTTP.

use std::time::Duration;

use super::client::Answer;
use crate::catalog::manifest::{ErrorRule, Outcome};
use crate::catalog::{Manifest, as_text};
use crate::error::{Error, Kind};

/// SQLSTATE of running out of the calls of a day (configuration_limit_exceeded).
pub(crate) const QUOTA: &str = "53400";

/// An answer that is no success.
pub(crate) struct Verdict {
    pub(crate) outcome: Outcome,
    /// How long to wait at least.
    pub(crate) wait: Option<Duration>,
    hint: Option<String>,
    show: Vec<String>,
}

/// A request that was refused for good.
#[derive(Debug)]
pub(crate) struct Refused {
    /// Why, where the source said so.
    pub(crate) outcome: Option<Outcome>,
    pub(crate) error: Error,
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Refused { outcome: None, error }
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        refused.error
    }
}

/// What to do about an answer; `None` for a success.
pub(crate) fn judge(manifest: &Manifest, answer: &Answer) -> Option<Verdict> {
    let document = || serde_json::from_slice::<serde_json::Value>(&answer.body).unwrap_or_default();
    let mut parsed = None;
    for rule in manifest.errors.iter().filter(|rule| rule.status.contains(&answer.status)) {
        let document = &*parsed.get_or_insert_with(document);
        if fits(rule, answer, document) {
            let show = rule.show.iter().flat_map(|pointer| pointer.find_all(document)).map(as_text).collect();
            return Some(Verdict {
                outcome: rule.then,
                wait: rule.wait.map(crate::catalog::Span::duration),
                hint: rule.hint.clone(),
                show,
            });
        }
    }
    let outcome = match answer.status {
        204 => Outcome::Empty,
        200..=299 => return None,
        401 => Outcome::Refresh,
        403 => Outcome::NoAccess,
        404 | 410 => Outcome::NoObject,
        429 => Outcome::Wait,
        408 | 425 | 500.. => Outcome::Retry,
        _ => Outcome::Fail,
    };
    Some(Verdict { outcome, wait: None, hint: None, show: Vec::new() })
}

fn fits(rule: &ErrorRule, answer: &Answer, document: &serde_json::Value) -> bool {
    let there = |pointer: &crate::catalog::Pointer| {
        let found = pointer.find(document).filter(|value| !value.is_null());
        found.is_some_and(|value| rule.is.is_empty() || rule.is.contains(&as_text(value)))
    };
    let contains = |part: &String| memchr_text(&answer.body, part);
    rule.at.as_ref().is_none_or(there) && rule.contains.as_ref().is_none_or(contains)
}

fn memchr_text(body: &[u8], part: &str) -> bool {
    String::from_utf8_lossy(body).contains(part)
}

/// The error of an answer after which nothing more can be done.
pub(crate) fn refused(manifest: &Manifest, answer: &Answer, verdict: Option<Verdict>, path: &str) -> Refused {
    let label = &manifest.label;
    let Some(Verdict { outcome, hint, show, .. }) = verdict else {
        return Error::internal("a success was refused").into();
    };
    let (kind, what, default_hint) = match outcome {
        Outcome::Refresh | Outcome::Reconnect => (
            Kind::Unauthenticated,
            format!("{label} refuses the login of this connection"),
            Some("connect again, or set its secret again with `CALL set_secret(...)`"),
        ),
        Outcome::NoAccess => (
            Kind::Denied,
            format!("{label} does not let this login read `{path}`"),
            Some("give the login the right to read it at the source"),
        ),
        Outcome::NoObject => (Kind::NotFound, format!("{label} has nothing at `{path}`"), None),
        Outcome::NoField => (Kind::Data, format!("{label} does not know a field that was asked for"), None),
        Outcome::Quota => (Kind::Limit, format!("the calls that {label} allows are used up"), None),
        Outcome::Wait => {
            (Kind::Unavailable, format!("{label} refuses calls for too long: too many were made"), None)
        }
        Outcome::Retry => {
            (Kind::Unavailable, format!("{label} is in trouble (HTTP {})", answer.status), None)
        }
        Outcome::NoBulk => (Kind::Unsupported, format!("{label} cannot export this in bulk"), None),
        Outcome::TooBroad => (Kind::Data, format!("the request `{path}` is too much for {label}"), None),
        Outcome::Empty | Outcome::Fail => {
            (Kind::Data, format!("{label} refuses the request `{path}` (HTTP {})", answer.status), None)
        }
    };
    let error = Error::new(kind, what);
    let error = match outcome {
        Outcome::Quota => error.with_sqlstate(QUOTA),
        _ => error,
    };
    let said = message(manifest, answer);
    let missing = (!show.is_empty()).then(|| show.join(", "));
    let detail: Vec<_> =
        said.into_iter().chain(missing.map(|missing| format!("missing: {missing}"))).collect();
    let error = if detail.is_empty() { error } else { error.with_detail(detail.join("; ")) };
    let error = match hint.as_deref().or(default_hint) {
        Some(hint) => error.with_hint(hint),
        None => error,
    };
    Refused { outcome: Some(outcome), error }
}

/// What the answer says for people, at most 300 characters.
fn message(manifest: &Manifest, answer: &Answer) -> Option<String> {
    let document: serde_json::Value = match serde_json::from_slice(&answer.body) {
        Ok(document) => document,
        Err(_) if answer.body.is_empty() => return None,
        Err(_) => return Some(format!("the answer was {}", not_json(&answer.body))),
    };
    let text = manifest.http.message.iter().find_map(|pointer| pointer.find(&document)).map(as_text)?;
    Some(text.chars().filter(|c| !c.is_control()).take(300).collect())
}

/// What an answer is that is no JSON: `not JSON (HTML, "Sign in")`.
pub(crate) fn not_json(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(4096)]);
    let text = text.trim_start();
    if text.starts_with('<') {
        let lower = text.to_ascii_lowercase();
        let title = lower.find("<title").and_then(|at| {
            let rest = &text[at..];
            rest.split_once('>')?.1.split('<').next().map(str::trim)
        });
        return match title.filter(|title| !title.is_empty()) {
            Some(title) => format!("not JSON (HTML, `{}`)", title.chars().take(80).collect::<String>()),
            None => "not JSON (HTML)".into(),
        };
    }
    match text.is_empty() {
        true => "empty".into(),
        false => "not JSON, or broken off".into(),
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderMap;

    use super::*;
    use crate::catalog::Catalog;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, headers: HeaderMap::new(), body: body.to_string().into(), is_empty: false }
    }

    fn outcome(connector: &str, status: u16, body: &str) -> Option<Outcome> {
        let manifest = Catalog::embedded().unwrap().get(connector).unwrap().clone();
        judge(&manifest, &answer(status, body)).map(|verdict| verdict.outcome)
    }

    #[test]
    fn answers_mean_what_the_vendors_say() {
        for (connector, status, body, expected) in [
            ("hubspot", 200, "{}", None),
            ("hubspot", 207, "{}", None),
            ("hubspot", 429, r#"{"policyName":"DAILY"}"#, Some(Outcome::Quota)),
            ("hubspot", 429, r#"{"policyName":"TEN_SECONDLY_ROLLING"}"#, Some(Outcome::Wait)),
            ("hubspot", 429, "", Some(Outcome::Wait)),
            ("hubspot", 401, r#"{"category":"EXPIRED_AUTHENTICATION"}"#, Some(Outcome::Refresh)),
            ("hubspot", 401, r#"{"category":"INVALID_AUTHENTICATION"}"#, Some(Outcome::Reconnect)),
            ("hubspot", 403, r#"{"category":"MISSING_SCOPES"}"#, Some(Outcome::NoAccess)),
            ("hubspot", 404, "<html>", Some(Outcome::NoObject)),
            ("hubspot", 423, "", Some(Outcome::Retry)),
            ("hubspot", 524, "", Some(Outcome::Retry)),
            ("hubspot", 530, "", Some(Outcome::Reconnect)),
            ("hubspot", 400, r#"{"category":"VALIDATION_ERROR"}"#, Some(Outcome::Fail)),
            ("hubspot", 302, "", Some(Outcome::Fail)),
            ("salesforce", 401, r#"[{"errorCode":"INVALID_SESSION_ID"}]"#, Some(Outcome::Refresh)),
            (
                "salesforce",
                403,
                r#"[{"message":"ConcurrentRequests (Concurrent API Requests) Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]"#,
                Some(Outcome::Wait),
            ),
            (
                "salesforce",
                403,
                r#"[{"message":"TotalRequests Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]"#,
                Some(Outcome::Quota),
            ),
            ("salesforce", 400, r#"[{"errorCode":"INVALIDENTITY"}]"#, Some(Outcome::NoBulk)),
            ("salesforce", 400, r#"[{"errorCode":"INVALID_FIELD"}]"#, Some(Outcome::NoField)),
            ("salesforce", 400, r#"[{"errorCode":"MALFORMED_QUERY"}]"#, Some(Outcome::Fail)),
            ("salesforce", 420, "", Some(Outcome::Retry)),
        ] {
            assert_eq!(outcome(connector, status, body), expected, "{connector} {status} {body}");
        }
    }

    #[test]
    fn missing_scopes_are_named_with_what_to_do() {
        let manifest = Catalog::embedded().unwrap().get("hubspot").unwrap().clone();
        let body = r#"{"message":"This app hasn't been granted all required scopes","category":"MISSING_SCOPES",
            "errors":[{"context":{"requiredGranularScopes":["crm.objects.deals.read"]}}]}"#;
        let answer = answer(403, body);
        let refused = refused(&manifest, &answer, judge(&manifest, &answer), "/crm/v3/objects/deals");
        let error = refused.error;
        assert_eq!(error.kind(), Kind::Denied);
        assert!(error.detail().unwrap().contains("missing: crm.objects.deals.read"), "{error:?}");
        assert!(error.hint().unwrap().contains("reconnect"), "{error:?}");
    }

    #[test]
    fn what_is_no_json_is_described() {
        assert_eq!(not_json(b"<!DOCTYPE html><html><title>Sign in</title>"), "not JSON (HTML, `Sign in`)");
        assert_eq!(not_json(b""), "empty");
        assert_eq!(not_json(b"{\"a\":"), "not JSON, or broken off");
    }
}
