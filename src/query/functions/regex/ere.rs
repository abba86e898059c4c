//! From PostgreSQL's syntax of regular expressions to that of the engines.

use super::invalid;
use crate::error::{Error, Kind, Result};

/// Which of several matches from one place is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Preference {
    Longest,
    Shortest,
}

/// An expression for the engines.
pub(super) struct Parsed {
    pub(super) text: String,
    pub(super) preference: Option<Preference>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Options {
    ignores_case: bool,
    is_expanded: bool,
    /// `.` and negated brackets stop at line ends.
    stops_at_lines: bool,
    /// `^` and `$` match at line ends.
    anchors_at_lines: bool,
    is_literal: bool,
}

struct Parser<'a> {
    rest: &'a str,
    out: String,
    options: Options,
    groups: usize,
    depth: usize,
}

/// Brackets within brackets.
const MAX_DEPTH: usize = 100;

pub(super) fn parse(pattern: &str, flags: &str) -> Result<Parsed> {
    let mut options = Options::default();
    for flag in flags.chars() {
        set(&mut options, flag)?;
    }
    let mut rest = pattern;
    if let Some(literal) = rest.strip_prefix("***=") {
        options.is_literal = true;
        rest = literal;
    } else if let Some(advanced) = rest.strip_prefix("***:") {
        rest = advanced;
    } else if rest.starts_with("***") {
        return Err(invalid("quantifier operand invalid"));
    }
    if !options.is_literal
        && let Some(inner) = rest.strip_prefix("(?")
        && let Some(end) = inner.find(')')
        && end > 0
        && inner[..end].bytes().all(|b| b.is_ascii_lowercase())
    {
        for flag in inner[..end].chars() {
            set(&mut options, flag)?;
        }
        rest = &inner[end + 1..];
    }
    let mut head = String::from("(?");
    head.push_str(if options.ignores_case { "i" } else { "-i" });
    head.push(')');
    if options.is_literal {
        head.push_str(&escape(rest));
        return Ok(Parsed { text: head, preference: None });
    }
    let mut parser = Parser { rest, out: head, options, groups: 0, depth: 0 };
    let preference = parser.alternatives()?;
    if !parser.rest.is_empty() {
        return Err(invalid("parentheses () not balanced"));
    }
    Ok(Parsed { text: parser.out, preference })
}

const WORD_START: &str = r"\b{start}";
const WORD_END: &str = r"\b{end}";

/// 0A000
fn backtracks(what: &str) -> Error {
    Error::new(Kind::Unsupported, format!("{what} in a regular expression is not supported"))
}

fn set(options: &mut Options, flag: char) -> Result<()> {
    match flag {
        'i' => options.ignores_case = true,
        'c' => options.ignores_case = false,
        'x' => options.is_expanded = true,
        't' => options.is_expanded = false,
        'n' | 'm' => (options.stops_at_lines, options.anchors_at_lines) = (true, true),
        'p' => (options.stops_at_lines, options.anchors_at_lines) = (true, false),
        'w' => (options.stops_at_lines, options.anchors_at_lines) = (false, true),
        's' => (options.stops_at_lines, options.anchors_at_lines) = (false, false),
        'q' => options.is_literal = true,
        'e' | 'b' => {}
        other => {
            let what = format!("invalid regular expression option: \"{other}\"");
            return Err(Error::new(Kind::Invalid, what));
        }
    }
    Ok(())
}

/// A text as an expression that matches it alone.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|c| push_literal(c, &mut out));
    out
}

