//! The transaction of a session: what it pins, its savepoints, and whether it failed.

use std::sync::Arc;

use super::TransactionStatus;
use crate::error::{Error, Kind, Result};
use crate::model::{Micros, Release};
use crate::query::settings::{Saved, Settings};

/// Savepoints that may be open at the same time.
const MAX_SAVEPOINTS: usize = 1_000;

#[derive(Default)]
pub(super) struct Transaction {
    open: Option<Open>,
}

struct Open {
    failed: bool,
    started_at: Micros,
    release: Option<Arc<Release>>,
    before: Saved,
    savepoints: Vec<(String, Saved)>,
}

impl Transaction {
    pub(super) fn status(&self) -> TransactionStatus {
        match &self.open {
            None => TransactionStatus::Idle,
            Some(open) if open.failed => TransactionStatus::Failed,
            Some(_) => TransactionStatus::InTransaction,
        }
    }

    pub(super) fn fail(&mut self) {
        if let Some(open) = &mut self.open {
            open.failed = true;
        }
    }

    pub(super) fn release(&self) -> Option<Arc<Release>> {
        self.open.as_ref()?.release.clone()
    }

    /// Everything in the transaction reads this release from now on.
    pub(super) fn pin(&mut self, release: &Arc<Release>) {
        if let Some(open) = &mut self.open {
            open.release.get_or_insert_with(|| release.clone());
        }
    }

    pub(super) fn started_at(&self) -> Option<Micros> {
        self.open.as_ref().map(|open| open.started_at)
    }

    /// Whether a transaction began; `false` when one was open already.
    pub(super) fn begin(&mut self, settings: &Settings, now: Micros) -> bool {
        if self.open.is_some() {
            return false;
        }
        let before = settings.save();
        self.open =
            Some(Open { failed: false, started_at: now, release: None, before, savepoints: Vec::new() });
        true
    }

    /// Ends the transaction. `Some(true)` when it was committed, `Some(false)` when rolled back, `None` when there
    /// was none.
    pub(super) fn end(&mut self, settings: &mut Settings, commit: bool) -> Option<bool> {
        let open = self.open.take()?;
        let committed = commit && !open.failed;
        if !committed {
            settings.restore(open.before);
        }
        settings.end_transaction();
        Some(committed)
    }

    fn open(&mut self, what: &str) -> Result<&mut Open> {
        let none = || {
            Error::new(Kind::Invalid, format!("{what} can only be used in transaction blocks"))
                .with_sqlstate("25P01")
        };
        self.open.as_mut().ok_or_else(none)
    }

    pub(super) fn savepoint(&mut self, name: &str, settings: &Settings) -> Result<()> {
        let open = self.open("SAVEPOINT")?;
        if open.savepoints.len() >= MAX_SAVEPOINTS {
            return Err(Error::new(Kind::Limit, "too many savepoints").with_sqlstate("54000"));
        }
        open.savepoints.push((name.into(), settings.save()));
        Ok(())
    }

    pub(super) fn release_savepoint(&mut self, name: &str) -> Result<()> {
        let open = self.open("RELEASE SAVEPOINT")?;
        let place = open.find(name)?;
        open.savepoints.truncate(place);
        Ok(())
    }

    pub(super) fn rollback_to(&mut self, name: &str, settings: &mut Settings) -> Result<()> {
        let open = self.open("ROLLBACK TO SAVEPOINT")?;
        let place = open.find(name)?;
        open.savepoints.truncate(place + 1);
        settings.restore(open.savepoints[place].1.clone());
        open.failed = false;
        Ok(())
    }
}

impl Open {
    fn find(&self, name: &str) -> Result<usize> {
        let missing = || {
            Error::new(Kind::NotFound, format!("savepoint \"{name}\" does not exist")).with_sqlstate("3B001")
        };
        self.savepoints.iter().rposition(|(other, _)| other == name).ok_or_else(missing)
    }
}
