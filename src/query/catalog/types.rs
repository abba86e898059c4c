//! The types that the wire has, as SQL calls them: what is known without a catalog.

/// A type that is no array.
struct Base {
    oid: i64,
    array: i64,
    /// What SQL calls it.
    sql: &'static str,
}

#[rustfmt::skip]
const BASES: &[Base] = &[
    base(16, 1000, "boolean"),
    base(17, 1001, "bytea"),
    base(18, 1002, "\"char\""),
    base(19, 1003, "name"),
    base(20, 1016, "bigint"),
    base(21, 1005, "smallint"),
    base(22, 1006, "int2vector"),
    base(23, 1007, "integer"),
    base(24, 1008, "regproc"),
    base(25, 1009, "text"),
    base(26, 1028, "oid"),
    base(28, 1011, "xid"),
    base(30, 1013, "oidvector"),
    base(114, 199, "json"),
    base(194, 0, "pg_node_tree"),
    base(700, 1021, "real"),
    base(701, 1022, "double precision"),
    base(705, 0, "unknown"),
    base(1033, 1034, "aclitem"),
    base(1042, 1014, "character"),
    base(1043, 1015, "character varying"),
    base(1082, 1182, "date"),
    base(1083, 1183, "time without time zone"),
    base(1114, 1115, "timestamp without time zone"),
    base(1184, 1185, "timestamp with time zone"),
    base(1186, 1187, "interval"),
    base(1700, 1231, "numeric"),
    base(2205, 2210, "regclass"),
    base(2206, 2211, "regtype"),
    base(2249, 2287, "record"),
    base(2950, 2951, "uuid"),
    base(3802, 3807, "jsonb"),
];

const fn base(oid: i64, array: i64, sql: &'static str) -> Base {
    Base { oid, array, sql }
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

/// The oid of the type that SQL calls so, with `[]` for its array.
pub(in crate::query) fn type_oid(name: &str) -> Option<i64> {
    let (element, is_array) = match name.strip_suffix("[]") {
        Some(element) => (element, true),
        None => (name, false),
    };
    let base = BASES.iter().find(|base| base.sql == element)?;
    if is_array { Some(base.array).filter(|array| *array != 0) } else { Some(base.oid) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_to_its_type() {
        for base in BASES {
            assert_eq!(type_oid(&type_name(base.oid)), Some(base.oid), "{}", base.sql);
            if base.array != 0 {
                assert_eq!(type_oid(&type_name(base.array)), Some(base.array), "{}[]", base.sql);
            }
        }
        assert_eq!(type_oid("no_such_type"), None);
        assert_eq!(type_oid("unknown[]"), None);
    }
}
