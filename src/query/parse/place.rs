//! Where in a statement the thing stands that an error is about. Plans do not know their text, so it is looked for.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::cursor::Positions;
use super::dialect::Postgres;
use crate::error::{Error, Kind};

/// States of errors about a name.
const ABOUT_A_NAME: &[&str] =
    &["42703", "42P01", "42883", "42725", "42702", "42P09", "42704", "42803", "42809", "42P10"];
/// States of errors about a constant.
const ABOUT_A_CONSTANT: &[&str] = &["22P02", "22007", "22008", "22009", "22003", "22023"];

/// 42P02, at the first parameter of a text that begins behind `start` characters.
pub(super) fn parameter(text: &str, start: u32) -> Option<Error> {
    if !text.contains('$') {
        return None;
    }
    let tokens = Tokenizer::new(&Postgres, text).tokenize_with_location().ok()?;
    let is_parameter = |token: &&TokenWithSpan| matches!(&token.token, Token::Placeholder(_));
    let token = tokens.iter().find(is_parameter)?;
    let error = Error::new(Kind::Invalid, format!("there is no parameter {}", token.token));
    let place = start + Positions::new(text).of(token.span.start);
    Some(error.with_sqlstate("42P02").with_position(place))
}

/// The error with the position of its subject in the text, which begins behind `start` characters.
pub(super) fn located(error: Error, text: &str, start: u32) -> Error {
    let what = error.what();
    let positions = Positions::new(text);
    let Ok(tokens) = Tokenizer::new(&Postgres, text).tokenize_with_location() else { return error };
    let words = Words::new(&tokens);
    let found = if let Some(found) = words.clause(what) {
        found
    } else if what.starts_with("operator does not exist") || what.starts_with("operator is not unique") {
        words.operator(what)
    } else if what.contains("USING clause") || what.starts_with("common column name") {
        None
    } else if let Some(call) = words.called(what) {
        Some(call)
    } else if ABOUT_A_NAME.contains(&error.sqlstate()) {
        let is_ambiguous = error.sqlstate() == "42702";
        subject(what).and_then(|names| words.named(&names, is_ambiguous))
    } else if ABOUT_A_CONSTANT.contains(&error.sqlstate()) {
        let constant = what.find('"').and_then(|from| {
            what[from + 1..].strip_suffix('"').or_else(|| what[from + 1..].split('"').next())
        });
        let is_text = |token: &Token| matches!(token, Token::SingleQuotedString(_));
        let is_it = |token: &Token| matches!(token, Token::SingleQuotedString(text) if Some(text.as_str()) == constant);
        // Of a part of a constant, or of its form.
        words.only(is_it).or_else(|| words.only(is_text))
    } else {
        None
    };
    match found.and_then(|at| words.0.get(at)) {
        Some(token) => error.with_position(start + positions.of(token.span.start)),
        None => error,
    }
}

/// The tokens of a statement that are no blanks.
struct Words<'a>(Vec<&'a TokenWithSpan>);

impl<'a> Words<'a> {
    fn new(tokens: &'a [TokenWithSpan]) -> Self {
        Words(tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect())
    }

    /// The place of the clause that a message is about: `None` where it is about none, `Some(None)` where there are
    /// several that it may mean.
    fn clause(&self, what: &str) -> Option<Option<usize>> {
        Some(match what {
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
            _ if what.starts_with("WITH query name") => {
                let name = what.split('"').nth(1).unwrap_or_default();
                let is_name = |at: &usize| self.is_word(*at, name) && self.is_word(at + 1, "as");
                (0..self.0.len()).filter(is_name).nth(1)
            }
            _ if what.starts_with("ORDER BY position ") => {
                let number = what.split(' ').nth(3).unwrap_or_default();
                let from = self.behind("by");
                let is_it = |token: &Token| matches!(token, Token::Number(found, _) if found == number);
                from.and_then(|from| (from..self.0.len()).find(|at| is_it(&self.0[*at].token)))
            }
            _ => {
                let set = ["UNION", "INTERSECT", "EXCEPT"].into_iter().find(|set| {
                    what.starts_with(&format!("each {set} query"))
                        || what.starts_with(&format!("{set} types"))
                })?;
                let first = |from: usize| (from..self.0.len()).find(|at| self.is_word(*at, "select"));
                let Some((_, right)) =
                    what.split_once(" types ").and_then(|(_, types)| types.split_once(" and "))
                else {
                    return Some(self.behind(&set.to_lowercase()).and_then(first).map(|select| select + 1));
                };
                let wanted = right.trim_end_matches(" cannot be matched");
                let sets = (0..self.0.len()).filter(|at| self.is_keyword(*at, set));
                let outputs = sets.filter_map(first).flat_map(|select| self.parts(select + 1));
                // What is plainly of another type is not meant.
                let mut outputs = outputs.filter(|(from, to)| !self.is_other(*from, *to, wanted));
                outputs.next().map(|(from, _)| from)
            }
        })
    }

