//! Casts that a person wrote: they round as PostgreSQL rounds and fail as PostgreSQL fails.

mod arrays;
mod tagged;
mod texts;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanBuilder, Float32Array, Float64Array, Int64Array, PrimitiveArray,
    StringBuilder,
};
use arrow::compute::kernels::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, FieldRef, Float32Type, Float64Type, Int16Type, Int32Type,
    Int64Type, TimeUnit, TimestampMicrosecondType,
};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::FieldMetadata;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use self::texts::from_text;
pub(in crate::query) use self::texts::to_text;
use super::arithmetic::{VARIABLE, type_word, variable};
use super::interval::{INTERVAL, Span};
use super::number::{Number, build, is_float, is_integer, is_numeric, numeric_type, out_of_range};
use super::{moment_input, text};
use crate::error::{Error, Kind, Result};
use crate::query::settings::Reading;
use crate::query::{PG_TYPE, Zone};

/// What is cast to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::query) enum Target {
    /// A type with one Arrow type.
    Exact(DataType),
    /// `numeric` without precision and scale: keeps the digits that are there.
    Numeric,
    /// `numeric[]`: keeps the digits that are there; all elements are given those of the longest.
    Numerics,
    /// `varchar(n)`: cuts.
    Varchar(usize),
    /// `char(n)`: cuts, and fills with blanks.
    Char(usize),
    /// A type of PostgreSQL whose values are texts here.
    Tagged(&'static str),
    /// A time with so many digits after the second.
    Precise(DataType, u32),
}

/// The types of PostgreSQL whose values are texts here.
const TAGS: &[&str] = &["json", "jsonb", "uuid", "varchar", "bpchar", "name", "char"];

/// The Arrow type of `time`.
pub(in crate::query) const CLOCK: DataType = DataType::Time64(TimeUnit::Microsecond);

/// The type of a parameter that is a numeric of any precision.
const PARAMETER_NUMERIC: DataType = DataType::Decimal128(38, 10);

impl Target {
    /// The target of a type name as `parse` writes it.
    pub(in crate::query) fn parse(name: &str) -> Result<Target> {
        if name == "numeric" {
            return Ok(Target::Numeric);
        }
        if let Some(element) = name.strip_suffix("[]") {
            return arrays::target(element);
        }
        for (prefix, target) in
            [("varchar(", Target::Varchar as fn(usize) -> Target), ("bpchar(", Target::Char)]
        {
            if let Some(length) = name.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(')')) {
                let kind = if prefix == "bpchar(" { "character" } else { "character varying" };
                let length = length.parse::<usize>().ok().filter(|length| *length > 0).ok_or_else(|| {
                    Error::new(Kind::Invalid, format!("length for type {kind} must be at least 1"))
                })?;
                return Ok(target(length));
            }
        }
        if let Some(tag) = TAGS.iter().find(|tag| **tag == name) {
            return Ok(Target::Tagged(tag));
        }
        if let Some((base, digits)) = name.split_once(" precision ")
            && let Ok(digits) = digits.parse::<u32>()
        {
            let Target::Exact(data_type) = Target::parse(base)? else {
                return Err(Error::internal("a precision of no time"));
            };
            return Ok(Target::Precise(data_type, digits.min(6)));
        }
        match name {
            "interval" => return Ok(Target::Exact(INTERVAL)),
            "time" => return Ok(Target::Exact(CLOCK)),
            "bytea" => return Ok(Target::Exact(DataType::Binary)),
            _ => {}
        }
        if let Some(arguments) = name.strip_prefix("numeric(") {
            return numeric_target(arguments.trim_end_matches(')')).map(Target::Exact);
        }
        let field: crate::model::FieldType = name.parse().map_err(|_| {
            Error::new(Kind::NotFound, format!("type \"{name}\" does not exist")).with_sqlstate("42704")
        })?;
        Ok(Target::Exact(field.arrow()))
    }

    /// The type that a parameter takes when it is cast to this.
    pub(in crate::query) fn of_parameter(&self) -> DataType {
        match self {
            Target::Exact(data_type) => data_type.clone(),
            Target::Numeric => PARAMETER_NUMERIC,
            Target::Numerics => arrays::list(PARAMETER_NUMERIC),
            Target::Precise(data_type, _) => data_type.clone(),
            Target::Varchar(_) | Target::Char(_) | Target::Tagged(_) => DataType::Utf8,
        }
    }

    fn result(&self, from: &DataType) -> DataType {
        match self {
            Target::Exact(data_type) | Target::Precise(data_type, _) => data_type.clone(),
            Target::Varchar(_) | Target::Char(_) | Target::Tagged(_) => DataType::Utf8,
            Target::Numerics => match from {
                DataType::List(element) => arrays::list(Target::Numeric.result(element.data_type())),
                _ => arrays::list(Target::Numeric.result(from)),
            },
            Target::Numeric => match super::number::digits_of(from) {
                Some(_) if is_numeric(from) => from.clone(),
                Some((whole, _)) => numeric_type(whole, 0, 0),
                // The digits of texts and floats differ from value to value.
                None => DataType::Decimal256(76, 36),
            },
        }
    }
}

