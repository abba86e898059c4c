//! Subqueries whose rows may be absent. Their value is NULL then, which the planner does not tell of a column that has
//! no NULLs itself.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};

use super::Zone;
use super::functions::row::{self, MAYBE};
use crate::error::Error;

/// The plan with all values of subqueries told to be nullable that are.
pub(super) fn told(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            found |= expr.exists(|expr| Ok(is_mistaken(expr)))?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    if !found {
        return Ok(plan);
    }
    let told = plan.transform_up_with_subqueries(|node| {
        let node = node.map_expressions(|expr| {
            let name = NamePreserver::new_for_projection().save(&expr);
            let told = expr.transform_up(|expr| {
                if is_mistaken(&expr) { nullable(expr) } else { Ok(Transformed::no(expr)) }
            })?;
            Ok(if told.transformed { told.update_data(|expr| name.restore(expr)) } else { told })
        })?;
        Ok(Transformed::yes(node.data.recompute_schema()?))
    })?;
    Ok(told.data)
}

/// Whether it is a subquery that may have no row, while its column says to have no NULL.
fn is_mistaken(expr: &Expr) -> bool {
    let Expr::ScalarSubquery(subquery) = expr else { return false };
    let fields = subquery.subquery.schema().fields();
    fields.first().is_some_and(|field| !field.is_nullable()) && may_be_empty(&subquery.subquery)
}

fn may_be_empty(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => may_be_empty(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => may_be_empty(&alias.input),
        LogicalPlan::Sort(sort) => may_be_empty(&sort.input),
        LogicalPlan::Aggregate(aggregate) => !aggregate.group_expr.is_empty(),
        LogicalPlan::EmptyRelation(empty) => !empty.produce_one_row,
        _ => true,
    }
}

fn nullable(expr: Expr) -> Result<Transformed<Expr>> {
    let Expr::ScalarSubquery(mut subquery) = expr else { return Ok(Transformed::no(expr)) };
    let maybe =
        row::function(MAYBE, Zone::UTC).ok_or_else(|| Error::internal("no value that may be absent"))?;
    let columns: Vec<Expr> = subquery
        .subquery
        .schema()
        .columns()
        .into_iter()
        .map(|column| {
            let name = column.name.clone();
            maybe.call(vec![Expr::Column(column)]).alias(name)
        })
        .collect();
    let plan = LogicalPlanBuilder::from(Arc::unwrap_or_clone(subquery.subquery)).project(columns)?.build()?;
    subquery.subquery = Arc::new(plan);
    Ok(Transformed::yes(Expr::ScalarSubquery(subquery)))
}
