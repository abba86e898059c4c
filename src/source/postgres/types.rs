//! PostgreSQL's types: in which type each is kept, and how a value travels from there to here.

use super::columns::Base;
use super::name::quote;
use crate::model::FieldType;

/// A base type as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Native {
    Boolean,
    Int16,
    Int32,
    Int64,
    /// `oid`, `xid`, `cid`: unsigned 32 bits.
    Unsigned,
    Float32,
    Float64,
    Numeric,
    Money,
    /// Types whose binary form is their UTF-8 text.
    Text,
    /// `char(n)`, padded with spaces that mean nothing.
    Padded,
    Jsonb,
    Uuid,
    Bytes,
    Date,
    Timestamp,
    TimestampTz,
    Composite,
    /// Read as the server's own text.
    Other,
}

fn native(base: &Base) -> Native {
    match base.kind {
        'e' => return Native::Text,
        'c' => return Native::Composite,
        'b' => {}
        _ => return Native::Other,
    }
    match base.oid {
        16 => Native::Boolean,
        21 => Native::Int16,
        23 => Native::Int32,
        20 => Native::Int64,
        26 | 28 | 29 => Native::Unsigned,
        700 => Native::Float32,
        701 => Native::Float64,
        1700 => Native::Numeric,
        790 => Native::Money,
        25 | 1043 | 19 | 114 => Native::Text,
        1042 => Native::Padded,
        3802 => Native::Jsonb,
        2950 => Native::Uuid,
        17 => Native::Bytes,
        1082 => Native::Date,
        1114 => Native::Timestamp,
        1184 => Native::TimestampTz,
        _ => Native::Other,
    }
}

/// The type in which a column is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Decided by the declaration alone, with a note for people.
    As(FieldType, Option<String>),
    /// `numeric` without precision, or a list of them: its values decide.
    BySample {
        /// Whether it is an array.
        list: bool,
    },
    /// `money`: the server's locale decides how many fraction digits there are.
    Money {
        /// Whether it is an array.
        list: bool,
    },
}

/// Decides how a column is kept.
pub(crate) fn kept(base: &Base, type_name: &str) -> Kept {
    let text = |why: &str| Kept::As(FieldType::Text, Some(format!("kept as text: {why}")));
    match base.arrays {
        0 => {}
        1 if native(base) == Native::Composite => return text("an array of records, as JSON"),
        1 => return list(base, type_name),
        _ => return text("an array of arrays, as JSON"),
    }
    let exact = |data_type| Kept::As(data_type, None);
    match native(base) {
        Native::Boolean => exact(FieldType::Boolean),
        Native::Int16 => exact(FieldType::Int16),
        Native::Int32 => exact(FieldType::Int32),
        Native::Int64 | Native::Unsigned => exact(FieldType::Int64),
        Native::Float32 => exact(FieldType::Float32),
        Native::Float64 => exact(FieldType::Float64),
        Native::Numeric if base.modifier < 4 => Kept::BySample { list: false },
        Native::Numeric => numeric(base.modifier, type_name),
        Native::Money => Kept::Money { list: false },
        Native::Text | Native::Uuid | Native::Jsonb => exact(FieldType::Text),
        Native::Padded => {
            Kept::As(FieldType::Text, Some("the padding spaces at the end are left out".into()))
        }
        Native::Bytes => exact(FieldType::Bytes),
        Native::Date => exact(FieldType::Date),
        Native::Timestamp => exact(FieldType::Timestamp),
        Native::TimestampTz => exact(FieldType::TimestampTz),
        Native::Composite => text("a record, as JSON"),
        Native::Other => text(&format!("there is no column type like `{type_name}`")),
    }
}

fn list(base: &Base, type_name: &str) -> Kept {
    const FLAT: &str = "arrays of more than one dimension become NULL and are counted";
    match kept(&Base { arrays: 0, ..base.clone() }, type_name) {
        Kept::As(element, _) => Kept::As(FieldType::List(Box::new(element)), Some(FLAT.into())),
        Kept::BySample { .. } => Kept::BySample { list: true },
        Kept::Money { .. } => Kept::Money { list: true },
    }
}

