//! Objects and fields: which there are, and where they stand.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{Entries, Page, Reads, Request};
use crate::catalog::template::Template;
use crate::catalog::text::{Name, Pointer};

/// What can be adopted as a table.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Objects {
    /// Values of `{object.<name>}` for objects that say no other.
    pub vars: BTreeMap<Name, String>,
    /// Objects that the manifest names.
    pub known: Entries<KnownObject>,
    /// A request that lists further objects.
    pub discover: Option<DiscoverObjects>,
    /// A request per known object of the common shape; where it answers `no_access` or `no_object`, the object is not
    /// offered.
    pub probe: Option<Request>,
}

/// An object that the manifest names. One of another shape than most says its own fields and reads.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownObject {
    /// What the API calls it: `{object.api}`. Its name in the manifest by default.
    pub api: Option<String>,
    /// What people call one of them.
    pub label: String,
    /// The field that names a record for people.
    pub name_field: Option<String>,
    /// Values of `{object.<name>}`.
    #[serde(default)]
    pub vars: BTreeMap<Name, String>,
    /// Its fields, where they are not those of objects in general.
    pub fields: Option<Fields>,
    /// How it is read, where that is not how objects are read in general.
    pub read: Option<Reads>,
}

/// How objects are listed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiscoverObjects {
    /// The request.
    pub request: Request,
    /// Where the answer has the objects.
    pub records: Pointer,
    /// How further pages are asked for.
    #[serde(default)]
    pub page: Page,
    /// What the table is called.
    pub name: Pointer,
    /// What the API calls it; the name by default.
    pub api: Option<Pointer>,
    /// What people call it.
    pub label: Option<Pointer>,
    /// The field that names a record for people.
    pub name_field: Option<Pointer>,
    /// Only objects for which all of these hold.
    #[serde(default)]
    pub keep: Vec<Condition>,
    /// Names of objects that cannot be read. `*` at the beginning stands for any beginning.
    #[serde(default)]
    pub except: Vec<String>,
    /// Values of `{object.<name>}`.
    #[serde(default)]
    pub vars: BTreeMap<Name, Pointer>,
}

/// A condition on a JSON value.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Where the value stands.
    pub at: Pointer,
    /// What it must be, as text: `true`, `17`, `formula`. Without it, that it is there and not null is enough.
    pub is: Option<String>,
    /// What its text must begin with.
    pub begins: Option<String>,
}

impl Condition {
    /// Whether it holds for `document`.
    pub fn holds(&self, document: &serde_json::Value) -> bool {
        let Some(value) = self.at.find(document).filter(|value| !value.is_null()) else { return false };
        let text = crate::catalog::template::as_text(value);
        self.is.as_ref().is_none_or(|is| *is == text)
            && self.begins.as_ref().is_none_or(|begins| text.starts_with(begins.as_str()))
    }
}

/// The fields of an object.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fields {
    /// Fields that every record has and nobody needs to ask for.
    pub fixed: Entries<FixedField>,
    /// A request that lists the fields of an object. They are asked for by name: `{fields}`.
    pub discover: Option<DiscoverFields>,
    /// Where a discovered field stands in a record, with `{field}` for its name; `/{field}` by default.
    pub at: Option<Pointer>,
    /// How fields of a type are asked for and called in records, with `{field}` for the name. By the API's own type.
    pub spell: BTreeMap<String, Template>,
    /// The fields that tell records apart, as long as the object has them.
    pub key: Vec<Spanned<String>>,
    /// The field that moves with every change; of several the first that the object has.
    pub modified: Vec<Spanned<String>>,
    /// Records that were merged into this one.
    pub merged: Option<Merged>,
}

/// A field that every record has.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FixedField {
    /// Where it stands in the record.
    pub at: Option<Pointer>,
    /// Where it stands in the record around this one; for records within records.
    pub outer: Option<Pointer>,
    /// Its type.
    #[serde(rename = "type")]
    pub column: ColumnType,
    /// What people call it; its name by default.
    pub label: Option<String>,
    /// Whether it changes without moving the modified date.
    #[serde(default)]
    pub computed: bool,
}

/// How the fields of an object are listed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiscoverFields {
    /// The request.
    pub request: Request,
    /// Where the answer has the fields.
    pub records: Pointer,
    /// The name; of several places the first that has one.
    pub name: Vec<Pointer>,
    /// What people call it.
    pub label: Option<Pointer>,
    /// The type. Of several places the values are joined by dots, and the longest beginning that `types` lists counts:
    /// `enumeration.checkbox` before `enumeration`.
    #[serde(rename = "type")]
    pub kind: Vec<Pointer>,
    /// Digits of a decimal number.
    pub precision: Option<Pointer>,
    /// Digits after its point.
    pub scale: Option<Pointer>,
    /// Any of these: it changes without moving the modified date.
    #[serde(default)]
    pub computed: Vec<Condition>,
    /// Any of these: it is not offered.
    #[serde(default)]
    pub skip: Vec<Condition>,
    /// All of these: it names a record for people.
    #[serde(default)]
    pub name_field: Vec<Condition>,
}

/// Where a record tells which other records were merged into it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Merged {
    /// The field; read whether or not it is selected.
    pub field: String,
    /// What separates the keys in it.
    pub separator: String,
}

/// How a value is kept. What does not fit is NULL and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// Text as it is.
    Text,
    /// `true`, `false`, also as text.
    Bool,
    /// A whole number of 64 bits; `7.0` is one too.
    Int,
    /// An exact number: `numeric(38,9)`, or with the digits that the field declares.
    Decimal,
    /// An approximate number.
    Float,
    /// A day: `2026-10-31`, or milliseconds since 1970 at midnight UTC.
    Date,
    /// A time of day; kept as text.
    Time,
    /// A point in time: RFC 3339 in all its spellings, or milliseconds since 1970.
    Timestamp,
    /// A point in time as milliseconds since 1970.
    EpochMs,
    /// Any JSON; kept as text.
    Json,
    /// Texts separated by `;`, or a JSON list of texts.
    List,
    /// Not offered.
    Skip,
}
