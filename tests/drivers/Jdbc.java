// JDBC: metadata, parameters of every type, server-side prepared statements in binary, rows by fetch size.

import java.math.BigDecimal;
import java.sql.Array;
import java.sql.Connection;
import java.sql.Date;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Types;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.Arrays;
import java.util.Objects;
import java.util.Properties;

public class Jdbc {
    static int checks = 0;

    /** Column, Java class asked for, JDBC type for NULL, values of rows 1 and 2. */
    record Column(String name, Class<?> kind, int type, Object first, Object second) {}

    static final Column[] COLUMNS = {
        new Column("a_boolean", Boolean.class, Types.BOOLEAN, true, false),
        new Column("a_smallint", Short.class, Types.SMALLINT, (short) -2, (short) -32768),
        new Column("an_integer", Integer.class, Types.INTEGER, 3, 2147483647),
        new Column("a_bigint", Long.class, Types.BIGINT, 4000000000L, 9223372036854775807L),
        new Column("a_real", Float.class, Types.REAL, 1.5f, 3.4028235e38f),
        new Column("a_double", Double.class, Types.DOUBLE, 2.25, 1.7976931348623157e308),
        new Column("a_numeric", BigDecimal.class, Types.NUMERIC,
            new BigDecimal("77600.55"), new BigDecimal("-9999999999999999.99")),
        new Column("a_wide", BigDecimal.class, Types.NUMERIC,
            new BigDecimal("12345678901234567890.0123456789"),
            new BigDecimal("9999999999999999999999999999.9999999999")),
        new Column("a_text", String.class, Types.VARCHAR, "Zoë said \"hi\", \\ and 🙂\nbye", ""),
        new Column("a_varchar", String.class, Types.VARCHAR, "plain", ""),
        new Column("a_bytea", byte[].class, Types.BINARY, new byte[] {0, (byte) 255, 16}, new byte[0]),
        new Column("a_date", LocalDate.class, Types.DATE, LocalDate.of(2024, 2, 29), LocalDate.of(1, 1, 2)),
        new Column("a_timestamp", LocalDateTime.class, Types.TIMESTAMP,
            LocalDateTime.of(2024, 2, 29, 13, 14, 15, 678901000),
            LocalDateTime.of(9999, 12, 31, 23, 59, 59, 999998000)),
        new Column("a_timestamptz", OffsetDateTime.class, Types.TIMESTAMP_WITH_TIMEZONE,
            OffsetDateTime.of(2024, 2, 29, 13, 14, 15, 678901000, ZoneOffset.UTC),
            OffsetDateTime.of(1969, 12, 31, 23, 59, 59, 999999000, ZoneOffset.UTC)),
    };

    static void same(String what, Object found, Object expected) {
        checks++;
        if (!Objects.deepEquals(found, expected)) {
            throw new AssertionError(what + ": " + show(found) + " instead of " + show(expected));
        }
    }

    static String show(Object value) {
        return value instanceof byte[] bytes ? Arrays.toString(bytes) : String.valueOf(value);
    }

    static Connection connect(String... options) throws SQLException {
        Properties properties = new Properties();
        properties.setProperty("user", System.getenv("PGUSER"));
        properties.setProperty("password", System.getenv("PGPASSWORD"));
        for (String option : options) {
            String[] parts = option.split("=", 2);
            properties.setProperty(parts[0], parts[1]);
        }
        String address = System.getenv("PGHOST") + ":" + System.getenv("PGPORT");
        return DriverManager.getConnection("jdbc:postgresql://" + address + "/" + System.getenv("PGDATABASE"), properties);
    }

    static Object value(ResultSet rows, Column column) throws SQLException {
        if (column.kind == byte[].class) return rows.getBytes(column.name);
        return rows.getObject(column.name, column.kind);
    }

