//! What a person decides about a run that is held.

use super::{Syncer, lease};
use crate::error::{Error, Kind, Result};
use crate::model::{Object, ObjectField, Release, ReleaseObject, Run};
use crate::snapshot::{Snapshot, Table};

impl Syncer {
    /// Publishes what a held run committed, exactly as it was judged. `cause` says who wanted that, and why.
    ///
    /// # Errors
    /// `Invalid` when the run committed nothing, `Conflict` when something was committed since or is being read.
    pub async fn approve(&self, object: &Object, run: &Run, cause: &str) -> Result<Option<Release>> {
        self.alone(object, async |_| {
            let (_, snapshot) = self.held(object, run).await?;
            let change = ReleaseObject {
                object_id: object.id.clone(),
                connection: object.connection.clone(),
                name: object.name.clone(),
                version: snapshot.content(),
                rows: snapshot.rows() as i64,
                fields: stored(object, &snapshot),
                // State knows whether there are any.
                overrides: None,
            };
            let release = self.publish(&format!("approve run {}", run.id), &[change], &[], &[run.id]).await?;
            // Published already when this fails: approving it again then publishes the same.
            self.state.decide_run(run.id, "succeeded with warnings", cause).await?;
            Ok(release)
        })
        .await
    }

    /// Goes back to what is published, rows and watermark: the next sync reads what the held run read once more.
    ///
    /// # Errors
    /// As [`Syncer::approve`].
    pub async fn reject(&self, object: &Object, run: &Run, cause: &str) -> Result<()> {
        self.alone(object, async |fence| {
            if run.version.is_some() {
                let (table, _) = self.held(object, run).await?;
                if let Some(published) = self.state.published(&object.id).await? {
                    table.restore(published.version, run.id, fence).await?;
                }
            }
            self.state.decide_run(run.id, "rejected", cause).await?;
            Ok(())
        })
        .await
    }

    /// The table of a held run, and what it committed, as long as that is the newest.
    async fn held(&self, object: &Object, run: &Run) -> Result<(Table, std::sync::Arc<Snapshot>)> {
        let Some(version) = run.version else {
            let what =
                format!("run {} of `{}` committed nothing that could be published", run.id, run.object);
            let error = Error::new(Kind::Invalid, what).with_hint("correct what it says, then sync again");
            return Err(match &run.cause {
                Some(cause) => error.with_detail(cause.clone()),
                None => error,
            });
        };
        let table = self.warehouse.table(&object.connection, &object.id);
        let newest = table.latest().await?.filter(|newest| newest.content() == version);
        match newest {
            Some(newest) => Ok((table, newest)),
            None => Err(Error::new(
                Kind::Conflict,
                format!("run {} of `{}` was followed by another one", run.id, run.object),
            )
            .with_hint("decide about the newest: SELECT * FROM tributary.run WHERE status = 'held'")),
        }
    }

    /// Runs `work` under the lease of the object.
    async fn alone<T>(&self, object: &Object, work: impl AsyncFnOnce(i64) -> Result<T>) -> Result<T> {
        let name = object.full_name();
        let Some(fence) = self.state.acquire_lease(&object.id, self.state.node(), self.lease).await? else {
            return Err(Error::new(Kind::Conflict, format!("`{name}` is being synced")).with_hint(
                "wait for that run, or end it with `CALL cancel(run)`; then decide about the newest",
            ));
        };
        let result = tokio::select! {
            biased;
            error = lease::keep_lease(self, &object.id, &name, fence) => Err(error),
            result = work(fence) => result,
        };
        self.state.release_lease(&object.id, fence).await?;
        result
    }
}

/// The selected fields that a snapshot has, with the types that it has them in.
fn stored(object: &Object, snapshot: &Snapshot) -> Vec<ObjectField> {
    let as_stored = |field: &ObjectField| {
        let (_, data_type) = snapshot.columns().iter().find(|(column, _)| *column == field.column)?;
        Some(ObjectField { data_type: data_type.clone(), ..field.clone() })
    };
    object.selected().filter_map(as_stored).collect()
}
