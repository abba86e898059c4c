//! What all sessions share: memory, spill disk, threads, admission, the newest release.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::RwLock;

use super::session::{Session, SessionUser};
use super::tables::{SystemTables, Tables};
use super::verb::Verbs;
use crate::error::Result;
use crate::model::Release;

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
    pub(super) config: EngineConfig,
    pub(super) tables: Arc<dyn Tables>,
    pub(super) system: Arc<dyn SystemTables>,
    pub(super) verbs: Arc<dyn Verbs>,
    newest: RwLock<Arc<Release>>,
}

impl Engine {
    /// Starts the engine's threads. Until the first [`Engine::publish`] the company is empty.
    pub fn new(
        config: EngineConfig,
        tables: Arc<dyn Tables>,
        system: Arc<dyn SystemTables>,
        verbs: Arc<dyn Verbs>,
    ) -> Result<Arc<Self>> {
        let empty = Release { id: 0, published_at: 0, cause: "nothing yet".into(), objects: Vec::new() };
        Ok(Arc::new(Engine { config, tables, system, verbs, newest: RwLock::new(Arc::new(empty)) }))
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

    /// A session of a user who has logged in.
    pub fn session(self: &Arc<Self>, who: SessionUser) -> Session {
        Session::new(self.clone(), who)
    }
}
