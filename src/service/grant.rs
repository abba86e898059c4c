//! The tokens of a login by OAuth, kept in state.
//!
//! A refresh token that the vendor replaces with every use must neither get lost nor be used twice, whatever ends
//! in between. So one process at a time refreshes a grant, under a lease; it notes that it is about to; it asks
//! the vendor; it commits what came, sealed; and only then is the access token used. A refresh that was begun goes on
//! when its caller gives up. After a crash in the middle the old token is tried once more, because the request may
//! never have arrived and because some vendors accept it for a while; then a person must log in again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::{Error, Kind, Result};
use crate::model::{Micros, now_micros};
use crate::oauth::{Failure, OauthClient, Tokens as Answer};
use crate::secret::{Keyring, Secret};
use crate::source::rest::token::{AccessToken, Tokens};
use crate::state::{State, StoredGrant};

/// Longer than a request to a login server may take and its answer may wait to be stored.
const LEASE: Duration = Duration::from_secs(90);
/// How long to wait for another process that refreshes.
const PATIENCE: Duration = Duration::from_secs(100);
const POLL: Duration = Duration::from_millis(100);
/// A token is replaced so long before it ends: a request that has begun shall not see it end.
const MARGIN: Duration = Duration::from_secs(60);
/// How often storing an answer is tried before the caller hears of it.
const STORE_TRIES: u32 = 5;
/// Refreshes from one version whose answers got lost before nobody tries any more.
const MOST_LOST: i64 = 2;
/// What the tokens are sealed as.
const FIELD: &str = "oauth";

/// Where grants are kept, and for whom.
#[derive(Clone)]
pub struct Vault {
    state: Arc<State>,
    keyring: Arc<Keyring>,
    company: String,
}

/// Tokens as they are sealed.
#[derive(Serialize, Deserialize)]
struct Sealed {
    access: Zeroized,
    refresh: Option<Zeroized>,
    /// When to refresh, where the token's life is known.
    refresh_at: Option<Micros>,
    kept: HashMap<String, String>,
}

/// A text that is wiped from memory, and can be read and written all the same.
#[derive(Clone)]
struct Zeroized(Zeroizing<String>);

impl Serialize for Zeroized {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Zeroized {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Zeroized(Zeroizing::new(text)))
    }
}

impl Vault {
    /// A vault of one company.
    pub fn new(state: Arc<State>, keyring: Arc<Keyring>, company: &str) -> Self {
        Vault { state, keyring, company: company.into() }
    }

    /// Keeps what a login gave, in the place of an older grant.
    ///
    /// # Errors
    /// `Conflict` when another login of the same connection ended at the same moment.
    pub async fn keep(&self, connection_id: i64, answer: &Answer) -> Result<()> {
        let version = self.state.oauth_grant(connection_id).await?.map_or(1, |grant| grant.version + 1);
        let sealed = self.seal(connection_id, version, &sealed_of(answer, None))?;
        match self.state.put_oauth_grant(connection_id, version, &sealed).await? {
            true => Ok(()),
            false => {
                Err(Error::new(Kind::Conflict, "somebody else logged this connection in at the same moment")
                    .with_hint("look at the connection before you try again"))
            }
        }
    }

    /// The refresh token of a connection, to revoke it.
    pub async fn refresh_token(&self, connection_id: i64) -> Result<Option<Secret>> {
        let Some(grant) = self.state.oauth_grant(connection_id).await? else { return Ok(None) };
        let tokens = self.open(connection_id, &grant)?;
        Ok(tokens.refresh.map(|token| Secret::new(token.0.to_string())))
    }

    /// When the access of a connection ends that has no refresh token, where its life is known.
    pub async fn ends(&self, connection_id: i64) -> Result<Option<Micros>> {
        let Some(grant) = self.state.oauth_grant(connection_id).await? else { return Ok(None) };
        let tokens = self.open(connection_id, &grant)?;
        Ok(tokens.refresh_at.filter(|_| tokens.refresh.is_none()))
    }

    fn seal(&self, connection_id: i64, version: i64, tokens: &Sealed) -> Result<Vec<u8>> {
        let text =
            serde_json::to_string(tokens).map_err(|_| Error::internal("tokens cannot be written as JSON"))?;
        self.keyring.seal(&self.company, connection_id, FIELD, version, &Secret::new(text))
    }

