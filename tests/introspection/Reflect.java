import java.sql.*;

/** Prints what JDBC's metadata tells of the schema crm. */
public class Reflect {
    static void print(String what, ResultSet rows, String... columns) throws SQLException {
        System.out.println(what);
        // Rows that are alike in what they are sorted by come in any order.
        java.util.TreeSet<String> lines = new java.util.TreeSet<>();
        while (rows.next()) {
            StringBuilder line = new StringBuilder(" ");
            for (String column : columns) line.append(' ').append(rows.getString(column));
            lines.add(line.toString());
        }
        lines.forEach(System.out::println);
    }

    public static void main(String[] arguments) throws Exception {
        String url = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE");
        try (Connection connection = DriverManager.getConnection(url, System.getenv("PGUSER"), System.getenv("PGPASSWORD"))) {
            DatabaseMetaData data = connection.getMetaData();
            print("tables", data.getTables(null, "crm", "%", new String[] {"TABLE"}), "TABLE_SCHEM", "TABLE_NAME", "TABLE_TYPE", "REMARKS");
            print("columns", data.getColumns(null, "crm", "%", "%"), "TABLE_NAME", "COLUMN_NAME", "DATA_TYPE", "TYPE_NAME",
                "COLUMN_SIZE", "DECIMAL_DIGITS", "NULLABLE", "REMARKS", "ORDINAL_POSITION", "IS_AUTOINCREMENT");
            for (String table : new String[] {"opportunity", "line"}) {
                print("keys", data.getPrimaryKeys(null, "crm", table), "COLUMN_NAME", "KEY_SEQ", "PK_NAME");
                print("indexes", data.getIndexInfo(null, "crm", table, true, true), "INDEX_NAME", "COLUMN_NAME", "NON_UNIQUE", "ORDINAL_POSITION");
                print("foreign", data.getImportedKeys(null, "crm", table), "FK_NAME");
            }
            print("types", data.getTypeInfo(), "TYPE_NAME", "DATA_TYPE");
            print("functions", data.getFunctions(null, "pg_catalog", "upper"), "FUNCTION_NAME", "SPECIFIC_NAME");
            print("functioncolumns", data.getFunctionColumns(null, "pg_catalog", "lpad", "%"), "COLUMN_NAME", "TYPE_NAME");
        }
    }
}
