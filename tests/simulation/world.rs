//! One company in a simulated world: a source, a store and a state database that stay, a process that may end at
//! any moment, and a model of what everybody must read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow::array::{Array, RecordBatch};
use arrow::util::display::array_value_to_string;
use datafusion::common::ScalarValue;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::physical_plan::collect;
use datafusion::prelude::SessionConfig;
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use tokio_util::sync::CancellationToken;
use tributary::catalog::Catalog;
use tributary::error::{Kind, Result};
use tributary::model::{FieldType, ImportSettings, Object, ObjectField, Release, ReleaseObject, Run};
use tributary::query::{SessionUser, VerbCall, Verbs};
use tributary::secret::Keyring;
use tributary::service::{App, Registry};
use tributary::snapshot::{Extent, Snapshot, Warehouse};
use tributary::source::Connectors;
use tributary::source::rest::Options;
use tributary::state::State;
use tributary::sync::{Digester, Mode, Outcome, Request, Syncer};

use super::faults::{Fault, Faults};
use super::source::{Delivered, Gate, Remote, RemoteObject, Row, Rows, Script};
use super::sqlite::Watch;
use super::store::FaultStore;

const COMPANY: &str = "acme";
const CONNECTION: &str = "crm";
/// Longer than a world lives.
const LEASE: Duration = Duration::from_secs(600);

/// What lives in the memory of one process.
#[derive(Clone)]
pub(super) struct Process {
    pub(super) state: Arc<State>,
    pub(super) app: Arc<App>,
    warehouse: Arc<Warehouse>,
    syncer: Syncer,
    session: SessionState,
}

impl Process {
    /// What a release says of an object.
    pub(super) async fn rows(&self, published: &ReleaseObject) -> Vec<Vec<Option<String>>> {
        let table = self.warehouse.table(CONNECTION, &published.object_id);
        let snapshot = table.at(published.version).await.unwrap();
        self.rows_of(&snapshot, &published.fields).await
    }

    /// Arranges all rows of an object anew.
    pub(super) async fn compact(&self, object: &str) -> Result<()> {
        let table = self.warehouse.table(CONNECTION, object);
        table.compact(Extent::Everything, &CancellationToken::new()).await.map(|_| ())
    }

    /// Calls a procedure as an administrator.
    async fn call(&self, name: &str, args: &[(&str, ScalarValue)]) -> Result<()> {
        let args = args.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
        let call = VerbCall { name: name.into(), args, redacted: name.into() };
        let root = SessionUser { name: "root".into(), is_admin: true, session_id: 1 };
        let (notices, _told) = tokio::sync::mpsc::unbounded_channel();
        Registry::new(self.app.clone()).call(&root, call, notices, CancellationToken::new()).await.map(|_| ())
    }

    /// Removes every release but the newest and what is frozen, and all files that only they needed.
    pub(super) async fn vacuum(&self) -> Result<()> {
        self.call("set_retention", &[("days", ScalarValue::from(0_i64))]).await?;
        self.call("vacuum", &[("grace_hours", ScalarValue::from(0_i64))]).await
    }

    /// Protects the newest release from then on.
    pub(super) async fn freeze(&self) -> Result<()> {
        let name = format!("p{}", self.state.newest_release().await?.map_or(0, |release| release.id));
        self.call("freeze", &[("period", ScalarValue::from(name))]).await
    }

    /// Reads a version as a query would.
    async fn rows_of(&self, snapshot: &Arc<Snapshot>, fields: &[ObjectField]) -> Vec<Vec<Option<String>>> {
        let provider = snapshot.clone().provider(fields);
        let plan = provider.scan(&self.session, None, &[], None).await.unwrap();
        let batches = collect(plan, self.session.task_ctx()).await.unwrap();
        batches.iter().flat_map(texts).collect()
    }
}

/// A version of a table as it must be.
#[derive(Debug)]
struct Version {
    run: i64,
    /// It holds the rows of the version before it, arranged anew or under wider types.
    is_rearranged: bool,
    /// The read whose rows it holds.
    read: u64,
    rows: Rows,
}

pub(super) struct World {
    pub(super) remote: Arc<Mutex<Remote>>,
    store: Arc<InMemory>,
    folder: tempfile::TempDir,
    /// `None` between a crash and the next start.
    process: Option<Process>,
    faults: Arc<Faults>,
    watch: Option<Watch>,
    reads: BTreeMap<i64, Delivered>,
    /// Every version of every object.
    tables: BTreeMap<String, Vec<Version>>,
    /// The newest version of each object that this process was seen to read right.
    compared: BTreeMap<String, i64>,
    /// Every release as it was first seen.
    releases: BTreeMap<i64, Release>,
}

