//! Walking a JSON document once for the values that are wanted.
//!
//! What is wanted is a tree of keys. Everything else is skipped without being kept, and what is wanted is borrowed
//! from the text: no document is built.

use std::collections::HashMap;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::catalog::{Pointer, Step};

/// The deepest value that is kept.
const MAX_DEPTH: usize = 64;

/// Where a value stands that is wanted of every record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) at: Pointer,
    /// In the record around it.
    pub(crate) is_outer: bool,
}

/// What is wanted of a document: values of each record, and values of the document itself (facts).
#[derive(Debug)]
pub(crate) struct Shape {
    document: Node,
    slots: usize,
    facts: usize,
    /// The slots that are empty again when a record ends.
    of_record: Vec<usize>,
}

#[derive(Debug, Default)]
struct Node {
    keys: Vec<(String, Node)>,
    index: HashMap<String, usize>,
    each: Option<Box<Node>>,
    leaves: Vec<Leaf>,
    role: Role,
}

#[derive(Debug, Clone, Copy)]
enum Leaf {
    Slot(usize),
    Fact(usize),
}

#[derive(Debug, Default)]
enum Role {
    #[default]
    Plain,
    /// Each of these is a record.
    Record,
    /// Each of these has records in it; the node beside it has what is wanted of the outer record.
    Outer(Box<Node>),
}

impl Shape {
    /// `records` are the elements of an array, or what the last `*` reaches.
    pub(crate) fn new(records: &Pointer, slots: &[Slot], facts: &[&Pointer]) -> Self {
        let (mut record, mut outer) = (Node { role: Role::Record, ..Node::default() }, Node::default());
        for (number, slot) in slots.iter().enumerate() {
            let tree = if slot.is_outer { &mut outer } else { &mut record };
            tree.add(slot.at.steps(), Leaf::Slot(number));
        }
        let mut steps = records.steps().to_vec();
        if steps.last() != Some(&Step::Each) {
            steps.push(Step::Each);
        }
        let levels = steps.iter().filter(|step| **step == Step::Each).count();
        let mut node = record;
        let mut outer = Some(outer).filter(|_| levels > 1);
        let mut level = 0;
        for step in steps.into_iter().rev() {
            if step == Step::Each {
                level += 1;
                if level == 2
                    && let Some(outer) = outer.take()
                {
                    node.role = Role::Outer(Box::new(outer));
                }
            }
            node = match step {
                Step::Each => Node { each: Some(Box::new(node)), ..Node::default() },
                Step::Key(key) => Node { keys: vec![(key, node)], ..Node::default() },
            };
        }
        for (number, fact) in facts.iter().enumerate() {
            node.add(fact.steps(), Leaf::Fact(number));
        }
        node.index();
        let of_record = (0..slots.len()).filter(|number| !slots[*number].is_outer).collect();
        Shape { document: node, slots: slots.len(), facts: facts.len(), of_record }
    }

    /// Hands the values of every record to `row`, each as the text of its JSON. Returns the facts.
    pub(crate) fn walk<'de>(
        &self,
        text: &'de str,
        row: &mut dyn FnMut(&[Option<&'de str>]),
    ) -> Result<Vec<Option<&'de str>>, serde_json::Error> {
        let of_record = self.of_record.as_slice();
        let mut sink = Sink { slots: vec![None; self.slots], facts: vec![None; self.facts], of_record, row };
        let mut deserializer = serde_json::Deserializer::from_str(text);
        Walk { node: &self.document, sink: &mut sink }.deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(sink.facts)
    }
}

impl Node {
    fn add(&mut self, steps: &[Step], leaf: Leaf) {
        match steps.split_first() {
            None => self.leaves.push(leaf),
            Some((Step::Each, rest)) => self.each.get_or_insert_default().add(rest, leaf),
            Some((Step::Key(key), rest)) => {
                let at = self.keys.iter().position(|(known, _)| known == key).unwrap_or_else(|| {
                    self.keys.push((key.clone(), Node::default()));
                    self.keys.len() - 1
                });
                self.keys[at].1.add(rest, leaf);
            }
        }
    }

    /// Prepares looking keys up.
    fn index(&mut self) {
        self.index = self.keys.iter().enumerate().map(|(at, (key, _))| (key.clone(), at)).collect();
        self.keys.iter_mut().for_each(|(_, node)| node.index());
        if let Some(each) = &mut self.each {
            each.index();
        }
        if let Role::Outer(outer) = &mut self.role {
            outer.index();
        }
    }

    fn has_children(&self) -> bool {
        !self.keys.is_empty() || self.each.is_some()
    }

