//! One client's conversation: settings, transaction, prepared statements, pinned release.

mod command;
mod cursor;
mod explain;
mod kept;
mod rows;
mod transaction;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::cursor::Cursors;
pub use self::kept::{Kept, KeptQuery};
use self::transaction::{Ended, Transaction};
use super::as_of;
use super::catalog::Catalog;
use super::deep::Deep;
use super::engine::Engine;
use super::functions::system::Facts;
use super::notify::{Mailbox, Notification};
use super::parse::{self, Command, Parsed};
use super::pin::Pin;
use super::run::Limits;
use super::settings::Reading;
use super::settings::{AS_OF, Settings, SharedSettings, Style};
use super::tables::AsOf;
use crate::error::{Error, Kind, Result};
use crate::model::{Micros, Release, now_micros};

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

/// The two ends of a client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// Where the client reached the server.
    pub server: SocketAddr,
    /// Where the client is.
    pub client: SocketAddr,
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
    /// `COPY (query) TO STDOUT`: its rows are to be sent as COPY data, see [`Parsed::copy_options`].
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
    /// Of those parameters whose type is not the one their Arrow type stands for.
    type_names: Vec<Option<String>>,
    plan: Option<Arc<Planned>>,
}

/// A plan without parameters, for the release, the reading of times and the search path it was made in.
#[derive(Debug)]
struct Planned {
    release: i64,
    reading: Reading,
    path: Vec<String>,
    /// Where the statement asks it.
    catalog: Option<Arc<Catalog>>,
    /// The version of definitions and rights, where these decide what is read.
    rights: Option<i64>,
    plan: Deep<LogicalPlan>,
    /// How it is executed, where that gives the same whenever it is.
    answer: OnceLock<Arc<dyn ExecutionPlan>>,
}

impl Prepared {
    fn without_rows(parsed: &Parsed) -> Self {
        let (parameters, type_names) = (Vec::new(), Vec::new());
        Prepared { parsed: parsed.clone(), schema: None, parameters, type_names, plan: None }
    }

    /// The statement.
    pub fn parsed(&self) -> &Parsed {
        &self.parsed
    }

    /// The columns of its result; `None` when it gives no rows.
    pub fn schema(&self) -> Option<&SchemaRef> {
        // The columns of a cursor are those of its FETCH.
        self.schema.as_ref().filter(|_| !matches!(self.parsed.command(), Command::Declare { .. }))
    }

    /// The types of `$1`, `$2` ... A numeric one takes values of any precision and scale.
    pub fn parameters(&self) -> &[DataType] {
        &self.parameters
    }

    /// PostgreSQL's name of a parameter's type where it is not the one its Arrow type stands for, such as `uuid`,
    /// which is text here.
    pub fn type_name(&self, parameter: usize) -> Option<&str> {
        self.type_names.get(parameter)?.as_deref()
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
    settings: SharedSettings,
    mailbox: Arc<Mailbox>,
    /// What `now()` is, where it is not the time of the statement.
    moment: Option<Micros>,
    ends: OnceLock<Ends>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    transaction: Transaction,
    cursors: Cursors,
    /// `PREPARE name`.
    named: HashMap<String, Named>,
    /// The release that the setting's text stands for where times are read so.
    as_of: Option<((String, Reading), Arc<Release>)>,
    current: CancellationToken,
}

impl Inner {
    /// Ends the transaction, and with it what lives as long. It is rolled back where its messages cannot be sent.
    fn end(&mut self, settings: &mut Settings, mailbox: &Mailbox, commit: bool) -> Result<Ended> {
        let sent = match commit && !self.transaction.has_failed() {
            true => mailbox.commit(),
            false => {
                mailbox.abort();
                Ok(())
            }
        };
        let ended = self.transaction.end(settings, commit && sent.is_ok());
        match ended {
            Ended::None => {}
            Ended::Implicit => self.cursors.end_transaction(commit && sent.is_ok()),
            Ended::Committed | Ended::RolledBack => self.cursors.end_transaction(ended == Ended::Committed),
        }
        // What was to last as long as a transaction lasts no longer where there was none.
        settings.end_transaction();
        sent.map(|()| ended)
    }
}

#[derive(Clone)]
struct Named {
    statement: Parsed,
    types: Vec<Option<DataType>>,
}

impl Session {
    pub(super) fn new(engine: Arc<Engine>, who: SessionUser) -> Self {
        let settings = Arc::new(Mutex::new(Settings::new(&who.name, who.is_admin)));
        let mailbox = Arc::new(engine.post.open(&who));
        Session {
            engine,
            who,
            settings,
            mailbox,
            moment: None,
            ends: OnceLock::new(),
            inner: Mutex::default(),
        }
    }

