//! Error bodies as HubSpot writes them.

use serde_json::json;

use crate::demo::http::Answer;

/// Which budget is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    TenSecondly,
    Secondly,
    Daily,
}

/// An identifier for the vendor's support.
pub(super) fn correlation() -> String {
    let bits: u128 = rand::random();
    let hex = format!("{bits:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// The usual envelope.
pub(super) fn envelope(status: u16, category: &str, message: &str) -> Answer {
    Answer::json(
        status,
        &json!({ "status": "error", "message": message, "correlationId": correlation(), "category": category }),
    )
}

/// The request is not well formed.
pub(super) fn validation(message: impl AsRef<str>) -> Answer {
    envelope(400, "VALIDATION_ERROR", message.as_ref())
}

/// There is no such thing.
pub(super) fn not_found(message: &str) -> Answer {
    envelope(404, "OBJECT_NOT_FOUND", message)
}

/// The login lacks all of these scopes; any one would do.
pub(super) fn missing_scopes(any_of: &[&str]) -> Answer {
    Answer::json(
        403,
        &json!({
            "status": "error",
            "message": "This app hasn't been granted all required scopes to make this call. Read more about required scopes here: https://developers.hubspot.com/scopes.",
            "correlationId": correlation(),
            "errors": [{
                "message": "One or more of the following scopes are required.",
                "context": { "requiredGranularScopes": any_of },
            }],
            "links": { "scopes": "https://developers.hubspot.com/scopes" },
            "category": "MISSING_SCOPES",
        }),
    )
}

/// A budget is used up.
pub(super) fn rate_limited(policy: Policy) -> Answer {
    let (message, name) = match policy {
        Policy::TenSecondly => ("You have reached your ten_secondly_rolling limit.", "TEN_SECONDLY_ROLLING"),
        Policy::Secondly => ("You have reached your secondly limit.", "SECONDLY"),
        Policy::Daily => ("You have reached your daily limit.", "DAILY"),
    };
    Answer::json(
        429,
        &json!({
            "status": "error", "message": message, "errorType": "RATE_LIMIT", "correlationId": correlation(),
            "policyName": name, "requestId": correlation(),
        }),
    )
}

/// The body is not JSON by its content type.
pub(super) fn unsupported_media() -> Answer {
    envelope(415, "VALIDATION_ERROR", "HTTP 415 Unsupported Media Type: send application/json")
}
