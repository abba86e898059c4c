//! Numbers shown and read by a pattern. The rules are those of PostgreSQL's `formatting.c`, step by step: which blank
//! stands where follows from the order of its steps, and from nothing simpler.

mod reader;
mod roman;

use self::reader::Reader;
use self::roman::ROMAN;
use super::moment::ordinal_suffix;
use crate::error::{Error, Kind, Result};
use crate::query::functions::number::{Number, power_of_ten};
use crate::query::functions::text::invalid_syntax;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Key {
    Nine,
    Zero,
    Point,
    Comma,
    Group,
    Currency,
    Minus,
    Plus,
    Sign,
    Locale,
    Bracket,
    Roman { lower: bool },
    Ordinal { upper: bool },
    Shift,
    Exponent,
    Fill,
    Blank,
}

#[derive(Debug, Clone)]
enum Node {
    Key(Key),
    Text(char),
}

const KEYS: &[(&str, Key)] = &[
    (",", Key::Comma),
    (".", Key::Point),
    ("0", Key::Zero),
    ("9", Key::Nine),
    ("B", Key::Blank),
    ("D", Key::Point),
    ("EEEE", Key::Exponent),
    ("FM", Key::Fill),
    ("G", Key::Group),
    ("L", Key::Currency),
    ("MI", Key::Minus),
    ("PL", Key::Plus),
    ("PR", Key::Bracket),
    ("SG", Key::Sign),
    ("SP", Key::Blank),
    ("S", Key::Locale),
    ("V", Key::Shift),
];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Anchor {
    None,
    Before,
    After,
}

/// A pattern of numbers.
#[derive(Debug, Clone)]
pub(super) struct NumberPattern {
    nodes: Vec<Node>,
    /// Digits before and after the point, and behind `V`.
    pre: usize,
    post: usize,
    multi: usize,
    has_point: bool,
    has_zero: bool,
    zero_start: usize,
    zero_end: usize,
    is_fill: bool,
    is_bracket: bool,
    is_minus: bool,
    is_plus: bool,
    is_shift: bool,
    is_exponent: bool,
    is_roman: bool,
    sign: Anchor,
    pre_sign: usize,
}

fn syntax(what: &str) -> Error {
    Error::new(Kind::Invalid, what).with_sqlstate("42601")
}

