//! OAuth: the web server flow with PKCE, refresh with or without rotation, client credentials, signed statements,
//! revocation, and who is logged in.

use std::collections::HashMap;

use serde_json::json;

use super::access::{Login, log_in};
use super::error::{data, oauth};
use super::{INSTANCE, Salesforce, jwt};
use crate::demo::consent::{self, Choice, Pkce, RegisteredApp, back, check_pkce, problem};
use crate::demo::http::{Answer, Form, Reply, Request};
use crate::demo::random;

/// A code must be redeemed within 15 minutes.
const CODE_MILLIS: i64 = 15 * 60_000;
const VENDOR: &str = "Salesforce";
const SCOPES: &[&str] =
    &["api", "refresh_token", "offline_access", "id", "openid", "profile", "email", "full", "web"];

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
    refresh_token: Option<String>,
    /// Refresh tokens that were rotated out: using one ends the grant.
    spent: Vec<String>,
}

#[derive(Debug, Clone)]
struct Session {
    login: Login,
    expires: i64,
    grant: Option<usize>,
}

/// All apps, codes, grants and sessions.
#[derive(Debug)]
pub(super) struct Grants {
    apps: Vec<RegisteredApp>,
    codes: HashMap<String, Code>,
    grants: Vec<Grant>,
    sessions: HashMap<String, Session>,
    /// Times at which a spent refresh token was used.
    pub(super) reused: u64,
}

impl Grants {
    pub(super) fn new(apps: Vec<RegisteredApp>) -> Self {
        Grants { apps, codes: HashMap::new(), grants: Vec::new(), sessions: HashMap::new(), reused: 0 }
    }

    pub(super) fn register(&mut self, app: RegisteredApp) {
        self.apps.retain(|known| known.client_id != app.client_id);
        self.apps.push(app);
    }

    /// The login of a session that is not over, which then lives until `until`.
    pub(super) fn touch(&mut self, token: &str, now: i64, until: i64) -> Option<Login> {
        let session = self.sessions.get_mut(token).filter(|session| session.expires > now)?;
        session.expires = session.expires.max(until);
        Some(session.login.clone())
    }

    /// A session without a grant, for tests of other things.
    pub(super) fn open(&mut self, org: usize, until: i64) -> String {
        let scopes = ["api", "refresh_token", "id", "openid"].map(String::from).to_vec();
        self.issue("00D", Login { org, scopes }, None, until)
    }

    /// Ends all sessions.
    pub(super) fn end_sessions(&mut self) {
        self.sessions.clear();
    }

    /// Ends every grant of an organisation and its sessions.
    pub(super) fn revoke_org(&mut self, org: usize) {
        self.sessions.retain(|_, session| session.login.org != org);
        for grant in self.grants.iter_mut().filter(|grant| grant.login.org == org) {
            grant.refresh_token = None;
        }
    }

    pub(super) fn access_tokens(&self) -> Vec<String> {
        self.sessions.keys().cloned().collect()
    }

    pub(super) fn refresh_tokens(&self) -> Vec<String> {
        self.grants.iter().filter_map(|grant| grant.refresh_token.clone()).collect()
    }

    fn app(&self, client_id: &str) -> Option<&RegisteredApp> {
        self.apps.iter().find(|app| app.client_id == client_id)
    }

    fn authenticate(&self, request: &Request, form: &Form) -> Result<String, Answer> {
        let basic = request.basic();
        let (client_id, secret) = match &basic {
            Some((user, password)) => (Some(user.as_str()), Some(password.as_str())),
            None => (form.get("client_id"), form.get("client_secret")),
        };
        let client_id =
            client_id.ok_or_else(|| oauth("invalid_request", "missing required parameter: client_id"))?;
        let app =
            self.app(client_id).ok_or_else(|| oauth("invalid_client_id", "client identifier invalid"))?;
        match secret {
            Some(secret) if secret == app.client_secret => Ok(client_id.into()),
            _ => Err(oauth("invalid_client", "invalid client credentials")),
        }
    }

    fn issue(&mut self, org: &str, login: Login, grant: Option<usize>, expires: i64) -> String {
        let token = random::secret(&format!("{org}!AQ"));
        self.sessions.insert(token.clone(), Session { login, expires, grant });
        token
    }

    fn end_grant(&mut self, number: usize) {
        self.grants[number].refresh_token = None;
        self.sessions.retain(|_, session| session.grant != Some(number));
    }
}

