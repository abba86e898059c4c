//! Relations of `pg_catalog` that are of a session or of a moment.

use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::{OffsetComponents, OffsetName};

use super::build::{Cell, Rows};
use super::scope::Scope;
use super::shape::Shape;
use super::{DATABASE, SCHEMA};
use crate::error::{Error, Kind, Result};
use crate::model::now_micros;
use crate::query::engine::Engine;
use crate::query::error::translate;
use crate::query::functions::relation;

/// The rows of such a relation; `None` for any other.
///
/// # Errors
/// `Denied` where PostgreSQL lets only a superuser read.
pub(super) async fn rows(
    engine: &Engine,
    scope: &Scope,
    shape: &'static Shape,
) -> Result<Option<RecordBatch>> {
    let is_secret = ["pg_authid", "pg_shadow", "pg_statistic", "pg_hba_file_rules", "pg_file_settings"];
    if shape.schema == SCHEMA && is_secret.contains(&shape.name) && !scope.who.is_admin {
        let kind = if shape.name == "pg_shadow" { "view" } else { "table" };
        return Err(Error::new(Kind::Denied, format!("permission denied for {kind} {}", shape.name)));
    }
    let rows = match shape.name {
        "pg_settings" => settings(scope, shape),
        "pg_stat_activity" => return activity(engine, scope, shape).await.map(Some),
        "pg_timezone_names" => zones(shape),
        _ => return Ok(None),
    };
    rows.map(Some).map_err(translate)
}

fn settings(scope: &Scope, shape: &'static Shape) -> datafusion::common::Result<RecordBatch> {
    let settings = relation::settings(&scope.settings)?;
    Ok(RecordBatch::try_new(shape.arrow(), settings.columns().to_vec())?)
}

/// The sessions that the user may see.
async fn activity(engine: &Engine, scope: &Scope, shape: &'static Shape) -> Result<RecordBatch> {
    let given = [
        "datid",
        "datname",
        "pid",
        "usesysid",
        "usename",
        "client_addr",
        "client_port",
        "backend_start",
        "state",
        "backend_type",
    ];
    let mut rows = Rows::new(shape, &given);
    if engine.system.tables().iter().any(|table| table.name == "session") {
        let batch = engine.system.rows("session", &scope.who).await?;
        let odd = || Error::internal("the sessions have other columns");
        let number = batch.column_by_name("id").and_then(|array| array.as_primitive_opt::<Int64Type>());
        let since = batch.column_by_name("since");
        let since = since.and_then(|array| array.as_primitive_opt::<TimestampMicrosecondType>());
        let text = |name: &str| batch.column_by_name(name).and_then(|array| array.as_string_opt::<i32>());
        let active = batch.column_by_name("active").and_then(|array| array.as_boolean_opt());
        let (number, since, active) =
            (number.ok_or_else(odd)?, since.ok_or_else(odd)?, active.ok_or_else(odd)?);
        let (user, address) = (text("user").ok_or_else(odd)?, text("address").ok_or_else(odd)?);
        for row in 0..batch.num_rows() {
            let role = scope.role(user.value(row)).map_err(translate)?;
            let (host, port) = address.value(row).rsplit_once(':').unwrap_or((address.value(row), ""));
            let port: Option<i64> = port.parse().ok();
            rows.push(&[
                DATABASE.into(),
                (&scope.catalog.company).into(),
                number.value(row).into(),
                role.into(),
                user.value(row).into(),
                host.trim_matches(['[', ']']).into(),
                port.into(),
                Cell::Time(since.value(row)),
                (if active.value(row) { "active" } else { "idle" }).into(),
                "client backend".into(),
            ]);
        }
    }
    rows.finish().map_err(translate)
}

/// Every zone with what its clocks show now.
fn zones(shape: &'static Shape) -> datafusion::common::Result<RecordBatch> {
    let mut rows = Rows::new(shape, &["name", "abbrev", "utc_offset", "is_dst"]);
    let Some(now) = DateTime::from_timestamp_micros(now_micros()) else { return rows.finish() };
    for zone in chrono_tz::TZ_VARIANTS {
        let offset = zone.offset_from_utc_datetime(&now.naive_utc());
        let seconds = i64::from(offset.fix().local_minus_utc());
        rows.push(&[
            zone.name().into(),
            offset.abbreviation().into(),
            Cell::Span(seconds * 1_000_000),
            (!offset.dst_offset().is_zero()).into(),
        ]);
    }
    rows.finish()
}
