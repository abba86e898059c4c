//! What is wrong, as far as people should hear of it.
//!
//! Alerts follow from what the state says of runs, checks and the time since the last success, not from the moment in
//! which something happened: whatever ends in between, the next look finds the same. An alert is raised when its
//! condition is there for the first time and cleared when it is gone.

mod night;
mod table;

use std::collections::HashMap;

use super::health::is_own;
use super::{App, shorten};
use crate::error::{Kind, Result};
use crate::model::{
    Alert, Condition, Connection, Fault, Health, Micros, Object, Run, Severity, State, Turn, now_micros,
};

pub(super) use table::{COLUMNS, row};

const HOUR: Micros = 3_600_000_000;
/// Tries after which a message that does not leave is told by the other channels.
const TOLD_AFTER: u32 = 3;
/// Longer than a look takes.
const LEASE: std::time::Duration = std::time::Duration::from_secs(60);

impl App {
    /// Raises what is wrong at `now` and was not raised yet, clears what is over.
    pub async fn raise_and_clear(&self, now: Micros) -> Result<()> {
        let _turn = self.watch.raising.lock().await;
        // Two nodes with looks of different moments would undo each other's.
        let Some(fence) = self.state.acquire_lease("alerts", self.state.node(), LEASE).await? else {
            return Ok(());
        };
        let done = self.compare(now).await;
        if let Err(error) = self.state.release_lease("alerts", fence).await {
            tracing::warn!(error = ?error, "a lease could not be given back");
        }
        if done? {
            self.watch.messages.send_modify(|count| *count += 1);
        }
        Ok(())
    }

    /// Whether anything changed.
    async fn compare(&self, now: Micros) -> Result<bool> {
        let conditions = self.conditions(now).await?;
        let open = self.state.open_alerts().await?;
        let mut changed = false;
        for condition in &conditions {
            let known = open.iter().find(|alert| alert.condition.cause == condition.cause);
            if known.is_some_and(|alert| alert.condition == *condition) {
                continue;
            }
            let channels: Vec<_> = self.watch.channels().map(|channel| channel.name()).collect();
            let channels: Vec<_> =
                channels.into_iter().filter(|name| condition.cause != undelivered(name)).collect();
            if let Some(id) = self.state.raise_alert(condition, &channels, now).await? {
                tracing::warn!(alert.id = id, cause = %condition.cause, "{}", condition.summary);
                changed = true;
            }
        }
        for alert in open.iter().filter(|alert| is_over(alert, &conditions)) {
            if self.state.clear_alert(alert.id, now).await? {
                tracing::info!(alert.id, cause = %alert.condition.cause, "resolved");
                changed = true;
            }
        }
        Ok(changed)
    }

    async fn conditions(&self, now: Micros) -> Result<Vec<Condition>> {
        let runs = self.state.telling_runs().await?;
        let health = self.state.health().await?;
        let objects = self.state.objects().await?;
        let mut found = Vec::new();
        for connection in self.state.connections().await? {
            let theirs = Theirs::of(&connection, &objects, &runs, &health);
            // An account that was never linked, or that was given back on purpose, is no surprise.
            if theirs.objects.is_empty() || connection.status == "not connected" {
                continue;
            }
            found.extend(self.of_connection(&theirs).await?);
            found.extend(self.of_objects(&theirs).await?);
        }
        found.extend(self.late(&objects, now).await?);
        found.extend(self.of_night(now).await?);
        found.extend(disk_full(&runs));
        for (channel, why) in self.state.undelivered(TOLD_AFTER).await? {
            found.push(Condition {
                cause: undelivered(&channel),
                severity: Severity::Warning,
                connection: None,
                object: None,
                run_id: None,
                summary: format!("alerts do not leave by `{channel}`"),
                text: format!("alerts do not leave by `{channel}`: {why}"),
                remedy: Some(
                    "check [alerts] in the settings of the server, and whoever receives them".into(),
                ),
                turn: Turn::Admin,
            });
        }
        Ok(found)
    }

