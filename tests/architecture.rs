//! What may import what, and other promises that a reader of the sources relies on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Which modules of this crate a module may import, besides itself. A longer name has precedence.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("model", &["error"]),
    ("secret", &["error", "model"]),
    ("oauth", &["error", "secret"]),
    ("alert", &["error", "model", "secret"]),
    ("backoff", &[]),
    ("password", &["error"]),
    ("filter", &["error", "model"]),
    ("config", &["error", "model"]),
    ("catalog", &["error", "model"]),
    ("demo", &["error", "model"]),
    ("source", &["catalog", "error", "model", "oauth", "secret"]),
    ("snapshot", &["error", "model"]),
    ("state", &["error", "model"]),
    ("query", &["error", "model", "snapshot", "state"]),
    ("sync", &["error", "filter", "model", "secret", "snapshot", "source", "state"]),
    (
        "service",
        &[
            "alert", "config", "error", "filter", "model", "oauth", "password", "query", "secret",
            "snapshot", "source", "state", "sync",
        ],
    ),
    ("pg", &["backoff", "error", "model", "password", "query", "service"]),
    ("web", &["backoff", "error", "model", "query", "secret", "service"]),
    (
        "server",
        &[
            "alert", "backoff", "catalog", "config", "demo", "error", "model", "oauth", "pg", "query",
            "secret", "service", "snapshot", "source", "state", "sync", "web",
        ],
    ),
    ("cli", &["config", "error", "server"]),
    ("main", &["cli", "error", "server"]),
    ("lib", &[]),
];

/// The only modules that may name these crates.
const OWNERS: &[(&str, &[&str])] = &[
    ("sqlx", &["state"]),
    ("delta_kernel", &["snapshot"]),
    ("delta_kernel_default_engine", &["snapshot"]),
    ("pgwire", &["pg"]),
    ("tokio_postgres", &["source"]),
    ("oauth2", &["oauth"]),
    ("lettre", &["alert"]),
    ("axum", &["demo", "web"]),
    ("clap", &["cli", "config", "main"]),
    ("datafusion", &["filter", "pg", "query", "service", "snapshot"]),
];

const MAX_LINES: usize = 600;

/// Places outside the product. Written in two halves because this file is read too.
const OUTSIDE: &[&str] = &[concat!("/wo", "rk/"), concat!("shar", "ed/"), concat!("/ro", "ot/")];

#[test]
fn modules_import_only_what_they_may() {
    let allowed: BTreeMap<_, _> = MAY_IMPORT.iter().copied().collect();
    let mut wrong = Vec::new();
    for (module, file, text) in sources() {
        let Some(name) = rule_of(&module, |name| allowed.contains_key(name)) else {
            wrong.push(format!("{file}: say in tests/architecture.rs what `{module}` may import"));
            continue;
        };
        let own = module.split('/').next().unwrap();
        for import in imports(&text) {
            let is_known = rule_of(&import, |name| allowed.contains_key(name)).is_some();
            if is_known && import != own && !allowed[name].contains(&import.as_str()) {
                wrong.push(format!("{file}: `{name}` must not import `{import}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_crate_is_named_only_by_the_modules_that_own_it() {
    let mut wrong = Vec::new();
    for (module, file, text) in sources() {
        let code = code_of(&text);
        for (name, owners) in OWNERS {
            let is_owner = owners.iter().any(|owner| is_within(&module, owner));
            if !is_owner && names_crate(&code, name) {
                wrong.push(format!("{file}: `{name}` belongs to {owners:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_file_is_too_long_to_read() {
    let mut wrong = Vec::new();
    for folder in ["src", "tests", "benches"] {
        for path in files(&root().join(folder)) {
            let is_code =
                path.extension().is_some_and(|e| ["rs", "py", "js", "java"].iter().any(|c| e == *c));
            let lines = fs::read_to_string(&path).map_or(0, |text| text.lines().count());
            if is_code && lines > MAX_LINES {
                wrong.push(format!("{}: {lines} lines, at most {MAX_LINES}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn modules_are_files_named_after_them() {
    let found: Vec<_> =
        files(&root().join("src")).into_iter().filter(|path| path.ends_with("mod.rs")).collect();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn no_file_names_a_place_outside_the_product() {
    let mut wrong = Vec::new();
    for path in files(&root()) {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for outside in OUTSIDE {
            if text.contains(outside) {
                wrong.push(format!("{} names {outside}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn imports_are_found_however_they_are_written() {
    let text = "use crate::error::{Error, Kind};\nuse crate::{model, source::{Read, What}};\n\
                // crate::pg is spoken of, not imported\npub(crate) fn x() { crate::query::Engine::new() }\n";
    let expected = ["error", "model", "query", "source"].map(String::from);
    assert_eq!(imports(text), BTreeSet::from(expected));
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Module (`sync/run`), path and text of every source file.
fn sources() -> Vec<(String, String, String)> {
    let folder = root().join("src");
    let sources: Vec<_> = files(&folder)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .map(|path| {
            let relative = path.strip_prefix(&folder).unwrap();
            let module = relative.with_extension("").to_string_lossy().into_owned();
            (module, format!("src/{}", relative.display()), fs::read_to_string(&path).unwrap())
        })
        .collect();
    assert!(!sources.is_empty());
    sources
}

/// All files below a folder, without what tools leave there.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return found };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !path.join("CACHEDIR.TAG").exists() {
            if ![".git", "target", "node_modules", "__pycache__", "tributary-data"].contains(&name.as_str()) {
                found.extend(files(&path));
            }
        } else if path.is_file() && name != ".git" {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The longest prefix of a module path that `is_known`.
fn rule_of(module: &str, is_known: impl Fn(&str) -> bool) -> Option<&str> {
    let ends = module.match_indices('/').map(|(at, _)| at).chain([module.len()]);
    ends.map(|end| &module[..end]).rfind(|name| is_known(name))
}

fn is_within(module: &str, owner: &str) -> bool {
    module == owner || module.strip_prefix(owner).is_some_and(|rest| rest.starts_with('/'))
}

/// The text without comments that fill a line.
fn code_of(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Whether `name::` stands for the crate: not as the end of another name or path.
fn names_crate(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = &code[at + name.len()..];
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '"' || c == '`')
            && (after.starts_with("::") || after.starts_with(';'))
    })
}

/// First path segments after every `crate::`, also within braces.
fn imports(text: &str) -> BTreeSet<String> {
    let code = code_of(text);
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => found.extend(first_segments(group)),
            None => found.extend(first_segment(rest)),
        }
    }
    found
}

/// The first segment of each path of a `{a, b::{c, d}}` whose opening brace is already read.
fn first_segments(group: &str) -> Vec<String> {
    let mut depth = 0;
    let mut found: Vec<_> = first_segment(group).into_iter().collect();
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => found.extend(first_segment(&group[at + 1..])),
            _ => {}
        }
    }
    found
}

fn first_segment(path: &str) -> Option<String> {
    let end = |c: char| !c.is_alphanumeric() && c != '_';
    path.trim_start().split(end).next().filter(|s| !s.is_empty()).map(String::from)
}
