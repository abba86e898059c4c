//! Types as PostgreSQL gives them: constants, casts, parameters, operators on numbers.

mod aggregates;
mod checked;
mod choice;
mod clocks;
mod elements;
mod fold;
mod open;
mod operators;
mod values;

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::planner::{
    ExprPlanner, PlannerResult, RawAggregateExpr, RawBinaryExpr, RawDictionaryExpr, RawWindowExpr,
};
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, Operator, ScalarUDF};
use datafusion::sql::sqlparser::ast::BinaryOperator;

pub(super) use self::choice::mismatch;
use self::choice::{alike, case};
pub(super) use self::clocks::by_clocks;
use self::clocks::{at_zone, on_one_clock};
use self::fold::{fold, fold_exact};
use self::values::{cast, number, record, whole_row};
use super::catalog;
use super::functions::arithmetic::{Arithmetic, known_type, result_type};
use super::functions::cast::{Target, cast_expr, cast_scalar, sql_name};
use super::functions::datetime::DateTime;
use super::functions::division::{Division, Gives};
use super::functions::number::{Number, is_float, is_integer, is_numeric};
use super::parse::{
    ALIKE, ANY, ARRAY, AT_ZONE, BETWEEN, CASE, CAST, CONDITION, EVERY, IN, LIMIT, NOT_BETWEEN, NOT_IN,
    NUMBER, PARAMETER, ROW, UNNEST, VALUES, WHOLE,
};
use super::settings::Reading;
use crate::error::{Error, Kind};

/// Metadata key of a parameter's field: the type that is announced, where its values are another one here.
pub(super) const TYPE_NAME: &str = "parameter.type";

/// What is known about `$1`, `$2` ...
#[derive(Clone, Default)]
pub(super) struct Parameters {
    /// Declared or already inferred types.
    pub(super) types: Vec<Option<DataType>>,
    /// Values, when the statement is executed.
    pub(super) values: Option<Arc<Vec<ScalarValue>>>,
}

impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values may be secrets.
        write!(f, "{:?}", self.types)
    }
}

/// The rules of this module for one statement.
#[derive(Debug)]
pub(super) struct Typing {
    pub(super) parameters: Parameters,
    /// Of the session.
    pub(super) reading: Reading,
    /// Of a statement that asks the catalog.
    pub(super) scope: Option<catalog::Scope>,
}

