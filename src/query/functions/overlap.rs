//! `(a, b) OVERLAPS (c, d)`

use arrow::datatypes::DataType;

use super::clock::plus;
use super::row::{Args, Definition, Type, Value};
use crate::error::Result;
use crate::query::Zone;

const SPAN: Type = Type::Interval;
const SHOWN: Type = Type::Timestamp;
const POINT: Type = Type::TimestampTz;
const CLOCK: Type = Type::Time;

pub(super) const DEFINITIONS: &[Definition] = &[
    Definition::new("overlaps", &[SHOWN, SHOWN, SHOWN, SHOWN], Type::Bool, of_shown).lenient(),
    Definition::new("overlaps", &[SHOWN, SPAN, SHOWN, SPAN], Type::Bool, of_shown).lenient(),
    Definition::new("overlaps", &[SHOWN, SHOWN, SHOWN, SPAN], Type::Bool, of_shown).lenient(),
    Definition::new("overlaps", &[SHOWN, SPAN, SHOWN, SHOWN], Type::Bool, of_shown).lenient(),
    Definition::new("overlaps", &[POINT, POINT, POINT, POINT], Type::Bool, of_points).lenient(),
    Definition::new("overlaps", &[POINT, SPAN, POINT, SPAN], Type::Bool, of_points).lenient(),
    Definition::new("overlaps", &[POINT, POINT, POINT, SPAN], Type::Bool, of_points).lenient(),
    Definition::new("overlaps", &[POINT, SPAN, POINT, POINT], Type::Bool, of_points).lenient(),
    Definition::new("overlaps", &[CLOCK, CLOCK, CLOCK, CLOCK], Type::Bool, of_shown).lenient(),
];

fn of_shown(args: &Args<'_>) -> Result<Value> {
    Ok(overlap(range(args, 0, Zone::UTC)?, range(args, 2, Zone::UTC)?).into())
}

fn of_points(args: &Args<'_>) -> Result<Value> {
    let zone = args.call.zone;
    Ok(overlap(range(args, 0, zone)?, range(args, 2, zone)?).into())
}

/// The ends of a range, the second of which may be given by its distance.
fn range(args: &Args<'_>, from: usize, zone: Zone) -> Result<[Option<i64>; 2]> {
    let start = (!args.is_null(from)).then(|| args.micros(from));
    if args.is_null(from + 1) {
        return Ok([start, None]);
    }
    let (end, ..) = args.any(from + 1);
    let end = match (end.data_type(), start) {
        (DataType::Interval(_), None) => None,
        (DataType::Interval(_), Some(start)) => Some(plus(start, args.span(from + 1), zone)?),
        _ => Some(args.micros(from + 1)),
    };
    Ok([start, end])
}

/// Whether two ranges have a point in common; what that depends on may be unknown.
fn overlap(left: [Option<i64>; 2], right: [Option<i64>; 2]) -> Option<bool> {
    // The lesser end is the start, and an end that is unknown the later one.
    let ordered = |[one, other]: [Option<i64>; 2]| match (one, other) {
        (Some(one), Some(other)) => Some((one.min(other), Some(one.max(other)))),
        (one, other) => one.or(other).map(|start| (start, None)),
    };
    let ((left, left_end), (right, right_end)) = (ordered(left)?, ordered(right)?);
    let reaches = |start: i64, own_end: Option<i64>, end: Option<i64>| match start < end? {
        true => Some(true),
        false => own_end.map(|_| false),
    };
    match left.cmp(&right) {
        std::cmp::Ordering::Greater => reaches(left, left_end, right_end),
        std::cmp::Ordering::Less => reaches(right, right_end, left_end),
        std::cmp::Ordering::Equal => left_end.and(right_end).map(|_| true),
    }
}
