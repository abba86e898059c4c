//! The night: every daily object is brought up to date, one release is published, and the statements are computed on
//! exactly that release.
//!
//! A batch is entered in the state and waits for its turn there; one process at a time carries batches out, one after
//! the other, and every step is recorded. So a batch that was interrupted goes on with the steps that are not done,
//! wherever that is, and a night has one batch, whatever ends in between.

mod carry;
mod table;
mod tell;

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::turn::Turn;
use super::{Actor, App, shorten};
use crate::alert::Webhook;
use crate::error::{Error, Kind, Result};
use crate::model::{Batch, BatchStep, Micros, Moment, Schedule, now_micros};
use crate::sync::{Progress, ProgressSender};

pub(super) use table::{COLUMNS, STEP_COLUMNS, batch_row, rows, step_rows};

/// The lease of whoever carries batches out.
const LEASE: &str = "batch";
/// How often is looked without a reason.
const PAUSE: Duration = Duration::from_secs(30);
/// How often somebody who waits for a batch looks at it, and whoever carries it out whether it is to end.
const POLL: Duration = Duration::from_millis(250);
/// Later than so long after its time a batch is called a catch-up.
const LATE: Micros = 3_600_000_000;

/// The nights of this server.
#[derive(Default)]
pub(super) struct Nights {
    /// Something was entered, or the schedule is another one.
    entered: Arc<Notify>,
    scheduled: Arc<Notify>,
    /// There is something to tell.
    told: Arc<Notify>,
    /// Set when the server stops: what is under way goes on after the next start.
    stop: CancellationToken,
    /// Who is told of batches.
    webhook: OnceLock<Webhook>,
}

impl Nights {
    /// Lets go of what is under way, to go on with it later.
    pub(super) fn leave(&self) {
        self.stop.cancel();
    }
}

/// The schedule, and since when it counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct SetSchedule {
    pub(super) schedule: Schedule,
    /// Nights before are not made up for.
    since: Micros,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Written {
    time: String,
    time_zone: String,
    since: Micros,
}

impl App {
    /// Tells the service which program hears of batches. Only the first call counts.
    pub fn tell_batches_to(&self, webhook: Webhook) {
        self.nights.webhook.get_or_init(|| webhook);
    }

    /// Begins to enter batches when they are due, to carry them out and to tell of them.
    pub(super) fn watch_nights(self: &Arc<Self>) {
        tokio::spawn(keep_entering(Arc::downgrade(self), self.nights.scheduled.clone()));
        tokio::spawn(keep_carrying(Arc::downgrade(self), self.nights.entered.clone()));
        tokio::spawn(tell::keep_telling(Arc::downgrade(self), self.nights.told.clone()));
    }

    /// The schedule of the nightly batch; `None` when there is none.
    pub(super) async fn schedule(&self) -> Result<Option<SetSchedule>> {
        let Some(text) = self.state.schedule().await? else { return Ok(None) };
        let written: Written = serde_json::from_str(&text).map_err(|error| {
            Error::new(Kind::Corrupt, "the state holds a schedule that is none").with_source(error)
        })?;
        let schedule = Schedule::parse(&written.time, &written.time_zone)?;
        Ok(Some(SetSchedule { schedule, since: written.since }))
    }

    /// Sets when the nightly batch runs, `off` for never; what is left out stays. Returns the schedule and when the
    /// next batch is due.
    pub async fn set_schedule(
        &self,
        actor: &Actor,
        time: Option<&str>,
        zone: Option<&str>,
        now: Micros,
    ) -> Result<Option<(Schedule, Option<Micros>)>> {
        let arguments = serde_json::json!({ "time": time.map(shorten), "time_zone": zone.map(shorten) });
        self.audited(actor, "set_schedule", &arguments.to_string(), async {
            let before = self.schedule().await?;
            if time.is_some_and(|time| time.trim().eq_ignore_ascii_case("off")) {
                self.state.set_schedule(None).await?;
                self.mirror_schedule().await?;
                return Ok(None);
            }
            let known = before.map(|set| (set.schedule.time(), set.schedule.zone()));
            let missing = |what: &str| {
                Error::new(Kind::Invalid, format!("`{what}` is missing: there is no schedule yet"))
                    .with_hint("for example CALL set_schedule('02:00', 'Europe/Berlin')")
            };
            let (old_time, old_zone) = known.unzip();
            let time = time.map(str::to_string).or(old_time).ok_or_else(|| missing("time"))?;
            let zone = zone.or(old_zone).ok_or_else(|| missing("time_zone"))?;
            let schedule = Schedule::parse(&time, zone)?;
            // A schedule that is moved loses no night.
            let since = before.map_or(now, |set| set.since);
            let written = Written { time: schedule.time(), time_zone: schedule.zone().into(), since };
            let text = serde_json::to_string(&written)
                .map_err(|error| Error::internal("a schedule is not JSON").with_source(error))?;
            self.state.set_schedule(Some(&text)).await?;
            self.mirror_schedule().await?;
            self.nights.scheduled.notify_one();
            let next = match schedule.at(now, self.state.last_night().await?, since) {
                Moment::Due(_, at) | Moment::Wait(at) => Some(at),
                Moment::Never => None,
            };
            Ok(Some((schedule, next)))
        })
        .await
    }

