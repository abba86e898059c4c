//! Erasing a record: from every version and release that is kept, and from every sync to come.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, StringArray};
use arrow::compute::{CastOptions, cast_with_options};

use super::{Actor, App, shorten};
use crate::error::{Error, Kind, Result};
use crate::model::{Connection, FieldType, Object, ObjectField, now_micros};
use crate::secret::Secret;
use crate::snapshot::{Erased, Erasure, KeyPart};
use crate::state::{ErasureEntry, Span};
use crate::sync::key_text;

/// Under which name the key of an unfinished erasure is sealed.
const SEALED_AS: &str = "erasure";
/// How long queries may keep old files when an erasure is completed after a crash: nobody is connected then.
const NO_WAIT: Duration = Duration::ZERO;

/// What a person asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) connection: &'a str,
    pub(super) object: &'a str,
    /// As the caller wrote it; never logged.
    pub(super) key: &'a str,
    pub(super) reason: &'a str,
    /// How long queries that began before may keep the old files.
    pub(super) wait: Duration,
}

/// What was done.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) object: String,
    pub(super) erased: Erased,
    /// Releases that had the record.
    pub(super) releases: u64,
    /// Statements with kept results that were computed from the object, which may show what the record said.
    pub(super) statements: Vec<String>,
}

/// A table that may hold the record: the object's own, and those of objects that had its name and were dropped.
struct Target {
    object_id: String,
    connection: String,
    fields: Vec<ObjectField>,
}

impl App {
    /// Removes the record with that key from every snapshot and release, and keeps it out of every later sync. The
    /// key itself is written nowhere.
    ///
    /// # Errors
    /// `Conflict` while a sync of the object is running. Whatever else fails, the record stays out of syncs, and
    /// calling it again, or the next start of the server, completes the rest.
    pub(super) async fn erase(self: &Arc<Self>, actor: &Actor, request: Request<'_>) -> Result<Done> {
        let Request { connection, object, reason, .. } = request;
        let arguments = serde_json::json!({
            "connection": connection, "object": shorten(object), "reason": shorten(reason),
        });
        self.audited(actor, "erase", &arguments.to_string(), async {
            let connection = self.connection(connection).await?;
            let adopted = self.object(&connection, object).await;
            let spans = self.state.spans().await?;
            let targets = targets(&connection, object, adopted.as_ref().ok(), &spans);
            let Some(first) = targets.first() else { return adopted.map(|_| Done::default()) };
            if reason.trim().is_empty() {
                return Err(Error::new(Kind::Invalid, "an erasure needs a reason")
                    .with_hint("say who asked for it and when; the reason is kept and shown"));
            }
            let (api, name) = match &adopted {
                Ok(object) => (object.api.clone(), object.full_name()),
                Err(_) => (object.to_string(), format!("{}.{object}", connection.name)),
            };
            let fields = key_fields(&first.fields);
            let texts = key_texts(&fields, request.key)?;
            let key = typed(&fields, &texts)?;
            let unfinished = self.state.erasures_of(connection.id, &api).await?;
            let digest = self.digest(&api, &fields, &key)?;
            let mut entry = None;
            for before in unfinished.into_iter().filter(|before| before.pending.is_some()) {
                match before.digest == digest {
                    true => entry = Some(before),
                    false => drop(self.resume(&before).await?),
                }
            }
            let entry = match entry {
                Some(entry) => entry,
                None => {
                    let id = self.state.next_erasure().await?;
                    let entry = ErasureEntry {
                        id,
                        connection_id: connection.id,
                        api,
                        object: name,
                        fields: fields.iter().map(|field| field.api.clone()).collect(),
                        digest,
                        secret: self.digester.name(),
                        at: now_micros(),
                        actor: actor.name.clone(),
                        reason: reason.to_string(),
                        pending: Some(self.seal_key(connection.id, id, object, &texts)?),
                        rows: None,
                        files: None,
                        releases: None,
                    };
                    self.state.begin_erasure(&entry).await?;
                    self.mirror_erasure(&entry).await;
                    entry
                }
            };
            // The work outlives a caller that goes away.
            let (app, wait) = (self.clone(), request.wait);
            let work = self.runtime.spawn(async move { app.carry_out(&entry, &targets, &texts, wait).await });
            work.await.map_err(|error| Error::internal("an erasure ended unexpectedly").with_source(error))?
        })
        .await
    }

