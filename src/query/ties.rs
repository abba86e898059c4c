//! `FETCH FIRST n ROWS WITH TIES`: rows whose rank is at most `n`.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, Result, ScalarValue};
use datafusion::functions_window::rank::rank_udwf;
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{
    Expr, Filter, Limit, LogicalPlan, LogicalPlanBuilder, Projection, Sort, SortExpr, WindowFrame,
    WindowFunctionDefinition, lit,
};

use crate::error::{Error, Kind};

/// The column with the rank of a row.
const RANK: &str = "\u{1f}rank";

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
    let with_rank = with_rank(Arc::unwrap_or_clone(sort.input), sort.expr.clone())?;
    let rank = Expr::Column(Column::new_unqualified(RANK));
    let wanted = rank.lt_eq(lit(skip.saturating_add(fetch)));
    let kept = LogicalPlan::Filter(Filter::try_new(wanted, Arc::new(with_rank))?);
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

fn with_rank(input: LogicalPlan, order: Vec<SortExpr>) -> Result<LogicalPlan> {
    let mut rank = WindowFunction::new(WindowFunctionDefinition::WindowUDF(rank_udwf()), Vec::new());
    rank.params.window_frame = WindowFrame::new(Some(false));
    rank.params.order_by = order;
    let rank = Expr::WindowFunction(Box::new(rank)).alias(RANK);
    LogicalPlanBuilder::from(input).window(vec![rank])?.build()
}

/// How many rows a limit says; `None` where it says NULL.
fn rows_of(expr: Option<&Expr>) -> Result<Option<i64>> {
    let expr = match expr {
        Some(Expr::ScalarFunction(call)) if call.func.name() == "with_ties" => call.args.first(),
        other => other,
    };
    match expr {
        None => Ok(None),
        Some(Expr::Literal(value, _)) if value.is_null() => Ok(None),
        Some(Expr::Literal(value, _)) => match value.cast_to(&DataType::Int64)? {
            ScalarValue::Int64(rows) => Ok(rows),
            _ => Ok(None),
        },
        Some(_) => {
            let what = "WITH TIES after a number of rows that is no constant is not supported";
            Err(Error::new(Kind::Unsupported, what).into())
        }
    }
}
