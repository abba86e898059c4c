//! Forms: what was sent, and fields that show it again with what is wrong about it.

use std::collections::BTreeMap;

use maud::{Markup, html};

use crate::error::Error;

/// What a browser sent, or what a form begins with; and what is wrong about it. Keys may repeat.
#[derive(Debug, Clone, Default)]
pub(super) struct Form {
    pairs: Vec<(String, String)>,
    wrong: BTreeMap<String, String>,
    refused: Option<Said>,
}

/// What an error says about a form as a whole.
#[derive(Debug, Clone)]
struct Said {
    what: String,
    detail: Option<String>,
    hint: Option<String>,
}

/// Characters of a value that errors quote for certain.
const QUOTED: usize = 12;
/// Bytes of a line.
const LONGEST_LINE: usize = 20_000;
/// Fields of several lines.
const AREAS: &[&str] = &["sql", "query", "filter"];

impl Form {
    /// Reads `application/x-www-form-urlencoded`.
    pub(super) fn parse(body: &[u8]) -> Self {
        let pairs: Vec<(String, String)> = url::form_urlencoded::parse(body).into_owned().collect();
        let mut form = Form { pairs, ..Form::default() };
        form.refuse_long();
        form
    }

    /// No line that a person types is that long. Texts of several lines have limits of their own.
    fn refuse_long(&mut self) {
        let is_line = |name: &str| {
            !AREAS.contains(&name) && !name.starts_with("secret.") && !name.starts_with("setting.ssl")
        };
        let long = self.pairs.iter().filter(|(name, value)| value.len() > LONGEST_LINE && is_line(name));
        let long: Vec<_> = long.map(|(name, _)| name.clone()).collect();
        for name in long {
            self.wrong(&name, format!("this is too long: at most {LONGEST_LINE} characters"));
        }
    }

    /// A form that shows what is there now.
    pub(super) fn of<'a>(pairs: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        let pairs = pairs.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
        Form { pairs, ..Form::default() }
    }

    /// What was typed, as it was typed; empty where the field is missing.
    pub(super) fn raw(&self, name: &str) -> &str {
        let found = self.pairs.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    /// What was typed without blanks around it; `None` where that is nothing.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        Some(self.raw(name).trim()).filter(|text| !text.is_empty())
    }

    /// All values of a key that repeats.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether a box is ticked, or a button pressed.
    pub(super) fn has(&self, name: &str) -> bool {
        self.pairs.iter().any(|(key, _)| key == name)
    }

    /// Puts a value in the place of what was typed.
    pub(super) fn set(&mut self, name: &str, value: String) {
        self.pairs.retain(|(key, _)| key != name);
        self.pairs.push((name.to_string(), value));
    }

    /// What was typed, which must be something.
    pub(super) fn required(&mut self, name: &str, what: &str) -> String {
        match self.text(name) {
            Some(text) => text.to_string(),
            None => {
                self.wrong(name, format!("{what} is needed"));
                String::new()
            }
        }
    }

    /// A whole number, which may be missing.
    pub(super) fn number(&mut self, name: &str) -> Option<i64> {
        let text = self.text(name)?.to_string();
        match text.parse() {
            Ok(number) => Some(number),
            Err(_) => {
                let shown: String = text.chars().take(40).collect();
                self.wrong(name, format!("`{shown}` is not a whole number"));
                None
            }
        }
    }

    /// Says what is wrong about a field; the first word counts.
    pub(super) fn wrong(&mut self, name: &str, what: impl Into<String>) {
        self.wrong.entry(name.to_string()).or_insert_with(|| what.into());
    }

    /// Says what an error says, about the whole form.
    pub(super) fn refuse(&mut self, error: &Error) {
        self.refused = Some(Said {
            what: error.what().to_string(),
            detail: error.detail().map(str::to_string),
            hint: error.hint().map(str::to_string),
        });
    }

    /// Says what an error says, about one field.
    pub(super) fn refuse_field(&mut self, name: &str, error: &Error) {
        let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
        self.wrong(name, format!("{}{hint}", error.what()));
    }

    /// Says what an error says, beside that one of some fields which it names or quotes; where it is none of them, beside
    /// the first.
    pub(super) fn refuse_among(&mut self, names: &[&str], error: &Error) {
        if let Some(name) = self.quoted(names, error) {
            return self.refuse_field(name, error);
        }
        let what = error.what();
        let is_named = |name: &&&str| {
            let plain = name.rsplit('.').next().unwrap_or(name);
            what.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == plain)
                || what.contains(&plain.replace('_', " "))
        };
        let found = names.iter().find(is_named).or(names.first());
        match found.copied() {
            Some(name) => self.refuse_field(name, error),
            None => self.refuse(error),
        }
    }

    /// That one of some fields whose value an error quotes.
    pub(super) fn quoted<'n>(&self, names: &[&'n str], error: &Error) -> Option<&'n str> {
        let begin = |typed: &str| typed.chars().take(QUOTED).collect::<String>();
        let is_quoted = |name: &&&str| {
            let typed = self.text(name).map(begin);
            typed.is_some_and(|typed| {
                ['`', '"'].iter().any(|quote| error.what().contains(&format!("{quote}{typed}")))
            })
        };
        names.iter().find(is_quoted).copied()
    }

    /// Whether nothing is wrong.
    pub(super) fn is_good(&self) -> bool {
        self.wrong.is_empty() && self.refused.is_none()
    }

    /// What is wrong about a field.
    pub(super) fn error(&self, name: &str) -> Option<&str> {
        self.wrong.get(name).map(String::as_str)
    }

    /// What is wrong about the whole, above the fields.
    pub(super) fn summary(&self) -> Markup {
        html! {
            @if let Some(said) = &self.refused {
                div.note.bad role="alert" {
                    p { (said.what) }
                    @if let Some(detail) = &said.detail { p.muted { (detail) } }
                    @if let Some(hint) = &said.hint { p.muted { (hint) } }
                }
            } @else if !self.wrong.is_empty() {
                div.note.bad role="alert" { p { "Not saved: see what is marked below." } }
            }
        }
    }
}

