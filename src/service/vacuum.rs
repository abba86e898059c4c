//! `CALL vacuum()`: removes releases past the retention, and the files that nobody can need any more.
//!
//! The order makes it safe to stop anywhere: nobody begins to read an expired release any more, then state says
//! durably that it is removed, and only then its files go. What is left over is found again by the next vacuum.

use std::collections::{BTreeSet, HashMap, HashSet};

use tokio_util::sync::CancellationToken;

use super::release::{DAY, Fate};
use super::{Actor, App};
use crate::error::{Error, Kind, Result};
use crate::model::{Micros, Statement, now_micros};
use crate::snapshot::{Garbage, Keep, Table};
use crate::state::Span;

const HOUR: Micros = DAY / 24;
/// The grace period unless a caller says otherwise: longer than any sync.
pub(super) const GRACE_HOURS: i64 = 24;
const MOST_GRACE_HOURS: i64 = 24 * 365;
/// How often an object is looked at anew because it was written to meanwhile.
const ATTEMPTS: u32 = 5;
/// How far back a commit may lie whose release is still to come.
const UNPUBLISHED: Micros = 7 * DAY;

/// What a vacuum did, or would do.
#[derive(Debug, Default)]
pub(super) struct Vacuumed {
    /// The releases that are removed now.
    pub(super) releases: Vec<i64>,
    /// One entry an object.
    pub(super) objects: Vec<Swept>,
}

/// What became of the files of one object.
#[derive(Debug)]
pub(super) struct Swept {
    /// `connection.object` as it was last called.
    pub(super) object: String,
    /// `kept`, `dropped`, `unknown`, or `skipped`.
    pub(super) status: &'static str,
    pub(super) garbage: Garbage,
    /// Why nothing was removed.
    pub(super) cause: Option<String>,
}

/// What state knows of the tables.
struct Known {
    /// Live objects by id, with their full names.
    live: HashMap<String, String>,
    /// Objects that were dropped, with their last full names where they were ever published.
    dropped: HashMap<String, String>,
    /// The versions that must stay, by object id.
    versions: HashMap<String, BTreeSet<i64>>,
    leased: HashSet<String>,
}

impl App {
    /// Removes releases past the retention, and files that no kept release, reader or writer can need. Files written
    /// or replaced in the last `grace_hours` stay. A dry run only tells.
    pub(super) async fn vacuum(
        &self,
        actor: &Actor,
        dry_run: bool,
        grace_hours: i64,
        cancel: &CancellationToken,
    ) -> Result<Vacuumed> {
        let arguments = serde_json::json!({ "dry_run": dry_run, "grace_hours": grace_hours });
        self.audited(actor, "vacuum", &arguments.to_string(), async {
            if !(0..=MOST_GRACE_HOURS).contains(&grace_hours) {
                let what = format!("a grace period of `{grace_hours}` hours is not accepted");
                return Err(Error::new(Kind::Invalid, what).with_hint(format!(
                    "accepted are 0 to {MOST_GRACE_HOURS}; {GRACE_HOURS} is the default"
                )));
            }
            let Ok(_only) = self.vacuuming.try_lock() else {
                return Err(
                    Error::new(Kind::Conflict, "a vacuum is running already").with_hint("wait for its end")
                );
            };
            // What a compaction writes is in no commit yet.
            let _no_compaction = tokio::select! {
                turn = self.compactions.pause() => turn,
                () = cancel.cancelled() => return Err(cancelled()),
            };
            let began = now_micros();
            let grace = grace_hours * HOUR;
            let mirrored = self.warehouse.mirrored_releases().await?;
            let fate = Fate::load(self, began).await?;
            check_complete(&fate, &mirrored)?;
            let releases = self.remove_releases(&fate, began, grace, dry_run).await?;
            let known = self.known(&releases, began).await?;
            let mut vacuumed = Vacuumed { releases, objects: Vec::new() };
            for (connection, object_id) in self.warehouse.folders().await? {
                if cancel.is_cancelled() {
                    return Err(cancelled());
                }
                let table = self.warehouse.table(&connection, &object_id);
                let grace = if known.leased.contains(&object_id) { grace.max(DAY) } else { grace };
                let swept = sweep(&table, &known, &connection, &object_id, began - grace, dry_run).await;
                let found = swept.garbage.files + swept.garbage.kept_files;
                // Folders of a disk outlive what was in them.
                vacuumed.objects.extend((found > 0 || swept.cause.is_some()).then_some(swept));
            }
            if !dry_run {
                let age = std::time::Duration::from_micros(grace.max(DAY).unsigned_abs());
                self.warehouse.sweep_leftovers(age).await?;
                let removed = |id: &i64| {
                    vacuumed.releases.contains(id)
                        || fate.headers().iter().any(|header| header.id == *id && header.removed_at.is_some())
                };
                for release in mirrored.iter().filter(|id| removed(id)) {
                    self.warehouse.remove_release(*release).await?;
                }
            }
            vacuumed.objects.sort_by(|a, b| a.object.cmp(&b.object));
            Ok(vacuumed)
        })
        .await
    }