    /// Completes what an earlier process left unfinished. What cannot be completed stays for the next start.
    pub(super) async fn resume_erasures(&self) -> Result<()> {
        for entry in self.state.erasures().await?.into_iter().filter(|entry| entry.pending.is_some()) {
            match self.resume(&entry).await {
                Ok(done) => {
                    tracing::info!(erasure = entry.id, rows = done.erased.rows, "completed an erasure")
                }
                Err(error) => tracing::error!(erasure = entry.id, ?error, "an erasure is still unfinished"),
            }
        }
        Ok(())
    }

    async fn resume(&self, entry: &ErasureEntry) -> Result<Done> {
        let sealed = entry.pending.as_deref().unwrap_or_default();
        let unsealed =
            self.keyring.unseal(&self.company, entry.connection_id, SEALED_AS, entry.id, sealed)?;
        let (name, texts): (String, Vec<String>) = serde_json::from_str(unsealed.expose())
            .map_err(|error| Error::internal("an unfinished erasure holds no key").with_source(error))?;
        let connections = self.state.connections().await?;
        let connection = connections.iter().find(|connection| connection.id == entry.connection_id);
        let targets = match connection {
            Some(connection) => {
                let adopted = self.object(connection, &entry.api).await;
                targets(connection, &name, adopted.as_ref().ok(), &self.state.spans().await?)
            }
            None => Vec::new(),
        };
        self.carry_out(entry, &targets, &texts, NO_WAIT).await
    }

    async fn carry_out(
        &self,
        entry: &ErasureEntry,
        targets: &[Target],
        texts: &[String],
        wait: Duration,
    ) -> Result<Done> {
        let _no_compaction = self.compactions.pause().await;
        let mut done = Done { object: entry.object.clone(), ..Done::default() };
        let mut releases = BTreeSet::new();
        for target in targets {
            self.erase_overrides(&target.object_id, &target.fields, texts).await?;
            let table = self.warehouse.table(&target.connection, &target.object_id);
            // What is kept of a read that broke off lies beside tables that were never written, too.
            if !table.exists().await? && table.kept_names().await?.is_empty() {
                continue;
            }
            let fields = key_fields(&target.fields);
            let values = typed(&fields, texts)?;
            let part = |(field, value): (&&ObjectField, ArrayRef)| KeyPart {
                columns: columns_of(&target.fields, &field.api),
                value,
            };
            let key: Vec<_> = fields.iter().zip(values).map(part).collect();
            let erasure = |fence| Erasure { id: entry.id, key, fence, wait };
            let erased = self.syncer.erase(&table, &target.object_id, &entry.object, erasure).await?;
            self.warehouse.sweep_leftovers_of(&table).await?;
            releases.extend(self.state.correct_rows(&target.object_id, &erased.versions).await?);
            self.state.drop_samples(&target.object_id).await?;
            if erased.rows > 0 {
                self.publish_erased(target, &entry.object).await?;
            }
            if erased.rows > 0 {
                done.statements.extend(self.state.statements_that_read(&target.object_id).await?);
            }
            done.erased.rows += erased.rows;
            done.erased.files += erased.files;
            done.erased.unchecked += erased.unchecked;
            done.erased.overtook_readers |= erased.overtook_readers;
        }
        for id in &releases {
            if let Some(release) = self.state.release(*id).await? {
                self.warehouse.correct_release(&release).await?;
            }
        }
        done.releases = releases.len() as u64;
        let (rows, files) = (done.erased.rows as i64, done.erased.files as i64);
        self.state.end_erasure(entry.id, rows, files, done.releases as i64).await?;
        self.state.forget_changes().await?;
        Ok(done)
    }

