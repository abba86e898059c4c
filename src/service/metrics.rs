//! Numbers for Prometheus, in its text format 0.0.4.
//!
//! Counters begin with the process; everything else is read from state when it is asked for.

mod text;

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::App;
use super::alert::by_severity;
use crate::error::Result;
use crate::model::{Micros, Run, State, StatementRun, now_micros, quote_ident};

use text::{Family, Kind, page};

/// Upper bounds of how long runs take, in seconds.
const BOUNDS: &[f64] = &[1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0];

/// What is counted while the process lives.
pub(super) struct Metrics {
    started_at: Micros,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    /// By connection and object as one name, mode, and how the run ended.
    runs: BTreeMap<(String, String, String), u64>,
    /// By object and what happened to the rows.
    rows: BTreeMap<(String, &'static str), u64>,
    /// Calls of sources' APIs, by object.
    calls: BTreeMap<String, u64>,
    /// By mode: runs within each bound, runs, seconds.
    durations: BTreeMap<String, (Vec<u64>, u64, f64)>,
    /// Computations of statements, by statement and how they ended.
    statements: BTreeMap<(String, String), u64>,
    /// Batches, by how they ended.
    batches: BTreeMap<String, u64>,
    /// By channel and whether it went well.
    messages: BTreeMap<(&'static str, bool), u64>,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics { started_at: now_micros(), counts: Mutex::default() }
    }
}

impl Metrics {
    /// Counts a run that has ended.
    pub(super) fn ran(&self, run: &Run) {
        let mut counts = self.counts.lock();
        let ended = (run.object.clone(), run.mode.clone(), run.status.clone());
        *counts.runs.entry(ended).or_default() += 1;
        for (what, rows) in [
            ("read", run.counts.read),
            ("inserted", run.counts.inserted),
            ("updated", run.counts.updated),
            ("deleted", run.counts.deleted),
        ] {
            // What was not committed was read at most.
            if what == "read" || (run.version.is_some() && run.status != "held") {
                *counts.rows.entry((run.object.clone(), what)).or_default() += rows;
            }
        }
        *counts.calls.entry(run.object.clone()).or_default() += run.counts.calls;
        let seconds = run.ended_at.map_or(0.0, |ended| (ended - run.started_at).max(0) as f64 / 1e6);
        let (within, all, sum) =
            counts.durations.entry(run.mode.clone()).or_insert_with(|| (vec![0; BOUNDS.len()], 0, 0.0));
        for (count, bound) in within.iter_mut().zip(BOUNDS) {
            *count += u64::from(seconds <= *bound);
        }
        (*all, *sum) = (*all + 1, *sum + seconds);
    }

    /// Counts a computation of a statement that has ended.
    pub(super) fn computed(&self, run: &StatementRun) {
        let ended = (run.statement.clone(), run.status.clone());
        *self.counts.lock().statements.entry(ended).or_default() += 1;
    }

    /// Counts a batch that has ended.
    pub(super) fn batch_ended(&self, status: &str) {
        *self.counts.lock().batches.entry(status.to_string()).or_default() += 1;
    }

    /// Counts a message that was sent, or was not.
    pub(super) fn sent(&self, channel: &'static str, well: bool) {
        *self.counts.lock().messages.entry((channel, well)).or_default() += 1;
    }

    fn families(&self) -> Vec<Family> {
        let counts = self.counts.lock();
        let mut runs = Family::new("tributary_runs_total", Kind::Counter, "Runs that ended, by outcome.");
        for ((object, mode, outcome), count) in &counts.runs {
            runs.add(&[("object", object), ("mode", mode), ("outcome", outcome)], *count as f64);
        }
        let mut rows = Family::new("tributary_rows_total", Kind::Counter, "Rows that runs read and changed.");
        for ((object, what), count) in &counts.rows {
            rows.add(&[("object", object), ("what", what)], *count as f64);
        }
        let mut calls =
            Family::new("tributary_source_calls_total", Kind::Counter, "Calls of sources' APIs by runs.");
        for (object, count) in &counts.calls {
            calls.add(&[("object", object)], *count as f64);
        }
        let mut took = Family::new("tributary_run_duration_seconds", Kind::Histogram, "How long runs took.");
        for (mode, (within, all, sum)) in &counts.durations {
            for (count, bound) in within.iter().zip(BOUNDS) {
                took.add_to("_bucket", &[("mode", mode), ("le", &bound.to_string())], *count as f64);
            }
            took.add_to("_bucket", &[("mode", mode), ("le", "+Inf")], *all as f64);
            took.add_to("_sum", &[("mode", mode)], *sum);
            took.add_to("_count", &[("mode", mode)], *all as f64);
        }
        let mut messages = Family::new(
            "tributary_alert_messages_total",
            Kind::Counter,
            "Messages about alerts, by outcome.",
        );
        for ((channel, well), count) in &counts.messages {
            let outcome = if *well { "sent" } else { "failed" };
            messages.add(&[("channel", channel), ("outcome", outcome)], *count as f64);
        }
        let mut statements = Family::new(
            "tributary_statements_total",
            Kind::Counter,
            "Computations of statements that ended, by outcome.",
        );
        for ((statement, outcome), count) in &counts.statements {
            statements.add(&[("statement", statement), ("outcome", outcome)], *count as f64);
        }
        let mut batches =
            Family::new("tributary_batches_total", Kind::Counter, "Batches that ended, by outcome.");
        for (outcome, count) in &counts.batches {
            batches.add(&[("outcome", outcome)], *count as f64);
        }
        vec![runs, rows, calls, took, messages, statements, batches]
    }
}

/// How the server as a whole stands.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Standing {
    /// `ok`.
    pub status: &'static str,
    /// Version of the program.
    pub version: &'static str,
    /// Number of the newest release.
    pub release: Option<i64>,
    /// Its age in seconds.
    pub release_age_seconds: Option<i64>,
    /// How many connections stand how, as their newest checks say.
    pub connections: BTreeMap<&'static str, usize>,
    /// Alerts whose cause lasts, by severity.
    pub alerts: BTreeMap<&'static str, usize>,
}

