//! Where in a statement the thing stands that an error is about. Plans do not know their text, so it is looked for.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::cursor::Positions;
use super::dialect::Postgres;
use crate::error::Error;

/// States of errors about a name.
const ABOUT_A_NAME: &[&str] = &["42703", "42P01", "42883", "42702", "42P09", "42704", "42803", "42P10"];
/// States of errors about a constant.
const ABOUT_A_CONSTANT: &[&str] = &["22P02", "22007", "22008", "22003"];

/// The error with the position of its subject in the text, which begins behind `start` characters.
pub(super) fn located(error: Error, text: &str, start: u32) -> Error {
    let what = error.what();
    let positions = Positions::new(text);
    let Ok(tokens) = Tokenizer::new(&Postgres, text).tokenize_with_location() else { return error };
    let found = if what.starts_with("operator does not exist") {
        operator_of(what).and_then(|op| only(&tokens, |token| token.to_string() == op))
    } else if ABOUT_A_NAME.contains(&error.sqlstate()) {
        subject(what).and_then(|names| named(&tokens, &names))
    } else if ABOUT_A_CONSTANT.contains(&error.sqlstate()) {
        let constant = what.find('"').and_then(|from| {
            what[from + 1..].strip_suffix('"').or_else(|| what[from + 1..].split('"').next())
        });
        constant.and_then(|constant| {
            let is_it = |token: &Token| matches!(token, Token::SingleQuotedString(text) if text == constant);
            only(&tokens, is_it)
        })
    } else {
        None
    };
    match found {
        Some(at) => error.with_position(start + positions.of(tokens[at].span.start)),
        None => error,
    }
}

/// The only token of a kind: of several nobody knows which one is meant.
fn only(tokens: &[TokenWithSpan], is_it: impl Fn(&Token) -> bool) -> Option<usize> {
    let mut found = (0..tokens.len()).filter(|at| is_it(&tokens[*at].token));
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// `=` of `operator does not exist: text = integer`.
fn operator_of(what: &str) -> Option<String> {
    let is_operator = |word: &&str| word.chars().all(|c| "+-*/<>=~!@#%^&|`?".contains(c));
    what.split(": ").nth(1)?.split(' ').find(is_operator).map(str::to_string)
}

/// The parts of the name in a message: between quotes, or after `column` or `function`.
fn subject(what: &str) -> Option<Vec<String>> {
    let quoted = what.split('"').nth(1);
    let after = |word: &str| what.strip_prefix(word).and_then(|rest| rest.split([' ', '(']).next());
    let name = match what.starts_with("function ") {
        true => after("function "),
        false => quoted.or_else(|| after("column ")),
    };
    Some(name?.split('.').map(str::to_string).collect())
}

/// Where a name with all its parts first stands, or else its last part.
fn named(tokens: &[TokenWithSpan], names: &[String]) -> Option<usize> {
    let tokens: Vec<(usize, &Token)> = tokens
        .iter()
        .map(|token| &token.token)
        .enumerate()
        .filter(|(_, token)| !matches!(token, Token::Whitespace(_)))
        .collect();
    let is_word = |at: usize, name: &str| match tokens.get(at) {
        Some((_, Token::Word(word))) if word.quote_style.is_none() => word.value.eq_ignore_ascii_case(name),
        Some((_, Token::Word(word))) => word.value == name,
        _ => false,
    };
    let is_whole = |at: &usize| {
        names.iter().enumerate().all(|(part, name)| {
            is_word(at + 2 * part, name)
                && (part == 0 || matches!(tokens.get(at + 2 * part - 1), Some((_, Token::Period))))
        })
    };
    let last = names.last()?;
    let whole = (0..tokens.len()).find(is_whole);
    whole.or_else(|| (0..tokens.len()).find(|at| is_word(*at, last))).map(|at| tokens[at].0)
}
