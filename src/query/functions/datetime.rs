//! Functions of points in time that depend on a zone: `timezone` (`AT TIME ZONE`), `date_trunc`, `extract`,
//! `date_part`, and adding an interval.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Float64Array, PrimitiveArray, new_null_array};
use arrow::compute::kernels::cast;
use arrow::datatypes::{
    DataType, Field, FieldRef, IntervalMonthDayNanoType, IntervalUnit, TimeUnit, TimestampMicrosecondType,
};
use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::cast::{Target, cast_array, sql_name};
use crate::error::{Error, Kind, Result};
use crate::query::Zone;
use crate::query::settings::Reading;

/// `timestamp`
pub(in crate::query) const SHOWN: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// `timestamp with time zone`
pub(in crate::query) fn zoned() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

/// What a [`DateTime`] function does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum What {
    /// `timezone(zone, time)`
    AtZone,
    /// `date_trunc(unit, time [, zone])`
    Trunc,
    /// `extract(unit from time)`: numeric
    Extract,
    /// `date_part(unit, time)`: double precision
    Part,
    /// `time + interval`
    Plus,
    /// `time - interval`
    Minus,
}

/// A function of a session in some zone.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(in crate::query) struct DateTime {
    what: What,
    reading: Reading,
    signature: Signature,
}

impl DateTime {
    fn new(what: What, reading: Reading) -> Self {
        DateTime { what, reading, signature: Signature::variadic_any(Volatility::Immutable) }
    }

    /// The function of that name.
    pub(in crate::query) fn named(name: &str, reading: Reading) -> Option<ScalarUDF> {
        let what = match name {
            "timezone" => What::AtZone,
            "date_trunc" => What::Trunc,
            "extract" => What::Extract,
            "date_part" => What::Part,
            _ => return None,
        };
        Some(ScalarUDF::from(DateTime::new(what, reading)))
    }

    /// `timestamptz + interval`, or `-`, by the clocks of the session.
    pub(in crate::query) fn add(minus: bool, reading: Reading) -> ScalarUDF {
        ScalarUDF::from(DateTime::new(if minus { What::Minus } else { What::Plus }, reading))
    }

    /// `date_trunc` of a span.
    fn of_span(&self, of: Option<&DataType>) -> Option<ScalarUDF> {
        let is_span = self.what == What::Trunc && matches!(of, Some(DataType::Interval(_)));
        is_span.then(|| super::row::function("date_trunc", self.reading)).flatten()
    }

    /// The arguments' types are right for it.
    fn check(&self, types: &[DataType]) -> Result<()> {
        let is_text = |at: usize| {
            matches!(
                types.get(at),
                Some(DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null)
            )
        };
        let is_time = |at: usize| matches!(types.get(at), Some(DataType::Timestamp(..)));
        let is_interval = |at: usize| matches!(types.get(at), Some(DataType::Interval(_)));
        let is_date = |at: usize| matches!(types.get(at), Some(DataType::Date32));
        let fits = match self.what {
            What::AtZone => types.len() == 2 && (is_text(0) || is_interval(0)) && (is_time(1) || is_text(1)),
            What::Trunc => {
                (types.len() == 2 && is_text(0) && (is_time(1) || is_date(1) || is_text(1)))
                    || (types.len() == 3 && is_text(0) && is_time(1) && is_text(2))
            }
            What::Extract | What::Part => {
                let is_clock = matches!(types.get(1), Some(DataType::Time64(_)));
                types.len() == 2
                    && is_text(0)
                    && (is_time(1) || is_date(1) || is_interval(1) || is_clock || is_text(1))
            }
            What::Plus | What::Minus => types.len() == 2 && is_time(0) && is_interval(1),
        };
        if fits {
            return Ok(());
        }
        let shown = types.iter().map(sql_name).collect::<Vec<_>>().join(", ");
        let what = format!("function {}({shown}) does not exist", self.name());
        Err(Error::new(Kind::Invalid, what).with_sqlstate("42883").with_hint("a cast may be missing"))
    }
}

