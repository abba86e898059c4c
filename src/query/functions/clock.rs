//! Functions that make and measure times and spans.

use chrono::{Datelike, NaiveDate, NaiveDateTime};

use super::interval::Span;
use super::row::{Args, Definition, Type, Value};
use crate::error::{Error, Kind, Result};
use crate::query::Zone;

const INT: Type = Type::Int4;
const SPAN: Type = Type::Interval;
const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Rows that a series may have.
const MAX_SERIES: usize = 10_000_000;

pub(super) const DEFINITIONS: &[Definition] = &[
    Definition::new("age", &[Type::Timestamp, Type::Timestamp], SPAN, |args| {
        age(args.micros(0), args.micros(1)).map(Value::Span)
    }),
    Definition::new("age", &[Type::TimestampTz, Type::TimestampTz], SPAN, |args| {
        let zone = args.call.zone;
        age(zone.to_local(args.micros(0)), zone.to_local(args.micros(1))).map(Value::Span)
    }),
    Definition::new("justify_hours", &[SPAN], SPAN, |args| Ok(Value::Span(args.span(0).justified_hours()))),
    Definition::new("justify_days", &[SPAN], SPAN, |args| Ok(Value::Span(args.span(0).justified_days()))),
    Definition::new("justify_interval", &[SPAN], SPAN, |args| Ok(Value::Span(args.span(0).justified()))),
    Definition::new("make_interval", &[INT, INT, INT, INT, INT, INT, Type::Float8], SPAN, make_interval)
        .optional(7)
        .lenient()
        .named(&["years", "months", "weeks", "days", "hours", "mins", "secs"]),
    Definition::new("make_date", &[INT, INT, INT], Type::Date, |args| {
        let shown = format!("{}-{:02}-{:02}", args.int(0), args.int(1), args.int(2));
        let date = date(args.int(0), args.int(1), args.int(2)).ok_or_else(|| field_range("date", &shown))?;
        Ok(Value::Date(days(date)))
    })
    .named(&["year", "month", "day"]),
    Definition::new("make_time", &[INT, INT, Type::Float8], Type::Time, |args| {
        let (hour, minute, second) = (args.int(0), args.int(1), args.float(2));
        time_of(hour, minute, second)
            .map(Value::Micros)
            .ok_or_else(|| field_range("time", &format!("{hour}:{minute:02}:{second:02}")))
    })
    .named(&["hour", "min", "sec"]),
    Definition::new("make_timestamp", &[INT, INT, INT, INT, INT, Type::Float8], Type::Timestamp, |args| {
        made(args).map(Value::Micros)
    }),
    Definition::new(
        "make_timestamptz",
        &[INT, INT, INT, INT, INT, Type::Float8, Type::Text],
        Type::TimestampTz,
        |args| {
            let zone = match args.is_given(6) {
                true => named_zone(args.text(6))?,
                false => args.call.zone,
            };
            Ok(Value::Micros(zone.to_utc(made(args)?)))
        },
    )
    .optional(1),
    Definition::new("date_bin", &[SPAN, Type::Timestamp, Type::Timestamp], Type::Timestamp, bin),
    Definition::new("date_bin", &[SPAN, Type::TimestampTz, Type::TimestampTz], Type::TimestampTz, bin),
    Definition::new("isfinite", &[Type::Date], Type::Bool, |args| {
        Ok(Value::Bool(!matches!(args.date(0), i32::MAX | i32::MIN)))
    }),
    Definition::new("isfinite", &[Type::Timestamp], Type::Bool, |args| {
        Ok(Value::Bool(!matches!(args.micros(0), i64::MAX | i64::MIN)))
    }),
    Definition::new("isfinite", &[Type::TimestampTz], Type::Bool, |args| {
        Ok(Value::Bool(!matches!(args.micros(0), i64::MAX | i64::MIN)))
    }),
    Definition::new("isfinite", &[SPAN], Type::Bool, |_| Ok(Value::Bool(true))),
    Definition::new("date_trunc", &[Type::Text, SPAN], SPAN, |args| {
        trunc(args.text(0), args.span(1)).map(Value::Span)
    }),
    Definition::new("interval_mul", &[SPAN, Type::Float8], SPAN, |args| {
        args.span(0).times(args.float(1)).map(Value::Span)
    }),
    Definition::new("interval_div", &[SPAN, Type::Float8], SPAN, |args| match args.float(1) {
        0.0 => Err(super::number::division_by_zero()),
        divisor => args.span(0).times(1.0 / divisor).map(Value::Span),
    }),
    Definition::new("interval_um", &[SPAN], SPAN, |args| args.span(0).negated().map(Value::Span)),
    Definition::new("interval_pl", &[SPAN, SPAN], SPAN, |args| {
        args.span(0).plus(args.span(1)).map(Value::Span)
    }),
    Definition::new("interval_mi", &[SPAN, SPAN], SPAN, |args| {
        args.span(0).plus(args.span(1).negated()?).map(Value::Span)
    }),
    // The length of a span, by which it is compared.
    Definition::new("interval_length", &[SPAN], Type::Numeric, |args| {
        let length = args.span(0).length();
        Ok(Value::Number(super::number::Number::new(length.into(), 0)))
    }),
    Definition::new("interval_fields", &[Type::Text, Type::Text], SPAN, |args| {
        let fields: Vec<_> = args.text(1).split(' ').filter(|field| !field.is_empty()).collect();
        Span::parse_as(args.text(0), &fields).map(Value::Span)
    }),
    Definition::new("timestamp_mi", &[Type::Timestamp, Type::Timestamp], SPAN, |args| {
        Ok(Value::Span(Span::of_micros(args.micros(0).saturating_sub(args.micros(1)))))
    }),
    Definition::new("timestamp_mi", &[Type::TimestampTz, Type::TimestampTz], SPAN, |args| {
        Ok(Value::Span(Span::of_micros(args.micros(0).saturating_sub(args.micros(1)))))
    }),
    Definition::new("timestamp_pl", &[Type::Timestamp, SPAN], Type::Timestamp, |args| {
        plus(args.micros(0), args.span(1), Zone::UTC).map(Value::Micros)
    }),
    Definition::new("time_pl", &[Type::Time, SPAN], Type::Time, |args| {
        Ok(Value::Micros((args.micros(0) + args.span(1).micros).rem_euclid(MICROS_PER_DAY)))
    }),
    Definition::new("time_mi", &[Type::Time, Type::Time], SPAN, |args| {
        Ok(Value::Span(Span { micros: args.micros(0) - args.micros(1), ..Span::default() }))
    }),
    Definition::new("date_pl_time", &[Type::Date, Type::Time], Type::Timestamp, |args| {
        Ok(Value::Micros(i64::from(args.date(0)) * MICROS_PER_DAY + args.micros(1)))
    }),
    Definition::new("generate_series", &[Type::Timestamp, Type::Timestamp, SPAN], Type::Timestamps, |args| {
        series(args.micros(0), args.micros(1), args.span(2), Zone::UTC)
    }),
    Definition::new(
        "generate_series",
        &[Type::TimestampTz, Type::TimestampTz, SPAN],
        Type::TimestampTzs,
        |args| series(args.micros(0), args.micros(1), args.span(2), args.call.zone),
    ),
    Definition::new("generate_series", &[INT, INT, INT], Type::Int4s, integers).optional(1),
    Definition::new("generate_series", &[Type::Int8, Type::Int8, Type::Int8], Type::Int8s, integers)
        .optional(1),
    Definition::new("generate_subscripts", &[Type::AnyArray, INT, Type::Bool], Type::Int4s, |args| {
        if args.int(1) != 1 {
            return Ok(Value::List(Vec::new()));
        }
        let mut places: Vec<_> = (1..=args.list(0).len() as i64).map(Value::Int).collect();
        if args.bool_or(2, false) {
            places.reverse();
        }
        Ok(Value::List(places))
    })
    .optional(1),
    // Marks the limit of `FETCH ... WITH TIES`.
    Definition::new("with_ties", &[Type::Int8], Type::Int8, |args| Ok(Value::Int(args.int(0)))),
    // The numbers of `WITH ORDINALITY`.
    Definition::new("ordinality", &[Type::AnyArray], Type::Int8s, |args| {
        Ok(Value::List((1..=args.list(0).len() as i64).map(Value::Int).collect()))
    }),
    Definition::new("timeofday", &[], Type::Text, |args| {
        let now = crate::model::now_micros();
        let local = args.call.zone.to_local(now);
        let time = moment(local)?;
        let zone = args.call.zone.abbreviation_at(now);
        Value::text(format!("{} {zone}", time.format("%a %b %d %H:%M:%S%.6f %Y")))
    })
    .volatile(),
];

