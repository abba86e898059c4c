//! `sum(amount), count(DISTINCT account)`: the planner's way to count one column's values by groups of groups would add
//! sums up, which are of a wider type than what they are made of.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::single_distinct_to_groupby::SingleDistinctToGroupBy;
use datafusion::optimizer::{ApplyOrder, Optimizer, OptimizerConfig, OptimizerRule};

/// The rules of DataFusion, with that one left to aggregates that it suits.
pub(super) fn rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let rule = SingleDistinct(SingleDistinctToGroupBy::new());
    let rule: Arc<dyn OptimizerRule + Send + Sync> = Arc::new(rule);
    let rules = Optimizer::new().rules.into_iter();
    rules.map(|known| if known.name() == rule.name() { rule.clone() } else { known }).collect()
}

/// [`SingleDistinctToGroupBy`] where nothing is summed beside.
#[derive(Debug)]
struct SingleDistinct(SingleDistinctToGroupBy);

impl OptimizerRule for SingleDistinct {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        match &plan {
            LogicalPlan::Aggregate(aggregate) if aggregate.aggr_expr.iter().any(is_sum) => {
                Ok(Transformed::no(plan))
            }
            _ => self.0.rewrite(plan, config),
        }
    }
}

fn is_sum(expr: &Expr) -> bool {
    match expr {
        Expr::AggregateFunction(call) => call.func.name() == "sum" && !call.params.distinct,
        _ => false,
    }
}
