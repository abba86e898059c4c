//! Which read answers a request.

use super::refilter::{Refilter, refilter};
use crate::error::{Error, Kind, Result};
use crate::model::{FieldType, Object, ObjectField};
use crate::snapshot::Snapshot;
use crate::source::{Capabilities, Watermark, What};

/// What a person asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// What changed since the last successful run.
    Diff,
    /// Everything.
    Full,
    /// What changed, and then the keys and the volatile fields of every record: what changes tell nothing of.
    Sweep,
}

impl Mode {
    /// As people write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Diff => "diff",
            Mode::Full => "full",
            Mode::Sweep => "sweep",
        }
    }
}

impl std::str::FromStr for Mode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "diff" => Ok(Mode::Diff),
            "full" => Ok(Mode::Full),
            "sweep" => Ok(Mode::Sweep),
            _ => Err(Error::new(Kind::Invalid, format!("unknown mode `{text}`"))
                .with_hint("accepted are `diff`, `full` and `sweep`")),
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
#[derive(Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) what: What,
    /// Since when deletions are read, before `what` is: of a record that is both, the later word counts.
    pub(super) deleted_since: Option<Watermark>,
    pub(super) write: Write,
    /// Why no row may be removed although the read could tell which are gone.
    pub(super) suspended: Option<String>,
    /// The stored rows must first be rewritten with wider types.
    pub(super) recast: bool,
    /// Columns that the stored rows lack: they are read alone before the changes are.
    pub(super) fill: Vec<String>,
    /// What another filter than that of the stored rows needs.
    pub(super) refilter: Option<Refilter>,
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
    /// The columns that hold what the source has. Others may be stored and of another time; `None`: all are right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    filled: Option<Vec<String>>,
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
        columns: &[(String, FieldType)],
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
        // What a read that stopped did not reach has still to be filled.
        let is_filled = |name: &&String| !capped || current.is_none_or(|current| current.is_filled(name));
        let filled = columns.iter().map(|(name, _)| name).filter(is_filled).cloned().collect();
        Mark { since, deleted, unpruned: suspended, filled: Some(filled), definition: Definition::of(object) }
    }

    /// The mark of rows that stand where they did, with values in more columns.
    pub(super) fn filling(columns: &[(String, FieldType)], current: &Current) -> Option<Self> {
        let filled = columns.iter().map(|(name, _)| name.clone()).collect();
        Some(Mark { filled: Some(filled), ..current.mark.clone()? })
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

    fn is_filled(&self, column: &String) -> bool {
        let filled = self.mark.as_ref().and_then(|mark| mark.filled.as_ref());
        self.columns.iter().any(|(name, _)| name == column)
            && filled.is_none_or(|filled| filled.contains(column))
    }

    /// Whether the rows are those of today's definition.
    fn is_of(&self, object: &Object) -> bool {
        self.mark.as_ref().is_some_and(|mark| mark.definition == Definition::of(object))
    }

    /// What a filter needs that is another one than that of the rows; `None` where nothing else may be changed with
    /// it, or it cannot be said.
    fn refilter(
        &self,
        object: &Object,
        columns: &[(String, FieldType)],
        can: Capabilities,
        is_suspended: bool,
    ) -> Option<Refilter> {
        let (was, now) = (&self.mark.as_ref()?.definition, Definition::of(object));
        let is_other = was.filter != now.filter && was.cursor == now.cursor && was.key == now.key;
        if !is_other || is_suspended || object.import.max_rows.is_some() || has_other_types(columns, self) {
            return None;
        }
        let read = |text: &Option<String>| match text {
            Some(text) => crate::filter::parse(text, &object.fields).ok().map(Some),
            None => Some(None),
        };
        let (old, new) = (read(&was.filter)?, read(&now.filter)?);
        let is_kept = |field: &ObjectField| field.selected && self.is_filled(&field.column);
        refilter(old.as_ref(), new.as_ref(), object, &is_kept, can.filters_kept)
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
        (Mode::Diff | Mode::Sweep, None) => {
            reasons.push("read in full: this is its first sync".into());
            None
        }
        (Mode::Diff | Mode::Sweep, Some(current)) => {
            match changed(object, columns, can, current, suspended.is_some()) {
                Ok(found) => Some(found),
                Err(reason) => {
                    reasons.push(format!("read in full: {reason}"));
                    None
                }
            }
        }
    };
    let recast = current.is_some_and(|current| has_other_types(columns, current));
    let is_suspended = suspended.is_some();
    let suspended = suspended.map(str::to_string);
    if let Some(Changed { since: watermark, fill, refilter }) = since {
        if !fill.is_empty() {
            reasons.push(format!("read alone for the rows that are there: {}", names(object, &fill)));
        }
        if refilter.is_some() {
            reasons.push("the filter changed: read is what it lets in, removed what it leaves out".into());
        }
        let reads_deletions = can.deleted && !is_suspended;
        let deleted_since = current.filter(|_| reads_deletions).and_then(Current::deleted_since);
        let (what, write) = (What::Since(watermark), Write::Upsert);
        return Plan { what, deleted_since, write, suspended, recast, fill, refilter, reasons };
    }
    // A read that stops at a maximum cannot tell what has gone, so it must not remove anything.
    let may_stop = object.import.max_rows.is_some() && !object.import.delete_all_before_sync;
    let keeps_rows = (may_stop || is_suspended)
        && current.is_some_and(|current| to_fill(object, columns, current).is_some());
    if may_stop && keeps_rows {
        reasons.push("a maximum number of records is set: rows gone from the source are not removed".into());
    }
    let write = if keeps_rows { Write::Upsert } else { Write::Replace };
    let recast = recast && keeps_rows;
    let (what, fill) = (What::Full, Vec::new());
    Plan { what, deleted_since: None, write, suspended, recast, fill, refilter: None, reasons }
}

