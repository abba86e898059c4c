//! Schemas, tables, views, roles, collations.

use arrow::record_batch::RecordBatch;
use datafusion::common::Result;

use super::{View, yes_or_no};
use crate::query::catalog::acl::OWNER_NAME;
use crate::query::catalog::build::{Cell, Rows};
use crate::query::catalog::shape::Shape;

pub(super) fn of(view: &View<'_>, shape: &'static Shape) -> Result<Option<RecordBatch>> {
    let make = match shape.name {
        "information_schema_catalog_name" => database,
        "schemata" => schemata,
        "tables" => tables,
        "views" => views,
        "enabled_roles" => enabled_roles,
        "applicable_roles" | "administrable_role_authorizations" => memberships,
        "character_sets" => character_sets,
        "collations" => collations,
        "collation_character_set_applicability" => collation_sets,
        _ => return Ok(None),
    };
    make(view, shape).map(Some)
}

fn database(view: &View<'_>, shape: &'static Shape) -> Result<RecordBatch> {
    let mut rows = Rows::new(shape, &["catalog_name"]);
    rows.push(&[view.company().into()]);
    rows.finish()
}

fn schemata(view: &View<'_>, shape: &'static Shape) -> Result<RecordBatch> {
    let mut rows = Rows::new(shape, &["catalog_name", "schema_name", "schema_owner"]);
    for row in view.catalog.all("pg_namespace")? {
        if view.is_admin() || !view.holds(row.texts("nspacl").as_deref()).is_empty() {
            rows.push(&[view.company().into(), row.text("nspname").into(), OWNER_NAME.into()]);
        }
    }
    rows.finish()
}

fn tables(view: &View<'_>, shape: &'static Shape) -> Result<RecordBatch> {
    let given =
        ["table_catalog", "table_schema", "table_name", "table_type", "is_insertable_into", "is_typed"];
    let mut rows = Rows::new(shape, &given);
    for class in view.classes()? {
        let is_table = class.row.text("relkind") == "r";
        rows.push(&[
            view.company().into(),
            (&class.schema).into(),
            class.row.text("relname").into(),
            (if is_table { "BASE TABLE" } else { "VIEW" }).into(),
            // Nobody can insert into anything.
            yes_or_no(false).into(),
            yes_or_no(false).into(),
        ]);
    }
    rows.finish()
}

fn views(view: &View<'_>, shape: &'static Shape) -> Result<RecordBatch> {
    let mut rows = Rows::new(
        shape,
        &[
            "table_catalog",
            "table_schema",
            "table_name",
            "view_definition",
            "check_option",
            "is_updatable",
            "is_insertable_into",
            "is_trigger_updatable",
            "is_trigger_deletable",
            "is_trigger_insertable_into",
        ],
    );
    for class in view.classes()?.iter().filter(|class| class.row.text("relkind") == "v") {
        let name = class.row.text("relname");
        let named = view.catalog.find_all("pg_views", "viewname", name)?;
        let found = named.iter().find(|row| row.text("schemaname") == class.schema);
        let definition = found.filter(|_| view.is_admin()).map(|row| row.text("definition"));
        let no = yes_or_no(false);
        rows.push(&[
            view.company().into(),
            (&class.schema).into(),
            name.into(),
            definition.into(),
            "NONE".into(),
            no.into(),
            no.into(),
            no.into(),
            no.into(),
            no.into(),
        ]);
    }
    rows.finish()
}

fn enabled_roles(view: &View<'_>, shape: &'static Shape) -> Result<RecordBatch> {
    let mut rows = Rows::new(shape, &["role_name"]);
    for role in view.catalog.all("pg_authid")? {
        if view.is_admin() || role.oid("oid") == view.role {
            rows.push(&[role.text("rolname").into()]);
        }
    }
    rows.finish()
}

fn memberships(view: &View<'_>, shape: &'static Shape) -> Result<RecordBatch> {
    let mut rows = Rows::new(shape, &["grantee", "role_name", "is_grantable"]);
    let name = |oid: i64| -> Result<Cell<'static>> {
        let row = view.catalog.find("pg_authid", "oid", oid)?;
        Ok(row.map(|row| row.text("rolname").to_string()).into())
    };
    for member in view.catalog.all("pg_auth_members")? {
        let can_grant = member.is("admin_option");
        let is_seen = view.is_admin() || member.oid("member") == view.role;
        if is_seen && (can_grant || shape.name == "applicable_roles") {
            let (grantee, role) = (name(member.oid("member"))?, name(member.oid("roleid"))?);
            rows.push(&[grantee, role, yes_or_no(can_grant).into()]);
        }
    }
    rows.finish()
}

fn character_sets(view: &View<'_>, shape: &'static Shape) -> Result<RecordBatch> {
    let given = [
        "character_set_name",
        "character_repertoire",
        "form_of_use",
        "default_collate_catalog",
        "default_collate_schema",
        "default_collate_name",
    ];
    let mut rows = Rows::new(shape, &given);
    let utf8 = "UTF8";
    rows.push(&[
        utf8.into(),
        "UCS".into(),
        utf8.into(),
        view.company().into(),
        "pg_catalog".into(),
        "C".into(),
    ]);
    rows.finish()
}

fn collations(view: &View<'_>, shape: &'static Shape) -> Result<RecordBatch> {
    let given = ["collation_catalog", "collation_schema", "collation_name", "pad_attribute"];
    let mut rows = Rows::new(shape, &given);
    for row in view.catalog.all("pg_collation")? {
        let schema = view.catalog.schema_name(row.oid("collnamespace"))?;
        rows.push(&[view.company().into(), schema.into(), row.text("collname").into(), "NO PAD".into()]);
    }
    rows.finish()
}

fn collation_sets(view: &View<'_>, shape: &'static Shape) -> Result<RecordBatch> {
    let given = ["collation_catalog", "collation_schema", "collation_name", "character_set_name"];
    let mut rows = Rows::new(shape, &given);
    for row in view.catalog.all("pg_collation")? {
        let schema = view.catalog.schema_name(row.oid("collnamespace"))?;
        rows.push(&[view.company().into(), schema.into(), row.text("collname").into(), "UTF8".into()]);
    }
    rows.finish()
}
