//! An RSA key of the tests alone, and what it signs.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};

/// The private key, PKCS#8 in PEM. The crypto library makes no keys of this kind.
pub(crate) const PRIVATE_KEY: &str = include_str!("rsa.pem");

pub(crate) fn key() -> RsaKeyPair {
    let inner: String = PRIVATE_KEY.lines().filter(|line| !line.starts_with("---")).collect();
    RsaKeyPair::from_pkcs8(&BASE64_STANDARD.decode(inner).unwrap()).unwrap()
}

/// The public key, PKCS#1 in DER.
pub(crate) fn public_key() -> Vec<u8> {
    key().public().as_ref().to_vec()
}

/// `claims` as a JWT signed with RS256.
pub(crate) fn jwt(claims: &serde_json::Value) -> String {
    let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    let signed = format!("{}.{}", part(r#"{"alg":"RS256"}"#), part(&claims.to_string()));
    let key = key();
    let mut signature = vec![0; key.public().modulus_len()];
    let random = ring::rand::SystemRandom::new();
    key.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).unwrap();
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}
