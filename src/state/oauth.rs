//! Grants of OAuth with their sealed tokens, and logins that are under way. Of what a browser brings only digests
//! are kept: who can read this database can finish nobody's login.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sqlx::any::AnyRow;

use super::{State, commit, failed, get};
use crate::error::{Error, Kind, Result};
use crate::model::{Micros, now_micros};

/// A grant as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredGrant {
    /// Moves with every token answer; the tokens are sealed for it.
    pub version: i64,
    /// The tokens.
    pub sealed: Vec<u8>,
    /// Refreshes from this version that were begun and of which nothing is known.
    pub lost: i64,
    /// Why a person must log in again.
    pub dead: Option<String>,
}

/// A link that begins a login, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Whose login it begins.
    pub connection_id: i64,
    /// The admin who asked for it.
    pub actor: String,
    /// When it ends.
    pub expires_at: Micros,
}

/// A login that waits for the browser to come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingLogin {
    /// Whose login it is.
    pub connection_id: i64,
    /// The admin who asked for it.
    pub actor: String,
    /// Digest of what the browser must bring besides.
    pub browser: String,
    /// Where the vendor was told to send the browser.
    pub redirect_uri: String,
    /// The sealed code verifier.
    pub verifier: Vec<u8>,
    /// When it ends.
    pub expires_at: Micros,
}

