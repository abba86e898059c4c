"""Prints what SQLAlchemy finds in the schema `crm`."""

from sqlalchemy import create_engine, inspect

engine = create_engine("postgresql+psycopg://")
inspector = inspect(engine)
for table in sorted(inspector.get_table_names(schema="crm")):
    print(table, inspector.get_table_comment(table, schema="crm")["text"])
    print(" ", inspector.get_pk_constraint(table, schema="crm"))
    print(" ", inspector.get_indexes(table, schema="crm"), inspector.get_unique_constraints(table, schema="crm"))
    print(" ", inspector.get_foreign_keys(table, schema="crm"), inspector.get_check_constraints(table, schema="crm"))
    print(" ", inspector.get_table_options(table, schema="crm"))
print(inspector.get_view_names(schema="crm"), inspector.get_materialized_view_names(schema="crm"))
print(inspector.get_sequence_names(schema="crm"), inspector.get_enums(schema="crm"), inspector.get_domains(schema="crm"))
print(inspector.has_table("opportunity", schema="crm"), inspector.has_table("nothing", schema="crm"))
print(inspector.get_view_definition("pg_tables", schema="pg_catalog"))
