//! Bringing a dropped object back.

use std::collections::HashSet;

use super::object::{free_name, visible};
use super::{Actor, App, list, shorten};
use crate::error::{Error, Kind, Result, did_you_mean};
use crate::model::{Object, ReleaseObject, now_micros};
use crate::state::DroppedObject;

/// An object that is back.
pub(super) struct Undropped {
    pub(super) object: Object,
    /// Whether its rows are back, too: a release that is kept has them. Otherwise the next sync reads them anew.
    pub(super) has_rows: bool,
}

impl App {
    /// Brings back what was dropped under a name, as it was: fields, key and import settings, and its rows where a
    /// release that is kept has the newest of them. Rights on it are not.
    pub(super) async fn undrop_object(
        &self,
        actor: &Actor,
        connection: &str,
        object: &str,
    ) -> Result<Undropped> {
        let arguments =
            serde_json::json!({ "connection": connection, "object": shorten(object) }).to_string();
        self.audited(actor, "undrop_object", &arguments, async {
            let connection = self.connection(connection).await?;
            let dropped = self.state.dropped_objects().await?;
            let dropped: Vec<_> =
                dropped.into_iter().filter(|dropped| dropped.object.connection_id == connection.id).collect();
            let DroppedObject { object, .. } = newest_named(&dropped, &connection.name, object)?;
            let siblings = self.state.objects_of(connection.id).await?;
            if let Some(sibling) = siblings.iter().find(|sibling| sibling.api == object.api) {
                let what = format!("`{}` is adopted again, as `{}`", object.api, sibling.full_name());
                return Err(Error::new(Kind::AlreadyExists, what));
            }
            let taken: HashSet<_> = siblings.into_iter().map(|sibling| sibling.name).collect();
            free_name(&connection, &object.name, &taken)?;
            // What is brought back must not be cleaned up meanwhile.
            let _no_vacuum = self.vacuuming.lock().await;
            let was = object.id.clone();
            let published = self.last_published(object).await?;
            let mut object = object.clone();
            if published.is_none() {
                // Its files may be gone in part: its rows begin in a folder of their own.
                object.id = uuid::Uuid::now_v7().simple().to_string();
                object.created_at = now_micros();
            }
            self.state.undrop_object(&was, &object).await?;
            self.mirror_object(&object).await;
            if let Some(before) = &published {
                let cause = format!("undrop_object {}", object.full_name());
                self.publish_definition(&cause, &[visible(&object, before)], &[]).await?;
            }
            Ok(Undropped { object, has_rows: published.is_some() })
        })
        .await
    }

    /// An object as the newest release that has it and is kept, provided that it has the newest rows.
    async fn last_published(&self, object: &Object) -> Result<Option<ReleaseObject>> {
        let removed: HashSet<_> = self
            .state
            .release_headers()
            .await?
            .into_iter()
            .filter(|header| header.removed_at.is_some())
            .map(|header| header.id)
            .collect();
        let spans = self.state.spans().await?;
        let of_it = spans.into_iter().filter(|span| span.object.object_id == object.id);
        let Some(last) = of_it.max_by_key(|span| span.from) else { return Ok(None) };
        // The releases from `from` to before `to` have it: one of them that is kept keeps its files.
        let newest = self.state.newest_release().await?.map_or(last.from, |release| release.id);
        let end = last.to.unwrap_or(newest + 1);
        if (last.from..end).all(|release| removed.contains(&release)) {
            return Ok(None);
        }
        let table = self.warehouse.table(&object.connection, &object.id);
        // A compaction may have given both a higher number.
        let (Some(latest), Ok(published)) = (table.latest().await?, table.at(last.object.version).await)
        else {
            return Ok(None);
        };
        Ok((latest.version() == published.version()).then_some(last.object))
    }
}

fn newest_named<'a>(dropped: &'a [DroppedObject], connection: &str, name: &str) -> Result<&'a DroppedObject> {
    let found = dropped.iter().find(|dropped| dropped.object.name == name || dropped.object.api == name);
    found.ok_or_else(|| {
        let names = || dropped.iter().map(|dropped| dropped.object.name.as_str());
        let suggestion = did_you_mean(name, names());
        let what = format!("no object `{}` was dropped from `{connection}`{suggestion}", shorten(name));
        let hint = match dropped.is_empty() {
            true => "nothing was dropped from it".to_string(),
            false => format!("dropped: {}", list(names())),
        };
        Error::new(Kind::NotFound, what).with_hint(hint)
    })
}
