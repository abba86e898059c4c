//! Logins of connections: whose view is accepted, and what another one shows.

use sqlx::any::AnyRow;

use super::{State, commit, failed, get, json};
use crate::error::{Error, Kind, Result};
use crate::model::{Review, Visible};

impl State {
    /// The login whose view of a connection is accepted; `None` before the first.
    pub async fn accepted_login(&self, connection_id: i64) -> Result<Option<String>> {
        self.text(connection_id, "login").await
    }

    /// The login of a connection that waits to be accepted.
    pub async fn review(&self, connection_id: i64) -> Result<Option<Review>> {
        let text = self.text(connection_id, "review").await?;
        let review = text.map(|text| serde_json::from_str(&text)).transpose();
        review.map_err(|error| {
            let what = "the state database holds something unreadable in `review`";
            Error::new(Kind::Corrupt, what).with_source(error)
        })
    }

    /// Lets a login wait to be accepted. What was found of an earlier one is forgotten.
    pub async fn put_review(&self, connection_id: i64, review: &Review) -> Result<()> {
        let mut transaction = self.begin().await?;
        sqlx::query("UPDATE connections SET review = $1 WHERE id = $2")
            .bind(json(review)?)
            .bind(connection_id)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        sqlx::query("DELETE FROM visibility WHERE connection_id = $1")
            .bind(connection_id)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        commit(transaction).await
    }

    /// Accepts the view of a login.
    pub async fn accept_login(&self, connection_id: i64, login: &str) -> Result<()> {
        sqlx::query("UPDATE connections SET login = $1, review = NULL WHERE id = $2")
            .bind(login)
            .bind(connection_id)
            .execute(&self.pool)
            .await
            .map_err(failed)?;
        Ok(())
    }

    /// Names of the objects that the accepted login showed last; `None` when nobody looked.
    pub async fn seen_objects(&self, connection_id: i64) -> Result<Option<Vec<String>>> {
        let text = self.text(connection_id, "seen").await?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }

    /// Notes the objects that a login shows.
    pub async fn put_seen_objects(&self, connection_id: i64, names: &[&str]) -> Result<()> {
        sqlx::query("UPDATE connections SET seen = $1 WHERE id = $2")
            .bind(json(&names)?)
            .bind(connection_id)
            .execute(&self.pool)
            .await
            .map_err(failed)?;
        Ok(())
    }

    /// Keeps what a login shows that the one before did not, and the other way round.
    pub async fn put_visibility(&self, connection_id: i64, found: &[Visible]) -> Result<()> {
        let mut transaction = self.begin().await?;
        sqlx::query("DELETE FROM visibility WHERE connection_id = $1")
            .bind(connection_id)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        for (seq, visible) in (0_i64..).zip(found) {
            sqlx::query(
                "INSERT INTO visibility (connection_id, seq, kind, object, name, change)
                 VALUES ($1, $2, $3, $4, $5, $6)",
            )
            .bind(connection_id)
            .bind(seq)
            .bind(&visible.kind)
            .bind(&visible.object)
            .bind(visible.name.as_deref())
            .bind(&visible.change)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        }
        commit(transaction).await
    }

    /// What was found last, with the names of the connections.
    pub async fn visibility(&self) -> Result<Vec<(String, Visible)>> {
        let rows = sqlx::query(
            "SELECT visibility.*, connections.name AS connection FROM visibility
             JOIN connections ON connections.id = visibility.connection_id ORDER BY connections.name, seq",
        )
        .fetch_all(&self.pool)
        .await;
        let visible = |row: &AnyRow| {
            let visible = Visible {
                kind: get(row, "kind")?,
                object: get(row, "object")?,
                name: get(row, "name")?,
                change: get(row, "change")?,
            };
            Ok((get(row, "connection")?, visible))
        };
        rows.map_err(failed)?.iter().map(visible).collect()
    }

    async fn text(&self, connection_id: i64, column: &str) -> Result<Option<String>> {
        let query = format!("SELECT {column} AS value FROM connections WHERE id = $1");
        let row = sqlx::query(&query).bind(connection_id).fetch_optional(&self.pool).await;
        match row.map_err(failed)? {
            Some(row) => get(&row, "value"),
            None => Ok(None),
        }
    }
}
