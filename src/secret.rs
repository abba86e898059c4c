//! Secrets at rest: every password and token is sealed before it reaches the state store.
//!
//! An envelope: a fresh data key seals the secret, the installation's key seals the data key. Both seals are
//! bound to the company, connection, field and version they were made for, so that a sealed value copied to
//! another row opens nowhere.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chacha20poly1305::aead::rand_core::RngCore;
use chacha20poly1305::aead::{Aead, OsRng, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use crate::error::{Error, Kind, Result};

/// The environment variable that holds the key instead of the key file.
const KEY_VARIABLE: &str = "TRIBUTARY_KEY";

/// First byte of every sealed value; another number announces another layout.
const FORMAT: u8 = 1;
const KEY_LEN: usize = 32;
const NONCE_LEN: usize = 24;
const TAG_LEN: usize = 16;
/// Nonce, data key and tag: what follows the format byte.
const ENVELOPE_LEN: usize = NONCE_LEN + KEY_LEN + TAG_LEN;

type Key = Zeroizing<[u8; KEY_LEN]>;

/// A text that must not be shown. It is wiped from memory when dropped, and prints as `***`.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over.
    pub fn new(text: String) -> Self {
        Secret(Zeroizing::new(text))
    }

    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Holds the key of this installation; seals and unseals with it.
pub struct Keyring {
    key: Key,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring(***)")
    }
}

impl Keyring {
    /// The key in `TRIBUTARY_KEY`, else the one in the file at `path`, which is made on the first start.
    pub fn open(path: &Path) -> Result<Self> {
        let from_environment = match std::env::var(KEY_VARIABLE) {
            Ok(text) => Some(Zeroizing::new(text)),
            Err(std::env::VarError::NotPresent) => None,
            Err(std::env::VarError::NotUnicode(_)) => Some(Zeroizing::default()),
        };
        Self::from_environment_or_file(from_environment, path)
    }

    fn from_environment_or_file(variable: Option<Zeroizing<String>>, path: &Path) -> Result<Self> {
        if let Some(text) = variable {
            let key = decode_key(&text).ok_or_else(|| {
                Error::new(Kind::Invalid, format!("the environment variable `{KEY_VARIABLE}` holds no key"))
                    .with_hint("it must hold 32 random bytes in base64; `openssl rand -base64 32` makes them")
            })?;
            return Ok(Keyring { key });
        }
        match create_key_file(path) {
            Ok(key) => Ok(Keyring { key }),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                Ok(Keyring { key: read_key_file(path)? })
            }
            Err(error) => Err(Error::new(
                Kind::Invalid,
                format!("cannot create the key file `{}`: {error}", path.display()),
            )
            .with_hint("the folder must exist and be writable")
            .with_source(error)),
        }
    }

    /// 32 bytes for one purpose: the same as long as the key is the same, and telling nothing about it
    /// (the first block of HKDF-Expand with SHA-256, RFC 5869).
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        use hmac::Mac;
        // HMAC pads a short key with zeros to the block of its hash (RFC 2104).
        let mut block = Zeroizing::new([0; 64]);
        block[..KEY_LEN].copy_from_slice(&*self.key);
        let mut mac = <hmac::Hmac<sha2::Sha256> as hmac::digest::KeyInit>::new((&*block).into());
        mac.update(purpose.as_bytes());
        mac.update(&[1]);
        mac.finalize().into_bytes().into()
    }

    /// Seals `secret` for exactly this company, connection, field and version.
    pub fn seal(
        &self,
        company: &str,
        connection_id: i64,
        field: &str,
        version: i64,
        secret: &Secret,
    ) -> Result<Vec<u8>> {
        let place = place(company, connection_id, field, version);
        let data_key = random_key()?;
        let mut sealed = vec![FORMAT];
        seal_part(&self.key, &data_key[..], &bound(b'k', &place), &mut sealed)?;
        seal_part(&data_key, secret.expose().as_bytes(), &bound(b's', &place), &mut sealed)?;
        Ok(sealed)
    }

    /// Opens what [`Keyring::seal`] made for the same company, connection, field and version.
    pub fn unseal(
        &self,
        company: &str,
        connection_id: i64,
        field: &str,
        version: i64,
        sealed: &[u8],
    ) -> Result<Secret> {
        self.unseal_parts(&place(company, connection_id, field, version), sealed).ok_or_else(|| {
            Error::new(
                Kind::Corrupt,
                format!("the stored secret `{field}` of connection {connection_id} cannot be opened"),
            )
            .with_hint("it was changed, moved, or sealed under another key: restore the key, or set the secret again")
        })
    }

    fn unseal_parts(&self, place: &[u8], sealed: &[u8]) -> Option<Secret> {
        let (&format, rest) = sealed.split_first()?;
        if format != FORMAT || rest.len() < ENVELOPE_LEN {
            return None;
        }
        let (envelope, payload) = rest.split_at(ENVELOPE_LEN);
        let opened = unseal_part(&self.key, envelope, &bound(b'k', place))?;
        let mut data_key = Key::default();
        if opened.len() != KEY_LEN {
            return None;
        }
        data_key.copy_from_slice(&opened);
        let text = unseal_part(&data_key, payload, &bound(b's', place))?;
        Some(Secret::new(std::str::from_utf8(&text).ok()?.to_string()))
    }
}

