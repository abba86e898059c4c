//! One filter of a search, checked and evaluated the way HubSpot does.

use std::collections::HashSet;

use serde_json::Value;

use super::error::validation;
use super::schema::ObjectType;
use super::store::{Store, Table, Version};
use crate::demo::clock::parse_millis;
use crate::demo::http::Answer;

/// A filter.
#[derive(Debug)]
pub(super) struct Condition {
    property: String,
    test: Test,
}

#[derive(Debug)]
enum Test {
    Has(bool),
    /// Numbers and times are compared as numbers.
    Number(Compare, f64),
    Between(f64, f64),
    NumberIn(HashSet<u64>, bool),
    Text(Compare, String, Case),
    TextIn(HashSet<String>, bool, Case),
    Token(String, bool),
    /// Linked to a record of another type.
    Linked(String, u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compare {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Text is compared without regard to case, options of an enumeration with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Exact,
    Ignored,
}

/// Checks a filter against the properties of a type.
pub(super) fn parse(filter: &Value, kind: &ObjectType) -> Result<Condition, Answer> {
    const KNOWN: &[&str] = &["propertyName", "operator", "value", "highValue", "values"];
    let object = filter.as_object().ok_or_else(|| validation("filters: must be objects"))?;
    if let Some(key) = object.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        return Err(validation(format!("Invalid input JSON: unknown property '{key}' of a filter")));
    }
    let property =
        filter["propertyName"].as_str().ok_or_else(|| validation("filters: propertyName is missing"))?;
    let operator = filter["operator"].as_str().ok_or_else(|| validation("filters: operator is missing"))?;
    if let Some(other) = property.strip_prefix("associations.") {
        let id =
            text(filter, "value")?.parse().map_err(|_| validation("associations need a record number"))?;
        return match operator {
            "EQ" => Ok(Condition { property: property.into(), test: Test::Linked(other.into(), id) }),
            _ => Err(validation("associations can only be compared with EQ")),
        };
    }
    let Some(described) = kind.property(property) else {
        return Err(validation(format!(
            "There was a problem with the request. Property {property} does not exist"
        )));
    };
    let is_number = matches!(described.kind.as_str(), "number" | "date" | "datetime");
    let case =
        if described.kind == "enumeration" || described.kind == "bool" { Case::Exact } else { Case::Ignored };
    let number = |key: &str| -> Result<f64, Answer> {
        let text = text(filter, key)?;
        as_number(&described.kind, text)
            .ok_or_else(|| validation(format!("{text} was not a valid {} for {property}", described.kind)))
    };
    let compare = match operator {
        "EQ" => Some(Compare::Equal),
        "NEQ" => Some(Compare::Unequal),
        "LT" => Some(Compare::Less),
        "LTE" => Some(Compare::LessOrEqual),
        "GT" => Some(Compare::Greater),
        "GTE" => Some(Compare::GreaterOrEqual),
        _ => None,
    };
    let test = match (operator, compare) {
        (_, Some(compare)) if is_number => Test::Number(compare, number("value")?),
        (_, Some(compare)) => Test::Text(compare, cased(text(filter, "value")?, case), case),
        ("HAS_PROPERTY", _) => Test::Has(true),
        ("NOT_HAS_PROPERTY", _) => Test::Has(false),
        ("BETWEEN", _) if is_number => Test::Between(number("value")?, number("highValue")?),
        ("IN" | "NOT_IN", _) => {
            let values = filter["values"].as_array().filter(|values| !values.is_empty());
            let values = values.ok_or_else(|| validation(format!("{operator} needs values")))?;
            let values: Option<Vec<_>> = values.iter().map(Value::as_str).collect();
            let values = values.ok_or_else(|| validation("values must be texts"))?;
            if is_number {
                let numbers = values.iter().map(|value| as_number(&described.kind, value).map(f64::to_bits));
                let numbers: Option<HashSet<_>> = numbers.collect();
                let numbers = numbers.ok_or_else(|| validation(format!("values do not fit {property}")))?;
                Test::NumberIn(numbers, operator == "IN")
            } else {
                // Values are taken as they are: those with capitals match no text property.
                Test::TextIn(values.into_iter().map(String::from).collect(), operator == "IN", case)
            }
        }
        ("CONTAINS_TOKEN" | "NOT_CONTAINS_TOKEN", _) => {
            Test::Token(text(filter, "value")?.to_lowercase(), operator == "CONTAINS_TOKEN")
        }
        _ => return Err(validation(format!("The operator {operator} is not possible for {property}"))),
    };
    Ok(Condition { property: property.into(), test })
}

fn text<'a>(filter: &'a Value, key: &str) -> Result<&'a str, Answer> {
    let text = filter[key].as_str().filter(|text| !text.is_empty());
    text.ok_or_else(|| validation(format!("filters: {key} is missing or not a text")))
}

