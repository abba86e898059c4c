//! What things are made of: constraints, indexes, views, functions, comments.

use datafusion::common::Result;

use super::Gives::{Bool, Oid, Text};
use super::names::{oid_of, type_text};
use super::{Spec, Value, spec};
use crate::error::{Error, Kind};
use crate::query::catalog::keywords::quote_ident;
use crate::query::catalog::live::Row;
use crate::query::catalog::rows::{index_definition, oid_of as oid_of_arrow};
use crate::query::catalog::scope::Scope;
use crate::query::catalog::{key, live::Catalog};

pub(in crate::query::catalog) const ALL: &[Spec] = &[
    spec("pg_get_expr", (2, 3), Text, expression),
    spec("pg_get_constraintdef", (1, 2), Text, |scope, values| constraint(scope, values[0].int())),
    spec("pg_get_indexdef", (1, 3), Text, index),
    spec("pg_get_viewdef", (1, 2), Text, view),
    spec("pg_get_ruledef", (1, 2), Text, rule),
    spec("pg_get_triggerdef", (1, 2), Text, nothing),
    spec("pg_get_statisticsobjdef", (1, 1), Text, nothing),
    spec("pg_get_statisticsobjdef_columns", (1, 1), Text, nothing),
    spec("pg_get_partkeydef", (1, 1), Text, nothing),
    spec("pg_get_partition_constraintdef", (1, 1), Text, nothing),
    spec("pg_get_function_sqlbody", (1, 1), Text, |scope, values| {
        let texts = scope.catalog.texts("bodies")?;
        Ok(texts.get(&values[0].int()).and_then(|texts| texts.get(1)).cloned().into())
    }),
    spec("pg_get_function_arg_default", (2, 2), Text, nothing),
    spec("pg_get_serial_sequence", (2, 2), Text, serial),
    spec("pg_get_replica_identity_index", (1, 1), Oid("regclass"), replica_identity),
    spec("pg_get_function_arguments", (1, 1), Text, |scope, values| signature(scope, values, 0)),
    spec("pg_get_function_identity_arguments", (1, 1), Text, |scope, values| signature(scope, values, 1)),
    spec("pg_get_function_result", (1, 1), Text, |scope, values| signature(scope, values, 2)),
    spec("pg_get_functiondef", (1, 1), Text, function),
    spec("obj_description", (1, 2), Text, comment),
    spec("shobj_description", (2, 2), Text, shared_comment),
    spec("col_description", (2, 2), Text, column_comment),
    spec("row_security_active", (1, 1), Bool, |_, _| Ok(Value::Bool(false))),
];

/// Of what there is none here.
fn nothing(_: &Scope, _: &[Value]) -> Result<Value> {
    Ok(Value::Null)
}

/// The trees of expressions are kept by constraints only, whose text is known.
fn expression(scope: &Scope, values: &[Value]) -> Result<Value> {
    let tree = values[0].str();
    for row in scope.catalog.all("pg_constraint")? {
        if row.text("conbin") == tree {
            let Value::Text(text) = constraint(scope, row.oid("oid"))? else { break };
            let inner = text.strip_prefix("CHECK (").and_then(|rest| rest.strip_suffix(')'));
            return Ok(Value::text(inner.unwrap_or(&text)));
        }
    }
    Ok(Value::Null)
}

fn constraint(scope: &Scope, oid: i64) -> Result<Value> {
    let catalog = &scope.catalog;
    if let Some(text) = catalog.texts("constraints")?.get(&oid).and_then(|texts| texts.first()) {
        return Ok(Value::text(text));
    }
    let Some(row) = catalog.find("pg_constraint", "oid", oid)? else { return Ok(Value::Null) };
    let Some(table) = catalog.table(row.oid("conrelid")) else { return Ok(Value::Null) };
    let columns = key::of(table).unwrap_or_default();
    let names: Vec<_> = columns.iter().map(|place| quote_ident(&table.columns[*place].name)).collect();
    Ok(Value::Text(format!("PRIMARY KEY ({})", names.join(", "))))
}

