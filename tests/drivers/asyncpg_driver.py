"""asyncpg: binary parameters and results only, prepared statements always."""

import asyncio
import datetime as dt
import os
from decimal import Decimal
from uuid import UUID

import asyncpg

UTC = dt.timezone.utc
EXPECTED = {
    "a_boolean": (True, False),
    "a_smallint": (-2, -32768),
    "an_integer": (3, 2147483647),
    "a_bigint": (4000000000, 9223372036854775807),
    "a_real": (1.5, 3.4028234663852886e38),
    "a_double": (2.25, 1.7976931348623157e308),
    "a_numeric": (Decimal("77600.55"), Decimal("-9999999999999999.99")),
    "a_wide": (Decimal("12345678901234567890.0123456789"), Decimal("9999999999999999999999999999.9999999999")),
    "a_text": ('Zoë said "hi", \\ and 🙂\nbye', ""),
    "a_varchar": ("plain", ""),
    "a_bytea": (b"\x00\xff\x10", b""),
    "a_date": (dt.date(2024, 2, 29), dt.date(1, 1, 2)),
    "a_timestamp": (dt.datetime(2024, 2, 29, 13, 14, 15, 678901), dt.datetime(9999, 12, 31, 23, 59, 59, 999998)),
    "a_timestamptz": (
        dt.datetime(2024, 2, 29, 13, 14, 15, 678901, UTC),
        dt.datetime(1969, 12, 31, 23, 59, 59, 999999, UTC),
    ),
}
checks = 0


def same(what, found, expected):
    global checks
    checks += 1
    assert found == expected and type(found) is type(expected), f"{what}: {found!r} instead of {expected!r}"


async def values_and_parameters(connection):
    rows = await connection.fetch(f"SELECT {', '.join(EXPECTED)} FROM every_type ORDER BY id")
    same("rows", len(rows), 3)
    for column, (first, second) in EXPECTED.items():
        same(column, rows[0][column], first)
        same(column, rows[1][column], second)
        same(column, rows[2][column], None)
        for row, value in [(1, first), (2, second)]:
            found = await connection.fetchval(f"SELECT id FROM every_type WHERE {column} = $1", value)
            same(f"{column} = {value!r}", found, row)
        found = await connection.fetch(f"SELECT id FROM every_type WHERE {column} = $1", None)
        same(f"{column} = NULL", found, [])
    rows = await connection.fetch("SELECT id FROM every_type ORDER BY id LIMIT $1 OFFSET $2", 1, 1)
    same("LIMIT and OFFSET", [row["id"] for row in rows], [2])
    found = await connection.fetchval("SELECT coalesce($1, a_text) FROM every_type WHERE id = 2", "given")
    same("coalesce", found, "given")
    row = await connection.fetchrow("SELECT $1::bigint, $2::text, $3::timestamptz", 7, "x", None)
    same("parameters given back", tuple(row), (7, "x", None))


async def streaming(connection):
    count, amounts = 0, Decimal(0)
    async with connection.transaction(readonly=True):
        rows = connection.cursor("SELECT id, name, amount, changed FROM many ORDER BY id", prefetch=1000)
        async for row in rows:
            count += 1
            amounts += row["amount"]
            expected = dt.datetime(2024, 1, 1, tzinfo=UTC) + dt.timedelta(seconds=count)
            assert tuple(row) == (count, f"row {count}", Decimal(count * 7919 % 1000003) / 100, expected), row
    same("rows streamed", count, 100000)
    same("sum of amounts", amounts, await connection.fetchval("SELECT sum(amount) FROM many"))
    rows = await connection.fetch("SELECT id FROM many ORDER BY id")
    same("rows fetched at once", [row["id"] for row in rows], list(range(1, 100001)))


async def errors(connection):
    for sql, arguments, state in [
        ("SELECT no_such_column FROM every_type", [], "42703"),
        ("SELECT * FROM no_such_table", [], "42P01"),
        ("SELECT 1 / (id - $1) FROM every_type WHERE id = 1", [1], "22012"),
    ]:
        try:
            await connection.fetch(sql, *arguments)
            found = None
        except asyncpg.PostgresError as error:
            found = error.sqlstate
        same(sql, found, state)
        same("next query", await connection.fetchval("SELECT $1::integer", 1), 1)
    try:
        async with connection.transaction():
            await connection.fetch("SELECT no_such_column FROM every_type")
    except asyncpg.UndefinedColumnError:
        pass
    same("after rollback", await connection.fetchval("SELECT 1"), 1)


