//! Which statement does what.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{ScalarValue, TableReference};
use datafusion::logical_expr::Expr;
use datafusion::sql::sqlparser::ast;

use super::rows::{bind, ready, text_schema, texts};
use super::transaction::Ended;
use super::{Execution, Named, Notice, NoticeSender, Prepared, Session, TransactionStatus, explain};
use crate::error::{Error, Kind, Result, did_you_mean};
use crate::model::now_micros;
use crate::query::catalog::{self, Needs};
use crate::query::functions::cast::Target;
use crate::query::parse::{CallArgument, Command, LockMode, Modes, Parsed, Show, Value, type_name};
use crate::query::plan::Planner;
use crate::query::resolve;
use crate::query::run::Limits;
use crate::query::settings::{self, AS_OF, Lasts, MODES, Settings};
use crate::query::typing::Parameters;
use crate::query::{as_of, call};

/// Statements that a session may keep by `PREPARE`.
const MAX_NAMED: usize = 1_000;

impl Session {
    pub(super) async fn prepare_command(
        &self,
        parsed: &Parsed,
        declared: &[Option<DataType>],
    ) -> Result<Prepared> {
        match parsed.command() {
            Command::Query(_) | Command::Explain { .. } | Command::Copy { .. } | Command::Declare { .. } => {
                self.prepare_query(parsed, declared).await
            }
            Command::Fetch { name, moves, .. } => {
                let schema = self.inner.lock().cursors.schema(name).filter(|_| !moves);
                Ok(Prepared { schema, ..Prepared::without_rows(parsed) })
            }
            Command::Call { name, arguments } => self.prepare_call(parsed, name, arguments, declared),
            Command::Execute { name, .. } => {
                let named = self.named(name)?;
                let inner = Box::pin(self.prepare_command(&named.statement, &named.types)).await?;
                Ok(Prepared { schema: inner.schema, ..Prepared::without_rows(parsed) })
            }
            Command::Prepare { statement, types, .. } => {
                // Whether it can be planned is told at once, as PostgreSQL does.
                let types = declared_types(types)?;
                Box::pin(self.prepare_command(statement, &types)).await?;
                Ok(Prepared::without_rows(parsed))
            }
            Command::Show(show) => {
                let schema = match show {
                    Show::All => text_schema(&["name", "setting", "description"]),
                    Show::One(name) => text_schema(&[Settings::shown_name(name)]),
                };
                Ok(Prepared { schema: Some(schema), ..Prepared::without_rows(parsed) })
            }
            Command::ExplainExecute { options, .. } => {
                let schema = Some(explain::schema(*options));
                Ok(Prepared { schema, ..Prepared::without_rows(parsed) })
            }
            Command::Refused(refusal) => Err(refusal.error(&self.engine.config.company)),
            _ => Ok(Prepared::without_rows(parsed)),
        }
    }

