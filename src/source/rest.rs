//! Source systems behind an HTTP API, as their manifest declares them.
//!
//! `discover` lists objects and fields, `plan` chooses the requests of a read, `read` carries them out: `client` sends
//! each within limits (`limit`, `guard`, `inflate`) and does what its answer asks for (`outcome`), `part` decodes the
//! answer into columns (`shape`, `cell`), `page` leads on, `out` hands pages over.

mod auth;
mod batches;
mod bulk;
mod cell;
mod client;
pub(crate) mod clock;
mod deleted;
mod discover;
mod expect;
mod explain;
mod guard;
mod inflate;
pub(crate) mod limit;
mod mark;
mod out;
mod outcome;
mod page;
mod part;
mod plan;
pub(crate) mod provider;
mod read;
mod request;
mod shape;
mod stream;
pub mod token;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use parking_lot::Mutex;
use zeroize::Zeroizing;

use self::client::{Client, Target, Transport};
use self::discover::Object;
use self::guard::Guard;
use self::limit::Limits;
use self::plan::Plan;
use self::read::Reading;
use self::request::{Known, Scope};
use self::token::Tokens;
use crate::catalog::{Manifest, as_text};
use crate::error::{Error, Kind, Result, did_you_mean};
use crate::model::Micros;
use crate::source::{Capabilities, Expected, FieldInfo, Identity, ObjectInfo, Page, Quota, Read, Source};

pub use explain::{Explained, explain};

/// How the server reaches the connectors of its catalog.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Scheme, host and port that stand for all hosts of a connector: a simulated vendor, or a gateway of the
    /// operator. Only there a private address may be reached.
    pub bases: BTreeMap<String, String>,
    /// How long is waited for what.
    pub patience: Patience,
}

/// How long is waited for what.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For the first byte of an answer.
    pub first_byte: Duration,
    /// Between two bytes of an answer.
    pub between_bytes: Duration,
    /// For a whole answer.
    pub whole: Duration,
    /// Of which pauses between attempts are multiples.
    pub unit: Duration,
}

impl Patience {
    /// For a look whose answer somebody waits for: trouble that lasts longer than some seconds is told.
    pub fn short() -> Self {
        Patience {
            first_byte: Duration::from_secs(20),
            between_bytes: Duration::from_secs(10),
            whole: Duration::from_secs(30),
            unit: Duration::from_millis(20),
            ..Patience::default()
        }
    }
}

impl Default for Patience {
    fn default() -> Self {
        Patience {
            connect: Duration::from_secs(10),
            first_byte: Duration::from_secs(60),
            between_bytes: Duration::from_secs(30),
            whole: Duration::from_secs(300),
            unit: Duration::from_secs(1),
        }
    }
}

/// One account of a source system behind an HTTP API.
pub struct RestSource {
    client: Arc<Client>,
    known: Arc<Known>,
    /// Objects as they were described last.
    objects: Mutex<HashMap<String, Arc<Object>>>,
}

impl std::fmt::Debug for RestSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RestSource")
            .field("connector", &self.client.manifest.name.value)
            .finish_non_exhaustive()
    }
}

impl RestSource {
    /// Checks the settings; reaches out to nobody yet. Without `tokens` the secrets are all there is to log in with.
    pub(crate) fn new(
        manifest: Arc<Manifest>,
        settings: &serde_json::Value,
        secrets: &HashMap<String, String>,
        tokens: Option<Arc<dyn Tokens>>,
        options: &Options,
        limits: Arc<Limits>,
    ) -> Result<Self> {
        let settings = checked_settings(&manifest, settings)?;
        let secrets = secrets.iter().map(|(name, secret)| (name.clone(), Zeroizing::new(secret.clone())));
        let known = Arc::new(Known { settings, secrets: secrets.collect() });
        let moved_to = options.bases.get(manifest.name.value.as_str());
        let guard = Guard::new(&manifest, moved_to.map(String::as_str))?;
        let transport = Transport::new(&manifest, &guard, options.patience)?;
        let tokens = match tokens {
            Some(tokens) => Ok(tokens),
            None => auth::tokens(&manifest, &known, &guard, &transport),
        };
        let client = Client::new(manifest, guard, transport, limits, tokens, options.patience);
        Ok(RestSource { client: Arc::new(client), known, objects: Mutex::default() })
    }

    async fn describe(&self, object: &str) -> Result<Arc<Object>> {
        let described = Arc::new(discover::describe(&self.client, &self.known, object).await?);
        self.objects.lock().insert(object.to_string(), described.clone());
        Ok(described)
    }

    /// The object as it was described last; described now if it never was.
    async fn object(&self, object: &str) -> Result<Arc<Object>> {
        let known = self.objects.lock().get(object).cloned();
        match known {
            Some(known) => Ok(known),
            None => self.describe(object).await,
        }
    }
}

