//! Constraints.

use arrow::record_batch::RecordBatch;
use datafusion::common::Result;

use super::{Class, View};
use crate::query::catalog::build::Rows;
use crate::query::catalog::live::Row;
use crate::query::catalog::shape::Shape;

pub(super) fn of(view: &View<'_>, shape: &'static Shape) -> Result<Option<RecordBatch>> {
    let make = match shape.name {
        "table_constraints" => table_constraints,
        "key_column_usage" => key_columns,
        "constraint_column_usage" => constraint_columns,
        "constraint_table_usage" => constraint_tables,
        "check_constraints" => check_constraints,
        "domain_constraints" => domain_constraints,
        _ => return Ok(None),
    };
    make(view, shape).map(Some)
}

/// The unique constraints of a table.
fn keys(view: &View<'_>, class: &Class) -> Result<Vec<Row>> {
    let mut rows = view.catalog.find_all("pg_constraint", "conrelid", class.row.oid("oid"))?;
    rows.retain(|row| matches!(row.text("contype"), "p" | "u"));
    Ok(rows)
}

/// The columns of a constraint.
fn columns(view: &View<'_>, key: &Row) -> Result<Vec<String>> {
    let all = view.catalog.find_all("pg_attribute", "attrelid", key.oid("conrelid"))?;
    let name = |number: &i64| {
        let row = all.iter().find(|row| row.oid("attnum") == *number);
        row.map(|row| row.text("attname").to_string())
    };
    Ok(key.ints("conkey").iter().filter_map(name).collect())
}

/// The name that the standard has for a column that is never NULL.
fn not_null(class: &Row, column: &Row) -> String {
    format!("{}_{}_{}_not_null", class.oid("relnamespace"), class.oid("oid"), column.oid("attnum"))
}

/// The columns of a table that are never NULL.
fn never_null(view: &View<'_>, class: &Class) -> Result<Vec<Row>> {
    if class.row.text("relkind") == "v" {
        return Ok(Vec::new());
    }
    let mut rows = view.catalog.find_all("pg_attribute", "attrelid", class.row.oid("oid"))?;
    rows.retain(|row| row.oid("attnum") > 0 && row.is("attnotnull") && !row.is("attisdropped"));
    Ok(rows)
}

/// As in PostgreSQL, the right to read a table is not enough to see its constraints here.
fn table_constraints(view: &View<'_>, shape: &'static Shape) -> Result<RecordBatch> {
    let mut rows = Rows::new(
        shape,
        &[
            "constraint_catalog",
            "constraint_schema",
            "constraint_name",
            "table_catalog",
            "table_schema",
            "table_name",
            "constraint_type",
            "is_deferrable",
            "initially_deferred",
            "enforced",
            "nulls_distinct",
        ],
    );
    for class in if view.is_admin() { view.classes()? } else { Vec::new() } {
        let mut push = |name: &str, kind: &str, distinct: Option<&str>| {
            rows.push(&[
                view.company().into(),
                (&class.schema).into(),
                name.into(),
                view.company().into(),
                (&class.schema).into(),
                class.row.text("relname").into(),
                kind.into(),
                "NO".into(),
                "NO".into(),
                "YES".into(),
                distinct.into(),
            ]);
        };
        for key in keys(view, &class)? {
            let is_primary = key.text("contype") == "p";
            let kind = if is_primary { "PRIMARY KEY" } else { "UNIQUE" };
            push(key.text("conname"), kind, (!is_primary).then_some("YES"));
        }
        for column in never_null(view, &class)? {
            push(&not_null(&class.row, &column), "CHECK", None);
        }
    }
    rows.finish()
}

fn key_columns(view: &View<'_>, shape: &'static Shape) -> Result<RecordBatch> {
    let mut rows = Rows::new(
        shape,
        &[
            "constraint_catalog",
            "constraint_schema",
            "constraint_name",
            "table_catalog",
            "table_schema",
            "table_name",
            "column_name",
            "ordinal_position",
        ],
    );
    for class in view.classes()? {
        for key in keys(view, &class)? {
            for (place, column) in columns(view, &key)?.into_iter().enumerate() {
                rows.push(&[
                    view.company().into(),
                    (&class.schema).into(),
                    key.text("conname").into(),
                    view.company().into(),
                    (&class.schema).into(),
                    class.row.text("relname").into(),
                    column.into(),
                    (place as i64 + 1).into(),
                ]);
            }
        }
    }
    rows.finish()
}

