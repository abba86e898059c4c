//! `CREATE USER`, `ALTER USER`, `DROP USER`, `GRANT` and `REVOKE`, in PostgreSQL's own syntax.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::Command;
use super::cursor::Cursor;
use crate::error::{Error, Kind, Result};
use crate::query::verb::{AdminStatement, GrantTarget, Password};

/// Reads the statement; `None` when it is about something else.
pub(super) fn statement(cursor: &mut Cursor<'_>) -> Result<Option<(&'static str, Command)>> {
    let is_user = |cursor: &Cursor<'_>| cursor.is_word(1, "user") || cursor.is_word(1, "role");
    let (tag, statement) = match cursor.first_word().as_str() {
        "create" if is_user(cursor) => ("CREATE ROLE", create(cursor)?),
        "alter" if is_user(cursor) => ("ALTER ROLE", alter(cursor)?),
        "drop" if is_user(cursor) => ("DROP ROLE", drop(cursor)?),
        "grant" => ("GRANT", grant(cursor)?),
        "revoke" => ("REVOKE", revoke(cursor)?),
        _ => return Ok(None),
    };
    Ok(Some((tag, Command::Admin(statement))))
}

#[derive(Default)]
struct Options {
    password: Option<Password>,
    admin: Option<bool>,
    login: Option<bool>,
}

fn options(cursor: &mut Cursor<'_>) -> Result<Options> {
    let mut options = Options::default();
    cursor.take("with");
    while !cursor.is_at_end() {
        if cursor.take("encrypted") || cursor.is_word(0, "password") {
            cursor.expect("password")?;
            options.password = if cursor.take("null") { None } else { Some(Password::new(cursor.text()?)) };
            continue;
        }
        match cursor.identifier()?.as_str() {
            "superuser" => options.admin = Some(true),
            "nosuperuser" => options.admin = Some(false),
            "login" => options.login = Some(true),
            "nologin" => options.login = Some(false),
            "inherit" | "noinherit" | "nocreatedb" | "nocreaterole" | "noreplication" | "nobypassrls" => {}
            other => {
                let error = Error::new(Kind::Unsupported, format!("role option `{other}` is not supported"));
                return Err(
                    error.with_hint("accepted are PASSWORD, SUPERUSER, NOSUPERUSER, LOGIN and NOLOGIN")
                );
            }
        }
    }
    Ok(options)
}

fn create(cursor: &mut Cursor<'_>) -> Result<AdminStatement> {
    cursor.advance();
    let is_user = cursor.is_word(0, "user");
    cursor.advance();
    let name = cursor.identifier()?;
    let options = options(cursor)?;
    Ok(AdminStatement::CreateUser {
        name,
        password: options.password,
        admin: options.admin.unwrap_or(false),
        login: options.login.unwrap_or(is_user),
    })
}

fn alter(cursor: &mut Cursor<'_>) -> Result<AdminStatement> {
    cursor.advance();
    cursor.advance();
    let name = cursor.identifier()?;
    let options = options(cursor)?;
    Ok(AdminStatement::AlterUser {
        name,
        password: options.password,
        admin: options.admin,
        login: options.login,
    })
}

fn drop(cursor: &mut Cursor<'_>) -> Result<AdminStatement> {
    cursor.advance();
    cursor.advance();
    let if_exists = cursor.take_all(&["if", "exists"]);
    Ok(AdminStatement::DropUser { name: cursor.identifier()?, if_exists })
}

fn grant(cursor: &mut Cursor<'_>) -> Result<AdminStatement> {
    cursor.advance();
    let targets = targets(cursor)?;
    cursor.expect("to")?;
    Ok(AdminStatement::Grant { targets, users: names(cursor)? })
}

fn revoke(cursor: &mut Cursor<'_>) -> Result<AdminStatement> {
    cursor.advance();
    let targets = targets(cursor)?;
    cursor.expect("from")?;
    Ok(AdminStatement::Revoke { targets, users: names(cursor)? })
}

/// `SELECT [(field, ...)] ON [TABLE] a.b, c.d` or `SELECT ON ALL TABLES IN SCHEMA a`
fn targets(cursor: &mut Cursor<'_>) -> Result<Vec<GrantTarget>> {
    if !cursor.take("select") {
        let what = "only SELECT can be granted and revoked: tributary is read-only";
        return Err(Error::new(Kind::Unsupported, what).with_position(cursor.position()));
    }
    let position = cursor.position();
    let fields = match cursor.take_token(&Token::LParen) {
        true => {
            let fields = names(cursor)?;
            if !cursor.take_token(&Token::RParen) {
                let error =
                    Error::new(Kind::Invalid, "`)` is expected after the fields").with_sqlstate("42601");
                return Err(error.with_position(cursor.position()));
            }
            fields
        }
        false => Vec::new(),
    };
    cursor.expect("on")?;
    if cursor.take_all(&["all", "tables", "in", "schema"]) || cursor.take("schema") {
        if !fields.is_empty() {
            let error = Error::new(Kind::Invalid, "column privileges are only valid for relations");
            return Err(error.with_sqlstate("0LP01").with_position(position));
        }
        let schemas = names(cursor)?.into_iter();
        let whole = |connection| GrantTarget { connection, object: None, fields: Vec::new() };
        return Ok(schemas.map(whole).collect());
    }
    cursor.take("table");
    let mut targets = Vec::new();
    loop {
        let position = cursor.position();
        let mut parts = vec![cursor.identifier()?];
        while cursor.take_token(&Token::Period) {
            parts.push(cursor.identifier()?);
        }
        let object = parts.pop();
        let Some(connection) = parts.pop() else {
            let error = Error::new(Kind::Invalid, "name the connection, too").with_sqlstate("42601");
            return Err(error.with_hint("write connection.object").with_position(position));
        };
        targets.push(GrantTarget { connection, object, fields: fields.clone() });
        if !cursor.take_token(&Token::Comma) {
            return Ok(targets);
        }
    }
}

fn names(cursor: &mut Cursor<'_>) -> Result<Vec<String>> {
    let mut names = vec![cursor.identifier()?];
    while cursor.take_token(&Token::Comma) {
        names.push(cursor.identifier()?);
    }
    Ok(names)
}