/// A field of a form with its label, hint and error.
pub(super) struct Field<'a> {
    form: &'a Form,
    name: &'a str,
    label: &'a str,
    hint: Option<&'a str>,
    kind: &'a str,
    is_required: bool,
    is_mono: bool,
    autocomplete: &'a str,
    placeholder: &'a str,
    max_length: u32,
    id: String,
}

impl<'a> Field<'a> {
    /// A field for a line of text.
    pub(super) fn new(form: &'a Form, name: &'a str, label: &'a str) -> Self {
        Field {
            form,
            name,
            label,
            hint: None,
            kind: "text",
            is_required: false,
            is_mono: false,
            autocomplete: "off",
            placeholder: "",
            max_length: 2_000,
            id: format!("f-{name}"),
        }
    }

    /// `password`, `number`, `email`, `search` ...
    pub(super) fn kind(mut self, kind: &'a str) -> Self {
        self.kind = kind;
        self
    }

    /// What to know while filling it in.
    pub(super) fn hint(mut self, hint: &'a str) -> Self {
        self.hint = Some(hint).filter(|hint| !hint.is_empty());
        self
    }

    /// The browser, too, asks for a value.
    pub(super) fn required(mut self) -> Self {
        self.is_required = true;
        self
    }

    /// Shown in the font of code.
    pub(super) fn mono(mut self) -> Self {
        self.is_mono = true;
        self
    }

    pub(super) fn autocomplete(mut self, autocomplete: &'a str) -> Self {
        self.autocomplete = autocomplete;
        self
    }

    pub(super) fn placeholder(mut self, placeholder: &'a str) -> Self {
        self.placeholder = placeholder;
        self
    }

    /// Where a page has the same name twice.
    pub(super) fn id(mut self, id: impl Into<String>) -> Self {
        self.id = id.into();
        self
    }

