//! What a run has before it: the object as its source has it now, the table as it stands, and the read that is next.

use std::sync::Arc;

use super::drift::{self, Fitted};
use super::kept::{Keeping, Kept};
use super::lease::Work;
use super::plan::{self, Current, Mark, Marks, Plan};
use super::{Request, Syncer};
use crate::error::{Error, Kind, Result};
use crate::model::{FieldType, Object, ObjectField, Run};
use crate::snapshot::{Snapshot, Table, WriteSpec};
use crate::source::{Capabilities, Expected, Read, ReadField, Resume, What};

pub(super) struct Ahead {
    /// The object, with its fields as the source has them now.
    pub(super) object: Object,
    /// API names of selected fields that the source lost; they are not asked for.
    pub(super) missing: Vec<String>,
    /// Told by the look at the fields.
    pub(super) warnings: Vec<String>,
    pub(super) table: Table,
    pub(super) snapshot: Option<Arc<Snapshot>>,
    pub(super) current: Option<Current>,
    pub(super) can: Capabilities,
    pub(super) spec: WriteSpec,
    pub(super) plan: Plan,
    /// Rows of the read, where the source counted them.
    pub(super) expected_rows: Option<u64>,
    /// Whether the source counted what the read is to deliver, and not more.
    pub(super) counts_all: bool,
    /// What becomes of its rows should the read break off.
    pub(super) keeping: Keeping,
}

impl Ahead {
    /// Looks at the source and the table. Nothing changes.
    pub(super) async fn look(syncer: &Syncer, request: &Request, object: &Object) -> Result<Self> {
        let fields = request.source.fields(&object.api).await?;
        let Fitted { object, missing, warnings } = drift::fit(object, &fields)?;
        let table = syncer.warehouse.table(&object.connection, &object.id);
        let snapshot = table.latest().await?;
        // What was read first and rejected is not what a diff goes on from.
        let current = match &snapshot {
            Some(snapshot) if !is_rejected(syncer, &object, snapshot).await? => Some(Current::of(snapshot)),
            _ => None,
        };
        let can = request.source.can(&object.api).await?;
        let spec = WriteSpec { columns: columns(&object, &missing), key: object.key_columns() };
        let suspended = request.keeps_rows.as_deref();
        let plan = plan::plan(request.mode, &object, &spec.columns, can, current.as_ref(), suspended);
        let mut ahead = Ahead {
            object,
            missing,
            warnings,
            table,
            snapshot,
            current,
            can,
            spec,
            plan,
            expected_rows: None,
            counts_all: false,
            keeping: Keeping::default(),
        };
        ahead.decide_on_filter(request).await?;
        ahead.look_for_kept(syncer, request).await?;
        Ok(ahead)
    }

    /// Reads everything where the source cannot be told exactly what a changed filter lets in: it would read that.
    async fn decide_on_filter(&mut self, request: &Request) -> Result<()> {
        let Some(more) = self.more()? else { return Ok(()) };
        if request.source.expect(&more).await?.is_some_and(|expected| !expected.is_exact) {
            let why = Error::new(Kind::Unsupported, "the source cannot be asked for what the filter lets in");
            self.plan_in_full(&why);
        }
        Ok(())
    }

    /// The read of what a changed filter lets in, where there is such.
    pub(super) fn more(&self) -> Result<Option<Read>> {
        let Some(more) = self.plan.refilter.as_ref().and_then(|refilter| refilter.more.clone()) else {
            return Ok(None);
        };
        let read = self.read()?;
        Ok(Some(Read { what: What::Full, filter: Some(more), expected_rows: None, ..read }))
    }

    /// Looks what an earlier run left of the read that is next.
    async fn look_for_kept(&mut self, syncer: &Syncer, request: &Request) -> Result<()> {
        self.keeping = Keeping::look(syncer, request, self).await?;
        self.plan.reasons.extend(self.keeping.kept.as_ref().map(Kept::told));
        Ok(())
    }

    /// Plans a full read instead, because the source cannot answer the diff.
    pub(super) async fn turn_full(&mut self, work: Work<'_>, why: &Error) -> Result<()> {
        self.plan_in_full(why);
        self.look_for_kept(work.syncer, work.request).await
    }

