//! Constants, casts, and what has the type of its neighbours.

use arrow::datatypes::{DataType, Field};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::{Expr, ExprSchemable, ScalarUDF};

use super::{is_open_parameter, with_type};
use crate::error::{Error, Kind};
use crate::query::functions::cast::{PostgresCast, Target, cast_expr, sql_name};
use crate::query::functions::number::{Number, is_float, is_integer, is_numeric};
use crate::query::functions::row;
use crate::query::functions::text::parse_float;
use crate::query::settings::Reading;
use crate::query::{PG_TYPE, parse};

pub(super) fn number(value: Expr) -> Result<Expr> {
    let Expr::Literal(scalar, _) = &value else { return Ok(value) };
    let scalar = match scalar {
        ScalarValue::Int64(Some(number)) => match i32::try_from(*number) {
            Ok(number) => ScalarValue::Int32(Some(number)),
            Err(_) => return Ok(value),
        },
        ScalarValue::UInt64(Some(number)) => {
            let number = Number::new((*number).into(), 0);
            number.scalar().ok_or_else(|| Error::internal("an integer constant"))?
        }
        // A number with an exponent arrives as text; what no numeric can hold here is a float.
        ScalarValue::Utf8(Some(text)) => match Number::parse(text).and_then(|number| number.scalar()) {
            Some(number) => number,
            None => ScalarValue::Float64(Some(
                parse_float(text, "double precision").map_err(|_| too_large(text))?,
            )),
        },
        _ => return Ok(value),
    };
    Ok(Expr::Literal(scalar, None))
}

/// Digits before and behind the point that PostgreSQL's numerics can have.
const MOST_DIGITS: i32 = 131_072;

/// 22003, for a number with an exponent that is beyond every type here. It is written out, as PostgreSQL's numerics are.
fn too_large(text: &str) -> Error {
    let error = |what: String| Error::new(Kind::Data, what).with_sqlstate("22003");
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent = exponent.parse::<i32>().ok().filter(|exponent| exponent.abs() < MOST_DIGITS);
    let Some(exponent) =
        exponent.filter(|exponent| usize::try_from(*exponent).is_ok_and(|e| e >= fraction.len()))
    else {
        return error("value overflows numeric format".into());
    };
    let zeros = "0".repeat(exponent as usize - fraction.len());
    error(format!("\"{whole}{fraction}{zeros}\" is out of range for type double precision"))
}

pub(super) fn cast(value: Expr, target: &Target, schema: &DFSchema, reading: Reading) -> Result<Expr> {
    if is_open_parameter(&value) {
        return Ok(with_type(value, &target.of_parameter()));
    }
    let (_, field) = value.to_field(schema)?;
    if let Some(planned) = of_json(&value, &field, target) {
        return Ok(planned);
    }
    // A `name` of the catalog is a text here, but no longer called one after a cast to it.
    let is_literal = matches!(value, Expr::Literal(..));
    if !is_literal
        && *target == Target::Exact(field.data_type().clone())
        && field.metadata().contains_key(PG_TYPE)
    {
        return Ok(ScalarUDF::from(PostgresCast::new(target.clone(), reading)).call(vec![value]));
    }
    Ok(cast_expr(value, field.data_type(), target, reading)?)
}

/// A `jsonb` number or boolean as an SQL value, and a `json` as a `jsonb`.
fn of_json(value: &Expr, field: &Field, target: &Target) -> Option<Expr> {
    let tag = field.metadata().get(PG_TYPE)?;
    let call = |name: &str, args: Vec<Expr>| Some(row::function(name, Reading::UTC)?.call(args));
    match (tag.as_str(), target) {
        ("json", Target::Tagged("jsonb")) => call("jsonb", vec![value.clone()]),
        ("jsonb", Target::Exact(DataType::Boolean)) => call("json_boolean", vec![value.clone()]),
        ("jsonb", Target::Numeric) => call("json_numeric", vec![value.clone()]),
        ("jsonb", Target::Exact(to)) if is_integer(to) || is_float(to) || is_numeric(to) => {
            let name = Expr::Literal(ScalarValue::Utf8(Some(sql_name(to))), None);
            let number = call("json_number_of", vec![value.clone(), name])?;
            let cast = PostgresCast::new(target.clone(), Reading::UTC);
            Some(ScalarUDF::from(cast).call(vec![number]))
        }
        _ => None,
    }
}

/// `ROW(a, b)`
pub(super) fn record(values: Vec<Expr>) -> Expr {
    let named = values.into_iter().enumerate().flat_map(|(at, value)| {
        let name = ScalarValue::Utf8(Some(format!("f{}", at + 1)));
        [Expr::Literal(name, None), value]
    });
    datafusion::functions::core::named_struct().call(named.collect())
}

/// A name that is a column, or the row of a table.
pub(super) fn whole_row(name: &str, schema: &DFSchema) -> Expr {
    let column = datafusion::common::Column::new_unqualified(name);
    if let Ok((qualifier, field)) = schema.qualified_field_with_unqualified_name(name) {
        return Expr::Column(datafusion::common::Column::from((qualifier, field)));
    }
    let fields =
        schema.iter().filter(|(qualifier, _)| qualifier.is_some_and(|qualifier| qualifier.table() == name));
    let members: Vec<Expr> = fields
        .flat_map(|(qualifier, field)| {
            let shown = parse::shown_name(field.name()).to_string();
            let name = Expr::Literal(ScalarValue::Utf8(Some(shown)), None);
            [name, Expr::Column(datafusion::common::Column::from((qualifier, field)))]
        })
        .collect();
    match members.is_empty() {
        true => Expr::Column(column),
        false => datafusion::functions::core::named_struct().call(members),
    }
}
