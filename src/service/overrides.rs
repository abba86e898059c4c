//! Overrides: setting them, taking them back, their end by the clock and with an erased record.

mod overlay;
mod table;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arrow::array::Array;
use datafusion::common::{ScalarValue, TableReference};
use tokio::sync::Notify;

use super::erase::key_texts;
use super::object::position;
use super::{Actor, App, list, shorten};
use crate::error::{Error, Kind, Result};
use crate::model::{FieldType, Micros, Object, ObjectField, Override, Release, ReleaseObject, now_micros};
use crate::query::{parse_value, print_values};
use crate::snapshot::Overlay;

pub(super) use overlay::{Overlays, key_of, records};
pub(super) use table::{COLUMNS, rows, shown_key};

/// How long the clock is left alone at most.
const PAUSE: Duration = Duration::from_secs(30);
/// Records of one call.
const MOST: usize = 20_000;

/// What a person wants a field to hold.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Correction {
    /// As the caller wrote it: a text, or JSON where the key has several fields.
    #[serde(deserialize_with = "written")]
    pub(super) key: String,
    pub(super) field: String,
    #[serde(deserialize_with = "plain")]
    pub(super) value: Option<String>,
}

/// A call.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) object: &'a str,
    pub(super) corrections: Vec<Correction>,
    pub(super) reason: &'a str,
    pub(super) expires_at: Option<Micros>,
}

impl App {
    /// Corrects fields of records from the next release on, which is published here. Either all of them or none.
    ///
    /// # Errors
    /// `NotFound` for an unknown object, field or record, `Unsupported` for a unique field, `Invalid` or `Data` for a
    /// value that does not fit. No message has the key or the value of a record, only its detail.
    pub(super) async fn override_fields(
        &self,
        actor: &Actor,
        verb: &str,
        request: Request<'_>,
    ) -> Result<Vec<Override>> {
        let fields: BTreeSet<_> = request.corrections.iter().map(|one| one.field.as_str()).collect();
        // Neither keys nor values: an erasure leaves the audit as it is.
        let arguments = serde_json::json!({
            "object": shorten(request.object), "fields": list(fields.into_iter()),
            "records": request.corrections.len(), "reason": shorten(request.reason),
            "expires_at": request.expires_at.map(super::release::shown),
        });
        self.audited(actor, verb, &arguments.to_string(), async {
            let object = self.named(request.object).await?;
            check(&request)?;
            let published = self.published(&object).await?;
            let set = self.checked(actor, &object, &published, &request).await?;
            let cause = format!("override {}", object.full_name());
            let release = self.state.set_overrides(&cause, &object.id, &set).await?;
            let number = release.id;
            self.show_overrides(release).await;
            let known = self.state.overrides_at(&object.id, number).await?;
            Ok(known.into_iter().filter(|one| one.from_release == number).collect())
        })
        .await
    }

