//! Puts the parts together: state, keys, warehouse, service, engine, wire.

mod alerts;
mod commands;
mod vendors;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::catalog::Catalog;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::oauth::Application;
use crate::pg;
use crate::query::{Engine, EngineConfig};
use crate::secret::{Keyring, Secret};
use crate::service::{
    Actor, App, Catalog as SystemCatalog, LinkSettings, LiveSession, LiveSessions, Registry,
};
use crate::snapshot::Warehouse;
use crate::source::{Connectors, rest};
use crate::state::State;
use crate::web::Web;
use vendors::Vendors;

pub use commands::{backup, check, check_catalog, explain, recover, restore};

/// The login that the first start makes.
const FIRST_ADMIN: &str = "admin";

/// Serves until it is told to stop (SIGINT, SIGTERM). With `demo` the demonstration is there and synced before
/// the port is announced.
pub async fn serve(mut config: Config, demo: bool) -> Result<()> {
    let vendors = if demo { Some(Vendors::start(&mut config).await?) } else { None };
    let app = open(&config).await?;
    app.refuse_lost_state().await?;
    let channels = alerts::channels(&config.alerts)?;
    let batches = alerts::batches(config.batch.as_ref())?;
    let listener = listen(config.listen, "--listen").await?;
    let tls = config.tls.as_ref().map(|(certificate, key)| pg::Tls::load(certificate, key)).transpose()?;
    let engine = engine(&config, &app)?;
    app.serve_with(engine.clone());
    app.start().await?;
    tokio::spawn(look_after_storage(app.clone()));
    let backoff = Arc::<Backoff>::default();
    let browsers = browsers(&config, &app, &engine, &backoff).await?;
    app.alert_by(channels);
    if let Some(webhook) = batches {
        app.tell_batches_to(webhook);
    }
    app.watch_over();
    let password = first_admin(&app, browsers.is_some()).await?;
    if let Some(vendors) = &vendors {
        if let Some((web, _)) = &browsers {
            vendors.register(web.public_url());
        }
        app.set_up_demo().await?;
        // The embedded source is demonstrated all the same.
        if let Err(error) = vendors.set_up(&app).await {
            tracing::error!(error = ?error, "a simulated vendor could not be linked");
        }
    }
    let address =
        listener.local_addr().map_err(|error| Error::internal(format!("no local address: {error}")))?;
    if let Some((web, _)) = &browsers
        && let Some(path) = app.setup_path().await?
    {
        say(&format!("make the first admin within an hour: {}{path}", web.public_url()))?;
    }
    greet(&config, address, password.as_deref(), demo)?;
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    tokio::spawn(async move {
        wait_for_signal().await;
        tracing::info!("stopping");
        stop.cancel();
    });
    let wire = pg::PgConfig {
        tls,
        require_tls: config.require_tls,
        allow_plaintext: config.allow_plaintext,
        secret: app.derived_secret("salts of users who do not exist"),
        backoff,
        ..pg::PgConfig::new(&config.company)
    };
    let browsers = browsers.map(|(web, listener)| tokio::spawn(web.serve(listener, shutdown.clone())));
    let server = pg::Server::new(wire, engine, Arc::new(Directory(app.clone())), shutdown);
    app.watch(Arc::new(Connected(server.sessions().clone())));
    server.serve(vec![listener]).await;
    if let Some(browsers) = browsers {
        // It ends with the same signal; a browser that keeps its connection open is not waited for.
        browsers.abort();
    }
    app.stop().await;
    Ok(())
}

/// Opens the port for browsers, and tells the service how they reach it.
async fn browsers(
    config: &Config,
    app: &Arc<App>,
    engine: &Arc<Engine>,
    backoff: &Arc<Backoff>,
) -> Result<Option<(Web, TcpListener)>> {
    let mut settings = LinkSettings::default();
    for (connector, registered) in &config.oauth {
        let application = Application {
            id: registered.client_id.clone(),
            secret: registered.client_secret.clone().map(Secret::new),
        };
        settings.applications.insert(connector.clone(), application);
    }
    let Some(web) = &config.web else {
        app.link_with(settings);
        return Ok(None);
    };
    let listener = listen(web.listen, "--web-listen").await?;
    let address =
        listener.local_addr().map_err(|error| Error::internal(format!("no local address: {error}")))?;
    let public_url = web.public_url.clone().unwrap_or_else(|| format!("http://{address}"));
    say(&format!("browsers are served on {address} and reach it at {public_url}"))?;
    let token = config.metrics_token.clone().map(Secret::new);
    let served = Web::new(app.clone(), engine.clone(), backoff.clone(), &public_url, token);
    settings.public_url = Some(public_url);
    app.link_with(settings);
    Ok(Some((served, listener)))
}

