//! A turn at something that only one process does at a time: a lease that is renewed for as long as it is held.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Kind, Result};
use crate::state::State;

const POLL: Duration = Duration::from_millis(200);

/// Held until it is given back or dropped; then the lease ends, at the latest by itself.
pub(super) struct Turn {
    state: Arc<State>,
    name: String,
    pub(super) fence: i64,
    /// How long the lease lasts without being renewed.
    ttl: Duration,
    renewing: AbortHandle,
    /// Set when another process may have taken over.
    pub(super) lost: CancellationToken,
}

impl Turn {
    /// Takes the turn, unless somebody has it.
    pub(super) async fn try_take(state: &Arc<State>, name: &str, ttl: Duration) -> Result<Option<Self>> {
        let Some(fence) = state.acquire_lease(name, state.node(), ttl).await? else { return Ok(None) };
        let lost = CancellationToken::new();
        let renewing =
            tokio::spawn(keep(state.clone(), name.to_string(), fence, ttl, lost.clone())).abort_handle();
        Ok(Some(Turn { state: state.clone(), name: name.to_string(), fence, ttl, renewing, lost }))
    }

    /// Waits for the turn.
    ///
    /// # Errors
    /// `Cancelled` when `cancel` was set first.
    pub(super) async fn take(
        state: &Arc<State>,
        name: &str,
        ttl: Duration,
        cancel: &CancellationToken,
    ) -> Result<Self> {
        loop {
            if let Some(turn) = Self::try_take(state, name, ttl).await? {
                return Ok(turn);
            }
            tokio::select! {
                () = cancel.cancelled() => return Err(Error::new(Kind::Cancelled, "cancelled while waiting")),
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    /// Whether it still is ours, as the state says now: to be asked before what cannot be undone.
    pub(super) async fn is_ours(&self) -> Result<bool> {
        self.state.renew_lease(&self.name, self.fence, self.ttl).await
    }

    /// Gives the turn back.
    pub(super) async fn give_back(self) {
        self.renewing.abort();
        if let Err(error) = self.state.release_lease(&self.name, self.fence).await {
            tracing::warn!(error = ?error, "a lease could not be given back");
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}

async fn keep(state: Arc<State>, name: String, fence: i64, ttl: Duration, lost: CancellationToken) {
    loop {
        tokio::time::sleep(ttl / 3).await;
        match state.renew_lease(&name, fence, ttl).await {
            Ok(true) => {}
            Ok(false) => return lost.cancel(),
            // It is asked again before anything is committed.
            Err(error) => tracing::warn!(lease = name, error = ?error, "could not renew a lease"),
        }
    }
}
