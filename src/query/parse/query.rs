//! Queries: parsed by sqlparser, checked to be nothing but reading, and brought into the form that plans as
//! PostgreSQL does.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, SetExpr, Visit, Visitor};
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::normalize;
use super::refuse::Refusal;
use crate::error::{Error, Kind, Result};

/// Reads a query up to where it ends. What it must not contain makes a [`Refusal`].
pub(super) fn query(cursor: &mut Cursor<'_>) -> Result<std::result::Result<Box<ast::Query>, Refusal>> {
    if cursor.is_word(0, "table") {
        cursor.replace_table_keyword();
    }
    let mut query = cursor.parse(|parser| parser.parse_query())?;
    if let Some(refusal) = writes(&query) {
        return Ok(Err(refusal));
    }
    if let Some(error) = unsupported(&query) {
        return Err(error);
    }
    normalize::query(&mut query);
    Ok(Ok(query))
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
    normalize::query(&mut query);
    Ok(query)
}

/// The statement inside the query that would write, if there is one.
fn writes(query: &ast::Query) -> Option<Refusal> {
    struct Writes;
    impl Visitor for Writes {
        type Break = Refusal;

        fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<Refusal> {
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

/// Clauses of other dialects that sqlparser reads, and that must not be ignored silently.
fn unsupported(query: &ast::Query) -> Option<Error> {
    let found = if !query.locks.is_empty() {
        "FOR UPDATE and FOR SHARE"
    } else if query.for_clause.is_some() {
        "FOR XML and FOR JSON"
    } else if query.settings.is_some() || query.format_clause.is_some() || !query.pipe_operators.is_empty() {
        "this clause"
    } else if query.fetch.as_ref().is_some_and(|fetch| fetch.with_ties || fetch.percent) {
        "FETCH ... WITH TIES"
    } else {
        return None;
    };
    Some(Error::new(Kind::Unsupported, format!("{found} is not supported")))
}
