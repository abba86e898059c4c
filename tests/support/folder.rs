//! Folders that end with the test run that made them.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// `{kind}-{process id}` below the temporary directory, after removing those of test runs that have ended: a
/// process has no moment of its own to clean up what its statics hold.
pub(crate) fn folder_of_this_run(kind: &str) -> PathBuf {
    static MADE: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
    let mut made = MADE.lock().unwrap();
    let own = std::env::temp_dir().join(format!("{kind}-{}", std::process::id()));
    if made.contains(&own) {
        return own;
    }
    for entry in std::fs::read_dir(std::env::temp_dir()).unwrap().flatten() {
        let name = entry.file_name();
        let owner =
            name.to_str().and_then(|name| name.strip_prefix(kind)?.strip_prefix('-')?.parse::<u32>().ok());
        let has_ended = |pid| pid == std::process::id() || !Path::new(&format!("/proc/{pid}")).exists();
        if owner.is_some_and(has_ended) {
            std::fs::remove_dir_all(entry.path()).ok();
        }
    }
    std::fs::create_dir_all(&own).unwrap();
    made.push(own.clone());
    own
}
