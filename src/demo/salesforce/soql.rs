//! SOQL as connectors send it: one object, fields and parent fields, conditions, order, limit. What Salesforce
//! refuses as malformed is refused here; grouping and subqueries are parsed far enough to be refused by name.

mod lexer;
mod parser;

pub(super) use parser::parse;

/// Longest query.
pub(super) const MOST_CHARACTERS: usize = 100_000;
/// Longest text in quotes.
pub(super) const MOST_TEXT: usize = 4_000;
/// Largest offset.
pub(super) const MOST_OFFSET: usize = 2_000;

/// A name with dots: `Account.Name`.
pub(super) type Path = Vec<String>;

/// A query.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Query {
    pub(super) select: Select,
    pub(super) from: String,
    pub(super) filter: Option<Condition>,
    pub(super) order: Vec<Order>,
    pub(super) limit: Option<usize>,
    pub(super) offset: Option<usize>,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Select {
    /// These fields.
    Fields(Vec<Path>),
    /// `FIELDS(ALL)`, `FIELDS(STANDARD)`, `FIELDS(CUSTOM)`, in capitals.
    Kind(String),
    /// `COUNT()`.
    Count,
}

/// A condition.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Condition {
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Not(Box<Condition>),
    Compare { path: Path, operator: Operator, value: Literal },
    In { path: Path, values: Vec<Literal>, negated: bool },
    Includes { path: Path, values: Vec<String>, negated: bool },
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Like,
}

/// A value in a query.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    /// Milliseconds.
    Time(i64),
    /// A day, by its first millisecond.
    Date(i64),
    /// `TODAY`, `LAST_N_DAYS:30`: days from today, first and last.
    Days(i64, i64),
}

/// One sort key.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Order {
    pub(super) path: Path,
    pub(super) descending: bool,
    pub(super) nulls_last: bool,
}
