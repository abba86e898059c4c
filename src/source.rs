//! The contract between tributary and a source system. A source is read only; it knows nothing of state,
//! snapshots or the query engine.

mod condition;
mod connectors;
pub mod demo;
mod language;
mod marked;
mod offer;
pub mod postgres;
pub mod rest;

use arrow::record_batch::RecordBatch;
use futures::stream::BoxStream;

use crate::error::Result;
use crate::model::{FieldType, Micros};

pub use condition::{fields as fields_in, mask};
pub use connectors::{ConnectorInfo, Connectors, LoginInfo, SettingInfo};
pub use offer::{adopt, offer};

/// A remote system, read only.
#[async_trait::async_trait]
pub trait Source: Send + Sync {
    /// Who is logged in, and where. The cheapest call that proves the login works.
    async fn whoami(&self) -> Result<Identity>;

    /// Everything that this login may read.
    async fn objects(&self) -> Result<Vec<ObjectInfo>>;

    /// The fields of one object, in source order. `NotFound` when the object does not exist (any more).
    async fn fields(&self, object: &str) -> Result<Vec<FieldInfo>>;

    /// What reads this source supports for an object.
    async fn can(&self, object: &str) -> Result<Capabilities>;

    /// Pages of one object. Every batch has exactly the schema of [`Read::schema`]. Dropping the stream
    /// stops the reading. Rows of one [`Page::lane`] come in source order; lanes may interleave.
    fn read(&self, read: Read) -> BoxStream<'static, Result<Page>>;

    /// Completes what [`Source::objects`] suggested for an object, whose fields are known by now.
    fn suggest(&self, _info: &mut ObjectInfo, _fields: &[FieldInfo]) {}

    /// What a read will take, as far as the source can tell before it. Asking may cost a call.
    async fn expect(&self, _read: &Read) -> Result<Option<Expected>> {
        Ok(None)
    }

    /// What is worth telling while a read starts and is no reason for concern: what a source is told of a filter.
    async fn notes(&self, _read: &Read) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// Until when the source makes us wait, while it does.
    fn waits_until(&self) -> Option<Micros> {
        None
    }

    /// Calls of the source's API that are used up and usable today, where it has told.
    fn quota(&self) -> Option<Quota> {
        None
    }

    /// The source's clock at its newest answer, where it tells the time.
    fn clock(&self) -> Option<Micros> {
        None
    }

    /// What people should know about a read before it starts: rows it cannot see, work it costs.
    async fn warnings(&self, _read: &Read) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

/// Who is logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Stable id of the account (for a database: system identifier + database name where it may be read).
    pub account: String,
    /// The user as people know it.
    pub user: String,
    /// Server product and version.
    pub server: String,
}

/// An object that could be adopted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// The source's own name; for a database `schema.table`.
    pub api: String,
    /// What the table is called by default, where the source's own name is a code.
    pub name: Option<String>,
    /// The name for people.
    pub label: String,
    /// `table`, `view`, ...
    pub kind: String,
    /// Number of rows, where the source has an estimate.
    pub estimated_rows: Option<i64>,
    /// API names of the fields of the best candidate key; empty when there is none.
    pub suggested_key: Vec<String>,
    /// A field that names a record for people.
    pub suggested_name: Option<String>,
    /// A field that moves forward with every change.
    pub suggested_cursor: Option<String>,
}

/// A field of an object at the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldInfo {
    /// The source's own name.
    pub api: String,
    /// The name for people.
    pub label: String,
    /// The type in which it is kept.
    pub data_type: FieldType,
    /// The source's own type, as the source writes it.
    pub native_type: String,
    /// Whether the source declares it NOT NULL.
    pub not_null: bool,
    /// What happens to values that the type cannot hold, and why this type was chosen.
    pub note: Option<String>,
    /// Whether its values change without moving the date by which a diff sees changes.
    pub volatile: bool,
}

/// What reads a source supports for one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// `What::Since` is possible (with [`Read::cursor`]).
    pub since: bool,
    /// `What::Keys` is possible.
    pub keys: bool,
    /// `What::DeletedSince` is possible.
    pub deleted: bool,
    /// `What::Get` is possible.
    pub get: bool,
    /// A record that is there may be hidden from the login: one that is not found need not be deleted.
    pub hides: bool,
    /// A filter is decided on values as they are kept: one that did not fit its type counts as NULL.
    pub filters_kept: bool,
}

/// One field to read: where it comes from, how it is called in the batch, and its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadField {
    /// The source's own name.
    pub api: String,
    /// Column name in the batch.
    pub name: String,
    /// Type of the column.
    pub data_type: FieldType,
}