    /// Takes back the overrides of a record, of one field or of all; returns them.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    pub(super) async fn clear_override(
        &self,
        actor: &Actor,
        object: &str,
        key: &str,
        field: Option<&str>,
        reason: Option<&str>,
    ) -> Result<(Vec<Override>, Release)> {
        let arguments = serde_json::json!({
            "object": shorten(object), "field": field.map(shorten), "reason": reason.map(shorten),
        });
        self.audited(actor, "clear_override", &arguments.to_string(), async {
            let object = self.named(object).await?;
            let column = match field {
                Some(field) => Some(object.fields[position(&object, field)?].column.clone()),
                None => None,
            };
            let mut active = self.state.overrides_of(&object.id).await?;
            active.retain(|one| {
                one.to_release.is_none()
                    && column.as_ref().is_none_or(|column| one.column == *column)
                    && is_of(one, &object.fields, |fields| key_texts(fields, key))
            });
            if active.is_empty() {
                let of = field.map(|field| format!("`{}` of ", shorten(field))).unwrap_or_default();
                let what = format!("no override of {of}that record of `{}` is in force", object.full_name());
                let hint =
                    "SELECT object, key, field FROM tributary.override WHERE status = 'active' lists them";
                return Err(Error::new(Kind::NotFound, what)
                    .with_detail(format!("the key was `{}`", shorten(key)))
                    .with_hint(hint));
            }
            let ids: Vec<_> = active.iter().map(|one| one.id).collect();
            let cause = format!("clear_override {}", object.full_name());
            let release = self.state.clear_overrides(&cause, &ids, &actor.name, reason).await?;
            self.show_overrides(release.clone()).await;
            Ok((active, release))
        })
        .await
    }

    /// Publishes a release without the overrides whose time is up at `now`; returns when the next one's is.
    pub async fn expire_overrides(&self, now: Micros) -> Result<Option<Micros>> {
        if self.state.next_expiry().await?.is_some_and(|next| next <= now)
            && let Some(release) = self.state.expire_overrides(now).await?
        {
            tracing::info!(release.id = release.id, "overrides expired");
            self.show_overrides(release).await;
        }
        self.state.next_expiry().await
    }

    /// Forgets the overrides of an erased record in every release, and in the copies beside the tables.
    pub(super) async fn erase_overrides(
        &self,
        object_id: &str,
        fields: &[ObjectField],
        texts: &[String],
    ) -> Result<()> {
        let _alone = self.mirroring.lock().await;
        let known = self.state.overrides_of(object_id).await?;
        let texts = |key: &[&ObjectField]| match key.len() == texts.len() {
            true => Ok(texts.to_vec()),
            false => Err(Error::internal("another key")),
        };
        let gone: Vec<_> = known.iter().filter(|one| is_of(one, fields, texts)).map(|one| one.id).collect();
        self.state.forget_overrides(&gone).await?;
        self.overlays.forget(object_id);
        let copies = self.warehouse.mirror_names(&super::mirror::overrides_folder(object_id)).await?;
        if copies.is_empty() {
            return Ok(());
        }
        // First the new copy, then away with the old ones: at no moment is there none of the others.
        self.state.overrides_unmirrored(object_id).await?;
        self.mirror_overrides_alone().await?;
        for copy in copies {
            self.warehouse.drop_mirror(&copy).await?;
        }
        Ok(())
    }

    /// Lets everybody read the release, and keeps copies.
    async fn show_overrides(&self, release: Release) {
        if let Err(error) = self.warehouse.put_release(&release).await {
            tracing::error!(release.id = release.id, error = ?error, "the release is published but not mirrored");
        }
        if let Err(error) = self.mirror_overrides().await {
            tracing::error!(error = ?error, "overrides are not mirrored; it is tried again in a moment");
        }
        self.announce(release);
        self.expiring.notify_one();
    }

    /// The object that `connection.object` names; without the connection where only one has it.
    pub(super) async fn named(&self, name: &str) -> Result<Object> {
        let reference = TableReference::parse_str(name);
        if let Some(schema) = reference.schema() {
            let connection = self.connection(schema).await?;
            return self.object(&connection, reference.table()).await;
        }
        let objects = self.state.objects().await?;
        let mut found: Vec<_> = objects.iter().filter(|object| object.name == reference.table()).collect();
        match (found.pop(), found.is_empty()) {
            (Some(object), true) => Ok(object.clone()),
            (Some(last), false) => {
                let names: Vec<_> = found.iter().chain([&last]).map(|object| object.full_name()).collect();
                Err(Error::new(Kind::Invalid, format!("table name \"{}\" is ambiguous", shorten(name)))
                    .with_sqlstate("42P09")
                    .with_hint(format!("write one of {}", names.join(", "))))
            }
            (None, _) => {
                let names: Vec<_> = objects.iter().map(Object::full_name).collect();
                let hint = format!("objects: {}", list(names.iter().map(String::as_str)));
                Err(Error::new(Kind::NotFound, format!("unknown object `{}`", shorten(name))).with_hint(hint))
            }
        }
    }

    /// The object as everybody reads it now.
    async fn published(&self, object: &Object) -> Result<ReleaseObject> {
        let newest = self.state.newest_release().await?;
        let published = newest.into_iter().flat_map(|release| release.objects);
        published.into_iter().find(|published| published.object_id == object.id).ok_or_else(|| {
            let what = format!("`{}` has no records yet", object.full_name());
            let hint = format!("CALL sync('{}', 'full') reads them", object.connection);
            Error::new(Kind::Invalid, what).with_hint(hint)
        })
    }

    /// The overrides to be, with what the source says now.
    async fn checked(
        &self,
        actor: &Actor,
        object: &Object,
        published: &ReleaseObject,
        request: &Request<'_>,
    ) -> Result<Vec<Override>> {
        let table = self.warehouse.table(&published.connection, &published.object_id);
        let snapshot = table.at(published.version).await?;
        let key = overlay::key_of(&snapshot)?;
        let key_fields: Option<Vec<&ObjectField>> = key
            .iter()
            .map(|(column, _)| object.fields.iter().find(|field| field.column == *column))
            .collect();
        let key_fields = key_fields.filter(|fields| !fields.is_empty()).ok_or_else(|| {
            Error::new(Kind::Unsupported, format!("`{}` has no unique fields", object.full_name()))
                .with_hint("an override needs them to know a record again: CALL set_fields(...), then sync")
        })?;
        let (mut set, mut keys, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
        let now = now_micros();
        for one in &request.corrections {
            let field = field(object, published, &one.field)?;
            let texts = key_texts(&key_fields, &one.key)
                .map_err(|error| error.with_detail(format!("the key was `{}`", shorten(&one.key))))?;
            let record = typed(&key_fields, &key, &texts, &one.key)?;
            let value = checked_value(object, field, one.value.as_deref())?;
            let names = key.iter().map(|(column, _)| column.clone());
            let record_texts: BTreeMap<_, _> =
                names.zip(normal(&record)?.into_iter().map(shortest)).collect();
            if !seen.insert((record_texts.clone(), field.column.clone())) {
                let what = format!("`{}` of one record is given twice", field.name);
                return Err(Error::new(Kind::Invalid, what)
                    .with_detail(format!("the key was `{}`", shorten(&one.key))));
            }
            keys.push(record);
            set.push(Override {
                id: 0,
                object_id: object.id.clone(),
                object: object.full_name(),
                key: record_texts,
                column: field.column.clone(),
                field: field.name.clone(),
                value,
                old_value: None,
                author: actor.name.clone(),
                reason: request.reason.trim().to_string(),
                at: now,
                expires_at: request.expires_at,
                from_release: 0,
                to_release: None,
                end: None,
            });
        }
        let cells: Vec<_> = set.iter().map(|_| None).collect();
        let overlay = Arc::new(Overlay::new(&overlay::records(&key, keys)?, &cells)?);
        let wanted: BTreeSet<_> = set.iter().map(|one| one.column.as_str()).collect();
        let fields: Vec<_> =
            published.fields.iter().filter(|field| wanted.contains(field.column.as_str())).cloned().collect();
        let (rows, places) = overlay.uncorrected(&snapshot, &fields).await?;
        let printed = rows.columns().iter().map(print_values).collect::<Result<Vec<_>>>()?;
        for ((one, place), asked) in set.iter_mut().zip(places).zip(&request.corrections) {
            let Some(row) = place else {
                let what = format!("`{}` has no record with that key", object.full_name());
                return Err(Error::new(Kind::NotFound, what)
                    .with_detail(format!("the key was `{}`", shorten(&asked.key)))
                    .with_hint("an override corrects a record that the newest release has"));
            };
            let at = fields.iter().position(|field| field.column == one.column);
            let column = at.and_then(|at| printed.get(at)).filter(|column| column.is_valid(row));
            one.old_value = column.map(|column| column.value(row).to_string());
        }
        Ok(set)
    }
}

