//! Settings of the server: command line over environment over `tributary.toml` over defaults.

mod alerts;
mod batch;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::model::check_name;

use alerts::AlertSettings;
pub use alerts::{Alerts, MailTo, WebhookTo};
use batch::BatchSettings;

/// How a server runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Name of the company: the SQL database.
    pub company: String,
    /// Folder of the key, the embedded state and, by default, the snapshots.
    pub data: PathBuf,
    /// Where Postgres clients connect. Port 0 chooses a free one.
    pub listen: SocketAddr,
    /// State database; the embedded one when `None`.
    pub state: Option<String>,
    /// Object store of the snapshots; a folder in `data` when `None`.
    pub storage: Option<String>,
    /// PEM files of the server's certificate chain and key.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Refuse sessions without TLS.
    pub require_tls: bool,
    /// Let clients on other machines log in without TLS.
    pub allow_plaintext: bool,
    /// Bytes that all queries together may hold in memory.
    pub query_memory_bytes: usize,
    /// Bytes that queries may spill to disk.
    pub spill_bytes: u64,
    /// How long a process may be away before another may write the objects that it was writing.
    pub lease: Duration,
    /// Folder of manifests that are added to those in the binary, or take their place.
    pub catalog: Option<PathBuf>,
    /// Scheme, host and port that stand for all hosts of a connector of the catalog.
    pub connector_base: BTreeMap<String, String>,
    /// Where browsers connect, and how they reach that; `None` serves them nothing.
    pub web: Option<Web>,
    /// Apps that are registered with vendors, by connector.
    pub oauth: BTreeMap<String, RegisteredApp>,
    /// Where alerts are sent.
    pub alerts: Alerts,
    /// Who is told of batches.
    pub batch: Option<WebhookTo>,
    /// What a program must bring that reads `/metrics`; nobody may without it.
    pub metrics_token: Option<String>,
}

/// The HTTP endpoint for browsers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Web {
    /// Where to listen. Port 0 chooses a free one.
    pub listen: SocketAddr,
    /// Scheme, host and port by which browsers reach it, without a slash at the end; that of `listen` when `None`.
    pub public_url: Option<String>,
}

/// An app that is registered with a vendor.
#[derive(Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisteredApp {
    /// Its public id.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Option<String>,
}

impl std::fmt::Debug for RegisteredApp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegisteredApp").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

/// What one of the places may say. Every key of the file is listed here.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Name of the company: the SQL database
    #[arg(long, env = "TRIBUTARY_COMPANY")]
    pub company: Option<String>,
    /// Folder of the key, the embedded state and the snapshots
    #[arg(long, env = "TRIBUTARY_DATA")]
    pub data: Option<PathBuf>,
    /// Address for Postgres clients; port 0 chooses a free one
    #[arg(long, env = "TRIBUTARY_LISTEN")]
    pub listen: Option<String>,
    /// State database: postgres://user@host/database; embedded by default
    #[arg(long, env = "TRIBUTARY_STATE", hide_env_values = true)]
    pub state: Option<String>,
    /// Snapshots: a folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix
    #[arg(long, env = "TRIBUTARY_STORAGE")]
    pub storage: Option<String>,
    /// PEM file of the certificate chain
    #[arg(long, env = "TRIBUTARY_TLS_CERT")]
    pub tls_cert: Option<PathBuf>,
    /// PEM file of the certificate's key
    #[arg(long, env = "TRIBUTARY_TLS_KEY")]
    pub tls_key: Option<PathBuf>,
    /// Refuse sessions without TLS
    #[arg(long, env = "TRIBUTARY_REQUIRE_TLS", num_args = 0..=1, default_missing_value = "true")]
    pub require_tls: Option<bool>,
    /// Let clients on other machines log in without TLS, for networks that are encrypted below
    #[arg(long, env = "TRIBUTARY_ALLOW_PLAINTEXT", num_args = 0..=1, default_missing_value = "true")]
    pub allow_plaintext: Option<bool>,
    /// Memory of all queries together, in MiB
    #[arg(long, env = "TRIBUTARY_QUERY_MEMORY_MIB")]
    pub query_memory_mib: Option<u64>,
    /// Disk that queries may spill to, in MiB
    #[arg(long, env = "TRIBUTARY_SPILL_MIB")]
    pub spill_mib: Option<u64>,
    /// Seconds that a node may be away before another takes over its objects
    #[arg(long, env = "TRIBUTARY_LEASE_SECONDS")]
    pub lease_seconds: Option<u64>,
    /// Folder of manifests that are added to those in the binary, or take their place
    #[arg(long, env = "TRIBUTARY_CATALOG")]
    pub catalog: Option<PathBuf>,
    /// Scheme, host and port that stand for all hosts of a connector; in the file only
    #[arg(skip)]
    pub connector_base: Option<BTreeMap<String, String>>,
    /// Address of the console for browsers; they are served nothing without it
    #[arg(long, env = "TRIBUTARY_WEB_LISTEN")]
    pub web_listen: Option<String>,
    /// URL by which browsers reach --web-listen, for example https://tributary.example.com
    #[arg(long, env = "TRIBUTARY_PUBLIC_URL")]
    pub public_url: Option<String>,
    /// Apps that are registered with vendors: [oauth.hubspot] with client_id and client_secret; in the file only
    #[arg(skip)]
    pub oauth: Option<BTreeMap<String, RegisteredApp>>,
    /// Where alerts are sent; [alerts] in the file
    #[command(flatten)]
    pub alerts: AlertSettings,
    /// Who is told of batches; [batch] in the file
    #[command(flatten)]
    pub batch: BatchSettings,
    /// What Prometheus must bring as bearer token to read /metrics of --web-listen; nobody may without one
    #[arg(long, env = "TRIBUTARY_METRICS_TOKEN", hide_env_values = true)]
    pub metrics_token: Option<String>,
}

