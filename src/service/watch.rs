//! What goes on by itself, for as long as the service lives: checks of connections, looking for what is wrong, and
//! sending what people should hear of.
//!
//! Each is a task of its own, and so is each channel: one that hangs keeps nothing else waiting. All of them take the
//! time as an argument; only the tasks look at the clock.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use tokio::sync::{Mutex, Notify, watch};

use super::App;
use crate::alert::{Channel, Notice, NoticeEvent, send};
use crate::error::Result;
use crate::model::{Event, Message, Micros, now_micros};

/// How often is looked without a reason.
const PAUSE: Duration = Duration::from_secs(30);
/// Of one cause is told so often at most.
const TELL_EVERY: Micros = 3_600_000_000;
/// That something is over is not told any more after so long.
const STALE: Micros = 24 * 3_600_000_000;
/// The first pause after a message that could not be sent; each is three times the one before, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// Longer than sending what goes in one turn.
const LEASE: Duration = Duration::from_secs(300);
/// Notices in one message.
const GATHERED: usize = 50;
/// Messages in one turn.
const AT_ONCE: usize = 10;

/// What the tasks share.
pub(super) struct Watch {
    channels: OnceLock<Vec<Arc<dyn Channel>>>,
    /// A check is due.
    pub(super) checks: Arc<Notify>,
    /// Something ended that may be wrong, or right again.
    pub(super) alerts: Arc<Notify>,
    /// Counts the times that there was something new to send.
    pub(super) messages: watch::Sender<u64>,
    /// Held by whoever raises and clears.
    pub(super) raising: Mutex<()>,
}

impl Default for Watch {
    fn default() -> Self {
        let (messages, _) = watch::channel(0);
        let (checks, alerts) = (Arc::default(), Arc::default());
        Watch { channels: OnceLock::new(), checks, alerts, messages, raising: Mutex::default() }
    }
}

impl Watch {
    /// Where alerts go.
    pub(super) fn channels(&self) -> impl Iterator<Item = &Arc<dyn Channel>> {
        self.channels.get().into_iter().flatten()
    }
}

impl App {
    /// Tells the service where alerts go. Only the first call counts.
    pub fn alert_by(&self, channels: Vec<Arc<dyn Channel>>) {
        self.watch.channels.get_or_init(|| channels);
    }

    /// Begins to check connections, to look for what is wrong and to tell it.
    pub fn watch_over(self: &Arc<Self>) {
        tokio::spawn(keep_checking(Arc::downgrade(self), self.watch.checks.clone()));
        tokio::spawn(keep_looking(Arc::downgrade(self), self.watch.alerts.clone()));
        self.watch_nights();
        for channel in self.watch.channels() {
            let news = self.watch.messages.subscribe();
            tokio::spawn(keep_sending(Arc::downgrade(self), channel.clone(), news));
        }
    }

    /// Sends what is due at `now` by one channel. What could not be sent is tried again later; only trouble with our
    /// own state is an error.
    pub async fn send_due(&self, channel: &dyn Channel, now: Micros) -> Result<()> {
        let lease = format!("alerts/{}", channel.name());
        // Two nodes must not tell the same.
        let Some(fence) = self.state.acquire_lease(&lease, self.state.node(), LEASE).await? else {
            return Ok(());
        };
        let done = self.send_leased(channel, now).await;
        if let Err(error) = self.state.release_lease(&lease, fence).await {
            tracing::warn!(error = ?error, "a lease could not be given back");
        }
        done
    }

    async fn send_leased(&self, channel: &dyn Channel, now: Micros) -> Result<()> {
        let name = channel.name();
        let mut due = self.state.due_messages(name, now, TELL_EVERY).await?;
        let is_stale = |message: &Message| {
            message.event == Event::Resolved && message.alert.cleared_at.is_some_and(|at| at < now - STALE)
        };
        for stale in due.extract_if(.., |message| is_stale(message)) {
            self.state.drop_message(&stale, name).await?;
        }
        let size = if channel.gathers() { GATHERED } else { 1 };
        for messages in due.chunks(size).take(AT_ONCE) {
            let notices: Vec<_> = messages.iter().map(notice).collect();
            match send(channel, &self.company, &notices).await {
                Ok(()) => {
                    self.metrics.sent(name, true);
                    for message in messages {
                        self.state.message_sent(message, name, now).await?;
                    }
                }
                Err(error) => {
                    self.metrics.sent(name, false);
                    tracing::warn!(channel = name, error = ?error, "an alert could not be sent");
                    for message in messages {
                        let again = now + pause_after(message.tries).as_micros() as Micros;
                        self.state.message_failed(message, name, error.what(), again).await?;
                    }
                    // It would be the same with the others; that it is so may have to be told.
                    self.watch.alerts.notify_one();
                    break;
                }
            }
        }
        Ok(())
    }
}

fn pause_after(tries: u32) -> Duration {
    let pause = FIRST_PAUSE.saturating_mul(3_u32.saturating_pow(tries)).min(LONGEST_PAUSE);
    pause.mul_f64(rand::random_range(0.8..1.0))
}

/// What may leave the company of an alert.
fn notice(message: &Message) -> Notice {
    let (alert, condition) = (&message.alert, &message.alert.condition);
    let shown = |at: Micros| {
        let at = chrono::DateTime::from_timestamp_micros(at).unwrap_or_default();
        at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
    };
    Notice {
        event: match message.event {
            Event::Raised => NoticeEvent::Raised,
            Event::Resolved => NoticeEvent::Resolved,
        },
        alert: alert.id,
        cause: condition.cause.clone(),
        severity: condition.severity.as_str(),
        connection: condition.connection.clone(),
        object: condition.object.clone(),
        run: condition.run_id,
        text: condition.summary.clone(),
        remedy: condition.remedy.clone(),
        turn: condition.turn.as_str(),
        raised_at: shown(alert.raised_at),
        cleared_at: alert.cleared_at.map(shown),
    }
}

async fn keep_checking(app: Weak<App>, news: Arc<Notify>) {
    while let Some(service) = app.upgrade() {
        if let Err(error) = service.check_due(now_micros()).await {
            tracing::warn!(error = ?error, "connections could not be checked");
        }
        drop(service);
        tokio::time::timeout(PAUSE, news.notified()).await.ok();
    }
}

async fn keep_looking(app: Weak<App>, news: Arc<Notify>) {
    while let Some(service) = app.upgrade() {
        if let Err(error) = service.raise_and_clear(now_micros()).await {
            tracing::warn!(error = ?error, "alerts could not be looked for");
        }
        drop(service);
        tokio::time::timeout(PAUSE, news.notified()).await.ok();
    }
}

async fn keep_sending(app: Weak<App>, channel: Arc<dyn Channel>, mut news: watch::Receiver<u64>) {
    while let Some(service) = app.upgrade() {
        news.borrow_and_update();
        let mut pause = PAUSE;
        match service.send_due(channel.as_ref(), now_micros()).await {
            Ok(()) => {
                if let Ok(Some(at)) = service.state.next_message(channel.name()).await {
                    let wait = u64::try_from(at - now_micros()).unwrap_or(1_000_000).max(1_000_000);
                    pause = pause.min(Duration::from_micros(wait));
                }
            }
            Err(error) => tracing::warn!(error = ?error, "messages could not be looked for"),
        }
        drop(service);
        if let Ok(Err(_)) = tokio::time::timeout(pause, news.changed()).await {
            // The service has ended.
            return;
        }
    }
}