    /// The child for a key. Records mostly have their keys in the same order: the one after the last is tried first.
    fn child(&self, key: &str, expected: &mut usize) -> Option<usize> {
        let found = match self.keys.get(*expected) {
            Some((next, _)) if next == key => Some(*expected),
            _ => self.index.get(key).copied(),
        };
        if let Some(at) = found {
            *expected = at + 1;
        }
        found
    }
}

struct Sink<'de, 'f> {
    slots: Vec<Option<&'de str>>,
    facts: Vec<Option<&'de str>>,
    of_record: &'f [usize],
    row: &'f mut dyn FnMut(&[Option<&'de str>]),
}

struct Walk<'n, 's, 'de, 'f> {
    node: &'n Node,
    sink: &'s mut Sink<'de, 'f>,
}

impl<'de> Walk<'_, '_, 'de, '_> {
    fn set<E: serde::de::Error>(&mut self, raw: &'de str) -> Result<(), E> {
        if depth(raw) > MAX_DEPTH {
            return Err(E::custom(format!(
                "over the limit: a value is nested more than {MAX_DEPTH} levels deep"
            )));
        }
        for leaf in &self.node.leaves {
            match leaf {
                Leaf::Slot(number) => self.sink.slots[*number] = Some(raw),
                Leaf::Fact(number) => self.sink.facts[*number] = Some(raw),
            }
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_, '_, 'de, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(mut self, deserializer: D) -> Result<(), D::Error> {
        let again = |error: serde_json::Error| D::Error::custom(error);
        match &self.node.role {
            Role::Outer(outer) => {
                let raw: &'de RawValue = serde::Deserialize::deserialize(deserializer)?;
                self.sink.slots.fill(None);
                // What is wanted of the outer record may stand behind the records in it.
                inside(outer, self.sink, raw.get()).map_err(again)?;
                return inside(self.node, self.sink, raw.get()).map_err(again);
            }
            Role::Record => {
                let is_record = match self.node.leaves.is_empty() {
                    true => deserializer.deserialize_any(Children { node: self.node, sink: self.sink })?,
                    false => {
                        let raw: &'de RawValue = serde::Deserialize::deserialize(deserializer)?;
                        self.set(raw.get())?;
                        inside(self.node, self.sink, raw.get()).map_err(again)?;
                        raw.get() != "null"
                    }
                };
                if is_record {
                    (self.sink.row)(&self.sink.slots);
                }
                self.sink.of_record.iter().for_each(|number| self.sink.slots[*number] = None);
                return Ok(());
            }
            Role::Plain => {}
        }
        if self.node.leaves.is_empty() {
            deserializer.deserialize_any(Children { node: self.node, sink: self.sink })?;
            return Ok(());
        }
        let raw: &'de RawValue = serde::Deserialize::deserialize(deserializer)?;
        self.set(raw.get())?;
        match self.node.has_children() {
            true => inside(self.node, self.sink, raw.get()).map_err(again),
            false => Ok(()),
        }
    }
}

/// Walks the children of a node through a text that was taken out as a whole.
fn inside<'de>(node: &Node, sink: &mut Sink<'de, '_>, text: &'de str) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    deserializer.deserialize_any(Children { node, sink }).map(drop)
}

/// Visits what is in a value; tells whether it is a map or a list.
struct Children<'n, 's, 'de, 'f> {
    node: &'n Node,
    sink: &'s mut Sink<'de, 'f>,
}

