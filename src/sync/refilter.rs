//! A changed filter: which of the stored rows stay, and what the source is asked for beside the changes.
//!
//! What is stored is what the old filter held for when it was read, and the changes since then come after. So rows for
//! which the new filter does not hold go, records that it holds for and the old one did not are read, and the rest is
//! left alone. That is exact where both filters can be decided on what is kept; elsewhere everything is read.

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::{filter_record_batch, not};

use crate::error::{Error, Result};
use crate::model::{FieldType, Filter, Object, ObjectField};
use crate::snapshot::{Snapshot, Table};
use crate::source::{Gone, Why, fields_in, mask};

/// Rows that are removed by their filter, at most; of more nobody could be told why one by one.
const MOST: usize = 1_000_000;

/// What a changed filter needs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Refilter {
    /// Stored rows for which this does not hold go; `None` where it holds for all.
    pub(super) keep: Option<Filter>,
    /// Records for which this holds are read; `None` where there are none that are not stored.
    pub(super) more: Option<Filter>,
}

/// What becomes of rows that `old` held for when the filter is `new`. `None` is a filter that always holds.
///
/// `is_kept` says whether a field is stored as the source has it; `by_kept` that the source decides its filters on that.
pub(super) fn refilter(
    old: Option<&Filter>,
    new: Option<&Filter>,
    object: &Object,
    is_kept: &dyn Fn(&ObjectField) -> bool,
    by_kept: bool,
) -> Option<Refilter> {
    let (old_parts, new_parts) = (parts(old), parts(new));
    let is_wider = new_parts.iter().all(|part| old_parts.contains(part));
    let is_narrower = old_parts.iter().all(|part| new_parts.contains(part));
    let field = |api: &str| object.fields.iter().find(|field| field.api == api);
    let mut named = Vec::new();
    old.into_iter().chain(new).for_each(|filter| fields_in(filter, &mut named));
    // Such a field may have left the filter, or entered it, without anybody telling.
    if named.iter().any(|api| field(api).is_none_or(|field| field.volatile)) {
        return None;
    }
    let keep = new.filter(|_| !is_wider);
    let mut decided = Vec::new();
    keep.into_iter().for_each(|filter| fields_in(filter, &mut decided));
    let decides = |api: &&str| field(api).is_some_and(|field| is_kept(field) && (by_kept || is_exact(field)));
    if !decided.iter().all(decides) {
        return None;
    }
    let more = old.filter(|_| !is_narrower).map(|old| {
        let new = new.cloned();
        Filter::And(new.into_iter().chain([is_not_true(old)]).collect())
    });
    Some(Refilter { keep: keep.cloned(), more })
}

/// Whether a column holds every value that the source can have: then a condition says of it here what it says there.
fn is_exact(field: &ObjectField) -> bool {
    match field.data_type {
        FieldType::Boolean | FieldType::Int16 | FieldType::Int32 | FieldType::Int64 | FieldType::Text => true,
        FieldType::Decimal(..) => field.native_type.contains('('),
        _ => false,
    }
}

/// What must hold together.
fn parts(filter: Option<&Filter>) -> Vec<&Filter> {
    match filter {
        None => Vec::new(),
        Some(Filter::And(all)) => all.iter().flat_map(|part| parts(Some(part))).collect(),
        Some(one) => vec![one],
    }
}

/// Whether a filter is false or unknown, as a filter that is never unknown.
fn is_not_true(filter: &Filter) -> Filter {
    match filter {
        Filter::And(all) => Filter::Or(all.iter().map(is_not_true).collect()),
        Filter::Or(any) => Filter::And(any.iter().map(is_not_true).collect()),
        Filter::Not(part) => is_not_false(part),
        Filter::IsNull { .. } => Filter::Not(Box::new(filter.clone())),
        leaf => Filter::Or(unknown(leaf).into_iter().chain([Filter::Not(Box::new(leaf.clone()))]).collect()),
    }
}

/// Whether a filter is true or unknown, in the same way.
fn is_not_false(filter: &Filter) -> Filter {
    match filter {
        Filter::And(all) => Filter::And(all.iter().map(is_not_false).collect()),
        Filter::Or(any) => Filter::Or(any.iter().map(is_not_false).collect()),
        Filter::Not(part) => is_not_true(part),
        Filter::IsNull { .. } => filter.clone(),
        leaf => Filter::Or(unknown(leaf).into_iter().chain([leaf.clone()]).collect()),
    }
}

