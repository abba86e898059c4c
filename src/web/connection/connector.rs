//! What a connector asks for: its settings and ways to log in, as fields of a form.

use maud::{Markup, html};

use crate::error::{Error, Kind, Result, did_you_mean};
use crate::web::desk::{Desk, Row};
use crate::web::form::{Field, Form};

/// A kind of source system.
pub(in crate::web) struct Connector {
    pub(in crate::web) name: String,
    pub(in crate::web) label: String,
    pub(in crate::web) settings: Vec<Setting>,
    pub(in crate::web) logins: Vec<Login>,
    docs: Option<String>,
    redirect_uri: Option<String>,
    is_registered: bool,
}

/// A setting of its connections.
#[derive(serde::Deserialize)]
pub(in crate::web) struct Setting {
    name: String,
    required: bool,
    doc: String,
}

/// A way to log in.
#[derive(serde::Deserialize)]
pub(in crate::web) struct Login {
    kind: String,
    #[serde(deserialize_with = "asks")]
    pub(in crate::web) asks: Vec<(String, String)>,
    scopes: Vec<String>,
    optional_scopes: Vec<String>,
}

fn asks<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, String)>, D::Error> {
    #[derive(serde::Deserialize)]
    struct Ask {
        name: String,
        label: String,
    }
    let asks: Vec<Ask> = serde::Deserialize::deserialize(deserializer)?;
    Ok(asks.into_iter().map(|ask| (ask.name, ask.label)).collect())
}

impl Login {
    /// Whether a person logs in at the vendor.
    pub(in crate::web) fn is_oauth(&self) -> bool {
        self.kind == "oauth2"
    }

    /// What an app must be granted.
    pub(in crate::web) fn scopes(&self) -> &[String] {
        &self.scopes
    }

    pub(in crate::web) fn title(&self) -> String {
        match self.kind.as_str() {
            "oauth2" => "Log in at the vendor".into(),
            "token" => "Access token".into(),
            "key" => "API key".into(),
            kind => {
                let mut letters = kind.chars();
                letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
            }
        }
    }

    /// The fields of its secrets. What is kept already needs not be typed again.
    pub(in crate::web) fn fields(&self, form: &Form, kept: &[&str], prefix: &str) -> Markup {
        html! {
            @for (name, label) in &self.asks {
                @let key = format!("secret.{name}");
                @let hint = if kept.contains(&name.as_str()) { "There is one; leave this empty to keep it" } else { "" };
                @let field = Field::new(form, &key, label).hint(hint).id(format!("{prefix}-{name}"));
                @if is_public(name) { (field.mono().input()) }
                @else if is_long(name) { (field.mono().area(5)) }
                @else { (field.kind("password").autocomplete("off").input()) }
            }
        }
    }
}

/// Kept sealed like a secret, but no harm when it is seen.
fn is_public(name: &str) -> bool {
    matches!(name, "client_id" | "username" | "user" | "consumer_key" | "account" | "login")
}

/// Of several lines.
fn is_long(name: &str) -> bool {
    name.contains("private_key")
}

const COLUMNS: &str =
    "SELECT name, label, docs, settings, logins, redirect_uri, registered FROM tributary.connector";

impl Connector {
    /// All of them, by what people call them.
    pub(in crate::web) async fn all(desk: &Desk) -> Result<Vec<Self>> {
        let rows = desk.rows(&format!("{COLUMNS} ORDER BY lower(label)"), Vec::new()).await?;
        rows.iter().map(Connector::read).collect()
    }

    /// The one of that name.
    pub(in crate::web) async fn named(desk: &Desk, name: &str) -> Result<Self> {
        let all = Self::all(desk).await?;
        let suggestion = did_you_mean(name, all.iter().map(|connector| connector.name.as_str()));
        let shown: String = name.chars().take(80).collect();
        let unknown = || Error::new(Kind::NotFound, format!("unknown connector `{shown}`{suggestion}"));
        all.into_iter().find(|connector| connector.name == name).ok_or_else(unknown)
    }

