//! A server with a port of its own over tables made up in memory, and a client that sends any bytes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::datasource::MemTable;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tributary::error::{Error, Kind, Result};
use tributary::model::{FieldType, ObjectField, Release, ReleaseObject};
use tributary::password::Verifier;
use tributary::pg::{Attempt, Login, PgConfig, Server, Users};
use tributary::query::{
    AdminStatement, AsOf, Engine, EngineConfig, Notice, NoticeSender, SessionUser, SystemTable, SystemTables,
    Tables, VerbCall, VerbParam, VerbSignature, Verbs,
};

/// The database, and the admin's name and password.
pub(crate) const DATABASE: &str = "acme";
pub(crate) const USER: &str = "ann";
pub(crate) const PASSWORD: &str = "correct horse";

/// Rows of `crm.number`, which has the columns `id bigint` and `name text`; `crm.endless` has no last row.
pub(crate) const ROWS: i64 = 100_000;

/// A running server. It ends when dropped.
pub(crate) struct Wire {
    pub(crate) port: u16,
    pub(crate) server: Arc<Server>,
    pub(crate) people: Arc<People>,
    pub(crate) verbs: Arc<FakeVerbs>,
    shutdown: CancellationToken,
    _folder: tempfile::TempDir,
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// Who may log in: every name but those in `missing`, all with the one password.
pub(crate) struct People {
    verifier: String,
    pub(crate) broken: std::sync::atomic::AtomicBool,
    pub(crate) attempts: parking_lot::Mutex<Vec<Attempt>>,
}

#[async_trait]
impl Users for People {
    async fn verifier(&self, user: &str) -> Result<Option<Login>> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(Error::new(Kind::Unavailable, "the disk is gone"));
        }
        assert_ne!(user, "defect", "a defect, as asked for");
        let exists = !user.starts_with("nobody");
        Ok(exists.then(|| Login {
            name: user.into(),
            is_admin: user == USER,
            verifier: self.verifier.clone(),
        }))
    }

    async fn attempted(&self, attempt: Attempt) {
        self.attempts.lock().push(attempt);
    }
}

/// `CALL touch(text)` counts its calls; `CALL wait(text)` says so and waits until it is told to stop.
#[derive(Default)]
pub(crate) struct FakeVerbs {
    signatures: Vec<VerbSignature>,
    pub(crate) touched: AtomicUsize,
    pub(crate) waiting: AtomicUsize,
    pub(crate) stopped: AtomicUsize,
}

impl FakeVerbs {
    fn new() -> Self {
        let result = Arc::new(Schema::new(vec![Field::new("said", DataType::Utf8, true)]));
        let signature = |name: &str| VerbSignature {
            name: name.into(),
            params: vec![VerbParam::required("text", DataType::Utf8, "anything")],
            result: result.clone(),
            admin_only: false,
            help: "for tests".into(),
        };
        FakeVerbs { signatures: vec![signature("touch"), signature("wait")], ..Default::default() }
    }
}

#[async_trait]
impl Verbs for FakeVerbs {
    fn describe(&self) -> &[VerbSignature] {
        &self.signatures
    }

    async fn call(
        &self,
        _: &SessionUser,
        call: VerbCall,
        notices: NoticeSender,
        cancel: CancellationToken,
    ) -> Result<RecordBatch> {
        if call.name == "wait" {
            self.waiting.fetch_add(1, Ordering::SeqCst);
            notices.send(Notice::new("waiting")).ok();
            cancel.cancelled().await;
            self.stopped.fetch_add(1, Ordering::SeqCst);
            return Err(Error::new(Kind::Cancelled, "canceling statement due to user request"));
        }
        self.touched.fetch_add(1, Ordering::SeqCst);
        notices.send(Notice::new("touched")).ok();
        let said: ArrayRef = Arc::new(StringArray::from(vec![call.text("text")]));
        Ok(RecordBatch::try_new(self.signatures[0].result.clone(), vec![said]).unwrap())
    }

    async fn statement(&self, _: &SessionUser, _: AdminStatement) -> Result<String> {
        Ok("GRANT".into())
    }
}

struct Memory;

fn columns() -> SchemaRef {
    let fields = vec![Field::new("id", DataType::Int64, true), Field::new("name", DataType::Utf8, true)];
    Arc::new(Schema::new(fields))
}

