//! Where requests get their credentials from.
//!
//! What signs a request is a token, and a token may end at any moment. A [`Tokens`] hands out the one to use now
//! and, when the source refused it, a newer one. Grants that live in state (a refresh token that changes with
//! each use) are implemented by whoever owns the state; this module knows nothing of it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::error::Result;

/// A token that requests are signed with.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken {
    /// The token itself; wiped from memory when the last copy is dropped.
    pub secret: Zeroizing<String>,
    /// What precedes it in the `Authorization` header: `Bearer`, `Zoho-oauthtoken`.
    pub scheme: String,
    /// Values kept from the token answer by the names that the manifest gives them, e.g. `instance_url`.
    pub kept: HashMap<String, String>,
}

impl fmt::Debug for AccessToken {
    /// Tells the scheme and the names of kept values, never the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut kept: Vec<_> = self.kept.keys().collect();
        kept.sort_unstable();
        f.debug_struct("AccessToken")
            .field("scheme", &self.scheme)
            .field("kept", &kept)
            .finish_non_exhaustive()
    }
}

/// Where the requests of one connection get their token from.
#[async_trait::async_trait]
pub trait Tokens: Send + Sync {
    /// The token to use now; refreshed beforehand when it is about to expire.
    ///
    /// # Errors
    /// `Unauthenticated` when a person must log in again, `Unavailable` when the login server does not answer.
    async fn current(&self) -> Result<Arc<AccessToken>>;

    /// Called once after the source refused `refused` (401): a newer token. Concurrent callers share one refresh:
    /// when the current token is not `refused` any more, it is returned without another refresh.
    ///
    /// # Errors
    /// As [`Tokens::current`].
    async fn renew(&self, refused: &AccessToken) -> Result<Arc<AccessToken>>;
}
