//! What is refused before anything recursive sees a text: one linear pass over its bytes.

use crate::error::{Error, Kind, Result};

/// Bytes of text that one message may bring.
const MAX_BYTES: usize = 1 << 20;
/// Tokens of one text.
const MAX_TOKENS: usize = 10_000;
/// Levels of brackets, `CASE` and prefix operators.
const MAX_DEPTH: usize = 200;
/// Levels of function calls: working out their types takes the planner time with the cube of this.
const MAX_CALLS: usize = 100;
/// Divisions and casts in a row, for the same reason.
const MAX_COSTLY_CHAIN: usize = 100;
/// Binary operators in a row without a bracket or comma between them: they nest, too.
const MAX_CHAIN: usize = 2_000;

/// Refuses texts that are too long or too deep to be parsed and planned safely.
pub(super) fn check(sql: &str) -> Result<()> {
    if sql.len() > MAX_BYTES {
        let error = Error::new(Kind::Limit, format!("the statement has {} bytes", sql.len()));
        return Err(error
            .with_sqlstate("54000")
            .with_hint(format!("at most {MAX_BYTES} bytes are accepted")));
    }
    let mut scan = Scan { bytes: sql.as_bytes(), at: 0 };
    let mut counts = Counts::default();
    while let Some(token) = scan.next() {
        counts.add(token)?;
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq)]
enum Token<'a> {
    Open,
    Subscript,
    Close,
    Separator,
    Word(&'a [u8]),
    Operator,
    /// A division or a cast.
    Costly,
    Value,
}

#[derive(Default)]
struct Counts {
    tokens: usize,
    /// What was counted outside of every open bracket.
    outer: Vec<Chain>,
    chain: Chain,
    calls: usize,
    after_word: bool,
    cases: usize,
    prefix: usize,
    after_operator: bool,
}

#[derive(Default, Clone, Copy)]
struct Chain {
    /// Operators in a row.
    operators: usize,
    costly: usize,
    /// Whether the bracket belongs to a function call.
    is_call: bool,
}

impl Counts {
    fn add(&mut self, token: Token<'_>) -> Result<()> {
        self.tokens += 1;
        if self.tokens > MAX_TOKENS {
            return Err(too_complex(format!("the statement has more than {MAX_TOKENS} tokens")));
        }
        match token {
            Token::Open | Token::Subscript => {
                if token == Token::Subscript {
                    self.chain.operators += 1;
                }
                let is_call = self.after_word;
                self.calls += usize::from(is_call);
                self.outer.push(self.chain);
                self.chain = Chain { is_call, ..Chain::default() };
            }
            Token::Close => {
                self.calls -= usize::from(self.chain.is_call);
                self.chain = self.outer.pop().unwrap_or_default();
            }
            Token::Separator => self.chain = Chain { is_call: self.chain.is_call, ..Chain::default() },
            Token::Operator | Token::Costly => {
                self.chain.operators += 1;
                self.chain.costly += usize::from(token == Token::Costly);
                self.prefix = if self.after_operator { self.prefix + 1 } else { 0 };
            }
            Token::Word(word) => self.add_word(word),
            Token::Value => {}
        }
        self.after_word = matches!(token, Token::Word(word) if !takes_list(word));
        self.after_operator = matches!(token, Token::Operator | Token::Costly) || is_prefix(token);
        if self.outer.len() + self.cases + self.prefix > MAX_DEPTH {
            return Err(too_complex(format!("the statement is nested more than {MAX_DEPTH} levels deep")));
        }
        if self.calls > MAX_CALLS {
            return Err(too_complex(format!("function calls are nested more than {MAX_CALLS} levels deep")));
        }
        if self.chain.costly > MAX_COSTLY_CHAIN {
            return Err(too_complex(format!(
                "more than {MAX_COSTLY_CHAIN} divisions or casts stand in a row"
            )));
        }
        if self.chain.operators > MAX_CHAIN {
            return Err(too_complex(format!("the statement has more than {MAX_CHAIN} operators in a row"))
                .with_hint("write `x IN (...)` or `x = ANY(...)` in place of a long chain"));
        }
        Ok(())
    }

