//! A query, checked against the objects and fields that the login may see.

use super::error::{data, malformed, no_column, no_object};
use super::schema::{Field, Object};
use super::soql::{self, Condition, Literal, Operator, Path, Query, Select};
use super::store::Store;
use crate::demo::http::Answer;

/// Rows of a query that asks for `FIELDS(ALL)`.
const MOST_ALL_FIELDS: usize = 200;

/// A query that can be run.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// Name of the object as the schema spells it.
    pub(super) object: String,
    /// Selected fields, spelled as in the schema; parents first.
    pub(super) columns: Vec<Path>,
    pub(super) is_count: bool,
    pub(super) query: Query,
}

/// Parses and checks a query.
pub(super) fn plan(store: &Store, text: &str) -> Result<Plan, Answer> {
    let query = soql::parse(text).map_err(malformed)?;
    let table = store.table(&query.from).filter(|table| table.object.queryable);
    let object = &table.ok_or_else(|| no_object(&query.from))?.object;
    let columns = match &query.select {
        Select::Count => Vec::new(),
        Select::Kind(kind) => {
            if query.limit.is_none_or(|limit| limit > MOST_ALL_FIELDS) {
                return Err(malformed(format!(
                    "The SOQL FIELDS function must have a LIMIT of at most {MOST_ALL_FIELDS}"
                )));
            }
            let of_kind = |field: &&Field| match kind.as_str() {
                "ALL" => true,
                "CUSTOM" => field.is_custom(),
                _ => !field.is_custom(),
            };
            let visible = object.fields.iter().filter(|field| !field.hidden);
            visible.filter(of_kind).map(|field| vec![field.name.clone()]).collect()
        }
        Select::Fields(paths) => {
            let mut columns: Vec<Path> = Vec::new();
            for path in paths {
                let (spelled, _) = resolve(store, object, path)?;
                if columns.contains(&spelled) {
                    return Err(malformed(format!("duplicate field selected: {}", path.join("."))));
                }
                columns.push(spelled);
            }
            columns
        }
    };
    if let Some(condition) = &query.filter {
        check(store, object, condition)?;
    }
    for order in &query.order {
        let (_, field) = resolve(store, object, &order.path)?;
        if !field.filterable {
            return Err(data(
                400,
                "MALFORMED_QUERY",
                format!("field '{}' can not be sorted in a query call", field.name),
            ));
        }
    }
    if !object.must_filter.is_empty()
        && !query.filter.as_ref().is_some_and(|one| names_any(one, object.must_filter))
    {
        return Err(malformed(format!(
            "Implementation restriction: {} requires a filter by a single Id on {} using the equals operator",
            object.name,
            object.must_filter.join(" or ")
        )));
    }
    let is_count = query.select == Select::Count;
    Ok(Plan { object: object.name.clone(), columns, is_count, query })
}

/// The field at the end of a path, and the path as the schema spells it.
pub(super) fn resolve<'a>(
    store: &'a Store,
    object: &'a Object,
    path: &[String],
) -> Result<(Path, &'a Field), Answer> {
    let mut object = object;
    let mut spelled = Path::new();
    let Some((last, parents)) = path.split_last() else { return Err(malformed("unexpected token")) };
    for parent in parents {
        let is_called = |field: &&Field| {
            !field.hidden && field.relationship.is_some_and(|name| name.eq_ignore_ascii_case(parent))
        };
        let field = object.fields.iter().find(is_called);
        let target = field.and_then(|field| {
            // A polymorphic reference has the fields that its first known target has.
            let known = field.refers_to.iter().find_map(|target| store.table(target));
            Some((field.relationship?, known?))
        });
        let Some((name, target)) = target else {
            return Err(data(
                400,
                "INVALID_FIELD",
                format!(
                    "Didn't understand relationship '{parent}' in field path. If you are attempting to use a custom relationship, be sure to append the '__r' after the custom relationship name."
                ),
            ));
        };
        spelled.push(name.into());
        object = &target.object;
    }
    let field = object.field(last).ok_or_else(|| no_column(last, &object.name))?;
    spelled.push(field.name.clone());
    Ok((spelled, field))
}

fn check(store: &Store, object: &Object, condition: &Condition) -> Result<(), Answer> {
    match condition {
        Condition::And(all) | Condition::Or(all) => all.iter().try_for_each(|one| check(store, object, one)),
        Condition::Not(inner) => check(store, object, inner),
        Condition::Compare { path, operator, value } => {
            let field = filterable(store, object, path)?;
            if *operator == Operator::Like && !is_text(field.kind) {
                return Err(data(400, "INVALID_FIELD", format!("invalid operator on {} field", field.kind)));
            }
            fits(field, value)
        }
        Condition::In { path, values, .. } => {
            let field = filterable(store, object, path)?;
            values.iter().try_for_each(|value| fits(field, value))
        }
        Condition::Includes { path, .. } => {
            let field = filterable(store, object, path)?;
            match field.kind {
                "multipicklist" => Ok(()),
                _ => Err(data(
                    400,
                    "INVALID_FIELD",
                    "includes and excludes operators only valid on multipicklist fields",
                )),
            }
        }
    }
}

fn filterable<'a>(store: &'a Store, object: &'a Object, path: &[String]) -> Result<&'a Field, Answer> {
    let (_, field) = resolve(store, object, path)?;
    match field.filterable {
        true => Ok(field),
        false => Err(data(
            400,
            "INVALID_FIELD",
            format!("field '{}' can not be filtered in a query call", field.name),
        )),
    }
}

fn is_text(kind: &str) -> bool {
    !matches!(
        kind,
        "boolean"
            | "int"
            | "long"
            | "double"
            | "currency"
            | "percent"
            | "date"
            | "datetime"
            | "time"
            | "id"
            | "reference"
    )
}

/// Whether a literal may stand beside a field.
fn fits(field: &Field, value: &Literal) -> Result<(), Answer> {
    let fits = match (field.kind, value) {
        (_, Literal::Null) => true,
        ("boolean", value) => matches!(value, Literal::Bool(_)),
        ("int" | "long" | "double" | "currency" | "percent", value) => matches!(value, Literal::Number(_)),
        ("date", value) => matches!(value, Literal::Date(_) | Literal::Days(..)),
        ("datetime", value) => matches!(value, Literal::Time(_) | Literal::Days(..)),
        (_, value) => matches!(value, Literal::Text(_)),
    };
    if fits {
        return Ok(());
    }
    let kind = match field.kind {
        "datetime" => "dateTime",
        other => other,
    };
    let quotes = if matches!(value, Literal::Text(_)) {
        "should not be enclosed in quotes"
    } else {
        "has another type"
    };
    Err(data(
        400,
        "INVALID_FIELD",
        format!("value of filter criterion for field '{}' must be of type {kind} and {quotes}", field.name),
    ))
}

fn names_any(condition: &Condition, fields: &[&str]) -> bool {
    match condition {
        Condition::And(all) => all.iter().any(|one| names_any(one, fields)),
        Condition::Compare { path, operator: Operator::Equal, .. } => {
            fields.iter().any(|field| path.len() == 1 && path[0].eq_ignore_ascii_case(field))
        }
        _ => false,
    }
}
