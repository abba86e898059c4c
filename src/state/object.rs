//! Objects: fields and import settings are kept as JSON, always read and written whole.

use std::collections::HashMap;

use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, Transaction};

use super::failure::{already, failed};
use super::{State, commit, get, get_json, json, removal};
use crate::error::{Error, Kind, Result};
use crate::model::{Micros, Object, now_micros};

const SELECT: &str = "SELECT objects.*, connections.name AS connection
    FROM objects JOIN connections ON connections.id = objects.connection_id";

/// Enters an object as it is.
pub(super) fn insertion(object: &Object) -> Result<Query<'_, Any, AnyArguments<'_>>> {
    Ok(sqlx::query(
        "INSERT INTO objects (id, connection_id, name, api, label, fields, import, schema_version, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(&object.id)
    .bind(object.connection_id)
    .bind(&object.name)
    .bind(&object.api)
    .bind(&object.label)
    .bind(json(&object.fields)?)
    .bind(json(&object.import)?)
    .bind(object.schema_version)
    .bind(object.created_at))
}

impl State {
    /// Adopts an object.
    pub async fn add_object(&self, object: &Object) -> Result<()> {
        insertion(object)?.execute(&self.pool).await.map_err(|error| {
            already(error, || format!("object `{}` or another one of `{}`", object.name, object.api))
        })?;
        Ok(())
    }

    /// All objects by connection and name.
    pub async fn objects(&self) -> Result<Vec<Object>> {
        let query = format!("{SELECT} ORDER BY connections.name, objects.name");
        let rows = sqlx::query(&query).fetch_all(&self.pool).await.map_err(failed)?;
        rows.iter().map(object).collect()
    }

    /// The objects of a connection, or of all, that have that name, or any: as [`State::objects`] gives them. Without
    /// their fields, which are most of what there is to load, [`Object::fields`] is empty.
    pub async fn objects_named(
        &self,
        connection: Option<&str>,
        name: Option<&str>,
        with_fields: bool,
    ) -> Result<Vec<Object>> {
        let fields = if with_fields { "objects.fields" } else { "'[]' AS fields" };
        let named = [("connections.name", connection), ("objects.name", name)];
        let named: Vec<_> = named.into_iter().filter_map(|(column, value)| Some((column, value?))).collect();
        let conditions: Vec<_> =
            named.iter().enumerate().map(|(at, (column, _))| format!("{column} = ${}", at + 1)).collect();
        let only = if named.is_empty() { "" } else { "WHERE" };
        let query = format!(
            "SELECT objects.id, objects.connection_id, objects.name, objects.api, objects.label, {fields}, objects.import,
                 objects.schema_version, objects.created_at, connections.name AS connection
             FROM objects JOIN connections ON connections.id = objects.connection_id {only} {}
             ORDER BY connections.name, objects.name",
            conditions.join(" AND ")
        );
        let bound = named.iter().fold(sqlx::query(&query), |query, (_, value)| query.bind(value.to_string()));
        bound.fetch_all(&self.pool).await.map_err(failed)?.iter().map(object).collect()
    }

    /// `connection.object` of all objects by their ids.
    pub async fn object_names(&self) -> Result<HashMap<String, String>> {
        let rows = sqlx::query(
            "SELECT objects.id, objects.name, connections.name AS connection
             FROM objects JOIN connections ON connections.id = objects.connection_id",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        let named = |row: &AnyRow| {
            let (connection, name): (String, String) = (get(row, "connection")?, get(row, "name")?);
            Ok((get(row, "id")?, format!("{connection}.{name}")))
        };
        rows.iter().map(named).collect()
    }

    /// The objects of one connection by name.
    pub async fn objects_of(&self, connection_id: i64) -> Result<Vec<Object>> {
        let query = format!("{SELECT} WHERE objects.connection_id = $1 ORDER BY objects.name");
        let rows = sqlx::query(&query).bind(connection_id).fetch_all(&self.pool).await.map_err(failed)?;
        rows.iter().map(object).collect()
    }

    /// Stores a changed definition with the next schema version, unless somebody else changed it since
    /// `expected_version`: then `Conflict`.
    pub async fn update_object(&self, object: &Object, expected_version: i64) -> Result<()> {
        let mut transaction = self.begin().await?;
        let before = sqlx::query("SELECT name FROM objects WHERE id = $1").bind(&object.id);
        let before = before.fetch_optional(&mut *transaction).await.map_err(failed)?;
        let done = sqlx::query(
            "UPDATE objects SET name = $1, label = $2, fields = $3, import = $4, schema_version = $5
             WHERE id = $6 AND schema_version = $7",
        )
        .bind(&object.name)
        .bind(&object.label)
        .bind(json(&object.fields)?)
        .bind(json(&object.import)?)
        .bind(expected_version + 1)
        .bind(&object.id)
        .bind(expected_version)
        .execute(&mut *transaction)
        .await
        .map_err(|error| already(error, || format!("object `{}`", object.name)))?;
        if done.rows_affected() == 0 {
            let what = match before {
                Some(_) => format!("`{}` was changed by somebody else at the same time", object.full_name()),
                None => format!("`{}` was dropped by somebody else at the same time", object.full_name()),
            };
            return Err(
                Error::new(Kind::Conflict, what).with_hint("look at it again, then repeat the change")
            );
        }
        if let Some(before) = before {
            rename_grants(&mut transaction, object, &get::<String>(&before, "name")?).await?;
        }
        commit(transaction).await
    }

    /// Removes an object and the rights on it: an object that gets its name later is another one. Its snapshots
    /// stay: past releases read them.
    pub async fn drop_object(&self, id: &str) -> Result<()> {
        let mut transaction = self.begin().await?;
        remove(&mut transaction, id).await?;
        commit(transaction).await
    }

    /// Removes an object, and keeps its definition for whoever wants it back; `by` is who dropped it.
    pub async fn put_object_aside(&self, object: &Object, by: &str) -> Result<()> {
        let mut transaction = self.begin().await?;
        remove(&mut transaction, &object.id).await?;
        sqlx::query(
            "INSERT INTO dropped_objects (id, connection_id, definition, dropped_at, dropped_by)
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(&object.id)
        .bind(object.connection_id)
        .bind(json(object)?)
        .bind(now_micros())
        .bind(by)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        commit(transaction).await
    }

    /// The objects that were dropped from connections that there are, the newest first.
    pub async fn dropped_objects(&self) -> Result<Vec<DroppedObject>> {
        let rows = sqlx::query(
            "SELECT dropped_objects.*, connections.name AS connection
             FROM dropped_objects JOIN connections ON connections.id = dropped_objects.connection_id
             ORDER BY dropped_at DESC, dropped_objects.id DESC",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        let dropped = |row: &AnyRow| {
            let object = Object { connection: get(row, "connection")?, ..get_json(row, "definition")? };
            Ok(DroppedObject { object, at: get(row, "dropped_at")?, by: get(row, "dropped_by")? })
        };
        rows.iter().map(dropped).collect()
    }

    /// Brings back the object that was dropped as `id`, as `object` says.
    pub async fn undrop_object(&self, id: &str, object: &Object) -> Result<()> {
        let mut transaction = self.begin().await?;
        let taken = sqlx::query("DELETE FROM dropped_objects WHERE id = $1")
            .bind(id)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        if taken.rows_affected() == 0 {
            let what = format!("`{}` was brought back by somebody else at the same time", object.full_name());
            return Err(Error::new(Kind::Conflict, what));
        }
        insertion(object)?.execute(&mut *transaction).await.map_err(|error| {
            already(error, || format!("object `{}` or another one of `{}`", object.name, object.api))
        })?;
        commit(transaction).await
    }
}

async fn remove(transaction: &mut Transaction<'static, Any>, id: &str) -> Result<()> {
    removal::forget(transaction, id).await?;
    for statement in [
        "DELETE FROM grants WHERE object = (SELECT name FROM objects WHERE id = $1) AND connection =
             (SELECT connections.name FROM connections
              JOIN objects ON objects.connection_id = connections.id WHERE objects.id = $1)",
        "DELETE FROM field_grants WHERE object = (SELECT name FROM objects WHERE id = $1) AND connection =
             (SELECT connections.name FROM connections
              JOIN objects ON objects.connection_id = connections.id WHERE objects.id = $1)",
        "DELETE FROM health WHERE object_id = $1",
        "DELETE FROM objects WHERE id = $1",
    ] {
        sqlx::query(statement).bind(id).execute(&mut **transaction).await.map_err(failed)?;
    }
    Ok(())
}

/// An object that was dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DroppedObject {
    /// As it was.
    pub object: Object,
    /// When it was dropped.
    pub at: Micros,
    /// Who dropped it.
    pub by: String,
}

/// Rights on an object follow its name.
async fn rename_grants(
    transaction: &mut Transaction<'static, Any>,
    object: &Object,
    old_name: &str,
) -> Result<()> {
    if old_name == object.name {
        return Ok(());
    }
    // The new name was free: rights on it are of nothing.
    for statement in ["grants", "field_grants"].into_iter().flat_map(|table| {
        let of = "(SELECT name FROM connections WHERE id = $1)";
        [
            format!("DELETE FROM {table} WHERE object = $3 AND object <> $2 AND connection = {of}"),
            format!("UPDATE {table} SET object = $3 WHERE object = $2 AND connection = {of}"),
        ]
    }) {
        sqlx::query(&statement)
            .bind(object.connection_id)
            .bind(old_name)
            .bind(&object.name)
            .execute(&mut **transaction)
            .await
            .map_err(failed)?;
    }
    Ok(())
}

fn object(row: &AnyRow) -> Result<Object> {
    Ok(Object {
        id: get(row, "id")?,
        connection_id: get(row, "connection_id")?,
        connection: get(row, "connection")?,
        name: get(row, "name")?,
        api: get(row, "api")?,
        label: get(row, "label")?,
        fields: get_json(row, "fields")?,
        import: get_json(row, "import")?,
        schema_version: get(row, "schema_version")?,
        created_at: get(row, "created_at")?,
    })
}
