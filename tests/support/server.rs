//! The real `tributary` binary on a free port with a data directory of its own.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The first administrator of every server started here, and the password.
pub(crate) const ADMIN: &str = "admin";
pub(crate) const ADMIN_PASSWORD: &str = "Tr1butary test: secret";

/// The database name: one company a server.
pub(crate) const COMPANY: &str = "company";

/// Data directories: one folder a test run below the temporary directory, removed by the next run.
const FOLDERS: &str = "tributary-test-server";

const READY: &str = "listening on 127.0.0.1:";
const START_LIMIT: Duration = Duration::from_secs(60);

/// A running server. It is killed when dropped, and by the kernel when the test process dies.
pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) data: PathBuf,
    /// From the start of the process to the line that says it listens.
    pub(crate) started_in: Duration,
    process: Process,
    arguments: Builder,
}

/// How to start a server.
#[derive(Clone)]
pub(crate) struct Builder {
    verb: &'static str,
    data: Option<PathBuf>,
    listen: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    folder: Arc<tempfile::TempDir>,
}

/// A server that ended before it was ready, with everything it said.
#[derive(Debug)]
pub(crate) struct NotStarted {
    pub(crate) status: Option<ExitStatus>,
    pub(crate) said: String,
}

struct Process {
    child: Child,
    said: Arc<Mutex<String>>,
    /// The thread that started the child waits for this to close: the kernel would end the child with it.
    _keeper: Sender<()>,
}

impl Server {
    /// A server of its own with an empty data directory.
    pub(crate) fn start() -> Self {
        Self::builder().start()
    }

    /// The demonstration: `tributary demo`.
    pub(crate) fn demo() -> Self {
        let mut builder = Self::builder();
        builder.verb = "demo";
        builder.start()
    }