impl Settings {
    /// Reads a file. A mistake is told with file, line and key.
    pub fn from_file(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Error::new(Kind::Invalid, format!("cannot read the configuration `{}`: {error}", path.display()))
        })?;
        toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            let what = format!("{}:{line}: {}", path.display(), error.message());
            Error::new(Kind::Invalid, what).with_hint(
                "`tributary serve --help` lists the settings; in the file their dashes are underscores",
            )
        })
    }

    /// These settings, completed by `fallback`.
    pub fn or(self, fallback: Settings) -> Settings {
        Settings {
            company: self.company.or(fallback.company),
            data: self.data.or(fallback.data),
            listen: self.listen.or(fallback.listen),
            state: self.state.or(fallback.state),
            storage: self.storage.or(fallback.storage),
            tls_cert: self.tls_cert.or(fallback.tls_cert),
            tls_key: self.tls_key.or(fallback.tls_key),
            require_tls: self.require_tls.or(fallback.require_tls),
            allow_plaintext: self.allow_plaintext.or(fallback.allow_plaintext),
            query_memory_mib: self.query_memory_mib.or(fallback.query_memory_mib),
            spill_mib: self.spill_mib.or(fallback.spill_mib),
            lease_seconds: self.lease_seconds.or(fallback.lease_seconds),
            catalog: self.catalog.or(fallback.catalog),
            connector_base: self.connector_base.or(fallback.connector_base),
            web_listen: self.web_listen.or(fallback.web_listen),
            public_url: self.public_url.or(fallback.public_url),
            oauth: self.oauth.or(fallback.oauth),
            alerts: self.alerts.or(fallback.alerts),
            batch: self.batch.or(fallback.batch),
            metrics_token: self.metrics_token.or(fallback.metrics_token),
        }
    }

    /// The complete configuration, with defaults for what nobody said.
    pub fn resolve(self) -> Result<Config> {
        let company = self.company.unwrap_or_else(|| "company".into());
        check_name("a company", &company)?;
        let listen = self.listen.unwrap_or_else(|| "127.0.0.1:5433".into());
        let listen = address(&listen)?;
        let tls = match (self.tls_cert, self.tls_key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => {
                return Err(Error::new(
                    Kind::Invalid,
                    "tls-cert and tls-key belong together: only one is set",
                ));
            }
        };
        let require_tls = self.require_tls.unwrap_or(false);
        if require_tls && tls.is_none() {
            return Err(Error::new(Kind::Invalid, "require-tls is set without tls-cert and tls-key"));
        }
        Ok(Config {
            company,
            data: self.data.unwrap_or_else(|| "tributary-data".into()),
            listen,
            state: self.state,
            storage: self.storage,
            tls,
            require_tls,
            allow_plaintext: self.allow_plaintext.unwrap_or(false),
            query_memory_bytes: mebibytes("query-memory-mib", self.query_memory_mib.unwrap_or(1024))?,
            spill_bytes: mebibytes("spill-mib", self.spill_mib.unwrap_or(16 * 1024))? as u64,
            lease: lease(self.lease_seconds.unwrap_or(30))?,
            catalog: self.catalog,
            connector_base: self.connector_base.unwrap_or_default(),
            web: web(self.web_listen, self.public_url)?,
            oauth: self.oauth.unwrap_or_default(),
            alerts: self.alerts.resolve()?,
            batch: self.batch.resolve()?,
            metrics_token: self.metrics_token.map(token).transpose()?,
        })
    }
}

fn address(text: &str) -> Result<SocketAddr> {
    text.parse().map_err(|_| {
        Error::new(Kind::Invalid, format!("`{text}` is no address to listen on"))
            .with_hint("write IP address and port, for example 127.0.0.1:5433 or 0.0.0.0:5433")
    })
}

