//! Branches that cannot be taken are not planned.
//!
//! Drivers look into domains and composite types by correlated, even recursive subqueries inside
//! `CASE WHEN typtype = 'd' THEN ...`. PostgreSQL runs these for the rows that have them only; the engine would have to
//! turn each into a join. The rows of the catalog are known, so a branch that none of them takes goes.

use std::collections::HashMap;

use arrow::array::AsArray;
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result, ScalarValue, TableReference};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::expr::{Case, FieldMetadata};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, TableScan};

use super::casts;
use super::provider::Known;
use crate::query::PG_TYPE;

/// The plan without the branches of `CASE` whose condition no row of the catalog fulfils.
pub(in crate::query) fn prune(plan: LogicalPlan) -> Result<LogicalPlan> {
    let pruned = plan.transform_up_with_subqueries(|node| {
        let inputs: Vec<_> = node.inputs().into_iter().cloned().collect();
        if !inputs.iter().any(reads_catalog) {
            return Ok(Transformed::no(node));
        }
        let schema = merge_schema(&inputs.iter().collect::<Vec<_>>());
        let names = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            let pruned = expr.transform_up(|expr| match expr {
                Expr::Case(case) if case.expr.is_none() => {
                    let data_type = Expr::Case(case.clone()).get_type(&schema)?;
                    let metadata = match case.when_then_expr.first() {
                        Some((_, then)) => then.to_field(&schema)?.1.metadata().clone(),
                        None => HashMap::new(),
                    };
                    without_branches(case, &data_type, &metadata, &inputs)
                }
                other => Ok(Transformed::no(other)),
            })?;
            Ok(pruned.update_data(|expr| name.restore(expr)))
        })
    })?;
    Ok(pruned.data)
}

fn without_branches(
    mut case: Case,
    data_type: &DataType,
    metadata: &HashMap<String, String>,
    inputs: &[LogicalPlan],
) -> Result<Transformed<Expr>> {
    let before = case.when_then_expr.len();
    case.when_then_expr.retain(|(when, _)| !is_never(when, inputs));
    let pruned = case.when_then_expr.len() != before;
    if !case.when_then_expr.is_empty() {
        // The engine forgets what the metadata of a branch tells of its type.
        let told = metadata.get(PG_TYPE).and_then(|told| casts::told_as(Expr::Case(case.clone()), told));
        return Ok(match told {
            Some(told) => Transformed::yes(told),
            None if pruned => Transformed::yes(Expr::Case(case)),
            None => Transformed::no(Expr::Case(case)),
        });
    }
    match case.else_expr {
        Some(other) if !matches!(*other, Expr::Literal(ScalarValue::Null, _)) => Ok(Transformed::yes(*other)),
        _ => {
            let null = ScalarValue::try_from(data_type)?;
            Ok(Transformed::yes(Expr::Literal(null, Some(FieldMetadata::from(metadata)))))
        }
    }
}

/// Whether a condition is `column = 'constant'` over a column of the catalog that never holds the constant.
fn is_never(when: &Expr, inputs: &[LogicalPlan]) -> bool {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = when else { return false };
    let (Expr::Column(column), Expr::Literal(ScalarValue::Utf8(Some(constant)), _)) = (&**left, &**right)
    else {
        return false;
    };
    let holds = |table: &Known| {
        let in_batch = |rows: &RecordBatch| {
            let values = rows.column_by_name(&column.name)?.as_string_opt::<i32>()?;
            Some(values.iter().any(|value| value == Some(constant)))
        };
        table.rows.iter().try_fold(false, |found, rows| Some(found || in_batch(rows)?))
    };
    inputs.iter().find_map(|input| with_catalog(input, column, holds)) == Some(false)
}

/// Answers from the table of the catalog that a column comes from.
fn with_catalog<T>(
    plan: &LogicalPlan,
    column: &Column,
    answer: impl Fn(&Known) -> Option<T> + Copy,
) -> Option<T> {
    let relation = column.relation.as_ref()?;
    let of = |scan: &TableScan| answer(source_as_provider(&scan.source).ok()?.downcast_ref::<Known>()?);
    let is_it = |name: &TableReference| name == relation;
    match plan {
        LogicalPlan::TableScan(scan) if is_it(&scan.table_name) => of(scan),
        LogicalPlan::SubqueryAlias(alias) if is_it(&alias.alias) => match &*alias.input {
            LogicalPlan::TableScan(scan) => of(scan),
            _ => None,
        },
        LogicalPlan::Join(_) | LogicalPlan::Filter(_) => {
            plan.inputs().into_iter().find_map(|input| with_catalog(input, column, answer))
        }
        _ => None,
    }
}

fn reads_catalog(plan: &LogicalPlan) -> bool {
    let is_catalog = |node: &LogicalPlan| match node {
        LogicalPlan::TableScan(scan) => {
            let provider = source_as_provider(&scan.source);
            Ok(provider.is_ok_and(|provider| provider.downcast_ref::<Known>().is_some()))
        }
        _ => Ok(false),
    };
    plan.exists(is_catalog).unwrap_or(false)
}
