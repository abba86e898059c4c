//! The words of SQL, as PostgreSQL 15 knows them.

use std::collections::HashMap;
use std::sync::LazyLock;

/// One line a word: the word, the letter of its category, whether it may stand as a label without `AS`, and both in
/// words.
const KEYWORDS: &str = include_str!("data/keywords.tsv");

/// The words with what is told of them.
pub(super) fn all() -> impl Iterator<Item = Vec<&'static str>> {
    KEYWORDS.lines().map(|line| line.split('\t').collect())
}

/// A name as SQL writes it: in quotes unless it is a plain word that means nothing else.
pub(super) fn quote_ident(name: &str) -> String {
    static RESERVED: LazyLock<HashMap<&str, ()>> = LazyLock::new(|| {
        let words = all().filter(|word| word.get(1) != Some(&"U"));
        words.filter_map(|word| Some((*word.first()?, ()))).collect()
    });
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    match starts && name.chars().all(is_word) && !RESERVED.contains_key(name) {
        true => name.to_string(),
        false => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}
