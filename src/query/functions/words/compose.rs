//! Texts made of several values.

use arrow::array::Array;
use arrow::datatypes::DataType;

use super::super::row::{Args, Definition, Type, Value};
use super::super::shown::shown;
use super::quote::{identifier, literal};
use crate::error::{Error, Kind, Result};

pub(super) const DEFINITIONS: &[Definition] = &[
    Definition::new("concat", &[Type::Any, Type::Any], Type::Text, |args| {
        let parts = (0..args.count()).filter_map(|at| shown_arg(args, at).transpose());
        Value::text(parts.collect::<Result<String>>()?)
    })
    .variadic()
    .lenient(),
    Definition::new("concat_ws", &[Type::Text, Type::Any, Type::Any], Type::Text, |args| {
        if args.is_null(0) {
            return Ok(Value::Null);
        }
        let parts = (1..args.count()).filter_map(|at| shown_arg(args, at).transpose());
        Value::text(parts.collect::<Result<Vec<_>>>()?.join(args.text(0)))
    })
    .variadic()
    .lenient(),
    Definition::new("format", &[Type::Text, Type::Any], Type::Text, |args| match args.is_null(0) {
        true => Ok(Value::Null),
        false => format_text(args),
    })
    .variadic()
    .lenient(),
    Definition::new("num_nulls", &[Type::Any], Type::Int4, |args| {
        Ok(Value::Int((0..args.count()).filter(|at| args.is_null(*at)).count() as i64))
    })
    .variadic()
    .lenient(),
    Definition::new("num_nonnulls", &[Type::Any], Type::Int4, |args| {
        Ok(Value::Int((0..args.count()).filter(|at| !args.is_null(*at)).count() as i64))
    })
    .variadic()
    .lenient(),
    Definition::new("array_to_string", &[Type::AnyArray, Type::Text, Type::Text], Type::Text, |args| {
        if args.is_null(0) || args.is_null(1) {
            return Ok(Value::Null);
        }
        let null = (args.is_given(2) && !args.is_null(2)).then(|| args.text(2).to_string());
        let mut parts = Vec::new();
        elements(&args.list(0), args, null.as_ref(), &mut parts)?;
        Value::text(parts.join(args.text(1)))
    })
    .optional(1)
    .lenient(),
    Definition::new("text", &[Type::Any], Type::Text, |args| {
        let (array, _, row) = args.any(0);
        // Of a boolean a cast gives the whole word.
        let word = |shown: String| match (array.data_type(), shown.as_str()) {
            (DataType::Boolean, "t") => "true".to_string(),
            (DataType::Boolean, _) => "false".to_string(),
            _ => shown,
        };
        Value::text(word(shown(array, row, args.call.zone)?))
    }),
];

fn elements(
    list: &arrow::array::ArrayRef,
    args: &Args<'_>,
    null: Option<&String>,
    parts: &mut Vec<String>,
) -> Result<()> {
    use arrow::array::AsArray;
    for at in 0..list.len() {
        if list.is_null(at) {
            parts.extend(null.cloned());
        } else if matches!(list.data_type(), DataType::List(_)) {
            elements(&list.as_list::<i32>().value(at), args, null, parts)?;
        } else {
            parts.push(shown(list, at, args.call.zone)?);
        }
    }
    Ok(())
}

fn shown_arg(args: &Args<'_>, at: usize) -> Result<Option<String>> {
    if args.is_null(at) {
        return Ok(None);
    }
    let (array, _, row) = args.any(at);
    shown(array, row, args.call.zone).map(Some)
}

fn invalid(what: &str) -> Error {
    Error::new(Kind::Invalid, what)
}

/// `format(pattern, values...)`
fn format_text(args: &Args<'_>) -> Result<Value> {
    let mut out = String::new();
    let mut chars = args.text(0).chars().peekable();
    let mut next = 1;
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        if chars.peek() == Some(&'%') {
            chars.next();
            out.push('%');
            continue;
        }
        let unterminated =
            || invalid("unterminated format() type specifier").with_hint("For a single \"%\" use \"%%\".");
        let number = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>| {
            let mut number = None::<usize>;
            while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
                number = Some(number.unwrap_or(0).saturating_mul(10).saturating_add(digit as usize));
                chars.next();
            }
            number
        };
        let mut position = None;
        let (mut is_left, mut width) = (false, 0_usize);
        let mut given = number(&mut chars);
        if let Some(place) = given
            && chars.peek() == Some(&'$')
        {
            chars.next();
            if place == 0 {
                return Err(invalid("format specifies argument 0, but arguments are numbered from 1"));
            }
            (position, given) = (Some(place), None);
        }
        while chars.peek() == Some(&'-') {
            chars.next();
            is_left = true;
        }
        if chars.peek() == Some(&'*') {
            chars.next();
            let at = match number(&mut chars) {
                Some(place) => {
                    if chars.next() != Some('$') {
                        return Err(invalid("width argument position must be ended by \"$\""));
                    }
                    place
                }
                None => {
                    next += 1;
                    next - 1
                }
            };
            if at >= args.count() {
                return Err(invalid("too few arguments for format()"));
            }
            let wanted: i64 = shown_arg(args, at)?.unwrap_or_default().parse().unwrap_or(0);
            is_left |= wanted < 0;
            width = wanted.unsigned_abs() as usize;
        } else if let Some(wanted) = given.or_else(|| number(&mut chars)) {
            width = wanted;
        }
        let kind = chars.next().ok_or_else(unterminated)?;
        if !matches!(kind, 's' | 'I' | 'L') {
            let what = format!("unrecognized format() type specifier \"{kind}\"");
            return Err(invalid(&what).with_hint("For a single \"%\" use \"%%\"."));
        }
        let at = position.unwrap_or(next);
        if at >= args.count() {
            return Err(invalid("too few arguments for format()"));
        }
        next = at + 1;
        super::fits(width.saturating_mul(4))?;
        let value = shown_arg(args, at)?;
        let text = match (kind, value) {
            ('s', value) => value.unwrap_or_default(),
            ('I', None) => {
                let what = "null values cannot be formatted as an SQL identifier";
                return Err(Error::new(Kind::Data, what).with_sqlstate("22004"));
            }
            ('I', Some(value)) => identifier(&value),
            (_, None) => "NULL".into(),
            (_, Some(value)) => literal(&value),
        };
        match is_left {
            true => out.push_str(&format!("{text:<width$}")),
            false => out.push_str(&format!("{text:>width$}")),
        }
    }
    Ok(Value::Text(out))
}
