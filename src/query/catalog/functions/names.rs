//! Names and the numbers they stand for: `regclass` and its kin, and whether a name needs its schema.

use datafusion::common::Result;

use super::Gives::{Bool, Named, Oid, Text};
use super::{Spec, Value, spec, undefined};
use crate::error::{Error, Kind};
use crate::query::catalog::keywords::quote_ident;
use crate::query::catalog::live::Row;
use crate::query::catalog::scope::Scope;

pub(in crate::query::catalog) const ALL: &[Spec] = &[
    spec("to_regclass", (1, 1), Oid("regclass"), |scope, values| found(scope, &CLASS, &values[0])),
    spec("to_regproc", (1, 1), Oid("regproc"), |scope, values| found(scope, &PROC, &values[0])),
    spec("to_regprocedure", (1, 1), Oid("regprocedure"), |scope, values| {
        found(scope, &PROCEDURE, &values[0])
    }),
    spec("to_regoper", (1, 1), Oid("regoper"), |scope, values| found(scope, &OPER, &values[0])),
    spec("to_regoperator", (1, 1), Oid("regoperator"), |scope, values| found(scope, &OPERATOR, &values[0])),
    spec("to_regtype", (1, 1), Oid("regtype"), |scope, values| found(scope, &TYPE, &values[0])),
    spec("to_regrole", (1, 1), Oid("regrole"), |scope, values| found(scope, &ROLE, &values[0])),
    spec("to_regnamespace", (1, 1), Oid("regnamespace"), |scope, values| {
        found(scope, &NAMESPACE, &values[0])
    }),
    spec("to_regcollation", (1, 1), Oid("regcollation"), |scope, values| {
        found(scope, &COLLATION, &values[0])
    }),
    spec("pg_table_is_visible", (1, 1), Bool, |scope, values| visible(scope, &CLASS, &values[0])),
    spec("pg_type_is_visible", (1, 1), Bool, |scope, values| visible(scope, &TYPE, &values[0])),
    spec("pg_function_is_visible", (1, 1), Bool, |scope, values| visible(scope, &PROC, &values[0])),
    spec("pg_operator_is_visible", (1, 1), Bool, |scope, values| visible(scope, &OPER, &values[0])),
    spec("pg_opclass_is_visible", (1, 1), Bool, |scope, values| visible(scope, &OPCLASS, &values[0])),
    spec("pg_opfamily_is_visible", (1, 1), Bool, |scope, values| visible(scope, &OPFAMILY, &values[0])),
    spec("pg_collation_is_visible", (1, 1), Bool, |scope, values| visible(scope, &COLLATION, &values[0])),
    spec("pg_conversion_is_visible", (1, 1), Bool, |scope, values| visible(scope, &CONVERSION, &values[0])),
    spec("pg_ts_config_is_visible", (1, 1), Bool, |scope, values| visible(scope, &CONFIG, &values[0])),
    spec("pg_ts_dict_is_visible", (1, 1), Bool, |scope, values| visible(scope, &DICTIONARY, &values[0])),
    spec("pg_ts_parser_is_visible", (1, 1), Bool, |scope, values| visible(scope, &PARSER, &values[0])),
    spec("pg_ts_template_is_visible", (1, 1), Bool, |scope, values| visible(scope, &TEMPLATE, &values[0])),
    spec("pg_statistics_obj_is_visible", (1, 1), Bool, |scope, values| {
        visible(scope, &STATISTICS, &values[0])
    }),
    Spec { strict: false, ..spec("format_type", (2, 2), Text, format_type) },
    spec("pg_get_userbyid", (1, 1), Named("name"), |scope, values| {
        let oid = values[0].int();
        let row = scope.catalog.find("pg_authid", "oid", oid)?;
        Ok(Value::text(row.map_or_else(|| format!("unknown (OID={oid})"), |row| row.text("rolname").into())))
    }),
    spec("quote_ident", (1, 1), Text, |_, values| Ok(Value::text(quote_ident(values[0].str())))),
    spec("quote_literal", (1, 1), Text, |_, values| Ok(Value::Text(literal(&values[0])))),
    Spec {
        strict: false,
        ..spec("quote_nullable", (1, 1), Text, |_, values| {
            Ok(Value::Text(if values[0].is_null() { "NULL".into() } else { literal(&values[0]) }))
        })
    },
];

