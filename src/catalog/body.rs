//! JSON bodies of requests, written in YAML with templates as their texts.

use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::template::{Placeholder, Template, Values};

/// A JSON document with templates. A text that is exactly one placeholder becomes its value with its type; in a list
/// a value that is a list is put in element by element; a list element with `{key}` is repeated for every key, and one
/// of which a value or a whole list is missing is left out.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// true, false, a number or null as it is.
    Constant(Value),
    /// A text.
    Text(Template),
    /// A list.
    List(Vec<Body>),
    /// A map, in the order of the file.
    Map(Vec<(String, Body)>),
}

impl Body {
    /// The document; `None` when it is one entry whose placeholder has no value.
    pub fn render(&self, values: &dyn Values) -> Option<Value> {
        match self {
            Body::Constant(value) => Some(value.clone()),
            Body::Text(template) => match template.only() {
                Some(placeholder) => values.value(placeholder),
                None => template.plain(values).map(Value::String),
            },
            Body::List(elements) => {
                let mut list = Vec::new();
                for element in elements {
                    element.render_into(values, &mut list);
                }
                Some(Value::Array(list))
            }
            Body::Map(entries) => {
                let entries = entries.iter();
                let rendered = entries.filter_map(|(key, body)| Some((key.clone(), body.render(values)?)));
                Some(Value::Object(rendered.collect::<Map<_, _>>()))
            }
        }
    }

    /// Adds what this element of a list becomes: nothing, itself, or many.
    fn render_into(&self, values: &dyn Values, list: &mut Vec<Value>) {
        let spliced = matches!(self, Body::Text(template) if template.only().is_some());
        if !spliced && self.placeholders().any(|placeholder| placeholder.is("", "key")) {
            let keys = values.value(&Placeholder { group: String::new(), name: "keys".into() });
            for key in keys.iter().filter_map(Value::as_array).flatten() {
                let with_key = |placeholder: &Placeholder| match placeholder.is("", "key") {
                    true => Some(key.clone()),
                    false => values.value(placeholder),
                };
                list.extend(self.render(&with_key));
            }
            return;
        }
        // An element that is a map of nothing but absent placeholders asks for nothing.
        match self.render(values) {
            Some(Value::Array(elements)) if spliced => list.extend(elements),
            Some(value) if !self.lost_a_value(values) => list.push(value),
            _ => {}
        }
    }

    /// Whether a placeholder directly in this map has no value, or none of a list in it: a condition without its
    /// operand is no condition, and a group without conditions no group.
    fn lost_a_value(&self, values: &dyn Values) -> bool {
        let is_lost = |body: &Body| match body {
            Body::Text(template) => template.placeholders().any(|p| values.value(p).is_none()),
            Body::List(elements) if !elements.is_empty() => {
                body.render(values).is_some_and(|list| list.as_array().is_some_and(Vec::is_empty))
            }
            _ => false,
        };
        match self {
            Body::Map(entries) => entries.iter().any(|(_, body)| is_lost(body)),
            _ => false,
        }
    }

    /// Every placeholder in it, in document order.
    pub fn placeholders(&self) -> Box<dyn Iterator<Item = &Placeholder> + '_> {
        match self {
            Body::Constant(_) => Box::new(std::iter::empty()),
            Body::Text(template) => Box::new(template.placeholders()),
            Body::List(elements) => Box::new(elements.iter().flat_map(Body::placeholders)),
            Body::Map(entries) => Box::new(entries.iter().flat_map(|(_, body)| body.placeholders())),
        }
    }
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BodyVisitor)
    }
}

struct BodyVisitor;

impl<'de> Visitor<'de> for BodyVisitor {
    type Value = Body;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, true, false, null, a list or a map")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Body, E> {
        Ok(Body::Constant(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Body, E> {
        Ok(Body::Constant(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Body, E> {
        Ok(Body::Constant(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Body, E> {
        Ok(Body::Constant(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Body, E> {
        Ok(Body::Constant(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Body, E> {
        Ok(Body::Constant(Value::Null))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Body, E> {
        text.parse().map(Body::Text).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Body, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element()? {
            list.push(element);
        }
        Ok(Body::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Body, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Body::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn render(yaml: &str, values: &Value) -> Option<Value> {
        let body: Body = serde_saphyr::from_str(yaml).unwrap();
        let known = |placeholder: &Placeholder| {
            let name = placeholder.to_string();
            values.get(name.trim_matches(['{', '}'])).cloned()
        };
        body.render(&known)
    }

    #[test]
    fn a_condition_whose_placeholder_has_no_value_is_left_out() {
        let yaml = "limit: '{page.size}'\nfilters:\n  - {name: m, operator: GTE, value: '{since}'}\n  - '{filters}'\n";
        assert_eq!(render(yaml, &json!({"page.size": 200})), Some(json!({"limit": 200, "filters": []})));
        let values = json!({"since": "17", "filters": [{"name": "a"}, {"name": "b"}]});
        let filters = json!([{"name": "m", "operator": "GTE", "value": "17"}, {"name": "a"}, {"name": "b"}]);
        assert_eq!(render(yaml, &values), Some(json!({"filters": filters})));
    }

    #[test]
    fn an_element_is_repeated_for_every_key() {
        let yaml = "inputs: [{id: '{key}', why: x}]\nids: ['{keys}']\nall: '{keys}'\n";
        let expected = json!({"inputs": [{"id": "1", "why": "x"}, {"id": "2", "why": "x"}], "ids": ["1", "2"], "all": ["1", "2"]});
        assert_eq!(render(yaml, &json!({"keys": ["1", "2"]})), Some(expected));
    }

    #[test]
    fn constants_keep_their_types() {
        let yaml = "a: true\nb: 1\nc: null\nd: 1.5\ne: 'text'\n";
        assert_eq!(
            render(yaml, &json!({})),
            Some(json!({"a": true, "b": 1, "c": null, "d": 1.5, "e": "text"}))
        );
    }
}