    /// Readers go on with a release of its own: what they planned on the old files is not used again.
    async fn publish_erased(&self, target: &Target, name: &str) -> Result<()> {
        let newest = self.state.newest_release().await?;
        let mut published = newest.iter().flat_map(|release| &release.objects);
        match published.find(|object| object.object_id == target.object_id) {
            Some(object) => {
                self.publish_definition(&format!("erase {name}"), std::slice::from_ref(object), &[]).await
            }
            None => Ok(()),
        }
    }

    pub(super) fn digest(&self, api: &str, fields: &[&ObjectField], key: &[ArrayRef]) -> Result<String> {
        let texts: Option<Vec<_>> = key.iter().map(|value| key_text(value, 0)).collect();
        let texts = texts.ok_or_else(|| Error::internal("a key has a type that no key can have"))?;
        Ok(self
            .digester
            .digest(api, fields.iter().map(|field| field.api.as_str()).zip(texts.iter().map(String::as_str))))
    }

    fn seal_key(&self, connection_id: i64, id: i64, object: &str, texts: &[String]) -> Result<Vec<u8>> {
        let text = serde_json::json!([object, texts]).to_string();
        self.keyring.seal(&self.company, connection_id, SEALED_AS, id, &Secret::new(text))
    }
}

fn targets(connection: &Connection, name: &str, adopted: Option<&Object>, spans: &[Span]) -> Vec<Target> {
    let mut targets: Vec<Target> = Vec::new();
    if let Some(object) = adopted {
        targets.push(Target {
            object_id: object.id.clone(),
            connection: object.connection.clone(),
            fields: object.fields.clone(),
        });
    }
    let is_meant = |span: &&Span| {
        span.to.is_some() && span.object.connection == connection.name && span.object.name == name
    };
    for span in spans.iter().rev().filter(is_meant) {
        if !spans.iter().any(|s| s.to.is_none() && s.object.object_id == span.object.object_id)
            && !targets.iter().any(|target| target.object_id == span.object.object_id)
        {
            targets.push(Target {
                object_id: span.object.object_id.clone(),
                connection: span.object.connection.clone(),
                fields: span.object.fields.clone(),
            });
        }
    }
    for target in &mut targets {
        // Fields that were taken out and came back have had other columns.
        let id = target.object_id.clone();
        let past = spans.iter().filter(|span| span.object.object_id == id);
        for field in past.flat_map(|span| &span.object.fields) {
            if !target.fields.iter().any(|known| known.column == field.column) {
                target.fields.push(ObjectField { key_position: None, ..field.clone() });
            }
        }
    }
    targets
}

pub(super) fn key_fields(fields: &[ObjectField]) -> Vec<&ObjectField> {
    let mut key: Vec<_> = fields.iter().filter(|field| field.key_position.is_some()).collect();
    key.sort_by_key(|field| field.key_position);
    key
}

fn columns_of(fields: &[ObjectField], api: &str) -> Vec<String> {
    fields.iter().filter(|field| field.api == api).map(|field| field.column.clone()).collect()
}

