//! Masks of fields. They belong to an object by its id and to a field by the source's name, so that they hold for every
//! release that has it, whatever both are called there, and stay when the object is dropped.

use sqlx::any::AnyRow;

use super::{State, failed, get};
use crate::error::Result;
use crate::model::{FieldMask, Mask};

impl State {
    /// Masks a field; `None` takes the mask away.
    pub async fn set_mask(&self, object_id: &str, field: &str, mask: Option<Mask>) -> Result<()> {
        let query = match mask {
            Some(mask) => sqlx::query(
                "INSERT INTO masks (object_id, field, kind) VALUES ($1, $2, $3)
                 ON CONFLICT (object_id, field) DO UPDATE SET kind = excluded.kind",
            )
            .bind(object_id)
            .bind(field)
            .bind(mask.as_str()),
            None => sqlx::query("DELETE FROM masks WHERE object_id = $1 AND field = $2")
                .bind(object_id)
                .bind(field),
        };
        query.execute(&self.pool).await.map_err(failed)?;
        Ok(())
    }

    /// All masks.
    pub async fn masks(&self) -> Result<Vec<FieldMask>> {
        let rows = sqlx::query("SELECT * FROM masks ORDER BY object_id, field").fetch_all(&self.pool).await;
        let mask = |row: &AnyRow| {
            Ok(FieldMask {
                object_id: get(row, "object_id")?,
                field: get(row, "field")?,
                mask: get::<String>(row, "kind")?.parse()?,
            })
        };
        rows.map_err(failed)?.iter().map(mask).collect()
    }
}
