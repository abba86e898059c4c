//! Expressions of PostgreSQL that the planner lacks, written with ones that it has.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, DateTimeField, Expr, Ident, ObjectNamePart, SelectItem, SetExpr, UnaryOperator,
    Value, VisitorMut,
};

use super::normalize::{CAST, NAME_END, ROW, WHOLE, node, number, take};
use super::outside::{Rewrite, outside_subqueries};
use super::rowsets::{call, folded, parsed};

fn string(text: &str) -> Expr {
    Expr::value(Value::SingleQuotedString(text.to_string()))
}

pub(super) fn not(expr: Expr) -> Expr {
    Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(Expr::Nested(Box::new(expr))) }
}

pub(super) fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}

/// An expression whose parts were expanded before.
pub(super) fn expr(expr: &mut Expr) {
    match expr {
        Expr::SimilarTo { negated, expr: value, pattern, escape_char } => {
            let escape = match escape_char.take().map(|escape| escape.value) {
                Some(Value::SingleQuotedString(text)) => text,
                _ => "\\".into(),
            };
            let negated = *negated;
            let similar = call("similar_to", vec![take(value), take(pattern), string(&escape)]);
            *expr = if negated { not(similar) } else { similar };
        }
        Expr::Substring { expr: value, substring_from, substring_for, shorthand, .. } => {
            let name = if *shorthand { "substr" } else { "substring" };
            let (from, count) =
                (substring_from.as_deref_mut().map(take), substring_for.as_deref_mut().map(take));
            let mut args = vec![take(value)];
            args.extend(from.or_else(|| count.is_some().then(|| number("1"))));
            args.extend(count);
            *expr = call(name, args);
        }
        Expr::Overlay { expr: value, overlay_what, overlay_from, overlay_for } => {
            let mut args = vec![take(value), take(overlay_what), take(overlay_from)];
            args.extend(overlay_for.as_deref_mut().map(take));
            *expr = call("overlay", args);
        }
        Expr::Position { expr: part, r#in: text } => *expr = call("position", vec![take(text), take(part)]),
        Expr::Interval(interval) => *expr = span(interval),
        Expr::UnaryOp { op, expr: inner } => {
            let function = match op {
                UnaryOperator::PGSquareRoot => "dsqrt",
                UnaryOperator::PGCubeRoot => "cbrt",
                UnaryOperator::PGAbs => "abs",
                UnaryOperator::BitwiseNot => "bit_not",
                _ => return,
            };
            *expr = call(function, vec![take(inner)]);
        }
        Expr::BinaryOp { left, op: BinaryOperator::Overlaps, right } => {
            if let (Expr::Tuple(lefts), Expr::Tuple(rights)) = (&mut **left, &mut **right)
                && lefts.len() == 2
                && rights.len() == 2
            {
                *expr = call("overlaps", lefts.drain(..).chain(rights.drain(..)).collect());
            }
        }
        Expr::CompoundFieldAccess { access_chain, .. } => {
            for access in access_chain {
                if let ast::AccessExpr::Subscript(ast::Subscript::Slice {
                    lower_bound, upper_bound, ..
                }) = access
                {
                    lower_bound.get_or_insert_with(|| number("1"));
                    upper_bound.get_or_insert_with(|| number(LAST_ELEMENT));
                }
            }
        }
        Expr::Value(ast::ValueWithSpan { value, .. }) => {
            if let Value::UnicodeStringLiteral(text) = value {
                *value = Value::SingleQuotedString(std::mem::take(text));
            }
        }
        Expr::BinaryOp { left, op, right } => {
            if let (Expr::Tuple(lefts), Expr::Tuple(rights)) = (&**left, &**right)
                && lefts.len() == rights.len()
                && let Some(compared) = compare_rows(lefts, op, rights)
            {
                *expr = compared;
            }
        }
        Expr::IsNull(inner) => {
            if let Some(all) = row_is(inner, |part| Expr::IsNull(Box::new(part))) {
                *expr = all;
            }
        }
        Expr::IsNotNull(inner) => {
            if let Some(all) = row_is(inner, |part| Expr::IsNotNull(Box::new(part))) {
                *expr = all;
            }
        }
        Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } => {
            if let Some(escape) = escape_char.take_if(|escape| !is_backslash(escape)) {
                **pattern = call("like_escape", vec![take(pattern), Expr::Value(escape)]);
            }
        }
        Expr::InList { expr: value, list, negated } => {
            let Expr::Tuple(wanted) = &**value else { return };
            let rows = list.iter().map(|row| match row {
                Expr::Tuple(row) if row.len() == wanted.len() => {
                    compare_rows(wanted, &BinaryOperator::Eq, row)
                }
                _ => None,
            });
            let Some(rows) = rows.collect::<Option<Vec<_>>>() else { return };
            let any = rows.into_iter().reduce(|left, right| binary(left, BinaryOperator::Or, right));
            let Some(any) = any else { return };
            *expr = if *negated { not(any) } else { Expr::Nested(Box::new(any)) };
        }
        Expr::InSubquery { expr: value, subquery, negated: false } => {
            if let Expr::Tuple(wanted) = &**value
                && let Some(exists) = row_exists(wanted, subquery)
            {
                *expr = exists;
            }
        }
        Expr::Function(function) => {
            let name = function.name.to_string().to_lowercase();
            if name == "row"
                && let ast::FunctionArguments::List(list) = &mut function.args
            {
                let args = list.args.iter_mut().filter_map(|arg| match arg {
                    ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(arg)) => Some(take(arg)),
                    _ => None,
                });
                *expr = Expr::Tuple(args.collect());
            } else if name == "normalize"
                && let ast::FunctionArguments::List(list) = &mut function.args
                && let [_, ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(form))] =
                    list.args.as_mut_slice()
                && let Expr::Identifier(word) = form
            {
                // A word of the language, not a column.
                *form = string(&word.value);
            } else if name == "make_interval" {
                place_by_name(function, MAKE_INTERVAL);
            }
        }
        _ => {}
    }
}

