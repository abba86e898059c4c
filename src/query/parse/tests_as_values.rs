//! `EXISTS`, `IN`, `ANY` and `ALL` of subqueries as outputs. The planner has them as conditions only.

use datafusion::sql::sqlparser::ast::{self, BinaryOperator, Expr, Query};

use super::expand::{binary, not, row_exists};
use super::normalize::take;
use super::outside::Rewrite;
use super::rowsets::{parsed, select_of, table_alias};

/// Makes scalar subqueries of them: `EXISTS (...)` becomes `(SELECT count(*) > 0 FROM (...))`, the others are made of
/// that.
pub(super) struct TestsAsValues;

impl Rewrite for TestsAsValues {
    fn after(&mut self, expr: &mut Expr) {
        let tested = match expr {
            Expr::Exists { subquery, negated } => counted(subquery, *negated),
            Expr::InSubquery { expr: value, subquery, negated } => {
                let any = match &**value {
                    Expr::Tuple(wanted) => match row_exists(wanted, subquery) {
                        Some(Expr::Exists { subquery, negated }) => counted(&subquery, negated),
                        _ => None,
                    },
                    value => any(value, &BinaryOperator::Eq, subquery),
                };
                any.map(|any| if *negated { not(any) } else { any })
            }
            Expr::AnyOp { left, compare_op, right, .. } => match &**right {
                Expr::Subquery(subquery) => any(left, compare_op, subquery),
                _ => None,
            },
            Expr::AllOp { left, compare_op, right } => match (&**right, opposite(compare_op)) {
                (Expr::Subquery(subquery), Some(opposite)) => any(left, &opposite, subquery).map(not),
                _ => None,
            },
            _ => None,
        };
        if let Some(tested) = tested {
            *expr = tested;
        }
    }
}

fn opposite(op: &BinaryOperator) -> Option<BinaryOperator> {
    Some(match op {
        BinaryOperator::Eq => BinaryOperator::NotEq,
        BinaryOperator::NotEq => BinaryOperator::Eq,
        BinaryOperator::Lt => BinaryOperator::GtEq,
        BinaryOperator::LtEq => BinaryOperator::Gt,
        BinaryOperator::Gt => BinaryOperator::LtEq,
        BinaryOperator::GtEq => BinaryOperator::Lt,
        _ => return None,
    })
}

/// `(SELECT count(*) > 0 FROM (...))`
fn counted(rows: &Query, negated: bool) -> Option<Expr> {
    let op = if negated { "=" } else { ">" };
    let mut counting = parsed(&format!("SELECT count(*) {op} 0 FROM (SELECT 1) AS counted"))?;
    let select = select_of(&mut counting)?;
    if let ast::TableFactor::Derived { subquery, .. } = &mut select.from.first_mut()?.relation {
        **subquery = rows.clone();
    }
    Some(Expr::Subquery(Box::new(counting)))
}

/// The name of the rows of a tested subquery, and of their value.
const TESTED: &str = "\u{1f}tested";
const VALUE: &str = "\u{1f}value";

/// Whether the subquery has rows for whose value the condition holds.
fn has(rows: &Query, condition: Option<Expr>) -> Option<Expr> {
    let mut tested = parsed("SELECT 1 FROM (SELECT 1) AS x")?;
    let select = select_of(&mut tested)?;
    if let ast::TableFactor::Derived { subquery, alias, .. } = &mut select.from.first_mut()?.relation {
        **subquery = rows.clone();
        let mut named = table_alias(TESTED);
        named.columns = vec![ast::TableAliasColumnDef { name: value_name(), data_type: None }];
        *alias = Some(named);
    }
    select.selection = condition;
    counted(&tested, false)
}

fn value_name() -> ast::Ident {
    ast::Ident::with_quote('"', VALUE)
}

/// `value op ANY (rows)` with three outcomes: of rows for none of which it is true, one that is NULL, or a value that
/// is, leaves it open. Only the first test refers to the value together with the rows.
fn any(value: &Expr, op: &BinaryOperator, rows: &Query) -> Option<Expr> {
    let member = || Expr::Identifier(value_name());
    let value = || Expr::Nested(Box::new(value.clone()));
    let is_true = has(rows, Some(binary(value(), op.clone(), member())))?;
    let is_null = binary(Expr::IsNull(Box::new(value())), BinaryOperator::And, has(rows, None)?);
    let has_null = has(rows, Some(Expr::IsNull(Box::new(member()))))?;
    let frame =
        "SELECT CASE WHEN true THEN true WHEN true THEN NULL::boolean WHEN true THEN NULL ELSE false END";
    let mut outcome = parsed(frame)?;
    let ast::SelectItem::UnnamedExpr(case) = select_of(&mut outcome)?.projection.first_mut()? else {
        return None;
    };
    let Expr::Case { conditions, .. } = case else { return None };
    for (when, condition) in conditions.iter_mut().zip([is_true, is_null, has_null]) {
        when.condition = condition;
    }
    Some(Expr::Nested(Box::new(take(case))))
}
