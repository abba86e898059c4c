//! Names for the completion of the editor: all tables, or the fields of one.

use axum::http::StatusCode;
use serde_json::json;

use super::super::address::Address;
use super::super::answer;
use super::super::desk::text;
use super::super::person::Person;
use super::super::views::Answer;
use crate::model::quote_ident;

/// Tables and fields told at most.
const MOST: i64 = 2_000;

pub(super) async fn names(person: Person, address: Address) -> Answer {
    let names = match (address.text("schema"), address.text("table")) {
        (Some(schema), Some(table)) => {
            let sql = format!(
                "SELECT column_name, data_type FROM information_schema.columns \
                 WHERE table_schema = $1 AND table_name = $2 ORDER BY ordinal_position LIMIT {MOST}"
            );
            let rows = person.desk.rows(&sql, vec![text(schema), text(table)]).await?;
            let field = |row: super::super::desk::Row<'_>| {
                json!([quote_ident(&row.text_or_empty("column_name")), row.text_or_empty("data_type")])
            };
            json!({ "fields": rows.iter().map(field).collect::<Vec<_>>() })
        }
        _ => {
            let sql = format!(
                "SELECT table_schema, table_name FROM information_schema.tables \
                 WHERE table_schema NOT IN ('information_schema', 'pg_catalog') ORDER BY 1, 2 LIMIT {MOST}"
            );
            let rows = person.desk.rows(&sql, vec![]).await?;
            let table = |row: super::super::desk::Row<'_>| {
                json!([row.text_or_empty("table_schema"), row.text_or_empty("table_name")])
            };
            json!({ "tables": rows.iter().map(table).collect::<Vec<_>>() })
        }
    };
    Ok(answer::body(StatusCode::OK, "application/json", names.to_string()))
}