    pub(super) async fn execute_command(
        &self,
        prepared: &Prepared,
        values: Vec<ScalarValue>,
        notices: NoticeSender,
        limits: Limits,
    ) -> Result<Execution> {
        let parsed = &prepared.parsed;
        let mut tag = parsed.tag();
        match parsed.command() {
            Command::Empty => {}
            Command::Query(_) | Command::Explain { .. } | Command::Copy { .. } => {
                return self.execute_query(prepared, values, limits).await;
            }
            Command::Declare { .. } => self.declare(prepared, values, limits).await?,
            Command::Fetch { name, direction, moves } => {
                return self.fetch(name, *direction, *moves, limits).await;
            }
            Command::Close(Some(name)) => self.inner.lock().cursors.close(name)?,
            Command::Close(None) => self.inner.lock().cursors.close_all(),
            Command::Call { name, arguments } => {
                self.refuse_writing("CALL")?;
                return self.execute_call(prepared, name, arguments, values, notices, limits).await;
            }
            Command::Admin(statement) => {
                self.refuse_writing(tag)?;
                let done = self.engine.verbs.statement(&self.who, statement.clone());
                return Ok(Execution::Done { tag: limits.within(done).await? });
            }
            Command::Set { name, value, local } => self.set(name, value, *local, &notices).await?,
            Command::SetTransaction(modes) => {
                let is_idle = self.transaction() == TransactionStatus::Idle;
                if is_idle {
                    warn(&notices, "25P01", "SET TRANSACTION can only be used in transaction blocks");
                }
                if modes.snapshot {
                    let what = "a snapshot-importing transaction must have isolation level SERIALIZABLE or \
                                REPEATABLE READ";
                    return Err(Error::new(Kind::Unsupported, what));
                }
                if !is_idle {
                    self.set_modes(*modes)?;
                }
            }
            Command::SetTransactions(modes) => {
                let mut settings = self.settings.lock();
                for ((_, name), value) in MODES.iter().zip(words_of(*modes)) {
                    if let Some(value) = value {
                        settings.set(name, value, Lasts::Session)?;
                    }
                }
            }
            Command::Show(show) => return self.show(show, prepared),
            Command::Reset(None) => self.settings.lock().reset_all(),
            Command::Reset(Some(name)) => {
                self.refuse_moving(name)?;
                self.settings.lock().reset(name, Lasts::Session)?;
            }
            Command::DiscardAll => {
                if self.transaction() != TransactionStatus::Idle {
                    let what = "DISCARD ALL cannot run inside a transaction block";
                    return Err(Error::new(Kind::Invalid, what).with_sqlstate("25001"));
                }
                let mut settings = self.settings.lock();
                settings.reset("session_authorization", Lasts::Session)?;
                settings.reset("role", Lasts::Session)?;
                settings.reset_all();
                drop(settings);
                self.mailbox.unlisten(None)?;
                let mut inner = self.inner.lock();
                inner.named.clear();
                inner.cursors.close_all();
            }
            Command::DiscardPlans => {}
            Command::Listen(channel) => self.mailbox.listen(channel)?,
            Command::Unlisten(channel) => self.mailbox.unlisten(channel.as_deref())?,
            Command::Notify { channel, payload } => self.mailbox.notify(channel, payload)?,
            Command::Maintain { verb, tables } => {
                let what = "VACUUM cannot run inside a transaction block";
                if *verb == "vacuum" && self.transaction() != TransactionStatus::Idle {
                    return Err(Error::new(Kind::Invalid, what).with_sqlstate("25001"));
                }
                for table in tables {
                    limits.within(self.refuse_missing(table)).await?;
                    let skipped = format!(
                        "skipping \"{}\" --- only table or database owner can {verb} it",
                        table.table()
                    );
                    warn(&notices, "01000", &skipped);
                }
            }
            Command::Lock { tables, mode } => limits.within(self.lock(tables, *mode)).await?,
            Command::Owner { what, table } => {
                limits.within(self.refuse_missing(table)).await?;
                let what = format!("must be owner of {what} {}", table.table());
                return Err(Error::new(Kind::Denied, what));
            }
            Command::Begin(modes) => {
                let began = {
                    let mut inner = self.inner.lock();
                    let mut settings = self.settings.lock();
                    let began = inner.transaction.begin(&settings, now_micros());
                    if began {
                        settings.begin_transaction();
                    }
                    began
                };
                if !began {
                    warn(&notices, "25001", "there is already a transaction in progress");
                }
                self.set_modes(*modes)?;
            }
            Command::Commit { chain } | Command::Rollback { chain } => {
                let commit = matches!(parsed.command(), Command::Commit { .. });
                match self.end(commit, *chain)? {
                    Ended::None | Ended::Implicit => {
                        warn(&notices, "25P01", "there is no transaction in progress");
                    }
                    Ended::RolledBack => tag = "ROLLBACK",
                    Ended::Committed => {}
                }
            }
            Command::Savepoint(name) => {
                let mark = self.mailbox.mark();
                self.inner.lock().transaction.savepoint(name, &self.settings.lock(), mark)?
            }
            Command::ReleaseSavepoint(name) => {
                let mut inner = self.inner.lock();
                let place = inner.transaction.release_savepoint(name)?;
                inner.cursors.release(place);
            }
            Command::RollbackTo(name) => {
                let mut inner = self.inner.lock();
                let (place, mark) = inner.transaction.rollback_to(name, &mut self.settings.lock())?;
                inner.cursors.rollback_to(place);
                self.mailbox.rollback_to(mark);
            }
            Command::Prepare { name, types, statement } => {
                self.keep(name, statement, declared_types(types)?)?
            }
            Command::Execute { name, arguments } => {
                return self.execute_named(name, arguments, notices, limits).await;
            }
            Command::Deallocate(None) => self.inner.lock().named.clear(),
            Command::Deallocate(Some(name)) => {
                let removed = self.inner.lock().named.remove(name);
                removed.ok_or_else(|| no_statement(name, []))?;
            }
            Command::ExplainExecute { name, arguments, options } => {
                let (prepared, values) = limits.within(self.bind_named(name, arguments)).await?;
                return self.explain(&prepared, values, *options, limits).await;
            }
            Command::Refused(refusal) => return Err(refusal.error(&self.engine.config.company)),
        }
        Ok(Execution::Done { tag: tag.into() })
    }