/// The bound of a slice that has none.
const LAST_ELEMENT: &str = "2147483647";

fn is_backslash(escape: &ast::ValueWithSpan) -> bool {
    matches!(&escape.value, Value::SingleQuotedString(text) if text == "\\")
}

/// A row is NULL, or is not, where all of its values are so.
fn row_is(row: &mut Expr, test: impl Fn(Expr) -> Expr) -> Option<Expr> {
    let parts = match row {
        Expr::Tuple(parts) => parts,
        Expr::Nested(inner) => match &mut **inner {
            Expr::Tuple(parts) => parts,
            _ => return None,
        },
        _ => return None,
    };
    let tests = std::mem::take(parts).into_iter().map(test);
    tests
        .reduce(|left, right| binary(left, BinaryOperator::And, right))
        .map(|all| Expr::Nested(Box::new(all)))
}

/// The parameters of `make_interval`; each is 0 where it is left out.
const MAKE_INTERVAL: &[&str] = &["years", "months", "weeks", "days", "hours", "mins", "secs"];

/// Arguments that are given by name, in their places.
fn place_by_name(function: &mut ast::Function, names: &[&str]) {
    let ast::FunctionArguments::List(list) = &mut function.args else { return };
    let given = |arg: &ast::FunctionArg| match arg {
        ast::FunctionArg::Named { name, arg: ast::FunctionArgExpr::Expr(value), .. } => {
            Some((folded(name), value.clone()))
        }
        ast::FunctionArg::ExprNamed {
            name: Expr::Identifier(name),
            arg: ast::FunctionArgExpr::Expr(value),
            ..
        } => Some((folded(name), value.clone())),
        _ => None,
    };
    let named: Vec<_> = list.args.iter().filter_map(given).collect();
    let is_known = named.iter().all(|(name, _)| names.contains(&name.as_str()));
    let plain = list.args.len() - named.len();
    if named.is_empty() || !is_known || plain > names.len() {
        return;
    }
    list.args.truncate(plain);
    for name in &names[plain..] {
        let value = named.iter().find(|(given, _)| given == name).map(|(_, value)| value.clone());
        let value = value.unwrap_or_else(|| number("0"));
        list.args.push(ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(value)));
    }
}

/// Rows are compared from left to right.
fn compare_rows(left: &[Expr], op: &BinaryOperator, right: &[Expr]) -> Option<Expr> {
    use BinaryOperator::{And, Eq, Gt, GtEq, Lt, LtEq, NotEq, Or};
    let pairs = || left.iter().cloned().zip(right.iter().cloned());
    let nested = |expr| Expr::Nested(Box::new(expr));
    match op {
        Eq => pairs().map(|(l, r)| binary(l, Eq, r)).reduce(|l, r| binary(l, And, r)).map(nested),
        NotEq => pairs().map(|(l, r)| binary(l, NotEq, r)).reduce(|l, r| binary(l, Or, r)).map(nested),
        Lt | LtEq | Gt | GtEq => {
            let strict = if matches!(op, Lt | LtEq) { Lt } else { Gt };
            let mut pairs: Vec<_> = pairs().collect();
            let (l, r) = pairs.pop()?;
            let last = binary(l, op.clone(), r);
            // a < x or (a = x and (b < y or (b = y and c <= z)))
            Some(pairs.into_iter().rev().fold(nested(last), |rest, (l, r)| {
                let equal = binary(l.clone(), Eq, r.clone());
                nested(binary(binary(l, strict.clone(), r), Or, nested(binary(equal, And, rest))))
            }))
        }
        _ => None,
    }
}

