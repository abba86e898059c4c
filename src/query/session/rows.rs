//! Statements that give rows: planned, optimized, started.

use std::sync::{Arc, OnceLock};

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::sql::sqlparser::ast;
use futures::TryFutureExt;

use super::{Execution, Planned, Prepared, Session, explain};
use crate::error::{Error, Kind, Result};
use crate::query::catalog::{self, Catalog, Needs};
use crate::query::deep::{Deep, poll_with_stack, with_stack};
use crate::query::error::translate;
use crate::query::functions::cast::{Target, cast_scalar};
use crate::query::functions::number::is_numeric;
use crate::query::functions::relation;
use crate::query::functions::system::{self, Facts};
use crate::query::history::Historian;
use crate::query::parse::{Command, Parsed};
use crate::query::pin::{Pin, PinnedExec};
use crate::query::plan::{Found, Planner, parameters_of, shown_schema};
use crate::query::quick;
use crate::query::resolve;
use crate::query::run::{self, Limits};
use crate::query::settings::Reading;
use crate::query::typing::Parameters;

impl Session {
    /// The query inside a statement that has one.
    pub(super) fn query_of(parsed: &Parsed) -> Option<&ast::Query> {
        match parsed.command() {
            Command::Query(query)
            | Command::Explain { query, .. }
            | Command::Copy { query, .. }
            | Command::Declare { query, .. } => Some(query),
            _ => None,
        }
    }

    /// The plan of a statement's query in a release. A draft only serves to find the types of parameters.
    pub(super) async fn plan(
        &self,
        parsed: &Parsed,
        release: Arc<Pin>,
        parameters: Parameters,
        draft: bool,
    ) -> Result<LogicalPlan> {
        let work = self.planning(parsed, release, parameters, draft);
        self.engine.run(poll_with_stack(parsed.tokens(), work)).await
    }

    /// The work of planning, to be done on the engine's threads.
    fn planning(
        &self,
        parsed: &Parsed,
        release: Arc<Pin>,
        parameters: Parameters,
        draft: bool,
    ) -> impl Future<Output = Result<LogicalPlan>> + Send + use<> {
        let (engine, who, facts, parsed) =
            (self.engine.clone(), self.who.clone(), self.facts(), parsed.clone());
        let path = self.search_path();
        let (tokens, located) = (parsed.tokens(), parsed.clone());
        let planned = async move {
            let query =
                Self::query_of(&parsed).ok_or_else(|| Error::internal("a statement without a query"))?;
            let needs = Needs::of(query);
            let scope = catalog::scope(&engine, needs, release.release(), &who, &facts.settings).await?;
            let tables =
                resolve::tables(&engine, &who, &path, release.release(), query, scope.as_ref()).await?;
            let reading = facts.reading;
            let facts = Facts { scope, ..facts };
            let mut planner = Planner::new(&engine.state, &engine.registry, facts, tables, parameters);
            planner.historian = Some(Historian::new(&engine, &who));
            loop {
                let planned = with_stack(tokens, || {
                    let plan = planner.query(query)?;
                    if draft { Ok(plan) } else { planner.settled(plan) }
                });
                let Some(call) = planner.diffs.take_wanted() else { return planned };
                planner.diffs.resolve(&engine, &who, release.release(), reading, call).await?;
            }
        };
        planned.map_err(move |error| located.located(error))
    }

    /// The catalog as it is now, where a statement asks it. A plan made with another one is old.
    async fn catalog_of(&self, parsed: &Parsed, release: &Pin) -> Result<Option<Arc<Catalog>>> {
        match Self::query_of(parsed).map_or(Needs::Nothing, Needs::of) {
            Needs::Nothing => Ok(None),
            _ => self.engine.catalog(release.release()).await.map(Some),
        }
    }

    /// The version of definitions and rights as they are now. A plan made with others is old: what was revoked since is
    /// not read. Admins read everything.
    async fn rights(&self) -> Result<Option<i64>> {
        match self.who.is_admin {
            true => Ok(None),
            false => self.engine.system.catalog_version().await.map(Some),
        }
    }

