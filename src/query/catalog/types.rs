//! The types that the wire has, with PostgreSQL's facts about them.

/// A type that is no array.
struct Base {
    oid: i64,
    array: i64,
    name: &'static str,
    /// What SQL calls it.
    sql: &'static str,
    size: i16,
    category: &'static str,
    element: i64,
}

#[rustfmt::skip]
const BASES: &[Base] = &[
    base(16, 1000, "bool", "boolean", 1, "B", 0),
    base(17, 1001, "bytea", "bytea", -1, "U", 0),
    base(18, 1002, "char", "\"char\"", 1, "Z", 0),
    base(19, 1003, "name", "name", 64, "S", 18),
    base(20, 1016, "int8", "bigint", 8, "N", 0),
    base(21, 1005, "int2", "smallint", 2, "N", 0),
    base(22, 1006, "int2vector", "int2vector", -1, "A", 21),
    base(23, 1007, "int4", "integer", 4, "N", 0),
    base(24, 1008, "regproc", "regproc", 4, "N", 0),
    base(25, 1009, "text", "text", -1, "S", 0),
    base(26, 1028, "oid", "oid", 4, "N", 0),
    base(28, 1011, "xid", "xid", 4, "U", 0),
    base(30, 1013, "oidvector", "oidvector", -1, "A", 26),
    base(114, 199, "json", "json", -1, "U", 0),
    base(194, 0, "pg_node_tree", "pg_node_tree", -1, "Z", 0),
    base(700, 1021, "float4", "real", 4, "N", 0),
    base(701, 1022, "float8", "double precision", 8, "N", 0),
    base(705, 0, "unknown", "unknown", -2, "X", 0),
    base(1033, 1034, "aclitem", "aclitem", 12, "U", 0),
    base(1042, 1014, "bpchar", "character", -1, "S", 0),
    base(1043, 1015, "varchar", "character varying", -1, "S", 0),
    base(1082, 1182, "date", "date", 4, "D", 0),
    base(1083, 1183, "time", "time without time zone", 8, "D", 0),
    base(1114, 1115, "timestamp", "timestamp without time zone", 8, "D", 0),
    base(1184, 1185, "timestamptz", "timestamp with time zone", 8, "D", 0),
    base(1186, 1187, "interval", "interval", 16, "T", 0),
    base(1700, 1231, "numeric", "numeric", -1, "N", 0),
    base(2205, 2210, "regclass", "regclass", 4, "N", 0),
    base(2206, 2211, "regtype", "regtype", 4, "N", 0),
    base(2249, 2287, "record", "record", -1, "P", 0),
    base(2950, 2951, "uuid", "uuid", 16, "U", 0),
    base(3802, 3807, "jsonb", "jsonb", -1, "U", 0),
];

/// Other names that SQL has for a type.
const ALIASES: &[(&str, &str)] =
    &[("int", "int4"), ("decimal", "numeric"), ("dec", "numeric"), ("float", "float8"), ("char", "bpchar")];

const fn base(
    oid: i64,
    array: i64,
    name: &'static str,
    sql: &'static str,
    size: i16,
    category: &'static str,
    element: i64,
) -> Base {
    Base { oid, array, name, sql, size, category, element }
}

/// A row of `pg_type`.
pub(super) struct Listed {
    pub(super) oid: i64,
    pub(super) name: String,
    pub(super) size: i16,
    pub(super) by_value: bool,
    /// `b` a base type, `p` a pseudo-type.
    pub(super) kind: &'static str,
    pub(super) category: &'static str,
    pub(super) is_preferred: bool,
    pub(super) element: i64,
    pub(super) array: i64,
    prefix: String,
}

impl Listed {
    /// The name of one of the four functions `in`, `out`, `recv` and `send`; `-` where there is none.
    pub(super) fn function(&self, which: &str) -> String {
        match (self.name.as_str(), which) {
            ("aclitem", "recv" | "send") => "-".into(),
            _ => format!("{}{which}", self.prefix),
        }
    }
}

