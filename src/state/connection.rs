//! Connections and their sealed secrets.

use std::collections::HashMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sqlx::any::AnyRow;

use super::{State, already, commit, failed, get, get_json, json, next};
use crate::error::{Error, Kind, Result};
use crate::model::{Connection, now_micros};

impl State {
    /// Makes a connection that is not connected yet.
    pub async fn create_connection(
        &self,
        name: &str,
        connector: &str,
        settings: &serde_json::Value,
    ) -> Result<Connection> {
        let mut transaction = self.begin().await?;
        let connection = Connection {
            id: next(&mut transaction, "connection").await?,
            name: name.into(),
            connector: connector.into(),
            settings: settings.clone(),
            status: "not connected".into(),
            identity: None,
            account: None,
            created_at: now_micros(),
            connected_at: None,
        };
        sqlx::query(
            "INSERT INTO connections (id, name, connector, settings, status, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(connection.id)
        .bind(name)
        .bind(connector)
        .bind(json(settings)?)
        .bind(&connection.status)
        .bind(connection.created_at)
        .execute(&mut *transaction)
        .await
        .map_err(|error| already(error, || format!("connection `{name}`")))?;
        commit(transaction).await?;
        Ok(connection)
    }

    /// The connection of that name.
    pub async fn connection(&self, name: &str) -> Result<Option<Connection>> {
        let row = sqlx::query("SELECT * FROM connections WHERE name = $1")
            .bind(name)
            .fetch_optional(&self.pool)
            .await;
        row.map_err(failed)?.as_ref().map(connection).transpose()
    }

    /// All connections by name.
    pub async fn connections(&self) -> Result<Vec<Connection>> {
        let rows = sqlx::query("SELECT * FROM connections ORDER BY name")
            .fetch_all(&self.pool)
            .await
            .map_err(failed)?;
        rows.iter().map(connection).collect()
    }

    /// Changes how a source is reached.
    pub async fn set_connection_settings(&self, id: i64, settings: &serde_json::Value) -> Result<()> {
        sqlx::query("UPDATE connections SET settings = $1 WHERE id = $2")
            .bind(json(settings)?)
            .bind(id)
            .execute(&self.pool)
            .await
            .map_err(failed)?;
        Ok(())
    }

    /// Notes how a connection stands and who is logged in.
    pub async fn set_connection_status(&self, id: i64, status: &str, identity: Option<&str>) -> Result<()> {
        let connected_at = identity.map(|_| now_micros());
        sqlx::query("UPDATE connections SET status = $1, identity = $2, connected_at = $3 WHERE id = $4")
            .bind(status)
            .bind(identity)
            .bind(connected_at)
            .bind(id)
            .execute(&self.pool)
            .await
            .map_err(failed)?;
        Ok(())
    }

    /// Notes how a connection stands; who was logged in last stays known.
    pub async fn mark_connection(&self, id: i64, status: &str) -> Result<()> {
        sqlx::query("UPDATE connections SET status = $1 WHERE id = $2 AND status <> $3")
            .bind(status)
            .bind(id)
            .bind(status)
            .execute(&self.pool)
            .await
            .map_err(failed)?;
        Ok(())
    }

    /// Notes which account the rows of a connection come from.
    pub async fn set_connection_account(&self, id: i64, account: &str) -> Result<()> {
        sqlx::query("UPDATE connections SET account = $1 WHERE id = $2")
            .bind(account)
            .bind(id)
            .execute(&self.pool)
            .await
            .map_err(failed)?;
        Ok(())
    }

    /// Removes a connection that has no objects and no secrets any more, and the rights on it.
    pub async fn drop_connection(&self, id: i64) -> Result<()> {
        let mut transaction = self.begin().await?;
        for statement in [
            "DELETE FROM health WHERE connection_id = $1",
            "DELETE FROM visibility WHERE connection_id = $1",
            "DELETE FROM oauth_grants WHERE connection_id = $1",
            "DELETE FROM oauth_invitations WHERE connection_id = $1",
            "DELETE FROM oauth_logins WHERE connection_id = $1",
            "DELETE FROM dropped_objects WHERE connection_id = $1",
            "DELETE FROM grants WHERE connection = (SELECT name FROM connections WHERE id = $1)",
            "DELETE FROM field_grants WHERE connection = (SELECT name FROM connections WHERE id = $1)",
            "DELETE FROM connections WHERE id = $1",
        ] {
            sqlx::query(statement).bind(id).execute(&mut *transaction).await.map_err(failed)?;
        }
        commit(transaction).await
    }

    /// Keeps a sealed secret in the place of an older one.
    pub async fn put_secret(
        &self,
        connection_id: i64,
        field: &str,
        version: i64,
        sealed: &[u8],
    ) -> Result<()> {
        sqlx::query(
            "INSERT INTO secrets (connection_id, field, version, sealed) VALUES ($1, $2, $3, $4)
             ON CONFLICT (connection_id, field) DO UPDATE SET version = excluded.version, sealed = excluded.sealed",
        )
        .bind(connection_id)
        .bind(field)
        .bind(version)
        .bind(BASE64_STANDARD.encode(sealed))
        .execute(&self.pool)
        .await
        .map_err(failed)?;
        Ok(())
    }

    /// Version and sealed bytes of a secret.
    pub async fn secret(&self, connection_id: i64, field: &str) -> Result<Option<(i64, Vec<u8>)>> {
        let row = sqlx::query("SELECT version, sealed FROM secrets WHERE connection_id = $1 AND field = $2")
            .bind(connection_id)
            .bind(field)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed)?;
        let Some(row) = row else { return Ok(None) };
        let sealed = BASE64_STANDARD.decode(get::<String>(&row, "sealed")?).map_err(|error| {
            Error::new(Kind::Corrupt, format!("the secret `{field}` is damaged in the state database"))
                .with_hint("set it again with `CALL set_secret(...)`")
                .with_source(error)
        })?;
        Ok(Some((get(&row, "version")?, sealed)))
    }

    /// The names of the secrets that connections have, separated by commas, by connection.
    pub async fn secret_fields(&self) -> Result<HashMap<i64, String>> {
        let rows = sqlx::query("SELECT connection_id, field FROM secrets ORDER BY connection_id, field")
            .fetch_all(&self.pool)
            .await
            .map_err(failed)?;
        let mut fields: HashMap<i64, String> = HashMap::new();
        for row in &rows {
            let field: String = get(row, "field")?;
            let known = fields.entry(get(row, "connection_id")?).or_default();
            if !known.is_empty() {
                known.push(',');
            }
            known.push_str(&field);
        }
        Ok(fields)
    }

    /// Forgets all secrets of a connection.
    pub async fn drop_secrets(&self, connection_id: i64) -> Result<()> {
        sqlx::query("DELETE FROM secrets WHERE connection_id = $1")
            .bind(connection_id)
            .execute(&self.pool)
            .await
            .map_err(failed)?;
        Ok(())
    }
}

fn connection(row: &AnyRow) -> Result<Connection> {
    Ok(Connection {
        id: get(row, "id")?,
        name: get(row, "name")?,
        connector: get(row, "connector")?,
        settings: get_json(row, "settings")?,
        status: get(row, "status")?,
        identity: get(row, "identity")?,
        account: get(row, "account")?,
        created_at: get(row, "created_at")?,
        connected_at: get(row, "connected_at")?,
    })
}