    fn token(&self, at: usize) -> Option<&Token> {
        self.0.get(at).map(|token| &token.token)
    }

    /// Whether a word is this name; without quotes it may be written in any case.
    fn is_word(&self, at: usize, name: &str) -> bool {
        match self.token(at) {
            Some(Token::Word(word)) if word.quote_style.is_none() => word.value.eq_ignore_ascii_case(name),
            Some(Token::Word(word)) => word.value == name,
            _ => false,
        }
    }

    /// Whether it is a word of the language: no name in quotes.
    fn is_keyword(&self, at: usize, keyword: &str) -> bool {
        matches!(self.token(at), Some(Token::Word(word)) if word.quote_style.is_none())
            && self.is_word(at, keyword)
    }

    /// The only token of a kind: of several nobody knows which one is meant.
    fn only(&self, is_it: impl Fn(&Token) -> bool) -> Option<usize> {
        only((0..self.0.len()).filter(|at| is_it(&self.0[*at].token)))
    }

    /// What stands behind the only word of a kind.
    fn behind(&self, keyword: &str) -> Option<usize> {
        only((0..self.0.len()).filter(|at| self.is_keyword(*at, keyword))).map(|at| at + 1)
    }

    /// The parts of a list that begins here, each from its first token to behind its last.
    fn parts(&self, from: usize) -> Vec<(usize, usize)> {
        let ends =
            ["from", "where", "group", "having", "union", "intersect", "except", "order", "limit", "offset"];
        let (mut parts, mut start, mut depth) = (Vec::new(), from, 0_usize);
        for at in from..=self.0.len() {
            let is_end = match self.token(at) {
                None => true,
                Some(Token::RParen) => depth == 0,
                Some(Token::Word(_)) => depth == 0 && ends.iter().any(|word| self.is_keyword(at, word)),
                _ => false,
            };
            if is_end || (depth == 0 && self.token(at) == Some(&Token::Comma)) {
                if at > start {
                    parts.push((start, at));
                }
                start = at + 1;
            }
            if is_end {
                break;
            }
            match self.token(at) {
                Some(Token::LParen | Token::LBracket) => depth += 1,
                Some(Token::RParen | Token::RBracket) => depth -= 1,
                _ => {}
            }
        }
        parts
    }

    /// Whether what is written is a constant of another type than this one.
    fn is_other(&self, from: usize, to: usize, type_name: &str) -> bool {
        let is_one_of = |names: &[&str]| !names.contains(&type_name);
        if to == from + 1 {
            return match self.token(from) {
                Some(Token::Number(text, _)) if text.contains(['.', 'e', 'E']) => is_one_of(&["numeric"]),
                Some(Token::Number(..)) => is_one_of(&["integer", "bigint", "numeric"]),
                Some(Token::SingleQuotedString(_)) => is_one_of(&["unknown", "text"]),
                Some(Token::Word(_)) if self.is_keyword(from, "null") => is_one_of(&["unknown"]),
                Some(Token::Word(_)) if self.is_keyword(from, "true") || self.is_keyword(from, "false") => {
                    is_one_of(&["boolean"])
                }
                _ => false,
            };
        }
        if to < from + 3 || self.token(to - 2) != Some(&Token::DoubleColon) {
            return false;
        }
        let names = [("int", "integer"), ("integer", "integer"), ("bigint", "bigint"), ("text", "text")];
        let more = [
            ("numeric", "numeric"),
            ("boolean", "boolean"),
            ("date", "date"),
            ("float8", "double precision"),
        ];
        names
            .iter()
            .chain(&more)
            .any(|(written, name)| self.is_keyword(to - 1, written) && *name != type_name)
    }

