//! The settings of a session: the ones of PostgreSQL 15 that clients ask for or set, and ours.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::functions::system::SERVER_VERSION;
use super::zone::Zone;
use crate::error::{Error, Kind, Result, did_you_mean};

/// Which release is read.
pub(super) const AS_OF: &str = "tributary.as_of";

/// The settings of one session, shared with the functions of its statements.
pub(super) type SharedSettings = Arc<Mutex<Settings>>;

#[derive(Clone, Copy, PartialEq)]
enum Kindly {
    Text,
    Bool,
    Integer(i64, i64),
    /// Milliseconds.
    Time,
    /// Kilobytes.
    Memory,
    Real,
    OneOf(&'static [&'static str]),
    ReadOnly,
    Encoding,
    Zone,
    DateStyle,
}

struct Known {
    name: &'static str,
    shown: &'static str,
    default: &'static str,
    kind: Kindly,
    reported: bool,
    doc: &'static str,
}

const fn known(shown: &'static str, name: &'static str, default: &'static str, kind: Kindly) -> Known {
    Known { name, shown, default, kind, reported: false, doc: "" }
}

const fn reported(shown: &'static str, name: &'static str, default: &'static str, kind: Kindly) -> Known {
    Known { name, shown, default, kind, reported: true, doc: "" }
}

const fn plain(name: &'static str, default: &'static str, kind: Kindly) -> Known {
    known(name, name, default, kind)
}

use Kindly::{Bool, Integer, Memory, OneOf, ReadOnly, Real, Text, Time};

const LEVELS: &[&str] = &[
    "debug5", "debug4", "debug3", "debug2", "debug1", "debug", "log", "info", "notice", "warning", "error",
    "fatal", "panic",
];
const ISOLATION: &[&str] = &["serializable", "repeatable read", "read committed", "read uncommitted"];

