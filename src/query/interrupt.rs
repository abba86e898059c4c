//! Plans that can be stopped.
//!
//! A task is only stopped where it gives control back, and a join whose condition holds for no pair of rows can
//! run for hours without doing so. Here its condition looks at a token, and operators that make rows out of
//! nothing give control back now and then.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, NestedLoopJoinExecBuilder,
};
use datafusion::physical_plan::recursive_query::RecursiveQueryExec;
use datafusion::physical_plan::unnest::UnnestExec;
use tokio_util::sync::CancellationToken;

use super::run::cancelled;

/// The plan, stopping soon after `stop` is cancelled.
pub(super) fn interruptible(
    plan: Arc<dyn ExecutionPlan>,
    stop: &CancellationToken,
) -> Result<Arc<dyn ExecutionPlan>> {
    let changed = plan.transform_up(|node| {
        let watched = if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>() {
            match join.filter() {
                Some(filter) => {
                    let builder =
                        NestedLoopJoinExecBuilder::from(join).with_filter(Some(watch(filter, stop)));
                    Arc::new(builder.build()?) as Arc<dyn ExecutionPlan>
                }
                None => node,
            }
        } else if let Some(join) = node.downcast_ref::<HashJoinExec>() {
            match join.filter() {
                Some(filter) => join.builder().with_filter(Some(watch(filter, stop))).build_exec()?,
                None => node,
            }
        } else if node.is::<CrossJoinExec>() || node.is::<RecursiveQueryExec>() || node.is::<UnnestExec>() {
            node
        } else {
            return Ok(Transformed::no(node));
        };
        Ok(Transformed::yes(Arc::new(CooperativeExec::new(watched)) as Arc<dyn ExecutionPlan>))
    });
    Ok(changed?.data)
}

fn watch(filter: &JoinFilter, stop: &CancellationToken) -> JoinFilter {
    let watched = Watched { inner: filter.expression().clone(), stop: stop.clone() };
    JoinFilter::new(Arc::new(watched), filter.column_indices().to_vec(), filter.schema().clone())
}

/// A condition that fails once its statement has to stop.
#[derive(Debug)]
struct Watched {
    inner: Arc<dyn PhysicalExpr>,
    stop: CancellationToken,
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl PartialEq for Watched {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner)
    }
}

impl Eq for Watched {}

impl Hash for Watched {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl PhysicalExpr for Watched {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.inner.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.inner.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        if self.stop.is_cancelled() {
            return Err(cancelled().into());
        }
        self.inner.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let inner = children.into_iter().next().unwrap_or_else(|| self.inner.clone());
        Ok(Arc::new(Watched { inner, stop: self.stop.clone() }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}
