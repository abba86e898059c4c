//! Space that is kept for the state on a disk that others fill: a start writes a few pages, and so does what tells that
//! a sync failed for want of space.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// Name of the file, in the data folder.
const NAME: &str = "reserve";
/// What it takes of the disk.
const BYTES: usize = 1 << 20;

/// Frees the reserve where the disk below the folder is full, and makes it where there is space again. Whether that
/// succeeds does not matter to the caller: what needs the space will say that there is none.
pub(super) fn keep(folder: &Path) {
    let path = folder.join(NAME);
    let Ok(free) = free(folder) else { return };
    let is_there = path.metadata().is_ok_and(|found| found.len() == BYTES as u64);
    if free < BYTES as u64 / 2 {
        if is_there && std::fs::remove_file(&path).is_ok() {
            tracing::warn!(folder = %folder.display(), "the disk is full: the reserve of the state is used up");
        }
    } else if !is_there && free > 2 * BYTES as u64 && fill(&path).is_err() {
        std::fs::remove_file(&path).ok();
    }
}

/// Bytes that this user may still write.
fn free(folder: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn fill(path: &Path) -> io::Result<()> {
    let mut file = File::create(path)?;
    // Written, because a hole takes no space.
    file.write_all(&vec![0x2e; BYTES])?;
    file.sync_all()
}