/// How one sync ended, and what its runs were given.
pub(super) struct Synced {
    pub(super) outcome: Result<Outcome>,
    reads: Vec<(i64, Delivered)>,
}

/// The state at `path`. What a process did in the background when it died here goes on until it notices, and holds the
/// folder; with a real process it would be gone at once.
async fn opened(path: &std::path::Path) -> State {
    let started = Instant::now();
    loop {
        match State::open(&format!("sqlite://{}", path.display())).await {
            Err(error) if error.kind() == Kind::Conflict && started.elapsed().as_secs() < 30 => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            state => return state.unwrap(),
        }
    }
}

impl World {
    /// A company that has adopted `objects`; those that start with `log` have no key.
    pub(super) async fn new(objects: &[&str]) -> Self {
        // Nothing here has to survive this machine, so the folder may be memory.
        let memory = std::path::Path::new("/dev/shm");
        let folder = match memory.is_dir() {
            true => tempfile::tempdir_in(memory).unwrap(),
            false => tempfile::tempdir().unwrap(),
        };
        let mut world = World {
            remote: Arc::default(),
            store: Arc::new(InMemory::new()),
            folder,
            process: None,
            faults: Arc::default(),
            watch: None,
            reads: BTreeMap::new(),
            tables: BTreeMap::new(),
            compared: BTreeMap::new(),
            releases: BTreeMap::new(),
        };
        world.start().await;
        let state = world.process().state;
        let settings = serde_json::json!({});
        let connection = state.create_connection(CONNECTION, "postgresql", &settings).await.unwrap();
        for name in objects {
            let remote = RemoteObject {
                rows: Rows::new(),
                is_wide: false,
                has_extra: false,
                has_key: !name.starts_with("log"),
                overlap: 0,
            };
            state.add_object(&object(name, connection.id, remote.has_key)).await.unwrap();
            world.remote.lock().unwrap().objects.insert(name.to_string(), remote);
        }
        world
    }

    pub(super) fn process(&self) -> Process {
        self.process.clone().unwrap()
    }

    /// Starts a process on what is there.
    async fn start(&mut self) {
        self.faults = Arc::default();
        let path = self.folder.path().join("state.db");
        self.watch = Some(Watch::new(&path, self.faults.clone()));
        let process = self.process_over(Arc::new(opened(&path).await));
        process.app.start().await.unwrap();
        let running = process.state.runs(1000).await.unwrap();
        assert!(
            running.iter().all(|run| run.status != "running"),
            "runs are open after a start: {running:?}"
        );
        self.process = Some(process);
    }

    /// Another process beside the first, if `state` is that of the first. It shares nothing else.
    pub(super) fn process_over(&self, state: Arc<State>) -> Process {
        let store = Arc::new(FaultStore::new(self.store.clone(), self.faults.clone()));
        let warehouse = Warehouse::over(store, COMPANY, self.folder.path()).unwrap();
        let runtime = Arc::new(RuntimeEnv::default());
        warehouse.register(&runtime);
        let config = SessionConfig::new().with_target_partitions(1);
        let session = SessionStateBuilder::new().with_config(config).with_runtime_env(runtime).build();
        let syncer = Syncer::new(state.clone(), warehouse.clone(), LEASE, Digester::new(&[7; 32]));
        let keyring = Keyring::open(&self.folder.path().join("key")).unwrap();
        let connectors = Connectors::new(Catalog::default(), Options::default()).unwrap();
        let app = App::new(COMPANY.into(), state.clone(), keyring, warehouse.clone(), connectors, LEASE);
        Process { state, app, warehouse, syncer, session }
    }

    /// From now on the world may fail.
    pub(super) fn arm(&self, fault: Fault) {
        self.faults.arm(fault);
    }

    /// Whether the process has ended.
    pub(super) fn is_dead(&self) -> bool {
        self.faults.is_dead()
    }

    /// Nothing fails any more; a process that has ended is started again. Returns whether the fault happened.
    pub(super) async fn recover(&mut self) -> bool {
        let is_dead = self.faults.is_dead();
        let reached = self.faults.disarm();
        if is_dead {
            self.restart().await;
        }
        reached
    }

    /// Ends the process and starts another.
    pub(super) async fn restart(&mut self) {
        self.process = None;
        self.compared.clear();
        self.start().await;
    }

