//! What all sessions share: memory, spill disk, threads, admission, functions, the newest release.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::common::{Result as PlanResult, TableReference};
use datafusion::error::DataFusionError;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::execution::{SessionStateDefaults, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionConfig;
use object_store::ObjectStore;
use parking_lot::RwLock;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

use super::catalog::Catalogs;
use super::deep::is_deep;
use super::diff;
use super::functions::registry::Registry;
use super::functions::relation;
use super::history;
use super::in_turn::in_turn;
use super::newest::AskForNewest;
use super::notify::Post;
use super::pin::Pins;
use super::quick;
use super::session::{Session, SessionUser};
use super::single_distinct;
use super::tables::{SystemTables, Tables};
use super::verb::Verbs;
use crate::error::{Error, Kind, Result};
use crate::model::{Micros, Release, now_micros};

/// Stack of the threads that plan and execute: deep expressions recurse.
const THREAD_STACK_BYTES: usize = 16 << 20;

/// The sizes of the engine.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Name of the company: the SQL database.
    pub company: String,
    /// Bytes that all statements together may hold in memory.
    pub memory_bytes: usize,
    /// Folder for what does not fit in memory.
    pub spill_dir: PathBuf,
    /// Bytes that may be spilled.
    pub spill_bytes: u64,
    /// Statements executed at the same time.
    pub max_running: usize,
    /// Statements that may wait for their turn; more are refused.
    pub max_waiting: usize,
    /// Threads for planning and execution, and partitions of a scan.
    pub threads: usize,
}

impl EngineConfig {
    /// Sizes for this machine.
    pub fn new(company: &str, spill_dir: PathBuf) -> Self {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        EngineConfig {
            company: company.into(),
            memory_bytes: 1 << 30,
            spill_dir,
            spill_bytes: 16 << 30,
            max_running: (2 * threads).max(4),
            max_waiting: 256,
            threads,
        }
    }
}

/// The query engine of a company.
pub struct Engine {
    /// When it began to serve, microseconds UTC.
    pub(super) started_at: Micros,
    pub(super) config: EngineConfig,
    pub(super) tables: Arc<dyn Tables>,
    pub(super) system: Arc<dyn SystemTables>,
    pub(super) verbs: Arc<dyn Verbs>,
    pub(super) registry: Registry,
    pub(super) state: SessionState,
    /// Plans what is simple.
    quick: SessionState,
    pub(super) pins: Arc<Pins>,
    pub(super) post: Arc<Post>,
    pub(super) catalogs: Catalogs,
    newest: RwLock<Arc<Release>>,
    runtime: Option<tokio::runtime::Runtime>,
    turns: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Engine {
    /// Starts the engine's threads. Until the first [`Engine::publish`] the company is empty.
    pub fn new(
        config: EngineConfig,
        tables: Arc<dyn Tables>,
        system: Arc<dyn SystemTables>,
        verbs: Arc<dyn Verbs>,
    ) -> Result<Arc<Self>> {
        let environment = Arc::new(environment(&config)?);
        tables.register(&environment);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads(&config))
            .thread_name("query")
            .thread_stack_size(THREAD_STACK_BYTES)
            .enable_all()
            .build()
            .map_err(|error| Error::internal("the query threads do not start").with_source(error))?;
        let empty = Release { id: 0, published_at: 0, cause: "nothing yet".into(), objects: Vec::new() };
        let state = SessionStateBuilder::new()
            .with_config(session_config(&config))
            .with_runtime_env(environment)
            // `DISTINCT ON` is made of these.
            .with_aggregate_functions(SessionStateDefaults::default_aggregate_functions())
            .with_analyzer_rules(datafusion::optimizer::Analyzer::new().rules)
            .with_optimizer_rules(single_distinct::rules())
            .with_optimizer_rule(Arc::new(AskForNewest));
        let state = tables.rules().into_iter().fold(state, SessionStateBuilder::with_physical_optimizer_rule);
        let state = state.build();
        Ok(Arc::new(Engine {
            started_at: now_micros(),
            turns: Arc::new(Semaphore::new(config.max_running.max(1))),
            waiting: AtomicUsize::new(0),
            config,
            tables,
            system,
            verbs,
            registry: Registry::new(),
            quick: quick::planner(&state),
            state,
            pins: Arc::default(),
            post: Arc::default(),
            catalogs: Catalogs::default(),
            newest: RwLock::new(Arc::new(empty)),
            runtime: Some(runtime),
        }))
    }

