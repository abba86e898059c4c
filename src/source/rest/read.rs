//! Carrying out a read: page after page, with what does not fit into a page fetched by key.
//!
//! The bound of the watermark is taken from the source's clock before the first request. Pages are handed on while the
//! next one is fetched; nobody taking them is what holds the source back.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;
use serde_json::Value;
use tokio::sync::mpsc;

use super::cell::Cell;
use super::client::{Answer, Client, Target, Unreadable};
use super::deleted::own_key;
use super::discover::Object;
use super::explain::told;
use super::mark::Mark;
use super::out::Out;
use super::outcome::Refused;
use super::page::{Next, Pager, Told};
use super::part::{Also, Lost, Part, Recipe};
use super::plan::{Ask, Plan, Position, Window};
use super::request::{Known, Scope};
use super::shape::Slot;
use crate::catalog::manifest::{GetRead, ListRead, Outcome, Request};
use crate::error::{Error, Kind, Result};
use crate::model::Micros;
use crate::source::{Page, Read, Watermark, What};

/// One read under way.
pub(crate) struct Reading {
    pub(crate) client: Arc<Client>,
    pub(crate) known: Arc<Known>,
    pub(crate) object: Arc<Object>,
    pub(crate) read: Read,
    /// Calls that it made so far.
    pub(crate) spent: AtomicU64,
}

