//! Erasing a record from one table, alone: no sync may write to it meanwhile.

use super::{Syncer, lease};
use crate::error::{Error, Kind, Result};
use crate::snapshot::{Erased, Erasure, Table};

impl Syncer {
    /// Erases under the lease of the object, which is called `name`.
    ///
    /// # Errors
    /// `Conflict` when a sync of the object is running.
    pub async fn erase(
        &self,
        table: &Table,
        object_id: &str,
        name: &str,
        erasure: impl FnOnce(i64) -> Erasure,
    ) -> Result<Erased> {
        let Some(fence) = self.state.acquire_lease(object_id, self.state.node(), self.lease).await? else {
            return Err(Error::new(Kind::Conflict, format!("`{name}` is being synced"))
                .with_hint("wait for that run, or end it with `CALL cancel(run)`; then call erase again"));
        };
        let erasure = erasure(fence);
        let result = tokio::select! {
            biased;
            error = lease::keep_lease(self, object_id, name, fence) => Err(error),
            result = erase(table, &erasure) => result,
        };
        self.state.release_lease(object_id, fence).await?;
        result
    }
}

/// The record may be in what is kept of a read that broke off.
async fn erase(table: &Table, erasure: &Erasure) -> Result<Erased> {
    table.drop_kept().await?;
    if !table.exists().await? {
        return Ok(Erased::default());
    }
    table.erase(erasure).await
}
