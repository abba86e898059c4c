//! A query engine over tables in memory, and what a session answers as text.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array,
    Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::execution::runtime_env::RuntimeEnv;
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tributary::error::{Error, Kind, Result};
use tributary::model::{FieldType, ObjectField, Release, ReleaseObject};
use tributary::query::{
    AdminStatement, AsOf, Engine, EngineConfig, Execution, Notice, NoticeSender, PG_TYPE, Session,
    SessionUser, SystemTable, SystemTables, Tables, VerbCall, VerbParam, VerbSignature, Verbs,
};

/// Rows of `opportunity` in [`Company::new`].
pub(crate) const ROWS: i64 = 1_000;

/// Makes the same rows in PostgreSQL, in schema `crm`.
pub(crate) const POSTGRES: &str = "
    CREATE SCHEMA crm;
    CREATE TABLE crm.opportunity (id bigint, name text, amount numeric(18,2), probability double precision,
        is_won boolean, close_date date, created_at timestamptz, stage text, quantity integer);
    INSERT INTO crm.opportunity SELECT n, 'Deal ' || n,
        CASE WHEN n % 10 = 0 THEN NULL ELSE ((n * 7919) % 10000000)::numeric / 100 END,
        CASE WHEN n % 11 = 0 THEN NULL ELSE (n % 101)::double precision / 100 END,
        CASE WHEN n % 13 = 0 THEN NULL ELSE n % 3 = 0 END,
        date '2020-01-01' + (n % 2000)::int,
        timestamptz '2020-01-01 00:00:00+00' + n * interval '61 seconds',
        (ARRAY['Prospecting','Qualification','Proposal','Negotiation','Closed Won','Closed Lost'])[n % 6 + 1],
        CASE WHEN n % 23 = 0 THEN NULL ELSE n % 1000 END
    FROM generate_series(1, 1000::bigint) AS n;
    CREATE TABLE crm.owner (id bigint, name text);
    INSERT INTO crm.owner SELECT n, 'Owner ' || n FROM generate_series(1, 10::bigint) AS n;
    DO $$ BEGIN
        EXECUTE format('ALTER DATABASE %I SET search_path = crm', current_database());
        EXECUTE format('ALTER DATABASE %I SET timezone = %L', current_database(), 'UTC');
    END $$;";

pub(crate) fn opportunity() -> RecordBatch {
    let n: Vec<i64> = (1..=ROWS).collect();
    let stages = ["Prospecting", "Qualification", "Proposal", "Negotiation", "Closed Won", "Closed Lost"];
    let amount = n.iter().map(|n| (n % 10 != 0).then_some(i128::from((n * 7_919) % 10_000_000)));
    let amount = amount.collect::<Decimal128Array>().with_precision_and_scale(18, 2).unwrap();
    let created = n.iter().map(|n| 1_577_836_800_000_000 + n * 61_000_000);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from(n.clone()))),
        ("name", Arc::new(n.iter().map(|n| Some(format!("Deal {n}"))).collect::<StringArray>())),
        ("amount", Arc::new(amount)),
        (
            "probability",
            Arc::new(
                n.iter().map(|n| (n % 11 != 0).then_some((n % 101) as f64 / 100.0)).collect::<Float64Array>(),
            ),
        ),
        ("is_won", Arc::new(n.iter().map(|n| (n % 13 != 0).then_some(n % 3 == 0)).collect::<BooleanArray>())),
        (
            "close_date",
            Arc::new(n.iter().map(|n| Some(18_262 + (n % 2_000) as i32)).collect::<Date32Array>()),
        ),
        (
            "created_at",
            Arc::new(created.map(Some).collect::<TimestampMicrosecondArray>().with_timezone("UTC")),
        ),
        ("stage", Arc::new(n.iter().map(|n| Some(stages[(n % 6) as usize])).collect::<StringArray>())),
        (
            "quantity",
            Arc::new(n.iter().map(|n| (n % 23 != 0).then_some((n % 1_000) as i32)).collect::<Int32Array>()),
        ),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
        .unwrap()
}

pub(crate) fn owner(rows: i64) -> RecordBatch {
    let id: ArrayRef = Arc::new(Int64Array::from((1..=rows).collect::<Vec<_>>()));
    let name: ArrayRef = Arc::new((1..=rows).map(|n| Some(format!("Owner {n}"))).collect::<StringArray>());
    RecordBatch::try_from_iter_with_nullable([("id", id, true), ("name", name, true)]).unwrap()
}

