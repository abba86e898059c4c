//! Every field of every form, filled in badly: the error stands beside the field, and nothing that was typed is lost.

use std::collections::BTreeMap;

use super::demonstration;
use super::visitor::Visitor;
use crate::support::large::{BESIDE, KEY, PAGES};

/// Accepted by most fields of text, and by no field that means something.
const ODD: &str = "\u{1}not; (valid' \" <b>";
const LONG: usize = 100_000;

/// What fields are filled in with that have nothing in them, where that must be more than a word.
const FILLED: &[(&str, &str)] = &[
    ("again", "a password that is long enough"),
    ("setting.host", "127.0.0.1"),
    ("setting.port", "1"),
    ("setting.sslmode", "disable"),
    ("password", "a password that is long enough"),
    ("sql", "SELECT 1 AS one"),
    ("query", "SELECT 1 AS one"),
    ("unique_fields", "one"),
];

/// Forms as long as they are not about what was typed: they act on what the page shows, or lead away from it.
const LEFT_OUT: &[&str] = &["/logout", "/objects/undrop"];

#[derive(Debug, Clone, Default)]
struct Control {
    name: String,
    kind: String,
    value: String,
    is_required: bool,
    /// Whether a person types into it.
    is_typed: bool,
}

#[derive(Debug)]
struct Found {
    page: String,
    action: String,
    controls: Vec<Control>,
}

/// The value of an attribute of a tag.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    Some(plain(rest.split_once('"')?.0))
}