    /// The only operator that a message may be about: beside it stands no constant that is plainly of another type.
    fn operator(&self, what: &str) -> Option<usize> {
        let op = operator_of(what)?;
        let (left, right) = what.split_once(": ")?.1.split_once(&format!(" {op} ")).unwrap_or_default();
        let is_part = |at: Option<usize>| {
            let joins = |token: &Token| {
                matches!(token, Token::Plus | Token::Minus | Token::Mul | Token::Div | Token::DoubleColon)
            };
            at.and_then(|at| self.token(at)).is_some_and(joins)
        };
        // `date '2024-01-31'` is no constant without a type.
        let is_typed = |at: usize| {
            matches!(self.token(at), Some(Token::SingleQuotedString(_)))
                && matches!(at.checked_sub(1).and_then(|at| self.token(at)), Some(Token::Word(_)))
        };
        let is_other_left = |at: usize| {
            at > 0
                && !is_typed(at - 1)
                && !is_part(at.checked_sub(2))
                && !left.is_empty()
                && self.is_other(at - 1, at, left)
        };
        let is_other_right =
            |at: usize| !is_part(Some(at + 2)) && !right.is_empty() && self.is_other(at + 1, at + 2, right);
        only(
            (0..self.0.len()).filter(|at| {
                self.0[*at].token.to_string() == op && !is_other_left(*at) && !is_other_right(*at)
            }),
        )
    }

    /// The call that a message is about: the first one of the name with as many arguments, none of which is plainly of
    /// another type.
    fn called(&self, what: &str) -> Option<usize> {
        let call =
            what.strip_prefix("function ")?.strip_prefix("pg_catalog.").or(what.strip_prefix("function "))?;
        let (call, _) = call.rsplit_once(')')?;
        let (name, types) = call.split_once('(')?;
        let types: Vec<&str> = types.split(", ").filter(|name| !name.is_empty()).collect();
        let is_it = |at: &usize| {
            self.is_word(*at, name) && self.token(at + 1) == Some(&Token::LParen) && {
                let arguments = self.parts(at + 2);
                arguments.len() == types.len()
                    && arguments.iter().zip(&types).all(|((from, to), name)| !self.is_other(*from, *to, name))
            }
        };
        (0..self.0.len()).find(is_it)
    }

    /// The first call of a function from a place on.
    fn call(&self, from: usize) -> Option<usize> {
        let is_name =
            |at: usize| matches!(self.token(at), Some(Token::Word(word)) if word.quote_style.is_none());
        (from..self.0.len()).find(|at| is_name(*at) && self.token(at + 1) == Some(&Token::LParen))
    }

    /// The bracket of the only subquery, or the `IN` before it.
    fn subquery(&self, of_in: bool) -> Option<usize> {
        let opens = |at: &usize| self.token(*at) == Some(&Token::LParen) && self.is_keyword(at + 1, "select");
        only((0..self.0.len()).filter(opens))?.checked_sub(usize::from(of_in))
    }

    /// Where a name with all its parts first stands, or else its last part.
    fn named(&self, names: &[String], is_ambiguous: bool) -> Option<usize> {
        let is_whole = |at: &usize| {
            names.iter().enumerate().all(|(part, name)| {
                self.is_word(at + 2 * part, name)
                    && (part == 0 || self.token(at + 2 * part - 1) == Some(&Token::Period))
            })
        };
        let last = names.last()?;
        let is_given = |at: &usize| *at > 0 && self.is_word(at - 1, "as");
        let whole = (0..self.0.len()).find(|at| is_whole(at) && !is_given(at));
        let found = whole.or_else(|| (0..self.0.len()).find(|at| self.is_word(*at, last)))?;
        // A name begins with that of its table.
        let is_qualified = found > 1 && self.token(found - 1) == Some(&Token::Period);
        Some(if is_qualified && is_ambiguous { found - 2 } else { found })
    }
}

fn only(mut found: impl Iterator<Item = usize>) -> Option<usize> {
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
