//! What `pg_catalog` tells of the company.

use std::collections::HashMap;

use super::App;
use super::cells::Columns;
use crate::error::{Error, Result};
use crate::model::{Grant, Object, Release, ReleaseObject, Statement};
use crate::query::{
    CatalogColumn, CatalogFacts, CatalogRole, CatalogSchema, CatalogTable, FIRST_OID, OIDS_OF_ONE, Readers,
    catalog_comment,
};

/// The schema of the system's own tables.
const SYSTEM: &str = "tributary";
/// System tables that only admins read.
const FOR_ADMINS: &[&str] = &["audit", "erasure"];

/// The catalog of a release. Its structure is the release's; labels, people and rights are those of now.
pub(super) async fn facts(app: &App, release: &Release, system: &[(&str, Columns)]) -> Result<CatalogFacts> {
    let objects: HashMap<String, Object> =
        app.state.objects().await?.into_iter().map(|object| (object.id.clone(), object)).collect();
    let (users, grants) = (app.state.users().await?, app.state.grants().await?);
    let synced = app.state.last_published().await?;
    let mut connections: Vec<(String, Option<String>)> = app
        .state
        .connections()
        .await?
        .into_iter()
        .map(|connection| {
            let label = app.connector_info(&connection.connector).ok().map(|info| info.label.to_string());
            let label = label.or_else(|| Some(connection.connector.clone()));
            (connection.name, label)
        })
        .collect();
    for object in &release.objects {
        // A release may be older than the end of a connection.
        if !connections.iter().any(|(name, _)| *name == object.connection) {
            connections.push((object.connection.clone(), None));
        }
    }
    let statements = app.state.statements().await?;
    if !statements.is_empty() || release.objects.iter().any(|object| object.connection == Statement::SCHEMA) {
        connections.retain(|(name, _)| name != Statement::SCHEMA);
        connections.push((Statement::SCHEMA.to_string(), Some("results of statements".to_string())));
    }
    connections.push((SYSTEM.to_string(), Some("the system itself as tables".to_string())));
    let verbs = super::Registry::names();
    let subjects = [
        users.iter().map(|user| format!("role {}", user.name)).collect::<Vec<_>>(),
        connections.iter().map(|(name, _)| format!("schema {name}")).collect(),
        release.objects.iter().map(|object| format!("object {}", object.object_id)).collect(),
        system.iter().map(|(name, _)| format!("system {name}")).collect(),
        verbs.iter().map(|name| format!("procedure {name}")).collect(),
    ]
    .concat();
    let numbers = app.state.numbers(&subjects).await?;
    let oid = |kind: &str, name: &str| oid(&numbers, &format!("{kind} {name}"));

    // In the catalog a right is on the column that a field is in this release.
    let in_release = |grant: Grant| match (&grant.object, &grant.field) {
        (Some(name), Some(api)) => {
            let is_it =
                |object: &&ReleaseObject| object.connection == grant.connection && object.name == *name;
            let field = release.objects.iter().find(is_it)?.fields.iter().find(|field| field.api == *api)?;
            Some(Grant { field: Some(field.name.clone()), ..grant })
        }
        _ => Some(grant),
    };
    let grants = grants.into_iter().filter_map(in_release).collect();
    let mut facts = CatalogFacts { grants, ..CatalogFacts::default() };
    for user in users {
        let (oid, is_admin) = (oid("role", &user.name)?, user.role == "admin");
        facts.roles.push(CatalogRole { oid, name: user.name, is_admin, can_login: user.enabled });
    }
    for (name, comment) in connections {
        facts.schemas.push(CatalogSchema { oid: oid("schema", &name)?, name, comment });
    }
    for (place, published) in release.objects.iter().enumerate() {
        let mut table = CatalogTable::of_object(oid("object", &published.object_id)?, place, published);
        table.synced_at = synced.get(&published.object_id).copied();
        if let Some(object) = objects.get(&published.object_id) {
            table.comment = catalog_comment(&object.label, &table.name);
            for (column, then) in table.columns.iter_mut().zip(&published.fields) {
                if let Some(now) = object.fields.iter().find(|field| field.column == then.column) {
                    column.comment = catalog_comment(&now.label, &column.name);
                }
            }
        }
        if let Some(statement) = statements.iter().find(|statement| statement.id == published.object_id) {
            table.comment = statement.description.clone();
        }
        facts.tables.push(table);
    }
    for (name, columns) in system {
        let columns = columns.iter().map(|(name, data_type)| CatalogColumn {
            name: (*name).to_string(),
            data_type: data_type.clone(),
            comment: None,
            key_position: None,
        });
        facts.tables.push(CatalogTable {
            oid: oid("system", name)?,
            schema: SYSTEM.to_string(),
            name: (*name).to_string(),
            comment: None,
            columns: columns.collect(),
            rows: None,
            synced_at: None,
            readers: if FOR_ADMINS.contains(name) { Readers::Admins } else { Readers::Everybody },
            object: None,
        });
    }
    facts.procedures = verbs.iter().map(|name| oid("procedure", name)).collect::<Result<_>>()?;
    Ok(facts)
}

fn oid(numbers: &HashMap<String, i64>, subject: &str) -> Result<u32> {
    let number = numbers.get(subject).and_then(|number| u32::try_from(*number).ok());
    let oid = number.and_then(|number| FIRST_OID.checked_add(number.checked_mul(OIDS_OF_ONE)?));
    oid.ok_or_else(|| Error::internal(format!("`{subject}` has no number")))
}
