//! OAuth v3: the consent page, tokens, refresh, introspection, revocation.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::access::Login;
use super::error::correlation;
use super::{HubSpot, PRIVATE_TOKEN};
use crate::demo::consent::{self, Choice, Pkce, RegisteredApp, back, check_pkce, problem};
use crate::demo::http::{Answer, Form, Reply, Request};
use crate::demo::random;

/// A code must be redeemed within a minute.
const CODE_MILLIS: i64 = 60_000;
const VENDOR: &str = "HubSpot";

/// Every scope a portal can grant.
const SCOPES: &[&str] = &[
    "oauth",
    "crm.objects.contacts.read",
    "crm.objects.companies.read",
    "crm.objects.deals.read",
    "crm.objects.owners.read",
    "crm.objects.line_items.read",
    "crm.objects.products.read",
    "crm.objects.custom.read",
    "crm.objects.contacts.sensitive.read.v2",
    "crm.schemas.contacts.read",
    "crm.schemas.companies.read",
    "crm.schemas.deals.read",
    "crm.schemas.custom.read",
    "crm.objects.quotes.read",
    "crm.objects.leads.read",
    "crm.objects.orders.read",
    "crm.objects.invoices.read",
    "crm.objects.goals.read",
    "crm.lists.read",
    "sales-email-read",
    "tickets",
    "e-commerce",
];

/// What a token opens.
#[derive(Debug, Clone)]
pub(super) struct Access {
    pub(super) login: Login,
    /// Milliseconds; tokens of private apps do not expire.
    pub(super) expires: Option<i64>,
    grant: Option<usize>,
}

#[derive(Debug)]
struct Code {
    client_id: String,
    redirect_uri: String,
    challenge: Option<String>,
    login: Login,
    expires: i64,
}

#[derive(Debug)]
struct Grant {
    client_id: String,
    login: Login,
    /// `None` once revoked.
    refresh_token: Option<String>,
}

/// All apps, codes, grants and tokens.
#[derive(Debug)]
pub(super) struct Grants {
    apps: Vec<RegisteredApp>,
    codes: HashMap<String, Code>,
    grants: Vec<Grant>,
    access: HashMap<String, Access>,
    /// Scopes that no portal grants.
    pub(super) withheld: Vec<String>,
}

impl Grants {
    pub(super) fn new(apps: Vec<RegisteredApp>) -> Self {
        let mut grants = Grants {
            apps,
            codes: HashMap::new(),
            grants: Vec::new(),
            access: HashMap::new(),
            withheld: Vec::new(),
        };
        let scopes: Vec<_> = SCOPES.iter().filter(|scope| !scope.contains("sensitive")).copied().collect();
        grants.add_private(PRIVATE_TOKEN.into(), 0, &scopes);
        grants
    }

    pub(super) fn register(&mut self, app: RegisteredApp) {
        self.apps.retain(|known| known.client_id != app.client_id);
        self.apps.push(app);
    }

    pub(super) fn add_private(&mut self, token: String, portal: usize, scopes: &[&str]) {
        let scopes = scopes.iter().map(|scope| scope.to_string()).collect();
        let login = Login { portal, scopes, is_oauth: false };
        self.access.insert(token, Access { login, expires: None, grant: None });
    }

    pub(super) fn look_up(&self, token: &str) -> Option<&Access> {
        self.access.get(token)
    }

    /// Ends what a token opens; whether it was known.
    pub(super) fn forget(&mut self, token: &str) -> bool {
        self.access.remove(token).is_some()
    }

    /// Ends every grant of a portal and its tokens, as uninstalling the app does.
    pub(super) fn uninstall(&mut self, portal: usize) {
        self.access.retain(|_, access| access.login.portal != portal || access.grant.is_none());
        for grant in self.grants.iter_mut().filter(|grant| grant.login.portal == portal) {
            grant.refresh_token = None;
        }
    }

    /// Lets every access token that came by OAuth expire.
    pub(super) fn expire(&mut self, now: i64) {
        for access in self.access.values_mut().filter(|access| access.grant.is_some()) {
            access.expires = Some(now - 1_000);
        }
    }

    /// Access tokens that were ever given, those of private apps included.
    pub(super) fn access_tokens(&self) -> Vec<String> {
        self.access.keys().cloned().collect()
    }

    /// Refresh tokens that are valid now.
    pub(super) fn refresh_tokens(&self) -> Vec<String> {
        self.grants.iter().filter_map(|grant| grant.refresh_token.clone()).collect()
    }

    fn app(&self, client_id: &str) -> Option<&RegisteredApp> {
        self.apps.iter().find(|app| app.client_id == client_id)
    }

    /// The app that a form proves to be.
    fn authenticate(&self, form: &Form) -> Result<String, Answer> {
        let client_id =
            form.get("client_id").ok_or_else(|| refused("invalid_request", "missing client_id"))?;
        let secret =
            form.get("client_secret").ok_or_else(|| refused("invalid_request", "missing client_secret"))?;
        match self.app(client_id) {
            Some(app) if app.client_secret == secret => Ok(client_id.into()),
            _ => Err(refused("invalid_client", "client_id and client_secret do not match a known app")),
        }
    }