/// The settings with their defaults.
fn checked_settings(manifest: &Manifest, settings: &serde_json::Value) -> Result<HashMap<String, String>> {
    let connector = &manifest.name.value;
    let names = || manifest.settings.iter().map(|(name, _)| name);
    let mut known = HashMap::new();
    for (name, value) in settings.as_object().into_iter().flatten() {
        let Some(setting) = manifest.settings.get(name) else {
            let shown: String = name.chars().take(80).collect();
            let suggestion = did_you_mean(&shown, names());
            let what = format!("connector `{connector}` has no setting `{shown}`{suggestion}");
            let all: Vec<_> = names().collect();
            let hint = if all.is_empty() {
                "it has none".into()
            } else {
                format!("accepted are {}", all.join(", "))
            };
            return Err(Error::new(Kind::Invalid, what).with_hint(hint));
        };
        let text = as_text(value);
        let fits =
            setting.ends_with.is_empty() || setting.ends_with.iter().any(|end| text.ends_with(end.as_str()));
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._:@".contains(c);
        if !fits || text.is_empty() || text.len() > 255 || !text.chars().all(plain) {
            let shown: String = text.chars().take(80).collect();
            let what = format!("setting `{name}` of connector `{connector}` cannot be `{shown}`");
            let example = setting.example.as_ref().or(setting.default.as_ref());
            let hint = match example {
                Some(example) => format!("write it like {example}"),
                None => "accepted are letters, digits and -._:@".into(),
            };
            return Err(Error::new(Kind::Invalid, what).with_hint(hint));
        }
        known.insert(name.clone(), text);
    }
    for (name, setting) in manifest.settings.iter() {
        match &setting.default {
            _ if known.contains_key(name) => {}
            Some(default) => {
                known.insert(name.to_string(), default.clone());
            }
            None => {
                return Err(Error::new(
                    Kind::Invalid,
                    format!("connector `{connector}` needs the setting `{name}`"),
                )
                .with_hint(setting.label.clone()));
            }
        }
    }
    Ok(known)
}

#[async_trait::async_trait]
impl Source for RestSource {
    async fn whoami(&self) -> Result<Identity> {
        let manifest = &self.client.manifest;
        let whoami = &manifest.whoami;
        let scope = Scope::new(self.known.clone());
        let answer = self.client.json(Target::Request(&whoami.request), &scope).await?;
        let text = |pointer: &Option<crate::catalog::Pointer>| {
            pointer.as_ref().and_then(|at| at.find(&answer)).filter(|value| !value.is_null()).map(as_text)
        };
        let account = text(&whoami.account).unwrap_or_default();
        let user = text(&whoami.user).unwrap_or_else(|| format!("account {account}"));
        let server = match self.client.quota() {
            Some((used, allowed)) => {
                format!("{}, {used} of {allowed} API calls of the day used", manifest.label)
            }
            None => manifest.label.clone(),
        };
        Ok(Identity { account: format!("{}/{account}", manifest.name.value), user, server })
    }

    async fn objects(&self) -> Result<Vec<ObjectInfo>> {
        discover::objects(&self.client, &self.known).await
    }

    async fn fields(&self, object: &str) -> Result<Vec<FieldInfo>> {
        let described = self.describe(object).await?;
        Ok(described.fields.iter().map(|field| field.info.clone()).collect())
    }

    async fn can(&self, object: &str) -> Result<Capabilities> {
        let described = self.object(object).await?;
        let reads = self.client.manifest.reads_of(object);
        let by_time = reads.query.as_ref().is_some_and(|query| query.since.is_some());
        let since = described.modified.is_some() && by_time || reads.changes.is_some();
        Ok(Capabilities {
            since,
            keys: reads.list.is_some(),
            deleted: reads.deleted.is_some(),
            get: reads.get.is_some() && described.key.len() == 1,
            // Which records a login sees is up to the vendor's rights, and none tells what it hides.
            hides: true,
            filters_kept: true,
        })
    }

    fn read(&self, read: Read) -> BoxStream<'static, Result<Page>> {
        let known_object = self.objects.lock().get(&read.object).cloned();
        let (client, known) = (self.client.clone(), self.known.clone());
        stream::Lazy::new(move |pages| async move {
            let object = match known_object {
                Some(object) => object,
                None => Arc::new(discover::describe(&client, &known, &read.object).await?),
            };
            Reading { client, known, object, read, spent: AtomicU64::default() }.run(&pages).await
        })
        .boxed()
    }

    fn suggest(&self, info: &mut ObjectInfo, fields: &[FieldInfo]) {
        let described = self.objects.lock().get(&info.api).cloned();
        let Some(object) = described else { return };
        let has = |api: &String| fields.iter().any(|field| field.api == *api);
        info.suggested_key.clone_from(&object.key);
        info.suggested_cursor.clone_from(&object.modified);
        let named = object.fields.iter().find(|field| field.is_name).map(|field| field.info.api.clone());
        info.suggested_name = info.suggested_name.take().filter(|api| has(api)).or(named);
    }

    fn quota(&self) -> Option<Quota> {
        let (used, allowed) = self.client.quota()?;
        let usable = self.client.manifest.http.quota.as_ref()?.share_of_day(allowed);
        Some(Quota { used, allowed, usable })
    }

    fn clock(&self) -> Option<Micros> {
        self.client.clock()
    }

    fn waits_until(&self) -> Option<Micros> {
        self.client.waits_until()
    }

    async fn expect(&self, read: &Read) -> Result<Option<Expected>> {
        let object = self.object(&read.object).await?;
        let (client, known, read) = (self.client.clone(), self.known.clone(), read.clone());
        Reading { client, known, object, read, spent: AtomicU64::default() }.expect().await
    }

    async fn notes(&self, read: &Read) -> Result<Vec<String>> {
        let label = &self.client.manifest.label;
        let mut notes = Vec::new();
        if let Some((used, allowed)) = self.client.quota() {
            notes.push(format!("{used} of {allowed} API calls of the day are used"));
        }
        if read.filter.is_some() {
            let object = self.object(&read.object).await?;
            notes.push(match Plan::new(&self.client.manifest, &object, read)?.said() {
                Some(said) => format!("{label} is told {said}; the filter is checked again after reading"),
                None => "the filter is applied after reading".into(),
            });
        }
        Ok(notes)
    }
}
