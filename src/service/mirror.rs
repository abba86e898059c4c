//! Copies of the definitions beside the tables, from which a lost state is rebuilt. That a copy fails undoes nothing:
//! it is made up for at the next start.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::App;
use crate::error::Result;
use crate::model::{Batch, Connection, Object, Override, Period, Statement, StatementRun};
use crate::state::{DEFAULT_RETENTION_DAYS, ErasureEntry};

/// Says that a definition is gone on purpose.
pub(super) const DROPPED: &str = "dropped.json";
/// The folder of what the company has set.
pub(super) const SETTINGS: &str = "catalog/settings";
/// The folder of when batches run.
pub(super) const SCHEDULE: &str = "catalog/schedule";
/// The folder of computations of statements.
pub(super) const COMPUTATIONS: &str = "catalog/computations";
/// The folder of batches that have ended.
pub(super) const BATCHES: &str = "catalog/batches";
/// The folder of overrides.
pub(super) const OVERRIDES: &str = "catalog/overrides";

/// How long releases are kept.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Retention {
    pub(super) days: i64,
}

/// When batches run; `None` for never.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct KeptSchedule {
    pub(super) text: Option<String>,
}

/// Overrides as they were at one moment. Of the same one the copy with the last name counts.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Overrides {
    pub(super) overrides: Vec<Override>,
}

impl App {
    /// Keeps a copy of a connection.
    pub(super) async fn mirror_connection(&self, connection: &Connection) {
        self.mirror(&connection_name(connection.id, connection_file(connection)), &plain(connection)).await;
    }

    /// Keeps a copy of a connection whose settings have changed, in the place of those before.
    pub(super) async fn mirror_settings(&self, connection: &Connection) {
        let file = format!("definition.set.{:020}.json", crate::model::now_micros());
        self.mirror(&connection_name(connection.id, &file), &plain(connection)).await;
    }

    /// Keeps a copy of an object's definition.
    pub(super) async fn mirror_object(&self, object: &Object) {
        self.mirror(&object_name(&object.id, &version_name(object)), object).await;
    }

    /// Notes that an object or a connection is gone.
    pub(super) async fn mirror_dropped(&self, connection: Option<i64>, objects: &[Object]) {
        let gone = serde_json::json!({ "dropped": true });
        for object in objects {
            self.mirror(&object_name(&object.id, DROPPED), &gone).await;
        }
        if let Some(connection) = connection {
            self.mirror(&connection_name(connection, DROPPED), &gone).await;
        }
    }

    /// Keeps copies of the definitions that a sync of `objects` changed.
    pub(super) async fn mirror_widened(&self, objects: &[Object]) -> Result<()> {
        for before in objects {
            let now = self.state.objects_of(before.connection_id).await?;
            if let Some(now) = now.iter().find(|now| now.id == before.id && now.fields != before.fields) {
                self.mirror_object(now).await;
            }
        }
        Ok(())
    }

    /// Keeps a copy of a statement's definition.
    pub(super) async fn mirror_statement(&self, statement: &Statement) {
        self.mirror(&statement_name(&statement.id, &format!("{:020}.json", statement.version)), statement)
            .await;
    }

    /// Notes that a statement is gone.
    pub(super) async fn mirror_statement_dropped(&self, statement: &Statement) {
        let gone = serde_json::json!({ "dropped": true });
        self.mirror(&statement_name(&statement.id, DROPPED), &gone).await;
    }

    /// Keeps a copy of a computation whose result is published: all that is needed to repeat it.
    pub(super) async fn mirror_computation(&self, run: &StatementRun) {
        self.mirror(&computation_name(run), run).await;
    }

    /// Keeps a copy of a batch that has ended.
    pub(super) async fn mirror_batch(&self, batch: &Batch) {
        self.mirror(&batch_name(batch.id), batch).await;
    }

    /// Keeps a copy of who is kept out, without the key.
    pub(super) async fn mirror_erasure(&self, entry: &ErasureEntry) {
        let plain = ErasureEntry { pending: None, rows: None, files: None, releases: None, ..entry.clone() };
        self.mirror(&erasure_name(entry.id), &plain).await;
    }

    /// Keeps a copy of a period, so that what it protects is protected after a recovery too.
    pub(super) async fn mirror_period(&self, period: &Period) {
        self.mirror(&period_file(period, "definition.json"), period).await;
    }

    /// Notes that a period protects nothing any more.
    pub(super) async fn mirror_unfrozen(&self, period: &Period) {
        self.mirror(&period_file(period, DROPPED), &serde_json::json!({ "dropped": true })).await;
    }

    /// Keeps copies of the overrides that changed, each as a list of how they are now.
    pub(super) async fn mirror_overrides(&self) -> Result<()> {
        let _alone = self.mirroring.lock().await;
        self.mirror_overrides_alone().await
    }

    /// The same for whoever holds `mirroring`.
    pub(super) async fn mirror_overrides_alone(&self) -> Result<()> {
        let changed = self.state.unmirrored_overrides().await?;
        for changed in changed.chunk_by(|a, b| a.object_id == b.object_id) {
            let folder = overrides_folder(&changed[0].object_id);
            let last = self.warehouse.mirror_names(&folder).await?.pop();
            let number: Option<u64> =
                last.and_then(|name| name.rsplit('/').next()?.strip_suffix(".json")?.parse().ok());
            let name = format!("{folder}/{:020}.json", number.unwrap_or(0) + 1);
            self.warehouse.put_mirror(&name, &Overrides { overrides: changed.to_vec() }).await?;
            self.state.overrides_mirrored(changed).await?;
        }
        Ok(())
    }

