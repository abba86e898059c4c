//! What the query engine needs from the rest: tables of a release, system tables, and rights.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::execution::runtime_env::RuntimeEnv;

use super::catalog::facts::CatalogFacts;
use super::session::SessionUser;
use crate::error::{Error, Kind, Result};
use crate::model::{Micros, Release, ReleaseObject};

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
}

/// A table of schema `tributary`.
#[derive(Debug, Clone)]
pub struct SystemTable {
    /// Name within the schema.
    pub name: String,
    /// Its columns.
    pub schema: SchemaRef,
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

    /// The same where only rows are wanted in which an integer column has a value. Others may be among them.
    async fn rows_where(&self, table: &str, who: &SessionUser, _: &str, _: i64) -> Result<RecordBatch> {
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

    /// Whether a user who is no admin was granted the object, alone or with its whole connection.
    async fn may_read(&self, who: &SessionUser, connection: &str, object: &str) -> Result<bool>;
}
