//! A connection that is logged in as somebody else: what that login shows and hides, and no row goes before a person
//! has accepted it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::sync::Wanted;
use super::{Actor, App};
use crate::error::{Error, Kind, Result};
use crate::model::{Connection, Object, Review, Visible, now_micros};
use crate::source::{Identity, Source};

/// Keys that are named of each kind and object.
const NAMED: usize = 1_000;

impl App {
    /// Notes who logged in. With other rows published, somebody else is to be accepted first. A source that names no
    /// users leaves open who it is, so that a new secret counts as somebody else.
    pub(super) async fn note_identity(
        &self,
        connection: &Connection,
        identity: &Identity,
        is_new_secret: bool,
    ) -> Result<bool> {
        let account = identity.account.split_once('/').map_or("", |(_, account)| account);
        let names_users = identity.user != format!("account {account}");
        let login = identity.user.as_str();
        let accepted = self.state.accepted_login(connection.id).await?;
        let is_other = match &accepted {
            None => false,
            Some(accepted) => accepted != login || (!names_users && is_new_secret),
        };
        let newest = self.state.newest_release().await?;
        let has_rows =
            newest.iter().flat_map(|release| &release.objects).any(|o| o.connection == connection.name);
        if !is_other || !has_rows {
            // Where users are named, whoever comes back is known.
            if accepted.is_none() || names_users || !has_rows {
                self.state.accept_login(connection.id, login).await?;
            }
            return Ok(false);
        }
        let before = accepted.unwrap_or_default();
        let review = Review { login: login.into(), before, at: now_micros() };
        self.state.put_review(connection.id, &review).await?;
        Ok(true)
    }

    /// Why no row of a connection may be removed, where that is so.
    pub(super) async fn keeps_rows(&self, connection: &Connection) -> Result<Option<String>> {
        let review = self.state.review(connection.id).await?;
        Ok(review.map(|_| {
            let name = &connection.name;
            format!(
                "`{name}` was logged in anew, perhaps as somebody who sees other records: \
                 CALL check_visibility('{name}') compares, CALL accept_visibility('{name}') accepts"
            )
        }))
    }

    /// Compares what the login of a connection shows with what was there before.
    pub(super) async fn check_visibility(
        self: &Arc<Self>,
        actor: &Actor,
        connection: &str,
        keys: bool,
    ) -> Result<Vec<Visible>> {
        let arguments = serde_json::json!({ "connection": connection, "keys": keys }).to_string();
        self.audited(actor, "check_visibility", &arguments, async {
            let connection = self.connection(connection).await?;
            let source = self.open(&connection).await?;
            let mut found = self.changed_objects(&connection, source.as_ref()).await?;
            for object in self.state.objects_of(connection.id).await? {
                match source.fields(&object.api).await {
                    Ok(fields) => {
                        let api = |name: &str| fields.iter().any(|field| field.api == name);
                        let lost = object.fields.iter().filter(|field| !api(&field.api));
                        let known = |name: &str| object.fields.iter().any(|field| field.api == name);
                        let gained = fields.iter().filter(|field| !known(&field.api));
                        found.extend(
                            lost.map(|field| visible("field", &object.api, Some(&field.name), "lost")),
                        );
                        found.extend(
                            gained.map(|field| visible("field", &object.api, Some(&field.api), "gained")),
                        );
                        if keys {
                            found.extend(self.changed_keys(actor, &connection, &object).await?);
                        }
                    }
                    Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Denied) => {
                        let lost = visible("object", &object.api, None, "lost");
                        if !found.contains(&lost) {
                            found.push(lost);
                        }
                    }
                    Err(error) => return Err(error),
                }
            }
            self.state.put_visibility(connection.id, &found).await?;
            Ok(found)
        })
        .await
    }

    /// Lets syncs remove what the login of a connection does not show.
    pub(super) async fn accept_visibility(
        &self,
        actor: &Actor,
        connection: &str,
        reason: Option<&str>,
    ) -> Result<Review> {
        let arguments = serde_json::json!({ "connection": connection, "reason": reason }).to_string();
        self.audited(actor, "accept_visibility", &arguments, async {
            let connection = self.connection(connection).await?;
            let review = self.state.review(connection.id).await?.ok_or_else(|| {
                let what = format!("no login of `{}` waits to be accepted", connection.name);
                Error::new(Kind::Invalid, what)
                    .with_hint("a login as somebody else does, once rows are published")
            })?;
            self.state.accept_login(connection.id, &review.login).await?;
            let infos = self.open(&connection).await?.objects().await?;
            self.note_objects(&connection, infos.iter().map(|info| info.api.as_str())).await?;
            Ok(review)
        })
        .await
    }

    /// Remembers which objects the login of a connection shows, unless it waits to be accepted.
    pub(super) async fn note_objects<'a>(
        &self,
        connection: &Connection,
        names: impl Iterator<Item = &'a str>,
    ) -> Result<()> {
        if self.state.review(connection.id).await?.is_some() {
            return Ok(());
        }
        self.state.put_seen_objects(connection.id, &names.collect::<Vec<_>>()).await
    }

    async fn changed_objects(&self, connection: &Connection, source: &dyn Source) -> Result<Vec<Visible>> {
        let Some(seen) = self.state.seen_objects(connection.id).await? else { return Ok(Vec::new()) };
        let infos = source.objects().await?;
        let (before, now): (BTreeSet<&str>, BTreeSet<&str>) =
            (seen.iter().map(String::as_str).collect(), infos.iter().map(|info| info.api.as_str()).collect());
        let lost = before.difference(&now).map(|name| visible("object", name, None, "lost"));
        let gained = now.difference(&before).map(|name| visible("object", name, None, "gained"));
        Ok(lost.chain(gained).collect())
    }

    async fn changed_keys(
        &self,
        actor: &Actor,
        connection: &Connection,
        object: &Object,
    ) -> Result<Vec<Visible>> {
        let wanted =
            Wanted { connection: &connection.name, mode: "full", object: Some(&object.name), force: None };
        let request = self.request(actor, &wanted).await?;
        let Some(keys) = self.syncer.compare_keys(&request, NAMED).await? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for (change, names, count) in
            [("lost", keys.lost, keys.lost_count), ("gained", keys.gained, keys.gained_count)]
        {
            let others = count - names.len() as u64;
            found.extend(names.iter().map(|key| visible("key", &object.api, Some(key), change)));
            if others > 0 {
                found.push(visible("key", &object.api, Some(&format!("and {others} more")), change));
            }
        }
        Ok(found)
    }
}

fn visible(kind: &str, object: &str, name: Option<&str>, change: &str) -> Visible {
    Visible {
        kind: kind.into(),
        object: object.into(),
        name: name.map(str::to_string),
        change: change.into(),
    }
}
