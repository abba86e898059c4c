//! SQL: sessions, statements and their execution over one release of the company.
//!
//! The wire hands text to a [`Session`] in three steps: [`Session::parse`], [`Session::prepare`],
//! [`Session::execute`]. Planning and execution happen on the [`Engine`]'s own runtime, so that a heavy
//! statement never keeps the network waiting; results come back through a channel of a few batches, and
//! dropping the stream stops the work.
//!
//! The fields of a result carry what an Arrow type cannot say in their metadata: see [`PG_TYPE`].

// Rules on trees read better nested, one question a level, and ranges of digits in rising order.
#![allow(
    clippy::collapsible_if,
    clippy::collapsible_match,
    clippy::match_overlapping_arm,
    clippy::new_ret_no_self
)]
#![allow(clippy::bool_assert_comparison)]

mod absent;
mod as_of;
mod asked;
mod call;
mod catalog;
mod copies;
mod correlated;
mod deep;
mod diff;
mod doomed;
mod engine;
mod error;
mod functions;
mod guard;
mod history;
mod in_turn;
mod interrupt;
mod membership;
mod newest;
mod notify;
mod output;
mod parse;
mod pin;
mod plan;
mod quick;
mod resolve;
mod run;
mod same_type;
mod session;
mod settings;
mod shield;
mod single_distinct;
mod tables;
mod ties;
mod typing;
mod unions;
mod unkeyed;
mod value;
mod verb;
mod zone;

pub use datafusion::common::ScalarValue;
pub use datafusion::execution::SendableRecordBatchStream;

pub use catalog::facts::{
    CatalogColumn, CatalogFacts, CatalogRole, CatalogSchema, CatalogTable, FIRST_OID, OIDS_OF_ONE, Readers,
    comment as catalog_comment,
};
pub use catalog::type_name;
pub use engine::{Engine, EngineConfig};
pub use error::translate;
pub use functions::interval::Span;
pub use functions::{parse_date, parse_time, parse_timestamp, parse_timestamptz};
pub use notify::Notification;
pub use parse::{CopyFormat, CopyOptions, ForceQuote, Parsed, redact};
pub use pin::KeptRelease;
pub use session::{
    Ends, Execution, Kept, KeptQuery, Notice, NoticeSender, Prepared, Session, SessionUser, StatementKind,
    TransactionStatus,
};
pub use settings::{DateForm, DateOrder, DateStyle, IntervalStyle, Reading, Style, general};
pub use tables::{AsOf, Constant, Hidden, SystemTable, SystemTables, Tables, Wanted};
pub use value::{column_type, parse_value, print_values, print_values_in};
pub use verb::{AdminStatement, GrantTarget, Password, VerbCall, VerbParam, VerbSignature, Verbs};
pub use zone::Zone;

/// Metadata key of a result field: the PostgreSQL type name where it is not the one its Arrow type stands for,
/// for example `name`, `oid`, or `numeric`. A `numeric` kept as Arrow text holds the exact decimal text with the
/// digits PostgreSQL would print; it has to be sent as a numeric in either format.
pub const PG_TYPE: &str = "pg.type";
