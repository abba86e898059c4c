//! What is to be told to sessions of every node: the nodes that share a state read it there.

use sqlx::any::AnyRow;

use super::{State, commit, failed, get, next};
use crate::error::{Error, Result};
use crate::model::{Micros, now_micros};

/// What is older was read by everybody.
const LIVES: Micros = 600_000_000;

/// A message to sessions that listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedNotice {
    /// Grows, in the order in which they are to be told.
    pub id: i64,
    /// The channel of `LISTEN`.
    pub channel: String,
    /// What is told.
    pub payload: String,
    /// A connection and names of its objects: who may read one of them is told. `None`: everybody is.
    pub readers: Option<(String, Vec<String>)>,
}

impl State {
    /// Leaves a message for the other nodes; nothing where there are none.
    pub async fn share_notice(
        &self,
        channel: &str,
        payload: &str,
        readers: Option<(&str, &[String])>,
    ) -> Result<()> {
        if !self.is_shared() {
            return Ok(());
        }
        let now = now_micros();
        let mut transaction = self.begin().await?;
        // Numbers are given one transaction after the other, so that nobody sees a later one first.
        let id = next(&mut transaction, "notice").await?;
        sqlx::query(
            "INSERT INTO notices (id, node, at, channel, payload, readers) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(id)
        .bind(&self.node)
        .bind(now)
        .bind(channel)
        .bind(payload)
        .bind(readers.map(|readers| serde_json::json!(readers).to_string()))
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        sqlx::query("DELETE FROM notices WHERE at < $1")
            .bind(now - LIVES)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        commit(transaction).await
    }

    /// The number of the newest message.
    pub async fn last_notice(&self) -> Result<i64> {
        let row =
            sqlx::query("SELECT value FROM sequences WHERE name = 'notice'").fetch_one(&self.pool).await;
        get(&row.map_err(failed)?, "value")
    }

    /// The messages of other nodes after that number, in their order.
    pub async fn notices_after(&self, id: i64) -> Result<Vec<SharedNotice>> {
        let rows = sqlx::query(
            "SELECT id, channel, payload, readers FROM notices WHERE id > $1 AND node <> $2 ORDER BY id",
        )
        .bind(id)
        .bind(&self.node)
        .fetch_all(&self.pool)
        .await;
        let notice = |row: &AnyRow| {
            let readers: Option<String> = get(row, "readers")?;
            let readers = readers.map(|text| serde_json::from_str(&text)).transpose();
            Ok(SharedNotice {
                id: get(row, "id")?,
                channel: get(row, "channel")?,
                payload: get(row, "payload")?,
                readers: readers.map_err(|error| {
                    Error::internal("the readers of a notice are no JSON").with_source(error)
                })?,
            })
        };
        rows.map_err(failed)?.iter().map(notice).collect()
    }
}
