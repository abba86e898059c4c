//! What PostgreSQL 15 says about its settings, and what differs here.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::AS_OF;
use crate::query::functions::system::SERVER_VERSION;

/// Written by `scripts/settings`, which also says what its columns are.
static POSTGRES: &str = include_str!("postgres15.tsv");

/// Values of ours where a new PostgreSQL has others.
const OWN: &[(&str, &str)] = &[
    ("server_version", SERVER_VERSION),
    ("TimeZone", "UTC"),
    ("log_timezone", "UTC"),
    ("jit", "off"),
    ("password_encryption", "scram-sha-256"),
];

/// The settings whose changes a client is told about.
const REPORTED: &[&str] = &[
    "application_name",
    "client_encoding",
    "DateStyle",
    "default_transaction_read_only",
    "in_hot_standby",
    "integer_datetimes",
    "IntervalStyle",
    "is_superuser",
    "server_encoding",
    "server_version",
    "session_authorization",
    "standard_conforming_strings",
    "TimeZone",
];

/// What kind of value a setting has.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::query) enum Kindly {
    Bool,
    Integer(i64, i64),
    Real(f64, f64),
    Text,
    Enum(Vec<&'static str>),
}

/// Who may change a setting, and when: the `context` of `pg_settings`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::query) enum Context {
    Internal,
    Postmaster,
    Sighup,
    /// At the start of a session.
    Backend,
    SuperuserBackend,
    Superuser,
    User,
}

/// A setting.
#[derive(Debug)]
pub(in crate::query) struct Definition {
    /// As PostgreSQL writes it.
    pub(in crate::query) name: &'static str,
    /// In lower case: what values are kept by.
    pub(in crate::query) key: String,
    pub(in crate::query) kind: Kindly,
    pub(in crate::query) vartype: &'static str,
    pub(in crate::query) unit: &'static str,
    pub(in crate::query) context: Context,
    pub(in crate::query) context_name: &'static str,
    pub(in crate::query) min: &'static str,
    pub(in crate::query) max: &'static str,
    pub(in crate::query) boot: &'static str,
    /// The value of a session that sets nothing.
    pub(in crate::query) default: &'static str,
    pub(in crate::query) category: &'static str,
    pub(in crate::query) short: &'static str,
    pub(in crate::query) extra: &'static str,
    /// Not in `SHOW ALL`.
    pub(in crate::query) is_hidden: bool,
    /// Not touched by `RESET ALL`.
    pub(in crate::query) is_kept: bool,
    /// Shown to admins only.
    pub(in crate::query) is_secret: bool,
    /// Several words may be given.
    pub(in crate::query) is_list: bool,
    /// Several names may be given, each quoted where it needs that.
    pub(in crate::query) has_names: bool,
    pub(in crate::query) is_reported: bool,
}

struct Table {
    all: Vec<Definition>,
    places: HashMap<String, usize>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut all: Vec<Definition> = POSTGRES.lines().filter_map(definition).collect();
    all.push(as_of());
    all.sort_by(|a, b| a.key.cmp(&b.key));
    let places = all.iter().enumerate().map(|(place, known)| (known.key.clone(), place)).collect();
    Table { all, places }
});

/// All of them, in the order of `SHOW ALL`.
pub(in crate::query) fn definitions() -> &'static [Definition] {
    &TABLE.all
}

/// The setting of that name, whatever its case.
pub(in crate::query) fn find(name: &str) -> Option<&'static Definition> {
    let place = match TABLE.places.get(name) {
        Some(place) => *place,
        None => *TABLE.places.get(&name.to_lowercase())?,
    };
    TABLE.all.get(place)
}

fn definition(line: &'static str) -> Option<Definition> {
    let mut fields = line.split('\t');
    let mut next = || fields.next();
    let (name, vartype, unit, context_name) = (next()?, next()?, next()?, next()?);
    let (min, max, options, boot, default) = (next()?, next()?, next()?, next()?, next()?);
    let (flags, category, short, extra) = (next()?, next()?, next()?, next()?);
    let has = |flag: &str| flags.split(',').any(|given| given == flag);
    let kind = match vartype {
        "bool" => Kindly::Bool,
        "integer" => Kindly::Integer(min.parse().ok()?, max.parse().ok()?),
        "real" => Kindly::Real(min.parse().ok()?, max.parse().ok()?),
        "enum" => Kindly::Enum(options.split(',').collect()),
        _ => Kindly::Text,
    };
    let context = match context_name {
        "internal" => Context::Internal,
        "postmaster" => Context::Postmaster,
        "sighup" => Context::Sighup,
        "backend" => Context::Backend,
        "superuser-backend" => Context::SuperuserBackend,
        "superuser" => Context::Superuser,
        "user" => Context::User,
        _ => return None,
    };
    let own = OWN.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    Some(Definition {
        name,
        key: name.to_lowercase(),
        kind,
        vartype,
        unit,
        context,
        context_name,
        min,
        max,
        boot: own.unwrap_or(boot),
        default: own.unwrap_or(default),
        category,
        short,
        extra,
        is_hidden: has("hidden"),
        is_kept: has("kept"),
        is_secret: has("secret"),
        is_list: has("list") || has("names"),
        has_names: has("names"),
        is_reported: REPORTED.contains(&name),
    })
}

fn as_of() -> Definition {
    Definition {
        name: AS_OF,
        key: AS_OF.into(),
        kind: Kindly::Text,
        vartype: "string",
        unit: "",
        context: Context::User,
        context_name: "user",
        min: "",
        max: "",
        boot: "latest",
        default: "latest",
        category: "Customized Options",
        short: "The release that is read: latest, a number, a cause or a time.",
        extra: "",
        is_hidden: false,
        is_kept: false,
        is_secret: false,
        is_list: false,
        has_names: false,
        is_reported: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::settings::style::DateStyle;

    #[test]
    fn every_line_of_the_table_is_read() {
        assert_eq!(definitions().len(), POSTGRES.lines().count() + 1);
        for known in definitions() {
            let value = super::super::value::canonical(known, known.default, DateStyle::default());
            // Some are worked out at the start of a server, from outside the range of what may be given.
            assert!(value.is_ok() || known.context != Context::User, "{}: {value:?}", known.name);
        }
        assert_eq!(REPORTED.iter().filter(|name| find(name).is_some()).count(), REPORTED.len());
        assert_eq!(OWN.iter().filter(|(name, _)| find(name).is_some()).count(), OWN.len());
    }
}
