//! The extended protocol: prepared statements, portals, parameters.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::ScalarValue;
use pgwire::messages::data::{NoData, ParameterDescription};
use pgwire::messages::extendedquery::{BindComplete, CloseComplete, ParseComplete, PortalSuspended};
use pgwire::messages::response::{CommandComplete, EmptyQueryResponse};

use super::connection::Connection;
use super::copy::Copy;
use super::encode::{Format, Layout};
use super::frame::{Bind, Target, violation};
use super::parameter;
use super::run::{Fault, Rows, Sent, in_failed_transaction, layout, notices};
use super::types::PgType;
use crate::error::{Error, Kind, Result};
use crate::query::{Execution, Parsed, Prepared, StatementKind, TransactionStatus};

/// Statements, and portals, a session may keep.
const MAX_KEPT: usize = 1_000;

/// A prepared statement.
pub(super) struct Statement {
    /// `None`: there was nothing in the text.
    prepared: Option<Prepared>,
    /// The parameters' types as the client declared or is told them.
    parameters: Vec<PgType>,
}

/// A statement with its parameters, and its rows once it runs.
pub(super) struct Portal {
    statement: Arc<Statement>,
    parameters: Vec<ScalarValue>,
    /// Result format codes as given.
    codes: Vec<i16>,
    /// The columns as the client was told them.
    described: Option<Layout>,
    state: State,
}

enum State {
    Fresh,
    /// Rows are left.
    Suspended(Box<Rows>),
    /// All rows were sent: asked again, there are none.
    Exhausted(CommandComplete),
    /// A statement without rows has run; it does not run twice.
    Finished,
}

impl Connection {
    pub(super) async fn parse(&mut self, name: String, sql: &str, types: &[u32]) -> Result<(), Fault> {
        if !name.is_empty() && self.statements.contains_key(&name) {
            let what = format!("prepared statement \"{name}\" already exists");
            return Err(Error::new(Kind::AlreadyExists, what).with_sqlstate("42P05").into());
        }
        room(&self.statements, &name, "prepared statements")?;
        let mut statements = self.session.parse(sql)?;
        statements.retain(|statement| statement.kind() != StatementKind::Empty);
        if statements.len() > 1 {
            let what = "cannot insert multiple commands into a prepared statement";
            return Err(Error::new(Kind::Invalid, what).with_sqlstate("42601").into());
        }
        let declared = types.iter().map(|oid| declared(*oid)).collect::<Result<Vec<_>>>()?;
        let statement = match statements.pop() {
            None => Statement { prepared: None, parameters: Vec::new() },
            Some(parsed) => {
                self.accept(&parsed)?;
                self.prepare(&parsed, declared).await?
            }
        };
        self.statements.insert(name, Arc::new(statement));
        self.wire.send(&ParseComplete::new());
        Ok(())
    }

    async fn prepare(&mut self, parsed: &Parsed, declared: Vec<Option<PgType>>) -> Result<Statement, Fault> {
        let types: Vec<Option<DataType>> =
            declared.iter().map(|declared| declared.and_then(PgType::arrow)).collect();
        let watch = self.watch();
        let (_sender, mut receiver) = notices();
        let session = self.session.clone();
        let work = async { session.prepare(parsed, &types).await };
        let prepared = self.attend(&watch, &mut receiver, work).await;
        self.unwatch();
        let prepared = prepared?;
        let told = |(index, planned): (usize, &DataType)| {
            let declared = declared.get(index).copied().flatten();
            declared
                .filter(|declared| declared.arrow().is_some())
                .or_else(|| prepared.type_name(index).and_then(PgType::of_name))
                .unwrap_or_else(|| PgType::of_arrow(planned))
        };
        let parameters = prepared.parameters().iter().enumerate().map(told).collect();
        Ok(Statement { prepared: Some(prepared), parameters })
    }

