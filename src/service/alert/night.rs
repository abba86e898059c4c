//! What is wrong with statements and batches.

use super::{HOUR, TOLD_AFTER};
use crate::error::Result;
use crate::model::{Batch, Condition, Micros, Severity, Statement, StatementRun, Turn};
use crate::service::App;

/// Batches among which the newest that ended is looked for.
const LOOKED_AT: i64 = 20;

impl App {
    pub(super) async fn of_night(&self, now: Micros) -> Result<Vec<Condition>> {
        let runs = self.state.telling_statement_runs().await?;
        let failed = |statement: &Statement| {
            let run = runs.get(&statement.id).filter(|run| run.status == "failed")?;
            Some(of_statement(statement, run))
        };
        let mut found: Vec<_> = self.state.statements().await?.iter().filter_map(failed).collect();
        let batches = self.state.batches(LOOKED_AT).await?;
        let ended = batches.iter().rfind(|batch| batch.ended_at.is_some() && batch.status != "cancelled");
        if let Some(bad) = ended.filter(|batch| matches!(batch.status.as_str(), "partial" | "failed")) {
            found.push(of_batch(bad));
        }
        let waits = |batch: &&Batch| batch.status == "queued" && now - batch.queued_at > HOUR;
        if let Some(late) = batches.iter().find(waits) {
            let what = format!("batch {} waits for more than an hour for the one before it", late.name);
            let remedy = "look at tributary.batch_step; CALL cancel(run) ends a sync that hangs";
            found.push(condition("batch late", Severity::Warning, what.clone(), what, remedy));
        }
        if let Some(why) = self.state.undelivered_batch_message(TOLD_AFTER).await? {
            let what = "batches are not told by their webhook".to_string();
            let remedy = "check [batch] in the settings of the server, and whoever receives it";
            let text = format!("{what}: {why}");
            found.push(condition("batch webhook", Severity::Critical, what, text, remedy));
        }
        Ok(found)
    }
}

fn condition(cause: &str, severity: Severity, summary: String, text: String, remedy: &str) -> Condition {
    Condition {
        cause: cause.into(),
        severity,
        connection: None,
        object: None,
        run_id: None,
        summary,
        text,
        remedy: Some(remedy.into()),
        turn: Turn::Admin,
    }
}

fn of_statement(statement: &Statement, run: &StatementRun) -> Condition {
    // An error of a query may quote values: its words stay with those who may read the result.
    let summary = format!("{} failed; its last result stays", statement.full_name());
    let text = format!("{summary}: {}", run.cause.as_deref().unwrap_or("no cause is known"));
    let severity = if statement.required { Severity::Critical } else { Severity::Warning };
    let remedy = run.remedy.clone().unwrap_or_else(|| {
        format!("mend it with CALL alter_statement('{0}', ...), then CALL compute('{0}')", statement.name)
    });
    Condition {
        connection: Some(Statement::SCHEMA.into()),
        object: Some(statement.name.clone()),
        ..condition(&format!("statement/{}", statement.id), severity, summary, text, &remedy)
    }
}

fn of_batch(batch: &Batch) -> Condition {
    let what = format!("batch {} is {}", batch.name, batch.status);
    let text = format!("{what}: {}", batch.cause.as_deref().unwrap_or("no cause is known"));
    let remedy = "SELECT name, status, cause FROM tributary.batch_step tells why; then CALL run_batch()";
    // Names and how they stand, no words of a source.
    condition("batch", Severity::Critical, text.clone(), text, remedy)
}
