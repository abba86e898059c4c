//! What has to be of one type for the place it stands in: a condition is boolean, a limit a number, and only arrays are
//! taken apart. Such a place is marked with a node, so that what is wrong is told with PostgreSQL's words and position
//! once the type is known.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, DictionaryField, Expr, Ident, UnaryOperator, Value, VisitMut, VisitorMut,
};

use super::normalize::{CONDITION, LIMIT, UNNEST, VALUES, node, take};
use super::places::Places;
use super::rowsets::call;

/// Marks all such places of a query.
pub(super) fn query(query: &mut ast::Query, places: Places<'_>) {
    let _flow: ControlFlow<()> = query.visit(&mut Marks { places });
}

/// The key of a node with the position of the part it holds.
pub(super) fn placed(key: &str, place: Option<u32>) -> String {
    match place {
        Some(place) => format!("{key}@{place}"),
        None => key.to_string(),
    }
}

/// A node each of whose values has a position.
pub(super) fn placed_node(key: &str, values: Vec<(Expr, Option<u32>)>) -> Expr {
    let fields = values.into_iter().map(|(value, place)| DictionaryField {
        key: Ident::new(placed(key, place)),
        value: Box::new(value),
    });
    Expr::Dictionary(fields.collect())
}

struct Marks<'a> {
    places: Places<'a>,
}

