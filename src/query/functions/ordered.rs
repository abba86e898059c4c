//! `percentile_cont`, `percentile_disc` and `mode`: made of the array of the values in their order.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::kernels::cast;
use arrow::datatypes::{DataType, Float64Type};

use super::row::{Args, Definition, Type, Value};
use crate::error::{Error, Kind, Result};

/// Whether an aggregate is one of them.
pub(in crate::query) fn is_ordered_set(name: &str) -> bool {
    matches!(name, "percentile_cont" | "percentile_disc" | "mode")
}

/// The function that makes the result of the array.
pub(in crate::query) fn finisher(name: &str) -> &'static str {
    match name {
        "percentile_cont" => "percentile_cont_of",
        "percentile_disc" => "percentile_disc_of",
        _ => "mode_of",
    }
}

pub(super) const DEFINITIONS: &[Definition] = &[
    Definition::new("percentile_cont_of", &[Type::AnyArray, Type::Float8], Type::Float8, |args| {
        let values = floats(args)?;
        Ok(between(&values, fraction(args.float(1))?).map_or(Value::Null, Value::Float))
    }),
    Definition::new("percentile_cont_of", &[Type::AnyArray, Type::Float8s], Type::Float8s, |args| {
        let values = floats(args)?;
        let shares = args.list(1);
        let shares = shares.as_primitive::<Float64Type>();
        let found = shares.iter().map(|share| match share {
            Some(share) => Ok(between(&values, fraction(share)?).map_or(Value::Null, Value::Float)),
            None => Ok(Value::Null),
        });
        Ok(Value::List(found.collect::<Result<_>>()?))
    }),
    Definition::new("percentile_disc_of", &[Type::AnyArray, Type::Float8], Type::ElementOf(0), |args| {
        let values = args.list(0);
        Ok(place(values.len(), fraction(args.float(1))?)
            .map_or(Value::Null, |at| Value::Array(values.slice(at, 1))))
    }),
    Definition::new("percentile_disc_of", &[Type::AnyArray, Type::Float8s], Type::Same(0), |args| {
        let values = args.list(0);
        let shares = args.list(1);
        let mut places = Vec::new();
        for share in shares.as_primitive::<Float64Type>() {
            let at = share.map(fraction).transpose()?.and_then(|share| place(values.len(), share));
            places.push(at.map(|at| at as u64));
        }
        let places = arrow::array::UInt64Array::from(places);
        let taken = arrow::compute::take(&values, &places, None);
        Ok(Value::Array(taken.map_err(|error| Error::internal("percentiles").with_source(error))?))
    }),
    Definition::new("mode_of", &[Type::AnyArray], Type::ElementOf(0), |args| {
        let values = args.list(0);
        Ok(most_frequent(&values)?.map_or(Value::Null, |at| Value::Array(values.slice(at, 1))))
    }),
];

fn fraction(share: f64) -> Result<f64> {
    match (0.0..=1.0).contains(&share) {
        true => Ok(share),
        false => {
            let what = format!("percentile value {share} is not between 0 and 1");
            Err(Error::new(Kind::Data, what).with_sqlstate("22003"))
        }
    }
}

fn floats(args: &Args<'_>) -> Result<Vec<f64>> {
    let values = args.list(0);
    let values = cast::cast(&values, &DataType::Float64).map_err(|error| {
        let what = "function percentile_cont does not exist for values of this type";
        Error::new(Kind::NotFound, what).with_sqlstate("42883").with_source(error)
    })?;
    Ok(values.as_primitive::<Float64Type>().iter().flatten().collect())
}

/// The value at a share of the way through the values.
fn between(values: &[f64], share: f64) -> Option<f64> {
    let last = values.len().checked_sub(1)?;
    let at = share * last as f64;
    let (low, high) = (values[at.floor() as usize], values[at.ceil() as usize]);
    Some(if at.floor() == at.ceil() { low } else { low + (at - at.floor()) * (high - low) })
}

/// The first place at or behind a share of the values.
fn place(length: usize, share: f64) -> Option<usize> {
    let nth = (share * length as f64).ceil() as usize;
    (length > 0).then(|| nth.max(1) - 1)
}

/// The first of the values that is there most often; equal ones stand together.
fn most_frequent(values: &ArrayRef) -> Result<Option<usize>> {
    if values.is_empty() {
        return Ok(None);
    }
    let ranges = arrow::compute::partition(std::slice::from_ref(values))
        .map_err(|error| Error::internal("equal values").with_source(error))?
        .ranges();
    let mut best: Option<std::ops::Range<usize>> = None;
    for range in ranges {
        if best.as_ref().is_none_or(|best| range.len() > best.len()) {
            best = Some(range);
        }
    }
    Ok(best.map(|range| range.start))
}