impl<'de> Visitor<'de> for Children<'_, '_, 'de, '_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let mut expected = 0;
        while let Some(found) = map.next_key_seed(Key { node: self.node, expected: &mut expected })? {
            let child = match (found, &self.node.each) {
                (Some(at), _) => &self.node.keys[at].1,
                (None, Some(each)) => each,
                (None, None) => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            map.next_value_seed(Walk { node: child, sink: &mut *self.sink })?;
        }
        Ok(true)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<bool, A::Error> {
        let Some(each) = &self.node.each else {
            // Steps into lists are numbers.
            for number in 0.. {
                let child = self.node.index.get(&number.to_string()).map(|at| &self.node.keys[*at].1);
                let is_over = match child {
                    Some(child) => {
                        elements.next_element_seed(Walk { node: child, sink: &mut *self.sink })?.is_none()
                    }
                    None => elements.next_element::<IgnoredAny>()?.is_none(),
                };
                if is_over {
                    break;
                }
            }
            return Ok(true);
        };
        while elements.next_element_seed(Walk { node: each, sink: &mut *self.sink })?.is_some() {}
        Ok(true)
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_bool<E>(self, _: bool) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_i64<E>(self, _: i64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_u64<E>(self, _: u64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_f64<E>(self, _: f64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_str<E>(self, _: &str) -> Result<bool, E> {
        Ok(false)
    }
}

/// Reads a key without keeping it.
struct Key<'n, 'e> {
    node: &'n Node,
    expected: &'e mut usize,
}

impl<'de> DeserializeSeed<'de> for Key<'_, '_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key<'_, '_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Option<usize>, E> {
        Ok(self.node.child(key, self.expected))
    }
}

/// How deep lists and maps are nested in a JSON text.
fn depth(json: &str) -> usize {
    if !json.starts_with(['{', '[']) {
        return 0;
    }
    let (mut depth, mut deepest, mut in_text, mut escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(
        records: &str,
        slots: &[(&str, bool)],
        facts: &[&str],
        text: &str,
    ) -> (Vec<String>, Vec<Option<String>>) {
        let pointer = |text: &str| text.parse::<Pointer>().unwrap();
        let slots: Vec<_> =
            slots.iter().map(|(at, is_outer)| Slot { at: pointer(at), is_outer: *is_outer }).collect();
        let facts: Vec<_> = facts.iter().map(|text| pointer(text)).collect();
        let shape = Shape::new(&pointer(records), &slots, &facts.iter().collect::<Vec<_>>());
        let mut rows = Vec::new();
        let found = shape.walk(text, &mut |row| {
            rows.push(row.iter().map(|value| value.unwrap_or("-")).collect::<Vec<_>>().join(" "));
        });
        (rows, found.unwrap().into_iter().map(|fact| fact.map(str::to_string)).collect())
    }

    #[test]
    fn values_are_found_wherever_they_stand() {
        let text = r#"{"total": 2, "results": [
            {"id": "1", "properties": {"b": null, "a": 1.50, "c": {"x": [1]}}, "more": [{"id": 9}]},
            {"properties": {"a": "\u00e9"}, "id": "2"}, null, 7
        ], "paging": {"next": {"after": "17"}}}"#;
        let slots =
            [("/id", false), ("/properties/a", false), ("/properties/b", false), ("/properties/c", false)];
        let (rows, facts) = walk("/results", &slots, &["/paging/next/after", "/total", "/none"], text);
        assert_eq!(rows, [r#""1" 1.50 null {"x": [1]}"#, r#""2" "\u00e9" - -"#]);
        assert_eq!(facts, [Some("\"17\"".into()), Some("2".into()), None]);
    }

    #[test]
    fn records_within_records_know_the_one_around_them() {
        let text =
            r#"{"results": [{"stages": [{"id": "a"}, {"id": "b"}], "id": "p"}, {"id": "q", "stages": []}]}"#;
        let (rows, _) = walk("/results/*/stages/*", &[("/id", true), ("/id", false)], &[], text);
        assert_eq!(rows, [r#""p" "a""#, r#""p" "b""#]);
    }

    #[test]
    fn records_may_be_the_document_or_values_of_a_map() {
        let (rows, _) = walk("", &[("/id", false)], &[], r#"[{"id": 1}, {"id": 2}]"#);
        assert_eq!(rows, ["1", "2"]);
        let (rows, _) = walk(
            "/employees/*",
            &[("/id", false)],
            &["/latest"],
            r#"{"employees": {"7": {"id": "7"}, "8": {"id": "8"}}}"#,
        );
        assert_eq!(rows, ["\"7\"", "\"8\""]);
        let (rows, _) = walk("/a", &[("", false), ("/x", false)], &[], r#"{"a": [{"x": 1}]}"#);
        assert_eq!(rows, [r#"{"x": 1} 1"#]);
        let (rows, facts) =
            walk("/0/records", &[("/id", false)], &["/1"], r#"[{"records": [{"id": 3}]}, "next"]"#);
        assert_eq!((rows, facts), (vec!["3".to_string()], vec![Some("\"next\"".into())]));
    }

    #[test]
    fn what_is_broken_or_too_deep_is_an_error() {
        let shape = |slot: &str| {
            Shape::new(&"/r".parse().unwrap(), &[Slot { at: slot.parse().unwrap(), is_outer: false }], &[])
        };
        for broken in
            ["", "{\"r\": [", "{\"r\": [{\"a\": 1}] ", "{\"r\": []} x", "<html>", "{\"r\": [{\"a\": tru}]}"]
        {
            assert!(shape("/a").walk(broken, &mut |_| ()).is_err(), "{broken}");
        }
        let deep = format!("{{\"r\": [{{\"a\": {}{}, \"b\": 1}}]}}", "[".repeat(1000), "]".repeat(1000));
        assert!(shape("/a").walk(&deep, &mut |_| ()).unwrap_err().to_string().contains("over the limit"));
        assert!(shape("/b").walk(&deep, &mut |_| ()).is_ok());
    }
}
