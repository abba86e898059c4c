"""What people reach for in Python besides psycopg 3 and asyncpg, each doing what its user does first."""

import datetime as dt
import glob
import os
import subprocess
import sys
import tempfile
from decimal import Decimal
from urllib.parse import quote

import adbc_driver_postgresql.dbapi
import connectorx
import duckdb
import duckdb_extension_postgres_scanner
import pandas
import pg8000.dbapi
import pg8000.native
import polars
import psycopg2
import psycopg2.extras
import sqlalchemy
from pgcli.pgexecute import PGExecute

HOST, PORT = os.environ["PGHOST"], os.environ["PGPORT"]
USER, PASSWORD, DATABASE = os.environ["PGUSER"], os.environ["PGPASSWORD"], os.environ["PGDATABASE"]
URL = f"postgresql://{USER}:{quote(PASSWORD)}@{HOST}:{PORT}/{DATABASE}"
UTC = dt.timezone.utc
MANY = "SELECT id, name, amount, changed FROM many"
# As the script that makes the table says.
AMOUNTS = [Decimal(i * 7919 % 1000003) / 100 for i in range(1, 100001)]
checks = 0


def same(what, found, expected):
    global checks
    checks += 1
    assert found == expected, f"{what}: {found!r} instead of {expected!r}"


def with_psycopg2():
    connection = psycopg2.connect(host=HOST, port=PORT, user=USER, password=PASSWORD, dbname=DATABASE)
    with connection, connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
        cursor.execute("SELECT a_numeric, a_json::json AS a_json, texts, a_bytea FROM every_type WHERE id = %s", (1,))
        row = cursor.fetchone()
        same("numeric", row["a_numeric"], Decimal("77600.55"))
        same("json", row["a_json"], {"a": [1, None]})
        same("array", row["texts"], ["a", None, "c d", "NULL", '"'])
        same("bytea", bytes(row["a_bytea"]), b"\x00\xff\x10")
        cursor.execute("SELECT id FROM many WHERE id = ANY(%s) AND name LIKE %s ORDER BY id", ([3, 5, 70], "row 7%"))
        same("any", [row["id"] for row in cursor], [70])
        with connection.cursor("named") as streamed:
            streamed.itersize = 1000
            streamed.execute(f"{MANY} ORDER BY id")
            same("a named cursor", sum(1 for _ in streamed), 100000)
    with connection.cursor() as cursor:
        try:
            cursor.execute("SELECT nothing FROM many")
            raise AssertionError("a missing column was found")
        except psycopg2.errors.UndefinedColumn as error:
            same("SQLSTATE", error.pgcode, "42703")
    connection.rollback()
    with open(os.devnull, "w") as out, connection.cursor() as cursor:
        cursor.copy_expert("COPY (SELECT * FROM many) TO STDOUT WITH CSV HEADER", out)
        same("COPY", cursor.rowcount, 100000)
    connection.close()


def with_pg8000():
    connection = pg8000.native.Connection(USER, host=HOST, port=int(PORT), database=DATABASE, password=PASSWORD)
    rows = connection.run("SELECT id, amount, changed FROM many WHERE id = :id", id=7)
    same("a row", rows, [[7, Decimal("554.33"), dt.datetime(2024, 1, 1, 0, 0, 7, tzinfo=UTC)]])
    same("columns", [column["name"] for column in connection.columns], ["id", "amount", "changed"])
    prepared = connection.prepare("SELECT count(*) FROM many WHERE amount > :least")
    more = sum(1 for amount in AMOUNTS if amount > 9999)
    same("prepared", [prepared.run(least=Decimal("9999")) for _ in range(3)], [[[more]]] * 3)
    connection.close()
    connection = pg8000.dbapi.connect(user=USER, host=HOST, port=int(PORT), database=DATABASE, password=PASSWORD)
    cursor = connection.cursor()
    cursor.execute("SELECT a_uuid::text, integers, a_date FROM every_type WHERE id = %s", (1,))
    same("types", cursor.fetchone(), ["8c5b1b5e-3c5a-4b7e-9a53-0d5f5ad1a001", [1, None, -3], dt.date(2024, 2, 29)])
    connection.commit()
    connection.close()


def with_pandas():
    engine = sqlalchemy.create_engine(URL.replace("postgresql:", "postgresql+psycopg2:"))
    frame = pandas.read_sql("SELECT * FROM many", engine, index_col="id")
    same("rows", len(frame), 100000)
    # pandas makes floats of numerics.
    same("sum", round(float(frame["amount"].sum()), 2), float(sum(AMOUNTS)))
    same("by parameter", len(pandas.read_sql(sqlalchemy.text("SELECT 1 FROM many WHERE id < :most"), engine, params={"most": 5})), 4)
    table = pandas.read_sql_table("many", engine, columns=["id", "name"])
    same("a table by name", list(table.columns), ["id", "name"])
    chunks = pandas.read_sql("SELECT id FROM many", engine, chunksize=30000)
    same("in chunks", sum(len(chunk) for chunk in chunks), 100000)
    engine.dispose()