/// Sets a password from the environment or a random one, without a server.
pub async fn set_password(config: Config, name: &str) -> Result<()> {
    let app = open(&config).await?;
    let (password, generated) = chosen_password()?;
    app.set_password(&Actor::system(), name, &password).await?;
    match generated {
        true => say(&format!("password of {name}: {password}")),
        false => say(&format!("password of {name} set from TRIBUTARY_ADMIN_PASSWORD")),
    }
}

/// Logins, for the wire.
struct Directory(Arc<App>);

#[async_trait::async_trait]
impl pg::Users for Directory {
    async fn verifier(&self, user: &str) -> Result<Option<pg::Login>> {
        let login = |user: crate::model::User| pg::Login {
            is_admin: user.role == "admin",
            name: user.name,
            verifier: user.verifier,
        };
        Ok(self.0.login(user).await?.map(login))
    }

    async fn attempted(&self, attempt: pg::Attempt) {
        let address = attempt.address.to_string();
        if let Err(error) = self.0.note_login(&attempt.user, &address, attempt.succeeded).await {
            tracing::error!(error = ?error, "a login could not be audited");
        }
    }
}

/// Who is connected, for the service.
struct Connected(Arc<pg::Sessions>);

impl LiveSessions for Connected {
    fn list(&self) -> Vec<LiveSession> {
        let live = |session: pg::SessionInfo| LiveSession {
            id: i64::from(session.id),
            user: session.user,
            address: session.address.to_string(),
            since: session.since,
            active: session.active,
        };
        self.0.list().into_iter().map(live).collect()
    }

    fn end(&self, user: &str) {
        self.0.terminate_user(user);
    }
}

/// Opens everything that lives in the data folder. Only one process at a time gets past this.
async fn open(config: &Config) -> Result<Arc<App>> {
    let state = Arc::new(State::open(&state_url(config)?).await?);
    let keyring = Keyring::open(&data_folder(config)?.join("key"))?;
    let warehouse = open_warehouse(config)?;
    Ok(App::new(config.company.clone(), state, keyring, warehouse, connectors(config)?, config.lease))
}

/// The connectors in code, those in the binary's catalog, and those of the operator's.
fn connectors(config: &Config) -> Result<Arc<Connectors>> {
    let catalog = match &config.catalog {
        Some(folder) => Catalog::with_folder(folder)?,
        None => Catalog::embedded()?,
    };
    let options = rest::Options { bases: config.connector_base.clone(), ..rest::Options::default() };
    Connectors::new(catalog, options)
}

fn data_folder(config: &Config) -> Result<PathBuf> {
    std::fs::create_dir_all(&config.data).map_err(|error| {
        Error::new(Kind::Invalid, format!("cannot make the data folder `{}`: {error}", config.data.display()))
            .with_hint("choose another with --data, or let this user write there")
    })?;
    config.data.canonicalize().map_err(|error| Error::internal(error.to_string()))
}

fn state_url(config: &Config) -> Result<String> {
    match &config.state {
        Some(url) => Ok(url.clone()),
        None => Ok(format!("sqlite://{}", data_folder(config)?.join("state.db").display())),
    }
}

fn open_warehouse(config: &Config) -> Result<Arc<Warehouse>> {
    let storage = match &config.storage {
        Some(url) => url.clone(),
        None => path_text(&data_folder(config)?.join("snapshots"))?,
    };
    Warehouse::open(&storage, &config.company)
}

fn path_text(path: &Path) -> Result<String> {
    let text = path.to_str().ok_or_else(|| {
        Error::new(Kind::Invalid, format!("the path `{}` is not valid UTF-8", path.display()))
    })?;
    Ok(text.to_string())
}