    async fn set(&self, name: &str, value: &Value, local: bool, notices: &NoticeSender) -> Result<()> {
        if local && self.transaction() == TransactionStatus::Idle {
            warn(notices, "25P01", "SET LOCAL can only be used in transaction blocks");
            return Ok(());
        }
        self.refuse_moving(name)?;
        let lasts = if local { Lasts::Transaction } else { Lasts::Session };
        let Value::Given(words) = value else { return self.settings.lock().reset(name, lasts) };
        let text = settings::given(name, words)?;
        if MODES.iter().any(|(mode, _)| *mode == name) {
            return self.set_mode(name, &text);
        }
        if name == AS_OF {
            let reading = self.settings.lock().reading();
            if let Some(wanted) = as_of::parse(&text, reading)? {
                let found = self.engine.system.release(&wanted).await?;
                self.inner.lock().as_of = Some(((text.clone(), reading), found));
            }
        }
        self.settings.lock().set(name, &text, lasts)
    }

    fn set_modes(&self, modes: Modes) -> Result<()> {
        for ((name, _), value) in MODES.iter().zip(words_of(modes)) {
            if let Some(value) = value {
                self.set_mode(name, value)?;
            }
        }
        Ok(())
    }

    /// A mode of the transaction. Its first query fixes it; only that it reads can still be said.
    fn set_mode(&self, name: &str, value: &str) -> Result<()> {
        let inner = self.inner.lock();
        let mut settings = self.settings.lock();
        let before = settings.value(name).unwrap_or_default().to_string();
        let mut after = settings.clone();
        after.set(name, value, Lasts::Transaction)?;
        let changes = after.value(name) != Some(&before);
        let refused = |what: &str| Err(Error::new(Kind::Invalid, what).with_sqlstate("25001"));
        if changes && inner.transaction.release().is_some() {
            match name {
                "transaction_isolation" => {
                    return refused("SET TRANSACTION ISOLATION LEVEL must be called before any query");
                }
                "transaction_read_only" if before == "on" => {
                    return refused("transaction read-write mode must be set before any query");
                }
                "transaction_deferrable" => {
                    return refused("SET TRANSACTION [NOT] DEFERRABLE must be called before any query");
                }
                _ => {}
            }
        }
        if changes && name == "transaction_isolation" && inner.transaction.depth() > 0 {
            return refused("SET TRANSACTION ISOLATION LEVEL must not be called in a subtransaction");
        }
        *settings = after;
        Ok(())
    }

    /// Ends the transaction, and begins one with the same modes where it is chained.
    fn end(&self, commit: bool, chain: bool) -> Result<Ended> {
        let mut inner = self.inner.lock();
        if chain && !inner.transaction.is_client() {
            let what = if commit { "COMMIT" } else { "ROLLBACK" };
            let what = format!("{what} AND CHAIN can only be used in transaction blocks");
            return Err(Error::new(Kind::Invalid, what).with_sqlstate("25P01"));
        }
        let mut settings = self.settings.lock();
        let modes = MODES.map(|(name, _)| (name, settings.value(name).unwrap_or_default().to_string()));
        let ended = inner.end(&mut settings, &self.mailbox, commit)?;
        if chain {
            inner.transaction.begin(&settings, now_micros());
            for (name, value) in modes {
                settings.set(name, &value, Lasts::Transaction)?;
            }
        }
        Ok(ended)
    }

