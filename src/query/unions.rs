//! Constants without a type in one part of a union: they have that of the column in the other parts.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan, Projection, Union};

use super::functions::cast::cast_scalar;
use super::settings::Reading;
use super::typing::{is_unknown_text, takes_text, unknown_target};

/// The plan with the constants of its unions in their types.
pub(super) fn typed(plan: LogicalPlan, reading: Reading) -> Result<LogicalPlan> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        found |= matches!(node, LogicalPlan::Union(union) if !wanted(union).is_empty());
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    if !found {
        return Ok(plan);
    }
    let typed = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Union(union) => Ok(Transformed::yes(LogicalPlan::Union(resolved(union, reading)?))),
        other => Ok(Transformed::yes(other.recompute_schema()?)),
    })?;
    Ok(typed.data)
}

/// The columns in which a constant takes the type of another part.
fn wanted(union: &Union) -> Vec<(usize, DataType)> {
    let types = (0..union.schema.fields().len()).filter_map(|place| {
        let is_open = |input: &Arc<LogicalPlan>| constant(input, place).is_some();
        if !union.inputs.iter().any(is_open) {
            return None;
        }
        let mut known = union.inputs.iter().filter(|input| !is_open(input));
        let known = known.next()?.schema().field(place).data_type().clone();
        takes_text(&known).then_some((place, known))
    });
    types.collect()
}

/// The parameters without a type that are columns of a part, with the type of the column in another one.
pub(super) fn parameters(union: &Union) -> Vec<(&str, DataType)> {
    let mut found = Vec::new();
    for place in 0..union.schema.fields().len() {
        let open = |input: &'_ Arc<LogicalPlan>| match column(input, place) {
            Some(Expr::Placeholder(Placeholder { field: None, .. })) => true,
            Some(expr) => is_unknown_text(expr),
            None => false,
        };
        let known = union.inputs.iter().filter(|input| !open(input));
        let mut types = known.map(|input| input.schema().field(place).data_type());
        let Some(known) = types.find(|data_type| **data_type != DataType::Null) else { continue };
        found.extend(union.inputs.iter().filter_map(|input| match column(input, place) {
            Some(Expr::Placeholder(Placeholder { id, field: None })) => Some((id.as_str(), known.clone())),
            _ => None,
        }));
    }
    found
}

/// The constant without a type that stands in a place of a part.
pub(super) fn constant(input: &LogicalPlan, place: usize) -> Option<&Expr> {
    column(input, place).filter(|expr| is_unknown_text(expr))
}

/// What is written in a place of a part.
fn column(input: &LogicalPlan, place: usize) -> Option<&Expr> {
    let projection = match input {
        LogicalPlan::Projection(projection) => projection,
        LogicalPlan::Distinct(Distinct::All(input)) => return column(input, place),
        LogicalPlan::SubqueryAlias(alias) => return column(&alias.input, place),
        _ => return None,
    };
    let mut expr = projection.expr.get(place)?;
    while let Expr::Alias(alias) = expr {
        expr = &alias.expr;
    }
    Some(expr)
}

fn resolved(union: Union, reading: Reading) -> Result<Union> {
    let wanted = wanted(&union);
    let inputs = union.inputs.into_iter().map(|input| {
        let open: Vec<_> = wanted.iter().filter(|(place, _)| constant(&input, *place).is_some()).collect();
        let LogicalPlan::Projection(projection) = input.as_ref() else { return Ok(input) };
        if open.is_empty() {
            return Ok(input);
        }
        let mut expressions = projection.expr.clone();
        for (place, data_type) in open {
            let name = projection.schema.field(*place).name().clone();
            let target = unknown_target(data_type);
            if let Some(Expr::Literal(value, _)) = constant(&input, *place) {
                expressions[*place] = Expr::Literal(cast_scalar(value, &target, reading)?, None).alias(name);
            }
        }
        let typed = Projection::try_new(expressions, Arc::clone(&projection.input))?;
        Ok(Arc::new(LogicalPlan::Projection(typed)))
    });
    Union::try_new_with_loose_types(inputs.collect::<Result<_>>()?)
}
