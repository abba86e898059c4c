//! Where the next diff starts: a lower bound of every cursor value that this read cannot have seen.
//!
//! A transaction that is open while we read commits later, with a value of its past: `now()` is the start of the
//! transaction, a serial number is drawn before the commit. So the watermark is never the newest value seen. Before
//! the snapshot of the read is taken we look, in this order, at the clock (or, for numbers, at the highest value) and
//! at the open transactions. What the snapshot does not show was written by one of those, or by one that began
//! after the look, so its value is not below
//!
//! - the clock of the look, or the highest value of the look, and
//! - for each transaction open at the look: its start where we may see it (`pg_stat_activity` shows it to superusers
//!   and members of `pg_read_all_stats`), else the clock or highest value of the last look at which it was not
//!   open yet: the watermark carries the open transactions from look to look.
//!
//! The least of them is the watermark; it holds however long a transaction stays open. On top, a diff reads again an
//! overlap before it: for clocks the setting `overlap_secs` (clocks of other machines, standbys, what a first look
//! cannot know), for numbers [`NUMBER_OVERLAP`] (blocks of numbers drawn in advance). Reading a row twice costs
//! nothing but time; rows are merged by key.
//!
//! A diff has no upper bound: everything the snapshot shows from the lower bound on is read, values that lie in the
//! future included. They are read again until the clock has passed them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::columns::{Column, Relation, parse};
use super::connect::{APPLICATION, Session, text};
use super::failure;
use super::filter::print_timestamp;
use super::name::quote;
use crate::error::{Error, Kind, Result};
use crate::model::Micros;
use crate::source::Watermark;

/// Numbers are read again so far below the watermark.
pub(crate) const NUMBER_OVERLAP: i64 = 1000;

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3600 * SECOND;
const DAY: i64 = 24 * HOUR;

/// What kind of values a cursor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CursorKind {
    Date,
    /// Without time zone: whatever clock the application uses.
    Timestamp,
    TimestampTz,
    Integer,
}

/// The watermark of this source. Times are microseconds since 1970 UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    pub(crate) cursor: String,
    pub(crate) kind: CursorKind,
    /// No unseen value lies below it. `None`: any value may be unseen.
    pub(crate) at: Option<i64>,
    /// The clock, or the highest number, of the look.
    seen: Option<i64>,
    /// Transactions that were open, each with a bound as `at`.
    open: BTreeMap<String, Option<i64>>,
}

impl Position {
    /// Reads a watermark of ours and checks that it belongs to this cursor.
    pub(crate) fn parse(watermark: &Watermark, cursor: &str, kind: CursorKind) -> Result<Self> {
        let full = "run a full sync; it sets a new watermark";
        let position: Position = serde_json::from_value(watermark.0.clone()).map_err(|error| {
            Error::new(Kind::Invalid, "the stored watermark is not one of a PostgreSQL source")
                .with_hint(full)
                .with_source(error)
        })?;
        if position.cursor != cursor || position.kind != kind {
            return Err(Error::new(
                Kind::Invalid,
                format!(
                    "the stored watermark is of field `{}`, and the cursor is `{cursor}` now",
                    position.cursor
                ),
            )
            .with_hint(full));
        }
        Ok(position)
    }

    pub(crate) fn watermark(&self) -> Result<Watermark> {
        let json = serde_json::to_value(self)
            .map_err(|error| Error::internal("a watermark cannot be written").with_source(error))?;
        Ok(Watermark(json))
    }

