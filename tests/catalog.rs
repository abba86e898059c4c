//! docs/CONNECTORS.md says what the manifest's types say: it is made from their comments.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use tributary::catalog::{Catalog, read};

const FILES: [&str; 4] = [
    "src/catalog/manifest.rs",
    "src/catalog/manifest/http.rs",
    "src/catalog/manifest/objects.rs",
    "src/catalog/manifest/reads.rs",
];

const DOCUMENT: &str = "docs/CONNECTORS.md";

const BEFORE: &str = "# Connectors

A source system that is reached over HTTP is one YAML file: its manifest. `catalog/` holds those in the binary;
`--catalog DIR` (`catalog = \"DIR\"` in tributary.toml) adds manifests or puts others in their place.

    tributary catalog check catalog/hubspot.yaml      every mistake with file, line and column
    tributary catalog explain hubspot deal            the requests that a sync would send
    tributary catalog explain hubspot deal --mode full

## Adding a system

1. Write `catalog/<name>.yaml`; the file is called after the manifest's `name`. Begin with `catalog/hubspot.yaml` (JSON
   bodies, tokens as pages, a search index) or `catalog/salesforce.yaml` (a query language, links as pages, bulk jobs).
2. `tributary catalog check` it, and look at `catalog explain`.
3. Add it to the list in `src/catalog.rs`, and a fixture of its API to `tests/conformance/`: the suite there is the same
   for every connector.

What a manifest cannot say: another query language is a renderer in `src/source/language.rs`, with one function that
quotes values; a system that is no HTTP API implements `source::Source`.

## Templates

Text in URLs, queries, headers, forms and bodies may hold placeholders: `{fields}`, `{keys}`, `{key}`, `{since}`,
`{until}`, `{filters}`, `{where}`, `{page.size}`, `{page.token}`, `{page.after}`, `{page.offset}`, `{page.number}`,
`{job.id}`, and of the groups `setting`, `secret`, `token` (what the login gave) and `object`. `{{` and `}}` are braces.
There are no expressions.

**An entry whose placeholder has no value is left out**: a query parameter, a header, a form field, an entry of a JSON
map, and a condition (a map in a list) that lacks one of its values. So one template serves the first page and the
next, the full read and the diff, with and without a filter. `{where}` always has a value, which may be empty.

In JSON a text that is exactly one placeholder becomes its value with its type; in a list a value that is a list is put
in element by element, and an element with `{key}` is repeated for every key.

## What is promised whatever a manifest says

Requests and tokens go to pinned hosts only (`hosts`, and those written out in URLs), over https, to public addresses,
without redirects and proxies. Answers have at most 64 MiB, 256 MiB inflated; values that are kept are nested 64 levels
deep at most. A connection is waited for 10 s, the first byte 60 s, the next ones 30 s, an answer 5 minutes. A page that
repeats, or more than 10 empty ones in a row, end a read with an error, and a read that ends with an error changes
nothing.

Decimals are read from their digits, times to the microsecond in UTC. What does not fit its column is NULL, counted in
the run and shown with a sample.

A server can lead a connector elsewhere, to a simulated vendor or a gateway of its own, in tributary.toml:

    [connector_base]
    hubspot = \"http://127.0.0.1:8090\"

";

#[derive(Default)]
struct Item {
    name: String,
    doc: String,
    is_enum: bool,
    members: Vec<(String, String, String)>,
}

