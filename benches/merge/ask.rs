//! Questions of analysts and lookups by key, asked of the engine itself.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use futures::StreamExt;
use tokio_util::sync::CancellationToken;
use tributary::error::{Error, Kind, Result};
use tributary::model::{ObjectField, Release, ReleaseObject};
use tributary::query::{
    AdminStatement, AsOf, Engine, EngineConfig, Execution, NoticeSender, Session, SessionUser, SystemTable,
    SystemTables, Tables, VerbCall, VerbSignature, Verbs,
};
use tributary::snapshot::{Warehouse, WriteSpec};

use crate::process::Usage;
use crate::{rows, tell};

/// Each is asked of the merged table as `@` and of the compacted one.
pub(crate) const QUESTIONS: &[(&str, &str)] = &[
    (
        "count and sum with a filter",
        "SELECT count(*) AS n, sum(amount) AS total FROM @.opportunity WHERE amount > 0",
    ),
    (
        "groups by stage",
        "SELECT stage, count(*) AS n, sum(amount) AS total, avg(probability) AS p FROM @.opportunity \
         GROUP BY stage ORDER BY stage",
    ),
    (
        "the largest twenty",
        "SELECT id, name, account_name, amount, close_date FROM @.opportunity WHERE amount IS NOT NULL \
         ORDER BY amount DESC, id LIMIT 20",
    ),
    (
        "rank within owners",
        "SELECT * FROM (SELECT owner_id, id, amount, row_number() OVER (PARTITION BY owner_id ORDER BY amount DESC, id) \
         AS rk FROM @.opportunity WHERE amount IS NOT NULL AND stage = 'Closed Won') t WHERE rk <= 3 \
         ORDER BY owner_id, rk",
    ),
    (
        "commission by quarter",
        "WITH won AS (SELECT owner_id, date_trunc('quarter', close_date) AS q, sum(amount) AS booked, count(*) AS deals \
         FROM @.opportunity WHERE stage = 'Closed Won' AND amount > 0 AND close_date >= DATE '2024-01-01' \
         AND close_date < DATE '2025-01-01' GROUP BY 1, 2) \
         SELECT o.owner_id, o.owner_name, w.q, w.deals, w.booked, w.booked / o.quota AS attainment \
         FROM won w JOIN merged.owner o ON o.owner_id = w.owner_id ORDER BY o.owner_id, w.q",
    ),
    (
        "months of two companies",
        "SELECT date_trunc('month', close_date) AS m, count(*) AS n, max(updated_at) AS last FROM @.opportunity \
         WHERE account_name LIKE 'Acme %' OR account_name LIKE 'Hooli %' GROUP BY 1 ORDER BY 1",
    ),
    ("distinct accounts", "SELECT count(DISTINCT account_name) FROM @.opportunity"),
    ("a wide range of keys", "SELECT * FROM @.opportunity WHERE seq_no BETWEEN 50000 AND 60000 ORDER BY id"),
];

/// Each is asked so often at least, and for so long: what is quick is told by more rounds.
const ROUNDS: usize = 7;
const LONG_ENOUGH: Duration = Duration::from_secs(3);
const LOOKUPS: u64 = 500;

/// A session of an engine that reads the newest versions.
async fn session(warehouse: Arc<Warehouse>, folder: &str) -> Session {
    let mut objects = Vec::new();
    for (connection, name, spec) in [
        ("merged", "opportunity", rows::spec()),
        ("compacted", "opportunity", rows::spec()),
        ("merged", "owner", rows::owner_spec()),
    ] {
        let newest = warehouse.table(connection, name).latest().await.unwrap().unwrap();
        objects.push(ReleaseObject {
            object_id: name.into(),
            connection: connection.into(),
            name: name.into(),
            version: newest.content(),
            rows: newest.rows() as i64,
            fields: fields(&spec),
            overrides: None,
        });
    }
    let stored = Arc::new(Stored(warehouse));
    let config = EngineConfig::new("acme", Path::new(folder).join("spill"));
    let engine = Engine::new(config, stored.clone(), stored.clone(), stored).unwrap();
    engine.publish(Arc::new(Release { id: 1, published_at: 1, cause: "sync 1".into(), objects }));
    engine.session(SessionUser { name: "ann".into(), is_admin: true, session_id: 1 })
}