impl NumberPattern {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut pattern = NumberPattern {
            nodes: Vec::new(),
            pre: 0,
            post: 0,
            multi: 0,
            has_point: false,
            has_zero: false,
            zero_start: 0,
            zero_end: 0,
            is_fill: false,
            is_bracket: false,
            is_minus: false,
            is_plus: false,
            is_shift: false,
            is_exponent: false,
            is_roman: false,
            sign: Anchor::None,
            pre_sign: 0,
        };
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let key = match rest.get(..2) {
                Some("RN") => Some((2, Key::Roman { lower: false })),
                Some("rn") => Some((2, Key::Roman { lower: true })),
                Some("TH") => Some((2, Key::Ordinal { upper: true })),
                Some("th") => Some((2, Key::Ordinal { upper: false })),
                _ => None,
            };
            let key = key.or_else(|| {
                let is_it = |name: &str| rest.starts_with(name) || rest.starts_with(&name.to_lowercase());
                KEYS.iter().find(|(name, _)| is_it(name)).map(|(name, key)| (name.len(), *key))
            });
            if let Some((length, key)) = key {
                pattern.add(key)?;
                pattern.nodes.push(Node::Key(key));
                rest = &rest[length..];
                continue;
            }
            rest = &rest[c.len_utf8()..];
            match c {
                '"' => {
                    let mut chars = rest.char_indices();
                    let mut end = rest.len();
                    while let Some((at, c)) = chars.next() {
                        match c {
                            '"' => {
                                end = at + 1;
                                break;
                            }
                            '\\' => {
                                if let Some((_, c)) = chars.next() {
                                    pattern.nodes.push(Node::Text(c));
                                }
                            }
                            c => pattern.nodes.push(Node::Text(c)),
                        }
                    }
                    rest = &rest[end..];
                }
                '\\' if rest.starts_with('"') => {
                    pattern.nodes.push(Node::Text('"'));
                    rest = &rest[1..];
                }
                c => pattern.nodes.push(Node::Text(c)),
            }
        }
        Ok(pattern)
    }

    fn add(&mut self, key: Key) -> Result<()> {
        if self.is_exponent && !matches!(key, Key::Exponent) {
            return Err(syntax("\"EEEE\" must be the last pattern used"));
        }
        match key {
            Key::Nine => {
                if self.is_bracket {
                    return Err(syntax("\"9\" must be ahead of \"PR\""));
                }
                match (self.is_shift, self.has_point) {
                    (true, _) => self.multi += 1,
                    (_, true) => self.post += 1,
                    _ => self.pre += 1,
                }
            }
            Key::Zero => {
                if self.is_bracket {
                    return Err(syntax("\"0\" must be ahead of \"PR\""));
                }
                if !self.has_zero && !self.has_point {
                    self.has_zero = true;
                    self.zero_start = self.pre + 1;
                }
                if self.has_point {
                    self.post += 1;
                } else {
                    self.pre += 1;
                }
                self.zero_end = self.pre + self.post;
            }
            Key::Point => {
                if self.has_point {
                    return Err(syntax("multiple decimal points"));
                }
                if self.is_shift {
                    return Err(syntax("cannot use \"V\" and decimal point together"));
                }
                self.has_point = true;
            }
            Key::Fill => self.is_fill = true,
            Key::Locale => {
                if self.sign != Anchor::None {
                    return Err(syntax("cannot use \"S\" twice"));
                }
                if self.is_plus || self.is_minus || self.is_bracket {
                    return Err(syntax("cannot use \"S\" and \"PL\"/\"MI\"/\"SG\"/\"PR\" together"));
                }
                if self.has_point {
                    self.sign = Anchor::After;
                } else {
                    (self.sign, self.pre_sign) = (Anchor::Before, self.pre);
                }
            }
            Key::Minus => {
                self.refuse_with_sign("MI")?;
                self.is_minus = true;
            }
            Key::Plus => {
                self.refuse_with_sign("PL")?;
                self.is_plus = true;
            }
            Key::Sign => {
                self.refuse_with_sign("SG")?;
                (self.is_minus, self.is_plus) = (true, true);
            }
            Key::Bracket => {
                if self.sign != Anchor::None || self.is_plus || self.is_minus {
                    let what = "cannot use \"PR\" and \"S\"/\"PL\"/\"MI\"/\"SG\" together";
                    return Err(syntax(what));
                }
                self.is_bracket = true;
            }
            Key::Roman { .. } => self.is_roman = true,
            Key::Shift => {
                if self.has_point {
                    return Err(syntax("cannot use \"V\" and decimal point together"));
                }
                self.is_shift = true;
            }
            Key::Exponent => {
                if self.is_exponent {
                    return Err(syntax("cannot use \"EEEE\" twice"));
                }
                self.is_exponent = true;
            }
            Key::Comma | Key::Group | Key::Currency | Key::Ordinal { .. } | Key::Blank => {}
        }
        Ok(())
    }

    fn refuse_with_sign(&self, name: &str) -> Result<()> {
        match self.sign {
            Anchor::None => Ok(()),
            _ => Err(syntax(&format!("cannot use \"S\" and \"{name}\" together"))),
        }
    }

    pub(super) fn show_integer(&self, value: i64) -> Result<String> {
        self.show_numeric(&Number::new(value.into(), 0))
    }

    pub(super) fn show_numeric(&self, value: &Number) -> Result<String> {
        if self.is_roman {
            return Ok(self.roman(&value.round(0)));
        }
        if self.is_exponent {
            return Ok(scientific(value, self.post));
        }
        let mut pattern = self.clone();
        let mut value = value.clone();
        if self.is_shift {
            value = Number::new(value.unscaled * power_of_ten(self.multi as i32), value.scale);
            pattern.pre += self.multi;
        }
        Ok(pattern.finish(&value.round(self.post as i32).to_string()))
    }

    /// A float that has so many significant digits.
    pub(super) fn show_float(&self, value: f64, digits: usize) -> Result<String> {
        if self.is_roman {
            return Ok(self.roman(&Number::new((value.round_ties_even() as i64).into(), 0)));
        }
        if self.is_exponent {
            if !value.is_finite() {
                return Ok(format!(" {}", "#".repeat(self.pre + self.post + 6)));
            }
            let text = format!("{value:+.*e}", self.post);
            let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            let exponent: i32 = exponent.parse().unwrap_or_default();
            let sign = if exponent < 0 { '-' } else { '+' };
            return Ok(format!("{}e{sign}{:02}", mantissa.replacen('+', " ", 1), exponent.abs()));
        }
        let mut pattern = self.clone();
        let mut value = value;
        if self.is_shift {
            value *= 10_f64.powi(self.multi as i32);
            pattern.pre += self.multi;
        }
        if value.is_nan() || value.is_infinite() {
            let text = match value {
                f64::INFINITY => "Infinity",
                f64::NEG_INFINITY => "-Infinity",
                _ => "NaN",
            };
            return Ok(pattern.finish(text));
        }
        let whole = format!("{:.0}", value.abs()).len();
        if whole >= digits {
            pattern.post = 0;
        } else if whole + pattern.post > digits {
            pattern.post = digits - whole;
        }
        let shown = format!("{value:.*}", pattern.post);
        Ok(pattern.finish(&shown))
    }

    fn roman(&self, value: &Number) -> String {
        let lower = self.nodes.iter().any(|node| matches!(node, Node::Key(Key::Roman { lower: true })));
        let number = i64::try_from(value.unscaled.clone()).ok().filter(|n| (1..=3_999).contains(n));
        let text = match number {
            None => "#".repeat(15),
            Some(mut number) => {
                let mut text = String::new();
                for (size, digits) in ROMAN {
                    while number >= *size {
                        text += digits;
                        number -= size;
                    }
                }
                text
            }
        };
        let text = if lower { text.to_lowercase() } else { text };
        if self.is_fill { text } else { format!("{text:>15}") }
    }

    /// The digits of a number through the pattern.
    fn finish(mut self, shown: &str) -> String {
        let (sign, digits) = match shown.strip_prefix('-') {
            Some(digits) => ('-', digits),
            None => ('+', shown),
        };
        let mut number: Vec<char> = digits.chars().collect();
        let whole = number.iter().position(|c| *c == '.').unwrap_or(number.len());
        if whole == number.len() && self.post > 0 && number.iter().all(char::is_ascii_digit) {
            number.push('.');
            number.extend(std::iter::repeat_n('0', self.post));
        }
        let spaces = self.pre.saturating_sub(whole);
        if whole > self.pre {
            number = vec!['#'; self.pre + self.post + 1];
            number[self.pre] = '.';
        }
        let mut sign_wrote = false;
        if self.is_plus || self.is_minus {
            sign_wrote = !self.is_plus || self.is_minus;
        } else {
            if sign != '-' && self.is_bracket && self.is_fill {
                self.is_bracket = false;
            }
            sign_wrote |= sign == '+' && self.is_fill && self.sign == Anchor::None;
            if self.sign == Anchor::Before && self.pre == self.pre_sign {
                self.sign = Anchor::After;
            }
        }
        self.zero_start = self.zero_start.saturating_sub(1);
        let mut count = self.post + self.pre;
        let mut last_relevant = None;
        if self.is_fill && self.has_point {
            last_relevant = number.iter().position(|c| *c == '.').map(|point| {
                let relevant = (point + 1..number.len()).rev().find(|at| number[*at] != '0');
                relevant.unwrap_or(point)
            });
            if let Some(last) = last_relevant
                && self.zero_end > spaces
            {
                last_relevant = Some(last.max((number.len() - 1).min(self.zero_end - spaces)));
            }
        }
        if !sign_wrote && spaces == 0 {
            count += 1;
        }
        let mut writer = Writer {
            pattern: &self,
            number,
            sign,
            sign_wrote,
            spaces,
            count: count as i64 - 1,
            last_relevant,
            place: 0,
            at: 0,
            is_in: false,
            out: String::new(),
        };
        for node in &self.nodes {
            writer.node(node);
        }
        writer.out
    }

    /// The number that a text shows; `None` for no text at all.
    pub(super) fn read(&self, text: &str) -> Result<Option<Number>> {
        if self.nodes.is_empty() {
            return Ok(None);
        }
        if self.is_roman {
            return Err(Error::new(Kind::Unsupported, "\"RN\" not supported for input"));
        }
        if self.is_exponent {
            return Err(Error::new(Kind::Unsupported, "\"EEEE\" not supported for input"));
        }
        let mut reader = Reader {
            pattern: self,
            input: text.chars().collect(),
            at: 0,
            sign: ' ',
            digits: String::new(),
            pre: 0,
            post: 0,
            has_point: false,
        };
        for node in &self.nodes {
            if reader.at >= reader.input.len() {
                break;
            }
            reader.node(node);
        }
        let digits = reader.digits.strip_suffix('.').unwrap_or(&reader.digits);
        let shown = format!("{}{digits}", reader.sign);
        let number = Number::parse(&shown).ok_or_else(|| invalid_syntax("numeric", &shown))?;
        if self.is_shift {
            let shift = self.multi as i32;
            let quotient = Number::new(number.unscaled, number.scale + shift);
            return Ok(Some(quotient.round(quotient.scale.max(16))));
        }
        Ok(Some(number))
    }
}