impl State {
    /// The grant of a connection.
    pub async fn oauth_grant(&self, connection_id: i64) -> Result<Option<StoredGrant>> {
        let row = sqlx::query("SELECT * FROM oauth_grants WHERE connection_id = $1")
            .bind(connection_id)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed)?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(StoredGrant {
            version: get(&row, "version")?,
            sealed: decode(&get::<String>(&row, "sealed")?)?,
            lost: get(&row, "lost")?,
            dead: get(&row, "dead")?,
        }))
    }

    /// Keeps the grant of a new login in the place of an older one. Its version must be the next one: false when
    /// another login was faster.
    pub async fn put_oauth_grant(&self, connection_id: i64, version: i64, sealed: &[u8]) -> Result<bool> {
        let mut transaction = self.begin().await?;
        let done = sqlx::query(
            "INSERT INTO oauth_grants (connection_id, version, sealed, lost) VALUES ($1, $2, $3, 0)
             ON CONFLICT (connection_id) DO UPDATE
                 SET version = excluded.version, sealed = excluded.sealed, lost = 0, dead = NULL
                 WHERE oauth_grants.version = excluded.version - 1",
        )
        .bind(connection_id)
        .bind(version)
        .bind(BASE64_STANDARD.encode(sealed))
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        commit(transaction).await?;
        Ok(done.rows_affected() == 1)
    }

    /// Notes, before the vendor is asked, that the refresh token of `version` is about to be used. False when the
    /// grant is another one by now.
    pub async fn begin_refresh(&self, connection_id: i64, version: i64) -> Result<bool> {
        let text = "UPDATE oauth_grants SET lost = lost + 1
                    WHERE connection_id = $1 AND version = $2 AND dead IS NULL";
        self.change_grant(text, connection_id, version).await
    }

    /// Notes that the vendor refused or was not reached: the refresh token of `version` is still the current one.
    pub async fn end_refresh(&self, connection_id: i64, version: i64) -> Result<bool> {
        let text = "UPDATE oauth_grants SET lost = 0 WHERE connection_id = $1 AND version = $2";
        self.change_grant(text, connection_id, version).await
    }

    /// Keeps what a refresh from `version` gave, as the next version. False when the grant is another one by now.
    pub async fn finish_refresh(&self, connection_id: i64, version: i64, sealed: &[u8]) -> Result<bool> {
        let mut transaction = self.begin().await?;
        let done = sqlx::query(
            "UPDATE oauth_grants SET version = version + 1, sealed = $1, lost = 0
             WHERE connection_id = $2 AND version = $3",
        )
        .bind(BASE64_STANDARD.encode(sealed))
        .bind(connection_id)
        .bind(version)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        commit(transaction).await?;
        Ok(done.rows_affected() == 1)
    }

    /// Notes that only a new login helps, and why; the connection then `needs you`.
    pub async fn end_oauth_grant(&self, connection_id: i64, version: i64, why: &str) -> Result<()> {
        let mut transaction = self.begin().await?;
        sqlx::query("UPDATE oauth_grants SET dead = $1 WHERE connection_id = $2 AND version = $3")
            .bind(why)
            .bind(connection_id)
            .bind(version)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        sqlx::query("UPDATE connections SET status = 'needs you' WHERE id = $1")
            .bind(connection_id)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        commit(transaction).await
    }

    /// Keeps a link by the digest of its secret part, and forgets those that are over.
    pub async fn put_invitation(&self, digest: &str, invitation: &Invitation) -> Result<()> {
        let mut transaction = self.begin().await?;
        for table in ["oauth_invitations", "oauth_logins"] {
            sqlx::query(&format!("DELETE FROM {table} WHERE expires_at <= $1"))
                .bind(now_micros())
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        }
        sqlx::query(
            "INSERT INTO oauth_invitations (digest, connection_id, actor, expires_at) VALUES ($1, $2, $3, $4)",
        )
        .bind(digest)
        .bind(invitation.connection_id)
        .bind(&invitation.actor)
        .bind(invitation.expires_at)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        commit(transaction).await
    }

    /// The link of that digest, unless it is over. Looking does not use it up.
    pub async fn invitation(&self, digest: &str) -> Result<Option<Invitation>> {
        let row = sqlx::query("SELECT * FROM oauth_invitations WHERE digest = $1 AND expires_at > $2")
            .bind(digest)
            .bind(now_micros())
            .fetch_optional(&self.pool)
            .await
            .map_err(failed)?;
        row.as_ref().map(invitation).transpose()
    }

    /// Uses a link up and keeps the login that it began, in one step: a link begins one login, whoever clicks twice.
    /// False when the link is over.
    pub async fn accept_invitation(&self, digest: &str, state: &str, login: &PendingLogin) -> Result<bool> {
        let mut transaction = self.begin().await?;
        let used = sqlx::query("DELETE FROM oauth_invitations WHERE digest = $1 AND expires_at > $2")
            .bind(digest)
            .bind(now_micros())
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        if used.rows_affected() != 1 {
            return Ok(false);
        }
        sqlx::query(
            "INSERT INTO oauth_logins (digest, connection_id, actor, browser, redirect_uri, verifier, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(state)
        .bind(login.connection_id)
        .bind(&login.actor)
        .bind(&login.browser)
        .bind(&login.redirect_uri)
        .bind(BASE64_STANDARD.encode(&login.verifier))
        .bind(login.expires_at)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        commit(transaction).await?;
        Ok(true)
    }

    /// The login whose state has that digest; it is used up, whatever comes of it. `None` when it is over.
    pub async fn take_login(&self, state: &str) -> Result<Option<PendingLogin>> {
        let mut transaction = self.begin().await?;
        let row = sqlx::query("DELETE FROM oauth_logins WHERE digest = $1 RETURNING *")
            .bind(state)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(failed)?;
        commit(transaction).await?;
        let login = row.as_ref().map(pending).transpose()?;
        Ok(login.filter(|login| login.expires_at > now_micros()))
    }

    /// Forgets the grant of a connection, and logins and links to it.
    pub async fn drop_oauth(&self, connection_id: i64) -> Result<()> {
        let mut transaction = self.begin().await?;
        for table in ["oauth_grants", "oauth_invitations", "oauth_logins"] {
            sqlx::query(&format!("DELETE FROM {table} WHERE connection_id = $1"))
                .bind(connection_id)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        }
        commit(transaction).await
    }

    async fn change_grant(&self, text: &str, connection_id: i64, version: i64) -> Result<bool> {
        let mut transaction = self.begin().await?;
        let done = sqlx::query(text)
            .bind(connection_id)
            .bind(version)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        commit(transaction).await?;
        Ok(done.rows_affected() == 1)
    }
}

fn decode(text: &str) -> Result<Vec<u8>> {
    BASE64_STANDARD.decode(text).map_err(|error| {
        Error::new(Kind::Corrupt, "the tokens of a login are damaged in the state database")
            .with_hint("log in again: CALL connect(...)")
            .with_source(error)
    })
}

fn invitation(row: &AnyRow) -> Result<Invitation> {
    Ok(Invitation {
        connection_id: get(row, "connection_id")?,
        actor: get(row, "actor")?,
        expires_at: get(row, "expires_at")?,
    })
}

fn pending(row: &AnyRow) -> Result<PendingLogin> {
    Ok(PendingLogin {
        connection_id: get(row, "connection_id")?,
        actor: get(row, "actor")?,
        browser: get(row, "browser")?,
        redirect_uri: get(row, "redirect_uri")?,
        verifier: decode(&get::<String>(row, "verifier")?)?,
        expires_at: get(row, "expires_at")?,
    })
}