fn batch(from: i64, to: i64) -> RecordBatch {
    let names = StringArray::from_iter_values((from..to).map(|id| format!("row {id}")));
    let arrays: Vec<ArrayRef> = vec![Arc::new(Int64Array::from_iter_values(from..to)), Arc::new(names)];
    RecordBatch::try_new(columns(), arrays).unwrap()
}

/// Rows of `crm.deal`, which has ten columns of the usual types.
pub(crate) const DEALS: usize = 1_000_000;

fn deal_fields() -> Vec<(&'static str, FieldType)> {
    vec![
        ("id", FieldType::Int64),
        ("name", FieldType::Text),
        ("stage", FieldType::Text),
        ("amount", FieldType::Decimal(18, 2)),
        ("currency", FieldType::Text),
        ("close_date", FieldType::Date),
        ("created", FieldType::TimestampTz),
        ("rate", FieldType::Float64),
        ("won", FieldType::Boolean),
        ("owner", FieldType::Int32),
    ]
}

/// The rows of `crm.deal`: one batch many times over, so that they cost no memory.
fn deals() -> Vec<RecordBatch> {
    let rows = 0..8_000_i64;
    let fields = deal_fields().into_iter().map(|(name, data_type)| Field::new(name, data_type.arrow(), true));
    let stages = ["Prospecting", "Proposal", "Closed Won", "Closed Lost"];
    let amounts = Decimal128Array::from_iter_values(rows.clone().map(|row| i128::from(row * 7_919 + 55)));
    let created = TimestampMicrosecondArray::from_iter_values(
        rows.clone().map(|row| 1_578_218_400_000_000 + row * 61_000_000),
    );
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(rows.clone().map(|row| row + 1_000_000))),
        Arc::new(StringArray::from_iter_values(rows.clone().map(|row| format!("Opportunity number {row}")))),
        Arc::new(StringArray::from_iter_values(rows.clone().map(|row| stages[row as usize % 4]))),
        Arc::new(amounts.with_precision_and_scale(18, 2).unwrap()),
        Arc::new(StringArray::from_iter_values(rows.clone().map(|_| "EUR"))),
        Arc::new(Date32Array::from_iter_values(rows.clone().map(|row| 18_000 + (row % 1_000) as i32))),
        Arc::new(created.with_timezone("UTC")),
        Arc::new(Float64Array::from_iter_values(rows.clone().map(|row| row as f64 / 7.0))),
        Arc::new(BooleanArray::from_iter(rows.clone().map(|row| (row % 5 != 0).then_some(row % 2 == 0)))),
        Arc::new(Int32Array::from_iter_values(rows.map(|row| (row % 97) as i32))),
    ];
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    vec![RecordBatch::try_new(schema, columns).unwrap(); DEALS / 8_000]
}

/// `crm.endless`: rows without end.
#[derive(Debug)]
struct Endless(SchemaRef);

impl PartitionStream for Endless {
    fn schema(&self) -> &SchemaRef {
        &self.0
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let rows = batch(0, 8_192);
        let rows = futures::stream::repeat_with(move || Ok(rows.clone()));
        Box::pin(RecordBatchStreamAdapter::new(self.0.clone(), rows))
    }
}

#[async_trait]
impl Tables for Memory {
    async fn provider(&self, object: &ReleaseObject) -> Result<Arc<dyn TableProvider>> {
        if object.name == "deal" {
            let (batches, schema) = (vec![deals()], deals()[0].schema());
            return Ok(Arc::new(MemTable::try_new(schema, batches).unwrap()));
        }
        let schema = columns();
        if object.name == "endless" {
            return Ok(Arc::new(
                StreamingTable::try_new(schema.clone(), vec![Arc::new(Endless(schema))]).unwrap(),
            ));
        }
        let batches = (0..ROWS).step_by(8_192).map(|from| batch(from, (from + 8_192).min(ROWS))).collect();
        Ok(Arc::new(MemTable::try_new(schema.clone(), vec![batches]).unwrap()))
    }

    fn register(&self, _: &RuntimeEnv) {}
}

#[async_trait]
impl SystemTables for Memory {
    fn tables(&self) -> &[SystemTable] {
        &[]
    }

