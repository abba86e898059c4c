//! What browsers have open: sessions of people, and the link that makes the first admin. Only hashes are kept of what
//! a browser brings.

use super::{State, failed, get};
use crate::error::Result;
use crate::model::{Micros, now_micros};

/// A session as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrowserSession {
    /// Login name.
    pub login: String,
    /// When the person logged in.
    pub began_at: Micros,
    /// When it was last used, to the minute.
    pub seen_at: Micros,
}

impl State {
    /// Keeps a new session, and forgets those that began before `ended`.
    pub async fn put_browser_session(
        &self,
        id_hash: &str,
        login: &str,
        address: &str,
        ended: Micros,
    ) -> Result<()> {
        let now = now_micros();
        sqlx::query("DELETE FROM browser_sessions WHERE began_at < $1")
            .bind(ended)
            .execute(&self.pool)
            .await
            .map_err(failed)?;
        sqlx::query(
            "INSERT INTO browser_sessions (id_hash, login, began_at, seen_at, address) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(id_hash)
        .bind(login)
        .bind(now)
        .bind(now)
        .bind(address)
        .execute(&self.pool)
        .await
        .map_err(failed)?;
        Ok(())
    }

    /// The session of that hash, however old.
    pub async fn browser_session(&self, id_hash: &str) -> Result<Option<BrowserSession>> {
        let row = sqlx::query("SELECT * FROM browser_sessions WHERE id_hash = $1")
            .bind(id_hash)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed)?;
        let session = |row| {
            Ok(BrowserSession {
                login: get(row, "login")?,
                began_at: get(row, "began_at")?,
                seen_at: get(row, "seen_at")?,
            })
        };
        row.as_ref().map(session).transpose()
    }

    /// Notes that a session is in use.
    pub async fn touch_browser_session(&self, id_hash: &str) -> Result<()> {
        sqlx::query("UPDATE browser_sessions SET seen_at = $1 WHERE id_hash = $2")
            .bind(now_micros())
            .bind(id_hash)
            .execute(&self.pool)
            .await
            .map_err(failed)?;
        Ok(())
    }

    /// Ends one session.
    pub async fn drop_browser_session(&self, id_hash: &str) -> Result<()> {
        sqlx::query("DELETE FROM browser_sessions WHERE id_hash = $1")
            .bind(id_hash)
            .execute(&self.pool)
            .await
            .map_err(failed)?;
        Ok(())
    }

    /// Ends all sessions of a login.
    pub async fn drop_browser_sessions_of(&self, login: &str) -> Result<()> {
        sqlx::query("DELETE FROM browser_sessions WHERE login = $1")
            .bind(login)
            .execute(&self.pool)
            .await
            .map_err(failed)?;
        Ok(())
    }

    /// Keeps the one link that makes the first admin; the one before is over.
    pub async fn put_setup_link(&self, id_hash: &str, expires_at: Micros) -> Result<()> {
        sqlx::query("DELETE FROM setup_links").execute(&self.pool).await.map_err(failed)?;
        sqlx::query("INSERT INTO setup_links (id_hash, expires_at) VALUES ($1, $2)")
            .bind(id_hash)
            .bind(expires_at)
            .execute(&self.pool)
            .await
            .map_err(failed)?;
        Ok(())
    }

    /// Whether the link is good.
    pub async fn has_setup_link(&self, id_hash: &str) -> Result<bool> {
        let row = sqlx::query("SELECT id_hash FROM setup_links WHERE id_hash = $1 AND expires_at > $2")
            .bind(id_hash)
            .bind(now_micros())
            .fetch_optional(&self.pool)
            .await
            .map_err(failed)?;
        Ok(row.is_some())
    }

    /// Uses the link up: whoever comes first gets true.
    pub async fn take_setup_link(&self, id_hash: &str) -> Result<bool> {
        let taken = sqlx::query("DELETE FROM setup_links WHERE id_hash = $1 AND expires_at > $2")
            .bind(id_hash)
            .bind(now_micros())
            .execute(&self.pool)
            .await
            .map_err(failed)?;
        Ok(taken.rows_affected() > 0)
    }
}
