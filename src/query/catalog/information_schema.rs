//! `information_schema`: the catalog in the standard's terms. As in PostgreSQL it shows only what the user has a
//! right on, so its rows are those of a role.

mod columns;
mod keys;
mod privileges;
mod routines;
mod schemas;

use std::collections::HashSet;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use datafusion::common::Result;

use super::acl::{OWNER_NAME, Right, rights};
use super::archive;
use super::live::{Catalog, Row};
use super::scope::Scope;
use super::shape::Shape;

/// The rows of a view for whoever asks.
pub(super) fn rows(scope: &Scope, shape: &'static Shape) -> Result<Arc<[RecordBatch]>> {
    if let Some(rows) = archive::rows(shape)? {
        return Ok(Arc::from([rows]));
    }
    let key = (shape.name, scope.who.name.clone());
    if let Some(known) = scope.catalog.of_role(&key) {
        return Ok(known);
    }
    let view =
        View { catalog: &scope.catalog, scope, role: scope.role(&scope.who.name)?.unwrap_or_default() };
    let makers = [schemas::of, columns::of, keys::of, privileges::of, routines::of];
    let mut rows = None;
    for make in makers {
        if rows.is_none() {
            rows = make(&view, shape)?;
        }
    }
    let rows = rows.unwrap_or_else(|| RecordBatch::new_empty(shape.arrow()));
    Ok(scope.catalog.keep_of_role(key, Arc::from([rows])))
}

/// The catalog as a role may see it.
struct View<'a> {
    catalog: &'a Catalog,
    scope: &'a Scope,
    role: i64,
}

/// A table or view, with its schema's name.
struct Class {
    row: Row,
    schema: String,
    /// Whether the right is on all columns.
    is_whole: bool,
}

impl View<'_> {
    /// The database.
    fn company(&self) -> &str {
        &self.catalog.company
    }

    /// Whether the user may do everything.
    fn is_admin(&self) -> bool {
        self.scope.who.is_admin
    }

    /// The rights that a list of items gives to the user, alone or as one of everybody.
    fn holds(&self, items: Option<&[String]>) -> Vec<Right> {
        let name = &self.scope.who.name;
        let all = items.unwrap_or_default().iter().filter_map(|item| rights(item)).flatten();
        all.filter(|right| right.grantee.is_empty() || right.grantee == *name).collect()
    }

    /// Tables and views on which, or on columns of which, the user has a right.
    fn classes(&self) -> Result<Vec<Class>> {
        let mut of_columns = HashSet::new();
        if !self.is_admin() && self.catalog.facts.grants.iter().any(|grant| grant.field.is_some()) {
            let columns = self.catalog.all("pg_attribute")?.into_iter();
            let held = columns.filter(|row| !self.holds(row.texts("attacl").as_deref()).is_empty());
            of_columns.extend(held.map(|row| row.oid("attrelid")));
        }
        let mut classes = Vec::new();
        for row in self.catalog.all("pg_class")? {
            if !matches!(row.text("relkind"), "r" | "v" | "f" | "p") {
                continue;
            }
            let is_whole = self.is_admin() || !self.holds(row.texts("relacl").as_deref()).is_empty();
            if is_whole || of_columns.contains(&row.oid("oid")) {
                let schema = self.catalog.schema_name(row.oid("relnamespace"))?;
                classes.push(Class { row, schema, is_whole });
            }
        }
        Ok(classes)
    }

    /// Whether the user has a right on a column of the class.
    fn shows(&self, class: &Class, column: &Row) -> bool {
        class.is_whole || !self.holds(column.texts("attacl").as_deref()).is_empty()
    }

    /// The rights on something as the standard lists them: those that concern the user. Where none were given, the
    /// owner has all of them.
    fn listed(&self, items: Option<Vec<String>>, default: &str) -> Vec<Right> {
        let items = items.unwrap_or_else(|| vec![format!("{OWNER_NAME}={default}/{OWNER_NAME}")]);
        let all = items.iter().filter_map(|item| rights(item)).flatten();
        let name = &self.scope.who.name;
        all.filter(|right| self.is_admin() || right.grantee.is_empty() || right.grantee == *name).collect()
    }
}

/// How the standard names everybody.
fn grantee(right: &Right) -> &str {
    if right.grantee.is_empty() { "PUBLIC" } else { &right.grantee }
}

fn yes_or_no(yes: bool) -> &'static str {
    if yes { "YES" } else { "NO" }
}
