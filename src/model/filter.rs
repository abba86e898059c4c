//! Filters are data: a typed tree checked against the object's fields, never text pasted into a query.

use crate::model::{FieldType, Micros};

/// A condition over the fields of one object, with SQL's three-valued logic.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// All hold; true when empty.
    And(Vec<Filter>),
    /// At least one holds; false when empty.
    Or(Vec<Filter>),
    /// Does not hold.
    Not(Box<Filter>),
    /// `field op literal`
    Compare {
        /// API name of the field.
        field: String,
        /// Its type.
        data_type: FieldType,
        /// The operator.
        op: Comparison,
        /// The other side.
        literal: Literal,
    },
    /// `field IN (literals)`
    In {
        /// API name of the field.
        field: String,
        /// Its type.
        data_type: FieldType,
        /// At least one.
        literals: Vec<Literal>,
    },
    /// `field IS NULL`
    IsNull {
        /// API name of the field.
        field: String,
    },
    /// `field LIKE pattern`, case-sensitive, `\` escapes
    Like {
        /// API name of the field.
        field: String,
        /// The pattern.
        pattern: String,
    },
    /// A boolean field by itself.
    IsTrue {
        /// API name of the field.
        field: String,
    },
}

/// A comparison operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Eq,
    /// `<>`
    NotEq,
    /// `<`
    Less,
    /// `<=`
    LessEq,
    /// `>`
    Greater,
    /// `>=`
    GreaterEq,
}

impl Comparison {
    /// The operator in SQL.
    pub fn sql(self) -> &'static str {
        match self {
            Comparison::Eq => "=",
            Comparison::NotEq => "<>",
            Comparison::Less => "<",
            Comparison::LessEq => "<=",
            Comparison::Greater => ">",
            Comparison::GreaterEq => ">=",
        }
    }
}

/// A constant. Numbers stay text, so that no digit is lost on the way.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// true or false
    Boolean(bool),
    /// An exact or approximate number as written: digits, point, sign, exponent.
    Number(String),
    /// Text.
    Text(String),
    /// A day, as days since 1970-01-01.
    Date(i32),
    /// A point in time, microseconds since 1970-01-01 (UTC for fields with a time zone).
    Timestamp(Micros),
}
