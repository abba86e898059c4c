//! The vocabulary of tributary as types. No behaviour beyond reading and writing them as text.

mod batch;
mod field_type;
mod filter;
mod gate;
mod health;
mod mask;
mod name;
mod overrides;
mod schedule;
mod statement;

use std::collections::BTreeMap;

pub use batch::{Batch, BatchStep};
pub use field_type::FieldType;
pub use filter::{Comparison, Filter, Literal};
pub use gate::{GateRules, MisfitCount, Quarantined, Reason, Removal, Review, Rule, Verdict, Visible};
pub use health::{Alert, Condition, Event, Fault, Health, Message, Severity, State, Turn};
pub use mask::{FieldMask, Mask};
pub use name::{check_name, machine_name, quote_ident, unique_machine_name};
pub use overrides::{End, Ended, Override};
pub use schedule::{Moment, Schedule};
pub use statement::{Statement, StatementRun};

/// Microseconds since 1970-01-01 UTC.
pub type Micros = i64;

/// The time of this machine. The one place where the product asks for it.
#[allow(clippy::disallowed_methods)]
pub fn now_micros() -> Micros {
    chrono::Utc::now().timestamp_micros()
}

/// A link to one account of a source system. Its name is the SQL schema.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Connection {
    /// Never changes, never reused.
    pub id: i64,
    /// SQL schema name.
    pub name: String,
    /// The connector, for example `postgresql`.
    pub connector: String,
    /// Settings as a JSON object, without secrets.
    pub settings: serde_json::Value,
    /// `not connected`, `connected`, `needs you`.
    pub status: String,
    /// Who is logged in, as last told by the source.
    pub identity: Option<String>,
    /// The account at the source that its rows come from, where the source tells one. A login as another account is
    /// refused: rows of two accounts never mix.
    #[serde(default)]
    pub account: Option<String>,
    /// When it was made.
    pub created_at: Micros,
    /// When it was logged in last; `None` where nobody is logged in.
    #[serde(default)]
    pub connected_at: Option<Micros>,
}

/// A thing of the source adopted as a table.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Object {
    /// Random, never changes, never reused; names the table's folder in the object store.
    pub id: String,
    /// The connection it belongs to.
    pub connection_id: i64,
    /// Name of that connection.
    pub connection: String,
    /// SQL table name.
    pub name: String,
    /// The source's own name; never changes.
    pub api: String,
    /// The name for people.
    pub label: String,
    /// Fields in column order, selected or not.
    pub fields: Vec<ObjectField>,
    /// How it is imported.
    pub import: ImportSettings,
    /// Grows with every change of the definition.
    pub schema_version: i64,
    /// When it was adopted.
    pub created_at: Micros,
}

impl Object {
    /// The selected fields in column order.
    pub fn selected(&self) -> impl Iterator<Item = &ObjectField> {
        self.fields.iter().filter(|f| f.selected)
    }

    /// The unique fields in key order.
    pub fn key_fields(&self) -> Vec<&ObjectField> {
        let mut key: Vec<_> = self.fields.iter().filter(|f| f.key_position.is_some()).collect();
        key.sort_by_key(|field| field.key_position);
        key
    }

    /// Machine names of the unique fields in key order.
    pub fn key(&self) -> Vec<String> {
        self.key_fields().into_iter().map(|field| field.name.clone()).collect()
    }

    /// Stored columns of the unique fields in key order.
    pub fn key_columns(&self) -> Vec<String> {
        self.key_fields().into_iter().map(|field| field.column.clone()).collect()
    }

    /// `connection.name`, as people write it.
    pub fn full_name(&self) -> String {
        format!("{}.{}", quote_ident(&self.connection), quote_ident(&self.name))
    }
}

