//! The settings of a session: those of PostgreSQL 15, ours, and any with a dot in its name.

mod style;
mod table;
mod value;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

pub use self::style::{DateForm, DateOrder, DateStyle, IntervalStyle, Reading, Style, general};
pub(super) use self::table::{Context, Definition, Kindly, find};
use super::as_of;
use super::zone::Zone;
use crate::error::{Error, Kind, Result, did_you_mean};

/// Which release is read.
pub(super) const AS_OF: &str = "tributary.as_of";

/// The modes of a transaction, each with the setting that it begins with.
pub(super) const MODES: [(&str, &str); 3] = [
    ("transaction_isolation", "default_transaction_isolation"),
    ("transaction_read_only", "default_transaction_read_only"),
    ("transaction_deferrable", "default_transaction_deferrable"),
];

/// The settings of one session, shared with the functions of its statements.
pub(super) type SharedSettings = Arc<Mutex<Settings>>;

type Values = BTreeMap<String, String>;

/// The settings of one session.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    is_admin: bool,
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

/// How long a change lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lasts {
    /// `SET`
    Session,
    /// `SET LOCAL`
    Transaction,
}

/// A setting with its value in a session, as a row of `pg_settings` has it.
pub(super) struct Shown {
    pub(super) definition: &'static Definition,
    /// In the setting's own unit.
    pub(super) setting: String,
    /// What `RESET` goes back to.
    pub(super) reset: String,
    /// `default`, `client` or `session`.
    pub(super) source: &'static str,
}

impl Settings {
    pub(super) fn new(user: &str, is_admin: bool) -> Self {
        let mut settings = Settings { is_admin, ..Settings::default() };
        settings.startup.insert("session_authorization".into(), user.into());
        settings.startup.insert("is_superuser".into(), if is_admin { "on" } else { "off" }.into());
        settings
    }

