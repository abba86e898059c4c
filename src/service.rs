//! What tributary can do, once: every edge (SQL, console, command line, schedule) calls these functions. They
//! check rights, leave an audit row and know no protocol.

mod alert;
mod backup;
mod batch;
mod browser;
mod catalog;
mod cells;
mod check;
mod connection;
mod demo;
mod erase;
mod explain;
mod field;
mod gate;
mod grant;
mod health;
mod link;
mod metrics;
mod mirror;
mod node;
mod notice;
mod object;
mod optimize;
mod overrides;
mod recover;
mod registry;
mod release;
mod release_field;
mod statement;
mod sync;
mod system;
mod turn;
mod undrop;
mod user;
mod vacuum;
mod visibility;
mod watch;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Kind, Result, did_you_mean};
use crate::model::{Connection, Micros, Object, Release};
use crate::query::Engine;
use crate::secret::Keyring;
use crate::snapshot::Warehouse;
use crate::source::{ConnectorInfo, Connectors};
use crate::state::State;
use crate::sync::{Digester, Syncer};

use batch::Nights;
use metrics::Metrics;
use optimize::Compactions;
use overrides::Overlays;
use watch::Watch;

pub use backup::{Manifest, backup, check, restore};
pub use grant::{GrantTokens, Vault};
pub use link::{Accepted, Invited, LinkSettings, Links, Returned};
pub use metrics::Standing;
pub use recover::Recovered;
pub use registry::Registry;
pub use system::Catalog;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Login name.
    pub name: String,
    /// Admins may do everything.
    pub is_admin: bool,
}

impl Actor {
    /// The server itself: schedules, the demonstration, the command line on the server's machine.
    pub fn system() -> Self {
        Actor { name: "system".into(), is_admin: true }
    }
}

/// A client that is connected now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveSession {
    /// Its number, as shown by `pg_backend_pid()`.
    pub id: i64,
    /// Login name.
    pub user: String,
    /// Address and port of the client.
    pub address: String,
    /// When it logged in.
    pub since: Micros,
    /// Whether a statement is running.
    pub active: bool,
}

/// Who is connected, as the wire knows it.
pub trait LiveSessions: Send + Sync {
    /// All sessions by number.
    fn list(&self) -> Vec<LiveSession>;

    /// Ends all sessions of a user.
    fn end(&self, user: &str);
}

/// The whole service over one state, one key ring and one warehouse.
pub struct App {
    company: String,
    state: Arc<State>,
    keyring: Arc<Keyring>,
    warehouse: Arc<Warehouse>,
    /// Every kind of source system.
    connectors: Arc<Connectors>,
    /// Set once by the server: where browsers reach it.
    links: OnceLock<LinkSettings>,
    /// Tokens of grants, by connection: everything that reads from one shares a refresh.
    tokens: Mutex<HashMap<i64, Arc<GrantTokens>>>,
    syncer: Syncer,
    lease: Duration,
    /// Knows erased records without naming them.
    digester: Digester,
    /// Set once by the server: the engine needs the service to answer `CALL`, the service needs the engine to
    /// announce releases.
    engine: OnceLock<Arc<Engine>>,
    /// Set once by the server: who is connected.
    sessions: OnceLock<Arc<dyn LiveSessions>>,
    /// Cancels running syncs, by sync id.
    running: Mutex<HashMap<i64, CancellationToken>>,
    compactions: Compactions,
    /// What goes on by itself.
    watch: Watch,
    metrics: Metrics,
    overlays: Overlays,
    /// Overrides were set: the next may expire sooner than the last one known.
    expiring: Arc<Notify>,
    /// Held by whoever copies overrides beside the tables.
    mirroring: tokio::sync::Mutex<()>,
    nights: Nights,
    /// Where work goes that must outlive its caller.
    runtime: tokio::runtime::Handle,
    /// Held by the vacuum that runs.
    vacuuming: tokio::sync::Mutex<()>,
    /// Bounds how many passwords are hashed at a time.
    hashers: tokio::sync::Semaphore,
}

