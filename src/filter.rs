//! Filters as people write them: one SQL boolean expression over the fields of one object, read into the typed
//! tree [`Filter`]. Nothing of the text itself ever reaches a source.

mod literal;
mod names;
#[cfg(test)]
mod tests;

use std::cell::RefCell;

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Ident, UnaryOperator};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan, Tokenizer};

use self::literal::Constant;
use crate::error::{Error, Kind, Result, did_you_mean};
use crate::model::{Comparison, FieldType, Filter, Literal, ObjectField};

pub use self::names::{by_source_names, renamed};

/// Longest text of a filter, in characters.
const MAX_CHARACTERS: usize = 10_000;
/// Deepest nesting of a filter.
const MAX_DEPTH: usize = 50;
/// Deepest nesting of `NOT (...)`.
const MAX_NEGATIONS: usize = 6;
/// A chain of operators nests the syntax tree once per operator, whatever the parser's own limit says: so
/// long a text needs far more stack than an ordinary thread has.
const STACK: usize = 128 * 1024 * 1024;

/// Words that a parenthesis may follow; after any other it would be a call.
const MAY_PRECEDE_PARENTHESIS: [Keyword; 6] =
    [Keyword::AND, Keyword::OR, Keyword::NOT, Keyword::IN, Keyword::BETWEEN, Keyword::LIKE];

const ACCEPTED: &str = "accepted are AND, OR, NOT, parentheses, = <> < <= > >= between a field and a constant, [NOT] IN, \
     [NOT] BETWEEN, [NOT] LIKE, IS [NOT] NULL, and boolean fields alone or with IS [NOT] TRUE or FALSE";

/// Reads `text` as a condition over `fields`. Fields are called by their machine name, or by the source's own
/// name in double quotes; the tree holds the source's names.
pub fn parse(text: &str, fields: &[ObjectField]) -> Result<Filter> {
    read(text, fields).map(|(filter, _)| filter)
}

/// The condition, and where it names which field.
fn read(text: &str, fields: &[ObjectField]) -> Result<(Filter, Vec<Named>)> {
    if text.chars().nth(MAX_CHARACTERS).is_some() {
        let what = format!("the filter has more than {MAX_CHARACTERS} characters");
        return Err(Error::new(Kind::Invalid, what).with_sqlstate("54000"));
    }
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("filter".into()).stack_size(STACK);
        let parsing = thread
            .spawn_scoped(scope, || {
                let filters = Filters { fields, named: RefCell::default() };
                let filter = filters.filter(&syntax(text)?)?;
                Ok((filter, filters.named.into_inner()))
            })
            .map_err(|error| Error::new(Kind::Unavailable, "no thread for the filter").with_source(error))?;
        parsing.join().map_err(|_| Error::internal("reading the filter failed"))?
    })
}

fn syntax(text: &str) -> Result<Expr> {
    let dialect = PostgreSqlDialect {};
    let parser = Parser::new(&dialect).with_recursion_limit(MAX_DEPTH);
    let tokens = Tokenizer::new(&dialect, text).tokenize_with_location();
    let tokens = tokens.map_err(|error| syntax_error(error.into()))?;
    refuse_explosions(&tokens)?;
    let mut parser = parser.with_tokens_with_locations(tokens);
    let expr = parser.parse_expr().map_err(syntax_error)?;
    let next = parser.peek_token();
    if next.token == Token::EOF {
        return Ok(expr);
    }
    let place = next.span.start;
    Err(syntax_error(ParserError::ParserError(format!("a filter is one expression, found: {next}{place}"))))
}

/// Refuses what the parser would need time exponential in its depth for: nested calls, arrays and negations.
fn refuse_explosions(tokens: &[TokenWithSpan]) -> Result<()> {
    let visible = tokens.iter().map(|t| &t.token).filter(|t| !matches!(t, Token::Whitespace(_)));
    let mut negated_parentheses = Vec::new();
    let mut previous = &Token::EOF;
    for token in visible {
        match (previous, token) {
            (Token::Word(word), Token::LParen) if !MAY_PRECEDE_PARENTHESIS.contains(&word.keyword) => {
                return Err(calls(&format!("{word}(…)")));
            }
            (_, Token::LBracket | Token::LBrace) => return Err(calls(&format!("{previous} {token}"))),
            (_, Token::LParen) => {
                negated_parentheses
                    .push(matches!(previous, Token::Word(word) if word.keyword == Keyword::NOT));
                if negated_parentheses.iter().filter(|negated| **negated).count() > MAX_NEGATIONS {
                    let what = format!("the filter nests NOT (…) more than {MAX_NEGATIONS} levels deep");
                    return Err(Error::new(Kind::Invalid, what).with_sqlstate("54001"));
                }
            }
            (_, Token::RParen) => drop(negated_parentheses.pop()),
            _ => (),
        }
        previous = token;
    }
    Ok(())
}

fn calls(what: &str) -> Error {
    Error::new(
        Kind::Invalid,
        format!("a filter cannot contain functions, arrays or subqueries: `{}`", shown(&what)),
    )
    .with_hint(format!("write the value itself, such as timestamptz '2026-10-31 12:00Z'; {ACCEPTED}"))
}

