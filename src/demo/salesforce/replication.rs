//! Ids of records that were changed or deleted within a time.

use serde_json::json;

use super::Salesforce;
use super::access::guarded;
use super::error::{data, not_found};
use super::route::segment;
use super::store::{BIN_MILLIS, Table};
use crate::demo::clock::{iso_millis, parse_millis};
use crate::demo::http::{Answer, Reply, Request};

const DAY: i64 = 86_400_000;
const MINUTE: i64 = 60_000;
/// Changes can be asked for so far back.
const UPDATED_MILLIS: i64 = 30 * DAY;
const MOST_IDS: usize = 600_000;

pub(super) fn deleted(vendor: &Salesforce, request: &Request) -> Reply {
    guarded(vendor, request, |login| {
        let store = vendor.orgs[login.org].store.lock();
        let now = vendor.clock.millis();
        let table = store.table(segment(request, 1)).ok_or_else(not_found)?;
        let (start, end) = range(request, table, now, BIN_MILLIS)?;
        let within = |(id, at): (&String, &i64)| {
            let is_in = (start..end).contains(at) && *at > now - BIN_MILLIS;
            is_in.then(|| json!({ "id": id, "deletedDate": time(*at) }))
        };
        let records: Vec<_> = table.deletions.iter().filter_map(within).collect();
        if records.len() > MOST_IDS {
            return Err(data(400, "EXCEEDED_ID_LIMIT", "too many ids"));
        }
        Ok(Answer::json(
            200,
            &json!({
                "deletedRecords": records, "earliestDateAvailable": time(now - BIN_MILLIS),
                "latestDateCovered": time(covered(table, now, end)),
            }),
        ))
    })
}

pub(super) fn updated(vendor: &Salesforce, request: &Request) -> Reply {
    guarded(vendor, request, |login| {
        let store = vendor.orgs[login.org].store.lock();
        let now = vendor.clock.millis();
        let table = store.table(segment(request, 1)).ok_or_else(not_found)?;
        let (start, end) = range(request, table, now, UPDATED_MILLIS)?;
        let live = table.records.iter().filter(|(_, version)| version.deleted.is_none());
        let changed = live.filter(|(_, version)| (start..end).contains(&version.stamp()));
        let ids: Vec<_> = changed.map(|(id, _)| id).collect();
        if ids.len() > MOST_IDS {
            return Err(data(400, "EXCEEDED_ID_LIMIT", "too many ids"));
        }
        Ok(Answer::json(200, &json!({ "ids": ids, "latestDateCovered": time(covered(table, now, end)) })))
    })
}

/// The end of what is complete: a transaction that is still open may bring rows stamped since it began.
fn covered(table: &Table, now: i64, end: i64) -> i64 {
    let end = end.min(now);
    table.oldest_open().map_or(end, |open| open.min(end))
}

fn range(request: &Request, table: &Table, now: i64, back: i64) -> Result<(i64, i64), Answer> {
    if !table.object.replicateable {
        return Err(data(
            400,
            "INVALID_TYPE_FOR_OPERATION",
            format!("entity type {} cannot be replicated", table.object.name),
        ));
    }
    let read = |name: &str| {
        let text = request.param(name).ok_or_else(|| {
            data(400, "MISSING_ARGUMENT", format!("The required parameter is missing: {name}"))
        })?;
        let has_time = text.contains('T');
        parse_millis(text).filter(|_| has_time).ok_or_else(|| {
            data(400, "INVALID_REPLICATION_DATE", format!("{name} is not a date and time: {text}"))
        })
    };
    // Seconds are ignored.
    let (start, end) = (read("start")?.div_euclid(MINUTE) * MINUTE, read("end")?.div_euclid(MINUTE) * MINUTE);
    if end - start < MINUTE {
        return Err(data(
            400,
            "INVALID_REPLICATION_DATE",
            "startDate before endDate by less than one minute",
        ));
    }
    if start > now {
        return Err(data(400, "INVALID_REPLICATION_DATE", "startDate cannot be in the future"));
    }
    if start < now - back - MINUTE {
        return Err(data(
            400,
            "INVALID_REPLICATION_DATE",
            format!("startDate cannot be more than {} days ago", back / DAY),
        ));
    }
    Ok((start, end))
}

fn time(millis: i64) -> String {
    iso_millis(millis).replace('Z', "+0000")
}