impl Target {
    /// The name in PostgreSQL's catalog, where the Arrow type does not tell it.
    fn tag(&self) -> Option<&'static str> {
        match self {
            Target::Varchar(_) => Some("varchar"),
            Target::Char(_) => Some("bpchar"),
            Target::Tagged(tag) => Some(tag),
            _ => None,
        }
    }

    /// Whether a value is changed that has the type already.
    fn changes_own(&self) -> bool {
        self.tag().is_some() || matches!(self, Target::Precise(..))
    }

    /// What is told of values of this type beside the Arrow type.
    fn told(&self) -> BTreeMap<String, String> {
        let mut told = BTreeMap::new();
        if let Some(tag) = self.tag() {
            told.insert(PG_TYPE.to_string(), tag.to_string());
        }
        if let Target::Char(width) = self {
            told.insert(WIDTH.to_string(), width.to_string());
        }
        told
    }

    /// What tells a constant of this type from one that has no type yet.
    fn of_constant(&self) -> Option<FieldMetadata> {
        let told = match self {
            Target::Exact(DataType::Utf8) => BTreeMap::from([(PG_TYPE.to_string(), "text".to_string())]),
            other => other.told(),
        };
        (!told.is_empty()).then(|| FieldMetadata::from(told))
    }
}

/// Metadata of a text that is shown with so many characters, filled up with blanks.
pub(in crate::query) const WIDTH: &str = "tributary.width";

fn numeric_target(arguments: &str) -> Result<DataType> {
    let (precision, scale) = arguments.split_once(',').unwrap_or((arguments, "0"));
    let invalid = |what: String| Error::new(Kind::Invalid, what);
    let precision: i64 =
        precision.trim().parse().map_err(|_| invalid("numeric precision must be a number".into()))?;
    let scale: i64 = scale.trim().parse().map_err(|_| invalid("numeric scale must be a number".into()))?;
    if !(1..=1_000).contains(&precision) {
        return Err(invalid(format!("NUMERIC precision {precision} must be between 1 and 1000")));
    }
    if precision > 76 || !(0..=precision).contains(&scale) {
        let error = Error::new(Kind::Unsupported, format!("numeric({precision},{scale}) is not supported"));
        return Err(error.with_hint("accepted are up to 76 digits, and a scale from 0 to the precision"));
    }
    Ok(match precision {
        ..=38 => DataType::Decimal128(precision as u8, scale as i8),
        _ => DataType::Decimal256(precision as u8, scale as i8),
    })
}

/// The cast of a planned expression of a known type.
pub(in crate::query) fn cast_expr(
    expr: Expr,
    from: &DataType,
    target: &Target,
    reading: Reading,
) -> Result<Expr> {
    if let Expr::Literal(value, _) = &expr {
        return cast_scalar(value, target, reading).map(|value| Expr::Literal(value, target.of_constant()));
    }
    let to = target.result(from);
    if *from == to && !target.changes_own() {
        return Ok(expr);
    }
    if is_native(from, &to) && !depends_on_zone(from, &to, reading.zone) {
        return Ok(Expr::Cast(datafusion::logical_expr::Cast::new(Box::new(expr), to)));
    }
    let function = ScalarUDF::from(PostgresCast::new(target.clone(), reading));
    Ok(function.call(vec![expr]))
}

/// Whether a cast has another result in this zone than in UTC: one between points in time and what clocks show.
pub(in crate::query) fn depends_on_zone(from: &DataType, to: &DataType, zone: Zone) -> bool {
    let is_zoned = |t: &DataType| matches!(t, DataType::Timestamp(_, Some(_)));
    let is_shown = |t: &DataType| {
        matches!(t, DataType::Timestamp(_, None) | DataType::Date32 | DataType::Utf8 | DataType::Utf8View)
    };
    zone != Zone::UTC && ((is_zoned(from) && is_shown(to)) || (is_shown(from) && is_zoned(to)))
}