/// Says so when the bucket of the snapshots is missing or denies writing. What is in memory can be read all the
/// same, and the operator may mend it while the server runs.
async fn look_after_storage(app: Arc<App>) {
    if let Err(error) = app.check_storage().await {
        tracing::error!(error = ?error, "the storage cannot be used: syncs will fail until that is mended");
    } else if let Err(error) = app.mirror_missing().await {
        tracing::error!(error = ?error, "some definitions are not mirrored in the storage");
    }
}

async fn listen(address: std::net::SocketAddr, option: &str) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::AddrInUse => "another server uses that port; choose one with",
            std::io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege; choose one with",
            _ => "choose an address of this machine with",
        };
        Error::new(Kind::Unavailable, format!("cannot listen on {address}: {error}"))
            .with_hint(format!("{hint} {option}"))
    })
}

fn engine(config: &Config, app: &Arc<App>) -> Result<Arc<Engine>> {
    let mut sizes = EngineConfig::new(&config.company, config.data.join("spill"));
    sizes.memory_bytes = config.query_memory_bytes;
    sizes.spill_bytes = config.spill_bytes;
    let catalog = SystemCatalog::new(app.clone());
    Engine::new(sizes, catalog.clone(), catalog, Registry::new(app.clone()))
}

/// Makes the first admin; returns the password when it was made up. Where browsers are served and no password is given,
/// a person makes the admin there.
async fn first_admin(app: &App, in_browser: bool) -> Result<Option<String>> {
    let is_given = std::env::var_os("TRIBUTARY_ADMIN_PASSWORD").is_some_and(|password| !password.is_empty());
    if app.has_users().await? || (in_browser && !is_given) {
        return Ok(None);
    }
    let (password, generated) = chosen_password()?;
    app.create_user(&Actor::system(), FIRST_ADMIN, &password, true, true).await?;
    Ok(generated.then_some(password))
}

/// The password of the environment, or a random one of 120 bits (and true).
fn chosen_password() -> Result<(String, bool)> {
    match std::env::var("TRIBUTARY_ADMIN_PASSWORD") {
        Ok(password) if !password.is_empty() => Ok((password, false)),
        Ok(_) | Err(std::env::VarError::NotPresent) => {
            let bytes: [u8; 15] = rand::random();
            Ok((base64::Engine::encode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, bytes), true))
        }
        Err(_) => Err(Error::new(Kind::Invalid, "TRIBUTARY_ADMIN_PASSWORD is not valid UTF-8")),
    }
}

fn greet(config: &Config, address: std::net::SocketAddr, password: Option<&str>, demo: bool) -> Result<()> {
    if let Some(password) = password {
        say(&format!("made the user {FIRST_ADMIN} with the password {password} (shown only now)"))?;
    }
    let shown = password.map(|password| format!("PGPASSWORD={password} ")).unwrap_or_default();
    let (host, port) = (address.ip(), address.port());
    say(&format!("connect with: {shown}psql -h {host} -p {port} -U {FIRST_ADMIN} {}", config.company))?;
    if demo {
        say("try: SELECT stage, sum(opportunity.amount) FROM opportunity GROUP BY 1")?;
        say(
            "     CALL sync('hubspot', 'diff') -- deals of the simulated HubSpot change; a minute later a diff sees it",
        )?;
    }
    say(&format!("listening on {address}"))
}

/// Prints a line for the person who started the server.
fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let written = writeln!(out, "{line}").and_then(|()| out.flush());
    written.map_err(|error| Error::internal(format!("cannot write to standard output: {error}")))
}

/// Prints an error for the person who started the command.
pub fn report(error: &Error) {
    let mut out = std::io::stderr().lock();
    // There is nobody left to tell when standard error is gone.
    writeln!(out, "error: {error}").ok();
    if let Some(detail) = error.detail() {
        writeln!(out, "detail: {detail}").ok();
    }
    if let Some(hint) = error.hint() {
        writeln!(out, "hint: {hint}").ok();
    }
    tracing::debug!(error = ?error, "failed");
}

async fn wait_for_signal() {
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(error) => {
                tracing::error!(error = %error, "cannot watch for SIGTERM");
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}
