//! From text to statements. Queries are parsed by sqlparser; everything else is small enough to be read here,
//! exactly as PostgreSQL writes it.

mod call;
mod check;
mod command;
mod copy;
mod cursor;
mod custom;
mod dialect;
mod expand;
mod explain;
mod frames;
mod maintain;
mod marks;
mod name;
mod normalize;
mod notify;
mod outside;
mod people;
mod place;
mod places;
mod portal;
mod qualified;
mod query;
mod refuse;
mod rowsets;
mod setting;
mod tests_as_values;
mod transaction;

use std::sync::Arc;

use datafusion::common::TableReference;
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, Whitespace};

pub(super) use call::CallArgument;
pub(super) use check::used_columns;
pub use copy::{CopyFormat, CopyOptions, ForceQuote};
pub(super) use explain::Explain;
pub(super) use maintain::Mode as LockMode;
pub(super) use name::shown as shown_name;
pub(super) use normalize::{
    ALIKE, ANY, ARRAY, AT_ZONE, BETWEEN, CASE, CAST, CONDITION, EVERY, IN, LIMIT, NAME_END, NOT_BETWEEN,
    NOT_IN, NUMBER, PARAMETER, ROW, UNNEST, VALUES, WHOLE, type_name,
};
pub(super) use portal::{ALL, Direction};
pub(super) use refuse::Refusal;
pub(super) use rowsets::folded;
pub(super) use setting::{Show, Value};
pub(super) use transaction::Modes;

use self::cursor::{Cursor, Positions};
use super::deep::{Deep, with_stack};
use super::verb::{AdminStatement, VerbSignature};
use super::{StatementKind, guard};
use crate::error::{Error, Result};

/// What a statement asks for.
#[derive(Debug)]
pub(super) enum Command {
    Empty,
    Query(Box<ast::Query>),
    Explain {
        query: Box<ast::Query>,
        options: Explain,
    },
    ExplainExecute {
        name: String,
        arguments: Vec<ast::Expr>,
        options: Explain,
    },
    Copy {
        query: Box<ast::Query>,
        options: CopyOptions,
    },
    Declare {
        name: String,
        query: Box<ast::Query>,
        scroll: bool,
        hold: bool,
    },
    Fetch {
        name: String,
        direction: Direction,
        moves: bool,
    },
    Close(Option<String>),
    Call {
        name: String,
        arguments: Vec<CallArgument>,
    },
    Admin(AdminStatement),
    Set {
        name: String,
        value: Value,
        local: bool,
    },
    SetTransaction(Modes),
    /// `SET SESSION CHARACTERISTICS AS TRANSACTION`
    SetTransactions(Modes),
    Show(Show),
    Reset(Option<String>),
    DiscardAll,
    DiscardPlans,
    Begin(Modes),
    Commit {
        chain: bool,
    },
    Rollback {
        chain: bool,
    },
    Savepoint(String),
    ReleaseSavepoint(String),
    RollbackTo(String),
    Prepare {
        name: String,
        types: Vec<ast::DataType>,
        statement: Parsed,
    },
    Execute {
        name: String,
        arguments: Vec<ast::Expr>,
    },
    Deallocate(Option<String>),
    Listen(String),
    /// `None`: all channels.
    Unlisten(Option<String>),
    Notify {
        channel: String,
        payload: String,
    },
    /// `VACUUM` and `ANALYZE`
    Maintain {
        verb: &'static str,
        tables: Vec<TableReference>,
    },
    Lock {
        tables: Vec<TableReference>,
        mode: LockMode,
    },
    /// What only an owner may do to a table, called `what` in the error.
    Owner {
        what: &'static str,
        table: TableReference,
    },
    Refused(Refusal),
}

/// A statement that was parsed, with its own text. Cheap to clone.
#[derive(Clone)]
pub struct Parsed(Arc<Inner>);

struct Inner {
    /// Characters before it in the whole text.
    start: u32,
    text: String,
    redacted: String,
    tag: &'static str,
    command: Deep<Command>,
}

impl std::fmt::Debug for Parsed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.redacted)
    }
}

impl Parsed {
    /// The statement's text, secrets included: never store or show it.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// The text with every secret replaced by `***`.
    pub fn redacted_text(&self) -> &str {
        &self.0.redacted
    }

    /// What it is.
    pub fn kind(&self) -> StatementKind {
        match *self.0.command {
            Command::Empty => StatementKind::Empty,
            Command::Query(_) => StatementKind::Query,
            Command::Copy { .. } => StatementKind::CopyOut,
            Command::Call { .. } => StatementKind::Call,
            _ => StatementKind::Other,
        }
    }

    /// Whether it is accepted in a failed transaction: `COMMIT`, `ROLLBACK`, `ROLLBACK TO`.
    pub fn ends_transaction(&self) -> bool {
        matches!(*self.0.command, Command::Commit { .. } | Command::Rollback { .. } | Command::RollbackTo(_))
    }

