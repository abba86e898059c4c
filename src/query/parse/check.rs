//! What PostgreSQL refuses in a query, though the parser reads it and the planner would make something of it.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, BinaryOperator, Expr, Visit, Visitor};

use super::cursor::syntax_error;
use super::places::Places;
use super::rowsets::folded;
use crate::error::{Error, Kind};

/// The error of a query that must not be planned.
pub(super) fn refused(query: &ast::Query, places: Places<'_>) -> Option<Error> {
    if let ControlFlow::Break(error) = query.visit(&mut Checks { places }) {
        return Some(error);
    }
    let found = if query.for_clause.is_some() {
        "FOR XML and FOR JSON"
    } else if query.settings.is_some() || query.format_clause.is_some() || !query.pipe_operators.is_empty() {
        "this clause"
    } else if query.fetch.as_ref().is_some_and(|fetch| fetch.percent) {
        "FETCH ... PERCENT"
    } else {
        return None;
    };
    Some(Error::new(Kind::Unsupported, format!("{found} is not supported")))
}

fn invalid(what: impl Into<String>, state: &'static str) -> Error {
    Error::new(Kind::Invalid, what).with_sqlstate(state)
}

struct Checks<'a> {
    places: Places<'a>,
}

impl Visitor for Checks<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<Error> {
        if let ast::SetExpr::Values(values) = &*query.body
            && let Some(row) = uneven(values)
        {
            let error = invalid("VALUES lists must all be the same length", "42601");
            return ControlFlow::Break(match row.first().and_then(|first| self.places.of(first)) {
                Some(place) => error.with_position(place),
                None => error,
            });
        }
        let Some(ast::LimitClause::LimitOffset { limit, offset, .. }) = &query.limit_clause else {
            return ControlFlow::Continue(());
        };
        for place in limit.iter().chain(offset.iter().map(|offset| &offset.value)) {
            if let Expr::Value(value) = place
                && let ast::Value::SingleQuotedString(text) = &value.value
                && text.trim().parse::<i64>().is_err()
            {
                let what = format!("invalid input syntax for type bigint: \"{text}\"");
                return ControlFlow::Break(invalid(what, "22P02"));
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &ast::Select) -> ControlFlow<Error> {
        let checks = [
            open_join(select),
            joins_by_nature(select),
            named_twice(select),
            used_twice(select),
            window_in_where(select),
        ];
        match checks.into_iter().flatten().next() {
            Some(error) => ControlFlow::Break(error),
            None => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_relation(&mut self, name: &ast::ObjectName) -> ControlFlow<Error> {
        let is_text =
            |part: &ast::ObjectNamePart| part.as_ident().is_some_and(|i| i.quote_style == Some('\''));
        if name.0.iter().any(is_text) {
            return ControlFlow::Break(syntax_error(format!("syntax error at or near \"{name}\"")));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
        use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
        if let Expr::BinaryOp { left, op: Eq | NotEq | Lt | LtEq | Gt | GtEq, right } = expr
            && let (Expr::Tuple(left), Expr::Tuple(right)) = (&**left, &**right)
            && left.len() != right.len()
        {
            return ControlFlow::Break(invalid("unequal number of entries in row expressions", "42601"));
        }
        if let Expr::Function(function) = expr
            && let ast::FunctionArguments::List(list) = &function.args
            && list.args.is_empty()
            && ["coalesce", "greatest", "least"]
                .iter()
                .any(|name| function.name.to_string().eq_ignore_ascii_case(name))
        {
            // No functions to PostgreSQL, but expressions of a form of their own.
            let error = syntax_error("syntax error at or near \")\"");
            return ControlFlow::Break(match self.places.behind_name(function) {
                Some(place) => error.with_position(place),
                None => error,
            });
        }
        if let Some(error) = without_columns(expr) {
            return ControlFlow::Break(error);
        }
        if let Expr::UnaryOp { op: ast::UnaryOperator::Minus, expr: inner } = expr
            && let Expr::Value(value) = &**inner
            && matches!(value.value, ast::Value::SingleQuotedString(_))
        {
            let hint =
                "Could not choose a best candidate operator. You might need to add explicit type casts.";
            let error = invalid("operator is not unique: - unknown", "42725").with_hint(hint);
            return ControlFlow::Break(error);
        }
        ControlFlow::Continue(())
    }
}

/// A subquery that stands for a value and has none: `(SELECT)`.
fn without_columns(expr: &Expr) -> Option<Error> {
    let (query, what) = match expr {
        Expr::Subquery(query) => (query, "subquery must return only one column"),
        Expr::InSubquery { subquery, .. } => (subquery, "subquery has too few columns"),
        Expr::Function(ast::Function { args: ast::FunctionArguments::Subquery(query), .. }) => {
            (query, "subquery must return only one column")
        }
        _ => return None,
    };
    let mut body = &*query.body;
    let select = loop {
        match body {
            ast::SetExpr::SetOperation { left, .. } => body = left,
            ast::SetExpr::Query(query) => body = &query.body,
            ast::SetExpr::Select(select) => break select,
            _ => return None,
        }
    };
    select.projection.is_empty().then(|| invalid(what, "42601"))
}

/// The first row of a list that has not as many values as the first one.
fn uneven(values: &ast::Values) -> Option<&[Expr]> {
    let width = values.rows.first()?.content.len();
    values.rows.iter().find(|row| row.content.len() != width).map(|row| row.content.as_slice())
}

/// The columns that a join names in `USING`.
pub(in crate::query) fn used_columns(join: &ast::Join) -> Option<Vec<String>> {
    use ast::JoinOperator::{FullOuter, Inner, Join, Left, LeftOuter, Right, RightOuter};
    match &join.join_operator {
        Join(on) | Inner(on) | Left(on) | LeftOuter(on) | Right(on) | RightOuter(on) | FullOuter(on) => {
            match on {
                ast::JoinConstraint::Using(names) => {
                    Some(names.iter().filter_map(|name| name.0.last()?.as_ident()).map(folded).collect())
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// A column that one `USING` names twice.
fn used_twice(select: &ast::Select) -> Option<Error> {
    let mut joins = select.from.iter().flat_map(|from| &from.joins).filter_map(used_columns);
    joins.find_map(|columns| {
        let twice = (1..columns.len()).find(|at| columns[..*at].contains(&columns[*at]))?;
        let what = format!("column name \"{}\" appears more than once in USING clause", columns[twice]);
        Some(invalid(what, "42701"))
    })
}

/// A join without a condition.
fn open_join(select: &ast::Select) -> Option<Error> {
    use ast::JoinOperator::{FullOuter, Inner, Join, Left, LeftOuter, Right, RightOuter};
    let is_open = |join: &&ast::Join| {
        matches!(
            &join.join_operator,
            Join(on) | Inner(on) | Left(on) | LeftOuter(on) | Right(on) | RightOuter(on) | FullOuter(on)
                if matches!(on, ast::JoinConstraint::None)
        )
    };
    let join = select.from.iter().flat_map(|from| &from.joins).find(is_open)?;
    Some(syntax_error(format!("syntax error at or near \"{}\"", join.relation)))
}

/// An outer join of all columns that both sides have. The planner would show the wrong one of each two.
fn joins_by_nature(select: &ast::Select) -> Option<Error> {
    use ast::JoinOperator::{FullOuter, Left, LeftOuter, Right, RightOuter};
    let is_natural = |join: &ast::Join| {
        matches!(
            &join.join_operator,
            Left(on) | LeftOuter(on) | Right(on) | RightOuter(on) | FullOuter(on)
                if matches!(on, ast::JoinConstraint::Natural)
        )
    };
    let is_there = select.from.iter().flat_map(|from| &from.joins).any(is_natural);
    is_there.then(|| {
        let what = "NATURAL LEFT, RIGHT and FULL JOIN are not supported";
        let hint = "name the columns that both sides have: LEFT JOIN ... USING (...)";
        Error::new(Kind::Unsupported, what).with_hint(hint)
    })
}

/// Two tables of one name, unless both are called by their own names in different schemas.
fn named_twice(select: &ast::Select) -> Option<Error> {
    let factors = select
        .from
        .iter()
        .flat_map(|from| std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation)));
    let mut seen: Vec<(String, Option<String>)> = Vec::new();
    for factor in factors {
        let (name, own) = match factor {
            ast::TableFactor::Table { alias: Some(alias), .. }
            | ast::TableFactor::Derived { alias: Some(alias), .. } => (folded(&alias.name), None),
            ast::TableFactor::Table { name, args: None, .. } => {
                let parts: Vec<_> = name.0.iter().filter_map(|part| part.as_ident()).map(folded).collect();
                (parts.last()?.clone(), Some(parts.join(".")))
            }
            _ => continue,
        };
        let is_other =
            |known: &Option<String>| matches!((known, &own), (Some(known), Some(own)) if known != own);
        if seen.iter().any(|(known, path)| *known == name && !is_other(path)) {
            return Some(invalid(format!("table name \"{name}\" specified more than once"), "42712"));
        }
        seen.push((name, own));
    }
    None
}

/// A window function in the condition of a select, outside of its subqueries.
fn window_in_where(select: &ast::Select) -> Option<Error> {
    struct Windows {
        depth: usize,
    }
    impl Visitor for Windows {
        type Break = ();

        fn pre_visit_query(&mut self, _: &ast::Query) -> ControlFlow<()> {
            self.depth += 1;
            ControlFlow::Continue(())
        }

        fn post_visit_query(&mut self, _: &ast::Query) -> ControlFlow<()> {
            self.depth -= 1;
            ControlFlow::Continue(())
        }

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Function(function) if self.depth == 0 && function.over.is_some() => {
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    let condition = select.selection.as_ref()?;
    let found = condition.visit(&mut Windows { depth: 0 }).is_break();
    found.then(|| invalid("window functions are not allowed in WHERE", "42P20"))
}