    pub(super) fn bind(&mut self, bind: Bind) -> Result<(), Fault> {
        let statement = self.statement(&bind.statement)?.clone();
        if let Some(prepared) = &statement.prepared {
            self.accept(prepared.parsed())?;
        }
        if !bind.portal.is_empty() && self.portals.contains_key(&bind.portal) {
            let what = format!("cursor \"{}\" already exists", bind.portal);
            return Err(Error::new(Kind::AlreadyExists, what).with_sqlstate("42P03").into());
        }
        room(&self.portals, &bind.portal, "portals")?;
        let (given, needed) = (bind.parameters.len(), statement.parameters.len());
        if given != needed {
            return Err(violation(format!(
                "bind message supplies {given} parameters, but prepared statement \"{}\" requires {needed}",
                bind.statement
            ))
            .into());
        }
        let formats = Format::of_codes(&bind.parameter_formats, given, "parameter")?;
        let reading = self.session.style().reading();
        let mut parameters = Vec::with_capacity(needed);
        let targets = statement.prepared.iter().flat_map(|prepared| prepared.parameters());
        let wanted = statement.parameters.iter().zip(targets).zip(formats);
        for (value, ((wire, target), format)) in bind.parameters.iter().zip(wanted) {
            let number = parameters.len() + 1;
            let decoded = parameter::decode(value.as_ref(), *wire, format, target, reading);
            parameters.push(decoded.map_err(|error| in_parameter(error, number))?);
        }
        if let Some(schema) = statement.prepared.as_ref().and_then(rows_schema) {
            // Wrong formats are an error of Bind, not of Execute.
            Format::of_codes(&bind.result_formats, schema.fields().len(), "result")?;
        }
        let codes = bind.result_formats;
        let portal = Portal { statement, parameters, codes, described: None, state: State::Fresh };
        self.portals.insert(bind.portal, portal);
        self.wire.send(&BindComplete::new());
        Ok(())
    }

    pub(super) fn describe(&mut self, target: &Target) -> Result<(), Fault> {
        match target {
            Target::Statement(name) => {
                let statement = self.statement(name)?.clone();
                let types = statement.parameters.iter().map(|parameter| parameter.oid()).collect();
                let columns = self.columns(&statement, &[])?;
                self.wire.send(&ParameterDescription::new(types));
                self.send_columns(columns.as_ref());
            }
            Target::Portal(name) => {
                let portal = self.portals.get(name).ok_or_else(|| no_portal(name))?;
                let columns = match &portal.state {
                    State::Suspended(rows) => Some(rows.layout.clone()),
                    _ => self.columns(&portal.statement, &portal.codes)?,
                };
                self.send_columns(columns.as_ref());
                if let Some(portal) = self.portals.get_mut(name) {
                    portal.described = columns;
                }
            }
        }
        Ok(())
    }

    fn columns(&self, statement: &Statement, codes: &[i16]) -> Result<Option<Layout>> {
        let schema = statement.prepared.as_ref().and_then(rows_schema);
        schema.map(|schema| layout(schema, codes, self)).transpose()
    }

    fn send_columns(&mut self, columns: Option<&Layout>) {
        match columns {
            Some(columns) => self.wire.send(&columns.describe()),
            None => self.wire.send(&NoData::new()),
        }
    }

    pub(super) async fn execute(&mut self, name: &str, max_rows: i32) -> Result<(), Fault> {
        let mut portal = self.portals.remove(name).ok_or_else(|| no_portal(name))?;
        let outcome = self.execute_portal(&mut portal, name, u64::try_from(max_rows).unwrap_or(0)).await;
        self.unwatch();
        outcome?;
        self.portals.insert(name.to_owned(), portal);
        Ok(())
    }

