//! `tributary.run`, `tributary.sync`, and what single runs removed, set aside and measured.

use std::collections::{HashMap, HashSet};

use super::rows::run_row;
use super::{Catalog, Cell, NOT_TOLD, Named, SHOWN, Sight, Wanted, time, trust};
use crate::error::Result;
use crate::model::{Object, Run};
use crate::state::RunsWanted;

/// The columns of `run` that are not made of what it counted.
const WITHOUT_COUNTS: [&str; 13] = [
    "id",
    "sync",
    "object",
    "mode",
    "status",
    "started_at",
    "ended_at",
    "version",
    "release",
    "cause",
    "remedy",
    "expected_rows",
    "current_object",
];
/// The columns of `run` by which the state tells runs apart.
const TOLD_APART_BY: [&str; 5] = ["id", "sync", "object", "status", "current_object"];

/// In the place of a measure of a field that may be one of those that somebody does not see.
const NOT_SHOWN: &str = "***";

/// Whether a run may tell values of fields that are hidden. They are known by names that they had then, so all are.
/// `now` is what its object is called now, if it is there.
fn hides(sight: &Sight, run: &Run, now: Option<&str>) -> bool {
    if sight.hides_nothing() {
        return false;
    }
    let then = datafusion::common::TableReference::parse_str(&run.object);
    let then = (then.schema().unwrap_or_default(), then.table());
    let (connection, object) = now.and_then(|now| now.split_once('.')).unwrap_or(then);
    sight.hides(Named { id: &run.object_id, connection, object }, None)
}

impl Catalog {
    pub(super) async fn runs(&self, sight: &Sight, wanted: &Wanted) -> Result<Vec<Vec<Cell>>> {
        let names = self.app.state.object_names().await?;
        let named_now = wanted.text("current_object");
        let object_id =
            names.iter().find(|(_, name)| named_now == Some(name.as_str())).map(|(id, _)| id.as_str());
        if named_now.is_some() && object_id.is_none() {
            return Ok(Vec::new());
        }
        let with_counts = match &wanted.columns {
            Some(columns) => columns.iter().any(|column| !WITHOUT_COUNTS.contains(&column.as_str())),
            None => true,
        };
        // Among all runs others may be newer than those that somebody who does not see all may see.
        let newest = wanted.newest_by(&TOLD_APART_BY).filter(|_| sight.sees_all);
        let asked = RunsWanted {
            id: wanted.number("id"),
            sync: wanted.number("sync"),
            object: wanted.text("object"),
            object_id,
            status: wanted.text("status"),
            newest: newest.map_or(SHOWN, |newest| newest.min(SHOWN)),
            with_counts,
        };
        let live = self.app.syncer.live();
        let row = |mut run: Run| {
            let (object, ongoing) = (names.get(&run.object_id).cloned(), live.of(run.id));
            if hides(sight, &run, object.as_deref()) {
                run.cause = run.cause.map(|_| NOT_TOLD.into());
                run.counts.warnings.clear();
            }
            run_row(run, object, ongoing)
        };
        Ok(self.visible_runs(sight, &asked).await?.into_iter().map(row).collect())
    }

    async fn visible_runs(&self, sight: &Sight, wanted: &RunsWanted<'_>) -> Result<Vec<Run>> {
        let mut runs = self.app.state.runs_where(wanted).await?;
        if !sight.sees_all {
            let objects = self.visible_heads(sight).await?;
            let visible: HashSet<_> = objects.iter().map(|object| object.id.as_str()).collect();
            runs.retain(|run| visible.contains(run.object_id.as_str()));
        }
        Ok(runs)
    }

    /// `removal`, `quarantine`, `misfit` and `gate_result`.
    pub(super) async fn of_runs(
        &self,
        table: &str,
        sight: &Sight,
        wanted: &Wanted,
    ) -> Result<Vec<Vec<Cell>>> {
        let run = wanted.number("run");
        let with_counts = matches!(table, "misfit" | "gate_result");
        let asked = RunsWanted { id: run, newest: SHOWN, with_counts, ..RunsWanted::default() };
        let (mut objects, mut runs) =
            (self.visible_heads(sight).await?, self.visible_runs(sight, &asked).await?);
        if matches!(table, "quarantine" | "misfit") {
            // These hold values of records.
            objects.retain(|object| sight.reads(&object.connection, &object.name));
            let read: HashSet<_> = objects.iter().map(|object| object.id.clone()).collect();
            runs.retain(|run| sight.is_admin || read.contains(&run.object_id));
        }
        let name = |object: &Object| (object.id.clone(), format!("{}.{}", object.connection, object.name));
        let names: HashMap<_, _> = objects.iter().map(name).collect();
        let name = |run: &Run| names.get(&run.object_id).map(String::as_str);
        for run in runs.iter_mut().filter(|run| hides(sight, run, name(run))) {
            run.counts.misfits_of.iter_mut().for_each(|misfit| misfit.sample = None);
            for verdict in run.counts.verdicts.iter_mut().filter(|verdict| verdict.field.is_some()) {
                (verdict.before, verdict.after) = (NOT_SHOWN.into(), NOT_SHOWN.into());
            }
        }
        trust::rows(&self.app, table, objects, runs, sight, run).await
    }

    /// Syncs of which the user may see at least one run.
    pub(super) async fn syncs(&self, sight: &Sight, wanted: &Wanted) -> Result<Vec<Vec<Cell>>> {
        let asked = RunsWanted { sync: wanted.number("id"), newest: SHOWN, ..RunsWanted::default() };
        let mut runs: HashMap<i64, Vec<Run>> = HashMap::new();
        for run in self.visible_runs(sight, &asked).await? {
            runs.entry(run.sync_id).or_default().push(run);
        }
        let row = |sync: crate::model::Sync| {
            let runs = runs.get(&sync.id)?;
            let is_over = runs.iter().all(|run| run.ended_at.is_some());
            let succeeded = runs.iter().filter(|run| run.status.starts_with("succeeded")).count();
            Some(vec![
                sync.id.into(),
                sync.mode.into(),
                sync.actor.into(),
                time(sync.started_at),
                time(runs.iter().filter_map(|run| run.ended_at).max().filter(|_| is_over)),
                (runs.len() as i64).into(),
                (succeeded as i64).into(),
            ])
        };
        Ok(self.app.state.syncs(SHOWN).await?.into_iter().filter_map(row).collect())
    }
}
