//! What the catalog tells of a company, beside what is the same in every PostgreSQL.

use crate::model::{FieldType, Grant, Micros, Release, ReleaseObject};

/// The first number of what is not PostgreSQL's own.
pub const FIRST_OID: u32 = 16_384;
/// A numbered thing has so many oids in a row: a table has more of them than its own.
pub const OIDS_OF_ONE: u32 = 8;

/// The catalog of one release at one version of definitions, people and rights.
#[derive(Debug, Clone, Default)]
pub struct CatalogFacts {
    /// Everybody who may log in.
    pub roles: Vec<CatalogRole>,
    /// The connections, and the schema of the system's own tables.
    pub schemas: Vec<CatalogSchema>,
    /// The objects of the release, and the system's own tables.
    pub tables: Vec<CatalogTable>,
    /// Rights as they were given; those on a field with the name of its column in this release.
    pub grants: Vec<Grant>,
    /// Oids of the procedures, in the order of `Verbs::describe`.
    pub procedures: Vec<u32>,
}

/// A login.
#[derive(Debug, Clone)]
pub struct CatalogRole {
    /// Stays the same as long as the login does.
    pub oid: u32,
    /// Login name.
    pub name: String,
    /// Whether everything may be read and changed.
    pub is_admin: bool,
    /// Whether the login is allowed.
    pub can_login: bool,
}

/// A schema.
#[derive(Debug, Clone)]
pub struct CatalogSchema {
    /// Stays the same as long as the schema does.
    pub oid: u32,
    /// Its name.
    pub name: String,
    /// What people are told of it.
    pub comment: Option<String>,
}

/// Who may read a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// Those to whom it was granted.
    Granted,
    /// Everybody, although perhaps not every row.
    Everybody,
    /// Admins alone.
    Admins,
}

/// A table.
#[derive(Debug, Clone)]
pub struct CatalogTable {
    /// The first of [`OIDS_OF_ONE`] oids that belong to it and stay the same as long as it exists.
    pub oid: u32,
    /// Name of its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// What people call it.
    pub comment: Option<String>,
    /// Its columns in their order.
    pub columns: Vec<CatalogColumn>,
    /// Rows in it; `None` where nobody counts them.
    pub rows: Option<i64>,
    /// When its rows were published last.
    pub synced_at: Option<Micros>,
    /// Who may read it.
    pub readers: Readers,
    /// Where it is an object of the release: its place in there.
    pub object: Option<usize>,
}

/// A column.
#[derive(Debug, Clone)]
pub struct CatalogColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub data_type: FieldType,
    /// What people call it.
    pub comment: Option<String>,
    /// 0-based place in the key; `None` when it is no unique field.
    pub key_position: Option<u32>,
}

impl CatalogTable {
    /// The table of an object as it stood in a release. A label that only repeats the name is no comment.
    pub fn of_object(oid: u32, place: usize, object: &ReleaseObject) -> Self {
        let columns = object.fields.iter().map(|field| CatalogColumn {
            name: field.name.clone(),
            data_type: field.data_type.clone(),
            comment: comment(&field.label, &field.name),
            key_position: field.key_position,
        });
        CatalogTable {
            oid,
            schema: object.connection.clone(),
            name: object.name.clone(),
            comment: None,
            columns: columns.collect(),
            rows: Some(object.rows),
            synced_at: None,
            readers: Readers::Granted,
            object: Some(place),
        }
    }
}

impl CatalogFacts {
    /// The tables of a release, numbered in their order, and nothing else.
    pub fn of_release(release: &Release) -> Self {
        let oid = |place: usize| FIRST_OID + OIDS_OF_ONE * u32::try_from(place).unwrap_or_default();
        let tables = release.objects.iter().enumerate();
        let tables: Vec<_> =
            tables.map(|(place, object)| CatalogTable::of_object(oid(place), place, object)).collect();
        let mut facts = CatalogFacts::default();
        for table in &tables {
            if !facts.schemas.iter().any(|schema| schema.name == table.schema) {
                let oid = oid(tables.len() + facts.schemas.len());
                facts.schemas.push(CatalogSchema { oid, name: table.schema.clone(), comment: None });
            }
        }
        facts.tables = tables;
        facts
    }
}

/// A label, unless it says no more than the name does.
pub fn comment(label: &str, name: &str) -> Option<String> {
    Some(label.to_string()).filter(|label| !label.is_empty() && label != name)
}
