"""dbt: checks its connection, compiles a model over a source, shows its rows, and tests the source."""

import os
import pathlib
import subprocess
import sys
import tempfile

SCHEMA = os.popen("psql -XAtc \"SELECT table_schema FROM information_schema.tables WHERE table_name = 'many'\"").read().strip()
FILES = {
    "profiles.yml": """
tributary:
  target: own
  outputs:
    own:
      type: postgres
      host: "{{ env_var('PGHOST') }}"
      port: "{{ env_var('PGPORT') | int }}"
      user: "{{ env_var('PGUSER') }}"
      password: "{{ env_var('PGPASSWORD') }}"
      dbname: "{{ env_var('PGDATABASE') }}"
      schema: SCHEMA
      threads: 2
""",
    "dbt_project.yml": """
name: tributary
version: "1.0.0"
profile: tributary
model-paths: [models]
flags:
  send_anonymous_usage_stats: false
""",
    "models/sources.yml": """
version: 2
sources:
  - name: crm
    schema: SCHEMA
    tables:
      - name: many
        columns:
          - name: id
            data_tests: [unique, not_null]
""",
    "models/large.sql": "SELECT id, amount FROM {{ source('crm', 'many') }} WHERE amount > 9999 ORDER BY id",
}


def dbt(*arguments):
    command = [os.path.join(os.path.dirname(sys.executable), "dbt"), *arguments, "--profiles-dir", "."]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"dbt {arguments}:\n{done.stdout}{done.stderr}"
    return done.stdout


with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    for name, text in FILES.items():
        path = pathlib.Path(name)
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.replace("SCHEMA", SCHEMA))
    assert "Connection test: [OK connection ok]" in dbt("debug").replace("\x1b[32m", "").replace("\x1b[0m", "")
    shown = dbt("show", "--select", "large", "--limit", "2")
    assert "13133" in shown and "9,999.59" in shown, shown
    assert "PASS=2" in dbt("test", "--select", "source:crm")
print("passed 3 checks")