#[test]
fn the_reference_is_what_the_types_say() {
    let made = document();
    let path = root().join(DOCUMENT);
    if std::env::var_os("TRIBUTARY_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == made, "{DOCUMENT} is out of date; run this test with TRIBUTARY_UPDATE_DOCS=1");
}

#[test]
fn every_type_and_member_is_described() {
    let items = items();
    assert!(items.len() > 40, "{}", items.len());
    for item in &items {
        assert!(!item.doc.is_empty(), "{}", item.name);
        for (member, _, doc) in &item.members {
            assert!(!doc.is_empty(), "{}.{member}", item.name);
        }
    }
}

#[test]
fn a_folder_adds_and_replaces_manifests() {
    let folder = tempfile::tempdir().unwrap();
    let hubspot = std::fs::read_to_string(root().join("catalog/hubspot.yaml")).unwrap();
    std::fs::write(folder.path().join("hubspot.yaml"), hubspot.replace("label: HubSpot", "label: Ours"))
        .unwrap();
    std::fs::write(folder.path().join("other.yaml"), hubspot.replace("name: hubspot", "name: other"))
        .unwrap();
    std::fs::write(folder.path().join("notes.txt"), "no manifest").unwrap();
    let catalog = Catalog::with_folder(folder.path()).unwrap();
    let names: Vec<_> = catalog.iter().map(|manifest| manifest.name.value.to_string()).collect();
    assert_eq!(names, ["hubspot", "other", "salesforce"]);
    assert_eq!(catalog.get("hubspot").unwrap().label, "Ours");
    let error = catalog.get("hubspt").unwrap_err();
    assert!(error.what().contains("did you mean `hubspot`?"), "{error}");
    std::fs::write(folder.path().join("wrong.yaml"), hubspot).unwrap();
    let error = read(&folder.path().join("wrong.yaml")).unwrap_err();
    assert!(error.what().contains("called `hubspot`, its file `wrong`"), "{error}");
    assert!(Catalog::with_folder(Path::new("/nowhere")).is_err());
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn document() -> String {
    let mut text = BEFORE.to_string();
    text.push_str("## Reference\n\nMade from the comments of `src/catalog/manifest.rs`; `?` marks what may be left out.\n");
    for item in items() {
        write!(text, "\n### {}\n\n{}\n\n", item.name, item.doc).unwrap();
        if !item.members.is_empty() {
            let heads = if item.is_enum {
                "| word | of | means |\n|---|---|---|\n"
            } else {
                "| key | value | means |\n|---|---|---|\n"
            };
            text.push_str(heads);
        }
        for (name, of, doc) in item.members {
            writeln!(text, "| `{name}` | {of} | {} |", doc.replace('|', "\\|")).unwrap();
        }
    }
    text
}

/// The public types with their comments.
fn items() -> Vec<Item> {
    let mut items = Vec::new();
    for file in FILES {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        let (mut doc, mut current): (Vec<String>, Option<Item>) = (Vec::new(), None);
        let (mut optional, mut renamed, mut snake) = (false, None, false);
        for line in text.lines() {
            let trimmed = line.trim();
            if let Some(comment) = trimmed.strip_prefix("/// ") {
                doc.push(comment.to_string());
            } else if trimmed.starts_with("#[") {
                optional |= trimmed.contains("default");
                snake |= trimmed.contains("rename_all");
                let name = trimmed.split("rename = \"").nth(1).and_then(|rest| rest.split('"').next());
                renamed = name.map(str::to_string).or(renamed);
            } else if let Some((kind, name)) = declared(line) {
                let is_described = !["Entries"].contains(&name);
                let item = Item {
                    name: name.to_string(),
                    doc: doc.join(" "),
                    is_enum: kind == "enum",
                    members: Vec::new(),
                };
                current = Some(item).filter(|_| is_described && line.ends_with('{'));
                // What a container's attributes say of all members is said once more for each.
                (doc, renamed) = (Vec::new(), None);
                let all_optional = optional;
                optional = all_optional && kind == "struct";
            } else if line == "}" {
                items.extend(current.take());
                (doc, optional, renamed, snake) = (Vec::new(), false, None, false);
            } else if let (Some(item), false) = (&mut current, trimmed.is_empty()) {
                let (name, of) = member(trimmed, item.is_enum);
                let name = renamed.take().unwrap_or(name);
                let name = if item.is_enum && snake { snake_case(&name) } else { name };
                let is_optional = of.starts_with("Option<") || (optional && !item.is_enum);
                let of = plain(&of);
                let of = if of.is_empty() {
                    String::new()
                } else {
                    format!("{of}{}", if is_optional { " ?" } else { "" })
                };
                item.members.push((name, of, doc.join(" ")));
                doc.clear();
                optional = false;
            } else if current.is_none() {
                (doc, optional, renamed, snake) = (Vec::new(), false, None, false);
            }
        }
    }
    items
}

fn declared(line: &str) -> Option<(&str, &str)> {
    let rest = line.strip_prefix("pub ")?;
    let (kind, rest) = rest.split_once(' ')?;
    let name = rest.split(|c: char| !c.is_alphanumeric()).next()?;
    matches!(kind, "struct" | "enum").then_some((kind, name))
}

/// Name and type of a field, or of a variant with its content.
fn member(line: &str, is_enum: bool) -> (String, String) {
    let line = line.trim_end_matches(',');
    if is_enum {
        let (name, of) = line.split_once('(').unwrap_or((line, ""));
        return (name.to_string(), of.trim_end_matches(')').to_string());
    }
    let (name, of) = line.trim_start_matches("pub ").split_once(": ").unwrap_or((line, ""));
    (name.to_string(), of.to_string())
}

/// A type as people write it: `list of Pointer`.
fn plain(of: &str) -> String {
    let inner = |prefix: &str| of.strip_prefix(prefix).and_then(|rest| rest.strip_suffix('>'));
    if let Some(of) = inner("Option<").or(inner("Spanned<")).or(inner("Box<")) {
        return plain(of);
    }
    if let Some(of) = inner("Vec<") {
        return format!("list of {}", plain(of));
    }
    if let Some(of) = inner("Entries<") {
        return format!("map of {}", plain(of));
    }
    if let Some((_, of)) = inner("BTreeMap<").and_then(|rest| rest.split_once(", ")) {
        return format!("map of {}", plain(of));
    }
    match of {
        "String" => "text".into(),
        "bool" => "true or false".into(),
        "u8" | "u16" | "u32" | "u64" | "usize" => "number".into(),
        "Body" => "JSON".into(),
        "Pointer" => "JSON pointer".into(),
        "Span" => "time (`10s`)".into(),
        "Template" => "template".into(),
        "Name" => "name".into(),
        "" => String::new(),
        other => format!("[{other}](#{})", other.to_lowercase()),
    }
}

fn snake_case(name: &str) -> String {
    let mut text = String::new();
    for (at, c) in name.chars().enumerate() {
        if c.is_ascii_uppercase() && at > 0 {
            text.push('_');
        }
        text.push(c.to_ascii_lowercase());
    }
    text
}
