//! What PostgreSQL's errors mean for us: whose turn it is, and whether trying again can help.

use std::error::Error as StdError;
use std::io;

use tokio_postgres::error::DbError;

use super::settings::Settings;
use crate::error::{Error, Kind};

/// An error while connecting.
pub(crate) fn connecting(settings: &Settings, error: tokio_postgres::Error) -> Error {
    let address = settings.address();
    if let Some(db) = error.as_db_error() {
        return logging_in(settings, db).with_source(error);
    }
    let text = chain(&error);
    if let Some(tls) = find::<rustls::Error>(&error) {
        return certificate(settings, tls).with_source(error);
    }
    if text.contains("server does not support TLS") {
        return Error::new(
            Kind::Invalid,
            format!("`{address}` does not offer TLS, but sslmode `{}` demands it", settings.sslmode.name()),
        )
        .with_sqlstate("08001")
        .with_hint(
            "switch TLS on at the server (ssl = on), or set sslmode to disable if the network is trusted",
        )
        .with_source(error);
    }
    if text.contains("password missing") || text.contains("password is missing") {
        return Error::new(
            Kind::Unauthenticated,
            format!("`{address}` asks for the password of user `{}`, and none is set", settings.user),
        )
        .with_hint("CALL set_secret('<connection>', 'password', '...')")
        .with_source(error);
    }
    if let Some(io) = find::<io::Error>(&error) {
        let (why, hint) = reason(io, settings);
        return Error::new(Kind::Unavailable, format!("cannot reach PostgreSQL at `{address}`: {why}"))
            .with_sqlstate("08001")
            .with_hint(hint)
            .with_source(error);
    }
    Error::new(Kind::Unavailable, format!("cannot connect to PostgreSQL at `{address}`: {text}"))
        .with_sqlstate("08001")
        .with_hint("check that the host and port belong to a PostgreSQL server")
        .with_source(error)
}

fn reason(error: &io::Error, settings: &Settings) -> (String, String) {
    let text = error.to_string();
    if text.contains("lookup address") || text.contains("resolve any addresses") {
        let hint =
            format!("check the setting `host` (`{}`) and the name service of this machine", settings.host);
        return ("the host name is unknown".into(), hint);
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => (
            "connection refused".into(),
            "check the settings `host` and `port`, that the server runs, and its listen_addresses".into(),
        ),
        io::ErrorKind::TimedOut => (
            format!("no answer within {} s", settings.connect_timeout.as_secs()),
            "check the setting `host` and the firewalls in between".into(),
        ),
        io::ErrorKind::NotFound if settings.host.starts_with('/') => (
            "the socket does not exist".into(),
            format!("expected `{}/.s.PGSQL.{}`", settings.host, settings.port),
        ),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => (
            "the server closed the connection".into(),
            "check that the port belongs to a PostgreSQL server, and the server's log".into(),
        ),
        _ => (text, "check the settings `host` and `port` and the network".into()),
    }
}

fn certificate(settings: &Settings, error: &rustls::Error) -> Error {
    let address = settings.address();
    let hint = match error {
        rustls::Error::InvalidCertificate(
            rustls::CertificateError::NotValidForName
            | rustls::CertificateError::NotValidForNameContext { .. },
        ) => {
            "the certificate names another host: use that name as `host`, have the server's certificate reissued \
             with this name as subject alternative name, or set sslmode to verify-ca"
        }
        rustls::Error::InvalidCertificate(
            rustls::CertificateError::Expired | rustls::CertificateError::ExpiredContext { .. },
        ) => "the server's administrator must renew the certificate",
        _ => {
            "give the authority that signed the server's certificate as setting `sslrootcert`; sslmode require \
             encrypts without verifying"
        }
    };
    Error::new(
        Kind::Unauthenticated,
        format!("the TLS certificate of `{address}` is refused by sslmode `{}`", settings.sslmode.name()),
    )
    .with_sqlstate("08001")
    .with_detail(error.to_string())
    .with_hint(hint)
}

fn logging_in(settings: &Settings, db: &DbError) -> Error {
    let address = settings.address();
    let (kind, what, hint) = match db.code().code() {
        "28P01" => (
            Kind::Unauthenticated,
            format!("`{address}` refuses the password of user `{}`", settings.user),
            "check the setting `user`, and give the password again: CALL set_secret('<connection>', 'password', '...')"
                .to_string(),
        ),
        "28000" => (
            Kind::Unauthenticated,
            format!("`{address}` refuses the login of user `{}`: {}", settings.user, db.message()),
            "the database administrator must allow this login (pg_hba.conf, role attributes)".to_string(),
        ),
        "3D000" => (
            Kind::Invalid,
            format!("database `{}` does not exist at `{address}`", settings.database),
            "check the setting `database`".to_string(),
        ),
        "42501" => (
            Kind::Unauthenticated,
            format!("user `{}` may not connect to database `{}`", settings.user, settings.database),
            format!(
                "the database administrator must GRANT CONNECT ON DATABASE \"{}\" TO \"{}\"",
                settings.database, settings.user
            ),
        ),
        "53300" => (
            Kind::Unavailable,
            format!("`{address}` has no connection left: {}", db.message()),
            "try again later, or raise max_connections at the server".to_string(),
        ),
        "57P03" | "57P01" | "57P02" => (
            Kind::Unavailable,
            format!("`{address}` is starting or shutting down: {}", db.message()),
            "try again in a moment".to_string(),
        ),
        _ => return answered(None, db),
    };
    Error::new(kind, what).with_hint(hint)
}