/// What to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Everything in scope.
    Full,
    /// What changed since the watermark, including an overlap of the source's choosing.
    Since(Watermark),
    /// The key fields of everything in scope; `fields` holds only those.
    Keys,
    /// The keys of what was deleted since the watermark, as [`Page::gone`].
    ///
    /// An error of the kind `Unsupported` says that the source does not know that far back: only a full read does.
    DeletedSince(Watermark),
    /// The records with these keys, as far as they are there and the filter holds: the values of each key in the order
    /// of [`Read::key`], as text.
    Get(Vec<Vec<String>>),
}

/// Where the next diff starts. Opaque to everything but the source that made it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Watermark(pub serde_json::Value);

/// A place in a full read at which a later one can go on. Opaque to everything but the source that made it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Bookmark(pub serde_json::Value);

/// Whether a full read can be gone on with, should it break off.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Resume {
    /// Nobody keeps what was read.
    #[default]
    Never,
    /// From the beginning; pages tell where a later read may go on, where the source can.
    Begin,
    /// From a place of an earlier read of the same. The watermark at the end is that of the beginning of the earlier
    /// one: what changed since then in the rows before the place is not seen.
    ///
    /// An error of the kind `Unsupported` says that the source does not go on from there any more.
    From(Bookmark),
}

/// One read of one object.
#[derive(Debug, Clone)]
pub struct Read {
    /// The source's own name of the object.
    pub object: String,
    /// Fields in the order of the batch's columns.
    pub fields: Vec<ReadField>,
    /// API names of the fields that tell records apart, in the order of the key; `fields` holds them.
    pub key: Vec<String>,
    /// What to read.
    pub what: What,
    /// API name of the cursor field for diffs; the watermark of a full read is of this field too.
    pub cursor: Option<String>,
    /// Only rows for which this holds.
    pub filter: Option<crate::model::Filter>,
    /// Stop cleanly after so many rows; the last page then says `capped`.
    pub max_rows: Option<u64>,
    /// How many rows there are, where the source was asked before.
    pub expected_rows: Option<u64>,
    /// Whether a full read can be gone on with.
    pub resume: Resume,
}

impl Read {
    /// The schema of every batch of this read.
    pub fn schema(&self) -> arrow::datatypes::SchemaRef {
        std::sync::Arc::new(arrow::datatypes::Schema::new(
            self.fields
                .iter()
                .map(|f| arrow::datatypes::Field::new(&f.name, f.data_type.arrow(), true))
                .collect::<Vec<_>>(),
        ))
    }
}

/// What a read will take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// Rows, as the source counts them.
    pub rows: u64,
    /// Calls of the source's API.
    pub calls: u64,
    /// How many of them the question took.
    pub spent: u64,
    /// Whether the read delivers all of these rows. Otherwise a part of the filter is checked after reading.
    pub is_exact: bool,
}

/// Calls of one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Made so far, by everybody.
    pub used: u64,
    /// What the source allows.
    pub allowed: u64,
    /// After how many of them we leave the rest to others.
    pub usable: u64,
}

/// One page of rows.
#[derive(Debug, Clone)]
pub struct Page {
    /// Which of the parallel parts of the read this page belongs to.
    pub lane: usize,
    /// The rows.
    pub rows: RecordBatch,
    /// Records that are not there any more; never in a full read, whose rows are all there are. A row of this or a
    /// later page with such a key was there again afterwards.
    pub gone: Option<Gone>,
    /// Where the next diff starts once **everything** of this read is committed. Every page may carry it;
    /// the last one that does wins.
    pub watermark: Option<Watermark>,
    /// Values that did not fit their field's type and were kept as NULL.
    pub misfits: Vec<Misfit>,
    /// The read stopped at `max_rows` although there may be more.
    pub capped: bool,
    /// Calls of the source's API since the page before.
    pub calls: u64,
    /// Where a later read goes on that has everything of the pages before this one.
    pub from: Option<Bookmark>,
    /// What the source was asked for, for people and without secrets; told once for each kind of request.
    pub asked: Vec<String>,
}

impl Page {
    /// Rows of which there is nothing more to say.
    pub fn of(lane: usize, rows: RecordBatch) -> Self {
        Page {
            lane,
            rows,
            gone: None,
            watermark: None,
            misfits: Vec::new(),
            capped: false,
            calls: 0,
            from: None,
            asked: Vec::new(),
        }
    }
}

/// Records that are not there any more.
#[derive(Debug, Clone)]
pub struct Gone {
    /// Their keys: the columns are those of [`Read::key`], in that order.
    pub keys: RecordBatch,
    /// Why, one for each key.
    pub why: Vec<Why>,
}

/// Why a record is not there any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It was deleted at the source.
    Deleted,
    /// It was merged into the record of this key.
    MergedInto(String),
    /// The filter does not hold for it any more.
    LeftFilter,
}

/// Values of one field that did not fit its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// Column name in the batch.
    pub field: String,
    /// How many of this page.
    pub count: u64,
    /// One of them as text, at most 100 characters, for people to recognise.
    pub sample: String,
}