/// ` 4.86e-04`
fn scientific(value: &Number, post: usize) -> String {
    let digits = value.unscaled.magnitude().to_string();
    let mut exponent = if value.is_zero() { 0 } else { digits.len() as i32 - 1 - value.scale };
    // Round to so many digits after the first one, which may make one more.
    let rounded = value.round(post as i32 - exponent);
    let mut text = rounded.unscaled.magnitude().to_string();
    if text.len() > post + 1 {
        exponent += 1;
        text.truncate(post + 1);
    }
    let text = format!("{text:0<width$}", width = post + 1);
    let sign = if value.unscaled.sign() == num_bigint::Sign::Minus { '-' } else { ' ' };
    let point = if post > 0 { "." } else { "" };
    let exponent_sign = if exponent < 0 { '-' } else { '+' };
    format!("{sign}{}{point}{}e{exponent_sign}{:02}", &text[..1], &text[1..], exponent.abs())
}

struct Writer<'a> {
    pattern: &'a NumberPattern,
    number: Vec<char>,
    sign: char,
    sign_wrote: bool,
    spaces: usize,
    count: i64,
    last_relevant: Option<usize>,
    /// Digits of the pattern so far.
    place: usize,
    /// The next digit of the number.
    at: usize,
    is_in: bool,
    out: String,
}

