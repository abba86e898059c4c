//! Rebuilding a lost state from the copies beside the tables.

use std::collections::{BTreeMap, HashMap};

use super::App;
use super::mirror::{
    BATCHES, COMPUTATIONS, DROPPED, KeptSchedule, OVERRIDES, Overrides, Retention, SCHEDULE, SETTINGS,
};
use crate::error::{Error, Kind, Result};
use crate::model::{Object, Override, Release};
use crate::snapshot::Damage;
use crate::state::Rebuild;

/// What a recovery found.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Names of the connections.
    pub connections: Vec<String>,
    /// Names of the objects.
    pub objects: Vec<String>,
    /// Numbers of the releases.
    pub releases: Vec<i64>,
    /// What could not be read, and was left out.
    pub damage: Vec<Damage>,
}

impl App {
    /// Refuses to begin anew over the releases of a state that is lost: the next release would take a number that
    /// is taken.
    pub async fn refuse_lost_state(&self) -> Result<()> {
        if !self.state.is_empty().await? {
            return Ok(());
        }
        // A storage that does not answer is told by another check.
        let Ok(releases) = self.warehouse.mirror_names("releases").await else { return Ok(()) };
        match releases.len() {
            0 => Ok(()),
            count => Err(Error::new(
                Kind::Conflict,
                format!("the state database is empty, but the storage holds {count} releases"),
            )
            .with_hint("run `tributary recover` to rebuild it, or choose another --storage")),
        }
    }

    /// Rebuilds an empty state from the copies and the tables. Secrets, logins, rights, runs and the audit are not
    /// among them.
    ///
    /// # Errors
    /// `Conflict` when the state is not empty, `NotFound` when there is nothing to rebuild it from.
    pub async fn recover(&self) -> Result<Recovered> {
        self.state.must_be_empty().await?;
        let mut recovered = Recovered::default();
        let mut known = Rebuild {
            connections: self.newest("catalog/connections", &mut recovered).await?,
            objects: self.newest("catalog/objects", &mut recovered).await?,
            statements: self.newest("catalog/statements", &mut recovered).await?,
            computations: self.newest(COMPUTATIONS, &mut recovered).await?,
            batches: self.newest(BATCHES, &mut recovered).await?,
            erasures: self.newest("catalog/erasures", &mut recovered).await?,
            periods: self.newest("catalog/periods", &mut recovered).await?,
            releases: self.all_releases(&mut recovered).await?,
            overrides: self.all_overrides(&mut recovered).await?,
            ..Rebuild::default()
        };
        let retention: Vec<Retention> = self.newest(SETTINGS, &mut recovered).await?;
        known.retention_days = retention.first().map(|retention| retention.days);
        let schedule: Vec<KeptSchedule> = self.newest(SCHEDULE, &mut recovered).await?;
        known.schedule = schedule.into_iter().find_map(|kept| kept.text);
        if known.connections.is_empty() && known.releases.is_empty() {
            return Err(Error::new(Kind::NotFound, "the storage holds nothing to rebuild the state from")
                .with_hint("check --storage and --company"));
        }
        let names: HashMap<_, _> = known.connections.iter().map(|c| (c.id, c.name.clone())).collect();
        known.objects.retain(|object| names.contains_key(&object.connection_id));
        let published = known.releases.iter().flat_map(|release| &release.objects);
        let mut tables: BTreeMap<_, _> =
            published.map(|object| (object.object_id.clone(), object.connection.clone())).collect();
        tables.extend(known.objects.iter().map(|object| (object.id.clone(), object.connection.clone())));
        for (object_id, connection) in tables {
            match self.warehouse.table(&connection, &object_id).latest().await {
                Ok(Some(newest)) => known.tables.push((object_id, newest.fence(), newest.run_id())),
                Ok(None) => {}
                Err(error) => recovered.note(format!("the log of {connection}/{object_id}"), error)?,
            }
        }
        self.state.rebuild(&known).await?;
        recovered.connections = known.connections.into_iter().map(|connection| connection.name).collect();
        recovered.objects = known.objects.iter().map(Object::full_name).collect();
        recovered.releases = known.releases.iter().map(|release| release.id).collect();
        self.state.audit("system", "recover", "", "done").await?;
        Ok(recovered)
    }

    /// The newest readable definition of everything below `folder` that was not dropped.
    async fn newest<T: serde::de::DeserializeOwned>(
        &self,
        folder: &str,
        recovered: &mut Recovered,
    ) -> Result<Vec<T>> {
        let mut by_id: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for name in self.warehouse.mirror_names(folder).await? {
            if let Some((id, file)) = name.rsplit_once('/') {
                by_id.entry(id.to_string()).or_default().push(file.to_string());
            }
        }
        let mut found = Vec::new();
        for (id, files) in by_id.iter().filter(|(_, files)| !files.iter().any(|file| file == DROPPED)) {
            for file in files.iter().rev() {
                let name = format!("{id}/{file}");
                match self.warehouse.mirror(&name).await {
                    Ok(definition) => {
                        found.push(definition);
                        break;
                    }
                    Err(error) => recovered.note(name, error)?,
                }
            }
        }
        Ok(found)
    }

    /// Every override as the last copy has it.
    async fn all_overrides(&self, recovered: &mut Recovered) -> Result<Vec<Override>> {
        let mut known: BTreeMap<i64, Override> = BTreeMap::new();
        for name in self.warehouse.mirror_names(OVERRIDES).await? {
            match self.warehouse.mirror::<Overrides>(&name).await {
                Ok(copy) => known.extend(copy.overrides.into_iter().map(|one| (one.id, one))),
                Err(error) => recovered.note(name, error)?,
            }
        }
        Ok(known.into_values().collect())
    }

    async fn all_releases(&self, recovered: &mut Recovered) -> Result<Vec<Release>> {
        let mut releases = Vec::new();
        for name in self.warehouse.mirror_names("releases").await? {
            match self.warehouse.mirror::<Release>(&name).await {
                Ok(release) => releases.push(release),
                Err(error) => recovered.note(name, error)?,
            }
        }
        releases.sort_by_key(|release| release.id);
        Ok(releases)
    }
}

impl Recovered {
    /// Keeps damage, gives back every other error.
    fn note(&mut self, what: String, error: Error) -> Result<()> {
        match error.kind() {
            Kind::Corrupt => {
                self.damage.push(Damage { what, why: error.what().to_string() });
                Ok(())
            }
            _ => Err(error),
        }
    }
}
