//! All tables of one company below one address.

use std::collections::HashMap;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnv;
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;
use url::Url;

use super::failure;
use super::fsync_store::FsyncStore;
use super::log::{self, Landed, LogEngine};
use super::parquet_read::Footers;
use super::parquet_write::Folder;
use super::table::{Shared, Table};
use crate::error::{Error, Kind, Result};
use crate::model::Release;

/// Tables whose newest versions stay in memory while nobody uses them: the next query need not read their logs.
const KEPT_TABLES: usize = 1024;

/// All tables of one company below one object-store address.
pub struct Warehouse {
    store: Arc<dyn ObjectStore>,
    store_url: ObjectStoreUrl,
    company: String,
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
    /// The warehouse at `url`: a folder (`/path`, `file:///path`) or a bucket (`s3://bucket/prefix`; region,
    /// endpoint and credentials from the usual `AWS_*` variables). Must be called within a multi-threaded
    /// Tokio runtime, which then does the work.
    pub fn open(url: &str, company: &str) -> Result<Arc<Self>> {
        let runtime = Handle::try_current()
            .map_err(|e| Error::internal("a warehouse is opened outside of a runtime").with_source(e))?;
        if company.is_empty() || company.contains('/') || company.starts_with('.') {
            return Err(Error::new(Kind::Invalid, format!("company name `{company}` cannot be a folder")));
        }
        let (store, root, spill) = open_store(url)?;
        let log = Arc::new(LogEngine::new(store.clone(), root, &runtime)?);
        // An address of its own: a query must not reach these files by any other. The same place has the same.
        let place: String = Sha256::digest(url).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let store_url = ObjectStoreUrl::parse(format!("tributary://{place}"))
            .map_err(|e| Error::internal("the address of the warehouse is not one").with_source(e))?;
        Ok(Arc::new(Warehouse {
            store,
            store_url,
            company: company.to_string(),
            spill: Arc::new(spill),
            log,
            footers: Arc::new(Footers::default()),
            runtime,
            tables: Mutex::new(HashMap::new()),
        }))
    }

    /// The table of an object. `connection` is the id of its connection. Cheap; nothing is read or made.
    pub fn table(&self, connection: &str, object_id: &str) -> Table {
        let root = Path::from_iter([self.company.as_str(), connection, object_id]);
        let mut tables = self.tables.lock();
        if let Some(shared) = tables.get(&root) {
            return Table::new(shared.clone());
        }
        let folder = Folder {
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

    /// Replaces the copy of a release whose numbers of rows an erasure corrected.
    pub async fn correct_release(&self, release: &Release) -> Result<()> {
        let what = format!("cannot correct release {}", release.id);
        let text = serde_json::to_vec_pretty(release).map_err(|e| Error::internal(&*what).with_source(e))?;
        let put = self.store.put(&self.release_path(release.id), Bytes::from(text).into()).await;
        put.map(|_| ()).map_err(|e| failure::store(&what, e))
    }

    fn release_path(&self, id: i64) -> Path {
        Path::from_iter([self.company.as_str(), "releases", &format!("{id:020}.json")])
    }

    /// Keeps a copy of a release beside the tables: `releases/<number>.json`, created once. State can be
    /// rebuilt from it. Putting the same release again changes nothing; another one of that number is refused.
    pub async fn put_release(&self, release: &Release) -> Result<()> {
        let what = format!("cannot keep release {}", release.id);
        let text = serde_json::to_vec_pretty(release).map_err(|e| Error::internal(&*what).with_source(e))?;
        let path = self.release_path(release.id);
        let bytes = Bytes::from(text);
        let known = bytes.clone();
        match log::create(&*self.store, &path, bytes, &what, |found| found == known).await? {
            Landed::Ours => Ok(()),
            Landed::Lost => {
                Err(Error::new(Kind::Conflict, format!("{what}: another release has that number")))
            }
        }
    }
}

type Opened = (Arc<dyn ObjectStore>, Url, PathBuf);

/// The store, the root as the log engine names it, and a local folder for rows set aside.
fn open_store(url: &str) -> Result<Opened> {
    let what = format!("cannot open the warehouse `{url}`");
    let invalid = |detail: &str| Error::new(Kind::Invalid, format!("{what}: {detail}"));
    let parsed = match url.starts_with('/') {
        true => None,
        false => Some(Url::parse(url).map_err(|e| {
            invalid(&e.to_string()).with_hint("accepted are /path, file:///path and s3://bucket/prefix")
        })?),
    };
    match parsed {
        Some(parsed) if parsed.scheme() == "s3" => {
            let bucket = parsed.host_str().ok_or_else(|| invalid("the bucket is missing"))?;
            let store = AmazonS3Builder::from_env().with_bucket_name(bucket).build();
            let store = store.map_err(|e| failure::store(&what, e))?;
            let prefix = Path::from_url_path(parsed.path()).map_err(|e| invalid(&e.to_string()))?;
            let root = Url::parse(&format!("s3://{bucket}/")).map_err(|e| invalid(&e.to_string()))?;
            let spill = spill_folder(&std::env::temp_dir(), &what)?;
            Ok((Arc::new(PrefixStore::new(store, prefix)), root, spill))
        }
        Some(parsed) if parsed.scheme() != "file" => Err(invalid("unknown kind of address")
            .with_hint("accepted are /path, file:///path and s3://bucket/prefix")),
        parsed => {
            let path = match parsed {
                Some(parsed) => parsed.to_file_path().map_err(|()| invalid("not a path of this machine"))?,
                None => PathBuf::from(url),
            };
            std::fs::create_dir_all(&path).map_err(|e| failure::file(&what, e))?;
            let spill = spill_folder(&path, &what)?;
            let store = FsyncStore::new(&path).map_err(|e| failure::store(&what, e))?;
            let root = Url::parse("tributary://local/").map_err(|e| invalid(&e.to_string()))?;
            Ok((Arc::new(store), root, spill))
        }
    }
}

/// Rows are set aside where the data lies: that disk is the one sized for them.
fn spill_folder(parent: &FsPath, what: &str) -> Result<PathBuf> {
    let folder = parent.join(".spill");
    std::fs::create_dir_all(&folder).map_err(|e| failure::file(what, e))?;
    Ok(folder)
}
