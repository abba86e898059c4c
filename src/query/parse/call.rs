//! `CALL procedure(value, name => value)`

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, Visit, Visitor};
use datafusion::sql::sqlparser::tokenizer::Token;

use super::Command;
use super::cursor::Cursor;
use super::places::Places;
use crate::error::{Error, Kind, Result};
use crate::query::verb::VerbSignature;

/// An argument as written.
#[derive(Debug, Clone)]
pub(in crate::query) struct CallArgument {
    pub(in crate::query) name: Option<String>,
    pub(in crate::query) value: ast::Expr,
    pub(in crate::query) position: u32,
}

pub(super) fn call(cursor: &mut Cursor<'_>) -> Result<Command> {
    cursor.advance();
    let mut name = cursor.identifier()?;
    if cursor.take_token(&Token::Period) {
        // CALL tributary.sync(...)
        if name != "tributary" {
            let schema = name;
            return Ok(Command::Call {
                name: format!("{schema}.{}", cursor.identifier()?),
                arguments: skip(cursor),
            });
        }
        name = cursor.identifier()?;
    }
    cursor.expect_token(&Token::LParen)?;
    let mut arguments = Vec::new();
    while cursor.peek() != Some(&Token::RParen) {
        let position = cursor.position();
        let is_named = matches!(cursor.peek(), Some(Token::Word(_)))
            && matches!(cursor.peek_at(1), Some(Token::RArrow | Token::Assignment));
        let name = if is_named { Some(cursor.identifier()?) } else { None };
        if is_named {
            cursor.advance();
        }
        let mut value = cursor.parse(|parser| parser.parse_expr())?;
        if let Some(error) = subquery(&value, cursor.places()) {
            return Err(error);
        }
        super::normalize::expr(&mut value, cursor.places());
        arguments.push(CallArgument { name, value, position });
        if !cursor.take_token(&Token::Comma) {
            break;
        }
        if cursor.peek() == Some(&Token::RParen) {
            return Err(cursor.unexpected());
        }
    }
    cursor.expect_token(&Token::RParen)?;
    Ok(Command::Call { name, arguments })
}

/// 0A000 for a subquery in an argument: nothing is read before the call.
fn subquery(argument: &ast::Expr, places: Places<'_>) -> Option<Error> {
    struct Subqueries<'a> {
        places: Places<'a>,
    }
    impl Visitor for Subqueries<'_> {
        type Break = Option<u32>;

        fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<Self::Break> {
            match expr {
                ast::Expr::InSubquery { subquery, .. } => ControlFlow::Break(self.places.of_in(subquery)),
                ast::Expr::AnyOp { right, .. } | ast::Expr::AllOp { right, .. } => match &**right {
                    ast::Expr::Subquery(subquery) => ControlFlow::Break(self.places.of_any(subquery)),
                    _ => ControlFlow::Continue(()),
                },
                ast::Expr::Subquery(_) | ast::Expr::Exists { .. } => ControlFlow::Break(self.places.of(expr)),
                ast::Expr::Function(ast::Function { args: ast::FunctionArguments::Subquery(_), .. }) => {
                    ControlFlow::Break(self.places.of(expr))
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    let ControlFlow::Break(place) = argument.visit(&mut Subqueries { places }) else { return None };
    let error = Error::new(Kind::Unsupported, "cannot use subquery in CALL argument");
    Some(match place {
        Some(place) => error.with_position(place),
        None => error,
    })
}

fn skip(cursor: &mut Cursor<'_>) -> Vec<CallArgument> {
    cursor.skip_all();
    Vec::new()
}

/// The call with the constants of secret parameters replaced; all of them when the procedure is unknown.
pub(super) fn redacted(name: &str, cursor: &Cursor<'_>, verbs: &[VerbSignature]) -> String {
    let Some(verb) = verbs.iter().find(|verb| verb.name == name) else {
        return cursor.redacted(|_| true);
    };
    let tokens = cursor.tokens();
    let mut secret = vec![false; tokens.len()];
    let (mut depth, mut argument, mut start) = (0_usize, 0_usize, 0_usize);
    for (number, token) in tokens.iter().enumerate() {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            Token::Comma if depth == 1 => argument += 1,
            _ => {}
        }
        if matches!(token.token, Token::LParen | Token::Comma) && depth == 1 {
            start = number + 1;
        }
        let named = match (tokens.get(start).map(|t| &t.token), tokens.get(start + 1).map(|t| &t.token)) {
            (Some(Token::Word(word)), Some(Token::RArrow | Token::Assignment)) => {
                Some(word.value.to_lowercase())
            }
            _ => None,
        };
        let parameter = match named {
            Some(name) => verb.params.iter().find(|param| param.name == name),
            None => verb.params.get(argument),
        };
        // A parameter that does not exist may be a misspelt secret one.
        secret[number] = depth > 0 && parameter.is_none_or(|param| param.secret);
    }
    cursor.redacted(|number| secret[number])
}