fn cased(text: &str, case: Case) -> String {
    match case {
        Case::Exact => text.into(),
        Case::Ignored => text.to_lowercase(),
    }
}

/// A number, or a time in milliseconds, given as a number of milliseconds or as ISO 8601.
fn as_number(kind: &str, text: &str) -> Option<f64> {
    match kind {
        "number" => text.parse().ok(),
        _ => text.parse::<i64>().ok().or_else(|| parse_millis(text)).map(|millis| millis as f64),
    }
}

impl Condition {
    pub(super) fn holds(&self, store: &Store, table: &Table, id: u64, version: &Version) -> bool {
        if let Test::Linked(other, target) = &self.test {
            let other = store.table(other).map(|table| table.kind.name.as_str());
            let links = other.and_then(|other| table.links.get(other)?.get(&id));
            return links.is_some_and(|links| links.iter().any(|link| link.to == *target));
        }
        let value = version.properties.get(&self.property).filter(|value| !value.is_empty());
        let kind = table.kind.property(&self.property).map_or("string", |property| property.kind.as_str());
        let number = || value.and_then(|value| as_number(kind, value));
        match &self.test {
            Test::Has(wanted) => value.is_some() == *wanted,
            // A record without a value is unequal to every value.
            Test::Number(Compare::Unequal, bound) => number().is_none_or(|number| number != *bound),
            Test::Number(compare, bound) => number().is_some_and(|number| compare.holds(&number, bound)),
            Test::Between(low, high) => number().is_some_and(|number| (*low..=*high).contains(&number)),
            Test::NumberIn(values, wanted) => {
                number().is_some_and(|number| values.contains(&number.to_bits())) == *wanted
            }
            Test::Text(Compare::Unequal, bound, case) => {
                value.is_none_or(|value| cased(value, *case) != *bound)
            }
            Test::Text(compare, bound, case) => {
                value.is_some_and(|value| compare.holds(cased(value, *case).as_str(), bound.as_str()))
            }
            Test::TextIn(values, wanted, case) => {
                value.is_some_and(|value| values.contains(&cased(value, *case))) == *wanted
            }
            Test::Token(pattern, wanted) => value.is_some_and(|value| has_token(value, pattern)) == *wanted,
            Test::Linked(..) => false,
        }
    }
}

impl Compare {
    fn holds<T: PartialOrd + ?Sized>(self, left: &T, right: &T) -> bool {
        match self {
            Compare::Equal => left == right,
            Compare::Unequal => left != right,
            Compare::Less => left < right,
            Compare::LessOrEqual => left <= right,
            Compare::Greater => left > right,
            Compare::GreaterOrEqual => left >= right,
        }
    }
}

/// Whether one of the words of a text is `pattern`, in which `*` stands for anything.
fn has_token(text: &str, pattern: &str) -> bool {
    let words = text.to_lowercase();
    let mut words = words.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.any(|word| match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(_), Some(_)) => word.contains(pattern.trim_matches('*')),
        (Some(end), None) => word.ends_with(end),
        (None, Some(start)) => word.starts_with(start),
        (None, None) => word == pattern,
    })
}
