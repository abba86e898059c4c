//! One look at a connection.

use std::collections::HashSet;
use std::time::Duration;

use futures::StreamExt;

use super::super::App;
use super::cause_of;
use crate::error::{Error, Kind, Result};
use crate::model::{Connection, Fault, Health, Micros, Object, State, Turn, now_micros};
use crate::source::{FieldInfo, Quota, Read, ReadField, Resume, Source, What};

/// How long the answer to one question may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Clocks that differ by more are told. Signed logins are refused from about here on.
const SKEW: Micros = 5 * 60 * 1_000_000;
/// An access that ends within this time is told, where it cannot be renewed.
const ENDS_SOON: Micros = 7 * 86_400 * 1_000_000;

/// What a look found.
pub(super) struct Found {
    /// The connection, then its objects.
    pub(super) health: Vec<Health>,
    /// Ids of objects that were not looked at.
    pub(super) kept: Vec<String>,
}

/// Something that is not as it should be.
struct Finding {
    state: State,
    /// `None` when it is told of each object already.
    fault: Option<Fault>,
    summary: String,
    cause: String,
    remedy: Option<String>,
    turn: Turn,
}

impl Finding {
    fn warning(fault: Fault, what: String, remedy: &str, turn: Turn) -> Self {
        let (state, remedy) = (State::Amber, Some(remedy.to_string()));
        Finding { state, fault: Some(fault), summary: what.clone(), cause: what, remedy, turn }
    }
}

/// Looks at a connection. Only trouble with our own state is an error.
pub(super) async fn at(app: &App, connection: &Connection, now: Micros) -> Result<Found> {
    let look = Look { app, connection, now };
    let objects = app.state.objects_of(connection.id).await?;
    if connection.status == "not connected" {
        let what = "nobody has logged in".to_string();
        let remedy = format!("CALL connect('{}', name => '{}')", connection.connector, connection.name);
        let finding =
            Finding { state: State::Red, ..Finding::warning(Fault::Login, what, &remedy, Turn::Admin) };
        return Ok(Found { health: vec![look.row(None, Some(finding))], kept: Vec::new() });
    }
    match look.log_in().await {
        Ok((source, warnings)) => look.objects(source.as_ref(), &objects, warnings).await,
        Err(error) => {
            let finding = look.failed(&error).await?;
            if finding.fault == Some(Fault::Login) {
                app.state.mark_connection(connection.id, "needs you").await?;
            }
            // What is known of the objects is of a time when somebody could look.
            let kept = objects.into_iter().map(|object| object.id).collect();
            Ok(Found { health: vec![look.row(None, Some(finding))], kept })
        }
    }
}

struct Look<'a> {
    app: &'a App,
    connection: &'a Connection,
    now: Micros,
}

