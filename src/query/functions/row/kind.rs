//! The types in the signatures of functions.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};

use crate::query::PG_TYPE;
use crate::query::functions::cast::{Target, sql_name};
use crate::query::functions::datetime::{SHOWN, zoned};
use crate::query::functions::interval::INTERVAL;
use crate::query::functions::number::{is_float, is_integer, is_numeric};

/// A type in the signature of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::query) enum Type {
    Bool,
    Int4,
    Int8,
    Float8,
    Numeric,
    Text,
    Bytea,
    Date,
    Time,
    Timestamp,
    TimestampTz,
    Interval,
    Json,
    Jsonb,
    Uuid,
    Regtype,
    Texts,
    /// Arrays of texts, one for each row of a set.
    TextLists,
    Int4s,
    Int8s,
    Float8s,
    Timestamps,
    TimestampTzs,
    Jsons,
    Jsonbs,
    /// An array of anything.
    AnyArray,
    /// Anything, as it is.
    Any,
    /// The type of an argument; only as a result.
    Same(usize),
    /// The type of the elements of an argument; only as a result.
    ElementOf(usize),
    /// An array of elements of the type of an argument; only as a result.
    ArrayOf(usize),
}

/// The name of the type of a field as messages show it.
pub(in crate::query) fn shown_type(field: &Field) -> String {
    let name = |name: &str| match name {
        "varchar" => "character varying".to_string(),
        "bpchar" => "character".to_string(),
        "char" => "\"char\"".to_string(),
        other => other.to_string(),
    };
    match field.metadata().get(PG_TYPE).map(String::as_str) {
        Some("numeric") | None => sql_name(field.data_type()),
        Some(array) if array.starts_with('_') => format!("{}[]", name(&array[1..])),
        Some(tag) => name(tag),
    }
}

fn list(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("element", element, true)))
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Whether a constant without a type could become one of several kinds of types here, none of which is text: then
/// nobody knows which one it is.
pub(super) fn are_of_several_kinds(types: impl Iterator<Item = Type>) -> bool {
    let mut first = None;
    let mut several = false;
    for found in types {
        let Some(category) = found.category() else { return false };
        several |= *first.get_or_insert(category) != category;
    }
    several
}

impl Type {
    /// The letter of PostgreSQL's category of the type; `None` for text and for what takes anything.
    fn category(self) -> Option<char> {
        Some(match self {
            Type::Bool => 'B',
            Type::Int4 | Type::Int8 | Type::Float8 | Type::Numeric | Type::Regtype => 'N',
            Type::Date | Type::Time | Type::Timestamp | Type::TimestampTz => 'D',
            Type::Interval => 'T',
            Type::Bytea | Type::Json | Type::Jsonb | Type::Uuid => 'U',
            Type::Texts
            | Type::TextLists
            | Type::Int4s
            | Type::Int8s
            | Type::Float8s
            | Type::Timestamps
            | Type::TimestampTzs
            | Type::Jsons
            | Type::Jsonbs => 'A',
            Type::Text
            | Type::AnyArray
            | Type::Any
            | Type::Same(_)
            | Type::ElementOf(_)
            | Type::ArrayOf(_) => return None,
        })
    }

