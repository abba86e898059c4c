//! Names of objects: `schema.table`, quoted only where the text would be ambiguous.

use crate::error::{Error, Kind, Result};

/// The longest name PostgreSQL can hold. It cuts longer ones silently, and would find another object.
const MAX_LEN: usize = 63;

/// A table or view by schema and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ObjectName {
    pub(crate) schema: String,
    pub(crate) name: String,
}

impl ObjectName {
    /// Reads `table`, `schema.table` or `"odd.schema"."odd.table"`. A name alone lies in `public`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let shown: String = text.chars().take(80).collect();
        let refuse = |why: String| {
            Error::new(Kind::Invalid, format!("`{shown}` cannot be the name of a PostgreSQL object: {why}"))
                .with_hint("write schema.table; put a part that contains a dot or a quote into double quotes")
        };
        let parts = split(text).ok_or_else(|| refuse("its quotes are not closed".into()))?;
        for part in &parts {
            if part.is_empty() {
                return Err(refuse("a part of it is empty".into()));
            }
            if part.len() > MAX_LEN {
                return Err(refuse(format!(
                    "a part of it is {} bytes long, and PostgreSQL's names have at most {MAX_LEN}",
                    part.len()
                )));
            }
            if part.contains('\0') {
                return Err(refuse("it contains a NUL character".into()));
            }
        }
        match <[String; 2]>::try_from(parts) {
            Ok([schema, name]) => Ok(ObjectName { schema, name }),
            Err(mut parts) if parts.len() == 1 => {
                Ok(ObjectName { schema: "public".into(), name: parts.remove(0) })
            }
            Err(parts) => Err(refuse(format!("it has {} parts", parts.len()))),
        }
    }

    /// The name as [`ObjectName::parse`] reads it.
    pub(crate) fn api(&self) -> String {
        let part = |name: &str| {
            if name.contains(['.', '"']) { quote(name) } else { name.to_string() }
        };
        format!("{}.{}", part(&self.schema), part(&self.name))
    }

    /// The name as SQL needs it.
    pub(crate) fn sql(&self) -> String {
        format!("{}.{}", quote(&self.schema), quote(&self.name))
    }
}

/// The parts between dots; dots within double quotes do not count.
fn split(text: &str) -> Option<Vec<String>> {
    let mut parts = vec![String::new()];
    let mut chars = text.chars().peekable();
    let mut quoted = false;
    while let Some(c) = chars.next() {
        let part = parts.last_mut()?;
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                part.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if part.is_empty() => quoted = true,
            '.' if !quoted => parts.push(String::new()),
            other => part.push(other),
        }
    }
    (!quoted).then_some(parts)
}

/// An identifier in double quotes.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text literal. Needs `standard_conforming_strings`, which every session of ours sets.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Refuses what cannot be the name of a column.
pub(crate) fn check_column(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > MAX_LEN || name.contains('\0') {
        let shown: String = name.chars().take(80).collect();
        return Err(Error::new(
            Kind::Invalid,
            format!("`{shown}` cannot be the name of a PostgreSQL column: it has {} bytes", name.len()),
        )
        .with_hint(format!("names have 1 to {MAX_LEN} bytes")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_from_their_text() {
        for (schema, name) in
            [("public", "opportunity"), ("Sales", "Big Deals"), ("a.b", "c\"d"), ("x", "'; drop")]
        {
            let object = ObjectName { schema: schema.into(), name: name.into() };
            assert_eq!(ObjectName::parse(&object.api()).unwrap(), object);
        }
        assert_eq!(ObjectName::parse("deal").unwrap().sql(), "\"public\".\"deal\"");
        assert_eq!(ObjectName::parse("public.\"a\"\"; drop\"").unwrap().sql(), "\"public\".\"a\"\"; drop\"");
        for text in ["", ".", "a.", "a.b.c", "\"a", "a.\0", &"x".repeat(10_240)] {
            let error = ObjectName::parse(text).unwrap_err();
            assert!(error.what().len() < 300, "{error}");
        }
    }
}