    /// Tells by which connection the client came; without it there is none. Only the first call counts.
    pub fn came_by(&self, ends: Ends) {
        self.ends.get_or_init(|| ends);
    }

    /// The statements in a text. The guards against oversized and too deeply nested texts come first.
    pub fn parse(&self, sql: &str) -> Result<Vec<Parsed>> {
        parse::parse(sql, self.engine.verbs.describe())
    }

    /// Plans a statement as far as its parameters and columns are known.
    pub async fn prepare(&self, parsed: &Parsed, declared: &[Option<DataType>]) -> Result<Prepared> {
        self.refuse_in_failed(parsed)?;
        let limits = self.limits();
        limits.within(self.prepare_command(parsed, declared)).await
    }

    /// Runs a statement; plans it anew when the release has moved since. `statement_timeout` begins here and also
    /// covers the rows.
    pub async fn execute(
        &self,
        prepared: &Prepared,
        parameters: Vec<ScalarValue>,
        notices: NoticeSender,
    ) -> Result<Execution> {
        self.refuse_in_failed(&prepared.parsed)?;
        let limits = self.limits();
        self.execute_command(prepared, parameters, notices, limits).await
    }

    /// Stops what runs now: its future or stream ends with 57014. A `CALL` is told to stop, too.
    pub fn cancel(&self) {
        self.inner.lock().current.cancel();
    }

    /// What `ReadyForQuery` says. The transaction of a text of several statements counts, too.
    pub fn transaction(&self) -> TransactionStatus {
        self.inner.lock().transaction.status()
    }

    /// Marks the transaction, if there is one, as failed; one that began by itself is rolled back. To be called with
    /// every error sent to the client.
    pub fn fail_transaction(&self) {
        let mut inner = self.inner.lock();
        match inner.transaction.is_client() {
            true => inner.transaction.fail(),
            // What is rolled back sends nothing, so that nothing can fail.
            false => drop(inner.end(&mut self.settings.lock(), &self.mailbox, false)),
        }
    }

    /// To be called before each statement of a text that has several (`is_text`), and before each of those that come
    /// without an end between them. Unless a transaction is open, one begins that lasts until
    /// [`Session::end_implicit`], so that all its statements read one release.
    pub fn begin_implicit(&self, is_text: bool) {
        self.inner.lock().transaction.begin_implicit(is_text, &self.settings.lock(), now_micros());
    }

    /// To be called at the end of a text, or of messages that belong together.
    ///
    /// # Errors
    /// `Limit` (54000) when the messages of a `NOTIFY` cannot be delivered; all is rolled back then.
    pub fn end_implicit(&self) -> Result<()> {
        let mut inner = self.inner.lock();
        if !inner.transaction.is_client() {
            inner.end(&mut self.settings.lock(), &self.mailbox, true)?;
        }
        Ok(())
    }

    /// The messages that other sessions, and the server, send to the channels this one listens on; `None` after the
    /// first call.
    pub fn notifications(&self) -> Option<mpsc::Receiver<Notification>> {
        self.mailbox.take_receiver()
    }

    /// How values are written for this session.
    pub fn style(&self) -> Style {
        self.settings.lock().style()
    }

    /// The value of a setting, as `SHOW` prints it.
    pub fn setting(&self, name: &str) -> Option<String> {
        self.settings.lock().show(&name.to_lowercase())
    }

    /// How long a statement may take. [`Session::execute`] and its rows keep to it by themselves.
    pub fn statement_timeout(&self) -> Option<Duration> {
        self.settings.lock().timeout("statement_timeout")
    }

    /// How long the session may stay without a statement as it is now: within a transaction
    /// `idle_in_transaction_session_timeout`, else `idle_session_timeout`.
    pub fn idle_timeout(&self) -> Option<Duration> {
        self.settings.lock().timeout(match self.transaction() {
            TransactionStatus::Idle => "idle_session_timeout",
            _ => "idle_in_transaction_session_timeout",
        })
    }

