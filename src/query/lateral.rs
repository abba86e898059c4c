//! `LATERAL`: subqueries that look at the tables before them, without running them once a row.
//!
//! The values that a subquery looks at are collected once (its keys), and the subquery is computed for all of them at
//! the same time: its tables are joined with the keys, groups and windows are made within a key, and a limit becomes
//! a number of the row within its key. The result is joined with the tables before it by the keys. The planner's own
//! rule does so for filters and simple aggregates only.

mod push;

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, JoinConstraint, JoinType, NullEquality, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, Join, LogicalPlan, Projection, Subquery, SubqueryAlias};

use self::push::Keys;
pub(super) use self::push::{NUMBER, numbered, rows_of};
use super::parse::NAME_END;

/// The plan without lateral subqueries, and without scalar ones that have a limit.
pub(super) fn unnest(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Join(join) => lateral_join(join),
        LogicalPlan::Projection(_) | LogicalPlan::Filter(_) => scalars(node),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(plan.data)
}

/// The lateral subquery that a relation is, and its name.
fn lateral(plan: &LogicalPlan) -> Option<(&Subquery, Option<&SubqueryAlias>)> {
    match plan {
        LogicalPlan::Subquery(subquery) => Some((subquery, None)),
        LogicalPlan::SubqueryAlias(alias) => match &*alias.input {
            LogicalPlan::Subquery(subquery) => Some((subquery, Some(alias))),
            _ => None,
        },
        _ => None,
    }
}

fn lateral_join(join: Join) -> Result<Transformed<LogicalPlan>> {
    let Some((subquery, alias)) = lateral(&join.right) else {
        return Ok(Transformed::no(LogicalPlan::Join(join)));
    };
    let outer = Keys::columns_of(&subquery.outer_ref_columns);
    let is_here = outer.iter().all(|column| join.left.schema().has_column(column));
    if !is_here || !matches!(join.join_type, JoinType::Inner | JoinType::Left) {
        return Ok(Transformed::no(LogicalPlan::Join(join)));
    }
    let keys = Keys::of(&join.left, outer.clone())?;
    let columns = subquery.subquery.schema().columns();
    let (plan, names) = keys.push((*subquery.subquery).clone())?;
    // What the subquery gives, and the keys behind it.
    let given = columns.into_iter().chain(names.iter().cloned()).map(Expr::Column).collect();
    let mut right = LogicalPlan::Projection(Projection::try_new(given, Arc::new(plan))?);
    let mut names = names;
    if let Some(alias) = alias {
        right = LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(right), alias.alias.clone())?);
        names = names.into_iter().map(|key| Column::new(Some(alias.alias.clone()), key.name)).collect();
    }
    let shown: Vec<Expr> = join.schema.columns().into_iter().map(Expr::Column).collect();
    let own = join.on.into_iter().map(|(left, right)| left.eq(right));
    let filter = conjunction(own.chain(join.filter));
    let on = outer.into_iter().map(Expr::Column).zip(names.into_iter().map(Expr::Column)).collect();
    let joined = Join::try_new(
        join.left,
        Arc::new(right),
        on,
        filter,
        join.join_type,
        JoinConstraint::On,
        NullEquality::NullEqualsNull,
        false,
    )?;
    let joined = Arc::new(LogicalPlan::Join(joined));
    let plan = Projection::try_new_with_schema(shown, joined, join.schema)?;
    Ok(Transformed::yes(LogicalPlan::Projection(plan)))
}

/// Whether a plan gives at most one row because it says so.
fn is_limited_to_one(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Limit(limit) => matches!(push::rows_of(limit.fetch.as_deref()), Ok(Some(0..=1))),
        LogicalPlan::Projection(projection) => is_limited_to_one(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => is_limited_to_one(&alias.input),
        _ => false,
    }
}

/// Scalar subqueries with a limit become lateral ones.
fn scalars(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let mut found: Vec<Subquery> = Vec::new();
    for expr in node.expressions() {
        expr.apply(|expr| {
            if let Expr::ScalarSubquery(subquery) = expr
                && !subquery.outer_ref_columns.is_empty()
                && is_limited_to_one(&subquery.subquery)
                && !found.contains(subquery)
            {
                found.push(subquery.clone());
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    let [input] = node.inputs()[..] else { return Ok(Transformed::no(node)) };
    let is_here = |subquery: &Subquery| {
        let outer = Keys::columns_of(&subquery.outer_ref_columns);
        outer.iter().all(|column| input.schema().has_column(column))
    };
    found.retain(is_here);
    if found.is_empty() {
        return Ok(Transformed::no(node));
    }
    let own = input.schema().columns();
    let mut joined = input.clone();
    let mut replaced = Vec::new();
    for (at, subquery) in found.into_iter().enumerate() {
        let name = format!("{NAME_END}scalar{at}");
        let value = subquery.subquery.schema().columns().remove(0);
        let right = SubqueryAlias::try_new(Arc::new(LogicalPlan::Subquery(subquery.clone())), name.as_str())?;
        let join = Join::try_new(
            Arc::new(joined),
            Arc::new(LogicalPlan::SubqueryAlias(right)),
            Vec::new(),
            None,
            JoinType::Left,
            JoinConstraint::On,
            NullEquality::NullEqualsNothing,
            false,
        )?;
        joined = lateral_join(join)?.data;
        replaced.push((subquery, Column::new(Some(name), value.name)));
    }
    let names = NamePreserver::new(&node);
    let node = node.map_expressions(|expr| {
        let name = names.save(&expr);
        let expr = expr.transform_up(|expr| {
            let Expr::ScalarSubquery(subquery) = &expr else { return Ok(Transformed::no(expr)) };
            Ok(match replaced.iter().find(|(other, _)| other == subquery) {
                Some((_, column)) => Transformed::yes(Expr::Column(column.clone())),
                None => Transformed::no(expr),
            })
        })?;
        Ok(expr.update_data(|expr| name.restore(expr)))
    })?;
    let is_filter = matches!(node.data, LogicalPlan::Filter(_));
    let plan = node.data.with_new_exprs(node.data.expressions(), vec![joined])?;
    let plan = match is_filter {
        true => {
            let shown = own.into_iter().map(Expr::Column).collect();
            LogicalPlan::Projection(Projection::try_new(shown, Arc::new(plan))?)
        }
        false => plan,
    };
    Ok(Transformed::yes(plan))
}
