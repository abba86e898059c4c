//! Keeping tables fast to read: compaction on demand, and by itself after a sync.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::{Actor, App};
use crate::error::{Error, Result};
use crate::model::{Object, Statement};
use crate::snapshot::{Compacted, Extent};

/// The compactions of this server: one at a time, so that queries and syncs keep the machine.
#[derive(Default)]
pub(super) struct Compactions {
    turn: Mutex<()>,
    stop: CancellationToken,
}

impl Compactions {
    /// Ends them; what is committed stays.
    pub(super) fn cancel(&self) {
        self.stop.cancel();
    }

    /// Waits until the one under way has ended; none begins before the guard is dropped.
    pub(super) async fn pause(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Waits until the one under way has ended.
    pub(super) async fn ended(&self, deadline: tokio::time::Instant) {
        // One that does not end in time leaves files behind, nothing worse.
        tokio::time::timeout_at(deadline, self.turn.lock()).await.ok();
    }
}

/// A table, whatever fills it.
pub(super) struct Stored {
    /// Its folder.
    connection: String,
    id: String,
    full_name: String,
}

impl From<&Object> for Stored {
    fn from(object: &Object) -> Self {
        Stored { connection: object.connection.clone(), id: object.id.clone(), full_name: object.full_name() }
    }
}

impl From<&Statement> for Stored {
    fn from(statement: &Statement) -> Self {
        let (id, full_name) = (statement.id.clone(), statement.full_name());
        Stored { connection: Statement::SCHEMA.into(), id, full_name }
    }
}

/// What `optimize` did to one object.
pub(super) struct Optimized {
    /// Full name of the object.
    pub(super) object: String,
    pub(super) compacted: Compacted,
    pub(super) took: Duration,
}

impl App {
    /// Arranges the snapshots of one object of a connection, or of all, as a full sync would leave them. Answers stay
    /// the same; readers and syncs do not wait. The work outlives a caller that goes away.
    pub(super) async fn optimize(
        self: &Arc<Self>,
        actor: &Actor,
        connection: &str,
        object: Option<&str>,
        cancel: &CancellationToken,
    ) -> Result<Vec<Optimized>> {
        let arguments = serde_json::json!({ "connection": connection, "object": object }).to_string();
        self.audited(actor, "optimize", &arguments, async {
            let objects = self.to_compact(connection, object).await?;
            let stop = self.compactions.stop.child_token();
            let (app, stops) = (self.clone(), stop.clone());
            let mut work = self.runtime.spawn(async move {
                let mut done = Vec::new();
                for object in objects {
                    done.push(app.compact(&object, Extent::Everything, &stops).await?);
                }
                Ok::<_, Error>(done)
            });
            let ended = tokio::select! {
                ended = &mut work => ended,
                () = cancel.cancelled() => {
                    stop.cancel();
                    work.await
                }
            };
            ended.map_err(|error| Error::internal("a compaction ended unexpectedly").with_source(error))?
        })
        .await
    }

    /// The tables of a connection, or of all statements, or the one of that name.
    async fn to_compact(&self, connection: &str, object: Option<&str>) -> Result<Vec<Stored>> {
        if connection == Statement::SCHEMA {
            let statements = match object {
                Some(name) => vec![self.statement(name).await?],
                None => self.state.statements().await?,
            };
            // One that was never computed has no table.
            let results = self.state.newest_results().await?;
            let computed = statements.iter().filter(|statement| results.contains_key(&statement.id));
            return Ok(computed.map(Stored::from).collect());
        }
        let connection = self.connection(connection).await?;
        let objects = match object {
            Some(name) => vec![self.object(&connection, name).await?],
            None => self.state.objects_of(connection.id).await?,
        };
        Ok(objects.iter().map(Stored::from).collect())
    }

    /// Compacts, in the background, what is due of tables that were just written.
    pub(super) fn compact_later(self: &Arc<Self>, objects: Vec<Stored>) {
        let (app, stop) = (self.clone(), self.compactions.stop.clone());
        self.runtime.spawn(async move {
            for object in objects.iter().take_while(|_| !stop.is_cancelled()) {
                // The sync has succeeded whatever comes of this.
                if let Err(error) = app.compact(object, Extent::Due, &stop).await {
                    tracing::warn!(object.name = %object.full_name, ?error, "not compacted");
                }
            }
        });
    }

    async fn compact(&self, object: &Stored, extent: Extent, stop: &CancellationToken) -> Result<Optimized> {
        let table = self.warehouse.table(&object.connection, &object.id);
        let _turn = self.compactions.turn.lock().await;
        let started = Instant::now();
        let compacted = table.compact(extent, stop).await?;
        let took = started.elapsed();
        if compacted.rows > 0 {
            tracing::info!(
                object.name = %object.full_name,
                rows = compacted.rows,
                files.before = compacted.files_before,
                files.after = compacted.files_after,
                duration_ms = took.as_millis() as u64,
                "compacted"
            );
        }
        Ok(Optimized { object: object.full_name.clone(), compacted, took })
    }
}
