//! Queries whose results the service keeps: planned and run over a release that it puts together.
//!
//! Such a query gives the same rows whenever it is asked again: `now()` is a moment that the caller says, and what
//! reads anything but the release, or gives something else each time, is refused.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::common::TableReference;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::Statement as PlannerStatement;
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast;
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::mpsc;

use super::{Execution, Prepared, Session, SessionUser};
use crate::error::{Error, Kind, Result};
use crate::model::{FieldType, Micros, Release, ReleaseObject};
use crate::query::catalog::Needs;
use crate::query::engine::Engine;
use crate::query::error::translate;
use crate::query::functions::arithmetic::VARIABLE;
use crate::query::parse::{Command, Parsed};
use crate::query::settings::Lasts;
use crate::query::typing::Parameters;
use crate::query::{PG_TYPE, diff, resolve};

/// Digits of a numeric, and those after its point where its type does not tell them.
const DIGITS: u8 = 38;
const OPEN_SCALE: i8 = 16;

/// A query to be kept, and what it is to read.
#[derive(Debug, Clone)]
pub struct KeptQuery {
    /// The text.
    pub sql: String,
    /// The tables it may read. Its number is held while the query runs.
    pub release: Arc<Release>,
    /// The zone in which times without one are meant.
    pub zone: String,
    /// What `now()` is.
    pub at: Micros,
}

/// A query that was checked and planned.
pub struct Kept {
    session: Session,
    prepared: Prepared,
    columns: Vec<(String, FieldType)>,
    reads: Vec<ReleaseObject>,
}

impl Engine {
    /// The objects of a release that a query reads, each once, in the release's order. The query is not planned.
    ///
    /// # Errors
    /// Of a text that is not one query, of a table that is missing, and of what no kept query may read.
    pub async fn reads(self: &Arc<Self>, query: &KeptQuery) -> Result<Vec<ReleaseObject>> {
        let (session, parsed) = session(self, query).await?;
        session.read_by(&parsed, &query.release).await
    }

    /// Checks and plans a query.
    ///
    /// # Errors
    /// As PostgreSQL's for a query that is wrong; `Unsupported` for one whose result would not be the same again, or
    /// has a type that no column can have.
    pub async fn kept(self: &Arc<Self>, query: &KeptQuery) -> Result<Kept> {
        let (session, parsed) = session(self, query).await?;
        let reads = session.read_by(&parsed, &query.release).await?;
        let prepared = session.prepare(&parsed, &[]).await?;
        if !prepared.parameters().is_empty() {
            return Err(Error::new(Kind::Invalid, "a statement has no parameters")
                .with_sqlstate("42P02")
                .with_hint("write the values into the query instead of $1"));
        }
        let pin = session.pinned_release().await?;
        let draft = session.plan(&parsed, pin, Parameters::default(), true).await?;
        refuse_volatile(&draft)?;
        let columns = columns(&prepared, &draft)?;
        Ok(Kept { session, prepared, columns, reads })
    }
}

impl Kept {
    /// The columns of the result.
    pub fn columns(&self) -> &[(String, FieldType)] {
        &self.columns
    }

    /// What it reads, as [`Engine::reads`] tells.
    pub fn reads(&self) -> &[ReleaseObject] {
        &self.reads
    }

    /// The rows, in the types of the columns. Dropping the stream stops the work.
    pub async fn rows(&self) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let (notices, _) = mpsc::unbounded_channel();
        let execution = self.session.execute(&self.prepared, Vec::new(), notices).await?;
        let Execution::Rows { stream, .. } = execution else {
            return Err(Error::internal("a query without rows"));
        };
        let columns = self.columns.clone();
        Ok(stream.map(move |batch| typed(&batch.map_err(translate)?, &columns)).boxed())
    }
}

