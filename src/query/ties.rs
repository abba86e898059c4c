//! `FETCH FIRST n ROWS WITH TIES`: rows whose rank is at most `n`.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, Result};
use datafusion::logical_expr::{Expr, Filter, Limit, LogicalPlan, Projection, Sort, lit};

use super::lateral::{NUMBER, numbered, rows_of};
use crate::error::{Error, Kind};

/// The plan with ranks in place of such limits.
pub(super) fn ranked(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Limit(limit) if has_ties(&limit) => ties(limit).map(Transformed::yes),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(plan.data)
}

fn has_ties(limit: &Limit) -> bool {
    matches!(limit.fetch.as_deref(), Some(Expr::ScalarFunction(call)) if call.func.name() == "with_ties")
}

fn ties(limit: Limit) -> Result<LogicalPlan> {
    let fetch = rows_of(limit.fetch.as_deref())?.unwrap_or(i64::MAX);
    let skip = rows_of(limit.skip.as_deref())?.unwrap_or(0);
    first(Arc::unwrap_or_clone(limit.input), skip, fetch)
}

fn first(plan: LogicalPlan, skip: i64, fetch: i64) -> Result<LogicalPlan> {
    let sort = match plan {
        LogicalPlan::Sort(sort) => sort,
        LogicalPlan::Projection(projection) => {
            let input = first(Arc::unwrap_or_clone(projection.input), skip, fetch)?;
            return Ok(LogicalPlan::Projection(Projection::try_new(projection.expr, Arc::new(input))?));
        }
        _ => {
            let what = "WITH TIES cannot be specified without ORDER BY clause";
            return Err(Error::new(Kind::Invalid, what).with_sqlstate("42601").into());
        }
    };
    let columns = sort.input.schema().columns();
    let numbered = numbered(Arc::unwrap_or_clone(sort.input), Vec::new(), sort.expr.clone(), true)?;
    let rank = Expr::Column(Column::new_unqualified(NUMBER));
    let wanted = rank.lt_eq(lit(skip.saturating_add(fetch)));
    let kept = LogicalPlan::Filter(Filter::try_new(wanted, Arc::new(numbered))?);
    let sorted = Sort { expr: sort.expr, input: Arc::new(kept), fetch: None };
    let sorted = LogicalPlan::Sort(sorted);
    let sorted = match skip {
        0 => sorted,
        skip => LogicalPlan::Limit(Limit {
            skip: Some(Box::new(lit(skip))),
            fetch: None,
            input: Arc::new(sorted),
        }),
    };
    let shown = columns.into_iter().map(Expr::Column).collect();
    Ok(LogicalPlan::Projection(Projection::try_new(shown, Arc::new(sorted))?))
}