    fn open(&self, connection_id: i64, grant: &StoredGrant) -> Result<Sealed> {
        let text = self.keyring.unseal(&self.company, connection_id, FIELD, grant.version, &grant.sealed)?;
        // A mistake in the text would quote it, so it is not told.
        serde_json::from_str(text.expose())
            .map_err(|_| Error::new(Kind::Corrupt, "the stored tokens of a login are not readable"))
    }
}

/// What is kept of an answer. A vendor that gives no new refresh token goes on with the old one.
fn sealed_of(answer: &Answer, before: Option<Zeroized>) -> Sealed {
    let refresh_at = answer.lives.map(|lives| {
        let early = lives.saturating_sub(MARGIN.min(lives / 4));
        now_micros().saturating_add(i64::try_from(early.as_micros()).unwrap_or(i64::MAX))
    });
    Sealed {
        access: Zeroized(answer.access.clone()),
        refresh: answer.refresh.clone().map(Zeroized).or(before),
        refresh_at,
        kept: answer.kept.clone(),
    }
}

/// The tokens of one connection, shared by everything in this process that reads from it.
pub struct GrantTokens(Arc<Grant>);

struct Grant {
    vault: Vault,
    connection_id: i64,
    client: OauthClient,
    newest: Mutex<Option<Newest>>,
    /// Held by the one task of this process that refreshes.
    refreshing: tokio::sync::Mutex<Unstored>,
}

/// What a vendor gave and could not be stored yet, with the version it was given for.
type Unstored = Option<(i64, Sealed)>;

#[derive(Clone)]
struct Newest {
    token: Arc<AccessToken>,
    refresh_at: Option<Micros>,
}

impl Newest {
    /// Whether it may be used by somebody whose token `refused` was refused.
    fn serves(&self, refused: Option<&str>) -> bool {
        let is_due = self.refresh_at.is_some_and(|at| now_micros() >= at);
        !is_due && refused != Some(self.token.secret.as_str())
    }
}

impl GrantTokens {
    /// The tokens of a connection whose grant is, or will be, in `vault`.
    pub fn new(vault: Vault, connection_id: i64, client: OauthClient) -> Self {
        let (newest, refreshing) = (Mutex::default(), tokio::sync::Mutex::default());
        GrantTokens(Arc::new(Grant { vault, connection_id, client, newest, refreshing }))
    }

    async fn fresh(&self, refused: Option<Zeroizing<String>>) -> Result<Arc<AccessToken>> {
        // A task of its own: a caller that is cancelled must not take an answer of the vendor with it.
        let grant = self.0.clone();
        let work =
            tokio::spawn(async move { grant.fresh(refused.as_ref().map(|token| token.as_str())).await });
        work.await.map_err(|error| Error::internal("a refresh of a token ended early").with_source(error))?
    }
}

#[async_trait::async_trait]
impl Tokens for GrantTokens {
    async fn current(&self) -> Result<Arc<AccessToken>> {
        if let Some(newest) = self.0.newest.lock().as_ref().filter(|newest| newest.serves(None)) {
            return Ok(newest.token.clone());
        }
        self.fresh(None).await
    }

    async fn renew(&self, refused: &AccessToken) -> Result<Arc<AccessToken>> {
        self.fresh(Some(refused.secret.clone())).await
    }
}

impl Grant {
    async fn fresh(&self, refused: Option<&str>) -> Result<Arc<AccessToken>> {
        let mut unstored = self.refreshing.lock().await;
        if let Some((version, tokens)) = unstored.take() {
            // Nothing else is asked of the vendor before what it gave is safe.
            self.store(version, tokens, &mut unstored).await?;
        }
        let give_up = Instant::now() + PATIENCE;
        let lease = format!("oauth/{}", self.connection_id);
        loop {
            if let Some(newest) = self.look(refused).await? {
                return Ok(newest.token);
            }
            match self.vault.state.acquire_lease(&lease, "a refresh of tokens", LEASE).await? {
                Some(fence) => {
                    let result = self.refresh(refused, &mut unstored).await;
                    // It ends by itself where it cannot be given back.
                    if let Err(error) = self.vault.state.release_lease(&lease, fence).await {
                        tracing::warn!(error = ?error, "a lease could not be given back");
                    }
                    return result;
                }
                None if Instant::now() < give_up => tokio::time::sleep(POLL).await,
                None => {
                    return Err(Error::new(
                        Kind::Unavailable,
                        "another process takes too long to refresh a token",
                    )
                    .with_hint("tried again by itself"));
                }
            }
        }
    }