impl ExprPlanner for Typing {
    fn plan_dictionary_literal(
        &self,
        raw: RawDictionaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawDictionaryExpr>> {
        let keys = raw.keys.iter().map(|key| match key {
            Expr::Literal(key, _) => key.try_as_str().flatten().unwrap_or_default(),
            _ => "",
        });
        let Some(key) = keys.clone().next().map(str::to_string) else {
            return Ok(PlannerResult::Original(raw));
        };
        let (name, place) = checked::split(&key);
        let places: Vec<_> = match name.starts_with(ALIKE) || name == ARRAY {
            true => keys.map(|key| checked::split(key).1).collect(),
            false => Vec::new(),
        };
        let mut values = raw.values.into_iter();
        let Some(value) = values.next() else { return Err(Error::internal("an empty node").into()) };
        let planned = if key == NUMBER {
            number(value)?
        } else if let Some(name) = key.strip_prefix(CAST) {
            match catalog::cast(&value, name, schema, self.scope.as_ref())? {
                Some(planned) => planned,
                None => cast(value, &Target::parse(name)?, schema, self.reading)?,
            }
        } else if let Some(parameter) = key.strip_prefix(PARAMETER) {
            self.parameter(parameter)?
        } else if let Some((op, is_all)) = compared_elements(&key) {
            let array = values.next().ok_or_else(|| Error::internal("ANY without an array"))?;
            match array {
                // Elements that are written are members of a list, of which one may be NULL.
                Expr::ScalarFunction(call)
                    if call.func.name() == "make_array"
                        && !call.args.is_empty()
                        && op == if is_all { Operator::NotEq } else { Operator::Eq } =>
                {
                    self.within(value, call.args, is_all, schema, None)?
                }
                array => elements::compared(value, (op, is_all), array, schema, self.reading)?,
            }
        } else if let Some(function) = name.strip_prefix(ALIKE) {
            let arguments = std::iter::once(value).chain(values).collect();
            alike(function, arguments, &places, schema, self.reading)?
        } else if name == ARRAY {
            choice::array(std::iter::once(value).chain(values).collect(), &places, schema, self.reading)?
        } else if let Some(places) = key.strip_prefix(CASE) {
            let places = places.split(',').map(|place| place.parse().ok().filter(|place| *place > 0));
            case(value, places.collect(), schema, self.reading)?
        } else if let Some(clause) = name.strip_prefix(CONDITION) {
            checked::condition(value, clause, place, schema, self.reading)?
        } else if let Some(clause) = name.strip_prefix(LIMIT) {
            checked::limit(value, clause, place, schema, self.reading)?
        } else if let Some(function) = name.strip_prefix(UNNEST) {
            checked::array(value, function, place, schema)?
        } else if name == VALUES {
            choice::beside(&value, values.collect(), place, schema)?;
            value
        } else if name == BETWEEN || name == NOT_BETWEEN {
            let (Some(low), Some(high)) = (values.next(), values.next()) else {
                return Err(Error::internal("BETWEEN without bounds").into());
            };
            self.between([value, low, high], name == NOT_BETWEEN, schema, place)?
        } else if name == IN || name == NOT_IN {
            self.within(value, values.collect(), name == NOT_IN, schema, place)?
        } else if key == ROW {
            record(std::iter::once(value).chain(values).collect())
        } else if let Some(name) = key.strip_prefix(WHOLE) {
            whole_row(name, schema)
        } else if key == AT_ZONE {
            let zone = values.next().ok_or_else(|| Error::internal("AT TIME ZONE without a zone"))?;
            at_zone(value, zone, schema, self.reading)?
        } else {
            let what = "dictionary literals are not supported";
            return Err(Error::new(Kind::Unsupported, what).into());
        };
        Ok(PlannerResult::Planned(planned))
    }

    fn plan_binary_op(&self, raw: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let raw = match operators::special(raw, schema, self.reading)? {
            Ok(planned) => return Ok(PlannerResult::Planned(planned)),
            Err(raw) => raw,
        };
        match operator(&raw.op) {
            Some(op) if op.is_numerical_operators() => arithmetic(raw, op, schema, self.reading),
            Some(op) if op.is_logic_operator() => {
                let RawBinaryExpr { op, left, right } = raw;
                let (left, right) =
                    (with_type(left, &DataType::Boolean), with_type(right, &DataType::Boolean));
                Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }))
            }
            Some(_) => comparison(raw, schema, self.reading),
            None => Ok(PlannerResult::Original(raw)),
        }
    }

    fn plan_extract(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        match DateTime::named("extract", self.reading) {
            Some(extract) => Ok(PlannerResult::Planned(extract.call(args))),
            None => Ok(PlannerResult::Original(args)),
        }
    }

    fn plan_aggregate(&self, raw: RawAggregateExpr) -> Result<PlannerResult<RawAggregateExpr>> {
        aggregates::aggregate(raw, self.reading)
    }

    fn plan_window(&self, raw: RawWindowExpr) -> Result<PlannerResult<RawWindowExpr>> {
        aggregates::window(raw, self.reading)
    }
}

impl Typing {
    /// `$n` or `$n type`.
    fn parameter(&self, text: &str) -> Result<Expr> {
        let (id, type_name) = text.split_once(' ').unwrap_or((text, ""));
        let index =
            id.trim_start_matches('$').parse::<usize>().ok().filter(|index| (1..=65_535).contains(index));
        let Some(index) = index else {
            return Err(Error::new(Kind::Invalid, format!("there is no parameter {id}"))
                .with_sqlstate("42P02")
                .into());
        };
        if let Some(values) = &self.parameters.values {
            let missing =
                || Error::new(Kind::Invalid, format!("there is no parameter {id}")).with_sqlstate("42P02");
            let value = values.get(index - 1).ok_or_else(missing)?.clone();
            return Ok(Expr::Literal(value, None));
        }
        let known = self.parameters.types.get(index - 1).cloned().flatten();
        let (wanted, name) = match type_name {
            "" => (None, None),
            "boolean" => (Some(DataType::Boolean), None),
            "bigint" => (Some(DataType::Int64), None),
            "oid" => (Some(DataType::Int64), Some("oid")),
            "_oid" => (Some(list(DataType::Int64)), Some("_oid")),
            array if array.starts_with('_') => (Some(list(DataType::Utf8)), Some(array)),
            text => (Some(DataType::Utf8), Some(text)),
        };
        let field = known.or(wanted).map(|data_type| {
            let metadata = name.map(|name| (TYPE_NAME.to_string(), name.to_string()));
            Arc::new(Field::new(id, data_type, true).with_metadata(metadata.into_iter().collect()))
        });
        Ok(Expr::Placeholder(Placeholder::new_with_field(id.to_string(), field)))
    }
}