fn plain(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

/// The forms of a page that are sent with what is typed into them.
fn forms(page: &str, html: &str) -> Vec<Found> {
    let mut found = Vec::new();
    for part in html.split("<form").skip(1) {
        let part = part.split("</form>").next().unwrap();
        let (tag, inside) = part.split_once('>').unwrap();
        if attribute(tag, "method").as_deref() != Some("post") {
            continue;
        }
        let action = attribute(tag, "action").unwrap_or_else(|| page.split('?').next().unwrap().to_string());
        found.push(Found { page: page.into(), action, controls: controls(inside) });
    }
    found
}

fn controls(inside: &str) -> Vec<Control> {
    let mut controls: Vec<Control> = Vec::new();
    for part in inside.split('<').skip(1) {
        let Some((tag, after)) = part.split_once('>') else { continue };
        let element = tag.split_whitespace().next().unwrap_or_default();
        let name = attribute(tag, "name").unwrap_or_default();
        let is_required = tag.contains(" required");
        match element {
            "input" if !name.is_empty() => {
                let kind = attribute(tag, "type").unwrap_or_else(|| "text".into());
                let value = attribute(tag, "value").unwrap_or_default();
                let is_ticked = !matches!(kind.as_str(), "checkbox" | "radio") || tag.contains(" checked");
                let is_typed = matches!(kind.as_str(), "text" | "password" | "number" | "search" | "email");
                if is_ticked && name != "csrf" && !tag.contains(" readonly") {
                    controls.push(Control { name, kind, value, is_required, is_typed });
                }
            }
            "textarea" => {
                let value = plain(after);
                controls.push(Control { name, kind: "textarea".into(), value, is_required, is_typed: true });
            }
            "select" => {
                controls.push(Control { name, kind: "select".into(), is_required, ..Control::default() })
            }
            "option" => {
                let value = attribute(tag, "value").unwrap_or_default();
                if let Some(last) = controls.last_mut().filter(|last| last.kind == "select")
                    && (last.value.is_empty() || tag.contains(" selected"))
                {
                    last.value = value;
                }
            }
            _ => {}
        }
    }
    controls
}

/// What is wrong with the page that a badly filled form led to; `None` where all is well.
fn judge(html: &str, form: &Found, sent: &BTreeMap<String, String>, bad: &Control) -> Option<String> {
    let tags: Vec<&str> =
        html.split('<').filter_map(|part| part.split_once('>').map(|(tag, _)| tag)).collect();
    let named = |name: &str| {
        tags.iter().filter(|tag| attribute(tag, "name").as_deref() == Some(name)).copied().collect::<Vec<_>>()
    };
    // Which of two that differ is wrong nobody knows.
    let twins = if bad.name == "password" { vec!["password", "again"] } else { vec![bad.name.as_str()] };
    let is_marked = twins.iter().flat_map(|name| named(name)).any(|tag| {
        attribute(tag, "aria-describedby").is_some_and(|ids| {
            ids.split_whitespace().any(|id| id.ends_with("-error") && html.contains(&format!("id=\"{id}\"")))
        })
    });
    if !is_marked {
        return Some("no error stands beside the field".into());
    }
    for control in form.controls.iter().filter(|control| control.is_typed && control.kind != "password") {
        let typed = &sent[&control.name];
        let shown = match control.kind.as_str() {
            "textarea" => plain(html).contains(typed.as_str()),
            _ => named(&control.name).iter().any(|tag| attribute(tag, "value").unwrap_or_default() == *typed),
        };
        if !typed.is_empty() && !shown {
            return Some(format!("what was typed into `{}` is lost", control.name));
        }
    }
    let secrets = form.controls.iter().filter(|control| control.kind == "password");
    let told = secrets.filter(|secret| sent[&secret.name].len() > 8 && html.contains(&sent[&secret.name]));
    told.map(|secret| format!("the secret `{}` is shown again", secret.name)).next()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_typed_is_answered_beside_its_field() {
    let server = tokio::task::spawn_blocking(demonstration).await.unwrap();
    server.rows(BESIDE);
    let admin = Visitor::admin(&server).await;
    let key = server.rows(&[KEY]);
    let mut forms_found: Vec<Found> = Vec::new();
    for (_, path) in PAGES {
        let path = path.replace("object_1", "opportunity").replace("field_7", "amount").replace("KEY", &key);
        let page = admin.get(&path).await;
        for form in forms(&path, &page.text()) {
            let is_known = forms_found.iter().any(|known| {
                known.action == form.action
                    && known.controls.iter().map(|c| &c.name).eq(form.controls.iter().map(|c| &c.name))
            });
            let is_left_out = LEFT_OUT.iter().any(|action| form.action.starts_with(action));
            if !is_known && !is_left_out && form.controls.iter().any(|control| control.is_typed) {
                forms_found.push(form);
            }
        }
    }
    assert!(forms_found.len() > 15, "{} forms were found", forms_found.len());
    let (mut wrong, mut tried) = (Vec::new(), 0);
    for form in &forms_found {
        let filled = |control: &Control| match FILLED.iter().find(|(name, _)| *name == control.name) {
            Some((_, value)) if control.value.is_empty() => (*value).to_string(),
            _ if control.value.is_empty() && control.is_typed && control.is_required => "word".to_string(),
            _ => control.value.clone(),
        };
        for bad in form.controls.iter().filter(|control| control.is_typed || control.kind == "select") {
            let long = "x".repeat(LONG);
            for (how, value) in [("odd", ODD), ("long", long.as_str()), ("empty", "")] {
                if how == "empty" && !bad.is_required {
                    continue;
                }
                let mut sent: BTreeMap<String, String> =
                    form.controls.iter().map(|control| (control.name.clone(), filled(control))).collect();
                if form.action.starts_with("/connectors/") || form.action == "/statements/new" {
                    // Each is another one.
                    sent.insert("name".into(), format!("tried_{tried}"));
                }
                sent.insert(bad.name.clone(), value.to_string());
                let fields: Vec<_> =
                    sent.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                let page = admin.post(&form.action, &fields).await;
                tried += 1;
                let problem = match page.status {
                    422 => judge(&page.text(), form, &sent, bad),
                    303 => {
                        let shown = admin.get(page.header("location")).await;
                        let text = shown.text();
                        let begin =
                            text.find("class=\"note bad\"").filter(|_| text.contains("class=\"flashes\""));
                        begin.map(|at| {
                            format!(
                                "it is told on another page: {}",
                                &text[at..].chars().take(200).collect::<String>()
                            )
                        })
                    }
                    // It was accepted, and is shown at once.
                    200 => None,
                    status => Some(format!(
                        "{status}: {}",
                        page.text().chars().skip(1_500).take(0).collect::<String>()
                    )),
                };
                if let Some(problem) = problem {
                    wrong.push(format!("{} ({}) {} {how}: {problem}", form.action, form.page, bad.name));
                }
            }
        }
    }
    println!("{tried} badly filled forms were sent");
    assert!(wrong.is_empty(), "{} of {tried}:\n{}", wrong.len(), wrong.join("\n"));
}
