//! Who hears of a batch: sessions that listen on `tributary_batch`, and a program by a signed webhook.
//!
//! What is told by the webhook waits in the state until it was taken. Nothing waits for it: a receiver that hangs
//! delays no batch.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use super::PAUSE;
use crate::error::Result;
use crate::model::{Batch, BatchStep, Micros, now_micros};
use crate::service::App;
use crate::service::turn::Turn;

/// The channel of `LISTEN`.
const CHANNEL: &str = "tributary_batch";
/// The lease of whoever sends.
const LEASE: &str = "batch messages";
/// Names in a message.
const NAMES: usize = 50;
/// The first pause after a message that was not taken; each is three times the one before.
const FIRST_PAUSE: Micros = 5_000_000;
const LONGEST_PAUSE: Micros = 900_000_000;
/// Nobody waits for what is older.
const STALE: Micros = 24 * 3_600_000_000;

impl App {
    /// Tells that the release of a batch is there: what depends on it may begin.
    pub(super) async fn tell_released(&self, batch: &Batch, steps: &[BatchStep], release: i64) -> Result<()> {
        let bad = |step: &&BatchStep| step.kind == "sync" && !step.is_good();
        let body = serde_json::json!({
            "type": "batch.released", "company": self.company, "batch": batch.name, "id": batch.id,
            "release": release, "failed": names(steps.iter().filter(bad)),
        });
        self.tell(batch.id, "released", &body.to_string()).await
    }

    /// Tells that a batch has ended.
    pub(super) async fn tell_finished(&self, batch: &Batch, steps: &[BatchStep]) -> Result<()> {
        let of = |status: &str| {
            names(steps.iter().filter(|step| step.kind == "statement" && step.status == status))
        };
        let body = serde_json::json!({
            "type": "batch.finished", "company": self.company, "batch": batch.name, "id": batch.id,
            "status": batch.status, "release": batch.release, "result_release": batch.result_release,
            "statements": { "succeeded": of("succeeded"), "failed": of("failed"), "held": of("held") },
        });
        self.tell(batch.id, "finished", &body.to_string()).await
    }

    async fn tell(&self, batch: i64, event: &str, body: &str) -> Result<()> {
        if self.nights.webhook.get().is_some() {
            self.state.queue_batch_message(batch, event, body, now_micros()).await?;
            self.nights.told.notify_one();
        }
        self.notify_listeners(CHANNEL, body, None).await
    }

    /// Sends what is due at `now` by the webhook; when to look again.
    pub async fn send_batch_messages(&self, now: Micros) -> Result<Option<Micros>> {
        let Some(webhook) = self.nights.webhook.get() else { return Ok(None) };
        // Two nodes must not tell the same.
        let Some(turn) = Turn::try_take(&self.state, LEASE, self.lease).await? else { return Ok(None) };
        let done = async {
            for message in self.state.batch_messages().await? {
                if message.due_at > now {
                    // Those behind it wait: they are to come in their order.
                    return Ok(Some(message.due_at));
                }
                let id = format!("{}-batch-{}-{}", self.company, message.batch, message.event);
                match webhook.post(&id, message.body.clone()).await {
                    Ok(()) => self.state.batch_message_tried(&message, Some(now), None, now).await?,
                    Err(error) => {
                        tracing::warn!(error = ?error, "a batch could not be told by webhook");
                        let pause = FIRST_PAUSE.saturating_mul(3_i64.saturating_pow(message.tries));
                        let again = now + pause.min(LONGEST_PAUSE);
                        self.state.batch_message_tried(&message, None, Some(error.what()), again).await?;
                        self.drop_stale(&message, now).await?;
                        self.watch.alerts.notify_one();
                        return Ok(Some(again));
                    }
                }
            }
            Ok(None)
        };
        let next = done.await;
        turn.give_back().await;
        next
    }

    async fn drop_stale(&self, message: &crate::state::BatchMessage, now: Micros) -> Result<()> {
        let ended = self.state.batch(message.batch).await?.map_or(0, |batch| batch.queued_at);
        if now - ended > STALE {
            self.state.drop_batch_message(message).await?;
        }
        Ok(())
    }
}

fn names<'a>(steps: impl Iterator<Item = &'a BatchStep>) -> Vec<&'a str> {
    steps.map(|step| step.name.as_str()).take(NAMES).collect()
}

/// Goes on sending for as long as the service lives.
pub(super) async fn keep_telling(app: Weak<App>, news: Arc<Notify>) {
    while let Some(service) = app.upgrade() {
        let pause = match service.send_batch_messages(now_micros()).await {
            Ok(Some(next)) => {
                let wait = Duration::from_micros(u64::try_from(next - now_micros()).unwrap_or(0));
                PAUSE.min(wait.max(Duration::from_secs(1)))
            }
            Ok(None) => PAUSE,
            Err(error) => {
                tracing::warn!(error = ?error, "messages about batches could not be looked for");
                PAUSE
            }
        };
        drop(service);
        tokio::time::timeout(pause, news.notified()).await.ok();
    }
}