    /// Marks what has expired as removed; returns what is removed from now on.
    async fn remove_releases(
        &self,
        fate: &Fate,
        now: Micros,
        grace: Micros,
        dry_run: bool,
    ) -> Result<Vec<i64>> {
        let mut expired = fate.expired(now, grace);
        let Some(engine) = self.engine.get() else {
            return if dry_run { Ok(expired) } else { self.state.remove_releases(&expired).await };
        };
        if dry_run {
            let read = [engine.read_now(), self.state.held_releases().await?].concat();
            expired.retain(|release| !read.contains(release));
            return Ok(expired);
        }
        let read = engine.retire(&expired);
        expired.retain(|release| !read.contains(release));
        let removed = self.state.remove_releases(&expired).await;
        // After a failure they may be marked or not; whoever asks state is told.
        let stay: Vec<_> = match &removed {
            Ok(removed) => expired.iter().copied().filter(|release| !removed.contains(release)).collect(),
            Err(_) => expired.clone(),
        };
        engine.reopen(&stay);
        removed
    }

    /// What state knows once `removed` are gone. Releases that another node turns out to read stay for this time.
    async fn known(&self, removed: &[i64], now: Micros) -> Result<Known> {
        let local = self.engine.get().map(|engine| engine.read_now()).unwrap_or_default();
        let read: BTreeSet<i64> = local.into_iter().chain(self.state.held_releases().await?).collect();
        let mut kept: BTreeSet<i64> = read.clone();
        let headers = self.state.release_headers().await?;
        kept.extend(headers.iter().filter(|header| header.removed_at.is_none()).map(|header| header.id));
        for release in removed.iter().filter(|release| !read.contains(release)) {
            kept.remove(release);
        }
        let spans = self.state.spans().await?;
        let mut versions = versions(&spans, &kept);
        for (object_id, version) in self.state.unpublished_versions(now - UNPUBLISHED).await? {
            versions.entry(object_id).or_default().insert(version);
        }
        for (statement_id, version) in self.state.unpublished_results(now - UNPUBLISHED).await? {
            versions.entry(statement_id).or_default().insert(version);
        }
        let mut live: HashMap<_, _> =
            self.state.objects().await?.into_iter().map(|o| (o.id.clone(), o.full_name())).collect();
        live.extend(self.state.statements().await?.into_iter().map(|s| (s.id.clone(), s.full_name())));
        let mut dropped: HashMap<String, String> = HashMap::new();
        for (statement_id, name) in self.state.statements_ever_run().await? {
            dropped.insert(statement_id, format!("{}.{name}", Statement::SCHEMA));
        }
        for object_id in self.state.objects_ever_run().await? {
            dropped.insert(object_id, String::new());
        }
        for span in &spans {
            let object = &span.object;
            dropped.insert(object.object_id.clone(), format!("{}.{}", object.connection, object.name));
        }
        dropped.retain(|object_id, _| !live.contains_key(object_id));
        let leased = self.state.leased_objects().await?;
        Ok(Known { live, dropped, versions, leased })
    }
}

fn cancelled() -> Error {
    Error::new(Kind::Cancelled, "the vacuum was cancelled")
        .with_hint("nothing that is needed was removed; the next vacuum goes on")
}

