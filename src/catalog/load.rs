//! From YAML to types, with the place of a mistake.

use serde_saphyr::{DefaultMessageFormatter, DeserializeError, MessageFormatter};

use super::Manifest;
use crate::error::{Error, Kind, Result, did_you_mean};

/// The largest manifest, in bytes.
const MAX_BYTES: usize = 1 << 20;

pub(super) fn load(file: &str, text: &str) -> Result<Manifest> {
    if text.len() > MAX_BYTES {
        return Err(Error::new(Kind::Invalid, format!("{file}: a manifest has at most {MAX_BYTES} bytes")));
    }
    serde_saphyr::from_str(text).map_err(|error| {
        Error::new(Kind::Invalid, described(file, &error))
            .with_hint("docs/CONNECTORS.md describes the format")
    })
}

/// `file:line:column: what`, with the nearest word for one that is not known.
fn described(file: &str, error: &DeserializeError) -> String {
    let error = error.without_snippet();
    let what = match error {
        DeserializeError::SerdeUnknownField { field, expected, .. } => unknown("field", field, expected),
        DeserializeError::SerdeUnknownVariant { variant, expected, .. } => unknown("word", variant, expected),
        DeserializeError::SerdeMissingField { field, .. } => format!("the field `{field}` is missing"),
        other => DefaultMessageFormatter.format_message(other).into_owned(),
    };
    match error.location() {
        Some(at) => format!("{file}:{}:{}: {what}", at.line(), at.column()),
        None => format!("{file}: {what}"),
    }
}

fn unknown(what: &str, given: &str, expected: &[&'static str]) -> String {
    let suggestion = did_you_mean(given, expected.iter().copied());
    format!("unknown {what} `{given}`{suggestion}, expected one of {}", expected.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::parse;

    const HUBSPOT: &str = include_str!("../../catalog/hubspot.yaml");

    /// The error of HubSpot's manifest after one text in it was replaced.
    fn broken(from: &str, to: &str) -> String {
        assert!(HUBSPOT.contains(from), "{from}");
        let text = HUBSPOT.replacen(from, to, 1);
        let line = text.lines().position(|line| line.contains(to.lines().last().unwrap())).unwrap() + 1;
        let error = parse("hubspot.yaml", &text).unwrap_err().to_string();
        assert!(error.starts_with(&format!("hubspot.yaml:{line}:")), "line {line}: {error}");
        error
    }

    #[test]
    fn a_mistake_is_told_at_its_place_with_what_is_expected() {
        let error = broken("{page.token}", "{page.tokn}");
        assert!(error.contains("unknown placeholder `{page.tokn}` (did you mean `page.token`?)"), "{error}");
        let error = broken("then: refresh", "then: refesh");
        assert!(
            error.contains("unknown word `refesh` (did you mean `refresh`?), expected one of retry"),
            "{error}"
        );
        let error = broken("concurrency: ", "concurency: ");
        assert!(error.contains("(did you mean `concurrency`?)"), "{error}");
        let error = broken("per: 10s", "per: 10 seconds");
        assert!(error.contains("is not a duration: write 10s"), "{error}");
        let error = broken("account: /portalId", "account: portalId");
        assert!(error.contains("must start with `/`"), "{error}");
    }

    #[test]
    fn what_contradicts_itself_is_told_at_its_place() {
        let error = broken("modified: [updated_at]", "modified: [updatedd]");
        assert!(error.contains("`updatedd` is no field"), "{error}");
        let error = broken(
            "post: \"/crm/v3/objects/{object.api}/search\"",
            "post: \"https://evil.example.com/search\"",
        );
        assert!(error.contains("evil.example.com"), "{error}");
        let text = HUBSPOT.replacen("{secret.token}", "{secret.tokn}", 1);
        let error = parse("hubspot.yaml", &text).unwrap_err().to_string();
        assert!(error.contains("auth.bearer: `{secret.tokn}` names no secret"), "{error}");
    }
}
