//! The last step of a plan: columns in the types the wire has, numerics with the digits PostgreSQL prints.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use datafusion::common::{Column, Result, ScalarValue};
use datafusion::logical_expr::expr::{FieldMetadata, ScalarFunction};
use datafusion::logical_expr::{Cast, Expr, Limit, LogicalPlan, Projection, ScalarUDF, Sort, SubqueryAlias};

use super::functions::arithmetic::VARIABLE;
use super::functions::cast::WIDTH;
use super::functions::division::{Division, NumericText};
use super::functions::number::is_numeric;
use super::functions::row;
use super::{PG_TYPE, Zone, parse};

/// The plan with its columns as they are sent.
pub(super) fn finish(plan: LogicalPlan) -> Result<LogicalPlan> {
    let types: Vec<_> = plan.schema().fields().iter().map(|field| field.data_type().clone()).collect();
    let is_text: Vec<bool> = plan
        .schema()
        .fields()
        .iter()
        .map(|field| {
            let is_numeric = matches!(field.data_type(), DataType::Decimal128(..) | DataType::Decimal256(..));
            is_numeric
                && (field.metadata().contains_key(VARIABLE)
                    || matches!(field.data_type(), DataType::Decimal256(..)))
        })
        .collect();
    let widths: Vec<Option<i32>> =
        plan.schema().fields().iter().map(|field| field.metadata().get(WIDTH)?.parse().ok()).collect();
    let is_plain = widths.iter().all(Option::is_none)
        && types.iter().zip(&is_text).all(|(data_type, is_text)| !is_text && sent_as(data_type).is_none());
    if is_plain {
        return Ok(plan);
    }
    let width = types.len();
    let columns = plan.schema().columns();
    // A mark is lost on the way through other functions; so many digits come from a division only.
    let is_quotient =
        |data_type: &DataType| matches!(data_type, DataType::Decimal256(_, scale) if *scale >= 20);
    let variable: Vec<bool> = plan
        .schema()
        .fields()
        .iter()
        .map(|field| field.metadata().contains_key(VARIABLE) || is_quotient(field.data_type()))
        .collect();
    let (plan, scales) = with_scales(plan)?;
    let expressions = (0..width).map(|index| {
        let column = Expr::Column(columns[index].clone());
        // Numbered, because names may repeat once they are no longer told apart by their tables.
        let name = format!("{}{}{index}", parse::shown_name(&columns[index].name), parse::NAME_END);
        if is_text[index] {
            let scale = match (&scales[index], &types[index]) {
                (Some(scale), _) => Expr::Column(scale.clone()),
                (None, DataType::Decimal256(_, scale) | DataType::Decimal128(_, scale))
                    if !variable[index] =>
                {
                    Expr::Literal(ScalarValue::Int32(Some(i32::from(*scale))), None)
                }
                _ => Expr::Literal(ScalarValue::Int32(None), None),
            };
            return ScalarUDF::from(NumericText::new())
                .call(vec![column, scale])
                .alias_with_metadata(name, Some(called("numeric")));
        }
        if let (Some(width), Some(pad)) = (widths[index], row::function("rpad", Zone::UTC)) {
            let width = Expr::Literal(ScalarValue::Int32(Some(width)), None);
            return pad.call(vec![column, width]).alias_with_metadata(name, Some(called("bpchar")));
        }
        match sent_as(&types[index]) {
            Some(data_type) => Expr::Cast(Cast::new(Box::new(column), data_type)).alias(name),
            None => column.alias(name),
        }
    });
    let expressions = expressions.collect();
    Ok(LogicalPlan::Projection(Projection::try_new(expressions, Arc::new(plan))?))
}

/// What tells the type of a text.
fn called(name: &str) -> FieldMetadata {
    FieldMetadata::from(BTreeMap::from([(PG_TYPE.to_string(), name.to_string())]))
}

/// The type in which a column is sent, when it is not its own.
fn sent_as(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::Null | DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Int8 | DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Float16 => DataType::Float32,
        DataType::Date64 => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(TimeUnit::Microsecond, _) => return None,
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        DataType::Duration(_) => DataType::Interval(IntervalUnit::MonthDayNano),
        DataType::Dictionary(_, value) => (**value).clone(),
        _ => return None,
    })
}

/// The plan with a column more for every quotient, telling its digits after the point.
fn with_scales(plan: LogicalPlan) -> Result<(LogicalPlan, Vec<Option<Column>>)> {
    match plan {
        LogicalPlan::Sort(sort) => {
            let (input, scales) = with_scales(Arc::unwrap_or_clone(sort.input))?;
            Ok((
                LogicalPlan::Sort(Sort { expr: sort.expr, input: Arc::new(input), fetch: sort.fetch }),
                scales,
            ))
        }
        LogicalPlan::Limit(limit) => {
            let (input, scales) = with_scales(Arc::unwrap_or_clone(limit.input))?;
            Ok((
                LogicalPlan::Limit(Limit { skip: limit.skip, fetch: limit.fetch, input: Arc::new(input) }),
                scales,
            ))
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let (input, scales) = with_scales(Arc::unwrap_or_clone(alias.input))?;
            let scales = scales
                .into_iter()
                .map(|scale| scale.map(|scale| Column::new(Some(alias.alias.clone()), scale.name)))
                .collect();
            Ok((LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(input), alias.alias)?), scales))
        }
        LogicalPlan::Projection(projection) => project(projection),
        other => {
            let width = other.schema().fields().len();
            Ok((other, vec![None; width]))
        }
    }
}

fn project(projection: Projection) -> Result<(LogicalPlan, Vec<Option<Column>>)> {
    let passes = projection.expr.iter().any(|expr| matches!(unaliased(expr), Expr::Column(_)));
    let inner = Arc::unwrap_or_clone(projection.input);
    let columns = inner.schema().columns();
    let (input, inner_scales) = if passes { with_scales(inner)? } else { (inner, vec![None; columns.len()]) };
    let mut expressions = projection.expr;
    let mut scales = Vec::with_capacity(expressions.len());
    for index in 0..expressions.len() {
        let scale = match unaliased(&expressions[index]) {
            Expr::Column(column) => {
                let place = columns.iter().position(|candidate| candidate == column);
                place.and_then(|place| inner_scales[place].clone()).map(Expr::Column)
            }
            Expr::ScalarFunction(ScalarFunction { func, args }) => {
                let function: &dyn Any = func.inner().as_ref();
                let division = function.downcast_ref::<Division>();
                let scale = division.map(|division| ScalarUDF::from(division.scale()));
                let is_exact = is_numeric(projection.schema.field(index).data_type());
                let scale = scale.or_else(|| row::scale(func).filter(|_| is_exact));
                scale.map(|scale| scale.call(args.clone()))
            }
            _ => None,
        };
        scales.push(scale.map(|scale| {
            let name = format!("{}scale{}", parse::NAME_END, expressions.len());
            expressions.push(scale.alias(&name));
            Column::new_unqualified(name)
        }));
    }
    Ok((LogicalPlan::Projection(Projection::try_new(expressions, Arc::new(input))?), scales))
}

fn unaliased(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => unaliased(&alias.expr),
        other => other,
    }
}
