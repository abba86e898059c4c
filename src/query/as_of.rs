//! `SET tributary.as_of`: which release a session reads.

use super::functions::text::parse_timestamptz;
use super::tables::AsOf;
use super::zone::Zone;
use crate::error::{Error, Kind, Result};
use crate::model::{Micros, now_micros};

/// What the setting's text means; `None` is the newest release.
pub(super) fn parse(text: &str) -> Result<Option<AsOf>> {
    let text = text.trim();
    let lower = text.to_lowercase();
    if lower.is_empty() || lower == "latest" {
        return Ok(None);
    }
    let number = lower.strip_prefix("release ").unwrap_or(&lower).trim();
    if number.bytes().all(|b| b.is_ascii_digit()) && number.len() < 8 || lower.starts_with("release ") {
        return number.parse().map(|number| Some(AsOf::Release(number))).map_err(|_| invalid(text));
    }
    if lower.starts_with("batch ") || lower.starts_with("sync ") {
        return Ok(Some(AsOf::Cause(lower)));
    }
    let time: Micros = parse_timestamptz(text, Zone::UTC).map_err(|_| invalid(text))?;
    if time > now_micros() {
        return Err(invalid(text).with_detail("that time is still to come"));
    }
    Ok(Some(AsOf::Time(time)))
}

fn invalid(text: &str) -> Error {
    let shown: String = text.chars().take(100).collect();
    Error::new(Kind::Invalid, format!("invalid value for parameter \"tributary.as_of\": \"{shown}\""))
        .with_hint(
            "accepted are latest, a release number as in 'release 12', 'batch 2026-10-31', and a time as in \
         '2026-10-31 18:00'",
        )
}

/// No release fits.
pub(super) fn missing(text: &str) -> Error {
    Error::new(Kind::Invalid, format!("there is no release for \"{text}\""))
        .with_hint("SELECT id, published_at, cause FROM tributary.release lists them")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_named_in_several_ways() {
        assert_eq!(parse("latest").unwrap(), None);
        assert_eq!(parse("12").unwrap(), Some(AsOf::Release(12)));
        assert_eq!(parse("Release 12").unwrap(), Some(AsOf::Release(12)));
        assert_eq!(parse("batch 2026-10-31").unwrap(), Some(AsOf::Cause("batch 2026-10-31".into())));
        assert_eq!(parse("1970-01-01 00:00:01").unwrap(), Some(AsOf::Time(1_000_000)));
        for text in ["yesterday-ish", "release x", "9999-01-01"] {
            assert_eq!(parse(text).unwrap_err().sqlstate(), "22023", "{text}");
        }
    }
}