    /// The stored value: canonical, numbers in the setting's own unit. `name` is in lower case.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let given = self.local.get(name).or_else(|| self.session.get(name));
        if let Some(given) = given {
            return Some(given);
        }
        if let Some((_, begins_with)) = MODES.iter().find(|(mode, _)| *mode == name) {
            return self.value(begins_with);
        }
        self.initial(name)
    }

    /// What `RESET` goes back to.
    fn initial(&self, name: &str) -> Option<&str> {
        self.startup.get(name).map(String::as_str).or_else(|| find(name).map(|known| known.default))
    }

    /// The value as `SHOW` prints it.
    pub(super) fn show(&self, name: &str) -> Option<String> {
        let value = self.value(name)?;
        Some(match find(name) {
            Some(known) if known.name == "seed" => "unavailable".into(),
            Some(known) => value::shown(known, value),
            None => value.to_string(),
        })
    }

    /// The value as `SHOW` and `current_setting()` give it to the user of the session.
    pub(super) fn examine(&self, name: &str) -> Result<String> {
        if let Some(known) = find(name).filter(|known| known.is_secret && !self.is_admin) {
            let what = format!(
                "must be superuser or have privileges of pg_read_all_settings to examine \"{}\"",
                known.name
            );
            return Err(Error::new(Kind::Denied, what));
        }
        self.show(name).ok_or_else(|| unknown(name))
    }

    /// The name as `SHOW` puts it above the value.
    pub(super) fn shown_name(name: &str) -> &str {
        find(name).map_or(name, |known| known.name)
    }

    /// What `SHOW ALL` and `pg_settings` list for the user of the session.
    pub(super) fn listed(&self) -> impl Iterator<Item = Shown> {
        let seen = table::definitions().iter();
        let seen = seen.filter(|known| !known.is_hidden && (self.is_admin || !known.is_secret));
        seen.map(|known| {
            let is_set = self.local.contains_key(&known.key) || self.session.contains_key(&known.key);
            Shown {
                definition: known,
                setting: self.value(&known.key).unwrap_or_default().to_string(),
                reset: self.initial(&known.key).unwrap_or_default().to_string(),
                source: match (is_set, self.startup.contains_key(&known.key)) {
                    (true, _) => "session",
                    (false, true) => "client",
                    (false, false) => "default",
                },
            }
        })
    }

    /// Sets what the user of the session may set.
    pub(super) fn set(&mut self, name: &str, value: &str, lasts: Lasts) -> Result<()> {
        let value = self.checked(name, value, false)?;
        self.keep(name, value, lasts);
        Ok(())
    }

    fn keep(&mut self, name: &str, value: String, lasts: Lasts) {
        let is_mode = MODES.iter().any(|(mode, _)| *mode == name);
        match lasts {
            Lasts::Session if !is_mode => {
                self.local.remove(name);
                self.session.insert(name.into(), value);
            }
            _ => {
                if find(name).is_none() && self.initial(name).is_none() {
                    // Once it was named it stays, with nothing in it.
                    self.startup.insert(name.into(), String::new());
                }
                self.local.insert(name.into(), value);
            }
        }
    }

    pub(super) fn set_startup(&mut self, name: &str, value: &str) -> Result<()> {
        let value = self.checked(name, value, true)?;
        self.startup.insert(name.into(), value);
        Ok(())
    }

    pub(super) fn reset(&mut self, name: &str, lasts: Lasts) -> Result<()> {
        match find(name) {
            Some(known) => self.may_change(known, false)?,
            None if is_custom(name)? => {
                self.startup.entry(name.into()).or_default();
            }
            None => return Err(unknown(name)),
        }
        match lasts {
            Lasts::Transaction => {
                let value = self.initial(name).unwrap_or_default().to_string();
                self.local.insert(name.into(), value);
            }
            Lasts::Session => {
                self.session.remove(name);
                self.local.remove(name);
            }
        }
        Ok(())
    }

    pub(super) fn reset_all(&mut self) {
        let is_kept = |name: &String| find(name).is_some_and(|known| known.is_kept);
        let dropped = self.session.keys().chain(self.local.keys()).filter(|name| find(name).is_none());
        for name in dropped.cloned().collect::<Vec<_>>() {
            self.startup.entry(name).or_default();
        }
        self.session.retain(|name, _| is_kept(name));
        self.local.retain(|name, _| is_kept(name));
    }

    pub(super) fn save(&self) -> Saved {
        Saved { session: self.session.clone(), local: self.local.clone() }
    }

    pub(super) fn restore(&mut self, saved: Saved) {
        self.session = saved.session;
        self.local = saved.local;
    }

    /// A transaction begins: its modes stay what they are now.
    pub(super) fn begin_transaction(&mut self) {
        for (mode, begins_with) in MODES {
            if let Some(value) = self.value(begins_with).map(str::to_string) {
                self.local.insert(mode.into(), value);
            }
        }
    }

    /// `SET LOCAL` ends with its transaction.
    pub(super) fn end_transaction(&mut self) {
        self.local.clear();
    }

    /// The time zone.
    pub(super) fn zone(&self) -> Zone {
        self.value("timezone").map_or(Zone::UTC, Zone::of_setting)
    }

    /// How dates and times are read.
    pub(super) fn reading(&self) -> Reading {
        self.style().reading()
    }

    /// How values are written.
    pub(super) fn style(&self) -> Style {
        let value = |name: &str| self.value(name).unwrap_or_default();
        Style {
            zone: self.zone(),
            dates: DateStyle::default().changed(value("datestyle")).unwrap_or_default(),
            intervals: IntervalStyle::of_setting(value("intervalstyle")),
            escapes_bytes: value("bytea_output") == "escape",
            float_digits: value("extra_float_digits").parse().unwrap_or(1),
        }
    }

    /// The schemas that names without one are looked for in.
    pub(super) fn search_path(&self) -> Vec<String> {
        value::names(self.value("search_path").unwrap_or_default()).unwrap_or_default()
    }

    /// The value of a setting in milliseconds; `None` where it is 0.
    pub(super) fn timeout(&self, name: &str) -> Option<Duration> {
        let millis: u64 = self.value(name)?.parse().ok()?;
        (millis > 0).then(|| Duration::from_millis(millis))
    }

    /// Whether the client wants to be told messages of a severity.
    pub(super) fn tells(&self, severity: &str) -> bool {
        const LEVELS: [&str; 9] =
            ["debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error"];
        let rank = |level: &str| LEVELS.iter().position(|known| known.eq_ignore_ascii_case(level));
        let least = self.value("client_min_messages").and_then(rank).unwrap_or(0);
        // What is no level of these, such as INFO, is always told.
        rank(severity).is_none_or(|rank| rank >= least)
    }

    /// Reported settings whose value is another one than the client was told.
    pub(super) fn take_reported(&mut self) -> Vec<(String, String)> {
        let mut changed = Vec::new();
        for known in table::definitions().iter().filter(|known| known.is_reported) {
            let value = self.show(&known.key).unwrap_or_default();
            if self.told.get(&known.key) != Some(&value) {
                self.told.insert(known.key.clone(), value.clone());
                changed.push((known.name.to_string(), value));
            }
        }
        changed
    }

    /// The canonical form of a value that the user may give the setting.
    fn checked(&self, name: &str, value: &str, at_start: bool) -> Result<String> {
        let Some(known) = find(name) else {
            // As in PostgreSQL, any name with a dot is a setting of some extension.
            return if is_custom(name)? { Ok(value.into()) } else { Err(unknown(name)) };
        };
        self.may_change(known, at_start)?;
        match known.name {
            AS_OF => {
                as_of::parse(value, self.reading())?;
            }
            "role" if value != "none" && Some(value) != self.initial("session_authorization") => {
                return Err(Error::new(Kind::Denied, format!("permission denied to set role \"{value}\"")));
            }
            "session_authorization" if Some(value) != self.initial("session_authorization") => {
                let what = format!("permission denied to set session authorization \"{value}\"");
                return Err(Error::new(Kind::Denied, what));
            }
            _ => {}
        }
        value::canonical(known, value, self.style().dates)
    }

    fn may_change(&self, known: &Definition, at_start: bool) -> Result<()> {
        let name = known.name;
        let refused = |how: &str| {
            Err(Error::new(Kind::Denied, format!("parameter \"{name}\" {how}")).with_sqlstate("55P02"))
        };
        match known.context {
            Context::Internal => refused("cannot be changed"),
            Context::Postmaster => refused("cannot be changed without restarting the server"),
            Context::Sighup => refused("cannot be changed now"),
            Context::Backend | Context::SuperuserBackend if !at_start => {
                refused("cannot be set after connection start")
            }
            Context::Superuser | Context::SuperuserBackend if !self.is_admin => {
                Err(Error::new(Kind::Denied, format!("permission denied to set parameter \"{name}\"")))
            }
            _ => Ok(()),
        }
    }
}

