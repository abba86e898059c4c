//! What a read will take: the records that the source counts, and the calls that follow from them.

use std::sync::atomic::Ordering;

use super::outcome::Refused;
use super::plan::{Ask, Plan, Position, Window};
use super::read::Reading;
use super::request::Scope;
use crate::catalog::as_text;
use crate::catalog::manifest::{ListRead, Outcome, Page};
use crate::error::Result;
use crate::source::{Expected, What};

impl Reading {
    /// What the read will take; none where the source cannot count. The question itself is one of the calls.
    pub(super) async fn expect(&self) -> Result<Option<Expected>> {
        let plan = Plan::new(&self.client.manifest, &self.object, &self.read)?;
        if plan.reads.count.is_none() {
            return Ok(None);
        }
        let now = self.clock().await?;
        let scope = self.object.scope(&self.known);
        let read = match &self.read.what {
            What::Full | What::Keys => plan.full()?,
            What::Since(_) => self.changed(&plan)?,
            What::DeletedSince(_) | What::Get(_) => return Ok(None),
        };
        let window = match &self.read.what {
            What::Since(watermark) => {
                let position = Position::parse(watermark)?;
                position.window(read, position.until(read, now), self.label())?
            }
            _ => None,
        };
        let Some(rows) = self.count(&plan, &scope, window.as_ref()).await? else { return Ok(None) };
        let wanted = rows.min(self.read.max_rows.unwrap_or(u64::MAX));
        let spent = self.spent.load(Ordering::Relaxed);
        let bulk = plan
            .reads
            .bulk
            .as_ref()
            .filter(|bulk| self.read.what == What::Full && self.is_worth_a_job(rows, bulk.above_rows));
        let calls = match bulk {
            // It is started, asked for at least once and removed.
            Some(bulk) => Some(3 + pages(&bulk.page, wanted)),
            None => calls(&plan, read, wanted),
        };
        Ok(calls.map(|calls| Expected { rows, calls: calls + spent, spent, is_exact: !plan.is_partial() }))
    }

    /// How many records there are, or changed within a window; none where the source does not say.
    pub(super) async fn count(
        &self,
        plan: &Plan<'_>,
        scope: &Scope,
        window: Option<&Window>,
    ) -> Result<Option<u64>, Refused> {
        let Some(count) = &plan.reads.count else { return Ok(None) };
        let times = window.map(Window::written).transpose()?;
        let scope = plan.fill(scope, &[], &Ask { has_filter: true, times, ..Ask::default() })?;
        let answer = match self.json(&count.request, &scope).await {
            Ok(answer) => answer,
            // The login is over, or no call may be made: so it would be with the read.
            Err(refused)
                if matches!(
                    refused.outcome,
                    None | Some(Outcome::Quota | Outcome::Refresh | Outcome::Reconnect)
                ) =>
            {
                return Err(refused);
            }
            Err(refused) => {
                tracing::debug!(error = ?refused.error, "the source does not count");
                return Ok(None);
            }
        };
        Ok(count.at.find(&answer).map(as_text).and_then(|rows| rows.parse().ok()))
    }
}

/// Calls that read so many records page by page.
fn calls(plan: &Plan<'_>, read: &ListRead, rows: u64) -> Option<u64> {
    if !read.each.is_empty() {
        // The records of all repetitions were counted, not those of each.
        return None;
    }
    if let Some(batches) = &read.batches {
        return Some(pages(&batches.page, rows) + rows.div_ceil(batches.max.max(1) as u64));
    }
    let listed = pages(&read.page, rows);
    if !plan.is_by_key(read) {
        return Some(listed);
    }
    let get = plan.reads.get.as_ref()?;
    let max = get.max.max(1) as u64;
    let size = size(&read.page).unwrap_or(rows).max(1);
    let gets = rows / size * size.div_ceil(max) + (rows % size).div_ceil(max);
    Some(listed + gets * plan.chunks(get.fields.as_ref()).len() as u64)
}

/// Pages of so many records.
fn pages(page: &Page, rows: u64) -> u64 {
    let Some(size) = size(page) else { return 1 };
    match page {
        // Only a page that is not full tells that it is the last.
        Page::Seek(_) | Page::Number(_) => rows / size + 1,
        Page::Offset(page) if page.total.is_none() => rows / size + 1,
        _ => rows.div_ceil(size).max(1),
    }
}

/// Records of one page, where they are told.
fn size(page: &Page) -> Option<u64> {
    page.size().map(|size| u64::from(size.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_from_records() {
        let page = |yaml: &str| serde_saphyr::from_str::<Page>(yaml).unwrap();
        for (yaml, rows, expected) in [
            ("token: {at: /next, size: 100}", 0, 1),
            ("token: {at: /next, size: 100}", 100, 1),
            ("token: {at: /next, size: 100}", 101, 2),
            ("seek: {key: /id, size: 200}", 0, 1),
            ("seek: {key: /id, size: 200}", 200, 2),
            ("offset: {size: 50}", 100, 3),
            ("offset: {size: 50, total: /total}", 100, 2),
            ("none", 100_000, 1),
        ] {
            assert_eq!(pages(&page(yaml), rows), expected, "{yaml}, {rows} rows");
        }
    }
}
