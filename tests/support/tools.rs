//! What tools ask of the catalog before they show anything, in the words in which they ask it.

/// How many rows a statement gives.
pub(crate) enum Size {
    One,
    /// One for each field of an object.
    Fields,
    /// One for each object.
    Objects,
    /// One for each field of every object.
    All,
}

/// The tool and what it is about, the statement, and its size. `SCHEMA` stands for a connection, `OBJECT` for one of its
/// objects, whose first field is its key.
pub(crate) const QUESTIONS: &[(&str, &str, Size)] = &[
    (
        "psql, one table by its name",
        "SELECT c.oid, n.nspname, c.relname FROM pg_catalog.pg_class c
             LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relname OPERATOR(pg_catalog.~) '^(OBJECT)$' COLLATE pg_catalog.default
             AND pg_catalog.pg_table_is_visible(c.oid) ORDER BY 2, 3",
        Size::One,
    ),
    (
        "psql, the columns of a table",
        "SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
             (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid, true) FROM pg_catalog.pg_attrdef d
              WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.atthasdef), a.attnotnull,
             (SELECT c.collname FROM pg_catalog.pg_collation c, pg_catalog.pg_type t
              WHERE c.oid = a.attcollation AND t.oid = a.atttypid AND a.attcollation <> t.typcollation)
         FROM pg_catalog.pg_attribute a
         WHERE a.attrelid = 'SCHEMA.OBJECT'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
        Size::Fields,
    ),
    (
        "psql, the tables",
        "SELECT n.nspname, c.relname, CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' END,
             pg_catalog.pg_get_userbyid(c.relowner)
         FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r','p','v','m','S','f','') AND n.nspname <> 'pg_catalog' AND n.nspname !~ '^pg_toast'
             AND n.nspname <> 'information_schema' AND pg_catalog.pg_table_is_visible(c.oid) ORDER BY 1,2",
        Size::Objects,
    ),
    (
        "pgcli, all columns",
        "SELECT nsp.nspname, cls.relname, att.attname, att.atttypid::regtype::text, att.atthasdef,
             pg_catalog.pg_get_expr(def.adbin, def.adrelid, true)
         FROM pg_catalog.pg_attribute att INNER JOIN pg_catalog.pg_class cls ON att.attrelid = cls.oid
             INNER JOIN pg_catalog.pg_namespace nsp ON cls.relnamespace = nsp.oid
             LEFT OUTER JOIN pg_attrdef def ON def.adrelid = att.attrelid AND def.adnum = att.attnum
         WHERE cls.relkind = ANY (ARRAY['r']) AND nspname = 'SCHEMA' AND NOT att.attisdropped AND att.attnum > 0
         ORDER BY 1, 2, att.attnum",
        Size::All,
    ),
    (
        "JDBC, the columns of a table",
        "SELECT * FROM (SELECT n.nspname,c.relname,a.attname,a.atttypid,a.attnotnull OR (t.typtype = 'd' AND t.typnotnull)
             AS attnotnull,a.atttypmod,a.attlen,t.typtypmod,row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum)
             AS attnum, nullif(a.attidentity, '') as attidentity,nullif(a.attgenerated, '') as attgenerated,
             pg_catalog.pg_get_expr(def.adbin, def.adrelid) AS adsrc,dsc.description,t.typbasetype,t.typtype
         FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_class c ON (c.relnamespace = n.oid)
             JOIN pg_catalog.pg_attribute a ON (a.attrelid=c.oid) JOIN pg_catalog.pg_type t ON (a.atttypid = t.oid)
             LEFT JOIN pg_catalog.pg_attrdef def ON (a.attrelid=def.adrelid AND a.attnum = def.adnum)
             LEFT JOIN pg_catalog.pg_description dsc ON (c.oid=dsc.objoid AND a.attnum = dsc.objsubid)
             LEFT JOIN pg_catalog.pg_class dc ON (dc.oid=dsc.classoid AND dc.relname='pg_class')
             LEFT JOIN pg_catalog.pg_namespace dn ON (dc.relnamespace=dn.oid AND dn.nspname='pg_catalog')
         WHERE c.relkind in ('r','p','v','f','m') and a.attnum > 0 AND NOT a.attisdropped
             AND n.nspname LIKE 'SCHEMA' AND c.relname LIKE 'OBJECT') c WHERE true ORDER BY nspname,c.relname,attnum",
        Size::Fields,
    ),
    (
        "JDBC, the key of a table",
        "SELECT result.TABLE_SCHEM, result.TABLE_NAME, result.COLUMN_NAME, result.KEY_SEQ, result.PK_NAME
         FROM (SELECT n.nspname AS TABLE_SCHEM, ct.relname AS TABLE_NAME, a.attname AS COLUMN_NAME,
                 (information_schema._pg_expandarray(i.indkey)).n AS KEY_SEQ, ci.relname AS PK_NAME,
                 information_schema._pg_expandarray(i.indkey) AS KEYS, a.attnum AS A_ATTNUM
             FROM pg_catalog.pg_class ct JOIN pg_catalog.pg_attribute a ON (ct.oid = a.attrelid)
                 JOIN pg_catalog.pg_namespace n ON (ct.relnamespace = n.oid)
                 JOIN pg_catalog.pg_index i ON (a.attrelid = i.indrelid)
                 JOIN pg_catalog.pg_class ci ON (ci.oid = i.indexrelid)
             WHERE true AND n.nspname = 'SCHEMA' AND ct.relname = 'OBJECT' AND i.indisprimary) result
         WHERE result.A_ATTNUM = (result.KEYS).x ORDER BY result.table_name, result.pk_name, result.key_seq",
        Size::One,
    ),
    (
        "the standard's columns of a table",
        "SELECT column_name, data_type, udt_name FROM information_schema.columns
         WHERE table_schema = 'SCHEMA' AND table_name = 'OBJECT' ORDER BY ordinal_position",
        Size::Fields,
    ),
    (
        "the standard's tables",
        "SELECT table_schema, table_name, table_type FROM information_schema.tables
         WHERE table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2",
        Size::Objects,
    ),
    (
        "the standard's keys",
        "SELECT tc.table_name, kcu.column_name FROM information_schema.table_constraints tc
             JOIN information_schema.key_column_usage kcu ON kcu.constraint_name = tc.constraint_name
                 AND kcu.table_name = tc.table_name
         WHERE tc.constraint_type = 'PRIMARY KEY' AND tc.table_schema = 'SCHEMA'",
        Size::Objects,
    ),
];

/// A statement about these.
pub(crate) fn about(question: &str, schema: &str, object: &str) -> String {
    question.replace("SCHEMA", schema).replace("OBJECT", object)
}
