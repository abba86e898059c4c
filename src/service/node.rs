//! One process among several: starting, staying alive for the others, following their releases, ending.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::App;
use super::overrides::keep_expiring;
use super::release::keep_holding;
use crate::error::Result;
use crate::model::now_micros;

/// How often the newest release is asked for where other processes may publish.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);
/// How often runs are looked for whose end could not be recorded, and how old they are by then.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(10);

impl App {
    /// Takes over after a start or a crash: runs that a dead process left open are ended, erasures that it
    /// left unfinished are completed, the newest release is served. Where the state is shared, the others are
    /// followed from then on. Called once, before anybody connects.
    pub async fn start(self: &Arc<Self>) -> Result<()> {
        if self.state.is_shared() {
            self.state.stay(self.lease).await?;
            tokio::spawn(follow(Arc::downgrade(self)));
            tokio::spawn(keep_holding(Arc::downgrade(self)));
        }
        tokio::spawn(tidy(Arc::downgrade(self)));
        self.end_abandoned_runs().await?;
        self.resume_erasures().await?;
        self.expire_overrides(now_micros()).await?;
        tokio::spawn(keep_expiring(Arc::downgrade(self), self.expiring.clone()));
        if let Some(release) = self.state.newest_release().await? {
            self.announce(release);
        }
        Ok(())
    }

    /// Cancels what runs and waits until it has ended, at most ten seconds.
    pub async fn stop(&self) {
        self.nights.leave();
        for token in self.running.lock().values() {
            token.cancel();
        }
        self.compactions.cancel();
        let deadline = Instant::now() + STOP_LIMIT;
        while !self.running.lock().is_empty() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.compactions.ended(deadline).await;
        if tokio::time::timeout_at(deadline, self.warehouse.settle()).await.is_err() {
            tracing::warn!("a checkpoint is not waited for: the log is read without it");
        }
        if let Err(error) = self.state.leave().await {
            tracing::warn!(error = ?error, "the other nodes will find out by themselves that this one ended");
        }
    }

    /// Whether snapshots can be written and read, see [`crate::snapshot::Warehouse::check_access`].
    pub async fn check_storage(&self) -> Result<()> {
        self.warehouse.check_access().await
    }

    async fn end_abandoned_runs(&self) -> Result<()> {
        let interrupted = self.state.interrupt_running("interrupted by the end of its process").await?;
        let interrupted = interrupted + self.state.interrupt_statement_runs().await?;
        if interrupted > 0 {
            tracing::warn!(runs = interrupted, "ended runs of processes that are gone");
        }
        Ok(())
    }

    /// Ends what this process began and could not record the end of.
    async fn end_forgotten_runs(&self) -> Result<()> {
        let before = now_micros() - FORGOTTEN_AFTER.as_micros() as i64;
        let under_way: Vec<_> = self.running.lock().keys().copied().collect();
        let ended = self.state.end_forgotten_runs(&under_way, before).await?;
        if ended > 0 {
            tracing::warn!(runs = ended, "ended runs whose end could not be recorded");
        }
        Ok(())
    }

    /// Serves what another process published.
    pub(super) async fn catch_up(&self) -> Result<()> {
        let Some(engine) = self.engine.get() else { return Ok(()) };
        if self.state.newest_release_id().await?.is_none_or(|newest| newest <= engine.newest().id) {
            return Ok(());
        }
        if let Some(release) = self.state.newest_release().await? {
            self.announce(release);
        }
        Ok(())
    }
}

/// Makes up for what could not be recorded, for as long as the service lives.
async fn tidy(app: Weak<App>) {
    loop {
        tokio::time::sleep(FORGOTTEN_AFTER).await;
        let Some(app) = app.upgrade() else { return };
        if let Err(error) = app.end_forgotten_runs().await {
            tracing::debug!(error = ?error, "the state database is away");
        }
    }
}

/// Follows the other processes for as long as the service lives.
async fn follow(app: Weak<App>) {
    let mut stayed = Instant::now();
    let mut is_away = false;
    let mut heard = None;
    loop {
        let Some(pause) = app.upgrade().map(|app| FOLLOW_EVERY.min(app.lease / 3)) else { return };
        tokio::time::sleep(pause).await;
        let Some(app) = app.upgrade() else { return };
        let followed = async {
            heard = Some(app.hear(heard).await?);
            app.catch_up().await?;
            if stayed.elapsed() >= app.lease / 3 {
                app.state.stay(app.lease).await?;
                stayed = Instant::now();
                app.end_abandoned_runs().await?;
            }
            Ok::<_, crate::error::Error>(())
        };
        match followed.await {
            Ok(()) => is_away = false,
            // Once is enough: it is asked again in a second.
            Err(error) if !is_away => {
                is_away = true;
                tracing::warn!(error = ?error, "cannot follow the other nodes");
            }
            Err(_) => {}
        }
    }
}
