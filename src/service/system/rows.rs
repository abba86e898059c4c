//! Single rows of the system tables.

use super::{Cell, Fate, Sight, time};
use crate::model::{Period, Release, ReleaseObject, Run};
use crate::source;

pub(super) fn connector_row(info: &source::ConnectorInfo) -> Vec<Cell> {
    vec![info.name.to_string().into(), info.label.to_string().into(), info.secrets.join(",").into()]
}

pub(super) fn run_row(run: Run) -> Vec<Cell> {
    let counts = run.counts;
    let warnings = Some(counts.warnings.join("; ")).filter(|warnings| !warnings.is_empty());
    vec![
        run.id.into(),
        run.sync_id.into(),
        run.object.into(),
        run.mode.into(),
        run.status.into(),
        time(run.started_at),
        time(run.ended_at),
        counts.read.into(),
        counts.inserted.into(),
        counts.updated.into(),
        counts.deleted.into(),
        counts.merged.into(),
        counts.left_filter.into(),
        counts.not_visible.into(),
        counts.unknown.into(),
        counts.total.into(),
        counts.duplicates.into(),
        counts.null_keys.into(),
        counts.misfits.into(),
        counts.erased.into(),
        counts.calls.into(),
        counts.expected_calls.and_then(|calls| i64::try_from(calls).ok()).into(),
        counts.bytes_written.into(),
        run.version.into(),
        run.release.into(),
        warnings.into(),
        run.cause.into(),
        run.remedy.into(),
    ]
}

pub(super) fn release_row(release: &Release, sight: &Sight, fate: &Fate) -> Vec<Cell> {
    let visible = || release.objects.iter().filter(|object| sight.sees(&object.connection, &object.name));
    let mut row = vec![
        release.id.into(),
        time(release.published_at),
        release.cause.as_str().into(),
        (visible().count() as i64).into(),
        visible().map(|object| object.rows).sum::<i64>().into(),
    ];
    row.extend(fate.cells(release.id));
    row
}

pub(super) fn period_row(period: Period) -> Vec<Cell> {
    vec![
        period.name.into(),
        period.release.into(),
        time(period.frozen_at),
        period.frozen_by.into(),
        period.reason.into(),
    ]
}

pub(super) fn release_objects(release: &Release, sight: &Sight) -> Vec<Vec<Cell>> {
    let visible = release.objects.iter().filter(|object| sight.sees(&object.connection, &object.name));
    let row = |object: &ReleaseObject| {
        vec![
            release.id.into(),
            object.connection.as_str().into(),
            object.name.as_str().into(),
            object.version.into(),
            object.rows.into(),
        ]
    };
    visible.map(row).collect()
}