    /// The plan with the types of its parameters: the ones it does not tell are text.
    pub(super) async fn prepare_query(
        &self,
        parsed: &Parsed,
        declared: &[Option<DataType>],
    ) -> Result<Prepared> {
        let release = self.release().await?;
        let (id, reading) = (release.release().id, self.settings.lock().reading());
        if declared.is_empty() && Self::placeholders(parsed).is_empty() {
            let catalog = self.catalog_of(parsed, &release).await?;
            let rights = self.rights().await?;
            let plan = self.plan(parsed, release, Parameters::default(), false).await?;
            let schema = Some(Self::result_schema(parsed, &plan));
            let plan = Deep::new(plan, parsed.tokens());
            let path = self.search_path();
            let answer = OnceLock::new();
            let planned =
                Some(Arc::new(Planned { release: id, reading, path, catalog, rights, plan, answer }));
            // What answers with the time of its statement is planned for each.
            let lasts = |plan: &LogicalPlan| !system::is_of_moment(plan) && !relation::is_in(plan);
            let plan = planned.filter(|planned| lasts(&planned.plan));
            return Ok(Prepared { schema, plan, ..Prepared::without_rows(parsed) });
        }
        let mut types = declared.to_vec();
        let known = Parameters { types: types.clone(), values: None };
        let draft = self.plan(parsed, release.clone(), known, true).await;
        let found = match &draft {
            Ok(plan) => parameters_of(plan)?,
            // An operator between two parameters, for example, has no type without theirs.
            Err(_) => vec![Found::default(); Self::placeholders(parsed).len()],
        };
        types.resize(types.len().max(found.len()), None);
        let mut type_names = vec![None; types.len()];
        for ((known, name), found) in types.iter_mut().zip(&mut type_names).zip(found) {
            *name = found.type_name.filter(|_| known.is_none());
            *known = known.take().or(found.data_type.filter(|found| *found != DataType::Null));
        }
        let parameters: Vec<_> =
            types.into_iter().map(|data_type| data_type.unwrap_or(DataType::Utf8)).collect();
        let known = Parameters { types: parameters.iter().cloned().map(Some).collect(), values: None };
        let plan =
            self.plan(parsed, release, known, false).await.map_err(|second| draft.err().unwrap_or(second))?;
        let schema = Some(Self::result_schema(parsed, &plan));
        Ok(Prepared { parsed: parsed.clone(), schema, parameters, type_names, plan: None })
    }

    /// The parameters that the text names, without types.
    fn placeholders(parsed: &Parsed) -> Vec<Option<DataType>> {
        let count = parsed
            .text()
            .split('$')
            .skip(1)
            .filter_map(|rest| {
                let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
                rest[..end].parse::<usize>().ok().filter(|n| (1..=65_535).contains(n))
            })
            .max();
        vec![None; count.unwrap_or(0)]
    }

    fn result_schema(parsed: &Parsed, plan: &LogicalPlan) -> SchemaRef {
        match parsed.command() {
            Command::Explain { options, .. } => explain::schema(*options),
            _ => shown_schema(plan.schema().as_arrow()),
        }
    }

    /// Runs a query, `EXPLAIN` or `COPY`.
    pub(super) async fn execute_query(
        &self,
        prepared: &Prepared,
        values: Vec<ScalarValue>,
        limits: Limits,
    ) -> Result<Execution> {
        let tag = prepared.parsed.tag().to_string();
        if let Command::Explain { options, .. } = prepared.parsed.command() {
            return self.explain(prepared, values, *options, limits).await;
        }
        let (physical, schema) = limits.within(self.sendable(prepared, values)).await?;
        let stream =
            limits.within(run::start(&self.engine, physical, schema.clone(), limits.clone())).await?;
        Ok(Execution::Rows { schema, stream, tag, count_in_tag: true })
    }

    /// The plan of a query over the release of now, giving the columns that were announced.
    pub(super) async fn sendable(
        &self,
        prepared: &Prepared,
        values: Vec<ScalarValue>,
    ) -> Result<(Arc<dyn ExecutionPlan>, SchemaRef)> {
        let release = self.pinned_release().await?;
        let physical = self.physical(prepared, values, release).await?;
        let Some(schema) = prepared.schema.clone() else {
            return Err(Error::internal("a query without columns"));
        };
        let actual = shown_schema(&physical.schema());
        let same = actual.fields().len() == schema.fields().len()
            && actual.fields().iter().zip(schema.fields()).all(|(a, b)| a.data_type() == b.data_type());
        let same_with_parameters = !prepared.parameters.is_empty() && can_be_cast(&actual, &schema);
        if !same && !same_with_parameters {
            return Err(Error::new(Kind::Unsupported, "cached plan must not change result type")
                .with_hint("prepare the statement again: the definition of a table has changed"));
        }
        let physical = if same { physical } else { cast_plan(physical, &schema)? };
        Ok((physical, schema))
    }

