//! Statements that are answered sooner than they could be handed around: one record by its key, constants.
//!
//! Planning for large tables would take most of their time. They need few of the planner's rules, none of those for
//! physical plans, and no thread of their own to make their row.

use std::sync::Arc;

use datafusion::catalog::memory::{DataSourceExec, MemorySourceConfig};
use datafusion::common::Constraint;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{Expr, LogicalPlan, Operator, TableScan, Volatility};
use datafusion::optimizer::OptimizerRule;
use datafusion::optimizer::eliminate_filter::EliminateFilter;
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::push_down_filter::PushDownFilter;
use datafusion::optimizer::simplify_expressions::SimplifyExpressions;
use datafusion::physical_expr::expressions::{BinaryExpr, CastExpr, Column, Literal};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::projection::ProjectionExec;

use super::pin::PinnedExec;

/// Rows that are sent without a thread that makes them.
const FEW_ROWS: usize = 1;
/// Operators and expressions below each other in a plan that is at hand.
const MOST_STEPS: usize = 12;

/// A planner with the rules that a statement of [`is_simple`] needs.
pub(super) fn planner(state: &SessionState) -> SessionState {
    let rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> = vec![
        Arc::new(SimplifyExpressions::new()),
        Arc::new(EliminateFilter::new()),
        Arc::new(PushDownFilter::new()),
        Arc::new(OptimizeProjections::new()),
    ];
    SessionStateBuilder::new_from_existing(state.clone())
        .with_optimizer_rules(rules)
        .with_physical_optimizer_rules(Vec::new())
        .build()
}

/// Whether a plan filters and arranges columns of at most one table, and does nothing else.
pub(super) fn is_simple(plan: &LogicalPlan) -> bool {
    let mut inputs = plan.inputs().into_iter();
    let is_plain = match plan {
        LogicalPlan::Projection(_) | LogicalPlan::Filter(_) | LogicalPlan::SubqueryAlias(_) => true,
        LogicalPlan::TableScan(scan) => scan.fetch.is_none(),
        LogicalPlan::EmptyRelation(_) => true,
        _ => false,
    };
    is_plain && !plan.expressions().iter().any(asks_another) && inputs.all(is_simple)
}

fn asks_another(expr: &Expr) -> bool {
    let asks = |expr: &Expr| {
        Ok(matches!(
            expr,
            Expr::ScalarSubquery(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::SetComparison(_)
                | Expr::OuterReferenceColumn(..)
                | Expr::Unnest(_)
        ))
    };
    expr.exists(asks).unwrap_or(true)
}

/// Whether an optimized plan that is simple gives a record by its key, or constants.
pub(super) fn asks_for_one(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::TableScan(scan) => has_key(scan),
        LogicalPlan::EmptyRelation(_) => true,
        plan => plan.inputs().into_iter().all(asks_for_one),
    }
}

fn has_key(scan: &TableScan) -> bool {
    let schema = scan.source.schema();
    let is_given = |at: &usize| {
        let name = schema.field(*at).name();
        scan.filters.iter().any(|filter| match filter {
            Expr::BinaryExpr(binary) if binary.op == Operator::Eq => {
                matches!((&*binary.left, &*binary.right), (Expr::Column(column), Expr::Literal(..))
                    | (Expr::Literal(..), Expr::Column(column)) if column.name == *name)
            }
            _ => false,
        })
    };
    let is_key = |constraint: &Constraint| match constraint {
        Constraint::PrimaryKey(columns) => !columns.is_empty() && columns.iter().all(is_given),
        Constraint::Unique(_) => false,
    };
    scan.source.constraints().is_some_and(|known| known.iter().any(is_key))
}

/// Whether a plan answers the same whenever it is asked: it reads no table and calls nothing that may change its mind.
pub(super) fn is_constant(plan: &LogicalPlan) -> bool {
    let mut is_constant = true;
    let walked = plan.apply(|node| {
        is_constant &= matches!(node, LogicalPlan::Projection(_) | LogicalPlan::EmptyRelation(_))
            && !node.expressions().iter().any(may_change);
        Ok(if is_constant { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    is_constant && walked.is_ok()
}

fn may_change(expr: &Expr) -> bool {
    let changes = |expr: &Expr| {
        Ok(match expr {
            Expr::ScalarFunction(call) => call.func.signature().volatility != Volatility::Immutable,
            Expr::ScalarVariable(..) | Expr::Placeholder(_) => true,
            other => asks_another(other),
        })
    };
    expr.exists(changes).unwrap_or(true)
}

/// Whether the rows of a plan are there and need hardly any work.
pub(super) fn is_at_hand(plan: &Arc<dyn ExecutionPlan>) -> bool {
    is_within(PinnedExec::inner_of(plan), MOST_STEPS)
}

/// Functions that PostgreSQL works out when a statement runs, even of constants: settings change what they give.
const STABLE: &[&str] = &["concat", "concat_ws", "format", "to_char", "to_date", "to_number", "to_timestamp"];

/// Whether a plan makes one row of constants, as PostgreSQL does when it plans.
pub(super) fn is_of_constants(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let mut plan = PinnedExec::inner_of(plan);
    while let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        if projection.expr().iter().any(|column| is_stable(&column.expr)) {
            return false;
        }
        plan = projection.input();
    }
    plan.is::<PlaceholderRowExec>()
}

fn is_stable(expr: &Arc<dyn PhysicalExpr>) -> bool {
    let call = expr.downcast_ref::<ScalarFunctionExpr>();
    call.is_some_and(|call| STABLE.contains(&call.name())) || expr.children().into_iter().any(is_stable)
}

fn is_within(plan: &Arc<dyn ExecutionPlan>, steps: usize) -> bool {
    let Some(steps) = steps.checked_sub(1) else { return false };
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let is_easy = projection.expr().iter().all(|column| is_easy(&column.expr, steps));
        return is_easy && is_within(projection.input(), steps);
    }
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        return is_easy(filter.predicate(), steps) && is_within(filter.input(), steps);
    }
    if let Some(source) = plan.downcast_ref::<DataSourceExec>() {
        let source: &dyn std::any::Any = source.data_source().as_ref();
        let partitions = source.downcast_ref::<MemorySourceConfig>().map(MemorySourceConfig::partitions);
        return partitions.is_some_and(|partitions| {
            partitions.len() == 1
                && partitions.iter().flatten().map(|batch| batch.num_rows()).sum::<usize>() <= FEW_ROWS
        });
    }
    plan.is::<PlaceholderRowExec>() || plan.is::<EmptyExec>()
}

fn is_easy(expr: &Arc<dyn PhysicalExpr>, steps: usize) -> bool {
    let Some(steps) = steps.checked_sub(1) else { return false };
    if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
        return is_easy(binary.left(), steps) && is_easy(binary.right(), steps);
    }
    if let Some(cast) = expr.downcast_ref::<CastExpr>() {
        return is_easy(cast.expr(), steps);
    }
    expr.is::<Column>() || expr.is::<Literal>()
}