/// The values of the unique fields in the key as a person writes it: the value itself where there is one field,
/// a JSON array in the order of the key or a JSON object where there are several. Messages must not quote it.
pub(super) fn key_texts(fields: &[&ObjectField], key: &str) -> Result<Vec<String>> {
    if let [_] = fields {
        return Ok(vec![key.to_string()]);
    }
    let names: Vec<_> = fields.iter().map(|field| field.name.as_str()).collect();
    let invalid = || {
        let example: Vec<_> = names.iter().map(|name| format!("\"{name}\": \"...\"")).collect();
        Error::new(Kind::Invalid, format!("the key must have a value for each of {}", names.join(", ")))
            .with_hint(format!("write it as a JSON object: {{{}}}", example.join(", ")))
    };
    let values: Vec<serde_json::Value> = match serde_json::from_str(key) {
        Ok(serde_json::Value::Array(values)) => values,
        Ok(serde_json::Value::Object(object)) if object.len() == fields.len() => {
            let value =
                |field: &&ObjectField| object.get(&field.name).or_else(|| object.get(&field.api)).cloned();
            fields.iter().map(value).collect::<Option<_>>().ok_or_else(invalid)?
        }
        _ => return Err(invalid()),
    };
    if values.len() != fields.len() {
        return Err(invalid());
    }
    let text = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => Ok(text),
        serde_json::Value::Number(number) if !number.is_f64() => Ok(number.to_string()),
        serde_json::Value::Bool(value) => Ok(value.to_string()),
        _ => Err(Error::new(
            Kind::Invalid,
            "a value of the key is neither a text nor an integer nor a boolean",
        )
        .with_hint("write other numbers, dates and times in quotes")),
    };
    values.into_iter().map(text).collect()
}

/// The values of the key in the types of their fields.
pub(super) fn typed(fields: &[&ObjectField], texts: &[String]) -> Result<Vec<ArrayRef>> {
    let exact = CastOptions { safe: false, ..CastOptions::default() };
    let value = |(field, text): (&&ObjectField, &String)| {
        let unfit = || {
            let what =
                format!("the key does not fit unique field `{}` of type {}", field.name, field.data_type);
            Error::new(Kind::Invalid, what).with_hint("write it as PostgreSQL prints it")
        };
        if let FieldType::Decimal(_, scale) = field.data_type {
            let digits = text.split_once('.').map_or("", |(_, digits)| digits).trim_end_matches('0');
            if digits.len() > usize::from(scale.unsigned_abs()) {
                return Err(unfit());
            }
        }
        let array: ArrayRef = Arc::new(StringArray::from(vec![text.as_str()]));
        cast_with_options(&array, &field.data_type.arrow(), &exact).map_err(|_| unfit())
    };
    if fields.len() != texts.len() {
        return Err(Error::internal("a key has another number of fields than before"));
    }
    fields.iter().zip(texts).map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, data_type: &str, position: u32) -> ObjectField {
        ObjectField {
            api: name.to_uppercase(),
            name: name.into(),
            column: name.into(),
            label: name.into(),
            data_type: data_type.parse().unwrap(),
            native_type: String::new(),
            note: None,
            selected: true,
            key_position: Some(position),
            is_name: false,
            volatile: false,
        }
    }

    #[test]
    fn a_key_is_written_plainly_or_as_json() {
        let fields = [field("owner", "integer", 0), field("period", "text", 1)];
        let both: Vec<_> = fields.iter().collect();
        assert_eq!(key_texts(&both[1..], "[\"as it is\"]").unwrap(), ["[\"as it is\"]"]);
        for key in
            ["[7, \"Q1\"]", "{\"period\": \"Q1\", \"owner\": \"7\"}", "{\"PERIOD\": \"Q1\", \"OWNER\": 7}"]
        {
            assert_eq!(key_texts(&both, key).unwrap(), ["7", "Q1"]);
        }
        for key in ["7,Q1", "[7]", "{\"owner\": 7}", "[7.5, \"Q1\"]", "[null, \"Q1\"]"] {
            assert!(!key_texts(&both, key).unwrap_err().to_string().contains("Q1"));
        }
    }

    #[test]
    fn a_value_that_does_not_fit_is_refused_without_being_quoted() {
        for (data_type, good, bad) in [
            ("integer", "7", "canary"),
            ("numeric(10,2)", "7.50", "7.501"),
            ("date", "2026-10-31", "31.10."),
            ("timestamp with time zone", "2026-10-31 12:00:00+00", "canary"),
        ] {
            let field = field("id", data_type, 0);
            assert!(typed(&[&field], &[good.into()]).is_ok(), "{data_type}");
            let error = typed(&[&field], &[bad.into()]).unwrap_err();
            assert!(!error.to_string().contains(bad) && error.detail().is_none(), "{error:?}");
        }
    }
}
