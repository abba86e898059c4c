//! Batches: what happens in a night, step by step.

use super::Micros;

/// One refresh of everything daily, its release, and the statements on it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Batch {
    /// Grows by one.
    pub id: i64,
    /// As in `tributary.as_of = 'batch <name>'`: the local date, with a number where that was taken.
    pub name: String,
    /// The local date whose nightly batch it is; `None` when somebody asked for it.
    pub night: Option<String>,
    /// `schedule`, `catch-up` or `call`.
    pub started_by: String,
    /// Who asked.
    pub actor: String,
    /// When it was to begin, by the schedule.
    pub due_at: Option<Micros>,
    /// `queued`, `running`, `succeeded`, `partial`, `failed`, `cancelled`.
    pub status: String,
    /// When it was entered.
    pub queued_at: Micros,
    /// When it began.
    pub started_at: Option<Micros>,
    /// When it ended.
    pub ended_at: Option<Micros>,
    /// What its statements read.
    pub release: Option<i64>,
    /// Where their results are.
    pub result_release: Option<i64>,
    /// Who wants it to end early.
    pub cancelled_by: Option<String>,
    /// What went wrong, for people.
    pub cause: Option<String>,
}

impl Batch {
    /// The cause of its release.
    pub fn release_cause(&self) -> String {
        format!("batch {}", self.name)
    }

    /// The cause of the release with the results of its statements.
    pub fn result_cause(&self) -> String {
        format!("statements of batch {}", self.name)
    }
}

/// One object or statement of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchStep {
    /// The batch.
    pub batch: i64,
    /// 0-based order.
    pub position: i64,
    /// `sync` or `statement`.
    pub kind: String,
    /// Id of the object or statement.
    pub subject_id: String,
    /// Its full name.
    pub name: String,
    /// Whether what reads it is held when it fails.
    pub required: bool,
    /// `waiting`, `running`, how a run ended, or `held`.
    pub status: String,
    /// When it began.
    pub started_at: Option<Micros>,
    /// When it ended.
    pub ended_at: Option<Micros>,
    /// Its run: of `tributary.run` or `tributary.statement_run`.
    pub run: Option<i64>,
    /// Why it failed or is held.
    pub cause: Option<String>,
}

impl BatchStep {
    /// Whether it has ended well.
    pub fn is_good(&self) -> bool {
        self.status.starts_with("succeeded") || self.status == "capped"
    }

    /// Whether it has not ended.
    pub fn is_open(&self) -> bool {
        matches!(self.status.as_str(), "waiting" | "running")
    }
}
