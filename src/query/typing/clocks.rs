//! Times in expressions: `AT TIME ZONE`, comparisons and casts by the clocks of the session.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, LogicalPlan};

use super::{is_text, with_type};
use crate::error::Error;
use crate::query::functions::cast::{Target, cast_expr, depends_on_zone};
use crate::query::functions::datetime::{DateTime, SHOWN, zoned};
use crate::query::settings::Reading;

/// `time AT TIME ZONE name`. What is no timestamp counts as one with time zone, as in PostgreSQL.
pub(super) fn at_zone(time: Expr, name: Expr, schema: &DFSchema, session: Reading) -> Result<Expr> {
    let time = with_type(time, &zoned());
    let name = with_type(name, &DataType::Utf8);
    let time = match time.get_type(schema)? {
        DataType::Timestamp(..) => time,
        from => cast_expr(time, &from, &Target::Exact(zoned()), session)?,
    };
    let function = DateTime::named("timezone", session).ok_or_else(|| Error::internal("no timezone"))?;
    Ok(function.call(vec![name, time]))
}

/// A date or a timestamp that is compared with a point in time becomes one, by the clocks of the session.
pub(super) fn on_one_clock(
    left: (Expr, DataType),
    right: (Expr, DataType),
    reading: Reading,
) -> Result<(Expr, Expr)> {
    let ((left, left_type), (right, right_type)) = (left, right);
    let is_zoned = |data_type: &DataType| matches!(data_type, DataType::Timestamp(_, Some(_)));
    let is_shown =
        |data_type: &DataType| matches!(data_type, DataType::Timestamp(_, None) | DataType::Date32);
    let target = Target::Exact(zoned());
    Ok(if is_zoned(&left_type) && is_shown(&right_type) {
        (left, cast_expr(right, &right_type, &target, reading)?)
    } else if is_shown(&left_type) && is_zoned(&right_type) {
        (cast_expr(left, &left_type, &target, reading)?, right)
    } else {
        (left, right)
    })
}

/// Casts that the planner made by itself: texts are read as times the way PostgreSQL reads them, and what is between
/// points in time and what clocks show goes by the clocks of the session.
pub(in crate::query) fn by_clocks(plan: LogicalPlan, reading: Reading) -> Result<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|node| {
        let mut schema = merge_schema(&node.inputs());
        if let LogicalPlan::TableScan(scan) = &node {
            schema.merge(&scan.projected_schema);
        }
        let names = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            let expr = expr.transform_up(|expr| {
                let Expr::Cast(cast) = &expr else { return Ok(Transformed::no(expr)) };
                let (from, to) = (cast.expr.get_type(&schema)?, cast.field.data_type());
                let reads = is_text(&from) && matches!(to, DataType::Timestamp(..) | DataType::Date32);
                if !reads && !depends_on_zone(&from, to, reading.zone) {
                    return Ok(Transformed::no(expr));
                }
                let nearest = if matches!(to, DataType::Timestamp(_, None)) { &SHOWN } else { to };
                let nearest =
                    if matches!(to, DataType::Timestamp(_, Some(_))) { zoned() } else { nearest.clone() };
                let ours =
                    cast_expr(cast.expr.as_ref().clone(), &from, &Target::Exact(nearest.clone()), reading)?;
                let ours = match nearest == *to {
                    true => ours,
                    false => Expr::Cast(Cast::new(Box::new(ours), to.clone())),
                };
                Ok(Transformed::yes(ours))
            })?;
            Ok(expr.update_data(|expr| name.restore(expr)))
        })
    })?;
    Ok(plan.data)
}