    fn add_word(&mut self, word: &[u8]) {
        let is = |keyword: &str| word.eq_ignore_ascii_case(keyword.as_bytes());
        if is("case") {
            self.cases += 1;
        } else if is("end") {
            self.cases = self.cases.saturating_sub(1);
        } else if CHAINING.iter().any(|keyword| is(keyword)) {
            self.chain.operators += 1;
        } else if is("not") {
            self.prefix = if self.after_operator { self.prefix + 1 } else { 0 };
        }
    }
}

/// Words that nest to the left as operators do.
const CHAINING: &[&str] = &[
    "and",
    "or",
    "union",
    "except",
    "intersect",
    "join",
    "collate",
    "is",
    "in",
    "like",
    "ilike",
    "between",
    "at",
    "similar",
    "isnull",
    "notnull",
];

/// Words before a bracket that make no function call.
fn takes_list(word: &[u8]) -> bool {
    let words =
        ["in", "values", "and", "or", "not", "select", "from", "where", "on", "using", "as", "by", "over"];
    words.iter().any(|other| word.eq_ignore_ascii_case(other.as_bytes()))
        || ["exists", "any", "all", "some", "then", "else", "when", "union", "with", "join", "case", "filter"]
            .iter()
            .any(|other| word.eq_ignore_ascii_case(other.as_bytes()))
}

fn is_prefix(token: Token<'_>) -> bool {
    matches!(token, Token::Word(word) if word.eq_ignore_ascii_case(b"not"))
}

