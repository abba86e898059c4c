//! Every kind of source system, and opening one.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::marked::Marked;
use super::rest::limit::Limits;
use super::rest::token::Tokens;
use super::rest::{Options, Patience, RestSource, provider};
use super::{Source, demo, postgres};
use crate::catalog::{Catalog, Manifest};
use crate::error::{Error, Kind, Result, did_you_mean};
use crate::oauth::{Application, OauthClient};

/// A kind of source system, for people.
#[derive(Debug, Clone)]
pub struct ConnectorInfo {
    /// The name that connections are made with.
    pub name: Cow<'static, str>,
    /// The product's own name.
    pub label: Cow<'static, str>,
    /// What a connection must or may be given.
    pub settings: Vec<SettingInfo>,
    /// What a connection may be given and nobody may see. Where there are several ways to log in, not all are needed.
    pub secrets: Vec<Cow<'static, str>>,
    /// The ways to log in, the one that people should be offered first at the front; none where no login is needed.
    pub logins: Vec<LoginInfo>,
    /// Where the vendor documents the API.
    pub docs: Option<String>,
}

/// A way to log in.
#[derive(Debug, Clone)]
pub struct LoginInfo {
    /// [`LoginInfo::OAUTH`] where a person logs in at the vendor, else what is asked for: `password`, `token`, `key` ...
    pub kind: &'static str,
    /// Names of the secrets with what people call them.
    pub asks: Vec<(String, String)>,
    /// Scopes that a registered app must have.
    pub scopes: Vec<String>,
    /// Scopes that it may have.
    pub optional_scopes: Vec<String>,
}

impl LoginInfo {
    /// A person logs in at the vendor.
    pub const OAUTH: &str = "oauth2";

    /// A way that asks for secrets only.
    pub fn asking(kind: &'static str, asks: &[(&str, &str)]) -> Self {
        let asks = asks.iter().map(|(name, label)| (name.to_string(), label.to_string())).collect();
        LoginInfo { kind, asks, scopes: Vec::new(), optional_scopes: Vec::new() }
    }
}

/// A setting of a connector.
#[derive(Debug, Clone)]
pub struct SettingInfo {
    /// Its name within the settings object.
    pub name: Cow<'static, str>,
    /// Whether there is no connection without it.
    pub is_required: bool,
    /// What it is for, with its default.
    pub doc: Cow<'static, str>,
}

impl SettingInfo {
    /// A setting without a default.
    pub const fn required(name: &'static str, doc: &'static str) -> Self {
        SettingInfo { name: Cow::Borrowed(name), is_required: true, doc: Cow::Borrowed(doc) }
    }

    /// A setting that may be left out.
    pub const fn optional(name: &'static str, doc: &'static str) -> Self {
        SettingInfo { name: Cow::Borrowed(name), is_required: false, doc: Cow::Borrowed(doc) }
    }
}

/// Every connector of this server: those in code, and those of the catalog.
pub struct Connectors {
    catalog: Catalog,
    options: Options,
    infos: Vec<ConnectorInfo>,
    /// Sources of one connection share its limits, however many syncs open one.
    limits: Mutex<HashMap<String, Weak<Limits>>>,
}

impl Connectors {
    /// The connectors in code and those of `catalog`, reached as `options` say.
    ///
    /// # Errors
    /// `Invalid` when the catalog has the name of one in code, or `options` move one that there is not.
    pub fn new(catalog: Catalog, options: Options) -> Result<Arc<Self>> {
        let mut infos = vec![postgres::connector(), demo::connector()];
        for manifest in catalog.iter() {
            let name = manifest.name.value.as_str();
            if infos.iter().any(|info| info.name == name) {
                return Err(Error::new(
                    Kind::Invalid,
                    format!("`{name}` of the catalog is a connector in code"),
                ));
            }
            infos.push(info(manifest));
        }
        for name in options.bases.keys() {
            catalog.get(name)?;
        }
        Ok(Arc::new(Connectors { catalog, options, infos, limits: Mutex::default() }))
    }

    /// All of them.
    pub fn list(&self) -> &[ConnectorInfo] {
        &self.infos
    }

    /// What is known of a connector, or an error that names the nearest one.
    pub fn info(&self, name: &str) -> Result<&ConnectorInfo> {
        if let Some(info) = self.infos.iter().find(|info| info.name == name) {
            return Ok(info);
        }
        let shown: String = name.chars().take(80).collect();
        let names = || self.infos.iter().map(|info| &*info.name);
        let suggestion = did_you_mean(&shown, names());
        Err(Error::new(Kind::NotFound, format!("unknown connector `{shown}`{suggestion}"))
            .with_hint(format!("connectors: {}", names().collect::<Vec<_>>().join(", "))))
    }

    /// The manifest of a connector of the catalog; `None` for one in code.
    pub fn manifest(&self, connector: &str) -> Option<&Arc<Manifest>> {
        self.catalog.get(connector).ok()
    }

    /// How the server reaches the connectors of its catalog.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The source that a connection stands for. Checks the settings; reaches out to nobody yet. `tokens` are those of
    /// a grant that is kept elsewhere; without them the secrets are all there is to log in with.
    pub fn open(
        &self,
        connector: &str,
        settings: &serde_json::Value,
        secrets: &HashMap<String, String>,
        tokens: Option<Arc<dyn Tokens>>,
    ) -> Result<Arc<dyn Source>> {
        self.open_with(connector, settings, secrets, tokens, &self.options)
    }