/// When a condition on one field is unknown.
fn unknown(leaf: &Filter) -> Option<Filter> {
    let mut named = Vec::new();
    fields_in(leaf, &mut named);
    named.first().map(|field| Filter::IsNull { field: field.to_string() })
}

/// The keys of stored rows for which a filter does not hold; `None` when they are too many to be told.
pub(super) async fn left(
    table: &Table,
    snapshot: &std::sync::Arc<Snapshot>,
    object: &Object,
    filter: &Filter,
) -> Result<Option<Vec<Gone>>> {
    let mut named = Vec::new();
    fields_in(filter, &mut named);
    let column = |api: &str| object.fields.iter().find(|field| field.api == api).map(|field| &field.column);
    let mut columns = snapshot.key().to_vec();
    for name in named.into_iter().filter_map(column) {
        if !columns.contains(name) {
            columns.push(name.clone());
        }
    }
    let (keys, mut found, mut gone) = (snapshot.key().len(), 0, Vec::new());
    let mut rows = table.some_columns(snapshot, &columns);
    while let Some(batch) = rows.recv().await {
        let keys = left_of(&batch?, filter, keys, &|api| column(api))?;
        found += keys.num_rows();
        if found > MOST {
            return Ok(None);
        }
        if keys.num_rows() > 0 {
            gone.push(Gone { why: vec![Why::LeftFilter; keys.num_rows()], keys });
        }
    }
    Ok(Some(gone))
}

fn left_of<'a>(
    batch: &RecordBatch,
    filter: &Filter,
    keys: usize,
    column: &dyn Fn(&str) -> Option<&'a String>,
) -> Result<RecordBatch> {
    let unfit = |error| Error::internal("stored rows cannot be filtered").with_source(error);
    let place = |api: &str| batch.schema().index_of(column(api)?).ok();
    let left: BooleanArray = not(&mask(filter, batch, &place)).map_err(unfit)?;
    let left = filter_record_batch(batch, &left).map_err(unfit)?;
    left.project(&(0..keys).collect::<Vec<_>>()).map_err(unfit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ImportSettings, Object};

    fn object() -> Object {
        let field = |name: &str, native: &str, volatile| ObjectField {
            api: name.into(),
            name: name.into(),
            column: name.into(),
            label: name.into(),
            data_type: if native == "text" { FieldType::Text } else { FieldType::Decimal(18, 2) },
            native_type: native.into(),
            note: None,
            selected: name != "c",
            key_position: None,
            is_name: false,
            volatile,
        };
        Object {
            id: "1".into(),
            connection_id: 1,
            connection: "crm".into(),
            name: "deal".into(),
            api: "deal".into(),
            label: "Deal".into(),
            fields: vec![
                field("a", "numeric(18,2)", false),
                field("b", "text", false),
                field("c", "text", false),
                field("f", "text", true),
                field("n", "numeric", false),
            ],
            import: ImportSettings::default(),
            schema_version: 1,
            created_at: 0,
        }
    }

    fn between(old: &str, new: &str, by_kept: bool) -> Option<(bool, bool)> {
        let object = object();
        let read =
            |text: &str| (!text.is_empty()).then(|| crate::filter::parse(text, &object.fields).unwrap());
        let is_kept = |field: &ObjectField| field.selected;
        let found = refilter(read(old).as_ref(), read(new).as_ref(), &object, &is_kept, by_kept)?;
        Some((found.keep.is_some(), found.more.is_some()))
    }

    #[test]
    fn what_a_change_needs_follows_from_both_filters() {
        assert_eq!(between("", "a > 1", false), Some((true, false)), "narrower: nothing is read");
        assert_eq!(between("a > 1", "a > 1 AND b = 'x'", false), Some((true, false)));
        assert_eq!(
            between("a > 1 AND b = 'x'", "b = 'x'", false),
            Some((false, true)),
            "wider: nothing goes"
        );
        assert_eq!(between("a > 1", "", false), Some((false, true)));
        assert_eq!(between("a > 1", "a > 2", false), Some((true, true)));
        assert_eq!(between("a > 1", "a > 1 AND c = 'x'", true), None, "what is not stored cannot be decided");
        assert_eq!(
            between("c = 'x' AND a > 1", "a > 1", true),
            Some((false, true)),
            "but it can be asked for"
        );
        assert_eq!(between("", "f = 'x'", true), None, "changes of it are not told");
        assert_eq!(between("", "n > 1", false), None, "a value that did not fit is NULL here");
        assert_eq!(between("", "n > 1", true), Some((true, false)));
    }
}
