//! Functions and procedures.

use arrow::record_batch::RecordBatch;
use datafusion::common::Result;

use super::{View, yes_or_no};
use crate::query::catalog::build::Rows;
use crate::query::catalog::live::Row;
use crate::query::catalog::shape::Shape;

pub(super) fn of(view: &View<'_>, shape: &'static Shape) -> Result<Option<RecordBatch>> {
    let make = match shape.name {
        "routines" => routines,
        "parameters" => parameters,
        _ => return Ok(None),
    };
    make(view, shape).map(Some)
}

/// What the user may call.
fn callable(view: &View<'_>) -> Result<Vec<Row>> {
    let mut rows = view.catalog.all("pg_proc")?;
    rows.retain(|row| {
        let items = row.texts("proacl");
        // Without rights of its own everybody may call it.
        view.is_admin() || items.is_none() || !view.holds(items.as_deref()).is_empty()
    });
    Ok(rows)
}

fn specific(row: &Row) -> String {
    format!("{}_{}", row.text("proname"), row.oid("oid"))
}

fn routines(view: &View<'_>, shape: &'static Shape) -> Result<RecordBatch> {
    let mut rows = Rows::new(
        shape,
        &[
            "specific_catalog",
            "specific_schema",
            "specific_name",
            "routine_catalog",
            "routine_schema",
            "routine_name",
            "routine_type",
            "data_type",
            "type_udt_catalog",
            "type_udt_schema",
            "type_udt_name",
            "dtd_identifier",
            "routine_body",
            "routine_definition",
            "external_name",
            "external_language",
            "parameter_style",
            "is_deterministic",
            "sql_data_access",
            "is_null_call",
            "schema_level_routine",
            "max_dynamic_result_sets",
            "security_type",
            "as_locator",
            "is_udt_dependent",
        ],
    );
    for row in callable(view)? {
        let schema = view.catalog.schema_name(row.oid("pronamespace"))?;
        let language = view.catalog.find("pg_language", "oid", row.oid("prolang"))?;
        let language = language.map(|row| row.text("lanname").to_string()).unwrap_or_default();
        let kind = row.text("prokind");
        let told = if kind == "p" { None } else { Some(view.told(row.oid("prorettype"), -1)?) };
        let source = row.text("prosrc");
        rows.push(&[
            view.company().into(),
            (&schema).into(),
            specific(&row).into(),
            view.company().into(),
            (&schema).into(),
            row.text("proname").into(),
            (match kind {
                "f" => Some("FUNCTION"),
                "p" => Some("PROCEDURE"),
                _ => None,
            })
            .into(),
            told.as_ref().map(|told| &told.data_type).into(),
            told.as_ref().map(|_| view.company()).into(),
            told.as_ref().map(|told| &told.own.0).into(),
            told.as_ref().map(|told| &told.own.1).into(),
            told.as_ref().map(|_| "0").into(),
            (if language == "sql" { "SQL" } else { "EXTERNAL" }).into(),
            view.is_admin().then_some(source).into(),
            (language == "c").then_some(source).into(),
            language.to_uppercase().into(),
            "GENERAL".into(),
            yes_or_no(row.text("provolatile") == "i").into(),
            "MODIFIES".into(),
            (kind != "p").then(|| yes_or_no(row.is("proisstrict"))).into(),
            "YES".into(),
            0.into(),
            (if row.is("prosecdef") { "DEFINER" } else { "INVOKER" }).into(),
            "NO".into(),
            "NO".into(),
        ]);
    }
    rows.finish()
}

fn parameters(view: &View<'_>, shape: &'static Shape) -> Result<RecordBatch> {
    let mut rows = Rows::new(
        shape,
        &[
            "specific_catalog",
            "specific_schema",
            "specific_name",
            "ordinal_position",
            "parameter_mode",
            "is_result",
            "as_locator",
            "parameter_name",
            "data_type",
            "udt_catalog",
            "udt_schema",
            "udt_name",
            "dtd_identifier",
        ],
    );
    for row in callable(view)? {
        let schema = view.catalog.schema_name(row.oid("pronamespace"))?;
        let all = row.ints("proallargtypes");
        let types = if all.is_empty() { row.ints("proargtypes") } else { all };
        let (modes, names) = (row.texts("proargmodes"), row.texts("proargnames"));
        for (place, oid) in types.iter().enumerate() {
            let mode = modes.as_ref().and_then(|modes| modes.get(place)).map_or("i", String::as_str);
            let name = names.as_ref().and_then(|names| names.get(place)).filter(|name| !name.is_empty());
            let told = view.told(*oid, -1)?;
            let position = place as i64 + 1;
            rows.push(&[
                view.company().into(),
                (&schema).into(),
                specific(&row).into(),
                position.into(),
                (match mode {
                    "i" | "v" => "IN",
                    "b" => "INOUT",
                    _ => "OUT",
                })
                .into(),
                "NO".into(),
                "NO".into(),
                name.into(),
                (&told.data_type).into(),
                view.company().into(),
                (&told.own.0).into(),
                (&told.own.1).into(),
                position.to_string().into(),
            ]);
        }
    }
    rows.finish()
}