/// 22008
fn field_range(kind: &str, shown: &str) -> Error {
    Error::new(Kind::Data, format!("{kind} field value out of range: {shown}")).with_sqlstate("22008")
}

/// 22008
fn out_of_range() -> Error {
    Error::new(Kind::Data, "timestamp out of range").with_sqlstate("22008")
}

fn days(date: NaiveDate) -> i32 {
    (date - NaiveDate::default()).num_days() as i32
}

/// The date of a year as people count it.
fn date(year: i64, month: i64, day: i64) -> Option<NaiveDate> {
    let year = match year {
        0 => return None,
        year if year < 0 => year + 1,
        year => year,
    };
    NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, u32::try_from(month).ok()?, u32::try_from(day).ok()?)
}

fn time_of(hour: i64, minute: i64, second: f64) -> Option<i64> {
    let micros = (second * 1e6).round_ties_even() as i64;
    let all = (hour * 60 + minute) * 60_000_000 + micros;
    let fits = (0..=24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60_000_000).contains(&micros)
        && all <= MICROS_PER_DAY;
    fits.then_some(all)
}

fn made(args: &Args<'_>) -> Result<i64> {
    let [year, month, day, hour, minute] = [0, 1, 2, 3, 4].map(|at| args.int(at));
    let shown = format!("{year}-{month:02}-{day:02}");
    let date = date(year, month, day).ok_or_else(|| field_range("date", &shown))?;
    let time = time_of(hour, minute, args.float(5))
        .ok_or_else(|| field_range("time", &format!("{hour}:{minute:02}:{:02}", args.float(5))))?;
    Ok(i64::from(days(date)) * MICROS_PER_DAY + time)
}