/// `(a, b) IN (SELECT ...)` as `EXISTS (SELECT 1 FROM (...) AS x WHERE ...)`.
pub(super) fn row_exists(wanted: &[Expr], subquery: &mut Box<ast::Query>) -> Option<Expr> {
    let mut exists = parsed("SELECT 1 FROM (SELECT 1) AS x WHERE true")?;
    let SetExpr::Select(select) = &mut *exists.body else { return None };
    let columns: Vec<_> = (0..wanted.len()).map(|at| format!("{NAME_END}column{at}")).collect();
    if let ast::TableFactor::Derived { subquery: inner, alias, .. } = &mut select.from.first_mut()?.relation {
        std::mem::swap(inner, subquery);
        if let Some(alias) = alias {
            alias.name = Ident::with_quote('"', format!("{NAME_END}rows"));
            alias.columns = columns
                .iter()
                .map(|name| ast::TableAliasColumnDef { name: Ident::with_quote('"', name), data_type: None })
                .collect();
        }
    }
    let pairs = wanted.iter().zip(&columns).map(|(wanted, column)| {
        binary(Expr::Identifier(Ident::with_quote('"', column)), BinaryOperator::Eq, wanted.clone())
    });
    select.selection = pairs.reduce(|left, right| binary(left, BinaryOperator::And, right));
    Some(Expr::Exists { subquery: Box::new(exists), negated: false })
}

/// `INTERVAL '...' [fields]`
fn span(interval: &mut ast::Interval) -> Expr {
    let name = |field: &DateTimeField| field.to_string().to_lowercase().trim_end_matches('s').to_string();
    let value = take(&mut interval.value);
    let all = ["year", "month", "day", "hour", "minute", "second"];
    let fields: Vec<String> = match (&interval.leading_field, &interval.last_field) {
        (None, _) => Vec::new(),
        (Some(only), None) => vec![name(only)],
        (Some(first), Some(last)) => {
            let at = |field: &DateTimeField| all.iter().position(|unit| *unit == name(field));
            match (at(first), at(last)) {
                (Some(first), Some(last)) if first < last => {
                    all[first..=last].iter().map(ToString::to_string).collect()
                }
                _ => vec![name(last)],
            }
        }
    };
    match fields.is_empty() {
        true => node(format!("{CAST}interval"), vec![value]),
        false => call("interval_fields", vec![value, string(&fields.join(" "))]),
    }
}

/// Rows that stand for themselves become values.
pub(super) struct Rows;

impl VisitorMut for Rows {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<()> {
        // `GROUP BY (a, b)` groups by both.
        if let ast::GroupByExpr::Expressions(expressions, _) = &mut select.group_by {
            let flat = expressions.drain(..).flat_map(|expr| match expr {
                Expr::Tuple(parts) => parts,
                other => vec![other],
            });
            *expressions = flat.collect();
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Tuple(parts) = expr {
            *expr = node(ROW.into(), std::mem::take(parts));
        }
        ControlFlow::Continue(())
    }
}

/// The names by which whole rows of a select's tables can be meant.
pub(super) fn row_names(select: &ast::Select) -> Vec<String> {
    let factors = select
        .from
        .iter()
        .flat_map(|from| std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation)));
    factors
        .filter_map(|factor| match factor {
            ast::TableFactor::Table { alias: Some(alias), .. }
            | ast::TableFactor::Derived { alias: Some(alias), .. } => Some(folded(&alias.name)),
            ast::TableFactor::Table { name, args: None, .. } => {
                name.0.last().and_then(ObjectNamePart::as_ident).map(folded)
            }
            _ => None,
        })
        .collect()
}

/// Names of tables in expressions of a select: whole rows, unless there is a column of that name.
pub(super) fn whole_rows(select: &mut ast::Select) {
    let names = row_names(select);
    if names.is_empty() {
        return;
    }
    let mut rows = WholeRows { names };
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
            outside_subqueries(expr, &mut rows);
        }
    }
    for expr in select.selection.iter_mut().chain(&mut select.having) {
        outside_subqueries(expr, &mut rows);
    }
}

struct WholeRows {
    names: Vec<String>,
}

impl WholeRows {
    fn is_row(&self, ident: &Ident) -> bool {
        self.names.contains(&folded(ident))
    }
}

impl Rewrite for WholeRows {
    fn before(&mut self, expr: &mut Expr) {
        // `o.list[1]`: the name of the table stands alone in the tree, and is no row.
        if let Expr::CompoundFieldAccess { root, access_chain } = expr
            && let Expr::Identifier(table) = &**root
            && let Some(ast::AccessExpr::Dot(Expr::Identifier(column))) = access_chain.first()
        {
            **root = Expr::CompoundIdentifier(vec![table.clone(), column.clone()]);
            access_chain.remove(0);
        }
    }

    fn after(&mut self, expr: &mut Expr) {
        if let Expr::Identifier(ident) = expr
            && self.is_row(ident)
        {
            let name = folded(ident);
            *expr = node(format!("{WHOLE}{name}"), vec![Expr::value(Value::Null)]);
        }
    }
}
