//! Which read answers a request.

use crate::error::{Error, Kind, Result};
use crate::model::{FieldType, Object};
use crate::snapshot::Snapshot;
use crate::source::{Capabilities, Watermark, What};

/// What a person asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// What changed since the last successful run.
    Diff,
    /// Everything.
    Full,
}

impl Mode {
    /// As people write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Diff => "diff",
            Mode::Full => "full",
        }
    }
}

impl std::str::FromStr for Mode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "diff" => Ok(Mode::Diff),
            "full" => Ok(Mode::Full),
            _ => Err(Error::new(Kind::Invalid, format!("unknown mode `{text}`"))
                .with_hint("accepted are `diff` and `full`")),
        }
    }
}

/// How the rows reach the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Write {
    /// The rows read are all rows afterwards.
    Replace,
    /// The rows read are merged by key; no row disappears.
    Upsert,
}

/// The read and the write of one run, and why it is not what was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) what: What,
    /// Since when deletions are read, before `what` is: of a record that is both, the later word counts.
    pub(super) deleted_since: Option<Watermark>,
    pub(super) write: Write,
    /// Why no row may be removed although the read could tell which are gone.
    pub(super) suspended: Option<String>,
    /// The stored rows must first be rewritten with wider types.
    pub(super) recast: bool,
    /// Told to the person and kept in the run.
    pub(super) reasons: Vec<String>,
}

impl Plan {
    pub(super) fn mode(&self) -> Mode {
        if self.what == What::Full { Mode::Full } else { Mode::Diff }
    }
}

/// What the table holds now, as far as planning needs to know.
pub(super) struct Current {
    columns: Vec<(String, FieldType)>,
    mark: Option<Mark>,
}

/// What a commit says about the rows of its table beside the rows themselves. It is committed with them, so it
/// can never be ahead of or behind them.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Mark {
    /// Where the next diff starts; `None` when the read gave none.
    since: Option<Watermark>,
    /// Where the next reading of deletions starts; `None` where that is where the diff starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deleted: Option<Watermark>,
    /// Rows were kept that may be gone: the next run that may remove some reads everything.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    unpruned: bool,
    /// Which rows belong to the table.
    definition: Definition,
}

/// A table committed under another definition cannot be continued by a diff. It does not know SQL names: they
/// change without changing rows.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Definition {
    filter: Option<String>,
    cursor: Option<String>,
    key: Vec<String>,
}

impl Definition {
    fn of(object: &Object) -> Self {
        let filter = object.import.filter.as_deref();
        Definition {
            filter: filter.map(|text| crate::filter::by_source_names(text, &object.fields)),
            cursor: object.import.cursor.clone(),
            key: object.key_columns(),
        }
    }
}

impl Mark {
    /// The mark of a run that ended with `watermark`. A capped run must not move past what it left out.
    pub(super) fn after(
        object: &Object,
        read: Marks,
        current: Option<&Current>,
        capped: bool,
        suspended: bool,
    ) -> Self {
        let before = current.and_then(|current| current.mark.as_ref());
        let previous = || before?.since.clone();
        let since = if capped { previous() } else { read.since.or_else(previous) };
        let keeps = capped || suspended;
        let deleted = if keeps { before.and_then(|mark| mark.deleted.clone()) } else { read.deleted };
        Mark { since, deleted, unpruned: suspended, definition: Definition::of(object) }
    }
}

/// The watermarks that a run ended with.
#[derive(Debug, Default)]
pub(super) struct Marks {
    pub(super) since: Option<Watermark>,
    pub(super) deleted: Option<Watermark>,
}

impl Current {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let mark = snapshot.watermark().and_then(|mark| serde_json::from_value(mark).ok());
        Current { columns: snapshot.columns().to_vec(), mark }
    }

    /// Where the changes since then start.
    pub(super) fn since(&self) -> Option<Watermark> {
        self.mark.as_ref()?.since.clone()
    }

    /// Where the deletions since then start.
    pub(super) fn deleted_since(&self) -> Option<Watermark> {
        let mark = self.mark.as_ref()?;
        mark.deleted.clone().or_else(|| mark.since.clone())
    }
}