/// A column of an object.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(remote = "Self")]
pub struct ObjectField {
    /// The source's own name.
    pub api: String,
    /// SQL column name.
    pub name: String,
    /// Name of the column in snapshots. Fixed when the field is adopted, and never given to another field of the
    /// object: a name that is free again in SQL does not lead to what an older field left on disk.
    #[serde(default)]
    pub column: String,
    /// The name for people.
    pub label: String,
    /// The type in which it is kept.
    pub data_type: FieldType,
    /// The source's own type.
    pub native_type: String,
    /// Why this type, and what happens to values it cannot hold.
    pub note: Option<String>,
    /// Whether it is imported.
    pub selected: bool,
    /// 0-based place in the key; `None` when it is no unique field.
    pub key_position: Option<u32>,
    /// Whether it names a record for people.
    pub is_name: bool,
    /// Whether its values change without moving the date by which a diff sees changes.
    #[serde(default)]
    pub volatile: bool,
}

impl serde::Serialize for ObjectField {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

impl<'de> serde::Deserialize<'de> for ObjectField {
    /// Written before columns had names of their own, a field is stored under its SQL name.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut field = Self::deserialize(deserializer)?;
        if field.column.is_empty() {
            field.column = field.name.clone();
        }
        Ok(field)
    }
}

/// How an object is imported.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImportSettings {
    /// API name of the field that moves forward with every change; diffs read from it.
    pub cursor: Option<String>,
    /// SQL boolean expression over the fields.
    pub filter: Option<String>,
    /// Stop after so many rows.
    pub max_rows: Option<u64>,
    /// `daily` or `manual`.
    pub frequency: String,
    /// Every sync replaces all rows.
    pub delete_all_before_sync: bool,
    /// A sync that would lose more than this share of rows is held.
    pub max_loss_percent: u32,
    /// Whether a batch holds the statements that read it when its sync fails; otherwise they go on with its last rows.
    pub required: bool,
    /// Whether a batch also reads the keys and the volatile fields of every record, where changes do not tell all.
    pub sweep: bool,
    /// What else a sync must pass.
    pub gate: GateRules,
    /// What becomes of a field that is new at the source: `offer` or `add`.
    pub new_fields: String,
    /// By API names: whether a diff sees a field change, where a person said so and not the source.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub volatile_of: BTreeMap<String, bool>,
}

impl Default for ImportSettings {
    fn default() -> Self {
        ImportSettings {
            cursor: None,
            filter: None,
            max_rows: None,
            frequency: "daily".into(),
            delete_all_before_sync: false,
            max_loss_percent: 30,
            required: true,
            sweep: true,
            gate: GateRules::default(),
            new_fields: "offer".into(),
            volatile_of: BTreeMap::new(),
        }
    }
}

/// The runs that were started together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sync {
    /// Grows by one.
    pub id: i64,
    /// What was asked for: `diff` or `full`.
    pub mode: String,
    /// Who asked.
    pub actor: String,
    /// When it began.
    pub started_at: Micros,
}

/// One sync of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Grows by one.
    pub id: i64,
    /// The sync that started it.
    pub sync_id: i64,
    /// The object.
    pub object_id: String,
    /// `connection.object` at the time of the run.
    pub object: String,
    /// `diff` or `full`.
    pub mode: String,
    /// `running`, `succeeded`, `succeeded with warnings`, `capped`, `held`, `rejected`, `failed`, `cancelled`.
    pub status: String,
    /// When it began.
    pub started_at: Micros,
    /// When it ended.
    pub ended_at: Option<Micros>,
    /// What it counted.
    pub counts: RunCounts,
    /// Snapshot version it committed.
    pub version: Option<i64>,
    /// Release it was published in.
    pub release: Option<i64>,
    /// What went wrong, for people.
    pub cause: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
    /// What `cause` is about, when it failed.
    pub fault: Option<Fault>,
    /// `cause` without the source's own words, which may quote a record.
    pub summary: Option<String>,
}

