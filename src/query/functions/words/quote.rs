//! Names and constants as they are written in statements.

use super::super::row::{Definition, Type, Value};
use super::super::shown::shown;
use crate::error::{Error, Kind};

pub(super) const DEFINITIONS: &[Definition] = &[
    Definition::new("quote_ident", &[Type::Text], Type::Text, |args| Value::text(identifier(args.text(0)))),
    Definition::new("quote_literal", &[Type::Any], Type::Text, |args| {
        let (array, _, row) = args.any(0);
        Value::text(literal(&shown(array, row, args.call.zone)?))
    }),
    Definition::new("quote_nullable", &[Type::Any], Type::Text, |args| {
        if args.is_null(0) {
            return Value::text("NULL");
        }
        let (array, _, row) = args.any(0);
        Value::text(literal(&shown(array, row, args.call.zone)?))
    })
    .lenient(),
    Definition::new("parse_ident", &[Type::Text, Type::Bool], Type::Texts, |args| {
        let text = args.text(0);
        parse_ident(text, args.bool_or(1, true))
            .map(Value::texts)
            .ok_or_else(|| Error::new(Kind::Invalid, format!("string is not a valid identifier: \"{text}\"")))
    })
    .optional(1),
];

/// Words that a name must not be without quotes: those PostgreSQL does not take for a column everywhere.
const RESERVED: &[&str] = &[
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "authorization",
    "between",
    "bigint",
    "binary",
    "bit",
    "boolean",
    "both",
    "case",
    "cast",
    "char",
    "character",
    "check",
    "coalesce",
    "collate",
    "collation",
    "column",
    "concurrently",
    "constraint",
    "create",
    "cross",
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "dec",
    "decimal",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "exists",
    "extract",
    "false",
    "fetch",
    "float",
    "for",
    "foreign",
    "freeze",
    "from",
    "full",
    "grant",
    "greatest",
    "group",
    "grouping",
    "having",
    "ilike",
    "in",
    "initially",
    "inner",
    "inout",
    "int",
    "integer",
    "intersect",
    "interval",
    "into",
    "is",
    "isnull",
    "join",
    "lateral",
    "leading",
    "least",
    "left",
    "like",
    "limit",
    "localtime",
    "localtimestamp",
    "national",
    "natural",
    "nchar",
    "none",
    "normalize",
    "not",
    "notnull",
    "null",
    "nullif",
    "numeric",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "out",
    "outer",
    "overlaps",
    "overlay",
    "placing",
    "position",
    "precision",
    "primary",
    "real",
    "references",
    "returning",
    "right",
    "row",
    "select",
    "session_user",
    "setof",
    "similar",
    "smallint",
    "some",
    "substring",
    "symmetric",
    "table",
    "tablesample",
    "then",
    "time",
    "timestamp",
    "to",
    "trailing",
    "treat",
    "trim",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "values",
    "varchar",
    "variadic",
    "verbose",
    "when",
    "where",
    "window",
    "with",
    "xmlattributes",
    "xmlconcat",
    "xmlelement",
    "xmlexists",
    "xmlforest",
    "xmlnamespaces",
    "xmlparse",
    "xmlpi",
    "xmlroot",
    "xmlserialize",
    "xmltable",
];

/// A name, in quotes where it needs them.
pub(in crate::query) fn identifier(name: &str) -> String {
    let is_plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !RESERVED.contains(&name);
    if is_plain { name.to_string() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// A text as a constant.
pub(in crate::query) fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    match quoted.contains('\\') {
        true => format!("E'{}'", quoted.replace('\\', "\\\\")),
        false => format!("'{quoted}'"),
    }
}

/// The parts of a qualified name.
fn parse_ident(text: &str, is_strict: bool) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let mut rest = text.trim_start();
    loop {
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut part = String::new();
            let mut chars = quoted.char_indices().peekable();
            let end = loop {
                match chars.next()? {
                    (_, '"') if chars.peek().is_some_and(|(_, c)| *c == '"') => {
                        chars.next();
                        part.push('"');
                    }
                    (at, '"') => break at,
                    (_, c) => part.push(c),
                }
            };
            if part.is_empty() {
                return None;
            }
            parts.push(part);
            rest = &quoted[end + 1..];
        } else {
            let is_start = |c: char| c.is_alphabetic() || c == '_';
            let end =
                rest.find(|c: char| !(is_start(c) || c.is_ascii_digit() || c == '$')).unwrap_or(rest.len());
            if !rest.starts_with(is_start) {
                return None;
            }
            parts.push(rest[..end].to_lowercase());
            rest = &rest[end..];
        }
        rest = rest.trim_start();
        match rest.strip_prefix('.') {
            Some(after) => rest = after.trim_start(),
            None if rest.is_empty() || !is_strict => return Some(parts),
            None => return None,
        }
    }
}