fn syntax_error(error: ParserError) -> Error {
    match error {
        ParserError::RecursionLimitExceeded => {
            let what = format!("the filter is nested more than {MAX_DEPTH} levels deep");
            Error::new(Kind::Invalid, what).with_sqlstate("54001")
        }
        ParserError::TokenizerError(what) | ParserError::ParserError(what) => {
            let mut what: String = what.chars().take(300).collect();
            // Messages begin lower-case; what the filter itself says is quoted further on.
            if let Some(first) = what.get_mut(..1) {
                first.make_ascii_lowercase();
            }
            Error::new(Kind::Invalid, format!("syntax error in the filter: {what}")).with_sqlstate("42601")
        }
    }
}

/// What an expression that has no place in a filter is answered with.
fn unsupported(expr: &Expr) -> Error {
    match expr {
        Expr::Function(function) => calls(&function.to_string()),
        _ => Error::new(Kind::Invalid, format!("a filter cannot contain `{}`", shown(expr)))
            .with_hint(ACCEPTED),
    }
}

/// `part` of the filter as an error message quotes it: short enough to read.
fn shown(part: &impl std::fmt::Display) -> String {
    let text = part.to_string();
    let mut short: String = text.chars().take(100).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// Reads syntax trees against the fields of one object.
struct Filters<'a> {
    fields: &'a [ObjectField],
    named: RefCell<Vec<Named>>,
}

/// A place of the text that names a field.
struct Named {
    span: Span,
    ident: Ident,
    api: String,
}

