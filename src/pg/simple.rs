//! The simple protocol: a text with any number of statements, one after the other. Several make one transaction.

use pgwire::messages::response::{CommandComplete, EmptyQueryResponse};

use super::connection::Connection;
use super::copy::Copy;
use super::run::{Fault, Rows, Sent, in_failed_transaction, layout, notices};
use super::wire::End;
use crate::error::Error;
use crate::query::{Execution, Parsed, StatementKind, TransactionStatus};

impl Connection {
    /// Runs a text. What comes before an error is delivered; what comes after it is not run.
    pub(super) async fn simple_query(&mut self, sql: &str) -> Result<(), End> {
        // As PostgreSQL: a simple query replaces the unnamed statement and portal.
        self.statements.remove("");
        self.portals.remove("");
        let outcome = self.run_text(sql).await;
        self.unwatch();
        if let Err(fault) = outcome {
            self.fail(fault)?;
        }
        self.ready().await
    }

    async fn run_text(&mut self, sql: &str) -> Result<(), Fault> {
        let mut statements = self.session.parse(sql)?;
        statements.retain(|statement| statement.kind() != StatementKind::Empty);
        for statement in &statements {
            if statements.len() > 1 {
                self.session.begin_implicit(true);
            }
            self.run_statement(statement).await?;
        }
        self.session.end_implicit()?;
        if statements.is_empty() {
            self.wire.send(&EmptyQueryResponse::new());
        }
        Ok(())
    }

    async fn run_statement(&mut self, statement: &Parsed) -> Result<(), Fault> {
        if self.session.transaction() == TransactionStatus::Failed && !statement.ends_transaction() {
            return Err(in_failed_transaction().into());
        }
        let before = self.session.transaction();
        let watch = self.watch();
        let (sender, mut receiver) = notices();
        let session = self.session.clone();
        let work = async {
            let prepared = session.prepare(statement, &[]).await;
            // Tables are looked up before anything else.
            let is_of_table = |error: &Error| error.sqlstate() == "42P01";
            if !prepared.as_ref().is_err_and(is_of_table)
                && let Some(error) = statement.without_values()
            {
                return Err(error);
            }
            let prepared = prepared?;
            session.execute(&prepared, Vec::new(), sender).await
        };
        match self.attend(&watch, &mut receiver, work).await? {
            Execution::Done { tag } => {
                self.done(&tag, before);
                self.wire.send(&CommandComplete::new(tag));
            }
            Execution::Rows { schema, stream, tag, count_in_tag } => {
                let mut copy = statement.copy_options().cloned().map(Copy::new);
                let layout = layout(&schema, copy.as_ref().map_or(&[], Copy::codes), self)?;
                match &mut copy {
                    Some(copy) => copy.begin(&layout, &mut self.wire)?,
                    None => self.wire.send(&layout.describe()),
                }
                let mut rows = Rows::new(layout, stream, (tag, count_in_tag), receiver, copy);
                if let Sent::All(count) = self.send_rows(&mut rows, 0, &watch).await? {
                    self.wire.send(&rows.complete(count));
                }
            }
        }
        Ok(())
    }

    /// What a statement without rows means for the protocol's own state.
    pub(super) fn done(&mut self, tag: &str, before: TransactionStatus) {
        let ended =
            before != TransactionStatus::Idle && self.session.transaction() == TransactionStatus::Idle;
        match tag {
            "CLOSE CURSOR ALL" => self.portals.clear(),
            "DISCARD ALL" => {
                self.statements.clear();
                self.portals.clear();
            }
            "DEALLOCATE ALL" => self.statements.clear(),
            // A portal lives as long as its transaction.
            _ if ended => self.portals.clear(),
            _ => {}
        }
    }
}
