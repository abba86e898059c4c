//! What the query engine needs from the rest: tables of a release, system tables, and rights.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_optimizer::PhysicalOptimizerRule;

use super::catalog::facts::CatalogFacts;
use super::session::SessionUser;
use crate::error::{Error, Kind, Result};
use crate::model::{Mask, Micros, Release, ReleaseObject};

/// Where the rows of objects are.
#[async_trait]
pub trait Tables: Send + Sync {
    /// The table of one object as it stood in a release.
    async fn provider(&self, object: &ReleaseObject) -> Result<Arc<dyn TableProvider>>;

    /// The rows of an object in two releases, `from` and `to`. What both have in the same place may be left out, so that
    /// comparing them costs what the change did.
    async fn difference(
        &self,
        from: &ReleaseObject,
        to: &ReleaseObject,
    ) -> Result<(Arc<dyn TableProvider>, Arc<dyn TableProvider>)> {
        Ok((self.provider(from).await?, self.provider(to).await?))
    }

    /// Makes the object store known to the engine. Called once.
    fn register(&self, env: &RuntimeEnv);

    /// What improves a plan over the tables once nothing else changes it any more.
    fn rules(&self) -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
        Vec::new()
    }
}

/// A table of schema `tributary`.
#[derive(Debug, Clone)]
pub struct SystemTable {
    /// Name within the schema.
    pub name: String,
    /// Its columns.
    pub schema: SchemaRef,
}

/// What a statement looks at in a system table. What it does not look at may be left out of the answer, rows as well as
/// the values of columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The columns it reads; `None` stands for all.
    pub columns: Option<Vec<String>>,
    /// Values that columns must have.
    pub equal: Vec<(String, Constant)>,
    /// Of the rows that have these values only so many with the greatest `id` are wanted.
    pub newest: Option<usize>,
}

/// A value that a column is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Constant {
    /// Of a column of numbers.
    Number(i64),
    /// Of a column of texts.
    Text(String),
}

impl Wanted {
    /// Whether the values of a column are looked at.
    pub fn reads(&self, column: &str) -> bool {
        self.columns.as_ref().is_none_or(|columns| columns.iter().any(|read| read == column))
    }

    /// The number that a column must be.
    pub fn number(&self, column: &str) -> Option<i64> {
        self.equal.iter().find_map(|(name, value)| match value {
            Constant::Number(number) if name == column => Some(*number),
            _ => None,
        })
    }

    /// The text that a column must be.
    pub fn text(&self, column: &str) -> Option<&str> {
        self.equal.iter().find_map(|(name, value)| match value {
            Constant::Text(text) if name == column => Some(text.as_str()),
            _ => None,
        })
    }

    /// How many of the newest rows are wanted by somebody who looks at these columns only to tell which rows they are.
    pub fn newest_by(&self, columns: &[&str]) -> Option<i64> {
        let is_known = self.equal.iter().all(|(name, _)| columns.contains(&name.as_str()));
        self.newest.filter(|_| is_known).and_then(|rows| i64::try_from(rows).ok())
    }
}

/// Why somebody who may read an object does not see the values of one of its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hidden {
    /// It was not granted: naming it is refused.
    Denied,
    /// Something else is shown in their place.
    Masked(Mask),
}

/// Which release a session wants to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AsOf {
    /// By number.
    Release(i64),
    /// By cause, for example `batch 2026-10-31`.
    Cause(String),
    /// The newest one published at or before that time.
    Time(Micros),
    /// The one frozen under that name.
    Period(String),
}

/// The system as tables, releases of the past, and who may read what.
#[async_trait]
pub trait SystemTables: Send + Sync {
    /// The tables of schema `tributary`.
    fn tables(&self) -> &[SystemTable];

    /// All rows of a table that `who` may see, in the schema given by [`SystemTables::tables`].
    async fn rows(&self, table: &str, who: &SessionUser) -> Result<RecordBatch>;

    /// The same as far as it is wanted. Rows that are not may be among them.
    async fn rows_where(&self, table: &str, who: &SessionUser, _: &Wanted) -> Result<RecordBatch> {
        self.rows(table, who).await
    }

    /// A release of the past. Where there is none, the error says what is kept instead.
    async fn release(&self, as_of: &AsOf) -> Result<Arc<Release>>;

    /// Announces that this process begins to read a release, or still does; false when it was removed.
    async fn hold(&self, release: i64) -> Result<bool>;

    /// Grows with every change of definitions, people and rights: what [`SystemTables::catalog`] gave before is then
    /// asked for again.
    async fn catalog_version(&self) -> Result<i64> {
        Ok(0)
    }

    /// What `pg_catalog` tells of a release. Its numbers must stay the same over restarts. Where nothing is kept but
    /// the release itself, its tables are numbered in their order.
    async fn catalog(&self, release: &Release) -> Result<CatalogFacts> {
        Ok(CatalogFacts::of_release(release))
    }

    /// The columns of [`SystemTables::history`].
    fn history_schema(&self) -> SchemaRef {
        Arc::new(Schema::empty())
    }

    /// What happened to one record, as far as `who` may know: `object` is named as in SQL, `key` has the text of a key
    /// or one text for each unique field.
    async fn history(&self, _: &SessionUser, _: &str, _: &[String]) -> Result<RecordBatch> {
        Err(Error::new(Kind::Unsupported, "there is no history of records here"))
    }

    /// Bytes that an object takes up in a release.
    async fn bytes(&self, _: &ReleaseObject) -> Result<u64> {
        Ok(0)
    }

    /// Whether a user who is no admin was granted the object, alone or with its whole connection, or fields of it.
    async fn may_read(&self, who: &SessionUser, connection: &str, object: &str) -> Result<bool>;

    /// What of the fields of an object, in their order, such a user does not see; nothing for those after the last.
    async fn hidden(&self, _: &SessionUser, _: &ReleaseObject) -> Result<Vec<Option<Hidden>>> {
        Ok(Vec::new())
    }
}