/// Plans one run that reads `columns` of `object`.
pub(super) fn plan(
    mode: Mode,
    object: &Object,
    columns: &[(String, FieldType)],
    can: Capabilities,
    current: Option<&Current>,
    suspended: Option<&str>,
) -> Plan {
    let mut reasons: Vec<String> =
        suspended.map(|why| format!("no row is removed: {why}")).into_iter().collect();
    let since = match (mode, current) {
        (Mode::Full, _) => None,
        (Mode::Diff, None) => {
            reasons.push("read in full: this is its first sync".into());
            None
        }
        (Mode::Diff, Some(current)) => match why_not_diff(object, columns, can, current, suspended.is_some())
        {
            Ok(watermark) => Some(watermark),
            Err(reason) => {
                reasons.push(format!("read in full: {reason}"));
                None
            }
        },
    };
    let recast = current.is_some_and(|current| current.columns != columns);
    let is_suspended = suspended.is_some();
    let suspended = suspended.map(str::to_string);
    if let Some(watermark) = since {
        let reads_deletions = can.deleted && !is_suspended;
        let deleted_since = current.filter(|_| reads_deletions).and_then(Current::deleted_since);
        let (what, write) = (What::Since(watermark), Write::Upsert);
        return Plan { what, deleted_since, write, suspended, recast, reasons };
    }
    // A read that stops at a maximum cannot tell what has gone, so it must not remove anything.
    let may_stop = object.import.max_rows.is_some() && !object.import.delete_all_before_sync;
    let keeps_rows =
        (may_stop || is_suspended) && current.is_some_and(|current| is_continued(object, columns, current));
    if may_stop && keeps_rows {
        reasons.push("a maximum number of records is set: rows gone from the source are not removed".into());
    }
    let write = if keeps_rows { Write::Upsert } else { Write::Replace };
    let recast = recast && keeps_rows;
    Plan { what: What::Full, deleted_since: None, write, suspended, recast, reasons }
}

fn why_not_diff(
    object: &Object,
    columns: &[(String, FieldType)],
    can: Capabilities,
    current: &Current,
    is_suspended: bool,
) -> Result<Watermark, &'static str> {
    if object.import.delete_all_before_sync {
        return Err("all records are deleted before each sync");
    }
    if object.import.cursor.is_none() || !can.since {
        return Err("the object has no cursor field to read changes by");
    }
    if !is_continued(object, columns, current) {
        return Err("its fields, key, filter or cursor changed since the last sync");
    }
    if !is_suspended && current.mark.as_ref().is_some_and(|mark| mark.unpruned) {
        return Err("rows that may be gone were kept by the last sync");
    }
    current.since().ok_or("the last sync left no watermark")
}

/// The plan of a run whose diff the source cannot answer: the same run, read in full.
pub(super) fn in_full(
    object: &Object,
    columns: &[(String, FieldType)],
    can: Capabilities,
    current: Option<&Current>,
    suspended: Option<&str>,
    why: &Error,
) -> Plan {
    let mut plan = plan(Mode::Full, object, columns, can, current, suspended);
    plan.reasons.insert(0, format!("read in full: {why}"));
    plan
}

