//! What a page says about the step before it. It travels in a cookie for as long as it takes to get there.

use axum::body::Body;
use axum::http::Response;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::answer;
use crate::error::Error;
use crate::query::Notice;

/// A cookie has to stay below 4 KB.
const MOST: usize = 4;
const MOST_CHARACTERS: usize = 400;

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flash {
    pub(super) tone: Tone,
    pub(super) text: String,
}

/// How it is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Warn,
    Bad,
}

impl Tone {
    pub(super) fn class(self) -> &'static str {
        match self {
            Tone::Good => "good",
            Tone::Warn => "warn",
            Tone::Bad => "bad",
        }
    }
}

impl Flash {
    /// Something is done.
    pub(super) fn good(text: impl Into<String>) -> Self {
        Flash { tone: Tone::Good, text: text.into() }
    }

    /// Something needs a look.
    pub(super) fn warn(text: impl Into<String>) -> Self {
        Flash { tone: Tone::Warn, text: text.into() }
    }

    /// Something was refused.
    pub(super) fn bad(error: &Error) -> Self {
        let hint = error.hint().map(|hint| format!(". {hint}")).unwrap_or_default();
        Flash { tone: Tone::Bad, text: format!("{}{hint}", error.what()) }
    }
}

/// What a call said that people should see.
pub(super) fn warnings(notices: &[Notice]) -> impl Iterator<Item = Flash> {
    notices.iter().filter(|notice| notice.severity == "WARNING").map(|notice| Flash::warn(&notice.message))
}

/// Sends the browser on, where it is told.
pub(super) fn see_other(to: &str, flashes: impl IntoIterator<Item = Flash>) -> Response<Body> {
    let mut response = answer::see_other(to);
    response.extensions_mut().insert(Told(flashes.into_iter().collect()));
    response
}

/// In an answer: what is to be told on the next page.
#[derive(Clone)]
pub(super) struct Told(pub(super) Vec<Flash>);

/// The value of the cookie.
pub(super) fn encode(flashes: &[Flash]) -> String {
    let short = |flash: &Flash| {
        let text: String = flash.text.chars().take(MOST_CHARACTERS).collect();
        serde_json::json!([flash.tone.class(), text])
    };
    let all: Vec<_> = flashes.iter().take(MOST).map(short).collect();
    BASE64_URL_SAFE_NO_PAD.encode(serde_json::Value::from(all).to_string())
}

/// What the cookie says; nothing where it is not one of ours.
pub(super) fn decode(value: &str) -> Vec<Flash> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(value).unwrap_or_default();
    let pairs: Vec<(String, String)> = serde_json::from_slice(&bytes).unwrap_or_default();
    let flash = |(tone, text): (String, String)| {
        let tone = [Tone::Good, Tone::Warn, Tone::Bad].into_iter().find(|known| known.class() == tone)?;
        Some(Flash { tone, text })
    };
    pairs.into_iter().take(MOST).filter_map(flash).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_arrives() {
        let told = vec![Flash::good("saved <b>"), Flash::warn("ä".repeat(1_000))];
        let heard = decode(&encode(&told));
        assert_eq!(heard[0], told[0]);
        assert_eq!(heard[1].text.chars().count(), MOST_CHARACTERS);
        assert!(encode(&vec![Flash::warn("€".repeat(1_000)); 9]).len() < 7_000);
        assert_eq!(decode("nonsense"), []);
    }
}
