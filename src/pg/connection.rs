//! One client from its first byte to its last.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use pgwire::messages::response::{ReadyForQuery, TransactionStatus as Status};
use pgwire::messages::startup::{BackendKeyData, ParameterStatus, SecretKey};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::extended::{Portal, Statement};
use super::frame::{MAX_MESSAGE, Message};
use super::login::{Opened, Startup};
use super::run::Fault;
use super::sessions::Slot;
use super::wire::{End, Unreadable, Wire};
use super::{Server, prepare_socket, reply};
use crate::error::{Error, Kind};
use crate::query::{Ends, Notice, Notification, Session, SessionUser, TransactionStatus};

/// Serves one accepted socket until it ends.
pub(super) async fn run(server: Arc<Server>, stream: TcpStream, address: SocketAddr) {
    prepare_socket(&stream);
    let ends = Ends { server: stream.local_addr().unwrap_or(address), client: address };
    // The last net: a panic outside of a message must not take the accept loop with it, and none is expected.
    if let Err(panic) = AssertUnwindSafe(serve(&server, stream, ends)).catch_unwind().await {
        server.report_panic(&*panic);
    }
}

async fn serve(server: &Arc<Server>, stream: TcpStream, ends: Ends) {
    let address = ends.client;
    let knock = match server.sessions.knock(&server.config.limits) {
        Ok(knock) => knock,
        Err(error) => {
            let mut wire =
                Wire::new(super::wire::Transport::Plain(stream), std::time::Duration::from_secs(1));
            wire.send(&reply::error("FATAL", &error));
            return wire.close().await;
        }
    };
    let opening = tokio::time::timeout(server.config.login_timeout, server.open(stream, address));
    let opened = tokio::select! {
        opened = opening => opened,
        () = server.shutdown.cancelled() => return,
    };
    let (mut wire, startup, end_point) = match opened {
        Ok(Ok(Opened::Session(wire, startup, end_point))) => (wire, startup, end_point),
        Ok(Err((Some(mut wire), end))) => return finish(&mut wire, end).await,
        // Too slow, gone, or a cancel request, which is never answered.
        Ok(Err((None, _)) | Ok(Opened::Done)) | Err(_) => return,
    };
    let authenticated = tokio::select! {
        login = server.authenticate(&mut wire, &startup.user, address, end_point.as_deref()) => login,
        () = server.shutdown.cancelled() => Err(End::Fatal(shutting_down())),
    };
    let end = match authenticated {
        Err(end) => end,
        Ok(login) => {
            drop(knock);
            match Connection::open(server, wire, startup, login, ends) {
                Ok(mut connection) => {
                    let end = connection.converse().await;
                    return finish(&mut connection.wire, end).await;
                }
                Err((refused, error)) => {
                    wire = refused;
                    End::Fatal(error)
                }
            }
        }
    };
    finish(&mut wire, end).await;
}

async fn finish(wire: &mut Wire, end: End) {
    if let End::Fatal(error) = end {
        wire.send(&reply::error("FATAL", &error));
        wire.close().await;
    }
}

fn shutting_down() -> Error {
    Error::new(Kind::Unavailable, "terminating connection due to administrator command")
        .with_sqlstate("57P01")
}

/// A session and everything the protocol keeps for it.
pub(super) struct Connection {
    pub(super) server: Arc<Server>,
    pub(super) wire: Box<Wire>,
    pub(super) slot: Slot,
    pub(super) session: Arc<Session>,
    notifications: Option<mpsc::Receiver<Notification>>,
    pub(super) statements: HashMap<String, Arc<Statement>>,
    pub(super) portals: HashMap<String, Portal>,
    /// After an error in the extended protocol: everything up to Sync is read over.
    skipping: bool,
}

impl Connection {
    fn open(
        server: &Arc<Server>,
        mut wire: Box<Wire>,
        startup: Startup,
        login: super::Login,
        ends: Ends,
    ) -> Result<Self, (Box<Wire>, Error)> {
        let key = if startup.minor >= 2 {
            rand::random::<[u8; 32]>().to_vec()
        } else {
            rand::random::<[u8; 4]>().to_vec()
        };
        let limits = &server.config.limits;
        let slot = match server.sessions.open(limits, &login.name, login.is_admin, ends.client, key) {
            Ok(slot) => slot,
            Err(error) => return Err((wire, error)),
        };
        if startup.database != server.config.database {
            let what = format!("database \"{}\" does not exist", startup.database);
            let hint = format!("the database of this server is `{}`", server.config.database);
            return Err((wire, Error::new(Kind::NotFound, what).with_sqlstate("3D000").with_hint(hint)));
        }
        let user = SessionUser { name: login.name, is_admin: login.is_admin, session_id: slot.id() };
        let session = Arc::new(server.engine.session(user));
        session.came_by(ends);
        let warnings = match apply_startup(&session, &startup) {
            Ok(warnings) => warnings,
            Err(error) => return Err((wire, error)),
        };
        // Everything that is reported, at the first call.
        for (name, value) in session.take_reported() {
            wire.send(&ParameterStatus::new(name, value));
        }
        let key = SecretKey::Bytes(Bytes::copy_from_slice(slot.key()));
        wire.send(&BackendKeyData::new(slot.id(), key));
        for warning in warnings {
            wire.send(&reply::notice(&warning));
        }
        let notifications = session.notifications();
        let (statements, portals, skipping) = (HashMap::new(), HashMap::new(), false);
        let server = server.clone();
        Ok(Connection { server, wire, slot, session, notifications, statements, portals, skipping })
    }

