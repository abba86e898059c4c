//! `ORDER BY id DESC LIMIT 50` of a system table: only the newest rows are asked for, not all of them.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, Result};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Expr, LogicalPlan, Sort, TableScan};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use super::asked::Asked;

/// The column by whose numbers rows are new.
const NUMBER: &str = "id";

/// Hands the limit of such a sort to the scan. The sort stays: the scan promises which rows, not their order.
#[derive(Debug)]
pub(super) struct AskForNewest;

impl OptimizerRule for AskForNewest {
    fn name(&self) -> &str {
        "ask_for_newest"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Sort(sort) = &plan else { return Ok(Transformed::no(plan)) };
        let (Some(first), Some(rows)) = (sort.expr.first(), sort.fetch) else {
            return Ok(Transformed::no(plan));
        };
        let Expr::Column(column) = &first.expr else { return Ok(Transformed::no(plan)) };
        if first.asc {
            return Ok(Transformed::no(plan));
        }
        match limited(&sort.input, column, rows)? {
            Some(input) => {
                let sort = Sort { expr: sort.expr.clone(), input: Arc::new(input), fetch: sort.fetch };
                Ok(Transformed::yes(LogicalPlan::Sort(sort)))
            }
            None => Ok(Transformed::no(plan)),
        }
    }
}

/// The plan with a scan that gives the `rows` newest only; `None` where `column` is not what makes them new, or where
/// something between chooses among the rows.
fn limited(plan: &LogicalPlan, column: &Column, rows: usize) -> Result<Option<LogicalPlan>> {
    let below = match plan {
        LogicalPlan::TableScan(scan) => {
            let is_new = scan.fetch.is_none() && column.name == NUMBER && is_asked(scan)?;
            let limited = || LogicalPlan::TableScan(TableScan { fetch: Some(rows), ..scan.clone() });
            return Ok(is_new.then(limited));
        }
        LogicalPlan::Projection(projection) => {
            let place = projection.schema.maybe_index_of_column(column);
            match place.and_then(|place| projection.expr.get(place)).map(plain) {
                Some(Expr::Column(below)) => below.clone(),
                _ => return Ok(None),
            }
        }
        LogicalPlan::SubqueryAlias(alias) => match alias.schema.maybe_index_of_column(column) {
            Some(place) => Column::from(alias.input.schema().qualified_field(place)),
            None => return Ok(None),
        },
        _ => return Ok(None),
    };
    let inputs = plan.inputs();
    let Some(input) = inputs.first() else { return Ok(None) };
    match limited(input, &below, rows)? {
        Some(input) => plan.with_new_exprs(plan.expressions(), vec![input]).map(Some),
        None => Ok(None),
    }
}

/// What a name was given to.
fn plain(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => plain(&alias.expr),
        other => other,
    }
}

fn is_asked(scan: &TableScan) -> Result<bool> {
    Ok(source_as_provider(&scan.source)?.downcast_ref::<Asked>().is_some())
}
