//! Rights as PostgreSQL writes them: `grantee=privileges/grantor`.

use super::facts::{CatalogTable, Readers};
use super::live::Catalog;

/// The role that owns everything. Nobody can log in as it.
pub(super) const OWNER_NAME: &str = "tributary";

/// The rights on a table; `None` where only the owner has some.
pub(super) fn of_table(catalog: &Catalog, table: &CatalogTable) -> Option<Vec<String>> {
    let owner = format!("{OWNER_NAME}=arwdDxt/{OWNER_NAME}");
    let readers: Vec<String> = match table.readers {
        Readers::Admins => return None,
        Readers::Everybody => vec![item("", "r")],
        Readers::Granted => catalog.readers(table).into_iter().map(|role| item(role, "r")).collect(),
    };
    (!readers.is_empty()).then(|| [vec![owner], readers].concat())
}

/// The rights on a column beside those on its table; `None` where there are none.
pub(super) fn of_column(catalog: &Catalog, table: &CatalogTable, column: &str) -> Option<Vec<String>> {
    let readers: Vec<_> = catalog.readers_of(table, column).into_iter().map(|role| item(role, "r")).collect();
    (!readers.is_empty()).then_some(readers)
}

/// The rights on a schema: who may read a table in it may name it.
pub(super) fn of_schema(catalog: &Catalog, schema: &str) -> Option<Vec<String>> {
    let tables = catalog.facts.tables.iter().filter(|table| table.schema == schema);
    let is_open = tables.clone().any(|table| table.readers == Readers::Everybody);
    let mut users: Vec<_> = tables.flat_map(|table| catalog.readers(table)).collect();
    let granted = catalog.facts.grants.iter().filter(|grant| grant.connection == schema);
    users.extend(granted.map(|grant| grant.user.as_str()));
    users.sort_unstable();
    users.dedup();
    let public = is_open.then(|| item("", "U"));
    let users: Vec<_> = public.into_iter().chain(users.into_iter().map(|user| item(user, "U"))).collect();
    (!users.is_empty()).then(|| [vec![format!("{OWNER_NAME}=UC/{OWNER_NAME}")], users].concat())
}

/// The rights on a procedure that only admins call.
pub(super) fn of_procedure() -> String {
    item(OWNER_NAME, "X")
}

/// One item. A name that is not plain is quoted.
fn item(grantee: &str, privileges: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    match grantee.chars().all(is_plain) {
        true => format!("{grantee}={privileges}/{OWNER_NAME}"),
        false => format!("\"{}\"={privileges}/{OWNER_NAME}", grantee.replace('"', "\"\"")),
    }
}

/// One right out of an item.
pub(super) struct Right {
    /// Empty for everybody.
    pub(super) grantee: String,
    pub(super) grantor: String,
    pub(super) privilege: &'static str,
    pub(super) can_grant: bool,
}

/// The letters of privileges.
pub(super) const PRIVILEGES: &[(char, &str)] = &[
    ('a', "INSERT"),
    ('r', "SELECT"),
    ('w', "UPDATE"),
    ('d', "DELETE"),
    ('D', "TRUNCATE"),
    ('x', "REFERENCES"),
    ('t', "TRIGGER"),
    ('X', "EXECUTE"),
    ('U', "USAGE"),
    ('C', "CREATE"),
    ('T', "TEMPORARY"),
    ('c', "CONNECT"),
    ('s', "SET"),
    ('A', "ALTER SYSTEM"),
];

/// The single rights of an item; `None` when it is none.
pub(super) fn rights(item: &str) -> Option<Vec<Right>> {
    let (grantee, rest) = name(item)?;
    let (privileges, grantor) = rest.strip_prefix('=')?.split_once('/')?;
    let (grantor, _) = name(grantor)?;
    let letters: Vec<char> = privileges.chars().collect();
    let mut rights = Vec::new();
    for (place, letter) in letters.iter().enumerate().filter(|(_, letter)| **letter != '*') {
        let (_, privilege) = PRIVILEGES.iter().find(|(known, _)| known == letter)?;
        let can_grant = letters.get(place + 1) == Some(&'*');
        rights.push(Right { grantee: grantee.clone(), grantor: grantor.clone(), privilege, can_grant });
    }
    Some(rights)
}

/// The name at the beginning, and what follows it.
fn name(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find('=').unwrap_or(text.len());
        return Some((text[..end].to_string(), &text[end..]));
    };
    let mut name = String::new();
    let mut chars = quoted.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c != '"' {
            name.push(c);
        } else if chars.peek().is_some_and(|(_, next)| *next == '"') {
            chars.next();
            name.push('"');
        } else {
            return Some((name, &quoted[at + 1..]));
        }
    }
    None
}
