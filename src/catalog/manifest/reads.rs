//! What the API can do. The modes of a sync follow from it.

use serde::Deserialize;

use super::{Condition, Entries, Request};
use crate::catalog::body::Body;
use crate::catalog::text::{Pointer, Span};

/// What the API can do for an object. A full sync uses `bulk` from a number of rows on, else `list`, or `query` where
/// a filter can be said to it. A diff uses `query` with `since`, else `changes` with `get`, else everything is read.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reads {
    /// Every record.
    pub list: Option<ListRead>,
    /// Records that meet a condition.
    pub query: Option<ListRead>,
    /// Records by key, a number at once. It also reads fields that do not fit into one request.
    pub get: Option<GetRead>,
    /// Keys of changed records, which `get` then reads.
    pub changes: Option<ListRead>,
    /// Keys of deleted records.
    pub deleted: Option<ListRead>,
    /// Everything by a job at the source.
    pub bulk: Option<Bulk>,
    /// How many records there are.
    pub count: Option<Count>,
}

/// A read in pages.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListRead {
    /// The request of every page.
    pub request: Request,
    /// Where an answer has its records. A second `*` reaches records within records; `outer` fields stand in the
    /// record around them.
    pub records: Pointer,
    /// How the next page is asked for.
    #[serde(default)]
    pub page: Page,
    /// How many fields one request can ask for. The rest is read by `get`.
    pub fields: Option<FieldLimit>,
    /// How changes are asked for.
    pub since: Option<Since>,
    /// Where the last page tells what the next diff asks with, instead of the time.
    pub next: Option<Pointer>,
    /// Where the answer tells how many records there are in all; fewer is an error.
    pub total: Option<Pointer>,
    /// Where a record has its key, for `changes` and `deleted`; `/id` by default. With several fields in the order of
    /// the key.
    #[serde(default)]
    pub key: Vec<Pointer>,
    /// Records that say of themselves that they are deleted.
    pub deleted: Option<Tombstone>,
    /// Only keys are taken from the pages; `get` reads the records, and what it does not find is deleted.
    #[serde(default)]
    pub get: bool,
    /// The request is made for batches of keys that another one lists.
    pub batches: Option<Batches>,
    /// The read is repeated with each of these values of `{object.<name>}`.
    #[serde(default)]
    pub each: Entries<Vec<String>>,
    /// Where a deleted record tells when, for feeds that cannot be asked by time.
    pub deleted_at: Option<Pointer>,
    /// Where the answer tells from when on it is complete. Later than asked for means a full sync.
    pub complete_from: Option<Pointer>,
    /// Where the answer tells until when it is complete: the next one begins there.
    pub complete_to: Option<Pointer>,
    /// For how long the source goes on from a page when a full sync broke off. None means from the beginning.
    pub resumes: Option<Span>,
}

/// Keys listed by one request, in batches of which another one reads what belongs to them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batches {
    /// The request that lists the keys.
    pub request: Request,
    /// Where its answers have the records.
    pub records: Pointer,
    /// Where a record has its key.
    pub key: Pointer,
    /// How its next page is asked for.
    #[serde(default)]
    pub page: Page,
    /// Keys of one batch.
    pub max: usize,
    /// Where an answer tells that it does not hold everything of a key.
    pub more: Option<BatchMore>,
}

/// What an answer to a batch does not hold: the request is repeated for that key alone, with `{page.token}`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchMore {
    /// Where the answer has one entry for each key.
    pub records: Pointer,
    /// Where the entry has the key.
    pub key: Pointer,
    /// Where the entry has the token, when there is more.
    pub token: Pointer,
}

/// Records by key.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GetRead {
    /// The request: `{keys}` are the keys, and a list element with `{key}` is repeated for each.
    pub request: Request,
    /// Where the answer has the records.
    pub records: Pointer,
    /// Keys of one request.
    pub max: usize,
    /// How many fields one request can ask for.
    pub fields: Option<FieldLimit>,
}

/// How the next page is asked for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Page {
    /// There is one page.
    #[default]
    None,
    /// Every answer has a token for the next one: `{page.token}`.
    Token(TokenPage),
    /// Every answer has the URL of the next one.
    Link(LinkPage),
    /// By the number of records to leave out: `{page.offset}`.
    Offset(OffsetPage),
    /// By the number of the page: `{page.number}`.
    Number(NumberPage),
    /// By the last key of the page before: `{page.after}`. Records must come sorted by it. It has no upper limit and
    /// no trouble with records of the same time.
    Seek(SeekPage),
}

impl Page {
    /// Records of one page, where they are told.
    pub fn size(&self) -> Option<u32> {
        match self {
            Page::None => None,
            Page::Token(page) => page.size,
            Page::Link(page) => page.size,
            Page::Offset(page) => Some(page.size),
            Page::Number(page) => Some(page.size),
            Page::Seek(page) => Some(page.size),
        }
    }
}

/// Pages by token.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenPage {
    /// Where the answer has the token; none ends the read.
    pub at: Option<Pointer>,
    /// The header that has the token; none, or the text `null`, ends the read.
    pub header: Option<String>,
    /// `{page.size}`
    pub size: Option<u32>,
    /// Where the answer tells whether there is more; `false` ends the read whatever the token.
    pub more: Option<Pointer>,
}