    /// Syncs objects and takes over what became of it.
    pub(super) async fn sync(&mut self, objects: &[&str], mode: Mode, is_untidy: bool) -> Result<Outcome> {
        let script = Script::new(&self.remote, is_untidy, None);
        let synced = sync(self.process(), objects, mode, script).await;
        self.take_over(synced).await
    }

    /// Notes what the runs of a sync were given, and what they committed.
    pub(super) async fn take_over(&mut self, synced: Synced) -> Result<Outcome> {
        self.reads.extend(synced.reads);
        synced.outcome
    }

    /// One writer of an object stops in the middle and loses its lease; another one takes over; then the first wakes.
    pub(super) async fn race(&mut self, object: &str, mode: Mode, meanwhile: impl FnOnce(&Mutex<Remote>)) {
        let gate = Gate::new();
        let process = self.process();
        let script = Script::new(&self.remote, false, Some(gate.clone()));
        let (late, wanted) = (process.clone(), object.to_string());
        let mut late = tokio::spawn(async move { sync(late, [wanted.as_str()], mode, script).await });
        let early = tokio::select! {
            arrived = gate.arrived.acquire() => { arrived.unwrap().forget(); None }
            ended = &mut late => Some(ended.unwrap()),
        };
        let early = match early {
            Some(early) => early,
            None => {
                // A fence is not told to outsiders; it is at most the number of runs.
                for fence in 1..=process.state.runs(1000).await.unwrap().len() as i64 {
                    process.state.release_lease(object, fence).await.ok();
                }
                meanwhile(&self.remote);
                let other = self.process_over(process.state.clone());
                let script = Script::new(&self.remote, false, None);
                let synced = sync(other, &[object], Mode::Diff, script).await;
                self.take_over(synced).await.ok();
                gate.opened.add_permits(1);
                late.await.unwrap()
            }
        };
        self.take_over(early).await.ok();
    }

    /// Syncs everything until it succeeds, as a person would who tries again.
    pub(super) async fn resume(&mut self, mode: Mode) {
        let objects: Vec<_> = self.remote.lock().unwrap().objects.keys().cloned().collect();
        let objects: Vec<_> = objects.iter().map(String::as_str).collect();
        let mut told = String::new();
        for _ in 0..4 {
            let outcome = self.sync(&objects, mode, false).await.unwrap();
            let failed: Vec<&Run> =
                outcome.runs.iter().filter(|run| !run.status.starts_with("succeeded")).collect();
            if failed.is_empty() {
                assert!(outcome.release.is_some(), "a sync that succeeded published nothing");
                self.learn().await;
                self.check_synced(mode);
                return;
            }
            told = format!("{failed:?}");
            if failed
                .iter()
                .any(|run| run.cause.as_ref().is_some_and(|why| why.contains("being synced already")))
            {
                // A lease that was taken without its taker knowing: it expires, or ends with the process.
                self.restart().await;
            }
        }
        panic!("syncing does not succeed any more: {told}");
    }

    /// Reads in the logs what was committed since the last time.
    async fn learn(&mut self) {
        let objects: Vec<_> = self.remote.lock().unwrap().objects.keys().cloned().collect();
        for object in objects {
            let known = self.tables.entry(object.clone()).or_default();
            while let Some((run, operation)) = self.store.entry(&object, known.len()).await {
                let last = known.last();
                let read = self.reads.get(&run);
                // Only a diff writes the rows that are there under wider types, before it reads.
                let is_recast = operation == "WRITE" && read.is_none_or(|read| !read.is_full);
                if operation == "OPTIMIZE" || is_recast {
                    let last = last.unwrap();
                    known.push(Version {
                        run,
                        is_rearranged: true,
                        read: last.read,
                        rows: last.rows.clone(),
                    });
                    continue;
                }
                if operation == "UPDATE" {
                    // A new field is read alone for the rows that are there, before the changes are.
                    let (last, filled) = (last.unwrap(), &read.unwrap().rows);
                    let fill = |(id, row): (&i64, &Row)| {
                        let extra = filled.get(id).and_then(|row| row.extra);
                        (*id, Row { extra, ..row.clone() })
                    };
                    let rows = last.rows.iter().map(fill).collect();
                    known.push(Version { run, is_rearranged: true, read: last.read, rows });
                    continue;
                }
                let is_second = known.iter().any(|version| version.run == run && !version.is_rearranged);
                assert!(!is_second, "run {run} made two versions of `{object}`");
                let read = read.unwrap();
                assert!(
                    last.is_none_or(|last| last.read < read.number),
                    "run {run} of `{object}` overwrote what was read later"
                );
                let mut rows = read.rows.clone();
                if !read.is_full {
                    for (id, row) in &last.unwrap().rows {
                        rows.entry(*id).or_insert_with(|| row.clone());
                    }
                }
                known.push(Version { run, is_rearranged: false, read: read.number, rows });
            }
        }
    }

