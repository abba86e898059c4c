//! Functions that give several rows: arrays here, which the planner takes apart.

use datafusion::common::Result;

use super::Gives::{Bool, Int4, Int4s, Named, Names, Oid, Rows, Text};
use super::{Gives, Spec, Value, spec};
use crate::query::catalog::acl::{OWNER_NAME, rights};
use crate::query::catalog::scope::Scope;

const ACL: &[(&str, Gives)] =
    &[("grantor", Oid("oid")), ("grantee", Oid("oid")), ("privilege_type", Text), ("is_grantable", Bool)];
const OPTIONS: &[(&str, Gives)] = &[("option_name", Text), ("option_value", Text)];
const EXPANDED: &[(&str, Gives)] = &[("x", Oid("oid")), ("n", Int4)];
const KEYWORDS: &[(&str, Gives)] =
    &[("word", Text), ("catcode", Named("char")), ("barelabel", Bool), ("catdesc", Text), ("baredesc", Text)];
const TOKENS: &[(&str, Gives)] = &[("tokid", Int4), ("alias", Text), ("description", Text)];
const TREE: &[(&str, Gives)] =
    &[("relid", Oid("regclass")), ("parentrelid", Oid("regclass")), ("isleaf", Bool), ("level", Int4)];

/// The functions with the columns of their rows; of one column it has the function's name.
pub(in crate::query) const COLUMNS: &[(&str, &[&str])] = &[
    ("aclexplode", &["grantor", "grantee", "privilege_type", "is_grantable"]),
    ("pg_options_to_table", &["option_name", "option_value"]),
    ("_pg_expandarray", &["x", "n"]),
    ("pg_get_keywords", &["word", "catcode", "barelabel", "catdesc", "baredesc"]),
    ("pg_partition_tree", &["relid", "parentrelid", "isleaf", "level"]),
    ("ts_token_type", &["tokid", "alias", "description"]),
    ("generate_subscripts", &[]),
    ("pg_partition_ancestors", &[]),
    ("pg_tablespace_databases", &[]),
];

pub(in crate::query::catalog) const ALL: &[Spec] = &[
    spec("aclexplode", (1, 1), Rows(ACL), explode),
    spec("acldefault", (2, 2), Gives::Texts, default_acl),
    spec("pg_options_to_table", (1, 1), Rows(OPTIONS), options),
    spec("_pg_expandarray", (1, 1), Rows(EXPANDED), expand),
    spec("generate_subscripts", (2, 3), Int4s, subscripts),
    spec("array_lower", (2, 2), Int4, |_, values| Ok(bounds(values).next().map_or(Value::Null, Value::Int))),
    spec("array_upper", (2, 2), Int4, |_, values| {
        Ok(bounds(values).next_back().map_or(Value::Null, Value::Int))
    }),
    spec("pg_get_keywords", (0, 0), Rows(KEYWORDS), keywords),
    spec("ts_token_type", (1, 1), Rows(TOKENS), tokens),
    spec("pg_partition_tree", (1, 1), Rows(TREE), |_, values| {
        let own = vec![values[0].clone(), Value::Null, Value::Bool(true), Value::Int(0)];
        Ok(Value::Rows(vec![own]))
    }),
    spec("pg_partition_ancestors", (1, 1), Names, |_, _| Ok(Value::Texts(Vec::new()))),
    spec("pg_tablespace_databases", (1, 1), Int4s, |_, values| {
        // pg_default holds the one database there is.
        let is_default = values[0].int() == 1663;
        Ok(Value::Ints(if is_default { vec![crate::query::catalog::DATABASE] } else { Vec::new() }))
    }),
];

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Texts(texts) => texts.iter().map(|text| text.clone().unwrap_or_default()).collect(),
        Value::Ints(numbers) => numbers.iter().map(ToString::to_string).collect(),
        _ => Vec::new(),
    }
}

fn explode(scope: &Scope, values: &[Value]) -> Result<Value> {
    let mut rows = Vec::new();
    for right in texts(&values[0]).iter().filter_map(|item| rights(item)).flatten() {
        let role = |name: &str| match name {
            "" => Ok(0),
            name => scope.role(name).map(Option::unwrap_or_default),
        };
        let (grantor, grantee) = (role(&right.grantor)?, role(&right.grantee)?);
        let (grantor, grantee) = (Value::Int(grantor), Value::Int(grantee));
        rows.push(vec![grantor, grantee, Value::text(right.privilege), Value::Bool(right.can_grant)]);
    }
    Ok(Value::Rows(rows))
}

