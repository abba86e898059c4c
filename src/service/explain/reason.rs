//! Why a record is not there, as far as what is kept tells.

use arrow::array::RecordBatch;

use super::{Event, Subject};
use crate::filter;
use crate::model::{ObjectField, Run};
use crate::source;

/// Why the version of `run` does not have a record that the one before had as `row`.
pub(super) fn removed(
    subject: &Subject,
    row: &RecordBatch,
    fields: &[ObjectField],
    run: Option<&Run>,
) -> String {
    let Some(run) = run else { return "what made this release is not known".into() };
    if run.status == "capped" {
        return format!("the run stopped at the maximum number of records, {}", run.counts.read);
    }
    if let Some(filter) = fails_filter(subject, row, fields) {
        return format!("its last values do not match the filter `{filter}`");
    }
    let counts = &run.counts;
    let deleted = counts.deleted.saturating_sub(counts.merged + counts.left_filter);
    if run.mode == "full" && counts.merged + counts.left_filter == 0 {
        let filter = filter_of(subject).map(|filter| format!(" that match the filter `{filter}`"));
        return format!(
            "the source did not give it any more: a full read of {} records{}",
            counts.read,
            filter.unwrap_or_default()
        );
    }
    let mut kinds = Vec::new();
    if deleted > 0 {
        kinds.push(format!("deleted at the source ({deleted} of the run)"));
    }
    if counts.merged > 0 {
        kinds.push(format!("merged into another record ({} of the run)", counts.merged));
    }
    if counts.left_filter > 0 {
        kinds.push(format!("left the filter ({} of the run)", counts.left_filter));
    }
    match kinds.len() {
        0 => "the run does not say why".into(),
        1 => kinds.remove(0),
        _ => format!("one of: {}", kinds.join("; ")),
    }
}

/// Why a value may be NULL that was something else at the source.
pub(super) fn misfit(field: Option<&ObjectField>, new: &Option<String>, run: Option<&Run>) -> Option<String> {
    let (field, run) = (field?, run?);
    let is_told = |name: &str| {
        let told = format!("field `{name}` has values that do not fit its type");
        run.counts.warnings.iter().any(|warning| warning.starts_with(&told))
    };
    let is_misfit = new.is_none() && (is_told(&field.name) || is_told(&field.api) || is_told(&field.column));
    is_misfit.then(|| "the run read values of this field as NULL that do not fit its type".into())
}

/// A record that no kept release has, and that was not erased.
pub(super) fn never_seen(subject: &Subject) -> Event {
    let mut why = vec!["no kept release has a record with that key".to_string()];
    if let Some(filter) = filter_of(subject) {
        why.push(format!("only records that match the filter `{filter}` are imported"));
    }
    if let Some(most) = subject.definition.as_ref().and_then(|object| object.import.max_rows) {
        why.push(format!("at most {most} records are imported"));
    }
    Event { what: "never seen", detail: Some(why.join("; ")), ..Event::default() }
}

fn filter_of(subject: &Subject) -> Option<&str> {
    subject.definition.as_ref()?.import.filter.as_deref()
}

/// The filter of the object, when it does not hold for a row.
fn fails_filter<'a>(subject: &'a Subject, row: &RecordBatch, fields: &[ObjectField]) -> Option<&'a str> {
    let text = filter_of(subject)?;
    let parsed = filter::parse(text, &subject.definition.as_ref()?.fields).ok()?;
    let column = |api: &str| fields.iter().position(|field| field.api == api);
    let holds = source::mask(&parsed, row, &column);
    (!holds.value(0)).then_some(text)
}