pub(super) fn authorize(vendor: &Salesforce, request: &Request) -> Reply {
    let mut grants = vendor.grants.lock();
    let client_id = request.param("client_id").unwrap_or_default();
    let Some(app) = grants.app(client_id) else {
        return Err(problem(VENDOR, "error=invalid_client_id&error_description=client identifier invalid"));
    };
    let redirect_uri = request.param("redirect_uri").unwrap_or_default();
    if !app.redirect_uris.iter().any(|registered| registered == redirect_uri) {
        return Err(problem(
            VENDOR,
            "error=redirect_uri_mismatch&error_description=redirect_uri must match configuration",
        ));
    }
    let state = request.param("state").unwrap_or_default();
    let failed = |error: &str, description: &str| {
        Ok(back(redirect_uri, &[("error", error), ("error_description", description), ("state", state)]))
    };
    if request.param("response_type") != Some("code") {
        return failed("unsupported_response_type", "response type not supported");
    }
    let scopes: Vec<String> = match request.param("scope") {
        Some(text) => text.split_whitespace().map(String::from).collect(),
        None => vec!["api".into(), "refresh_token".into(), "id".into()],
    };
    if let Some(unknown) = scopes.iter().find(|scope| !SCOPES.contains(&scope.as_str())) {
        return failed("invalid_scope", &format!("the requested scope is not allowed: {unknown}"));
    }
    let choices: Vec<_> =
        vendor.orgs.iter().map(|org| Choice { value: org.id.clone(), label: org.user.clone() }).collect();
    let Some(choice) = request.param("choice") else {
        return Ok(consent::page(request, VENDOR, &scopes, &choices));
    };
    if choice == "deny" {
        return failed("access_denied", "end-user denied authorization");
    }
    let Some(org) = vendor.orgs.iter().position(|org| org.id == choice) else {
        return Err(problem(VENDOR, "There is no such organisation."));
    };
    let code = random::secret("aPrx");
    let made = Code {
        client_id: client_id.into(),
        redirect_uri: redirect_uri.into(),
        challenge: request.param("code_challenge").map(String::from),
        login: Login { org, scopes },
        expires: vendor.clock.millis() + CODE_MILLIS,
    };
    grants.codes.insert(code.clone(), made);
    Ok(back(redirect_uri, &[("code", &code), ("state", state)]))
}

pub(super) fn token(vendor: &Salesforce, request: &Request) -> Reply {
    let form = request.form().ok_or_else(|| oauth("unsupported_grant_type", "grant type not supported"))?;
    let mut grants = vendor.grants.lock();
    match form.get("grant_type") {
        Some("authorization_code") => redeem(vendor, &mut grants, request, &form),
        Some("refresh_token") => refresh(vendor, &mut grants, request, &form),
        Some("client_credentials") => client_credentials(vendor, &mut grants, request, &form),
        Some("urn:ietf:params:oauth:grant-type:jwt-bearer") => {
            let login = jwt::login(vendor, &vendor.options.signers, &form)?;
            Ok(session(vendor, &mut grants, login, None, None))
        }
        _ => Err(oauth("unsupported_grant_type", "grant type not supported")),
    }
}

fn redeem(vendor: &Salesforce, grants: &mut Grants, request: &Request, form: &Form) -> Reply {
    let client_id = grants.authenticate(request, form)?;
    let given =
        form.get("code").ok_or_else(|| oauth("invalid_request", "missing required parameter: code"))?;
    let now = vendor.clock.millis();
    let code = grants.codes.remove(given).filter(|code| code.expires > now && code.client_id == client_id);
    let code = code.ok_or_else(|| oauth("invalid_grant", "expired authorization code"))?;
    if form.get("redirect_uri") != Some(&code.redirect_uri) {
        return Err(oauth("redirect_uri_mismatch", "redirect_uri must match configuration"));
    }
    match check_pkce(code.challenge.as_deref(), form.get("code_verifier")) {
        Pkce::Met => {}
        Pkce::Missing => return Err(oauth("invalid_grant", "code verifier is missing")),
        Pkce::Wrong => return Err(oauth("invalid_request", "invalid code verifier")),
    }
    let login = code.login;
    let wants_refresh = login.has("refresh_token") || login.has("offline_access");
    let refresh_token = wants_refresh.then(|| random::secret("5Aep861"));
    grants.grants.push(Grant {
        client_id,
        login: login.clone(),
        refresh_token: refresh_token.clone(),
        spent: Vec::new(),
    });
    let number = grants.grants.len() - 1;
    Ok(session(vendor, grants, login, Some(number), refresh_token))
}

fn refresh(vendor: &Salesforce, grants: &mut Grants, request: &Request, form: &Form) -> Reply {
    let client_id = grants.authenticate(request, form)?;
    let dead = || oauth("invalid_grant", "expired access/refresh token");
    let given = form
        .get("refresh_token")
        .ok_or_else(|| oauth("invalid_request", "missing required parameter: refresh_token"))?;
    let spent = grants.grants.iter().position(|grant| grant.spent.iter().any(|spent| spent == given));
    if let Some(number) = spent {
        // Somebody else may have it: the whole grant ends.
        grants.reused += 1;
        grants.end_grant(number);
        return Err(dead());
    }
    let is_it = |grant: &Grant| grant.refresh_token.as_deref() == Some(given) && grant.client_id == client_id;
    let number = grants.grants.iter().position(is_it).ok_or_else(dead)?;
    let login = grants.grants[number].login.clone();
    let rotated = vendor.options.rotates.then(|| random::secret("5Aep861"));
    if let Some(rotated) = &rotated {
        let grant = &mut grants.grants[number];
        grant.spent.push(given.into());
        grant.refresh_token = Some(rotated.clone());
    }
    Ok(session(vendor, grants, login, Some(number), rotated))
}