/// Where a secret belongs, in bytes that no other place has: texts carry their length.
fn place(company: &str, connection_id: i64, field: &str, version: i64) -> Vec<u8> {
    let mut place = Vec::new();
    for text in [company, field] {
        place.extend_from_slice(&(text.len() as u64).to_be_bytes());
        place.extend_from_slice(text.as_bytes());
    }
    place.extend_from_slice(&connection_id.to_be_bytes());
    place.extend_from_slice(&version.to_be_bytes());
    place
}

/// Associated data of one part. The part's letter keeps a key envelope from passing for a secret.
fn bound(part: u8, place: &[u8]) -> Vec<u8> {
    [&[FORMAT, part], place].concat()
}

fn seal_part(key: &Key, plain: &[u8], associated: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let mut nonce = [0; NONCE_LEN];
    fill_random(&mut nonce)?;
    let cipher = XChaCha20Poly1305::new(key.as_slice().into());
    let sealed = cipher
        .encrypt(XNonce::from_slice(&nonce), Payload { msg: plain, aad: associated })
        .map_err(|_| Error::new(Kind::Limit, "the secret is too long to be sealed"))?;
    out.extend_from_slice(&nonce);
    out.extend_from_slice(&sealed);
    Ok(())
}

fn unseal_part(key: &Key, sealed: &[u8], associated: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
    let cipher = XChaCha20Poly1305::new(key.as_slice().into());
    let plain = cipher.decrypt(XNonce::from_slice(nonce), Payload { msg: sealed, aad: associated });
    plain.ok().map(Zeroizing::new)
}

fn fill_random(bytes: &mut [u8]) -> Result<()> {
    OsRng.try_fill_bytes(bytes).map_err(|error| {
        Error::new(Kind::Unavailable, "the operating system gave no random bytes")
            .with_source(error.to_string())
    })
}

fn random_key() -> Result<Key> {
    let mut key = Key::default();
    fill_random(&mut key[..])?;
    Ok(key)
}

fn decode_key(text: &str) -> Option<Key> {
    let bytes = Zeroizing::new(BASE64.decode(text.trim()).ok()?);
    let mut key = Key::default();
    let fits = bytes.len() == KEY_LEN;
    if fits {
        key.copy_from_slice(&bytes);
    }
    fits.then_some(key)
}

/// Makes the key file readable by its owner alone, and durable before anything is sealed under the key.
fn create_key_file(path: &Path) -> std::io::Result<Key> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let key = random_key().map_err(std::io::Error::other)?;
    let text = Zeroizing::new(BASE64.encode(&key[..]));
    let written = file.write_all(text.as_bytes()).and_then(|()| file.write_all(b"\n"));
    if let Err(error) = written.and_then(|()| file.sync_all()) {
        // An unfinished key would only stop the next start.
        drop(std::fs::remove_file(path));
        return Err(error);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()?;
    Ok(key)
}

