//! Faults of the state database, through SQLite's own hooks, so that the product needs no seam for them: a commit
//! hook turns a commit into a rollback, and the hook after a commit takes its answer away.

#![allow(unsafe_code)]

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::ptr::null_mut;
use std::sync::{Arc, LazyLock, Mutex, Once};

use libsqlite3_sys as ffi;

use super::faults::{Failure, Faults, Verdict};

/// Which database file fails how.
static WATCHED: LazyLock<Mutex<HashMap<PathBuf, Arc<Faults>>>> = LazyLock::new(Mutex::default);

/// Lets `faults` decide on every commit to the database at `path`, also of connections opened later. It ends with
/// the value.
pub(super) struct Watch(PathBuf);

impl Watch {
    pub(super) fn new(path: &Path, faults: Arc<Faults>) -> Self {
        static INSTALL: Once = Once::new();
        INSTALL.call_once(|| {
            // SAFETY: `opened` has the signature that SQLite documents for an entry point.
            let done = unsafe { ffi::sqlite3_auto_extension(Some(opened)) };
            assert_eq!(done, ffi::SQLITE_OK);
        });
        WATCHED.lock().unwrap().insert(path.to_path_buf(), faults);
        Watch(path.to_path_buf())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        WATCHED.lock().unwrap().remove(&self.0);
    }
}

unsafe extern "C" fn opened(
    database: *mut ffi::sqlite3,
    _: *mut *mut c_char,
    _: *const ffi::sqlite3_api_routines,
) -> c_int {
    // SAFETY: SQLite passes the connection that it has just opened; the hook is given the same one.
    unsafe { ffi::sqlite3_commit_hook(database, Some(committing), database.cast()) };
    ffi::SQLITE_OK
}

/// Another number than 0 makes the commit a rollback.
unsafe extern "C" fn committing(database: *mut c_void) -> c_int {
    let database = database.cast();
    let Some(faults) = faults_of(database) else { return 0 };
    match faults.next(|| "commit state".into()) {
        Verdict::Do => 0,
        Verdict::Fail(Failure::After) => {
            faults.lose_answer();
            // SAFETY: only remembers a function. It is set here because opening a connection sets its own last.
            unsafe { ffi::sqlite3_wal_hook(database, Some(committed), null_mut()) };
            0
        }
        Verdict::Fail(_) | Verdict::Dead => 1,
    }
}

/// The commit is in the log of the database; a number other than `SQLITE_OK` is what its caller is told.
unsafe extern "C" fn committed(
    _: *mut c_void,
    database: *mut ffi::sqlite3,
    _: *const c_char,
    _: c_int,
) -> c_int {
    match faults_of(database) {
        Some(faults) if faults.takes_answer() => ffi::SQLITE_IOERR,
        _ => ffi::SQLITE_OK,
    }
}

fn faults_of(database: *mut ffi::sqlite3) -> Option<Arc<Faults>> {
    // SAFETY: the hooks are called with an open connection, whose file name lives as long as it does.
    let name = unsafe { ffi::sqlite3_db_filename(database, c"main".as_ptr()) };
    if name.is_null() {
        return None;
    }
    // SAFETY: not null, and SQLite ends names with a zero.
    let name = unsafe { CStr::from_ptr(name) };
    WATCHED.lock().unwrap().get(Path::new(name.to_str().ok()?)).cloned()
}
