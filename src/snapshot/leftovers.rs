//! What a killed process leaves beside the files that it was writing.
//!
//! On a disk a file is written under `name#digits` and renamed when it is whole. Listings hide such names, so nobody
//! ever reads them, but the rows in them are there. In a bucket they are parts of unfinished uploads, which only a
//! lifecycle rule of the bucket removes.

use std::path::Path as FsPath;
use std::time::{Duration, SystemTime};

use super::failure;
use super::table::Table;
use super::warehouse::Warehouse;
use crate::error::Result;

impl Warehouse {
    /// Removes what killed processes left of files that nobody has written to for `age`. Returns how many.
    pub async fn sweep_leftovers(&self, age: Duration) -> Result<u64> {
        self.sweep_below(self.company(), age).await
    }

    /// The same for one table, whatever the age: the caller is its only writer.
    pub async fn sweep_leftovers_of(&self, table: &Table) -> Result<u64> {
        let root = table.shared().folder.root.clone();
        self.sweep_below(root.as_ref(), Duration::ZERO).await
    }

    async fn sweep_below(&self, name: &str, age: Duration) -> Result<u64> {
        let Some(folder) = self.local().map(|folder| folder.join(name)) else { return Ok(0) };
        let before = SystemTime::now().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
        tokio::task::spawn_blocking(move || sweep(&folder, before))
            .await
            .map_err(failure::task)?
            .map_err(|error| failure::file("cannot remove what a killed process left", error))
    }
}

fn sweep(folder: &FsPath, before: SystemTime) -> std::io::Result<u64> {
    let mut removed = 0;
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            removed += sweep(&entry.path(), before)?;
            continue;
        }
        if !is_leftover(&entry.file_name().to_string_lossy()) {
            continue;
        }
        // Another process may finish or remove it at this moment.
        let is_old = entry.metadata().and_then(|meta| meta.modified()).is_ok_and(|at| at <= before);
        if is_old && std::fs::remove_file(entry.path()).is_ok() {
            removed += 1;
        }
    }
    Ok(removed)
}

/// Whether the local store would hide the name: `name#digits`.
fn is_leftover(name: &str) -> bool {
    name.rsplit_once('#').is_some_and(|(name, digits)| {
        !name.is_empty() && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_old_files_without_a_name_of_their_own_go() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("crm/deal/base");
        std::fs::create_dir_all(&base).unwrap();
        for name in ["part-1.parquet", "part-1.parquet#1", "part-2.parquet#12345", "#7", "a#b"] {
            std::fs::write(base.join(name), "rows").unwrap();
        }
        let long_ago = SystemTime::now() - Duration::from_secs(3600);
        assert_eq!(sweep(folder.path(), long_ago).unwrap(), 0, "somebody may still write them");
        assert_eq!(sweep(folder.path(), SystemTime::now()).unwrap(), 2);
        let mut left: Vec<_> = std::fs::read_dir(&base).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["#7", "a#b", "part-1.parquet"]);
        assert_eq!(sweep(&folder.path().join("nothing"), SystemTime::now()).unwrap(), 0);
    }
}