    /// 42P01 unless there is a relation of that name, whoever may read it.
    async fn refuse_missing(&self, table: &TableReference) -> Result<()> {
        match self.check_readable(table).await {
            Err(error) if error.kind() != Kind::Denied => Err(error),
            _ => Ok(()),
        }
    }

    /// Fails unless a relation of that name may be read.
    async fn check_readable(&self, table: &TableReference) -> Result<()> {
        let release = self.release().await?;
        let (engine, release, path) = (&self.engine, release.release(), self.search_path());
        let scope =
            catalog::scope(engine, Needs::of_table(table), release, &self.who, &self.settings).await?;
        resolve::table(engine, &self.who, &path, release, table, scope.as_ref()).await.map(drop)
    }

    /// What may be read may be locked for reading, which keeps nobody from anything.
    async fn lock(&self, tables: &[TableReference], mode: LockMode) -> Result<()> {
        if self.transaction() == TransactionStatus::Idle {
            let what = "LOCK TABLE can only be used in transaction blocks";
            return Err(Error::new(Kind::Invalid, what).with_sqlstate("25P01"));
        }
        for table in tables {
            if mode == LockMode::AccessShare {
                self.check_readable(table).await?;
                continue;
            }
            self.refuse_missing(table).await?;
            let what = format!("permission denied for table {}", table.table());
            return Err(Error::new(Kind::Denied, what).with_hint("accepted is LOCK ... IN ACCESS SHARE MODE"));
        }
        Ok(())
    }

    pub(super) fn search_path(&self) -> Vec<String> {
        self.settings.lock().search_path()
    }

    /// A transaction that has read cannot move to another release.
    fn refuse_moving(&self, name: &str) -> Result<()> {
        if name == AS_OF && self.inner.lock().transaction.release().is_some() {
            let what = "tributary.as_of must be set before any query of the transaction";
            return Err(Error::new(Kind::Invalid, what).with_sqlstate("25001"));
        }
        Ok(())
    }

    fn show(&self, show: &Show, prepared: &Prepared) -> Result<Execution> {
        let settings = self.settings.lock();
        let Some(schema) = prepared.schema.clone() else {
            return Err(Error::internal("SHOW without columns"));
        };
        match show {
            Show::One(name) => texts("SHOW", schema, vec![vec![settings.examine(name)?]]),
            Show::All => {
                let mut columns = vec![Vec::new(), Vec::new(), Vec::new()];
                for listed in settings.listed() {
                    let known = listed.definition;
                    columns[0].push(known.name.to_string());
                    columns[1].push(settings.show(&known.key).unwrap_or_default());
                    columns[2].push(known.short.to_string());
                }
                texts("SHOW", schema, columns)
            }
        }
    }