async def arrays(connection):
    """For an array of each type asyncpg looks into the catalog."""
    for column, (first, second) in EXPECTED.items():
        sql = f"SELECT id FROM every_type WHERE {column} = any($1) ORDER BY id"
        for values, ids in [([first, None], [1]), ([second, first], [1, 2]), ([], []), (None, [])]:
            found = [row["id"] for row in await connection.fetch(sql, values)]
            same(f"{column} = any({values!r})", found, ids)
    uuids = ["8c5b1b5e-3c5a-4b7e-9a53-0d5f5ad1a001"]
    found = await connection.fetchval("SELECT id FROM every_type WHERE a_uuid::text = any($1)", uuids)
    same("any of uuids", found, 1)
    row = await connection.fetchrow("SELECT texts, integers FROM every_type WHERE id = 1")
    same("arrays", tuple(row), (["a", None, "c d", "NULL", '"'], [1, None, -3]))
    for kind, values in [
        ("integer", [1, None, -3]),
        ("bigint", [2**40]),
        ("text", ["a", None]),
        ("boolean", [True, None]),
        ("double precision", [0.5]),
        ("date", [dt.date(2024, 2, 29)]),
        ("timestamptz", [dt.datetime(2024, 2, 29, 1, 2, 3, 4, UTC)]),
    ]:
        same(f"{kind}[] given back", await connection.fetchval(f"SELECT $1::{kind}[]", values), values)
    statement = await connection.prepare("SELECT id, integers FROM every_type WHERE id = any($1)")
    kinds = [(kind.oid, kind.name, kind.kind, kind.schema) for kind in statement.get_parameters()]
    same("parameters", kinds, [(1007, "int4[]", "array", "pg_catalog")])
    same("columns", [column.type.name for column in statement.get_attributes()], ["int4", "int4[]"])
    same("prepared", [row["id"] for row in await statement.fetch([2])], [2])
    await connection.executemany("SELECT id FROM every_type WHERE id = any($1)", [([1],), ([2, 3],)])
    same("after executemany", await connection.fetchval("SELECT 1"), 1)


async def codecs(connection):
    """A codec of the program's own is looked up by name."""
    await connection.set_type_codec("numeric", schema="pg_catalog", encoder=str, decoder=str, format="text")
    same("own codec", await connection.fetchval("SELECT a_numeric FROM every_type WHERE id = 1"), "77600.55")
    await connection.reset_type_codec("numeric", schema="pg_catalog")


async def text_types(connection):
    condition = "SELECT count(*) FROM every_type WHERE CASE WHEN $1 THEN id = 1 ELSE $2 END"
    same("conditions", await connection.fetchval(condition, True, False), 1)
    same("uuid", await connection.fetchval("SELECT ($1::uuid)::text", UUID(int=7)), str(UUID(int=7)))
    same("now moves on", await connection.fetchval("SELECT now()") < await connection.fetchval("SELECT now()"), True)
    await connection.execute("SET TIME ZONE 'Europe/Berlin'")
    zoned = "SELECT timestamptz '2024-07-01 12:00'"
    same("zone", await connection.fetchval(zoned), dt.datetime(2024, 7, 1, 10, tzinfo=UTC))
    await connection.execute("RESET TIME ZONE")
    async with connection.transaction():
        await connection.execute("DECLARE c CURSOR FOR SELECT id FROM many ORDER BY id")
        await connection.execute("MOVE 10 FROM c")
        same("fetched", [row["id"] for row in await connection.fetch("FETCH 2 FROM c")], [11, 12])


async def pools():
    async with asyncpg.create_pool(min_size=1, max_size=3) as pool:
        sql = "SELECT id FROM many WHERE id = $1"
        found = await asyncio.gather(*(pool.fetchval(sql, number) for number in range(1, 51)))
        same("through a pool", found, list(range(1, 51)))

        async def within_a_transaction(number):
            async with pool.acquire() as connection, connection.transaction():
                return await connection.fetchval("SELECT count(*) FROM many WHERE id = any($1)", [number, -1])

        found = await asyncio.gather(*(within_a_transaction(number) for number in range(1, 21)))
        same("in transactions of a pool", found, [1] * 20)
        async with pool.acquire() as connection:
            await connection.execute("SET application_name TO 'changed'")
        async with pool.acquire() as connection:
            same("reset", await connection.fetchval("SHOW application_name"), "")


async def main():
    connection = await asyncpg.connect()
    await arrays(connection)
    await codecs(connection)
    await text_types(connection)
    await pools()
    await values_and_parameters(connection)
    await streaming(connection)
    await errors(connection)
    await connection.close()


asyncio.run(asyncio.wait_for(main(), float(os.environ.get("DRIVER_SECONDS", "240"))))
print(f"passed {checks} checks")
