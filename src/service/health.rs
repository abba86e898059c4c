//! Whether connections work: the login, the account, one row of each object.
//!
//! A check asks little (a call for who is logged in, two for each object), waits for nothing long and shares the
//! limits of the syncs. It never looks at an object that a sync is reading.

mod look;
mod schedule;
mod table;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;

use super::{Actor, App};
use crate::error::{Error, Kind, Result};
use crate::model::{Connection, Fault, Health, Micros, Turn, now_micros};

pub(super) use schedule::next_check;
pub(super) use table::{COLUMNS, Row, rows};

/// Longer than a check may take.
const LEASE: Duration = Duration::from_secs(900);
/// How many connections are checked at once.
const AT_ONCE: usize = 4;
/// How long somebody who asks waits for a check that is under way.
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(200);

/// Why a connection is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    /// Somebody asked.
    Asked,
    /// Its time has come.
    Due,
}

impl App {
    /// Checks one connection, or all of them, now; what was found, as `tributary.health` shows it. The work outlives a
    /// caller that goes away.
    pub(super) async fn check_health(
        self: &Arc<Self>,
        actor: &Actor,
        connection: Option<&str>,
    ) -> Result<Vec<Row>> {
        let arguments = serde_json::json!({ "connection": connection }).to_string();
        self.audited(actor, "health", &arguments, async {
            let connections = match connection {
                Some(name) => vec![self.connection(name).await?],
                None => self.state.connections().await?,
            };
            let names: Vec<_> = connections.iter().map(|connection| connection.name.clone()).collect();
            let app = self.clone();
            let work = self.runtime.spawn(async move {
                let done = app.check_all(connections, now_micros(), Which::Asked).await;
                app.watch.alerts.notify_one();
                done
            });
            work.await
                .map_err(|error| Error::internal("a check ended unexpectedly").with_source(error))??;
            let rows = table::rows(self).await?;
            Ok(rows.into_iter().filter(|row| names.contains(&row.connection)).collect())
        })
        .await
    }

    /// Checks what is due at `now`, and says of connections that are new when that will be.
    pub async fn check_due(&self, now: Micros) -> Result<()> {
        let due = self.state.checks().await?;
        let mut connections = self.state.connections().await?;
        for connection in connections.iter().filter(|connection| due.get(&connection.id) == Some(&None)) {
            self.state.set_check(connection.id, next_check(&self.company, connection.id, now)).await?;
        }
        connections.retain(|connection| matches!(due.get(&connection.id), Some(Some(at)) if *at <= now));
        if connections.is_empty() {
            return Ok(());
        }
        let done = self.check_all(connections, now, Which::Due).await;
        self.watch.alerts.notify_one();
        done
    }

    /// Lets the next check of a connection be now: its login is another one.
    pub(super) async fn check_soon(&self, connection_id: i64) -> Result<()> {
        self.state.set_check(connection_id, now_micros()).await?;
        self.watch.checks.notify_one();
        Ok(())
    }

    async fn check_all(&self, connections: Vec<Connection>, now: Micros, which: Which) -> Result<()> {
        let check = |connection: Connection| async move { self.check(&connection, now, which).await };
        let checks = futures::stream::iter(connections.into_iter().map(check));
        let done: Vec<_> = checks.buffer_unordered(AT_ONCE).collect().await;
        // One that failed keeps none of the others from being recorded.
        done.into_iter().collect()
    }

    /// Checks a connection, under a lease: one node at a time.
    async fn check(&self, connection: &Connection, now: Micros, which: Which) -> Result<()> {
        let lease = format!("health/{}", connection.id);
        let give_up = Instant::now() + PATIENCE;
        let fence = loop {
            match (self.state.acquire_lease(&lease, self.state.node(), LEASE).await?, which) {
                (Some(fence), _) => break fence,
                // Whoever has it does the same.
                (None, Which::Due) => return Ok(()),
                (None, Which::Asked) if Instant::now() < give_up => tokio::time::sleep(POLL).await,
                (None, Which::Asked) => {
                    let what = format!("another check of `{}` takes too long", connection.name);
                    return Err(
                        Error::new(Kind::Conflict, what).with_hint("look at tributary.health in a moment")
                    );
                }
            }
        };
        let done = self.check_leased(connection, now, which).await;
        // It ends by itself where it cannot be given back.
        if let Err(error) = self.state.release_lease(&lease, fence).await {
            tracing::warn!(error = ?error, "a lease could not be given back");
        }
        done
    }

    async fn check_leased(&self, connection: &Connection, now: Micros, which: Which) -> Result<()> {
        let due = self.state.checks().await?.get(&connection.id).copied().flatten();
        if which == Which::Due && due.is_none_or(|at| at > now) {
            // Another node has done it between the look and the lease.
            return Ok(());
        }
        // It may have been renamed or dropped, or its login may have changed, since it was listed.
        let connection = match self.state.connections().await?.into_iter().find(|c| c.id == connection.id) {
            Some(connection) => connection,
            None => return Ok(()),
        };
        let found = look::at(self, &connection, now).await?;
        let next = schedule::after(&self.company, connection.id, &found.health, now);
        self.state.put_health(connection.id, &found.health, &found.kept, due, next).await?;
        if let Some(whole) = found.health.iter().find(|health| health.object_id.is_none()) {
            tracing::info!(
                connection.name = %connection.name,
                health.state = whole.state.as_str(),
                cause = whole.summary.as_deref().unwrap_or_default(),
                "checked"
            );
        }
        Ok(())
    }

    /// Who can do something about a fault of a connection.
    pub(super) async fn turn(&self, connection: &Connection, fault: Fault) -> Result<Turn> {
        Ok(match fault {
            Fault::Login if self.state.oauth_grant(connection.id).await?.is_some() => Turn::User,
            Fault::Reach if self.connectors.manifest(&connection.connector).is_some() => Turn::Vendor,
            Fault::Login | Fault::Reach | Fault::Disk | Fault::Other => Turn::Admin,
            Fault::Quota | Fault::Busy | Fault::Cancelled => Turn::Nobody,
        })
    }
}

/// The whole of an error in one sentence.
pub(super) fn cause_of(error: &Error) -> String {
    match error.detail() {
        Some(detail) => format!("{error}: {detail}"),
        None => error.to_string(),
    }
}

/// Whether a finding about the connection as a whole is one of its own, and not of its objects.
pub(super) fn is_own(health: &Health) -> bool {
    health.object_id.is_none() && health.fault.is_some()
}