impl Look<'_> {
    /// Proves the login (a token that is due is refreshed by it) and that it is one of the account that it should be.
    async fn log_in(&self) -> Result<(std::sync::Arc<dyn Source>, Vec<Finding>)> {
        let Look { app, connection, .. } = *self;
        let source = app.open_to_look(connection).await?;
        let identity = patiently(source.as_ref(), source.whoami()).await?;
        app.same_account(connection, &identity).map_err(Error::of_source)?;
        app.logged_in(connection.clone(), &identity).await?;
        let mut warnings = Vec::new();
        warnings.extend(source.clock().and_then(skew));
        warnings.extend(source.quota().and_then(nearly_used));
        warnings.extend(self.ends_soon().await?);
        Ok((source, warnings))
    }

    /// Access by OAuth that nobody can renew.
    async fn ends_soon(&self) -> Result<Option<Finding>> {
        let Some(ends) = self.app.access_ends(self.connection.id).await? else { return Ok(None) };
        if ends - self.now > ENDS_SOON {
            return Ok(None);
        }
        let shown = chrono::DateTime::from_timestamp_micros(ends)
            .map_or_else(String::new, |at| at.format("%Y-%m-%d %H:%M UTC").to_string());
        let what = format!("the login ends at {shown} and cannot be renewed by itself");
        let remedy = "log in again: CALL connect(...) returns the link to open";
        Ok(Some(Finding::warning(Fault::Login, what, remedy, Turn::User)))
    }

    /// One row of each object, until the source itself is away.
    async fn objects(
        &self,
        source: &dyn Source,
        objects: &[Object],
        warnings: Vec<Finding>,
    ) -> Result<Found> {
        let busy: HashSet<String> = self.app.state.leased_objects().await?;
        let (mut rows, mut kept, mut lost) = (Vec::new(), Vec::new(), None);
        let mut unreadable: Vec<(&Object, Error)> = Vec::new();
        for object in objects {
            if lost.is_some() || busy.contains(&object.id) {
                kept.push(object.id.clone());
                continue;
            }
            match patiently(source, read_one(source, object)).await {
                Ok(gone) => rows.push(self.row(Some(object), incomplete(object, &gone))),
                Err(error) if matches!(Fault::of(&error), Fault::Login | Fault::Reach | Fault::Quota) => {
                    kept.push(object.id.clone());
                    lost = Some(error);
                }
                Err(error) => {
                    rows.push(self.row(Some(object), Some(self.failed(&error).await?)));
                    unreadable.push((object, error));
                }
            }
        }
        let whole = match lost {
            Some(error) => {
                let finding = self.failed(&error).await?;
                if finding.fault == Some(Fault::Login) {
                    self.app.state.mark_connection(self.connection.id, "needs you").await?;
                }
                Some(finding)
            }
            None => {
                let partly = rows.iter().filter(|row| row.state != State::Green).count();
                self.whole(unreadable, partly, objects.len(), warnings).await?
            }
        };
        rows.insert(0, self.row(None, whole));
        Ok(Found { health: rows, kept })
    }

    /// How the connection as a whole stands, by its objects and by itself.
    async fn whole(
        &self,
        unreadable: Vec<(&Object, Error)>,
        partly: usize,
        all: usize,
        mut warnings: Vec<Finding>,
    ) -> Result<Option<Finding>> {
        if let Some((_, first)) = unreadable.first().filter(|_| unreadable.len() == all) {
            let what = format!("none of its {all} objects can be read: {first}");
            let finding = self.failed(first).await?;
            let cause = format!("none of its {all} objects can be read: {}", finding.cause);
            return Ok(Some(Finding { summary: what, cause, fault: Some(Fault::Other), ..finding }));
        }
        if let Some(warning) = (!warnings.is_empty()).then(|| warnings.remove(0)) {
            let further = warnings.iter().map(|further| further.summary.as_str());
            let all: Vec<_> = std::iter::once(warning.summary.as_str()).chain(further).collect();
            return Ok(Some(Finding { cause: all.join("; "), ..warning }));
        }
        if partly == 0 {
            return Ok(None);
        }
        let what = match unreadable.len() {
            0 => format!("{partly} of {all} objects lack fields at the source"),
            count => format!("{count} of {all} objects cannot be read"),
        };
        let remedy = "SELECT object, cause, remedy FROM tributary.health WHERE object IS NOT NULL";
        Ok(Some(Finding { fault: None, ..Finding::warning(Fault::Other, what, remedy, Turn::Admin) }))
    }

    async fn failed(&self, error: &Error) -> Result<Finding> {
        let fault = Fault::of(error);
        Ok(Finding {
            state: State::Red,
            fault: Some(fault),
            summary: error.to_string(),
            cause: cause_of(error),
            remedy: error.hint().map(str::to_string),
            turn: self.app.turn(self.connection, fault).await?,
        })
    }

    fn row(&self, object: Option<&Object>, finding: Option<Finding>) -> Health {
        let (connection_id, object_id) = (self.connection.id, object.map(|object| object.id.clone()));
        let (since, checked_at) = (self.now, self.now);
        match finding {
            None => Health {
                connection_id,
                object_id,
                state: State::Green,
                fault: None,
                summary: None,
                cause: None,
                remedy: None,
                turn: Turn::Nobody,
                since,
                checked_at,
            },
            Some(finding) => Health {
                connection_id,
                object_id,
                state: finding.state,
                fault: finding.fault,
                summary: Some(finding.summary),
                cause: Some(finding.cause),
                remedy: finding.remedy,
                turn: finding.turn,
                since,
                checked_at,
            },
        }
    }
}

