//! A text read by a pattern of numbers.

use super::{Anchor, Key, Node, NumberPattern};

/// Where reading is.
pub(super) struct Reader<'a> {
    pub(super) pattern: &'a NumberPattern,
    pub(super) input: Vec<char>,
    pub(super) at: usize,
    pub(super) sign: char,
    pub(super) digits: String,
    pub(super) pre: usize,
    pub(super) post: usize,
    pub(super) has_point: bool,
}

impl Reader<'_> {
    fn current(&self) -> Option<char> {
        self.input.get(self.at).copied()
    }

    pub(super) fn node(&mut self, node: &Node) {
        let Node::Key(key) = node else {
            self.at += 1;
            return;
        };
        match key {
            Key::Nine | Key::Zero | Key::Point => {
                self.digit(*key);
                self.at += 1;
            }
            Key::Comma | Key::Group => {
                if self.current() == Some(',') {
                    self.at += 1;
                }
            }
            Key::Currency => self.skip_other(1),
            Key::Ordinal { .. } => self.skip_other(2),
            Key::Minus if self.current() == Some('-') => self.take_sign(),
            Key::Plus if self.current() == Some('+') => self.take_sign(),
            Key::Sign if matches!(self.current(), Some('+' | '-')) => self.take_sign(),
            Key::Minus | Key::Plus | Key::Sign => self.skip_other(1),
            _ => {}
        }
    }

    fn take_sign(&mut self) {
        self.sign = self.current().unwrap_or(' ');
        self.at += 1;
    }

    fn skip_other(&mut self, count: usize) {
        for _ in 0..count {
            match self.current() {
                Some(c) if !"0123456789.,+-".contains(c) => self.at += 1,
                _ => break,
            }
        }
    }

    fn digit(&mut self, key: Key) {
        if self.current() == Some(' ') {
            self.at += 1;
        }
        if self.current().is_none() {
            return;
        }
        let pattern = self.pattern;
        let is_bracket = pattern.is_bracket && self.current() == Some('<');
        if self.sign == ' ' && key != Key::Point && self.pre + self.post == 0 {
            match self.current() {
                Some('-') if pattern.sign != Anchor::After => (self.sign, self.at) = ('-', self.at + 1),
                Some('+') if pattern.sign != Anchor::After => (self.sign, self.at) = ('+', self.at + 1),
                Some('<') if is_bracket => (self.sign, self.at) = ('-', self.at + 1),
                _ => {}
            }
        }
        let mut is_read = false;
        match self.current() {
            None => return,
            Some(c) if c.is_ascii_digit() => {
                if self.has_point && self.post == pattern.post {
                    return;
                }
                self.digits.push(c);
                if self.has_point {
                    self.post += 1;
                } else {
                    self.pre += 1;
                }
                is_read = true;
            }
            Some('.') if pattern.has_point && !self.has_point => {
                self.digits.push('.');
                self.has_point = true;
                is_read = true;
            }
            _ => {}
        }
        if self.sign != ' ' || self.pre + self.post == 0 {
            return;
        }
        if pattern.sign != Anchor::None && is_read {
            let next = self.input.get(self.at + 1).copied();
            if let Some(sign @ ('-' | '+')) = next {
                (self.sign, self.at) = (sign, self.at + 1);
            }
        } else if !is_read && pattern.sign == Anchor::None && !pattern.is_plus && !pattern.is_minus {
            if let Some(sign @ ('-' | '+')) = self.current() {
                self.sign = sign;
            }
        }
    }
}
