//! The demonstration: the embedded simulated source, adopted and synced like any other.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::object::Adoption;
use super::sync::Wanted;
use super::{Actor, App};
use crate::error::{Error, Kind, Result};
use crate::secret::Secret;

/// Connector and connection of the demonstration.
const DEMO: &str = "demo";

impl App {
    /// Links the simulated source, adopts all its objects and syncs them. Does nothing where the connection is
    /// there already.
    pub async fn set_up_demo(self: &Arc<Self>) -> Result<()> {
        let actor = Actor::system();
        if self.state.connection(DEMO).await?.is_none() {
            self.connect(&actor, DEMO, None, None).await?;
            for found in self.discover(&actor, DEMO).await? {
                self.add_object(&actor, DEMO, &found.info.api, Adoption::default()).await?;
            }
        } else if self.state.newest_release().await?.is_some() {
            return Ok(());
        }
        self.sync_demo(DEMO).await
    }

    /// Links a simulated vendor with `secrets`, adopts `objects` and syncs them. Does nothing where the connection is
    /// there already.
    pub async fn set_up_vendor(
        self: &Arc<Self>,
        connector: &str,
        secrets: &[(&str, &str)],
        objects: &[&str],
    ) -> Result<()> {
        let actor = Actor::system();
        if self.state.connection(connector).await?.is_some() {
            return Ok(());
        }
        self.connect(&actor, connector, None, None).await?;
        for (field, value) in secrets {
            self.set_secret(&actor, connector, field, Secret::new(value.to_string())).await?;
        }
        for object in objects {
            self.add_object(&actor, connector, object, Adoption::default()).await?;
        }
        match objects {
            [] => Ok(()),
            _ => self.sync_demo(connector).await,
        }
    }

    async fn sync_demo(self: &Arc<Self>, connection: &str) -> Result<()> {
        let actor = Actor::system();
        let wanted = Wanted { connection, mode: "full", object: None, force: None };
        let (progress, _) = mpsc::unbounded_channel();
        let outcome = self.sync(&actor, &wanted, progress, CancellationToken::new()).await?;
        match outcome.runs.iter().find(|run| run.status == "failed") {
            None => Ok(()),
            Some(run) => {
                let cause = run.cause.as_deref().unwrap_or("no cause was recorded");
                Err(Error::new(
                    Kind::Internal,
                    format!("the demonstration could not sync {}: {cause}", run.object),
                ))
            }
        }
    }
}
