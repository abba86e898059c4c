//! A real PostgreSQL, started once per test run from the installed binaries, with one database a test.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The superuser of the test cluster, and its password.
pub(crate) const USER: &str = "tributary_test";
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// A running PostgreSQL. It dies with the test process.
pub(crate) struct Cluster {
    pub(crate) port: u16,
    pub(crate) data: PathBuf,
}

/// A database of its own within the cluster.
pub(crate) struct Database {
    pub(crate) name: String,
    pub(crate) port: u16,
}

impl Database {
    pub(crate) fn config(&self) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.port).user(USER).password(PASSWORD).dbname(&self.name);
        config
    }

    pub(crate) fn url(&self) -> String {
        let password = PASSWORD.replace(' ', "%20");
        format!("postgres://{USER}:{password}@127.0.0.1:{}/{}", self.port, self.name)
    }

    pub(crate) async fn connect(&self) -> tokio_postgres::Client {
        let (client, connection) = self.config().connect(tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    pub(crate) async fn execute(&self, sql: &str) {
        self.connect().await.batch_execute(sql).await.unwrap();
    }
}

/// The cluster of this test run.
pub(crate) fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(start)
}

/// A new empty database.
pub(crate) async fn database() -> Database {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let port = tokio::task::spawn_blocking(|| cluster().port).await.unwrap();
    let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let admin = Database { name: "postgres".into(), port };
    admin.execute(&format!("CREATE DATABASE {name}")).await;
    Database { name, port }
}

fn start() -> Cluster {
    let bin = binaries();
    let root = super::folder::folder_of_this_run("tributary-test-postgres");
    let data = root.join("data");
    let password_file = root.join("password");
    std::fs::write(&password_file, PASSWORD).unwrap();
    if is_root() {
        run(Command::new("chown").args(["-R", "postgres"]).arg(&root));
    }
    run(as_postgres(&bin.join("initdb"))
        .args(["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "-U", USER])
        .arg("-D")
        .arg(&data)
        .arg("--pwfile")
        .arg(&password_file));
    let port = free_port();
    let mut server = as_postgres(&bin.join("postgres"));
    server
        .arg("-D")
        .arg(&data)
        .args(["-p", &port.to_string(), "-k", &root.to_string_lossy()])
        .args(["-c", "fsync=off", "-c", "max_connections=200", "-c", "listen_addresses=127.0.0.1"])
        .args(["-c", "track_commit_timestamp=on", "-c", "wal_level=logical"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(std::env::temp_dir().join("tributary-test-postgres.log")).unwrap());
    // The kernel ends the server when the thread that started it ends: that thread must outlive all tests.
    std::thread::spawn(move || {
        let mut child = server.spawn().unwrap();
        child.wait().unwrap();
    });
    let started = Instant::now();
    let is_ready = || {
        Command::new(bin.join("pg_isready"))
            .args(["-h", "127.0.0.1", "-p", &port.to_string()])
            .output()
            .unwrap()
            .status
            .success()
    };
    while !is_ready() {
        assert!(started.elapsed() < Duration::from_secs(60), "PostgreSQL did not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    Cluster { port, data }
}

/// The newest installed PostgreSQL server; Debian does not put it on the PATH.
pub(crate) fn binaries() -> PathBuf {
    let mut versions: Vec<_> = std::fs::read_dir("/usr/lib/postgresql")
        .expect("install Debian's package postgresql")
        .map(|entry| entry.unwrap().path().join("bin"))
        .filter(|path| path.join("postgres").is_file())
        .collect();
    versions.sort();
    versions.pop().expect("install Debian's package postgresql")
}

/// A command that runs as a user PostgreSQL accepts (it refuses root) and that dies with its parent.
pub(crate) fn as_postgres(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "QUIT"]);
    if is_root() {
        command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]);
    }
    command.arg(program);
    command
}

pub(crate) fn is_root() -> bool {
    std::env::var_os("USER").is_some_and(|user| user == "root")
        || Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout == b"0\n")
}

pub(crate) fn run(command: &mut Command) {
    let out = command.output().unwrap();
    assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn a_real_postgresql_answers() {
    let database = database().await;
    let row = database.connect().await.query_one("SELECT version()", &[]).await.unwrap();
    assert!(row.get::<_, String>(0).starts_with("PostgreSQL "));
}
