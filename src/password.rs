//! Passwords as SCRAM-SHA-256 verifiers (RFC 5802, RFC 7677), in PostgreSQL's own text form.
//!
//! A verifier proves that somebody knows the password without being good for logging in itself. The password is
//! never kept. Browsers send it, so that a hash which is made to be slow stands beside the verifier for them.

mod browser;
mod choice;

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::error::{Error, Kind, Result};

pub use browser::{browser_hash, is_of_browser_hash};
pub use choice::check_choice;

const PREFIX: &str = "SCRAM-SHA-256";
/// PostgreSQL's own count. A verifier read from text keeps the count it was made with.
const ITERATIONS: u32 = 4096;
const SALT_LENGTH: usize = 16;
/// Above this a single login would keep the processor of the client, and ours when it derives, for seconds.
const MAX_ITERATIONS: u32 = 1_000_000;

/// A SHA-256 digest.
pub type Digest32 = [u8; 32];

/// What is kept of a password: `SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>`.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    iterations: u32,
    salt: Vec<u8>,
    stored_key: Digest32,
    server_key: Digest32,
}

impl Verifier {
    /// The text of a fresh verifier of `password`, with a random salt.
    pub fn derive(password: &str) -> String {
        Self::of(password, rand::random::<[u8; SALT_LENGTH]>().to_vec(), ITERATIONS).to_string()
    }

    /// Reads the text form.
    pub fn parse(text: &str) -> Result<Self> {
        parse(text).ok_or_else(|| {
            // The text is as good as a secret: it is never repeated in the message.
            Error::new(Kind::Corrupt, "the stored password verifier cannot be read")
                .with_hint("set the password of this user again")
        })
    }

    /// Whether `text` is a verifier already, as `CREATE USER ... PASSWORD` accepts in place of a password.
    pub fn is_verifier(text: &str) -> bool {
        parse(text).is_some()
    }

    /// The verifier shown to a user who does not exist: the same salt every time for the same name, so that it
    /// cannot be told from a real one, and no password that matches.
    pub fn mock(server_secret: &Digest32, user: &str) -> Self {
        let digest = hmac(server_secret, &[b"mock salt", user.as_bytes()]);
        Verifier {
            iterations: ITERATIONS,
            salt: digest[..SALT_LENGTH].to_vec(),
            stored_key: rand::random(),
            server_key: rand::random(),
        }
    }

    /// The salt sent to the client.
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// The iteration count sent to the client.
    pub fn iterations(&self) -> u32 {
        self.iterations
    }

    /// Checks a client's proof over `auth_message` in constant time. The answer is the server's signature, which
    /// proves to the client that we hold the verifier.
    pub fn check(&self, auth_message: &[u8], proof: &[u8]) -> Option<Digest32> {
        let proof: &Digest32 = proof.try_into().ok()?;
        let signature = hmac(&self.stored_key, &[auth_message]);
        let mut client_key = [0; 32];
        for (key, (proof, signature)) in client_key.iter_mut().zip(proof.iter().zip(&signature)) {
            *key = proof ^ signature;
        }
        let stored_key: Digest32 = Sha256::digest(client_key).into();
        let matches = bool::from(stored_key.ct_eq(&self.stored_key));
        matches.then(|| hmac(&self.server_key, &[auth_message]))
    }

    /// Whether this is the verifier of `password`. Slow by design.
    pub fn is_of(&self, password: &str) -> bool {
        let other = Self::of(password, self.salt.clone(), self.iterations);
        bool::from(self.stored_key.ct_eq(&other.stored_key))
    }