/// What holds where no rights were given.
fn default_acl(scope: &Scope, values: &[Value]) -> Result<Value> {
    let (public, owner) = match values[0].str() {
        "r" => ("", "arwdDxt"),
        "s" => ("", "rwU"),
        "d" => ("Tc", "CTc"),
        "f" => ("X", "X"),
        "l" | "T" => ("U", "U"),
        "n" => ("", "UC"),
        "t" => ("", "C"),
        "F" | "S" => ("", "U"),
        "L" => ("", "rw"),
        "p" => ("", "sA"),
        _ => ("", ""),
    };
    let name = scope.catalog.find("pg_authid", "oid", values[1].int())?;
    let name = name.map_or(OWNER_NAME.to_string(), |row| row.text("rolname").to_string());
    let mut items = Vec::new();
    if !public.is_empty() {
        items.push(Some(format!("={public}/{name}")));
    }
    items.push(Some(format!("{name}={owner}/{name}")));
    Ok(Value::Texts(items))
}

fn options(_: &Scope, values: &[Value]) -> Result<Value> {
    let row = |option: &String| match option.split_once('=') {
        Some((name, value)) => vec![Value::text(name), Value::text(value)],
        None => vec![Value::text(option), Value::Null],
    };
    Ok(Value::Rows(texts(&values[0]).iter().map(row).collect()))
}

fn expand(_: &Scope, values: &[Value]) -> Result<Value> {
    let numbers = texts(&values[0]);
    let rows = numbers.iter().enumerate().map(|(place, number)| {
        let number = number.parse().map_or(Value::Null, Value::Int);
        vec![number, Value::Int(place as i64 + 1)]
    });
    Ok(Value::Rows(rows.collect()))
}

/// The subscripts of an array, which has one dimension here: from 1 on, of an `int2vector` or `oidvector` from 0 on.
fn bounds(values: &[Value]) -> std::ops::Range<i64> {
    let count = texts(&values[0]).len() as i64;
    let first = i64::from(!matches!(values[0], Value::Ints(_)));
    if values[1].int() == 1 { first..first + count } else { 0..0 }
}

fn subscripts(_: &Scope, values: &[Value]) -> Result<Value> {
    let mut numbers: Vec<i64> = bounds(values).collect();
    if values.get(2) == Some(&Value::Bool(true)) {
        numbers.reverse();
    }
    Ok(Value::Ints(numbers))
}

fn keywords(_: &Scope, _: &[Value]) -> Result<Value> {
    let row = |word: Vec<&'static str>| {
        let cell = |place: usize| Value::text(word.get(place).copied().unwrap_or_default());
        vec![cell(0), cell(1), Value::Bool(word.get(2) == Some(&"t")), cell(3), cell(4)]
    };
    Ok(Value::Rows(crate::query::catalog::keywords::all().map(row).collect()))
}

/// Of the parser `default`, which is the only one.
fn tokens(scope: &Scope, values: &[Value]) -> Result<Value> {
    let known = match &values[0] {
        Value::Text(name) => scope.catalog.find("pg_ts_parser", "prsname", name.as_str())?,
        other => scope.catalog.find("pg_ts_parser", "oid", other.int())?,
    };
    if known.is_none() {
        let shown = match &values[0] {
            Value::Text(name) => format!("\"{name}\""),
            other => format!("with OID {}", other.int()),
        };
        return Err(super::undefined(format!("text search parser {shown} does not exist")));
    }
    let texts = scope.catalog.texts("tokens")?;
    let mut rows: Vec<_> = texts.iter().collect();
    rows.sort_by_key(|(number, _)| **number);
    let row = |(number, texts): (&i64, &Vec<String>)| {
        let texts = texts.iter().map(|text| Value::text(text.as_str()));
        std::iter::once(Value::Int(*number)).chain(texts).collect()
    };
    Ok(Value::Rows(rows.into_iter().map(row).collect()))
}