fn push_literal(c: char, out: &mut String) {
    if c.is_ascii_punctuation() {
        out.push('\\');
        out.push(c);
    } else if c.is_ascii_whitespace() || c.is_control() {
        out.push_str(&format!("\\x{{{:x}}}", c as u32));
    } else {
        out.push(c);
    }
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn take(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Branches separated by `|`, up to the closing bracket or the end.
    fn alternatives(&mut self) -> Result<Option<Preference>> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(invalid("regular expression is too complex"));
        }
        let mut preference = self.branch()?;
        while self.take("|") {
            self.out.push('|');
            self.branch()?;
            preference = Some(Preference::Longest);
        }
        self.depth -= 1;
        Ok(preference)
    }

    fn branch(&mut self) -> Result<Option<Preference>> {
        let mut preference = None;
        loop {
            if self.options.is_expanded {
                self.skip_comments();
            }
            match self.peek() {
                None | Some('|') => return Ok(preference),
                Some(')') if self.depth > 1 => return Ok(preference),
                // A bracket that closes nothing.
                Some(')') => return Err(invalid("parentheses () not balanced")),
                Some('*' | '+' | '?') => return Err(invalid("quantifier operand invalid")),
                Some(_) => {
                    let start = self.out.len();
                    let (inner, is_constraint) = self.atom()?;
                    let own = self.quantifier(start, is_constraint)?;
                    preference = preference.or(own).or(inner);
                }
            }
        }
    }

    fn skip_comments(&mut self) {
        while let Some(c) = self.peek() {
            if c.is_whitespace() {
                self.next();
            } else if c == '#' {
                while self.next().is_some_and(|c| c != '\n') {}
            } else {
                break;
            }
        }
    }

    /// An atom, what it prefers, and whether it matches places rather than characters.
    fn atom(&mut self) -> Result<(Option<Preference>, bool)> {
        let Some(c) = self.next() else { return Ok((None, false)) };
        match c {
            '(' => return self.group(),
            '[' => self.bracket()?,
            '.' => self.out.push_str(if self.options.stops_at_lines { r"[^\n]" } else { r"(?s:.)" }),
            '^' => {
                self.out.push_str(if self.options.anchors_at_lines { "(?m:^)" } else { r"\A" });
                return Ok((None, true));
            }
            '$' => {
                self.out.push_str(if self.options.anchors_at_lines { "(?m:$)" } else { r"\z" });
                return Ok((None, true));
            }
            '\\' => return self.escaped().map(|is_constraint| (None, is_constraint)),
            '{' if self.peek().is_some_and(|c| c.is_ascii_digit()) => {
                return Err(invalid("quantifier operand invalid"));
            }
            c => push_literal(c, &mut self.out),
        }
        Ok((None, false))
    }

    fn group(&mut self) -> Result<(Option<Preference>, bool)> {
        let open = ["?:", "?=", "?!", "?<=", "?<!"].into_iter().find(|kind| self.take(kind));
        match open {
            Some("?:") => self.out.push_str("(?:"),
            Some(_) => return Err(backtracks("look-around")),
            None if self.take("?#") => {
                while self.next().is_some_and(|c| c != ')') {}
                return Ok((None, true));
            }
            None if self.rest.starts_with('?') => return Err(invalid("quantifier operand invalid")),
            None => {
                self.groups += 1;
                self.out.push('(');
            }
        }
        let preference = self.alternatives()?;
        if !self.take(")") {
            return Err(invalid("parentheses () not balanced"));
        }
        self.out.push(')');
        Ok((preference, false))
    }

    fn quantifier(&mut self, start: usize, is_constraint: bool) -> Result<Option<Preference>> {
        let shown = match self.peek() {
            Some(c @ ('*' | '+' | '?')) => {
                self.next();
                c.to_string()
            }
            Some('{') if self.rest[1..].starts_with(|c: char| c.is_ascii_digit()) => self.bounds()?,
            _ => return Ok(None),
        };
        if is_constraint {
            return Err(invalid("quantifier operand invalid"));
        }
        let is_lazy = self.take("?");
        if matches!(self.peek(), Some('*' | '+' | '?')) {
            return Err(invalid("quantifier operand invalid"));
        }
        // An atom may be several characters for the engine.
        let atom = self.out.split_off(start);
        self.out.push_str(&format!("(?:{atom}){shown}"));
        if is_lazy {
            self.out.push('?');
        }
        let is_fixed = shown.starts_with('{') && !shown.contains(',');
        Ok(match (is_fixed, is_lazy) {
            (true, _) => None,
            (_, true) => Some(Preference::Shortest),
            _ => Some(Preference::Longest),
        })
    }

    /// `{m}`, `{m,}`, `{m,n}`
    fn bounds(&mut self) -> Result<String> {
        let end = self.rest.find('}').ok_or_else(|| invalid("braces {} not balanced"))?;
        let inner = &self.rest[1..end];
        let (least, most) = inner.split_once(',').unwrap_or((inner, inner));
        let number = |text: &str| text.parse::<u32>().ok().filter(|n| *n <= 255);
        let bad = || invalid("invalid repetition count(s)");
        let least = number(least).ok_or_else(bad)?;
        if !most.is_empty() && number(most).is_none_or(|most| most < least) {
            return Err(bad());
        }
        let shown = self.rest[..=end].to_string();
        self.rest = &self.rest[end + 1..];
        Ok(shown)
    }

    /// What follows a backslash; whether it matches a place.
    fn escaped(&mut self) -> Result<bool> {
        let Some(c) = self.next() else { return Err(invalid("invalid escape \\ sequence")) };
        match c {
            'd' | 'w' | 's' | 'D' | 'W' | 'S' => {
                self.out.push('\\');
                self.out.push(c);
            }
            'A' => self.out.push_str(r"\A"),
            'Z' => self.out.push_str(r"\z"),
            'm' => self.out.push_str(WORD_START),
            'M' => self.out.push_str(WORD_END),
            'y' => self.out.push_str(r"\b"),
            'Y' => self.out.push_str(r"\B"),
            '1'..='9' => {
                let mut number = c.to_string();
                while let Some(digit) = self.peek().filter(char::is_ascii_digit) {
                    let longer = format!("{number}{digit}");
                    if longer.parse::<usize>().is_ok_and(|n| n > self.groups) {
                        break;
                    }
                    number = longer;
                    self.next();
                }
                if number.parse::<usize>().is_ok_and(|n| n > self.groups) {
                    return Err(invalid("invalid backreference number"));
                }
                return Err(backtracks("a back reference"));
            }
            other => {
                let c = self.character(other)?;
                push_literal(c, &mut self.out);
            }
        }
        Ok(matches!(c, 'A' | 'Z' | 'm' | 'M' | 'y' | 'Y'))
    }

    /// The character that an escape stands for.
    fn character(&mut self, c: char) -> Result<char> {
        let bad = || invalid("invalid escape \\ sequence");
        let mut hex = |digits: usize| {
            let text: String = self.rest.chars().take(digits).collect();
            let code = u32::from_str_radix(&text, 16).ok().filter(|_| text.chars().count() == digits);
            self.rest = self.rest.get(text.len()..).unwrap_or_default();
            code.and_then(char::from_u32).ok_or_else(bad)
        };
        Ok(match c {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'B' => '\\',
            'e' => '\u{1b}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            'u' => hex(4)?,
            'U' => hex(8)?,
            'x' => {
                let digits = self.rest.bytes().take_while(u8::is_ascii_hexdigit).count();
                let text = &self.rest[..digits];
                self.rest = &self.rest[digits..];
                u32::from_str_radix(text, 16).ok().and_then(char::from_u32).ok_or_else(bad)?
            }
            'c' => char::from_u32(self.next().ok_or_else(bad)? as u32 & 0x1f).ok_or_else(bad)?,
            '0' => '\0',
            c if c.is_ascii_alphanumeric() => return Err(bad()),
            c => c,
        })
    }

    /// `[...]`, behind its opening bracket.
    fn bracket(&mut self) -> Result<()> {
        if self.take("[:<:]]") {
            self.out.push_str(WORD_START);
            return Ok(());
        }
        if self.take("[:>:]]") {
            self.out.push_str(WORD_END);
            return Ok(());
        }
        self.out.push('[');
        if self.take("^") {
            self.out.push('^');
            if self.options.stops_at_lines {
                self.out.push_str(r"\n");
            }
        }
        let unbalanced = || invalid("brackets [] not balanced");
        let mut is_first = true;
        loop {
            if self.rest.is_empty() {
                return Err(unbalanced());
            }
            if !is_first && self.take("]") {
                self.out.push(']');
                return Ok(());
            }
            is_first = false;
            if self.take("[:") {
                let end = self.rest.find(":]").ok_or_else(unbalanced)?;
                let name = &self.rest[..end];
                self.out.push_str(class(name)?);
                self.rest = &self.rest[end + 2..];
                continue;
            }
            let Some(from) = self.member()? else { continue };
            let is_range = self.rest.starts_with('-') && !self.rest.starts_with("-]");
            if !is_range {
                push_literal(from, &mut self.out);
                continue;
            }
            self.next();
            let to = self.member()?.ok_or_else(|| invalid("invalid character range"))?;
            if to < from {
                return Err(invalid("invalid character range"));
            }
            push_literal(from, &mut self.out);
            self.out.push('-');
            push_literal(to, &mut self.out);
        }
    }

    /// A character in brackets; `None` when it was a class, which is written already.
    fn member(&mut self) -> Result<Option<char>> {
        for (open, close) in [("[.", ".]"), ("[=", "=]")] {
            if self.take(open) {
                let end = self.rest.find(close).ok_or_else(|| invalid("brackets [] not balanced"))?;
                let mut chars = self.rest[..end].chars();
                let (first, more) = (chars.next(), chars.next());
                self.rest = &self.rest[end + 2..];
                return match (first, more) {
                    (Some(c), None) => Ok(Some(c)),
                    _ => Err(invalid("invalid collating element")),
                };
            }
        }
        let Some(c) = self.next() else { return Err(invalid("brackets [] not balanced")) };
        if c != '\\' {
            return Ok(Some(c));
        }
        let c = self.next().ok_or_else(|| invalid("invalid escape \\ sequence"))?;
        if "dwsDWS".contains(c) {
            self.out.push('\\');
            self.out.push(c);
            return Ok(None);
        }
        self.character(c).map(Some)
    }
}

fn class(name: &str) -> Result<&'static str> {
    Ok(match name {
        "alpha" => r"\p{Alphabetic}",
        "digit" => r"\d",
        "alnum" => r"\p{Alphabetic}\d",
        "upper" => r"\p{Uppercase}",
        "lower" => r"\p{Lowercase}",
        "space" => r"\s",
        "blank" => r"\x20\t",
        "punct" => r"\p{P}\p{S}",
        "cntrl" => r"\p{Cc}",
        "xdigit" => "0-9A-Fa-f",
        "print" => r"\P{C}",
        "graph" => r"\p{L}\p{M}\p{N}\p{P}\p{S}",
        "word" => r"\w",
        "ascii" => r"\x00-\x7f",
        _ => return Err(invalid("invalid character class")),
    })
}