    /// The name of the type in PostgreSQL's catalog, where Arrow's does not tell it.
    fn tag(self) -> Option<&'static str> {
        Some(match self {
            Type::Json => "json",
            Type::Jsonb => "jsonb",
            Type::Uuid => "uuid",
            Type::Regtype => "regtype",
            // Told from a constant without a type, once a call has been worked out.
            Type::Text => "text",
            Type::Jsons => "_json",
            Type::Jsonbs => "_jsonb",
            _ => return None,
        })
    }

    /// The Arrow type; `None` where it is that of an argument.
    fn arrow(self) -> Option<DataType> {
        Some(match self {
            Type::Bool => DataType::Boolean,
            Type::Int4 => DataType::Int32,
            Type::Int8 | Type::Regtype => DataType::Int64,
            Type::Float8 => DataType::Float64,
            Type::Numeric => DataType::Decimal256(76, super::SCALE as i8),
            Type::Text | Type::Json | Type::Jsonb | Type::Uuid => DataType::Utf8,
            Type::Bytea => DataType::Binary,
            Type::Date => DataType::Date32,
            Type::Time => DataType::Time64(TimeUnit::Microsecond),
            Type::Timestamp => SHOWN,
            Type::TimestampTz => zoned(),
            Type::Interval => INTERVAL,
            Type::Texts | Type::Jsons | Type::Jsonbs => list(DataType::Utf8),
            Type::TextLists => list(list(DataType::Utf8)),
            Type::Int4s => list(DataType::Int32),
            Type::Int8s => list(DataType::Int64),
            Type::Float8s => list(DataType::Float64),
            Type::Timestamps => list(SHOWN),
            Type::TimestampTzs => list(zoned()),
            Type::AnyArray | Type::Any | Type::Same(_) | Type::ElementOf(_) | Type::ArrayOf(_) => {
                return None;
            }
        })
    }

    /// The Arrow type and the name in the catalog of a result.
    pub(super) fn field(self, args: &[FieldRef]) -> (DataType, Option<String>) {
        match self {
            Type::Same(at) => match args.get(at) {
                Some(arg) if *arg.data_type() != DataType::Null => {
                    (arg.data_type().clone(), arg.metadata().get(PG_TYPE).cloned())
                }
                _ => (DataType::Utf8, None),
            },
            Type::ElementOf(at) => match args.get(at).map(|arg| (arg.data_type(), arg)) {
                Some((DataType::List(element), arg)) => {
                    let tag = arg.metadata().get(PG_TYPE).map(|tag| tag.trim_start_matches('_').to_string());
                    (element.data_type().clone(), tag)
                }
                _ => (DataType::Utf8, None),
            },
            Type::ArrayOf(at) => {
                let (element, tag) = Type::Same(at).field(args);
                (list(element), tag.map(|tag| format!("_{tag}")))
            }
            other => (other.arrow().unwrap_or(DataType::Utf8), other.tag().map(str::to_string)),
        }
    }

    /// What an argument is cast to before the call; `None` leaves it as it is.
    pub(super) fn target(self, from: &DataType) -> Option<(Target, DataType)> {
        match self {
            // Numbers are read in whatever type they have.
            Type::Numeric if is_integer(from) || is_numeric(from) => None,
            Type::Numeric => Some((Target::Numeric, DataType::Decimal256(76, super::SCALE as i8))),
            Type::Json => Some((Target::Tagged("json"), DataType::Utf8)),
            Type::Jsonb => Some((Target::Tagged("jsonb"), DataType::Utf8)),
            Type::Uuid => Some((Target::Tagged("uuid"), DataType::Utf8)),
            other => other.arrow().map(|data_type| (Target::Exact(data_type.clone()), data_type)),
        }
    }

    /// How far an argument is from this; `None` where it does not fit.
    pub(super) fn distance(self, arg: &Field, is_unknown: bool) -> Option<u32> {
        let data_type = arg.data_type();
        if is_unknown {
            return Some(match self {
                Type::Text => 1,
                Type::AnyArray => return None,
                _ => 2,
            });
        }
        let tag = arg.metadata().get(PG_TYPE).map(String::as_str);
        let is_plain_text = is_text(data_type)
            && matches!(tag, None | Some("text" | "varchar" | "bpchar" | "name" | "char" | "unknown"));
        let when = |fits: bool, distance: u32| fits.then_some(distance);
        match self {
            Type::Any => Some(8),
            Type::AnyArray => when(matches!(data_type, DataType::List(_)), 1),
            Type::Same(_) | Type::ElementOf(_) | Type::ArrayOf(_) => None,
            Type::TextLists | Type::Timestamps | Type::TimestampTzs => None,
            Type::Text => when(is_plain_text, u32::from(tag.is_some_and(|tag| tag != "text"))),
            Type::Json | Type::Jsonb | Type::Uuid | Type::Regtype => when(tag == self.tag(), 0),
            Type::Jsons | Type::Jsonbs => when(tag == self.tag(), 0),
            Type::Bool => when(*data_type == DataType::Boolean, 0),
            Type::Int4 => match data_type {
                DataType::Int32 => Some(0),
                DataType::Int16 | DataType::Int8 => Some(1),
                _ => None,
            },
            Type::Int8 => match data_type {
                DataType::Int64 | DataType::UInt64 => Some(0),
                other if is_integer(other) => Some(2),
                _ => None,
            },
            Type::Numeric => match data_type {
                other if is_numeric(other) => Some(0),
                other if is_integer(other) => Some(3),
                _ => None,
            },
            Type::Float8 => match data_type {
                DataType::Float64 => Some(0),
                DataType::Float32 => Some(1),
                other if is_numeric(other) => Some(2),
                // The preferred one of the number types.
                other if is_integer(other) => Some(2),
                _ => None,
            },
            Type::Timestamp => match data_type {
                DataType::Timestamp(_, None) => Some(0),
                DataType::Date32 => Some(2),
                _ => None,
            },
            Type::TimestampTz => match data_type {
                DataType::Timestamp(_, Some(_)) => Some(0),
                DataType::Date32 | DataType::Timestamp(_, None) => Some(1),
                _ => None,
            },
            Type::Time => when(matches!(data_type, DataType::Time64(_) | DataType::Time32(_)), 0),
            Type::Interval => when(matches!(data_type, DataType::Interval(_) | DataType::Duration(_)), 0),
            Type::Bytea => {
                when(matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView), 0)
            }
            Type::Date => when(*data_type == DataType::Date32, 0),
            Type::Float8s => match data_type {
                DataType::List(element) => {
                    let element = element.data_type();
                    when(is_numeric(element) || is_integer(element) || is_float(element), 1)
                }
                _ => None,
            },
            Type::Texts | Type::Int4s | Type::Int8s => match (data_type, self.arrow()) {
                (DataType::List(element), Some(DataType::List(wanted))) => {
                    let is_narrow = is_integer(element.data_type()) && is_integer(wanted.data_type());
                    let same = element.data_type() == wanted.data_type();
                    when(same || is_narrow, u32::from(!same))
                }
                _ => None,
            },
        }
    }
}
