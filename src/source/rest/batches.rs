//! What belongs to keys that another request lists, a number of them at once.

use std::collections::HashSet;

use serde_json::Value;

use super::client::Target;
use super::out::Out;
use super::outcome::Refused;
use super::page::{Next, Pager};
use super::part::{Also, Recipe};
use super::plan::{Ask, Plan};
use super::read::{Ended, Reading, Wish};
use super::request::Scope;
use super::shape::Slot;
use crate::catalog::as_text;
use crate::catalog::manifest::Batches;
use crate::error::{Error, Kind, Result};

impl Reading {
    /// Lists keys, and reads what belongs to a number of them at once.
    pub(super) async fn batches(
        &self,
        plan: &Plan<'_>,
        scope: &Scope,
        wish: &Wish<'_>,
        batches: &Batches,
        out: &mut Out<'_>,
    ) -> Result<Ended, Refused> {
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
            let target = pager.target(&batches.request);
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
    ) -> Result<bool, Refused> {
        let names = plan.chunks(None).into_iter().next().unwrap_or_default();
        let recipe = Recipe::new(&wish.read.records, plan.columns(&names, true).1, &Also::default(), &[]);
        let mut asks: Vec<(Vec<String>, Option<String>)> = vec![(keys, None)];
        let mut seen = HashSet::new();
        while let Some((keys, token)) = asks.pop() {
            let mut scope = plan.fill(scope, &names, &Ask { keys: &keys, ..Ask::default() })?;
            scope.set("page.token", token.map(Value::String));
            let target = Target::Request(&wish.read.request);
            let (part, more) = self
                .client
                .send(target, &scope, Some(&self.spent), &mut |answer| {
                    Ok((recipe.json(answer)?, more_of(batches, &answer.body)))
                })
                .await?;
            for (key, token) in more {
                if !seen.insert((key.clone(), token.clone())) {
                    let what = format!("{} repeats a page", self.label());
                    return Err(Error::new(Kind::Data, what).into());
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
    let document: Value = serde_json::from_slice(body).unwrap_or_default();
    let records = more.records.find(&document).and_then(Value::as_array);
    let entry = |record: &Value| {
        let token = more.token.find(record).filter(|token| !token.is_null())?;
        Some((as_text(more.key.find(record)?), as_text(token)))
    };
    records.into_iter().flatten().filter_map(entry).collect()
}
