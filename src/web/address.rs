//! What an address asks for after its `?`. It is never refused: what is not there or is no number counts as not given.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

/// The parameters of an address.
pub(super) struct Address(Vec<(String, String)>);

impl Address {
    /// A parameter without the spaces around it, unless that is empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(given, _)| given == name);
        found.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }

    /// A parameter that is a whole number.
    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.text(name)?.parse().ok()
    }

    /// The number of the page, from 0.
    pub(super) fn page(&self) -> i64 {
        self.number("page").unwrap_or(0).clamp(0, 100_000)
    }
}

impl<S: Sync> FromRequestParts<S> for Address {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let query = parts.uri.query().unwrap_or_default();
        Ok(Address(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()))
    }
}

/// An address with parameters; those without a value are left out.
pub(super) fn link(path: &str, parameters: &[(&str, Option<&str>)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in parameters {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    match query.finish() {
        query if query.is_empty() => path.to_string(),
        query => format!("{path}?{query}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_stays_one_parameter() {
        let name = "a&b=c?d/e f#\"<>";
        assert_eq!(link("/x", &[("a", Some(name)), ("b", None)]), "/x?a=a%26b%3Dc%3Fd%2Fe+f%23%22%3C%3E");
        assert_eq!(link("/x", &[("b", None)]), "/x");
    }
}