    /// Whether the client wants to be told a message: `client_min_messages`.
    pub fn tells(&self, notice: &Notice) -> bool {
        self.settings.lock().tells(notice.severity)
    }

    /// 25006 in a transaction that said that it only reads.
    fn refuse_writing(&self, what: &str) -> Result<()> {
        match self.settings.lock().value("transaction_read_only") {
            Some("on") => {
                let what = format!("cannot execute {what} in a read-only transaction");
                Err(Error::new(Kind::Denied, what).with_sqlstate("25006"))
            }
            _ => Ok(()),
        }
    }

    /// Takes a parameter of the startup message; it becomes the value `RESET` goes back to.
    pub fn set_startup(&self, name: &str, value: &str) -> Result<()> {
        let name = name.to_lowercase();
        self.settings.lock().set_startup(&name, value)
    }

    /// Settings whose change the client is told about (`ParameterStatus`) that changed since the last call; at the
    /// first call all of them.
    pub fn take_reported(&self) -> Vec<(String, String)> {
        self.settings.lock().take_reported()
    }

    /// Who the session belongs to.
    pub fn user(&self) -> &SessionUser {
        &self.who
    }

    /// The limits of a statement that begins now.
    fn limits(&self) -> Limits {
        let current = CancellationToken::new();
        self.inner.lock().current = current.clone();
        Limits::new(current, self.statement_timeout())
    }

    fn refuse_in_failed(&self, parsed: &Parsed) -> Result<()> {
        if self.transaction() == TransactionStatus::Failed
            && !parsed.ends_transaction()
            && parsed.kind() != StatementKind::Empty
        {
            let what = "current transaction is aborted, commands ignored until end of transaction block";
            return Err(Error::new(Kind::Invalid, what).with_sqlstate("25P02").with_hint("send ROLLBACK"));
        }
        Ok(())
    }

    /// The release this session reads now, kept readable as long as the pin lives.
    async fn release(&self) -> Result<Arc<Pin>> {
        if let Some(pin) = self.inner.lock().transaction.release() {
            return Ok(pin);
        }
        let wanted = self.wanted();
        let Some(as_of) = as_of::parse(&wanted.0, wanted.1)? else { return self.newest().await };
        let known = self.inner.lock().as_of.clone().filter(|(known, _)| *known == wanted);
        if let Some((_, release)) = known
            && let Some(pin) = self.engine.pin(&release).await?
        {
            return Ok(pin);
        }
        let found = self.engine.system.release(&as_of).await?;
        self.inner.lock().as_of = Some((wanted, found.clone()));
        match self.engine.pin(&found).await? {
            Some(pin) => Ok(pin),
            // Removed since: asked again, the error says when.
            None => match self.engine.system.release(&AsOf::Release(found.id)).await {
                Ok(_) => Err(Error::new(Kind::Conflict, format!("release {} is being removed", found.id))
                    .with_hint("try again")),
                Err(error) => Err(error),
            },
        }
    }

    /// What the setting says, and how a time in it is read.
    fn wanted(&self) -> (String, Reading) {
        let settings = self.settings.lock();
        (settings.value(AS_OF).unwrap_or_default().to_string(), settings.reading())
    }

    async fn newest(&self) -> Result<Arc<Pin>> {
        loop {
            // Between the two a newer one may have been published and this one removed.
            if let Some(pin) = self.engine.pin(&self.engine.newest()).await? {
                return Ok(pin);
            }
            tokio::task::yield_now().await;
        }
    }

    /// The release this session reads now and, within a transaction, until its end.
    async fn pinned_release(&self) -> Result<Arc<Pin>> {
        let release = self.release().await?;
        self.inner.lock().transaction.pin(&release);
        Ok(release)
    }

    fn facts(&self) -> Facts {
        let now = self.moment.unwrap_or_else(now_micros);
        Facts {
            user: self.who.name.clone(),
            database: self.engine.config.company.clone(),
            session_id: self.who.session_id,
            transaction_start: self.inner.lock().transaction.started_at().unwrap_or(now),
            statement_start: now,
            reading: self.settings.lock().reading(),
            settings: self.settings.clone(),
            mailbox: self.mailbox.clone(),
            scope: None,
            ends: self.ends.get().copied(),
            server_start: self.engine.started_at,
        }
    }
}
