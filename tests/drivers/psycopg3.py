"""psycopg 3: what its user does first, checked value by value."""

import datetime as dt
import struct
from decimal import Decimal

import psycopg
from psycopg.types import TypeInfo

UTC = dt.timezone.utc
COLUMNS = (
    "a_boolean, a_smallint, an_integer, a_bigint, a_real, a_double, a_numeric, a_wide, a_text, a_varchar,"
    " a_bytea, a_date, a_timestamp, a_timestamptz, texts, integers"
)
FIRST = (
    True, -2, 3, 4000000000, 1.5, 2.25, Decimal("77600.55"), Decimal("12345678901234567890.0123456789"),
    'Zoë said "hi", \\ and 🙂\nbye', "plain", b"\x00\xff\x10", dt.date(2024, 2, 29),
    dt.datetime(2024, 2, 29, 13, 14, 15, 678901), dt.datetime(2024, 2, 29, 13, 14, 15, 678901, UTC),
    ["a", None, "c d", "NULL", '"'], [1, None, -3],
)
SECOND = (
    False, -32768, 2147483647, 9223372036854775807, 3.4028234663852886e38, 1.7976931348623157e308,
    Decimal("-9999999999999999.99"), Decimal("9999999999999999999999999999.9999999999"), "", "", b"",
    dt.date(1, 1, 2), dt.datetime(9999, 12, 31, 23, 59, 59, 999998),
    dt.datetime(1969, 12, 31, 23, 59, 59, 999999, UTC), [], [],
)
checks = 0


def same(what, found, expected):
    global checks
    checks += 1
    assert found == expected, f"{what}: {found!r} instead of {expected!r}"


def kinds(row):
    return [type(value) for value in row]


def rows_of_every_type(connection):
    for binary in (False, True):
        with connection.cursor(binary=binary) as cursor:
            rows = cursor.execute(f"SELECT {COLUMNS} FROM every_type ORDER BY id").fetchall()
            for row, expected in zip(rows, [FIRST, SECOND, (None,) * len(FIRST)], strict=True):
                # A real in text has the fewest digits that mean the same single; as a double it is another number.
                row = row if row[4] is None else row[:4] + (as_single(row[4]),) + row[5:]
                same(f"row, binary {binary}", row, expected)
                same(f"types, binary {binary}", kinds(row), kinds(expected))
            names = [column.name for column in cursor.description]
            same("names", names, COLUMNS.replace(" ", "").split(","))
            found = [(column.precision, column.scale) for column in cursor.description if "numeric" in column.name]
            same("precision and scale", found, [(18, 2)])


def as_single(value):
    return struct.unpack("f", struct.pack("f", value))[0]


def parameters(connection):
    for column, value in zip(COLUMNS.replace(" ", "").split(","), FIRST):
        # psycopg sends small integers as smallint[], which PostgreSQL does not compare with integer[].
        cast = "::integer[]" if column == "integers" else ""
        for form in ("%s" + cast, "%b" + cast, "%t" + cast):
            found = connection.execute(f"SELECT id FROM every_type WHERE {column} = {form}", [value]).fetchall()
            same(f"{column} = {value!r} as {form}", found, [(1,)])
        found = connection.execute(f"SELECT id FROM every_type WHERE {column} = %s{cast}", [None]).fetchall()
        same(f"{column} = NULL", found, [])
    found = connection.execute("SELECT id FROM every_type WHERE id = ANY(%s) ORDER BY id", [[3, 1, 7]]).fetchall()
    same("= ANY(array)", found, [(1,), (3,)])
    found = connection.execute("SELECT %s::text, %s::numeric(18,2), %s::date", ["x", Decimal("1.10"), None]).fetchone()
    same("parameters given back", found, ("x", Decimal("1.10"), None))
    found = connection.execute("SELECT id FROM every_type ORDER BY id LIMIT %s OFFSET %s", [1, 1]).fetchall()
    same("LIMIT and OFFSET", found, [(2,)])
    # After five times psycopg prepares the statement on the server.
    for i in range(1, 12):
        same("prepared", connection.execute("SELECT name FROM many WHERE id = %s", [i]).fetchone(), (f"row {i}",))


def arrays_and_types(connection):
    for column, value in list(zip(COLUMNS.replace(" ", "").split(","), FIRST))[:14]:
        for form in ("%s", "%b", "%t"):
            sql = f"SELECT id FROM every_type WHERE {column} = ANY({form})"
            same(f"{column} = ANY as {form}", connection.execute(sql, [[value, None]]).fetchall(), [(1,)])
    for name, expected in [
        ("numeric", ("numeric", 1700, 1231, "numeric", ",")),
        ("integer", ("int4", 23, 1007, "integer", ",")),
        ("timestamptz", ("timestamptz", 1184, 1185, "timestamp with time zone", ",")),
    ]:
        info = TypeInfo.fetch(connection, name)
        same(name, (info.name, info.oid, info.array_oid, info.regtype, info.delimiter), expected)
    same("no such type", TypeInfo.fetch(connection, "no_such_type"), None)
    found = connection.execute("SELECT 'int4[]'::regtype, 1700::regtype::text, to_regtype('x')").fetchone()
    same("regtype", found, ("integer[]", "numeric", None))


def streaming(connection):
    for binary in (False, True):
        count, amounts, last = 0, Decimal(0), 0
        with connection.cursor(binary=binary) as cursor:
            for row in cursor.stream("SELECT id, name, amount, changed FROM many ORDER BY id"):
                last += 1
                count += 1
                amounts += row[2]
                expected = dt.datetime(2024, 1, 1, tzinfo=UTC) + dt.timedelta(seconds=last)
                assert row == (last, f"row {last}", Decimal(last * 7919 % 1000003) / 100, expected), row
        same("rows streamed", count, 100000)
        same("sum of amounts", amounts, connection.execute("SELECT sum(amount) FROM many").fetchone()[0])


def errors(connection):
    for sql, state in [
        ("SELECT no_such_column FROM every_type", "42703"),
        ("SELECT * FROM no_such_table", "42P01"),
        ("SELECT 1 +", "42601"),
        ("SELECT no_such_function(1)", "42883"),
        ("SELECT 1 / (id - 1) FROM every_type WHERE id = 1", "22012"),
        ("SELECT 'x'::integer", "22P02"),
    ]:
        try:
            connection.execute(sql).fetchall()
            found = None
        except psycopg.Error as error:
            found = error.sqlstate
        same(sql, found, state)
        same("next query", connection.execute("SELECT 1").fetchone(), (1,))
    # Within a transaction nothing runs until it is rolled back.
    connection.autocommit = False
    for sql, state in [("SELECT no_such_column FROM every_type", "42703"), ("SELECT 1", "25P02")]:
        try:
            connection.execute(sql)
            found = None
        except psycopg.Error as error:
            found = error.sqlstate
        same(f"{sql} in a transaction", found, state)
    connection.rollback()
    same("after rollback", connection.execute("SELECT 1").fetchone(), (1,))
    connection.commit()
    connection.autocommit = True


with psycopg.connect("", autocommit=True) as connection:
    connection.execute("SET TIME ZONE 'UTC'")
    rows_of_every_type(connection)
    parameters(connection)
    arrays_and_types(connection)
    streaming(connection)
    errors(connection)
print(f"passed {checks} checks")