/// `numeric(p,s)`. A negative scale means zeros before the point; a scale above the precision, zeros after it.
fn numeric(modifier: i32, type_name: &str) -> Kept {
    let precision = ((modifier - 4) >> 16) & 0xffff;
    // Eleven bits, signed since PostgreSQL 15; earlier servers never set the sign bit.
    let scale = (((modifier - 4) & 0x7ff) ^ 0x400) - 0x400;
    let (digits, scale) = if scale < 0 { (precision - scale, 0) } else { (precision.max(scale), scale) };
    if digits > 38 {
        let note = format!("kept as text: `{type_name}` has more than 38 digits");
        return Kept::As(FieldType::Text, Some(note));
    }
    Kept::As(FieldType::Decimal(digits as u8, scale as i8), None)
}

/// How the values of a column arrive and what becomes of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Codec {
    Boolean,
    /// Integers of 2, 4 or 8 bytes into one of 2.
    Int16,
    /// Integers of 2, 4 or 8 bytes into one of 4.
    Int32,
    /// Integers of 2, 4 or 8 bytes into one of 8.
    Int64,
    /// Unsigned integers of 4 bytes.
    Unsigned,
    /// `numeric` into an integer.
    NumericInt64,
    Float32,
    /// Floats of 4 or 8 bytes.
    Float64,
    Decimal(u8, i8),
    Text,
    Padded,
    Jsonb,
    Uuid,
    Bytes,
    Date,
    Timestamp,
    TimestampTz,
    List(Box<Codec>),
}

/// The expression to select for a column and what arrives for it; `None` when values of the column's type cannot
/// be kept as `target`.
pub(crate) fn transfer(column: &str, base: &Base, target: &FieldType) -> Option<(String, Codec)> {
    let quoted = quote(column);
    let json = || Some((format!("to_jsonb({quoted})::text"), Codec::Text));
    match (base.arrays, target) {
        (0, FieldType::List(_)) => None,
        (0, FieldType::Text) if native(base) == Native::Composite => json(),
        (0, _) => {
            let (cast, codec) = scalar(native(base), target)?;
            Some((cast.map_or_else(|| quoted.clone(), |cast| format!("{quoted}::{cast}")), codec))
        }
        (1, FieldType::List(element)) if native(base) != Native::Composite => {
            let (cast, codec) = scalar(native(base), element)?;
            let lists = |cast: &str| format!("{quoted}::{}[]", cast.replace("::", "[]::"));
            let expression = cast.map_or_else(|| quoted.clone(), lists);
            Some((expression, Codec::List(Box::new(codec))))
        }
        (_, FieldType::Text) => json(),
        _ => None,
    }
}