/// How the stored rows are gone on with.
struct Changed {
    since: Watermark,
    fill: Vec<String>,
    refilter: Option<Refilter>,
}

/// How the stored rows are gone on with, or why not.
fn changed(
    object: &Object,
    columns: &[(String, FieldType)],
    can: Capabilities,
    current: &Current,
    is_suspended: bool,
) -> Result<Changed, &'static str> {
    if object.import.delete_all_before_sync {
        return Err("all records are deleted before each sync");
    }
    if object.import.cursor.is_none() || !can.since {
        return Err("the object has no cursor field to read changes by");
    }
    let refilter = current.refilter(object, columns, can, is_suspended);
    let known = match (current.is_of(object), &refilter) {
        (true, _) => to_fill(object, columns, current),
        (false, Some(_)) => columns_to_fill(columns, current).filter(Vec::is_empty),
        (false, None) => None,
    };
    let Some(fill) = known else {
        return Err("its fields, key, filter or cursor changed since the last sync");
    };
    if !fill.is_empty() && object.import.max_rows.is_some() {
        return Err("it has new fields, and a maximum number of records");
    }
    if !is_suspended && current.mark.as_ref().is_some_and(|mark| mark.unpruned) {
        return Err("rows that may be gone were kept by the last sync");
    }
    let since = current.since().ok_or("the last sync left no watermark")?;
    Ok(Changed { since, fill, refilter })
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

/// The columns that rows of the table lack of today's definition; `None` when they are no rows of it: another key, another
/// filter, a type that does not hold the old values, a field that the source lost or that was deselected.
fn to_fill(object: &Object, columns: &[(String, FieldType)], current: &Current) -> Option<Vec<String>> {
    if !current.is_of(object) {
        return None;
    }
    columns_to_fill(columns, current)
}

/// The same of the columns alone.
fn columns_to_fill(columns: &[(String, FieldType)], current: &Current) -> Option<Vec<String>> {
    let is_lost = |(name, _): &(String, FieldType)| {
        current.is_filled(name) && columns.iter().all(|(column, _)| column != name)
    };
    if current.columns.iter().any(is_lost) {
        return None;
    }
    let mut fill = Vec::new();
    for (name, data_type) in columns {
        let stored = current.columns.iter().find(|(column, _)| column == name);
        if stored.is_some_and(|(_, old)| old != data_type && !old.widens_to(data_type)) {
            return None;
        }
        match (stored.is_some(), current.is_filled(name)) {
            (_, true) => {}
            // What is stored is of another time, also in rows that are gone from the source and cannot be filled.
            (true, false) => return None,
            (false, false) => fill.push(name.clone()),
        }
    }
    Some(fill)
}

/// Whether a stored column has another type than it is to have.
fn has_other_types(columns: &[(String, FieldType)], current: &Current) -> bool {
    let differs = |(name, data_type): &(String, FieldType)| {
        current.columns.iter().any(|(stored, old)| stored == name && old != data_type)
    };
    columns.iter().any(differs)
}

/// The SQL names of the fields in some columns.
fn names(object: &Object, columns: &[String]) -> String {
    let fields = object.fields.iter().filter(|field| columns.contains(&field.column));
    fields.map(|field| field.name.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ImportSettings;

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

    const CAN: Capabilities = Capabilities {
        since: true,
        keys: true,
        deleted: false,
        get: true,
        hides: false,
        filters_kept: false,
    };

    fn columns() -> Vec<(String, FieldType)> {
        vec![("id".into(), FieldType::Int32)]
    }

    fn current(object: &Object) -> Current {
        let mark = Mark::after(object, &columns(), marks(7), None, false, false);
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
            let plan = plan(Mode::Diff, &object, &columns(), can, Some(before), None);
            plan.deleted_since.map(|watermark| watermark.0)
        };
        assert_eq!(from(&before), Some(7.into()));
        let marks = Marks { since: Some(Watermark(9.into())), deleted: Some(Watermark(8.into())) };
        before.mark = Some(Mark::after(&object, &columns(), marks, Some(&before), false, false));
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
        changed.import.cursor = Some("created_at".into());
        let plan = planned(Mode::Diff, &changed, &before);
        assert_eq!((plan.what, plan.write), (What::Full, Write::Replace));
        assert!(plan.reasons[0].contains("cursor"));
        let mut narrower = object();
        narrower.import.filter = Some("id > 3".into());
        let plan = planned(Mode::Diff, &narrower, &before);
        assert_eq!((plan.what, plan.write), (What::Since(Watermark(7.into())), Write::Upsert));
        assert!(plan.refilter.is_some_and(|refilter| refilter.keep.is_some() && refilter.more.is_none()));
    }

    #[test]
    fn a_widened_column_is_rewritten_and_the_diff_goes_on() {
        let object = object();
        let before = current(&object);
        let widened = [("id".into(), FieldType::Decimal(20, 0))];
        let plan = plan(Mode::Diff, &object, &widened, CAN, Some(&before), None);
        assert_eq!((plan.write, plan.recast), (Write::Upsert, true));
        let more = [("id".into(), FieldType::Int32), ("name".into(), FieldType::Text)];
        let plan = super::plan(Mode::Diff, &object, &more, CAN, Some(&before), None);
        assert_eq!((plan.mode(), plan.fill, plan.recast), (Mode::Diff, vec!["name".to_string()], false));
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
        let mark = Mark::after(&object, &columns(), marks(9), Some(&before), true, false);
        assert_eq!(mark.since, Some(Watermark(7.into())));
    }
}