    /// What concerns a connection as a whole; at most one thing.
    async fn of_connection(&self, theirs: &Theirs<'_>) -> Result<Option<Condition>> {
        let connection = theirs.connection;
        let whole = theirs.whole.filter(|health| is_own(health) && health.state != State::Green);
        let run_of = |faults: &[Fault]| {
            let fits = |run: &&&Run| run.status == "failed" && run.fault.is_some_and(|f| faults.contains(&f));
            theirs.runs.iter().filter(fits).max_by_key(|run| run.id).copied()
        };
        if connection.status == "needs you" {
            let turn = self.turn(connection, Fault::Login).await?;
            let name = format!("login/{}", connection.id);
            let refused = whole.filter(|health| health.fault == Some(Fault::Login));
            let mut condition = match (refused, run_of(&[Fault::Login])) {
                (Some(health), _) => of_health(&name, connection, health),
                (None, Some(run)) => {
                    // The first of a sync that was refused tells why; the others were not tried.
                    let first = theirs
                        .runs
                        .iter()
                        .filter(|other| other.sync_id == run.sync_id && other.fault == Some(Fault::Login));
                    let first = first.min_by_key(|run| run.id).copied().unwrap_or(run);
                    of_run(&name, connection, None, first, turn)
                }
                (None, None) => Condition {
                    cause: name,
                    severity: Severity::Critical,
                    connection: Some(connection.name.clone()),
                    object: None,
                    run_id: None,
                    summary: format!("the source refuses the login of `{}`", connection.name),
                    text: format!("the source refuses the login of `{}`", connection.name),
                    remedy: Some("log in again, or set its secret with CALL set_secret(...)".into()),
                    turn,
                },
            };
            (condition.severity, condition.turn) = (Severity::Critical, turn);
            return Ok(Some(condition));
        }
        let name = format!("connection/{}", connection.id);
        if let Some(health) = whole {
            return Ok(Some(of_health(&name, connection, health)));
        }
        let run = run_of(&[Fault::Reach, Fault::Quota]);
        // A check that came later knows better.
        let run = run.filter(|run| theirs.whole.is_none_or(|health| health.checked_at <= ended(run)));
        let Some(run) = run else { return Ok(None) };
        let turn = self.turn(connection, run.fault.unwrap_or(Fault::Reach)).await?;
        Ok(Some(of_run(&name, connection, None, run, turn)))
    }

    /// What concerns single objects; at most one thing of each.
    async fn of_objects(&self, theirs: &Theirs<'_>) -> Result<Vec<Condition>> {
        let connection = theirs.connection;
        let mut found = Vec::new();
        for object in &theirs.objects {
            let run = theirs.runs.iter().find(|run| run.object_id == object.id).copied();
            let own = run.filter(|run| match run.status.as_str() {
                "held" => true,
                // Without a fault it was ended by the end of its process.
                "failed" => matches!(run.fault, None | Some(Fault::Other)),
                _ => false,
            });
            if let Some(run) = own {
                let turn =
                    if run.fault.is_none() && run.status == "failed" { Turn::Nobody } else { Turn::Admin };
                found.push(of_run(&format!("run/{}", object.id), connection, Some(object), run, turn));
                continue;
            }
            if theirs.whole.is_some_and(|health| health.state == State::Red) {
                continue;
            }
            let health = theirs.health.iter().find(|health| health.object_id.as_deref() == Some(&object.id));
            let is_newer = |health: &&&Health| {
                health.state == State::Amber || run.is_none_or(|run| health.checked_at >= ended(run))
            };
            if let Some(health) = health.filter(|health| health.state != State::Green).filter(is_newer) {
                let condition = of_health(&format!("object/{}", object.id), connection, health);
                let summary =
                    format!("`{}`: {}", object.full_name(), health.summary.as_deref().unwrap_or_default());
                let text =
                    format!("`{}`: {}", object.full_name(), health.cause.as_deref().unwrap_or_default());
                found.push(Condition {
                    severity: Severity::Warning,
                    object: Some(object.name.clone()),
                    summary,
                    text,
                    ..condition
                });
            }
        }
        Ok(found)
    }

    /// Objects without a success for too long, where that is watched.
    async fn late(&self, objects: &[Object], now: Micros) -> Result<Vec<Condition>> {
        let watched = self.state.late_after().await?;
        if watched.is_empty() {
            return Ok(Vec::new());
        }
        let synced = self.state.last_published().await?;
        let late = |object: &Object| {
            let hours = *watched.get(&object.connection_id)?;
            let last = synced.get(&object.id).copied();
            let waited = now - last.unwrap_or(object.created_at);
            if object.import.frequency == "manual" || waited <= hours.saturating_mul(HOUR) {
                return None;
            }
            let shown = last.and_then(chrono::DateTime::from_timestamp_micros);
            let since = match shown {
                Some(at) => format!("since {}", at.format("%Y-%m-%d %H:%M UTC")),
                None => "yet".to_string(),
            };
            let what = format!(
                "`{}` is late: no sync of it has succeeded {since}, and one is expected every {hours} hours",
                object.full_name()
            );
            Some(Condition {
                cause: format!("late/{}", object.id),
                severity: Severity::Critical,
                connection: Some(object.connection.clone()),
                object: Some(object.name.clone()),
                run_id: None,
                summary: what.clone(),
                text: what,
                remedy: Some(format!(
                    "look at tributary.run, then CALL sync('{}', object => '{}')",
                    object.connection, object.name
                )),
                turn: Turn::Admin,
            })
        };
        Ok(objects.iter().filter_map(late).collect())
    }

    /// Notes that somebody knows of an alert.
    pub(super) async fn acknowledge_alert(&self, actor: &super::Actor, id: i64) -> Result<Alert> {
        self.audited(actor, "acknowledge_alert", &id.to_string(), async {
            self.state.acknowledge_alert(id, &actor.name, now_micros()).await
        })
        .await
    }