fn scalar(native: Native, target: &FieldType) -> Option<(Option<&'static str>, Codec)> {
    let integer = matches!(native, Native::Int16 | Native::Int32 | Native::Int64);
    let number = integer || matches!(native, Native::Unsigned | Native::Numeric | Native::Money);
    let plain = |codec| Some((None, codec));
    match target {
        FieldType::Boolean if native == Native::Boolean => plain(Codec::Boolean),
        FieldType::Int16 if integer => plain(Codec::Int16),
        FieldType::Int32 if integer => plain(Codec::Int32),
        FieldType::Int64 if integer => plain(Codec::Int64),
        FieldType::Int64 if native == Native::Unsigned => plain(Codec::Unsigned),
        FieldType::Int64 if native == Native::Numeric => plain(Codec::NumericInt64),
        FieldType::Float32 if native == Native::Float32 => plain(Codec::Float32),
        FieldType::Float64 if matches!(native, Native::Float32 | Native::Float64) => plain(Codec::Float64),
        FieldType::Float64 if native == Native::Unsigned => Some((Some("bigint::float8"), Codec::Float64)),
        FieldType::Float64 if native == Native::Money => Some((Some("numeric::float8"), Codec::Float64)),
        FieldType::Float64 if number => Some((Some("float8"), Codec::Float64)),
        FieldType::Decimal(precision, scale) if number => {
            let cast = match native {
                Native::Numeric => None,
                Native::Unsigned => Some("bigint::numeric"),
                _ => Some("numeric"),
            };
            Some((cast, Codec::Decimal(*precision, *scale)))
        }
        FieldType::Bytes if native == Native::Bytes => plain(Codec::Bytes),
        FieldType::Date if native == Native::Date => plain(Codec::Date),
        FieldType::Timestamp if native == Native::Date => Some((Some("timestamp"), Codec::Timestamp)),
        FieldType::TimestampTz if native == Native::Date => Some((Some("timestamptz"), Codec::TimestampTz)),
        // The session's time zone is UTC: both have the same bits.
        FieldType::Timestamp if matches!(native, Native::Timestamp | Native::TimestampTz) => {
            plain(Codec::Timestamp)
        }
        FieldType::TimestampTz if matches!(native, Native::Timestamp | Native::TimestampTz) => {
            plain(Codec::TimestampTz)
        }
        FieldType::Text => match native {
            Native::Text => plain(Codec::Text),
            Native::Padded => plain(Codec::Padded),
            Native::Jsonb => plain(Codec::Jsonb),
            Native::Uuid => plain(Codec::Uuid),
            Native::Money => Some((Some("numeric::text"), Codec::Text)),
            _ => Some((Some("text"), Codec::Text)),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(oid: u32, modifier: i32, arrays: u8) -> Base {
        Base { oid, kind: 'b', modifier, arrays }
    }

    #[test]
    fn numeric_modifiers_become_precision_and_scale() {
        for (modifier, expected) in [
            (1_179_656, FieldType::Decimal(18, 4)),
            // numeric(5,-2) holds up to 9999900.
            (329_730, FieldType::Decimal(7, 0)),
            // numeric(2,5) holds up to 0.00099.
            (((2 << 16) | 5) + 4, FieldType::Decimal(5, 5)),
            (((38 << 16) | 38) + 4, FieldType::Decimal(38, 38)),
        ] {
            assert_eq!(kept(&base(1700, modifier, 0), "numeric"), Kept::As(expected, None));
        }
        let Kept::As(wide, Some(note)) = kept(&base(1700, (39 << 16) + 4, 0), "numeric(39,0)") else {
            panic!()
        };
        assert_eq!(wide, FieldType::Text);
        assert!(note.contains("numeric(39,0)"));
        assert_eq!(kept(&base(1700, -1, 1), "numeric[]"), Kept::BySample { list: true });
    }

    #[test]
    fn every_kept_type_can_be_transferred() {
        for oid in
            [16, 21, 23, 20, 26, 700, 701, 790, 25, 1042, 3802, 2950, 17, 1082, 1083, 1114, 1184, 1186, 869]
        {
            for arrays in [0, 1, 2] {
                let base = base(oid, -1, arrays);
                let data_type = match kept(&base, "t") {
                    Kept::As(data_type, _) => data_type,
                    Kept::Money { list: false } => FieldType::Decimal(20, 2),
                    _ => FieldType::List(Box::new(FieldType::Decimal(20, 2))),
                };
                assert!(transfer("c", &base, &data_type).is_some(), "{oid} {arrays} {data_type}");
                assert!(transfer("c", &base, &FieldType::Text).is_some(), "everything can be kept as text");
            }
        }
        assert_eq!(transfer("a\"b", &base(25, -1, 0), &FieldType::Text).unwrap().0, "\"a\"\"b\"");
        assert_eq!(
            transfer("c", &base(25, -1, 0), &FieldType::Int32),
            None,
            "text is never parsed as a number"
        );
    }
}