    /// The condition of the diff that starts here.
    pub(crate) fn condition(&self, overlap: Duration) -> Result<String> {
        let column = quote(&self.cursor);
        let Some(at) = self.at else { return Ok(format!("({column} IS NOT NULL)")) };
        let past = at.saturating_sub(micros(overlap));
        let time = |micros, zone| print_timestamp(&self.cursor, micros, zone);
        Ok(match self.kind {
            CursorKind::Integer => format!("({column} >= ({}))", at.saturating_sub(NUMBER_OVERLAP)),
            CursorKind::TimestampTz => format!("({column} >= '{}'::timestamptz)", time(past, "+00")?),
            // Local clocks go back by an hour once a year.
            CursorKind::Timestamp => format!("({column} >= '{}'::timestamp)", time(past - HOUR, "")?),
            // Which day it is depends on the writer's time zone.
            CursorKind::Date => {
                format!("({column} >= '{}'::timestamp)", time((past - DAY).div_euclid(DAY) * DAY, "")?)
            }
        })
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// The kind of a cursor column; other types cannot be cursors.
pub(crate) fn kind(column: &Column) -> Result<CursorKind> {
    match (column.base.arrays, column.base.oid) {
        (0, 1082) => Ok(CursorKind::Date),
        (0, 1114) => Ok(CursorKind::Timestamp),
        (0, 1184) => Ok(CursorKind::TimestampTz),
        (0, 20 | 21 | 23) => Ok(CursorKind::Integer),
        _ => Err(Error::new(
            Kind::Invalid,
            format!("field `{}` of type `{}` cannot be a cursor", column.name, column.native),
        )
        .with_hint("a cursor is a date, a timestamp or an integer that moves forward with every change")),
    }
}

/// What one look at the server saw.
#[derive(Debug, Default)]
struct Look {
    /// The server's clock; on a standby, the clock of the newest change replayed.
    clock: Micros,
    /// The highest value of the cursor, where it matters.
    highest: Option<i64>,
    open: Vec<OpenTransaction>,
}

#[derive(Debug)]
struct OpenTransaction {
    id: String,
    start: Option<Micros>,
    writes: bool,
    is_prepared: bool,
}

/// Looks at the server and derives the watermark of the read whose snapshot is taken **afterwards**. `previous` is
/// the watermark of the last successful read.
pub(crate) async fn look(
    session: &mut Session,
    relation: &Relation,
    cursor: &Column,
    overlap: Duration,
    previous: Option<&Position>,
) -> Result<Position> {
    let kind = kind(cursor)?;
    let api = relation.name.api();
    let sql = look_sql(relation, cursor, kind);
    let rows = session.query(&sql).await.map_err(|error| failure::running(Some(&api), error))?;
    let mut look = Look::default();
    for row in &rows {
        let is_true = |column| text(row, column) == Some("t");
        match text(row, 0) {
            Some("highest") => look.highest = text(row, 1).and_then(|value| value.parse().ok()),
            Some("clock") => look.clock = parse(row, 1)?,
            _ => look.open.push(OpenTransaction {
                id: text(row, 1).unwrap_or_default().to_string(),
                start: text(row, 2).and_then(|start| start.parse().ok()),
                writes: is_true(3),
                is_prepared: is_true(4),
            }),
        }
    }
    if let Some(previous) = previous {
        check_forward(&api, kind, &look, overlap, previous)?;
    }
    Ok(derive(&cursor.name, kind, &look, previous))
}

/// The statements run one after the other, each with a snapshot of its own: the order matters.
fn look_sql(relation: &Relation, cursor: &Column, kind: CursorKind) -> String {
    let column = quote(&cursor.name);
    let highest = match kind {
        CursorKind::Integer => format!("max({column})"),
        // Infinite values and those far off say nothing about a clock.
        CursorKind::Timestamp => format!(
            "(SELECT (extract(epoch FROM m) * 1000000)::bigint FROM (SELECT max({column}) AS m FROM {table} \
             WHERE {column} < 'infinity'::timestamp) newest WHERE m > '1900-01-01' AND m < '9999-01-01')",
            table = relation.name.sql()
        ),
        _ => String::new(),
    };
    let highest = match kind {
        CursorKind::Integer => format!("SELECT 'highest', {highest} FROM {};", relation.name.sql()),
        CursorKind::Timestamp => format!("SELECT 'highest', {highest};"),
        _ => highest,
    };
    format!(
        "{highest} \
         SELECT 'clock', (extract(epoch FROM CASE WHEN pg_is_in_recovery() \
           THEN least(pg_last_xact_replay_timestamp(), clock_timestamp()) ELSE clock_timestamp() END) \
           * 1000000)::bigint; \
         SELECT 'open', l.virtualtransaction, (extract(epoch FROM a.xact_start) * 1000000)::bigint, \
           EXISTS (SELECT 1 FROM pg_catalog.pg_locks x WHERE x.locktype = 'transactionid' AND x.granted \
                   AND x.mode = 'ExclusiveLock' AND x.virtualtransaction = l.virtualtransaction), false \
         FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
         WHERE l.locktype = 'virtualxid' AND l.granted AND l.virtualxid = l.virtualtransaction \
           AND a.datname = current_database() AND l.pid <> pg_backend_pid() \
           AND a.backend_type IS DISTINCT FROM 'autovacuum worker' \
           AND NOT (a.application_name = '{APPLICATION}' AND a.usename = session_user); \
         SELECT 'open', 'prepared ' || gid, (extract(epoch FROM prepared) * 1000000)::bigint, true, true \
         FROM pg_catalog.pg_prepared_xacts WHERE database = current_database()"
    )
}

/// A cursor that went backwards would hide everything written until it has caught up.
fn check_forward(
    api: &str,
    kind: CursorKind,
    look: &Look,
    overlap: Duration,
    previous: &Position,
) -> Result<()> {
    let hint = "the database was restored, replaced or its sequence was reset; run a full sync";
    if kind == CursorKind::Integer {
        let lowest_allowed = previous.at.map(|at| at.saturating_sub(NUMBER_OVERLAP));
        if lowest_allowed.is_some_and(|lowest| look.highest.is_none_or(|highest| highest < lowest)) {
            let highest = look.highest.map_or("none".to_string(), |highest| highest.to_string());
            return Err(Error::new(
                Kind::Data,
                format!(
                    "the cursor `{}` of `{api}` went backwards: it stood at `{}`, and the highest value now is \
                     `{highest}`",
                    previous.cursor,
                    previous.at.unwrap_or_default()
                ),
            )
            .with_hint(hint));
        }
        return Ok(());
    }
    match previous.seen {
        Some(seen) if seen.saturating_sub(micros(overlap)) > look.clock => {
            let show = |micros| print_timestamp(&previous.cursor, micros, "+00").unwrap_or_default();
            Err(Error::new(
                Kind::Data,
                format!(
                    "the clock behind the cursor `{}` of `{api}` went backwards: the last read was at `{}`, and it is \
                     `{}` now",
                    previous.cursor,
                    show(seen),
                    show(look.clock)
                ),
            )
            .with_hint(hint))
        }
        _ => Ok(()),
    }
}

fn derive(cursor: &str, kind: CursorKind, look: &Look, previous: Option<&Position>) -> Position {
    let numbers = kind == CursorKind::Integer;
    let seen = if numbers { look.highest } else { Some(look.clock) };
    let mut open = BTreeMap::new();
    // A transaction that has not written yet draws its numbers later; its `now()` lies in the past all the same.
    for transaction in look.open.iter().filter(|transaction| transaction.writes || !numbers) {
        let known = previous.and_then(|previous| previous.open.get(&transaction.id).copied());
        let bound = match (transaction.start, known, previous) {
            (Some(start), _, _) if !numbers && !transaction.is_prepared => Some(start.min(look.clock)),
            (_, Some(bound), _) => bound,
            // It was open at the last look under another name, so the last watermark allows for it.
            (_, None, Some(previous)) if transaction.is_prepared => previous.at,
            (_, None, Some(previous)) => previous.seen,
            (start, None, None) if !numbers => Some(start.unwrap_or(look.clock)),
            (_, None, None) => None,
        };
        open.insert(transaction.id.clone(), bound);
    }
    // `None` is below everything.
    let oldest = open.values().copied().min();
    let at = match (kind, oldest) {
        (CursorKind::Integer, Some(oldest)) => oldest.min(seen),
        (CursorKind::Integer, None) => seen,
        (_, Some(None)) => None,
        (_, oldest) => {
            let age = look.clock - oldest.flatten().unwrap_or(look.clock).min(look.clock);
            let newest = if kind == CursorKind::Timestamp { local_clock(look) } else { look.clock };
            Some(newest - age)
        }
    };
    Position { cursor: cursor.to_string(), kind, at, seen, open }
}

/// A lower bound of the clock that an application in an unknown time zone writes by: UTC or the newest value it
/// wrote, whichever is less, but not below the westernmost time zone with summer time.
fn local_clock(look: &Look) -> Micros {
    let westernmost = look.clock - 13 * HOUR;
    match look.highest {
        Some(newest) if newest <= look.clock + 15 * HOUR => newest.clamp(westernmost, look.clock),
        // Nothing written yet, or dates of the future: no evidence.
        _ => westernmost,
    }
}

#[cfg(test)]
mod tests;