/// A session that reads the release of the query at its moment, and the query.
async fn session(engine: &Arc<Engine>, query: &KeptQuery) -> Result<(Session, Parsed)> {
    let who = SessionUser { name: "system".into(), is_admin: true, session_id: 0 };
    let mut session = Session::new(engine.clone(), who);
    session.moment = Some(query.at);
    session.settings.lock().set("timezone", &query.zone, Lasts::Session)?;
    let pin = engine.pin(&query.release).await?.ok_or_else(|| {
        let what = format!("release {} is no longer kept", query.release.id);
        Error::new(Kind::Invalid, what).with_hint("SELECT id, removed_at FROM tributary.release")
    })?;
    {
        let mut inner = session.inner.lock();
        inner.transaction.begin_implicit(true, &session.settings.lock(), query.at);
        inner.transaction.pin(&pin);
    }
    let mut parsed = session.parse(&query.sql)?;
    parsed.retain(|parsed| parsed.kind() != super::StatementKind::Empty);
    let is_query = |parsed: &Parsed| matches!(parsed.command(), Command::Query(_));
    match <[Parsed; 1]>::try_from(parsed) {
        Ok([parsed]) if is_query(&parsed) => Ok((session, parsed)),
        _ => Err(Error::new(Kind::Invalid, "a statement is exactly one query")
            .with_sqlstate("42601")
            .with_hint("write one SELECT, WITH or VALUES, for example $$SELECT owner, sum(amount) AS total FROM deal GROUP BY 1$$")),
    }
}

impl Session {
    async fn read_by(&self, parsed: &Parsed, release: &Release) -> Result<Vec<ReleaseObject>> {
        let query = Self::query_of(parsed).ok_or_else(|| Error::internal("a statement without a query"))?;
        if Needs::of(query) != Needs::Nothing {
            return Err(unrepeatable("the catalog"));
        }
        let statement = PlannerStatement::Statement(Box::new(ast::Statement::Query(Box::new(query.clone()))));
        let (names, _) = resolve_table_references(&statement, true).map_err(translate)?;
        let path = self.search_path();
        let mut found = Vec::new();
        for name in names {
            if name.schema().is_none() && (name.table() == diff::NAME || name.table().starts_with("pg_")) {
                return Err(unrepeatable(&format!("`{}`", name.table())));
            }
            if name.schema() == Some(resolve::SYSTEM) {
                return Err(unrepeatable(&format!("`{}.{}`", resolve::SYSTEM, name.table())));
            }
            let in_path = |schema: &&String| {
                let is_it =
                    |object: &ReleaseObject| object.connection == **schema && object.name == name.table();
                name.schema().is_none() && release.objects.iter().any(is_it)
            };
            let placed = path
                .iter()
                .find(in_path)
                .map(|schema| TableReference::partial(schema.as_str(), name.table()));
            match resolve::readable(&self.engine, &self.who, release, placed.as_ref().unwrap_or(&name)).await
            {
                Ok(object) => found.push(object.clone()),
                Err(_) if self.engine.is_table_function(&name) => {}
                Err(error) => return Err(parsed.located(error)),
            }
        }
        let is_read = |object: &&ReleaseObject| found.iter().any(|found| found.object_id == object.object_id);
        Ok(release.objects.iter().filter(is_read).cloned().collect())
    }
}

fn unrepeatable(what: &str) -> Error {
    Error::new(Kind::Unsupported, format!("a statement cannot read {what}: it is not part of a release"))
        .with_hint("a result must be the same whenever it is computed again on the same release")
}