    /// Enters the batch of the night that is due at `now`, unless that was done; when to look again.
    pub async fn enter_due(&self, now: Micros) -> Result<Option<Micros>> {
        let Some(set) = self.schedule().await? else { return Ok(None) };
        let (night, due) = match set.schedule.at(now, self.state.last_night().await?, set.since) {
            Moment::Wait(at) => return Ok(Some(at)),
            Moment::Never => return Ok(None),
            Moment::Due(night, due) => (night.to_string(), due),
        };
        let started_by = if now - due > LATE { "catch-up" } else { "schedule" };
        let batch = new_batch(Some(night.clone()), started_by, &Actor::system().name, Some(due), now);
        // Another process may have done it between the two: then there is nothing to do.
        if let Some(batch) = self.state.add_batch(&batch, &night, true).await? {
            tracing::info!(batch = %batch.name, started_by, "the nightly batch is due");
            self.nights.entered.notify_one();
        }
        match set.schedule.at(now, self.state.last_night().await?, set.since) {
            Moment::Wait(at) => Ok(Some(at)),
            Moment::Due(..) | Moment::Never => Ok(None),
        }
    }

    /// Enters a batch that somebody asks for and, with `wait`, waits for its end.
    pub(super) async fn run_batch(
        self: &Arc<Self>,
        actor: &Actor,
        wait: bool,
        progress: ProgressSender,
        cancel: &CancellationToken,
    ) -> Result<(Batch, Vec<BatchStep>)> {
        self.audited(actor, "run_batch", &serde_json::json!({ "wait": wait }).to_string(), async {
            let now = now_micros();
            let set = self.schedule().await?;
            let schedule = match set {
                Some(set) => set.schedule,
                None => Schedule::parse("00:00", "UTC")?,
            };
            let date = schedule.date(now).ok_or_else(|| Error::internal("there is no date"))?.to_string();
            let batch = new_batch(None, "call", &actor.name, None, now);
            // The plain date is the name of the nightly one.
            let batch = self.state.add_batch(&batch, &date, set.is_none()).await?;
            let batch = batch.ok_or_else(|| Error::internal("a batch without a night was refused"))?;
            self.nights.entered.notify_one();
            if !wait {
                return Ok((batch, Vec::new()));
            }
            self.wait_for_batch(batch.id, actor, &progress, cancel).await
        })
        .await
    }

    /// Ends a batch early, which waits or runs; what it published stays.
    pub(super) async fn cancel_batch(&self, actor: &Actor, name: &str) -> Result<Batch> {
        self.audited(
            actor,
            "cancel_batch",
            &serde_json::json!({ "batch": shorten(name) }).to_string(),
            async {
                let unknown = || {
                    Error::new(Kind::NotFound, format!("there is no batch `{}`", shorten(name)))
                        .with_hint("SELECT name, status FROM tributary.batch lists them")
                };
                let batch = self.state.batch_named(name).await?.ok_or_else(unknown)?;
                if !self.state.cancel_batch(batch.id, &actor.name).await? {
                    let what = format!("batch {} has ended: {}", batch.name, batch.status);
                    return Err(Error::new(Kind::Conflict, what));
                }
                self.nights.entered.notify_one();
                self.state.batch(batch.id).await?.ok_or_else(|| Error::internal("a batch is gone"))
            },
        )
        .await
    }

