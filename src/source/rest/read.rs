//! Carrying out a read: page after page, with what does not fit into a page fetched by key.
//!
//! The bound of the watermark is taken from the source's clock before the first request. Pages are handed on while the
//! next one is fetched; nobody taking them is what holds the source back.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;
use tokio::sync::mpsc;

use super::cell::Cell;
use super::client::{Answer, Client, Target, Unreadable};
use super::discover::Object;
use super::out::Out;
use super::outcome::Refused;
use super::page::{Next, Pager, Told};
use super::part::{Also, Lost, Part, Recipe};
use super::plan::{Ask, Plan, Position};
use super::request::{Known, Scope};
use super::shape::Slot;
use crate::catalog::manifest::{Batches, GetRead, ListRead, Outcome};
use crate::catalog::{Pointer, as_text};
use crate::error::{Error, Kind, Result};
use crate::model::Micros;
use crate::source::{Page, Read, Watermark, What};

/// One read under way.
pub(crate) struct Reading {
    pub(crate) client: Arc<Client>,
    pub(crate) known: Arc<Known>,
    pub(crate) object: Arc<Object>,
    pub(crate) read: Read,
    /// Calls of the connection before this read.
    pub(crate) begun: u64,
}

/// What is asked for in a read by pages.
pub(crate) struct Wish<'a> {
    pub(crate) read: &'a ListRead,
    pub(crate) ask: Ask<'a>,
    pub(crate) also: Also,
}

/// How a read by pages ended.
#[derive(Default)]
pub(crate) struct Ended {
    /// Nobody wants more.
    pub(crate) stopped: bool,
    /// The source's own word for where to go on.
    pub(crate) next: Option<String>,
}

impl Reading {
    /// Reads to the end, or until nobody takes the pages.
    pub(crate) async fn run(&self, pages: &mpsc::Sender<Result<Page>>) -> Result<()> {
        let client = &*self.client;
        let plan = Plan::new(&client.manifest, &self.object, &self.read)?;
        let now = self.clock().await?;
        let mut out = Out::new(pages, &self.read, &plan.fields);
        let scope = self.object.scope(&self.known);
        let watermark = match &self.read.what {
            What::Full => self.full(&plan, &scope, now, &mut out).await?,
            What::Keys => {
                self.pages(&plan, &scope, self.full_wish(&plan)?, &mut out).await?;
                None
            }
            What::Since(watermark) => self.since(&plan, &scope, watermark, now, &mut out).await?,
            What::DeletedSince(watermark) => self.deleted(&plan, &scope, watermark, now, &mut out).await?,
        };
        out.end(watermark).await
    }

    /// The source's clock, as the newest answer told it; a request is made when there was none.
    async fn clock(&self) -> Result<Micros> {
        if let Some(now) = self.client.clock() {
            return Ok(now);
        }
        let scope = Scope::new(self.known.clone());
        self.client.json(Target::Request(&self.client.manifest.whoami.request), &scope).await?;
        self.client.clock().ok_or_else(|| {
            Error::new(Kind::Data, format!("{} tells no time in its answers", self.label())).with_hint(
                "a diff needs the `Date` header; tell the vendor, or look for a proxy that removes it",
            )
        })
    }

    pub(crate) fn label(&self) -> &str {
        &self.client.manifest.label
    }

