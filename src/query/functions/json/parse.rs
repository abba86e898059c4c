//! Reading JSON, with the errors of PostgreSQL.

use super::{Json, Kind as Value};
use crate::error::{Error, Kind, Result};

/// Levels of arrays and objects.
const MAX_DEPTH: usize = 500;

/// The value of a text.
pub(in crate::query) fn parse(text: &str) -> Result<Json> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    parser.space();
    let value = parser.value("JSON value")?;
    parser.space();
    match parser.at == text.len() {
        true => Ok(value),
        false => Err(parser.expected("end of input")),
    }
}

/// Whether a text is JSON.
pub(in crate::query) fn validate(text: &str) -> Result<()> {
    parse(text).map(|_| ())
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn error(&self, detail: String) -> Error {
        Error::new(Kind::Data, "invalid input syntax for type json")
            .with_sqlstate("22P02")
            .with_detail(detail)
    }

    /// The token that stands here: a word, a string or one character.
    fn token(&self) -> &str {
        let rest = &self.text[self.at..];
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '+' | '.') || !c.is_ascii();
        let length = match rest.chars().next() {
            Some(c) if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            Some('"') => rest[1..].find('"').map_or(rest.len(), |end| end + 2),
            Some(c) => c.len_utf8(),
            None => 0,
        };
        &rest[..length]
    }

    fn expected(&self, what: &str) -> Error {
        let token = self.token();
        if token.is_empty() {
            return self.error("The input string ended unexpectedly.".into());
        }
        let first = token.as_bytes()[0];
        let is_known = matches!(token, "true" | "false" | "null")
            || matches!(first, b'{' | b'}' | b'[' | b']' | b',' | b':' | b'"')
            || (first == b'-' || first.is_ascii_digit()) && number_length(token) == Some(token.len());
        match is_known {
            true => self.error(format!("Expected {what}, but found \"{token}\".")),
            false => self.error(format!("Token \"{token}\" is invalid.")),
        }
    }

    fn value(&mut self, what: &str) -> Result<Json> {
        let start = self.at;
        let kind = match self.peek() {
            Some(b'{') => self.object()?,
            Some(b'[') => self.array()?,
            Some(b'"') => Value::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => {
                let token = self.token();
                let length = number_length(token).filter(|length| *length == token.len());
                let Some(length) = length else {
                    return Err(self.error(format!("Token \"{token}\" is invalid.")));
                };
                self.at += length;
                Value::Number(self.text[start..self.at].to_string())
            }
            _ => {
                let kind = match self.token() {
                    "true" => Value::Bool(true),
                    "false" => Value::Bool(false),
                    "null" => Value::Null,
                    _ => return Err(self.expected(what)),
                };
                self.at += self.token().len();
                kind
            }
        };
        Ok(Json { kind, span: (start, self.at) })
    }

    fn deeper(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Error::new(Kind::Limit, format!("JSON is nested more than {MAX_DEPTH} levels deep"))
                .with_sqlstate("54001"));
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    fn array(&mut self) -> Result<Value> {
        self.deeper()?;
        let mut items = Vec::new();
        if self.peek() != Some(b']') {
            items.push(self.value("array element or \"]\"")?);
            loop {
                self.space();
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(b']') => break,
                    _ => return Err(self.expected("\",\" or \"]\"")),
                }
                self.space();
                items.push(self.value("JSON value")?);
            }
        }
        self.at += 1;
        self.depth -= 1;
        Ok(Value::Array(items))
    }

    fn object(&mut self) -> Result<Value> {
        self.deeper()?;
        let mut members = Vec::new();
        if self.peek() != Some(b'}') {
            self.member("string or \"}\"", &mut members)?;
            loop {
                self.space();
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(b'}') => break,
                    _ => return Err(self.expected("\",\" or \"}\"")),
                }
                self.space();
                self.member("string", &mut members)?;
            }
        }
        self.at += 1;
        self.depth -= 1;
        Ok(Value::Object(members))
    }

    fn member(&mut self, what: &str, members: &mut Vec<(String, Json)>) -> Result<()> {
        if self.peek() != Some(b'"') {
            return Err(self.expected(what));
        }
        let key = self.string()?;
        self.space();
        if self.peek() != Some(b':') {
            return Err(self.expected("\":\""));
        }
        self.at += 1;
        self.space();
        members.push((key, self.value("JSON value")?));
        Ok(())
    }

    fn string(&mut self) -> Result<String> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let Some(c) = self.text[self.at..].chars().next() else {
                return Err(self.error("The input string ended unexpectedly.".into()));
            };
            self.at += c.len_utf8();
            match c {
                '"' => return Ok(out),
                '\\' => out.push(self.escape()?),
                c if (c as u32) < 0x20 => {
                    let detail = format!("Character with value 0x{:02x} must be escaped.", c as u32);
                    return Err(self.error(detail));
                }
                c => out.push(c),
            }
        }
    }

    fn escape(&mut self) -> Result<char> {
        let Some(c) = self.text[self.at..].chars().next() else {
            return Err(self.error("The input string ended unexpectedly.".into()));
        };
        self.at += c.len_utf8();
        Ok(match c {
            '"' | '\\' | '/' => c,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => return self.unicode(),
            other => return Err(self.error(format!("Escape sequence \"\\{other}\" is invalid."))),
        })
    }

    fn hex(&mut self) -> Result<u32> {
        let digits = self.text.get(self.at..self.at + 4).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        self.at += 4;
        code.ok_or_else(|| self.error("\"\\u\" must be followed by four hexadecimal digits.".into()))
    }

    fn unicode(&mut self) -> Result<char> {
        let code = self.hex()?;
        if code == 0 {
            return Err(Error::new(Kind::Data, "unsupported Unicode escape sequence")
                .with_sqlstate("22P05")
                .with_detail("\\u0000 cannot be converted to text."));
        }
        let code = match code {
            0xd800..=0xdbff => {
                if !self.text[self.at..].starts_with("\\u") {
                    let detail = "Unicode low surrogate must follow a high surrogate.";
                    return Err(self.error(detail.into()));
                }
                self.at += 2;
                let low = self.hex()?;
                if !(0xdc00..=0xdfff).contains(&low) {
                    let detail = "Unicode low surrogate must follow a high surrogate.";
                    return Err(self.error(detail.into()));
                }
                0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00)
            }
            code => code,
        };
        char::from_u32(code)
            .ok_or_else(|| self.error("Unicode low surrogate must follow a high surrogate.".into()))
    }
}

/// Characters of the number that a text begins with.
fn number_length(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let digits =
        |from: usize| bytes[from.min(bytes.len())..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut at = usize::from(bytes.first() == Some(&b'-'));
    let whole = digits(at);
    if whole == 0 || (whole > 1 && bytes[at] == b'0') {
        return None;
    }
    at += whole;
    if bytes.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        if fraction == 0 {
            return None;
        }
        at += 1 + fraction;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits(at + 1 + sign);
        if exponent == 0 {
            return None;
        }
        at += 1 + sign + exponent;
    }
    Some(at)
}
