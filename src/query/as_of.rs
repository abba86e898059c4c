//! `SET tributary.as_of`: which release a session reads.

use super::functions::parse_timestamptz;
use super::settings::Reading;
use super::tables::AsOf;
use crate::error::{Error, Kind, Result};
use crate::model::Micros;

impl AsOf {
    /// What the text of `tributary.as_of` means; `None` is the newest release. A time without a zone is in UTC.
    ///
    /// # Errors
    /// `Invalid` (22023), saying what is accepted.
    pub fn parse(text: &str) -> Result<Option<AsOf>> {
        parse(text, Reading::UTC)
    }
}

/// The same where times are read as a session reads them.
pub(super) fn parse(text: &str, reading: Reading) -> Result<Option<AsOf>> {
    let text = text.trim();
    let lower = text.to_lowercase();
    if lower.is_empty() || lower == "latest" {
        return Ok(None);
    }
    let number = lower.strip_prefix("release ").unwrap_or(&lower).trim();
    if number.bytes().all(|b| b.is_ascii_digit()) && number.len() < 8 || lower.starts_with("release ") {
        return number.parse().map(|number| Some(AsOf::Release(number))).map_err(|_| invalid(text));
    }
    let words: Vec<_> = lower.split_whitespace().collect();
    match words[..] {
        ["batch" | "sync", _] => return Ok(Some(AsOf::Cause(words.join(" ")))),
        ["period", name] => return Ok(Some(AsOf::Period(name.into()))),
        _ => {}
    }
    let time: Micros = parse_timestamptz(text, reading).map_err(|_| invalid(text))?;
    Ok(Some(AsOf::Time(time)))
}

fn invalid(text: &str) -> Error {
    let shown: String = text.chars().take(100).collect();
    Error::new(Kind::Invalid, format!("invalid value for parameter \"tributary.as_of\": \"{shown}\""))
        .with_hint(
            "accepted are latest, a release number as in 'release 12', 'batch 2026-10-31', 'sync 12', a frozen \
             period as in 'period 2026-10', and a time as in '2026-10-31 18:00'",
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_named_in_several_ways() {
        assert_eq!(parse("latest", Reading::UTC).unwrap(), None);
        assert_eq!(parse("12", Reading::UTC).unwrap(), Some(AsOf::Release(12)));
        assert_eq!(parse("Release 12", Reading::UTC).unwrap(), Some(AsOf::Release(12)));
        assert_eq!(
            parse("batch 2026-10-31", Reading::UTC).unwrap(),
            Some(AsOf::Cause("batch 2026-10-31".into()))
        );
        assert_eq!(parse("sync  7", Reading::UTC).unwrap(), Some(AsOf::Cause("sync 7".into())));
        assert_eq!(parse("period 2026-10", Reading::UTC).unwrap(), Some(AsOf::Period("2026-10".into())));
        assert_eq!(parse("1970-01-01 00:00:01", Reading::UTC).unwrap(), Some(AsOf::Time(1_000_000)));
        for text in ["yesterday-ish", "release x"] {
            assert_eq!(parse(text, Reading::UTC).unwrap_err().sqlstate(), "22023", "{text}");
        }
    }
}
