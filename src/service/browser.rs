//! People in browsers: the link that makes the first admin, checking passwords, and sessions.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::{Actor, App};
use crate::error::{Error, Kind, Result};
use crate::model::{Micros, User, check_name, now_micros};
use crate::password::{self, Verifier};
use crate::secret::Secret;

/// How long the link is good for that makes the first admin.
const SETUP: Duration = Duration::from_secs(3_600);
/// A session that is not used for so long is over.
const IDLE: Duration = Duration::from_secs(30 * 60);
/// A session is over after so long, however much it is used.
const ABSOLUTE: Duration = Duration::from_secs(12 * 3_600);
/// How exactly the last use of a session is known.
const TOUCH: Duration = Duration::from_secs(60);
/// Passwords that are hashed at a time: each takes 20 MB and a processor.
pub(super) const HASHED_AT_ONCE: usize = 2;

impl App {
    /// The path of a link that makes the first admin, good for an hour; the one before is over. `None` where somebody can
    /// log in already.
    pub async fn setup_path(&self) -> Result<Option<String>> {
        if self.has_users().await? {
            return Ok(None);
        }
        let token = random_text();
        self.state.put_setup_link(&hash_of(&token), now_micros() + micros(SETUP)).await?;
        Ok(Some(format!("/setup/{}", token.expose())))
    }

    /// Whether a token makes the first admin.
    pub async fn may_set_up(&self, token: &Secret) -> Result<bool> {
        Ok(!self.has_users().await? && self.state.has_setup_link(&hash_of(token)).await?)
    }

    /// Makes the first admin. The token counts once.
    ///
    /// # Errors
    /// `Denied` when the token is over, `Invalid` when name or password are not acceptable: then it stays good.
    pub async fn set_up(&self, token: &Secret, name: &str, password: &str) -> Result<()> {
        let over = || {
            Error::new(Kind::Denied, "this link is over or was used already")
                .with_hint("start the server again: it prints a new one as long as there is no admin")
        };
        if !self.may_set_up(token).await? {
            return Err(over());
        }
        check_name("a user", name)?;
        password::check_choice(password, name)?;
        if !self.state.take_setup_link(&hash_of(token)).await? {
            return Err(over());
        }
        self.create_user(&Actor::system(), name, password, true, true).await
    }

    /// The user of that name and password, where the login is allowed. It takes as long for users who do not exist.
    pub async fn authenticate(&self, name: &str, password: Secret) -> Result<Option<User>> {
        let user = self.login(name).await?;
        let known = user.as_ref().map(|user| (user.verifier.clone(), user.browser_verifier.clone()));
        let judged = self
            .hashing(move || {
                let (verifier, hash) = known.unzip();
                let hash = hash.flatten();
                let is_right = password::is_of_browser_hash(hash.as_deref(), password.expose());
                // Passwords from before browsers were served are known to the wire alone.
                let is_first = hash.is_none()
                    && verifier
                        .and_then(|verifier| Verifier::parse(&verifier).ok())
                        .is_some_and(|verifier| verifier.is_of(password.expose()));
                let fresh = is_first.then(|| password::browser_hash(password.expose())).transpose()?;
                Ok((is_right || is_first, fresh))
            })
            .await?;
        match (user, judged) {
            (Some(user), (true, fresh)) => {
                if let Some(fresh) = fresh {
                    self.state.keep_browser_verifier(&user, &fresh).await?;
                }
                Ok(Some(user))
            }
            _ => Ok(None),
        }
    }

    /// Begins a session of a person who has just proved who they are. What is returned is known to the browser alone.
    pub async fn begin_session(&self, user: &User, address: &str) -> Result<Secret> {
        let id = random_text();
        let ended = now_micros() - micros(ABSOLUTE);
        self.state.put_browser_session(&hash_of(&id), &user.name, address, ended).await?;
        Ok(id)
    }

    /// Whose session it is; `None` when it is over or never was, or the login is not allowed any more.
    pub async fn session(&self, id: &Secret) -> Result<Option<User>> {
        let hash = hash_of(id);
        let Some(session) = self.state.browser_session(&hash).await? else { return Ok(None) };
        let now = now_micros();
        if now - session.began_at > micros(ABSOLUTE) || now - session.seen_at > micros(IDLE) {
            self.state.drop_browser_session(&hash).await?;
            return Ok(None);
        }
        if now - session.seen_at > micros(TOUCH) {
            self.state.touch_browser_session(&hash).await?;
        }
        self.login(&session.login).await
    }

    /// Ends a session.
    pub async fn end_session(&self, id: &Secret) -> Result<()> {
        self.state.drop_browser_session(&hash_of(id)).await
    }

    /// Name of the time zone that people of the company live in: the one of the schedule, else UTC.
    pub async fn time_zone(&self) -> Result<String> {
        let set = self.schedule().await?;
        Ok(set.map_or("UTC", |set| set.schedule.zone()).to_string())
    }

    /// Work that takes a processor for long, few at a time.
    pub(super) async fn hashing<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let turn = self.hashers.acquire().await;
        let _turn = turn.map_err(|_| Error::internal("passwords are not hashed any more"))?;
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|error| Error::internal("hashing a password failed").with_source(error))?
    }
}

/// 256 random bits for a URL or a cookie.
fn random_text() -> Secret {
    let bytes: [u8; 32] = rand::random();
    Secret::new(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

/// What is kept of a secret that only has to be recognised.
fn hash_of(secret: &Secret) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(secret.expose().as_bytes()))
}

fn micros(life: Duration) -> Micros {
    i64::try_from(life.as_micros()).unwrap_or(i64::MAX / 4)
}