impl App {
    /// The service of one company. Must be called on the runtime that syncs shall run on.
    /// `lease` is how long a process may be away before another may write its objects.
    pub fn new(
        company: String,
        state: Arc<State>,
        keyring: Keyring,
        warehouse: Arc<Warehouse>,
        connectors: Arc<Connectors>,
        lease: Duration,
    ) -> Arc<Self> {
        let digester = Digester::new(&keyring.derive("digests of erased records"));
        Arc::new(App {
            company,
            syncer: Syncer::new(state.clone(), warehouse.clone(), lease, digester.clone()),
            lease,
            digester,
            state,
            keyring: Arc::new(keyring),
            warehouse,
            connectors,
            links: OnceLock::new(),
            tokens: Mutex::default(),
            engine: OnceLock::new(),
            sessions: OnceLock::new(),
            running: Mutex::default(),
            compactions: Compactions::default(),
            watch: Watch::default(),
            metrics: Metrics::default(),
            overlays: Overlays::default(),
            expiring: Arc::default(),
            mirroring: tokio::sync::Mutex::default(),
            nights: Nights::default(),
            runtime: tokio::runtime::Handle::current(),
            vacuuming: tokio::sync::Mutex::default(),
            hashers: tokio::sync::Semaphore::new(browser::HASHED_AT_ONCE),
        })
    }

    /// Tells the service which engine serves its releases. Only the first call counts.
    pub fn serve_with(&self, engine: Arc<Engine>) {
        self.engine.get_or_init(|| engine);
    }

    /// Tells the service where to look for who is connected. Only the first call counts.
    pub fn watch(&self, sessions: Arc<dyn LiveSessions>) {
        self.sessions.get_or_init(|| sessions);
    }

    /// 32 bytes that stay the same as long as the key does and tell nothing about it.
    pub fn derived_secret(&self, purpose: &str) -> [u8; 32] {
        self.keyring.derive(purpose)
    }

    /// What is known of a connector, or an error that names the nearest one.
    fn connector_info(&self, name: &str) -> Result<&ConnectorInfo> {
        self.connectors.info(name)
    }

    /// Lets every new statement read `release`.
    fn announce(&self, release: Release) {
        if let Some(engine) = self.engine.get() {
            engine.publish(Arc::new(release));
        }
    }

    /// Runs `work` for an admin and leaves an audit row, whatever comes of it. `arguments` holds no secret.
    async fn audited<T>(
        &self,
        actor: &Actor,
        verb: &str,
        arguments: &str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let result = match actor.is_admin {
            true => work.await,
            false => Err(Error::new(Kind::Denied, format!("permission denied for procedure {verb}"))
                .with_hint("ask an admin; procedures are for users with the role `admin`")),
        };
        // Before anybody hears that it is done: who asks the catalog then is to see it.
        self.state.catalog_changed().await?;
        let outcome = match &result {
            Ok(_) => "done".to_string(),
            Err(error) => format!("{}: {error}", error.sqlstate()),
        };
        self.state.audit(&actor.name, verb, arguments, &outcome).await?;
        result
    }

    /// The connection, or an error that names the nearest one.
    async fn connection(&self, name: &str) -> Result<Connection> {
        if let Some(connection) = self.state.connection(name).await? {
            return Ok(connection);
        }
        let known = self.state.connections().await?;
        let suggestion = did_you_mean(name, known.iter().map(|connection| connection.name.as_str()));
        let hint = match known.is_empty() {
            true => "there is no connection yet: CALL connect('<connector>')".to_string(),
            false => {
                format!("connections: {}", list(known.iter().map(|connection| connection.name.as_str())))
            }
        };
        Err(Error::new(Kind::NotFound, format!("unknown connection `{}`{suggestion}", shorten(name)))
            .with_hint(hint))
    }

    /// The object of a connection, by its SQL name or the source's own.
    async fn object(&self, connection: &Connection, name: &str) -> Result<Object> {
        let objects = self.state.objects_of(connection.id).await?;
        if let Some(object) = objects.iter().find(|object| object.name == name || object.api == name) {
            return Ok(object.clone());
        }
        let suggestion = did_you_mean(name, objects.iter().map(|object| object.name.as_str()));
        let what = format!("unknown object `{}` in `{}`{suggestion}", shorten(name), connection.name);
        let hint = match objects.is_empty() {
            true => {
                format!("adopt one first: CALL discover('{0}'); CALL add_object('{0}', ...)", connection.name)
            }
            false => format!("objects: {}", list(objects.iter().map(|object| object.name.as_str()))),
        };
        Err(Error::new(Kind::NotFound, what).with_hint(hint))
    }
}

/// At most twenty names for people.
fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.collect();
    match names.len() {
        0..=20 => names.join(", "),
        n => format!("{} and {} more", names[..20].join(", "), n - 20),
    }
}

/// What a person typed, short enough for a message.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(80) {
        None => text.to_string(),
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}
