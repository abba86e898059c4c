//! Where in a statement the thing stands that an error is about. Plans do not know their text, so it is looked for.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::cursor::Positions;
use super::dialect::Postgres;
use crate::error::Error;

/// States of errors about a name.
const ABOUT_A_NAME: &[&str] =
    &["42703", "42P01", "42883", "42702", "42P09", "42704", "42803", "42809", "42P10"];
/// States of errors about a constant.
const ABOUT_A_CONSTANT: &[&str] = &["22P02", "22007", "22008", "22003", "22023"];

/// The error with the position of its subject in the text, which begins behind `start` characters.
pub(super) fn located(error: Error, text: &str, start: u32) -> Error {
    let what = error.what();
    let positions = Positions::new(text);
    let Ok(tokens) = Tokenizer::new(&Postgres, text).tokenize_with_location() else { return error };
    let clauses = Clauses::new(&tokens);
    let found = if let Some(found) = clauses.of(what) {
        found
    } else if what.starts_with("operator does not exist") || what.starts_with("operator is not unique") {
        operator_of(what).and_then(|op| only(&tokens, |token| token.to_string() == op))
    } else if ABOUT_A_NAME.contains(&error.sqlstate()) {
        let is_ambiguous = error.sqlstate() == "42702";
        subject(what).and_then(|names| named(&tokens, &names, is_ambiguous))
    } else if ABOUT_A_CONSTANT.contains(&error.sqlstate()) {
        let constant = what.find('"').and_then(|from| {
            what[from + 1..].strip_suffix('"').or_else(|| what[from + 1..].split('"').next())
        });
        let is_text = |token: &Token| matches!(token, Token::SingleQuotedString(_));
        let is_it = |token: &Token| matches!(token, Token::SingleQuotedString(text) if Some(text.as_str()) == constant);
        // Of a part of a constant, or of its form.
        only(&tokens, is_it).or_else(|| only(&tokens, is_text))
    } else {
        None
    };
    match found {
        Some(at) => error.with_position(start + positions.of(tokens[at].span.start)),
        None => error,
    }
}

/// The clauses of a statement, by its tokens.
struct Clauses<'a> {
    /// Tokens that are no blanks, with their places.
    tokens: Vec<(usize, &'a Token)>,
}

impl<'a> Clauses<'a> {
    fn new(tokens: &'a [TokenWithSpan]) -> Self {
        let tokens = tokens.iter().map(|token| &token.token).enumerate();
        Clauses { tokens: tokens.filter(|(_, token)| !matches!(token, Token::Whitespace(_))).collect() }
    }

    /// The place of the clause that a message is about: `None` where it is about none, `Some(None)` where there are
    /// several that it may mean.
    fn of(&self, what: &str) -> Option<Option<usize>> {
        let place = |at: Option<usize>| at.and_then(|at| self.tokens.get(at)).map(|(place, _)| *place);
        let found = match what {
            _ if what.starts_with("argument of WHERE must") => self.behind("where"),
            _ if what.starts_with("argument of NOT must") => self.behind("not"),
            _ if what.starts_with("argument of CASE/WHEN must") => self.behind("when"),
            "aggregate functions are not allowed in WHERE" | "window functions are not allowed in WHERE" => {
                self.behind("where").and_then(|from| self.call(from))
            }
            "aggregate function calls cannot be nested" => {
                self.call(0).and_then(|outer| self.call(outer + 1))
            }
            "SELECT * with no tables specified is not valid" => self.behind("select"),
            _ if what.starts_with("cannot cast type") => self.only(|token| *token == Token::DoubleColon),
            _ if what.starts_with("for SELECT DISTINCT, ORDER BY expressions") => self.behind("by"),
            _ if what.starts_with("SELECT DISTINCT ON expressions must") => {
                self.behind("distinct").map(|on| on + 2)
            }
            "subquery must return only one column" | "subquery has too many columns" => {
                self.subquery(what.ends_with("too many columns"))
            }
            "unequal number of entries in row expressions" => self.only(|token| {
                matches!(token, Token::Eq | Token::Neq | Token::Lt | Token::Gt | Token::LtEq | Token::GtEq)
            }),
            _ if what.starts_with("frame starting from") => self.behind("and"),
            _ if what.starts_with("WITH query name") => {
                let name = what.split('"').nth(1).unwrap_or_default();
                let is_name = |at: &usize| self.word(*at) == Some(name) && self.word(at + 1) == Some("as");
                (0..self.tokens.len()).filter(is_name).nth(1)
            }
            _ if what.starts_with("ORDER BY position ") => {
                let number = what.split(' ').nth(3).unwrap_or_default();
                let from = self.behind("by");
                from.and_then(|from| (from..self.tokens.len()).find(|at| self.is_number(*at, number)))
            }
            _ => {
                let set = ["UNION", "INTERSECT", "EXCEPT"].into_iter().find(|set| {
                    what.starts_with(&format!("each {set} query"))
                        || what.starts_with(&format!("{set} types"))
                })?;
                let right = self.behind(&set.to_lowercase());
                right
                    .and_then(|from| (from..self.tokens.len()).find(|at| self.word(*at) == Some("select")))
                    .map(|select| select + 1)
            }
        };
        Some(place(found))
    }

