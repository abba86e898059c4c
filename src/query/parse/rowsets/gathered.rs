//! Arrays made of the rows of a query.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, FunctionArguments, Query, SelectItem, SetExpr, TableFactor, VisitMut, VisitorMut,
};

use super::{call, parsed, select_of, take};
use crate::query::functions::rowsets::EMPTY_FOR_NULL;

/// `ARRAY(query)`: the values of its only column in its order; empty where it has no rows.
pub(super) fn array_of(rows: Box<Query>) -> Option<Expr> {
    let mut rows = *rows;
    let mut gathered = match gather(&mut rows) {
        Some(()) => rows,
        None => {
            let mut query = parsed("SELECT array_agg(\"value\") FROM (SELECT 1) AS s(\"value\")")?;
            let select = select_of(&mut query)?;
            if let TableFactor::Derived { subquery, .. } = &mut select.from.first_mut()?.relation {
                **subquery = rows;
            }
            query
        }
    };
    gathered.order_by = None;
    Some(call(EMPTY_FOR_NULL, vec![Expr::Subquery(Box::new(gathered))]))
}

/// Makes the one value of a plain query an aggregate of all; `None` leaves the query as it is.
fn gather(rows: &mut Query) -> Option<()> {
    let is_plain = rows.limit_clause.is_none() && rows.fetch.is_none() && rows.with.is_none();
    let order = match rows.order_by.take() {
        None => Vec::new(),
        Some(ast::OrderBy { kind: ast::OrderByKind::Expressions(order), .. }) if is_plain => order,
        other => {
            rows.order_by = other;
            return None;
        }
    };
    let restore = |rows: &mut Query, order: Vec<ast::OrderByExpr>| {
        if !order.is_empty() {
            let kind = ast::OrderByKind::Expressions(order);
            rows.order_by = Some(ast::OrderBy { kind, interpolate: None });
        }
        None
    };
    let SetExpr::Select(select) = &mut *rows.body else { return restore(rows, order) };
    let has_groups =
        !matches!(&select.group_by, ast::GroupByExpr::Expressions(groups, _) if groups.is_empty());
    let [SelectItem::UnnamedExpr(value) | SelectItem::ExprWithAlias { expr: value, .. }] =
        select.projection.as_mut_slice()
    else {
        return restore(rows, order);
    };
    if !is_plain || has_groups || select.having.is_some() || select.distinct.is_some() || has_call(value) {
        return restore(rows, order);
    }
    let order = order.into_iter().map(|mut by| {
        // `ORDER BY 1` is the value itself.
        if matches!(&by.expr, Expr::Value(ast::ValueWithSpan { value: ast::Value::Number(..), .. })) {
            by.expr = value.clone();
        }
        by
    });
    let order: Vec<_> = order.collect();
    let Expr::Function(mut aggregate) = call("array_agg", vec![take(value)]) else { return None };
    if let FunctionArguments::List(list) = &mut aggregate.args
        && !order.is_empty()
    {
        list.clauses.push(ast::FunctionArgumentClause::OrderBy(order));
    }
    *value = Expr::Function(aggregate);
    Some(())
}

/// Whether a value is made by a call that may be an aggregate or give several rows.
fn has_call(value: &mut Expr) -> bool {
    struct Calls;
    impl VisitorMut for Calls {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
            let name =
                function.name.0.last().and_then(|part| part.as_ident()).map(|name| name.value.to_lowercase());
            // Known to give one value for one row.
            let is_plain = name.is_some_and(|name| {
                name.starts_with("pg_get_")
                    || ["format_type", "quote_ident", "lower", "upper", "concat"].contains(&name.as_str())
            });
            if is_plain { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        }
    }
    value.visit(&mut Calls).is_break()
}
