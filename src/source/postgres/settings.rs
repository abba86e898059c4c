//! The settings of a PostgreSQL connection: checked once, so that everything behind can trust them.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::error::{Error, Kind, Result, did_you_mean};
use crate::source::SettingInfo;

/// Every setting, for people and for the check of unknown names.
pub(crate) const SETTINGS: &[SettingInfo] = &[
    SettingInfo::required("host", "Host name, IP address, or the directory of a Unix socket"),
    SettingInfo::optional("port", "Port; 5432 by default"),
    SettingInfo::required("database", "Name of the database"),
    SettingInfo::required("user", "Login role; it needs nothing but SELECT"),
    SettingInfo::optional(
        "sslmode",
        "disable, prefer, require, verify-ca or verify-full; by default verify-full for public hosts, require \
         for private networks, prefer for this machine",
    ),
    SettingInfo::optional(
        "sslrootcert",
        "PEM text or file of the trusted certificates; the system's by default",
    ),
    SettingInfo::optional("sslcert", "PEM text or file of the client certificate"),
    SettingInfo::optional("sslkey", "File of the client certificate's private key"),
    SettingInfo::optional(
        "overlap_secs",
        "A diff reads again what changed up to so many seconds before its watermark; 600 by default",
    ),
    SettingInfo::optional("connect_timeout_secs", "Give up connecting after so many seconds; 10 by default"),
    SettingInfo::optional(
        "statement_timeout_secs",
        "The server ends a statement or an open transaction after so many seconds; 7200 by default",
    ),
    SettingInfo::optional(
        "parallel",
        "Connections used to read one large table, 1 to 8; by default one for every two processors, at most 4",
    ),
];

/// A secret text: wiped from memory when dropped, never printed.
#[derive(Clone)]
pub(crate) struct Password(Zeroizing<String>);

impl Password {
    pub(crate) fn new(password: String) -> Self {
        Password(Zeroizing::new(password))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// How much TLS is demanded. Nothing ever falls back below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SslMode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl SslMode {
    pub(crate) fn name(self) -> &'static str {
        match self {
            SslMode::Disable => "disable",
            SslMode::Prefer => "prefer",
            SslMode::Require => "require",
            SslMode::VerifyCa => "verify-ca",
            SslMode::VerifyFull => "verify-full",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let all =
            [SslMode::Disable, SslMode::Prefer, SslMode::Require, SslMode::VerifyCa, SslMode::VerifyFull];
        all.into_iter().find(|mode| mode.name() == text)
    }

    /// What a host deserves when nobody said otherwise.
    fn default_for(host: &str) -> Self {
        match locality(host) {
            Locality::ThisMachine => SslMode::Prefer,
            Locality::Private => SslMode::Require,
            Locality::Public => SslMode::VerifyFull,
        }
    }
}

/// Checked settings.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) database: String,
    pub(crate) user: String,
    pub(crate) sslmode: SslMode,
    pub(crate) root_cert: Option<String>,
    pub(crate) client_cert: Option<String>,
    pub(crate) client_key: Option<String>,
    pub(crate) overlap: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) statement_timeout: Duration,
    pub(crate) parallel: usize,
}