    async fn wait_for_batch(
        &self,
        id: i64,
        actor: &Actor,
        progress: &ProgressSender,
        cancel: &CancellationToken,
    ) -> Result<(Batch, Vec<BatchStep>)> {
        let mut seen: Vec<BatchStep> = Vec::new();
        let mut asked = false;
        loop {
            let batch = self.state.batch(id).await?.ok_or_else(|| Error::internal("a batch is gone"))?;
            let steps = self.state.batch_steps(id).await?;
            let is_new = |step: &&BatchStep| !step.is_open() && seen.iter().all(|old| old != *step);
            for step in steps.iter().filter(is_new) {
                let cause = step.cause.as_deref().map(|cause| format!(": {cause}")).unwrap_or_default();
                let message = format!("{}{cause}", step.status);
                // Nobody listening any more is fine.
                progress.send(Progress { object: step.name.clone(), message }).ok();
            }
            seen = steps;
            if batch.ended_at.is_some() {
                return Ok((batch, seen));
            }
            if cancel.is_cancelled() && !asked {
                asked = true;
                self.state.cancel_batch(id, &actor.name).await?;
                self.nights.entered.notify_one();
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Carries out what was entered, one batch after the other, unless another process does.
    pub async fn carry_out_batches(self: &Arc<Self>) -> Result<()> {
        while let Some(batch) = self.state.open_batch().await? {
            if self.nights.stop.is_cancelled() {
                return Ok(());
            }
            let Some(turn) = Turn::try_take(&self.state, LEASE, self.lease).await? else { return Ok(()) };
            let done = self.carry_out_batch(batch.id, &turn).await;
            turn.give_back().await;
            self.watch.alerts.notify_one();
            done?;
        }
        Ok(())
    }

    /// Carries out one batch, until it ends, somebody ends it, or this process must let go of it.
    async fn carry_out_batch(self: &Arc<Self>, id: i64, turn: &Turn) -> Result<()> {
        // Another process may have ended it between the look and the turn.
        let Some(batch) = self.state.batch(id).await?.filter(|batch| batch.ended_at.is_none()) else {
            return Ok(());
        };
        let cancel = self.nights.stop.child_token();
        let watch = async {
            loop {
                tokio::time::sleep(POLL).await;
                let wanted = self.state.batch(id).await;
                if turn.lost.is_cancelled()
                    || wanted.is_ok_and(|b| b.is_some_and(|b| b.cancelled_by.is_some()))
                {
                    cancel.cancel();
                }
            }
        };
        let work = carry::Carried::new(self, batch, turn, cancel.clone());
        tokio::select! {
            done = work.finish() => done,
            () = watch => Ok(()),
        }
    }
}

fn new_batch(
    night: Option<String>,
    started_by: &str,
    actor: &str,
    due_at: Option<Micros>,
    now: Micros,
) -> Batch {
    Batch {
        id: 0,
        name: String::new(),
        night,
        started_by: started_by.into(),
        actor: actor.into(),
        due_at,
        status: "queued".into(),
        queued_at: now,
        started_at: None,
        ended_at: None,
        release: None,
        result_release: None,
        cancelled_by: None,
        cause: None,
    }
}

async fn keep_entering(app: Weak<App>, news: Arc<Notify>) {
    while let Some(service) = app.upgrade() {
        let now = now_micros();
        let pause = match service.enter_due(now).await {
            Ok(Some(next)) => PAUSE.min(Duration::from_micros(u64::try_from(next - now).unwrap_or(0))),
            Ok(None) => PAUSE,
            Err(error) => {
                tracing::warn!(error = ?error, "it could not be looked whether a batch is due");
                PAUSE
            }
        };
        drop(service);
        tokio::time::timeout(pause, news.notified()).await.ok();
    }
}

async fn keep_carrying(app: Weak<App>, news: Arc<Notify>) {
    while let Some(service) = app.upgrade() {
        if service.nights.stop.is_cancelled() {
            return;
        }
        if let Err(error) = service.carry_out_batches().await {
            tracing::warn!(error = ?error, "a batch could not be carried on; it is tried again");
        }
        drop(service);
        tokio::time::timeout(PAUSE, news.notified()).await.ok();
    }
}
