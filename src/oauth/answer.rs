//! The token answer: what the standard names, and whatever else the vendor puts into it.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use oauth2::basic::BasicTokenType;
use oauth2::{ExtraTokenFields, StandardTokenResponse, TokenResponse};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{Provider, wiped};
use crate::error::{Error, Kind, Result};

/// What a vendor puts into a token answer beside the standard's fields.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub(super) struct Extra(Map<String, Value>);

impl ExtraTokenFields for Extra {}

impl fmt::Debug for Extra {
    /// Names only: an id token is among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

/// What a login or a refresh gave.
#[derive(Clone, PartialEq, Eq)]
pub struct Tokens {
    /// What requests are signed with.
    pub access: Zeroizing<String>,
    /// What the next access token is asked with; absent where the one that was used stays valid.
    pub refresh: Option<Zeroizing<String>>,
    /// How long the access token lives, where the answer or the provider tells.
    pub lives: Option<Duration>,
    /// Values that the provider keeps.
    pub kept: HashMap<String, String>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("lives", &self.lives).finish_non_exhaustive()
    }
}

/// Takes an answer apart; an error when a value to keep is missing.
pub(super) fn tokens(
    response: &StandardTokenResponse<Extra, BasicTokenType>,
    provider: &Provider,
) -> Result<Tokens> {
    let extra = Value::Object(response.extra_fields().0.clone());
    let mut kept = HashMap::new();
    for (name, pointer) in &provider.keep {
        let value = match extra.pointer(pointer) {
            Some(Value::String(text)) => text.clone(),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => value.to_string(),
            _ => {
                return Err(Error::new(
                    Kind::Data,
                    format!("the token answer of {} has no value at `{pointer}`", provider.label),
                ));
            }
        };
        kept.insert(name.clone(), value);
    }
    Ok(Tokens {
        access: wiped(response.access_token().secret()),
        refresh: response.refresh_token().map(|token| wiped(token.secret())),
        lives: response.expires_in().or(provider.lives),
        kept,
    })
}

/// Names that HubSpot's documentation prints and other vendors use, with those of the standard.
const SPELLINGS: &[(&str, &str)] = &[
    ("accessToken", "access_token"),
    ("refreshToken", "refresh_token"),
    ("expiresIn", "expires_in"),
    ("tokenType", "token_type"),
];

/// Brings an answer into the form of the standard: its names, numbers for numbers, a token type, no error with
/// status 200. Answers that are not JSON objects stay as they are.
pub(super) fn normalised(status: u16, body: Vec<u8>) -> (u16, Vec<u8>) {
    let Ok(Value::Object(mut object)) = serde_json::from_slice(&body) else { return (status, body) };
    let body = Zeroizing::new(body);
    for (spelling, name) in SPELLINGS {
        if let (Some(value), false) = (object.get(*spelling).cloned(), object.contains_key(*name)) {
            object.remove(*spelling);
            object.insert(name.to_string(), value);
        }
    }
    let has_token = object.get("access_token").is_some_and(Value::is_string);
    if has_token {
        if let Some(seconds) = object.get("expires_in").and_then(Value::as_str).map(str::parse::<u64>) {
            match seconds {
                Ok(seconds) => object.insert("expires_in".into(), seconds.into()),
                Err(_) => object.remove("expires_in"),
            };
        }
        if !object.get("scope").is_none_or(Value::is_string) {
            object.remove("scope");
        }
        if !object.get("token_type").is_some_and(Value::is_string) {
            object.insert("token_type".into(), "bearer".into());
        }
    }
    let is_refusal = !has_token && object.get("error").is_some_and(Value::is_string);
    let status = if is_refusal && status == 200 { 400 } else { status };
    drop(body);
    (status, Value::Object(object).to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(status: u16, body: &str) -> (u16, Value) {
        let (status, body) = normalised(status, body.into());
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[test]
    fn deviations_become_the_standard() {
        let (status, answer) =
            normal(200, r#"{"accessToken":"a","expiresIn":"1800","refreshToken":"r","scope":["x"]}"#);
        let expected = serde_json::json!({
            "access_token": "a", "expires_in": 1800, "refresh_token": "r", "token_type": "bearer",
        });
        assert_eq!((status, answer), (200, expected));
        assert_eq!(normal(200, r#"{"error":"invalid_code"}"#).0, 400);
        assert_eq!(normal(200, r#"{"access_token":"a","token_type":"Bearer","error":null}"#).0, 200);
        assert_eq!(normalised(200, b"<html>".to_vec()), (200, b"<html>".to_vec()));
    }
}
