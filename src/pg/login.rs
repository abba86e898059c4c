//! From an accepted socket to a proven user: TLS, protocol version, SCRAM. Every error here is FATAL, and no
//! message but those of the login is decoded.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pgwire::messages::startup::{Authentication, NegotiateProtocolVersion};
use tokio::net::TcpStream;

use super::frame::{self, MAX_BEFORE_LOGIN, Message, Opening, violation};
use super::scram::{self, Exchange};
use super::wire::{End, Transport, Wire};
use super::{Attempt, Login, Server};
use crate::error::{Error, Kind, Result};
use crate::password::Verifier;

/// The time a client has for its TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
/// The newest version of the protocol we speak: it has cancel keys of more than four bytes.
const NEWEST_MINOR: u16 = 2;

/// What the client said in its startup message.
pub(crate) struct Startup {
    pub(crate) user: String,
    pub(crate) database: String,
    pub(crate) minor: u16,
    pub(crate) parameters: BTreeMap<String, String>,
}

/// What a connection turned out to be.
pub(crate) enum Opened {
    /// A client that wants a session.
    Session(Box<Wire>, Startup, Option<Vec<u8>>),
    /// A cancel request, which is done.
    Done,
}

impl Server {
    /// Reads opening packets up to the startup message.
    pub(super) async fn open(
        &self,
        stream: TcpStream,
        address: SocketAddr,
    ) -> Result<Opened, (Option<Box<Wire>>, End)> {
        let mut wire = Wire::new(Transport::Plain(stream), self.config.stall_timeout);
        let mut end_point = None;
        let (mut asked_tls, mut asked_gss) = (false, false);
        loop {
            let opening = match wire.opening().await {
                Ok(opening) => opening,
                Err(end) => return Err((Some(wire), end)),
            };
            match opening {
                Opening::Ssl if !asked_tls && !wire.is_encrypted() => {
                    asked_tls = true;
                    let Some(tls) = &self.config.tls else {
                        wire.send_byte(b'N');
                        if let Err(end) = wire.flush().await {
                            return Err((None, end));
                        }
                        continue;
                    };
                    let loaded = tls.current();
                    wire.send_byte(b'S');
                    if let Err(end) = wire.flush().await {
                        return Err((None, end));
                    }
                    // What came before the handshake was not encrypted and must not count as if it were.
                    let Some(stream) = wire.into_plain() else {
                        tracing::warn!(client = %address, "unencrypted data followed a request for TLS");
                        return Err((None, End::Gone));
                    };
                    let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, loaded.acceptor.accept(stream));
                    let Ok(Ok(stream)) = handshake.await else { return Err((None, End::Gone)) };
                    end_point = loaded.end_point.clone();
                    wire = Wire::new(Transport::Tls(Box::new(stream)), self.config.stall_timeout);
                }
                Opening::Gss if !asked_gss && !wire.is_encrypted() => {
                    asked_gss = true;
                    wire.send_byte(b'N');
                    if let Err(end) = wire.flush().await {
                        return Err((None, end));
                    }
                }
                Opening::Ssl | Opening::Gss => {
                    return Err((Some(wire), End::Fatal(violation("encryption was asked for twice"))));
                }
                Opening::Cancel { pid, key } => {
                    self.sessions.cancel_by_key(pid, &key);
                    return Ok(Opened::Done);
                }
                Opening::Startup { major, minor, parameters } => {
                    let started = self.startup(&mut wire, address, (major, minor), parameters);
                    return match started {
                        Ok(startup) => Ok(Opened::Session(wire, startup, end_point)),
                        Err(error) => Err((Some(wire), End::Fatal(error))),
                    };
                }
            }
        }
    }

    fn startup(
        &self,
        wire: &mut Wire,
        address: SocketAddr,
        (major, minor): (u16, u16),
        parameters: Vec<(String, String)>,
    ) -> Result<Startup> {
        if major != 3 {
            let what = format!(
                "unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.{NEWEST_MINOR}"
            );
            return Err(Error::new(Kind::Unsupported, what));
        }
        let is_local = address.ip().to_canonical().is_loopback();
        if !wire.is_encrypted() && (self.config.require_tls || !(is_local || self.config.allow_plaintext)) {
            let what = format!("the connection from `{}` is not encrypted", address.ip());
            let hint = match self.config.tls {
                Some(_) => "connect with sslmode=require",
                None => {
                    "give the server a certificate, or allow logins without encryption in its configuration"
                }
            };
            return Err(Error::new(Kind::Unauthenticated, what).with_hint(hint));
        }
        let mut parameters: BTreeMap<_, _> = parameters.into_iter().collect();
        let unknown: Vec<_> = parameters.keys().filter(|name| name.starts_with("_pq_.")).cloned().collect();
        parameters.retain(|name, _| !name.starts_with("_pq_."));
        if minor == 1 || minor > NEWEST_MINOR || !unknown.is_empty() {
            // 3.1 was never used: a client that names it gets 3.0.
            let agreed = if minor == 1 { 0 } else { minor.min(NEWEST_MINOR) };
            wire.send(&NegotiateProtocolVersion::new((3 << 16) | i32::from(agreed), unknown));
        }
        if parameters.remove("replication").is_some_and(|value| value != "false" && value != "0") {
            return Err(Error::new(Kind::Unsupported, "replication connections are not supported"));
        }
        let user = parameters.remove("user").filter(|user| !user.is_empty()).ok_or_else(|| {
            Error::new(Kind::Unauthenticated, "no PostgreSQL user name specified in startup packet")
        })?;
        let database = parameters.remove("database").filter(|name| !name.is_empty());
        let database = database.unwrap_or_else(|| user.clone());
        let minor = if minor == 1 { 0 } else { minor.min(NEWEST_MINOR) };
        Ok(Startup { user, database, minor, parameters })
    }

    /// Proves who the client is. Returns the user; everything else ends the connection.
    pub(super) async fn authenticate(
        &self,
        wire: &mut Wire,
        user: &str,
        address: SocketAddr,
        end_point: Option<&[u8]>,
    ) -> Result<Login, End> {
        let mut deadline = Deadline(tokio::time::Instant::now() + self.config.login_timeout);
        // One path for users who exist and for those who do not: same messages, same work.
        let mock = Verifier::mock(&self.config.secret, user);
        let login =
            deadline.within(async { Ok(self.users.verifier(user).await) }).await?.map_err(|error| {
                tracing::error!(user, error = ?error, "the user store could not be read");
                let what = "logins are not possible at the moment: the users cannot be read";
                End::Fatal(Error::new(Kind::Unavailable, what).with_sqlstate("58000").with_source(error))
            })?;
        let stored = login.as_ref().map(|login| Verifier::parse(&login.verifier)).transpose();
        let stored = stored.unwrap_or_else(|error| {
            tracing::error!(user, error = ?error, "a user cannot log in");
            None
        });
        let (verifier, exists) = match stored {
            Some(stored) => (stored, true),
            None => (mock, false),
        };

        let plus = end_point.map(|_| scram::MECHANISM_PLUS.to_owned());
        let mechanisms = plus.into_iter().chain([scram::MECHANISM.to_owned()]).collect();
        wire.send(&Authentication::SASL(mechanisms));
        wire.flush().await?;
        let first = deadline.within(password_message(wire)).await?;
        let (mechanism, first) = frame::sasl_initial(first).map_err(End::Fatal)?;
        let exchange = Exchange::begin(&mechanism, &first, end_point, &verifier).map_err(End::Fatal)?;
        wire.send(&Authentication::SASLContinue(Bytes::copy_from_slice(exchange.server_first().as_bytes())));
        wire.flush().await?;
        let last = deadline.within(password_message(wire)).await?;
        let proof = exchange.finish(&last).map_err(End::Fatal)?;

        let judged = loop {
            let check = || proof.check(&verifier).filter(|_| exists);
            match self.config.backoff.attempt(user, address.ip(), Instant::now(), check) {
                Ok(judged) => break judged,
                Err(next) => {
                    // The wait is ours, not the client's.
                    let wait = next.saturating_duration_since(Instant::now());
                    deadline.0 += wait;
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = wire.gone() => return Err(End::Gone),
                        () = self.shutdown.cancelled() => return Err(End::Gone),
                    }
                }
            }
        };
        let attempt = Attempt { user: user.into(), address, succeeded: judged.is_some() };
        self.users.attempted(attempt).await;
        match (judged, login) {
            (Some(server_last), Some(login)) => {
                wire.send(&Authentication::SASLFinal(Bytes::from(server_last)));
                wire.send(&Authentication::Ok);
                Ok(login)
            }
            _ => {
                let what = format!("password authentication failed for user \"{user}\"");
                Err(End::Fatal(Error::new(Kind::Unauthenticated, what).with_sqlstate("28P01")))
            }
        }
    }
}

/// When a login has to be done.
struct Deadline(tokio::time::Instant);

impl Deadline {
    async fn within<T>(&mut self, step: impl Future<Output = Result<T, End>>) -> Result<T, End> {
        tokio::time::timeout_at(self.0, step).await.unwrap_or_else(|_| {
            let error = Error::new(Kind::Cancelled, "canceling authentication due to timeout");
            Err(End::Fatal(error))
        })
    }
}

/// The next message if it belongs to a login. Everything else is refused unread.
async fn password_message(wire: &mut Wire) -> Result<Bytes, End> {
    match wire.message(MAX_BEFORE_LOGIN).await? {
        Ok(Message::Password(body)) => Ok(body),
        Ok(Message::Terminate) => Err(End::Gone),
        Ok(_) => Err(End::Fatal(violation("expected SASL response"))),
        Err(unreadable) => Err(End::Fatal(unreadable.error)),
    }
}
