//! Alerts, and the messages about them that are to be sent.
//!
//! An alert is raised with its messages, and cleared with theirs, in one transaction: whatever ends in between, nobody
//! is told twice and nobody is forgotten. Of one cause at most one alert is open.

use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, Transaction};

use super::{State, commit, failed, get, lock, next};
use crate::error::{Error, Kind, Result};
use crate::model::{Alert, Condition, Event, Message, Micros};

const SELECT: &str = "SELECT alerts.*,
        (SELECT min(sent_at) FROM messages WHERE alert_id = alerts.id) AS sent_at,
        (SELECT max(error) FROM messages WHERE alert_id = alerts.id AND sent_at IS NULL) AS send_error
    FROM alerts";

/// What is done to one message that has not left, whose name takes the first three places.
fn of_message(verb: &str) -> String {
    format!("{verb} WHERE alert_id = $1 AND channel = $2 AND event = $3 AND sent_at IS NULL")
}

fn named<'q>(text: &'q str, message: &'q Message, channel: &'q str) -> Query<'q, Any, AnyArguments<'q>> {
    sqlx::query(text).bind(message.alert.id).bind(channel).bind(message.event.as_str())
}

impl State {
    /// Raises an alert, with one message to each of `channels`; its number, or `None` when the cause has one that is
    /// open. That one then says what `condition` says.
    pub async fn raise_alert(
        &self,
        condition: &Condition,
        channels: &[&str],
        now: Micros,
    ) -> Result<Option<i64>> {
        let mut transaction = self.begin().await?;
        // Those who raise and clear queue here.
        lock(&mut transaction, "alert").await?;
        let updated = sqlx::query(
            "UPDATE alerts SET severity = $1, run_id = $2, summary = $3, text = $4, remedy = $5, turn = $6
             WHERE cause = $7 AND cleared_at IS NULL",
        )
        .bind(condition.severity.as_str())
        .bind(condition.run_id)
        .bind(&condition.summary)
        .bind(&condition.text)
        .bind(condition.remedy.as_deref())
        .bind(condition.turn.as_str())
        .bind(&condition.cause)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        if updated.rows_affected() > 0 {
            commit(transaction).await?;
            return Ok(None);
        }
        let id = next(&mut transaction, "alert").await?;
        sqlx::query(
            "INSERT INTO alerts
                 (id, cause, severity, connection, object, run_id, summary, text, remedy, turn, raised_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(id)
        .bind(&condition.cause)
        .bind(condition.severity.as_str())
        .bind(condition.connection.as_deref())
        .bind(condition.object.as_deref())
        .bind(condition.run_id)
        .bind(&condition.summary)
        .bind(&condition.text)
        .bind(condition.remedy.as_deref())
        .bind(condition.turn.as_str())
        .bind(now)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        for channel in channels {
            queue(&mut transaction, id, channel, Event::Raised, now).await?;
        }
        commit(transaction).await?;
        Ok(Some(id))
    }

    /// Clears an alert whose cause is gone; false when it was cleared already. Who was told hears that it is over; who
    /// was not is not told any more.
    pub async fn clear_alert(&self, id: i64, now: Micros) -> Result<bool> {
        let mut transaction = self.begin().await?;
        lock(&mut transaction, "alert").await?;
        let cleared = sqlx::query("UPDATE alerts SET cleared_at = $1 WHERE id = $2 AND cleared_at IS NULL")
            .bind(now)
            .bind(id)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        if cleared.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query("DELETE FROM messages WHERE alert_id = $1 AND sent_at IS NULL")
            .bind(id)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        let told = sqlx::query("SELECT channel FROM messages WHERE alert_id = $1").bind(id);
        for row in &told.fetch_all(&mut *transaction).await.map_err(failed)? {
            let channel: String = get(row, "channel")?;
            queue(&mut transaction, id, &channel, Event::Resolved, now).await?;
        }
        commit(transaction).await?;
        Ok(true)
    }

    /// Notes that somebody knows of an alert, and returns it.
    ///
    /// # Errors
    /// `NotFound` when there is none of that number or it is over.
    pub async fn acknowledge_alert(&self, id: i64, who: &str, now: Micros) -> Result<Alert> {
        let done = sqlx::query(
            "UPDATE alerts SET acknowledged_at = $1, acknowledged_by = $2 WHERE id = $3 AND cleared_at IS NULL",
        )
        .bind(now)
        .bind(who)
        .bind(id)
        .execute(&self.pool)
        .await
        .map_err(failed)?;
        if done.rows_affected() == 0 {
            return Err(Error::new(Kind::NotFound, format!("alert {id} is not open"))
                .with_hint("SELECT id, text FROM tributary.alert WHERE cleared_at IS NULL"));
        }
        let text = format!("{SELECT} WHERE id = $1");
        let row = sqlx::query(&text).bind(id).fetch_one(&self.pool).await.map_err(failed)?;
        alert(&row)
    }

    /// Alerts whose cause lasts, by number.
    pub async fn open_alerts(&self) -> Result<Vec<Alert>> {
        let text = format!("{SELECT} WHERE cleared_at IS NULL ORDER BY id");
        let rows = sqlx::query(&text).fetch_all(&self.pool).await.map_err(failed)?;
        rows.iter().map(alert).collect()
    }

    /// The newest alerts, oldest first.
    pub async fn alerts(&self, limit: i64) -> Result<Vec<Alert>> {
        let text = format!("{SELECT} ORDER BY id DESC LIMIT $1");
        let rows = sqlx::query(&text).bind(limit).fetch_all(&self.pool).await.map_err(failed)?;
        rows.iter().rev().map(alert).collect()
    }

    /// Messages that a channel should send now, by alert. That something is wrong is told at most once in `pause` about
    /// one cause.
    pub async fn due_messages(&self, channel: &str, now: Micros, pause: Micros) -> Result<Vec<Message>> {
        let text = format!(
            "SELECT told.*, messages.event AS event, messages.tries AS tries
             FROM messages JOIN ({SELECT}) AS told ON told.id = messages.alert_id
             WHERE messages.channel = $1 AND messages.sent_at IS NULL AND messages.due_at <= $2
                 AND (messages.event = 'resolved' OR NOT EXISTS (
                     SELECT 1 FROM messages AS other JOIN alerts AS earlier ON earlier.id = other.alert_id
                     WHERE earlier.cause = told.cause AND other.channel = messages.channel
                         AND other.event = 'raised' AND other.sent_at > $3))
             ORDER BY messages.alert_id, messages.event"
        );
        let rows = sqlx::query(&text)
            .bind(channel)
            .bind(now)
            .bind(now.saturating_sub(pause))
            .fetch_all(&self.pool)
            .await
            .map_err(failed)?;
        let message = |row: &AnyRow| {
            Ok(Message {
                alert: alert(row)?,
                event: get::<String>(row, "event")?.parse()?,
                tries: u32::try_from(get::<i64>(row, "tries")?).unwrap_or(u32::MAX),
            })
        };
        rows.iter().map(message).collect()
    }

    /// Notes that a message was sent.
    pub async fn message_sent(&self, message: &Message, channel: &str, now: Micros) -> Result<()> {
        let text = of_message("UPDATE messages SET sent_at = $4, error = NULL");
        self.change_message(named(&text, message, channel).bind(now)).await
    }

    /// Notes that a message could not be sent, and when to try again.
    pub async fn message_failed(
        &self,
        message: &Message,
        channel: &str,
        why: &str,
        again_at: Micros,
    ) -> Result<()> {
        let text = of_message("UPDATE messages SET error = $4, due_at = $5, tries = tries + 1");
        self.change_message(named(&text, message, channel).bind(why).bind(again_at)).await
    }

    /// Gives a message up that nobody needs any more.
    pub async fn drop_message(&self, message: &Message, channel: &str) -> Result<()> {
        self.change_message(named(&of_message("DELETE FROM messages"), message, channel)).await
    }

    async fn change_message<'q>(&self, query: Query<'q, Any, AnyArguments<'q>>) -> Result<()> {
        query.execute(&self.pool).await.map_err(failed)?;
        Ok(())
    }

    /// Channels by which messages do not leave after so many tries, and why.
    pub async fn undelivered(&self, tries: u32) -> Result<Vec<(String, String)>> {
        let rows = sqlx::query(
            "SELECT channel, coalesce(max(error), '') AS error FROM messages
             WHERE sent_at IS NULL AND tries >= $1 GROUP BY channel ORDER BY channel",
        )
        .bind(i64::from(tries))
        .fetch_all(&self.pool)
        .await;
        rows.map_err(failed)?.iter().map(|row| Ok((get(row, "channel")?, get(row, "error")?))).collect()
    }

    /// When the next message of a channel is to be tried.
    pub async fn next_message(&self, channel: &str) -> Result<Option<Micros>> {
        let row =
            sqlx::query("SELECT min(due_at) AS at FROM messages WHERE channel = $1 AND sent_at IS NULL")
                .bind(channel)
                .fetch_one(&self.pool)
                .await
                .map_err(failed)?;
        get(&row, "at")
    }
}

async fn queue(
    transaction: &mut Transaction<'static, Any>,
    alert: i64,
    channel: &str,
    event: Event,
    now: Micros,
) -> Result<()> {
    sqlx::query("INSERT INTO messages (alert_id, channel, event, due_at, tries) VALUES ($1, $2, $3, $4, 0)")
        .bind(alert)
        .bind(channel)
        .bind(event.as_str())
        .bind(now)
        .execute(&mut **transaction)
        .await
        .map_err(failed)?;
    Ok(())
}

fn alert(row: &AnyRow) -> Result<Alert> {
    let word = |column| get::<String>(row, column);
    Ok(Alert {
        id: get(row, "id")?,
        condition: Condition {
            cause: word("cause")?,
            severity: word("severity")?.parse()?,
            connection: get(row, "connection")?,
            object: get(row, "object")?,
            run_id: get(row, "run_id")?,
            summary: word("summary")?,
            text: word("text")?,
            remedy: get(row, "remedy")?,
            turn: word("turn")?.parse()?,
        },
        raised_at: get(row, "raised_at")?,
        cleared_at: get(row, "cleared_at")?,
        acknowledged_at: get(row, "acknowledged_at")?,
        acknowledged_by: get(row, "acknowledged_by")?,
        sent_at: get(row, "sent_at")?,
        send_error: get(row, "send_error")?,
    })
}
