//! Commands of the operator that are no server: recover, check, backup, restore.

use std::io::Write;
use std::path::Path;

use super::{data_folder, open, open_warehouse, say, state_url};
use crate::catalog::{self, Catalog};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::service::{self, Actor};
use crate::snapshot::{Archive, Damage};
use crate::source::rest;
use crate::state::State;

/// Checks one manifest, or every one that a server with this catalog would know.
pub fn check_catalog(file: Option<&Path>, folder: Option<&Path>) -> Result<()> {
    let manifests = match file {
        Some(file) => vec![catalog::read(file)?.into()],
        None => known(folder)?.iter().cloned().collect::<Vec<_>>(),
    };
    manifests.iter().try_for_each(|manifest| {
        let (name, label) = (&manifest.name.value, &manifest.label);
        say(&format!(
            "{name} ({label}): {} objects by name, no mistake found",
            manifest.objects.known.0.len()
        ))
    })
}

/// Prints the requests that a sync would send.
pub fn explain(connector: &str, object: &str, mode: &str, folder: Option<&Path>) -> Result<()> {
    let mode: crate::sync::Mode = mode.parse()?;
    let manifest = known(folder)?.get(connector)?.clone();
    let requests = rest::explain(&manifest, object, mode == crate::sync::Mode::Diff)?;
    requests.iter().try_for_each(|request| say(&request.to_string()))
}

fn known(folder: Option<&Path>) -> Result<Catalog> {
    folder.map_or_else(Catalog::embedded, Catalog::with_folder)
}

/// Rebuilds a lost state from what lies beside the tables.
pub async fn recover(config: Config) -> Result<()> {
    let app = open(&config).await?;
    let recovered = app.recover().await?;
    tell(&recovered.damage)?;
    let (connections, objects) = (recovered.connections.len(), recovered.objects.len());
    say(&format!("connections: {connections}, objects: {objects}, releases: {}", recovered.releases.len()))?;
    for connection in &recovered.connections {
        say(&format!("connection {connection} needs its secret: CALL set_secret('{connection}', ...)"))?;
    }
    say("logins and rights cannot be rebuilt: the next start makes the user admin, who can make the others")
}

/// Reads every file of the kept releases; an error when one is damaged. The server may run.
pub async fn check(config: Config) -> Result<()> {
    let state = State::beside(&state_url(&config)?).await?;
    let warehouse = open_warehouse(&config)?;
    let checked = service::check(&state, &warehouse).await?;
    tell(&checked.damage)?;
    say(&format!("read {} files, {} bytes of data", checked.files, checked.bytes))?;
    match checked.damage.len() {
        0 => say("everything is as it was written"),
        count => Err(Error::new(Kind::Corrupt, format!("{count} files or versions are damaged"))
            .with_hint("run a full sync of their objects, or restore the files from a backup")),
    }
}

/// Makes a backup at `to`. The server may run.
pub async fn backup(config: Config, to: &str, with_key: bool) -> Result<()> {
    let state = State::beside(&state_url(&config)?).await?;
    let warehouse = open_warehouse(&config)?;
    let key = data_folder(&config)?.join("key");
    let archive = Archive::open(to)?;
    let manifest =
        service::backup(&config.company, &state, &warehouse, &archive, with_key.then_some(key.as_path()))
            .await?;
    state.audit(&Actor::system().name, "backup", to, "done").await?;
    let bytes: u64 = manifest.files.iter().map(|file| file.size).sum();
    say(&format!("backed up {} files, {bytes} bytes, to {to}", manifest.files.len()))?;
    match with_key {
        true => say("the key is in it: whoever can read the backup can read the secrets"),
        false => say("the key is not in it: keep a copy of it elsewhere, or secrets must be set again"),
    }
}

/// Brings the backup at `from` back into an empty data folder.
pub async fn restore(config: Config, from: &str) -> Result<()> {
    let data = data_folder(&config)?;
    let state = State::open(&state_url(&config)?).await?;
    let warehouse = open_warehouse(&config)?;
    let archive = Archive::open(from)?;
    let (manifest, key) = service::restore(&config.company, &state, &warehouse, &archive).await?;
    if let Some(key) = &key {
        put_key(&data.join("key"), key)?;
    }
    state.audit(&Actor::system().name, "restore", from, "done").await?;
    say(&format!("restored {} files of the backup of {}", manifest.files.len(), shown(manifest.made_at)))?;
    match key {
        Some(_) => say("the key was restored too"),
        None => say("the key was not in it: put it into the data folder, or set the secrets again"),
    }
}

fn shown(at: crate::model::Micros) -> String {
    chrono::DateTime::from_timestamp_micros(at).map_or_else(String::new, |at| at.to_rfc3339())
}

fn tell(damage: &[Damage]) -> Result<()> {
    damage.iter().try_for_each(|damage| say(&format!("damaged: {}: {}", damage.what, damage.why)))
}

/// Writes a key where there is none, for its owner alone.
fn put_key(path: &Path, key: &[u8]) -> Result<()> {
    if std::fs::read(path).is_ok_and(|known| known == key) {
        return Ok(());
    }
    let mut options = std::fs::File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| {
        file.write_all(key)?;
        file.sync_all()
    });
    written.map_err(|error| {
        Error::new(Kind::Conflict, format!("cannot write the key `{}`: {error}", path.display())).with_hint(
            "everything else is restored; move a key that is there away and copy that of the backup",
        )
    })
}