fn check(request: &Request<'_>) -> Result<()> {
    if request.reason.trim().is_empty() {
        return Err(Error::new(Kind::Invalid, "an override needs a reason")
            .with_hint("reason => '...'; it is kept and shown"));
    }
    if request.corrections.is_empty() || request.corrections.len() > MOST {
        let what = format!("{} corrections in one call are not accepted", request.corrections.len());
        return Err(Error::new(Kind::Invalid, what).with_hint(format!("accepted are 1 to {MOST}")));
    }
    match request.expires_at {
        Some(at) if at <= now_micros() => {
            Err(Error::new(Kind::Invalid, format!("`expires` has passed: {}", super::release::shown(at)))
                .with_hint("accepted is a time to come, or NULL; without an offset it is UTC"))
        }
        _ => Ok(()),
    }
}

/// The field that may be corrected.
fn field<'a>(object: &Object, published: &'a ReleaseObject, name: &str) -> Result<&'a ObjectField> {
    let defined = &object.fields[position(object, name)?];
    if defined.key_position.is_some() {
        let what = format!(
            "`{}` is a unique field of `{}`: it tells which record it is",
            defined.name,
            object.full_name()
        );
        return Err(Error::new(Kind::Unsupported, what).with_hint("override the other fields of the record"));
    }
    published.fields.iter().find(|field| field.column == defined.column).ok_or_else(|| {
        let what = format!("field `{}` of `{}` is not imported", defined.name, object.full_name());
        Error::new(Kind::Invalid, what).with_hint("select it with CALL set_fields(...), then sync")
    })
}

