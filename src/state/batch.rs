//! Batches, their steps, and what is to be told of them.

use chrono::NaiveDate;
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, Transaction};

use super::{State, commit, failed, get, lock, next};
use crate::error::{Error, Kind, Result};
use crate::model::{Batch, BatchStep, Micros};

/// The setting that says when the nightly batch is due.
const SCHEDULE: &str = "schedule";

/// A message about a batch that is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchMessage {
    /// The batch.
    pub batch: i64,
    /// `released` or `finished`.
    pub event: String,
    /// What is sent.
    pub body: String,
    /// How often it was tried.
    pub tries: u32,
    /// When it is to be tried.
    pub due_at: Micros,
}

/// Enters a batch as it is.
pub(super) async fn insert(transaction: &mut Transaction<'static, Any>, batch: &Batch) -> Result<()> {
    sqlx::query(
        "INSERT INTO batches (id, name, night, started_by, actor, due_at, status, queued_at, started_at, ended_at,
             release_id, result_release, cancelled_by, cause)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
    )
    .bind(batch.id)
    .bind(&batch.name)
    .bind(batch.night.as_deref())
    .bind(&batch.started_by)
    .bind(&batch.actor)
    .bind(batch.due_at)
    .bind(&batch.status)
    .bind(batch.queued_at)
    .bind(batch.started_at)
    .bind(batch.ended_at)
    .bind(batch.release)
    .bind(batch.result_release)
    .bind(batch.cancelled_by.as_deref())
    .bind(batch.cause.as_deref())
    .execute(&mut **transaction)
    .await
    .map_err(failed)?;
    Ok(())
}

impl State {
    /// The schedule as it was set, as text; `None` when there is none.
    pub async fn schedule(&self) -> Result<Option<String>> {
        let row = sqlx::query("SELECT value FROM settings WHERE name = $1").bind(SCHEDULE);
        let row = row.fetch_optional(&self.pool).await.map_err(failed)?;
        row.as_ref().map(|row| get(row, "value")).transpose()
    }

    /// Sets the schedule, or takes it away.
    pub async fn set_schedule(&self, text: Option<&str>) -> Result<()> {
        let query = match text {
            Some(text) => sqlx::query(
                "INSERT INTO settings (name, value) VALUES ($1, $2)
                 ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            )
            .bind(SCHEDULE)
            .bind(text.to_string()),
            None => sqlx::query("DELETE FROM settings WHERE name = $1").bind(SCHEDULE),
        };
        query.execute(&self.pool).await.map_err(failed)?;
        Ok(())
    }

    /// The last local date whose nightly batch was entered.
    pub async fn last_night(&self) -> Result<Option<NaiveDate>> {
        // Dates are written so that their order is that of their text.
        let row = sqlx::query("SELECT max(night) AS night FROM batches").fetch_one(&self.pool).await;
        let night: Option<String> = get(&row.map_err(failed)?, "night")?;
        night.map(|night| night.parse()).transpose().map_err(|error| {
            Error::new(Kind::Corrupt, "the state holds a night that is no date").with_source(error)
        })
    }

    /// Enters a batch; its number and its name are set. `None` when that night's was entered before. A batch that
    /// somebody asks for is called by its date where `plain` says so and no other is, else with a number behind it.
    pub async fn add_batch(&self, batch: &Batch, date: &str, plain: bool) -> Result<Option<Batch>> {
        let mut transaction = self.begin().await?;
        lock(&mut transaction, "batch").await?;
        let taken =
            sqlx::query("SELECT name, night FROM batches WHERE night = $1 OR name = $2 OR name LIKE $3")
                .bind(batch.night.as_deref().unwrap_or_default())
                .bind(date)
                .bind(format!("{date}.%"))
                .fetch_all(&mut *transaction)
                .await
                .map_err(failed)?;
        let mut names = Vec::new();
        for row in &taken {
            if batch.night.is_some() && get::<Option<String>>(row, "night")? == batch.night {
                return Ok(None);
            }
            names.push(get::<String>(row, "name")?);
        }
        let numbered = || (1..).map(|n| format!("{date}.{n}"));
        let free = |name: &String| !names.contains(name);
        let plain = Some(date.to_string()).filter(|name| plain && free(name));
        let name = plain.or_else(|| numbered().find(free)).unwrap_or_default();
        let batch = Batch { id: next(&mut transaction, "batch").await?, name, ..batch.clone() };
        insert(&mut transaction, &batch).await?;
        commit(transaction).await?;
        Ok(Some(batch))
    }