    async fn rows(&self, table: &str, _: &SessionUser) -> Result<RecordBatch> {
        Err(Error::internal(format!("no table {table}")))
    }

    async fn release(&self, _: &AsOf) -> Result<Arc<Release>> {
        Err(Error::new(Kind::Invalid, "there is no such release"))
    }

    async fn hold(&self, _: i64) -> Result<bool> {
        Ok(true)
    }

    async fn may_read(&self, _: &SessionUser, _: &str, _: &str) -> Result<bool> {
        Ok(true)
    }
}

fn release() -> Release {
    let field = |name: &str, data_type| ObjectField {
        api: name.into(),
        name: name.into(),
        column: name.into(),
        label: name.into(),
        data_type,
        native_type: String::new(),
        note: None,
        selected: true,
        key_position: None,
        is_name: false,
        volatile: false,
    };
    let numbers = vec![field("id", FieldType::Int64), field("name", FieldType::Text)];
    let object = |name: &str, fields: Vec<ObjectField>| ReleaseObject {
        object_id: name.into(),
        connection: "crm".into(),
        name: name.into(),
        version: 1,
        rows: ROWS,
        fields,
        overrides: None,
    };
    let deals = deal_fields().into_iter().map(|(name, data_type)| field(name, data_type)).collect();
    let objects = vec![object("number", numbers.clone()), object("endless", numbers), object("deal", deals)];
    Release { id: 1, published_at: 0, cause: "sync 1".into(), objects }
}

/// Starts a server that behaves as `change` says.
pub(crate) async fn start(change: impl FnOnce(&mut PgConfig)) -> Wire {
    start_on("127.0.0.1", change).await
}

/// The same on another address of this machine.
pub(crate) async fn start_on(address: &str, change: impl FnOnce(&mut PgConfig)) -> Wire {
    let folder = tempfile::tempdir().unwrap();
    let verbs = Arc::new(FakeVerbs::new());
    let engine = EngineConfig::new(DATABASE, folder.path().join("spill"));
    let engine = Engine::new(engine, Arc::new(Memory), Arc::new(Memory), verbs.clone()).unwrap();
    engine.publish(Arc::new(release()));
    let mut config = PgConfig::new(DATABASE);
    change(&mut config);
    let people = Arc::new(People {
        verifier: Verifier::derive(PASSWORD),
        broken: Default::default(),
        attempts: Default::default(),
    });
    let shutdown = CancellationToken::new();
    let server = Server::new(config, engine, people.clone(), shutdown.clone());
    let listener = TcpListener::bind((address, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(server.clone().serve(vec![listener]));
    Wire { port, server, people, verbs, shutdown, _folder: folder }
}

impl Wire {
    pub(crate) fn config(&self) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.port).user(USER).password(PASSWORD).dbname(DATABASE);
        config
    }

    pub(crate) async fn connect(&self) -> tokio_postgres::Client {
        let (client, connection) = self.config().connect(tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// A client that has said nothing yet.
    pub(crate) async fn raw(&self) -> Raw {
        Raw { stream: BufReader::new(TcpStream::connect(("127.0.0.1", self.port)).await.unwrap()) }
    }

    /// A client that is logged in and may send statements.
    pub(crate) async fn raw_session(&self) -> Raw {
        let mut raw = self.raw().await;
        let replies = raw.log_in(USER, PASSWORD, b"").await;
        assert_eq!(replies.last().unwrap().kind, b'Z', "{replies:?}");
        raw
    }
}

/// A message of the server.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) kind: u8,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// The fields of an error or notice by their codes.
    pub(crate) fn fields(&self) -> HashMap<char, String> {
        let parts = self.body.split(|byte| *byte == 0).filter(|part| !part.is_empty());
        parts.map(|part| (part[0] as char, String::from_utf8_lossy(&part[1..]).into_owned())).collect()
    }

    /// SQLSTATE of an error.
    pub(crate) fn state(&self) -> String {
        assert_eq!(self.kind, b'E', "{self:?}");
        self.fields()[&'C'].clone()
    }
}

/// The kinds of some replies as text, for example `1 2 T D C Z` as `12TDCZ`.
pub(crate) fn kinds(replies: &[Reply]) -> String {
    replies.iter().map(|reply| reply.kind as char).collect()
}

/// A client that sends any bytes.
pub(crate) struct Raw {
    pub(crate) stream: BufReader<TcpStream>,
}

pub(crate) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32 + 4).to_be_bytes();
    [&[kind][..], &length, body].concat()
}