static KNOWN: &[Known] = &[
    reported("application_name", "application_name", "", Text),
    plain("array_nulls", "on", Bool),
    plain("backslash_quote", "safe_encoding", Text),
    plain("block_size", "8192", ReadOnly),
    plain("bytea_output", "hex", OneOf(&["hex", "escape"])),
    reported("client_encoding", "client_encoding", "UTF8", Kindly::Encoding),
    plain("client_min_messages", "notice", OneOf(LEVELS)),
    plain("cursor_tuple_fraction", "0.1", Real),
    reported("DateStyle", "datestyle", "ISO, MDY", Kindly::DateStyle),
    plain("deadlock_timeout", "1000", Time),
    plain("default_statistics_target", "100", Integer(1, 10_000)),
    plain("default_table_access_method", "heap", Text),
    plain("default_tablespace", "", Text),
    plain("default_text_search_config", "pg_catalog.simple", Text),
    plain("default_toast_compression", "pglz", Text),
    plain("default_transaction_deferrable", "off", Bool),
    plain("default_transaction_isolation", "read committed", OneOf(ISOLATION)),
    reported("default_transaction_read_only", "default_transaction_read_only", "off", Bool),
    plain("effective_cache_size", "524288", Integer(1, i32::MAX as i64)),
    plain("enable_bitmapscan", "on", Bool),
    plain("enable_hashagg", "on", Bool),
    plain("enable_hashjoin", "on", Bool),
    plain("enable_indexonlyscan", "on", Bool),
    plain("enable_indexscan", "on", Bool),
    plain("enable_material", "on", Bool),
    plain("enable_mergejoin", "on", Bool),
    plain("enable_nestloop", "on", Bool),
    plain("enable_seqscan", "on", Bool),
    plain("enable_sort", "on", Bool),
    plain("escape_string_warning", "on", Bool),
    plain("extra_float_digits", "1", Integer(-15, 3)),
    plain("geqo", "on", Bool),
    plain("gin_fuzzy_search_limit", "0", Integer(0, i32::MAX as i64)),
    plain("idle_in_transaction_session_timeout", "0", Time),
    plain("idle_session_timeout", "0", Time),
    reported("in_hot_standby", "in_hot_standby", "off", ReadOnly),
    reported("integer_datetimes", "integer_datetimes", "on", ReadOnly),
    reported(
        "IntervalStyle",
        "intervalstyle",
        "postgres",
        OneOf(&["postgres", "postgres_verbose", "sql_standard", "iso_8601"]),
    ),
    reported("is_superuser", "is_superuser", "off", ReadOnly),
    plain("jit", "off", Bool),
    plain("join_collapse_limit", "8", Integer(1, i32::MAX as i64)),
    plain("lc_collate", "C", ReadOnly),
    plain("lc_ctype", "C", ReadOnly),
    plain("lc_messages", "C", Text),
    plain("lc_monetary", "C", Text),
    plain("lc_numeric", "C", Text),
    plain("lc_time", "C", Text),
    plain("lo_compat_privileges", "off", Bool),
    plain("lock_timeout", "0", Time),
    plain("log_min_duration_statement", "-1", Integer(-1, i32::MAX as i64)),
    plain("log_statement", "none", Text),
    plain("maintenance_work_mem", "65536", Memory),
    plain("max_connections", "100", ReadOnly),
    plain("max_function_args", "100", ReadOnly),
    plain("max_identifier_length", "63", ReadOnly),
    plain("max_index_keys", "32", ReadOnly),
    plain("max_parallel_workers_per_gather", "2", Integer(0, 1024)),
    plain("parallel_leader_participation", "on", Bool),
    plain("password_encryption", "scram-sha-256", OneOf(&["scram-sha-256"])),
    plain("plan_cache_mode", "auto", OneOf(&["auto", "force_generic_plan", "force_custom_plan"])),
    plain("quote_all_identifiers", "off", Bool),
    plain("random_page_cost", "4", Real),
    plain("role", "none", Text),
    plain("row_security", "on", Bool),
    plain("search_path", "\"$user\", public", Text),
    plain("segment_size", "131072", ReadOnly),
    plain("seq_page_cost", "1", Real),
    reported("server_encoding", "server_encoding", "UTF8", ReadOnly),
    reported("server_version", "server_version", SERVER_VERSION, ReadOnly),
    plain("server_version_num", "150018", ReadOnly),
    reported("session_authorization", "session_authorization", "", ReadOnly),
    plain("session_replication_role", "origin", OneOf(&["origin", "replica", "local"])),
    plain("shared_buffers", "16384", ReadOnly),
    plain("ssl", "off", ReadOnly),
    reported("standard_conforming_strings", "standard_conforming_strings", "on", ReadOnly),
    plain("statement_timeout", "0", Time),
    plain("synchronize_seqscans", "on", Bool),
    plain("synchronous_commit", "on", Text),
    plain("tcp_keepalives_idle", "0", Integer(0, i32::MAX as i64)),
    plain("temp_buffers", "1024", Integer(100, 1 << 30)),
    reported("TimeZone", "timezone", "UTC", Kindly::Zone),
    plain("timezone_abbreviations", "Default", Text),
    plain("transaction_deferrable", "off", Bool),
    plain("transaction_isolation", "read committed", OneOf(ISOLATION)),
    plain("transaction_read_only", "off", Bool),
    plain("transform_null_equals", "off", Bool),
    Known {
        name: AS_OF,
        shown: AS_OF,
        default: "latest",
        kind: Text,
        reported: false,
        doc: "The release that is read: latest, a number, a cause or a time.",
    },
    plain("wal_block_size", "8192", ReadOnly),
    plain("wal_segment_size", "16777216", ReadOnly),
    plain("work_mem", "4096", Memory),
    plain("xmlbinary", "base64", Text),
    plain("xmloption", "content", Text),
];

fn find(name: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.name == name)
}

type Values = BTreeMap<String, String>;

/// The settings of one session.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    /// What `RESET` goes back to: the startup message's.
    startup: Values,
    session: Values,
    /// `SET LOCAL`, until the transaction ends.
    local: Values,
    told: Values,
}

/// The values that a rollback restores.
#[derive(Debug, Clone, Default)]
pub(super) struct Saved {
    session: Values,
    local: Values,
}

impl Settings {
    pub(super) fn new(user: &str, is_admin: bool) -> Self {
        let mut settings = Settings::default();
        settings.startup.insert("session_authorization".into(), user.into());
        settings.startup.insert("is_superuser".into(), if is_admin { "on" } else { "off" }.into());
        settings
    }