/// A value as a constant of SQL.
fn literal(value: &Value) -> String {
    let text = match value {
        Value::Text(text) => text.clone(),
        Value::Bool(value) => value.to_string(),
        other => other.int().to_string(),
    };
    let quoted = text.replace('\'', "''");
    match quoted.contains('\\') {
        true => format!("E'{}'", quoted.replace('\\', "\\\\")),
        false => format!("'{quoted}'"),
    }
}

/// A kind of things that have names.
pub(in crate::query::catalog) struct Kinds {
    /// `regclass` and its kin.
    reg: &'static str,
    relation: &'static str,
    name: &'static str,
    /// The column with the schema; empty where names have none.
    schema: &'static str,
    /// What an error calls it.
    what: &'static str,
    sqlstate: &'static str,
    /// Columns that must be alike for a name to hide another: of functions and operators also the arguments.
    alike: &'static [&'static str],
    /// Whether the types of arguments belong to the name.
    with_arguments: bool,
}

macro_rules! kinds {
    ($($kind:ident $reg:literal $relation:literal $name:literal $schema:literal $what:literal $state:literal
        $alike:expr, $arguments:literal;)*) => {
        $(const $kind: Kinds = Kinds {
            reg: $reg, relation: $relation, name: $name, schema: $schema, what: $what, sqlstate: $state,
            alike: $alike, with_arguments: $arguments,
        };)*
    };
}

kinds! {
    CLASS "regclass" "pg_class" "relname" "relnamespace" "relation" "42P01" &[], false;
    TYPE "regtype" "pg_type" "typname" "typnamespace" "type" "42704" &[], false;
    PROC "regproc" "pg_proc" "proname" "pronamespace" "function" "42883" &["proargtypes"], false;
    PROCEDURE "regprocedure" "pg_proc" "proname" "pronamespace" "function" "42883" &["proargtypes"], true;
    OPER "regoper" "pg_operator" "oprname" "oprnamespace" "operator" "42883" &["oprleft", "oprright"], false;
    OPERATOR "regoperator" "pg_operator" "oprname" "oprnamespace" "operator" "42883" &["oprleft", "oprright"], true;
    ROLE "regrole" "pg_authid" "rolname" "" "role" "42704" &[], false;
    NAMESPACE "regnamespace" "pg_namespace" "nspname" "" "schema" "3F000" &[], false;
    COLLATION "regcollation" "pg_collation" "collname" "collnamespace" "collation" "42704" &[], false;
    CONVERSION "" "pg_conversion" "conname" "connamespace" "conversion" "42704" &[], false;
    OPCLASS "" "pg_opclass" "opcname" "opcnamespace" "operator class" "42704" &["opcmethod"], false;
    OPFAMILY "" "pg_opfamily" "opfname" "opfnamespace" "operator family" "42704" &["opfmethod"], false;
    CONFIG "regconfig" "pg_ts_config" "cfgname" "cfgnamespace" "text search configuration" "42704" &[], false;
    DICTIONARY "regdictionary" "pg_ts_dict" "dictname" "dictnamespace" "text search dictionary" "42704" &[], false;
    PARSER "" "pg_ts_parser" "prsname" "prsnamespace" "text search parser" "42704" &[], false;
    TEMPLATE "" "pg_ts_template" "tmplname" "tmplnamespace" "text search template" "42704" &[], false;
    STATISTICS "" "pg_statistic_ext" "stxname" "stxnamespace" "statistics object" "42704" &[], false;
}

const REGS: &[&Kinds] = &[
    &CLASS,
    &TYPE,
    &PROC,
    &PROCEDURE,
    &OPER,
    &OPERATOR,
    &ROLE,
    &NAMESPACE,
    &COLLATION,
    &CONFIG,
    &DICTIONARY,
];

/// The kind of a type like `regclass`.
pub(in crate::query::catalog) fn kind_of(reg: &str) -> Option<&'static Kinds> {
    REGS.iter().find(|kind| kind.reg == reg).copied()
}