/// Codes and links cross the network to the browser: by https, unless that is this machine.
fn web(listen: Option<String>, public_url: Option<String>) -> Result<Option<Web>> {
    let Some(listen) = listen.as_deref().map(address).transpose()? else {
        return match public_url {
            None => Ok(None),
            Some(_) => Err(Error::new(Kind::Invalid, "public-url is set without web-listen")),
        };
    };
    let invalid = |text: &str| {
        Error::new(Kind::Invalid, format!("`{text}` cannot be the public URL"))
            .with_hint("write https, host and port, for example https://tributary.example.com; http for this machine only")
    };
    let Some(text) = public_url else {
        return match listen.ip().is_loopback() {
            true => Ok(Some(Web { listen, public_url: None })),
            false => {
                Err(Error::new(Kind::Invalid, "web-listen is open to other machines and needs public-url"))
            }
        };
    };
    let url = url::Url::parse(&text).map_err(|_| invalid(&text))?;
    let is_plain =
        url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    let is_local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    match (url.scheme(), is_plain && url.host().is_some(), is_local) {
        ("https", true, _) | ("http", true, true) => {
            Ok(Some(Web { listen, public_url: Some(url.as_str().trim_end_matches('/').into()) }))
        }
        _ => Err(invalid(&text)),
    }
}

/// Whoever may ask for metrics may try as often as they like.
fn token(text: String) -> Result<String> {
    match text.len() >= 16 && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(text),
        false => {
            Err(Error::new(Kind::Invalid, "`metrics-token` is too short or holds more than printable ASCII")
                .with_hint("write at least 16 characters; `openssl rand -hex 16` makes some"))
        }
    }
}

fn lease(seconds: u64) -> Result<Duration> {
    match seconds {
        2..=3600 => Ok(Duration::from_secs(seconds)),
        _ => Err(Error::new(Kind::Invalid, format!("`lease-seconds` cannot be {seconds}"))
            .with_hint("accepted: 2 to 3600; the clocks of all nodes must agree within a third of it")),
    }
}

fn mebibytes(name: &str, value: u64) -> Result<usize> {
    let bytes = value.checked_mul(1 << 20).and_then(|bytes| usize::try_from(bytes).ok());
    bytes.filter(|bytes| *bytes >= 16 << 20).ok_or_else(|| {
        Error::new(Kind::Invalid, format!("`{name}` cannot be {value}")).with_hint("accepted: 16 MiB or more")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_in_the_file_names_file_line_and_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tributary.toml");
        std::fs::write(&path, "company = \"acme\"\nlissten = \"x\"\n").unwrap();
        let error = Settings::from_file(&path).unwrap_err();
        assert!(error.what().contains("tributary.toml:2:") && error.what().contains("lissten"), "{error}");
    }

    #[test]
    fn the_command_line_wins_over_the_file() {
        let file = Settings {
            company: Some("acme".into()),
            listen: Some("1.2.3.4:1".into()),
            ..Settings::default()
        };
        let line = Settings { listen: Some("127.0.0.1:0".into()), ..Settings::default() };
        let config = line.or(file).resolve().unwrap();
        assert_eq!((config.company.as_str(), config.listen.port()), ("acme", 0));
    }

    #[test]
    fn impossible_settings_are_refused() {
        for settings in [
            Settings { listen: Some("localhost".into()), ..Settings::default() },
            Settings { company: Some("ACME Inc".into()), ..Settings::default() },
            Settings { require_tls: Some(true), ..Settings::default() },
            Settings { tls_cert: Some("a".into()), ..Settings::default() },
            Settings { query_memory_mib: Some(0), ..Settings::default() },
            Settings { lease_seconds: Some(1), ..Settings::default() },
            Settings { lease_seconds: Some(3601), ..Settings::default() },
            Settings { metrics_token: Some("short".into()), ..Settings::default() },
            Settings { public_url: Some("https://a.example".into()), ..Settings::default() },
            Settings { web_listen: Some("0.0.0.0:8080".into()), ..Settings::default() },
            browsers_at("http://tributary.example"),
            browsers_at("https://tributary.example/path"),
            browsers_at("https://user@tributary.example"),
            browsers_at("tributary.example"),
        ] {
            assert!(settings.resolve().is_err());
        }
    }

    fn browsers_at(url: &str) -> Settings {
        let web_listen = Some("127.0.0.1:0".into());
        Settings { web_listen, public_url: Some(url.into()), ..Settings::default() }
    }

    #[test]
    fn browsers_come_by_https_or_from_this_machine() {
        for (url, kept) in [
            ("https://tributary.example/", "https://tributary.example"),
            ("https://tributary.example:8443", "https://tributary.example:8443"),
            ("http://localhost:8080", "http://localhost:8080"),
        ] {
            let web = browsers_at(url).resolve().unwrap().web.unwrap();
            assert_eq!(web.public_url.as_deref(), Some(kept));
        }
    }
}