    /// Keeps a copy of how long releases are kept, where the newest copy says something else.
    pub(super) async fn mirror_retention(&self) -> Result<()> {
        let days = self.state.retention_days().await?;
        let is_known =
            |known: Option<Retention>| known.map_or(DEFAULT_RETENTION_DAYS, |known| known.days) == days;
        self.mirror_setting(&format!("{SETTINGS}/retention"), &Retention { days }, is_known).await
    }

    /// Keeps a copy of when batches run, where the newest copy says something else.
    pub(super) async fn mirror_schedule(&self) -> Result<()> {
        let text = self.state.schedule().await?;
        let is_known = |known: Option<KeptSchedule>| known.and_then(|known| known.text) == text;
        self.mirror_setting(&format!("{SCHEDULE}/nightly"), &KeptSchedule { text: text.clone() }, is_known)
            .await
    }

    async fn mirror_setting<T: serde::Serialize + serde::de::DeserializeOwned>(
        &self,
        folder: &str,
        value: &T,
        is_known: impl FnOnce(Option<T>) -> bool,
    ) -> Result<()> {
        let newest = self.warehouse.mirror_names(folder).await?.pop();
        let number =
            newest.as_deref().and_then(|name| name.rsplit('/').next()?.strip_suffix(".json")?.parse().ok());
        let readable = match &newest {
            Some(name) => self.warehouse.mirror::<T>(name).await.map(Some),
            None => Ok(None),
        };
        // What cannot be read is written again.
        if !readable.is_ok_and(is_known) {
            self.mirror(&format!("{folder}/{:020}.json", number.unwrap_or(0_u64) + 1), value).await;
        }
        Ok(())
    }

    async fn mirror(&self, name: &str, value: &impl serde::Serialize) {
        if let Err(error) = self.warehouse.put_mirror(name, value).await {
            tracing::error!(name, error = ?error, "a definition is not mirrored; the next start tries again");
        }
    }

    /// Makes up for copies that an earlier process did not come to make.
    pub async fn mirror_missing(&self) -> Result<()> {
        let kept: BTreeSet<_> = self.warehouse.mirror_names("catalog").await?.into_iter().collect();
        for connection in self.state.connections().await? {
            if !kept.contains(&connection_name(connection.id, connection_file(&connection))) {
                self.mirror_connection(&connection).await;
            }
        }
        for object in self.state.objects().await? {
            if !kept.contains(&object_name(&object.id, &version_name(&object))) {
                self.mirror_object(&object).await;
            }
        }
        for statement in self.state.statements().await? {
            if !kept.contains(&statement_name(&statement.id, &format!("{:020}.json", statement.version))) {
                self.mirror_statement(&statement).await;
            }
        }
        for run in self.state.published_results().await? {
            if !kept.contains(&computation_name(&run)) {
                self.mirror_computation(&run).await;
            }
        }
        for batch in self.state.ended_batches().await? {
            if !kept.contains(&batch_name(batch.id)) {
                self.mirror_batch(&batch).await;
            }
        }
        for erasure in self.state.erasures().await? {
            if !kept.contains(&erasure_name(erasure.id)) {
                self.mirror_erasure(&erasure).await;
            }
        }
        for object_id in self.state.overridden_objects().await? {
            let folder = format!("{}/", overrides_folder(&object_id));
            if !kept.iter().any(|name| name.starts_with(&folder)) {
                self.state.overrides_unmirrored(&object_id).await?;
            }
        }
        self.mirror_overrides().await?;
        let frozen = self.state.periods().await?;
        for period in &frozen {
            if !kept.contains(&period_file(period, "definition.json")) {
                self.mirror_period(period).await;
            }
        }
        self.mirror_retention().await?;
        self.mirror_schedule().await?;
        let kept: BTreeSet<_> = self.warehouse.mirror_names("releases").await?.into_iter().collect();
        if let Some(newest) = self.state.newest_release().await?
            && !kept.contains(&format!("releases/{:020}.json", newest.id))
        {
            self.warehouse.put_release(&newest).await?;
        }
        Ok(())
    }
}

fn connection_name(id: i64, file: &str) -> String {
    format!("catalog/connections/{id}/{file}")
}

/// What is kept of a connection: nobody is logged in where it comes back.
fn plain(connection: &Connection) -> Connection {
    Connection { status: "not connected".into(), identity: None, connected_at: None, ..connection.clone() }
}

/// Copies are never written over, and the last name counts: once the account is known, which never changes, there is
/// another one.
fn connection_file(connection: &Connection) -> &'static str {
    match connection.account {
        Some(_) => "definition.of_account.json",
        None => "definition.json",
    }
}

fn object_name(id: &str, file: &str) -> String {
    format!("catalog/objects/{id}/{file}")
}

/// Where the copies of the overrides of an object are.
pub(super) fn overrides_folder(object_id: &str) -> String {
    format!("{OVERRIDES}/{object_id}")
}

fn statement_name(id: &str, file: &str) -> String {
    format!("catalog/statements/{id}/{file}")
}

fn computation_name(run: &StatementRun) -> String {
    format!("{COMPUTATIONS}/{:020}/definition.json", run.id)
}

fn batch_name(id: i64) -> String {
    format!("{BATCHES}/{id:020}/definition.json")
}

fn erasure_name(id: i64) -> String {
    format!("catalog/erasures/{id}/definition.json")
}

fn version_name(object: &Object) -> String {
    format!("{:020}.json", object.schema_version)
}

/// A name may be frozen again after it was given back, and names hold letters that paths do not.
fn period_file(period: &Period, file: &str) -> String {
    let digest: String =
        Sha256::digest(&period.name).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("catalog/periods/{:020}-{digest}/{file}", period.frozen_at)
}