    /// Makes a release the newest one. An older one than the newest is ignored.
    pub fn publish(&self, release: Arc<Release>) {
        let mut newest = self.newest.write();
        if release.id >= newest.id {
            *newest = release;
        }
    }

    /// What everybody reads who asked for nothing else.
    pub fn newest(&self) -> Arc<Release> {
        self.newest.read().clone()
    }

    /// Sends a message of the server to the sessions that listen on `channel` and whose users may read one of the
    /// `objects` of the connection. One that cannot be asked about is not told.
    pub async fn notify(&self, channel: &str, payload: &str, connection: &str, objects: &[&str]) {
        for (number, who) in self.post.listeners(channel) {
            let mut may_read = who.is_admin;
            for object in objects {
                may_read = may_read || self.system.may_read(&who, connection, object).await.unwrap_or(false);
            }
            if may_read {
                self.post.deliver(number, channel, payload);
            }
        }
    }

    /// Sends a message of the server to all sessions that listen on `channel`. It must tell nothing of any data.
    pub fn notify_all(&self, channel: &str, payload: &str) {
        for (number, _) in self.post.listeners(channel) {
            self.post.deliver(number, channel, payload);
        }
    }

    /// A session of a user who has logged in.
    pub fn session(self: &Arc<Self>, who: SessionUser) -> Session {
        Session::new(self.clone(), who)
    }

    /// The plan as it is to be executed, and whether that is so simple that no rule for physical plans is needed.
    pub(super) fn optimized(&self, plan: &LogicalPlan, tokens: usize) -> PlanResult<(LogicalPlan, bool)> {
        if !is_deep(tokens) && quick::is_simple(plan) {
            let optimized = self.quick.optimize(plan)?;
            if quick::asks_for_one(&optimized) {
                return Ok((optimized, true));
            }
        }
        Ok((self.state.optimize(plan)?, false))
    }

    /// How an optimized plan is executed.
    pub(super) async fn executable(
        &self,
        plan: &LogicalPlan,
        is_simple: bool,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        let state = if is_simple { &self.quick } else { &self.state };
        let planner = state.query_planner().clone();
        in_turn(planner.create_physical_plan(plan, state).await?)
    }