    fn issue(&mut self, grant: usize, login: &Login, expires: i64) -> String {
        // Longer than 300 characters, as HubSpot announces they may be.
        let token = format!("{}{}", random::secret("CKDemo"), "A".repeat(290));
        let access = Access { login: login.clone(), expires: Some(expires), grant: Some(grant) };
        self.access.insert(token.clone(), access);
        token
    }
}

pub(super) fn authorize(vendor: &HubSpot, request: &Request) -> Reply {
    let mut grants = vendor.grants.lock();
    let client_id = request.param("client_id").unwrap_or_default();
    let Some(app) = grants.app(client_id) else {
        return Err(problem(VENDOR, "Authorization failed because the client_id is not known."));
    };
    let redirect_uri = request.param("redirect_uri").unwrap_or_default();
    if !app.redirect_uris.iter().any(|registered| registered == redirect_uri) {
        return Err(problem(
            VENDOR,
            "Authorization failed because the redirect URL is not registered with the app.",
        ));
    }
    let split = |name: &str| -> Vec<String> {
        request.param(name).unwrap_or_default().split_whitespace().map(String::from).collect()
    };
    let (scopes, optional) = (split("scope"), split("optional_scope"));
    if scopes.is_empty() {
        return Err(problem(VENDOR, "Authorization failed because no scope was given."));
    }
    if let Some(unknown) = scopes.iter().chain(&optional).find(|scope| !SCOPES.contains(&scope.as_str())) {
        return Err(problem(
            VENDOR,
            &format!("Authorization failed because the scope {unknown} does not exist."),
        ));
    }
    let challenge = request.param("code_challenge").map(String::from);
    if challenge.is_some() && request.param("code_challenge_method") != Some("S256") {
        return Err(problem(VENDOR, "Authorization failed because code_challenge_method must be S256."));
    }
    let state = request.param("state").unwrap_or_default();
    let choices: Vec<_> = vendor
        .portals
        .iter()
        .map(|portal| Choice { value: portal.id.to_string(), label: portal.domain.clone() })
        .collect();
    let Some(choice) = request.param("choice") else {
        let all: Vec<_> = scopes.iter().chain(&optional).cloned().collect();
        return Ok(consent::page(request, VENDOR, &all, &choices));
    };
    if choice == "deny" {
        let parameters =
            [("error", "access_denied"), ("error_description", "the user refused"), ("state", state)];
        return Ok(back(redirect_uri, &parameters));
    }
    let Some(portal) = vendor.portals.iter().position(|portal| portal.id.to_string() == choice) else {
        return Err(problem(VENDOR, "There is no such account."));
    };
    // The install fails unless every scope of `scope` can be granted; those of `optional_scope` are left out.
    if let Some(withheld) = scopes.iter().find(|scope| grants.withheld.contains(scope)) {
        return Err(problem(
            VENDOR,
            &format!("Authorization failed because this account cannot grant {withheld}."),
        ));
    }
    let granted = scopes.iter().chain(optional.iter().filter(|scope| !grants.withheld.contains(scope)));
    let login = Login { portal, scopes: granted.cloned().collect(), is_oauth: true };
    let code = random::secret("");
    let expires = vendor.clock.millis() + CODE_MILLIS;
    let (client_id, redirect) = (client_id.to_string(), redirect_uri.to_string());
    grants.codes.insert(code.clone(), Code { client_id, redirect_uri: redirect, challenge, login, expires });
    Ok(back(redirect_uri, &[("code", &code), ("state", state)]))
}

pub(super) fn token(vendor: &HubSpot, request: &Request) -> Reply {
    // Parameters count in the body only: version 1 took them from the query too.
    let form = request.form().ok_or_else(|| Answer::empty(415))?;
    let mut grants = vendor.grants.lock();
    let client_id = grants.authenticate(&form)?;
    let now = vendor.clock.millis();
    match form.get("grant_type") {
        Some("authorization_code") => redeem(vendor, &mut grants, &client_id, &form, now),
        Some("refresh_token") => refresh(vendor, &mut grants, &client_id, &form, now),
        Some(other) => Err(refused("unsupported_grant_type", &format!("unknown grant_type {other}"))),
        None => Err(refused("invalid_request", "missing grant_type")),
    }
}