/// All rows of `pg_type`.
pub(super) fn listed() -> Vec<Listed> {
    let arrays = BASES.iter().filter(|base| base.array != 0).map(array_row);
    let mut rows: Vec<_> = BASES.iter().map(base_row).chain(arrays).collect();
    rows.sort_by_key(|row| row.oid);
    rows
}

fn base_row(base: &Base) -> Listed {
    // Older types have functions like `int4in`, younger ones like `json_in`.
    let is_young = ["json", "date", "time", "interval", "numeric", "record", "uuid", "pg_node"]
        .iter()
        .any(|young| base.name.starts_with(young));
    Listed {
        oid: base.oid,
        name: base.name.into(),
        size: base.size,
        by_value: matches!(base.size, 1..=8),
        kind: kind(base),
        category: base.category,
        is_preferred: ["bool", "text", "oid", "float8", "timestamptz", "interval"].contains(&base.name),
        element: base.element,
        array: base.array,
        prefix: if is_young { format!("{}_", base.name) } else { base.name.into() },
    }
}

fn array_row(base: &Base) -> Listed {
    Listed {
        oid: base.array,
        name: format!("_{}", base.name),
        size: -1,
        by_value: false,
        kind: kind(base),
        category: if base.name == "record" { "P" } else { "A" },
        is_preferred: false,
        element: base.oid,
        array: 0,
        prefix: "array_".into(),
    }
}

fn kind(base: &Base) -> &'static str {
    if matches!(base.name, "record" | "unknown") { "p" } else { "b" }
}

/// What SQL calls the type of an oid, as `regtype` shows it: `-` for 0, the number where there is no such type.
pub fn type_name(oid: i64) -> String {
    if oid == 0 {
        return "-".into();
    }
    let found = BASES.iter().find_map(|base| match oid {
        own if own == base.oid => Some(base.sql.to_string()),
        array if array == base.array => Some(format!("{}[]", base.sql)),
        _ => None,
    });
    found.unwrap_or_else(|| oid.to_string())
}

/// The oid of the type of that name: any name that SQL or the catalog has for it, with `[]` for its array.
pub(in crate::query) fn type_oid(name: &str) -> Option<i64> {
    let name = name.trim();
    let name = name.strip_prefix("pg_catalog.").unwrap_or(name);
    let (element, is_array) = match name.strip_suffix("[]") {
        Some(element) => (element.trim_end(), true),
        None => (name, false),
    };
    if let (Some(element), false) = (element.strip_prefix('_'), is_array) {
        return BASES.iter().find(|base| base.name == element && base.array != 0).map(|base| base.array);
    }
    let written = match element.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(quoted) => quoted.to_string(),
        None => {
            let lower = element.to_lowercase();
            let plain = without_modifier(&lower);
            let alias =
                ALIASES.iter().find(|(alias, _)| *alias == plain).map(|(_, name)| (*name).to_string());
            alias.unwrap_or(plain)
        }
    };
    let found = BASES.iter().find(|base| base.name == written || base.sql == written)?;
    if is_array { Some(found.array).filter(|array| *array != 0) } else { Some(found.oid) }
}

/// `numeric(18,2)` is `numeric`, `timestamp(3) with time zone` is `timestamp with time zone`.
fn without_modifier(name: &str) -> String {
    match name.split_once('(').and_then(|(before, rest)| Some((before, rest.split_once(')')?.1))) {
        Some((before, after)) => format!("{}{after}", before.trim_end()),
        None => name.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_to_its_type() {
        for (name, oid) in [
            ("integer", 23),
            ("int4[]", 1007),
            ("_int4", 1007),
            ("pg_catalog.NUMERIC(18,2)", 1700),
            ("timestamp(3) with time zone", 1184),
            ("char", 1042),
            ("\"char\"", 18),
            ("double precision[]", 1022),
        ] {
            assert_eq!(type_oid(name), Some(oid), "{name}");
        }
        assert_eq!(type_oid("no_such_type"), None);
        assert_eq!(type_oid("unknown[]"), None);
        for row in listed() {
            assert_eq!(type_oid(&type_name(row.oid)), Some(row.oid), "{}", row.name);
        }
    }
}