    fn plan_in_full(&mut self, why: &Error) {
        let suspended = self.plan.suspended.take();
        let (columns, current) = (&self.spec.columns, self.current.as_ref());
        self.plan = plan::in_full(&self.object, columns, self.can, current, suspended.as_deref(), why);
        self.expected_rows = None;
    }

    /// The read that is next.
    pub(super) fn read(&self) -> Result<Read> {
        let object = &self.object;
        let filter = object
            .import
            .filter
            .as_deref()
            .map(|text| crate::filter::parse(text, &object.fields))
            .transpose()?;
        let fields = present(object, &self.missing)
            .map(|field| ReadField {
                api: field.api.clone(),
                name: field.name.clone(),
                data_type: field.data_type.clone(),
            })
            .collect();
        Ok(Read {
            object: object.api.clone(),
            fields,
            key: object.key_fields().into_iter().map(|field| field.api.clone()).collect(),
            what: self.plan.what.clone(),
            cursor: object.import.cursor.clone(),
            filter,
            max_rows: object.import.max_rows.filter(|_| self.plan.what == What::Full),
            expected_rows: self.expected_rows,
            resume: Resume::Never,
        })
    }

    /// What the commit of this run says of where the next one starts.
    pub(super) fn mark(&self, marks: Marks, capped: bool) -> Result<serde_json::Value> {
        let suspended = self.plan.suspended.is_some();
        let mark =
            Mark::after(&self.object, &self.spec.columns, marks, self.current.as_ref(), capped, suspended);
        serde_json::to_value(mark)
            .map_err(|error| Error::internal("a watermark is not JSON").with_source(error))
    }

    /// How many records the source counted, where a full read is to have them all, and how many arrived.
    pub(super) fn counted(&self, run: &Run, capped: bool) -> Option<(u64, u64)> {
        let is_all = self.plan.what == What::Full && !capped && self.counts_all;
        self.expected_rows.filter(|_| is_all).map(|rows| (rows, run.counts.read))
    }

    /// What the commit says that fills columns of the rows that are there.
    pub(super) fn filling_mark(&self) -> Result<Option<serde_json::Value>> {
        let mark = self.current.as_ref().and_then(|current| Mark::filling(&self.spec.columns, current));
        let mark = mark.map(serde_json::to_value).transpose();
        mark.map_err(|error| Error::internal("a watermark is not JSON").with_source(error))
    }

    /// What the run will take, where the source can tell. Deletions are listed by one call at least; how many there
    /// are, no source tells.
    pub(super) async fn expect(&self, request: &Request) -> Result<Option<Expected>> {
        let mut expected = request.source.expect(&self.read()?).await?;
        if let Some(more) = self.more()? {
            let more = request.source.expect(&more).await?;
            expected = expected.zip(more).map(|(changes, more)| Expected {
                rows: changes.rows + more.rows,
                calls: changes.calls + more.calls,
                spent: changes.spent + more.spent,
                ..changes
            });
        }
        let deletions = u64::from(self.plan.deleted_since.is_some());
        // Those of the rows that are kept were made.
        let made = self.keeping.kept.as_ref().map_or(0, |kept| kept.calls);
        let calls = |calls: u64| (calls + deletions).saturating_sub(made).max(1);
        Ok(expected.map(|expected| Expected { calls: calls(expected.calls), ..expected }))
    }
}

/// Whether nothing of the object was ever published and its newest rows were rejected.
async fn is_rejected(syncer: &Syncer, object: &Object, snapshot: &Snapshot) -> Result<bool> {
    if syncer.state.published(&object.id).await?.is_some() {
        return Ok(false);
    }
    let run = syncer.state.run(snapshot.run_id()).await?;
    Ok(run.is_some_and(|run| run.status == "rejected"))
}

/// The columns of the table that a run writes: selected fields that the source still has.
fn columns(object: &Object, missing: &[String]) -> Vec<(String, FieldType)> {
    present(object, missing).map(|field| (field.column.clone(), field.data_type.clone())).collect()
}

fn present<'a>(object: &'a Object, missing: &'a [String]) -> impl Iterator<Item = &'a ObjectField> {
    object.selected().filter(|field| !missing.contains(&field.api))
}