    /// Records how a batch stands. Who wants it to end is left as it is.
    pub async fn update_batch(&self, batch: &Batch) -> Result<()> {
        sqlx::query(
            "UPDATE batches SET status = $1, started_at = $2, ended_at = $3, release_id = $4, result_release = $5,
                 cause = $6
             WHERE id = $7",
        )
        .bind(&batch.status)
        .bind(batch.started_at)
        .bind(batch.ended_at)
        .bind(batch.release)
        .bind(batch.result_release)
        .bind(batch.cause.as_deref())
        .bind(batch.id)
        .execute(&self.pool)
        .await
        .map_err(failed)?;
        Ok(())
    }

    /// Notes that somebody wants a batch to end early; false when it has ended.
    pub async fn cancel_batch(&self, id: i64, who: &str) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE batches SET cancelled_by = $1 WHERE id = $2 AND status IN ('queued', 'running')",
        )
        .bind(who)
        .bind(id)
        .execute(&self.pool)
        .await
        .map_err(failed)?;
        Ok(done.rows_affected() > 0)
    }

    /// One batch.
    pub async fn batch(&self, id: i64) -> Result<Option<Batch>> {
        self.one_batch(sqlx::query("SELECT * FROM batches WHERE id = $1").bind(id)).await
    }

    /// The batch of that name.
    pub async fn batch_named(&self, name: &str) -> Result<Option<Batch>> {
        self.one_batch(sqlx::query("SELECT * FROM batches WHERE name = $1").bind(name)).await
    }

    /// The newest batches, oldest first.
    pub async fn batches(&self, limit: i64) -> Result<Vec<Batch>> {
        let rows = sqlx::query("SELECT * FROM batches ORDER BY id DESC LIMIT $1")
            .bind(limit)
            .fetch_all(&self.pool)
            .await;
        rows.map_err(failed)?.iter().rev().map(batch).collect()
    }

    /// All batches that have ended, oldest first.
    pub async fn ended_batches(&self) -> Result<Vec<Batch>> {
        let rows = sqlx::query("SELECT * FROM batches WHERE ended_at IS NOT NULL ORDER BY id");
        rows.fetch_all(&self.pool).await.map_err(failed)?.iter().map(batch).collect()
    }

    /// The batch whose turn it is: one that was begun, else the first that waits.
    pub async fn open_batch(&self) -> Result<Option<Batch>> {
        self.one_batch(sqlx::query(
            "SELECT * FROM batches WHERE status IN ('queued', 'running')
             ORDER BY CASE status WHEN 'running' THEN 0 ELSE 1 END, id LIMIT 1",
        ))
        .await
    }

    async fn one_batch<'q>(&self, query: Query<'q, Any, AnyArguments<'q>>) -> Result<Option<Batch>> {
        query.fetch_optional(&self.pool).await.map_err(failed)?.as_ref().map(batch).transpose()
    }

    /// The steps of a batch in their order.
    pub async fn batch_steps(&self, batch: i64) -> Result<Vec<BatchStep>> {
        let rows = sqlx::query("SELECT * FROM batch_steps WHERE batch_id = $1 ORDER BY position")
            .bind(batch)
            .fetch_all(&self.pool)
            .await;
        rows.map_err(failed)?.iter().map(step).collect()
    }

    /// The steps of the newest batches, by batch and order.
    pub async fn newest_batch_steps(&self, batches: i64) -> Result<Vec<BatchStep>> {
        let rows = sqlx::query(
            "SELECT * FROM batch_steps WHERE batch_id > (SELECT coalesce(max(id), 0) FROM batches) - $1
             ORDER BY batch_id, position",
        )
        .bind(batches)
        .fetch_all(&self.pool)
        .await;
        rows.map_err(failed)?.iter().map(step).collect()
    }

    /// Records the steps of a batch, new ones or changed ones.
    pub async fn put_batch_steps(&self, steps: &[BatchStep]) -> Result<()> {
        let mut transaction = self.begin().await?;
        for step in steps {
            sqlx::query(
                "INSERT INTO batch_steps (batch_id, position, kind, subject_id, name, required, status, started_at,
                     ended_at, run_id, cause)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
                 ON CONFLICT (batch_id, position) DO UPDATE SET status = excluded.status,
                     started_at = excluded.started_at, ended_at = excluded.ended_at, run_id = excluded.run_id,
                     cause = excluded.cause",
            )
            .bind(step.batch)
            .bind(step.position)
            .bind(&step.kind)
            .bind(&step.subject_id)
            .bind(&step.name)
            .bind(i64::from(step.required))
            .bind(&step.status)
            .bind(step.started_at)
            .bind(step.ended_at)
            .bind(step.run)
            .bind(step.cause.as_deref())
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        }
        commit(transaction).await
    }

    /// Queues a message about a batch; one that was queued before stays as it is.
    pub async fn queue_batch_message(&self, batch: i64, event: &str, body: &str, now: Micros) -> Result<()> {
        sqlx::query(
            "INSERT INTO batch_messages (batch_id, event, body, due_at, tries) VALUES ($1, $2, $3, $4, 0)
             ON CONFLICT (batch_id, event) DO NOTHING",
        )
        .bind(batch)
        .bind(event)
        .bind(body)
        .bind(now)
        .execute(&self.pool)
        .await
        .map_err(failed)?;
        Ok(())
    }

    /// Messages that were not taken yet, in the order in which they are to come.
    pub async fn batch_messages(&self) -> Result<Vec<BatchMessage>> {
        let rows =
            sqlx::query("SELECT * FROM batch_messages WHERE sent_at IS NULL ORDER BY batch_id, event DESC")
                .fetch_all(&self.pool)
                .await;
        let message = |row: &AnyRow| {
            Ok(BatchMessage {
                batch: get(row, "batch_id")?,
                event: get(row, "event")?,
                body: get(row, "body")?,
                tries: u32::try_from(get::<i64>(row, "tries")?).unwrap_or(u32::MAX),
                due_at: get(row, "due_at")?,
            })
        };
        rows.map_err(failed)?.iter().map(message).collect()
    }

    /// Notes that a message was sent at `sent_at`, or why it was not and when to try again.
    pub async fn batch_message_tried(
        &self,
        message: &BatchMessage,
        sent_at: Option<Micros>,
        error: Option<&str>,
        again_at: Micros,
    ) -> Result<()> {
        sqlx::query(
            "UPDATE batch_messages SET sent_at = $1, error = $2, due_at = $3, tries = tries + 1
             WHERE batch_id = $4 AND event = $5",
        )
        .bind(sent_at)
        .bind(error)
        .bind(again_at)
        .bind(message.batch)
        .bind(&message.event)
        .execute(&self.pool)
        .await
        .map_err(failed)?;
        Ok(())
    }

    /// Gives up a message that nobody needs any more.
    pub async fn drop_batch_message(&self, message: &BatchMessage) -> Result<()> {
        sqlx::query("DELETE FROM batch_messages WHERE batch_id = $1 AND event = $2")
            .bind(message.batch)
            .bind(&message.event)
            .execute(&self.pool)
            .await
            .map_err(failed)?;
        Ok(())
    }

    /// Why messages about batches do not leave after so many tries.
    pub async fn undelivered_batch_message(&self, tries: u32) -> Result<Option<String>> {
        let row = sqlx::query(
            "SELECT max(coalesce(error, '')) AS error FROM batch_messages WHERE sent_at IS NULL AND tries >= $1",
        )
        .bind(i64::from(tries));
        get(&row.fetch_one(&self.pool).await.map_err(failed)?, "error")
    }
}

fn batch(row: &AnyRow) -> Result<Batch> {
    Ok(Batch {
        id: get(row, "id")?,
        name: get(row, "name")?,
        night: get(row, "night")?,
        started_by: get(row, "started_by")?,
        actor: get(row, "actor")?,
        due_at: get(row, "due_at")?,
        status: get(row, "status")?,
        queued_at: get(row, "queued_at")?,
        started_at: get(row, "started_at")?,
        ended_at: get(row, "ended_at")?,
        release: get(row, "release_id")?,
        result_release: get(row, "result_release")?,
        cancelled_by: get(row, "cancelled_by")?,
        cause: get(row, "cause")?,
    })
}

fn step(row: &AnyRow) -> Result<BatchStep> {
    Ok(BatchStep {
        batch: get(row, "batch_id")?,
        position: get(row, "position")?,
        kind: get(row, "kind")?,
        subject_id: get(row, "subject_id")?,
        name: get(row, "name")?,
        required: get::<i64>(row, "required")? != 0,
        status: get(row, "status")?,
        started_at: get(row, "started_at")?,
        ended_at: get(row, "ended_at")?,
        run: get(row, "run_id")?,
        cause: get(row, "cause")?,
    })
}