    fn of(password: &str, salt: Vec<u8>, iterations: u32) -> Self {
        // As PostgreSQL does: a password that SASLprep refuses is used as it stands.
        let prepared = stringprep::saslprep(password).unwrap_or_else(|_| password.into());
        let mut salted = zeroize::Zeroizing::new([0; 32]);
        pbkdf2::pbkdf2_hmac::<Sha256>(prepared.as_bytes(), &salt, iterations, salted.as_mut());
        let client_key = hmac(&salted, &[b"Client Key"]);
        Verifier {
            iterations,
            salt,
            stored_key: Sha256::digest(client_key).into(),
            server_key: hmac(&salted, &[b"Server Key"]),
        }
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (salt, stored) = (BASE64.encode(&self.salt), BASE64.encode(self.stored_key));
        write!(f, "{PREFIX}${}:{salt}${stored}:{}", self.iterations, BASE64.encode(self.server_key))
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(***)")
    }
}

fn parse(text: &str) -> Option<Verifier> {
    let mut parts = text.split('$');
    let (prefix, cost, keys) = (parts.next()?, parts.next()?, parts.next()?);
    let (iterations, salt) = cost.split_once(':')?;
    let (stored, server) = keys.split_once(':')?;
    let verifier = Verifier {
        iterations: iterations.parse().ok()?,
        salt: BASE64.decode(salt).ok()?,
        stored_key: BASE64.decode(stored).ok()?.try_into().ok()?,
        server_key: BASE64.decode(server).ok()?.try_into().ok()?,
    };
    let plausible = prefix == PREFIX
        && parts.next().is_none()
        && (1..=MAX_ITERATIONS).contains(&verifier.iterations)
        && !verifier.salt.is_empty();
    plausible.then_some(verifier)
}

fn hmac(key: &Digest32, parts: &[&[u8]]) -> Digest32 {
    // HMAC pads a key to its block of 64 bytes with zeros; a key of that size cannot be refused.
    let mut block = [0; 64];
    block[..32].copy_from_slice(key);
    let mut mac = <Hmac<Sha256> as hmac::digest::KeyInit>::new((&block).into());
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exchange printed in RFC 7677, section 3.
    #[test]
    fn the_exchange_of_the_rfc_is_accepted() {
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let verifier = Verifier::of("pencil", salt, 4096);
        let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let message = format!(
            "n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r={nonce}"
        );
        let proof = BASE64.decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=").unwrap();
        let signature = verifier.check(message.as_bytes(), &proof).unwrap();
        assert_eq!(BASE64.encode(signature), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        assert!(verifier.check(b"another message", &proof).is_none());
        assert!(verifier.check(message.as_bytes(), &proof[..31]).is_none());
        assert!(verifier.check(message.as_bytes(), b"").is_none());
    }

    #[test]
    fn a_verifier_is_read_back_from_its_text() {
        let text = Verifier::derive("pässword");
        let verifier = Verifier::parse(&text).unwrap();
        assert_eq!(verifier.to_string(), text);
        assert!(verifier.is_of("pässword"));
        assert!(!verifier.is_of("password"));
        assert_eq!(format!("{verifier:?}"), "Verifier(***)");
        assert_ne!(text, Verifier::derive("pässword"), "every verifier has its own salt");
    }

    #[test]
    fn what_is_no_verifier_is_refused_without_repeating_it() {
        for text in [
            "",
            "md5abcdef",
            "SCRAM-SHA-256$4096:c2FsdA==$short:short",
            "SCRAM-SHA-256$0:c2FsdA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            "SCRAM-SHA-256$4096:$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        ] {
            assert!(!Verifier::is_verifier(text), "{text}");
            let error = Verifier::parse(text).unwrap_err();
            assert!(text.is_empty() || !format!("{error:?}").contains(text));
        }
    }

    #[test]
    fn an_unknown_user_gets_the_same_salt_every_time_and_no_password_fits() {
        let secret = [7; 32];
        let (first, second) = (Verifier::mock(&secret, "ann"), Verifier::mock(&secret, "ann"));
        assert_eq!(first.salt(), second.salt());
        assert_eq!(first.iterations(), Verifier::parse(&Verifier::derive("x")).unwrap().iterations());
        assert_ne!(first.salt(), Verifier::mock(&secret, "bob").salt());
        assert_ne!(first.salt(), Verifier::mock(&[8; 32], "ann").salt());
        assert!(!first.is_of(""));
    }
}
