//! Numbers for what is known by a name: allocated once, never changed, never reused. What has one keeps it over
//! restarts, on every node, and in backups.

use std::collections::HashMap;

use super::{State, commit, failed, get, next};
use crate::error::Result;

/// What counts the changes of definitions, people and rights.
const CATALOG: &str = "catalog";

impl State {
    /// The numbers of `subjects`, from 1 on; those that have none yet get one.
    pub async fn numbers(&self, subjects: &[String]) -> Result<HashMap<String, i64>> {
        let mut known = self.known_numbers().await?;
        if subjects.iter().all(|subject| known.contains_key(subject)) {
            return Ok(known);
        }
        let mut transaction = self.begin().await?;
        // Queue behind another node that does the same, then see what it has done.
        super::lock(&mut transaction, "number").await?;
        let rows = sqlx::query("SELECT subject, number FROM numbers").fetch_all(&mut *transaction).await;
        known = rows.map_err(failed)?.iter().map(pair).collect::<Result<_>>()?;
        for subject in subjects {
            if !known.contains_key(subject) {
                let number = next(&mut transaction, "number").await?;
                sqlx::query("INSERT INTO numbers (subject, number) VALUES ($1, $2)")
                    .bind(subject)
                    .bind(number)
                    .execute(&mut *transaction)
                    .await
                    .map_err(failed)?;
                known.insert(subject.clone(), number);
            }
        }
        commit(transaction).await?;
        Ok(known)
    }

    async fn known_numbers(&self) -> Result<HashMap<String, i64>> {
        let rows = sqlx::query("SELECT subject, number FROM numbers").fetch_all(&self.pool).await;
        rows.map_err(failed)?.iter().map(pair).collect()
    }

    /// How often definitions, people or rights were changed.
    pub async fn catalog_version(&self) -> Result<i64> {
        let row = sqlx::query("SELECT value FROM sequences WHERE name = $1").bind(CATALOG);
        get(&row.fetch_one(&self.pool).await.map_err(failed)?, "value")
    }

    /// Notes that definitions, people or rights were changed.
    pub async fn catalog_changed(&self) -> Result<()> {
        sqlx::query("UPDATE sequences SET value = value + 1 WHERE name = $1")
            .bind(CATALOG)
            .execute(&self.pool)
            .await
            .map_err(failed)?;
        Ok(())
    }
}

fn pair(row: &sqlx::any::AnyRow) -> Result<(String, i64)> {
    Ok((get(row, "subject")?, get(row, "number")?))
}