impl VisitorMut for Marks<'_> {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<()> {
        if let Some(condition) = &mut select.selection {
            self.condition(condition, "WHERE");
        }
        if let Some(condition) = &mut select.having {
            self.condition(condition, "HAVING");
            let is_whole =
                matches!(&select.group_by, ast::GroupByExpr::Expressions(all, _) if all.is_empty());
            // Without groups all rows are one, even where nothing is aggregated.
            if is_whole {
                let all = Expr::Nested(Box::new(take(condition)));
                *condition = super::expand::binary(all, BinaryOperator::And, any_number_of_rows());
            }
        }
        for join in select.from.iter_mut().flat_map(|from| &mut from.joins) {
            if let Some(ast::JoinConstraint::On(condition)) = constraint(&mut join.join_operator) {
                self.condition(condition, "JOIN/ON");
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<()> {
        if let Some(ast::LimitClause::LimitOffset { limit, offset, .. }) = &mut query.limit_clause {
            for (what, place) in
                [("LIMIT", limit.as_mut()), ("OFFSET", offset.as_mut().map(|o| &mut o.value))]
            {
                let Some(expr) = place.filter(|expr| !is_plain(expr)) else { continue };
                let place = self.places.of(expr);
                *expr = node(placed(&format!("{LIMIT}{what}"), place), vec![take(expr)]);
            }
        }
        if let ast::SetExpr::Values(values) = &mut *query.body {
            self.values(values);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut ast::TableFactor) -> ControlFlow<()> {
        let is_unnest = |name: &ast::ObjectName| name.to_string().eq_ignore_ascii_case("unnest");
        match factor {
            ast::TableFactor::UNNEST { array_exprs, .. } => {
                let is_alone = array_exprs.len() == 1;
                array_exprs.iter_mut().for_each(|array| self.array(array, is_alone));
            }
            ast::TableFactor::Table { name, args: Some(args), .. } if is_unnest(name) => {
                self.arrays(&mut args.args);
            }
            ast::TableFactor::Function { name, args, .. } if is_unnest(name) => self.arrays(args),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::BinaryOp { left, op: op @ (BinaryOperator::And | BinaryOperator::Or), right } => {
                let what = op.to_string();
                self.condition(left, &what);
                self.condition(right, &what);
            }
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => self.condition(expr, "NOT"),
            Expr::IsTrue(inner) => self.condition(inner, "IS TRUE"),
            Expr::IsNotTrue(inner) => self.condition(inner, "IS NOT TRUE"),
            Expr::IsFalse(inner) => self.condition(inner, "IS FALSE"),
            Expr::IsNotFalse(inner) => self.condition(inner, "IS NOT FALSE"),
            Expr::IsUnknown(inner) => self.condition(inner, "IS UNKNOWN"),
            Expr::IsNotUnknown(inner) => self.condition(inner, "IS NOT UNKNOWN"),
            Expr::Case { operand: None, conditions, .. } => {
                conditions.iter_mut().for_each(|when| self.condition(&mut when.condition, "CASE/WHEN"));
            }
            Expr::Function(function) => {
                if let Some(filter) = &mut function.filter {
                    self.condition(filter, "FILTER");
                }
                let is_unnest = function.name.to_string().eq_ignore_ascii_case("unnest");
                if let (true, ast::FunctionArguments::List(list)) = (is_unnest, &mut function.args) {
                    self.arrays(&mut list.args);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

impl Marks<'_> {
    fn condition(&self, expr: &mut Expr, of: &str) {
        if let Expr::Nested(inner) = expr {
            return self.condition(inner, of);
        }
        if !is_boolean(expr) {
            let place = self.places.of(expr);
            *expr = node(placed(&format!("{CONDITION}{of}"), place), vec![take(expr)]);
        }
    }

    fn arrays(&self, args: &mut [ast::FunctionArg]) {
        let is_alone = args.len() == 1;
        for arg in args {
            if let ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(array)) = arg {
                self.array(array, is_alone);
            }
        }
    }

    fn array(&self, array: &mut Expr, is_alone: bool) {
        let place = self.places.of_call(array);
        let name = if is_alone { "unnest" } else { "pg_catalog.unnest" };
        *array = node(placed(&format!("{UNNEST}{name}"), place), vec![take(array)]);
    }

    /// A value stands beside those above it in its column that may be of another type.
    fn values(&self, values: &mut ast::Values) {
        let width = values.rows.first().map_or(0, |row| row.content.len());
        for column in 0..width {
            let mut above: Vec<(Kind, Expr)> = Vec::new();
            for row in &mut values.rows {
                let Some(cell) = row.content.get_mut(column) else { continue };
                let kind = Kind::of(cell);
                if kind == Kind::Open
                    || above.iter().any(|(known, _)| *known == kind)
                    || above.len() > MOST_KINDS
                {
                    continue;
                }
                let place = self.places.of(cell);
                let own = cell.clone();
                if !above.is_empty() {
                    let mut all = vec![(take(cell), place)];
                    all.extend(above.iter().map(|(_, expr)| (expr.clone(), None)));
                    *cell = placed_node(VALUES, all);
                }
                above.push((kind, own));
            }
        }
    }
}

/// Kinds of values in one column that are looked at.
const MOST_KINDS: usize = 8;

/// What can be told of a value by how it is written.
#[derive(Clone, PartialEq)]
enum Kind {
    /// It takes the type of the others.
    Open,
    Number,
    Boolean,
    Cast(String),
    /// Nobody knows: it is like none other.
    Other(Box<Expr>),
}

impl Kind {
    fn of(expr: &Expr) -> Kind {
        match expr {
            Expr::Nested(inner) => Kind::of(inner),
            Expr::UnaryOp { op: UnaryOperator::Minus | UnaryOperator::Plus, expr } => Kind::of(expr),
            Expr::Value(value) => match &value.value {
                Value::Number(..) => Kind::Number,
                Value::Boolean(_) => Kind::Boolean,
                _ => Kind::Open,
            },
            Expr::Cast { data_type, .. } => Kind::Cast(data_type.to_string().to_lowercase()),
            Expr::TypedString(typed) => Kind::Cast(typed.data_type.to_string().to_lowercase()),
            Expr::Interval(_) => Kind::Cast("interval".into()),
            other => Kind::Other(Box::new(other.clone())),
        }
    }
}

/// Whether an expression is boolean or nothing: no other type has such a form.
fn is_boolean(expr: &Expr) -> bool {
    use BinaryOperator::{And, Eq, Gt, GtEq, Lt, LtEq, NotEq, Or};
    match expr {
        Expr::BinaryOp { op: And | Or | Eq | NotEq | Lt | LtEq | Gt | GtEq, .. }
        | Expr::UnaryOp { op: UnaryOperator::Not, .. }
        | Expr::IsTrue(_)
        | Expr::IsNotTrue(_)
        | Expr::IsFalse(_)
        | Expr::IsNotFalse(_)
        | Expr::IsUnknown(_)
        | Expr::IsNotUnknown(_)
        | Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::IsDistinctFrom(..)
        | Expr::IsNotDistinctFrom(..)
        | Expr::Like { .. }
        | Expr::ILike { .. }
        | Expr::SimilarTo { .. }
        | Expr::Between { .. }
        | Expr::InList { .. }
        | Expr::InSubquery { .. }
        | Expr::AnyOp { .. }
        | Expr::AllOp { .. }
        | Expr::Exists { .. } => true,
        Expr::Value(value) => matches!(value.value, Value::Boolean(_) | Value::Null),
        _ => false,
    }
}

/// A number of rows that needs no look at its type.
fn is_plain(expr: &Expr) -> bool {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(number, _) => number.bytes().all(|b| b.is_ascii_digit()),
            Value::Boolean(_) => false,
            _ => true,
        },
        _ => false,
    }
}

/// `count(*) >= 0`
fn any_number_of_rows() -> Expr {
    let mut count = call("count", Vec::new());
    if let Expr::Function(function) = &mut count
        && let ast::FunctionArguments::List(list) = &mut function.args
    {
        list.args.push(ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Wildcard));
    }
    let zero = Expr::value(Value::Number("0".into(), false));
    super::expand::binary(count, BinaryOperator::GtEq, zero)
}

fn constraint(operator: &mut ast::JoinOperator) -> Option<&mut ast::JoinConstraint> {
    use ast::JoinOperator::{FullOuter, Inner, Join, Left, LeftOuter, Right, RightOuter};
    match operator {
        Join(on) | Inner(on) | Left(on) | LeftOuter(on) | Right(on) | RightOuter(on) | FullOuter(on) => {
            Some(on)
        }
        _ => None,
    }
}
