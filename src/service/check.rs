//! Trying a definition at the source before it is saved.

use super::object::{position, set_key};
use super::sync::Wanted;
use super::{Actor, App, shorten};
use crate::error::{Error, Kind, Result};
use crate::sync::{Matching, Request, Uniqueness};

/// The most records that are looked at for a key.
const MOST_RECORDS: i64 = 10_000;

impl App {
    /// How many records a filter would leave, and what the source would be told of it. An empty one leaves all.
    pub(super) async fn check_filter(
        &self,
        actor: &Actor,
        connection: &str,
        object: &str,
        filter: &str,
    ) -> Result<Matching> {
        let arguments = serde_json::json!({ "connection": connection, "object": shorten(object), "filter": shorten(filter) });
        self.audited(actor, "check_filter", &arguments.to_string(), async {
            let mut request = self.request_to_try(actor, connection, object).await?;
            for object in &mut request.objects {
                let text = filter.trim();
                if !text.is_empty() {
                    crate::filter::parse(text, &object.fields)?;
                }
                object.import.filter = Some(text.to_string()).filter(|text| !text.is_empty());
            }
            self.syncer.matching(&request).await
        })
        .await
    }

    /// Whether fields would tell records apart, as far as the first `records` say.
    pub(super) async fn check_key(
        &self,
        actor: &Actor,
        connection: &str,
        object: &str,
        unique_fields: &[String],
        records: i64,
    ) -> Result<Uniqueness> {
        let arguments = serde_json::json!({
            "connection": connection, "object": shorten(object), "unique_fields": unique_fields, "n": records
        });
        self.audited(actor, "check_key", &arguments.to_string(), async {
            let rows = u64::try_from(records).ok().filter(|_| (1..=MOST_RECORDS).contains(&records));
            let rows = rows.ok_or_else(|| {
                Error::new(Kind::Invalid, format!("`n` cannot be {records}"))
                    .with_hint(format!("accepted: 1 to {MOST_RECORDS}"))
            })?;
            let mut request = self.request_to_try(actor, connection, object).await?;
            for object in &mut request.objects {
                for name in unique_fields {
                    let place = position(object, name)?;
                    object.fields[place].selected = true;
                }
                set_key(object, unique_fields)?;
            }
            self.syncer.uniqueness(&request, rows).await
        })
        .await
    }

    async fn request_to_try(&self, actor: &Actor, connection: &str, object: &str) -> Result<Request> {
        let wanted = Wanted { connection, mode: "full", object: Some(object), force: None };
        self.request(actor, &wanted).await
    }
}