/// `pg_get_indexdef(index [, column, pretty])`: of column 0 the whole.
fn index(scope: &Scope, values: &[Value]) -> Result<Value> {
    let (catalog, oid) = (&scope.catalog, values[0].int());
    let column = values.get(1).map_or(0, Value::int);
    let Some(row) = catalog.find("pg_index", "indexrelid", oid)? else { return Ok(Value::Null) };
    if column != 0 {
        let columns = catalog.find_all("pg_attribute", "attrelid", oid)?;
        let named = columns.iter().find(|row| row.oid("attnum") == column);
        return Ok(named.map_or(Value::text(""), |row| Value::Text(quote_ident(row.text("attname")))));
    }
    let known = catalog.texts("indexes")?.get(&oid).and_then(|texts| texts.first()).cloned();
    let table = catalog.table(row.oid("indrelid"));
    let text = known.or_else(|| table.and_then(|table| index_definition(catalog, table)));
    let is_pretty = values.get(2) == Some(&Value::Bool(true));
    let (Some(text), true) = (&text, is_pretty) else { return Ok(text.into()) };
    // Then the table has its schema only where it needs one.
    let Some(class) = catalog.find("pg_class", "oid", row.oid("indrelid"))? else { return Ok(Value::Null) };
    let schema = catalog.schema_name(class.oid("relnamespace"))?;
    let whole = format!(" ON {}.{} ", quote_ident(&schema), quote_ident(class.text("relname")));
    let short = format!(" ON {} ", super::of_oid(scope, "regclass", class.oid("oid"))?);
    Ok(Value::Text(text.replacen(&whole, &short, 1)))
}

/// Of a view by number or by name.
fn view(scope: &Scope, values: &[Value]) -> Result<Value> {
    let oid = match &values[0] {
        Value::Text(name) => oid_of(scope, "regclass", name)?,
        other => other.int(),
    };
    let Some(row) = scope.catalog.find("pg_class", "oid", oid)? else { return Ok(Value::Null) };
    // `true`, or a width to wrap at.
    if matches!(values.get(1), Some(Value::Bool(true) | Value::Int(_))) {
        let texts = scope.catalog.texts("view_texts")?;
        return Ok(texts.get(&oid).and_then(|texts| texts.first()).cloned().into());
    }
    let schema = scope.catalog.schema_name(row.oid("relnamespace"))?;
    let named = scope.catalog.find_all("pg_views", "viewname", row.text("relname"))?;
    let view = named.iter().find(|view| view.text("schemaname") == schema);
    Ok(view.map(|view| view.text("definition").to_string()).into())
}

fn rule(scope: &Scope, values: &[Value]) -> Result<Value> {
    let Some(row) = scope.catalog.find("pg_rewrite", "oid", values[0].int())? else { return Ok(Value::Null) };
    let Some(class) = scope.catalog.find("pg_class", "oid", row.oid("ev_class"))? else {
        return Ok(Value::Null);
    };
    let rules = scope.catalog.find_all("pg_rules", "rulename", row.text("rulename"))?;
    if let Some(rule) = rules.iter().find(|rule| rule.text("tablename") == class.text("relname")) {
        return Ok(Value::text(rule.text("definition")));
    }
    // What makes a view a view.
    let Value::Text(query) = view(scope, &[Value::Int(class.oid("oid"))])? else { return Ok(Value::Null) };
    let name = super::of_oid(scope, "regclass", class.oid("oid"))?;
    let rule = quote_ident(row.text("rulename"));
    Ok(Value::Text(format!("CREATE RULE {rule} AS\n    ON SELECT TO {name} DO INSTEAD {query}")))
}

