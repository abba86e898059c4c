//! Tokens that need no stored grant: fixed ones, and those that a request fetches.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::client::Transport;
use super::guard::Guard;
use super::request::{Call, Known, Scope};
use super::token::{AccessToken, Tokens};
use crate::catalog::manifest::{Auth, Entries, Manifest, Request};
use crate::catalog::{Name, Pointer, Template, as_text};
use crate::error::{Error, Kind, Result};
use crate::model::{Micros, now_micros};

/// A token is renewed so long before it ends.
const BEFORE_END: i64 = 60_000_000;
/// How long a JWT is valid where the manifest does not say.
const JWT_VALID: i64 = 180_000_000;

/// The tokens of a connection by the first way to log in for which everything is there.
///
/// # Errors
/// `Unavailable` when secrets are missing: more may come.
pub(crate) fn tokens(
    manifest: &Arc<Manifest>,
    known: &Arc<Known>,
    guard: &Guard,
    transport: &Transport,
) -> Result<Arc<dyn Tokens>> {
    let has = |auth: &&Auth| {
        !matches!(auth, Auth::Oauth2(_))
            && auth.asks().iter().all(|(name, _)| known.secrets.contains_key(*name))
    };
    let Some(auth) = manifest.auth.iter().find(has) else { return Err(incomplete(manifest, known)) };
    let scope = Scope::new(known.clone());
    let fill = |template: &Template| {
        template.plain(&scope).ok_or_else(|| {
            Error::new(
                Kind::Invalid,
                format!("`{template}` of the manifest of `{}` has no value", manifest.name.value),
            )
        })
    };
    let fixed = |secret: String, scheme: &str| {
        let token =
            AccessToken { secret: Zeroizing::new(secret), scheme: scheme.into(), kept: HashMap::new() };
        Arc::new(Fixed(Arc::new(token))) as Arc<dyn Tokens>
    };
    Ok(match auth {
        Auth::Bearer(bearer) => fixed(fill(&bearer.token)?, &bearer.scheme),
        Auth::Header(header) => fixed(fill(&header.value)?, ""),
        Auth::Basic(basic) => {
            let both = Zeroizing::new(format!("{}:{}", fill(&basic.user)?, fill(&basic.password)?));
            fixed(BASE64_STANDARD.encode(both.as_bytes()), "Basic")
        }
        Auth::Oauth2(_) | Auth::ClientCredentials(_) | Auth::JwtBearer(_) | Auth::Exchange(_) => {
            Arc::new(Fetched {
                manifest: manifest.clone(),
                auth: auth.clone(),
                scope,
                guard: guard.clone(),
                transport: transport.clone(),
                held: tokio::sync::Mutex::default(),
            })
        }
    })
}

/// What is still to be given, for the way to log in that needs least.
fn incomplete(manifest: &Manifest, known: &Known) -> Error {
    let missing = |auth: &Auth| -> Vec<String> {
        let asks = auth.asks().into_iter().filter(|(name, _)| !known.secrets.contains_key(*name));
        asks.map(|(name, label)| format!("`{name}` ({label})")).collect()
    };
    let name = &manifest.name.value;
    let nearest = manifest.auth.iter().filter(|auth| !matches!(auth, Auth::Oauth2(_))).map(missing);
    match nearest.min_by_key(Vec::len) {
        Some(missing) => Error::new(Kind::Unavailable, format!("connector `{name}` cannot log in yet"))
            .with_detail(format!("missing: {}", missing.join(", ")))
            .with_hint("CALL set_secret('<connection>', '<name>', '...') for each"),
        None => Error::new(Kind::Unauthenticated, format!("`{name}` must be connected by logging in there")),
    }
}

/// One token for ever.
struct Fixed(Arc<AccessToken>);

#[async_trait::async_trait]
impl Tokens for Fixed {
    async fn current(&self) -> Result<Arc<AccessToken>> {
        Ok(self.0.clone())
    }

    async fn renew(&self, _refused: &AccessToken) -> Result<Arc<AccessToken>> {
        Err(Error::new(Kind::Unauthenticated, "the source refuses the token of this connection")
            .with_hint("set another one with `CALL set_secret(...)`"))
    }
}

