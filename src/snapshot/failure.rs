//! How failures of the store, of Parquet and of the log become errors that a person reads.

use std::error::Error as StdError;
use std::io;

use delta_kernel::KernelError;
use parquet::errors::ParquetError;

use crate::error::{Error, Kind};

/// A failed call of the object store while doing `what`.
pub(crate) fn store(what: &str, error: object_store::Error) -> Error {
    let failure = match &error {
        object_store::Error::NotFound { path, .. } => {
            Error::new(Kind::Corrupt, format!("{what}: `{path}` is missing"))
        }
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
            Error::new(Kind::Denied, format!("{what}: the object store refused access"))
                .with_hint("check the rights of the data directory, or the credentials of the bucket")
        }
        _ if is_disk_full(&error) => disk_full(what),
        _ => Error::new(Kind::Unavailable, format!("{what}: {error}")),
    };
    failure.with_source(error)
}

/// A failed read or write of a local file while doing `what`.
pub(crate) fn file(what: &str, error: io::Error) -> Error {
    let failure = if is_disk_full(&error) {
        disk_full(what)
    } else {
        Error::new(Kind::Unavailable, format!("{what}: {error}"))
    };
    failure.with_source(error)
}

/// A Parquet file that cannot be written or read while doing `what`.
pub(crate) fn parquet(what: &str, error: ParquetError) -> Error {
    if is_disk_full(&error) {
        return disk_full(what).with_source(error);
    }
    Error::new(Kind::Corrupt, format!("{what}: {error}")).with_source(error)
}

/// A defect: Arrow refused what we built.
pub(crate) fn arrow(error: arrow::error::ArrowError) -> Error {
    Error::internal(format!("cannot arrange rows: {error}")).with_source(error)
}

/// The transaction log of a table cannot be read while doing `what`.
pub(crate) fn kernel(what: &str, error: KernelError) -> Error {
    let kind = match &error {
        KernelError::ObjectStore(_) | KernelError::IOError(_) => Kind::Unavailable,
        _ => Kind::Corrupt,
    };
    Error::new(kind, format!("{what}: {error}")).with_source(error)
}

/// A background task of ours ended without an answer.
pub(crate) fn task(error: tokio::task::JoinError) -> Error {
    if error.is_cancelled() {
        return Error::new(Kind::Cancelled, "the work was cancelled because the server is stopping");
    }
    Error::internal("a background task of the snapshot store failed").with_source(error)
}

fn disk_full(what: &str) -> Error {
    Error::new(Kind::Limit, format!("{what}: no space left on the disk"))
        .with_sqlstate("53100")
        .with_hint("free some space; nothing that was committed is lost")
}

fn is_disk_full(error: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>()
            && matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        {
            return true;
        }
        cause = error.source();
    }
    false
}
