//! Reading everything by a job at the source.

use std::time::Duration;

use serde_json::{Value, json};

use super::explain::told;
use super::mark::Mark;
use super::out::Out;
use super::outcome::Refused;
use super::page::{Next, Pager};
use super::part::{Also, Recipe};
use super::plan::{Ask, Plan};
use super::read::Reading;
use super::request::Scope;
use crate::catalog::as_text;
use crate::catalog::manifest::Bulk;
use crate::error::{Error, Kind, Result};

/// The longest time between two questions how far a job is.
const LONGEST_PAUSE: u32 = 30;
/// How long a job may take, in seconds.
const LONGEST_JOB: u64 = 24 * 3600;

impl Reading {
    /// The bulk read, where so many rows are expected that it pays.
    pub(crate) async fn wants_bulk<'a>(&self, plan: &Plan<'a>, scope: &Scope) -> Result<Option<&'a Bulk>> {
        let Some(bulk) = &plan.reads.bulk else { return Ok(None) };
        let rows = match self.read.expected_rows {
            None if self.is_worth_a_job(u64::MAX, bulk.above_rows) => self.count(plan, scope, None).await?,
            expected => expected,
        };
        Ok(rows.is_some_and(|rows| self.is_worth_a_job(rows, bulk.above_rows)).then_some(bulk))
    }

    /// Whether a job pays for so many rows.
    pub(super) fn is_worth_a_job(&self, rows: u64, above_rows: u64) -> bool {
        rows.min(self.read.max_rows.unwrap_or(u64::MAX)) >= above_rows
    }

    /// Runs a job and reads its result, or the rest of that of an earlier job.
    pub(crate) async fn bulk(
        &self,
        plan: &Plan<'_>,
        scope: &Scope,
        bulk: &Bulk,
        mark: Option<Mark>,
        out: &mut Out<'_>,
    ) -> Result<(), Refused> {
        let names = plan.chunks(None).into_iter().next().unwrap_or_default();
        let mut scope = plan.fill(scope, &names, &Ask { has_filter: true, ..Ask::default() })?;
        let earlier = mark.as_ref().and_then(|mark| mark.job.clone());
        let id = match &earlier {
            Some(id) => id.clone(),
            None => {
                out.asks(|| told(&bulk.submit, &scope));
                self.submit(bulk, &scope).await?
            }
        };
        scope.set("job.id", Some(json!(id)));
        let finished = if earlier.is_some() { Ok(()) } else { self.finished(&scope, bulk).await };
        let mark = mark.filter(|_| bulk.resumes.is_some()).map(|mark| Mark { job: Some(id), ..mark });
        let may_go_on = finished.is_ok() && mark.is_some();
        let result = match finished {
            Ok(()) => self.result(plan, &scope, bulk, (&names, mark), out).await,
            Err(refused) => Err(refused),
        };
        // A later read goes on with the result, where this one or an earlier one has read some of it.
        let is_left = result.is_err() && may_go_on && (earlier.is_some() || out.has_taken());
        if let Some(clean) = bulk.clean.as_ref().filter(|_| !is_left)
            && let Err(refused) = self.json(clean, &scope).await
        {
            tracing::debug!(error = %refused.error, "a finished job could not be removed at the source");
        }
        result
    }

    /// Starts a job; its id.
    async fn submit(&self, bulk: &Bulk, scope: &Scope) -> Result<String, Refused> {
        let answer = self.json(&bulk.submit, scope).await?;
        let id = bulk.id.find(&answer).filter(|id| !id.is_null()).map(as_text);
        let nameless = || Error::new(Kind::Data, format!("{} started a job without an id", self.label()));
        Ok(id.ok_or_else(nameless)?)
    }

    async fn result(
        &self,
        plan: &Plan<'_>,
        scope: &Scope,
        bulk: &Bulk,
        (names, mark): (&[String], Option<Mark>),
        out: &mut Out<'_>,
    ) -> Result<(), Refused> {
        let (_, columns) = plan.columns(names, true);
        let mut pager = match mark.as_ref().and_then(|mark| mark.place.clone()) {
            Some(place) => Pager::at(&bulk.page, self.label(), place),
            None => Pager::new(&bulk.page, self.label()),
        };
        let recipe = Recipe::new(&crate::catalog::Pointer::default(), columns, &Also::default(), &[]);
        while !matches!(pager.next(), Next::End) {
            out.at(mark.as_ref().map(|mark| mark.at(&pager)).transpose()?);
            let page_scope = pager.scope(scope);
            let target = pager.target(&bulk.fetch);
            let (part, answer) = self.answer(target, &page_scope, &|answer| recipe.csv(answer)).await?;
            self.advance(&mut pager, &answer, &part)?;
            if !out.take(part.columns, part.rows, part.misfits, &[]).await? {
                break;
            }
        }
        Ok(())
    }

    /// Waits until a job has ended well.
    async fn finished(&self, scope: &Scope, bulk: &Bulk) -> Result<(), Refused> {
        let unit = self.client.patience().unit;
        let mut pause = 1;
        let mut waited = Duration::ZERO;
        loop {
            let answer: Value = self.json(&bulk.poll, scope).await?;
            let state = bulk.status.find(&answer).map(as_text).unwrap_or_default();
            if bulk.done.contains(&state) {
                return Ok(());
            }
            let told = bulk.message.as_ref().and_then(|at| at.find(&answer)).filter(|told| !told.is_null());
            if bulk.failed.contains(&state) {
                let error =
                    Error::new(Kind::Data, format!("the export job of {} ended as `{state}`", self.label()));
                let error = match told.map(as_text) {
                    Some(told) => error.with_detail(told.chars().take(300).collect::<String>()),
                    None => error,
                };
                return Err(error.with_hint("try again, or select fewer fields").into());
            }
            if waited > Duration::from_secs(LONGEST_JOB) {
                let what = format!("the export job of {} has not ended within a day", self.label());
                return Err(Error::new(Kind::Unavailable, what).into());
            }
            tokio::time::sleep(unit * pause).await;
            waited += unit * pause;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}
