//! A server with a port of its own over tables made up in memory, and a client that sends any bytes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::execution::runtime_env::RuntimeEnv;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
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

/// Rows of `crm.number`, which has the columns `id bigint` and `name text`.
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

#[async_trait]
impl Tables for Memory {
    async fn provider(&self, _: &ReleaseObject) -> Result<Arc<dyn TableProvider>> {
        let schema = Arc::new(Schema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("name", DataType::Utf8, true),
        ]));
        let batch = |from: i64| {
            let ids = from..(from + 8_192).min(ROWS);
            let names = StringArray::from_iter_values(ids.clone().map(|id| format!("row {id}")));
            let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from_iter_values(ids)), Arc::new(names)];
            RecordBatch::try_new(schema.clone(), columns).unwrap()
        };
        let batches = (0..ROWS).step_by(8_192).map(batch).collect();
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

    async fn release(&self, _: &AsOf) -> Result<Option<Arc<Release>>> {
        Ok(None)
    }

    async fn may_read(&self, _: &SessionUser, _: &str, _: &str) -> Result<bool> {
        Ok(true)
    }
}

fn release() -> Release {
    let field = |name: &str, data_type| ObjectField {
        api: name.into(),
        name: name.into(),
        label: name.into(),
        data_type,
        native_type: String::new(),
        note: None,
        selected: true,
        key_position: None,
        is_name: false,
    };
    let object = ReleaseObject {
        object_id: "number".into(),
        connection: "crm".into(),
        name: "number".into(),
        version: 1,
        rows: ROWS,
        fields: vec![field("id", FieldType::Int64), field("name", FieldType::Text)],
    };
    Release { id: 1, published_at: 0, cause: "sync 1".into(), objects: vec![object] }
}

/// Starts a server that behaves as `change` says.
pub(crate) async fn start(change: impl FnOnce(&mut PgConfig)) -> Wire {
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
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
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
        Raw { stream: TcpStream::connect(("127.0.0.1", self.port)).await.unwrap() }
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
    pub(crate) stream: TcpStream,
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
        self.send(&hello(user)).await;
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