/// Everything the engine asks of the rest of the product.
#[derive(Default)]
pub(crate) struct World {
    /// By object id and version.
    pub(crate) batches: Mutex<HashMap<(String, i64), Vec<RecordBatch>>>,
    pub(crate) opened: Mutex<Vec<String>>,
    pub(crate) releases: Mutex<Vec<Arc<Release>>>,
    pub(crate) grants: Mutex<HashSet<(String, String)>>,
    pub(crate) statements: Mutex<Vec<AdminStatement>>,
    pub(crate) calls: Mutex<Vec<VerbCall>>,
    pub(crate) finished: Mutex<Vec<String>>,
    system: Vec<SystemTable>,
    verbs: Vec<VerbSignature>,
}

#[async_trait]
impl Tables for World {
    async fn provider(&self, object: &ReleaseObject) -> Result<Arc<dyn TableProvider>> {
        self.opened.lock().unwrap().push(object.name.clone());
        let key = (object.object_id.clone(), object.version);
        let batches = self.batches.lock().unwrap().get(&key).cloned().unwrap();
        Ok(Arc::new(MemTable::try_new(batches[0].schema(), vec![batches]).unwrap()))
    }

    fn register(&self, _: &RuntimeEnv) {}
}

#[async_trait]
impl SystemTables for World {
    fn tables(&self) -> &[SystemTable] {
        &self.system
    }

    async fn rows(&self, table: &str, who: &SessionUser) -> Result<RecordBatch> {
        assert_eq!(table, "run");
        let id: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let by: ArrayRef = Arc::new(StringArray::from(vec![who.name.clone(), "other".into()]));
        Ok(RecordBatch::try_from_iter_with_nullable([("id", id, true), ("by", by, true)]).unwrap())
    }

    async fn release(&self, as_of: &AsOf) -> Result<Arc<Release>> {
        let releases = self.releases.lock().unwrap();
        releases
            .iter()
            .rev()
            .find(|release| match as_of {
                AsOf::Release(id) => release.id == *id,
                AsOf::Cause(cause) => release.cause == *cause,
                AsOf::Time(time) => release.published_at <= *time,
                AsOf::Period(_) => false,
            })
            .cloned()
            .ok_or_else(|| Error::new(Kind::Invalid, "there is no such release"))
    }

    async fn hold(&self, _: i64) -> Result<bool> {
        Ok(true)
    }

    async fn may_read(&self, who: &SessionUser, connection: &str, object: &str) -> Result<bool> {
        Ok(self.grants.lock().unwrap().contains(&(who.name.clone(), format!("{connection}.{object}"))))
    }
}

#[async_trait]
impl Verbs for World {
    fn describe(&self) -> &[VerbSignature] {
        &self.verbs
    }

    async fn call(
        &self,
        who: &SessionUser,
        call: VerbCall,
        notices: NoticeSender,
        cancel: CancellationToken,
    ) -> Result<RecordBatch> {
        self.calls.lock().unwrap().push(call.clone());
        notices.send(Notice::new(format!("{} by {}", call.name, who.name))).ok();
        if call.text("mode") == Some("slow") {
            tokio::select! {
                () = cancel.cancelled() => {
                    self.finished.lock().unwrap().push("cancelled".into());
                    return Err(Error::new(Kind::Cancelled, "the sync was cancelled"));
                }
                () = tokio::time::sleep(std::time::Duration::from_millis(500)) => {}
            }
        }
        self.finished.lock().unwrap().push(call.name.clone());
        let rows: ArrayRef = Arc::new(Int64Array::from(vec![7]));
        Ok(RecordBatch::try_new(result(), vec![rows]).unwrap())
    }

    async fn statement(&self, _: &SessionUser, statement: AdminStatement) -> Result<String> {
        self.statements.lock().unwrap().push(statement);
        Ok("DONE".into())
    }
}

fn result() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("rows", DataType::Int64, true)]))
}