    fn full_wish<'a>(&self, plan: &Plan<'a>) -> Result<Wish<'a>> {
        let read = plan.full()?;
        let ask = Ask { has_filter: true, ..Ask::default() };
        Ok(Wish { read, ask, also: plan.also(read, false) })
    }

    async fn full(
        &self,
        plan: &Plan<'_>,
        scope: &Scope,
        now: Micros,
        out: &mut Out<'_>,
    ) -> Result<Option<Watermark>> {
        let lag =
            plan.reads.query.as_ref().or(plan.reads.changes.as_ref()).and_then(|read| read.since.as_ref());
        let until = now - lag.map_or(0, |since| since.lag.micros());
        if let Some(bulk) = self.wants_bulk(plan, scope).await? {
            match self.bulk(plan, scope, bulk, out).await {
                Ok(()) => return Ok(Some(Position { until, next: None }.watermark()?)),
                Err(Refused { outcome: Some(Outcome::NoBulk), .. }) => {}
                Err(refused) => return Err(refused.error),
            }
        }
        let ended = self.pages(plan, scope, self.full_wish(plan)?, out).await?;
        Ok(Some(Position { until, next: ended.next }.watermark()?))
    }

    async fn since(
        &self,
        plan: &Plan<'_>,
        scope: &Scope,
        watermark: &Watermark,
        now: Micros,
        out: &mut Out<'_>,
    ) -> Result<Option<Watermark>> {
        let read =
            plan.reads.query.as_ref().filter(|read| read.since.is_some()).or(plan.reads.changes.as_ref());
        let read =
            read.ok_or_else(|| Error::internal(format!("`{}` cannot be read by changes", self.object.name)))?;
        let position = Position::parse(watermark)?;
        let lag = read.since.as_ref().map_or(0, |since| since.lag.micros());
        // A clock that goes back must not move the next diff back for ever, nor forward past what was not read.
        let until = (now - lag).max(position.until);
        let times = position.times(read, until, self.label())?;
        let ask = Ask { times, ..Ask::default() };
        let is_list_of_keys = plan.reads.changes.as_ref().is_some_and(|changes| std::ptr::eq(changes, read));
        let mut also = plan.also(read, true);
        if is_list_of_keys {
            also.key = own_key(read);
        }
        let ended = self.pages(plan, scope, Wish { read, ask, also }, out).await?;
        Ok(Some(Position { until, next: ended.next.or(position.next) }.watermark()?))
    }

    async fn deleted(
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
        let lag = read.since.as_ref().map_or(0, |since| since.lag.micros());
        let until = (now - lag).max(position.until);
        let overlap = read.since.as_ref().map_or(0, |since| since.overlap.micros());
        let from = position.until.saturating_sub(overlap);
        let times = position.times(read, until, self.label())?;
        let deleted_since = read.deleted_at.clone().map(|at| (at, from));
        let merged = plan.also(read, true).merged;
        let also = Also { key: own_key(read), deleted_since, merged, ..Also::default() };
        let facts: Vec<&Pointer> =
            read.complete_from.iter().chain(&read.complete_to).chain(&read.next).collect();
        let recipe = |pager: &Pager| {
            let facts: Vec<_> = pager.facts().into_iter().chain(facts.iter().copied()).collect();
            let also = Also { seek: pager.seeks().cloned(), ..also.clone() };
            Recipe::new(&read.records, Vec::new(), &also, &facts)
        };
        let scope = plan.fill(scope, &plan.names_of_merges(), &Ask { times, ..Ask::default() })?;
        let mut pager = Pager::new(&read.page, self.label());
        let recipe = recipe(&pager);
        let own = pager.facts().len();
        let (mut complete_to, mut next) = (until, None);
        while !matches!(pager.next(), Next::End) {
            let (part, answer) = self.page(&pager, read, &scope, &recipe).await?;
            let mut facts = part.facts.iter().skip(own).map(|fact| fact.as_deref().and_then(text));
            let mut fact = |is_declared: bool| if is_declared { facts.next().flatten() } else { None };
            let from_when = fact(read.complete_from.is_some()).and_then(|at| super::cell::timestamp(&at));
            let to_when = fact(read.complete_to.is_some()).and_then(|at| super::cell::timestamp(&at));
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

    /// Reads page by page, once for each value of `each`.
    async fn pages(
        &self,
        plan: &Plan<'_>,
        scope: &Scope,
        wish: Wish<'_>,
        out: &mut Out<'_>,
    ) -> Result<Ended> {
        let mut scopes = vec![scope.clone()];
        for (name, values) in wish.read.each.iter() {
            let with = |scope: &Scope, value: &String| {
                let mut scope = scope.clone();
                scope.object.insert(name.to_string(), value.clone());
                scope
            };
            scopes =
                scopes.iter().flat_map(|scope| values.iter().map(move |value| with(scope, value))).collect();
        }
        let mut ended = Ended::default();
        for scope in scopes {
            ended = match &wish.read.batches {
                Some(batches) => self.batches(plan, &scope, &wish, batches, out).await?,
                None => self.one_by_one(plan, &scope, &wish, out).await?,
            };
            if ended.stopped {
                break;
            }
        }
        Ok(ended)
    }

    async fn one_by_one(
        &self,
        plan: &Plan<'_>,
        scope: &Scope,
        wish: &Wish<'_>,
        out: &mut Out<'_>,
    ) -> Result<Ended> {
        let read = wish.read;
        let chunks = plan.chunks(read.fields.as_ref());
        let is_changes = plan.reads.changes.as_ref().is_some_and(|changes| std::ptr::eq(changes, read));
        let by_key = read.get || is_changes || chunks.len() > 1;
        let get = plan.reads.get.as_ref().filter(|_| by_key);
        if by_key && get.is_none() {
            return Err(Error::internal(format!("`{}` has no read by key", plan.object.name)));
        }
        let names = if by_key { plan.key_names() } else { chunks.into_iter().next().unwrap_or_default() };
        let mut pager = Pager::new(&read.page, self.label());
        let mut also = Also { seek: pager.seeks().cloned(), ..wish.also.clone() };
        if by_key {
            also.merged = None;
            if also.key.is_empty() {
                also.key = plan.key_slots();
            }
        }
        let columns = if by_key { Vec::new() } else { plan.columns(&names, true).1 };
        let own = pager.facts().len();
        let facts: Vec<_> = pager.facts().into_iter().chain(&read.total).chain(&read.next).cloned().collect();
        let recipe = Recipe::new(&read.records, columns, &also, &facts.iter().collect::<Vec<_>>());
        let (mut total, mut next) = (None, None);
        while !matches!(pager.next(), Next::End) {
            let after = match pager.next() {
                Next::Page(Some(("page.after", value))) => value.as_str().map(str::to_string),
                _ => None,
            };
            let ask = Ask { after: after.as_deref(), times: wish.ask.times.clone(), ..wish.ask };
            let scope = plan.fill(scope, &names, &ask)?;
            let (part, answer) = self.page(&pager, read, &scope, &recipe).await?;
            let mut facts = part.facts.iter().skip(own).map(|fact| fact.as_deref().and_then(text));
            if read.total.is_some() {
                total = facts.next().flatten().and_then(|total| total.parse::<u64>().ok()).or(total);
            }
            next = facts.next().flatten().or(next);
            self.advance(&mut pager, &answer, &part)?;
            let goes_on = match get {
                Some(get) => {
                    if !part.lost.is_empty() {
                        let nothing =
                            plan.fields.iter().map(|f| arrow::array::new_empty_array(&f.data_type.arrow()));
                        out.take(nothing.collect(), 0, Vec::new(), &part.lost).await?;
                    }
                    self.by_key(plan, &scope, get, &part.keys, out).await?
                }
                None => out.take(part.columns, part.rows, part.misfits, &part.lost).await?,
            };
            if !goes_on {
                return Ok(Ended { stopped: true, next });
            }
        }
        match total {
            Some(total) if pager.records() < total => {
                let what = format!("{} announced {total} records and sent {}", self.label(), pager.records());
                Err(Error::new(Kind::Data, what).with_hint("nothing was changed; try again"))
            }
            _ => Ok(Ended { stopped: false, next }),
        }
    }

    /// One page, and what there is to know of its answer.
    async fn page(
        &self,
        pager: &Pager,
        read: &ListRead,
        scope: &Scope,
        recipe: &Recipe,
    ) -> Result<(Part, Answer), Refused> {
        let scope = pager.scope(scope);
        let target = match pager.next() {
            Next::Link(link) => Target::Link(link),
            _ => Target::Request(&read.request),
        };
        self.answer(target, &scope, &|answer| recipe.json(answer)).await
    }

    pub(crate) async fn answer(
        &self,
        target: Target<'_>,
        scope: &Scope,
        decode: &(dyn Fn(&Answer) -> Result<Part, Unreadable> + Sync),
    ) -> Result<(Part, Answer), Refused> {
        self.client
            .send(target, scope, Some(self.begun), &mut |answer| {
                let part = decode(answer)?;
                let (headers, is_empty) = (answer.headers.clone(), answer.is_empty);
                Ok((part, Answer { status: answer.status, headers, body: bytes::Bytes::new(), is_empty }))
            })
            .await
    }

    pub(crate) fn advance(&self, pager: &mut Pager, answer: &Answer, part: &Part) -> Result<()> {
        let told = Told {
            records: part.records,
            facts: part.facts.iter().map(|fact| fact.as_deref()).collect(),
            last: part.last.clone(),
        };
        pager.advance(answer, &told)
    }

    /// Reads records by key. Those that the source does not find are gone.
    async fn by_key(
        &self,
        plan: &Plan<'_>,
        scope: &Scope,
        get: &GetRead,
        keys: &[Vec<String>],
        out: &mut Out<'_>,
    ) -> Result<bool> {
        let mut wanted: Vec<String> = keys.iter().filter_map(|key| key.first().cloned()).collect();
        let mut seen = std::collections::HashSet::new();
        wanted.retain(|key| seen.insert(key.clone()));
        let is_diff = matches!(self.read.what, What::Since(_));
        let declared = plan.manifest.fields_of(&plan.object.name).merged.as_ref().filter(|_| is_diff);
        let merged = declared.and_then(|merged| {
            let field = plan.object.field(&merged.field)?;
            Some((
                field.asked.clone(),
                (Slot { at: field.at.clone(), is_outer: false }, merged.separator.clone()),
            ))
        });
        for keys in wanted.chunks(get.max.max(1)) {
            let mut parts = Vec::new();
            for (number, names) in plan.chunks(get.fields.as_ref()).iter().enumerate() {
                let (places, columns) = plan.columns(names, number == 0);
                let here =
                    merged.as_ref().filter(|(asked, _)| asked.as_ref().is_some_and(|a| names.contains(a)));
                let also = Also {
                    key: plan.key_slots(),
                    merged: here.map(|(_, merged)| merged.clone()),
                    ..Also::default()
                };
                let recipe = Recipe::new(&get.records, columns, &also, &[]);
                let scope = plan.fill(scope, names, &Ask { keys, ..Ask::default() })?;
                let target = Target::Request(&get.request);
                let (part, _) = self.answer(target, &scope, &|answer| recipe.json(answer)).await?;
                parts.push((places, part));
            }
            let (columns, rows, misfits, mut lost) = join(parts, plan.fields.len())?;
            let found: std::collections::HashSet<&str> = rows.iter().map(String::as_str).collect();
            let missing = keys.iter().filter(|key| !found.contains(key.as_str()));
            let missing: Vec<_> = missing
                .filter(|key| !lost.iter().any(|lost: &Lost| lost.key.first() == Some(key)))
                .map(|key| Lost { key: vec![key.clone()], merged_into: None })
                .collect();
            lost.extend(missing);
            if !out.take(columns, rows.len(), misfits, &lost).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Lists keys, and reads what belongs to a number of them at once.
    async fn batches(
        &self,
        plan: &Plan<'_>,
        scope: &Scope,
        wish: &Wish<'_>,
        batches: &Batches,
        out: &mut Out<'_>,
    ) -> Result<Ended> {
        let mut pager = Pager::new(&batches.page, self.label());
        let key = Slot { at: batches.key.clone(), is_outer: false };
        let also = Also { key: vec![key], seek: pager.seeks().cloned(), ..Also::default() };
        let recipe = Recipe::new(&batches.records, Vec::new(), &also, &pager.facts());
        let mut waiting: Vec<String> = Vec::new();
        loop {
            let is_over = matches!(pager.next(), Next::End);
            while waiting.len() >= batches.max || (is_over && !waiting.is_empty()) {
                let keys: Vec<_> = waiting.drain(..batches.max.min(waiting.len())).collect();
                if !self.batch(plan, scope, wish, batches, keys, out).await? {
                    return Ok(Ended { stopped: true, next: None });
                }
            }
            if is_over {
                return Ok(Ended::default());
            }
            let page_scope = pager.scope(scope);
            let target = match pager.next() {
                Next::Link(link) => Target::Link(link),
                _ => Target::Request(&batches.request),
            };
            let (part, answer) = self.answer(target, &page_scope, &|answer| recipe.json(answer)).await?;
            self.advance(&mut pager, &answer, &part)?;
            waiting.extend(part.keys.into_iter().filter_map(|key| key.into_iter().next()));
        }
    }

    /// What belongs to some keys, to the end of each.
    async fn batch(
        &self,
        plan: &Plan<'_>,
        scope: &Scope,
        wish: &Wish<'_>,
        batches: &Batches,
        keys: Vec<String>,
        out: &mut Out<'_>,
    ) -> Result<bool> {
        let names = plan.chunks(None).into_iter().next().unwrap_or_default();
        let recipe = Recipe::new(&wish.read.records, plan.columns(&names, true).1, &Also::default(), &[]);
        let mut asks: Vec<(Vec<String>, Option<String>)> = vec![(keys, None)];
        let mut seen = std::collections::HashSet::new();
        while let Some((keys, token)) = asks.pop() {
            let mut scope = plan.fill(scope, &names, &Ask { keys: &keys, ..Ask::default() })?;
            scope.set("page.token", token.map(serde_json::Value::String));
            let target = Target::Request(&wish.read.request);
            let (part, more) = self
                .client
                .send(target, &scope, Some(self.begun), &mut |answer| {
                    Ok((recipe.json(answer)?, more_of(batches, &answer.body)))
                })
                .await?;
            for (key, token) in more {
                if !seen.insert((key.clone(), token.clone())) {
                    return Err(Error::new(Kind::Data, format!("{} repeats a page", self.label())));
                }
                asks.push((vec![key], Some(token)));
            }
            if !out.take(part.columns, part.rows, part.misfits, &[]).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The keys of which an answer does not hold everything, with the token for more.
fn more_of(batches: &Batches, body: &[u8]) -> Vec<(String, String)> {
    let Some(more) = &batches.more else { return Vec::new() };
    let document: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let records = more.records.find(&document).and_then(serde_json::Value::as_array);
    let entry = |record: &serde_json::Value| {
        let token = more.token.find(record).filter(|token| !token.is_null())?;
        Some((as_text(more.key.find(record)?), as_text(token)))
    };
    records.into_iter().flatten().filter_map(entry).collect()
}

/// Where records of a feed have their key; `/id` where the manifest does not say.
fn own_key(read: &ListRead) -> Vec<Slot> {
    let slot = |at: &Pointer| Slot { at: at.clone(), is_outer: false };
    match read.key.is_empty() {
        true => "/id".parse::<Pointer>().iter().map(slot).collect(),
        false => read.key.iter().map(slot).collect(),
    }
}

/// A fact as text; none for null.
fn text(json: &str) -> Option<String> {
    (json != "null").then(|| Cell::Json(json).text().into_owned())
}

type Joined = (Vec<ArrayRef>, Vec<String>, Vec<crate::source::Misfit>, Vec<Lost>);

/// Puts the parts of records together by key. A record that one part does not have was deleted in between.
fn join(parts: Vec<(Vec<usize>, Part)>, fields: usize) -> Result<Joined> {
    let first_key = |key: &Vec<String>| key.first().cloned().unwrap_or_default();
    let mut rows: Vec<String> =
        parts.first().map(|(_, part)| part.keys.iter().map(first_key).collect()).unwrap_or_default();
    let indexes: Vec<HashMap<String, u32>> = parts
        .iter()
        .map(|(_, part)| {
            part.keys.iter().enumerate().map(|(row, key)| (first_key(key), row as u32)).collect()
        })
        .collect();
    let is_whole = parts.len() == 1;
    rows.retain(|key| is_whole || indexes.iter().all(|index| index.contains_key(key)));
    let mut columns: Vec<Option<ArrayRef>> = vec![None; fields];
    let (mut misfits, mut lost) = (Vec::new(), Vec::new());
    for ((places, part), index) in parts.into_iter().zip(&indexes) {
        let order = (!is_whole)
            .then(|| UInt32Array::from_iter_values(rows.iter().filter_map(|key| index.get(key).copied())));
        for (place, column) in places.into_iter().zip(part.columns) {
            let column = match &order {
                None => column,
                Some(order) => take(&column, order, None).map_err(|error| {
                    Error::internal("parts of records do not fit together").with_source(error)
                })?,
            };
            columns[place] = Some(column);
        }
        misfits.extend(part.misfits);
        lost.extend(part.lost);
    }
    let columns: Option<Vec<_>> = columns.into_iter().collect();
    let columns = columns.ok_or_else(|| Error::internal("a field is in no part of its record"))?;
    Ok((columns, rows, misfits, lost))
}
