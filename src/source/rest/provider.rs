//! How a person logs in at a connector of the catalog, for whoever keeps the grant.

use std::collections::HashMap;
use std::sync::Arc;

use super::guard::Guard;
use super::request::{Known, Scope};
use super::{Options, checked_settings};
use crate::catalog::manifest::{Auth, Manifest, Oauth2};
use crate::catalog::{Pointer, Template};
use crate::error::{Error, Kind, Result};
use crate::oauth::{Application, OauthClient, Provider};

/// The client of a connector's login server, for one connection's settings; `None` where nobody logs in by OAuth.
/// Its addresses are held to the same rules as those of the data.
pub(crate) fn client(
    manifest: &Manifest,
    settings: &serde_json::Value,
    options: &Options,
    application: Application,
) -> Result<Option<OauthClient>> {
    let grants = manifest.auth.iter().find_map(|auth| match auth {
        Auth::Oauth2(oauth) => Some(oauth),
        _ => None,
    });
    let Some(oauth) = grants else { return Ok(None) };
    let moved_to = options.bases.get(manifest.name.value.as_str());
    let guard = Guard::new(manifest, moved_to.map(String::as_str))?;
    let known = Known { settings: checked_settings(manifest, settings)?, secrets: HashMap::new() };
    let provider = provider(manifest, oauth, &guard, &Scope::new(Arc::new(known)))?;
    let client = OauthClient::new(provider, application)?;
    Ok(Some(match guard.resolver() {
        Some(resolver) => client.resolving_with(resolver)?,
        None => client,
    }))
}

fn provider(manifest: &Manifest, oauth: &Oauth2, guard: &Guard, scope: &Scope) -> Result<Provider> {
    let fill = |template: &Template| {
        template.plain(scope).ok_or_else(|| {
            Error::new(
                Kind::Invalid,
                format!("`{template}` of the manifest of `{}` has no value", manifest.name.value),
            )
        })
    };
    let address = |template: &Template| -> Result<String> { Ok(guard.admit(&fill(template)?)?.into()) };
    let mut params = Vec::new();
    for (name, template) in oauth.params.iter() {
        params.push((name.to_string(), fill(template)?));
    }
    let keep = |(name, pointer): (&crate::catalog::Name, &Pointer)| (name.to_string(), pointer.to_string());
    Ok(Provider {
        label: manifest.label.clone(),
        authorize: address(&oauth.authorize)?,
        token: address(&oauth.token)?,
        revoke: oauth.revoke.as_ref().map(address).transpose()?,
        scopes: oauth.scopes.clone(),
        optional_scopes: oauth.optional_scopes.clone(),
        params,
        pkce: oauth.pkce,
        scheme: oauth.scheme.clone(),
        keep: oauth.keep.iter().map(keep).collect(),
        lives: oauth.lives.map(|span| span.duration()),
    })
}