/// The number that a text means as a value of a type like `regclass`.
///
/// # Errors
/// As PostgreSQL's, where there is no such thing.
pub(in crate::query::catalog) fn oid_of(scope: &Scope, reg: &str, text: &str) -> Result<i64> {
    let Some(kind) = kind_of(reg) else { return Err(undefined(format!("type \"{reg}\" does not exist"))) };
    if text == "-" {
        return Ok(0);
    }
    if let Ok(number) = text.trim().parse::<u32>() {
        return Ok(number.into());
    }
    let shown: String = text.chars().take(200).collect();
    match look_up(scope, kind, text)? {
        Looked::One(oid) => Ok(oid),
        Looked::None => {
            let what = match kind.reg {
                "regproc" | "regprocedure" => format!("function \"{shown}\" does not exist"),
                "regoper" | "regoperator" => format!("operator does not exist: {shown}"),
                _ => format!("{} \"{shown}\" does not exist", kind.what),
            };
            Err(Error::new(Kind::NotFound, what).with_sqlstate(kind.sqlstate).into())
        }
        Looked::Several => {
            let what = format!("more than one {} named \"{shown}\"", kind.what);
            Err(Error::new(Kind::Invalid, what).with_sqlstate("42725").into())
        }
    }
}

fn found(scope: &Scope, kind: &Kinds, value: &Value) -> Result<Value> {
    let text = value.str();
    Ok(match look_up(scope, kind, text)? {
        Looked::One(oid) => Value::Int(oid),
        _ => Value::Null,
    })
}

enum Looked {
    None,
    One(i64),
    Several,
}

fn look_up(scope: &Scope, kind: &Kinds, text: &str) -> Result<Looked> {
    let (name, arguments) = match kind.with_arguments {
        true => match text.split_once('(') {
            Some((name, arguments)) => (name.trim(), Some(arguments.trim_end().trim_end_matches(')'))),
            None => return Ok(Looked::None),
        },
        false => (text.trim(), None),
    };
    if kind.reg == "regtype" {
        return Ok(type_oid(scope, name)?.map_or(Looked::None, Looked::One));
    }
    let parts = parts(name);
    let (schema, name) = match parts.as_slice() {
        [name] => (None, name.as_str()),
        [schema, name] if !kind.schema.is_empty() => (Some(schema.as_str()), name.as_str()),
        [database, schema, name] if !kind.schema.is_empty() && *database == scope.catalog.company => {
            (Some(schema.as_str()), name.as_str())
        }
        _ => return Ok(Looked::None),
    };
    let mut rows = scope.catalog.find_all(kind.relation, kind.name, name)?;
    if let Some(arguments) = arguments {
        let arguments = arguments.split(',').map(str::trim).filter(|argument| !argument.is_empty());
        let types = arguments.map(|argument| type_oid(scope, argument)).collect::<Result<Vec<_>>>()?;
        let Some(types) = types.into_iter().collect::<Option<Vec<_>>>() else { return Ok(Looked::None) };
        rows.retain(|row| argument_types(kind, row) == types);
    }
    if let Some(schema) = schema {
        let schema = scope.catalog.schema_oid(schema)?;
        rows.retain(|row| row.oid(kind.schema) == schema);
        return Ok(match rows.as_slice() {
            [] => Looked::None,
            [one] => Looked::One(one.oid("oid")),
            _ => Looked::Several,
        });
    }
    if kind.schema.is_empty() {
        return Ok(rows.first().map_or(Looked::None, |row| Looked::One(row.oid("oid"))));
    }
    let Some(chosen) = scope.choose(rows.clone(), kind.schema, kind.relation == "pg_class")? else {
        return Ok(Looked::None);
    };
    let same = rows.iter().filter(|row| row.oid(kind.schema) == chosen.oid(kind.schema));
    Ok(if same.count() > 1 { Looked::Several } else { Looked::One(chosen.oid("oid")) })
}

fn argument_types(kind: &Kinds, row: &Row) -> Vec<i64> {
    match kind.relation {
        "pg_operator" => {
            vec![row.oid("oprleft"), row.oid("oprright")].into_iter().filter(|t| *t != 0).collect()
        }
        _ => row.ints("proargtypes"),
    }
}

/// The parts of a name that may be qualified: folded unless they are quoted.
pub(in crate::query::catalog) fn parts(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut is_quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let last = parts.len() - 1;
        match c {
            '"' if is_quoted && chars.peek() == Some(&'"') => {
                chars.next();
                parts[last].push('"');
            }
            '"' => is_quoted = !is_quoted,
            '.' if !is_quoted => parts.push(String::new()),
            _ if is_quoted => parts[last].push(c),
            _ => parts[last].extend(c.to_lowercase()),
        }
    }
    parts
}