/// Whether the rows of the table are rows of today's definition, at most with narrower types.
fn is_continued(object: &Object, columns: &[(String, FieldType)], current: &Current) -> bool {
    let fits = |((old_name, old), (name, new)): (&(String, FieldType), &(String, FieldType))| {
        old_name == name && (old == new || old.widens_to(new))
    };
    current.columns.len() == columns.len()
        && current.columns.iter().zip(columns).all(fits)
        && current.mark.as_ref().is_some_and(|mark| mark.definition == Definition::of(object))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ImportSettings, ObjectField};

    fn object() -> Object {
        let field = ObjectField {
            api: "id".into(),
            name: "id".into(),
            column: "id".into(),
            label: "id".into(),
            data_type: FieldType::Int32,
            native_type: "integer".into(),
            note: None,
            selected: true,
            key_position: Some(0),
            is_name: false,
            volatile: false,
        };
        Object {
            id: "1".into(),
            connection_id: 1,
            connection: "crm".into(),
            name: "deal".into(),
            api: "public.deal".into(),
            label: "Deal".into(),
            fields: vec![field],
            import: ImportSettings { cursor: Some("updated_at".into()), ..ImportSettings::default() },
            schema_version: 1,
            created_at: 0,
        }
    }

    const CAN: Capabilities =
        Capabilities { since: true, keys: true, deleted: false, get: true, hides: false };

    fn columns() -> Vec<(String, FieldType)> {
        vec![("id".into(), FieldType::Int32)]
    }

    fn current(object: &Object) -> Current {
        let mark = Mark::after(object, marks(7), None, false, false);
        Current { columns: columns(), mark: Some(mark) }
    }

    fn marks(at: i64) -> Marks {
        Marks { since: Some(Watermark(at.into())), deleted: None }
    }

    #[test]
    fn deletions_are_read_from_where_they_were_read_last() {
        let object = object();
        let can = Capabilities { deleted: true, ..CAN };
        let mut before = current(&object);
        let from = |before: &Current| {
            let plan = plan(Mode::Diff, &object, &columns(), can, Some(before));
            plan.deleted_since.map(|watermark| watermark.0)
        };
        assert_eq!(from(&before), Some(7.into()));
        let marks = Marks { since: Some(Watermark(9.into())), deleted: Some(Watermark(8.into())) };
        before.mark = Some(Mark::after(&object, marks, Some(&before), false, false));
        assert_eq!(from(&before), Some(8.into()));
        assert_eq!(plan(Mode::Full, &object, &columns(), can, Some(&before), None).deleted_since, None);
    }

    fn planned(mode: Mode, object: &Object, current: &Current) -> Plan {
        plan(mode, object, &columns(), CAN, Some(current), None)
    }

    #[test]
    fn a_diff_continues_where_the_table_stands() {
        let object = object();
        let plan = planned(Mode::Diff, &object, &current(&object));
        assert_eq!((plan.what, plan.write), (What::Since(Watermark(7.into())), Write::Upsert));
    }

    #[test]
    fn a_changed_definition_makes_a_diff_a_full_replacement() {
        let before = current(&object());
        let mut changed = object();
        changed.import.filter = Some("id > 3".into());
        let plan = planned(Mode::Diff, &changed, &before);
        assert_eq!((plan.what, plan.write), (What::Full, Write::Replace));
        assert!(plan.reasons[0].contains("filter"));
    }

    #[test]
    fn a_widened_column_is_rewritten_and_the_diff_goes_on() {
        let object = object();
        let before = current(&object);
        let widened = [("id".into(), FieldType::Decimal(20, 0))];
        let plan = plan(Mode::Diff, &object, &widened, CAN, Some(&before), None);
        assert_eq!((plan.write, plan.recast), (Write::Upsert, true));
        let narrowed = [("id".into(), FieldType::Int16)];
        let plan = super::plan(Mode::Diff, &object, &narrowed, CAN, Some(&before), None);
        assert_eq!((plan.write, plan.recast), (Write::Replace, false));
        assert!(!planned(Mode::Diff, &object, &before).recast);
    }

    #[test]
    fn a_maximum_never_removes_rows_and_does_not_move_the_watermark() {
        let mut object = object();
        let before = current(&object);
        object.import.max_rows = Some(10);
        assert_eq!(planned(Mode::Full, &object, &before).write, Write::Upsert);
        let mark = Mark::after(&object, marks(9), Some(&before), true, false);
        assert_eq!(mark.since, Some(Watermark(7.into())));
    }
}