fn read_key_file(path: &Path) -> Result<Key> {
    let unreadable = |error: std::io::Error| {
        Error::new(Kind::Invalid, format!("cannot read the key file `{}`: {error}", path.display()))
            .with_source(error)
    };
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Error::new(Kind::Invalid, format!("the key file `{}` is not a file", path.display())));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(Error::new(
            Kind::Invalid,
            format!("the key file `{}` can be read or changed by others", path.display()),
        )
        .with_hint(format!("chmod 600 {}", path.display())));
    }
    let mut text = Zeroizing::new(String::new());
    // A key is 45 bytes; a wrong path to something huge must not be read whole.
    file.take(1024).read_to_string(&mut text).map_err(unreadable)?;
    decode_key(&text).ok_or_else(|| {
        Error::new(Kind::Corrupt, format!("the key file `{}` holds no key", path.display())).with_hint(
            "it must hold 32 bytes in base64: restore it from a backup; a new key cannot open the secrets stored \
             under the old one",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyring(folder: &tempfile::TempDir) -> Keyring {
        Keyring::from_environment_or_file(None, &folder.path().join("key")).unwrap()
    }

    #[test]
    fn a_secret_comes_back_from_a_key_file_that_survives_restarts() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["", "hunter2", "päss\u{0}wörd"] {
            let sealed = keyring(&folder).seal("acme", 7, "password", 3, &Secret::new(text.into())).unwrap();
            let opened = keyring(&folder).unseal("acme", 7, "password", 3, &sealed).unwrap();
            assert_eq!(opened.expose(), text);
            assert_eq!(sealed.len(), 1 + ENVELOPE_LEN + NONCE_LEN + text.len() + TAG_LEN);
        }
        let path = folder.path().join("key");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_to_string(&path).unwrap().len(), 45);
    }

    #[test]
    fn sealing_twice_gives_different_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let (keyring, secret) = (keyring(&folder), Secret::new("same".into()));
        let seal = || keyring.seal("acme", 1, "token", 1, &secret).unwrap();
        assert_ne!(seal(), seal());
    }

    #[test]
    fn a_change_of_any_byte_or_of_the_length_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let keyring = keyring(&folder);
        let sealed = keyring.seal("acme", 7, "password", 3, &Secret::new("hunter2".into())).unwrap();
        for i in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[i] ^= 1;
            assert!(keyring.unseal("acme", 7, "password", 3, &changed).is_err(), "byte {i}");
            assert!(keyring.unseal("acme", 7, "password", 3, &sealed[..i]).is_err(), "first {i} bytes");
        }
        let longer = [sealed.as_slice(), &[0]].concat();
        assert_eq!(keyring.unseal("acme", 7, "password", 3, &longer).unwrap_err().kind(), Kind::Corrupt);
    }

    #[test]
    fn a_secret_moved_to_another_place_or_key_does_not_open() {
        let folder = tempfile::tempdir().unwrap();
        let keyring = keyring(&folder);
        let sealed = keyring.seal("ab", 7, "cd", 3, &Secret::new("hunter2".into())).unwrap();
        assert!(keyring.unseal("ab", 7, "cd", 3, &sealed).is_ok());
        for (company, connection, field, version) in [
            ("ax", 7, "cd", 3),
            ("ab", 8, "cd", 3),
            ("ab", 7, "cx", 3),
            ("ab", 7, "cd", 4),
            ("abc", 7, "d", 3),
        ] {
            assert!(keyring.unseal(company, connection, field, version, &sealed).is_err());
        }
        let other = tempfile::tempdir().unwrap();
        assert!(self::keyring(&other).unseal("ab", 7, "cd", 3, &sealed).is_err());
    }

    #[test]
    fn a_key_file_that_others_can_read_is_refused_with_the_command_that_helps() {
        let folder = tempfile::tempdir().unwrap();
        keyring(&folder);
        let path = folder.path().join("key");
        for mode in [0o640, 0o604, 0o620] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let error = Keyring::from_environment_or_file(None, &path).unwrap_err();
            assert_eq!(error.hint(), Some(format!("chmod 600 {}", path.display()).as_str()));
        }
    }

    #[test]
    fn a_garbled_or_missing_place_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        for text in ["", "hello", "AAAA\n", "\u{e9}"] {
            drop(std::fs::remove_file(&path));
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
            let error = Keyring::from_environment_or_file(None, &path).unwrap_err();
            assert!(error.what().contains(path.to_str().unwrap()), "{error}");
        }
        let nowhere = folder.path().join("missing").join("key");
        let error = Keyring::from_environment_or_file(None, &nowhere).unwrap_err();
        assert!(error.what().contains(nowhere.to_str().unwrap()));
        assert!(Keyring::from_environment_or_file(None, folder.path()).is_err());
    }

    #[test]
    fn a_key_in_the_environment_wins_and_writes_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let open = |text: &str| Keyring::from_environment_or_file(Some(Zeroizing::new(text.into())), &path);
        let text = BASE64.encode([7; 32]);
        let sealed = open(&text).unwrap().seal("a", 1, "b", 1, &Secret::new("x".into())).unwrap();
        assert!(!path.exists());
        assert_eq!(open(&text).unwrap().unseal("a", 1, "b", 1, &sealed).unwrap().expose(), "x");
        for bad in ["", "AAAA", "not base64"] {
            assert!(open(bad).unwrap_err().what().contains(KEY_VARIABLE));
        }
    }

    #[test]
    fn nothing_prints_a_secret() {
        let folder = tempfile::tempdir().unwrap();
        let secret = Secret::new("hunter2".into());
        assert_eq!(format!("{secret:?} {secret} {:?}", keyring(&folder)), "*** *** Keyring(***)");
    }
}
