//! Rights.

use arrow::record_batch::RecordBatch;
use datafusion::common::Result;

use super::{Class, View, grantee, yes_or_no};
use crate::query::catalog::acl::{OWNER_NAME, Right};
use crate::query::catalog::build::Rows;
use crate::query::catalog::shape::Shape;

pub(super) fn of(view: &View<'_>, shape: &'static Shape) -> Result<Option<RecordBatch>> {
    let make = match shape.name {
        "table_privileges" | "role_table_grants" => tables,
        "column_privileges" | "role_column_grants" => columns,
        "routine_privileges" | "role_routine_grants" => routines,
        "udt_privileges" | "role_udt_grants" => types,
        "usage_privileges" | "role_usage_grants" => usage,
        _ => return Ok(None),
    };
    make(view, shape).map(Some)
}

/// What can be done with columns.
const OF_COLUMNS: &[&str] = &["INSERT", "SELECT", "UPDATE", "REFERENCES"];

/// The views that leave out what everybody has because he is one of all.
fn is_of_roles(shape: &Shape) -> bool {
    shape.name.starts_with("role_")
}

/// The rights on a table that are listed.
fn rights(view: &View<'_>, shape: &Shape, class: &Class) -> Vec<Right> {
    let mut rights = view.listed(class.row.texts("relacl"), "arwdDxt");
    rights.retain(|right| !is_of_roles(shape) || !right.grantee.is_empty());
    rights
}

fn can_grant(right: &Right) -> &'static str {
    yes_or_no(right.can_grant || right.grantee == OWNER_NAME)
}

fn tables(view: &View<'_>, shape: &'static Shape) -> Result<RecordBatch> {
    let given = [
        "grantor",
        "grantee",
        "table_catalog",
        "table_schema",
        "table_name",
        "privilege_type",
        "is_grantable",
        "with_hierarchy",
    ];
    let mut rows = Rows::new(shape, &given);
    for class in view.classes()? {
        for right in rights(view, shape, &class) {
            rows.push(&[
                (&right.grantor).into(),
                grantee(&right).into(),
                view.company().into(),
                (&class.schema).into(),
                class.row.text("relname").into(),
                right.privilege.into(),
                can_grant(&right).into(),
                yes_or_no(right.privilege == "SELECT").into(),
            ]);
        }
    }
    rows.finish()
}

fn columns(view: &View<'_>, shape: &'static Shape) -> Result<RecordBatch> {
    let given = [
        "grantor",
        "grantee",
        "table_catalog",
        "table_schema",
        "table_name",
        "column_name",
        "privilege_type",
        "is_grantable",
    ];
    let mut rows = Rows::new(shape, &given);
    for class in view.classes()? {
        let mut rights = rights(view, shape, &class);
        rights.retain(|right| OF_COLUMNS.contains(&right.privilege));
        for column in view.catalog.find_all("pg_attribute", "attrelid", class.row.oid("oid"))? {
            if column.oid("attnum") < 1 || column.is("attisdropped") {
                continue;
            }
            // A right on both, the table and the column, is one.
            let own = column.texts("attacl").map(|items| view.listed(Some(items), "")).unwrap_or_default();
            let own = own.into_iter().filter(|own| !rights.iter().any(|right| right.grantee == own.grantee));
            let own: Vec<_> = own.collect();
            for right in rights.iter().chain(&own) {
                rows.push(&[
                    (&right.grantor).into(),
                    grantee(right).into(),
                    view.company().into(),
                    (&class.schema).into(),
                    class.row.text("relname").into(),
                    column.text("attname").into(),
                    right.privilege.into(),
                    can_grant(right).into(),
                ]);
            }
        }
    }
    rows.finish()
}

fn routines(view: &View<'_>, shape: &'static Shape) -> Result<RecordBatch> {
    let given = [
        "grantor",
        "grantee",
        "specific_catalog",
        "specific_schema",
        "specific_name",
        "routine_catalog",
        "routine_schema",
        "routine_name",
        "privilege_type",
        "is_grantable",
    ];
    let mut rows = Rows::new(shape, &given);
    for row in view.catalog.all("pg_proc")? {
        let schema = view.catalog.schema_name(row.oid("pronamespace"))?;
        let name = row.text("proname");
        let items = row
            .texts("proacl")
            .unwrap_or_else(|| vec![format!("=X/{OWNER_NAME}"), format!("{OWNER_NAME}=X/{OWNER_NAME}")]);
        for right in view.listed(Some(items), "X") {
            if is_of_roles(shape) && right.grantee.is_empty() {
                continue;
            }
            rows.push(&[
                (&right.grantor).into(),
                grantee(&right).into(),
                view.company().into(),
                (&schema).into(),
                format!("{name}_{}", row.oid("oid")).into(),
                view.company().into(),
                (&schema).into(),
                name.into(),
                "EXECUTE".into(),
                can_grant(&right).into(),
            ]);
        }
    }
    rows.finish()
}

/// Of types that are rows of tables; everybody may use them.
fn types(view: &View<'_>, shape: &'static Shape) -> Result<RecordBatch> {
    let given =
        ["grantor", "grantee", "udt_catalog", "udt_schema", "udt_name", "privilege_type", "is_grantable"];
    let mut rows = Rows::new(shape, &given);
    for row in view.catalog.find_all("pg_type", "typtype", "c")? {
        let schema = view.catalog.schema_name(row.oid("typnamespace"))?;
        for (grantee, can_grant) in [("PUBLIC", "NO"), (OWNER_NAME, "YES")] {
            let is_seen = grantee == "PUBLIC" || view.is_admin();
            if !is_seen || (is_of_roles(shape) && grantee == "PUBLIC") {
                continue;
            }
            rows.push(&[
                OWNER_NAME.into(),
                grantee.into(),
                view.company().into(),
                (&schema).into(),
                row.text("typname").into(),
                "TYPE USAGE".into(),
                can_grant.into(),
            ]);
        }
    }
    rows.finish()
}

/// Collations, which everybody may use, and domains.
fn usage(view: &View<'_>, shape: &'static Shape) -> Result<RecordBatch> {
    let given = [
        "grantor",
        "grantee",
        "object_catalog",
        "object_schema",
        "object_name",
        "object_type",
        "privilege_type",
        "is_grantable",
    ];
    let mut rows = Rows::new(shape, &given);
    let mut push = |grantee: &str, schema: &str, name: &str, kind: &str| {
        if is_of_roles(shape) && grantee == "PUBLIC" {
            return;
        }
        rows.push(&[
            OWNER_NAME.into(),
            grantee.into(),
            view.company().into(),
            schema.into(),
            name.into(),
            kind.into(),
            "USAGE".into(),
            yes_or_no(grantee == OWNER_NAME).into(),
        ]);
    };
    for row in view.catalog.all("pg_collation")? {
        let schema = view.catalog.schema_name(row.oid("collnamespace"))?;
        push("PUBLIC", &schema, row.text("collname"), "COLLATION");
    }
    for row in view.catalog.find_all("pg_type", "typtype", "d")? {
        let schema = view.catalog.schema_name(row.oid("typnamespace"))?;
        push("PUBLIC", &schema, row.text("typname"), "DOMAIN");
        if view.is_admin() {
            push(OWNER_NAME, &schema, row.text("typname"), "DOMAIN");
        }
    }
    rows.finish()
}