/// Pages by URL.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkPage {
    /// Where the answer has the URL; none ends the read. Without it, the `Link` header with `rel="next"`.
    pub at: Option<Pointer>,
    /// `{page.size}`
    pub size: Option<u32>,
    /// Where the answer tells that it is the last; a last page that says otherwise is an error.
    pub done: Option<Pointer>,
}

/// Pages by offset. A page with fewer records than asked for is the last.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OffsetPage {
    /// `{page.size}`
    pub size: u32,
    /// Where the answer tells the number of all records; reaching it ends the read.
    pub total: Option<Pointer>,
}

/// Pages by number. A page with fewer records than asked for is the last.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberPage {
    /// `{page.size}`
    pub size: u32,
    /// Number of the first page; 1 by default.
    #[serde(default = "one")]
    pub first: u32,
    /// Where the answer tells whether there is more.
    pub more: Option<Pointer>,
}

fn one() -> u32 {
    1
}

/// Pages by key.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeekPage {
    /// Where a record has the key.
    pub key: Pointer,
    /// `{page.size}`; a page with fewer records is the last.
    pub size: u32,
}

/// How many fields one request can ask for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldLimit {
    /// Their number.
    pub max: Option<usize>,
    /// The bytes of their names with commas.
    pub max_bytes: Option<usize>,
}

/// How changes are asked for: `{since}` and `{until}`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Since {
    /// How a time is written.
    pub format: TimeFormat,
    /// How far before the end of the last read this one begins: changes that became visible late are seen then.
    #[serde(default = "no_time")]
    pub overlap: Span,
    /// How far before the source's clock a read ends: an index that lags behind has caught up with it.
    #[serde(default = "no_time")]
    pub lag: Span,
    /// How long the source keeps what is asked for. An older watermark means a full sync.
    pub keeps: Option<Span>,
}

fn no_time() -> Span {
    Span::ZERO
}

/// How a time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeFormat {
    /// `2026-10-31T23:59:59.123Z`
    Rfc3339,
    /// `2026-10-31T23:59:59Z`: whole seconds, rounded down for the beginning and up for the end.
    Rfc3339Seconds,
    /// `2026-10-31`
    Date,
    /// Milliseconds since 1970, as text.
    EpochMs,
    /// Seconds since 1970, as text.
    EpochSeconds,
    /// The text that `next` found, as it is: a delta link or token.
    Opaque,
}

/// Records that say of themselves that they are deleted.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tombstone {
    /// What such a record has.
    pub when: Condition,
    /// Where such a record tells into which one it was merged.
    pub merged_into: Option<Pointer>,
    /// Fields that must be asked for to know, where the object has them.
    #[serde(default)]
    pub asks: Vec<String>,
}

/// A job that exports everything.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bulk {
    /// Starts the job.
    pub submit: Request,
    /// Where the answer has the job's id: `{job.id}`.
    pub id: Pointer,
    /// Asks how far it is.
    pub poll: Request,
    /// Where the answer has its state.
    pub status: Pointer,
    /// States of a job that has ended well.
    pub done: Vec<String>,
    /// States of a job that has not.
    pub failed: Vec<String>,
    /// Where the answer tells why.
    pub message: Option<Pointer>,
    /// Fetches the result.
    pub fetch: Request,
    /// How the next part of the result is asked for.
    #[serde(default)]
    pub page: Page,
    /// The form of the result.
    pub format: BulkFormat,
    /// Used from so many rows on; fewer are read page by page.
    pub above_rows: u64,
    /// Removes the job when everything is read. That it fails changes nothing.
    pub clean: Option<Request>,
    /// For how long the result of a job can be fetched on when a full sync broke off. None means a new job.
    pub resumes: Option<Span>,
}

/// The form of a bulk result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BulkFormat {
    /// CSV with a header of field names. An empty value is NULL; every other text stands for itself.
    Csv,
}

/// How many records there are.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// The request.
    pub request: Request,
    /// Where its answer has the number.
    pub at: Pointer,
}

/// How a filter is said. What cannot be said, and whatever the source compares more generously than SQL, is checked
/// after reading: what is said to the source only ever saves reading.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filters {
    /// As JSON objects, one a condition: `{filters}`.
    Json(JsonFilters),
    /// As text of a query language: `{where}`.
    Text(Language),
}

/// Conditions as JSON objects, all of which must hold.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JsonFilters {
    /// How many conditions of a person's filter there may be; the rest is checked after reading.
    pub max: usize,
    /// How a time is written.
    pub time: TimeFormat,
    /// By operator (`=`, `<>`, `<`, `<=`, `>`, `>=`, `in`, `is null`, `not null`): the object, with `{filter.field}` and
    /// `{filter.value}` or `{filter.values}`.
    pub operators: Entries<Body>,
}

/// A query language. Each has one function that quotes values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// Salesforce.
    Soql,
    /// Zoho CRM.
    Coql,
    /// OData 4, for example Dataverse.
    Odata,
    /// NetSuite.
    Suiteql,
}
