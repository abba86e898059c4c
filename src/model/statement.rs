//! Statements: named queries whose results are kept as tables.

use super::{Micros, ObjectField, ReleaseObject};

/// A named query whose result is a table of schema `statement`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Statement {
    /// Random, never changes, never reused; names the table's folder in the object store.
    pub id: String,
    /// SQL table name.
    pub name: String,
    /// The query.
    pub query: String,
    /// Columns of the result that identify a row, most significant first; none: rows have no identity.
    pub unique_fields: Vec<String>,
    /// What it is, for people.
    pub description: Option<String>,
    /// Whether statements that read it are held when it fails; otherwise they go on with its last result.
    pub required: bool,
    /// The zone in which times without one are meant.
    pub time_zone: String,
    /// For how many days a result, and the release it read, are kept; `None` is for good.
    pub keep_days: Option<i64>,
    /// The columns of the result as last planned.
    pub fields: Vec<ObjectField>,
    /// Grows with every change of the definition.
    pub version: i64,
    /// When it was made.
    pub created_at: Micros,
    /// Who made it.
    pub created_by: String,
}

impl Statement {
    /// The schema of all results.
    pub const SCHEMA: &'static str = "statement";

    /// `statement.name`, as people write it.
    pub fn full_name(&self) -> String {
        format!("{}.{}", Self::SCHEMA, super::quote_ident(&self.name))
    }
}

/// One computation of a statement, with all that is needed to repeat it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StatementRun {
    /// Grows by one.
    pub id: i64,
    /// The statement.
    pub statement_id: String,
    /// Its name, the last one it had.
    pub statement: String,
    /// The batch that computed it; `None` when somebody asked.
    pub batch: Option<i64>,
    /// Who asked.
    pub actor: String,
    /// The query at that time.
    pub query: String,
    /// The time zone at that time.
    pub time_zone: String,
    /// `running`, `succeeded`, `failed`, `held`, `cancelled`.
    pub status: String,
    /// When it began.
    pub started_at: Micros,
    /// When it ended.
    pub ended_at: Option<Micros>,
    /// The release it read.
    pub read_release: i64,
    /// What `now()` was: when that release was published.
    pub read_at: Micros,
    /// Exactly what it read, without the columns: those are in the releases.
    pub reads: Vec<ReleaseObject>,
    /// What it made.
    pub result: Option<ReleaseObject>,
    /// The release in which that was published.
    pub result_release: Option<i64>,
    /// What went wrong, for people.
    pub cause: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
}
