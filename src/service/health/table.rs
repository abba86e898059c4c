//! `tributary.health`.

use std::collections::HashMap;

use super::super::App;
use super::super::cells::{Cell, Columns, time};
use crate::error::Result;
use crate::model::{FieldType, Health, Micros};

/// Columns of the table, and of what the verb returns.
pub(crate) const COLUMNS: Columns = &[
    ("connection", FieldType::Text),
    ("object", FieldType::Text),
    ("state", FieldType::Text),
    ("cause", FieldType::Text),
    ("remedy", FieldType::Text),
    ("turn", FieldType::Text),
    ("since", FieldType::TimestampTz),
    ("checked_at", FieldType::TimestampTz),
    ("next_check_at", FieldType::TimestampTz),
];

/// What is known of one connection or object.
pub(crate) struct Row {
    pub(crate) connection: String,
    pub(crate) object: Option<String>,
    pub(crate) health: Health,
    next: Option<Micros>,
}

impl Row {
    pub(crate) fn cells(self) -> Vec<Cell> {
        let health = self.health;
        vec![
            self.connection.into(),
            self.object.into(),
            health.state.as_str().into(),
            health.cause.into(),
            health.remedy.into(),
            health.turn.as_str().into(),
            time(health.since),
            time(health.checked_at),
            time(self.next),
        ]
    }
}

/// Every connection that was checked, then its objects by name.
pub(crate) async fn rows(app: &App) -> Result<Vec<Row>> {
    let connections: HashMap<_, _> =
        app.state.connections().await?.into_iter().map(|c| (c.id, c.name)).collect();
    let objects = app.state.objects_named(None, None, false).await?;
    let objects: HashMap<_, _> = objects.into_iter().map(|object| (object.id, object.name)).collect();
    let checks = app.state.checks().await?;
    let row = |health: Health| {
        let connection = connections.get(&health.connection_id)?.clone();
        let object = match &health.object_id {
            Some(id) => Some(objects.get(id)?.clone()),
            None => None,
        };
        let next = checks.get(&health.connection_id).copied().flatten().filter(|_| object.is_none());
        Some(Row { connection, object, health, next })
    };
    let mut rows: Vec<_> = app.state.health().await?.into_iter().filter_map(row).collect();
    rows.sort_by(|a, b| (&a.connection, &a.object).cmp(&(&b.connection, &b.object)));
    Ok(rows)
}