/// 0A000 for a function that gives something else each time.
fn refuse_volatile(plan: &LogicalPlan) -> Result<()> {
    let mut found = None;
    plan.apply_with_subqueries(|node| {
        for expr in node.expressions() {
            expr.apply(|expr| {
                if expr.is_volatile_node() {
                    found = Some(expr.to_string());
                    return Ok(TreeNodeRecursion::Stop);
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        Ok(if found.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })
    .map_err(translate)?;
    match found {
        None => Ok(()),
        Some(expr) => {
            let shown: String = expr.chars().take(100).collect();
            Err(Error::new(
                Kind::Unsupported,
                format!("a statement cannot use `{shown}`: it differs each time"),
            )
            .with_hint("now() is allowed: it is the moment at which the release was published"))
        }
    }
}

/// Names and types of the result. A numeric whose digits depend on its values keeps 16 of them after the point.
fn columns(prepared: &Prepared, draft: &LogicalPlan) -> Result<Vec<(String, FieldType)>> {
    let schema = prepared.schema().ok_or_else(|| Error::internal("a query without columns"))?;
    let drafted = draft.schema().as_arrow();
    let mut columns: Vec<(String, FieldType)> = Vec::new();
    for (place, field) in schema.fields().iter().enumerate() {
        let name = field.name();
        if name == "?column?" {
            return Err(Error::new(
                Kind::Invalid,
                format!("column {} of the statement has no name", place + 1),
            )
            .with_sqlstate("42601")
            .with_hint("give it one with AS"));
        }
        if columns.iter().any(|(other, _)| other == name) {
            return Err(Error::new(
                Kind::AlreadyExists,
                format!("column `{name}` of the statement appears twice"),
            )
            .with_sqlstate("42701")
            .with_hint("give one of them another name with AS"));
        }
        let is_numeric = field.metadata().get(PG_TYPE).is_some_and(|name| name == "numeric");
        let data_type = match drafted.fields().get(place).filter(|_| is_numeric) {
            Some(drafted) => Some(numeric(drafted)),
            None => field_type(field.data_type()),
        };
        let data_type = data_type.ok_or_else(|| {
            let what = format!("column `{name}` of the statement has a type that cannot be kept");
            Error::new(Kind::Unsupported, what).with_hint("cast it, for example with CAST(... AS text)")
        })?;
        columns.push((name.clone(), data_type));
    }
    Ok(columns)
}

fn numeric(drafted: &Field) -> FieldType {
    let is_open = drafted.metadata().contains_key(VARIABLE);
    match drafted.data_type() {
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale)
            if !is_open && (0..=OPEN_SCALE).contains(scale) =>
        {
            FieldType::Decimal(DIGITS, *scale)
        }
        _ => FieldType::Decimal(DIGITS, OPEN_SCALE),
    }
}

fn field_type(data_type: &DataType) -> Option<FieldType> {
    Some(match data_type {
        DataType::Boolean => FieldType::Boolean,
        DataType::Int16 => FieldType::Int16,
        DataType::Int32 => FieldType::Int32,
        DataType::Int64 => FieldType::Int64,
        DataType::Float32 => FieldType::Float32,
        DataType::Float64 => FieldType::Float64,
        DataType::Decimal128(precision, scale) if *scale >= 0 => FieldType::Decimal(*precision, *scale),
        DataType::Utf8 => FieldType::Text,
        DataType::Binary => FieldType::Bytes,
        DataType::Date32 => FieldType::Date,
        DataType::Timestamp(TimeUnit::Microsecond, None) => FieldType::Timestamp,
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => FieldType::TimestampTz,
        DataType::List(element) => match field_type(element.data_type())? {
            FieldType::List(_) => return None,
            element => FieldType::List(Box::new(element)),
        },
        _ => return None,
    })
}

/// A batch in the types of the columns.
fn typed(batch: &RecordBatch, columns: &[(String, FieldType)]) -> Result<RecordBatch> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let cast = |(array, (name, data_type)): (&ArrayRef, &(String, FieldType))| {
        let wanted = data_type.arrow();
        if *array.data_type() == wanted {
            return Ok(array.clone());
        }
        cast_with_options(array, &wanted, &options).map_err(|error| {
            Error::new(Kind::Data, format!("a value of column `{name}` does not fit {data_type}"))
                .with_sqlstate("22003")
                .with_hint(
                    "cast the column to a type that holds its values, for example CAST(... AS numeric(38,2))",
                )
                .with_source(error)
        })
    };
    let arrays = batch.columns().iter().zip(columns).map(cast).collect::<Result<Vec<_>>>()?;
    let fields: Vec<_> = columns.iter().map(|(name, t)| Field::new(name, t.arrow(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
        .map_err(|error| Error::internal("the rows of a statement are not its columns").with_source(error))
}