    /// Answers messages until the connection ends.
    async fn converse(&mut self) -> End {
        if let Err(end) = self.ready().await {
            return end;
        }
        loop {
            let message = match self.next_message().await {
                Ok(message) => message,
                Err(end) => return end,
            };
            let handled = match message {
                Ok(message) => AssertUnwindSafe(self.handle(message)).catch_unwind().await,
                Err(unreadable) => AssertUnwindSafe(self.unreadable(unreadable)).catch_unwind().await,
            };
            match handled {
                Ok(Ok(())) => {}
                Ok(Err(end)) => return end,
                Err(panic) => {
                    self.wire.drop_unfinished();
                    return End::Fatal(self.server.report_panic(&*panic));
                }
            }
        }
    }

    async fn next_message(&mut self) -> Result<Result<Message, Unreadable>, End> {
        let server = self.server.clone();
        let (within, own) = (self.session.transaction(), self.session.idle_timeout());
        let timeout = match (own, server.config.idle_timeout) {
            (Some(own), Some(general)) => Some(own.min(general)),
            (own, general) => own.or(general),
        };
        let idle = async {
            match timeout {
                Some(timeout) => tokio::time::sleep(timeout).await,
                None => std::future::pending().await,
            }
        };
        let mut idle = std::pin::pin!(idle);
        loop {
            let arrived = async {
                match &mut self.notifications {
                    // Those who are in a transaction are told at its end.
                    Some(notifications) if self.session.transaction() == TransactionStatus::Idle => {
                        notifications.recv().await
                    }
                    _ => std::future::pending().await,
                }
            };
            let notification = tokio::select! {
                biased;
                () = server.shutdown.cancelled() => return Err(End::Fatal(shutting_down())),
                () = self.slot.end().cancelled() => return Err(End::Fatal(shutting_down())),
                message = self.wire.message(MAX_MESSAGE) => return message,
                Some(notification) = arrived => notification,
                () = &mut idle => {
                    let (why, sqlstate) = match (within, own) {
                        (TransactionStatus::Idle, _) | (_, None) => ("idle-session", "57P05"),
                        _ => ("idle-in-transaction", "25P03"),
                    };
                    let what = format!("terminating connection due to {why} timeout");
                    return Err(End::Fatal(Error::new(Kind::Unavailable, what).with_sqlstate(sqlstate)));
                }
            };
            self.wire.send(&reply::notification(notification));
            self.tell_arrived();
            self.wire.flush().await?;
        }
    }

    /// Puts the notifications that have arrived into the output.
    fn tell_arrived(&mut self) {
        let Some(notifications) = &mut self.notifications else { return };
        while let Ok(notification) = notifications.try_recv() {
            self.wire.send(&reply::notification(notification));
        }
    }

    async fn handle(&mut self, message: Message) -> Result<(), End> {
        if self.skipping && !matches!(message, Message::Sync | Message::Terminate) {
            return Ok(());
        }
        let outcome = match message {
            Message::Query(sql) => return self.simple_query(&sql).await,
            Message::Terminate => return Err(End::Gone),
            Message::Sync => return self.sync().await,
            Message::Flush => return self.wire.flush().await,
            // Left over from a COPY that ended in an error.
            Message::Copy => return Ok(()),
            Message::Password(_) => {
                return Err(End::Fatal(super::frame::violation(
                    "a password was sent though none was asked for",
                )));
            }
            Message::Parse { name, sql, types } => self.parse(name, &sql, &types).await,
            Message::Bind(bind) => self.bind(bind),
            Message::Describe(target) => self.describe(&target),
            Message::Execute { portal, max_rows } => self.execute(&portal, max_rows).await,
            Message::Close(target) => {
                self.close(&target);
                Ok(())
            }
        };
        match outcome {
            Ok(()) if self.wire.is_full() => self.wire.flush().await,
            Ok(()) => Ok(()),
            Err(fault) => {
                self.fail(fault)?;
                self.skipping = true;
                // A client that uses Flush alone would otherwise wait for it.
                self.wire.flush().await
            }
        }
    }

