//! Types that are written by the names the catalog has for them.

use datafusion::sql::sqlparser::ast::ObjectName;

/// What SQL calls the types of the catalog whose casts have nothing to do with it.
const SQL_NAMES: &[(&str, &str)] = &[
    ("bool", "boolean"),
    ("float4", "real"),
    ("float8", "double precision"),
    ("int", "integer"),
    ("int2", "smallint"),
    ("int4", "integer"),
    ("int8", "bigint"),
    ("timestamp", "timestamp without time zone"),
    ("timestamptz", "timestamp with time zone"),
    ("unknown", "text"),
    ("cstring", "text"),
    ("aclitem", "text"),
    ("pg_node_tree", "text"),
    // The domains of the standard's catalog.
    ("sql_identifier", "name"),
    ("character_data", "text"),
    ("yes_or_no", "text"),
    ("cardinal_number", "integer"),
    ("time_stamp", "timestamp with time zone"),
];

/// The name of a type as casts know it. Schemas of the catalog are left out: everything else has its own words.
pub(super) fn type_name(name: &ObjectName, modifiers: &[String]) -> String {
    let parts: Vec<_> = name.0.iter().filter_map(|part| part.as_ident()).collect();
    let Some(last) = parts.last() else { return name.to_string().to_lowercase() };
    let is_catalog = match parts.as_slice() {
        [schema, _] => {
            ["pg_catalog", "information_schema"].iter().any(|s| schema.value.eq_ignore_ascii_case(s))
        }
        other => other.len() == 1,
    };
    if !is_catalog {
        return name.to_string().to_lowercase();
    }
    if last.quote_style.is_some() {
        // The one type whose name is another without quotes.
        return match last.value.as_str() {
            "char" => "\"char\"".into(),
            other => known(other, modifiers),
        };
    }
    match last.value.to_lowercase().as_str() {
        "char" => "text".into(),
        other => known(other, modifiers),
    }
}

fn known(name: &str, modifiers: &[String]) -> String {
    let sql = SQL_NAMES.iter().find(|(known, _)| *known == name).map(|(_, sql)| *sql);
    match (sql, modifiers) {
        (Some(sql), _) => sql.into(),
        (None, []) => name.into(),
        (None, modifiers) => format!("{name}({})", modifiers.join(",")),
    }
}