fn redeem(vendor: &HubSpot, grants: &mut Grants, client_id: &str, form: &Form, now: i64) -> Reply {
    let code = form.get("code").ok_or_else(|| refused("invalid_request", "missing code"))?;
    // A code is gone after the first try, whether that succeeds or not.
    let Some(code) = grants.codes.remove(code).filter(|code| code.expires > now) else {
        return Err(old_style("BAD_AUTH_CODE", "missing or unknown auth code"));
    };
    if code.client_id != client_id {
        return Err(old_style("BAD_AUTH_CODE", "the code belongs to another app"));
    }
    if form.get("redirect_uri") != Some(&code.redirect_uri) {
        return Err(old_style("MISMATCH_REDIRECT_URI_AUTH_CODE", "missing or mismatched redirect URI"));
    }
    match check_pkce(code.challenge.as_deref(), form.get("code_verifier")) {
        Pkce::Met => {}
        Pkce::Missing => return Err(refused("invalid_request", "missing code_verifier")),
        Pkce::Wrong => return Err(refused("invalid_grant", "code_verifier does not match")),
    }
    let refresh_token = random::secret("eu1-");
    let (client_id, login) = (code.client_id, code.login);
    grants.grants.push(Grant { client_id, login: login.clone(), refresh_token: Some(refresh_token.clone()) });
    let grant = grants.grants.len() - 1;
    Ok(tokens(vendor, grants, grant, &login, &refresh_token, now))
}

fn refresh(vendor: &HubSpot, grants: &mut Grants, client_id: &str, form: &Form, now: i64) -> Reply {
    let given =
        form.get("refresh_token").ok_or_else(|| refused("invalid_request", "missing refresh_token"))?;
    let found = grants.grants.iter().position(|grant| grant.refresh_token.as_deref() == Some(given));
    let Some(grant) = found.filter(|grant| grants.grants[*grant].client_id == client_id) else {
        return Err(old_style("BAD_REFRESH_TOKEN", "missing or invalid refresh token"));
    };
    let login = grants.grants[grant].login.clone();
    let refresh_token = if vendor.options.rotates { random::secret("eu1-") } else { given.to_string() };
    grants.grants[grant].refresh_token = Some(refresh_token.clone());
    Ok(tokens(vendor, grants, grant, &login, &refresh_token, now))
}

fn tokens(
    vendor: &HubSpot,
    grants: &mut Grants,
    grant: usize,
    login: &Login,
    refresh_token: &str,
    now: i64,
) -> Answer {
    let life = vendor.options.token_life;
    let expires = now + i64::try_from(life.as_millis()).unwrap_or(i64::MAX / 4);
    let access_token = grants.issue(grant, login, expires);
    let portal = &vendor.portals[login.portal];
    Answer::json(
        200,
        &json!({
            "access_token": access_token, "refresh_token": refresh_token, "expires_in": life.as_secs(),
            "token_type": "bearer", "token_use": "access_token", "hub_id": portal.id, "user_id": portal.user_id,
            "scopes": login.scopes,
        }),
    )
}

pub(super) fn introspect(vendor: &HubSpot, request: &Request) -> Reply {
    let form = request.form().ok_or_else(|| Answer::empty(415))?;
    let grants = vendor.grants.lock();
    grants.authenticate(&form)?;
    let token = form.get("token").ok_or_else(|| refused("invalid_request", "missing token"))?;
    let now = vendor.clock.millis();
    let by_refresh = grants.grants.iter().find(|grant| grant.refresh_token.as_deref() == Some(token));
    let (login, left, usage) = match (grants.look_up(token), by_refresh) {
        (Some(access), _) if access.expires.is_some_and(|at| at > now) => {
            let left = (access.expires.unwrap_or(now) - now) / 1_000;
            (&access.login, Value::from(left), "access_token")
        }
        (_, Some(grant)) => (&grant.login, Value::Null, "refresh_token"),
        _ => return Ok(Answer::json(200, &json!({ "active": false }))),
    };
    let portal = &vendor.portals[login.portal];
    Ok(Answer::json(
        200,
        &json!({
            "active": true, "hub_id": portal.id, "hub_domain": portal.domain, "user": portal.user,
            "user_id": portal.user_id, "app_id": 1_234_567, "scopes": login.scopes, "expires_in": left,
            "token_use": usage, "token_type": "bearer", "signed_access_token": {},
        }),
    ))
}

pub(super) fn revoke(vendor: &HubSpot, request: &Request) -> Reply {
    let form = request.form().ok_or_else(|| Answer::empty(415))?;
    let mut grants = vendor.grants.lock();
    grants.authenticate(&form)?;
    let token = form.get("token").ok_or_else(|| refused("invalid_request", "missing token"))?.to_string();
    // Only the refresh token dies: access tokens that were issued live on until they expire.
    for grant in grants.grants.iter_mut().filter(|grant| grant.refresh_token.as_ref() == Some(&token)) {
        grant.refresh_token = None;
    }
    Ok(Answer::empty(204))
}

/// A refusal of the token endpoint.
fn refused(error: &str, description: &str) -> Answer {
    let body = json!({ "error": error, "error_description": description, "correlationId": correlation() });
    Answer::json(if error == "invalid_client" { 401 } else { 400 }, &body)
}

/// A refusal with the names that HubSpot kept from version 1 beside those of the standard.
fn old_style(status: &str, message: &str) -> Answer {
    Answer::json(
        400,
        &json!({
            "status": status, "message": message, "error": "invalid_grant", "error_description": message,
            "correlationId": correlation(),
        }),
    )
}
