//! The file of an embedded state database: one process, and nobody else's eyes.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};

/// A database file in a locked folder. The lock ends with the process, however it ends.
#[derive(Debug)]
pub(super) struct DataFile {
    path: PathBuf,
    _lock: File,
}

impl DataFile {
    /// Makes folder and file where they are missing, the file for its owner alone, and locks the folder.
    pub(super) fn prepare(path: &Path) -> Result<Self> {
        let cannot = |error: std::io::Error| {
            Error::new(Kind::Invalid, format!("cannot open `{}`: {error}", path.display()))
                .with_hint("let this user write in the data folder, or choose another with --data")
                .with_source(error)
        };
        if path.file_name().is_none() {
            return Err(Error::new(Kind::Invalid, "the state database needs a file name")
                .with_hint("for example sqlite:///var/lib/tributary/state.db"));
        }
        let path = std::path::absolute(path).map_err(cannot)?;
        let folder = path.parent().unwrap_or(&path);
        std::fs::create_dir_all(folder).map_err(cannot)?;
        let lock = lock(folder)?;
        super::reserve::keep(folder);
        // SQLite gives its log the permissions of the database.
        let mut options = File::options();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&path).map_err(cannot)?;
        Ok(DataFile { path, _lock: lock })
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The file as the driver wants it, with every special character of the path escaped.
    pub(super) fn url(&self) -> Result<String> {
        let url = url::Url::from_file_path(&self.path).map_err(|()| {
            Error::new(Kind::Invalid, format!("`{}` cannot hold the state database", self.path.display()))
        })?;
        Ok(format!("sqlite://{}?mode=rw", url.path()))
    }
}

/// A file that is there already, as the driver wants it. It is not locked.
pub(super) fn url_of(path: &Path) -> Result<String> {
    if !path.is_file() {
        return Err(Error::new(Kind::NotFound, format!("there is no state database `{}`", path.display()))
            .with_hint("check --data and --state"));
    }
    let invalid =
        |_| Error::new(Kind::Invalid, format!("`{}` is no path of a state database", path.display()));
    let path = std::path::absolute(path).map_err(|_| invalid(()))?;
    let url = url::Url::from_file_path(&path).map_err(invalid)?;
    Ok(format!("sqlite://{}?mode=rw", url.path()))
}

fn lock(folder: &Path) -> Result<File> {
    let path = folder.join("lock");
    let cannot = |error: std::io::Error| {
        Error::new(Kind::Invalid, format!("cannot lock `{}`: {error}", path.display()))
            .with_hint("let this user write in the data folder, or choose another with --data")
            .with_source(error)
    };
    let mut options = File::options();
    let mut file = options.read(true).write(true).create(true).truncate(false).open(&path).map_err(cannot)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(held(folder, &path, &mut file)),
        Err(TryLockError::Error(error)) => return Err(cannot(error)),
    }
    // The number is for people only: on a full disk the lock holds without it, and reading goes on.
    if let Err(error) = write_pid(&mut file) {
        tracing::warn!(path = %path.display(), error = ?error, "could not note the process in the lock");
    }
    Ok(file)
}

fn write_pid(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(std::process::id().to_string().as_bytes())
}

fn held(folder: &Path, path: &Path, file: &mut File) -> Error {
    let mut pid = String::new();
    let holder = match file.read_to_string(&mut pid) {
        Ok(_) if !pid.trim().is_empty() => format!("process {}", pid.trim()),
        _ => "another process".to_string(),
    };
    Error::new(Kind::Conflict, format!("another tributary uses the data folder `{}`", folder.display()))
        .with_detail(format!("{holder} holds `{}`", path.display()))
        .with_hint("stop it, or choose another folder with --data; several nodes need a PostgreSQL state")
}
