//! Sessions with the server: opened with the demanded TLS, set up read-only, ended together with their work.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

use super::failure;
use super::settings::{Password, Settings, SslMode};
use super::tls::Tls;
use crate::error::{Error, Kind, Result};

/// The name under which our sessions are seen in `pg_stat_activity`.
pub(crate) const APPLICATION: &str = "tributary";

/// Waits between the attempts to connect.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(1000)];

/// Everything needed to open sessions. Holds the password; printing it does not show it.
#[derive(Clone)]
pub(crate) struct Connector {
    settings: Arc<Settings>,
    password: Option<Password>,
    tls: Tls,
    /// Where statements of sessions that end early are cancelled; by default where the session ends.
    closing: Option<Handle>,
}

impl Connector {
    pub(crate) fn new(settings: Settings, password: Option<Password>) -> Result<Self> {
        if password.as_ref().is_some_and(|password| password.expose().contains('\0')) {
            return Err(Error::new(Kind::Invalid, "the password must not contain a NUL character"));
        }
        let tls = Tls::new(&settings)?;
        Ok(Connector { settings: Arc::new(settings), password, tls, closing: None })
    }

    /// The same, for sessions on a runtime that ends with them: what must be done then is done by `runtime`.
    pub(crate) fn closing_on(self, runtime: Handle) -> Self {
        Connector { closing: Some(runtime), ..self }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A session ready to read. What is likely to pass is tried again shortly; a refusal is final.
    pub(crate) async fn open(&self) -> Result<Session> {
        for pause in PAUSES {
            match self.attempt().await {
                Err(error) if error.kind() == Kind::Unavailable => {
                    tracing::debug!(host = %self.settings.address(), %error, "connecting failed, trying again");
                    tokio::time::sleep(pause).await;
                }
                done => return done,
            }
        }
        self.attempt().await
    }

    async fn attempt(&self) -> Result<Session> {
        // The crate's own time-out ends with the TCP handshake; a server that accepts and stays silent needs ours.
        match tokio::time::timeout(self.settings.connect_timeout, self.log_in()).await {
            Ok(session) => session,
            Err(_) => Err(Error::new(
                Kind::Unavailable,
                format!(
                    "cannot reach PostgreSQL at `{}`: no answer within {} s",
                    self.settings.address(),
                    self.settings.connect_timeout.as_secs()
                ),
            )
            .with_sqlstate("08001")
            .with_hint("check the setting `host` and the firewalls in between")),
        }
    }

    async fn log_in(&self) -> Result<Session> {
        let settings = &self.settings;
        let mut config = tokio_postgres::Config::new();
        config
            .host(&settings.host)
            .port(settings.port)
            .dbname(&settings.database)
            .user(&settings.user)
            .application_name(APPLICATION)
            .keepalives_idle(Duration::from_secs(60))
            .tcp_user_timeout(Duration::from_secs(120))
            .ssl_mode(match settings.sslmode {
                SslMode::Disable => tokio_postgres::config::SslMode::Disable,
                SslMode::Prefer => tokio_postgres::config::SslMode::Prefer,
                SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => {
                    tokio_postgres::config::SslMode::Require
                }
            });
        if let Some(password) = &self.password {
            config.password(password.expose());
        }
        let (client, connection) =
            config.connect(self.tls.clone()).await.map_err(|error| failure::connecting(settings, error))?;
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a session with a PostgreSQL source ended");
            }
        });
        let user = settings.user.clone();
        let (tls, closing) = (self.tls.clone(), self.closing.clone());
        let mut session = Session { client, driver, tls, closing, busy: false, user, version: 0 };
        session.set_up(settings).await?;
        Ok(session)
    }
}

/// A session. Dropping it while it is busy cancels the statement at the server, then closes the connection.
pub(crate) struct Session {
    pub(crate) client: Client,
    driver: JoinHandle<()>,
    tls: Tls,
    closing: Option<Handle>,
    busy: bool,
    user: String,
    /// `server_version_num`, for example 150018.
    pub(crate) version: u32,
}

impl Session {
    async fn set_up(&mut self, settings: &Settings) -> Result<()> {
        let cap = settings.statement_timeout.as_secs();
        // A database without an encoding is asked for its bytes as they are, and these are checked here. Rows shall
        // come in their order within the table, not from where another scan happens to be.
        let sql = format!(
            "SET default_transaction_read_only = on; SET statement_timeout = '{cap}s'; SET lock_timeout = '10s'; \
             SET idle_in_transaction_session_timeout = '{cap}s'; SET TimeZone = 'UTC'; \
             SET DateStyle = 'ISO, MDY'; SET IntervalStyle = 'iso_8601'; SET extra_float_digits = 1; \
             SET standard_conforming_strings = on; SET bytea_output = 'hex'; \
             SET synchronize_seqscans = off; \
             SELECT set_config('client_connection_check_interval', '5s', false) \
             WHERE current_setting('server_version_num')::int >= 140000; \
             SELECT set_config('client_encoding', 'SQL_ASCII', false) \
             WHERE current_setting('server_encoding') = 'SQL_ASCII'; \
             SELECT set_config('jit', 'off', false) WHERE current_setting('server_version_num')::int >= 110000; \
             SELECT current_setting('server_version_num') AS version"
        );
        let rows = self.query(&sql).await.map_err(|error| failure::running(None, error))?;
        let version = rows.iter().rev().find_map(|row| row.try_get("version").ok().flatten());
        self.version = version.and_then(|version| version.parse().ok()).unwrap_or(0);
        Ok(())
    }

    /// Runs statements without parameters in one round trip; all values come as text.
    pub(crate) async fn query(&mut self, sql: &str) -> Result<Vec<SimpleQueryRow>, tokio_postgres::Error> {
        self.busy = true;
        let messages = self.client.simple_query(sql).await;
        self.busy = false;
        let is_row = |message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        };
        Ok(messages?.into_iter().filter_map(is_row).collect())
    }

    /// The login role.
    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    /// Marks that a statement is (or is no longer) running on [`Session::client`].
    pub(crate) fn set_busy(&mut self, busy: bool) {
        self.busy = busy;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.busy {
            return;
        }
        let (token, tls, driver) = (self.client.cancel_token(), self.tls.clone(), self.driver.abort_handle());
        match self.closing.take().map_or_else(Handle::try_current, Ok) {
            Ok(runtime) => {
                runtime.spawn(async move {
                    let cancel = token.cancel_query(tls);
                    if !matches!(tokio::time::timeout(Duration::from_secs(5), cancel).await, Ok(Ok(()))) {
                        tracing::debug!("a statement at a PostgreSQL source could not be cancelled");
                    }
                    driver.abort();
                });
            }
            Err(_) => driver.abort(),
        }
    }
}

/// A column of a text row, by position.
pub(crate) fn text(row: &SimpleQueryRow, column: usize) -> Option<&str> {
    row.try_get(column).ok().flatten()
}
