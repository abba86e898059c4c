//! How failures of the store, of Parquet and of the log become errors that a person reads.

use std::error::Error as StdError;
use std::io;

use delta_kernel::KernelError;
use parquet::errors::ParquetError;

use super::disk;
use crate::error::{Error, Kind};

/// A failed call of the object store while doing `what`.
pub(crate) fn store(what: &str, error: object_store::Error) -> Error {
    told(what, &error)
        .unwrap_or_else(|| Error::new(Kind::Unavailable, format!("{what}: {}", brief(&error))))
        .with_source(error)
}

/// What the object store, or one of ours below it, says in a chain of errors; `None` when neither does.
fn told(what: &str, error: &(dyn StdError + 'static)) -> Option<Error> {
    if let Some(ours) = causes(error).find_map(|cause| cause.downcast_ref::<Error>()) {
        let copy = Error::new(ours.kind(), format!("{what}: {}", ours.what())).with_sqlstate(ours.sqlstate());
        return Some(match ours.hint() {
            Some(hint) => copy.with_hint(hint),
            None => copy,
        });
    }
    if is_disk_full(error) {
        return Some(disk_full(what));
    }
    causes(error).find_map(|cause| {
        Some(match cause.downcast_ref::<object_store::Error>()? {
            object_store::Error::NotFound { path, .. } => {
                Error::new(Kind::Corrupt, format!("{what}: `{path}` is missing"))
            }
            object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
                Error::new(Kind::Denied, format!("{what}: the object store refused access"))
                    .with_hint("check the rights of the data directory, or the credentials of the bucket")
            }
            error => Error::new(Kind::Unavailable, format!("{what}: {}", brief(error)))
                .with_hint("the storage does not answer as it should; try again, then ask its operator"),
        })
    })
}

/// The first line; stores quote whole documents.
fn brief(error: &dyn StdError) -> String {
    error.to_string().lines().next().unwrap_or_default().chars().take(300).collect()
}

/// Whether an error of a store is one of ours, so that trying again is no use.
pub(crate) fn is_final(error: &object_store::Error) -> bool {
    causes(error).any(|cause| cause.is::<Error>())
}

/// Whether the disk is not trusted any more, so that looking for what was written proves nothing.
pub(crate) fn is_suspect(error: &object_store::Error) -> bool {
    causes(error).any(|cause| cause.downcast_ref::<Error>().is_some_and(|e| e.sqlstate() == disk::SUSPECT))
}

fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            // An error of the operating system's kind passes over what it was made of.
            Some(inner) => Some(inner),
            None => error.source(),
        };
        Some(error)
    })
}

/// A failed read or write of a local file while doing `what`.
pub(crate) fn file(what: &str, error: io::Error) -> Error {
    told(what, &error)
        .unwrap_or_else(|| Error::new(Kind::Unavailable, format!("{what}: {error}")))
        .with_source(error)
}

/// A Parquet file that cannot be written or read while doing `what`.
pub(crate) fn parquet(what: &str, error: ParquetError) -> Error {
    told(what, &error)
        .unwrap_or_else(|| Error::new(Kind::Corrupt, format!("{what}: {error}")))
        .with_source(error)
}

/// A defect: Arrow refused what we built.
pub(crate) fn arrow(error: arrow::error::ArrowError) -> Error {
    Error::internal(format!("cannot arrange rows: {error}")).with_source(error)
}

/// The transaction log of a table cannot be read while doing `what`.
pub(crate) fn kernel(what: &str, error: KernelError) -> Error {
    let failure = told(what, kernel_cause(&error)).unwrap_or_else(|| {
        let kind = match &error {
            KernelError::IOError(_) => Kind::Unavailable,
            _ => Kind::Corrupt,
        };
        Error::new(kind, format!("{what}: {}", brief(&error)))
    });
    failure.with_source(error)
}

/// What is inside an error of the kernel, which does not name it as its source.
fn kernel_cause(error: &KernelError) -> &(dyn StdError + 'static) {
    match error {
        KernelError::Backtraced { source, .. } => kernel_cause(source),
        KernelError::ObjectStore(inner) => inner,
        KernelError::Parquet(inner) => inner,
        KernelError::Arrow(inner) => inner,
        KernelError::GenericError { source } => &**source,
        other => other,
    }
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
    causes(error).any(|cause| cause.downcast_ref::<io::Error>().is_some_and(disk::is_full))
}
