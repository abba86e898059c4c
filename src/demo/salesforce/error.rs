//! Error bodies as Salesforce writes them: lists for data, objects for OAuth.

use serde_json::json;

use crate::demo::http::Answer;

/// An error of the data API.
pub(super) fn data(status: u16, code: &str, message: impl AsRef<str>) -> Answer {
    Answer::json(status, &json!([{ "message": message.as_ref(), "errorCode": code }]))
}

/// There is no such resource.
pub(super) fn not_found() -> Answer {
    data(404, "NOT_FOUND", "The requested resource does not exist")
}

/// The session is expired, revoked, or of another instance: all look alike.
pub(super) fn invalid_session() -> Answer {
    data(401, "INVALID_SESSION_ID", "Session expired or invalid")
}

/// The query is not SOQL.
pub(super) fn malformed(message: impl AsRef<str>) -> Answer {
    data(400, "MALFORMED_QUERY", message)
}

/// A field that does not exist or that the login may not see.
pub(super) fn no_column(field: &str, object: &str) -> Answer {
    data(
        400,
        "INVALID_FIELD",
        format!(
            "No such column '{field}' on entity '{object}'. If you are attempting to use a custom field, be sure to append the '__c' after the custom field name. Please reference your WSDL or the describe call for the appropriate names."
        ),
    )
}

/// An object that does not exist or that the login may not see.
pub(super) fn no_object(object: &str) -> Answer {
    data(
        400,
        "INVALID_TYPE",
        format!(
            "sObject type '{object}' is not supported. If you are attempting to use a custom object, be sure to append the '__c' after the entity name. Please reference your WSDL or the describe call for the appropriate names."
        ),
    )
}

/// An error of the token endpoint.
pub(super) fn oauth(error: &str, description: &str) -> Answer {
    Answer::json(400, &json!({ "error": error, "error_description": description }))
}