    /// The stored value: canonical, times in milliseconds.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let given =
            self.local.get(name).or_else(|| self.session.get(name)).or_else(|| self.startup.get(name));
        given.map(String::as_str).or_else(|| find(name).map(|known| known.default))
    }

    /// The value as `SHOW` prints it.
    pub(super) fn show(&self, name: &str) -> Option<String> {
        let value = self.value(name)?;
        Some(match find(name).map(|known| known.kind) {
            Some(Time) => show_time(value),
            Some(Memory) => show_memory(value),
            _ => value.to_string(),
        })
    }

    /// The name as `SHOW` puts it above the value.
    pub(super) fn shown_name(name: &str) -> &str {
        find(name).map_or(name, |known| known.shown)
    }

    /// All settings with their descriptions.
    pub(super) fn all(&self) -> Vec<(String, String, String)> {
        KNOWN
            .iter()
            .map(|known| (known.shown.into(), self.show(known.name).unwrap_or_default(), known.doc.into()))
            .collect()
    }

    pub(super) fn set(&mut self, name: &str, value: &str, local: bool) -> Result<()> {
        let value = check(name, value)?;
        if local {
            self.local.insert(name.into(), value);
        } else {
            self.local.remove(name);
            self.session.insert(name.into(), value);
        }
        Ok(())
    }

    pub(super) fn set_startup(&mut self, name: &str, value: &str) -> Result<()> {
        let value = check(name, value)?;
        self.startup.insert(name.into(), value);
        Ok(())
    }

    pub(super) fn reset(&mut self, name: &str, local: bool) -> Result<()> {
        let Some(known) = find(name) else {
            return if self.session.remove(name).is_some() { Ok(()) } else { Err(unknown(name)) };
        };
        if known.kind == ReadOnly {
            return Err(read_only(name));
        }
        if local {
            let value = self.startup.get(name).map_or(known.default, String::as_str).to_string();
            self.local.insert(name.into(), value);
        } else {
            self.session.remove(name);
            self.local.remove(name);
        }
        Ok(())
    }

    pub(super) fn reset_all(&mut self) {
        self.session.clear();
        self.local.clear();
    }

    pub(super) fn save(&self) -> Saved {
        Saved { session: self.session.clone(), local: self.local.clone() }
    }

    pub(super) fn restore(&mut self, saved: Saved) {
        self.session = saved.session;
        self.local = saved.local;
    }

    /// `SET LOCAL` ends with its transaction.
    pub(super) fn end_transaction(&mut self) {
        self.local.clear();
    }

    /// The time zone.
    pub(super) fn zone(&self) -> Zone {
        self.value("timezone").map_or(Zone::UTC, Zone::of_setting)
    }

    pub(super) fn statement_timeout(&self) -> Option<Duration> {
        let millis: u64 = self.value("statement_timeout")?.parse().ok()?;
        (millis > 0).then(|| Duration::from_millis(millis))
    }

    /// Reported settings whose value is another one than the client was told.
    pub(super) fn take_reported(&mut self) -> Vec<(String, String)> {
        let mut changed = Vec::new();
        for known in KNOWN.iter().filter(|known| known.reported) {
            let value = self.show(known.name).unwrap_or_default();
            if self.told.get(known.name) != Some(&value) {
                self.told.insert(known.name.into(), value.clone());
                changed.push((known.shown.to_string(), value));
            }
        }
        changed
    }
}

/// 42704
pub(super) fn unknown(name: &str) -> Error {
    let error = Error::new(Kind::NotFound, format!("unrecognized configuration parameter \"{name}\""));
    match did_you_mean(name, KNOWN.iter().map(|known| known.name)) {
        hint if hint.is_empty() => error.with_sqlstate("42704"),
        hint => error.with_sqlstate("42704").with_hint(hint.trim().trim_matches(['(', ')']).to_string()),
    }
}

fn read_only(name: &str) -> Error {
    Error::new(Kind::Denied, format!("parameter \"{name}\" cannot be changed")).with_sqlstate("55P02")
}

