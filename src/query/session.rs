//! One client's conversation: settings, transaction, prepared statements, pinned release.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::execution::SendableRecordBatchStream;
use tokio::sync::mpsc;

use super::engine::Engine;
use super::parse::{self, Parsed};
use crate::error::{Error, Result};

/// Who a session belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionUser {
    /// Login name.
    pub name: String,
    /// Whether everything may be read and changed.
    pub is_admin: bool,
    /// Number of the session, as shown by `pg_backend_pid()`.
    pub session_id: i32,
}

/// A message beside the result, sent while a statement runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// `NOTICE`, `WARNING` or `INFO`.
    pub severity: &'static str,
    /// SQLSTATE, `00000` for a plain notice.
    pub sqlstate: &'static str,
    /// What is said.
    pub message: String,
    /// The facts beside it.
    pub detail: Option<String>,
    /// What the reader can do.
    pub hint: Option<String>,
}

impl Notice {
    /// A plain notice.
    pub fn new(message: impl Into<String>) -> Self {
        Notice { severity: "NOTICE", sqlstate: "00000", message: message.into(), detail: None, hint: None }
    }

    /// A warning.
    pub fn warning(sqlstate: &'static str, message: impl Into<String>) -> Self {
        Notice { severity: "WARNING", sqlstate, message: message.into(), detail: None, hint: None }
    }
}

/// Where notices go. Sending to a client that has gone is no error.
pub type NoticeSender = mpsc::UnboundedSender<Notice>;

/// What `ReadyForQuery` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionStatus {
    /// No transaction.
    Idle,
    /// In a transaction.
    InTransaction,
    /// In a transaction that failed; only its end is accepted.
    Failed,
}

/// What a statement is, as far as the wire has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatementKind {
    /// Nothing between the semicolons.
    Empty,
    /// Gives rows of data.
    Query,
    /// `COPY (query) TO STDOUT`.
    CopyOut,
    /// `CALL`.
    Call,
    /// Anything else.
    Other,
}

/// A statement with the types of its parameters and of its result.
#[derive(Debug, Clone)]
pub struct Prepared {
    parsed: Parsed,
    schema: Option<SchemaRef>,
    parameters: Vec<DataType>,
}

impl Prepared {
    /// The statement.
    pub fn parsed(&self) -> &Parsed {
        &self.parsed
    }

    /// The columns of its result; `None` when it gives no rows.
    pub fn schema(&self) -> Option<&SchemaRef> {
        self.schema.as_ref()
    }

    /// The types of `$1`, `$2` ...
    pub fn parameters(&self) -> &[DataType] {
        &self.parameters
    }
}

/// The outcome of a statement.
pub enum Execution {
    /// Rows, produced while they are read. Dropping the stream stops the work.
    Rows {
        /// The columns; names may repeat.
        schema: SchemaRef,
        /// The rows.
        stream: SendableRecordBatchStream,
        /// `SELECT`, `SHOW`, `EXPLAIN`, `CALL`, `COPY` ...
        tag: String,
        /// Whether the number of rows belongs to the tag, as in `SELECT 3`.
        count_in_tag: bool,
    },
    /// No rows.
    Done {
        /// `SET`, `BEGIN` ...; empty for an empty statement.
        tag: String,
    },
}

/// One client's session. All methods may be called from the network's runtime.
pub struct Session {
    engine: Arc<Engine>,
    who: SessionUser,
}

impl Session {
    pub(super) fn new(engine: Arc<Engine>, who: SessionUser) -> Self {
        Session { engine, who }
    }

    /// The statements in a text. The guards against oversized and too deeply nested texts come first.
    pub fn parse(&self, sql: &str) -> Result<Vec<Parsed>> {
        parse::parse(sql, self.engine.verbs.describe())
    }

    /// Plans a statement as far as its parameters and columns are known.
    pub async fn prepare(&self, parsed: &Parsed, declared: &[Option<DataType>]) -> Result<Prepared> {
        let _ = (parsed, declared, &self.engine, &self.who);
        Err(Error::internal("not built yet"))
    }

    /// Runs a statement; plans it anew when the release has moved since. `statement_timeout` begins here and also
    /// covers the rows.
    pub async fn execute(
        &self,
        prepared: &Prepared,
        parameters: Vec<ScalarValue>,
        notices: NoticeSender,
    ) -> Result<Execution> {
        let _ = (prepared, parameters, notices);
        Err(Error::internal("not built yet"))
    }

    /// Stops what runs now: its future or stream ends with 57014. A `CALL` is told to stop, too.
    pub fn cancel(&self) {}

    /// What `ReadyForQuery` says.
    pub fn transaction(&self) -> TransactionStatus {
        TransactionStatus::Idle
    }

    /// Marks the transaction, if there is one, as failed. To be called with every error sent to the client.
    pub fn fail_transaction(&self) {}

    /// The value of a setting, as `SHOW` prints it.
    pub fn setting(&self, name: &str) -> Option<String> {
        let _ = name;
        None
    }

    /// How long a statement may take.
    pub fn statement_timeout(&self) -> Option<Duration> {
        None
    }

    /// Takes a parameter of the startup message; it becomes the value `RESET` goes back to.
    pub fn set_startup(&self, name: &str, value: &str) -> Result<()> {
        let _ = (name, value);
        Ok(())
    }

    /// Settings whose change the client is told about (`ParameterStatus`) that changed since the last call.
    pub fn take_reported(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Who the session belongs to.
    pub fn user(&self) -> &SessionUser {
        &self.who
    }
}
