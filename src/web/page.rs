//! The pages. Everything that is not ours is text in them.

use crate::error::Error;
use crate::model::Connection;
use crate::service::Invited;

/// What a link is for, with the button that begins.
pub(super) fn invitation(invited: &Invited) -> String {
    let (vendor, name, actor) =
        (escape(&invited.vendor), escape(&invited.connection), escape(&invited.actor));
    let scopes: String = invited.scopes.iter().map(|scope| format!("<li>{}</li>\n", escape(scope))).collect();
    page(
        &format!("Connect {vendor}"),
        &format!(
            "<p>{actor} asks for read access to {vendor}, as the connection <b>{name}</b> of tributary.</p>\n\
             <p>{vendor} will ask you to agree to:</p>\n<ul>\n{scopes}</ul>\n\
             <form method=\"post\"><button>Continue to {vendor}</button></form>\n\
             <p>This works once.</p>"
        ),
    )
}

/// The login is done.
pub(super) fn connected(connection: &Connection) -> String {
    let (name, who) = (escape(&connection.name), escape(connection.identity.as_deref().unwrap_or_default()));
    page("Connected", &format!("<p><b>{name}</b> is connected: {who}. You can close this window.</p>"))
}

/// The link is over.
pub(super) fn gone() -> String {
    page("Nothing here", "<p>This link is over or was used already. Ask for a new one: CALL connect(...)</p>")
}

/// Something went wrong.
pub(super) fn failed(error: &Error) -> String {
    let hint = error.hint().map(|hint| format!("<p>{}</p>", escape(hint))).unwrap_or_default();
    page("Not connected", &format!("<p>{}</p>\n{hint}", escape(error.what())))
}

fn page(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{title}</title></head>\n\
         <body>\n<h1>{title}</h1>\n{body}\n</body>\n</html>\n"
    )
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ours_is_text() {
        let invited = Invited {
            connection: "crm".into(),
            vendor: "<script>alert(1)</script>".into(),
            actor: "\"><img src=x onerror='y'>".into(),
            scopes: vec!["a&b".into()],
            origin: "https://vendor.example".into(),
        };
        let html = invitation(&invited);
        assert!(!html.contains("<script") && !html.contains("<img") && html.contains("a&amp;b"), "{html}");
    }
}