fn visible(scope: &Scope, kind: &'static Kinds, value: &Value) -> Result<Value> {
    let Some(row) = scope.catalog.find(kind.relation, "oid", value.int())? else { return Ok(Value::Null) };
    is_visible(scope, kind, &row).map(Value::Bool)
}

fn is_visible(scope: &Scope, kind: &Kinds, row: &Row) -> Result<bool> {
    let mut rows = scope.catalog.find_all(kind.relation, kind.name, row.text(kind.name))?;
    let is_alike = |other: &Row| {
        kind.alike.iter().all(|column| match *column {
            "proargtypes" => other.ints(column) == row.ints(column),
            _ => other.oid(column) == row.oid(column),
        })
    };
    rows.retain(is_alike);
    let is_relation = matches!(kind.relation, "pg_class" | "pg_type");
    let chosen = scope.choose(rows, kind.schema, is_relation)?;
    Ok(chosen.is_some_and(|chosen| chosen.oid("oid") == row.oid("oid")))
}

/// A number of a type like `regclass` as text.
pub(in crate::query::catalog) fn of_oid(scope: &Scope, reg: &str, oid: i64) -> Result<String> {
    if oid == 0 {
        return Ok("-".into());
    }
    if reg == "regtype" {
        return type_text(scope, oid, None);
    }
    let Some(kind) = kind_of(reg) else { return Ok(oid.to_string()) };
    let Some(row) = scope.catalog.find(kind.relation, "oid", oid)? else { return Ok(oid.to_string()) };
    let name = match kind.relation {
        "pg_operator" => row.text(kind.name).to_string(),
        _ => quote_ident(row.text(kind.name)),
    };
    let is_plain = match kind.reg {
        // A name that several functions have does not tell which.
        "regproc" => {
            let same = scope.catalog.find_all(kind.relation, kind.name, row.text(kind.name))?;
            let schema = row.oid(kind.schema);
            is_visible(scope, kind, &row)?
                && same.iter().filter(|r| r.oid(kind.schema) == schema).count() == 1
        }
        _ => kind.schema.is_empty() || is_visible(scope, kind, &row)?,
    };
    let mut text = match is_plain {
        true => name,
        false => format!("{}.{name}", quote_ident(&scope.catalog.schema_name(row.oid(kind.schema))?)),
    };
    if kind.with_arguments {
        let types = match kind.relation {
            "pg_operator" => vec![row.oid("oprleft"), row.oid("oprright")],
            _ => row.ints("proargtypes"),
        };
        let types = types.into_iter().map(|oid| match oid {
            0 => Ok("NONE".to_string()),
            oid => type_text(scope, oid, None),
        });
        text = format!("{text}({})", types.collect::<Result<Vec<_>>>()?.join(","));
    }
    Ok(text)
}

/// What SQL calls types that the catalog calls otherwise.
const SQL_NAMES: &[(i64, &str)] = &[
    (16, "boolean"),
    (18, "\"char\""),
    (20, "bigint"),
    (21, "smallint"),
    (23, "integer"),
    (700, "real"),
    (701, "double precision"),
    (1042, "character"),
    (1043, "character varying"),
    (1083, "time without time zone"),
    (1114, "timestamp without time zone"),
    (1184, "timestamp with time zone"),
    (1186, "interval"),
    (1266, "time with time zone"),
    (1560, "bit"),
    (1562, "bit varying"),
    (1700, "numeric"),
];

fn format_type(scope: &Scope, values: &[Value]) -> Result<Value> {
    if values[0].is_null() {
        return Ok(Value::Null);
    }
    let modifier = if values[1].is_null() { None } else { Some(values[1].int()) };
    type_text(scope, values[0].int(), modifier).map(Value::Text)
}