    static void values(Connection connection) throws SQLException {
        // From the fifth execution on the driver prepares on the server and asks for binary results.
        try (PreparedStatement query = connection.prepareStatement("SELECT * FROM every_type ORDER BY id")) {
            for (int execution = 0; execution < 8; execution++) {
                try (ResultSet rows = query.executeQuery()) {
                    for (int id = 1; id <= 3; id++) {
                        same("next row", rows.next(), true);
                        for (Column column : COLUMNS) {
                            Object expected = id == 1 ? column.first : id == 2 ? column.second : null;
                            same(column.name + " of row " + id, value(rows, column), expected);
                        }
                        Array texts = rows.getArray("texts");
                        Object[] expected = id == 1 ? new Object[] {"a", null, "c d", "NULL", "\""} : new Object[0];
                        same("texts", texts == null ? null : texts.getArray(), id == 3 ? null : expected);
                        Array integers = rows.getArray("integers");
                        Object[] numbers = id == 1 ? new Object[] {1, null, -3} : new Object[0];
                        same("integers", integers == null ? null : integers.getArray(), id == 3 ? null : numbers);
                    }
                    same("no more rows", rows.next(), false);
                    ResultSetMetaData about = rows.getMetaData();
                    same("precision", about.getPrecision(8), 18);
                    same("scale", about.getScale(8), 2);
                    same("type", about.getColumnType(8), Types.NUMERIC);
                }
            }
        }
    }

    static int idWhere(Connection connection, Column column, Object value) throws SQLException {
        String sql = "SELECT id FROM every_type WHERE " + column.name + " = ?";
        try (PreparedStatement query = connection.prepareStatement(sql)) {
            int found = 0;
            for (int execution = 0; execution < 6; execution++) {
                if (value == null) query.setNull(1, column.type);
                else if (value instanceof byte[] bytes) query.setBytes(1, bytes);
                else query.setObject(1, value, column.type);
                try (ResultSet rows = query.executeQuery()) {
                    found = rows.next() ? rows.getInt(1) : 0;
                }
            }
            return found;
        }
    }

    static void parameters(Connection connection) throws SQLException {
        for (Column column : COLUMNS) {
            same(column.name + " = row 1's", idWhere(connection, column, column.first), 1);
            same(column.name + " = row 2's", idWhere(connection, column, column.second), 2);
            same(column.name + " = NULL", idWhere(connection, column, null), 0);
        }
        // The way of older programs: java.sql types and no type given.
        try (PreparedStatement query = connection.prepareStatement("SELECT id FROM every_type WHERE a_date = ?")) {
            query.setDate(1, Date.valueOf("2024-02-29"));
            try (ResultSet rows = query.executeQuery()) {
                same("java.sql.Date", rows.next() ? rows.getInt(1) : 0, 1);
            }
        }
        try (PreparedStatement query =
                connection.prepareStatement("SELECT count(*) FROM every_type WHERE id = ANY(?)")) {
            query.setArray(1, connection.createArrayOf("integer", new Object[] {3, 1, 7}));
            try (ResultSet rows = query.executeQuery()) {
                rows.next();
                same("= ANY(array)", rows.getLong(1), 2L);
            }
        }
        Object[][] arrays = {
            {"a_boolean", "bool", true}, {"a_smallint", "int2", -2}, {"an_integer", "int4", 3},
            {"a_bigint", "int8", 4000000000L}, {"a_double", "float8", 2.25},
            {"a_numeric", "numeric", new BigDecimal("77600.55")}, {"a_varchar", "varchar", "plain"},
            {"a_text", "text", "Zoë said \"hi\", \\ and 🙂\nbye"}, {"a_date", "date", "2024-02-29"},
            {"a_timestamptz", "timestamptz", "2024-02-29 13:14:15.678901+00"},
        };
        for (Object[] array : arrays) {
            String sql = "SELECT id FROM every_type WHERE " + array[0] + " = ANY(?)";
            try (PreparedStatement query = connection.prepareStatement(sql)) {
                for (int execution = 0; execution < 6; execution++) {
                    query.setArray(1, connection.createArrayOf((String) array[1], new Object[] {array[2], null}));
                    try (ResultSet rows = query.executeQuery()) {
                        same(sql, rows.next() ? rows.getInt(1) : 0, 1);
                    }
                }
            }
        }
        try (PreparedStatement query = connection.prepareStatement("SELECT ?::bigint[]")) {
            Object[] values = {1L << 40, null, -3L};
            query.setArray(1, connection.createArrayOf("int8", values));
            try (ResultSet rows = query.executeQuery()) {
                rows.next();
                same("bigint[] given back", rows.getArray(1).getArray(), values);
            }
        }
        try (PreparedStatement query =
                connection.prepareStatement("SELECT id FROM every_type ORDER BY id LIMIT ? OFFSET ?")) {
            query.setInt(1, 1);
            query.setInt(2, 1);
            try (ResultSet rows = query.executeQuery()) {
                same("LIMIT and OFFSET", rows.next() ? rows.getInt(1) : 0, 2);
            }
        }
    }

