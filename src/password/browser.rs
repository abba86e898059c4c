//! Passwords that come from a browser, as argon2id hashes in the PHC text form.

use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};

use crate::error::{Error, Result};

/// The hash of a password that nobody has, for users who do not exist: checking it takes as long.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$dHJpYnV0YXJ5IG5vYm9keQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A fresh hash of `password`, with a random salt. Takes about 20 MB and tens of milliseconds, by design.
pub fn browser_hash(password: &str) -> Result<String> {
    let failed = |error: argon2::password_hash::Error| {
        Error::internal(format!("a password could not be hashed: {error}"))
    };
    let salt = SaltString::encode_b64(&rand::random::<[u8; 16]>()).map_err(failed)?;
    let hash = Argon2::default().hash_password(password.as_bytes(), &salt).map_err(failed)?;
    Ok(hash.to_string())
}

/// Whether `hash` is one of `password`. Without a hash the answer is no, after the same work.
pub fn is_of_browser_hash(hash: Option<&str>, password: &str) -> bool {
    let Ok(parsed) = PasswordHash::new(hash.unwrap_or(NOBODY)) else { return false };
    let matches = Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok();
    matches && hash.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_of_its_password_alone() {
        let hash = browser_hash("a long pässword").unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(is_of_browser_hash(Some(&hash), "a long pässword"));
        assert!(!is_of_browser_hash(Some(&hash), "a long password"));
        assert!(!is_of_browser_hash(Some("no hash"), "a long pässword"));
        assert_ne!(hash, browser_hash("a long pässword").unwrap(), "every hash has its own salt");
    }

    #[test]
    fn nobody_has_a_hash_that_can_be_checked() {
        assert!(PasswordHash::new(NOBODY).is_ok());
        assert!(!is_of_browser_hash(None, ""));
    }
}