/// What is asked for in a read by pages.
pub(crate) struct Wish<'a> {
    pub(crate) read: &'a ListRead,
    pub(crate) ask: Ask<'a>,
    pub(crate) also: Also,
    /// Where to go on, and what its places are part of.
    pub(crate) mark: Option<Mark>,
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
        let mut out = Out::new(pages, &self.read, &plan.fields, &self.spent);
        match self.carry_out(&plan, now, &mut out).await {
            Ok(watermark) => out.end(watermark).await,
            Err(error) => {
                out.break_off().await?;
                Err(error)
            }
        }
    }

    async fn carry_out(&self, plan: &Plan<'_>, now: Micros, out: &mut Out<'_>) -> Result<Option<Watermark>> {
        let scope = self.object.scope(&self.known);
        match &self.read.what {
            What::Full => self.full(plan, &scope, now, out).await,
            What::Keys => {
                self.pages(plan, &scope, self.full_wish(plan, None)?, out).await?;
                Ok(None)
            }
            What::Since(watermark) => self.since(plan, &scope, watermark, now, out).await,
            What::DeletedSince(watermark) => self.deleted(plan, &scope, watermark, now, out).await,
            What::Get(keys) => {
                let get = plan.reads.get.as_ref();
                let get =
                    get.ok_or_else(|| Error::internal(format!("`{}` has no read by key", self.object.name)))?;
                self.by_key(plan, &scope, get, keys, out).await?;
                Ok(None)
            }
        }
    }

    /// The source's clock, as the newest answer told it; a request is made when there was none.
    pub(super) async fn clock(&self) -> Result<Micros> {
        if let Some(now) = self.client.clock() {
            return Ok(now);
        }
        let scope = Scope::new(self.known.clone());
        self.json(&self.client.manifest.whoami.request, &scope).await?;
        self.client.clock().ok_or_else(|| {
            Error::new(Kind::Data, format!("{} tells no time in its answers", self.label())).with_hint(
                "a diff needs the `Date` header; tell the vendor, or look for a proxy that removes it",
            )
        })
    }

    /// An answer as a JSON document, counted as a call of this read.
    pub(crate) async fn json(&self, request: &Request, scope: &Scope) -> Result<Value, Refused> {
        self.client.counted_json(Target::Request(request), scope, Some(&self.spent)).await
    }

    pub(crate) fn label(&self) -> &str {
        &self.client.manifest.label
    }

    fn full_wish<'a>(&self, plan: &Plan<'a>, mark: Option<Mark>) -> Result<Wish<'a>> {
        let read = plan.full()?;
        let ask = Ask { has_filter: true, ..Ask::default() };
        // Repetitions and batches have places within places.
        let is_plain = read.each.is_empty() && read.batches.is_none();
        let mark = mark.filter(|_| is_plain && read.resumes.is_some());
        Ok(Wish { read, ask, also: plan.also(read, false), mark })
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
        let mark = Mark::of(&self.read.resume, until)?;
        let until = mark.as_ref().map_or(until, |mark| mark.until);
        let bulk = match mark.as_ref().filter(|mark| !mark.is_new()) {
            Some(mark) => mark.went_on_with(plan, now, self.label())?,
            None => self.wants_bulk(plan, scope).await?,
        };
        if let Some(bulk) = bulk {
            match self.bulk(plan, scope, bulk, mark.clone(), out).await {
                Ok(()) => return Ok(Some(Position { until, next: None }.watermark()?)),
                Err(Refused { outcome: Some(Outcome::NoBulk), .. })
                    if mark.as_ref().is_none_or(Mark::is_new) => {}
                Err(refused) => return Err(refused.error),
            }
        }
        let ended = self.pages(plan, scope, self.full_wish(plan, mark)?, out).await?;
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
        let read = self.changed(plan)?;
        let position = Position::parse(watermark)?;
        let until = position.until(read, now);
        let mut also = plan.also(read, true);
        if plan.is_list_of_changes(read) {
            also.key = own_key(read);
        }
        let mut windows = vec![position.window(read, until, self.label())?];
        let mut next = None;
        while let Some(window) = windows.pop() {
            let times = window.as_ref().map(Window::written).transpose()?;
            let ask = Ask { times, ..Ask::default() };
            match self.pages(plan, scope, Wish { read, ask, also: also.clone(), mark: None }, out).await {
                Ok(ended) => next = ended.next.or(next),
                Err(refused) if refused.outcome == Some(Outcome::TooBroad) => {
                    // What was read of it already is read again: rows are merged by key.
                    let Some((first, second)) = window.as_ref().and_then(Window::halves) else {
                        return Err(refused.error);
                    };
                    windows.push(Some(second));
                    windows.push(Some(first));
                }
                Err(refused) => return Err(refused.error),
            }
        }
        Ok(Some(Position { until, next: next.or(position.next) }.watermark()?))
    }

    /// The read that tells what changed.
    pub(crate) fn changed<'a>(&self, plan: &Plan<'a>) -> Result<&'a ListRead> {
        let by_time = plan.reads.query.as_ref().filter(|read| read.since.is_some());
        by_time
            .or(plan.reads.changes.as_ref())
            .ok_or_else(|| Error::internal(format!("`{}` cannot be read by changes", self.object.name)))
    }

    /// Reads page by page, once for each value of `each`.
    async fn pages(
        &self,
        plan: &Plan<'_>,
        scope: &Scope,
        wish: Wish<'_>,
        out: &mut Out<'_>,
    ) -> Result<Ended, Refused> {
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
    ) -> Result<Ended, Refused> {
        let read = wish.read;
        let chunks = plan.chunks(read.fields.as_ref());
        let by_key = plan.is_by_key(read);
        let get = plan.reads.get.as_ref().filter(|_| by_key);
        if by_key && get.is_none() {
            return Err(Error::internal(format!("`{}` has no read by key", plan.object.name)).into());
        }
        let names = if by_key { plan.key_names() } else { chunks.into_iter().next().unwrap_or_default() };
        let mut pager = match wish.mark.as_ref().and_then(|mark| mark.place.clone()) {
            Some(place) => Pager::at(&read.page, self.label(), place),
            None => Pager::new(&read.page, self.label()),
        };
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
        let mut is_first = true;
        while !matches!(pager.next(), Next::End) {
            let after = match pager.next() {
                Next::Page(Some(("page.after", value))) => value.as_str().map(str::to_string),
                _ => None,
            };
            out.at(wish.mark.as_ref().map(|mark| mark.at(&pager)).transpose()?);
            let ask = Ask { after: after.as_deref(), times: wish.ask.times.clone(), ..wish.ask };
            let scope = plan.fill(scope, &names, &ask)?;
            if std::mem::take(&mut is_first) {
                out.asks(|| told(&read.request, &pager.scope(&scope)));
            }
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
                Err(Error::new(Kind::Data, what).with_hint("nothing was changed; try again").into())
            }
            _ => Ok(Ended { stopped: false, next }),
        }
    }

    /// One page, and what there is to know of its answer.
    pub(super) async fn page(
        &self,
        pager: &Pager,
        read: &ListRead,
        scope: &Scope,
        recipe: &Recipe,
    ) -> Result<(Part, Answer), Refused> {
        let scope = pager.scope(scope);
        self.answer(pager.target(&read.request), &scope, &|answer| recipe.json(answer)).await
    }

    pub(crate) async fn answer(
        &self,
        target: Target<'_>,
        scope: &Scope,
        decode: &(dyn Fn(&Answer) -> Result<Part, Unreadable> + Sync),
    ) -> Result<(Part, Answer), Refused> {
        self.client
            .send(target, scope, Some(&self.spent), &mut |answer| {
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
}

/// A fact as text; none for null.
pub(crate) fn text(json: &str) -> Option<String> {
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