fn named_zone(name: &str) -> Result<Zone> {
    Zone::of_name(name)
        .ok_or_else(|| Error::new(Kind::Invalid, format!("time zone \"{name}\" not recognized")))
}

fn moment(micros: i64) -> Result<NaiveDateTime> {
    chrono::DateTime::from_timestamp_micros(micros).map(|at| at.naive_utc()).ok_or_else(out_of_range)
}

/// The years, months, days and time from one time to another, by the calendar.
fn age(to: i64, from: i64) -> Result<Span> {
    if to < from {
        return age(from, to)?.negated();
    }
    let (later, earlier) = (moment(to)?, moment(from)?);
    let mut months = (later.year() - earlier.year()) * 12 + later.month() as i32 - earlier.month() as i32;
    let mut days = later.day() as i32 - earlier.day() as i32;
    let mut micros = to.rem_euclid(MICROS_PER_DAY) - from.rem_euclid(MICROS_PER_DAY);
    if micros < 0 {
        micros += MICROS_PER_DAY;
        days -= 1;
    }
    if days < 0 {
        // A borrowed month has as many days as the one in which it all begins.
        days += days_in_month(earlier.year(), earlier.month());
        months -= 1;
    }
    Ok(Span { months, days, micros })
}

fn days_in_month(year: i32, month: u32) -> i32 {
    let next = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    let first = |(year, month)| NaiveDate::from_ymd_opt(year, month, 1);
    first(next).zip(first((year, month))).map_or(30, |(next, this)| (next - this).num_days() as i32)
}

fn make_interval(args: &Args<'_>) -> Result<Value> {
    for at in 0..args.count() {
        if args.is_null(at) && *args.any(at).0.data_type() != arrow::datatypes::DataType::Null {
            return Ok(Value::Null);
        }
    }
    let int = |at: usize| if args.is_given(at) && !args.is_null(at) { args.int(at) } else { 0 };
    let seconds = if args.is_given(6) && !args.is_null(6) { args.float(6) } else { 0.0 };
    let fits = |value: i64| i32::try_from(value).map_err(|_| super::interval::out_of_range());
    Ok(Value::Span(Span {
        months: fits(int(0) * 12 + int(1))?,
        days: fits(int(2) * 7 + int(3))?,
        micros: (int(4) * 60 + int(5)) * 60_000_000 + (seconds * 1e6).round_ties_even() as i64,
    }))
}

