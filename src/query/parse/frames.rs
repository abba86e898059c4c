//! The frames of windows: which bounds may stand together. The syntax tree does not tell where they stand.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::cursor::Positions;
use crate::error::{Error, Kind};

/// The error of the first frame that PostgreSQL does not take, in a text that can be parsed.
pub(super) fn refused(tokens: &[TokenWithSpan], positions: &Positions) -> Option<Error> {
    let words = Words { tokens };
    (0..tokens.len()).filter_map(|at| words.frame(at)).find_map(|frame| {
        let (what, at) = words.mistake(&frame)?;
        let error = Error::new(Kind::Invalid, what).with_sqlstate("42P20");
        Some(error.with_position(positions.of(tokens.get(at)?.span.start)))
    })
}

#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Bound {
    UnboundedPreceding,
    Preceding,
    CurrentRow,
    Following,
    UnboundedFollowing,
}

struct Frame {
    /// Where `ROWS`, `RANGE` or `GROUPS` stands.
    at: usize,
    start: (Bound, usize),
    end: Option<(Bound, usize)>,
}

struct Words<'a> {
    tokens: &'a [TokenWithSpan],
}

impl Words<'_> {
    fn is(&self, at: usize, word: &str) -> bool {
        matches!(self.tokens.get(at).map(|token| &token.token), Some(Token::Word(found))
            if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word))
    }

    fn token(&self, at: usize) -> Option<&Token> {
        self.tokens.get(at).map(|token| &token.token)
    }

    /// The frame whose first word stands here; other things can be called `rows`, too.
    fn frame(&self, at: usize) -> Option<Frame> {
        if !["rows", "range", "groups"].iter().any(|word| self.is(at, word)) {
            return None;
        }
        if !self.is(at + 1, "between") {
            let (start, _) = self.bound(at + 1)?;
            return Some(Frame { at, start: (start, at + 1), end: None });
        }
        let (start, behind) = self.bound(at + 2)?;
        if !self.is(behind, "and") {
            return None;
        }
        let (end, _) = self.bound(behind + 1)?;
        Some(Frame { at, start: (start, at + 2), end: Some((end, behind + 1)) })
    }

    /// The bound that begins at a word, and what stands behind it.
    fn bound(&self, at: usize) -> Option<(Bound, usize)> {
        let mut depth = 0_usize;
        for end in at..self.tokens.len() {
            match self.token(end)? {
                Token::LParen => depth += 1,
                Token::RParen => depth = depth.checked_sub(1)?,
                _ => {}
            }
            if depth > 0 {
                continue;
            }
            let is_unbounded = end == at + 1 && self.is(at, "unbounded");
            let bound = match () {
                () if self.is(end, "row") && end == at + 1 && self.is(at, "current") => Bound::CurrentRow,
                () if self.is(end, "preceding") && is_unbounded => Bound::UnboundedPreceding,
                () if self.is(end, "following") && is_unbounded => Bound::UnboundedFollowing,
                () if self.is(end, "preceding") && end > at => Bound::Preceding,
                () if self.is(end, "following") && end > at => Bound::Following,
                () => continue,
            };
            return Some((bound, end + 1));
        }
        None
    }

    /// What is wrong with a frame, and where.
    fn mistake(&self, frame: &Frame) -> Option<(&'static str, usize)> {
        use Bound::{CurrentRow, Following, Preceding, UnboundedFollowing, UnboundedPreceding};
        let (start, at) = frame.start;
        if start == UnboundedFollowing {
            return Some(("frame start cannot be UNBOUNDED FOLLOWING", at));
        }
        let Some((end, end_at)) = frame.end else {
            let ends_before = start == Following;
            return match ends_before {
                true => Some(("frame starting from following row cannot end with current row", at)),
                false => self.order(frame, &[start]),
            };
        };
        match (start, end) {
            (_, UnboundedPreceding) => Some(("frame end cannot be UNBOUNDED PRECEDING", end_at)),
            (CurrentRow, Preceding) => {
                Some(("frame starting from current row cannot have preceding rows", end_at))
            }
            (Following, Preceding | CurrentRow) => {
                Some(("frame starting from following row cannot have preceding rows", end_at))
            }
            _ => self.order(frame, &[start, end]),
        }
    }

    /// `RANGE` with a distance is one in the only column of the order, and groups are those of an order.
    fn order(&self, frame: &Frame, bounds: &[Bound]) -> Option<(&'static str, usize)> {
        let has_distance = bounds.iter().any(|bound| matches!(bound, Bound::Preceding | Bound::Following));
        let is_groups = self.is(frame.at, "groups");
        let is_range = self.is(frame.at, "range");
        if !(is_groups || (is_range && has_distance)) {
            return None;
        }
        let (mut depth, mut columns, mut ordered) = (0_usize, 1_usize, false);
        for at in (0..frame.at).rev() {
            match self.token(at)? {
                Token::RParen => depth += 1,
                Token::LParen if depth == 0 => {
                    let begins = ["partition", "order", "rows", "range", "groups"];
                    // A window that goes on from another one has its order.
                    if !begins.iter().any(|word| self.is(at + 1, word)) {
                        return None;
                    }
                    let what = match is_groups {
                        true => (!ordered).then_some("GROUPS mode requires an ORDER BY clause"),
                        false => (!ordered || columns != 1).then_some(
                            "RANGE with offset PRECEDING/FOLLOWING requires exactly one ORDER BY column",
                        ),
                    };
                    return what.map(|what| (what, at));
                }
                Token::LParen => depth -= 1,
                Token::Comma if depth == 0 && !ordered => columns += 1,
                Token::Word(_) if depth == 0 && self.is(at, "order") && self.is(at + 1, "by") => {
                    ordered = true
                }
                _ => {}
            }
        }
        None
    }
}