/// The text that a `SET` with these words gives the setting.
pub(super) fn given(name: &str, words: &[String]) -> Result<String> {
    let known = find(name);
    if words.len() > 1 && !known.is_some_and(|known| known.is_list) {
        let what = format!("SET {} takes only one argument", Settings::shown_name(name));
        return Err(Error::new(Kind::Invalid, what));
    }
    let has_names = known.is_some_and(|known| known.has_names);
    let quoted = |word: &String| match has_names {
        true => crate::model::quote_ident(word),
        false => word.clone(),
    };
    Ok(words.iter().map(quoted).collect::<Vec<_>>().join(", "))
}

/// Whether any session may make up a setting of that name. 42602 where it has a dot and cannot be one.
fn is_custom(name: &str) -> Result<bool> {
    if !name.contains('.') || name.starts_with("tributary.") {
        return Ok(false);
    }
    let is_identifier = |part: &str| {
        part.starts_with(|c: char| c.is_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '$')
    };
    if name.split('.').all(is_identifier) {
        return Ok(true);
    }
    Err(Error::new(Kind::Invalid, format!("invalid configuration parameter name \"{name}\""))
        .with_sqlstate("42602")
        .with_detail("Custom parameter names must be two or more simple identifiers separated by dots."))
}

/// 42704
pub(super) fn unknown(name: &str) -> Error {
    let error = Error::new(Kind::NotFound, format!("unrecognized configuration parameter \"{name}\""));
    match did_you_mean(name, table::definitions().iter().map(|known| known.key.as_str())) {
        hint if hint.is_empty() => error.with_sqlstate("42704"),
        hint => error.with_sqlstate("42704").with_hint(hint.trim().trim_matches(['(', ')']).to_string()),
    }
}
