//! Which column of one release is which of the other.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};

use crate::model::{ObjectField, ReleaseObject};
use crate::query::zone::Zone;

/// A column and its places on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pair {
    /// As the newer release that has it calls it.
    pub(super) name: String,
    pub(super) from: Option<usize>,
    pub(super) to: Option<usize>,
}

/// The columns of both sides.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    pub(super) pairs: Vec<Pair>,
    /// Places of the key on either side, most significant first.
    pub(super) from_key: Vec<usize>,
    pub(super) to_key: Vec<usize>,
    /// Number of columns of the `from` side.
    pub(super) from_width: usize,
    to_width: usize,
    /// In which times are printed.
    pub(super) zone: Zone,
}

impl Columns {
    /// Pairs fields that lie in the same column, then those of the same name. From `older` to `newer`; the key of
    /// `older` gets the types that it has in `newer`. `None` when the two have no common key.
    pub(super) fn pair(newer: &ReleaseObject, older: &mut ReleaseObject, zone: Zone) -> Option<Columns> {
        let (new, old) = (&newer.fields, &mut older.fields);
        let mut partners: Vec<Option<usize>> =
            new.iter().map(|field| old.iter().position(|other| other.column == field.column)).collect();
        for (field, place) in new.iter().zip(0..) {
            let is_free = |at: &usize| !partners.contains(&Some(*at));
            let by_name = old.iter().position(|other| other.name == field.name).filter(is_free);
            partners[place] = partners[place].or(by_name);
        }
        let mut pairs: Vec<Pair> = new
            .iter()
            .zip(&partners)
            .enumerate()
            .map(|(at, (field, partner))| Pair { name: field.name.clone(), from: *partner, to: Some(at) })
            .collect();
        for (at, field) in old.iter().enumerate().filter(|(at, _)| !partners.contains(&Some(*at))) {
            let is_taken = new.iter().any(|other| other.name == field.name);
            let name = if is_taken { &field.column } else { &field.name };
            pairs.push(Pair { name: name.clone(), from: Some(at), to: None });
        }
        let to_key = key(new);
        let from_key = to_key.iter().map(|at| partners[*at]).collect::<Option<Vec<_>>>()?;
        let mut sorted = from_key.clone();
        sorted.sort_unstable();
        let mut known = key(old);
        known.sort_unstable();
        if to_key.is_empty() || sorted != known {
            return None;
        }
        for (from, to) in from_key.iter().zip(&to_key) {
            old[*from].data_type = new[*to].data_type.clone();
        }
        let (from_width, to_width) = (old.len(), new.len());
        Some(Columns { pairs, from_key, to_key, from_width, to_width, zone })
    }

    /// The same from the newer to the older release.
    pub(super) fn reversed(mut self) -> Columns {
        self.pairs.iter_mut().for_each(|pair| std::mem::swap(&mut pair.from, &mut pair.to));
        std::mem::swap(&mut self.from_key, &mut self.to_key);
        std::mem::swap(&mut self.from_width, &mut self.to_width);
        self
    }
}

/// The key as `object` calls it, most significant first.
pub(super) fn key_fields(object: &ReleaseObject) -> Vec<Field> {
    key(&object.fields).into_iter().map(|at| field(&object.fields[at])).collect()
}

/// The columns of an object.
pub(super) fn schema(object: &ReleaseObject) -> SchemaRef {
    Arc::new(Schema::new(object.fields.iter().map(field).collect::<Vec<_>>()))
}

fn field(field: &ObjectField) -> Field {
    Field::new(&field.name, field.data_type.arrow(), true)
}

fn key(fields: &[ObjectField]) -> Vec<usize> {
    let mut key: Vec<_> = (0..fields.len()).filter(|at| fields[*at].key_position.is_some()).collect();
    key.sort_by_key(|at| fields[*at].key_position);
    key
}
