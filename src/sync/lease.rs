//! One writer per object: a run works under a lease, and gives up when it loses it.

use std::convert::Infallible;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::run::{self, Done, tell};
use super::{ProgressSender, Request, Syncer, cancelled};
use crate::error::{Error, Kind, Result};
use crate::model::{Object, Run};

/// How often is looked whether a source makes a run wait.
const WAITS_EVERY: Duration = Duration::from_secs(1);

/// What a run works with.
#[derive(Clone, Copy)]
pub(super) struct Work<'a> {
    pub(super) syncer: &'a Syncer,
    pub(super) request: &'a Request,
    pub(super) progress: &'a ProgressSender,
    pub(super) cancel: &'a CancellationToken,
    /// Of the lease.
    pub(super) fence: i64,
}

/// Holds the object's lease around the work and gives up when it is lost.
pub(super) async fn leased(
    syncer: &Syncer,
    request: &Request,
    object: &Object,
    run: &mut Run,
    progress: &ProgressSender,
    cancel: &CancellationToken,
) -> Result<Done> {
    let Some(fence) = syncer.state.acquire_lease(&object.id, syncer.state.node(), syncer.lease).await? else {
        return Err(Error::new(Kind::Conflict, format!("`{}` is being synced already", object.full_name()))
            .with_hint("wait for that run, or end it with `CALL cancel(run)`"));
    };
    let waits = tell_waits(syncer, request, object, run.id, progress);
    let work = run::transfer(Work { syncer, request, progress, cancel, fence }, object, run);
    let name = object.full_name();
    let result = tokio::select! {
        biased;
        () = cancel.cancelled() => Err(cancelled(object)),
        error = keep_lease(syncer, &object.id, &name, fence) => Err(error),
        never = waits => match never {},
        result = work => result,
    };
    // What the run did stands, whatever becomes of the lease: it expires by itself.
    if let Err(error) = syncer.state.release_lease(&object.id, fence).await {
        tracing::warn!(object.id = %object.id, error = ?error, "could not give a lease back");
    }
    result
}

/// Tells, as long as the run lasts, when its source makes it wait.
async fn tell_waits(
    syncer: &Syncer,
    request: &Request,
    object: &Object,
    run: i64,
    progress: &ProgressSender,
) -> Infallible {
    let mut told = None;
    loop {
        tokio::time::sleep(WAITS_EVERY).await;
        let until = request.source.waits_until();
        if until == told {
            continue;
        }
        told = until;
        let why = until.and_then(chrono::DateTime::from_timestamp_micros).map(|until| {
            format!("waiting: the source allows calls again at {}", until.format("%H:%M:%S UTC"))
        });
        if let Some(why) = &why {
            tell(progress, object, why.clone());
        }
        // For people only: a state that is away for a moment is no reason to stop.
        if let Err(error) = syncer.state.note_wait(run, why.as_deref()).await {
            tracing::debug!(run.id = run, error = ?error, "could not note that a run waits");
        }
    }
}

/// Renews the lease for ever; returns when it is lost.
pub(super) async fn keep_lease(syncer: &Syncer, object_id: &str, name: &str, fence: i64) -> Error {
    loop {
        tokio::time::sleep(syncer.lease / 3).await;
        match syncer.state.renew_lease(object_id, fence, syncer.lease).await {
            Ok(true) => {}
            Ok(false) => return lost(name),
            // The commit checks the fence anyway, so a state that is away for a moment must not end a long run.
            Err(error) => tracing::warn!(object.id = %object_id, error = ?error, "could not renew a lease"),
        }
    }
}

pub(super) fn lost(name: &str) -> Error {
    Error::new(Kind::Conflict, format!("lost the lease on `{name}`")).with_hint(
        "this process was away for too long and another may have taken over; nothing of this run is visible",
    )
}