impl Settings {
    /// Checks `settings`; every complaint names the setting.
    pub(crate) fn parse(settings: &Value) -> Result<Self> {
        let Value::Object(map) = settings else {
            return Err(Error::new(
                Kind::Invalid,
                "the settings of a PostgreSQL connection must be a JSON object",
            )
            .with_hint(r#"for example {"host":"db.example.com","database":"crm","user":"reader"}"#));
        };
        refuse_unknown(map)?;
        let host = required(map, "host")?;
        // An IPv6 address may come as it stands in a URL.
        let host =
            host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host).to_string();
        if host.contains("://") || host.contains('@') || host.chars().any(char::is_whitespace) {
            return Err(Error::new(
                Kind::Invalid,
                format!("setting `host` must be a host name alone, not `{host}`"),
            )
            .with_hint("give port, database and user as settings of their own"));
        }
        let sslmode = match text(map, "sslmode")? {
            None => SslMode::default_for(&host),
            Some(mode) => SslMode::parse(&mode).ok_or_else(|| {
                Error::new(
                    Kind::Invalid,
                    format!(
                        "setting `sslmode` cannot be `{mode}`{}",
                        did_you_mean(&mode, ["disable", "prefer", "require", "verify-ca", "verify-full"])
                    ),
                )
                .with_hint("accepted are disable, prefer, require, verify-ca and verify-full")
            })?,
        };
        let client_cert = text(map, "sslcert")?;
        let client_key = text(map, "sslkey")?;
        if client_key.as_deref().is_some_and(|key| key.contains("-----BEGIN")) {
            return Err(Error::new(
                Kind::Invalid,
                "setting `sslkey` must be the path of a file, not the key itself",
            )
            .with_hint(
                "settings are not kept secret; put the key into a file that only the server may read",
            ));
        }
        if client_cert.is_some() != client_key.is_some() {
            return Err(Error::new(
                Kind::Invalid,
                "settings `sslcert` and `sslkey` go together; only one is given",
            ));
        }
        let unix = host.starts_with('/');
        if unix && !matches!(sslmode, SslMode::Disable | SslMode::Prefer) {
            return Err(Error::new(
                Kind::Invalid,
                format!("setting `sslmode` cannot be `{}` for a Unix socket", sslmode.name()),
            )
            .with_hint("PostgreSQL has no TLS on Unix sockets; use disable"));
        }
        Ok(Settings {
            port: number(map, "port", 1, 65_535)?.map_or(5432, |port| port as u16),
            database: required(map, "database")?,
            user: required(map, "user")?,
            sslmode: if unix { SslMode::Disable } else { sslmode },
            root_cert: text(map, "sslrootcert")?,
            client_cert,
            client_key,
            overlap: Duration::from_secs(number(map, "overlap_secs", 1, 2_592_000)?.unwrap_or(600)),
            connect_timeout: Duration::from_secs(number(map, "connect_timeout_secs", 1, 300)?.unwrap_or(10)),
            statement_timeout: Duration::from_secs(
                number(map, "statement_timeout_secs", 1, 604_800)?.unwrap_or(7200),
            ),
            parallel: number(map, "parallel", 1, 8)?.map_or_else(default_parallel, |lanes| lanes as usize),
            host,
        })
    }

    /// `host:port` for messages.
    pub(crate) fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// A lane keeps about two processors busy: one decodes, one sorts and encodes.
fn default_parallel() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    (processors / 2).clamp(1, 4)
}

fn refuse_unknown(map: &Map<String, Value>) -> Result<()> {
    let names = || SETTINGS.iter().map(|s| &*s.name);
    for name in map.keys() {
        if name == "password" {
            return Err(Error::new(Kind::Invalid, "`password` is a secret, not a setting").with_hint(
                "settings are not kept secret; use CALL set_secret('<connection>', 'password', '...')",
            ));
        }
        if !names().any(|known| known == name) {
            let shown: String = name.chars().take(80).collect();
            return Err(Error::new(
                Kind::Invalid,
                format!(
                    "unknown setting `{shown}` for a PostgreSQL connection{}",
                    did_you_mean(&shown, names())
                ),
            )
            .with_hint(format!("accepted are {}", names().collect::<Vec<_>>().join(", "))));
        }
    }
    Ok(())
}

fn required(map: &Map<String, Value>, name: &str) -> Result<String> {
    let purpose = SETTINGS.iter().find(|s| s.name == name).map_or("", |s| &*s.doc);
    text(map, name)?.filter(|value| !value.is_empty()).ok_or_else(|| {
        Error::new(Kind::Invalid, format!("setting `{name}` is missing"))
            .with_hint(format!("`{name}`: {purpose}"))
    })
}

fn text(map: &Map<String, Value>, name: &str) -> Result<Option<String>> {
    match map.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(value)) if value.contains('\0') => {
            Err(Error::new(Kind::Invalid, format!("setting `{name}` must not contain a NUL character")))
        }
        Some(Value::String(value)) => Ok(Some(value.clone())),
        Some(other) => Err(wrong_type(name, "a text", other)),
    }
}

