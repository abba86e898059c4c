//! Columns and domains with what the standard tells of their types.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use arrow::record_batch::RecordBatch;
use datafusion::common::Result;

use super::{View, yes_or_no};
use crate::query::catalog::SCHEMA;
use crate::query::catalog::build::{Cell, Rows};
use crate::query::catalog::functions::type_text;
use crate::query::catalog::shape::Shape;

pub(super) fn of(view: &View<'_>, shape: &'static Shape) -> Result<Option<RecordBatch>> {
    let make = match shape.name {
        "columns" => columns,
        "column_udt_usage" => column_types,
        "element_types" => element_types,
        "domains" => domains,
        "domain_udt_usage" => domain_types,
        _ => return Ok(None),
    };
    make(view, shape).map(Some)
}

/// Most that a text may have, as PostgreSQL tells it.
const MAX_TEXT: i64 = 1 << 30;
/// Bytes of a character.
const MAX_CHARACTER: i64 = 4;

/// What the standard tells of a type.
#[derive(Clone)]
pub(super) struct Told {
    pub(super) data_type: String,
    length: Option<i64>,
    octets: Option<i64>,
    precision: Option<i64>,
    radix: Option<i64>,
    scale: Option<i64>,
    clock: Option<i64>,
    /// Schema and name of the domain.
    domain: Option<(String, String)>,
    /// Schema and name of the type itself.
    pub(super) own: (String, String),
}

impl View<'_> {
    /// What is told of a type with a modifier.
    pub(super) fn told(&self, oid: i64, modifier: i64) -> Result<Told> {
        let catalog = self.catalog;
        let row = catalog.find("pg_type", "oid", oid)?;
        let Some(row) = row else {
            let none = (String::new(), String::new());
            return Ok(Told {
                data_type: String::new(),
                length: None,
                octets: None,
                precision: None,
                radix: None,
                scale: None,
                clock: None,
                domain: None,
                own: none,
            });
        };
        let is_domain = row.text("typtype") == "d";
        let named = |row: &crate::query::catalog::live::Row| -> Result<(String, String)> {
            Ok((catalog.schema_name(row.oid("typnamespace"))?, row.text("typname").to_string()))
        };
        let (base, base_oid, modifier) = match is_domain {
            true => {
                let base = catalog.find("pg_type", "oid", row.oid("typbasetype"))?;
                (base.unwrap_or_else(|| row.clone()), row.oid("typbasetype"), row.oid("typtypmod"))
            }
            false => (row.clone(), oid, modifier),
        };
        let own = named(&base)?;
        let is_array = base.oid("typelem") != 0 && base.oid("typlen") == -1;
        let data_type = match (is_array, own.0.as_str()) {
            (true, _) => "ARRAY".to_string(),
            (_, SCHEMA) => type_text(self.scope, base_oid, None)?,
            _ => "USER-DEFINED".to_string(),
        };
        let given = (modifier != -1).then_some(modifier);
        let length = match base_oid {
            1042 | 1043 => given.map(|modifier| modifier - 4),
            1560 | 1562 => given,
            _ => None,
        };
        let octets = match base_oid {
            25 | 1042 | 1043 => Some(length.map_or(MAX_TEXT, |length| length * MAX_CHARACTER)),
            _ => None,
        };
        Ok(Told {
            data_type,
            length,
            octets,
            precision: match base_oid {
                21 => Some(16),
                23 => Some(32),
                20 => Some(64),
                700 => Some(24),
                701 => Some(53),
                1700 => given.map(|modifier| ((modifier - 4) >> 16) & 0xffff),
                _ => None,
            },
            radix: match base_oid {
                20 | 21 | 23 | 700 | 701 => Some(2),
                1700 => Some(10),
                _ => None,
            },
            scale: match base_oid {
                20 | 21 | 23 => Some(0),
                1700 => given.map(|modifier| (modifier - 4) & 0xffff),
                _ => None,
            },
            clock: match base_oid {
                1082 => Some(0),
                1083 | 1114 | 1184 | 1266 | 1186 => Some(if modifier < 0 { 6 } else { modifier & 0xffff }),
                _ => None,
            },
            domain: if is_domain { Some(named(&row)?) } else { None },
            own,
        })
    }
}

/// Types by number and modifier: columns have few of them.
type Known = HashMap<(i64, i64), Told>;

fn known<'k>(view: &View<'_>, known: &'k mut Known, oid: i64, modifier: i64) -> Result<&'k Told> {
    let told: &Told = match known.entry((oid, modifier)) {
        Entry::Occupied(told) => told.into_mut(),
        Entry::Vacant(place) => place.insert(view.told(oid, modifier)?),
    };
    Ok(told)
}