/// Refuses to clean up after a state that lags behind its storage: it does not know what must stay.
fn check_complete(fate: &Fate, mirrored: &[i64]) -> Result<()> {
    let newest = fate.headers().last().map_or(0, |header| header.id);
    match mirrored.iter().max().filter(|mirrored| **mirrored > newest) {
        None => Ok(()),
        Some(ahead) => {
            let what =
                format!("the state database is older than the storage: it does not know release {ahead}");
            Err(Error::new(Kind::Conflict, what)
                .with_detail(format!("its newest is release {newest}"))
                .with_hint("bring the state up to date before cleaning up"))
        }
    }
}

/// The versions that releases read, by object id.
fn versions(spans: &[Span], releases: &BTreeSet<i64>) -> HashMap<String, BTreeSet<i64>> {
    let mut versions: HashMap<String, BTreeSet<i64>> = HashMap::new();
    for span in spans {
        let first = releases.range(span.from..).next();
        if first.is_some_and(|release| span.to.is_none_or(|to| *release < to)) {
            versions.entry(span.object.object_id.clone()).or_default().insert(span.object.version);
        }
    }
    versions
}

async fn sweep(
    table: &Table,
    known: &Known,
    connection: &str,
    object_id: &str,
    since: Micros,
    dry_run: bool,
) -> Swept {
    let versions = known.versions.get(object_id).cloned().unwrap_or_default();
    let (object, status) = match (known.live.get(object_id), known.dropped.get(object_id)) {
        (Some(name), _) => (name.clone(), "kept"),
        (None, Some(name)) if name.is_empty() => (format!("{connection}.{object_id}"), "dropped"),
        (None, Some(name)) => (name.clone(), "dropped"),
        (None, None) => (format!("{connection}.{object_id}"), "unknown"),
    };
    if status == "unknown" {
        // Perhaps of a state that was lost: not ours to remove.
        let cause = Some("the state database has never heard of it".to_string());
        return Swept { object, status, garbage: Garbage::default(), cause };
    }
    let is_remains = status == "dropped" && versions.is_empty();
    let keep = Keep { versions, newest: status == "kept", since };
    let clean_up = async || {
        for _ in 0..ATTEMPTS {
            let mut garbage = match is_remains {
                true => table.remains(since).await?,
                false => table.garbage(&keep).await?,
            };
            if dry_run || table.remove(&mut garbage).await? {
                return Ok(garbage);
            }
        }
        Err(Error::new(Kind::Conflict, "it is written by others all the time"))
    };
    let swept = clean_up().await;
    match swept {
        Ok(garbage) => Swept { object, status, garbage, cause: None },
        Err(error) => {
            tracing::warn!(object.id = object_id, error = ?error, "an object was not cleaned up");
            let cause = Some(error.to_string());
            Swept { object, status: "skipped", garbage: Garbage::default(), cause }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ReleaseObject;

    #[test]
    fn versions_are_those_of_the_kept_releases() {
        let span = |id: &str, version, from, to| {
            let (object_id, connection, name) = (id.to_string(), "crm".to_string(), id.to_string());
            let object = ReleaseObject {
                object_id,
                connection,
                name,
                version,
                rows: 0,
                fields: Vec::new(),
                overrides: None,
            };
            Span { from, to, object }
        };
        let spans = [
            span("a", 0, 1, Some(3)),
            span("a", 1, 3, Some(4)),
            span("a", 2, 4, None),
            span("b", 0, 2, Some(3)),
        ];
        let of = |releases: &[i64]| {
            let kept = versions(&spans, &releases.iter().copied().collect());
            let mut kept: Vec<_> =
                kept.into_iter().map(|(id, v)| (id, v.into_iter().collect::<Vec<_>>())).collect();
            kept.sort();
            kept
        };
        assert_eq!(of(&[9]), [("a".to_string(), vec![2])]);
        assert_eq!(of(&[2, 9]), [("a".to_string(), vec![0, 2]), ("b".to_string(), vec![0])]);
        assert_eq!(of(&[3]), [("a".to_string(), vec![1])]);
    }
}