/// The app's own user; only at My Domain.
fn client_credentials(vendor: &Salesforce, grants: &mut Grants, request: &Request, form: &Form) -> Reply {
    if request.host != INSTANCE {
        return Err(oauth("invalid_grant", "request not supported on this domain"));
    }
    grants.authenticate(request, form)?;
    let login = Login { org: 0, scopes: ["api", "id", "openid"].map(String::from).to_vec() };
    Ok(session(vendor, grants, login, None, None))
}

/// The token answer. There is no `expires_in`, and a refresh token only where a new one was made.
fn session(
    vendor: &Salesforce,
    grants: &mut Grants,
    login: Login,
    grant: Option<usize>,
    refresh_token: Option<String>,
) -> Answer {
    let now = vendor.clock.millis();
    let life = i64::try_from(vendor.options.session.as_millis()).unwrap_or(i64::MAX / 4);
    let org = &vendor.orgs[login.org];
    let scope = login.scopes.join(" ");
    let access_token = grants.issue(&org.id, login, grant, now + life);
    let mut body = json!({
        "access_token": access_token, "signature": "c2lnbmF0dXJl", "scope": scope,
        "instance_url": vendor.base_url, "id": format!("{}/id/{}/{}", vendor.login_url, org.id, org.user_id),
        "token_type": "Bearer", "issued_at": now.to_string(),
    });
    if let Some(refresh_token) = refresh_token {
        body["refresh_token"] = refresh_token.into();
    }
    Answer::json(200, &body)
}

/// Errors of this endpoint are forms, not JSON.
pub(super) fn revoke(vendor: &Salesforce, request: &Request) -> Reply {
    let form = request.form();
    let token = form.as_ref().and_then(|form| form.get("token")).or_else(|| request.param("token"));
    let refused = |error: &str, description: &str| {
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.append_pair("error", error).append_pair("error_description", description);
        Answer::new(400, "application/x-www-form-urlencoded", body.finish())
    };
    let token = token.ok_or_else(|| refused("invalid_request", "missing required parameter: token"))?;
    let mut grants = vendor.grants.lock();
    if grants.sessions.remove(token).is_some() {
        return Ok(Answer::empty(200));
    }
    let number = grants.grants.iter().position(|grant| grant.refresh_token.as_deref() == Some(token));
    match number {
        // The sessions of a refresh token end with it.
        Some(number) => {
            grants.end_grant(number);
            Ok(Answer::empty(200))
        }
        None => Err(refused("invalid_token", "the token is not valid")),
    }
}

pub(super) fn userinfo(vendor: &Salesforce, request: &Request) -> Reply {
    let login = log_in(vendor, request).map_err(|_| data(403, "Bad_OAuth_Token", "Bad_OAuth_Token"))?;
    if !login.has("openid") {
        return Err(data(403, "Missing_OAuth_Token", "the scope openid is missing"));
    }
    let org = &vendor.orgs[login.org];
    Ok(Answer::json(
        200,
        &json!({
            "sub": format!("{}/id/{}/{}", vendor.login_url, org.id, org.user_id), "user_id": org.user_id,
            "organization_id": org.id, "preferred_username": org.user, "nickname": "admin", "name": "Ada Admin",
            "email": org.user, "zoneinfo": "Europe/Berlin", "active": true, "user_type": "STANDARD",
        }),
    ))
}

pub(super) fn identity(vendor: &Salesforce, request: &Request) -> Reply {
    let login = log_in(vendor, request).map_err(|_| Answer::new(403, "text/plain", "Bad_OAuth_Token"))?;
    let org = &vendor.orgs[login.org];
    let is_own = request.segments.get(1) == Some(&org.id) && request.segments.get(2) == Some(&org.user_id);
    if !is_own {
        return Err(Answer::new(404, "text/plain", "Bad_Id"));
    }
    Ok(Answer::json(
        200,
        &json!({
            "id": format!("{}/id/{}/{}", vendor.login_url, org.id, org.user_id), "user_id": org.user_id,
            "organization_id": org.id, "username": org.user, "display_name": "Ada Admin", "email": org.user,
            "active": true, "user_type": "STANDARD", "language": "en_US", "locale": "de_DE", "utcOffset": 3_600_000,
            "urls": { "rest": format!("{}/services/data/v{{version}}/", vendor.base_url) },
        }),
    ))
}
