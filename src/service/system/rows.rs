//! Single rows of the system tables.

use super::{Cell, time};
use crate::model::{Period, Run};
use crate::source;
use crate::state::DroppedObject;
use crate::sync::Ongoing;

/// A connector; where the browser comes back to after a login, and whether an app for that is registered in the settings
/// of the server.
pub(super) fn connector_row(
    info: &source::ConnectorInfo,
    redirect_uri: Option<String>,
    is_registered: bool,
) -> Vec<Cell> {
    let setting = |setting: &source::SettingInfo| serde_json::json!({ "name": setting.name, "required": setting.is_required, "doc": setting.doc });
    let login = |login: &source::LoginInfo| {
        let asks = |(name, label): &(String, String)| serde_json::json!({ "name": name, "label": label });
        serde_json::json!({
            "kind": login.kind,
            "asks": login.asks.iter().map(asks).collect::<Vec<_>>(),
            "scopes": login.scopes,
            "optional_scopes": login.optional_scopes,
        })
    };
    let settings: Vec<_> = info.settings.iter().map(setting).collect();
    let logins: Vec<_> = info.logins.iter().map(login).collect();
    let by_person = info.logins.iter().any(|login| login.kind == source::LoginInfo::OAUTH);
    vec![
        info.name.to_string().into(),
        info.label.to_string().into(),
        info.secrets.join(",").into(),
        info.docs.clone().into(),
        serde_json::Value::from(settings).to_string().into(),
        serde_json::Value::from(logins).to_string().into(),
        redirect_uri.filter(|_| by_person).into(),
        is_registered.into(),
    ]
}

pub(super) fn dropped_row(dropped: &DroppedObject) -> Vec<Cell> {
    let object = &dropped.object;
    vec![
        object.connection.as_str().into(),
        object.name.as_str().into(),
        object.api.as_str().into(),
        object.label.as_str().into(),
        time(dropped.at),
        dropped.by.as_str().into(),
    ]
}

/// A run, with what its object is called now; one that is not at its end with what it has counted so far, where it runs
/// here.
pub(super) fn run_row(run: Run, object: Option<String>, ongoing: Option<Ongoing>) -> Vec<Cell> {
    let mut counts = run.counts;
    if let Some(ongoing) = ongoing {
        (counts.read, counts.calls) = (ongoing.read, ongoing.calls);
        counts.expected_calls = ongoing.expected_calls;
    }
    let expected_rows = ongoing.and_then(|ongoing| ongoing.expected_rows);
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
        expected_rows.and_then(|rows| i64::try_from(rows).ok()).into(),
        object.into(),
        counts.resumed_from.into(),
        Some(counts.requests.join("\n")).filter(|requests| !requests.is_empty()).into(),
    ]
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