fn bin(args: &Args<'_>) -> Result<Value> {
    let (stride, at, origin) = (args.span(0), args.micros(1), args.micros(2));
    if stride.months != 0 {
        let what = "timestamps cannot be binned into intervals containing months or years";
        return Err(Error::new(Kind::Unsupported, what));
    }
    let stride = i64::from(stride.days) * MICROS_PER_DAY + stride.micros;
    if stride <= 0 {
        return Err(Error::new(Kind::Data, "stride must be greater than zero").with_sqlstate("22008"));
    }
    let distance = at.checked_sub(origin).ok_or_else(out_of_range)?;
    Ok(Value::Micros(origin + distance.div_euclid(stride) * stride))
}

fn trunc(unit: &str, span: Span) -> Result<Span> {
    let months = |size: i32| Span { months: span.months / size * size, ..Span::default() };
    let micros = |size: i64| Span { micros: span.micros / size * size, ..span };
    Ok(match unit.to_lowercase().as_str() {
        "millennium" => months(12_000),
        "century" => months(1_200),
        "decade" => months(120),
        "year" => months(12),
        "quarter" => months(3),
        "month" => months(1),
        "day" => Span { micros: 0, ..span },
        "hour" => micros(3_600_000_000),
        "minute" => micros(60_000_000),
        "second" => micros(1_000_000),
        "milliseconds" | "millisecond" => micros(1_000),
        "microseconds" | "microsecond" => span,
        "week" => {
            return Err(Error::new(Kind::Unsupported, "unit \"week\" not supported for type interval")
                .with_detail("Months usually have fractional weeks."));
        }
        other => {
            let what = format!("unit \"{other}\" not recognized for type interval");
            return Err(Error::new(Kind::Invalid, what));
        }
    })
}

/// `at + span` by the clocks of a zone: months and days keep what they show.
pub(in crate::query) fn plus(at: i64, span: Span, zone: Zone) -> Result<i64> {
    if matches!(at, i64::MAX | i64::MIN) {
        return Ok(at);
    }
    let mut sum = at;
    if span.months != 0 || span.days != 0 {
        let local = moment(zone.to_local(at))?;
        let count = chrono::Months::new(span.months.unsigned_abs());
        let date = match span.months < 0 {
            true => local.date().checked_sub_months(count),
            false => local.date().checked_add_months(count),
        };
        let days = chrono::Duration::days(span.days.into());
        let date = date.and_then(|date| date.checked_add_signed(days)).ok_or_else(out_of_range)?;
        sum = zone.to_utc(date.and_time(local.time()).and_utc().timestamp_micros());
    }
    sum.checked_add(span.micros).ok_or_else(out_of_range)
}

fn zero_step() -> Error {
    Error::new(Kind::Invalid, "step size cannot equal zero")
}

fn too_long() -> Error {
    Error::new(Kind::Limit, format!("a series has more than {MAX_SERIES} rows")).with_sqlstate("54000")
}

fn series(from: i64, to: i64, step: Span, zone: Zone) -> Result<Value> {
    let length = step.length();
    if length == 0 {
        return Err(zero_step());
    }
    let (mut items, mut at) = (Vec::new(), from);
    while if length > 0 { at <= to } else { at >= to } {
        items.push(Value::Micros(at));
        if items.len() > MAX_SERIES {
            return Err(too_long());
        }
        at = plus(at, step, zone)?;
    }
    Ok(Value::List(items))
}

fn integers(args: &Args<'_>) -> Result<Value> {
    let (from, to, step) = (args.int(0), args.int(1), args.int_or(2, 1));
    if step == 0 {
        return Err(zero_step());
    }
    let (mut items, mut at) = (Vec::new(), Some(from));
    while let Some(value) = at.filter(|at| if step > 0 { *at <= to } else { *at >= to }) {
        items.push(Value::Int(value));
        if items.len() > MAX_SERIES {
            return Err(too_long());
        }
        at = value.checked_add(step);
    }
    Ok(Value::List(items))
}
