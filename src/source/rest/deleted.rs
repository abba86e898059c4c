//! What was deleted at the source.

use super::cell::timestamp;
use super::explain::told;
use super::out::Out;
use super::page::{Next, Pager};
use super::part::{Also, Lost, Recipe};
use super::plan::{Ask, Plan, Position, Window};
use super::read::{Reading, text};
use super::request::Scope;
use super::shape::Slot;
use crate::catalog::Pointer;
use crate::catalog::manifest::ListRead;
use crate::error::{Error, Kind, Result};
use crate::model::Micros;
use crate::source::Watermark;

impl Reading {
    /// Reads the keys of what was deleted since.
    pub(super) async fn deleted(
        &self,
        plan: &Plan<'_>,
        scope: &Scope,
        watermark: &Watermark,
        now: Micros,
        out: &mut Out<'_>,
    ) -> Result<Option<Watermark>> {
        let read = plan.reads.deleted.as_ref();
        let read =
            read.ok_or_else(|| Error::internal(format!("`{}` has no list of deletions", self.object.name)))?;
        let position = Position::parse(watermark)?;
        let until = position.until(read, now);
        let from = position.from(read);
        let window = position.window(read, until, self.label())?;
        let times = window.as_ref().map(Window::written).transpose()?;
        let deleted_since = read.deleted_at.clone().map(|at| (at, from));
        let merged = plan.also(read, true).merged;
        let scope = plan.fill(scope, &plan.names_of_merges(), &Ask { times, ..Ask::default() })?;
        let mut pager = Pager::new(&read.page, self.label());
        out.asks(|| told(&read.request, &pager.scope(&scope)));
        let seek = pager.seeks().cloned();
        let also = Also { key: own_key(read), deleted_since, merged, seek, ..Also::default() };
        let mut facts: Vec<&Pointer> = pager.facts();
        let own = facts.len();
        facts.extend(read.complete_from.iter().chain(&read.complete_to).chain(&read.next));
        let recipe = Recipe::new(&read.records, Vec::new(), &also, &facts);
        let (mut complete_to, mut next) = (until, None);
        while !matches!(pager.next(), Next::End) {
            let (part, answer) = self.page(&pager, read, &scope, &recipe).await?;
            let mut facts = part.facts.iter().skip(own).map(|fact| fact.as_deref().and_then(text));
            let mut fact = |is_declared: bool| if is_declared { facts.next().flatten() } else { None };
            let from_when = fact(read.complete_from.is_some()).and_then(|at| timestamp(&at));
            let to_when = fact(read.complete_to.is_some()).and_then(|at| timestamp(&at));
            next = fact(read.next.is_some()).or(next);
            if from_when.is_some_and(|at| at > from) {
                let what = format!("{} does not know all deletions since then any more", self.label());
                return Err(Error::new(Kind::Unsupported, what));
            }
            complete_to = to_when.map_or(complete_to, |at| at.min(complete_to));
            let deleted = part.keys.iter().map(|key| Lost { key: key.clone(), merged_into: None });
            let lost: Vec<_> = part.lost.iter().cloned().chain(deleted).collect();
            self.advance(&mut pager, &answer, &part)?;
            let nothing =
                plan.fields.iter().map(|field| arrow::array::new_empty_array(&field.data_type.arrow()));
            out.take(nothing.collect(), 0, Vec::new(), &lost).await?;
        }
        let position = Position { until: complete_to.max(position.until), next: next.or(position.next) };
        Ok(Some(position.watermark()?))
    }
}

/// Where records of a feed have their key; `/id` where the manifest does not say.
pub(super) fn own_key(read: &ListRead) -> Vec<Slot> {
    let slot = |at: &Pointer| Slot { at: at.clone(), is_outer: false };
    match read.key.is_empty() {
        true => "/id".parse::<Pointer>().iter().map(slot).collect(),
        false => read.key.iter().map(slot).collect(),
    }
}