/// The value as it will be kept.
fn checked_value(object: &Object, field: &ObjectField, value: Option<&str>) -> Result<Option<String>> {
    let Some(text) = value else { return Ok(None) };
    let parsed = parse_value(text, &field.data_type).map_err(|error| {
        let what = format!(
            "the value does not fit field `{}` of `{}`, a {}",
            field.name,
            object.full_name(),
            field.data_type
        );
        let state = error.sqlstate();
        let told = Error::new(error.kind(), what).with_sqlstate(state).with_detail(error.what().to_string());
        told.with_hint(error.hint().unwrap_or("write it as PostgreSQL prints it, or NULL").to_string())
    })?;
    Ok(normal(&[parsed])?.pop())
}

/// The values of a key in the types of the version.
fn typed(
    fields: &[&ObjectField],
    key: &[(String, FieldType)],
    texts: &[String],
    written: &str,
) -> Result<Vec<ScalarValue>> {
    let value = |((field, (_, data_type)), text): ((&&ObjectField, &(String, FieldType)), &String)| {
        parse_value(text, data_type).map_err(|error| {
            let what = format!("the key does not fit unique field `{}` of type {data_type}", field.name);
            Error::new(Kind::Invalid, what)
                .with_sqlstate(error.sqlstate())
                .with_detail(format!("the key was `{}`", shorten(written)))
        })
    };
    fields.iter().zip(key).zip(texts).map(value).collect()
}

/// Values as PostgreSQL prints them.
fn normal(values: &[ScalarValue]) -> Result<Vec<String>> {
    let text = |value: &ScalarValue| {
        let array = value.to_array();
        let array = array.map_err(|error| Error::internal("a value is no column").with_source(error))?;
        Ok(print_values(&array)?.value(0).to_string())
    };
    values.iter().map(text).collect()
}

/// A numeric of a key without zeros at its end: a type with more digits has the same text.
fn shortest(text: String) -> String {
    let is_numeric = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-'));
    match text.split_once('.') {
        Some((_, digits)) if is_numeric && !digits.contains('.') => {
            text.trim_end_matches('0').trim_end_matches('.').to_string()
        }
        _ => text,
    }
}

/// Whether an override is of the record whose key `texts` gives for the fields of the key.
pub(super) fn is_of(
    one: &Override,
    fields: &[ObjectField],
    texts: impl FnOnce(&[&ObjectField]) -> Result<Vec<String>>,
) -> bool {
    let mut key: Vec<&ObjectField> =
        fields.iter().filter(|field| one.key.contains_key(&field.column)).collect();
    key.sort_by_key(|field| field.key_position);
    if key.len() != one.key.len() {
        return false;
    }
    let Ok(texts) = texts(&key) else { return false };
    key.iter().zip(&texts).all(|(field, text)| {
        let value = |text: &str| parse_value(text, &field.data_type).ok();
        let known = one.key.get(&field.column).and_then(|known| value(known));
        known.is_some() && known == value(text)
    })
}

/// A key as JSON has it: a text or a number, or several of them.
fn written<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    use serde::Deserialize;
    Ok(match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    })
}

/// A value as JSON has it. Other numbers than integers have lost their digits by now.
fn plain<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    use serde::Deserialize;
    match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::Null => Ok(None),
        serde_json::Value::String(text) => Ok(Some(text)),
        serde_json::Value::Bool(value) => Ok(Some(value.to_string())),
        serde_json::Value::Number(number) if !number.is_f64() => Ok(Some(number.to_string())),
        _ => Err(serde::de::Error::custom("write values in quotes")),
    }
}

/// Ends overrides when their time is up, and makes up for copies that failed, for as long as the service lives.
pub(super) async fn keep_expiring(app: Weak<App>, bell: Arc<Notify>) {
    loop {
        let pause = {
            let Some(app) = app.upgrade() else { return };
            if let Err(error) = app.mirror_overrides().await {
                tracing::warn!(error = ?error, "overrides are not mirrored yet");
            }
            match app.expire_overrides(now_micros()).await {
                Ok(Some(next)) => {
                    u64::try_from(next - now_micros()).map_or(Duration::ZERO, Duration::from_micros)
                }
                Ok(None) => PAUSE,
                Err(error) => {
                    tracing::warn!(error = ?error, "cannot look for overrides whose time is up");
                    Duration::from_secs(1)
                }
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause.clamp(Duration::from_millis(5), PAUSE)) => {}
            () = bell.notified() => {}
        }
    }
}