fn placeholder(id: &str, data_type: Option<DataType>) -> Expr {
    let field = data_type.map(|data_type| Arc::new(Field::new(id, data_type, true)));
    Expr::Placeholder(Placeholder::new_with_field(id.to_string(), field))
}

fn list(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("element", element, true)))
}

/// Gives a parameter whose type is not known yet one.
fn with_type(expr: Expr, data_type: &DataType) -> Expr {
    match expr {
        Expr::Placeholder(Placeholder { id, field: None }) => placeholder(&id, Some(data_type.clone())),
        other => other,
    }
}

fn is_open_parameter(expr: &Expr) -> bool {
    matches!(expr, Expr::Placeholder(Placeholder { field: None, .. }))
}

/// The operator before `ANY` or `ALL` of an array, and whether it is `ALL`.
fn compared_elements(key: &str) -> Option<(Operator, bool)> {
    let (op, is_all) = match key.strip_prefix(ANY) {
        Some(op) => (op, false),
        None => (key.strip_prefix(EVERY)?, true),
    };
    Some((elements::comparison(op)?, is_all))
}

/// A text constant whose type the other side decides.
pub(super) fn is_unknown_text(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(ScalarValue::Utf8(_), None))
}

fn operator(op: &BinaryOperator) -> Option<Operator> {
    Some(match op {
        BinaryOperator::Plus => Operator::Plus,
        BinaryOperator::Minus => Operator::Minus,
        BinaryOperator::Multiply => Operator::Multiply,
        BinaryOperator::Divide => Operator::Divide,
        BinaryOperator::Modulo => Operator::Modulo,
        BinaryOperator::Eq => Operator::Eq,
        BinaryOperator::NotEq => Operator::NotEq,
        BinaryOperator::Lt => Operator::Lt,
        BinaryOperator::LtEq => Operator::LtEq,
        BinaryOperator::Gt => Operator::Gt,
        BinaryOperator::GtEq => Operator::GtEq,
        BinaryOperator::And => Operator::And,
        BinaryOperator::Or => Operator::Or,
        _ => return None,
    })
}

/// Two operands with their types.
type Sides = (Expr, DataType, Expr, DataType);

/// Both sides with parameters and text constants resolved from the other side; `Err` gives them back unresolved.
fn sides(
    mut left: Expr,
    mut right: Expr,
    schema: &DFSchema,
    reading: Reading,
) -> Result<std::result::Result<Sides, (Expr, Expr)>> {
    let open = (is_open_parameter(&left), is_open_parameter(&right));
    match open {
        (true, true) => return Ok(Err((left, right))),
        (true, false) => left = catalog::parameter_like(left, &right, open_type(&right, schema)?, schema),
        (false, true) => right = catalog::parameter_like(right, &left, open_type(&left, schema)?, schema),
        (false, false) => {}
    }
    let (mut left_type, mut right_type) = (type_of(&left, schema)?, type_of(&right, schema)?);
    let (left_list, right_list) =
        (catalog::array_like(&left, &right_type)?, catalog::array_like(&right, &left_type)?);
    if let Some(list) = left_list {
        (left, left_type) = (list, right_type.clone());
    } else if let Some(list) = right_list {
        (right, right_type) = (list, left_type.clone());
    } else if is_unknown_text(&left) && takes_text(&right_type) {
        left = cast_expr(left, &left_type, &unknown_target(&right_type), reading)?;
        left_type = type_of(&left, schema)?;
    } else if is_unknown_text(&right) && takes_text(&left_type) {
        right = cast_expr(right, &right_type, &unknown_target(&left_type), reading)?;
        right_type = type_of(&right, schema)?;
    }
    Ok(Ok((left, left_type, right, right_type)))
}