fn verbs() -> Vec<VerbSignature> {
    let sync = VerbSignature {
        name: "sync".into(),
        params: vec![
            VerbParam::required("name", DataType::Utf8, "connection or object"),
            VerbParam::optional("mode", ScalarValue::Utf8(Some("diff".into())), "diff or full"),
            VerbParam::optional("wait", ScalarValue::Boolean(Some(true)), "wait for the end"),
            VerbParam::optional("limit", ScalarValue::Int32(None), "rows"),
        ],
        result: result(),
        admin_only: false,
        help: "reads".into(),
    };
    let set_secret = VerbSignature {
        name: "set_secret".into(),
        params: vec![
            VerbParam::required("connection", DataType::Utf8, "connection"),
            VerbParam::required("field", DataType::Utf8, "field"),
            VerbParam::required("value", DataType::Utf8, "value").secret(),
        ],
        result: result(),
        admin_only: true,
        help: "keeps a secret".into(),
    };
    vec![sync, set_secret]
}

/// A company with connections `crm` and `erp`.
pub(crate) struct Company {
    pub(crate) world: Arc<World>,
    pub(crate) engine: Arc<Engine>,
}

impl Company {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut EngineConfig)) -> Self {
        let run = Arc::new(Schema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("by", DataType::Utf8, true),
        ]));
        let world = Arc::new(World {
            system: vec![SystemTable { name: "run".into(), schema: run }],
            verbs: verbs(),
            ..World::default()
        });
        let mut config = EngineConfig::new("acme", std::env::temp_dir().join("tributary-test-spill"));
        change(&mut config);
        let engine = Engine::new(config, world.clone(), world.clone(), world.clone()).unwrap();
        let company = Company { world, engine };
        company.put("o1", 1, vec![opportunity()]);
        company.put("w1", 1, vec![owner(10)]);
        company.put("w2", 1, vec![owner(3)]);
        company.publish(
            1,
            "sync 1",
            &[("o1", "crm", "opportunity", 1), ("w1", "crm", "owner", 1), ("w2", "erp", "owner", 1)],
        );
        company
    }

    pub(crate) fn put(&self, object: &str, version: i64, batches: Vec<RecordBatch>) {
        self.world.batches.lock().unwrap().insert((object.into(), version), batches);
    }

    pub(crate) fn publish(&self, id: i64, cause: &str, objects: &[(&str, &str, &str, i64)]) {
        let objects = objects.iter().map(|(object_id, connection, name, version)| ReleaseObject {
            object_id: object_id.to_string(),
            connection: connection.to_string(),
            name: name.to_string(),
            version: *version,
            rows: 0,
            fields: vec![field("id")],
            overrides: None,
        });
        let objects = objects.collect();
        let release = Arc::new(Release { id, published_at: id * 1_000_000, cause: cause.into(), objects });
        self.world.releases.lock().unwrap().push(release.clone());
        self.engine.publish(release);
    }

    pub(crate) fn admin(&self) -> Session {
        self.engine.session(SessionUser { name: "root".into(), is_admin: true, session_id: 7 })
    }

    pub(crate) fn analyst(&self) -> Session {
        self.engine.session(SessionUser { name: "ann".into(), is_admin: false, session_id: 8 })
    }
}

fn field(name: &str) -> ObjectField {
    ObjectField {
        api: name.into(),
        name: name.into(),
        column: name.into(),
        label: name.into(),
        data_type: FieldType::Int64,
        native_type: "bigint".into(),
        note: None,
        selected: true,
        key_position: None,
        is_name: false,
        volatile: false,
    }
}

/// A result as text.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Answer {
    pub(crate) names: Vec<String>,
    pub(crate) types: Vec<String>,
    pub(crate) rows: Vec<Vec<Option<String>>>,
    pub(crate) tag: String,
    pub(crate) notices: Vec<Notice>,
}

impl Answer {
    pub(crate) fn value(&self) -> &str {
        self.rows[0][0].as_deref().unwrap_or("NULL")
    }

    pub(crate) fn column(&self) -> Vec<&str> {
        self.rows.iter().map(|row| row[0].as_deref().unwrap_or("NULL")).collect()
    }
}

/// Runs all statements of a text and returns the last answer.
pub(crate) async fn run(session: &Session, sql: &str) -> Result<Answer> {
    run_with(session, sql, Vec::new()).await
}

pub(crate) async fn run_with(session: &Session, sql: &str, values: Vec<ScalarValue>) -> Result<Answer> {
    let result = run_all(session, sql, values).await;
    if result.is_err() {
        session.fail_transaction();
    }
    result
}

