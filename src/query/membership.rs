//! `IN` of subqueries in conditions, with three outcomes.
//!
//! The engine makes joins of them, which know two: a row has a partner or has none. That is right where only what is
//! true matters, and for a negated one that stands alone and refers to nothing outside. Elsewhere the test is written
//! as what it means: some member is equal; else it is open if the value or a member is NULL; else it is false.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ExprSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::{
    BinaryExpr, Expr, Filter, LogicalPlan, LogicalPlanBuilder, Operator, Subquery, when,
};

use super::correlated::{is_filtered, refers};
use crate::error::Error;

/// The plan with the tests of its conditions written out where that is needed.
pub(super) fn spelled(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Filter(filter) = node {
            found |= filter.predicate.exists(|expr| Ok(matches!(expr, Expr::InSubquery(_))))?;
        }
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    if !found {
        return Ok(plan);
    }
    let spelled = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Filter(Filter { predicate, input, .. }) => {
            let spelled = condition(predicate, true, input.schema())?;
            Ok(Transformed::yes(LogicalPlan::Filter(Filter::try_new(spelled, input)?)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(spelled.data)
}

/// A condition of which only matters where it is true. `alone`: it is one of those that all have to be.
fn condition(expr: Expr, alone: bool, schema: &DFSchema) -> Result<Expr> {
    Ok(match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
            let alone = alone && op == Operator::And;
            let (left, right) = (condition(*left, alone, schema)?, condition(*right, alone, schema)?);
            Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
        }
        Expr::Not(inner) => match *inner {
            Expr::InSubquery(test) => {
                let negated = !test.negated;
                condition(Expr::InSubquery(InSubquery { negated, ..test }), alone, schema)?
            }
            other => Expr::Not(Box::new(anywhere(other, schema)?)),
        },
        Expr::InSubquery(test) if !test.negated => match is_joined(&test.subquery.subquery) {
            true => Expr::InSubquery(test),
            false => equal(&test.expr, &test.subquery, schema)?,
        },
        Expr::InSubquery(test) if alone && is_free(&test) => Expr::InSubquery(test),
        other => anywhere(other, schema)?,
    })
}

/// Whether the engine's join for a negated test is right: it compares a column with members that are the same for all
/// rows.
fn is_free(test: &InSubquery) -> bool {
    test.subquery.outer_ref_columns.is_empty() && !test.expr.column_refs().is_empty()
}

/// Whether the engine joins such a subquery by itself.
fn is_joined(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(projection) if !projection.expr.iter().any(refers) => {
            is_joined(&projection.input)
        }
        LogicalPlan::SubqueryAlias(alias) => is_joined(&alias.input),
        other => is_filtered(other),
    }
}

/// An expression all of whose outcomes matter.
fn anywhere(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let spelled = expr.transform_up(|expr| match expr {
        Expr::InSubquery(test) => outcome(test, schema).map(Transformed::yes),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(spelled.data)
}

fn member(subquery: &Subquery) -> Result<Expr> {
    let member = subquery.subquery.schema().columns().into_iter().next();
    Ok(Expr::Column(member.ok_or_else(|| Error::internal("a subquery without a column"))?))
}

/// Whether a member of the subquery is equal to a value.
fn equal(value: &Expr, subquery: &Subquery, schema: &DFSchema) -> Result<Expr> {
    has(subquery, Some(member(subquery)?.eq(outside(value.clone(), schema)?)))
}

fn outcome(test: InSubquery, schema: &DFSchema) -> Result<Expr> {
    let InSubquery { expr: value, subquery, negated } = test;
    let member = member(&subquery)?;
    let equal = equal(&value, &subquery, schema)?;
    let value_is_null = value.is_null().and(has(&subquery, None)?);
    let member_is_null = has(&subquery, Some(member.is_null()))?;
    let known = |known: bool| Expr::Literal(ScalarValue::Boolean(Some(known)), None);
    let open = Expr::Literal(ScalarValue::Boolean(None), None);
    when(equal, known(!negated))
        .when(value_is_null, open.clone())
        .when(member_is_null, open)
        .otherwise(known(negated))
}

/// An expression as a subquery refers to it.
fn outside(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let referred = expr.transform_up(|expr| match expr {
        Expr::Column(column) => {
            let field = Arc::clone(schema.field_from_column(&column)?);
            Ok(Transformed::yes(Expr::OuterReferenceColumn(field, column)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(referred.data)
}

/// Whether a subquery has a row for which a condition holds.
fn has(subquery: &Subquery, condition: Option<Expr>) -> Result<Expr> {
    let mut outer = subquery.outer_ref_columns.clone();
    let mut rows = LogicalPlanBuilder::from(subquery.subquery.as_ref().clone());
    if let Some(condition) = condition {
        condition.apply(|expr| {
            if matches!(expr, Expr::OuterReferenceColumn(..)) && !outer.contains(expr) {
                outer.push(expr.clone());
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        rows = rows.filter(condition)?;
    }
    let subquery = Subquery {
        subquery: Arc::new(rows.build()?),
        outer_ref_columns: outer,
        spans: subquery.spans.clone(),
    };
    Ok(Expr::Exists(Exists { subquery, negated: false }))
}