/// The type of an expression. The planner's own way takes long for long calculations.
fn type_of(expr: &Expr, schema: &DFSchema) -> Result<DataType> {
    match known_type(expr) {
        Some(data_type) => Ok(data_type),
        None => expr.get_type(schema),
    }
}

/// The type a parameter takes from the other side.
fn open_type(other: &Expr, schema: &DFSchema) -> Result<DataType> {
    Ok(match other.get_type(schema)? {
        DataType::Null => DataType::Utf8,
        DataType::Decimal256(..) => Target::Numeric.of_parameter(),
        other => other,
    })
}

pub(super) fn takes_text(data_type: &DataType) -> bool {
    is_integer(data_type)
        || is_float(data_type)
        || is_numeric(data_type)
        || matches!(
            data_type,
            DataType::Boolean
                | DataType::Date32
                | DataType::Timestamp(..)
                | DataType::Time64(_)
                | DataType::Interval(_)
                | DataType::Binary
        )
}

pub(super) fn unknown_target(data_type: &DataType) -> Target {
    if is_numeric(data_type) { Target::Numeric } else { Target::Exact(data_type.clone()) }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn is_number(data_type: &DataType) -> bool {
    is_integer(data_type) || is_float(data_type) || is_numeric(data_type)
}

/// What PostgreSQL advises where no operator has the name and the types of its operands.
pub(super) const NO_OPERATOR: &str =
    "No operator matches the given name and argument types. You might need to add explicit type casts.";

/// 42883
fn no_operator(op: &BinaryOperator, left: &DataType, right: &DataType) -> Error {
    let what = format!("operator does not exist: {} {op} {}", sql_name(left), sql_name(right));
    Error::new(Kind::Invalid, what).with_sqlstate("42883").with_hint(NO_OPERATOR)
}

fn comparison(
    raw: RawBinaryExpr,
    schema: &DFSchema,
    reading: Reading,
) -> Result<PlannerResult<RawBinaryExpr>> {
    let RawBinaryExpr { op: written, left, right } = raw;
    let (left, left_type, right, right_type) = match sides(left, right, schema, reading)? {
        Ok(sides) => sides,
        Err((left, right)) => return Ok(PlannerResult::Original(RawBinaryExpr { op: written, left, right })),
    };
    if !choice::are_comparable(&left_type, &right_type) {
        return Err(no_operator(&written, &left_type, &right_type).into());
    }
    let left = like_other(left, &right, &right_type, reading)?;
    let right = like_other(right, &left, &left_type, reading)?;
    let (left, right) = on_one_clock((left, left_type), (right, right_type), reading)?;
    Ok(PlannerResult::Original(RawBinaryExpr { op: written, left, right }))
}

/// A numeric constant in the type of the column it is compared with, when that loses nothing: the comparison then
/// reaches the files as it is.
fn like_other(expr: Expr, other: &Expr, data_type: &DataType, reading: Reading) -> Result<Expr> {
    let Expr::Literal(value, _) = &expr else { return Ok(expr) };
    if matches!(other, Expr::Literal(..)) || value.is_null() || value.data_type() == *data_type {
        return Ok(expr);
    }
    if is_float(data_type) && (is_numeric(&value.data_type()) || is_integer(&value.data_type())) {
        let value = cast_scalar(value, &Target::Exact(data_type.clone()), reading)?;
        return Ok(Expr::Literal(value, None));
    }
    let Some(number) = Number::from_array(&value.to_array()?, 0) else { return Ok(expr) };
    match data_type {
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => {
            let rounded = number.round(i32::from(*scale));
            let is_same = number.round(number.scale.max(i32::from(*scale)))
                == rounded.round(number.scale.max(i32::from(*scale)));
            match rounded.scalar_of(data_type) {
                Ok(value) if is_same => Ok(Expr::Literal(value, None)),
                _ => Ok(expr),
            }
        }
        _ => Ok(expr),
    }
}

fn arithmetic(
    raw: RawBinaryExpr,
    op: Operator,
    schema: &DFSchema,
    reading: Reading,
) -> Result<PlannerResult<RawBinaryExpr>> {
    let RawBinaryExpr { op: written, left, right } = raw;
    let (left, right) = open::operands(op, left, right, schema)?;
    let (left, left_type, right, right_type) = match sides(left, right, schema, reading)? {
        Ok(sides) => sides,
        Err((left, right)) => return Ok(PlannerResult::Original(RawBinaryExpr { op: written, left, right })),
    };
    if let Some(planned) = day_arithmetic(op, &left, &left_type, &right, &right_type)? {
        return Ok(PlannerResult::Planned(planned));
    }
    let (is_zoned, is_span) = (
        |data_type: &DataType| matches!(data_type, DataType::Timestamp(_, Some(_))),
        |data_type: &DataType| matches!(data_type, DataType::Interval(_)),
    );
    if is_zoned(&left_type) && is_span(&right_type) && matches!(op, Operator::Plus | Operator::Minus) {
        let sum = DateTime::add(op == Operator::Minus, reading).call(vec![left, right]);
        return Ok(PlannerResult::Planned(sum));
    }
    if is_span(&left_type) && is_zoned(&right_type) && op == Operator::Plus {
        return Ok(PlannerResult::Planned(DateTime::add(false, reading).call(vec![right, left])));
    }
    let null_as = |data_type: &DataType, other: &DataType| match data_type {
        DataType::Null if is_number(other) => other.clone(),
        other => other.clone(),
    };
    let (left_as, right_as) = (null_as(&left_type, &right_type), null_as(&right_type, &left_type));
    if (is_text(&left_as) && is_number(&right_as)) || (is_text(&right_as) && is_number(&left_as)) {
        return Err(no_operator(&written, &left_type, &right_type).into());
    }
    let result = result_type(op, &left_as, &right_as);
    if result.is_none() {
        return Ok(PlannerResult::Original(RawBinaryExpr { op: written, left, right }));
    }
    let typed = |expr: Expr, from: &DataType, to: &DataType| match from == to {
        true => expr,
        false => Expr::Cast(Cast::new(Box::new(expr), to.clone())),
    };
    let (left, right) = (typed(left, &left_type, &left_as), typed(right, &right_type, &right_as));
    let is_exact = is_numeric(&left_as) || is_numeric(&right_as);
    let is_float = is_float(&left_as) || is_float(&right_as);
    if is_exact && !is_float {
        if let Some(folded) = fold_exact(op, &left, &right) {
            return Ok(PlannerResult::Planned(folded));
        }
    }
    let are_constants = matches!((&left, &right), (Expr::Literal(..), Expr::Literal(..)));
    let call = match op {
        Operator::Divide if is_exact && !is_float => {
            ScalarUDF::from(Division::new(false, Gives::Quotient)).call(vec![left, right])
        }
        _ => Arithmetic::call(op, left, right, result),
    };
    Ok(PlannerResult::Planned(if are_constants { fold(call) } else { call }))
}

/// `date + integer`, `date - integer`, `date - date`.
fn day_arithmetic(
    op: Operator,
    left: &Expr,
    left_type: &DataType,
    right: &Expr,
    right_type: &DataType,
) -> Result<Option<Expr>> {
    let days = |expr: &Expr| Expr::Cast(Cast::new(Box::new(expr.clone()), DataType::Int32));
    let calculate = |left, right| Arithmetic::call(op, left, right, Some(DataType::Int32));
    let is_days = |data_type: &DataType| matches!(data_type, DataType::Int16 | DataType::Int32);
    let to_date = |expr| Expr::Cast(Cast::new(Box::new(expr), DataType::Date32));
    Ok(match (op, left_type, right_type) {
        (Operator::Minus, DataType::Date32, DataType::Date32) => Some(calculate(days(left), days(right))),
        (Operator::Plus | Operator::Minus, DataType::Date32, other) if is_days(other) => {
            Some(to_date(calculate(days(left), days(right))))
        }
        (Operator::Plus, other, DataType::Date32) if is_days(other) => {
            Some(to_date(calculate(days(left), days(right))))
        }
        _ => None,
    })
}
