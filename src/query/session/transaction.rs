//! The transaction of a session: what it pins, its savepoints, and whether it failed.

use std::sync::Arc;

use super::TransactionStatus;
use crate::error::{Error, Kind, Result};
use crate::model::Micros;
use crate::query::pin::Pin;
use crate::query::settings::{Saved, Settings};

/// Savepoints that may be open at the same time.
const MAX_SAVEPOINTS: usize = 1_000;

/// What the end of a transaction was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// There was none.
    None,
    /// One that had begun by itself.
    Implicit,
    Committed,
    RolledBack,
}

#[derive(Default)]
pub(super) struct Transaction {
    open: Option<Open>,
}

/// How a transaction was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begun {
    /// By `BEGIN`.
    Client,
    /// By a text of several statements: it ends with the text.
    Text,
    /// By messages without an end between them: it ends with them, and nobody is told that there is one.
    Pipeline,
}

struct Savepoint {
    name: String,
    settings: Saved,
    /// Of the messages asked for before it.
    mark: usize,
}

struct Open {
    begun: Begun,
    failed: bool,
    started_at: Micros,
    release: Option<Arc<Pin>>,
    before: Saved,
    savepoints: Vec<Savepoint>,
}

impl Transaction {
    pub(super) fn status(&self) -> TransactionStatus {
        match &self.open {
            None => TransactionStatus::Idle,
            Some(open) if open.begun == Begun::Pipeline => TransactionStatus::Idle,
            Some(open) if open.failed => TransactionStatus::Failed,
            Some(_) => TransactionStatus::InTransaction,
        }
    }

    /// Whether one is open that the client began.
    pub(super) fn is_client(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.begun == Begun::Client)
    }

    /// Whether only its end is accepted.
    pub(super) fn has_failed(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.failed)
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Savepoints that are open.
    pub(super) fn depth(&self) -> usize {
        self.open.as_ref().map_or(0, |open| open.savepoints.len())
    }

    /// After an error: only the end is accepted.
    pub(super) fn fail(&mut self) {
        if let Some(open) = &mut self.open {
            open.failed = true;
        }
    }

    pub(super) fn release(&self) -> Option<Arc<Pin>> {
        self.open.as_ref()?.release.clone()
    }

    /// Everything in the transaction reads this release from now on.
    pub(super) fn pin(&mut self, release: &Arc<Pin>) {
        if let Some(open) = &mut self.open {
            open.release.get_or_insert_with(|| release.clone());
        }
    }

    pub(super) fn started_at(&self) -> Option<Micros> {
        self.open.as_ref().map(|open| open.started_at)
    }

    /// Begins what the client asked for; one that began by itself becomes it, with all that ran in it before.
    /// `false` when one was open already.
    pub(super) fn begin(&mut self, settings: &Settings, now: Micros) -> bool {
        match &mut self.open {
            Some(open) if open.begun == Begun::Client => return false,
            Some(open) => open.begun = Begun::Client,
            None => self.open = Some(Open::new(Begun::Client, settings, now)),
        }
        true
    }

    /// Begins one that ends by itself, unless one is open.
    pub(super) fn begin_implicit(&mut self, is_text: bool, settings: &Settings, now: Micros) {
        let begun = if is_text { Begun::Text } else { Begun::Pipeline };
        self.open.get_or_insert_with(|| Open::new(begun, settings, now));
    }

    /// Ends the transaction.
    pub(super) fn end(&mut self, settings: &mut Settings, commit: bool) -> Ended {
        let Some(open) = self.open.take() else { return Ended::None };
        let committed = commit && !open.failed;
        if !committed {
            settings.restore(open.before);
        }
        settings.end_transaction();
        match (open.begun, committed) {
            (Begun::Text | Begun::Pipeline, _) => Ended::Implicit,
            (Begun::Client, true) => Ended::Committed,
            (Begun::Client, false) => Ended::RolledBack,
        }
    }

    fn open(&mut self, what: &str) -> Result<&mut Open> {
        let none = || {
            Error::new(Kind::Invalid, format!("{what} can only be used in transaction blocks"))
                .with_sqlstate("25P01")
        };
        self.open.as_mut().filter(|open| open.begun == Begun::Client).ok_or_else(none)
    }

    pub(super) fn savepoint(&mut self, name: &str, settings: &Settings, mark: usize) -> Result<()> {
        let open = self.open("SAVEPOINT")?;
        if open.savepoints.len() >= MAX_SAVEPOINTS {
            return Err(Error::new(Kind::Limit, "too many savepoints").with_sqlstate("54000"));
        }
        open.savepoints.push(Savepoint { name: name.into(), settings: settings.save(), mark });
        Ok(())
    }

    /// The number of the savepoint.
    pub(super) fn release_savepoint(&mut self, name: &str) -> Result<usize> {
        let open = self.open("RELEASE SAVEPOINT")?;
        let place = open.find(name)?;
        open.savepoints.truncate(place);
        Ok(place)
    }

    /// The number of the savepoint, and the mark it was made with.
    pub(super) fn rollback_to(&mut self, name: &str, settings: &mut Settings) -> Result<(usize, usize)> {
        let open = self.open("ROLLBACK TO SAVEPOINT")?;
        let place = open.find(name)?;
        open.savepoints.truncate(place + 1);
        let savepoint = &open.savepoints[place];
        settings.restore(savepoint.settings.clone());
        let mark = savepoint.mark;
        open.failed = false;
        Ok((place, mark))
    }
}

impl Open {
    fn new(begun: Begun, settings: &Settings, now: Micros) -> Self {
        let (before, savepoints) = (settings.save(), Vec::new());
        Open { begun, failed: false, started_at: now, release: None, before, savepoints }
    }

    fn find(&self, name: &str) -> Result<usize> {
        let missing = || {
            Error::new(Kind::NotFound, format!("savepoint \"{name}\" does not exist")).with_sqlstate("3B001")
        };
        self.savepoints.iter().rposition(|other| other.name == name).ok_or_else(missing)
    }
}