    pub(super) async fn physical(
        &self,
        prepared: &Prepared,
        values: Vec<ScalarValue>,
        release: Arc<Pin>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let tokens = prepared.parsed.tokens();
        let reading = self.settings.lock().reading();
        let cached = prepared.plan.clone();
        let path = self.search_path();
        let catalog = self.catalog_of(&prepared.parsed, &release).await?;
        let rights = if cached.is_some() { self.rights().await? } else { None };
        let cached = cached.filter(|planned| {
            let same_catalog = match (&planned.catalog, &catalog) {
                (Some(then), Some(now)) => Arc::ptr_eq(then, now),
                (then, now) => then.is_none() && now.is_none(),
            };
            planned.release == release.release().id
                && planned.reading == reading
                && planned.path == path
                && planned.rights == rights
                && same_catalog
        });
        if let Some(answer) = cached.as_ref().and_then(|planned| planned.answer.get()) {
            return Ok(answer.clone());
        }
        let planning = match cached {
            Some(_) => None,
            None => {
                let values = bind(&prepared.parameters, values, reading)?;
                let types = prepared.parameters.iter().cloned().map(Some).collect();
                let parameters = Parameters { types, values: Some(Arc::new(values)) };
                Some(self.planning(&prepared.parsed, release.clone(), parameters, false))
            }
        };
        let engine = self.engine.clone();
        let work = async move {
            let anew = match planning {
                Some(planning) => Some(Deep::new(planning.await?, tokens)),
                None => None,
            };
            let Some(plan) = anew.as_ref().or(cached.as_ref().map(|planned| &planned.plan)) else {
                return Err(Error::internal("a statement without a plan"));
            };
            let (optimized, is_simple) =
                with_stack(tokens, || engine.optimized(plan, tokens)).map_err(translate)?;
            let optimized = Deep::new(optimized, tokens);
            let physical = engine.executable(&optimized, is_simple).await.map_err(translate)?;
            if let Some(planned) = &cached
                && is_simple
                && quick::is_constant(plan)
                && quick::is_at_hand(&physical)
            {
                planned.answer.get_or_init(|| physical.clone());
            }
            Ok(PinnedExec::new(physical, release))
        };
        self.engine.run(poll_with_stack(tokens, work)).await
    }
}

/// Values in the types that were announced.
pub(super) fn bind(
    types: &[DataType],
    values: Vec<ScalarValue>,
    reading: Reading,
) -> Result<Vec<ScalarValue>> {
    if types.len() != values.len() {
        let what = format!(
            "bind message supplies {} parameters, but the statement needs {}",
            values.len(),
            types.len()
        );
        return Err(Error::new(Kind::Invalid, what).with_sqlstate("08P01"));
    }
    let pairs = values.into_iter().zip(types);
    pairs
        .map(|(value, data_type)| match value.data_type() {
            given if given == *data_type => Ok(value),
            given if is_numeric(&given) && is_numeric(data_type) => Ok(value),
            _ if is_numeric(data_type) => cast_scalar(&value, &Target::Numeric, reading),
            DataType::List(_) if matches!(data_type, DataType::List(_)) => Ok(value),
            _ if matches!(data_type, DataType::List(element) if is_numeric(element.data_type())) => {
                cast_scalar(&value, &Target::Numerics, reading)
            }
            _ => cast_scalar(&value, &Target::Exact(data_type.clone()), reading),
        })
        .collect()
}

/// Whether only the precision of numerics differs, which depends on the values of parameters.
fn can_be_cast(actual: &Schema, announced: &Schema) -> bool {
    let is_number = |data_type: &DataType| is_numeric(data_type) || *data_type == DataType::Utf8;
    actual.fields().len() == announced.fields().len()
        && actual.fields().iter().zip(announced.fields()).all(|(a, b)| {
            a.data_type() == b.data_type() || (is_number(a.data_type()) && is_number(b.data_type()))
        })
}

fn cast_plan(plan: Arc<dyn ExecutionPlan>, schema: &SchemaRef) -> Result<Arc<dyn ExecutionPlan>> {
    use datafusion::physical_expr::PhysicalExpr;
    use datafusion::physical_expr::expressions::{CastExpr, Column};
    use datafusion::physical_plan::projection::ProjectionExec;
    let from = plan.schema();
    let expressions = from.fields().iter().zip(schema.fields()).enumerate().map(|(index, (from, to))| {
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(from.name(), index));
        let expression = match from.data_type() == to.data_type() {
            true => column,
            false => Arc::new(CastExpr::new(column, to.data_type().clone(), None)) as Arc<dyn PhysicalExpr>,
        };
        (expression, format!("{index}"))
    });
    let expressions: Vec<_> = expressions.collect();
    Ok(Arc::new(ProjectionExec::try_new(expressions, plan).map_err(translate)?))
}

/// Columns of text.
pub(super) fn text_schema(names: &[&str]) -> SchemaRef {
    Arc::new(Schema::new(
        names.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect::<Vec<_>>(),
    ))
}

/// Rows that are there already.
pub(super) fn ready(tag: &str, batch: RecordBatch) -> Execution {
    let schema = batch.schema();
    let rows = futures::stream::iter([Ok(batch)]);
    let stream = Box::pin(RecordBatchStreamAdapter::new(schema.clone(), rows));
    Execution::Rows { schema, stream, tag: tag.into(), count_in_tag: false }
}

/// Columns of text with their rows.
pub(super) fn texts(tag: &str, schema: SchemaRef, columns: Vec<Vec<String>>) -> Result<Execution> {
    let columns = columns.into_iter().map(|column| Arc::new(StringArray::from(column)) as ArrayRef).collect();
    let batch =
        RecordBatch::try_new(schema, columns).map_err(|e| Error::internal("text rows").with_source(e))?;
    Ok(ready(tag, batch))
}