    /// After a sync of everything: no row of the source is missing or old; after a full one none is too much.
    fn check_synced(&self, mode: Mode) {
        for (name, object) in &self.remote.lock().unwrap().objects {
            let rows = &self.tables[name].last().unwrap().rows;
            for (id, row) in &object.rows {
                assert_eq!(rows.get(id), Some(row), "`{name}` lost row {id} or a change of it");
            }
            if mode == Mode::Full || !object.has_key {
                assert_eq!(rows.len(), object.rows.len(), "`{name}` has rows that the source has not");
            }
        }
    }

    /// Compares tables and releases with the model: the newest versions, and what `everything` asks for beside.
    pub(super) async fn check(&mut self, everything: bool) {
        self.learn().await;
        let process = self.process();
        for (object, versions) in &self.tables {
            let newest = process.warehouse.table(CONNECTION, object).latest().await.unwrap();
            assert_eq!(newest.as_ref().map_or(0, |s| s.version() + 1), versions.len() as i64, "`{object}`");
            let Some(newest) = newest else { continue };
            if self.compared.insert(object.clone(), newest.version()) == Some(newest.version()) {
                continue;
            }
            let columns = newest.columns().to_vec();
            self.compare(object, &newest, &fields(&columns)).await;
            self.check_watermark(object, &newest);
        }
        let releases = process.state.releases(1000).await.unwrap();
        let known = self.releases.len();
        for (number, release) in (1..).zip(releases) {
            assert_eq!(release.id, number, "the numbers of releases have a gap");
            let first_seen = self.releases.entry(number).or_insert_with(|| release.clone());
            assert_eq!(*first_seen, release, "release {number} has changed");
        }
        let checked = if everything { 0 } else { known };
        let mut compared = BTreeSet::new();
        let removed = self.check_removed(&process).await;
        for release in self.releases.values().skip(checked).filter(|release| !removed.contains(&release.id)) {
            for published in &release.objects {
                if compared.insert((&published.object_id, published.version, published.fields.len())) {
                    self.check_published(&process, published).await;
                }
            }
        }
    }

    /// The releases that a clean-up removed: never the newest, nor one that is frozen.
    async fn check_removed(&self, process: &Process) -> BTreeSet<i64> {
        let headers = process.state.release_headers().await.unwrap();
        let newest = headers.last().map(|header| header.id);
        let removed = headers.iter().filter(|header| header.removed_at.is_some()).map(|header| header.id);
        let removed: BTreeSet<_> = removed.collect();
        let frozen = process.state.periods().await.unwrap();
        let kept = frozen.iter().map(|period| period.release).chain(newest);
        kept.for_each(|kept| assert!(!removed.contains(&kept), "release {kept} was removed"));
        removed
    }

    async fn check_published(&self, process: &Process, published: &ReleaseObject) {
        let table = process.warehouse.table(CONNECTION, &published.object_id);
        let snapshot = table.at(published.version).await.unwrap();
        assert_eq!(snapshot.rows() as i64, published.rows);
        self.compare(&published.object_id, &snapshot, &published.fields).await;
    }

    /// Reads a version as a query would and compares it with the model.
    async fn compare(&self, object: &str, snapshot: &Arc<Snapshot>, fields: &[ObjectField]) {
        let version = &self.tables[object][snapshot.version() as usize];
        assert!(version.is_rearranged || version.run == snapshot.run_id());
        let expected = version.rows.iter().map(|(id, row)| {
            let texts = fields.iter().map(|field| match field.name.as_str() {
                "id" => Some(id.to_string()),
                column => row.text(column),
            });
            texts.collect::<Vec<_>>()
        });
        let mut expected: Vec<_> = expected.collect();
        let mut found = self.process().rows_of(snapshot, fields).await;
        expected.sort();
        found.sort();
        let what = format!("version {} of `{object}`", snapshot.version());
        assert_eq!(found, expected, "{what}");
        assert_eq!(snapshot.rows(), expected.len() as u64, "{what}");
    }