async fn run_all(session: &Session, sql: &str, values: Vec<ScalarValue>) -> Result<Answer> {
    let mut answer = Answer::default();
    for parsed in session.parse(sql)? {
        let prepared = session.prepare(&parsed, &[]).await?;
        let (sender, mut notices) = mpsc::unbounded_channel();
        answer = Answer::default();
        match session.execute(&prepared, values.clone(), sender).await? {
            Execution::Done { tag } => answer.tag = tag,
            Execution::Rows { schema, mut stream, tag, count_in_tag } => {
                assert_eq!(prepared.schema(), Some(&schema));
                for field in schema.fields() {
                    answer.names.push(field.name().clone());
                    answer.types.push(pg_type(field));
                }
                while let Some(batch) = stream.next().await {
                    let batch = batch.map_err(tributary::query::translate)?;
                    for row in 0..batch.num_rows() {
                        answer.rows.push(batch.columns().iter().map(|column| text(column, row)).collect());
                    }
                }
                answer.tag = if count_in_tag { format!("{tag} {}", answer.rows.len()) } else { tag };
            }
        }
        while let Ok(notice) = notices.try_recv() {
            answer.notices.push(notice);
        }
    }
    Ok(answer)
}

pub(crate) fn pg_type(field: &Field) -> String {
    if let Some(name) = field.metadata().get(PG_TYPE) {
        return name.clone();
    }
    arrow_type(field.data_type())
}

fn arrow_type(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "bool".into(),
        DataType::Int16 => "int2".into(),
        DataType::Int32 => "int4".into(),
        DataType::Int64 => "int8".into(),
        DataType::Float32 => "float4".into(),
        DataType::Float64 => "float8".into(),
        DataType::Decimal128(..) => "numeric".into(),
        DataType::Utf8 => "text".into(),
        DataType::Binary => "bytea".into(),
        DataType::Date32 => "date".into(),
        DataType::Timestamp(TimeUnit::Microsecond, None) => "timestamp".into(),
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => "timestamptz".into(),
        DataType::Interval(_) => "interval".into(),
        DataType::List(element) => format!("_{}", arrow_type(element.data_type())),
        other => format!("{other:?}"),
    }
}

/// The text PostgreSQL sends for a value.
pub(crate) fn text(array: &ArrayRef, row: usize) -> Option<String> {
    use arrow::datatypes::{Float32Type, Float64Type};
    if array.is_null(row) {
        return None;
    }
    let shortest = |value: f64, text: String| {
        if value.is_nan() {
            return "NaN".to_string();
        }
        if value.is_infinite() {
            return if value > 0.0 { "Infinity".into() } else { "-Infinity".into() };
        }
        if value == 0.0 || (1e-4..1e15).contains(&value.abs()) {
            return text;
        }
        let (mantissa, exponent) =
            text.split_once('e').map(|(m, e)| (m.to_string(), e.to_string())).unwrap_or_else(|| {
                let scientific = format!("{value:e}");
                let (m, e) = scientific.split_once('e').unwrap();
                (m.to_string(), e.to_string())
            });
        let exponent: i32 = exponent.parse().unwrap();
        format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
    };
    Some(match array.data_type() {
        DataType::Boolean => if array.as_boolean().value(row) { "t" } else { "f" }.into(),
        DataType::Float64 => {
            let value = array.as_primitive::<Float64Type>().value(row);
            shortest(value, value.to_string())
        }
        DataType::Float32 => {
            let value = array.as_primitive::<Float32Type>().value(row);
            shortest(f64::from(value), value.to_string())
        }
        DataType::Timestamp(_, zone) => {
            use arrow::datatypes::TimestampMicrosecondType;
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            let time = chrono::DateTime::from_timestamp_micros(micros).unwrap().naive_utc();
            let mut text = time.format("%Y-%m-%d %H:%M:%S%.6f").to_string();
            text = text.trim_end_matches('0').trim_end_matches('.').to_string();
            if zone.is_some() { text + "+00" } else { text }
        }
        DataType::List(_) => {
            let values = array.as_list::<i32>().value(row);
            let values = (0..values.len()).map(|row| self::text(&values, row).unwrap_or("NULL".into()));
            format!("{{{}}}", values.collect::<Vec<_>>().join(","))
        }
        _ => arrow::util::display::array_value_to_string(array, row).unwrap(),
    })
}
