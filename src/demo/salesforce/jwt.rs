//! The JWT bearer grant: a statement that an app acts for a user, signed with the key whose certificate the app
//! uploaded. RFC 7523, and Salesforce's page "OAuth 2.0 JWT Bearer Flow".

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::Value;

use super::Salesforce;
use super::access::Login;
use super::error::oauth;
use crate::demo::http::{Answer, Form};

/// A statement may not be valid for longer, with a little for clocks that differ.
const LONGEST_SECONDS: i64 = 300;

/// An app that may sign, and for whom.
#[derive(Debug, Clone)]
pub struct Signer {
    /// Consumer key of the app.
    pub client_id: String,
    /// The RSA public key of its certificate, as PKCS#1 DER.
    pub public_key: Vec<u8>,
    /// Users who are pre-authorised for the app.
    pub users: Vec<String>,
}

/// The login that an assertion proves.
pub(super) fn login(vendor: &Salesforce, signers: &[Signer], form: &Form) -> Result<Login, Answer> {
    let refused = |why: &str| oauth("invalid_grant", why);
    let assertion = form
        .get("assertion")
        .ok_or_else(|| oauth("invalid_request", "missing required parameter: assertion"))?;
    let (signed, signature) = assertion.rsplit_once('.').ok_or_else(|| refused("invalid assertion"))?;
    let (header, claims) = signed.split_once('.').ok_or_else(|| refused("invalid assertion"))?;
    let bytes = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| refused("invalid assertion"));
    let json =
        |part: &str| serde_json::from_slice::<Value>(&bytes(part)?).map_err(|_| refused("invalid assertion"));
    let (header, claims) = (json(header)?, json(claims)?);
    if header["alg"] != "RS256" {
        return Err(refused("invalid assertion"));
    }
    let issuer = claims["iss"].as_str().unwrap_or_default();
    let signer = signers
        .iter()
        .find(|signer| signer.client_id == issuer)
        .ok_or_else(|| oauth("invalid_client_id", "client identifier invalid"))?;
    let key = ring::signature::UnparsedPublicKey::new(
        &ring::signature::RSA_PKCS1_2048_8192_SHA256,
        &signer.public_key,
    );
    key.verify(signed.as_bytes(), &bytes(signature)?).map_err(|_| refused("invalid assertion"))?;
    let audience = claims["aud"].as_str().unwrap_or_default();
    let known = ["https://login.salesforce.com", "https://test.salesforce.com", vendor.login_url.as_str()];
    if !known.contains(&audience) {
        return Err(refused("audience is invalid"));
    }
    let left = claims["exp"].as_i64().unwrap_or(0) - vendor.clock.millis() / 1000;
    if !(0..=LONGEST_SECONDS).contains(&left) {
        return Err(refused("expired authorization code"));
    }
    let user = claims["sub"].as_str().unwrap_or_default();
    let org = vendor.orgs.iter().position(|org| org.user == user);
    match org.filter(|_| signer.users.iter().any(|known| known == user)) {
        Some(org) => Ok(Login { org, scopes: ["api", "id", "openid"].map(String::from).to_vec() }),
        None => Err(refused("user hasn't approved this consumer")),
    }
}
