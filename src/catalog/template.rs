//! Templates: text with placeholders from a closed list.
//!
//! There is no expression language. A placeholder has a value or it has none, and an entry (of a query, a header
//! list, a form, a JSON map or list) whose placeholder has none is left out. That one rule makes one declaration
//! serve the first page and the next, the full read and the diff, with and without a filter.

use std::fmt;
use std::str::FromStr;

use super::text::from_text;
use crate::error::did_you_mean;

/// Placeholders without a group.
const WORDS: &[&str] = &["fields", "filters", "where", "since", "until", "keys", "key", "field"];

/// Placeholders of the groups whose members are known.
const MEMBERS: &[(&str, &[&str])] = &[
    ("page", &["size", "token", "after", "offset", "number"]),
    ("job", &["id"]),
    ("filter", &["field", "value", "values", "high"]),
];

/// Groups whose members the manifest or the login decides.
const OPEN: &[&str] = &["setting", "secret", "token", "object"];

/// A placeholder: `{since}` or `{page.token}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Placeholder {
    /// What precedes the dot; empty for a single word.
    pub group: String,
    /// The word itself, or what follows the dot.
    pub name: String,
}

impl Placeholder {
    /// Whether it is `group.name`; `group` is empty for single words.
    pub fn is(&self, group: &str, name: &str) -> bool {
        self.group == group && self.name == name
    }
}

impl fmt::Display for Placeholder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.group.as_str() {
            "" => write!(f, "{{{}}}", self.name),
            group => write!(f, "{{{group}.{}}}", self.name),
        }
    }
}

impl FromStr for Placeholder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || {
            let members =
                MEMBERS.iter().flat_map(|(group, names)| names.iter().map(move |n| format!("{group}.{n}")));
            let known: Vec<String> = WORDS.iter().map(ToString::to_string).chain(members).collect();
            let suggestion = did_you_mean(text, known.iter().map(String::as_str));
            format!(
                "unknown placeholder `{{{text}}}`{suggestion}; known: {}, and the groups {}",
                known.join(", "),
                OPEN.join(", ")
            )
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        if text.is_empty() || !text.chars().all(plain) {
            return Err(unknown());
        }
        match text.split_once('.') {
            None if WORDS.contains(&text) => Ok(Placeholder { group: String::new(), name: text.into() }),
            Some((group, name)) if !name.is_empty() => {
                let is_member = MEMBERS.iter().any(|(g, names)| *g == group && names.contains(&name));
                match is_member || OPEN.contains(&group) {
                    true => Ok(Placeholder { group: group.into(), name: name.into() }),
                    false => Err(unknown()),
                }
            }
            _ => Err(unknown()),
        }
    }
}

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Text as it is.
    Text(String),
    /// The value of a placeholder.
    Value(Placeholder),
}

/// Text with placeholders. `{{` and `}}` stand for single braces.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Template(Vec<Part>);

/// What placeholders stand for.
pub trait Values {
    /// The value; `None` leaves the entry out in which the placeholder stands.
    fn value(&self, placeholder: &Placeholder) -> Option<serde_json::Value>;
}

impl<F: Fn(&Placeholder) -> Option<serde_json::Value>> Values for F {
    fn value(&self, placeholder: &Placeholder) -> Option<serde_json::Value> {
        self(placeholder)
    }
}

impl Template {
    /// The parts in order.
    pub fn parts(&self) -> &[Part] {
        &self.0
    }

    /// Every placeholder in it.
    pub fn placeholders(&self) -> impl Iterator<Item = &Placeholder> {
        self.0.iter().filter_map(|part| match part {
            Part::Value(placeholder) => Some(placeholder),
            Part::Text(_) => None,
        })
    }

    /// The placeholder, when there is nothing else.
    pub fn only(&self) -> Option<&Placeholder> {
        match self.0.as_slice() {
            [Part::Value(placeholder)] => Some(placeholder),
            _ => None,
        }
    }

    /// The text with every value put in through `escape`; `None` when one has no value. Lists are joined by commas.
    pub fn render(&self, values: &dyn Values, escape: fn(&str) -> String) -> Option<String> {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Value(placeholder) => text.push_str(&escape(&as_text(&values.value(placeholder)?))),
            }
        }
        Some(text)
    }

    /// As [`Template::render`], with the values as they are.
    pub fn plain(&self, values: &dyn Values) -> Option<String> {
        self.render(values, str::to_string)
    }
}

/// A value as it stands in text.
pub fn as_text(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(values) => values.iter().map(as_text).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, brace) = rest.split_at(at);
            literal.push_str(before);
            if let Some(after) = brace.strip_prefix("{{") {
                literal.push('{');
                rest = after;
            } else if let Some(after) = brace.strip_prefix("}}") {
                literal.push('}');
                rest = after;
            } else if let Some(inner) = brace.strip_prefix('{') {
                let Some((name, after)) = inner.split_once('}') else {
                    return Err(format!("`{text}` has a `{{` without `}}`; write `{{{{` for a brace"));
                };
                if !literal.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut literal)));
                }
                parts.push(Part::Value(name.parse()?));
                rest = after;
            } else {
                return Err(format!("`{text}` has a `}}` without `{{`; write `}}}}` for a brace"));
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Template(parts))
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(&text.replace('{', "{{").replace('}', "}}")),
            Part::Value(placeholder) => write!(f, "{placeholder}"),
        })
    }
}

from_text!(Template);

#[cfg(test)]
mod tests {
    use super::*;

    fn values(placeholder: &Placeholder) -> Option<serde_json::Value> {
        match placeholder.to_string().as_str() {
            "{fields}" => Some(serde_json::json!(["a", "b"])),
            "{page.size}" => Some(100.into()),
            _ => None,
        }
    }

    #[test]
    fn values_are_put_in_and_a_missing_one_leaves_everything_out() {
        let render = |text: &str| text.parse::<Template>().unwrap().plain(&values);
        assert_eq!(render("x={fields}&n={page.size}"), Some("x=a,b&n=100".into()));
        assert_eq!(render("{{no}}"), Some("{no}".into()));
        assert_eq!(render("after {page.token}"), None);
        assert_eq!(render(""), Some(String::new()));
    }

    #[test]
    fn unknown_placeholders_name_the_known_ones() {
        let error = "{page.tokn}".parse::<Template>().unwrap_err();
        assert!(error.contains("`{page.tokn}`") && error.contains("did you mean `page.token`?"), "{error}");
        for bad in ["{", "}", "{}", "{page}", "{page.}", "{env.HOME}", "{since }", "{since|upper}"] {
            assert!(bad.parse::<Template>().is_err(), "{bad}");
        }
        for good in ["{setting.host}", "{object.modified}", "{token.instance_url}", "{filter.value}"] {
            assert_eq!(good.parse::<Template>().unwrap().to_string(), good);
        }
    }
}