    fn read(row: Row<'_>) -> Result<Self> {
        let odd = |error| Error::internal("a connector describes itself in odd words").with_source(error);
        let mut logins: Vec<Login> = serde_json::from_str(&row.text_or_empty("logins")).map_err(odd)?;
        let is_registered = row.is("registered");
        if !is_registered {
            // What needs no registered app comes first.
            logins.sort_by_key(Login::is_oauth);
        }
        Ok(Connector {
            name: row.text_or_empty("name"),
            label: row.text_or_empty("label"),
            settings: serde_json::from_str(&row.text_or_empty("settings")).map_err(odd)?,
            logins,
            docs: row.text("docs"),
            redirect_uri: row.text("redirect_uri"),
            is_registered,
        })
    }

    /// Whether the settings of the server name an app.
    pub(in crate::web) fn is_registered(&self) -> bool {
        self.is_registered
    }

    /// The ways to log in, in a few words.
    pub(in crate::web) fn ways(&self) -> String {
        match self.logins.is_empty() {
            true => "No login needed".into(),
            false => self.logins.iter().map(Login::title).collect::<Vec<_>>().join(", "),
        }
    }

    /// What the button of its form says.
    pub(in crate::web) fn verb(&self) -> &'static str {
        if self.logins.is_empty() { "Connect" } else { "Save and test the login" }
    }

    /// The settings that a form brings, as a JSON object. What is missing is marked.
    pub(in crate::web) fn settings_of(&self, form: &mut Form) -> serde_json::Value {
        let mut settings = serde_json::Map::new();
        for setting in &self.settings {
            let key = format!("setting.{}", setting.name);
            match form.text(&key).map(str::to_string) {
                // Numbers are numbers in JSON.
                Some(text) => {
                    let number = text.parse::<i64>().ok().filter(|_| setting.is_number());
                    settings.insert(setting.name.clone(), number.map_or_else(|| text.into(), Into::into));
                }
                None if setting.required => form.wrong(&key, format!("`{}` is needed", setting.name)),
                None => {}
            }
        }
        settings.into()
    }

    /// The same for settings that are there already: one that was emptied is taken away.
    pub(in crate::web) fn changes_of(&self, form: &mut Form) -> serde_json::Value {
        let mut settings = self.settings_of(form);
        if let Some(settings) = settings.as_object_mut() {
            for setting in &self.settings {
                settings.entry(setting.name.clone()).or_insert(serde_json::Value::Null);
            }
        }
        settings
    }

    /// A form that shows the settings of a connection.
    pub(in crate::web) fn form_of(&self, settings: &serde_json::Value) -> Form {
        let mut form = Form::default();
        for setting in &self.settings {
            match settings.get(&setting.name) {
                Some(serde_json::Value::String(text)) => {
                    form.set(&format!("setting.{}", setting.name), text.clone())
                }
                Some(serde_json::Value::Null) | None => {}
                Some(other) => form.set(&format!("setting.{}", setting.name), other.to_string()),
            }
        }
        form
    }

    /// Says what an error says: beside the field that it names, if it names one.
    pub(in crate::web) fn refuse(&self, form: &mut Form, error: &Error) {
        let named = |name: &str| error.what().contains(&format!("`{name}`"));
        // Of several that do not go together it is the one that was typed.
        let settings = || self.settings.iter();
        let typed = settings().find(|setting| named(&setting.name) && form.text(&setting.key()).is_some());
        if let Some(setting) = typed.or_else(|| settings().find(|setting| named(&setting.name))) {
            return form.refuse_field(&format!("setting.{}", setting.name), error);
        }
        let name = form.raw("name").to_string();
        match !name.is_empty() && named(&name) && self.name != name {
            true => form.refuse_field("name", error),
            false => {
                let keys: Vec<_> =
                    self.settings.iter().map(Setting::key).filter(|key| form.has(key)).collect();
                form.refuse_among(&keys.iter().map(String::as_str).collect::<Vec<_>>(), error);
            }
        }
    }

    pub(in crate::web) fn settings_fields(&self, form: &Form) -> Markup {
        let (usual, special): (Vec<_>, Vec<_>) = self.settings.iter().partition(|setting| setting.is_usual());
        let has_special = special.iter().any(|setting| {
            let key = format!("setting.{}", setting.name);
            form.error(&key).is_some() || form.text(&key).is_some()
        });
        html! {
            @for setting in usual { (setting.field(form)) }
            @if !special.is_empty() {
                details.more open[has_special] {
                    summary { "More settings" }
                    div { @for setting in special { (setting.field(form)) } }
                }
            }
        }
    }

    /// Every way to log in, the first one chosen.
    pub(in crate::web) fn login_fields(&self, form: &Form) -> Markup {
        let chosen = form.text("way").and_then(|way| way.parse::<usize>().ok()).unwrap_or_default();
        html! {
            @if self.logins.len() > 1 {
                fieldset.ways {
                    legend { "How to log in" }
                    @for (at, login) in self.logins.iter().enumerate() {
                        div.way {
                            div.tick {
                                input type="radio" id={ "way-" (at) } name="way" value=(at) checked[at == chosen];
                                label for={ "way-" (at) } { (login.title()) }
                            }
                            div.of { (self.of_login(login, form, at)) }
                        }
                    }
                }
            } @else if let Some(login) = self.logins.first() {
                (self.of_login(login, form, 0))
            }
        }
    }

    fn of_login(&self, login: &Login, form: &Form, at: usize) -> Markup {
        let fields = login.fields(form, &[], &format!("f-{at}"));
        html! {
            @if login.is_oauth() && self.is_registered {
                p.hint { "The app that this server is registered with is used. Log in at the next page." }
                details.more { summary { "Use an app of your own" } div { (fields) } }
            } @else {
                @if login.is_oauth() {
                    p.hint { "Register an app at the vendor first; what it needs to know is at the side." }
                }
                (fields)
            }
        }
    }

    /// What a person who registers an app needs to know.
    pub(in crate::web) fn help(&self) -> Markup {
        let oauth = self.logins.iter().find(|login| login.is_oauth());
        html! {
            div.card {
                h2 { "What you need" }
                @if self.logins.is_empty() { p { "Nothing: this source asks for no login." } }
                @if let Some(login) = oauth {
                    p { "To log in at " (self.label) ", an app must be registered there with exactly this address:" }
                    @match &self.redirect_uri {
                        Some(uri) => {
                            div.copy {
                                label.hidden for="redirect-uri" { "Redirect URI" }
                                input.mono #redirect-uri readonly type="text" value=(uri);
                                button type="button" data-copy="#redirect-uri" hidden { "Copy" }
                            }
                        }
                        None => p.muted { "Browsers cannot reach this server yet: set --public-url." }
                    }
                    p { "It needs these scopes:" }
                    ul.scopes { @for scope in &login.scopes { li { code { (scope) } } } }
                    @if !login.optional_scopes.is_empty() {
                        details.more {
                            summary { "And may have " (login.optional_scopes.len()) " more" }
                            ul.scopes { @for scope in &login.optional_scopes { li { code { (scope) } } } }
                        }
                    }
                }
                p.muted { "tributary only reads. Secrets are kept sealed, and nobody sees them again." }
                @if let Some(docs) = &self.docs {
                    p { a href=(docs) rel="noreferrer" target="_blank" { "Documentation of " (self.label) } }
                }
            }
        }
    }
}