/// Tells for each question in whose name is `part` the milliseconds on the compacted table and how many times that the
/// merged one takes.
pub(crate) async fn ask(warehouse: Arc<Warehouse>, folder: &str, part: &str) {
    let session = session(warehouse, folder).await;
    for (name, sql) in QUESTIONS.iter().filter(|(name, _)| name.contains(part)) {
        let (merged, compacted) = (sql.replace('@', "merged"), sql.replace('@', "compacted"));
        assert_eq!(run(&session, &merged).await, run(&session, &compacted).await, "{sql}");
        let (mut on_merged, mut on_compacted) = (f64::INFINITY, f64::INFINITY);
        let (mut round, started) = (0, Instant::now());
        while round < ROUNDS || started.elapsed() < LONG_ENOUGH {
            round += 1;
            on_merged = on_merged.min(timed(&session, &merged).await);
            on_compacted = on_compacted.min(timed(&session, &compacted).await);
        }
        tell(name, on_merged / on_compacted);
        tell(&format!("{name}-compacted"), on_compacted);
    }
}

/// Tells the milliseconds of a lookup of one row by its key.
pub(crate) async fn look_up(warehouse: Arc<Warehouse>, folder: &str, rows: u64) {
    let session = session(warehouse, folder).await;
    for (name, connection) in [("lookup", "merged"), ("lookup-compacted", "compacted")] {
        let used = Usage::of(std::process::id());
        let mut walls = Vec::new();
        for number in 0..LOOKUPS {
            let id = rows::id(2 * (rows::hash(number, 77) % rows));
            let sql = format!("SELECT * FROM {connection}.opportunity WHERE id = '{id}'");
            let started = Instant::now();
            assert_eq!(run(&session, &sql).await, 1, "{sql}");
            walls.push(started.elapsed().as_secs_f64() * 1000.0);
        }
        walls.sort_by(f64::total_cmp);
        tell(name, walls[walls.len() / 2]);
        let used = Usage::of(std::process::id()).since(&used);
        tell(&format!("{name}-cpu"), used / LOOKUPS as f64 * 1000.0);
    }
}

async fn timed(session: &Session, sql: &str) -> f64 {
    let started = Instant::now();
    run(session, sql).await;
    started.elapsed().as_secs_f64() * 1000.0
}

/// Rows of the answer.
async fn run(session: &Session, sql: &str) -> usize {
    let mut rows = 0;
    for parsed in session.parse(sql).unwrap() {
        let prepared = session.prepare(&parsed, &[]).await.unwrap();
        let (notices, _) = tokio::sync::mpsc::unbounded_channel();
        let execution = session.execute(&prepared, Vec::new(), notices).await.unwrap();
        if let Execution::Rows { mut stream, .. } = execution {
            while let Some(batch) = stream.next().await {
                rows += batch.unwrap().num_rows();
            }
        }
    }
    rows
}

/// As those of an object are known, its key among them: a query for one key is planned with few rules then.
fn fields(spec: &WriteSpec) -> Vec<ObjectField> {
    let place = |name: &String| spec.key.iter().position(|key| key == name).map(|place| place as u32);
    let field = |(name, data_type): &(String, tributary::model::FieldType)| ObjectField {
        api: name.clone(),
        name: name.clone(),
        column: name.clone(),
        label: name.clone(),
        data_type: data_type.clone(),
        native_type: String::new(),
        note: None,
        selected: true,
        key_position: place(name),
        is_name: false,
        volatile: false,
    };
    spec.columns.iter().map(field).collect()
}

/// The tables of a warehouse, and nothing else.
struct Stored(Arc<Warehouse>);

#[async_trait]
impl Tables for Stored {
    async fn provider(&self, object: &ReleaseObject) -> Result<Arc<dyn TableProvider>> {
        let table = self.0.table(&object.connection, &object.object_id);
        Ok(table.at(object.version).await?.provider(&object.fields))
    }

    fn register(&self, env: &RuntimeEnv) {
        self.0.register(env);
    }

    fn rules(&self) -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
        self.0.rules()
    }
}

#[async_trait]
impl SystemTables for Stored {
    fn tables(&self) -> &[SystemTable] {
        &[]
    }

    async fn rows(&self, table: &str, _: &SessionUser) -> Result<RecordBatch> {
        panic!("nobody asks for {table}")
    }

    async fn release(&self, _: &AsOf) -> Result<Arc<Release>> {
        Err(Error::new(Kind::Invalid, "there is one release"))
    }

    async fn hold(&self, _: i64) -> Result<bool> {
        Ok(true)
    }

    async fn may_read(&self, _: &SessionUser, _: &str, _: &str) -> Result<bool> {
        Ok(true)
    }
}

#[async_trait]
impl Verbs for Stored {
    fn describe(&self) -> &[VerbSignature] {
        &[]
    }

    async fn call(
        &self,
        _: &SessionUser,
        call: VerbCall,
        _: NoticeSender,
        _: CancellationToken,
    ) -> Result<RecordBatch> {
        panic!("nobody calls {}", call.name)
    }

    async fn statement(&self, _: &SessionUser, _: AdminStatement) -> Result<String> {
        panic!("nobody changes anything")
    }
}
