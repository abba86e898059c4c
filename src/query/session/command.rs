//! Which statement does what.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use datafusion::sql::sqlparser::ast;

use super::rows::{bind, ready, text_schema, texts};
use super::transaction::Ended;
use super::{Execution, Named, Notice, NoticeSender, Prepared, Session, TransactionStatus};
use crate::error::{Error, Kind, Result, did_you_mean};
use crate::model::now_micros;
use crate::query::functions::cast::Target;
use crate::query::parse::{CallArgument, Command, Parsed, Show, Value, type_name};
use crate::query::plan::Planner;
use crate::query::run::Limits;
use crate::query::settings::{self, AS_OF, Settings};
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
            Command::Refused(refusal) => Err(refusal.error()),
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
                return self.execute_call(prepared, name, arguments, values, notices, limits).await;
            }
            Command::Admin(statement) => {
                let done = self.engine.verbs.statement(&self.who, statement.clone());
                return Ok(Execution::Done { tag: limits.within(done).await? });
            }
            Command::Set { name, value, local } => self.set(name, value, *local, &notices).await?,
            Command::SetTransaction => {}
            Command::Show(show) => return self.show(show, prepared),
            Command::Reset(None) => self.settings.lock().reset_all(),
            Command::Reset(Some(name)) => {
                self.refuse_moving(name)?;
                self.settings.lock().reset(name, false)?;
            }
            Command::DiscardAll => {
                if self.transaction() != TransactionStatus::Idle {
                    let what = "DISCARD ALL cannot run inside a transaction block";
                    return Err(Error::new(Kind::Invalid, what).with_sqlstate("25001"));
                }
                self.settings.lock().reset_all();
                let mut inner = self.inner.lock();
                inner.named.clear();
                inner.cursors.close_all();
            }
            Command::DiscardPlans | Command::Listen | Command::Unlisten => {}
            Command::Begin => {
                let began = self.inner.lock().transaction.begin(&self.settings.lock(), now_micros());
                if !began {
                    warn(&notices, "25001", "there is already a transaction in progress");
                }
            }
            Command::Commit | Command::Rollback => {
                let commit = matches!(parsed.command(), Command::Commit);
                match self.inner.lock().end(&mut self.settings.lock(), commit) {
                    Ended::None | Ended::Implicit => {
                        warn(&notices, "25P01", "there is no transaction in progress");
                    }
                    Ended::RolledBack => tag = "ROLLBACK",
                    Ended::Committed => {}
                }
            }
            Command::Savepoint(name) => {
                self.inner.lock().transaction.savepoint(name, &self.settings.lock())?
            }
            Command::ReleaseSavepoint(name) => {
                let mut inner = self.inner.lock();
                let place = inner.transaction.release_savepoint(name)?;
                inner.cursors.release(place);
            }
            Command::RollbackTo(name) => {
                let mut inner = self.inner.lock();
                let place = inner.transaction.rollback_to(name, &mut self.settings.lock())?;
                inner.cursors.rollback_to(place);
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
            Command::Refused(refusal) => return Err(refusal.error()),
        }
        Ok(Execution::Done { tag: tag.into() })
    }

    async fn set(&self, name: &str, value: &Value, local: bool, notices: &NoticeSender) -> Result<()> {
        if local && self.transaction() == TransactionStatus::Idle {
            warn(notices, "25P01", "SET LOCAL can only be used in transaction blocks");
            return Ok(());
        }
        self.refuse_moving(name)?;
        match value {
            Value::Default => self.settings.lock().reset(name, local),
            Value::Text(text) => {
                if name == "role" && text != "none" && *text != self.who.name {
                    let what = format!("permission denied to set role \"{text}\"");
                    return Err(Error::new(Kind::Denied, what));
                }
                if name == AS_OF {
                    let zone = self.settings.lock().zone();
                    if let Some(wanted) = as_of::parse(text, zone)? {
                        let found = self.engine.system.release(&wanted).await?;
                        self.inner.lock().as_of = Some(((text.clone(), zone), found));
                    }
                }
                self.settings.lock().set(name, text, local)
            }
        }
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
            Show::One(name) => {
                let value = settings.show(name).ok_or_else(|| settings::unknown(name))?;
                texts("SHOW", schema, vec![vec![value]])
            }
            Show::All => {
                let mut columns = vec![Vec::new(), Vec::new(), Vec::new()];
                for (name, value, doc) in settings.all() {
                    columns[0].push(name);
                    columns[1].push(value);
                    columns[2].push(doc);
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
            let values = bind(&prepared.parameters, values, self.settings.lock().zone())?;
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
        let named = self.named(name)?;
        let prepared = limits.within(self.prepare_command(&named.statement, &named.types)).await?;
        let wanted = prepared.parameters.len();
        if arguments.len() != wanted {
            let what = format!("wrong number of parameters for prepared statement \"{name}\"");
            let detail = format!("Expected {wanted} parameters but got {}.", arguments.len());
            return Err(Error::new(Kind::Invalid, what).with_sqlstate("42601").with_detail(detail));
        }
        let values = {
            let planner = self.planner(Parameters::default());
            let value = |argument: &ast::Expr| match planner.constant(argument)? {
                Expr::Literal(value, _) => Ok(value),
                _ => Err(Error::new(Kind::Unsupported, "an argument of EXECUTE is no constant")),
            };
            arguments.iter().map(value).collect::<Result<Vec<_>>>()?
        };
        Box::pin(self.execute_command(&prepared, values, notices, limits)).await
    }
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
