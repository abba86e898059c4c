//! Everything that state holds as lines of JSON, and back. One format for both databases: a backup of one can be
//! restored into the other.

use serde_json::{Map, Value};
use sqlx::any::AnyRow;
use sqlx::{Any, Column, Executor, Row, Transaction};

use super::schema::{self, MIGRATIONS};
use super::{State, commit, failed, get};
use crate::error::{Error, Kind, Result};

/// A state as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dump {
    /// The rows.
    pub text: String,
    /// Number of the newest release in it; 0 when there is none.
    pub newest_release: i64,
}

impl State {
    /// All rows of all tables as they were at one moment, one line each: `{"table": ..., "row": {...}}`. The first
    /// line holds the schema version.
    pub async fn dump(&self) -> Result<Dump> {
        let mut transaction = self.begin().await?;
        if self.is_postgres {
            // On SQLite a transaction reads one snapshot anyway.
            let one_snapshot = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY";
            transaction.execute(one_snapshot).await.map_err(failed)?;
        }
        let mut text =
            format!("{}\n", serde_json::json!({ "schema": schema::version(&mut *transaction).await? }));
        for table in tables() {
            let rows = sqlx::query(&format!("SELECT * FROM {table}")).fetch_all(&mut *transaction).await;
            for row in &rows.map_err(failed)? {
                let line = serde_json::json!({ "table": table, "row": values(row)? });
                text.push_str(&line.to_string());
                text.push('\n');
            }
        }
        let newest =
            sqlx::query("SELECT coalesce(max(id), 0) AS id FROM releases").fetch_one(&mut *transaction);
        let newest_release = get(&newest.await.map_err(failed)?, "id")?;
        commit(transaction).await?;
        Ok(Dump { text, newest_release })
    }

    /// Fills an empty state with what [`State::dump`] gave.
    ///
    /// # Errors
    /// `Conflict` when the state is not empty, `Unsupported` for a dump of another schema version, `Corrupt` when it
    /// is none.
    pub async fn load(&self, dump: &str) -> Result<()> {
        self.must_be_empty().await?;
        let corrupt =
            |detail: &str| Error::new(Kind::Corrupt, format!("the dump of the state is damaged: {detail}"));
        let mut lines = dump.lines().map(serde_json::from_str::<Value>);
        let first = lines.next().and_then(|line| line.ok()).and_then(|line| line["schema"].as_i64());
        let first = first.ok_or_else(|| corrupt("it does not begin with a schema version"))?;
        let mut transaction = self.begin().await?;
        let known = schema::version(&mut *transaction).await?;
        if first != known {
            let what = format!("the backup has schema version {first}; this tributary has {known}");
            return Err(Error::new(Kind::Unsupported, what)
                .with_hint("restore it with the version that made it, then start this one"));
        }
        let tables = tables();
        for table in tables.iter().rev() {
            transaction.execute(&*format!("DELETE FROM {table}")).await.map_err(failed)?;
        }
        for line in lines {
            let line = line.map_err(|error| corrupt(&error.to_string()))?;
            let (table, row) = (line["table"].as_str(), line["row"].as_object());
            let table =
                table.filter(|table| tables.contains(table)).ok_or_else(|| corrupt("unknown table"))?;
            insert(&mut transaction, table, row.ok_or_else(|| corrupt("a line has no row"))?).await?;
        }
        commit(transaction).await
    }

    /// `Conflict` when somebody uses this state already. Logins alone are no use of it.
    pub async fn must_be_empty(&self) -> Result<()> {
        if self.is_empty().await? {
            return Ok(());
        }
        Err(Error::new(Kind::Conflict, "the state database is not empty: it has connections or releases")
            .with_hint("choose another with --data or --state; nothing was changed"))
    }

    /// Whether nothing was ever linked or published.
    pub async fn is_empty(&self) -> Result<bool> {
        let count = "SELECT (SELECT count(*) FROM connections) + (SELECT count(*) FROM releases) AS used";
        let row = sqlx::query(count).fetch_one(&self.pool).await.map_err(failed)?;
        Ok(get::<i64>(&row, "used")? == 0)
    }
}

/// The tables in the order in which the migrations made them: what refers to another comes after it.
fn tables() -> Vec<&'static str> {
    let mut tables = Vec::new();
    for statement in MIGRATIONS.iter().flat_map(|migration| migration.split(';')) {
        let mut words = statement.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some("CREATE"), Some("TABLE"), Some(name)) => tables.push(name),
            (Some("DROP"), Some("TABLE"), Some(name)) => tables.retain(|known| *known != name),
            _ => {}
        }
    }
    // Who is alive now is no matter of a backup, nor are logins under way. A grant is none either: its refresh token
    // may have been replaced since, and a vendor that sees an old one again ends the grant that is in use.
    let left_out = [
        "nodes",
        "readers",
        "oauth_grants",
        "oauth_invitations",
        "oauth_logins",
        "browser_sessions",
        "setup_links",
    ];
    tables.retain(|table| !left_out.contains(table));
    tables
}

fn values(row: &AnyRow) -> Result<Map<String, Value>> {
    let mut values = Map::new();
    for column in row.columns() {
        let name = column.name();
        // The driver of SQLite tells the type of the value, not of the column: so both are tried.
        let value = match row.try_get::<Option<i64>, _>(name) {
            Ok(number) => number.into(),
            Err(_) => get::<Option<String>>(row, name)?.into(),
        };
        values.insert(name.to_string(), value);
    }
    Ok(values)
}

async fn insert(
    transaction: &mut Transaction<'static, Any>,
    table: &str,
    row: &Map<String, Value>,
) -> Result<()> {
    let is_name = |name: &String| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if !row.keys().all(is_name) {
        return Err(Error::new(
            Kind::Corrupt,
            format!("the dump of the state has an odd column of `{table}`"),
        ));
    }
    // A NULL has no type that both databases take for a number and for text, so it is left out.
    let given: Vec<_> = row.iter().filter(|(_, value)| !value.is_null()).collect();
    let names: Vec<_> = given.iter().map(|(name, _)| name.as_str()).collect();
    let places: Vec<_> = (1..=given.len()).map(|place| format!("${place}")).collect();
    let text = format!("INSERT INTO {table} ({}) VALUES ({})", names.join(", "), places.join(", "));
    let mut query = sqlx::query(&text);
    for (_, value) in given {
        query = match value.as_i64() {
            Some(number) => query.bind(number),
            None => query.bind(value.as_str().unwrap_or_default().to_string()),
        };
    }
    query.execute(&mut **transaction).await.map_err(failed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_table_is_known_and_follows_those_it_refers_to() {
        let tables = super::tables();
        let at = |name: &str| tables.iter().position(|table| *table == name).unwrap();
        assert!(at("connections") < at("objects") && at("syncs") < at("runs") && at("logins") < at("grants"));
        assert!(!tables.contains(&"nodes") && tables.contains(&"sequences"));
    }
}
