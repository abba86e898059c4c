//! What goes wrong while rows are produced, as an error with an SQLSTATE.

use arrow::error::ArrowError;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;

use crate::error::{Error, Kind};

/// The error a client is told. The engine wraps its own errors; what the library raises by itself is classified.
pub(crate) fn of_datafusion(error: DataFusionError) -> Error {
    match error {
        DataFusionError::External(error) => of_external(error),
        DataFusionError::ArrowError(error, _) => of_arrow(*error),
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => of_datafusion(*inner),
        DataFusionError::Collection(mut errors) if !errors.is_empty() => of_datafusion(errors.swap_remove(0)),
        DataFusionError::Shared(shared) => match std::sync::Arc::try_unwrap(shared) {
            Ok(own) => of_datafusion(own),
            Err(shared) => of_shared(&shared),
        },
        other => classified(&other).with_source(other),
    }
}

/// The same for an error that others hold, too.
fn of_shared(error: &DataFusionError) -> Error {
    match error {
        DataFusionError::External(external) => match external.downcast_ref::<Error>() {
            Some(ours) => copy(ours),
            None => Error::internal(external.to_string()),
        },
        DataFusionError::ArrowError(error, _) => arrow(error),
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => of_shared(inner),
        DataFusionError::Shared(inner) => of_shared(inner),
        other => classified(other),
    }
}

fn copy(error: &Error) -> Error {
    let mut copy = Error::new(error.kind(), error.what()).with_sqlstate(error.sqlstate());
    if let Some(detail) = error.detail() {
        copy = copy.with_detail(detail);
    }
    if let Some(hint) = error.hint() {
        copy = copy.with_hint(hint);
    }
    if let Some(position) = error.position() {
        copy = copy.with_position(position);
    }
    copy
}

fn of_external(error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    let error = match error.downcast::<Error>() {
        Ok(ours) => return *ours,
        Err(other) => other,
    };
    let error = match error.downcast::<DataFusionError>() {
        Ok(inner) => return of_datafusion(*inner),
        Err(other) => other,
    };
    match error.downcast::<ArrowError>() {
        Ok(inner) => of_arrow(*inner),
        Err(other) => Error::internal(other.to_string()).with_source(other),
    }
}

fn of_arrow(error: ArrowError) -> Error {
    match error {
        ArrowError::ExternalError(error) => of_external(error),
        other => arrow(&other).with_source(other),
    }
}

fn state(kind: Kind, sqlstate: &'static str, what: impl Into<String>) -> Error {
    Error::new(kind, what).with_sqlstate(sqlstate)
}

fn arrow(error: &ArrowError) -> Error {
    match error {
        ArrowError::DivideByZero => state(Kind::Invalid, "22012", "division by zero"),
        ArrowError::ArithmeticOverflow(what) => state(Kind::Invalid, "22003", what.clone()),
        ArrowError::CastError(what) | ArrowError::ParseError(what) => {
            let overflow =
                what.contains("too large") || what.contains("overflow") || what.contains("Can't cast value");
            state(Kind::Invalid, if overflow { "22003" } else { "22P02" }, what.clone())
        }
        ArrowError::NotYetImplemented(what) => state(Kind::Unsupported, "0A000", what.clone()),
        ArrowError::OffsetOverflowError(_) | ArrowError::DictionaryKeyOverflowError => {
            state(Kind::Limit, "54000", "a batch of rows holds more than 2 GiB in one column")
        }
        ArrowError::IoError(what, _) => state(Kind::Unavailable, "58030", what.clone()),
        ArrowError::ParquetError(what) => state(Kind::Corrupt, "XX001", what.clone()),
        ArrowError::ExternalError(inner) => match inner.downcast_ref::<Error>() {
            Some(ours) => copy(ours),
            None => Error::internal(inner.to_string()),
        },
        other => by_text(&other.to_string()),
    }
}

fn classified(error: &DataFusionError) -> Error {
    match error {
        DataFusionError::ResourcesExhausted(what) => {
            state(Kind::Limit, "53200", "out of memory for this query")
                .with_detail(what.clone())
                .with_hint("select fewer columns or rows, or raise the memory limit of the server")
        }
        DataFusionError::NotImplemented(what) => state(Kind::Unsupported, "0A000", what.clone()),
        DataFusionError::SchemaError(schema, _) => {
            let sqlstate = match **schema {
                SchemaError::AmbiguousReference { .. } => "42702",
                SchemaError::FieldNotFound { .. } => "42703",
                _ => "42701",
            };
            state(Kind::Invalid, sqlstate, schema.to_string())
        }
        DataFusionError::SQL(error, _) => state(Kind::Invalid, "42601", error.to_string()),
        DataFusionError::Plan(what) | DataFusionError::Configuration(what) => {
            state(Kind::Invalid, "42000", what.clone())
        }
        DataFusionError::IoError(_) | DataFusionError::ObjectStore(_) => {
            state(Kind::Unavailable, "58030", "stored data cannot be read")
        }
        DataFusionError::ParquetError(_) => state(Kind::Corrupt, "XX001", "stored data is damaged"),
        DataFusionError::Execution(what) => by_text(what),
        other => Error::internal(other.strip_backtrace()),
    }
}

/// Kernels say some things in words only.
fn by_text(what: &str) -> Error {
    let text = what.to_ascii_lowercase();
    if text.contains("divide by zero") || text.contains("division by zero") {
        state(Kind::Invalid, "22012", "division by zero")
    } else if text.contains("overflow") || text.contains("out of range") {
        state(Kind::Invalid, "22003", what)
    } else if text.contains("cast") || text.contains("parse") || text.contains("invalid") {
        state(Kind::Invalid, "22P02", what)
    } else {
        Error::internal(what)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn ours() -> Error {
        Error::new(Kind::Cancelled, "stopped").with_hint("try again").with_position(3)
    }

    #[test]
    fn our_own_errors_come_back_as_they_were() {
        let external = || DataFusionError::External(Box::new(ours()));
        let shared = Arc::new(external());
        for wrapped in [
            external(),
            external().context("while sorting"),
            DataFusionError::ArrowError(Box::new(ArrowError::ExternalError(Box::new(external()))), None),
            DataFusionError::Shared(shared.clone()),
        ] {
            let error = of_datafusion(wrapped);
            assert_eq!(
                (error.sqlstate(), error.what(), error.hint()),
                ("57014", "stopped", Some("try again"))
            );
            assert_eq!(error.position(), Some(3));
        }
    }

    #[test]
    fn the_library_s_errors_have_postgres_states() {
        let arrow = |error| DataFusionError::ArrowError(Box::new(error), None);
        for (error, expected) in [
            (DataFusionError::ResourcesExhausted("x".into()), "53200"),
            (arrow(ArrowError::DivideByZero), "22012"),
            (arrow(ArrowError::ArithmeticOverflow("x".into())), "22003"),
            (arrow(ArrowError::CastError("Cannot cast string 'x' to value of Int32 type".into())), "22P02"),
            (DataFusionError::Execution("Divide by zero error".into()), "22012"),
            (DataFusionError::NotImplemented("x".into()), "0A000"),
            (DataFusionError::Internal("x".into()), "XX000"),
        ] {
            assert_eq!(of_datafusion(error).sqlstate(), expected);
        }
    }
}
