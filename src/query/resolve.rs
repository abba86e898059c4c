//! From the table names of a statement to tables of the release, and whether the user may read them.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::TableSource;
use datafusion::sql::parser::Statement as PlannerStatement;
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast;

use super::asked::Asked;
use super::catalog;
use super::engine::Engine;
use super::session::SessionUser;
use super::shield;
use super::tables::Wanted;
use crate::error::{Error, Kind, Result, did_you_mean};
use crate::model::{Release, ReleaseObject, quote_ident};

/// Schema of the system's own tables.
pub(super) const SYSTEM: &str = "tributary";

/// The tables a query names, opened in the release.
pub(super) async fn tables(
    engine: &Engine,
    who: &SessionUser,
    path: &[String],
    release: &Release,
    query: &ast::Query,
    scope: Option<&catalog::Scope>,
) -> Result<HashMap<TableReference, Arc<dyn TableSource>>> {
    let statement = PlannerStatement::Statement(Box::new(ast::Statement::Query(Box::new(query.clone()))));
    let (names, _) = resolve_table_references(&statement, true).map_err(super::error::translate)?;
    let mut tables = HashMap::new();
    for name in names {
        // A table function is no table; the planner asks for it by another way.
        match table(engine, who, path, release, &name, scope).await {
            Ok(provider) => {
                tables.insert(name, provider_as_source(provider));
            }
            Err(_) if engine.is_table_function(&name) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(tables)
}

/// The table of that name. One without a schema is looked for in those of `path` first, then in all.
pub(super) async fn table(
    engine: &Engine,
    who: &SessionUser,
    path: &[String],
    release: &Release,
    name: &TableReference,
    scope: Option<&catalog::Scope>,
) -> Result<Arc<dyn TableProvider>> {
    check_database(engine, name)?;
    if let Some(table) = catalog::table(engine, scope, name).await? {
        return Ok(table);
    }
    if matches!(name.schema(), Some(catalog::SCHEMA | catalog::INFORMATION)) {
        return Err(undefined(name));
    }
    if name.schema() == Some(SYSTEM) {
        return system_table(engine, who, name.table());
    }
    let in_path = |schema: &&String| {
        release.objects.iter().any(|object| object.connection == **schema && object.name == name.table())
    };
    let found = path.iter().find(in_path).filter(|_| name.schema().is_none());
    let name = match found {
        Some(schema) => &TableReference::partial(schema.as_str(), name.table()),
        None => name,
    };
    let object = readable(engine, who, release, name).await?;
    let table = engine.tables.provider(object).await?;
    match who.is_admin {
        true => Ok(table),
        false => shield::shielded(table, object, &engine.system.hidden(who, object).await?, who),
    }
}

fn check_database(engine: &Engine, name: &TableReference) -> Result<()> {
    if let Some(catalog) = name.catalog()
        && catalog != engine.config.company
    {
        let what = format!("cross-database references are not implemented: {catalog}");
        let hint = format!("this database is `{}`", engine.config.company);
        return Err(Error::new(Kind::Unsupported, what).with_hint(hint));
    }
    Ok(())
}

/// The object of that name in the release, which `who` may read.
pub(super) async fn readable<'a>(
    engine: &Engine,
    who: &SessionUser,
    release: &'a Release,
    name: &TableReference,
) -> Result<&'a ReleaseObject> {
    check_database(engine, name)?;
    let object = object(engine, who, release, name).await?;
    if !who.is_admin && !engine.system.may_read(who, &object.connection, &object.name).await? {
        return Err(Error::new(Kind::Denied, format!("permission denied for table {}", object.name))
            .with_hint(format!(
                "an admin can run GRANT SELECT ON {}.{} TO {}",
                quote_ident(&object.connection),
                quote_ident(&object.name),
                quote_ident(&who.name)
            )));
    }
    Ok(object)
}

async fn object<'a>(
    engine: &Engine,
    who: &SessionUser,
    release: &'a Release,
    name: &TableReference,
) -> Result<&'a ReleaseObject> {
    let table = name.table();
    let matches = |object: &&ReleaseObject| {
        object.name == table && name.schema().is_none_or(|schema| object.connection == schema)
    };
    let found: Vec<_> = release.objects.iter().filter(matches).collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] => Err(missing(engine, who, release, name).await),
        several => {
            let names: Vec<_> = several
                .iter()
                .map(|o| format!("{}.{}", quote_ident(&o.connection), quote_ident(&o.name)))
                .collect();
            Err(Error::new(Kind::Invalid, format!("table name \"{table}\" is ambiguous"))
                .with_sqlstate("42P09")
                .with_hint(format!("write one of {}", names.join(", "))))
        }
    }
}

/// 42P01
pub(super) fn undefined(name: &TableReference) -> Error {
    let shown = match name.schema() {
        Some(schema) => format!("{schema}.{}", name.table()),
        None => name.table().to_string(),
    };
    let shown: String = shown.chars().take(200).collect();
    Error::new(Kind::NotFound, format!("relation \"{shown}\" does not exist")).with_sqlstate("42P01")
}

async fn missing(engine: &Engine, who: &SessionUser, release: &Release, name: &TableReference) -> Error {
    let mut candidates = Vec::new();
    for object in &release.objects {
        // Names of what a user may not read are not given away.
        if who.is_admin
            || engine.system.may_read(who, &object.connection, &object.name).await.unwrap_or(false)
        {
            candidates.push((object.name.clone(), format!("{}.{}", object.connection, object.name)));
        }
    }
    let close = match name.schema() {
        None => did_you_mean(name.table(), candidates.iter().map(|(name, _)| name.as_str())),
        Some(schema) => {
            let full = format!("{schema}.{}", name.table());
            did_you_mean(&full, candidates.iter().map(|(_, full)| full.as_str()))
        }
    };
    let error = undefined(name);
    if !close.is_empty() {
        return error.with_hint(close.trim().trim_matches(['(', ')']).to_string());
    }
    if candidates.is_empty() {
        return error.with_hint("there are no tables yet; a table appears with the first sync of its object");
    }
    error.with_hint("SELECT * FROM tributary.object lists the tables")
}

fn system_table(engine: &Engine, who: &SessionUser, name: &str) -> Result<Arc<dyn TableProvider>> {
    let tables = engine.system.tables();
    match tables.iter().find(|table| table.name == name) {
        Some(table) => {
            let (system, who, name) = (engine.system.clone(), who.clone(), table.name.clone());
            let ask = move |wanted: Wanted| {
                let (system, who, name) = (system.clone(), who.clone(), name.clone());
                Box::pin(async move { system.rows_where(&name, &who, &wanted).await }) as _
            };
            Ok(Asked::new(format!("tributary.{}", table.name), table.schema.clone(), ask))
        }
        None => {
            let error = undefined(&TableReference::partial(SYSTEM, name));
            match did_you_mean(name, tables.iter().map(|table| table.name.as_str())) {
                hint if hint.is_empty() => {
                    let names: Vec<_> = tables.iter().map(|table| table.name.as_str()).collect();
                    Err(error.with_hint(format!("tables are: {}", names.join(", "))))
                }
                hint => Err(error.with_hint(hint.trim().trim_matches(['(', ')']).to_string())),
            }
        }
    }
}
