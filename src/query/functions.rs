//! Functions and operators as PostgreSQL has them, where the planner's own differ.

pub(super) mod aggregate;
pub(super) mod arithmetic;
mod arrays;
pub(super) mod cast;
mod clock;
pub(super) mod collect;
pub(super) mod datetime;
pub(super) mod division;
mod exact;
pub(super) mod interval;
pub(super) mod json;
mod moment_input;
pub(super) mod number;
pub(super) mod ordered;
mod overlap;
mod pattern;
pub(in crate::query) mod quantified;
mod regex;
pub(super) mod registry;
pub(super) mod relation;
pub(super) mod rounding;
pub(super) mod row;
pub(super) mod rowsets;
mod setting;
pub(super) mod shown;
pub(super) mod spread;
pub(super) mod system;
pub(super) mod text;
mod typing;
mod words;

pub use self::moment_input::{parse_date, parse_time, parse_timestamp, parse_timestamptz};
use self::row::Definition;

/// The functions of single values.
const DEFINITIONS: &[&[Definition]] = &[
    arrays::DEFINITIONS,
    clock::DEFINITIONS,
    ordered::DEFINITIONS,
    overlap::DEFINITIONS,
    typing::DEFINITIONS,
    pattern::DEFINITIONS,
    spread::DEFINITIONS,
    regex::DEFINITIONS,
    words::DEFINITIONS[0],
    words::DEFINITIONS[1],
    words::DEFINITIONS[2],
    words::DEFINITIONS[3],
    json::DEFINITIONS[0],
    json::DEFINITIONS[1],
    json::DEFINITIONS[2],
    json::DEFINITIONS[3],
    json::DEFINITIONS[4],
    json::DEFINITIONS[5],
];