def with_polars():
    frame = polars.read_database_uri(f"{MANY} WHERE id <= 1000", URL, engine="connectorx")
    same("polars by ConnectorX", frame.shape, (1000, 4))
    frame = polars.read_database_uri(f"{MANY} WHERE id <= 1000", URL, engine="adbc")
    same("polars by ADBC", frame.shape, (1000, 4))
    engine = sqlalchemy.create_engine(URL.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        frame = polars.read_database("SELECT id, name FROM many ORDER BY id LIMIT 3", connection)
        same("polars by SQLAlchemy", frame.rows(), [(1, "row 1"), (2, "row 2"), (3, "row 3")])
    engine.dispose()


def with_connectorx():
    frame = connectorx.read_sql(URL, MANY, partition_on="id", partition_num=4, return_type="pandas")
    same("rows in four parts", len(frame), 100000)
    table = connectorx.read_sql(URL, "SELECT * FROM many WHERE name = 'row 9'", return_type="arrow")
    same("arrow", table.num_rows, 1)


def with_adbc():
    with adbc_driver_postgresql.dbapi.connect(URL) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id, name, a_text, a_bigint FROM many JOIN every_type USING (id) ORDER BY id")
        table = cursor.fetch_arrow_table()
        same("arrow", table.column("a_bigint").to_pylist(), [4000000000, 9223372036854775807, None])
        cursor.execute("SELECT name FROM many WHERE id = $1", (77,))
        same("by parameter", cursor.fetchone(), ("row 77",))
        objects = connection.adbc_get_objects(depth="columns", table_name_filter="many").read_all().to_pylist()
        schemas = [schema for catalog in objects for schema in catalog["catalog_db_schemas"] or []]
        tables = [table for schema in schemas for table in schema["db_schema_tables"] or []]
        columns = sorted(column["column_name"] for column in tables[0]["table_columns"])
        same("what is there", columns, ["amount", "changed", "id", "name"])
        connection.rollback()


def with_duckdb():
    connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    packaged = os.path.dirname(duckdb_extension_postgres_scanner.__file__)
    (extension,) = glob.glob(f"{packaged}/extensions/v*/postgres_scanner.duckdb_extension")
    connection.execute(f"LOAD '{extension}'")
    # The rest of the login comes from the environment.
    connection.execute(f"ATTACH 'dbname={DATABASE}' AS pg (TYPE postgres, READ_ONLY)")
    schemas = connection.execute("SELECT schema_name FROM duckdb_tables() WHERE database_name = 'pg' AND table_name = 'many'")
    ((schema,),) = schemas.fetchall()
    found = connection.execute(f"SELECT count(*), sum(amount), max(name) FROM pg.{schema}.many WHERE id > 10").fetchall()
    same("a table", found, [(99990, sum(AMOUNTS[10:]), "row 99999")])
    rows = connection.execute(f"SELECT a_numeric, a_text, texts FROM pg.{schema}.every_type WHERE id < 3 ORDER BY id").fetchall()
    same("texts", rows[0], (Decimal("77600.55"), 'Zoë said "hi", \\ and 🙂\nbye', ["a", None, "c d", "NULL", '"']))
    same("empty", rows[1], (Decimal("-9999999999999999.99"), "", []))
    found = connection.execute("SELECT * FROM postgres_query('pg', 'SELECT count(*) AS n FROM many WHERE id < 5')").fetchall()
    same("a query of its own", found, [(4,)])


def with_pgcli():
    # What it reads to complete names, before it asks for a statement.
    pgcli = PGExecute(DATABASE, USER, PASSWORD, HOST, PORT, None)
    (schema,) = [schema for schema, table in pgcli.tables() if table == "many"]
    same("its schema", schema in list(pgcli.schemata()), True)
    columns = [(name, type_name) for s, table, name, type_name, *_ in pgcli.table_columns() if (s, table) == (schema, "many")]
    same("columns", [name for name, _ in columns], ["id", "name", "amount", "changed"])
    same("types", [type_name for _, type_name in columns][1:3], ["text", "numeric"])
    same("a view", ("pg_catalog", "pg_tables") in list(pgcli.views()), True)
    same("a function", any(function.func_name == "date_trunc" for function in pgcli.functions()), True)
    same("databases", DATABASE in pgcli.databases(), True)
    same("the search path", "pg_catalog" in pgcli.search_path(), True)
    same("foreign keys", list(pgcli.foreignkeys()), [])
    list(pgcli.datatypes())
    # The program itself.
    program = os.path.join(os.path.dirname(sys.executable), "pgcli")
    commands = ["-c", "SELECT name, amount FROM many WHERE id = 70", "-c", f"\\d {schema}.many", "-c", "SELECT nothing FROM many"]
    with tempfile.TemporaryDirectory() as home:
        run = subprocess.run(
            [program, "-h", HOST, "-p", PORT, "-U", USER, "-d", DATABASE, *commands],
            env={**os.environ, "HOME": home, "XDG_CONFIG_HOME": home}, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    said = run.stdout + run.stderr
    for expected in [f"| row 70 | {AMOUNTS[69]}", "numeric(18,2)", "PRIMARY KEY", 'column "nothing" does not exist']:
        same(expected, expected in said or said, True)


for client in [with_psycopg2, with_pg8000, with_pandas, with_polars, with_connectorx, with_adbc, with_duckdb, with_pgcli]:
    try:
        client()
    except Exception as error:
        raise AssertionError(f"{client.__name__}: {type(error).__name__}: {error}") from error
print(f"passed {checks} checks")