impl Setting {
    /// Its name in a form.
    pub(in crate::web) fn key(&self) -> String {
        format!("setting.{}", self.name)
    }

    /// What nearly everybody fills in.
    fn is_usual(&self) -> bool {
        self.required || matches!(self.name.as_str(), "port" | "sslmode" | "login" | "rows")
    }

    fn is_number(&self) -> bool {
        matches!(self.name.as_str(), "port" | "rows" | "parallel") || self.name.ends_with("_secs")
    }

    fn field(&self, form: &Form) -> Markup {
        let key = format!("setting.{}", self.name);
        let label = match self.name.as_str() {
            "sslmode" => "TLS".to_string(),
            name => {
                let plain = name.replace('_', " ");
                let mut letters = plain.chars();
                letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
            }
        };
        let field = Field::new(form, &key, &label).hint(&self.doc);
        let field = if self.required { field.required() } else { field };
        if self.name == "sslmode" {
            return field.select(&[
                ("", "By the host: strict for public ones"),
                ("verify-full", "verify-full: encrypted, certificate and name checked"),
                ("verify-ca", "verify-ca: encrypted, certificate checked"),
                ("require", "require: encrypted"),
                ("prefer", "prefer: encrypted where the server can"),
                ("disable", "disable: not encrypted"),
            ]);
        }
        if self.name == "sslrootcert" || self.name == "sslcert" {
            return field.mono().area(3);
        }
        field.mono().input()
    }
}