    static void streaming(Connection connection) throws SQLException {
        // Without autocommit and with a fetch size the driver reads a portal 1,000 rows at a time.
        connection.setAutoCommit(false);
        BigDecimal amounts = BigDecimal.ZERO;
        int count = 0;
        try (Statement statement = connection.createStatement()) {
            statement.setFetchSize(1000);
            try (ResultSet rows = statement.executeQuery("SELECT id, name, amount, changed FROM many ORDER BY id")) {
                while (rows.next()) {
                    count++;
                    BigDecimal amount = BigDecimal.valueOf(count * 7919L % 1000003L, 2);
                    amounts = amounts.add(rows.getBigDecimal(3));
                    OffsetDateTime changed =
                        OffsetDateTime.of(2024, 1, 1, 0, 0, 0, 0, ZoneOffset.UTC).plusSeconds(count);
                    if (rows.getInt(1) != count || !rows.getString(2).equals("row " + count)
                            || !rows.getBigDecimal(3).equals(amount)
                            || !rows.getObject(4, OffsetDateTime.class).equals(changed)) {
                        throw new AssertionError("row " + count + ": " + rows.getString(1) + " " + rows.getString(2)
                            + " " + rows.getString(3) + " " + rows.getString(4));
                    }
                }
            }
            same("rows streamed", count, 100000);
            try (ResultSet rows = statement.executeQuery("SELECT sum(amount) FROM many")) {
                rows.next();
                same("sum of amounts", rows.getBigDecimal(1), amounts);
            }
        }
        connection.commit();
        connection.setAutoCommit(true);
    }

    static String stateOf(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.executeQuery(sql).close();
            return "no error";
        } catch (SQLException error) {
            return error.getSQLState();
        }
    }

    static void errors(Connection connection) throws SQLException {
        String[][] cases = {
            {"SELECT no_such_column FROM every_type", "42703"},
            {"SELECT * FROM no_such_table", "42P01"},
            {"SELECT 1 / (id - 1) FROM every_type WHERE id = 1", "22012"},
        };
        for (String[] one : cases) {
            same(one[0], stateOf(connection, one[0]), one[1]);
            same("next query", stateOf(connection, "SELECT 1"), "no error");
        }
        connection.setAutoCommit(false);
        same("in a transaction", stateOf(connection, cases[0][0]), "42703");
        same("then", stateOf(connection, "SELECT 1"), "25P02");
        connection.rollback();
        same("after rollback", stateOf(connection, "SELECT 1"), "no error");
        connection.commit();
        connection.setAutoCommit(true);
    }

    public static void main(String[] arguments) throws SQLException {
        for (String mode : new String[] {"extended", "simple"}) {
            try (Connection connection = connect("preferQueryMode=" + mode)) {
                values(connection);
                errors(connection);
                // The driver's simple mode cannot write every parameter into the text (double, for one).
                if (mode.equals("extended")) {
                    parameters(connection);
                    streaming(connection);
                }
                same("isValid", connection.isValid(5), true);
            }
        }
        System.out.println("passed " + checks + " checks");
    }
}