/// No column takes its values from a sequence; but there must be such a column.
fn serial(scope: &Scope, values: &[Value]) -> Result<Value> {
    let oid = oid_of(scope, "regclass", values[0].str())?;
    let columns = scope.catalog.find_all("pg_attribute", "attrelid", oid)?;
    let name = values[1].str();
    if !columns.iter().any(|row| row.text("attname") == name) {
        let table = values[0].str();
        let what = format!("column \"{name}\" of relation \"{table}\" does not exist");
        return Err(Error::new(Kind::NotFound, what).with_sqlstate("42703").into());
    }
    Ok(Value::Null)
}

/// The index that identifies rows: of a table with the default identity that of its primary key.
fn replica_identity(scope: &Scope, values: &[Value]) -> Result<Value> {
    let oid = class_of(scope, &values[0])?;
    let indexes = scope.catalog.find_all("pg_index", "indrelid", oid)?;
    let key = indexes.iter().find(|row| row.is("indisprimary"));
    Ok(key.map_or(Value::Null, |row| Value::Int(row.oid("indexrelid"))))
}

/// A relation given by number or by name.
pub(super) fn class_of(scope: &Scope, value: &Value) -> Result<i64> {
    match value {
        Value::Text(name) => oid_of(scope, "regclass", name),
        other => Ok(other.int()),
    }
}

/// The arguments (0), the arguments that identify it (1) or the result (2) of a function.
fn signature(scope: &Scope, values: &[Value], which: usize) -> Result<Value> {
    let oid = values[0].int();
    if let Some(texts) = scope.catalog.texts("signatures")?.get(&oid) {
        // A procedure has no result.
        return Ok(texts.get(which).filter(|text| which != 2 || !text.is_empty()).cloned().into());
    }
    let place = scope.catalog.facts.procedures.iter().position(|procedure| i64::from(*procedure) == oid);
    let Some(place) = place else { return Ok(Value::Null) };
    if which == 2 {
        return Ok(Value::Null);
    }
    arguments(scope, &scope.catalog, place, which == 0).map(Value::Text)
}

fn arguments(scope: &Scope, catalog: &Catalog, place: usize, with_defaults: bool) -> Result<String> {
    let signature = &catalog.procedures[place];
    let mut arguments = Vec::new();
    for param in &signature.params {
        let type_name = type_text(scope, oid_of_arrow(&param.data_type), None)?;
        let mode = "IN ";
        let default = match &param.default {
            Some(default) if with_defaults && default.is_null() => format!(" DEFAULT NULL::{type_name}"),
            Some(default) if with_defaults && param.data_type.is_numeric() => format!(" DEFAULT {default}"),
            Some(default) if with_defaults => match default.try_as_str().flatten() {
                Some(text) => format!(" DEFAULT '{}'::{type_name}", text.replace('\'', "''")),
                None => format!(" DEFAULT {default}"),
            },
            _ => String::new(),
        };
        arguments.push(format!("{mode}{} {type_name}{default}", quote_ident(&param.name)));
    }
    for field in signature.result.fields() {
        let type_name = type_text(scope, oid_of_arrow(field.data_type()), None)?;
        arguments.push(format!("OUT {} {type_name}", quote_ident(field.name())));
    }
    Ok(arguments.join(", "))
}

