//! The declarative source against small servers of its own: ways to page, to log in and to ask for changes that the
//! simulated vendors do not have, and answers that nobody should send.

mod paging;
mod product;
pub(crate) mod server;
mod tokens;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use futures::StreamExt;
use serde_json::json;
use tributary::catalog::{Catalog, parse};
use tributary::error::Result;
use tributary::source::rest::{Options, Patience};
use tributary::source::{Connectors, Page, Read, ReadField, Resume, Source, Watermark, What};

use server::Server;

/// A manifest of one object `thing` with the key `id` and the field `name`; `login` and `read` are YAML.
fn manifest(login: &str, read: &str, further: &str) -> String {
    let indent = |text: &str, by: usize| {
        text.trim().lines().map(|line| format!("{}{line}\n", " ".repeat(by))).collect::<String>()
    };
    format!(
        "name: test\nlabel: Test\ndocs: https://api.test\nauth:\n{}whoami: {{ request: {{ get: /me }}, account: /id }}\nhttp: {{ base: https://api.test, message: [/message] }}\nobjects: {{ known: {{ thing: {{ label: Thing }} }} }}\nfields:\n  fixed:\n    id: {{ at: /id, type: text }}\n    name: {{ at: /name, type: text }}\n    changed: {{ at: /changed, type: timestamp }}\n  key: [id]\n  modified: [changed]\nread:\n{}{further}\n",
        indent(login, 2),
        indent(read, 2)
    )
}

const BEARER: &str = "- bearer: { ask: { token: Token }, token: \"{secret.token}\" }";

fn secrets(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn open(server: &Server, manifest: &str, secrets: &HashMap<String, String>) -> Arc<dyn Source> {
    open_at(&server.base, manifest, secrets)
}

fn open_at(base: &str, manifest: &str, secrets: &HashMap<String, String>) -> Arc<dyn Source> {
    let mut catalog = Catalog::default();
    catalog.add(parse("test.yaml", manifest).unwrap_or_else(|error| panic!("{error}")));
    let patience = Patience {
        first_byte: Duration::from_millis(400),
        between_bytes: Duration::from_millis(400),
        unit: Duration::from_millis(2),
        ..Patience::default()
    };
    let bases = [("test".to_string(), base.to_string())].into();
    let connectors = Connectors::new(catalog, Options { bases, patience }).unwrap();
    connectors.open("test", &json!({}), secrets, None).unwrap()
}

fn reading(server: &Server, read: &str) -> Arc<dyn Source> {
    open(server, &manifest(BEARER, read, ""), &secrets(&[("token", "t")]))
}

/// The pages of a read of `id` and `name`.
async fn pages(source: &Arc<dyn Source>, what: What) -> Result<Vec<Page>> {
    let infos = source.fields("thing").await?;
    let only_key = matches!(what, What::DeletedSince(_));
    let fields = infos.into_iter().filter(|info| info.api == "id" || (info.api == "name" && !only_key));
    let field = |info: tributary::source::FieldInfo| ReadField {
        name: info.api.clone(),
        api: info.api,
        data_type: info.data_type,
    };
    let read = Read {
        object: "thing".into(),
        fields: fields.map(field).collect(),
        key: vec!["id".into()],
        what,
        cursor: None,
        filter: None,
        max_rows: None,
        expected_rows: None,
        resume: Resume::Never,
    };
    source.read(read).collect::<Vec<_>>().await.into_iter().collect()
}

/// The ids of all rows.
fn ids(pages: &[Page]) -> Vec<String> {
    let of = |page: &Page| -> Vec<String> {
        page.rows.column(0).as_string::<i32>().iter().flatten().map(str::to_string).collect()
    };
    pages.iter().flat_map(of).collect()
}

/// The ids of all that is gone.
fn gone(pages: &[Page]) -> Vec<String> {
    let of = |page: &Page| -> Vec<String> {
        let keys = page.gone.as_ref().map(|gone| gone.keys.column(0).clone());
        keys.iter()
            .flat_map(|keys| keys.as_string::<i32>().iter().flatten().map(str::to_string).collect::<Vec<_>>())
            .collect()
    };
    pages.iter().flat_map(of).collect()
}

fn watermark(pages: &[Page]) -> Watermark {
    pages.iter().rev().find_map(|page| page.watermark.clone()).unwrap()
}

fn things(ids: std::ops::Range<usize>) -> Vec<serde_json::Value> {
    ids.map(|id| json!({"id": id.to_string(), "name": format!("thing {id}")})).collect()
}

fn named(ids: std::ops::Range<usize>) -> Vec<String> {
    ids.map(|id| id.to_string()).collect()
}
