//! Aggregates that are made of others.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::{
    AggregateFunction, AggregateFunctionParams, WindowFunction, WindowFunctionParams,
};
use datafusion::logical_expr::planner::{PlannerResult, RawAggregateExpr, RawWindowExpr};
use datafusion::logical_expr::{AggregateUDF, Cast, Expr, ScalarUDF, SortExpr, WindowFunctionDefinition};

use crate::error::{Error, Kind};
use crate::query::functions::aggregate::Sum;
use crate::query::functions::collect::ArrayAgg;
use crate::query::functions::division::{Division, Gives};
use crate::query::functions::spread::{self, Spread};
use crate::query::functions::{json, ordered, row};
use crate::query::settings::Reading;

/// A call outside of windows.
pub(super) fn aggregate(raw: RawAggregateExpr, reading: Reading) -> Result<PlannerResult<RawAggregateExpr>> {
    let part = |func: Arc<AggregateUDF>, args: Vec<Expr>, order_by: Vec<SortExpr>, filter| {
        Expr::AggregateFunction(AggregateFunction {
            func,
            params: AggregateFunctionParams {
                args,
                distinct: raw.distinct,
                filter,
                order_by,
                null_treatment: raw.null_treatment,
            },
        })
    };
    let name = raw.func.name();
    let plain = |func| part(func, raw.args.clone(), raw.order_by.clone(), raw.filter.clone());
    if name == "avg" && raw.args.len() == 1 {
        return Ok(PlannerResult::Planned(mean(plain(sum()), plain(count()))));
    }
    if let Some(finisher) = spread::finisher(name)
        && raw.args.len() == 1
    {
        let spread = Arc::new(Spread::of(Arc::clone(&raw.func)).into());
        return Ok(PlannerResult::Planned(finish(finisher, vec![plain(spread)], reading)?));
    }
    if let Some(finisher) = json::aggregate::finisher(name) {
        let args = collected(name, &raw.args)?;
        let array = part(array(), vec![args], raw.order_by.clone(), raw.filter.clone());
        return Ok(PlannerResult::Planned(finish(finisher, vec![array], reading)?));
    }
    if ordered::is_ordered_set(name) {
        // The planner puts what is ordered before the direct arguments.
        let Some(value) = raw.args.first().cloned() else { return Ok(PlannerResult::Original(raw)) };
        let order = match raw.order_by.first() {
            Some(order) => order.clone(),
            None => return Ok(PlannerResult::Original(raw)),
        };
        let known = value.clone().is_not_null();
        let filter = match raw.filter.clone() {
            Some(filter) => (*filter).and(known),
            None => known,
        };
        let array = part(array(), vec![value], vec![order], Some(Box::new(filter)));
        let mut args = vec![array];
        args.extend(raw.args[1..].iter().cloned());
        return Ok(PlannerResult::Planned(finish(ordered::finisher(name), args, reading)?));
    }
    Ok(PlannerResult::Original(raw))
}

/// A call with `OVER`.
pub(super) fn window(raw: RawWindowExpr, reading: Reading) -> Result<PlannerResult<RawWindowExpr>> {
    let call = |fun: WindowFunctionDefinition, args| {
        Expr::WindowFunction(Box::new(WindowFunction {
            fun,
            params: WindowFunctionParams {
                args,
                partition_by: raw.partition_by.clone(),
                order_by: raw.order_by.clone(),
                window_frame: raw.window_frame.clone(),
                filter: raw.filter.clone(),
                null_treatment: raw.null_treatment,
                distinct: raw.distinct,
            },
        }))
    };
    let part = |func, args| call(WindowFunctionDefinition::AggregateUDF(func), args);
    let name = raw.func_def.name();
    if name == "avg" && raw.args.len() == 1 {
        let (sum, count) = (part(sum(), raw.args.clone()), part(count(), raw.args.clone()));
        return Ok(PlannerResult::Planned(mean(sum, count)));
    }
    if let (Some(finisher), WindowFunctionDefinition::AggregateUDF(func)) =
        (spread::finisher(name), &raw.func_def)
        && raw.args.len() == 1
    {
        let spread = Arc::new(Spread::of(Arc::clone(func)).into());
        return Ok(PlannerResult::Planned(finish(finisher, vec![part(spread, raw.args.clone())], reading)?));
    }
    if let Some(finisher) = json::aggregate::finisher(name) {
        let args = collected(name, &raw.args)?;
        return Ok(PlannerResult::Planned(finish(finisher, vec![part(array(), vec![args])], reading)?));
    }
    if name == "ntile" {
        // PostgreSQL numbers buckets by integers.
        let ntile = call(raw.func_def.clone(), raw.args.clone());
        return Ok(PlannerResult::Planned(Expr::Cast(Cast::new(Box::new(ntile), DataType::Int32))));
    }
    Ok(PlannerResult::Original(raw))
}

/// What an aggregate of JSON collects: its value, or its keys and values.
fn collected(name: &str, args: &[Expr]) -> Result<Expr> {
    match args {
        [value] if !name.contains("object") => Ok(value.clone()),
        [key, value] if name.contains("object") => {
            let named = |name: &str| Expr::Literal(ScalarValue::Utf8(Some(name.into())), None);
            let pair = vec![named("key"), key.clone(), named("value"), value.clone()];
            Ok(datafusion::functions::core::named_struct().call(pair))
        }
        _ => {
            let what = format!("function {name} does not exist with {} arguments", args.len());
            Err(Error::new(Kind::NotFound, what).with_sqlstate("42883").with_hint(row::NO_FUNCTION).into())
        }
    }
}

fn finish(name: &str, args: Vec<Expr>, reading: Reading) -> Result<Expr> {
    let function = row::function(name, reading).ok_or_else(|| Error::internal(format!("no {name}")))?;
    Ok(function.call(args))
}

fn array() -> Arc<AggregateUDF> {
    Arc::new(ArrayAgg::new().into())
}

fn sum() -> Arc<AggregateUDF> {
    Arc::new(Sum::new().into())
}

fn count() -> Arc<AggregateUDF> {
    datafusion::functions_aggregate::count::count_udaf()
}

fn mean(sum: Expr, count: Expr) -> Expr {
    ScalarUDF::from(Division::new(true, Gives::Quotient)).call(vec![sum, count])
}