    pub(crate) fn builder() -> Builder {
        Builder {
            verb: "serve",
            data: None,
            listen: "127.0.0.1:0".into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            folder: Arc::new(tempfile::tempdir_in(super::folder::folder_of_this_run(FOLDERS)).unwrap()),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.child.id()
    }

    /// Everything it wrote to its standard output and error so far.
    pub(crate) fn said(&self) -> String {
        self.process.said.lock().unwrap().clone()
    }

    /// Ends it as a power failure would, and returns how to start it again on the same data.
    pub(crate) fn kill(mut self) -> Builder {
        self.process.child.kill().unwrap();
        self.process.child.wait().unwrap();
        self.again()
    }

    /// Asks it to end, waits until it has, and returns its status and how to start it again.
    pub(crate) fn stop(mut self) -> (ExitStatus, Builder) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let asked = Instant::now();
        loop {
            if let Some(status) = self.process.child.try_wait().unwrap() {
                return (status, self.again());
            }
            assert!(asked.elapsed() < Duration::from_secs(30), "the server did not stop:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// How to connect as the administrator.
    pub(crate) fn config(&self) -> tokio_postgres::Config {
        self.config_of(ADMIN, ADMIN_PASSWORD)
    }

    /// How to connect as anybody.
    pub(crate) fn config_of(&self, user: &str, password: &str) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.port).user(user).password(password).dbname(COMPANY);
        config
    }

    pub(crate) async fn connect(&self) -> tokio_postgres::Client {
        let (client, connection) = self.config().connect(tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// A program whose environment leads libpq, and what follows its rules, to this server.
    pub(crate) fn client(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .envs([("PGHOST", "127.0.0.1"), ("PGUSER", ADMIN), ("PGPASSWORD", ADMIN_PASSWORD)])
            .envs([("PGDATABASE", COMPANY), ("PGCONNECT_TIMEOUT", "10"), ("PGAPPNAME", "test")])
            .env("PGPORT", self.port.to_string())
            .stdin(Stdio::null());
        command
    }

    /// `psql -c` for each statement: unaligned rows without headings, stopping at the first error.
    pub(crate) fn psql(&self, statements: &[&str]) -> Output {
        let mut command = self.client("psql");
        command.args(["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose"]);
        for statement in statements {
            command.args(["-c", statement]);
        }
        command.output().unwrap()
    }

    /// The rows that psql printed, one a line; fails the test when a statement failed.
    pub(crate) fn rows(&self, statements: &[&str]) -> String {
        let out = self.psql(statements);
        let errors = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{statements:?}\n{errors}\nthe server said:\n{}", self.said());
        String::from_utf8(out.stdout).unwrap().trim_end().to_string()
    }

    /// What psql wrote to standard error for a statement that must fail.
    pub(crate) fn error(&self, statement: &str) -> String {
        let out = self.psql(&[statement]);
        assert!(!out.status.success(), "{statement} did not fail: {}", String::from_utf8_lossy(&out.stdout));
        String::from_utf8(out.stderr).unwrap()
    }

    fn again(&self) -> Builder {
        self.arguments.clone()
    }
}

impl Builder {
    /// Another command than `serve`.
    pub(crate) fn verb(mut self, verb: &'static str) -> Self {
        self.verb = verb;
        self
    }

    /// Another data directory than a temporary one.
    pub(crate) fn data(mut self, data: &Path) -> Self {
        self.data = Some(data.to_path_buf());
        self
    }

    /// Another address than a free port of the loopback.
    pub(crate) fn listen(mut self, listen: &str) -> Self {
        self.listen = listen.into();
        self
    }

    pub(crate) fn args(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(ToString::to_string));
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    pub(crate) fn data_directory(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(|| self.folder.path().join("data"))
    }

    pub(crate) fn start(self) -> Server {
        match self.try_start() {
            Ok(server) => server,
            Err(NotStarted { status, said }) => panic!("the server did not start ({status:?}):\n{said}"),
        }
    }

    /// For starts that must fail.
    pub(crate) fn try_start(self) -> Result<Server, NotStarted> {
        let data = self.data_directory();
        let started = Instant::now();
        let (mut process, lines) = self.spawn(&data);
        let port = loop {
            match lines.recv_timeout(START_LIMIT.saturating_sub(started.elapsed())) {
                Ok(line) => {
                    if let Some((_, port)) = line.split_once(READY) {
                        break port.trim().parse().unwrap();
                    }
                }
                Err(RecvTimeoutError::Timeout) => return Err(process.not_started(None)),
                // Its output is closed: it has ended or is about to.
                Err(RecvTimeoutError::Disconnected) => {
                    let status = process.child.wait().unwrap();
                    return Err(process.not_started(Some(status)));
                }
            }
        };
        Ok(Server { port, data, started_in: started.elapsed(), process, arguments: self })
    }

    fn spawn(&self, data: &Path) -> (Process, Receiver<String>) {
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", &binary(), self.verb, "--listen", &self.listen])
            .arg("--data")
            .arg(data)
            .args(&self.arguments)
            .env("TRIBUTARY_ADMIN_PASSWORD", ADMIN_PASSWORD)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let (keeper, kept) = channel::<()>();
        let (send, receive) = channel();
        std::thread::spawn(move || {
            send.send(command.spawn().unwrap()).unwrap();
            kept.recv().ok();
        });
        let mut child = receive.recv().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (line, lines) = channel();
        listen(child.stdout.take().unwrap(), Arc::clone(&said), Some(line));
        listen(child.stderr.take().unwrap(), Arc::clone(&said), None);
        (Process { child, said, _keeper: keeper }, lines)
    }
}

/// The program under test; `TRIBUTARY_BINARY` says another one, as one that was built for release.
fn binary() -> String {
    std::env::var("TRIBUTARY_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_tributary").into())
}

impl Process {
    fn not_started(&mut self, status: Option<ExitStatus>) -> NotStarted {
        // What it wrote last may still be on its way.
        std::thread::sleep(Duration::from_millis(100));
        NotStarted { status, said: self.said.lock().unwrap().clone() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Keeps what comes out of a pipe, so that the server never waits for a reader.
fn listen(pipe: impl Read + Send + 'static, said: Arc<Mutex<String>>, lines: Option<Sender<String>>) {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let mut said = said.lock().unwrap();
            said.push_str(&line);
            said.push('\n');
            if let Some(lines) = &lines {
                lines.send(line).ok();
            }
        }
    });
}
