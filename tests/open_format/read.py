"""Reads a snapshot with engines that are not ours and compares every value with what the server answers.

Usage: read.py TABLE_FOLDER SQL_TABLE NAME=COLUMN...

The connection is libpq's (PGHOST and so on). Fields whose stored column has another name are given as NAME=COLUMN.
Prints one line an entry point: `same`, `other rows`, or `refused` with the reason.
"""

import datetime
import decimal
import glob
import json
import os
import struct
import sys

import deltalake
import duckdb
import duckdb_extension_delta
import polars
import psycopg

FLOAT4 = 700


def shown(value, is_float4=False):
    """One spelling for equal values, whatever type an engine gives them in."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, float):
        return repr(struct.unpack("f", struct.pack("f", value))[0] if is_float4 else value)
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, datetime.datetime):
        zoned = value.tzinfo is not None
        plain = value.astimezone(datetime.timezone.utc).replace(tzinfo=None) if zoned else value
        return plain.isoformat(timespec="microseconds") + ("Z" if zoned else "")
    if isinstance(value, (bytes, memoryview)):
        return bytes(value).hex()
    if isinstance(value, list):
        return "[" + ", ".join(map(shown, value)) + "]"
    return str(value)


def expected(table):
    with psycopg.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {table}")
        columns = [(column.name, column.type_code == FLOAT4) for column in cursor.description]
        rows = [[shown(v, is_float4) for v, (_, is_float4) in zip(row, columns)] for row in cursor]
    return [name for name, _ in columns], sorted(rows)


def arrow_rows(table, columns):
    """Rows of anything that exports an Arrow stream."""
    batches = polars.DataFrame(table)
    return [list(row) for row in batches.select(columns).iter_rows()]


def by_polars(folder, columns):
    return arrow_rows(polars.scan_delta(folder).collect(), columns)


def by_delta_query(folder, columns):
    builder = deltalake.QueryBuilder().register("t", deltalake.DeltaTable(folder))
    return arrow_rows(builder.execute("SELECT * FROM t").read_all(), columns)


def by_delta_pyarrow(folder, columns):
    table = deltalake.DeltaTable(folder).to_pyarrow_table()
    return [list(row.values()) for row in table.select(columns).to_pylist()]


def by_duckdb(folder, columns):
    connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    packaged = os.path.dirname(duckdb_extension_delta.__file__)
    (extension,) = glob.glob(f"{packaged}/extensions/v*/delta.duckdb_extension")
    connection.execute(f"LOAD '{extension}'")
    connection.execute("SET TimeZone = 'UTC'")
    names = ", ".join(f'"{name}"' for name in columns)
    return connection.execute(f"SELECT {names} FROM delta_scan('{folder}')").fetchall()


ENGINES = {
    "polars scan_delta": by_polars,
    "deltalake QueryBuilder": by_delta_query,
    "deltalake to_pyarrow_table": by_delta_pyarrow,
    "duckdb delta_scan": by_duckdb,
}


def main():
    folder, table, *renamed = sys.argv[1:]
    renamed = dict(pair.split("=") for pair in renamed)
    names, wanted = expected(table)
    columns = [renamed.get(name, name) for name in names]
    for name, read in ENGINES.items():
        try:
            rows = read(folder, columns)
        except Exception as error:  # an engine that cannot read says so; the test knows which may
            print(f"{name}: refused: {json.dumps(str(error)[:300])}")
            continue
        found = sorted([shown(value) for value in row] for row in rows)
        if found == wanted:
            print(f"{name}: same, {len(found)} rows")
            continue
        print(f"{name}: other rows: {len(found)} for {len(wanted)}")
        for row in [row for row in found if row not in wanted][:3]:
            print(f"  found    {row}")
        for row in [row for row in wanted if row not in found][:3]:
            print(f"  expected {row}")


main()
