//! PostgreSQL's dialect of the parser, and what it does not know of it.

use std::any::TypeId;

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, UnaryOperator};
use datafusion::sql::sqlparser::dialect::{Dialect, PostgreSqlDialect, Precedence};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

/// The parser's PostgreSQL, and `BETWEEN SYMMETRIC`.
#[derive(Debug, Default)]
pub(super) struct Postgres;

const BASE: PostgreSqlDialect = PostgreSqlDialect {};

macro_rules! as_base {
    ($($name:ident)*) => {
        $(fn $name(&self) -> bool {
            BASE.$name()
        })*
    };
}

impl Dialect for Postgres {
    // The parser asks for this where a rule is of PostgreSQL alone.
    fn dialect(&self) -> TypeId {
        TypeId::of::<PostgreSqlDialect>()
    }

    fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
        BASE.identifier_quote_style(identifier)
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        BASE.is_delimited_identifier_start(ch)
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        BASE.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        BASE.is_identifier_part(ch)
    }

    fn is_reserved_for_identifier(&self, keyword: Keyword) -> bool {
        BASE.is_reserved_for_identifier(keyword)
    }

    fn is_custom_operator_part(&self, ch: char) -> bool {
        BASE.is_custom_operator_part(ch)
    }

    fn get_next_precedence(&self, parser: &Parser<'_>) -> Option<Result<u8, ParserError>> {
        match &parser.peek_token_ref().token {
            Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("isnull") => {
                Some(Ok(self.prec_value(Precedence::Is)))
            }
            _ => BASE.get_next_precedence(parser),
        }
    }

    fn prec_value(&self, precedence: Precedence) -> u8 {
        BASE.prec_value(precedence)
    }

    as_base! {
        supports_unicode_string_literal
        supports_filter_during_aggregation
        supports_group_by_expr
        allow_extract_custom
        allow_extract_single_quotes
        supports_create_index_with_clause
        supports_explain_with_utility_options
        supports_listen_notify
        supports_factorial_operator
        supports_bitwise_shift_operators
        supports_comment_on
        supports_load_extension
        supports_named_fn_args_with_colon_operator
        supports_named_fn_args_with_expr_name
        supports_empty_projections
        supports_nested_comments
        supports_string_escape_constant
        supports_numeric_literal_underscores
        supports_array_typedef_with_brackets
        supports_geometric_types
        supports_set_names
        supports_alter_column_type_using
        supports_notnull_operator
        supports_interval_options
        supports_insert_table_alias
        supports_create_table_like_parenthesized
        supports_select_wildcard_with_alias
        supports_comma_separated_trim
        supports_xml_expressions
        supports_comment_optimizer_hint
    }

    fn parse_infix(&self, parser: &mut Parser<'_>, expr: &Expr, _: u8) -> Option<Result<Expr, ParserError>> {
        let negated =
            matches!(&parser.peek_token_ref().token, Token::Word(word) if word.keyword == Keyword::NOT);
        let word = |ahead: usize| match parser.peek_nth_token(ahead).token {
            Token::Word(word) if word.quote_style.is_none() => word.value.to_lowercase(),
            _ => String::new(),
        };
        if word(0) == "isnull" {
            parser.next_token();
            return Some(Ok(Expr::IsNull(Box::new(expr.clone()))));
        }
        let from = usize::from(negated);
        if word(from) != "between" {
            return None;
        }
        let is_symmetric = match word(from + 1).as_str() {
            "symmetric" => true,
            "asymmetric" => false,
            _ => return None,
        };
        (0..from + 2).for_each(|_| {
            parser.next_token();
        });
        Some(self.bounds(parser, expr).map(|(low, high)| {
            let between = |low: &Expr, high: &Expr| Expr::Between {
                expr: Box::new(expr.clone()),
                negated: false,
                low: Box::new(low.clone()),
                high: Box::new(high.clone()),
            };
            let inside = match is_symmetric {
                false => between(&low, &high),
                true => Expr::BinaryOp {
                    left: Box::new(between(&low, &high)),
                    op: BinaryOperator::Or,
                    right: Box::new(between(&high, &low)),
                },
            };
            match negated {
                true => Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(inside) },
                false => inside,
            }
        }))
    }
}

impl Postgres {
    fn bounds(&self, parser: &mut Parser<'_>, _: &Expr) -> Result<(Expr, Expr), ParserError> {
        let precedence = self.prec_value(Precedence::Between);
        let low = parser.parse_subexpr(precedence)?;
        parser.expect_keyword_is(Keyword::AND)?;
        Ok((low, parser.parse_subexpr(precedence)?))
    }
}