/// Whether Arrow's cast does what PostgreSQL does. The planner can look through those.
fn is_native(from: &DataType, to: &DataType) -> bool {
    let is_decimal128 = |t: &DataType| matches!(t, DataType::Decimal128(..));
    (is_integer(from) && (is_float(to) || is_decimal128(to)))
        || (is_time(from) && is_time(to))
        || (*from == DataType::Float32 && *to == DataType::Float64)
        || matches!(from, DataType::Null)
        || !is_known(from)
        || !is_known(to)
}

fn is_known(data_type: &DataType) -> bool {
    is_integer(data_type)
        || is_float(data_type)
        || is_numeric(data_type)
        || matches!(
            data_type,
            DataType::Utf8
                | DataType::LargeUtf8
                | DataType::Utf8View
                | DataType::Boolean
                | DataType::Date32
                | DataType::Timestamp(..)
                | DataType::Time64(_)
                | DataType::Interval(_)
                | DataType::Binary
                | DataType::Struct(_)
                | DataType::List(_)
        )
}

/// Casts a constant.
pub(in crate::query) fn cast_scalar(
    value: &ScalarValue,
    target: &Target,
    reading: Reading,
) -> Result<ScalarValue> {
    let internal =
        |error: datafusion::error::DataFusionError| Error::internal("a constant").with_source(error);
    if matches!(target, Target::Numeric) && !value.is_null() {
        if let Some(number) = numeric_constant(value)? {
            let too_long = || out_of_range("numeric").with_detail("at most 76 digits are supported");
            return number.scalar().ok_or_else(too_long);
        }
    }
    let to = match (target, value.try_as_str().flatten()) {
        (Target::Numerics, Some(text)) => arrays::numerics(text)?,
        _ => target.result(&value.data_type()),
    };
    if value.is_null() {
        return ScalarValue::try_from(&to).map_err(internal);
    }
    let array = value.to_array().map_err(internal)?;
    let array = cast_array(&array, target, &to, reading)?;
    ScalarValue::try_from_array(&array, 0).map_err(internal)
}

/// The exact number of a text or float constant that becomes a `numeric`.
fn numeric_constant(value: &ScalarValue) -> Result<Option<Number>> {
    if let Some(text) = value.try_as_str() {
        let text = text.unwrap_or_default();
        return Number::parse(text).map(Some).ok_or_else(|| text::invalid_syntax("numeric", text));
    }
    match value {
        ScalarValue::Float64(Some(value)) => Ok(Some(float_number(*value, 15)?)),
        ScalarValue::Float32(Some(value)) => Ok(Some(float_number(f64::from(*value), 6)?)),
        _ => Ok(None),
    }
}

fn float_number(value: f64, digits: usize) -> Result<Number> {
    Number::from_float(value, digits).ok_or_else(|| {
        Error::new(Kind::Unsupported, format!("cannot convert {} to numeric", text::format_float(value)))
            .with_sqlstate("22003")
    })
}

fn sql_is_number(data_type: &DataType) -> bool {
    is_integer(data_type) || is_numeric(data_type) || is_float(data_type)
}

/// A cast that Arrow's own does differently.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(in crate::query) struct PostgresCast {
    target: Target,
    /// Of the session.
    reading: Reading,
    signature: Signature,
}