    fn planner(&self, parameters: Parameters) -> Planner<'_> {
        Planner::new(&self.engine.state, &self.engine.registry, self.facts(), HashMap::new(), parameters)
    }

    fn prepare_call(
        &self,
        parsed: &Parsed,
        name: &str,
        arguments: &[CallArgument],
        declared: &[Option<DataType>],
    ) -> Result<Prepared> {
        let verb = call::signature(self.engine.verbs.describe(), name, &self.who)?;
        let planner = self.planner(Parameters { types: declared.to_vec(), values: None });
        let parameters = call::parameters(&planner, verb, arguments, declared)?;
        let schema = (!verb.result.fields().is_empty()).then(|| verb.result.clone());
        Ok(Prepared { schema, parameters, ..Prepared::without_rows(parsed) })
    }

    async fn execute_call(
        &self,
        prepared: &Prepared,
        name: &str,
        arguments: &[CallArgument],
        values: Vec<ScalarValue>,
        notices: NoticeSender,
        limits: Limits,
    ) -> Result<Execution> {
        let bound = {
            let verb = call::signature(self.engine.verbs.describe(), name, &self.who)?;
            let values = bind(&prepared.parameters, values, self.settings.lock().reading())?;
            let planner = self.planner(Parameters { types: Vec::new(), values: Some(Arc::new(values)) });
            call::bind(&planner, verb, arguments, prepared.parsed.redacted_text())?
        };
        let batch = call::run(&self.engine, &self.who, bound, notices, limits).await?;
        if batch.schema().fields().is_empty() {
            return Ok(Execution::Done { tag: "CALL".into() });
        }
        Ok(ready("CALL", batch))
    }

    fn keep(&self, name: &str, statement: &Parsed, types: Vec<Option<DataType>>) -> Result<()> {
        let named = &mut self.inner.lock().named;
        if named.contains_key(name) {
            let what = format!("prepared statement \"{name}\" already exists");
            return Err(Error::new(Kind::AlreadyExists, what).with_sqlstate("42P05"));
        }
        if named.len() >= MAX_NAMED {
            return Err(Error::new(Kind::Limit, "too many prepared statements").with_sqlstate("54000"));
        }
        named.insert(name.into(), Named { statement: statement.clone(), types });
        Ok(())
    }

    fn named(&self, name: &str) -> Result<Named> {
        let inner = self.inner.lock();
        let missing = || no_statement(name, inner.named.keys().map(String::as_str));
        inner.named.get(name).cloned().ok_or_else(missing)
    }

    async fn execute_named(
        &self,
        name: &str,
        arguments: &[ast::Expr],
        notices: NoticeSender,
        limits: Limits,
    ) -> Result<Execution> {
        let (prepared, values) = limits.within(self.bind_named(name, arguments)).await?;
        Box::pin(self.execute_command(&prepared, values, notices, limits)).await
    }

    /// The statement of that name, planned, with the values for its parameters.
    async fn bind_named(&self, name: &str, arguments: &[ast::Expr]) -> Result<(Prepared, Vec<ScalarValue>)> {
        let named = self.named(name)?;
        let prepared = self.prepare_command(&named.statement, &named.types).await?;
        let wanted = prepared.parameters.len();
        if arguments.len() != wanted {
            let what = format!("wrong number of parameters for prepared statement \"{name}\"");
            let detail = format!("Expected {wanted} parameters but got {}.", arguments.len());
            return Err(Error::new(Kind::Invalid, what).with_sqlstate("42601").with_detail(detail));
        }
        let planner = self.planner(Parameters::default());
        let value = |argument: &ast::Expr| match planner.constant(argument)? {
            Expr::Literal(value, _) => Ok(value),
            _ => Err(Error::new(Kind::Unsupported, "an argument of EXECUTE is no constant")),
        };
        let values = arguments.iter().map(value).collect::<Result<Vec<_>>>()?;
        Ok((prepared, values))
    }
}

/// The values of modes that were said, in the order of [`MODES`].
fn words_of(modes: Modes) -> [Option<&'static str>; 3] {
    let switch = |on: bool| if on { "on" } else { "off" };
    [modes.isolation, modes.read_only.map(switch), modes.deferrable.map(switch)]
}

fn declared_types(types: &[ast::DataType]) -> Result<Vec<Option<DataType>>> {
    let declared = |data_type: &ast::DataType| {
        let unknown = || {
            Error::new(Kind::NotFound, format!("type \"{data_type}\" does not exist")).with_sqlstate("42704")
        };
        Ok(Some(Target::parse(&type_name(data_type).ok_or_else(unknown)?)?.of_parameter()))
    };
    types.iter().map(declared).collect()
}

fn no_statement<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Error {
    let close = did_you_mean(name, known);
    Error::new(Kind::NotFound, format!("prepared statement \"{name}\" does not exist{close}"))
        .with_sqlstate("26000")
}

fn warn(notices: &NoticeSender, sqlstate: &'static str, message: &str) {
    // A client that has gone needs no warning.
    notices.send(Notice::warning(sqlstate, message)).ok();
}
