//! `EXCEPT ALL` and `INTERSECT ALL`: each copy of a row counts. The planner joins the two parts, as it does for sets, so
//! that a row of one part would stand for all its copies in the other; numbered copies meet one by one.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{Column, JoinType, NullEquality, Result};
use datafusion::functions_window::row_number::row_number_udwf;
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{
    Distinct, Expr, Join, LogicalPlan, LogicalPlanBuilder, Projection, WindowFunctionDefinition,
};

/// The numbers of copies, on the left and on the right.
const COPY: [&str; 2] = ["\u{1f}copy", "\u{1f}copy of right"];

/// The plan in which copies meet one by one.
pub(super) fn counted(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        found |= matches!(node, LogicalPlan::Join(join) if has_copies(join));
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    if !found {
        return Ok(plan);
    }
    let plan = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Join(join) if has_copies(&join) => one_by_one(join).map(Transformed::yes),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(plan.data)
}

/// Whether a join is one of two parts with copies: nothing else takes NULLs for equal. The left part of a set operation
/// without `ALL` has no copies.
fn has_copies(join: &Join) -> bool {
    matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti)
        && join.null_equality == NullEquality::NullEqualsNull
        && !matches!(&*join.left, LogicalPlan::Distinct(Distinct::All(_)))
}

fn one_by_one(mut join: Join) -> Result<LogicalPlan> {
    let shown = join.left.schema().columns().into_iter().map(Expr::Column).collect();
    let left = numbered(Arc::unwrap_or_clone(join.left), COPY[0])?;
    let right = numbered(Arc::unwrap_or_clone(join.right), COPY[1])?;
    let [own, other] = COPY.map(|name| Expr::Column(Column::new_unqualified(name)));
    join.on.push((own, other));
    let join = Join::try_new(
        Arc::new(left),
        Arc::new(right),
        join.on,
        join.filter,
        join.join_type,
        join.join_constraint,
        join.null_equality,
        join.null_aware,
    )?;
    Ok(LogicalPlan::Projection(Projection::try_new(shown, Arc::new(LogicalPlan::Join(join)))?))
}

fn numbered(part: LogicalPlan, name: &str) -> Result<LogicalPlan> {
    let mut number = WindowFunction::new(WindowFunctionDefinition::WindowUDF(row_number_udwf()), Vec::new());
    number.params.partition_by = part.schema().columns().into_iter().map(Expr::Column).collect();
    let number = Expr::WindowFunction(Box::new(number)).alias(name);
    LogicalPlanBuilder::from(part).window(vec![number])?.build()
}