/// A type as SQL writes it. `None` for the modifier is another thing than -1 for `character` and `bit` alone.
pub(in crate::query::catalog) fn type_text(scope: &Scope, oid: i64, modifier: Option<i64>) -> Result<String> {
    if oid == 0 {
        return Ok("-".into());
    }
    let Some(row) = scope.catalog.find("pg_type", "oid", oid)? else { return Ok("???".into()) };
    // array_subscript_handler: a true array, unlike `int2vector`.
    if row.oid("typelem") != 0 && row.oid("typsubscript") == 6179 && row.text("typstorage") != "p" {
        return Ok(format!("{}[]", type_text(scope, row.oid("typelem"), modifier)?));
    }
    let modifier_text = modifier.filter(|modifier| *modifier >= 0).map(|modifier| modified(oid, modifier));
    let sql = SQL_NAMES.iter().find(|(known, _)| *known == oid).map(|(_, name)| *name);
    let name = match sql {
        Some("character" | "bit") if modifier == Some(-1) => return Ok(quote_bare(row.text("typname"))),
        Some(name) => name.to_string(),
        None if is_visible(scope, &TYPE, &row)? => quote_ident(row.text("typname")),
        None => {
            let schema = scope.catalog.schema_name(row.oid("typnamespace"))?;
            format!("{}.{}", quote_ident(&schema), quote_ident(row.text("typname")))
        }
    };
    Ok(match (modifier_text, name.split_once(' ')) {
        (None, _) => name,
        // `timestamp(3) without time zone`
        (Some(text), Some((first, rest))) if matches!(first, "timestamp" | "time") => {
            format!("{first}{text} {rest}")
        }
        (Some(text), _) => format!("{name}{text}"),
    })
}

/// `bpchar` is no word that has to be quoted; `bit` without a length is.
fn quote_bare(name: &str) -> String {
    if name == "bit" { "\"bit\"".into() } else { name.into() }
}

fn modified(oid: i64, modifier: i64) -> String {
    match oid {
        1042 | 1043 => format!("({})", modifier - 4),
        1700 => format!("({},{})", (modifier - 4) >> 16, (modifier - 4) & 0xffff),
        1083 | 1114 | 1184 | 1266 | 1560 | 1562 => format!("({modifier})"),
        _ => String::new(),
    }
}

/// Other names that SQL has for a type.
const ALIASES: &[(&str, &str)] = &[
    ("int", "int4"),
    ("decimal", "numeric"),
    ("dec", "numeric"),
    ("float", "float8"),
    ("char", "bpchar"),
    ("nchar", "bpchar"),
];

/// The number of the type of that name: any name that SQL or the catalog has for it, with `[]` for its array.
pub(in crate::query::catalog) fn type_oid(scope: &Scope, text: &str) -> Result<Option<i64>> {
    let text = text.trim();
    if let Some(element) = text.strip_suffix("[]") {
        let Some(element) = type_oid(scope, element)? else { return Ok(None) };
        let row = scope.catalog.find("pg_type", "oid", element)?;
        return Ok(row.map(|row| row.oid("typarray")).filter(|array| *array != 0));
    }
    let plain = without_modifier(text);
    let folded = plain.to_lowercase();
    let folded = folded.strip_prefix("pg_catalog.").unwrap_or(&folded);
    if let Some((oid, _)) = SQL_NAMES.iter().find(|(_, name)| *name == folded) {
        return Ok(Some(*oid));
    }
    let bare = match folded {
        "timestamp" => Some("timestamp"),
        "time" => Some("time"),
        other => ALIASES.iter().find(|(alias, _)| *alias == other).map(|(_, name)| *name),
    };
    if let Some(name) = bare {
        return Ok(scope.catalog.find("pg_type", "typname", name)?.map(|row| row.oid("oid")));
    }
    let parts = parts(&plain);
    let (schema, name) = match parts.as_slice() {
        [name] => (None, name),
        [schema, name] => (Some(schema), name),
        _ => return Ok(None),
    };
    let rows = scope.catalog.find_all("pg_type", "typname", name.as_str())?;
    let row = match schema {
        Some(schema) => {
            let schema = scope.catalog.schema_oid(schema)?;
            rows.into_iter().find(|row| row.oid("typnamespace") == schema)
        }
        None => scope.choose(rows, "typnamespace", true)?,
    };
    Ok(row.map(|row| row.oid("oid")))
}

/// `numeric(18,2)` is `numeric`, `timestamp(3) with time zone` is `timestamp with time zone`.
fn without_modifier(name: &str) -> String {
    match name.split_once('(').and_then(|(before, rest)| Some((before, rest.split_once(')')?.1))) {
        Some((before, after)) => format!("{}{after}", before.trim_end()),
        None => name.to_string(),
    }
}

/// What a cast to a type like `regclass` gives.
pub(in crate::query::catalog) fn reg_name(reg: &str) -> Option<&'static str> {
    kind_of(reg).map(|kind| kind.reg)
}