    /// A message whose content is wrong while its bounds are right ends the statement; everything else the
    /// connection.
    async fn unreadable(&mut self, unreadable: Unreadable) -> Result<(), End> {
        let Unreadable { kind, error } = unreadable;
        if error.sqlstate() != "22021" {
            return Err(End::Fatal(error));
        }
        if self.skipping {
            return Ok(());
        }
        self.fail(Fault::Statement(error))?;
        if kind == b'Q' {
            return self.ready().await;
        }
        self.skipping = true;
        Ok(())
    }

    async fn sync(&mut self) -> Result<(), End> {
        self.skipping = false;
        if let Err(error) = self.session.end_implicit() {
            self.fail(error.into())?;
        }
        self.ready().await
    }

    /// Tells the client about an error of a statement. The transaction, if there is one, has failed with it.
    pub(super) fn fail(&mut self, fault: Fault) -> Result<(), End> {
        let error = match fault {
            Fault::Statement(error) => error,
            Fault::End(end) => return Err(end),
        };
        if error.kind() == Kind::Internal {
            tracing::error!(session = self.slot.id(), error = ?error, "a statement met a defect");
        } else {
            tracing::debug!(session = self.slot.id(), error = ?error, "a statement failed");
        }
        self.session.fail_transaction();
        self.portals.clear();
        self.wire.send(&reply::error("ERROR", &error));
        Ok(())
    }

    /// Says that the next statement may come.
    pub(super) async fn ready(&mut self) -> Result<(), End> {
        for (name, value) in self.session.take_reported() {
            self.wire.send(&ParameterStatus::new(name, value));
        }
        let status = match self.session.transaction() {
            TransactionStatus::Idle => Status::Idle,
            TransactionStatus::InTransaction => Status::Transaction,
            TransactionStatus::Failed => Status::Error,
        };
        if status == Status::Idle {
            // A portal lives as long as its transaction.
            self.portals.clear();
            self.tell_arrived();
        }
        self.wire.send(&ReadyForQuery::new(status));
        self.wire.flush().await
    }

    pub(super) fn shutting_down() -> Error {
        shutting_down()
    }
}

/// Settings of the startup message: each parameter by its name, and those within `options`.
///
/// Drivers name the zone of their machine without being asked. One we cannot show must not keep them out: every
/// timestamp carries its offset, so that it stays the same point in time.
fn apply_startup(session: &Session, startup: &Startup) -> Result<Vec<Notice>, Error> {
    let mut warnings = Vec::new();
    for (name, value) in &startup.parameters {
        if name == "options" {
            for (name, value) in options(value)? {
                session.set_startup(&name, &value)?;
            }
        } else if let Err(error) = session.set_startup(name, value) {
            if !name.eq_ignore_ascii_case("timezone") {
                return Err(error);
            }
            warnings.push(Notice::warning(error.sqlstate(), error.what()));
        }
    }
    Ok(warnings)
}

/// `-c name=value --name=value`, with backslashes before spaces that belong to a value.
fn options(text: &str) -> Result<Vec<(String, String)>, Error> {
    let mut words: Vec<String> = Vec::new();
    let (mut open, mut rest) = (false, text.chars());
    while let Some(c) = rest.next() {
        if c.is_ascii_whitespace() {
            open = false;
            continue;
        }
        if !open {
            words.push(String::new());
            open = true;
        }
        let c = if c == '\\' { rest.next().unwrap_or('\\') } else { c };
        if let Some(word) = words.last_mut() {
            word.push(c);
        }
    }
    let mut settings = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let setting = match word.strip_prefix("--") {
            Some(setting) => setting.to_owned(),
            None if word == "-c" => words.next().unwrap_or_default(),
            None => word.strip_prefix("-c").map(str::to_owned).unwrap_or_default(),
        };
        let (name, value) =
            setting.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
                Error::new(Kind::Invalid, format!("invalid command-line argument for server process: {word}"))
                    .with_sqlstate("42601")
                    .with_hint("options are written `-c name=value`")
            })?;
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_settings() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let text =
            r"-c statement_timeout=5s --search-path=crm,public -ctimezone=UTC -c tributary.as_of=batch\ 1";
        assert_eq!(
            options(text).unwrap(),
            [
                pair("statement_timeout", "5s"),
                pair("search_path", "crm,public"),
                pair("timezone", "UTC"),
                pair("tributary.as_of", "batch 1"),
            ]
        );
        assert!(options("").unwrap().is_empty());
        assert!(options("-d 5").is_err());
        assert!(options("-c").is_err());
    }
}