fn too_complex(what: String) -> Error {
    Error::new(Kind::Limit, what).with_sqlstate("54001")
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            let byte = *self.bytes.get(self.at)?;
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' | 0x0c => self.at += 1,
                b'-' if self.peek(1) == b'-' => self.skip_line(),
                b'/' if self.peek(1) == b'*' => self.skip_comment(),
                _ => return Some(self.token(byte)),
            }
        }
    }

    fn token(&mut self, byte: u8) -> Token<'a> {
        let start = self.at;
        match byte {
            b'\'' | b'"' => self.skip_quoted(byte, false),
            b'e' | b'E' if self.peek(1) == b'\'' => {
                self.at += 1;
                self.skip_quoted(b'\'', true);
            }
            b'$' if self.dollar_tag().is_some() => self.skip_dollar(),
            b'(' | b'{' => {
                self.at += 1;
                return Token::Open;
            }
            b'[' => {
                self.at += 1;
                return Token::Subscript;
            }
            b')' | b']' | b'}' => {
                self.at += 1;
                return Token::Close;
            }
            b',' | b';' => {
                self.at += 1;
                return Token::Separator;
            }
            _ if is_word(byte) || byte == b'$' => {
                self.at += 1;
                while is_word(self.peek(0)) || self.peek(0) == b'.' && byte.is_ascii_digit() {
                    self.at += 1;
                }
                return Token::Word(&self.bytes[start..self.at]);
            }
            b'.' => {
                self.at += 1;
            }
            b':' if self.peek(1) == b':' => {
                self.at += 2;
                return Token::Costly;
            }
            b'/' | b'%' => {
                self.at += 1;
                return Token::Costly;
            }
            _ => {
                self.at += 1;
                return Token::Operator;
            }
        }
        Token::Value
    }

    fn skip_line(&mut self) {
        while self.at < self.bytes.len() && self.bytes[self.at] != b'\n' {
            self.at += 1;
        }
    }

    fn skip_comment(&mut self) {
        let mut depth = 0_usize;
        while self.at < self.bytes.len() {
            match (self.peek(0), self.peek(1)) {
                (b'/', b'*') => {
                    depth += 1;
                    self.at += 2;
                }
                (b'*', b'/') => {
                    depth = depth.saturating_sub(1);
                    self.at += 2;
                    if depth == 0 {
                        return;
                    }
                }
                _ => self.at += 1,
            }
        }
    }

    fn skip_quoted(&mut self, quote: u8, escapes: bool) {
        self.at += 1;
        while self.at < self.bytes.len() {
            let byte = self.bytes[self.at];
            self.at += 1;
            if escapes && byte == b'\\' {
                self.at += 1;
            } else if byte == quote {
                if self.peek(0) != quote {
                    return;
                }
                self.at += 1;
            }
        }
    }

    /// The length of `$tag$` at this place, when there is one.
    fn dollar_tag(&self) -> Option<usize> {
        let mut length = 1;
        loop {
            match self.peek(length) {
                b'$' => return Some(length + 1),
                byte if is_word(byte) && !(length == 1 && byte.is_ascii_digit()) => length += 1,
                _ => return None,
            }
            // A longer tag is no tag; this also keeps a text of dollars linear.
            if length > 64 {
                return None;
            }
        }
    }

    fn skip_dollar(&mut self) {
        let Some(length) = self.dollar_tag() else { return };
        let tag = &self.bytes[self.at..self.at + length];
        self.at += length;
        while self.at < self.bytes.len() {
            if self.bytes[self.at] == b'$' && self.bytes[self.at..].starts_with(tag) {
                self.at += length;
                return;
            }
            self.at += 1;
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(sql: &str) -> &'static str {
        check(sql).err().map_or("", |e| e.sqlstate())
    }

    #[test]
    fn deep_and_long_texts_are_refused() {
        assert_eq!(state(&format!("select {}1{}", "(".repeat(201), ")".repeat(201))), "54001");
        assert_eq!(state(&format!("select {}1", "array[".repeat(201))), "54001");
        assert_eq!(state(&format!("select {}1", "case when true then ".repeat(201))), "54001");
        assert_eq!(state(&format!("select {}true", "not ".repeat(300))), "54001");
        assert_eq!(state(&format!("select {}1", "- ".repeat(300))), "54001");
        assert_eq!(state(&format!("select 1{}", "+1".repeat(2_001))), "54001");
        assert_eq!(state(&format!("select 1{}", "::int".repeat(101))), "54001");
        assert_eq!(state(&format!("select 1{}", "/1".repeat(101))), "54001");
        assert_eq!(state(&format!("select 1{}", " is null".repeat(2_001))), "54001");
        assert_eq!(state(&format!("select a{}", "[1]".repeat(2_001))), "54001");
        assert_eq!(state(&format!("select {}1{}", "f(".repeat(101), ")".repeat(101))), "54001");
        assert_eq!(state(&format!("select 1{}", " union select 1".repeat(2_001))), "54001");
        assert_eq!(state(&format!("select {}1", "1,".repeat(6_000))), "54001");
        assert_eq!(state(&format!("select '{}'", "x".repeat(1 << 20))), "54000");
    }

    #[test]
    fn what_is_quoted_or_commented_does_not_count() {
        assert_eq!(state(&format!("select '{}'", "(".repeat(5_000))), "");
        assert_eq!(state(&format!("select \"{}\"", "(".repeat(5_000))), "");
        assert_eq!(state(&format!("select $a${}$a$", "($".repeat(5_000))), "");
        assert_eq!(state(&format!("select e'\\'{}'", "(".repeat(5_000))), "");
        assert_eq!(state(&format!("select 1 {}{}", "/*".repeat(5_000), "*/".repeat(5_000))), "");
        assert_eq!(state(&format!("select {}", "f(1) + ".repeat(1_000) + "1")), "");
        assert_eq!(state(&format!("select {}1", "1/2, ".repeat(1_000))), "");
        assert_eq!(state(&format!("select 1 --{}", "(".repeat(5_000))), "");
        assert_eq!(state(&format!("select * from t where id in ({}1)", "1,".repeat(4_900))), "");
    }

    #[test]
    fn hostile_texts_take_linear_time() {
        let started = std::time::Instant::now();
        for unit in ["/*", "$", "$a", "'", "\"", "$$", "--", "e'\\", "*/"] {
            let _ = state(&unit.repeat((1 << 20) / unit.len()));
        }
        assert!(started.elapsed() < std::time::Duration::from_secs(5));
    }
}
