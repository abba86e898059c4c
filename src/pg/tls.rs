//! TLS, which fails closed: a certificate or key that cannot be used stops the server, never the encryption.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256, Sha384, Sha512};
use tokio_rustls::TlsAcceptor;

use crate::error::{Error, Kind, Result};

/// The certificate and key of the server. TLS 1.2 and 1.3.
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<Loaded>>,
}

/// One certificate in use.
pub(crate) struct Loaded {
    pub(crate) acceptor: TlsAcceptor,
    /// `tls-server-end-point`: the hash of the certificate by which a client can bind its login to this TLS
    /// connection. `None` for a certificate whose signature names no hash.
    pub(crate) end_point: Option<Vec<u8>>,
}

impl Tls {
    /// Reads a PEM certificate chain and its key.
    pub fn load(certificate: &Path, key: &Path) -> Result<Arc<Self>> {
        let loaded = load(certificate, key)?;
        Ok(Arc::new(Tls { certificate: certificate.into(), key: key.into(), current: RwLock::new(loaded) }))
    }

    /// Reads both files again. New connections use what was found; on an error the old pair stays in use.
    pub fn reload(&self) -> Result<()> {
        let loaded = load(&self.certificate, &self.key)?;
        *self.current.write() = loaded;
        Ok(())
    }

    pub(crate) fn current(&self) -> Arc<Loaded> {
        self.current.read().clone()
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tls({})", self.certificate.display())
    }
}

fn load(certificate: &Path, key: &Path) -> Result<Arc<Loaded>> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| unusable("certificate", certificate).with_source(error))?;
    let Some(first) = chain.first() else {
        return Err(unusable("certificate", certificate).with_detail("the file holds no certificate"));
    };
    let end_point = end_point(first);
    let key_der =
        PrivateKeyDer::from_pem_file(key).map_err(|error| unusable("private key", key).with_source(error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::internal("TLS cannot be set up").with_source(error))?
        .with_no_client_auth()
        .with_single_cert(chain, key_der)
        .map_err(|error| unusable("certificate", certificate).with_detail(error.to_string()))?;
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(Arc::new(Loaded { acceptor: TlsAcceptor::from(Arc::new(config)), end_point }))
}

fn unusable(what: &str, path: &Path) -> Error {
    Error::new(Kind::Invalid, format!("the TLS {what} `{}` cannot be used", path.display()))
        .with_hint("give a PEM file with the certificate chain, and one with the key that belongs to it")
}

/// RFC 5929: the hash of the certificate by the hash function of its signature; SHA-256 for older ones.
fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let (certificate_body, _) = der(certificate, 0x30)?;
    let (_, after_tbs) = der(certificate_body, 0x30)?;
    let (algorithm, _) = der(after_tbs, 0x30)?;
    let (oid, _) = der(algorithm, 0x06)?;
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
    const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03];
    match oid.split_last()? {
        (4 | 5 | 11, prefix) if prefix == RSA => Some(Sha256::digest(certificate).to_vec()),
        (12, prefix) if prefix == RSA => Some(Sha384::digest(certificate).to_vec()),
        (13, prefix) if prefix == RSA => Some(Sha512::digest(certificate).to_vec()),
        (2, prefix) if prefix == ECDSA => Some(Sha256::digest(certificate).to_vec()),
        (3, prefix) if prefix == ECDSA => Some(Sha384::digest(certificate).to_vec()),
        (4, prefix) if prefix == ECDSA => Some(Sha512::digest(certificate).to_vec()),
        // RSA-PSS, Ed25519: clients disagree, so that binding is not offered.
        _ => None,
    }
}

/// The content of the DER element at the start of `bytes`, and what follows it.
fn der(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = bytes.split_first()?;
    let (length, rest) = match rest.split_first()? {
        (short @ 0..0x80, rest) => (usize::from(*short), rest),
        (long, rest) => {
            let count = usize::from(long & 0x7f);
            let (digits, rest) = rest.split_at_checked(count).filter(|_| (1..=4).contains(&count))?;
            (digits.iter().fold(0, |length, digit| (length << 8) | usize::from(*digit)), rest)
        }
    };
    (*found == tag).then(|| rest.split_at_checked(length)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_point_is_the_hash_of_the_certificate() {
        let generated = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let der = generated.cert.der();
        assert_eq!(end_point(der), Some(Sha256::digest(der).to_vec()));
        assert_eq!(end_point(b"\x30\x84\xff\xff\xff\xff"), None);
        assert_eq!(end_point(b""), None);
    }

    #[test]
    fn what_cannot_be_used_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let generated = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(path("cert"), generated.cert.pem()).unwrap();
        std::fs::write(path("key"), generated.signing_key.serialize_pem()).unwrap();
        std::fs::write(path("other"), other.signing_key.serialize_pem()).unwrap();
        std::fs::write(path("junk"), "junk").unwrap();
        let tls = Tls::load(&path("cert"), &path("key")).unwrap();
        for (certificate, key) in
            [("none", "key"), ("cert", "none"), ("junk", "key"), ("cert", "junk"), ("cert", "other")]
        {
            let error = Tls::load(&path(certificate), &path(key)).unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid, "{certificate} {key}");
        }
        std::fs::write(path("cert"), "junk").unwrap();
        tls.reload().unwrap_err();
        assert!(tls.current().end_point.is_some());
    }
}