    /// Nothing that the source dates before the watermark is missing or old in the table.
    fn check_watermark(&self, object: &str, snapshot: &Snapshot) {
        let mark = snapshot.watermark().unwrap();
        let since = mark["since"].as_i64().unwrap();
        let remote = self.remote.lock().unwrap();
        let remote = &remote.objects[object];
        let rows = &self.tables[object].last().unwrap().rows;
        for (id, row) in remote.rows.iter().filter(|(_, row)| row.at < since - remote.overlap) {
            assert_eq!(rows.get(id), Some(row), "the watermark {since} of `{object}` is ahead of row {id}");
        }
    }

    /// What happened since the fault was armed.
    pub(super) fn trace(&self) -> String {
        self.faults.trace()
    }

    /// Changes the definition of an object as `CALL set_fields` would.
    pub(super) async fn redefine(&self, object: &str, change: impl FnOnce(&mut Object)) -> Result<()> {
        let state = self.process().state;
        let Some(mut object) = state.objects().await?.into_iter().find(|o| o.id == object) else {
            return Ok(());
        };
        let version = object.schema_version;
        change(&mut object);
        state.update_object(&object, version).await
    }
}

/// Syncs objects in a process.
pub(super) async fn sync(
    process: Process,
    names: impl AsRef<[&str]>,
    mode: Mode,
    script: Arc<Script>,
) -> Synced {
    let objects = process.state.objects().await.unwrap();
    let objects = objects.into_iter().filter(|object| names.as_ref().contains(&object.id.as_str())).collect();
    let request =
        Request { source: script.clone(), objects, mode, actor: "sim".into(), force: None, keeps_rows: None };
    let started = match process.syncer.start(&request).await {
        Ok(started) => started,
        Err(error) => return Synced { outcome: Err(error), reads: Vec::new() },
    };
    let runs = process.state.runs(1000).await.unwrap();
    let runs: Vec<_> = runs.into_iter().filter(|run| run.sync_id == started.sync_id).collect();
    let (progress, _told) = tokio::sync::mpsc::unbounded_channel();
    let outcome = process.syncer.run(&request, started, &progress, &CancellationToken::new()).await;
    let delivered = script.delivered.lock().unwrap();
    let reads = runs.iter().filter_map(|run| Some((run.id, delivered.get(&run.object_id)?.clone())));
    Synced { outcome, reads: reads.collect() }
}

trait Log {
    /// The run that made a version of an object, and by what operation.
    async fn entry(&self, object: &str, version: usize) -> Option<(i64, String)>;
}

impl Log for InMemory {
    async fn entry(&self, object: &str, version: usize) -> Option<(i64, String)> {
        let path = Path::from(format!("{COMPANY}/{CONNECTION}/{object}/_delta_log/{version:020}.json"));
        let bytes = self.get(&path).await.ok()?.bytes().await.unwrap();
        let entries: Vec<serde_json::Value> = std::str::from_utf8(&bytes)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let run = entries.iter().find_map(|entry| entry["txn"]["version"].as_i64()).unwrap_or(0);
        let operation = entries.iter().find_map(|entry| entry["commitInfo"]["operation"].as_str()).unwrap();
        Some((run, operation.to_string()))
    }
}

fn texts(batch: &RecordBatch) -> Vec<Vec<Option<String>>> {
    let text = |row, column: &Arc<dyn Array>| {
        (!column.is_null(row)).then(|| array_value_to_string(column, row).unwrap())
    };
    (0..batch.num_rows()).map(|row| batch.columns().iter().map(|c| text(row, c)).collect()).collect()
}

pub(super) fn field(name: &str, data_type: FieldType, is_key: bool) -> ObjectField {
    ObjectField {
        api: name.into(),
        name: name.into(),
        column: name.into(),
        label: name.into(),
        data_type,
        native_type: String::new(),
        note: None,
        selected: true,
        key_position: is_key.then_some(0),
        is_name: false,
        volatile: false,
    }
}

fn fields(columns: &[(String, FieldType)]) -> Vec<ObjectField> {
    columns.iter().map(|(name, data_type)| field(name, data_type.clone(), false)).collect()
}

/// The object that stands for the source's object of that name, which is also its id.
fn object(name: &str, connection_id: i64, has_key: bool) -> Object {
    Object {
        id: name.into(),
        connection_id,
        connection: CONNECTION.into(),
        name: name.into(),
        api: name.into(),
        label: name.into(),
        fields: vec![
            field("id", FieldType::Int64, has_key),
            field("at", FieldType::Int64, false),
            field("name", FieldType::Text, false),
            field("amount", FieldType::Int32, false),
        ],
        import: ImportSettings {
            cursor: has_key.then(|| "at".into()),
            max_loss_percent: 100,
            ..ImportSettings::default()
        },
        schema_version: 1,
        created_at: 0,
    }
}