/// The canonical form of a value.
fn check(name: &str, value: &str) -> Result<String> {
    let Some(known) = find(name) else {
        // As in PostgreSQL, any name with a dot is a setting of some extension.
        let is_custom = name.contains('.') && !name.starts_with("tributary.");
        return if is_custom { Ok(value.into()) } else { Err(unknown(name)) };
    };
    let invalid =
        || Error::new(Kind::Invalid, format!("invalid value for parameter \"{name}\": \"{value}\""));
    let trimmed = value.trim();
    Ok(match known.kind {
        Text => value.to_string(),
        ReadOnly if trimmed.eq_ignore_ascii_case(known.default) => known.default.into(),
        ReadOnly => return Err(read_only(name)),
        Bool => match super::functions::text::parse_bool(trimmed) {
            Ok(on) => if on { "on" } else { "off" }.into(),
            Err(_) => {
                let what = format!("parameter \"{name}\" requires a Boolean value");
                return Err(Error::new(Kind::Invalid, what));
            }
        },
        Integer(least, most) => {
            let number: i64 = trimmed.parse().map_err(|_| invalid())?;
            if !(least..=most).contains(&number) {
                let what = format!(
                    "{number} is outside the valid range for parameter \"{name}\" ({least} .. {most})"
                );
                return Err(Error::new(Kind::Invalid, what));
            }
            number.to_string()
        }
        Real => trimmed.parse::<f64>().map_err(|_| invalid())?.to_string(),
        Time => parse_unit(trimmed, TIME_UNITS)
            .ok_or_else(|| {
                invalid().with_hint(
                    "Valid units for this parameter are \"us\", \"ms\", \"s\", \"min\", \"h\", and \"d\".",
                )
            })?
            .to_string(),
        Memory => parse_unit(trimmed, MEMORY_UNITS).ok_or_else(invalid)?.to_string(),
        OneOf(words) => {
            let lower = trimmed.to_lowercase();
            if !words.contains(&lower.as_str()) {
                return Err(invalid().with_hint(format!("Available values: {}.", words.join(", "))));
            }
            lower
        }
        Kindly::Encoding => {
            let plain = trimmed.trim_matches('\'').to_ascii_uppercase().replace(['-', '_'], "");
            match plain.as_str() {
                "UTF8" | "UNICODE" | "SQLASCII" | "AUTO" => "UTF8".into(),
                _ => return Err(invalid().with_hint("the encoding is always UTF8")),
            }
        }
        Kindly::Zone if trimmed.eq_ignore_ascii_case("local") => known.default.into(),
        Kindly::Zone => match Zone::of_given(trimmed) {
            Some((_, shown)) => shown,
            None => {
                let what = format!("invalid value for parameter \"TimeZone\": \"{value}\"");
                return Err(Error::new(Kind::Invalid, what)
                    .with_hint("accepted are names such as Europe/Berlin, and hours such as +2"));
            }
        },
        Kindly::DateStyle => {
            let known =
                |word: &str| ["iso", "mdy", "dmy", "ymd", "us", "european", "noneuropean"].contains(&word);
            let lower = trimmed.to_lowercase();
            if !lower.split(',').all(|word| known(word.trim())) {
                return Err(invalid().with_hint("dates are always shown in the ISO style"));
            }
            "ISO, MDY".into()
        }
    })
}

const TIME_UNITS: &[(&str, f64)] =
    &[("us", 0.001), ("ms", 1.0), ("s", 1e3), ("min", 6e4), ("h", 3.6e6), ("d", 8.64e7), ("", 1.0)];
const MEMORY_UNITS: &[(&str, f64)] = &[
    ("B", 1.0 / 1024.0),
    ("kB", 1.0),
    ("MB", 1024.0),
    ("GB", 1_048_576.0),
    ("TB", 1_073_741_824.0),
    ("", 1.0),
];

/// A number with an optional unit.
fn parse_unit(text: &str, units: &[(&str, f64)]) -> Option<i64> {
    let end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let number: f64 = text[..end].trim().parse().ok()?;
    let unit = text[end..].trim();
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    let value = (number * factor).round();
    (0.0..=f64::from(i32::MAX)).contains(&value).then_some(value as i64)
}

fn show_time(value: &str) -> String {
    let millis: i64 = value.parse().unwrap_or(0);
    for (unit, factor) in [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000)] {
        if millis != 0 && millis % factor == 0 {
            return format!("{}{unit}", millis / factor);
        }
    }
    if millis == 0 { "0".into() } else { format!("{millis}ms") }
}

fn show_memory(value: &str) -> String {
    let kilobytes: i64 = value.parse().unwrap_or(0);
    for (unit, factor) in [("GB", 1_048_576), ("MB", 1_024)] {
        if kilobytes != 0 && kilobytes % factor == 0 {
            return format!("{}{unit}", kilobytes / factor);
        }
    }
    format!("{kilobytes}kB")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(name: &str, value: &str) -> Option<String> {
        let mut settings = Settings::new("ann", false);
        settings.set(name, value, false).ok()?;
        settings.show(name)
    }

    #[test]
    fn values_are_checked_and_shown_as_in_postgresql() {
        for (name, value, expected) in [
            ("statement_timeout", "5s", Some("5s")),
            ("statement_timeout", "500", Some("500ms")),
            ("statement_timeout", "60000", Some("1min")),
            ("statement_timeout", "0", Some("0")),
            ("statement_timeout", "soon", None),
            ("work_mem", "64MB", Some("64MB")),
            ("extra_float_digits", "3", Some("3")),
            ("extra_float_digits", "4", None),
            ("client_encoding", "utf-8", Some("UTF8")),
            ("client_encoding", "latin1", None),
            ("enable_seqscan", "0", Some("off")),
            ("server_version", "9.6", None),
            ("no_such_setting", "1", None),
            ("my.setting", "1", Some("1")),
            ("tributary.asof", "1", None),
            ("timezone", "europe/berlin", Some("Europe/Berlin")),
            ("timezone", "Local", Some("UTC")),
            ("timezone", "nowhere", None),
        ] {
            assert_eq!(shown(name, value).as_deref(), expected, "{name} = {value}");
        }
    }
}