    /// How `COPY` wants its rows, when it is one.
    pub fn copy_options(&self) -> Option<&CopyOptions> {
        match &*self.0.command {
            Command::Copy { options, .. } => Some(options),
            _ => None,
        }
    }

    pub(super) fn command(&self) -> &Command {
        &self.0.command
    }

    /// Tokens of the statement.
    pub(super) fn tokens(&self) -> usize {
        self.0.command.tokens()
    }

    /// The error with the position of the name or constant it is about.
    pub(super) fn located(&self, error: Error) -> Error {
        match error.position() {
            Some(_) => error,
            None => place::located(error, &self.0.text, self.0.start),
        }
    }

    pub(super) fn tag(&self) -> &'static str {
        self.0.tag
    }

    /// 42P02 for the first parameter that the statement itself asks for, at its position: it came without values.
    pub fn without_values(&self) -> Option<Error> {
        if matches!(*self.0.command, Command::Prepare { .. }) {
            return None;
        }
        place::parameter(&self.0.text, self.0.start)
    }
}

/// The statements in a text.
pub(super) fn parse(sql: &str, verbs: &[VerbSignature]) -> Result<Vec<Parsed>> {
    guard::check(sql)?;
    let positions = Positions::new(sql);
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql)
        .tokenize_with_location()
        .map_err(|error| positions.tokenizer_error(sql, &error))?;
    if let Some(error) = positions.junk(sql, &tokens) {
        return Err(error);
    }
    let mut statements = Vec::new();
    for tokens in tokens.split_inclusive(|token| token.token == Token::SemiColon) {
        let mut tokens: Vec<_> = tokens.iter().filter(|token| !is_space(token)).cloned().collect();
        let end = tokens.pop_if(|token| token.token == Token::SemiColon);
        let end = end.map(|token| positions.of(token.span.start));
        // What else has texts may have secrets, which no error shows.
        let tokens = if is_query(&tokens) { positions.joined(sql, tokens)? } else { tokens };
        if !tokens.is_empty() {
            let count = tokens.len();
            statements.push(with_stack(count, || statement(sql, &positions, tokens, end, verbs))?);
        }
    }
    if statements.is_empty() {
        let inner = Inner {
            start: 0,
            text: String::new(),
            redacted: String::new(),
            tag: "",
            command: Deep::new(Command::Empty, 0),
        };
        statements.push(Parsed(Arc::new(inner)));
    }
    Ok(statements)
}

/// Replaces what may be a secret in a text that could not be parsed: every constant of a statement that can carry
/// one.
pub fn redact(sql: &str) -> String {
    let lower = sql.to_ascii_lowercase();
    let risky =
        ["call", "password", "execute", "set_secret", "connect"].iter().any(|word| lower.contains(word));
    if !risky {
        return sql.to_string();
    }
    // Everything from the first quote on: an unterminated constant has no end.
    match sql.find(['\'', '$', '"']) {
        Some(at) => format!("{}***", &sql[..at]),
        None => sql.to_string(),
    }
}

fn is_query(tokens: &[TokenWithSpan]) -> bool {
    match tokens.first().map(|token| &token.token) {
        Some(Token::Word(word)) => ["select", "with", "values", "explain"]
            .iter()
            .any(|name| word.quote_style.is_none() && word.value.eq_ignore_ascii_case(name)),
        Some(token) => *token == Token::LParen,
        None => false,
    }
}

fn is_space(token: &TokenWithSpan) -> bool {
    matches!(token.token, Token::Whitespace(Whitespace::Space | Whitespace::Newline | Whitespace::Tab))
        || matches!(token.token, Token::Whitespace(_))
}

fn statement(
    sql: &str,
    positions: &Positions,
    tokens: Vec<TokenWithSpan>,
    end: Option<u32>,
    verbs: &[VerbSignature],
) -> Result<Parsed> {
    let text = positions.slice(sql, &tokens).to_string();
    let start = tokens.first().map_or(0, |token| positions.of(token.span.start) - 1);
    let count = tokens.len();
    let mut cursor = Cursor::new(tokens, end, positions);
    let (tag, command) =
        command::command(&mut cursor, &text, verbs).map_err(|error| match error.position() {
            Some(_) => error,
            None => place::located(error, &text, start),
        })?;
    let redacted = match &command {
        Command::Call { name, .. } => call::redacted(name, &cursor, verbs),
        Command::Admin(_) | Command::Execute { .. } | Command::ExplainExecute { .. } => {
            cursor.redacted(|_| true)
        }
        Command::Prepare { name, statement, .. } => {
            format!("PREPARE {name} AS {}", statement.redacted_text())
        }
        _ => text.clone(),
    };
    Ok(Parsed(Arc::new(Inner { start, text, redacted, tag, command: Deep::new(command, count) })))
}
