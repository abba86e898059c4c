//! The tables that tell what syncs removed, set aside and measured.

use std::collections::{HashMap, HashSet};

use super::{Cell, Columns, NOT_TOLD, Named, Sight};
use crate::error::{Error, Kind, Result};
use crate::model::{FieldType, Object, Run};
use crate::service::App;
use crate::service::gate::rules;
use crate::state::SpanHead;

use FieldType::{Boolean as B, Int64 as I, Text as T};

pub(super) const REMOVAL: Columns =
    &[("run", I), ("object", T), ("key", T), ("reason", T), ("merged_into", T), ("removed", B)];
pub(super) const QUARANTINE: Columns = &[("run", I), ("object", T), ("reason", T), ("record", T)];
pub(super) const MISFIT: Columns = &[("run", I), ("object", T), ("field", T), ("count", I), ("sample", T)];
pub(super) const GATE: Columns = &[
    ("connection", T),
    ("object", T),
    ("rule", T),
    ("field", T),
    ("max", I),
    ("is_default", B),
    ("description", T),
];
pub(super) const GATE_RESULT: Columns = &[
    ("run", I),
    ("object", T),
    ("rule", T),
    ("field", T),
    ("before", T),
    ("after", T),
    ("max", I),
    ("passed", B),
];

pub(super) const VISIBILITY: Columns =
    &[("connection", T), ("kind", T), ("object", T), ("name", T), ("change", T)];

/// What logins were found to show and hide. Objects that nobody adopted are among that, so it is for admins.
pub(super) async fn visibility(app: &App, sight: &Sight) -> Result<Vec<Vec<Cell>>> {
    if !sight.is_admin {
        return Err(Error::new(Kind::Denied, "permission denied for table visibility"));
    }
    let row = |(connection, visible): (String, crate::model::Visible)| {
        vec![
            connection.into(),
            visible.kind.into(),
            visible.object.into(),
            visible.name.into(),
            visible.change.into(),
        ]
    };
    Ok(app.state.visibility().await?.into_iter().map(row).collect())
}

/// The rows of one of these tables that a user may see, of one run or of all.
pub(super) async fn rows(
    app: &App,
    table: &str,
    objects: Vec<Object>,
    runs: Vec<Run>,
    sight: &Sight,
    run: Option<i64>,
) -> Result<Vec<Vec<Cell>>> {
    let names: HashMap<_, _> =
        objects.iter().map(|object| (object.id.as_str(), object.full_name())).collect();
    let name = |id: &str| names.get(id).cloned();
    let seen = |object_id: &String| sight.is_admin || names.contains_key(object_id.as_str());
    Ok(match table {
        "removal" => {
            let published: HashMap<_, _> = runs.iter().map(|run| (run.id, run.release.is_some())).collect();
            let removals =
                app.state.removals(run).await?.into_iter().filter(|removal| seen(&removal.object_id));
            let row = |removal: crate::model::Removal| {
                vec![
                    removal.run_id.into(),
                    name(&removal.object_id).into(),
                    removal.key.into(),
                    removal.reason.into(),
                    removal.merged_into.into(),
                    published.get(&removal.run_id).copied().unwrap_or(false).into(),
                ]
            };
            removals.map(row).collect()
        }
        "quarantine" => {
            let rows = app.state.quarantine(run).await?.into_iter().filter(|row| seen(&row.object_id));
            let hidden: HashSet<_> = objects
                .iter()
                .filter(|object| sight.hides(Named::now(object), None))
                .map(|object| object.id.as_str())
                .collect();
            let row = |row: crate::model::Quarantined| {
                let record = Some(row.record).filter(|_| !hidden.contains(row.object_id.as_str()));
                vec![row.run_id.into(), name(&row.object_id).into(), row.reason.into(), record.into()]
            };
            rows.map(row).collect()
        }
        "misfit" => runs.iter().flat_map(misfits).collect(),
        _ => runs.iter().flat_map(verdicts).collect(),
    })
}

fn misfits(run: &Run) -> Vec<Vec<Cell>> {
    let row = |misfit: &crate::model::MisfitCount| {
        vec![
            run.id.into(),
            run.object.as_str().into(),
            misfit.field.as_str().into(),
            misfit.count.into(),
            misfit.sample.clone().into(),
        ]
    };
    run.counts.misfits_of.iter().map(row).collect()
}

fn verdicts(run: &Run) -> Vec<Vec<Cell>> {
    let row = |verdict: &crate::model::Verdict| {
        vec![
            run.id.into(),
            run.object.as_str().into(),
            verdict.rule.as_str().into(),
            verdict.field.clone().into(),
            verdict.before.as_str().into(),
            verdict.after.as_str().into(),
            i64::from(verdict.limit).into(),
            verdict.passed.into(),
        ]
    };
    run.counts.verdicts.iter().map(row).collect()
}

/// The rules of an object.
pub(super) fn gate(object: &Object) -> Vec<Vec<Cell>> {
    let row = |rule| {
        let mut row: Vec<Cell> = vec![object.connection.as_str().into(), object.name.as_str().into()];
        row.extend(crate::service::registry::rule_row(rule));
        row
    };
    rules(object).into_iter().map(row).collect()
}

/// How an object stands, and what there is to say about that: what readers have when the newest run gave nothing. No
/// values are told where some `is_hidden`.
pub(super) fn standing(
    published: Option<&SpanHead>,
    run: Option<&Run>,
    is_hidden: bool,
) -> (String, Option<String>) {
    let Some(run) = run else {
        let state = if published.is_some() { "current" } else { "never synced" };
        return (state.into(), None);
    };
    let word = match run.status.as_str() {
        "succeeded" | "succeeded with warnings" => return ("current".into(), None),
        status => status,
    };
    let cause = match is_hidden {
        true => NOT_TOLD,
        false => run.cause.as_deref().unwrap_or("no cause is known"),
    };
    let readers = match (word, published) {
        ("capped", _) => String::new(),
        (_, Some(published)) => format!("; readers have the {} rows published before", published.rows),
        (_, None) => "; nothing was published yet".into(),
    };
    (word.into(), Some(format!("run {}: {cause}{readers}", run.id)))
}