    /// [`Connectors::open`] for a look: what it asks is tried again for some seconds only. It counts against the same
    /// limits.
    pub fn open_to_look(
        &self,
        connector: &str,
        settings: &serde_json::Value,
        secrets: &HashMap<String, String>,
        tokens: Option<Arc<dyn Tokens>>,
    ) -> Result<Arc<dyn Source>> {
        let options = Options { patience: Patience::short(), ..self.options.clone() };
        self.open_with(connector, settings, secrets, tokens, &options)
    }

    fn open_with(
        &self,
        connector: &str,
        settings: &serde_json::Value,
        secrets: &HashMap<String, String>,
        tokens: Option<Arc<dyn Tokens>>,
        options: &Options,
    ) -> Result<Arc<dyn Source>> {
        let info = self.info(connector)?;
        if let Some(unknown) = secrets.keys().find(|name| !info.secrets.iter().any(|known| known == *name)) {
            return Err(Error::new(
                Kind::Invalid,
                format!("connector `{connector}` has no secret `{unknown}`"),
            )
            .with_hint(format!("accepted are {}", info.secrets.join(", "))));
        }
        let source: Arc<dyn Source> = match self.manifest(connector) {
            Some(manifest) => {
                let limits = self.limits(manifest, settings);
                Arc::new(RestSource::new(manifest.clone(), settings, secrets, tokens, options, limits)?)
            }
            None if info.name == "demo" => Arc::new(demo::DemoSource::new(settings)?),
            None => Arc::new(postgres::PostgresSource::new(settings, secrets.get("password").cloned())?),
        };
        Ok(Arc::new(Marked(source)))
    }

    /// Whether people log in at the vendor.
    pub fn logs_in_by_oauth(&self, connector: &str) -> bool {
        use crate::catalog::manifest::Auth;
        let manifest = self.manifest(connector);
        manifest.is_some_and(|manifest| manifest.auth.iter().any(|auth| matches!(auth, Auth::Oauth2(_))))
    }

    /// The client of a connector's login server; `None` where nobody logs in by OAuth.
    pub fn oauth_client(
        &self,
        connector: &str,
        settings: &serde_json::Value,
        application: Application,
    ) -> Result<Option<OauthClient>> {
        match self.manifest(connector) {
            Some(manifest) => provider::client(manifest, settings, &self.options, application),
            None => Ok(None),
        }
    }

    fn limits(&self, manifest: &Manifest, settings: &serde_json::Value) -> Arc<Limits> {
        let mut known = self.limits.lock();
        known.retain(|_, limits| limits.strong_count() > 0);
        let key = format!("{} {settings}", manifest.name.value);
        if let Some(limits) = known.get(&key).and_then(Weak::upgrade) {
            return limits;
        }
        let limits = Arc::new(Limits::new(&manifest.http));
        known.insert(key, Arc::downgrade(&limits));
        limits
    }
}

fn info(manifest: &Manifest) -> ConnectorInfo {
    let setting = |(name, setting): (&str, &crate::catalog::manifest::Setting)| SettingInfo {
        name: name.to_string().into(),
        is_required: setting.default.is_none(),
        doc: match &setting.default {
            Some(default) => format!("{}; {default} by default", setting.label).into(),
            None => setting.label.clone().into(),
        },
    };
    let mut secrets: Vec<Cow<'static, str>> = Vec::new();
    // What needs no registered application comes first: it is what people are asked for first.
    let (registered, simple): (Vec<_>, Vec<_>) =
        manifest.auth.iter().partition(|auth| matches!(auth, crate::catalog::manifest::Auth::Oauth2(_)));
    for (name, _) in simple.into_iter().chain(registered).flat_map(|auth| auth.asks()) {
        if !secrets.iter().any(|known| known == name) {
            secrets.push(name.to_string().into());
        }
    }
    ConnectorInfo {
        name: manifest.name.value.to_string().into(),
        label: manifest.label.clone().into(),
        settings: manifest.settings.iter().map(setting).collect(),
        secrets,
        logins: manifest.auth.iter().map(login).collect(),
        docs: Some(manifest.docs.clone()),
    }
}

fn login(auth: &crate::catalog::manifest::Auth) -> LoginInfo {
    use crate::catalog::manifest::Auth;
    let (kind, scopes) = match auth {
        Auth::Oauth2(oauth) => (LoginInfo::OAUTH, Some(oauth)),
        Auth::ClientCredentials(_) => ("client credentials", None),
        Auth::JwtBearer(_) => ("signed assertion", None),
        Auth::Exchange(_) => ("exchange", None),
        Auth::Basic(_) => ("user and password", None),
        Auth::Bearer(_) => ("token", None),
        Auth::Header(_) => ("key", None),
    };
    LoginInfo {
        scopes: scopes.map(|oauth| oauth.scopes.clone()).unwrap_or_default(),
        optional_scopes: scopes.map(|oauth| oauth.optional_scopes.clone()).unwrap_or_default(),
        ..LoginInfo::asking(kind, &auth.asks())
    }
}