pub(crate) fn startup(version: u32, parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    for (name, value) in parameters {
        body.extend_from_slice(format!("{name}\0{value}\0").as_bytes());
    }
    body.push(0);
    [&(body.len() as u32 + 4).to_be_bytes()[..], &body].concat()
}

pub(crate) fn hello(user: &str) -> Vec<u8> {
    startup(196_608, &[("user", user), ("database", DATABASE)])
}

pub(crate) fn sasl_initial(first: &str) -> Vec<u8> {
    let mut body = b"SCRAM-SHA-256\0".to_vec();
    body.extend_from_slice(&(first.len() as u32).to_be_bytes());
    body.extend_from_slice(first.as_bytes());
    message(b'p', &body)
}

impl Raw {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        // The server may have hung up on us already: what it said is looked at by the caller.
        self.stream.write_all(bytes).await.ok();
    }

    /// The next message; `None` at the end of the connection.
    pub(crate) async fn reply(&mut self) -> Option<Reply> {
        let wait = async {
            let mut header = [0; 5];
            self.stream.read_exact(&mut header).await.ok()?;
            let length = u32::from_be_bytes(header[1..].try_into().unwrap());
            let mut body = vec![0; length as usize - 4];
            self.stream.read_exact(&mut body).await.ok()?;
            Some(Reply { kind: header[0], body })
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("an answer in time")
    }

    /// Replies up to ReadyForQuery or the end of the connection.
    pub(crate) async fn replies(&mut self) -> Vec<Reply> {
        let mut replies = Vec::new();
        while let Some(reply) = self.reply().await {
            let is_last = reply.kind == b'Z';
            replies.push(reply);
            if is_last {
                break;
            }
        }
        replies
    }

    /// A whole login; `behind` is sent in the same packet as the proof.
    pub(crate) async fn log_in(&mut self, user: &str, password: &str, behind: &[u8]) -> Vec<Reply> {
        self.log_in_to(user, DATABASE, password, behind).await
    }

    /// The same for any database of any server.
    pub(crate) async fn log_in_to(
        &mut self,
        user: &str,
        database: &str,
        password: &str,
        behind: &[u8],
    ) -> Vec<Reply> {
        self.send(&startup(196_608, &[("user", user), ("database", database)])).await;
        let offer = self.reply().await.unwrap();
        if offer.kind != b'R' {
            return vec![offer];
        }
        self.send(&sasl_initial("n,,n=,r=abcdefgh")).await;
        let challenge = self.reply().await.unwrap();
        assert_eq!(challenge.kind, b'R', "{challenge:?}");
        let server_first = String::from_utf8(challenge.body[4..].to_vec()).unwrap();
        let proof = proof("n=,r=abcdefgh", &server_first, password);
        self.send(&[message(b'p', proof.as_bytes()), behind.to_vec()].concat()).await;
        self.replies().await
    }

    /// Runs a text in the simple protocol.
    pub(crate) async fn query(&mut self, sql: &str) -> Vec<Reply> {
        self.send(&message(b'Q', format!("{sql}\0").as_bytes())).await;
        self.replies().await
    }
}

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

/// The client's last message of a SCRAM login.
fn proof(client_first: &str, server_first: &str, password: &str) -> String {
    let part = |name: &str| server_first.split(',').find_map(|part| part.strip_prefix(name)).unwrap();
    let salt = BASE64.decode(part("s=")).unwrap();
    let mut salted = [0; 32];
    pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), &salt, part("i=").parse().unwrap(), &mut salted);
    let client_key = hmac(&salted, b"Client Key");
    let without_proof = format!("c=biws,r={}", part("r="));
    let message = format!("{client_first},{server_first},{without_proof}");
    let signature = hmac(&Sha256::digest(&client_key), message.as_bytes());
    let proof: Vec<u8> = client_key.iter().zip(signature).map(|(key, sign)| key ^ sign).collect();
    format!("{without_proof},p={}", BASE64.encode(proof))
}