/// What a run counted. Row counts, not bytes, unless said.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct RunCounts {
    /// Received from the source.
    pub read: u64,
    /// Written as new.
    pub inserted: u64,
    /// Written over an older one.
    pub updated: u64,
    /// Removed.
    pub deleted: u64,
    /// Of those: merged into another record.
    pub merged: u64,
    /// Of those: the filter does not hold for them any more.
    pub left_filter: u64,
    /// Of those: the source does not show them to this login, and did not delete them.
    pub not_visible: u64,
    /// Of those: the source cannot tell why.
    pub unknown: u64,
    /// In the table afterwards.
    pub total: u64,
    /// Dropped because a later row of the same run had the same key.
    pub duplicates: u64,
    /// Left out because a key field was NULL.
    pub null_keys: u64,
    /// Values kept as NULL because they did not fit their type.
    pub misfits: u64,
    /// The same by field.
    pub misfits_of: Vec<MisfitCount>,
    /// Left out because the record was erased.
    pub erased: u64,
    /// Calls of the source's API.
    pub calls: u64,
    /// Calls that were expected before the run, where the source could tell.
    pub expected_calls: Option<u64>,
    /// What the source was asked for, without secrets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<String>,
    /// The run that it went on with, where that had broken off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resumed_from: Option<i64>,
    /// Bytes written to the object store.
    pub bytes_written: u64,
    /// Warnings for people.
    pub warnings: Vec<String>,
    /// What the gate found: what did not pass, and every sum that is watched.
    pub verdicts: Vec<Verdict>,
}

/// An immutable, numbered cut across all objects.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Release {
    /// Grows by one.
    pub id: i64,
    /// When it was published.
    pub published_at: Micros,
    /// Why: `sync 12`, `batch 2026-10-31`.
    pub cause: String,
    /// Every object of the company with its snapshot.
    pub objects: Vec<ReleaseObject>,
}

/// What is known of a release without the objects in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseHeader {
    /// Its number.
    pub id: i64,
    /// When it was published.
    pub published_at: Micros,
    /// Why.
    pub cause: String,
    /// When a vacuum removed it; `None` while it can be read.
    pub removed_at: Option<Micros>,
}

/// A release that has a name and is protected from clean-up.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Period {
    /// Its name, for example `2026-10`.
    pub name: String,
    /// The release it holds.
    pub release: i64,
    /// When it was frozen.
    pub frozen_at: Micros,
    /// Who froze it.
    pub frozen_by: String,
    /// Why, as told by that person.
    pub reason: Option<String>,
}

/// One object within a release: everything needed to read it as it was.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ReleaseObject {
    /// The object.
    pub object_id: String,
    /// Name of its connection (SQL schema) then.
    pub connection: String,
    /// SQL table name then.
    pub name: String,
    /// Snapshot version.
    pub version: i64,
    /// Rows in it.
    pub rows: i64,
    /// The selected columns then, in order.
    pub fields: Vec<ObjectField>,
    /// The release in which its overrides changed last; `None` without any. Together with the object it names one set
    /// of overrides for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrides: Option<i64>,
}

/// A person or program that may log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: String,
    /// `admin`, `analyst` or `auditor`.
    pub role: String,
    /// SCRAM-SHA-256 verifier in PostgreSQL's own text form; the password itself is never kept.
    pub verifier: String,
    /// Whether the login is allowed.
    pub enabled: bool,
    /// The argon2id hash that passwords from browsers are checked by; `None` until one is set or typed there.
    pub browser_verifier: Option<String>,
}

/// A right to read: `SELECT` on all objects of a connection, on one object, or on one field of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Login name.
    pub user: String,
    /// Connection name.
    pub connection: String,
    /// Object name; `None` means all objects of the connection.
    pub object: Option<String>,
    /// The field, by the source's name; `None` means all of them. A field that is granted by itself is never masked.
    pub field: Option<String>,
}

impl Grant {
    /// Whether it is a right on something of that object.
    pub fn is_of(&self, connection: &str, object: &str) -> bool {
        self.connection == connection && self.object.as_deref().is_none_or(|granted| granted == object)
    }

    /// Whether it is a right on the whole object.
    pub fn covers(&self, connection: &str, object: &str) -> bool {
        self.field.is_none() && self.is_of(connection, object)
    }

    /// Whether it is a right on that field by itself.
    pub fn names(&self, connection: &str, object: &str, field: &str) -> bool {
        self.field.as_deref() == Some(field) && self.is_of(connection, object)
    }
}
