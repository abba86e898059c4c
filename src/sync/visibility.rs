//! Which records of a published object another login sees, and which it does not.

use std::collections::HashSet;

use arrow::array::RecordBatch;
use futures::StreamExt;
use sha2::{Digest, Sha256};

use super::ahead::Ahead;
use super::erased::key_text;
use super::prune::key_json;
use super::{Request, Syncer};
use crate::error::{Error, Result};
use crate::source::{Read, What};

/// How the records that a source shows differ from those that are published.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct KeyDifference {
    /// Keys that the source shows and nothing published has, as JSON objects; some of them.
    pub gained: Vec<String>,
    /// How many there are.
    pub gained_count: u64,
    /// Keys that are published and that the source does not show; some of them.
    pub lost: Vec<String>,
    /// How many there are.
    pub lost_count: u64,
}

impl Syncer {
    /// Compares the keys of the one object of a request; at most `limit` of each kind are named. `None` when nothing of
    /// it is published, or the source does not list keys. Takes 32 bytes of memory a record, about.
    pub async fn compare_keys(&self, request: &Request, limit: usize) -> Result<Option<KeyDifference>> {
        let object = request.objects.first().ok_or_else(|| Error::internal("no object to compare"))?;
        let Some(published) = self.state.published(&object.id).await? else { return Ok(None) };
        let ahead = Ahead::look(self, request, object).await?;
        let snapshot = ahead.table.at(published.version).await?;
        if !ahead.can.keys || snapshot.key() != ahead.spec.key {
            return Ok(None);
        }
        let names = ahead.object.key();
        let mut left = HashSet::new();
        let mut keys = ahead.table.keys(&snapshot);
        while let Some(batch) = keys.recv().await {
            let batch = batch?;
            left.extend((0..batch.num_rows()).map(|row| digest(&batch, row)));
        }
        let mut read = ahead.read()?;
        read.fields.retain(|field| read.key.contains(&field.api));
        let place = |api: &String| read.fields.iter().position(|field| field.api == *api);
        let places: Vec<_> = read.key.iter().filter_map(place).collect();
        let read = Read { what: What::Keys, max_rows: None, expected_rows: None, ..read };
        let mut difference = KeyDifference::default();
        let mut pages = request.source.read(read);
        let mut seen = HashSet::new();
        while let Some(page) = pages.next().await {
            let keys = page?.rows.project(&places);
            let keys = keys.map_err(|error| Error::internal("a key is not read").with_source(error))?;
            for row in 0..keys.num_rows() {
                let key = digest(&keys, row);
                if left.remove(&key) || !seen.insert(key) {
                    seen.insert(key);
                    continue;
                }
                difference.gained_count += 1;
                if difference.gained.len() < limit {
                    difference.gained.push(key_json(&names, &keys, row));
                }
            }
        }
        difference.lost_count = left.len() as u64;
        let mut keys = ahead.table.keys(&snapshot);
        while difference.lost.len() < limit.min(left.len()) {
            let Some(batch) = keys.recv().await else { break };
            let batch = batch?;
            let lost = (0..batch.num_rows()).filter(|row| left.contains(&digest(&batch, *row)));
            let room = limit - difference.lost.len();
            difference.lost.extend(lost.take(room).map(|row| key_json(&names, &batch, row)));
        }
        Ok(Some(difference))
    }
}

/// Tells keys apart, however wide their types are.
fn digest(keys: &RecordBatch, row: usize) -> u128 {
    let mut hash = Sha256::new();
    for column in keys.columns() {
        let text = key_text(column, row).unwrap_or_default();
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    }
    let bytes: [u8; 32] = hash.finalize().into();
    let mut first = [0; 16];
    first.copy_from_slice(&bytes[..16]);
    u128::from_le_bytes(first)
}