impl ScalarUDFImpl for DateTime {
    fn name(&self) -> &str {
        match self.what {
            What::AtZone => "timezone",
            What::Trunc => "date_trunc",
            What::Extract => "extract",
            What::Part => "date_part",
            What::Plus => "timestamptz_pl_interval",
            What::Minus => "timestamptz_mi_interval",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> datafusion::common::Result<DataType> {
        Err(Error::internal("the type depends on the arguments").into())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> datafusion::common::Result<FieldRef> {
        let types: Vec<_> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        if let Some(of_span) = self.of_span(types.get(1)) {
            return of_span.inner().return_field_from_args(args);
        }
        self.check(&types)?;
        let unit = || match args.scalar_arguments.first() {
            Some(Some(value)) => value.try_as_str().flatten().unwrap_or_default().to_lowercase(),
            _ => String::new(),
        };
        let data_type = match (self.what, &types[1]) {
            (What::AtZone, DataType::Timestamp(_, None)) => zoned(),
            (What::AtZone, _) => SHOWN,
            (What::Trunc, DataType::Timestamp(_, None)) => SHOWN,
            (What::Trunc, _) => zoned(),
            (What::Extract, of) => DataType::Decimal128(38, scale(&unit(), of)),
            (What::Part, _) => DataType::Float64,
            (What::Plus | What::Minus, _) => types[0].clone(),
        };
        Ok(Arc::new(Field::new(self.name(), data_type, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> datafusion::common::Result<ColumnarValue> {
        if let Some(of_span) = self.of_span(args.args.get(1).map(ColumnarValue::data_type).as_ref()) {
            return of_span.inner().invoke_with_args(args);
        }
        let all_scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if all_scalar { 1 } else { args.number_rows };
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let arrays: Vec<ArrayRef> = arrays
            .into_iter()
            .zip(&args.args)
            .map(|(array, arg)| match arg {
                ColumnarValue::Scalar(value) if array.len() != rows => value.to_array_of_size(rows),
                _ => Ok(array),
            })
            .collect::<datafusion::common::Result<_>>()?;
        let result = self.compute(&arrays, args.return_type())?;
        Ok(match all_scalar {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?),
            false => ColumnarValue::Array(result),
        })
    }
}

/// Digits after the point of `extract(unit from ...)`.
fn scale(unit: &str, of: &DataType) -> i8 {
    match (unit, of) {
        ("epoch", DataType::Date32) => 0,
        ("second" | "seconds" | "epoch", _) => 6,
        ("millisecond" | "milliseconds", _) => 3,
        ("julian", DataType::Timestamp(..)) => 20,
        _ => 0,
    }
}

impl DateTime {
    fn compute(&self, args: &[ArrayRef], to: &DataType) -> Result<ArrayRef> {
        let rows = args[0].len();
        if args.iter().any(|array| *array.data_type() == DataType::Null) {
            return Ok(new_null_array(to, rows));
        }
        match self.what {
            What::AtZone => self.at_zone(args, to),
            What::Trunc => self.trunc(args, to),
            What::Extract | What::Part => self.extract(args, to),
            What::Plus | What::Minus => self.plus(args, to),
        }
    }

    fn at_zone(&self, args: &[ArrayRef], to: &DataType) -> Result<ArrayRef> {
        let is_shown = matches!(args[1].data_type(), DataType::Timestamp(_, None));
        let times = match is_shown {
            true => micros(&args[1], &SHOWN, self.reading)?,
            false => micros(&args[1], &zoned(), self.reading)?,
        };
        let zones = zones(&args[0])?;
        let moved = (0..times.len()).map(|row| {
            let zone = zones(row)?.filter(|_| times.is_valid(row));
            Ok(zone.map(|zone| match is_shown {
                true => zone.to_utc(times.value(row)),
                false => zone.to_local(times.value(row)),
            }))
        });
        timestamps(moved.collect::<Result<_>>()?, to)
    }

    fn trunc(&self, args: &[ArrayRef], to: &DataType) -> Result<ArrayRef> {
        let is_shown = *to == SHOWN;
        let times = micros(&args[1], to, self.reading)?;
        let units = texts(&args[0])?;
        let zones = args.get(2).map(|zones| self::zones(zones)).transpose()?;
        let truncated = (0..times.len()).map(|row| {
            let zone = match &zones {
                Some(zones) => zones(row)?,
                None => Some(self.reading.zone),
            };
            let (true, true, Some(zone)) = (times.is_valid(row), units.is_valid(row), zone) else {
                return Ok(None);
            };
            let (at, unit) = (times.value(row), units.value(row).to_lowercase());
            if matches!(at, i64::MAX | i64::MIN) {
                return Ok(Some(at));
            }
            if is_shown {
                return truncate(at, &unit, to).map(Some);
            }
            let local = truncate(zone.to_local(at), &unit, to)?;
            // Within a day the offset stays what it is: 02:30 that is there twice stays itself.
            let keeps_offset = matches!(unit.as_str(), "hour" | "minute" | "second")
                || unit.starts_with("milli")
                || unit.starts_with("micro");
            Ok(Some(match keeps_offset {
                true => local - i64::from(zone.offset_at(at)) * 1_000_000,
                false => zone.to_utc(local),
            }))
        });
        timestamps(truncated.collect::<Result<_>>()?, to)
    }

    fn extract(&self, args: &[ArrayRef], to: &DataType) -> Result<ArrayRef> {
        let units = texts(&args[0])?;
        let of = match args[1].data_type() {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => zoned(),
            other => other.clone(),
        };
        let moments = moments(&args[1], &of, self.reading)?;
        let scale = match to {
            DataType::Decimal128(_, scale) => *scale,
            _ => 6,
        };
        let mut values = Vec::with_capacity(args[1].len());
        for row in 0..args[1].len() {
            if units.is_null(row) {
                values.push(None);
                continue;
            }
            values.push(
                moments(row).map(|moment| moment.part(units.value(row), scale, &of)).transpose()?.flatten(),
            );
        }
        if *to == DataType::Float64 {
            let floats = values.into_iter().map(|value| value.map(|value| value as f64 / 1e6));
            return Ok(Arc::new(floats.collect::<Float64Array>()));
        }
        let numbers = values.into_iter().collect::<Decimal128Array>().with_data_type(to.clone());
        Ok(Arc::new(numbers))
    }

    fn plus(&self, args: &[ArrayRef], to: &DataType) -> Result<ArrayRef> {
        let times = micros(&args[0], to, self.reading)?;
        let spans = arrow_cast(&args[1], &INTERVAL)?;
        let spans = spans.as_primitive::<IntervalMonthDayNanoType>();
        let is_minus = self.what == What::Minus;
        let sums = (0..times.len()).map(|row| {
            if times.is_null(row) || spans.is_null(row) {
                return Ok(None);
            }
            let (at, span) = (times.value(row), spans.value(row));
            let sign = if is_minus { -1 } else { 1 };
            let mut sum = at;
            if span.months != 0 || span.days != 0 {
                let local = clock(self.reading.zone.to_local(at))?;
                let date = add_months(local.date(), sign * span.months).ok_or_else(out_of_range)?;
                let days = chrono::Duration::days(i64::from(sign * span.days));
                let date = date.checked_add_signed(days).ok_or_else(out_of_range)?;
                sum = self.reading.zone.to_utc(date.and_time(local.time()).and_utc().timestamp_micros());
            }
            let micros = i64::from(sign) * (span.nanoseconds / 1_000);
            Ok(Some(sum.checked_add(micros).ok_or_else(out_of_range)?))
        });
        timestamps(sums.collect::<Result<_>>()?, to)
    }
}

fn add_months(date: NaiveDate, months: i32) -> Option<NaiveDate> {
    let count = chrono::Months::new(months.unsigned_abs());
    if months < 0 { date.checked_sub_months(count) } else { date.checked_add_months(count) }
}

/// 22008
fn out_of_range() -> Error {
    Error::new(Kind::Data, "timestamp out of range").with_sqlstate("22008")
}

fn arrow_cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    cast::cast(array, to).map_err(|error| Error::internal("a time of another type").with_source(error))
}

/// The times in microseconds, as `to` counts them.
fn micros(
    array: &ArrayRef,
    to: &DataType,
    reading: Reading,
) -> Result<PrimitiveArray<TimestampMicrosecondType>> {
    let times = cast_array(array, &Target::Exact(to.clone()), to, reading)?;
    Ok(times.as_primitive::<TimestampMicrosecondType>().clone())
}

fn texts(array: &ArrayRef) -> Result<arrow::array::StringArray> {
    Ok(arrow_cast(array, &DataType::Utf8)?.as_string::<i32>().clone())
}

fn timestamps(values: Vec<Option<i64>>, to: &DataType) -> Result<ArrayRef> {
    let times: PrimitiveArray<TimestampMicrosecondType> = values.into_iter().collect();
    Ok(Arc::new(times.with_data_type(to.clone())))
}

/// The zone of a row.
type ZoneOf = Box<dyn Fn(usize) -> Result<Option<Zone>>>;

/// The zone of each row. One that stands in all rows is looked up once.
fn zones(array: &ArrayRef) -> Result<ZoneOf> {
    if matches!(array.data_type(), DataType::Interval(_)) {
        let spans = arrow_cast(array, &INTERVAL)?.as_primitive::<IntervalMonthDayNanoType>().clone();
        return Ok(Box::new(move |row| {
            if spans.is_null(row) {
                return Ok(None);
            }
            let span = spans.value(row);
            if span.months != 0 || span.days != 0 {
                let what = "interval time zone must not include months or days";
                return Err(Error::new(Kind::Invalid, what));
            }
            Ok(Some(Zone::Fixed((span.nanoseconds / 1_000_000_000) as i32)))
        }));
    }
    let names = texts(array)?;
    let last = parking_lot::Mutex::new(None::<(String, Zone)>);
    Ok(Box::new(move |row| {
        if names.is_null(row) {
            return Ok(None);
        }
        let name = names.value(row);
        let mut last = last.lock();
        if let Some((known, zone)) = &*last
            && known == name
        {
            return Ok(Some(*zone));
        }
        let zone = Zone::of_name(name).ok_or_else(|| {
            let shown: String = name.chars().take(100).collect();
            Error::new(Kind::Invalid, format!("time zone \"{shown}\" not recognized"))
                .with_hint("accepted are names such as Europe/Berlin, and abbreviations such as CET")
        })?;
        *last = Some((name.to_string(), zone));
        Ok(Some(zone))
    }))
}

fn clock(local: i64) -> Result<NaiveDateTime> {
    chrono::DateTime::from_timestamp_micros(local).map(|at| at.naive_utc()).ok_or_else(out_of_range)
}

/// 22023
fn no_unit(unit: &str, of: &DataType) -> Error {
    let shown: String = unit.chars().take(100).collect();
    let what = format!("unit \"{shown}\" not recognized for type {}", sql_name(of));
    Error::new(Kind::Invalid, what)
}

/// 0A000
fn unsupported_unit(unit: &str, of: &DataType) -> Error {
    Error::new(Kind::Unsupported, format!("unit \"{unit}\" not supported for type {}", sql_name(of)))
}

/// What clocks showed at the beginning of the unit.
fn truncate(local: i64, unit: &str, of: &DataType) -> Result<i64> {
    let at = clock(local)?;
    let (date, time) = (at.date(), at.time());
    let day = |year: i32, month: u32| NaiveDate::from_ymd_opt(year, month, 1).ok_or_else(out_of_range);
    // There is no year 0: the first century is that of the years 1 to 100.
    let first_of = |size: i32| (date.year() - 1).div_euclid(size) * size + 1;
    let midnight = NaiveTime::MIN;
    let hms = |h, m, s, micro| NaiveTime::from_hms_micro_opt(h, m, s, micro).unwrap_or(midnight);
    let micro = time.nanosecond() / 1_000;
    let (date, time) = match unit {
        "microsecond" | "microseconds" => (date, time),
        "millisecond" | "milliseconds" => {
            (date, hms(time.hour(), time.minute(), time.second(), micro / 1_000 * 1_000))
        }
        "second" => (date, hms(time.hour(), time.minute(), time.second(), 0)),
        "minute" => (date, hms(time.hour(), time.minute(), 0, 0)),
        "hour" => (date, hms(time.hour(), 0, 0, 0)),
        "day" => (date, midnight),
        "week" => {
            let back = chrono::Duration::days(i64::from(date.weekday().num_days_from_monday()));
            (date.checked_sub_signed(back).ok_or_else(out_of_range)?, midnight)
        }
        "month" => (day(date.year(), date.month())?, midnight),
        "quarter" => (day(date.year(), date.month0() / 3 * 3 + 1)?, midnight),
        "year" => (day(date.year(), 1)?, midnight),
        "decade" => (day(date.year().div_euclid(10) * 10, 1)?, midnight),
        "century" => (day(first_of(100), 1)?, midnight),
        "millennium" => (day(first_of(1_000), 1)?, midnight),
        other => return Err(no_unit(other, of)),
    };
    Ok(date.and_time(time).and_utc().timestamp_micros())
}

/// A value that parts are taken from.
struct Moment {
    /// What clocks show; of an interval and a time its microseconds alone.
    local: i64,
    /// Seconds since 1970, in microseconds.
    epoch: i64,
    /// Seconds east of UTC, where there is a zone.
    offset: Option<i32>,
    /// Months and days of an interval.
    span: Option<(i32, i32)>,
}

type Moments = Box<dyn Fn(usize) -> Option<Moment>>;

fn moments(array: &ArrayRef, of: &DataType, reading: Reading) -> Result<Moments> {
    Ok(match of {
        DataType::Interval(_) => {
            let spans = arrow_cast(array, &INTERVAL)?.as_primitive::<IntervalMonthDayNanoType>().clone();
            Box::new(move |row| {
                let span = spans.is_valid(row).then(|| spans.value(row))?;
                let local = span.nanoseconds / 1_000;
                // A year counts 365.25 days here, and a month 30.
                let (years, months) = (i64::from(span.months / 12), i64::from(span.months % 12));
                let days = years * 36_525 * 864 + (months * 30 + i64::from(span.days)) * 86_400;
                let epoch = days * 1_000_000 + local;
                Some(Moment { local, epoch, offset: None, span: Some((span.months, span.days)) })
            })
        }
        DataType::Time64(_) => {
            let times = arrow_cast(array, &DataType::Time64(TimeUnit::Microsecond))?;
            let times = times.as_primitive::<arrow::datatypes::Time64MicrosecondType>().clone();
            Box::new(move |row| {
                let local = times.is_valid(row).then(|| times.value(row))?;
                Some(Moment { local, epoch: local, offset: None, span: None })
            })
        }
        DataType::Timestamp(_, Some(_)) => {
            let times = micros(array, &zoned(), reading)?;
            Box::new(move |row| {
                let at = times.is_valid(row).then(|| times.value(row))?;
                let offset = Some(reading.zone.offset_at(at));
                Some(Moment { local: reading.zone.to_local(at), epoch: at, offset, span: None })
            })
        }
        _ => {
            let times = micros(array, &SHOWN, reading)?;
            Box::new(move |row| {
                let local = times.is_valid(row).then(|| times.value(row))?;
                Some(Moment { local, epoch: local, offset: None, span: None })
            })
        }
    })
}

impl Moment {
    /// A part of it, times ten to the power of `scale`; what has no fraction of its own ignores that.
    fn part(&self, unit: &str, scale: i8, of: &DataType) -> Result<Option<i128>> {
        let unit = unit.to_lowercase();
        let ten = 10_i128.pow(u32::from(scale.unsigned_abs()));
        let whole = |value: i64| Ok(Some(i128::from(value) * ten));
        let micros = |value: i64| Ok(Some(i128::from(value) * ten / 1_000_000));
        let in_day = match self.span {
            Some(_) => self.local,
            None => self.local.rem_euclid(86_400_000_000),
        };
        let is_date = *of == DataType::Date32;
        let is_time_unit = matches!(unit.as_str(), "hour" | "minute" | "second" | "seconds")
            || unit.starts_with("milli") && unit != "millennium"
            || unit.starts_with("micro");
        if is_date && (is_time_unit || unit.starts_with("timezone")) {
            return Err(unsupported_unit(&unit, of));
        }
        match unit.as_str() {
            "epoch" => return micros(self.epoch),
            "hour" => return whole(in_day / 3_600_000_000),
            "minute" => return whole(in_day / 60_000_000 % 60),
            "second" | "seconds" => return micros(in_day % 60_000_000),
            "millisecond" | "milliseconds" => {
                return Ok(Some(i128::from(in_day % 60_000_000) * ten / 1_000));
            }
            "microsecond" | "microseconds" => return whole(in_day % 60_000_000),
            "timezone" | "timezone_hour" | "timezone_minute" => {
                let offset = self.offset.ok_or_else(|| unsupported_unit(&unit, of))?;
                return whole(i64::from(match unit.as_str() {
                    "timezone" => offset,
                    "timezone_hour" => offset / 3_600,
                    _ => offset / 60 % 60,
                }));
            }
            _ => {}
        }
        if let Some((months, days)) = self.span {
            return whole(i64::from(match unit.as_str() {
                "day" => days,
                "month" => months % 12,
                "quarter" => months % 12 / 3 + 1,
                "year" => months / 12,
                "decade" => months / 12 / 10,
                "century" => months / 12 / 100,
                "millennium" => months / 12 / 1_000,
                "week" | "dow" | "doy" | "isodow" | "isoyear" | "julian" => {
                    return Err(unsupported_unit(&unit, of));
                }
                _ => return Err(no_unit(&unit, of)),
            }));
        }
        if matches!(of, DataType::Time64(_)) {
            return Err(no_unit(&unit, of));
        }
        let date = clock(self.local)?.date();
        let weekday = date.weekday();
        // There is no year 0: the year before 1 is -1.
        let year = if date.year() > 0 { date.year() } else { date.year() - 1 };
        let counted = |size: i32| match date.year() > 0 {
            true => (date.year() + size - 1) / size,
            false => -((size - date.year()) / size),
        };
        whole(i64::from(match unit.as_str() {
            "day" => date.day() as i32,
            "month" => date.month() as i32,
            "quarter" => date.month0() as i32 / 3 + 1,
            "year" => year,
            "isoyear" => {
                let iso = date.iso_week().year();
                if iso > 0 { iso } else { iso - 1 }
            }
            "week" => date.iso_week().week() as i32,
            "dow" => weekday.num_days_from_sunday() as i32,
            "isodow" => weekday.number_from_monday() as i32,
            "doy" => date.ordinal() as i32,
            "decade" => date.year().div_euclid(10),
            "century" => counted(100),
            "millennium" => counted(1_000),
            "julian" => {
                let days = i128::from(self.local.div_euclid(86_400_000_000) + JULIAN_1970);
                return Ok(Some(days * ten + i128::from(in_day) * ten / 86_400_000_000));
            }
            _ => return Err(no_unit(&unit, of)),
        }))
    }
}

/// The Julian day of 1970-01-01.
const JULIAN_1970: i64 = 2_440_588;
