//! Reading tokens one after the other, with errors as PostgreSQL words them.

use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, TokenizerError};

use super::places::Places;
use crate::error::{Error, Kind, Result};

/// Where lines begin, to turn lines and columns into positions.
pub(super) struct Positions {
    /// Byte and character offset of every line.
    lines: Vec<(usize, u32)>,
}

impl Positions {
    pub(super) fn new(sql: &str) -> Self {
        let mut lines = vec![(0, 0)];
        for (index, (byte, c)) in sql.char_indices().enumerate() {
            if c == '\n' {
                lines.push((byte + 1, index as u32 + 1));
            }
        }
        Positions { lines }
    }

    /// 1-based character position.
    pub(super) fn of(&self, location: Location) -> u32 {
        let line = (location.line.max(1) as usize - 1).min(self.lines.len() - 1);
        self.lines[line].1 + location.column.max(1) as u32
    }

    fn byte(&self, sql: &str, location: Location) -> usize {
        let line = (location.line.max(1) as usize - 1).min(self.lines.len() - 1);
        let start = self.lines[line].0;
        let column = location.column.max(1) as usize - 1;
        sql[start..].char_indices().nth(column).map_or(sql.len(), |(byte, _)| start + byte)
    }

    /// The text the tokens were made from.
    pub(super) fn slice<'a>(&self, sql: &'a str, tokens: &[TokenWithSpan]) -> &'a str {
        let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else { return "" };
        let (start, end) = (self.byte(sql, first.span.start), self.byte(sql, last.span.end));
        sql.get(start..end).unwrap_or(sql)
    }

    /// The error of a number that goes on where PostgreSQL's does not: `0x1F`, `1_000`.
    pub(super) fn junk(&self, sql: &str, tokens: &[TokenWithSpan]) -> Option<Error> {
        let is_junk = |token: &&TokenWithSpan| match &token.token {
            Token::Number(text, _) => text.contains('_'),
            Token::HexStringLiteral(_) => self.slice(sql, std::slice::from_ref(*token)).starts_with('0'),
            _ => false,
        };
        let token = tokens.iter().find(is_junk)?;
        let text = self.slice(sql, std::slice::from_ref(token));
        let what = format!("trailing junk after numeric literal at or near \"{text}\"");
        Some(syntax_error(what).with_position(self.of(token.span.start)))
    }

    /// Texts that go on in a later line become one; in the same line nothing may follow but an operator.
    pub(super) fn joined(&self, sql: &str, tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>> {
        let mut joined: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
        for token in tokens {
            if let (Token::SingleQuotedString(more), Some(last)) = (&token.token, joined.last_mut())
                && let Token::SingleQuotedString(text) = &mut last.token
            {
                if last.span.end.line == token.span.start.line {
                    let text = self.slice(sql, std::slice::from_ref(&token));
                    let error = syntax_error(format!("syntax error at or near \"{text}\""));
                    return Err(error.with_position(self.of(token.span.start)));
                }
                text.push_str(more);
                last.span.end = token.span.end;
                continue;
            }
            joined.push(token);
        }
        Ok(joined)
    }

    pub(super) fn tokenizer_error(&self, sql: &str, error: &TokenizerError) -> Error {
        let what = if error.message.contains("comment") {
            "unterminated /* comment"
        } else if error.message.contains("close delimiter") {
            "unterminated quoted identifier"
        } else if error.message.contains("dollar") {
            "unterminated dollar-quoted string"
        } else if error.message.contains("Unterminated string") {
            "unterminated quoted string"
        } else {
            "a part of the text is no SQL"
        };
        let last = sql.chars().count() as u32;
        let rest: String = sql.chars().skip(self.of(error.location).max(1) as usize - 1).collect();
        let what = match what {
            "unterminated quoted string" | "unterminated quoted identifier" if !rest.is_empty() => {
                format!("{what} at or near \"{rest}\"")
            }
            other => other.to_string(),
        };
        syntax_error(what).with_position(self.of(error.location).min(last.max(1)))
    }
}

/// 42601
pub(super) fn syntax_error(what: impl Into<String>) -> Error {
    Error::new(Kind::Invalid, what).with_sqlstate("42601")
}

