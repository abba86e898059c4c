//! A manifest as types: what one YAML file says of one source system. Their comments are the reference in
//! docs/CONNECTORS.md.
//!
//! Enums are tagged from outside (`page: { token: {...} }`) and no type is flattened or untagged, so that a mistake
//! is told at the word itself.

mod http;
mod objects;
mod reads;

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::Spanned;

use super::text::Name;

pub use http::{
    Auth, Basic, Bearer, ClientCredentials, ErrorRule, Exchange, Header, Http, JwtBearer, Limit, Oauth2,
    Outcome, Quota, Request, Whoami,
};
pub use objects::{
    ColumnType, Condition, DiscoverFields, DiscoverObjects, Fields, FixedField, KnownObject, Merged, Objects,
};
pub use reads::{
    BatchMore, Batches, Bulk, BulkFormat, Count, FieldLimit, Filters, GetRead, JsonFilters, Language,
    LinkPage, ListRead, NumberPage, OffsetPage, Page, Reads, SeekPage, Since, TimeFormat, TokenPage,
    Tombstone,
};

/// One source system. The file is called after its `name`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The connector's name: what `CALL connect(...)` is given, and the default name of its connections.
    pub name: Spanned<Name>,
    /// The product's own name, for people.
    pub label: String,
    /// Where the vendor documents the API.
    pub docs: String,
    /// What a connection must or may be told, beside secrets. `{setting.<name>}` is its value.
    #[serde(default)]
    pub settings: Entries<Setting>,
    /// Hosts that requests and their tokens may go to, beside those written out in `http.base` and `auth`. `*.` at the
    /// beginning stands for any subdomain.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// The ways to log in. A connection uses the first one for which it has everything.
    pub auth: Vec<Auth>,
    /// The cheapest request that proves the login works, and whose it is.
    pub whoami: Whoami,
    /// How to talk to the API.
    pub http: Http,
    /// What answers other than success mean; the first rule that fits decides. Without one, 401 is `refresh`, 403
    /// `no_access`, 404 `no_object`, 408, 425, 429 and 5xx are tried again, and anything else fails.
    #[serde(default)]
    pub errors: Vec<ErrorRule>,
    /// The column type of each type that the API knows. A type that is not listed becomes text.
    #[serde(default)]
    pub types: BTreeMap<String, ColumnType>,
    /// What can be adopted as a table.
    pub objects: Objects,
    /// The fields of objects that do not say their own.
    pub fields: Fields,
    /// How objects are read that do not say their own.
    #[serde(default)]
    pub read: Reads,
    /// How a filter is said to this API. Without it every filter is applied after reading.
    pub filters: Option<Filters>,
}

impl Manifest {
    /// The fields of a known object, or those of objects in general.
    pub fn fields_of(&self, object: &str) -> &Fields {
        self.objects.known.get(object).and_then(|known| known.fields.as_ref()).unwrap_or(&self.fields)
    }

    /// How a known object is read, or objects in general.
    pub fn reads_of(&self, object: &str) -> &Reads {
        self.objects.known.get(object).and_then(|known| known.read.as_ref()).unwrap_or(&self.read)
    }
}

/// A setting of a connection.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// What it is called, for people.
    pub label: String,
    /// The value of connections that say none. Without it the setting is required.
    pub default: Option<String>,
    /// A value that could stand there.
    pub example: Option<String>,
    /// Values end with one of these; for settings that are hosts.
    #[serde(default)]
    pub ends_with: Vec<String>,
}

/// A map that keeps the order of the file.
#[derive(Clone, PartialEq, Eq)]
pub struct Entries<T>(pub Vec<(String, T)>);

impl<T> Entries<T> {
    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&T> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Keys and values in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Entries(Vec::new())
    }
}

impl<T: fmt::Debug> fmt::Debug for Entries<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(name, value)| (name, value))).finish()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for EntriesVisitor<T> {
            type Value = Entries<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<T>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(EntriesVisitor(PhantomData))
    }
}
