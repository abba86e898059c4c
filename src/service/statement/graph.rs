//! Which statement comes after which.

use std::collections::HashMap;

use crate::error::{Error, Kind, Result};
use crate::model::{ReleaseObject, Statement};

/// A statement with the statements that it reads.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    id: String,
    name: String,
    /// Ids.
    reads: Vec<String>,
}

impl Node {
    pub(super) fn new(statement: &Statement, reads: &[ReleaseObject]) -> Self {
        let of_statements = reads.iter().filter(|object| object.connection == Statement::SCHEMA);
        let reads = of_statements.map(|object| object.object_id.clone()).collect();
        Node { id: statement.id.clone(), name: statement.name.clone(), reads }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Seen {
    Entered,
    Left,
}

/// The ids of statements in an order in which each comes after those it reads, by name where that leaves a choice.
///
/// # Errors
/// `Invalid` (42P19) where statements read each other, naming them around the circle.
pub(crate) fn order(mut nodes: Vec<Node>) -> Result<Vec<String>> {
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    let by_id: HashMap<_, _> = nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let mut seen: HashMap<&str, Seen> = HashMap::new();
    let mut ordered = Vec::with_capacity(nodes.len());
    for start in &nodes {
        if seen.contains_key(start.id.as_str()) {
            continue;
        }
        // By hand instead of by recursion: a chain may be long.
        let mut path = vec![(start, 0)];
        seen.insert(&start.id, Seen::Entered);
        while let Some((node, at)) = path.last_mut() {
            let node = *node;
            let Some(next) = node.reads.get(*at) else {
                seen.insert(&node.id, Seen::Left);
                ordered.push(node.id.clone());
                path.pop();
                continue;
            };
            *at += 1;
            let Some(next) = by_id.get(next.as_str()).copied() else { continue };
            match seen.get(next.id.as_str()) {
                Some(Seen::Left) => {}
                Some(Seen::Entered) => {
                    let names: Vec<_> =
                        path.iter().map(|(node, _)| (node.id.as_str(), node.name.as_str())).collect();
                    return Err(circle(&names, next));
                }
                None => {
                    seen.insert(&next.id, Seen::Entered);
                    path.push((next, 0));
                }
            }
        }
    }
    Ok(ordered)
}

fn circle(path: &[(&str, &str)], closes: &Node) -> Error {
    let around = path.iter().skip_while(|(id, _)| *id != closes.id).map(|(_, name)| *name);
    let names: Vec<_> = around.chain([closes.name.as_str()]).collect();
    Error::new(Kind::Invalid, format!("statements would read each other: {}", names.join(" -> ")))
        .with_sqlstate("42P19")
        .with_hint("a statement may read others, but not, by whatever way, itself")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(text: &str) -> Vec<Node> {
        let node = |part: &str| {
            let (name, reads) = part.split_once(':').unwrap();
            let reads = reads.split_whitespace().map(str::to_string).collect();
            Node { id: name.trim().into(), name: name.trim().into(), reads }
        };
        text.split(',').map(node).collect()
    }

    #[test]
    fn what_is_read_comes_first() {
        assert_eq!(order(nodes("c: b a, b: a, a: , d: gone")).unwrap(), ["a", "b", "c", "d"]);
        assert_eq!(order(nodes("a: z, z: m, m: ")).unwrap(), ["m", "z", "a"]);
        let chain: Vec<_> = (0..20_000).map(|n| format!("n{n}: n{}", n + 1)).collect();
        assert_eq!(order(nodes(&chain.join(","))).unwrap().len(), 20_000);
    }

    #[test]
    fn a_circle_is_named() {
        for (text, words) in [
            ("a: a", "a -> a"),
            ("a: b, b: c, c: b", "b -> c -> b"),
            ("a: b, b: c, c: a", "a -> b -> c -> a"),
        ] {
            let error = order(nodes(text)).unwrap_err();
            assert!(error.what().ends_with(&format!("each other: {words}")), "{error}");
            assert_eq!(error.sqlstate(), "42P19");
        }
    }
}