/// The statement that would make a function.
fn function(scope: &Scope, values: &[Value]) -> Result<Value> {
    let oid = values[0].int();
    let Some(row) = scope.catalog.find("pg_proc", "oid", oid)? else { return Ok(Value::Null) };
    if row.text("prokind") == "a" {
        let what = format!("\"{}\" is an aggregate function", row.text("proname"));
        return Err(Error::new(Kind::Invalid, what).with_sqlstate("42809").into());
    }
    if let Some(text) = scope.catalog.texts("bodies")?.get(&oid).and_then(|texts| texts.first()) {
        return Ok(Value::text(text));
    }
    let is_procedure = row.text("prokind") == "p";
    let text = |which| match signature(scope, values, which) {
        Ok(Value::Text(text)) => text,
        _ => String::new(),
    };
    let schema = quote_ident(&scope.catalog.schema_name(row.oid("pronamespace"))?);
    let name = format!("{schema}.{}", quote_ident(row.text("proname")));
    let what = if is_procedure { "PROCEDURE" } else { "FUNCTION" };
    let mut lines = vec![format!("CREATE OR REPLACE {what} {name}({})", text(0))];
    if !is_procedure {
        lines.push(format!(" RETURNS {}", text(2)));
    }
    let language = scope.catalog.find("pg_language", "oid", row.oid("prolang"))?;
    let language = language.map(|row| row.text("lanname").to_string()).unwrap_or_default();
    lines.push(format!(" LANGUAGE {language}"));
    lines.extend(properties(&row, &language));
    let source = row.text("prosrc");
    let body = match language.as_str() {
        "c" => format!("AS '{}', $function${source}$function$", row.text("probin")),
        _ => format!("AS ${0}${source}${0}$", what.to_lowercase()),
    };
    Ok(Value::Text(format!("{}\n{body}\n", lines.join("\n"))))
}

/// The line of properties that are not the usual ones.
fn properties(row: &Row, language: &str) -> Option<String> {
    let mut words = String::new();
    if row.text("prokind") == "w" {
        words.push_str(" WINDOW");
    }
    words.push_str(match row.text("provolatile") {
        "i" => " IMMUTABLE",
        "s" => " STABLE",
        _ => "",
    });
    words.push_str(match row.text("proparallel") {
        "s" => " PARALLEL SAFE",
        "r" => " PARALLEL RESTRICTED",
        _ => "",
    });
    for (column, word) in
        [("proisstrict", " STRICT"), ("prosecdef", " SECURITY DEFINER"), ("proleakproof", " LEAKPROOF")]
    {
        if row.is(column) {
            words.push_str(word);
        }
    }
    let usual = if matches!(language, "internal" | "c") { 1 } else { 100 };
    let cost = row.int("procost").unwrap_or(usual);
    if cost != usual {
        words.push_str(&format!(" COST {cost}"));
    }
    let rows = row.int("prorows").unwrap_or_default();
    if rows != 0 && rows != 1000 {
        words.push_str(&format!(" ROWS {rows}"));
    }
    Some(words).filter(|words| !words.is_empty())
}

/// Comments on what is not a column; without a catalog any that has the number.
fn comment(scope: &Scope, values: &[Value]) -> Result<Value> {
    let class = match values.get(1) {
        Some(name) => oid_of(scope, "regclass", &format!("pg_catalog.{}", quote_ident(name.str()))).ok(),
        None => None,
    };
    if values.len() > 1 && class.is_none() {
        return Ok(Value::Null);
    }
    described(scope, values[0].int(), class, 0)
}

fn column_comment(scope: &Scope, values: &[Value]) -> Result<Value> {
    // pg_class
    described(scope, values[0].int(), Some(1259), values[1].int())
}

fn described(scope: &Scope, oid: i64, class: Option<i64>, column: i64) -> Result<Value> {
    let rows = scope.catalog.find_all("pg_description", "objoid", oid)?;
    let fits =
        |row: &&Row| class.is_none_or(|class| row.oid("classoid") == class) && row.oid("objsubid") == column;
    Ok(rows.iter().find(fits).map(|row| row.text("description").to_string()).into())
}

fn shared_comment(scope: &Scope, values: &[Value]) -> Result<Value> {
    let name = format!("pg_catalog.{}", quote_ident(values[1].str()));
    let Ok(class) = oid_of(scope, "regclass", &name) else { return Ok(Value::Null) };
    let rows = scope.catalog.find_all("pg_shdescription", "objoid", values[0].int())?;
    let row = rows.iter().find(|row| row.oid("classoid") == class);
    Ok(row.map(|row| row.text("description").to_string()).into())
}