impl Writer<'_> {
    fn node(&mut self, node: &Node) {
        let is_fill = self.pattern.is_fill;
        match node {
            Node::Text(c) => self.out.push(*c),
            Node::Key(key) => match key {
                Key::Nine | Key::Zero | Key::Point => self.digit(*key),
                Key::Comma | Key::Group if self.is_in => self.out.push(','),
                Key::Comma | Key::Group if !is_fill => self.out.push(' '),
                Key::Currency => self.out.push(' '),
                Key::Ordinal { upper } => {
                    let skips =
                        self.number.first() == Some(&'#') || self.sign == '-' || self.pattern.has_point;
                    if !skips {
                        let shown: String = self.number.iter().collect();
                        let suffix = ordinal_suffix(&shown);
                        self.out += &if *upper { suffix.to_uppercase() } else { suffix.to_string() };
                    }
                }
                Key::Minus if self.sign == '-' => self.out.push('-'),
                Key::Plus if self.sign == '+' => self.out.push('+'),
                Key::Minus | Key::Plus if !is_fill => self.out.push(' '),
                Key::Sign => self.out.push(self.sign),
                _ => {}
            },
        }
    }

    fn is_space_before_point(&self) -> bool {
        !self.pattern.has_zero && self.at == 0 && self.number.first() == Some(&'0') && self.pattern.post != 0
    }

    fn digit(&mut self, key: Key) {
        let pattern = self.pattern;
        self.is_in = false;
        let stops_at_point = self.last_relevant.is_some_and(|last| self.number[last] == '.');
        let begins = self.place >= self.spaces || (pattern.has_zero && pattern.zero_start == self.place);
        if !self.sign_wrote && begins && (!self.is_space_before_point() || stops_at_point) {
            self.leading_sign();
        }
        if self.place < self.spaces && (pattern.zero_start > self.place || !pattern.has_zero) {
            if !pattern.is_fill {
                self.out.push(' ');
            }
        } else if pattern.has_zero && self.place < self.spaces {
            self.out.push('0');
            self.is_in = true;
        } else {
            match self.number.get(self.at) {
                Some('.') => {
                    if !stops_at_point || pattern.is_fill {
                        self.out.push('.');
                    }
                }
                current => {
                    if self.last_relevant.is_some_and(|last| self.at > last) && key != Key::Zero {
                        // Dropped by FM.
                    } else if self.is_space_before_point() {
                        if !pattern.is_fill {
                            self.out.push(' ');
                        } else if stops_at_point {
                            self.out.push('0');
                        }
                    } else if let Some(digit) = current {
                        self.out.push(*digit);
                        self.is_in = true;
                    } else {
                        self.is_in = true;
                    }
                }
            }
            if self.at < self.number.len() {
                self.at += 1;
            }
        }
        let mut end = self.count + i64::from(self.spaces > 0) + i64::from(pattern.has_point);
        if self.last_relevant == Some(self.at) {
            end = self.place as i64;
        }
        if self.place as i64 + 1 == end {
            if self.sign_wrote && pattern.is_bracket {
                self.out.push(if self.sign == '+' { ' ' } else { '>' });
            } else if pattern.sign == Anchor::After {
                self.out.push(self.sign);
            }
        }
        self.place += 1;
    }

    fn leading_sign(&mut self) {
        match self.pattern.sign {
            Anchor::Before => {
                self.out.push(self.sign);
                self.sign_wrote = true;
            }
            Anchor::After => {}
            Anchor::None => {
                if self.pattern.is_bracket {
                    self.out.push(if self.sign == '+' { ' ' } else { '<' });
                } else if self.sign == '-' {
                    self.out.push('-');
                } else if !self.pattern.is_fill {
                    self.out.push(' ');
                }
                self.sign_wrote = true;
            }
        }
    }
}
