//! Queries: parsed by sqlparser, checked to be nothing but reading, and brought into the form that plans as
//! PostgreSQL does.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, SetExpr, Visit, Visitor};
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::cursor::Cursor;
use super::places::Places;
use super::refuse::Refusal;
use super::{check, frames, normalize};
use crate::error::Result;

/// Reads a query up to where it ends. What it must not contain makes a [`Refusal`].
pub(super) fn query(cursor: &mut Cursor<'_>) -> Result<std::result::Result<Box<ast::Query>, Refusal>> {
    cursor.replace_table_keywords();
    if let Some(place) = misplaced(cursor.tokens()) {
        return Err(cursor.unexpected_at(place));
    }
    cursor.drop_from_of_trim();
    let mut query = cursor.parse(|parser| parser.parse_query())?;
    if let Some(refusal) = writes(&query) {
        return Ok(Err(refusal));
    }
    if let Some(error) = frames::refused(cursor.tokens(), cursor.positions()) {
        return Err(error);
    }
    if let Some(error) = check::refused(&query, cursor.places()) {
        return Err(error);
    }
    normalize::query(&mut query, cursor.places());
    Ok(Ok(query))
}

/// Words that begin a clause; PostgreSQL never takes them for a name.
const CLAUSES: &[&str] = &[
    "from",
    "where",
    "group",
    "having",
    "window",
    "union",
    "intersect",
    "except",
    "order",
    "limit",
    "offset",
    "fetch",
    "for",
    "into",
    "on",
    "using",
    "join",
    "select",
];

/// The first token that stands where PostgreSQL's grammar has no place for it, though sqlparser would take it for a
/// name and go on.
fn misplaced(tokens: &[TokenWithSpan]) -> Option<usize> {
    let word = |at: usize| match tokens.get(at).map(|token| &token.token) {
        Some(Token::Word(word)) if word.quote_style.is_none() => word.value.to_lowercase(),
        _ => String::new(),
    };
    let is_clause = |at: usize| CLAUSES.contains(&word(at).as_str());
    let is = |at: usize, wanted: &Token| tokens.get(at).is_some_and(|token| token.token == *wanted);
    (0..tokens.len()).find_map(|at| {
        let next = at + 1;
        if next >= tokens.len() {
            return None;
        }
        let is_wrong = match word(at).as_str() {
            // `is distinct from`, `extract(x from y)` and their like are followed by an expression.
            "from" | "join" => is_clause(next) && word(next) != "select",
            "where" | "having" | "on" | "and" | "or" | "not" => ["and", "or"].contains(&word(next).as_str()),
            "distinct" => is(next, &Token::Mul) && at > 0 && is(at - 1, &Token::LParen),
            "order" => word(next) != "by",
            "group" => word(next) != "by" && !is(next, &Token::LParen) && word(next) != "rows",
            "select" if is(next, &Token::Mul) => {
                let after = word(next + 1);
                return (!after.is_empty() && !is_clause(next + 1)).then_some(next + 1);
            }
            _ => {
                let is_trim = at > 0 && word(at - 1) == "trim";
                (is(at, &Token::Comma) || (is(at, &Token::LParen) && !is_trim)) && word(next) == "from"
            }
        };
        is_wrong.then_some(next)
    })
}

/// The table of `COPY table [(columns)] TO`.
pub(super) fn copy_table(cursor: &mut Cursor<'_>) -> Result<Box<ast::Query>> {
    let table = cursor.parse(|parser| parser.parse_object_name(false))?;
    let mut columns = Vec::new();
    if cursor.take_token(&Token::LParen) {
        columns = cursor.parse(|parser| parser.parse_comma_separated(|parser| parser.parse_identifier()))?;
        cursor.expect_token(&Token::RParen)?;
    }
    let columns = match columns.is_empty() {
        true => "*".to_string(),
        false => columns.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    let text = format!("SELECT {columns} FROM {table}");
    let dialect = datafusion::sql::sqlparser::dialect::PostgreSqlDialect {};
    let parsed = Parser::new(&dialect).try_with_sql(&text).and_then(|mut parser| parser.parse_query());
    let mut query = parsed.map_err(|_| cursor.unexpected())?;
    // The text is another one: nothing in it has a position.
    normalize::query(&mut query, Places::new(&[], cursor.positions()));
    Ok(query)
}

/// The statement inside the query that would write, if there is one.
fn writes(query: &ast::Query) -> Option<Refusal> {
    struct Writes;
    impl Visitor for Writes {
        type Break = Refusal;

        fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<Refusal> {
            if let Some(lock) = query.locks.first() {
                let what = match lock.lock_type {
                    ast::LockType::Update => "SELECT FOR UPDATE",
                    ast::LockType::Share => "SELECT FOR SHARE",
                };
                return ControlFlow::Break(Refusal::Write(what.into()));
            }
            writing_body(&query.body).map_or(ControlFlow::Continue(()), ControlFlow::Break)
        }

        fn pre_visit_select(&mut self, select: &ast::Select) -> ControlFlow<Refusal> {
            match select.into {
                Some(_) => ControlFlow::Break(Refusal::Write("SELECT INTO".into())),
                None => ControlFlow::Continue(()),
            }
        }
    }
    match query.visit(&mut Writes) {
        ControlFlow::Break(refusal) => Some(refusal),
        ControlFlow::Continue(()) => None,
    }
}

fn writing_body(body: &SetExpr) -> Option<Refusal> {
    let what = match body {
        SetExpr::Insert(_) => "INSERT",
        SetExpr::Update(_) => "UPDATE",
        SetExpr::Delete(_) => "DELETE",
        SetExpr::Merge(_) => "MERGE",
        SetExpr::SetOperation { left, right, .. } => {
            return writing_body(left).or_else(|| writing_body(right));
        }
        _ => return None,
    };
    Some(Refusal::Write(what.into()))
}