    /// A word without quotes, lower-cased where it is written so or in capitals.
    fn word(&self, at: usize) -> Option<&str> {
        match self.tokens.get(at)? {
            (_, Token::Word(word)) if word.quote_style.is_none() => Some(&word.value),
            _ => None,
        }
    }

    fn is_number(&self, at: usize, wanted: &str) -> bool {
        matches!(self.tokens.get(at), Some((_, Token::Number(number, _))) if number == wanted)
    }

    fn only(&self, is_it: impl Fn(&Token) -> bool) -> Option<usize> {
        let mut found = (0..self.tokens.len()).filter(|at| is_it(self.tokens[*at].1));
        let first = found.next()?;
        found.next().is_none().then_some(first)
    }

    /// What stands behind the only word of a kind.
    fn behind(&self, keyword: &str) -> Option<usize> {
        let is_it = |token: &Token| {
            matches!(token, Token::Word(word)
                if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(keyword))
        };
        self.only(is_it).map(|at| at + 1)
    }

    /// The first call of a function from a place on.
    fn call(&self, from: usize) -> Option<usize> {
        let is_call = |at: &usize| {
            self.word(*at).is_some() && matches!(self.tokens.get(at + 1), Some((_, Token::LParen)))
        };
        (from..self.tokens.len()).find(is_call)
    }

    /// The bracket of the only subquery, or the `IN` before it.
    fn subquery(&self, of_in: bool) -> Option<usize> {
        let opens = |at: &usize| {
            *self.tokens[*at].1 == Token::LParen
                && self.word(at + 1).is_some_and(|word| word.eq_ignore_ascii_case("select"))
        };
        let mut found = (0..self.tokens.len()).filter(opens);
        let first = found.next()?;
        let at = if of_in { first.checked_sub(1)? } else { first };
        found.next().is_none().then_some(at)
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
    let name = after("function ").or_else(|| after("window function "));
    let name = name.or(quoted).or_else(|| after("column "));
    Some(name?.split('.').map(str::to_string).collect())
}

/// Where a name with all its parts first stands, or else its last part.
fn named(tokens: &[TokenWithSpan], names: &[String], is_ambiguous: bool) -> Option<usize> {
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
    let is_given = |at: &usize| *at > 0 && is_word(at - 1, "as");
    let whole = (0..tokens.len()).find(|at| is_whole(at) && !is_given(at));
    let found = whole.or_else(|| (0..tokens.len()).find(|at| is_word(*at, last)))?;
    // A name begins with that of its table.
    let is_qualified = found > 1 && matches!(tokens[found - 1], (_, Token::Period));
    Some(tokens[if is_qualified && is_ambiguous { found - 2 } else { found }].0)
}
