//! `to_char`, `to_date`, `to_timestamp` and `to_number`: texts by a pattern.

mod moment;
mod number;
mod read;
mod template;

use self::moment::Moment;
use self::number::NumberPattern;
use self::template::Template;
use super::row::{Args, Definition, Type, Value};
use crate::error::{Error, Kind, Result};

pub(super) const DEFINITIONS: &[Definition] = &[
    Definition::new("to_char", &[Type::Timestamp, Type::Text], Type::Text, |args| {
        show(args, 1, |args| Moment::of_timestamp(args.micros(0), None))
    }),
    Definition::new("to_char", &[Type::TimestampTz, Type::Text], Type::Text, |args| {
        show(args, 1, |args| Moment::of_timestamp(args.micros(0), Some(args.call.zone)))
    }),
    Definition::new("to_char", &[Type::Interval, Type::Text], Type::Text, |args| {
        show(args, 1, |args| Some(Moment::of_span(args.span(0))))
    }),
    Definition::new("to_char", &[Type::Int4, Type::Text], Type::Text, |args| {
        let pattern = number_pattern(args)?;
        pattern.show_integer(args.int(0)).map(Value::Text)
    }),
    Definition::new("to_char", &[Type::Int8, Type::Text], Type::Text, |args| {
        let pattern = number_pattern(args)?;
        pattern.show_integer(args.int(0)).map(Value::Text)
    }),
    Definition::new("to_char", &[Type::Numeric, Type::Text], Type::Text, |args| {
        let pattern = number_pattern(args)?;
        pattern.show_numeric(&args.number(0)?).map(Value::Text)
    }),
    Definition::new("to_char", &[Type::Float8, Type::Text], Type::Text, |args| {
        let pattern = number_pattern(args)?;
        let is_real = *args.any(0).1.data_type() == arrow::datatypes::DataType::Float32;
        pattern.show_float(args.float(0), if is_real { 6 } else { 15 }).map(Value::Text)
    }),
    Definition::new("to_number", &[Type::Text, Type::Text], Type::Numeric, |args| {
        let pattern = number_pattern(args)?;
        Ok(pattern.read(args.text(0))?.map_or(Value::Null, Value::Number))
    }),
    Definition::new("to_date", &[Type::Text, Type::Text], Type::Date, |args| {
        let template = template(args, 1)?;
        let read = read::read(&template, args.text(0))?;
        Ok(Value::Date(read.days()?))
    }),
    Definition::new("to_timestamp", &[Type::Text, Type::Text], Type::TimestampTz, |args| {
        let template = template(args, 1)?;
        let read = read::read(&template, args.text(0))?;
        Ok(Value::Micros(read.point(args.call.zone)?))
    }),
    Definition::new("to_timestamp", &[Type::Float8], Type::TimestampTz, |args| {
        let seconds = args.float(0);
        let micros = (seconds * 1e6).round_ties_even();
        match seconds {
            seconds if seconds.is_nan() => {
                Err(Error::new(Kind::Data, "timestamp cannot be NaN").with_sqlstate("22008"))
            }
            f64::INFINITY => Ok(Value::Micros(i64::MAX)),
            f64::NEG_INFINITY => Ok(Value::Micros(i64::MIN)),
            _ if micros.abs() > 8.2e18 => {
                Err(Error::new(Kind::Data, format!("timestamp out of range: \"{seconds}\""))
                    .with_sqlstate("22008"))
            }
            _ => Ok(Value::Micros(micros as i64)),
        }
    }),
];

fn template(args: &Args<'_>, at: usize) -> Result<std::rc::Rc<Template>> {
    let pattern = args.text(at);
    args.kept(pattern, || Ok(Template::parse(pattern)))
}

fn number_pattern(args: &Args<'_>) -> Result<std::rc::Rc<NumberPattern>> {
    let pattern = args.text(1);
    args.kept(pattern, || NumberPattern::parse(pattern))
}

fn show(args: &Args<'_>, at: usize, moment: impl Fn(&Args<'_>) -> Option<Moment>) -> Result<Value> {
    if args.text(at).is_empty() {
        return Ok(Value::Null);
    }
    // `infinity` has no parts.
    let Some(moment) = moment(args) else { return Ok(Value::Null) };
    let template = template(args, at)?;
    moment.show(&template).map(Value::Text)
}
