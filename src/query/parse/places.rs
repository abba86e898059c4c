//! Where the parts of a query stand, as PostgreSQL tells it: an expression begins where its leftmost part does, what is
//! called at its name, and brackets around it count for nothing.

use datafusion::sql::sqlparser::ast::{self, CastKind, Expr, Spanned, UnaryOperator};
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan};

use super::cursor::Positions;

/// The text of a statement, to look its parts up in.
#[derive(Clone, Copy)]
pub(super) struct Places<'a> {
    tokens: &'a [TokenWithSpan],
    positions: &'a Positions,
}

impl<'a> Places<'a> {
    pub(super) fn new(tokens: &'a [TokenWithSpan], positions: &'a Positions) -> Self {
        Places { tokens, positions }
    }

    /// The position of an expression; `None` where it was not written.
    pub(super) fn of(&self, expr: &Expr) -> Option<u32> {
        self.index(expr).and_then(|at| self.position(at))
    }

    /// The position of the call whose first argument this is: that of the function's name.
    pub(super) fn of_call(&self, argument: &Expr) -> Option<u32> {
        self.index(argument).and_then(|at| self.caller(at)).and_then(|at| self.position(at))
    }

    /// The position of `BETWEEN`, `IN`, or of the `NOT` before it, that stands before an expression.
    pub(super) fn of_keyword(&self, keyword: &str, before: &Expr) -> Option<u32> {
        let from = self.index(before)?;
        let at = (0..from).rev().take(MOST_BETWEEN).find(|at| self.is_word(*at, keyword))?;
        let is_negated = at > 0 && self.is_word(at - 1, "not");
        self.position(if is_negated { at - 1 } else { at })
    }

    /// The position of the second token behind the name of a call: of the bracket that closes an empty one.
    pub(super) fn behind_name(&self, function: &ast::Function) -> Option<u32> {
        self.at(function.name.span().start).and_then(|at| self.position(at + 2))
    }

    /// The position of the `IN` before a subquery.
    pub(super) fn of_in(&self, subquery: &ast::Query) -> Option<u32> {
        self.at(subquery.span().start)?.checked_sub(2).and_then(|at| self.position(at))
    }

    /// The position of the operator before `ANY (subquery)`.
    pub(super) fn of_any(&self, subquery: &ast::Query) -> Option<u32> {
        self.at(subquery.span().start)?.checked_sub(3).and_then(|at| self.position(at))
    }

    fn position(&self, at: usize) -> Option<u32> {
        Some(self.positions.of(self.tokens.get(at)?.span.start))
    }

    fn at(&self, location: Location) -> Option<usize> {
        let is_before = |token: &TokenWithSpan| {
            (token.span.start.line, token.span.start.column) < (location.line, location.column)
        };
        let at = self.tokens.partition_point(is_before);
        (self.tokens.get(at)?.span.start == location).then_some(at)
    }

    fn is(&self, at: usize, token: &Token) -> bool {
        self.tokens.get(at).is_some_and(|found| found.token == *token)
    }

    fn is_word(&self, at: usize, keyword: &str) -> bool {
        matches!(self.tokens.get(at).map(|token| &token.token), Some(Token::Word(word))
            if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(keyword))
    }

    /// The first of the brackets that open right before a token.
    fn outermost(&self, mut at: usize) -> usize {
        while at > 0 && self.is(at - 1, &Token::LParen) {
            at -= 1;
        }
        at
    }

    /// What stands before the bracket that is open at a token.
    fn caller(&self, at: usize) -> Option<usize> {
        let mut depth = 0_usize;
        for before in (0..at).rev() {
            match self.tokens.get(before).map(|token| &token.token) {
                Some(Token::RParen) => depth += 1,
                Some(Token::LParen) if depth == 0 => {
                    // Brackets around the first argument alone.
                    let name = before.checked_sub(1)?;
                    let is_name =
                        matches!(self.tokens.get(name).map(|token| &token.token), Some(Token::Word(_)));
                    if is_name {
                        return Some(name);
                    }
                }
                Some(Token::LParen) => depth -= 1,
                _ => {}
            }
        }
        None
    }

    fn index(&self, expr: &Expr) -> Option<usize> {
        match expr {
            Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => self.index(inner),
            Expr::UnaryOp { op, expr: inner } => {
                let before = self.outermost(self.index(inner)?).checked_sub(1)?;
                match op {
                    UnaryOperator::PGPostfixFactorial => self.index(inner),
                    _ => Some(before),
                }
            }
            Expr::Cast { kind: CastKind::DoubleColon, expr: inner, .. } => self.index(inner),
            // A constant becomes one of that type where it stands.
            Expr::Cast { expr: inner, .. } => match &**inner {
                Expr::Value(value)
                    if matches!(value.value, ast::Value::SingleQuotedString(_) | ast::Value::Boolean(_)) =>
                {
                    self.index(inner)
                }
                _ => self.caller(self.index(inner)?),
            },
            Expr::Array(array) => {
                let first = self.outermost(self.index(array.elem.first()?)?);
                let bracket = first.checked_sub(1)?;
                let word = bracket.checked_sub(1).filter(|word| self.is_word(*word, "array"));
                Some(word.unwrap_or(bracket))
            }
            Expr::Tuple(parts) => {
                let bracket = self.outermost(self.index(parts.first()?)?);
                let word = bracket.checked_sub(1).filter(|word| self.is_word(*word, "row"));
                Some(word.unwrap_or(bracket))
            }
            Expr::Subquery(query) => self.at(query.span().start)?.checked_sub(1),
            Expr::Exists { subquery, .. } => self.at(subquery.span().start)?.checked_sub(2),
            Expr::Extract { expr: inner, .. }
            | Expr::Substring { expr: inner, .. }
            | Expr::Trim { expr: inner, .. }
            | Expr::Overlay { expr: inner, .. }
            | Expr::Position { expr: inner, .. }
            | Expr::Ceil { expr: inner, .. }
            | Expr::Floor { expr: inner, .. } => self.caller(self.index(inner)?),
            Expr::BinaryOp { left: inner, .. }
            | Expr::IsDistinctFrom(inner, _)
            | Expr::IsNotDistinctFrom(inner, _)
            | Expr::AnyOp { left: inner, .. }
            | Expr::AllOp { left: inner, .. }
            | Expr::IsFalse(inner)
            | Expr::IsNotFalse(inner)
            | Expr::IsTrue(inner)
            | Expr::IsNotTrue(inner)
            | Expr::IsNull(inner)
            | Expr::IsNotNull(inner)
            | Expr::IsUnknown(inner)
            | Expr::IsNotUnknown(inner)
            | Expr::Like { expr: inner, .. }
            | Expr::ILike { expr: inner, .. }
            | Expr::SimilarTo { expr: inner, .. }
            | Expr::Between { expr: inner, .. }
            | Expr::InList { expr: inner, .. }
            | Expr::InSubquery { expr: inner, .. }
            | Expr::AtTimeZone { timestamp: inner, .. }
            | Expr::CompoundFieldAccess { root: inner, .. } => self.index(inner),
            Expr::Function(function) => self.at(function.name.span().start),
            Expr::Dictionary(fields) => self.index(&fields.first()?.value),
            Expr::Identifier(_)
            | Expr::CompoundIdentifier(_)
            | Expr::Value(_)
            | Expr::TypedString(_)
            | Expr::Interval(_)
            | Expr::Case { .. } => self.at(expr.span().start),
            _ => None,
        }
    }
}

/// Words and brackets between a keyword and what follows it.
const MOST_BETWEEN: usize = 16;
