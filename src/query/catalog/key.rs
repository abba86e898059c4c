//! The oids that belong to a table, and its key.

use super::facts::CatalogTable;
use super::live::Catalog;

/// The type of its rows.
pub(super) fn row_type(table: &CatalogTable) -> i64 {
    i64::from(table.oid) + 1
}

/// The type of arrays of its rows.
pub(super) fn array_type(table: &CatalogTable) -> i64 {
    i64::from(table.oid) + 2
}

/// The index of its key.
pub(super) fn index(table: &CatalogTable) -> i64 {
    i64::from(table.oid) + 3
}

/// The constraint of its key.
pub(super) fn constraint(table: &CatalogTable) -> i64 {
    i64::from(table.oid) + 4
}

/// The places of its unique fields in key order; `None` where it has no key.
pub(super) fn of(table: &CatalogTable) -> Option<Vec<usize>> {
    let mut places: Vec<_> = (0..table.columns.len())
        .filter_map(|place| Some((table.columns[place].key_position?, place)))
        .collect();
    places.sort_unstable();
    Some(places.into_iter().map(|(_, place)| place).collect::<Vec<_>>()).filter(|key| !key.is_empty())
}

/// The name of the index and of the constraint. As in PostgreSQL a number keeps it apart from a table's.
pub(super) fn name(catalog: &Catalog, table: &CatalogTable) -> String {
    // A name has 63 bytes at most.
    let mut end = table.name.len().min(58);
    while !table.name.is_char_boundary(end) {
        end -= 1;
    }
    let base = format!("{}_pkey", &table.name[..end]);
    let is_taken = |name: &String| {
        catalog.facts.tables.iter().any(|other| other.schema == table.schema && other.name == *name)
    };
    let numbered = (1..).map(|number| format!("{base}{number}"));
    std::iter::once(base.clone()).chain(numbered).find(|name| !is_taken(name)).unwrap_or(base)
}
