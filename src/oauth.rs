//! The client's side of OAuth 2.0's authorization code grant (RFC 6749, 7636, 7009; rules of RFC 9700): it makes the
//! link to open, redeems codes, refreshes and revokes tokens. It keeps nothing and knows no connection.

mod answer;
mod transport;

use std::borrow::Cow;
use std::time::Duration;

use oauth2::basic::{
    BasicErrorResponse, BasicErrorResponseType, BasicRevocationErrorResponse,
    BasicTokenIntrospectionResponse, BasicTokenType,
};
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointNotSet, EndpointSet,
    PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RefreshToken, RequestTokenError, Scope,
    StandardRevocableToken, StandardTokenResponse, TokenUrl,
};
use zeroize::Zeroizing;

use crate::error::{Error, Kind, Result};
use crate::secret::Secret;
use answer::Extra;
pub use answer::Tokens;
use transport::{Lost, Transport};

/// How one vendor grants access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// The vendor as people know it, for messages.
    pub label: String,
    /// Where a person logs in and agrees.
    pub authorize: String,
    /// Where codes and refresh tokens are traded for access tokens.
    pub token: String,
    /// Where a refresh token is revoked, if anywhere.
    pub revoke: Option<String>,
    /// Scopes that must be granted.
    pub scopes: Vec<String>,
    /// Scopes asked for in the parameter `optional_scope`.
    pub optional_scopes: Vec<String>,
    /// Further parameters of the link.
    pub params: Vec<(String, String)>,
    /// Whether codes are bound by PKCE (S256).
    pub pkce: bool,
    /// What precedes the token in the `Authorization` header.
    pub scheme: String,
    /// Names and JSON pointers of values to keep from the token answer.
    pub keep: Vec<(String, String)>,
    /// How long a token is used whose answer does not tell how long it lives.
    pub lives: Option<Duration>,
}

/// Who asks: the app as it is registered with the vendor.
#[derive(Debug, Clone)]
pub struct Application {
    /// Its public id.
    pub id: String,
    /// Its secret, where the vendor gave one.
    pub secret: Option<Secret>,
}

/// The beginning of a login.
#[derive(Debug)]
pub struct Beginning {
    /// The vendor's page, with everything it needs.
    pub url: String,
    /// 256 random bits that must come back.
    pub state: Secret,
    /// What proves at the end that it was us; empty without PKCE.
    pub verifier: Secret,
}

/// Why there are no tokens, as far as it matters for what to do next.
#[derive(Debug)]
pub enum Failure {
    /// The vendor says that the grant is over: only a new login helps.
    Over(Error),
    /// The vendor refused the request, or is busy, or was not reached: nothing happened to the grant.
    Refused(Error),
    /// There was no complete answer: the vendor may have replaced the refresh token.
    Lost(Error),
}

impl Failure {
    /// The error for people.
    pub fn into_error(self) -> Error {
        match self {
            Failure::Over(error) | Failure::Refused(error) | Failure::Lost(error) => error,
        }
    }
}

type Response = StandardTokenResponse<Extra, BasicTokenType>;
type Client = oauth2::Client<
    BasicErrorResponse,
    Response,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// A provider, an application, and the HTTP between them. Requests follow no redirect and use no proxy; they end
/// after 30 seconds and 1 MiB.
#[derive(Debug)]
pub struct OauthClient {
    provider: Provider,
    application: Application,
    transport: Transport,
}

impl OauthClient {
    /// A client of `provider` for `application`.
    ///
    /// # Errors
    /// `Invalid` where one of the provider's addresses is no `https` URL (or `http` on this machine).
    pub fn new(provider: Provider, application: Application) -> Result<Self> {
        for url in [&provider.authorize, &provider.token].into_iter().chain(&provider.revoke) {
            check_url(url)?;
        }
        Ok(OauthClient { transport: Transport::new()?, provider, application })
    }