    /// Runs a future on the engine's threads; dropping the result stops it.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let task = StopOnDrop(self.handle().spawn(work));
        task.await
    }

    pub(super) fn handle(&self) -> &tokio::runtime::Handle {
        match &self.runtime {
            Some(runtime) => runtime.handle(),
            None => unreachable!("the runtime lives as long as the engine"),
        }
    }

    /// Waits for the turn to execute.
    pub(super) async fn turn(&self) -> Result<OwnedSemaphorePermit> {
        if let Ok(permit) = self.turns.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let waiting = Waiting::new(&self.waiting);
        if waiting.before >= self.config.max_waiting {
            let running = self.config.max_running;
            return Err(Error::new(Kind::Limit, "too many statements are waiting for their turn")
                .with_sqlstate("53400")
                .with_detail(format!("{running} run at the same time and {} wait", waiting.before))
                .with_hint("try again in a moment"));
        }
        let closed = |error| Error::new(Kind::Unavailable, "the server is stopping").with_source(error);
        self.turns.clone().acquire_owned().await.map_err(closed)
    }

    /// Whether a name in FROM is one of a table function.
    pub(super) fn is_table_function(&self, name: &TableReference) -> bool {
        let table = name.table();
        let is_known =
            |table| table == diff::NAME || table == history::NAME || self.registry.table.contains_key(table);
        name.schema().is_none() && (is_known(table) || relation::NAMES.contains(&table))
    }

    /// What physical operators run in.
    pub(super) fn task_context(&self) -> Arc<TaskContext> {
        let none = (HashMap::new(), HashMap::new(), HashMap::new(), HashMap::new());
        Arc::new(TaskContext::new(
            None,
            "tributary".into(),
            self.state.config().clone(),
            none.0,
            none.1,
            none.2,
            none.3,
            self.state.runtime_env().clone(),
        ))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // The last session may be dropped on a runtime's own thread, where waiting is not allowed.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

struct Waiting<'a> {
    count: &'a AtomicUsize,
    before: usize,
}

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        Waiting { count, before: count.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A task that ends with whoever waits for it.
struct StopOnDrop<T>(tokio::task::JoinHandle<Result<T>>);

impl<T> Future for StopOnDrop<T> {
    type Output = Result<T>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<T>> {
        std::pin::Pin::new(&mut self.0).poll(cx).map(|joined| {
            joined.unwrap_or_else(|error| Err(Error::internal("the statement stopped").with_source(error)))
        })
    }
}

impl<T> Drop for StopOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// More threads than cores: an operator may keep its thread for long, and the others have to get on.
fn threads(config: &EngineConfig) -> usize {
    2 * (config.threads.max(1) + config.max_running.max(1))
}

fn session_config(config: &EngineConfig) -> SessionConfig {
    let mut session = SessionConfig::new()
        .with_target_partitions(config.threads.max(1))
        .with_information_schema(false)
        .with_create_default_catalog_and_schema(false);
    let options = session.options_mut();
    options.execution.parquet.reorder_filters = true;
    options.execution.parquet.schema_force_view_types = false;
    options.sql_parser.parse_float_as_decimal = true;
    options.sql_parser.map_string_types_to_utf8view = false;
    session
}

fn environment(config: &EngineConfig) -> Result<RuntimeEnv> {
    let top = std::num::NonZeroUsize::MIN.saturating_add(2);
    let pool = TrackConsumersPool::new(FairSpillPool::new(config.memory_bytes), top);
    let disk = DiskManagerBuilder::default()
        .with_mode(DiskManagerMode::Directories(vec![config.spill_dir.clone()]))
        .with_max_temp_directory_size(config.spill_bytes);
    RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(pool))
        .with_disk_manager_builder(disk)
        .with_object_store_registry(Arc::new(Stores::default()))
        .build()
        .map_err(|error| {
            let what = format!("the spill folder `{}` cannot be used", config.spill_dir.display());
            Error::new(Kind::Unavailable, what).with_source(error)
        })
}

/// The object stores that were registered, and no other: neither local files nor URLs can be read by a query.
#[derive(Debug, Default)]
struct Stores(RwLock<HashMap<String, Arc<dyn ObjectStore>>>);

impl ObjectStoreRegistry for Stores {
    fn register_store(&self, url: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        self.0.write().insert(key(url), store)
    }

    fn deregister_store(&self, url: &Url) -> datafusion::common::Result<Arc<dyn ObjectStore>> {
        self.0.write().remove(&key(url)).ok_or_else(|| unknown_store(url))
    }

    fn get_store(&self, url: &Url) -> datafusion::common::Result<Arc<dyn ObjectStore>> {
        self.0.read().get(&key(url)).cloned().ok_or_else(|| unknown_store(url))
    }
}

fn key(url: &Url) -> String {
    url[..url::Position::BeforePath].to_string()
}

fn unknown_store(url: &Url) -> DataFusionError {
    Error::internal(format!("no object store for `{}`", key(url))).into()
}
