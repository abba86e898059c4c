//! Aggregates ask for no order of their rows: where they are made of tables with many deleted rows, what is left of a
//! batch need not keep its own.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, InputOrderMode};

use super::live_exec::LiveExec;

/// Functions of DataFusion whose result depends on no order though they do not say so.
const SYMMETRIC: [&str; 2] = ["avg", "count"];

/// Lets go of orders that nobody sees. To be applied when nothing else changes the plan any more.
#[derive(Debug)]
pub(crate) struct AnyOrder;

impl PhysicalOptimizerRule for AnyOrder {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = plan.transform_up(|node| match node.downcast_ref::<AggregateExec>() {
            Some(aggregate) if is_symmetric(aggregate) => match relaxed(aggregate.input())? {
                Some(input) => with_children(node, vec![input]).map(Transformed::yes),
                None => Ok(Transformed::no(node)),
            },
            _ => Ok(Transformed::no(node)),
        })?;
        Ok(plan.data)
    }

    fn name(&self) -> &str {
        "AnyOrder"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Whether the order of its rows makes no difference to an aggregate.
fn is_symmetric(aggregate: &AggregateExec) -> bool {
    let is_symmetric = |function: &Arc<AggregateFunctionExpr>| {
        function.order_bys().is_empty()
            && (function.fun().inner().order_sensitivity() == AggregateOrderSensitivity::Insensitive
                || SYMMETRIC.contains(&function.fun().name()))
    };
    aggregate.limit_options().is_none()
        && *aggregate.input_order_mode() == InputOrderMode::Linear
        && aggregate.aggr_expr().iter().all(is_symmetric)
}

/// The plan with rows in whatever order, where that gains something.
fn relaxed(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    // Which rows a limit leaves depends on their order.
    if plan.fetch().is_some() || plan.output_ordering().is_some() {
        return Ok(None);
    }
    if let Some(live) = LiveExec::of(plan) {
        return Ok(Some(Arc::new(live.in_any_order())));
    }
    let is_transparent = plan.is::<ProjectionExec>()
        || plan.is::<FilterExec>()
        || plan.is::<UnionExec>()
        || plan.is::<HashJoinExec>();
    if !is_transparent {
        return Ok(None);
    }
    let inputs = plan.children().into_iter().map(relaxed).collect::<Result<Vec<_>>>()?;
    if inputs.iter().all(Option::is_none) {
        return Ok(None);
    }
    let inputs = inputs.into_iter().zip(plan.children());
    let inputs = inputs.map(|(relaxed, input)| relaxed.unwrap_or_else(|| input.clone())).collect();
    with_children(plan.clone(), inputs).map(Some)
}

fn with_children(
    plan: Arc<dyn ExecutionPlan>,
    children: Vec<Arc<dyn ExecutionPlan>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    plan.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Keep))
}
