//! Columns that become one have to be of types that become one: those of a set operation's parts and those that `USING`
//! names.

use std::ops::ControlFlow;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Column, ExprSchema, JoinConstraint, JoinType, NullEquality, Result, SchemaError};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, Join, LogicalPlan, Union};
use datafusion::sql::sqlparser::ast::{self, Visit, Visitor};

use super::error::translate;
use super::parse::{folded, used_columns};
use super::typing::mismatch;
use super::unions::constant;
use crate::error::{Error, Kind};

/// Refuses such columns of a plan that cannot have one type.
pub(super) fn checked(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.apply_with_subqueries(|node| {
        match node {
            LogicalPlan::Union(union) => of_union(union)?,
            LogicalPlan::Join(join) => of_join(join)?,
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(plan)
}

fn of_union(union: &Union) -> Result<()> {
    for place in 0..union.schema.fields().len() {
        let known = union.inputs.iter().filter(|input| constant(input, place).is_none());
        let mut fields = known.filter_map(|input| Some(input.schema().fields().get(place)?.clone()));
        let Some(first) = fields.next() else { continue };
        if let Some(error) = fields.find_map(|field| mismatch("UNION", &first, &field)) {
            return Err(error.into());
        }
    }
    Ok(())
}

fn of_join(join: &Join) -> Result<()> {
    let what = match (join.join_type, join.null_equality, join.join_constraint) {
        (_, _, JoinConstraint::Using) => "JOIN/USING",
        (JoinType::LeftSemi, NullEquality::NullEqualsNull, _) => "INTERSECT",
        (JoinType::LeftAnti, NullEquality::NullEqualsNull, _) => "EXCEPT",
        _ => return Ok(()),
    };
    for (left, right) in &join.on {
        let (Expr::Column(left), Expr::Column(right)) = (left, right) else { continue };
        let is_open = |side: &LogicalPlan, column: &Column| {
            let place = side.schema().maybe_index_of_column(column);
            place.is_some_and(|place| constant(side, place).is_some())
        };
        if is_open(&join.left, left) || is_open(&join.right, right) {
            continue;
        }
        let fields =
            (join.left.schema().field_from_column(left)?, join.right.schema().field_from_column(right)?);
        if let Some(error) = mismatch(what, fields.0, fields.1) {
            return Err(error.into());
        }
    }
    Ok(())
}

/// The error of the planner, in PostgreSQL's words where it is about a name in `USING`.
pub(super) fn told(error: DataFusionError, query: &ast::Query) -> Error {
    let found = match error.find_root() {
        DataFusionError::SchemaError(inner, _) => match inner.as_ref() {
            SchemaError::FieldNotFound { field, valid_fields } => using(query, &field.name).map(|right| {
                let is_right = valid_fields.iter().all(|valid| {
                    valid.relation.as_ref().is_some_and(|relation| Some(relation.table()) == right.as_deref())
                });
                let side = if is_right { "right" } else { "left" };
                let what = format!(
                    "column \"{}\" specified in USING clause does not exist in {side} table",
                    field.name
                );
                Error::new(Kind::NotFound, what).with_sqlstate("42703")
            }),
            SchemaError::AmbiguousReference { field } => using(query, &field.name).map(|_| {
                let what =
                    format!("common column name \"{}\" appears more than once in left table", field.name);
                Error::new(Kind::Invalid, what).with_sqlstate("42702")
            }),
            _ => None,
        },
        _ => None,
    };
    found.unwrap_or_else(|| translate(error))
}

/// The name of the table on the right of the join that names a column in `USING`; within, `None` where it has none.
fn using(query: &ast::Query, column: &str) -> Option<Option<String>> {
    struct Search<'a> {
        column: &'a str,
    }
    impl Visitor for Search<'_> {
        type Break = Option<String>;

        fn pre_visit_select(&mut self, select: &ast::Select) -> ControlFlow<Self::Break> {
            let is_it = |join: &&ast::Join| {
                used_columns(join).is_some_and(|columns| columns.iter().any(|name| name == self.column))
            };
            let join = select.from.iter().flat_map(|from| &from.joins).find(is_it);
            if let Some(join) = join {
                return ControlFlow::Break(match &join.relation {
                    ast::TableFactor::Table { alias: Some(alias), .. }
                    | ast::TableFactor::Derived { alias: Some(alias), .. } => Some(folded(&alias.name)),
                    ast::TableFactor::Table { name, .. } => {
                        name.0.last().and_then(|part| part.as_ident()).map(folded)
                    }
                    _ => None,
                });
            }
            ControlFlow::Continue(())
        }
    }
    match query.visit(&mut Search { column }) {
        ControlFlow::Break(right) => Some(right),
        ControlFlow::Continue(()) => None,
    }
}
