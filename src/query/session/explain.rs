//! `EXPLAIN`: the plan that would run, in the form and with the names of PostgreSQL's nodes, so that tools which draw
//! plans can read it. Costs are estimates in PostgreSQL's unit, of pages read and rows handled.

mod node;
mod show;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use self::node::{Node, Source};
use super::rows::{bind, ready};
use super::{Execution, Prepared, Session};
use crate::error::{Error, Result};
use crate::query::PG_TYPE;
use crate::query::error::translate;
use crate::query::interrupt::interruptible;
use crate::query::parse::Explain;
use crate::query::pin::PinnedExec;
use crate::query::run::Limits;
use crate::query::typing::Parameters;

/// The one column of the answer.
pub(super) fn schema(options: Explain) -> SchemaRef {
    let mut field = Field::new("QUERY PLAN", DataType::Utf8, true);
    if options.json {
        field = field.with_metadata([(PG_TYPE.to_string(), "json".to_string())].into());
    }
    Arc::new(Schema::new(vec![field]))
}

/// What a run took.
#[derive(Debug, Clone, Copy)]
struct Took {
    planning: Duration,
    execution: Option<Duration>,
}

impl Session {
    /// Explains the query of `prepared`; runs it first where its real times are asked for.
    pub(super) async fn explain(
        &self,
        prepared: &Prepared,
        values: Vec<ScalarValue>,
        options: Explain,
        limits: Limits,
    ) -> Result<Execution> {
        let started = Instant::now();
        let release = self.pinned_release().await?;
        let sources = limits.within(self.sources(prepared, values.clone())).await?;
        let mut plan = limits.within(self.physical(prepared, values, release)).await?;
        let planning = started.elapsed();
        let mut execution = None;
        if options.analyze {
            let started = Instant::now();
            plan = limits.within(self.run_to_end(plan)).await?;
            execution = Some(started.elapsed());
        }
        let plan = PinnedExec::inner_of(&plan);
        let root = Node::of(plan, sources, options)?;
        let took = Took { planning, execution };
        let lines = if options.json {
            vec![show::json(&root, options, took)]
        } else {
            show::text(&root, options, took)
        };
        let lines: ArrayRef = Arc::new(StringArray::from(lines));
        let batch = RecordBatch::try_new(schema(options), vec![lines]);
        Ok(ready("EXPLAIN", batch.map_err(|error| Error::internal("a plan's text").with_source(error))?))
    }

    /// The tables of a query, in the order of its plan.
    async fn sources(&self, prepared: &Prepared, values: Vec<ScalarValue>) -> Result<Vec<Source>> {
        let release = self.pinned_release().await?;
        let values = bind(&prepared.parameters, values, self.settings.lock().reading())?;
        let types = prepared.parameters.iter().cloned().map(Some).collect();
        let parameters = Parameters { types, values: Some(Arc::new(values)) };
        let plan = self.plan(&prepared.parsed, release.clone(), parameters, false).await?;
        let mut sources = Vec::new();
        let mut aliases = Vec::new();
        let walked = plan.apply_with_subqueries(|node| {
            match node {
                LogicalPlan::SubqueryAlias(alias) => aliases.push(alias.alias.table().to_string()),
                LogicalPlan::TableScan(scan) => {
                    let objects = release.release().objects.iter();
                    let name = &scan.table_name;
                    let mut objects = objects.filter(|object| {
                        object.name == name.table()
                            && name.schema().is_none_or(|schema| object.connection == schema)
                    });
                    let object = objects.next();
                    sources.push(Source {
                        schema: name.schema().map(str::to_string).or(object.map(|o| o.connection.clone())),
                        table: name.table().to_string(),
                        alias: aliases.pop(),
                        folder: object.map(|object| object.object_id.clone()),
                        columns: scan.source.schema().fields().iter().map(|f| f.name().clone()).collect(),
                    });
                    aliases.clear();
                }
                // An alias names a table only where it stands right above it.
                LogicalPlan::Projection(_) => {}
                _ => aliases.clear(),
            }
            Ok(TreeNodeRecursion::Continue)
        });
        walked.map_err(translate)?;
        Ok(sources)
    }

    /// Runs a plan for its measurements; returns what really ran.
    async fn run_to_end(&self, plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        let permit = self.engine.turn().await?;
        let context = self.engine.task_context();
        let stop = CancellationToken::new();
        let plan = interruptible(plan, &stop).map_err(translate)?;
        let _stop = stop.drop_guard();
        let run = plan.clone();
        let work = async move {
            let mut rows = execute_stream(run, context).map_err(translate)?;
            while let Some(batch) = rows.next().await {
                batch.map_err(translate)?;
            }
            drop(permit);
            Ok(())
        };
        self.engine.run(work).await?;
        Ok(plan)
    }
}
