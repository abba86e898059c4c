//! The page on which a person of the vendor's customer agrees to an app, and what both vendors' grants share.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::http::{Answer, Request, escape};

/// An app registered with the vendor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredApp {
    /// Public name of the app.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// Where answers may go. Compared exactly.
    pub redirect_uris: Vec<String>,
}

/// An account that a person can choose on the page.
pub(super) struct Choice {
    pub(super) value: String,
    pub(super) label: String,
}

/// A page with one button an account, and one to refuse. Choosing sends the same request again with `choice`.
pub(super) fn page(request: &Request, vendor: &str, scopes: &[String], choices: &[Choice]) -> Answer {
    let mut hidden = String::new();
    for (name, value) in request.query.iter().filter(|(name, _)| name != "choice") {
        let (name, value) = (escape(name), escape(value));
        hidden += &format!("<input type=\"hidden\" name=\"{name}\" value=\"{value}\">\n");
    }
    let mut buttons = String::new();
    for choice in choices {
        let (value, label) = (escape(&choice.value), escape(&choice.label));
        buttons += &format!("<button name=\"choice\" value=\"{value}\">Connect {label}</button>\n");
    }
    let listed: String = scopes.iter().map(|scope| format!("<li>{}</li>\n", escape(scope))).collect();
    let action = escape(&request.path);
    Answer::html(
        200,
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{vendor} (simulated)</title></head>\n\
             <body><h1>{vendor} (simulated)</h1>\n<p>An app asks for access to:</p><ul>\n{listed}</ul>\n\
             <form method=\"get\" action=\"{action}\">\n{hidden}{buttons}\
             <button name=\"choice\" value=\"deny\">Cancel</button></form></body></html>"
        ),
    )
}

/// A page that tells a person what is wrong with the link that brought them here. Nothing is sent to the app, since
/// its address cannot be trusted.
pub(super) fn problem(vendor: &str, message: &str) -> Answer {
    let message = escape(message);
    Answer::html(
        400,
        format!("<!DOCTYPE html><html><head><title>{vendor}</title></head><body>{message}</body></html>"),
    )
}

/// Sends the browser back to the app with these parameters.
pub(super) fn back(redirect_uri: &str, parameters: &[(&str, &str)]) -> Answer {
    match url::Url::parse(redirect_uri) {
        Ok(mut url) => {
            url.query_pairs_mut().extend_pairs(parameters);
            Answer::redirect(url.as_str())
        }
        Err(_) => problem("OAuth", "The redirect URI is not a URL."),
    }
}

/// How the code challenge of an authorization request was met (RFC 7636, S256).
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pkce {
    Met,
    Missing,
    Wrong,
}

/// Compares the verifier of a token request with the challenge of the authorization request.
pub(super) fn check_pkce(challenge: Option<&str>, verifier: Option<&str>) -> Pkce {
    match (challenge, verifier) {
        (None, _) => Pkce::Met,
        (Some(_), None) => Pkce::Missing,
        (Some(challenge), Some(verifier)) => {
            let digest = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
            if digest == challenge { Pkce::Met } else { Pkce::Wrong }
        }
    }
}