/// An error of a running session. `object` is what was read, for the message.
pub(crate) fn running(object: Option<&str>, error: tokio_postgres::Error) -> Error {
    if let Some(db) = error.as_db_error() {
        return answered(object, db).with_source(error);
    }
    Error::new(Kind::Unavailable, format!("the connection to PostgreSQL broke{}", about(object)))
        .with_sqlstate("08006")
        .with_detail(chain(&error))
        .with_hint("nothing was changed; try again, and look into the server's log if it happens again")
        .with_source(error)
}

fn about(object: Option<&str>) -> String {
    object.map(|object| format!(" while reading `{object}`")).unwrap_or_default()
}

fn answered(object: Option<&str>, db: &DbError) -> Error {
    let message = db.message();
    let of = about(object);
    let name = object.unwrap_or("the object");
    let (kind, sqlstate, what, hint) = match db.code().code() {
        "42P01" | "3F000" => (
            Kind::NotFound,
            "42P01",
            format!("`{name}` does not exist at the source any more"),
            "it was dropped or renamed there; discover again, and drop the object here if it is gone for good",
        ),
        "42703" => (
            Kind::Data,
            "42703",
            format!("a field of `{name}` does not exist at the source any more: {message}"),
            "it was dropped or renamed there; discover again and change the object's fields",
        ),
        "42501" => (
            Kind::Denied,
            "42501",
            format!("the source does not let us read `{name}`: {message}"),
            "the database administrator must GRANT USAGE on the schema and SELECT on the table to the login role",
        ),
        "57014" if message.contains("statement timeout") => (
            Kind::Limit,
            "57014",
            format!("the source's statement timeout ended the statement{of}"),
            "raise the setting `statement_timeout_secs`, or read less with a filter",
        ),
        "57014" => {
            (Kind::Cancelled, "57014", format!("the source cancelled the statement{of}: {message}"), "")
        }
        "22023" if message.contains("snapshot") => (
            Kind::Unavailable,
            "08006",
            format!("the shared snapshot was lost{of}"),
            "try again; a pooler in transaction mode cannot be used, connect directly",
        ),
        "40001" | "40P01" | "55P03" => (
            Kind::Conflict,
            "55P03",
            format!("the source could not serve the read{of}: {message}"),
            "try again; a schema change or a standby's recovery was in the way",
        ),
        "53300" | "57P01" | "57P02" | "57P03" | "25P03" => (
            Kind::Unavailable,
            "08006",
            format!("the source ended the session{of}: {message}"),
            "try again; the server is restarting, or has too many connections or too short time-outs",
        ),
        "53100" | "53200" | "53400" => (
            Kind::Limit,
            "53200",
            format!("the source ran out of resources{of}: {message}"),
            "the database administrator must free disk or memory there",
        ),
        "22P05" | "22021" => (
            Kind::Data,
            "22021",
            format!("a text cannot be converted to UTF-8{of}: {message}"),
            "deselect the field, or have the stored text corrected at the source",
        ),
        code if code.starts_with("08") => {
            (Kind::Unavailable, "08006", format!("the source broke off{of}: {message}"), "try again")
        }
        code if code.starts_with("22") => {
            (Kind::Data, "22000", format!("the source could not compute a value{of}"), "")
        }
        code => (Kind::Invalid, "XX000", format!("the source answered with error {code}{of}"), ""),
    };
    let mut error = Error::new(kind, what);
    if sqlstate != "XX000" {
        error = error.with_sqlstate(sqlstate);
    }
    if !hint.is_empty() {
        error = error.with_hint(hint);
    }
    // These may quote a record, so they are kept apart from what may be told to everybody.
    let quotes = sqlstate == "22000" || sqlstate == "XX000";
    let detail: Vec<_> = quotes.then_some(message).into_iter().chain(db.detail()).collect();
    match detail.is_empty() {
        true => error,
        false => error.with_detail(detail.join("; ")),
    }
}

/// All messages of an error, outermost first.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text.push_str(": ");
        text.push_str(&error.to_string());
        next = error.source();
    }
    text
}

/// The first error of a type within a chain, looking through `io::Error`'s wrapping.
fn find<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        if let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref)
            && let Some(found) = inner.downcast_ref::<E>()
        {
            return Some(found);
        }
        next = error.source();
    }
    None
}
