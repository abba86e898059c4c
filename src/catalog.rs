//! The catalog: one manifest per source system that is reached over HTTP.
//!
//! Manifests are data. They are embedded in the binary; a folder can add some or put others in their place. Each is
//! checked when it is loaded, and a mistake is told with file, line and column.

mod body;
mod check;
mod load;
pub mod manifest;
mod template;
mod text;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, Kind, Result, did_you_mean};

pub use body::Body;
pub use manifest::Manifest;
pub use template::{Part, Placeholder, Template, Values, as_text};
pub use text::{Name, Pointer, Span, Step};

/// The manifests in the binary: file name and text.
const EMBEDDED: &[(&str, &str)] = &[
    ("catalog/hubspot.yaml", include_str!("../catalog/hubspot.yaml")),
    ("catalog/salesforce.yaml", include_str!("../catalog/salesforce.yaml")),
];

/// Every manifest by its name.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    manifests: BTreeMap<String, Arc<Manifest>>,
}

impl Catalog {
    /// The manifests in the binary.
    pub fn embedded() -> Result<Self> {
        let mut catalog = Catalog::default();
        for (file, text) in EMBEDDED {
            catalog.add(parse(file, text)?);
        }
        Ok(catalog)
    }

    /// The manifests in the binary, completed and replaced by the `.yaml` files of `folder`.
    pub fn with_folder(folder: &Path) -> Result<Self> {
        let mut catalog = Self::embedded()?;
        let unreadable = |error: std::io::Error| {
            Error::new(Kind::Invalid, format!("cannot read the catalog `{}`: {error}", folder.display()))
                .with_hint("--catalog names a folder of manifests")
        };
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                files.push(path);
            }
        }
        files.sort();
        for file in files {
            catalog.add(read(&file)?);
        }
        Ok(catalog)
    }

    /// Puts a manifest in, in the place of one of the same name.
    pub fn add(&mut self, manifest: Manifest) {
        self.manifests.insert(manifest.name.value.to_string(), Arc::new(manifest));
    }

    /// The manifests in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Manifest>> {
        self.manifests.values()
    }

    /// The manifest of a connector, or an error that names the nearest one.
    pub fn get(&self, name: &str) -> Result<&Arc<Manifest>> {
        self.manifests.get(name).ok_or_else(|| {
            let shown: String = name.chars().take(80).collect();
            let names = || self.manifests.keys().map(String::as_str);
            let what = format!("the catalog has no connector `{shown}`{}", did_you_mean(&shown, names()));
            Error::new(Kind::NotFound, what)
                .with_hint(format!("it has {}", names().collect::<Vec<_>>().join(", ")))
        })
    }
}

/// The hosts that requests of a manifest may go to: those it lists and those written out in its URLs for login and
/// data. `*.` at the beginning of one stands for any subdomain.
pub fn manifest_hosts(manifest: &Manifest) -> Vec<String> {
    use manifest::Auth;
    let mut urls = vec![&manifest.http.base];
    for auth in &manifest.auth {
        match auth {
            Auth::Oauth2(oauth) => {
                urls.extend([&oauth.authorize, &oauth.token].into_iter().chain(&oauth.revoke))
            }
            Auth::ClientCredentials(grant) => urls.push(&grant.token),
            Auth::JwtBearer(grant) => urls.push(&grant.token),
            Auth::Exchange(_) | Auth::Basic(_) | Auth::Bearer(_) | Auth::Header(_) => {}
        }
    }
    let mut hosts = manifest.hosts.clone();
    for url in urls {
        let text = url.to_string();
        let host =
            text.split("://").nth(1).and_then(|rest| rest.split(['/', '?']).next()).unwrap_or_default();
        // Behind a placeholder stands what only `hosts` can bound, unless a domain follows it.
        match host.rsplit_once('}') {
            None if !host.is_empty() => hosts.push(host.to_string()),
            Some((_, domain)) if domain.starts_with('.') => hosts.push(format!("*{domain}")),
            _ => {}
        }
    }
    hosts
}

/// Whether `host` is `pattern`, or a subdomain where the pattern begins with `*.`.
pub fn host_fits(pattern: &str, host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    match pattern.strip_prefix('*') {
        Some(domain) => {
            let label = host.strip_suffix(&domain.to_ascii_lowercase());
            domain.starts_with('.') && label.is_some_and(|label| !label.is_empty())
        }
        None => pattern.eq_ignore_ascii_case(&host),
    }
}

/// Reads and checks the manifest in a file.
pub fn read(file: &Path) -> Result<Manifest> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        Error::new(Kind::Invalid, format!("cannot read the manifest `{}`: {error}", file.display()))
    })?;
    let manifest = parse(&file.display().to_string(), &text)?;
    let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    match stem == manifest.name.value.as_str() {
        true => Ok(manifest),
        false => Err(Error::new(
            Kind::Invalid,
            format!(
                "{}: the manifest is called `{}`, its file `{stem}`",
                file.display(),
                manifest.name.value
            ),
        )
        .with_hint("file and connector have the same name")),
    }
}

/// Reads and checks a manifest; `file` is what errors call it.
///
/// # Errors
/// `Invalid`, with every mistake as `file:line:column: what`, one a line.
pub fn parse(file: &str, text: &str) -> Result<Manifest> {
    let manifest = load::load(file, text)?;
    let mistakes = check::check(&manifest);
    if mistakes.is_empty() {
        return Ok(manifest);
    }
    let lines: Vec<_> = mistakes.iter().map(|mistake| mistake.text(file)).collect();
    Err(Error::new(Kind::Invalid, lines.join("\n")).with_hint("docs/CONNECTORS.md describes the format"))
}