/// As PostgreSQL, only for who owns the tables.
fn constraint_columns(view: &View<'_>, shape: &'static Shape) -> Result<RecordBatch> {
    let given = [
        "table_catalog",
        "table_schema",
        "table_name",
        "column_name",
        "constraint_catalog",
        "constraint_schema",
        "constraint_name",
    ];
    let mut rows = Rows::new(shape, &given);
    for class in if view.is_admin() { view.classes()? } else { Vec::new() } {
        for key in keys(view, &class)? {
            for column in columns(view, &key)? {
                rows.push(&[
                    view.company().into(),
                    (&class.schema).into(),
                    class.row.text("relname").into(),
                    column.into(),
                    view.company().into(),
                    (&class.schema).into(),
                    key.text("conname").into(),
                ]);
            }
        }
    }
    rows.finish()
}

/// As PostgreSQL, only for who owns the tables.
fn constraint_tables(view: &View<'_>, shape: &'static Shape) -> Result<RecordBatch> {
    let given = [
        "table_catalog",
        "table_schema",
        "table_name",
        "constraint_catalog",
        "constraint_schema",
        "constraint_name",
    ];
    let mut rows = Rows::new(shape, &given);
    for class in if view.is_admin() { view.classes()? } else { Vec::new() } {
        for key in keys(view, &class)? {
            rows.push(&[
                view.company().into(),
                (&class.schema).into(),
                class.row.text("relname").into(),
                view.company().into(),
                (&class.schema).into(),
                key.text("conname").into(),
            ]);
        }
    }
    rows.finish()
}

/// The constraints of domains with their texts.
fn of_domains(view: &View<'_>) -> Result<Vec<(Row, String)>> {
    let texts = view.catalog.texts("constraints")?;
    let rows = view.catalog.all("pg_constraint")?.into_iter().filter(|row| row.oid("contypid") != 0);
    let text = |row: Row| {
        let text = texts.get(&row.oid("oid")).and_then(|texts| texts.first()).cloned()?;
        Some((row, text))
    };
    Ok(rows.filter_map(text).collect())
}

fn check_constraints(view: &View<'_>, shape: &'static Shape) -> Result<RecordBatch> {
    let given = ["constraint_catalog", "constraint_schema", "constraint_name", "check_clause"];
    let mut rows = Rows::new(shape, &given);
    if !view.is_admin() {
        return rows.finish();
    }
    for (row, text) in of_domains(view)? {
        let schema = view.catalog.schema_name(row.oid("connamespace"))?;
        let clause = text.strip_prefix("CHECK ").unwrap_or(&text).to_string();
        rows.push(&[view.company().into(), schema.into(), row.text("conname").into(), clause.into()]);
    }
    for class in view.classes()? {
        for column in never_null(view, &class)? {
            let (name, clause) =
                (not_null(&class.row, &column), format!("{} IS NOT NULL", column.text("attname")));
            rows.push(&[view.company().into(), (&class.schema).into(), name.into(), clause.into()]);
        }
    }
    rows.finish()
}

/// As PostgreSQL, only for who owns the domains.
fn domain_constraints(view: &View<'_>, shape: &'static Shape) -> Result<RecordBatch> {
    let given = [
        "constraint_catalog",
        "constraint_schema",
        "constraint_name",
        "domain_catalog",
        "domain_schema",
        "domain_name",
        "is_deferrable",
        "initially_deferred",
    ];
    let mut rows = Rows::new(shape, &given);
    for (row, _) in of_domains(view)?.iter().filter(|_| view.is_admin()) {
        let told = view.catalog.find("pg_type", "oid", row.oid("contypid"))?;
        let schema = view.catalog.schema_name(row.oid("connamespace"))?;
        rows.push(&[
            view.company().into(),
            schema.clone().into(),
            row.text("conname").into(),
            view.company().into(),
            schema.into(),
            told.as_ref().map(|row| row.text("typname")).into(),
            "NO".into(),
            "NO".into(),
        ]);
    }
    rows.finish()
}