    fn describedby(&self) -> Option<String> {
        let ids = [
            self.hint.map(|_| format!("{}-hint", self.id)),
            self.form.error(self.name).map(|_| format!("{}-error", self.id)),
        ];
        let ids: Vec<_> = ids.into_iter().flatten().collect();
        Some(ids.join(" ")).filter(|ids| !ids.is_empty())
    }

    fn framed(&self, control: Markup) -> Markup {
        html! {
            div.field {
                label for=(self.id) {
                    (self.label)
                    @if !self.is_required && self.kind != "select" { span.optional { " optional" } }
                }
                @if let Some(hint) = self.hint { p.hint id={ (self.id) "-hint" } { (hint) } }
                (control)
                @if let Some(error) = self.form.error(self.name) {
                    p.error id={ (self.id) "-error" } { (error) }
                }
            }
        }
    }

    fn invalid(&self) -> Option<&'static str> {
        self.form.error(self.name).map(|_| "true")
    }

    /// A line. Secrets are not shown again.
    pub(super) fn input(&self) -> Markup {
        let value = if self.kind == "password" { "" } else { self.form.raw(self.name) };
        self.framed(html! {
            input.mono[self.is_mono] id=(self.id) name=(self.name) type=(self.kind) value=(value)
                required[self.is_required] autocomplete=(self.autocomplete) placeholder=(self.placeholder)
                maxlength=(self.max_length) spellcheck="false" autocapitalize="off"
                aria-invalid=[self.invalid()] aria-describedby=[self.describedby()];
        })
    }

    /// Several lines.
    pub(super) fn area(&self, rows: u32) -> Markup {
        self.framed(html! {
            textarea.mono[self.is_mono] id=(self.id) name=(self.name) rows=(rows) placeholder=(self.placeholder)
                required[self.is_required] spellcheck="false" autocapitalize="off"
                aria-invalid=[self.invalid()] aria-describedby=[self.describedby()] { (self.form.raw(self.name)) }
        })
    }

    /// One of several: value and what people read.
    pub(super) fn select(mut self, options: &[(&str, &str)]) -> Markup {
        self.kind = "select";
        let chosen = self.form.raw(self.name);
        self.framed(html! {
            select id=(self.id) name=(self.name) aria-invalid=[self.invalid()]
                aria-describedby=[self.describedby()] {
                @for (value, shown) in options {
                    option value=(value) selected[*value == chosen] { (shown) }
                }
            }
        })
    }

    /// A box to tick.
    pub(super) fn checkbox(&self) -> Markup {
        html! {
            div.field.tick {
                input id=(self.id) name=(self.name) type="checkbox" value="on" checked[self.form.has(self.name)]
                    aria-describedby=[self.describedby()];
                div {
                    label for=(self.id) { (self.label) }
                    @if let Some(hint) = self.hint { p.hint id={ (self.id) "-hint" } { (hint) } }
                    @if let Some(error) = self.form.error(self.name) {
                        p.error id={ (self.id) "-error" } { (error) }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_is_kept_with_what_is_wrong_about_it() {
        let mut form = Form::parse(b"name=+%3Cb%3E+&n=12x&box=on&f=a&f=b");
        assert_eq!((form.text("name"), form.raw("name")), (Some("<b>"), " <b> "));
        assert_eq!(form.all("f").collect::<Vec<_>>(), ["a", "b"]);
        assert!(form.has("box") && !form.has("other") && form.is_good());
        assert_eq!(form.number("n"), None);
        form.required("host", "the host");
        assert!(!form.is_good());
        let shown = Field::new(&form, "n", "Number").input().into_string();
        assert!(shown.contains("value=\"12x\"") && shown.contains("`12x` is not a whole number"), "{shown}");
        let shown = Field::new(&form, "name", "Name").input().into_string();
        assert!(shown.contains("&lt;b&gt;") && !shown.contains("<b>"), "{shown}");
        let secret = Form::parse(b"key=abc");
        assert!(!Field::new(&secret, "key", "Key").kind("password").input().into_string().contains("abc"));
    }
}