fn columns(view: &View<'_>, shape: &'static Shape) -> Result<RecordBatch> {
    let mut rows = Rows::new(
        shape,
        &[
            "table_catalog",
            "table_schema",
            "table_name",
            "column_name",
            "ordinal_position",
            "is_nullable",
            "data_type",
            "character_maximum_length",
            "character_octet_length",
            "numeric_precision",
            "numeric_precision_radix",
            "numeric_scale",
            "datetime_precision",
            "collation_catalog",
            "collation_schema",
            "collation_name",
            "domain_catalog",
            "domain_schema",
            "domain_name",
            "udt_catalog",
            "udt_schema",
            "udt_name",
            "dtd_identifier",
            "is_self_referencing",
            "is_identity",
            "identity_cycle",
            "is_generated",
            "is_updatable",
        ],
    );
    let mut types = Known::new();
    for class in view.classes()? {
        for column in view.catalog.find_all("pg_attribute", "attrelid", class.row.oid("oid"))? {
            let number = column.oid("attnum");
            if number < 1 || column.is("attisdropped") || !view.shows(&class, &column) {
                continue;
            }
            let told = known(view, &mut types, column.oid("atttypid"), column.oid("atttypmod"))?;
            // The collation of the database is not told; the others are.
            let collation = match column.oid("attcollation") {
                0 | 100 => None,
                oid => view.catalog.find("pg_collation", "oid", oid)?,
            };
            let collation = collation.as_ref().map(|row| row.text("collname"));
            let domain = told.domain.as_ref();
            rows.push(&[
                view.company().into(),
                (&class.schema).into(),
                class.row.text("relname").into(),
                column.text("attname").into(),
                number.into(),
                yes_or_no(!column.is("attnotnull")).into(),
                (&told.data_type).into(),
                told.length.into(),
                told.octets.into(),
                told.precision.into(),
                told.radix.into(),
                told.scale.into(),
                told.clock.into(),
                collation.map(|_| view.company()).into(),
                collation.map(|_| SCHEMA).into(),
                collation.into(),
                domain.map(|_| view.company()).into(),
                domain.map(|(schema, _)| schema).into(),
                domain.map(|(_, name)| name).into(),
                view.company().into(),
                (&told.own.0).into(),
                (&told.own.1).into(),
                number.to_string().into(),
                "NO".into(),
                "NO".into(),
                "NO".into(),
                "NEVER".into(),
                // Nobody can change anything.
                yes_or_no(false).into(),
            ]);
        }
    }
    rows.finish()
}

/// As PostgreSQL, only for who owns the types.
fn column_types(view: &View<'_>, shape: &'static Shape) -> Result<RecordBatch> {
    let given = [
        "udt_catalog",
        "udt_schema",
        "udt_name",
        "table_catalog",
        "table_schema",
        "table_name",
        "column_name",
    ];
    let mut rows = Rows::new(shape, &given);
    let mut types = Known::new();
    for class in if view.is_admin() { view.classes()? } else { Vec::new() } {
        for column in view.catalog.find_all("pg_attribute", "attrelid", class.row.oid("oid"))? {
            if column.oid("attnum") > 0 && !column.is("attisdropped") {
                let told = known(view, &mut types, column.oid("atttypid"), -1)?;
                rows.push(&[
                    view.company().into(),
                    (&told.own.0).into(),
                    (&told.own.1).into(),
                    view.company().into(),
                    (&class.schema).into(),
                    class.row.text("relname").into(),
                    column.text("attname").into(),
                ]);
            }
        }
    }
    rows.finish()
}

/// The elements of arrays that are columns.
fn element_types(view: &View<'_>, shape: &'static Shape) -> Result<RecordBatch> {
    let given = [
        "object_catalog",
        "object_schema",
        "object_name",
        "object_type",
        "collection_type_identifier",
        "data_type",
        "udt_catalog",
        "udt_schema",
        "udt_name",
        "dtd_identifier",
    ];
    let mut rows = Rows::new(shape, &given);
    for class in view.classes()? {
        for column in view.catalog.find_all("pg_attribute", "attrelid", class.row.oid("oid"))? {
            let Some(array) = view.catalog.find("pg_type", "oid", column.oid("atttypid"))? else { continue };
            let element = array.oid("typelem");
            if column.oid("attnum") < 1 || element == 0 || array.oid("typlen") != -1 {
                continue;
            }
            let told = view.told(element, -1)?;
            let number = column.oid("attnum").to_string();
            let element_id = format!("a{number}");
            rows.push(&[
                view.company().into(),
                (&class.schema).into(),
                class.row.text("relname").into(),
                "TABLE".into(),
                number.into(),
                told.data_type.into(),
                view.company().into(),
                told.own.0.into(),
                told.own.1.into(),
                element_id.into(),
            ]);
        }
    }
    rows.finish()
}

fn domains(view: &View<'_>, shape: &'static Shape) -> Result<RecordBatch> {
    let mut rows = Rows::new(
        shape,
        &[
            "domain_catalog",
            "domain_schema",
            "domain_name",
            "data_type",
            "character_maximum_length",
            "character_octet_length",
            "numeric_precision",
            "numeric_precision_radix",
            "numeric_scale",
            "datetime_precision",
            "udt_catalog",
            "udt_schema",
            "udt_name",
            "dtd_identifier",
        ],
    );
    for row in view.catalog.find_all("pg_type", "typtype", "d")? {
        let told = view.told(row.oid("oid"), -1)?;
        let (schema, name) = told.domain.unwrap_or_default();
        rows.push(&[
            view.company().into(),
            schema.into(),
            name.into(),
            told.data_type.into(),
            told.length.into(),
            told.octets.into(),
            told.precision.into(),
            told.radix.into(),
            told.scale.into(),
            told.clock.into(),
            view.company().into(),
            told.own.0.into(),
            told.own.1.into(),
            Cell::Text("1"),
        ]);
    }
    rows.finish()
}

/// As PostgreSQL, only for who owns the types.
fn domain_types(view: &View<'_>, shape: &'static Shape) -> Result<RecordBatch> {
    let given = ["udt_catalog", "udt_schema", "udt_name", "domain_catalog", "domain_schema", "domain_name"];
    let mut rows = Rows::new(shape, &given);
    for row in view.catalog.find_all("pg_type", "typtype", "d")?.iter().filter(|_| view.is_admin()) {
        let told = view.told(row.oid("oid"), -1)?;
        let (schema, name) = told.domain.unwrap_or_default();
        let company = view.company();
        rows.push(&[
            company.into(),
            told.own.0.into(),
            told.own.1.into(),
            company.into(),
            schema.into(),
            name.into(),
        ]);
    }
    rows.finish()
}