impl Filters<'_> {
    fn filter(&self, expr: &Expr) -> Result<Filter> {
        match expr {
            Expr::Nested(inner) => self.filter(inner),
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => Ok(not(self.filter(expr)?)),
            Expr::BinaryOp { op: BinaryOperator::And, .. } => {
                Ok(Filter::And(self.operands(expr, &BinaryOperator::And)?))
            }
            Expr::BinaryOp { op: BinaryOperator::Or, .. } => {
                Ok(Filter::Or(self.operands(expr, &BinaryOperator::Or)?))
            }
            Expr::BinaryOp { left, op, right } => self.comparison(expr, left, op, right),
            Expr::InList { expr: of, list, negated } => {
                let field = self.operand(expr, of)?;
                let literals: Result<Vec<_>> =
                    list.iter().map(|item| self.literal(expr, field, item)).collect();
                let (field, data_type) = (field.api.clone(), field.data_type.clone());
                Ok(negate(*negated, Filter::In { field, data_type, literals: literals? }))
            }
            Expr::Between { expr: of, negated, low, high } => {
                let field = self.operand(expr, of)?;
                let low = compare(field, Comparison::GreaterEq, self.literal(expr, field, low)?);
                let high = compare(field, Comparison::LessEq, self.literal(expr, field, high)?);
                Ok(negate(*negated, Filter::And(vec![low, high])))
            }
            Expr::Like { negated, any: false, expr: of, pattern, escape_char } => {
                if escape_char.as_ref().is_some_and(|escape| literal::text(&escape.value) != Some("\\")) {
                    return Err(unsupported(expr));
                }
                Ok(negate(*negated, self.like(self.operand(expr, of)?, expr, pattern)?))
            }
            Expr::IsNull(of) => Ok(is_null(self.operand(expr, of)?)),
            Expr::IsNotNull(of) => Ok(not(is_null(self.operand(expr, of)?))),
            Expr::IsUnknown(of) => Ok(is_null(self.boolean(expr, of)?)),
            Expr::IsNotUnknown(of) => Ok(not(is_null(self.boolean(expr, of)?))),
            Expr::IsTrue(of) => Ok(known(self.boolean(expr, of)?, true)),
            Expr::IsNotTrue(of) => Ok(not(known(self.boolean(expr, of)?, true))),
            Expr::IsFalse(of) => Ok(known(self.boolean(expr, of)?, false)),
            Expr::IsNotFalse(of) => Ok(not(known(self.boolean(expr, of)?, false))),
            Expr::Identifier(_) => Ok(is_true(self.boolean(expr, expr)?)),
            _ => match Constant::from_expr(expr)? {
                Some(Constant::Boolean(true)) => Ok(Filter::And(Vec::new())),
                Some(Constant::Boolean(false)) => Ok(Filter::Or(Vec::new())),
                _ => Err(unsupported(expr)),
            },
        }
    }

    /// The operands of a chain of the same `operator`, flat: `a AND b AND c` leans to the left, however long.
    fn operands(&self, expr: &Expr, operator: &BinaryOperator) -> Result<Vec<Filter>> {
        let mut operands = Vec::new();
        let mut rest = expr;
        while let Expr::BinaryOp { left, op, right } = rest
            && op == operator
        {
            operands.push(self.filter(right)?);
            rest = left;
        }
        operands.push(self.filter(rest)?);
        operands.reverse();
        Ok(operands)
    }

    fn comparison(&self, expr: &Expr, left: &Expr, op: &BinaryOperator, right: &Expr) -> Result<Filter> {
        let op = match op {
            BinaryOperator::Eq => Comparison::Eq,
            BinaryOperator::NotEq => Comparison::NotEq,
            BinaryOperator::Lt => Comparison::Less,
            BinaryOperator::LtEq => Comparison::LessEq,
            BinaryOperator::Gt => Comparison::Greater,
            BinaryOperator::GtEq => Comparison::GreaterEq,
            _ => return Err(unsupported(expr)),
        };
        if Constant::from_expr(left)?.is_some() {
            let field = self.operand(expr, right)?;
            return Ok(compare(field, mirrored(op), self.literal(expr, field, left)?));
        }
        let field = self.operand(expr, left)?;
        Ok(compare(field, op, self.literal(expr, field, right)?))
    }

    fn like(&self, field: &ObjectField, expr: &Expr, pattern: &Expr) -> Result<Filter> {
        if field.data_type != FieldType::Text {
            let what = format!("LIKE needs a text field, `{}` is of type `{}`", field.name, field.data_type);
            return Err(Error::new(Kind::Invalid, what));
        }
        let Literal::Text(pattern) = self.literal(expr, field, pattern)? else {
            return Err(unsupported(expr));
        };
        let trailing = pattern.len() - pattern.trim_end_matches('\\').len();
        if trailing % 2 == 1 {
            let what = format!("the LIKE pattern `{}` must not end with a single `\\`", shown(&pattern));
            return Err(Error::new(Kind::Invalid, what).with_sqlstate("22025"));
        }
        Ok(Filter::Like { field: field.api.clone(), pattern })
    }

    /// The constant `expr`, part of `whole`, as a literal of the type of `field`.
    fn literal(&self, whole: &Expr, field: &ObjectField, expr: &Expr) -> Result<Literal> {
        match Constant::from_expr(expr)? {
            Some(constant) => constant.typed(expr, &field.name, &field.data_type),
            None if matches!(expr, Expr::Function(_)) => Err(unsupported(expr)),
            None => Err(unsupported(whole)),
        }
    }

    /// The field that `expr`, part of `whole`, names.
    fn operand(&self, whole: &Expr, expr: &Expr) -> Result<&ObjectField> {
        match expr {
            Expr::Nested(inner) => self.operand(whole, inner),
            Expr::Identifier(ident) => self.field(ident),
            Expr::Function(_) => Err(unsupported(expr)),
            _ => Err(unsupported(whole)),
        }
    }

    fn boolean(&self, whole: &Expr, expr: &Expr) -> Result<&ObjectField> {
        let field = self.operand(whole, expr)?;
        if field.data_type == FieldType::Boolean {
            return Ok(field);
        }
        let what = format!("the field `{}` is of type `{}`, not boolean", field.name, field.data_type);
        Err(Error::new(Kind::Invalid, what).with_sqlstate("42804").with_hint(ACCEPTED))
    }

    fn field(&self, ident: &Ident) -> Result<&ObjectField> {
        if let Some(field) = field_of(self.fields, ident) {
            let named = Named { span: ident.span, ident: ident.clone(), api: field.api.clone() };
            self.named.borrow_mut().push(named);
            return Ok(field);
        }
        let meant = did_you_mean(&name_of(ident), self.fields.iter().map(|f| f.name.as_str()));
        Err(Error::new(Kind::Invalid, format!("unknown field `{}`{meant}", shown(&name_of(ident))))
            .with_sqlstate("42703")
            .with_hint(
                "fields are called by their column name, or by the source's own name in double quotes",
            ))
    }
}

fn name_of(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

fn field_of<'a>(fields: &'a [ObjectField], ident: &Ident) -> Option<&'a ObjectField> {
    let name = name_of(ident);
    let by_api = || fields.iter().find(|f| ident.quote_style.is_some() && f.api == name);
    fields.iter().find(|f| f.name == name).or_else(by_api)
}

fn mirrored(op: Comparison) -> Comparison {
    match op {
        Comparison::Less => Comparison::Greater,
        Comparison::LessEq => Comparison::GreaterEq,
        Comparison::Greater => Comparison::Less,
        Comparison::GreaterEq => Comparison::LessEq,
        Comparison::Eq | Comparison::NotEq => op,
    }
}

fn compare(field: &ObjectField, op: Comparison, literal: Literal) -> Filter {
    Filter::Compare { field: field.api.clone(), data_type: field.data_type.clone(), op, literal }
}

fn is_null(field: &ObjectField) -> Filter {
    Filter::IsNull { field: field.api.clone() }
}

fn is_true(field: &ObjectField) -> Filter {
    Filter::IsTrue { field: field.api.clone() }
}

/// `IS TRUE` and `IS FALSE` know no third answer: NULL is neither.
fn known(field: &ObjectField, value: bool) -> Filter {
    Filter::And(vec![not(is_null(field)), negate(!value, is_true(field))])
}

fn not(filter: Filter) -> Filter {
    Filter::Not(Box::new(filter))
}

fn negate(negated: bool, filter: Filter) -> Filter {
    if negated { not(filter) } else { filter }
}