/// Tokens that a request fetches whenever one is needed.
struct Fetched {
    manifest: Arc<Manifest>,
    auth: Auth,
    scope: Scope,
    guard: Guard,
    transport: Transport,
    /// The token and when it ends. The lock makes those who wait share one fetch.
    held: tokio::sync::Mutex<Option<(Arc<AccessToken>, Option<Micros>)>>,
}

#[async_trait::async_trait]
impl Tokens for Fetched {
    async fn current(&self) -> Result<Arc<AccessToken>> {
        let mut held = self.held.lock().await;
        match &*held {
            Some((token, ends)) if ends.is_none_or(|ends| now_micros() < ends - BEFORE_END) => {
                Ok(token.clone())
            }
            _ => self.fetch(&mut held).await,
        }
    }

    async fn renew(&self, refused: &AccessToken) -> Result<Arc<AccessToken>> {
        let mut held = self.held.lock().await;
        match &*held {
            Some((token, _)) if **token != *refused => Ok(token.clone()),
            _ => self.fetch(&mut held).await,
        }
    }
}

impl Fetched {
    async fn fetch(&self, held: &mut Option<(Arc<AccessToken>, Option<Micros>)>) -> Result<Arc<AccessToken>> {
        *held = None;
        let (call, at, ends_at, scheme, keep) = self.call()?;
        let answer = self.transport.once(call).await.map_err(|trouble| trouble.error)?;
        let label = &self.manifest.label;
        let document: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if !(200..300).contains(&answer.status) {
            return Err(refusal(label, answer.status, &document));
        }
        let token = at.find(&document).and_then(Value::as_str).filter(|token| !token.is_empty());
        let token = token.ok_or_else(|| {
            Error::new(Kind::Unauthenticated, format!("{label} answered without a token"))
                .with_detail(problem(&document).unwrap_or_else(|| format!("nothing at `{at}`")))
        })?;
        let text = |pointer: &Pointer| pointer.find(&document).filter(|value| !value.is_null()).map(as_text);
        let kept =
            keep.iter().filter_map(|(name, pointer)| Some((name.to_string(), text(pointer)?))).collect();
        let lives = ends_at.as_ref().and_then(text).and_then(|seconds| seconds.parse::<i64>().ok());
        let ends = lives.map(|seconds| now_micros() + seconds.saturating_mul(1_000_000));
        let token = AccessToken { secret: Zeroizing::new(token.to_string()), scheme, kept };
        let token = Arc::new(token);
        *held = Some((token.clone(), ends));
        Ok(token)
    }

    /// The request, where its answer has the token and its life, the scheme and what to keep.
    #[allow(clippy::type_complexity)]
    fn call(&self) -> Result<(Call, Pointer, Option<Pointer>, String, Vec<(Name, Pointer)>)> {
        let fill = |template: &Template| {
            template.plain(&self.scope).ok_or_else(|| Error::internal(format!("`{template}` has no value")))
        };
        let pointer = |text: &str| text.parse::<Pointer>().map_err(Error::internal);
        let entries = |keep: &std::collections::BTreeMap<Name, Pointer>| {
            keep.iter().map(|(name, pointer)| (name.clone(), pointer.clone())).collect::<Vec<_>>()
        };
        match &self.auth {
            Auth::ClientCredentials(grant) => {
                let mut form = vec![
                    ("grant_type".to_string(), "client_credentials".to_string()),
                    ("client_id".into(), fill(&grant.client_id)?),
                    ("client_secret".into(), fill(&grant.client_secret)?),
                ];
                if !grant.scopes.is_empty() {
                    form.push(("scope".into(), grant.scopes.join(" ")));
                }
                for (name, value) in grant.params.iter() {
                    form.push((name.into(), fill(value)?));
                }
                let call = self.post(&grant.token, form)?;
                Ok((
                    call,
                    pointer("/access_token")?,
                    Some(pointer("/expires_in")?),
                    grant.scheme.clone(),
                    entries(&grant.keep),
                ))
            }
            Auth::JwtBearer(grant) => {
                let now = now_micros();
                let valid = grant.valid.map_or(JWT_VALID, crate::catalog::Span::micros);
                let claims = json!({
                    "iss": fill(&grant.issuer)?, "sub": fill(&grant.subject)?, "aud": fill(&grant.audience)?,
                    "iat": now / 1_000_000, "exp": (now + valid) / 1_000_000,
                });
                let form = vec![
                    ("grant_type".to_string(), "urn:ietf:params:oauth:grant-type:jwt-bearer".to_string()),
                    ("assertion".into(), signed(&claims, &Zeroizing::new(fill(&grant.key)?))?),
                ];
                let call = self.post(&grant.token, form)?;
                Ok((
                    call,
                    pointer("/access_token")?,
                    Some(pointer("/expires_in")?),
                    grant.scheme.clone(),
                    entries(&grant.keep),
                ))
            }
            Auth::Exchange(exchange) => {
                let call = Call::new(&self.manifest.http, &self.guard, &exchange.request, &self.scope)?;
                let (at, ends) = (exchange.token.clone(), exchange.expires_in.clone());
                Ok((call, at, ends, exchange.scheme.clone(), entries(&exchange.keep)))
            }
            Auth::Oauth2(_) | Auth::Basic(_) | Auth::Bearer(_) | Auth::Header(_) => {
                Err(Error::internal("this way to log in fetches no token"))
            }
        }
    }