    async fn execute_portal(&mut self, portal: &mut Portal, name: &str, max_rows: u64) -> Result<(), Fault> {
        let statement = portal.statement.clone();
        let Some(prepared) = &statement.prepared else {
            self.wire.send(&EmptyQueryResponse::new());
            return Ok(());
        };
        self.accept(prepared.parsed())?;
        let before = self.session.transaction();
        let watch = self.watch();
        let mut rows = match std::mem::replace(&mut portal.state, State::Finished) {
            State::Suspended(rows) => rows,
            State::Exhausted(complete) => {
                self.wire.send(&complete);
                portal.state = State::Exhausted(complete);
                return Ok(());
            }
            State::Finished => {
                let what = format!("portal \"{name}\" cannot be run");
                return Err(Error::new(Kind::Invalid, what).with_sqlstate("55000").into());
            }
            State::Fresh => {
                self.session.begin_implicit(false);
                let (sender, mut receiver) = notices();
                let session = self.session.clone();
                let parameters = portal.parameters.clone();
                let work = async { session.execute(prepared, parameters, sender).await };
                match self.attend(&watch, &mut receiver, work).await? {
                    Execution::Done { tag } => {
                        self.done(&tag, before);
                        self.wire.send(&CommandComplete::new(tag));
                        return Ok(());
                    }
                    Execution::Rows { schema, stream, tag, count_in_tag } => {
                        if let Some(options) = prepared.parsed().copy_options() {
                            let mut copy = Copy::new(options.clone());
                            let layout = layout(&schema, copy.codes(), self)?;
                            copy.begin(&layout, &mut self.wire)?;
                            // A copy is one piece: a row limit does not apply to it.
                            let mut rows =
                                Rows::new(layout, stream, (tag, count_in_tag), receiver, Some(copy));
                            if let Sent::All(count) = self.send_rows(&mut rows, 0, &watch).await? {
                                self.wire.send(&rows.complete(count));
                            }
                            return Ok(());
                        }
                        let layout = layout(&schema, &portal.codes, self)?;
                        let told = match &portal.described {
                            Some(described) => Some(described.clone()),
                            None => self.columns(&statement, &portal.codes)?,
                        };
                        if told.is_some_and(|told| !told.same_types(&layout)) {
                            let what = "cached plan must not change result type";
                            return Err(Error::new(Kind::Unsupported, what)
                                .with_hint("prepare the statement again: its columns have changed since")
                                .into());
                        }
                        Box::new(Rows::new(layout, stream, (tag, count_in_tag), receiver, None))
                    }
                }
            }
        };
        match self.send_rows(&mut rows, max_rows, &watch).await? {
            Sent::Limit => {
                self.wire.send(&PortalSuspended::new());
                portal.state = State::Suspended(rows);
            }
            Sent::All(count) => {
                self.wire.send(&rows.complete(count));
                portal.state = State::Exhausted(rows.complete(0));
            }
        }
        Ok(())
    }

    /// Closing what does not exist is no error.
    pub(super) fn close(&mut self, target: &Target) {
        match target {
            Target::Statement(name) => {
                if let Some(statement) = self.statements.remove(name) {
                    self.portals.retain(|_, portal| !Arc::ptr_eq(&portal.statement, &statement));
                }
            }
            Target::Portal(name) => drop(self.portals.remove(name)),
        }
        self.wire.send(&CloseComplete::new());
    }

    fn statement(&self, name: &str) -> Result<&Arc<Statement>> {
        self.statements.get(name).ok_or_else(|| {
            let what = match name {
                "" => "unnamed prepared statement does not exist".to_owned(),
                name => format!("prepared statement \"{name}\" does not exist"),
            };
            Error::new(Kind::NotFound, what).with_sqlstate("26000")
        })
    }

    fn accept(&self, parsed: &Parsed) -> Result<()> {
        let failed = self.session.transaction() == TransactionStatus::Failed;
        if failed && !parsed.ends_transaction() { Err(in_failed_transaction()) } else { Ok(()) }
    }
}

/// The columns of a result that comes as rows: a copy does not.
fn rows_schema(prepared: &Prepared) -> Option<&SchemaRef> {
    prepared.schema().filter(|_| prepared.parsed().kind() != StatementKind::CopyOut)
}

/// A parameter type the client declares; 0 and `unknown` leave it to the planner.
fn declared(oid: u32) -> Result<Option<PgType>> {
    match (oid, PgType::of_oid(oid)) {
        (0, _) => Ok(None),
        (_, Some(found)) => Ok(Some(found)),
        (oid, None) => {
            Err(Error::new(Kind::NotFound, format!("type with OID {oid} does not exist"))
                .with_sqlstate("42704"))
        }
    }
}

fn room<T>(kept: &HashMap<String, T>, name: &str, what: &str) -> Result<()> {
    if kept.len() >= MAX_KEPT && !kept.contains_key(name) {
        return Err(Error::new(Kind::Limit, format!("a session may keep {MAX_KEPT} {what}"))
            .with_sqlstate("53400")
            .with_hint("close those that are not used any more"));
    }
    Ok(())
}

fn no_portal(name: &str) -> Error {
    Error::new(Kind::NotFound, format!("portal \"{name}\" does not exist")).with_sqlstate("34000")
}

fn in_parameter(error: Error, number: usize) -> Error {
    match error.detail() {
        Some(_) => error,
        None => error.with_detail(format!("in parameter ${number}")),
    }
}