/// The tokens of one statement without blanks.
pub(super) struct Cursor<'a> {
    tokens: Vec<TokenWithSpan>,
    at: usize,
    /// Where the semicolon behind the statement stands, if there is one.
    end: Option<u32>,
    positions: &'a Positions,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(tokens: Vec<TokenWithSpan>, end: Option<u32>, positions: &'a Positions) -> Self {
        Cursor { tokens, at: 0, end, positions }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.tokens.len()
    }

    pub(super) fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|token| &token.token)
    }

    pub(super) fn peek_at(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.at + ahead).map(|token| &token.token)
    }

    pub(super) fn advance(&mut self) {
        self.at += 1;
    }

    pub(super) fn rewind(&mut self) {
        self.at = 0;
    }

    pub(super) fn position(&self) -> u32 {
        let end = || self.tokens.last().map(|token| token.span.end);
        let location = self.tokens.get(self.at).map(|token| token.span.start).or_else(end);
        location.map_or(1, |location| self.positions.of(location))
    }

    /// The unexpected token at this place as PostgreSQL reports it.
    pub(super) fn unexpected(&self) -> Error {
        let error = match self.peek() {
            Some(Token::SingleQuotedString(_) | Token::EscapedStringLiteral(_)) => {
                // The constant may be a secret.
                syntax_error("syntax error at or near a text constant")
            }
            Some(Token::DollarQuotedString(_)) => syntax_error("syntax error at or near a text constant"),
            Some(token) => syntax_error(format!("syntax error at or near \"{token}\"")),
            None => match self.end {
                Some(end) => return syntax_error("syntax error at or near \";\"").with_position(end),
                None => syntax_error("syntax error at end of input"),
            },
        };
        error.with_position(self.position())
    }

    /// The same for the token of that number.
    pub(super) fn unexpected_at(&mut self, index: usize) -> Error {
        self.at = index;
        self.unexpected()
    }

    pub(super) fn expect_end(&self) -> Result<()> {
        if self.is_at_end() { Ok(()) } else { Err(self.unexpected()) }
    }

    /// Whether the token `ahead` is this unquoted word.
    pub(super) fn is_word(&self, ahead: usize, keyword: &str) -> bool {
        matches!(self.peek_at(ahead), Some(Token::Word(word))
            if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(keyword))
    }

    /// The unquoted word `ahead`, lower-cased; nothing where there is none.
    pub(super) fn word(&self, ahead: usize) -> String {
        match self.peek_at(ahead) {
            Some(Token::Word(word)) if word.quote_style.is_none() => word.value.to_lowercase(),
            _ => String::new(),
        }
    }

    /// Takes an unquoted word when it is there.
    pub(super) fn take(&mut self, keyword: &str) -> bool {
        let found = self.is_word(0, keyword);
        if found {
            self.at += 1;
        }
        found
    }

    /// Takes several unquoted words when all are there.
    pub(super) fn take_all(&mut self, keywords: &[&str]) -> bool {
        let found = keywords.iter().enumerate().all(|(ahead, keyword)| self.is_word(ahead, keyword));
        if found {
            self.at += keywords.len();
        }
        found
    }

    pub(super) fn expect(&mut self, keyword: &str) -> Result<()> {
        if self.take(keyword) { Ok(()) } else { Err(self.unexpected()) }
    }

    pub(super) fn take_token(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        if found {
            self.at += 1;
        }
        found
    }

    pub(super) fn expect_token(&mut self, token: &Token) -> Result<()> {
        if self.take_token(token) { Ok(()) } else { Err(self.unexpected()) }
    }

    /// An identifier: lower-cased unless quoted.
    pub(super) fn identifier(&mut self) -> Result<String> {
        let name = match self.peek() {
            Some(Token::Word(word)) if word.quote_style.is_none() => word.value.to_lowercase(),
            Some(Token::Word(word)) => word.value.clone(),
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        Ok(name)
    }

    /// The first word, lower-cased.
    pub(super) fn first_word(&self) -> String {
        match self.tokens.first().map(|token| &token.token) {
            Some(Token::Word(word)) if word.quote_style.is_none() => word.value.to_lowercase(),
            _ => String::new(),
        }
    }

    /// A text constant.
    pub(super) fn text(&mut self) -> Result<String> {
        let text = match self.peek() {
            Some(Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text)) => text.clone(),
            Some(Token::UnicodeStringLiteral(text)) => text.clone(),
            Some(Token::DollarQuotedString(text)) => text.value.clone(),
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        Ok(text)
    }

    /// Lets sqlparser read from here; what it leaves is read on by us.
    pub(super) fn parse<T>(
        &mut self,
        read: impl FnOnce(&mut Parser<'_>) -> std::result::Result<T, ParserError>,
    ) -> Result<T> {
        let dialect = super::dialect::Postgres;
        let mut parser = Parser::new(&dialect)
            .with_recursion_limit(2_000)
            .with_tokens_with_locations(self.tokens[self.at.min(self.tokens.len())..].to_vec());
        match read(&mut parser) {
            Ok(value) => {
                self.at += parser.index();
                Ok(value)
            }
            Err(error) => {
                let index = parser.index();
                Err(self.parser_error(&error, index))
            }
        }
    }

    /// sqlparser names the token it stumbled over by line and column at the end of its message.
    fn parser_error(&mut self, error: &ParserError, index: usize) -> Error {
        let message = match error {
            ParserError::RecursionLimitExceeded => {
                return Error::new(Kind::Limit, "the statement is nested too deeply").with_sqlstate("54001");
            }
            ParserError::ParserError(message) | ParserError::TokenizerError(message) => message.clone(),
        };
        if let Some(location) = location(&message) {
            let found = self.tokens.iter().position(|token| token.span.start == location);
            self.at = found.unwrap_or(self.tokens.len());
            return self.unexpected().with_source(message);
        }
        if message.contains("found: EOF") {
            self.at = self.tokens.len();
        } else {
            self.at += index.saturating_sub(1);
        }
        self.unexpected().with_source(message)
    }

    /// The text with constants replaced where `secret` says so for the number of the token.
    pub(super) fn redacted(&self, secret: impl Fn(usize) -> bool) -> String {
        let mut text = String::new();
        for (number, token) in self.tokens.iter().enumerate() {
            let is_constant = !matches!(
                token.token,
                Token::Word(_) | Token::Comma | Token::LParen | Token::RParen | Token::RArrow | Token::Period
            );
            let hidden = is_constant && secret(number);
            let tight = matches!(token.token, Token::Comma | Token::RParen | Token::Period | Token::LParen)
                || text.ends_with(['(', '.'])
                || text.is_empty();
            if !tight {
                text.push(' ');
            }
            if hidden {
                text.push_str("'***'");
            } else {
                text.push_str(&token.token.to_string());
            }
        }
        text
    }

    /// The part of the statement's text that begins at this place.
    pub(super) fn rest_of<'t>(&self, text: &'t str) -> &'t str {
        let first = self.tokens.first().map_or(1, |token| self.positions.of(token.span.start));
        let offset = (self.position() - first) as usize;
        text.char_indices().nth(offset).map_or("", |(byte, _)| &text[byte..])
    }

    /// An error of the part that begins at this place, with its position in the whole text.
    pub(super) fn moved(&self, error: Error) -> Error {
        match error.position() {
            Some(position) => error.with_position(position + self.position() - 1),
            None => error,
        }
    }

    /// `TABLE name` becomes `SELECT * FROM name`, wherever a query may begin.
    pub(super) fn replace_table_keywords(&mut self) {
        let word = |token: Option<&TokenWithSpan>, words: &[&str]| match token.map(|token| &token.token) {
            Some(Token::Word(word)) => {
                word.quote_style.is_none() && words.iter().any(|name| word.value.eq_ignore_ascii_case(name))
            }
            _ => false,
        };
        let mut at = self.at;
        while at + 1 < self.tokens.len() {
            let before = at.checked_sub(1).filter(|before| *before >= self.at);
            let begins = match before.and_then(|before| self.tokens.get(before)) {
                None => true,
                Some(token) if token.token == Token::LParen => true,
                token => word(token, &["union", "intersect", "except", "all", "distinct"]),
            };
            if begins
                && word(self.tokens.get(at), &["table"])
                && matches!(self.tokens[at + 1].token, Token::Word(_))
            {
                let span = self.tokens[at].span;
                let words = [Token::make_keyword("SELECT"), Token::Mul, Token::make_keyword("FROM")];
                self.tokens.splice(at..=at, words.map(|word| TokenWithSpan::new(word, span)));
            }
            at += 1;
        }
    }

    /// `trim(FROM x)` and `trim(BOTH FROM x)` become `trim(x)` and `trim(BOTH x)`, which sqlparser reads.
    pub(super) fn drop_from_of_trim(&mut self) {
        let is = |token: Option<&TokenWithSpan>, words: &[&str]| match token.map(|token| &token.token) {
            Some(Token::Word(word)) => {
                word.quote_style.is_none() && words.iter().any(|name| word.value.eq_ignore_ascii_case(name))
            }
            _ => false,
        };
        let mut at = self.at;
        while at + 2 < self.tokens.len() {
            let opens = is(self.tokens.get(at), &["trim"]) && self.tokens[at + 1].token == Token::LParen;
            let sided = usize::from(is(self.tokens.get(at + 2), &["both", "leading", "trailing"]));
            if opens && is(self.tokens.get(at + 2 + sided), &["from"]) {
                self.tokens.remove(at + 2 + sided);
            }
            at += 1;
        }
    }

    pub(super) fn skip_all(&mut self) {
        self.at = self.tokens.len();
    }

    pub(super) fn tokens(&self) -> &[TokenWithSpan] {
        &self.tokens
    }

    pub(super) fn positions(&self) -> &'a Positions {
        self.positions
    }

    /// Where the parts of what was parsed from here stand.
    pub(super) fn places(&self) -> Places<'_> {
        Places::new(&self.tokens, self.positions)
    }
}

/// ` at Line: 1, Column: 8` at the end of a message.
fn location(message: &str) -> Option<Location> {
    let (_, place) = message.rsplit_once(" at Line: ")?;
    let (line, column) = place.split_once(", Column: ")?;
    Some(Location::new(line.parse().ok()?, column.trim().parse().ok()?))
}
