//! Logins and what they may read.

use sqlx::any::AnyRow;

use super::{State, commit, failed, get};
use crate::error::Result;
use crate::model::{Grant, User};

/// In the place of an object name: all objects of the connection. No object can have this name.
const ALL: &str = "*";

impl State {
    /// Makes a login or replaces what is known of it.
    pub async fn put_user(&self, user: &User) -> Result<()> {
        sqlx::query(
            "INSERT INTO logins (name, role, verifier, enabled, browser_verifier) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (name) DO UPDATE
                 SET role = excluded.role, verifier = excluded.verifier, enabled = excluded.enabled,
                     browser_verifier = excluded.browser_verifier",
        )
        .bind(&user.name)
        .bind(&user.role)
        .bind(&user.verifier)
        .bind(i64::from(user.enabled))
        .bind(user.browser_verifier.as_deref())
        .execute(&self.pool)
        .await
        .map_err(failed)?;
        Ok(())
    }

    /// The login of that name.
    pub async fn user(&self, name: &str) -> Result<Option<User>> {
        let row =
            sqlx::query("SELECT * FROM logins WHERE name = $1").bind(name).fetch_optional(&self.pool).await;
        row.map_err(failed)?.as_ref().map(user).transpose()
    }

    /// Keeps what browsers are checked by, unless the password was changed meanwhile.
    pub async fn keep_browser_verifier(&self, user: &User, browser_verifier: &str) -> Result<()> {
        sqlx::query("UPDATE logins SET browser_verifier = $1 WHERE name = $2 AND verifier = $3")
            .bind(browser_verifier)
            .bind(&user.name)
            .bind(&user.verifier)
            .execute(&self.pool)
            .await
            .map_err(failed)?;
        Ok(())
    }

    /// All logins by name.
    pub async fn users(&self) -> Result<Vec<User>> {
        let rows =
            sqlx::query("SELECT * FROM logins ORDER BY name").fetch_all(&self.pool).await.map_err(failed)?;
        rows.iter().map(user).collect()
    }

    /// Removes a login with its grants and what it has open in browsers.
    pub async fn drop_user(&self, name: &str) -> Result<()> {
        let mut transaction = self.begin().await?;
        for statement in [
            "DELETE FROM browser_sessions WHERE login = $1",
            "DELETE FROM grants WHERE login = $1",
            "DELETE FROM field_grants WHERE login = $1",
            "DELETE FROM logins WHERE name = $1",
        ] {
            sqlx::query(statement).bind(name).execute(&mut *transaction).await.map_err(failed)?;
        }
        commit(transaction).await
    }

    /// Gives a right; giving it twice is giving it once.
    pub async fn grant(&self, grant: &Grant) -> Result<()> {
        let query = match grant.field {
            None => {
                "INSERT INTO grants (login, connection, object) VALUES ($1, $2, $3)
                 ON CONFLICT (login, connection, object) DO NOTHING"
            }
            Some(_) => {
                "INSERT INTO field_grants (login, connection, object, field) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (login, connection, object, field) DO NOTHING"
            }
        };
        let query = sqlx::query(query)
            .bind(&grant.user)
            .bind(&grant.connection)
            .bind(grant.object.as_deref().unwrap_or(ALL));
        let query = grant.field.as_deref().into_iter().fold(query, |query, field| query.bind(field));
        query.execute(&self.pool).await.map_err(failed)?;
        Ok(())
    }

    /// Takes a right back. Revoking a whole connection takes the rights on its single objects too, as in
    /// PostgreSQL's `REVOKE ... ON ALL TABLES IN SCHEMA`, and revoking an object those on its fields.
    pub async fn revoke(&self, grant: &Grant) -> Result<()> {
        let object = grant.object.as_deref().unwrap_or(ALL);
        let mut transaction = self.begin().await?;
        let tables: &[&str] =
            if grant.field.is_some() { &["field_grants"] } else { &["grants", "field_grants"] };
        for table in tables {
            let only = if grant.field.is_some() { "AND field = $5" } else { "" };
            let query = format!(
                "DELETE FROM {table} WHERE login = $1 AND connection = $2 AND (object = $3 OR $4 = '*') {only}"
            );
            let query =
                sqlx::query(&query).bind(&grant.user).bind(&grant.connection).bind(object).bind(object);
            let query = grant.field.as_deref().into_iter().fold(query, |query, field| query.bind(field));
            query.execute(&mut *transaction).await.map_err(failed)?;
        }
        commit(transaction).await
    }

    /// The rights of one login.
    pub async fn grants_of(&self, user: &str) -> Result<Vec<Grant>> {
        let rows = sqlx::query(
            "SELECT login, connection, object, NULL AS field FROM grants WHERE login = $1
             UNION ALL SELECT login, connection, object, field FROM field_grants WHERE login = $2
             ORDER BY connection, object, field",
        )
        .bind(user)
        .bind(user)
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        rows.iter().map(grant).collect()
    }

    /// All rights.
    pub async fn grants(&self) -> Result<Vec<Grant>> {
        let rows = sqlx::query(
            "SELECT login, connection, object, NULL AS field FROM grants
             UNION ALL SELECT login, connection, object, field FROM field_grants
             ORDER BY login, connection, object, field",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        rows.iter().map(grant).collect()
    }
}

fn user(row: &AnyRow) -> Result<User> {
    Ok(User {
        name: get(row, "name")?,
        role: get(row, "role")?,
        verifier: get(row, "verifier")?,
        enabled: get::<i64>(row, "enabled")? != 0,
        browser_verifier: get(row, "browser_verifier")?,
    })
}

fn grant(row: &AnyRow) -> Result<Grant> {
    let object: String = get(row, "object")?;
    Ok(Grant {
        user: get(row, "login")?,
        connection: get(row, "connection")?,
        object: Some(object).filter(|object| object != ALL),
        field: get(row, "field")?,
    })
}
