//! Servers of object stores, each started once a test run: moto for S3, Azurite for Azure, [`google`] for Google's.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use hmac::{Hmac, Mac};

use super::google;
use super::postgres::free_port;
use super::proxy::{Proxy, request};
use super::server::Builder;

/// The account and key that every Azurite has.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A bucket of its own behind a proxy of its own.
pub(crate) struct Bucket {
    pub(crate) name: String,
    pub(crate) proxy: Proxy,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    S3,
    Google,
    Azure,
}

impl Bucket {
    pub(crate) fn new(kind: Kind) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("bucket-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let proxy = match kind {
            Kind::S3 => {
                let status = request(moto(), &[&format!("PUT /{name} HTTP/1.1"), "Content-Length: 0"]);
                assert!(status.contains(" 200 "), "{status}");
                Proxy::start(moto())
            }
            Kind::Google => {
                google::google().make(&name);
                Proxy::start(google::google().port)
            }
            Kind::Azure => {
                make_container(&name);
                Proxy::start(azurite())
            }
        };
        Bucket { name, proxy, kind }
    }

    pub(crate) fn url(&self) -> String {
        let scheme = match self.kind {
            Kind::S3 => "s3",
            Kind::Google => "gs",
            Kind::Azure => "az",
        };
        format!("{scheme}://{}/snapshots", self.name)
    }

    /// A server that keeps its snapshots here, told by the environment as an operator would.
    pub(crate) fn used_by(&self, server: Builder) -> Builder {
        let server = server.args(&["--storage", &self.url()]);
        self.login(server)
    }

    /// The endpoint and credentials, as docker-compose.yml sets them.
    pub(crate) fn login(&self, server: Builder) -> Builder {
        let endpoint = format!("http://127.0.0.1:{}", self.proxy.port);
        match self.kind {
            Kind::S3 => server
                .env("AWS_ENDPOINT", &endpoint)
                .env("AWS_ALLOW_HTTP", "true")
                .env("AWS_REGION", "us-east-1")
                .env("AWS_ACCESS_KEY_ID", "tributary")
                .env("AWS_SECRET_ACCESS_KEY", "storage-password"),
            Kind::Google => server.env("GOOGLE_SERVICE_ACCOUNT_KEY", &google::key_file(&endpoint)),
            Kind::Azure => server
                .env("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT)
                .env("AZURE_STORAGE_ACCOUNT_KEY", KEY)
                .env("AZURE_STORAGE_ENDPOINT", &format!("{endpoint}/{ACCOUNT}"))
                .env("AZURE_ALLOW_HTTP", "true"),
        }
    }
}

fn moto() -> u16 {
    static PORT: OnceLock<u16> = OnceLock::new();
    *PORT.get_or_init(|| {
        let port = free_port();
        let mut command = dying_with_us(&installed("venv/bin/moto_server"));
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        start(command, port);
        port
    })
}

fn azurite() -> u16 {
    static PORT: OnceLock<u16> = OnceLock::new();
    *PORT.get_or_init(|| {
        let port = free_port();
        let mut command = dying_with_us(Path::new("node"));
        command
            .arg(installed("node_modules/azurite/dist/src/blob/main.js"))
            .args([
                "--silent",
                "--loose",
                "--skipApiVersionCheck",
                "--disableTelemetry",
                "--inMemoryPersistence",
            ])
            .args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()]);
        start(command, port);
        port
    })
}

fn dying_with_us(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(program);
    command
}

fn start(mut command: Command, port: u16) {
    let folder = super::folder::folder_of_this_run("tributary-test-buckets");
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // The kernel ends the server when the thread that started it ends: that thread must outlive all tests.
    std::thread::spawn(move || command.spawn().unwrap().wait().unwrap());
    let started = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(started.elapsed() < Duration::from_secs(60), "the object store did not start");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Where `scripts/setup test` puts the servers.
fn installed(path: &str) -> PathBuf {
    let found = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("drivers").join(path);
    assert!(found.exists(), "{} is missing: run scripts/setup test", found.display());
    found
}

fn make_container(name: &str) {
    let date = chrono::DateTime::from_timestamp_micros(tributary::model::now_micros()).unwrap();
    let date = date.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let version = "2021-08-06";
    let signed = format!(
        "PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:{date}\nx-ms-version:{version}\n/{ACCOUNT}/{ACCOUNT}/{name}\n\
         restype:container"
    );
    let key = base64::prelude::BASE64_STANDARD.decode(KEY).unwrap();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
    mac.update(signed.as_bytes());
    let signature = base64::prelude::BASE64_STANDARD.encode(mac.finalize().into_bytes());
    let status = request(
        azurite(),
        &[
            &format!("PUT /{ACCOUNT}/{name}?restype=container HTTP/1.1"),
            "Content-Length: 0",
            &format!("x-ms-date: {date}"),
            &format!("x-ms-version: {version}"),
            &format!("Authorization: SharedKey {ACCOUNT}:{signature}"),
        ],
    );
    assert!(status.contains(" 201 "), "{status}");
}