impl PostgresCast {
    pub(in crate::query) fn new(target: Target, reading: Reading) -> Self {
        PostgresCast { target, reading, signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for PostgresCast {
    fn name(&self) -> &str {
        match &self.target {
            Target::Numeric | Target::Numerics => "numeric",
            Target::Varchar(_) => "varchar",
            Target::Char(_) => "bpchar",
            Target::Tagged(tag) => tag,
            Target::Exact(data_type) | Target::Precise(data_type, _) => match data_type {
                DataType::Interval(_) => "interval",
                DataType::Time64(_) => "time",
                DataType::Binary => "bytea",
                DataType::Boolean => "bool",
                DataType::Utf8 => "text",
                DataType::Date32 => "date",
                DataType::Timestamp(_, None) => "timestamp",
                DataType::Timestamp(..) => "timestamptz",
                other => type_word(other),
            },
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> datafusion::common::Result<DataType> {
        Ok(self.target.result(&types[0]))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> datafusion::common::Result<FieldRef> {
        let from = &args.arg_fields[0];
        let field = Field::new(self.name(), self.target.result(from.data_type()), true);
        let is_variable = self.target == Target::Numeric
            && (from.metadata().contains_key(VARIABLE)
                || !(is_numeric(from.data_type()) || is_integer(from.data_type())));
        let field = if is_variable { variable(field) } else { field };
        let told = self.target.told();
        Ok(Arc::new(match told.is_empty() {
            true => field,
            false => field.with_metadata(told.into_iter().collect()),
        }))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> datafusion::common::Result<ColumnarValue> {
        let to = args.return_type().clone();
        Ok(match &args.args[0] {
            ColumnarValue::Array(array) => {
                ColumnarValue::Array(cast_array(array, &self.target, &to, self.reading)?)
            }
            ColumnarValue::Scalar(value) => {
                let array = cast_array(&value.to_array()?, &self.target, &to, self.reading)?;
                ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?)
            }
        })
    }
}

fn arrow_cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let options = cast::CastOptions { safe: false, ..Default::default() };
    cast::cast_with_options(array, to, &options).map_err(|error| match array.data_type() {
        from if sql_is_number(from) && (sql_is_number(to) || *to == DataType::Boolean) => {
            out_of_range(type_word(to)).with_source(error)
        }
        from => Error::new(Kind::Invalid, format!("cannot cast type {} to {}", sql_name(from), sql_name(to)))
            .with_sqlstate("42846")
            .with_source(error),
    })
}

/// Casts a whole column.
pub(in crate::query) fn cast_array(
    array: &ArrayRef,
    target: &Target,
    to: &DataType,
    reading: Reading,
) -> Result<ArrayRef> {
    let from = array.data_type();
    if let Target::Varchar(_) | Target::Char(_) | Target::Tagged(_) = target {
        let texts = cast_array(array, &Target::Exact(DataType::Utf8), &DataType::Utf8, reading)?;
        return tagged::texts(&texts, target);
    }
    if let Target::Precise(_, digits) = target {
        let times = cast_array(array, &Target::Exact(to.clone()), to, reading)?;
        return tagged::rounded(&times, to, *digits);
    }
    match (from, to) {
        (DataType::LargeUtf8 | DataType::Utf8View, _) => {
            cast_array(&arrow_cast(array, &DataType::Utf8)?, target, to, reading)
        }
        (from, to) if from == to => Ok(array.clone()),
        (DataType::Utf8, DataType::List(element)) => arrays::lists(array, element.data_type(), to, reading),
        (DataType::List(_), DataType::List(element)) => arrays::elements(array, element, reading),
        (DataType::Utf8, to) => from_text(array, to, reading),
        (_, DataType::Utf8) => to_text(array, reading.zone),
        (DataType::Timestamp(..) | DataType::Interval(_), DataType::Time64(_))
        | (DataType::Time64(_), DataType::Interval(_)) => tagged::clocks(array, to, reading.zone),
        (from, to) if depends_on_zone(from, to, reading.zone) => on_clocks(array, to, reading.zone),
        (from, to) if is_float(from) && is_integer(to) => float_to_integer(array, to),
        (from, to) if is_float(from) && is_numeric(to) => float_to_numeric(array, to),
        (from, to) if is_numeric(from) && is_integer(to) => {
            let whole = (0..array.len()).map(|row| match Number::from_array(array, row) {
                Some(number) => {
                    let whole = i64::try_from(number.round(0).unscaled);
                    whole.map(Some).map_err(|_| out_of_range(type_word(to)))
                }
                None => Ok(None),
            });
            let whole: ArrayRef = Arc::new(whole.collect::<Result<Int64Array>>()?);
            arrow_cast(&whole, to)
        }
        (from, to) if is_numeric(from) && is_float(to) => numeric_to_float(array, to),
        (from, to) if (is_numeric(from) || is_integer(from)) && is_numeric(to) => renumber(array, to),
        (from, DataType::Boolean) if !is_integer(from) => Err(cannot_cast(from, to)),
        (DataType::Boolean, to) if *to != DataType::Int32 => Err(cannot_cast(from, to)),
        (from, to) if is_time(from) && sql_is_number(to) || is_time(to) && sql_is_number(from) => {
            Err(cannot_cast(from, to))
        }
        _ => arrow_cast(array, to),
    }
}

fn is_time(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Timestamp(..))
}

/// Between points in time and what the clocks of a zone show.
fn on_clocks(array: &ArrayRef, to: &DataType, zone: Zone) -> Result<ArrayRef> {
    let is_zoned = matches!(array.data_type(), DataType::Timestamp(_, Some(_)));
    let micros = arrow_cast(array, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
    let micros = micros.as_primitive::<TimestampMicrosecondType>();
    let moved: PrimitiveArray<TimestampMicrosecondType> =
        micros.unary(|at| if is_zoned { zone.to_local(at) } else { zone.to_utc(at) });
    let moved: ArrayRef = match is_zoned {
        true => Arc::new(moved),
        false => Arc::new(moved.with_timezone("UTC")),
    };
    arrow_cast(&moved, to)
}

fn cannot_cast(from: &DataType, to: &DataType) -> Error {
    Error::new(Kind::Invalid, format!("cannot cast type {} to {}", sql_name(from), sql_name(to)))
        .with_sqlstate("42846")
}

/// The name people know a type by.
pub(in crate::query) fn sql_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "boolean".into(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".into(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "bytea".into(),
        DataType::Date32 => "date".into(),
        DataType::Timestamp(_, None) => "timestamp without time zone".into(),
        DataType::Timestamp(..) => "timestamp with time zone".into(),
        DataType::Interval(_) | DataType::Duration(_) => "interval".into(),
        DataType::Time64(_) | DataType::Time32(_) => "time without time zone".into(),
        DataType::Null => "unknown".into(),
        DataType::List(element) => format!("{}[]", sql_name(element.data_type())),
        DataType::Struct(_) => "record".into(),
        other => match type_word(other) {
            "value" => other.to_string().to_lowercase(),
            word => word.into(),
        },
    }
}

/// Numbers in another numeric type: rounded, and refused when they do not fit.
fn renumber(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    // Arrow rounds halves away from zero, too, and is much faster; its range check words an error that is ours.
    let overflow = |error: arrow::error::ArrowError| {
        let exact = build(to, (0..array.len()).map(|row| Ok(Number::from_array(array, row))));
        exact.err().unwrap_or_else(|| out_of_range("numeric").with_source(error))
    };
    let options = cast::CastOptions { safe: false, ..Default::default() };
    let cast = cast::cast_with_options(array, to, &options).map_err(overflow)?;
    match cast.as_primitive_opt::<Decimal128Type>() {
        Some(numbers) => {
            let DataType::Decimal128(precision, _) = to else { return Ok(cast) };
            numbers.validate_decimal_precision(*precision).map_err(overflow)?;
            Ok(cast)
        }
        None => Ok(cast),
    }
}

fn float_to_integer(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let floats =
        cast::cast(array, &DataType::Float64).map_err(|e| Error::internal("floats").with_source(e))?;
    let (least, most) = match to {
        DataType::Int16 => (-32_768.0, 32_768.0),
        DataType::Int32 => (-2_147_483_648.0, 2_147_483_648.0),
        _ => (-9_223_372_036_854_775_808.0, 9_223_372_036_854_775_808.0),
    };
    let mut integers = Vec::with_capacity(floats.len());
    for value in floats.as_primitive::<Float64Type>() {
        integers.push(match value.map(f64::round_ties_even) {
            Some(value) if value >= least && value < most => Some(value as i64),
            Some(_) => return Err(out_of_range(type_word(to))),
            None => None,
        });
    }
    let integers: ArrayRef = Arc::new(Int64Array::from(integers));
    arrow_cast(&integers, to)
}

fn float_to_numeric(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let digits = if *array.data_type() == DataType::Float32 { 6 } else { 15 };
    let floats =
        cast::cast(array, &DataType::Float64).map_err(|e| Error::internal("floats").with_source(e))?;
    let floats = floats.as_primitive::<Float64Type>().clone();
    build(to, floats.iter().map(|value| value.map(|value| float_number(value, digits)).transpose()))
}

fn numeric_to_float(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let texts = (0..array.len()).map(|row| Number::from_array(array, row).map(|number| number.to_string()));
    // By way of the text, because that rounds once; a quotient of two floats would round twice.
    Ok(match to {
        DataType::Float32 => {
            let narrow = texts.map(|text| {
                let value = text.as_deref().and_then(|text| text.parse::<f32>().ok());
                match value.filter(|value| value.is_infinite()) {
                    Some(_) => Err(text::beyond(&text.unwrap_or_default(), "real")),
                    None => Ok(value),
                }
            });
            Arc::new(narrow.collect::<Result<Float32Array>>()?)
        }
        _ => Arc::new(
            texts.map(|text| text.and_then(|text| text.parse::<f64>().ok())).collect::<Float64Array>(),
        ),
    })
}