    /// The same client, with names resolved by `resolver`.
    pub fn resolving_with<R: reqwest::dns::Resolve + 'static>(
        self,
        resolver: std::sync::Arc<R>,
    ) -> Result<Self> {
        Ok(OauthClient { transport: Transport::resolving_with(resolver)?, ..self })
    }

    /// The provider.
    pub fn provider(&self) -> &Provider {
        &self.provider
    }

    /// The link that begins a login, with fresh state and verifier.
    pub fn begin(&self, redirect_uri: &str) -> Result<Beginning> {
        let client = self.client()?;
        let redirect = redirect(redirect_uri)?;
        let mut request = client
            .authorize_url(|| CsrfToken::new_random_len(32))
            .add_scopes(self.provider.scopes.iter().cloned().map(Scope::new))
            .set_redirect_uri(Cow::Borrowed(&redirect));
        let optional = self.provider.optional_scopes.join(" ");
        if !optional.is_empty() {
            request = request.add_extra_param("optional_scope", &optional);
        }
        for (name, value) in &self.provider.params {
            request = request.add_extra_param(name, value);
        }
        let mut verifier = Secret::new(String::new());
        if self.provider.pkce {
            let (challenge, made) = PkceCodeChallenge::new_random_sha256();
            verifier = Secret::new(made.secret().clone());
            request = request.set_pkce_challenge(challenge);
        }
        let (url, state) = request.url();
        Ok(Beginning { url: url.into(), state: Secret::new(state.into_secret()), verifier })
    }

    /// Trades the code of a login for tokens.
    pub async fn redeem(
        &self,
        code: &Secret,
        verifier: &Secret,
        redirect_uri: &str,
    ) -> Result<Tokens, Failure> {
        let client = self.client().map_err(Failure::Refused)?;
        let redirect = redirect(redirect_uri).map_err(Failure::Refused)?;
        let mut request = client
            .exchange_code(AuthorizationCode::new(code.expose().into()))
            .set_redirect_uri(Cow::Borrowed(&redirect));
        if !verifier.expose().is_empty() {
            request = request.set_pkce_verifier(PkceCodeVerifier::new(verifier.expose().into()));
        }
        let answer = request.request_async(&self.transport).await;
        self.judge(answer, &[code, verifier])
    }

    /// Trades a refresh token for an access token and, where the vendor rotates, the next refresh token.
    pub async fn refresh(&self, refresh_token: &Secret) -> Result<Tokens, Failure> {
        let client = self.client().map_err(Failure::Refused)?;
        let token = RefreshToken::new(refresh_token.expose().into());
        let answer = client.exchange_refresh_token(&token).request_async(&self.transport).await;
        self.judge(answer, &[refresh_token])
    }

    /// Revokes a refresh token. A vendor without such an endpoint, and a token that is over already, are no errors.
    pub async fn revoke(&self, refresh_token: &Secret) -> Result<()> {
        let Some(url) = &self.provider.revoke else { return Ok(()) };
        let secret = self.application.secret.as_ref().map(Secret::expose);
        let mut fields = vec![
            ("token", refresh_token.expose()),
            ("token_type_hint", "refresh_token"),
            ("client_id", &self.application.id),
        ];
        fields.extend(secret.map(|secret| ("client_secret", secret)));
        let status = self.transport.post_form(url, &fields).await.map_err(|lost| self.unavailable(&lost))?;
        match status {
            // 400 is how vendors say that there is no such token (any more).
            200..=299 | 400 => Ok(()),
            status => Err(Error::new(
                Kind::Unavailable,
                format!("{} answered {status} when asked to revoke the login", self.provider.label),
            )),
        }
    }

    fn client(&self) -> Result<Client> {
        let invalid = |error: url::ParseError| {
            Error::new(Kind::Invalid, format!("an address of {} is no URL: {error}", self.provider.label))
        };
        let client = oauth2::Client::new(ClientId::new(self.application.id.clone()))
            // In the body: that is what every vendor of the catalog takes.
            .set_auth_type(AuthType::RequestBody)
            .set_auth_uri(AuthUrl::new(self.provider.authorize.clone()).map_err(invalid)?)
            .set_token_uri(TokenUrl::new(self.provider.token.clone()).map_err(invalid)?);
        Ok(match &self.application.secret {
            Some(secret) => client.set_client_secret(ClientSecret::new(secret.expose().into())),
            None => client,
        })
    }

    fn judge(
        &self,
        answer: Result<Response, RequestTokenError<Lost, BasicErrorResponse>>,
        sent: &[&Secret],
    ) -> Result<Tokens, Failure> {
        let label = &self.provider.label;
        match answer {
            Ok(response) => answer::tokens(&response, &self.provider).map_err(Failure::Lost),
            Err(RequestTokenError::ServerResponse(refusal)) => Err(self.refused(&refusal, sent)),
            Err(RequestTokenError::Request(lost)) => match lost {
                Lost::Unreached(_) | Lost::Status(_) => Err(Failure::Refused(self.unavailable(&lost))),
                Lost::Incomplete(_) => Err(Failure::Lost(self.unavailable(&lost))),
            },
            // What was not understood may hold tokens, so none of it is told.
            Err(RequestTokenError::Parse(..) | RequestTokenError::Other(_)) => {
                Err(Failure::Lost(Error::new(
                    Kind::Unavailable,
                    format!("the login server of {label} gave an answer that is no token answer"),
                )))
            }
        }
    }

    fn refused(&self, refusal: &BasicErrorResponse, sent: &[&Secret]) -> Failure {
        let label = &self.provider.label;
        let code = refusal.error().as_ref().to_string();
        let said = refusal.error_description().map_or(code.clone(), |said| format!("{code}: {said}"));
        let said = self.without_secrets(&said, sent);
        let what = format!("{label} refused the login ({said})");
        match refusal.error() {
            BasicErrorResponseType::InvalidGrant => Failure::Over(
                Error::new(Kind::Unauthenticated, what).with_hint("log in again: CALL connect(...)"),
            ),
            BasicErrorResponseType::InvalidClient | BasicErrorResponseType::UnauthorizedClient => {
                Failure::Refused(Error::new(Kind::Unauthenticated, what).with_hint(
                    "the client id or the client secret of the app is wrong: an operator can correct them",
                ))
            }
            _ => Failure::Refused(Error::new(Kind::Unauthenticated, what)),
        }
    }

    /// What a server said, short and without what was sent to it.
    fn without_secrets(&self, said: &str, sent: &[&Secret]) -> String {
        let mut said: String = said.chars().filter(|c| !c.is_control()).take(300).collect();
        let own = self.application.secret.as_ref();
        for secret in sent.iter().copied().chain(own).map(Secret::expose).filter(|text| !text.is_empty()) {
            said = said.replace(secret, "***");
        }
        said
    }

    fn unavailable(&self, lost: &Lost) -> Error {
        Error::new(Kind::Unavailable, format!("the login server of {}: {lost}", self.provider.label))
            .with_hint("tried again by itself")
    }
}

fn redirect(uri: &str) -> Result<RedirectUrl> {
    RedirectUrl::new(uri.into()).map_err(|error| {
        Error::new(Kind::Invalid, format!("the public URL leads to no valid address: {error}"))
    })
}

/// `https`, or `http` on this machine: what crosses a network must be encrypted.
fn check_url(text: &str) -> Result<()> {
    let url = url::Url::parse(text)
        .map_err(|error| Error::new(Kind::Invalid, format!("`{text}` is no URL: {error}")))?;
    let is_local = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    match (url.scheme(), is_local) {
        ("https", _) | ("http", true) => Ok(()),
        _ => Err(Error::new(Kind::Invalid, format!("`{text}` cannot take part in a login"))
            .with_hint("accepted are https URLs, and http ones of this machine")),
    }
}

/// A copy of `text` that is wiped from memory.
fn wiped(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.to_string())
}
