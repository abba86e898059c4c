//! What a local disk says when it cannot keep data: that it is full, or that an fsync failed.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::error::{Error, Kind, Result};

/// The disk below a folder.
#[derive(Debug)]
pub(crate) struct Disk {
    root: PathBuf,
    /// Why nothing more is written.
    suspect: OnceLock<String>,
}

/// SQLSTATE of an error after an fsync that failed.
pub(crate) const SUSPECT: &str = "58030";

impl Disk {
    pub(crate) fn new(root: &Path) -> Self {
        Disk { root: root.to_path_buf(), suspect: OnceLock::new() }
    }

    /// An error after a failed fsync. The kernel may have dropped what it could not write and call it clean: syncing
    /// again would succeed and prove nothing. So nothing more is written until somebody has looked.
    pub(crate) fn check(&self) -> Result<()> {
        match self.suspect.get() {
            None => Ok(()),
            Some(cause) => Err(self.suspect(cause)),
        }
    }

    /// Returns when the file or folder is on the disk.
    pub(crate) fn sync(&self, file: &File) -> io::Result<()> {
        let Err(error) = file.sync_all() else { return Ok(()) };
        if is_full(&error) {
            return Err(error);
        }
        let cause = self.suspect.get_or_init(|| error.to_string());
        tracing::error!(folder = %self.root.display(), %error, "an fsync failed; nothing more is written");
        Err(io::Error::other(self.suspect(cause)))
    }

    /// Returns when the name is on the disk.
    pub(crate) fn sync_parent(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(parent) => self.sync(&File::open(parent)?),
            None => Ok(()),
        }
    }

    /// The error, with the place and the space left when the disk is full.
    pub(crate) fn explain(&self, error: io::Error) -> io::Error {
        explain(&self.root, error)
    }

    fn suspect(&self, cause: &str) -> Error {
        Error::new(Kind::Unavailable, format!("an fsync below `{}` failed ({cause})", self.root.display()))
            .with_sqlstate(SUSPECT)
            .with_hint("nothing more is written there: check the disk, restart the server, run a full sync")
    }
}

/// The error, with `folder` and the space left there when its disk is full.
pub(crate) fn explain(folder: &Path, error: io::Error) -> io::Error {
    if !is_full(&error) || error.get_ref().is_some() {
        return error;
    }
    let left = match rustix::fs::statvfs(folder) {
        Ok(disk) => format!("{} MB", disk.f_bavail * disk.f_frsize / 1_000_000),
        Err(_) => "nothing".to_string(),
    };
    let what = format!("the disk is full: `{}` has {left} left", folder.display());
    let full = Error::new(Kind::Limit, what)
        .with_sqlstate("53100")
        .with_hint("free some space; nothing that was committed is lost");
    io::Error::new(error.kind(), full)
}

/// Whether there is no space left, for this user at least.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