    /// The newest token in state, if it serves. `Unauthenticated` when a person must log in again.
    async fn look(&self, refused: Option<&str>) -> Result<Option<Newest>> {
        let (_, tokens) = self.load().await?;
        let newest = self.remember(&tokens);
        Ok(Some(newest).filter(|newest| newest.serves(refused)))
    }

    async fn load(&self) -> Result<(StoredGrant, Sealed)> {
        let label = &self.client.provider().label;
        let Some(stored) = self.vault.state.oauth_grant(self.connection_id).await? else {
            return Err(Error::new(Kind::Unauthenticated, format!("nobody has logged in at {label} yet"))
                .with_hint("CALL connect(...) returns the link to open"));
        };
        if let Some(why) = &stored.dead {
            return Err(over(label, why));
        }
        let tokens = self.vault.open(self.connection_id, &stored)?;
        Ok((stored, tokens))
    }

    fn remember(&self, tokens: &Sealed) -> Newest {
        let mut newest = self.newest.lock();
        if let Some(known) = newest.as_ref().filter(|known| known.token.secret == tokens.access.0) {
            return known.clone();
        }
        let token = AccessToken {
            secret: tokens.access.0.clone(),
            scheme: self.client.provider().scheme.clone(),
            kept: tokens.kept.clone(),
        };
        let found = Newest { token: Arc::new(token), refresh_at: tokens.refresh_at };
        *newest = Some(found.clone());
        found
    }

    /// Asks the vendor, under the lease.
    async fn refresh(&self, refused: Option<&str>, unstored: &mut Unstored) -> Result<Arc<AccessToken>> {
        // Somebody may have refreshed between the last look and the lease.
        let (stored, tokens) = self.load().await?;
        let newest = self.remember(&tokens);
        if newest.serves(refused) {
            return Ok(newest.token);
        }
        let label = &self.client.provider().label;
        let Some(refresh_token) = tokens.refresh.clone() else {
            return self.end(&stored, &format!("{label} ended the session and gave no refresh token")).await;
        };
        if stored.lost >= MOST_LOST {
            return self.end(&stored, &format!("answers of {label} to {MOST_LOST} refreshes got lost")).await;
        }
        if !self.vault.state.begin_refresh(self.connection_id, stored.version).await? {
            return Err(Error::new(
                Kind::Conflict,
                "the login was replaced while its token was being refreshed",
            ));
        }
        match self.client.refresh(&Secret::new(refresh_token.0.to_string())).await {
            Ok(answer) => {
                let tokens = sealed_of(&answer, Some(refresh_token));
                self.store(stored.version, tokens, unstored).await
            }
            Err(Failure::Over(error)) => self.end(&stored, error.what()).await,
            Err(Failure::Refused(error)) => {
                self.vault.state.end_refresh(self.connection_id, stored.version).await?;
                Err(error)
            }
            Err(Failure::Lost(error)) => Err(error),
        }
    }

    /// Commits what the vendor gave for `version`, then lets it be used.
    async fn store(&self, version: i64, tokens: Sealed, unstored: &mut Unstored) -> Result<Arc<AccessToken>> {
        let sealed = self.vault.seal(self.connection_id, version + 1, &tokens)?;
        let mut pause = POLL;
        for tried in 1.. {
            match self.vault.state.finish_refresh(self.connection_id, version, &sealed).await {
                Ok(true) => break,
                // A commit whose answer got lost may have happened all the same.
                Ok(false) if self.is_stored(version + 1, &sealed).await? => break,
                Ok(false) => {
                    return Err(Error::new(
                        Kind::Conflict,
                        "the login was replaced while its token was being refreshed",
                    ));
                }
                Err(error) if tried >= STORE_TRIES => {
                    *unstored = Some((version, tokens));
                    return Err(error);
                }
                Err(_) => {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
            }
        }
        Ok(self.remember(&tokens).token)
    }

    async fn is_stored(&self, version: i64, sealed: &[u8]) -> Result<bool> {
        let stored = self.vault.state.oauth_grant(self.connection_id).await?;
        Ok(stored.is_some_and(|stored| stored.version == version && stored.sealed == sealed))
    }

    async fn end<T>(&self, stored: &StoredGrant, why: &str) -> Result<T> {
        self.vault.state.end_oauth_grant(self.connection_id, stored.version, why).await?;
        Err(over(&self.client.provider().label, why))
    }
}

fn over(label: &str, why: &str) -> Error {
    Error::new(Kind::Unauthenticated, format!("the login at {label} is over: {why}"))
        .with_hint("log in again: CALL connect(...) returns the link to open")
}