/// Waits a minute for an answer; then tells what is waited for.
async fn patiently<T>(source: &dyn Source, asked: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::of_source(
            match source.waits_until().and_then(chrono::DateTime::from_timestamp_micros) {
                Some(until) => {
                    let what = format!("the source allows calls again at {}", until.format("%H:%M:%S UTC"));
                    Error::new(Kind::Limit, what)
                        .with_sqlstate("53400")
                        .with_hint("it is looked at again then")
                }
                None => Error::new(Kind::Unavailable, format!("no answer within {} s", PATIENCE.as_secs()))
                    .with_hint("it is looked at again by itself"),
            },
        )),
    }
}

/// Reads one record of an object with the fields that are imported; names those that the source has no more.
async fn read_one(source: &dyn Source, object: &Object) -> Result<Vec<String>> {
    let there = source.fields(&object.api).await?;
    let of = |api: &str| there.iter().find(|field: &&FieldInfo| field.api == api);
    if let Some(field) = object.key_fields().into_iter().find(|field| of(&field.api).is_none()) {
        let what = format!("key field `{}` of `{}` is gone from the source", field.name, object.full_name());
        return Err(Error::new(Kind::Data, what).with_hint("choose unique fields with CALL set_fields(...)"));
    }
    let (present, gone): (Vec<_>, Vec<_>) = object.selected().partition(|field| of(&field.api).is_some());
    let fields = present.into_iter().filter_map(|field| {
        // The type that it has now: a sync takes it over, or says why not.
        let data_type = of(&field.api)?.data_type.clone();
        Some(ReadField { api: field.api.clone(), name: field.name.clone(), data_type })
    });
    let mut pages = source.read(Read {
        object: object.api.clone(),
        fields: fields.collect(),
        key: object.key_fields().into_iter().map(|field| field.api.clone()).collect(),
        what: What::Full,
        cursor: None,
        filter: None,
        max_rows: Some(1),
        // Few enough for no job.
        expected_rows: Some(1),
        resume: Resume::Never,
    });
    match pages.next().await {
        Some(Err(error)) => Err(error),
        Some(Ok(_)) | None => Ok(gone.into_iter().map(|field| field.name.clone()).collect()),
    }
}

fn incomplete(object: &Object, gone: &[String]) -> Option<Finding> {
    let what = format!("fields of `{}` are gone from the source: {}", object.full_name(), gone.join(", "));
    let remedy = "they read NULL after the next sync; deselect them with CALL set_fields(...), or give the login \
                  the right to see them";
    (!gone.is_empty()).then(|| Finding::warning(Fault::Other, what, remedy, Turn::Admin))
}

fn skew(theirs: Micros) -> Option<Finding> {
    let ahead = theirs - now_micros();
    let minutes = ahead.abs() / 60_000_000;
    let word = if ahead > 0 { "ahead of" } else { "behind" };
    let what = format!("the clock of the source is {minutes} minutes {word} that of this server");
    let remedy = "let this machine set its clock by NTP; logins that are signed may be refused";
    (ahead.abs() > SKEW).then(|| Finding::warning(Fault::Other, what, remedy, Turn::Admin))
}

fn nearly_used(quota: Quota) -> Option<Finding> {
    let Quota { used, allowed, usable } = quota;
    let what = format!("{used} of {allowed} API calls of the day are used; syncs stop at {usable}");
    let remedy = "sync fewer objects today, or ask the vendor for a larger limit";
    (used.saturating_mul(10) >= usable.saturating_mul(9))
        .then(|| Finding::warning(Fault::Quota, what, remedy, Turn::Nobody))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_and_clocks_are_told_when_it_is_time() {
        let quota = |used| Quota { used, allowed: 1000, usable: 800 };
        assert!(nearly_used(quota(719)).is_none());
        let told = nearly_used(quota(720)).unwrap();
        assert!(told.cause.contains("720 of 1000"), "{}", told.cause);
        assert!(skew(now_micros() + SKEW - 1_000_000).is_none());
        let told = skew(now_micros() - 11 * 60_000_000).unwrap();
        assert!(told.cause.contains("11 minutes behind") || told.cause.contains("10 minutes behind"));
    }
}
