//! The catalog as one session sees it.

use std::sync::Arc;

use datafusion::common::Result;

use super::live::{Catalog, Row};
use super::{OWNER, SCHEMA};
use crate::query::session::SessionUser;
use crate::query::settings::SharedSettings;

/// The catalog with what depends on who asks.
#[derive(Debug, Clone)]
pub(in crate::query) struct Scope {
    pub(super) catalog: Arc<Catalog>,
    pub(super) who: SessionUser,
    pub(super) settings: SharedSettings,
}

impl Scope {
    pub(in crate::query) fn new(catalog: Arc<Catalog>, who: SessionUser, settings: SharedSettings) -> Self {
        Scope { catalog, who, settings }
    }

    /// The catalog itself: two scopes over the same one see the same.
    pub(in crate::query) fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// The schemas of the search path that exist, without those that are searched anyway.
    pub(super) fn path(&self) -> Result<Vec<String>> {
        let names = self.settings.lock().search_path();
        let mut path = Vec::new();
        for name in names {
            let name = if name == "$user" { self.who.name.clone() } else { name };
            if self.catalog.schema_oid(&name)? != 0 && !path.contains(&name) {
                path.push(name);
            }
        }
        Ok(path)
    }

    /// The path with `pg_catalog`, which is searched first unless it is named.
    pub(super) fn whole_path(&self) -> Result<Vec<String>> {
        let mut path = self.path()?;
        if !path.iter().any(|name| name == SCHEMA) {
            path.insert(0, SCHEMA.to_string());
        }
        Ok(path)
    }

    /// The row that a name without schema means among those of that name: the first on the path; else, for relations,
    /// the only one that a connection has.
    pub(super) fn choose(
        &self,
        rows: Vec<Row>,
        schema: &'static str,
        is_relation: bool,
    ) -> Result<Option<Row>> {
        for name in self.whole_path()? {
            let oid = self.catalog.schema_oid(&name)?;
            if let Some(row) = rows.iter().find(|row| row.oid(schema) == oid) {
                return Ok(Some(row.clone()));
            }
        }
        let is_connection = |row: &&Row| {
            let objects = self.catalog.facts.tables.iter().filter(|table| table.object.is_some());
            let own = row.oid("oid");
            // An index or a type of a table has one of the oids next to it.
            objects.map(|table| i64::from(table.oid)).any(|first| (first..first + 8).contains(&own))
        };
        let mut found = rows.iter().filter(is_connection);
        Ok(match (is_relation, found.next(), found.next()) {
            (true, Some(only), None) => Some(only.clone()),
            _ => None,
        })
    }

    /// The number of a role of that name.
    pub(super) fn role(&self, name: &str) -> Result<Option<i64>> {
        Ok(self.catalog.find("pg_authid", "rolname", name)?.map(|row| row.oid("oid")))
    }

    /// Whether a role may do everything.
    pub(super) fn is_admin(&self, role: i64) -> Result<bool> {
        if role == OWNER {
            return Ok(true);
        }
        Ok(self.catalog.find("pg_authid", "oid", role)?.is_some_and(|row| row.is("rolsuper")))
    }
}