    /// Says how many hours may pass without a successful sync of the objects of a connection; 0 watches them no more.
    pub(super) async fn expect_sync(
        &self,
        actor: &super::Actor,
        connection: &str,
        hours: i64,
    ) -> Result<(Connection, Option<i64>)> {
        let arguments = serde_json::json!({ "connection": shorten(connection), "hours": hours }).to_string();
        self.audited(actor, "expect_sync", &arguments, async {
            let connection = self.connection(connection).await?;
            let hours = match hours {
                0 => None,
                1..=8784 => Some(hours),
                _ => {
                    return Err(crate::error::Error::new(
                        Kind::Invalid,
                        format!("`hours` cannot be {hours}"),
                    )
                    .with_hint("accepted: 1 to 8784; 26 fits a daily sync, 0 watches no more"));
                }
            };
            self.state.set_late_after(connection.id, hours).await?;
            self.watch.alerts.notify_one();
            Ok((connection, hours))
        })
        .await
    }
}

/// All that is known of one connection.
struct Theirs<'a> {
    connection: &'a Connection,
    objects: Vec<&'a Object>,
    /// The newest telling run of each object.
    runs: Vec<&'a Run>,
    health: Vec<&'a Health>,
    /// What the newest check says of the connection as a whole, unless it says that nothing can be read and a run has
    /// read since.
    whole: Option<&'a Health>,
}

impl<'a> Theirs<'a> {
    fn of(connection: &'a Connection, objects: &'a [Object], runs: &'a [Run], health: &'a [Health]) -> Self {
        let objects: Vec<_> = objects.iter().filter(|object| object.connection_id == connection.id).collect();
        let of_theirs = |run: &&Run| objects.iter().any(|object| object.id == run.object_id);
        let runs: Vec<_> = runs.iter().filter(of_theirs).collect();
        let health: Vec<_> = health.iter().filter(|health| health.connection_id == connection.id).collect();
        let has_read = runs.iter().filter(|run| run.status != "failed").map(|run| ended(run)).max();
        let whole = health.iter().find(|health| health.object_id.is_none()).copied();
        let is_outdated = |health: &&Health| has_read.is_some_and(|read| health.checked_at < read);
        let whole = whole.filter(|health| health.state == State::Amber || !is_outdated(health));
        Theirs { connection, objects, runs, health, whole }
    }
}

fn ended(run: &Run) -> Micros {
    run.ended_at.unwrap_or(run.started_at)
}

fn is_over(alert: &Alert, conditions: &[Condition]) -> bool {
    conditions.iter().all(|condition| condition.cause != alert.condition.cause)
}

fn undelivered(channel: &str) -> String {
    format!("channel/{channel}")
}

fn of_run(cause: &str, connection: &Connection, object: Option<&Object>, run: &Run, turn: Turn) -> Condition {
    let is_held = run.status == "held";
    let why = run.cause.as_deref().unwrap_or("no cause is known");
    // Where there is no summary the cause is all our own words.
    let brief = run.summary.as_deref().unwrap_or(why);
    let verb = if is_held { "is held" } else { "failed" };
    Condition {
        cause: cause.into(),
        severity: if is_held { Severity::Warning } else { Severity::Critical },
        connection: Some(connection.name.clone()),
        object: object.map(|object| object.name.clone()),
        run_id: Some(run.id),
        summary: format!("sync of {} {verb}: {brief}", run.object),
        text: format!("sync of {} {verb}: {why}", run.object),
        remedy: run.remedy.clone(),
        turn,
    }
}

fn of_health(cause: &str, connection: &Connection, health: &Health) -> Condition {
    let is_red = health.state == State::Red;
    let told = |why: &Option<String>| {
        let verb = if is_red { "cannot be synced" } else { "needs attention" };
        format!("`{}` {verb}: {}", connection.name, why.as_deref().unwrap_or("no cause is known"))
    };
    Condition {
        cause: cause.into(),
        severity: if is_red { Severity::Critical } else { Severity::Warning },
        connection: Some(connection.name.clone()),
        object: None,
        run_id: None,
        summary: told(&health.summary),
        text: told(&health.cause),
        remedy: health.remedy.clone(),
        turn: health.turn,
    }
}

/// A full disk fails whatever is written to it, and is told once.
fn disk_full(runs: &[Run]) -> Option<Condition> {
    let run = runs.iter().filter(|run| run.fault == Some(Fault::Disk)).max_by_key(|run| run.id)?;
    // A run that was written since shows that there is space again.
    if runs.iter().any(|other| other.version.is_some() && ended(other) > ended(run)) {
        return None;
    }
    let brief = run.summary.as_deref().unwrap_or("no space is left on the disk");
    Some(Condition {
        cause: "disk".into(),
        severity: Severity::Critical,
        connection: None,
        object: None,
        run_id: Some(run.id),
        summary: brief.into(),
        text: format!("sync of {} failed: {}", run.object, run.cause.as_deref().unwrap_or(brief)),
        remedy: run.remedy.clone(),
        turn: Turn::Admin,
    })
}

/// How many alerts there are of each severity.
pub(super) fn by_severity(alerts: &[Alert]) -> HashMap<Severity, usize> {
    let mut counts: HashMap<_, _> = Severity::ALL.iter().map(|severity| (*severity, 0)).collect();
    for alert in alerts {
        *counts.entry(alert.condition.severity).or_default() += 1;
    }
    counts
}