fn number(map: &Map<String, Value>, name: &str, min: u64, max: u64) -> Result<Option<u64>> {
    let expected = || format!("a whole number from {min} to {max}");
    match map.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64() {
            Some(number) if (min..=max).contains(&number) => Ok(Some(number)),
            _ => Err(wrong_type(name, &expected(), value)),
        },
    }
}

fn wrong_type(name: &str, expected: &str, value: &Value) -> Error {
    let shown: String = value.to_string().chars().take(100).collect();
    Error::new(Kind::Invalid, format!("setting `{name}` must be {expected}, not `{shown}`"))
}

enum Locality {
    ThisMachine,
    Private,
    Public,
}

fn locality(host: &str) -> Locality {
    if host.starts_with('/') || host.eq_ignore_ascii_case("localhost") {
        return Locality::ThisMachine;
    }
    match host.parse::<IpAddr>() {
        Ok(ip) if ip.is_loopback() => Locality::ThisMachine,
        Ok(IpAddr::V4(ip)) if ip.is_private() || ip.is_link_local() => Locality::Private,
        Ok(IpAddr::V6(ip)) if ip.is_unique_local() || ip.is_unicast_link_local() => Locality::Private,
        Ok(_) => Locality::Public,
        // A name without a dot, and these endings, never leave the local network.
        Err(_) if !host.contains('.') => Locality::Private,
        Err(_) if [".local", ".internal", ".lan"].iter().any(|end| host.ends_with(end)) => Locality::Private,
        Err(_) => Locality::Public,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(settings: Value) -> String {
        let error = Settings::parse(&settings).unwrap_err();
        format!("{error} | {}", error.hint().unwrap_or_default())
    }

    #[test]
    fn every_complaint_names_the_setting() {
        let base = |name: &str, value: Value| {
            let mut settings = json!({"host": "h", "database": "d", "user": "u"});
            settings[name] = value;
            settings
        };
        let message = refusal(base("databse", json!("x")));
        assert!(
            message.contains("unknown setting `databse`") && message.contains("did you mean `database`?")
        );
        assert!(message.contains("sslrootcert"), "the accepted ones are listed: {message}");
        assert!(refusal(base("port", json!("5432x"))).contains("setting `port` must be a whole number"));
        assert!(refusal(base("port", json!(70000))).contains("not `70000`"));
        assert!(refusal(base("user", json!(["u"]))).contains("setting `user` must be a text, not `[\"u\"]`"));
        assert!(refusal(base("sslmode", json!("verify"))).contains("cannot be `verify`"));
        assert!(refusal(base("host", json!("postgres://h/d"))).contains("host name alone"));
        assert!(refusal(base("user", Value::Null)).contains("setting `user` is missing"));
        assert!(refusal(base("sslcert", json!("a.pem"))).contains("go together"));
        let leaked = refusal(base("password", json!("hunter2")));
        assert!(leaked.contains("set_secret") && !leaked.contains("hunter2"));
        assert!(refusal(json!("host=h")).contains("JSON object"));
    }

    #[test]
    fn the_default_tls_mode_depends_on_how_far_away_the_host_is() {
        for (host, mode) in [
            ("localhost", SslMode::Prefer),
            ("127.0.0.1", SslMode::Prefer),
            ("::1", SslMode::Prefer),
            ("[::1]", SslMode::Prefer),
            ("[2001:db8::1]", SslMode::VerifyFull),
            ("/var/run/postgresql", SslMode::Disable),
            ("10.1.2.3", SslMode::Require),
            ("db", SslMode::Require),
            ("db.internal", SslMode::Require),
            ("8.8.8.8", SslMode::VerifyFull),
            ("db.example.com", SslMode::VerifyFull),
        ] {
            let settings = Settings::parse(&json!({"host": host, "database": "d", "user": "u"})).unwrap();
            assert_eq!(settings.sslmode, mode, "{host}");
        }
    }

    #[test]
    fn a_password_is_never_printed() {
        assert_eq!(format!("{:?}", Password::new("hunter2".into())), "***");
    }
}