impl App {
    /// How the server stands, in numbers that tell nobody what is in it. An error when the state does not answer.
    pub async fn standing(&self) -> Result<Standing> {
        let newest = self.state.newest_release().await?;
        let health = self.state.health().await?;
        let of = |state: State| {
            health.iter().filter(|health| health.object_id.is_none() && health.state == state).count()
        };
        let alerts = by_severity(&self.state.open_alerts().await?);
        Ok(Standing {
            status: "ok",
            version: env!("CARGO_PKG_VERSION"),
            release: newest.as_ref().map(|release| release.id),
            release_age_seconds: newest
                .map(|release| (now_micros() - release.published_at).max(0) / 1_000_000),
            connections: State::ALL.iter().map(|state| (state.as_str(), of(*state))).collect(),
            alerts: alerts.into_iter().map(|(severity, count)| (severity.as_str(), count)).collect(),
        })
    }

    /// All numbers, as Prometheus reads them.
    pub async fn metrics(&self) -> Result<String> {
        let mut families = self.metrics.families();
        families.extend(self.of_releases().await?);
        families.extend(self.of_state().await?);
        families.extend(self.of_process());
        Ok(page(&families))
    }

    async fn of_releases(&self) -> Result<Vec<Family>> {
        let mut number = Family::new("tributary_release", Kind::Gauge, "Number of the newest release.");
        let mut published = Family::new(
            "tributary_release_published_timestamp_seconds",
            Kind::Gauge,
            "When the newest release was published.",
        );
        let mut age = Family::new("tributary_release_age_seconds", Kind::Gauge, "Age of the newest release.");
        let mut rows = Family::new("tributary_object_rows", Kind::Gauge, "Rows in the newest release.");
        let mut success = Family::new(
            "tributary_object_last_success_timestamp_seconds",
            Kind::Gauge,
            "When a run of the object was last published.",
        );
        let newest = self.state.newest_release().await?;
        if let Some(release) = &newest {
            number.add(&[], release.id as f64);
            published.add(&[], seconds(release.published_at));
            age.add(&[], (now_micros() - release.published_at).max(0) as f64 / 1e6);
            for object in &release.objects {
                let name = format!("{}.{}", quote_ident(&object.connection), quote_ident(&object.name));
                rows.add(&[("object", &name)], object.rows as f64);
            }
        }
        let synced = self.state.last_published().await?;
        for object in self.state.objects().await? {
            if let Some(at) = synced.get(&object.id) {
                success.add(&[("object", &object.full_name())], seconds(*at));
            }
        }
        Ok(vec![number, published, age, rows, success])
    }

    async fn of_state(&self) -> Result<Vec<Family>> {
        let mut stands = Family::new(
            "tributary_connection_health",
            Kind::Gauge,
            "1 for the state in which the newest check found the connection.",
        );
        let mut checked = Family::new(
            "tributary_connection_checked_timestamp_seconds",
            Kind::Gauge,
            "When the connection was last checked.",
        );
        let health = self.state.health().await?;
        for connection in self.state.connections().await? {
            let whole = health.iter().find(|h| h.connection_id == connection.id && h.object_id.is_none());
            let Some(whole) = whole else { continue };
            for state in State::ALL {
                let labels = [("connection", connection.name.as_str()), ("state", state.as_str())];
                stands.add(&labels, f64::from(u8::from(whole.state == *state)));
            }
            checked.add(&[("connection", &connection.name)], seconds(whole.checked_at));
        }
        let mut alerts = Family::new("tributary_alerts_open", Kind::Gauge, "Alerts whose cause lasts.");
        let counts = by_severity(&self.state.open_alerts().await?);
        let counts: BTreeMap<_, _> = counts.into_iter().collect();
        for (severity, count) in counts {
            alerts.add(&[("severity", severity.as_str())], count as f64);
        }
        Ok(vec![stands, checked, alerts])
    }

    fn of_process(&self) -> Vec<Family> {
        let sessions = self.sessions.get().map(|sessions| sessions.list()).unwrap_or_default();
        let active = sessions.iter().filter(|session| session.active).count();
        let mut open = Family::new("tributary_sessions", Kind::Gauge, "Clients that are connected.");
        open.add(&[], sessions.len() as f64);
        let mut queries =
            Family::new("tributary_statements_running", Kind::Gauge, "Statements that run at the moment.");
        queries.add(&[], active as f64);
        let mut syncs = Family::new("tributary_syncs_running", Kind::Gauge, "Syncs that run at the moment.");
        syncs.add(&[], self.running.lock().len() as f64);
        let mut build = Family::new("tributary_build_info", Kind::Gauge, "1; the version is a label.");
        build.add(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
        let mut start = Family::new("process_start_time_seconds", Kind::Gauge, "When the process started.");
        start.add(&[], seconds(self.metrics.started_at));
        let mut memory = Family::new(
            "process_resident_memory_bytes",
            Kind::Gauge,
            "Memory of the process that is in RAM.",
        );
        if let Some(bytes) = resident_bytes() {
            memory.add(&[], bytes as f64);
        }
        vec![open, queries, syncs, build, start, memory]
    }
}

fn seconds(at: Micros) -> f64 {
    at as f64 / 1e6
}

/// As Linux tells it; nothing elsewhere.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}
