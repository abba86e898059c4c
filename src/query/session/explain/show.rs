//! Nodes as text and as JSON, laid out as PostgreSQL does.

use serde_json::{Map, Value, json};

use super::Took;
use super::node::Node;
use crate::query::parse::Explain;

/// One line a node, and lines below it for what it does.
pub(super) fn text(root: &Node, options: Explain, took: Took) -> Vec<String> {
    let mut lines = Vec::new();
    node_text(root, options, 0, &mut lines);
    if options.summary {
        lines.push(format!("Planning Time: {:.3} ms", took.planning.as_secs_f64() * 1e3));
        let execution =
            took.execution.map(|time| format!("Execution Time: {:.3} ms", time.as_secs_f64() * 1e3));
        lines.extend(execution);
    }
    lines
}

fn node_text(node: &Node, options: Explain, depth: usize, lines: &mut Vec<String>) {
    // The root stands at the margin, the nodes below it behind an arrow.
    let (mut line, below) = match depth {
        0 => (String::new(), 2),
        depth => (format!("{}->  ", " ".repeat(6 * depth - 4)), 6 * depth + 2),
    };
    line += &node.text;
    if options.costs {
        line += &format!(
            "  (cost={:.2}..{:.2} rows={:.0} width={})",
            node.startup, node.total, node.rows, node.width
        );
    }
    if let Some(actual) = node.actual {
        line += &match options.timing {
            true => format!(
                " (actual time={:.3}..{:.3} rows={} loops=1)",
                actual.startup_ms, actual.total_ms, actual.rows
            ),
            false => format!(" (actual rows={} loops=1)", actual.rows),
        };
    }
    lines.push(line);
    let margin = " ".repeat(below);
    for (label, values) in &node.details {
        lines.push(format!("{margin}{label}: {}", values.join(", ")));
    }
    for operator in &node.operators {
        lines.push(format!("{margin}Operator: {operator}"));
    }
    for child in &node.children {
        node_text(child, options, depth + 1, lines);
    }
}

/// One array with one object, as `FORMAT JSON` gives it.
pub(super) fn json(root: &Node, options: Explain, took: Took) -> String {
    let mut whole = Map::new();
    whole.insert("Plan".into(), node_json(root, options, None));
    let milliseconds = |time: std::time::Duration| json!(round(time.as_secs_f64() * 1e3, 3));
    if options.summary {
        whole.insert("Planning Time".into(), milliseconds(took.planning));
    }
    if options.analyze {
        whole.insert("Triggers".into(), Value::Array(Vec::new()));
    }
    if let Some(execution) = took.execution.filter(|_| options.summary) {
        whole.insert("Execution Time".into(), milliseconds(execution));
    }
    // Text of ours, which is always JSON.
    serde_json::to_string_pretty(&Value::Array(vec![Value::Object(whole)])).unwrap_or_default()
}

fn node_json(node: &Node, options: Explain, relationship: Option<&str>) -> Value {
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| {
        object.insert(key.into(), value);
    };
    put("Node Type", json!(node.kind));
    for (key, value) in &node.facts {
        put(key, json!(value));
    }
    put("Parallel Aware", json!(false));
    put("Async Capable", json!(false));
    if let Some(relationship) = relationship {
        put("Parent Relationship", json!(relationship));
    }
    if let Some(source) = &node.source {
        put("Relation Name", json!(source.table));
        if let Some(schema) = source.schema.as_ref().filter(|_| options.verbose) {
            put("Schema", json!(schema));
        }
        put("Alias", json!(source.alias.as_ref().unwrap_or(&source.table)));
    }
    if options.costs {
        put("Startup Cost", json!(round(node.startup, 2)));
        put("Total Cost", json!(round(node.total, 2)));
        put("Plan Rows", json!(node.rows.round() as u64));
        put("Plan Width", json!(node.width));
    }
    if let Some(actual) = node.actual {
        if options.timing {
            put("Actual Startup Time", json!(round(actual.startup_ms, 3)));
            put("Actual Total Time", json!(round(actual.total_ms, 3)));
        }
        put("Actual Rows", json!(actual.rows));
        put("Actual Loops", json!(1));
    }
    for (label, values) in &node.details {
        let value = match (*label, values.as_slice()) {
            ("Sort Key" | "Group Key", values) => json!(values),
            ("Rows Removed by Filter", [count]) => json!(count.parse::<u64>().unwrap_or(0)),
            (_, values) => json!(values.join(", ")),
        };
        put(label, value);
    }
    if !node.operators.is_empty() {
        put("Operators", json!(node.operators));
    }
    if !node.children.is_empty() {
        let relationship = |place: usize| match (place, node.kind) {
            (_, "Append") => "Member",
            (0, _) => "Outer",
            _ => "Inner",
        };
        let children = node.children.iter().enumerate();
        let children = children.map(|(place, child)| node_json(child, options, Some(relationship(place))));
        put("Plans", Value::Array(children.collect()));
    }
    Value::Object(object)
}

fn round(number: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (number * scale).round() / scale
}
