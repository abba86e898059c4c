//! The small texts of a manifest, each checked where it is read: names, pointers, spans of time.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Deserialises a text through its `FromStr`, so that a mistake is told at the place of the text.
macro_rules! from_text {
    ($type:ty) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use from_text;

/// A machine name: lower-case letters, digits and underscores, beginning with a letter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let starts_well = text.starts_with(|c: char| c.is_ascii_lowercase());
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        match starts_well && text.chars().all(plain) && text.len() <= 63 {
            true => Ok(Name(text.to_string())),
            false => Err(format!(
                "`{text}` cannot be a name: write lower-case letters, digits and underscores, at most 63"
            )),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

from_text!(Name);

/// Where a value stands in a JSON document (RFC 6901); `*` as a step means every element. The empty pointer is the
/// whole document.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pointer(Vec<Step>);

/// One step of a [`Pointer`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The value of a key, or the element of that number.
    Key(String),
    /// Every element of an array.
    Each,
}

impl Pointer {
    /// The steps from the outside in.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The value it points to; `None` when there is none, or when it points to many.
    pub fn find<'a>(&self, document: &'a serde_json::Value) -> Option<&'a serde_json::Value> {
        self.0.iter().try_fold(document, |value, step| match (value, step) {
            (serde_json::Value::Object(map), Step::Key(key)) => map.get(key),
            (serde_json::Value::Array(elements), Step::Key(key)) => elements.get(key.parse::<usize>().ok()?),
            _ => None,
        })
    }

    /// Every value it points to, in document order.
    pub fn find_all<'a>(&self, document: &'a serde_json::Value) -> Vec<&'a serde_json::Value> {
        let mut found = vec![document];
        for step in &self.0 {
            found = match step {
                Step::Key(_) => {
                    let one = Pointer(vec![step.clone()]);
                    found.into_iter().filter_map(|value| one.find(value)).collect()
                }
                Step::Each => found.into_iter().flat_map(elements).collect(),
            };
        }
        found
    }

    /// This pointer with `{field}` replaced by the name of a field.
    pub fn with_field(&self, field: &str) -> Pointer {
        let step = |step: &Step| match step {
            Step::Key(key) => Step::Key(key.replace("{field}", field)),
            Step::Each => Step::Each,
        };
        Pointer(self.0.iter().map(step).collect())
    }

    /// Whether it has a step for every element.
    pub fn has_each(&self) -> bool {
        self.0.contains(&Step::Each)
    }
}

fn elements(value: &serde_json::Value) -> Vec<&serde_json::Value> {
    match value {
        serde_json::Value::Array(elements) => elements.iter().collect(),
        serde_json::Value::Object(map) => map.values().collect(),
        _ => Vec::new(),
    }
}

impl FromStr for Pointer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Pointer::default());
        }
        let Some(rest) = text.strip_prefix('/') else {
            return Err(format!("`{text}` is not a JSON pointer: it must start with `/`"));
        };
        let step = |part: &str| match part {
            "*" => Step::Each,
            part => Step::Key(part.replace("~1", "/").replace("~0", "~")),
        };
        Ok(Pointer(rest.split('/').map(step).collect()))
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|step| match step {
            Step::Each => f.write_str("/*"),
            Step::Key(key) => write!(f, "/{}", key.replace('~', "~0").replace('/', "~1")),
        })
    }
}

from_text!(Pointer);

/// A length of time: `10s`, `5m`, `1h`, `30d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(Duration);

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span(Duration::ZERO);

    /// As a duration.
    pub fn duration(self) -> Duration {
        self.0
    }

    /// In microseconds.
    pub fn micros(self) -> i64 {
        i64::try_from(self.0.as_micros()).unwrap_or(i64::MAX)
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let seconds = match &text[digits.len()..] {
            "s" => Some(1),
            "m" => Some(60),
            "h" => Some(3600),
            "d" => Some(86_400),
            _ => None,
        };
        let number = digits.parse::<u32>().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()));
        match (number, seconds) {
            (Some(number), Some(seconds)) => Ok(Span(Duration::from_secs(u64::from(number) * seconds))),
            _ => Err(format!("`{text}` is not a duration: write 10s, 5m, 1h or 30d")),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        for (unit, length) in [("d", 86_400), ("h", 3600), ("m", 60)] {
            if seconds > 0 && seconds.is_multiple_of(length) {
                return write!(f, "{}{unit}", seconds / length);
            }
        }
        write!(f, "{seconds}s")
    }
}

from_text!(Span);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_and_mistakes_are_told_in_words() {
        assert_eq!("1h".parse::<Span>().unwrap().to_string(), "1h");
        assert_eq!("90s".parse::<Span>().unwrap().micros(), 90_000_000);
        for bad in ["1 hour", "", "h", "-1s", "1.5h", "10"] {
            assert!(bad.parse::<Span>().unwrap_err().contains("write 10s, 5m, 1h or 30d"), "{bad}");
        }
        for bad in ["", "Deal", "_x", "é", "a-b", "1a"] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
        assert!("results".parse::<Pointer>().unwrap_err().contains("it must start with `/`"));
        assert_eq!("/a~1b/*/0".parse::<Pointer>().unwrap().to_string(), "/a~1b/*/0");
    }

    #[test]
    fn pointers_find_one_or_all() {
        let document = serde_json::json!({"a": [{"b/c": 1}, {"b/c": 2}], "d": null});
        let find = |text: &str| text.parse::<Pointer>().unwrap().find(&document).cloned();
        assert_eq!(find("/a/1/b~1c"), Some(2.into()));
        assert_eq!(find(""), Some(document.clone()));
        assert_eq!(find("/a/2"), None);
        assert_eq!(find("/d"), Some(serde_json::Value::Null));
        let all = "/a/*/b~1c".parse::<Pointer>().unwrap();
        assert_eq!(all.find_all(&document), [&serde_json::json!(1), &serde_json::json!(2)]);
    }
}
