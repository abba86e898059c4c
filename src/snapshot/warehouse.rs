//! All tables of one company below one address.

use std::collections::HashMap;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;

use super::any_order::AnyOrder;
use super::failure;
use super::log::LogEngine;
use super::parquet_read::Footers;
use super::parquet_write::Folder;
use super::stores::{self, Place};
use super::table::{Shared, Table};
use crate::error::{Error, Kind, Result};
use crate::model::now_micros;

/// Tables whose newest versions stay in memory while nobody uses them: the next query need not read their logs.
const KEPT_TABLES: usize = 1024;

/// All tables of one company below one object-store address.
pub struct Warehouse {
    pub(crate) store: Arc<dyn ObjectStore>,
    store_url: ObjectStoreUrl,
    local: Option<PathBuf>,
    pub(crate) company: String,
    spill: Arc<PathBuf>,
    log: Arc<LogEngine>,
    footers: Arc<Footers>,
    runtime: Handle,
    tables: Mutex<HashMap<Path, Arc<Shared>>>,
}

impl std::fmt::Debug for Warehouse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Warehouse").field("store", &self.store).field("company", &self.company).finish()
    }
}

impl Warehouse {
    /// The warehouse at `url`: a folder (`/path`, `file:///path`) or a bucket (`s3://`, `gs://`, `az://`, `abfss://`;
    /// endpoint and credentials from the usual `AWS_*`, `GOOGLE_*` and `AZURE_*` variables). Must be called within
    /// a multi-threaded Tokio runtime, which then does the work.
    pub fn open(url: &str, company: &str) -> Result<Arc<Self>> {
        let place = stores::open(url)?;
        // The same place has the same address in every process.
        let name: String = Sha256::digest(url).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Self::build(place, &name, company)
    }

    /// The warehouse in a store whose puts can be made conditional and whose listings are sorted by name. Rows are
    /// set aside in the local folder `spill`.
    pub fn over(store: Arc<dyn ObjectStore>, company: &str, spill: &FsPath) -> Result<Arc<Self>> {
        let name = uuid::Uuid::new_v4().simple().to_string();
        Self::build(Place { store, spill: spill.to_path_buf(), local: None }, &name, company)
    }

    fn build(place: Place, name: &str, company: &str) -> Result<Arc<Self>> {
        let runtime = Handle::try_current()
            .map_err(|e| Error::internal("a warehouse is opened outside of a runtime").with_source(e))?;
        if company.is_empty() || company.contains('/') || company.starts_with('.') {
            return Err(Error::new(Kind::Invalid, format!("company name `{company}` cannot be a folder")));
        }
        let Place { store, spill, local } = place;
        std::fs::create_dir_all(&spill)
            .map_err(|error| failure::file("cannot make a folder for rows", error))?;
        let log = Arc::new(LogEngine::new(store.clone(), &runtime)?);
        // An address of its own: a query must not reach these files by any other.
        let store_url = ObjectStoreUrl::parse(format!("tributary://{name}"))
            .map_err(|e| Error::internal("the address of the warehouse is not one").with_source(e))?;
        Ok(Arc::new(Warehouse {
            store,
            store_url,
            local,
            company: company.to_string(),
            spill: Arc::new(spill),
            log,
            footers: Arc::new(Footers::default()),
            runtime,
            tables: Mutex::new(HashMap::new()),
        }))
    }

    /// Whether a bucket is there and lets us write and read. A folder always is: it was made.
    ///
    /// # Errors
    /// `NotFound` for a missing bucket, `Denied` for a missing right, `Unavailable` when there is no answer.
    pub async fn check_access(&self) -> Result<()> {
        if self.local.is_some() {
            return Ok(());
        }
        let path = Path::from_iter([self.company.as_str(), "access"]);
        let put = self.store.put(&path, now_micros().to_string().into()).await;
        put.map_err(|error| failure::store("cannot write to the storage", error))?;
        let found = self.store.get(&path).await;
        found.map_err(|error| failure::store("cannot read from the storage", error)).map(|_| ())
    }

    /// The table of an object. `connection` is the id of its connection. Cheap; nothing is read or made.
    pub fn table(&self, connection: &str, object_id: &str) -> Table {
        let root = Path::from_iter([self.company.as_str(), connection, object_id]);
        let mut tables = self.tables.lock();
        if let Some(shared) = tables.get(&root) {
            return Table::new(shared.clone());
        }
        let folder = Folder {
            is_local: self.local.is_some(),
            store: self.store.clone(),
            root: root.clone(),
            spill: self.spill.clone(),
            runtime: self.runtime.clone(),
            name: format!("{connection}/{object_id}").into(),
            url: self.store_url.clone(),
        };
        let shared = Arc::new(Shared::new(folder, self.log.clone(), self.footers.clone()));
        if tables.len() >= KEPT_TABLES {
            tables.retain(|_, table| Arc::strong_count(table) > 1);
        }
        tables.insert(root, shared.clone());
        Table::new(shared)
    }

    /// Waits for what is still written beside the commits, before the runtime ends.
    pub async fn settle(&self) {
        self.log.beside.close();
        self.log.beside.wait().await;
    }

    pub(crate) fn company(&self) -> &str {
        &self.company
    }

    /// The folder that holds the files, where they lie in one.
    pub(super) fn local(&self) -> Option<&FsPath> {
        self.local.as_deref()
    }

    /// The store that holds the files.
    pub fn store(&self) -> Arc<dyn ObjectStore> {
        self.store.clone()
    }

    /// The address under which scans ask for [`Warehouse::store`]. It is no address of anything else.
    pub fn store_url(&self) -> ObjectStoreUrl {
        self.store_url.clone()
    }

    /// Makes the store known to a query runtime.
    pub fn register(&self, runtime: &RuntimeEnv) {
        runtime.register_object_store(self.store_url.as_ref(), self.store());
    }

    /// What improves a plan over its tables once nothing else changes it any more.
    pub fn rules(&self) -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
        vec![Arc::new(AnyOrder)]
    }
}
