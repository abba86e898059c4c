//! Machine names: one function makes unquoted SQL identifiers from whatever a source calls its things.

use std::collections::HashSet;

use crate::error::{Error, Kind, Result};

/// PostgreSQL's `NAMEDATALEN - 1`: the bytes of an identifier that every client can show.
const MAX_LEN: usize = 63;

/// The machine name of a source name: `StageName` -> `stage_name`, `Account ID` -> `account_id`. Only
/// `[a-z0-9_]`, at most 63 bytes, never empty, never beginning with a digit.
pub fn machine_name(source: &str) -> String {
    let mut name = String::new();
    let mut previous_lower = false;
    let mut chars = source.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_ascii_alphanumeric() {
            let next_lower = chars.peek().is_some_and(char::is_ascii_lowercase);
            let boundary = c.is_ascii_uppercase() && (previous_lower || (next_lower && !name.is_empty()));
            if boundary && !name.ends_with('_') {
                name.push('_');
            }
            name.push(c.to_ascii_lowercase());
            previous_lower = c.is_ascii_lowercase() || c.is_ascii_digit();
        } else {
            if !name.is_empty() && !name.ends_with('_') {
                name.push('_');
            }
            previous_lower = false;
        }
        if name.len() >= MAX_LEN {
            break;
        }
    }
    name.truncate(MAX_LEN);
    let name = name.trim_end_matches('_');
    match name.chars().next() {
        None => format!("field_{:08x}", stable_hash(source)),
        Some(c) if c.is_ascii_digit() => format!("_{}", &name[..name.len().min(MAX_LEN - 1)]),
        Some(_) => name.to_string(),
    }
}

/// [`machine_name`], with a suffix that depends on the source name alone when `taken` holds it already.
pub fn unique_machine_name(source: &str, taken: &HashSet<String>) -> String {
    let name = machine_name(source);
    if !taken.contains(&name) {
        return name;
    }
    let suffix = format!("_{:08x}", stable_hash(source));
    let stem = &name[..name.len().min(MAX_LEN - suffix.len())];
    let mut candidate = format!("{stem}{suffix}");
    let mut n = 2;
    while taken.contains(&candidate) {
        let numbered = format!("{suffix}_{n}");
        candidate = format!("{}{numbered}", &name[..name.len().min(MAX_LEN - numbered.len())]);
        n += 1;
    }
    candidate
}

/// Refuses names that a person chose and that would need quoting everywhere.
pub fn check_name(what: &str, name: &str) -> Result<()> {
    let mut chars = name.chars();
    let starts_well = chars.next().is_some_and(|c| c.is_ascii_lowercase() || c == '_');
    let well_formed = starts_well && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if well_formed && name.len() <= MAX_LEN {
        return Ok(());
    }
    let shown: String = name.chars().take(80).collect();
    Err(Error::new(Kind::Invalid, format!("`{shown}` cannot be the name of {what}")).with_sqlstate("42602").with_hint(
        "accepted are lower-case letters, digits and underscores, beginning with a letter or underscore, at most 63 \
         characters",
    ))
}

/// The name as SQL needs it: quoted only where it must be.
pub fn quote_ident(name: &str) -> String {
    let plain = check_name("anything", name).is_ok();
    if plain { name.to_string() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// FNV-1a, 32 bits: the same in every release of every build, unlike the standard library's hasher.
fn stable_hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_names_become_plain_identifiers() {
        for (source, expected) in [
            ("StageName", "stage_name"),
            ("Account ID", "account_id"),
            ("HTTPServer", "http_server"),
            ("hs_object_id", "hs_object_id"),
            ("Amount__c", "amount_c"),
            ("2nd", "_2nd"),
            ("createdAt", "created_at"),
            ("\"; DROP", "drop"),
        ] {
            assert_eq!(machine_name(source), expected);
        }
        assert!(machine_name("日本").starts_with("field_"));
        assert_eq!(machine_name(&"x".repeat(10_000)).len(), 63);
        assert_eq!(machine_name(&format!("1{}", "y".repeat(80))).len(), 63);
    }

    #[test]
    fn collisions_get_a_suffix_that_depends_on_the_source_name_alone() {
        let taken = HashSet::from(["amount".to_string()]);
        let first = unique_machine_name("Amount", &taken);
        assert_ne!(first, "amount");
        assert_eq!(first, unique_machine_name("Amount", &taken));
        assert_ne!(first, unique_machine_name("AMOUNT", &taken));
    }
}
