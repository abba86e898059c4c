//! The PostgreSQL wire protocol: our own server over the message types of `pgwire`.
//!
//! A connection goes through three steps. [`login`] agrees on TLS and protocol and proves who is there; until it
//! has, nothing but login messages is even decoded, and every error ends the connection. [`connection`] then takes
//! one message after the other and answers it. [`run`] executes statements: it sends rows as they are produced,
//! through a buffer of 64 KiB, and watches at the same time for a cancel, a deadline and a client that went away.

mod connection;
mod copy;
mod encode;
mod extended;
mod frame;
mod login;
mod parameter;
mod reply;
mod run;
mod scram;
mod sessions;
mod simple;
mod sqlstate;
mod tls;
mod types;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::sessions::{Limits, SessionInfo, Sessions};
pub use self::tls::Tls;
use crate::backoff::Backoff;
use crate::error::{Error, Result};
use crate::query::Engine;

/// How the port behaves.
#[derive(Debug, Clone)]
pub struct PgConfig {
    /// The name of the one database: the company.
    pub database: String,
    /// How many may be connected.
    pub limits: Limits,
    /// Certificate and key; without them only plain connections are possible.
    pub tls: Option<Arc<Tls>>,
    /// Refuses every connection without TLS.
    pub require_tls: bool,
    /// Lets clients on other machines log in without TLS.
    pub allow_plaintext: bool,
    /// The time a client has to log in.
    pub login_timeout: Duration,
    /// A session that asks for nothing for so long is ended.
    pub idle_timeout: Option<Duration>,
    /// A client that takes none of its rows for so long is cut.
    pub stall_timeout: Duration,
    /// From it come the salts shown for users who do not exist. Keep it over restarts, so that they do not change.
    pub secret: [u8; 32],
    /// What is remembered about failed logins, here and elsewhere.
    pub backoff: Arc<Backoff>,
}

impl PgConfig {
    /// The usual behaviour.
    pub fn new(database: &str) -> Self {
        PgConfig {
            database: database.into(),
            limits: Limits::default(),
            tls: None,
            require_tls: false,
            allow_plaintext: false,
            login_timeout: Duration::from_secs(60),
            idle_timeout: Some(Duration::from_secs(3600)),
            stall_timeout: Duration::from_secs(300),
            secret: rand::random(),
            backoff: Arc::default(),
        }
    }
}

/// A user as the login needs them.
#[derive(Debug, Clone)]
pub struct Login {
    /// Login name.
    pub name: String,
    /// Whether everything may be read and changed.
    pub is_admin: bool,
    /// SCRAM-SHA-256 verifier in PostgreSQL's text form.
    pub verifier: String,
}

/// An attempt to log in, for the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The name given.
    pub user: String,
    /// From where.
    pub address: SocketAddr,
    /// Whether it succeeded.
    pub succeeded: bool,
}

/// Who may log in.
#[async_trait]
pub trait Users: Send + Sync {
    /// The user of that name; `None` when there is none or the login is not allowed. An error refuses the login.
    async fn verifier(&self, user: &str) -> Result<Option<Login>>;

    /// Told about every attempt that got as far as a proof. Must not take long.
    async fn attempted(&self, attempt: Attempt) {
        let _ = attempt;
    }
}

/// The server behind one or several listeners.
pub struct Server {
    config: PgConfig,
    engine: Arc<Engine>,
    users: Arc<dyn Users>,
    sessions: Arc<Sessions>,
    shutdown: CancellationToken,
    panics: AtomicU64,
}

impl Server {
    /// A server that ends when `shutdown` is set. Nothing listens yet.
    pub fn new(
        config: PgConfig,
        engine: Arc<Engine>,
        users: Arc<dyn Users>,
        shutdown: CancellationToken,
    ) -> Arc<Self> {
        let sessions = Arc::new(Sessions::default());
        let panics = AtomicU64::new(0);
        Arc::new(Server { config, engine, users, sessions, shutdown, panics })
    }

    /// Who is connected.
    pub fn sessions(&self) -> &Arc<Sessions> {
        &self.sessions
    }

    /// Defects that ended a connection. A number other than 0 is worth a report.
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Counts a defect and gives it a number under which it is logged and shown.
    fn report_panic(&self, panic: &(dyn std::any::Any + Send)) -> Error {
        self.panics.fetch_add(1, Ordering::Relaxed);
        let id = uuid::Uuid::now_v7();
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        tracing::error!(id = %id, panic = text, "a connection met a defect and is closed");
        Error::internal(format!("internal error {id}")).with_hint("report the number with the server's log")
    }

    /// Accepts clients until the shutdown, then ends every session and waits for them.
    pub async fn serve(self: Arc<Self>, listeners: Vec<TcpListener>) {
        let connections = TaskTracker::new();
        let accepting = listeners.into_iter().map(|listener| self.accept(listener, &connections));
        tokio::select! {
            _ = futures::future::join_all(accepting) => {}
            () = self.shutdown.cancelled() => {}
        }
        connections.close();
        // A session has ended within a moment of the shutdown, unless its client does not read.
        if tokio::time::timeout(Duration::from_secs(10), connections.wait()).await.is_err() {
            tracing::warn!(sessions = connections.len(), "sessions did not end in time and are dropped");
        }
    }

    async fn accept(self: &Arc<Self>, listener: TcpListener, connections: &TaskTracker) {
        loop {
            match listener.accept().await {
                Ok((stream, address)) => {
                    connections.spawn(connection::run(self.clone(), stream, address));
                }
                Err(error) => {
                    // Out of file handles, most likely: those who are connected matter more.
                    tracing::warn!(error = %error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

/// Prepares a fresh connection.
fn prepare_socket(stream: &TcpStream) {
    // Without it the last packet of every answer waits for the client's acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(error = %error, "TCP_NODELAY could not be set");
    }
}

/// Serves clients on `listeners` until `shutdown` is set.
pub async fn serve(
    listeners: Vec<TcpListener>,
    config: PgConfig,
    engine: Arc<Engine>,
    users: Arc<dyn Users>,
    shutdown: CancellationToken,
) {
    Server::new(config, engine, users, shutdown).serve(listeners).await;
}