    fn post(&self, url: &Template, form: Vec<(String, String)>) -> Result<Call> {
        let template = |text: &str| {
            text.replace('{', "{{").replace('}', "}}").parse::<Template>().map_err(Error::internal)
        };
        let form = form.into_iter().map(|(name, value)| Ok((name, template(&value)?)));
        let request = Request {
            get: None,
            post: Some(serde_saphyr::Spanned::new(
                url.clone(),
                serde_saphyr::Location::UNKNOWN,
                serde_saphyr::Location::UNKNOWN,
            )),
            delete: None,
            query: Entries::default(),
            headers: Entries::default(),
            body: None,
            form: Entries(form.collect::<Result<_>>()?),
        };
        let mut call = Call::new(&self.manifest.http, &self.guard, &request, &self.scope)?;
        call.headers.push(("accept".into(), "application/json".into()));
        Ok(call)
    }
}

/// A JWT of `claims`, signed by RS256 with a PKCS#8 key in PEM.
fn signed(claims: &Value, pem: &str) -> Result<String> {
    let unusable = |why: &str| {
        Error::new(Kind::Invalid, format!("the private key cannot be used: {why}"))
            .with_hint("give an RSA key in PKCS#8 PEM, beginning with -----BEGIN PRIVATE KEY-----")
    };
    let begin = "-----BEGIN PRIVATE KEY-----";
    let inner = pem.split_once(begin).and_then(|(_, rest)| rest.split_once("-----END PRIVATE KEY-----"));
    let (inner, _) = inner.ok_or_else(|| unusable("it is no PKCS#8 PEM"))?;
    let base64: Zeroizing<String> = Zeroizing::new(inner.split_whitespace().collect());
    let der = Zeroizing::new(
        BASE64_STANDARD.decode(base64.as_bytes()).map_err(|_| unusable("its base64 is damaged"))?,
    );
    let key = ring::signature::RsaKeyPair::from_pkcs8(&der).map_err(|error| unusable(&error.to_string()))?;
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(&json!({"alg": "RS256", "typ": "JWT"})), part(claims));
    let mut signature = vec![0; key.public().modulus_len()];
    let random = ring::rand::SystemRandom::new();
    key.sign(&ring::signature::RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature)
        .map_err(|_| unusable("signing failed"))?;
    Ok(format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
}

/// The error of a login that was refused, or of a login server in trouble.
fn refusal(label: &str, status: u16, document: &Value) -> Error {
    let kind = match status {
        408 | 429 | 500.. => Kind::Unavailable,
        _ => Kind::Unauthenticated,
    };
    let error = Error::new(kind, format!("{label} refuses the login (HTTP {status})"));
    let error = match problem(document) {
        Some(problem) => error.with_detail(problem),
        None => error,
    };
    match kind {
        Kind::Unavailable => error,
        _ => error
            .with_hint("check the secrets of the connection and set them again with `CALL set_secret(...)`"),
    }
}

/// What an OAuth error answer (RFC 6749, 5.2) says.
fn problem(document: &Value) -> Option<String> {
    let text = |key: &str| document.get(key).and_then(Value::as_str);
    let parts: Vec<_> = ["error", "error_description", "message"].into_iter().filter_map(text).collect();
    let text = parts.join(": ").chars().take(300).collect::<String>();
    (!text.is_empty()).then_some(text)
}
