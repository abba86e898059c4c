//! Names of output columns, as PostgreSQL gives them.

use std::collections::HashMap;

use datafusion::sql::sqlparser::ast::{self, Expr, Ident, SelectItem, Value};

use super::normalize::{NAME_END, is_wildcard, type_name};
use super::rowsets::folded;

/// Names every unnamed output column, and makes names that repeat unique behind a [`NAME_END`].
pub(super) fn name_outputs(select: &mut ast::Select) {
    let has_wildcard = select.projection.len() > 1 && select.projection.iter().any(is_wildcard);
    let mut seen: HashMap<String, usize> = HashMap::new();
    let rows = super::expand::row_names(select);
    for item in &mut select.projection {
        let (name, is_plain_column) = match item {
            SelectItem::UnnamedExpr(expr) => {
                let plain = match expr {
                    // It may mean the row of a table.
                    Expr::Identifier(ident) => !rows.contains(&folded(ident)),
                    Expr::CompoundIdentifier(_) => true,
                    _ => false,
                };
                (figure_name(expr), plain)
            }
            SelectItem::ExprWithAlias { alias, .. } => (folded(alias), true),
            _ => continue,
        };
        let count = seen.entry(name.clone()).or_insert(0);
        *count += 1;
        let is_unnamed = matches!(item, SelectItem::UnnamedExpr(_));
        let unique = if *count > 1 || (has_wildcard && is_unnamed) {
            format!("{name}{NAME_END}{count}")
        } else if is_plain_column {
            continue;
        } else {
            name
        };
        let alias = Ident::with_quote('"', unique);
        match item {
            SelectItem::UnnamedExpr(expr) => {
                let expr = std::mem::replace(expr, Expr::value(Value::Null));
                *item = SelectItem::ExprWithAlias { expr, alias };
            }
            SelectItem::ExprWithAlias { alias: given, .. } => *given = alias,
            _ => {}
        }
    }
}

/// Outputs of a subquery that share a name are all told apart: the query around it can mean none of them by the name
/// alone.
pub(super) fn part_equals(query: &mut ast::Query) {
    let mut body = &mut *query.body;
    let select = loop {
        match body {
            ast::SetExpr::SetOperation { left, .. } => body = left,
            ast::SetExpr::Query(query) => body = &mut query.body,
            ast::SetExpr::Select(select) => break select,
            _ => return,
        }
    };
    let repeated: Vec<String> = select
        .projection
        .iter()
        .filter_map(|item| match item {
            SelectItem::ExprWithAlias { alias, .. } => alias.value.split_once(NAME_END),
            _ => None,
        })
        .filter(|(name, count)| !name.is_empty() && *count == "2")
        .map(|(name, _)| name.to_string())
        .collect();
    for name in repeated {
        let first = select.projection.iter_mut().find(|item| match item {
            SelectItem::ExprWithAlias { alias, .. } => folded(alias) == name,
            SelectItem::UnnamedExpr(expr) => figure_name(expr) == name,
            _ => false,
        });
        let unique = Ident::with_quote('"', format!("{name}{NAME_END}1"));
        match first {
            Some(SelectItem::ExprWithAlias { alias, .. }) => *alias = unique,
            Some(item) => {
                if let SelectItem::UnnamedExpr(expr) = item {
                    let expr = std::mem::replace(expr, Expr::value(Value::Null));
                    *item = SelectItem::ExprWithAlias { expr, alias: unique };
                }
            }
            None => {}
        }
    }
}

/// Columns behind the last one that an alias names keep their names; the planner wants all of them or none.
pub(super) fn name_rest(alias: &mut ast::TableAlias, query: &ast::Query) {
    // Subqueries that are made here have as many columns as they name.
    if alias.columns.is_empty() || alias.name.value.starts_with(NAME_END) {
        return;
    }
    let mut body = &*query.body;
    let names: Vec<Ident> = loop {
        match body {
            ast::SetExpr::SetOperation { left, .. } => body = left,
            ast::SetExpr::Query(query) => body = &query.body,
            ast::SetExpr::Select(select) if !select.projection.iter().any(is_wildcard) => {
                let names = select.projection.iter().map(|item| match item {
                    SelectItem::ExprWithAlias { alias, .. } => alias.clone(),
                    SelectItem::UnnamedExpr(expr) => Ident::with_quote('"', figure_name(expr)),
                    _ => Ident::new("?column?"),
                });
                break names.collect();
            }
            ast::SetExpr::Values(values) => {
                let width = values.rows.first().map_or(0, |row| row.content.len());
                break (1..=width).map(|at| Ident::new(format!("column{at}"))).collect();
            }
            _ => return,
        }
    };
    let named = alias.columns.len();
    let rest = names.into_iter().skip(named);
    alias.columns.extend(rest.map(|name| ast::TableAliasColumnDef { name, data_type: None }));
}

/// The name shown to the client.
pub(in crate::query) fn shown(name: &str) -> &str {
    name.split(NAME_END).next().unwrap_or(name)
}

/// The name of an output that has none.
pub(super) fn of(expr: &Expr) -> String {
    figure_name(expr)
}

fn figure_name(expr: &Expr) -> String {
    figure(expr).map_or_else(|| "?column?".into(), |(name, _)| name)
}

/// The name and whether it is a strong one: a weak one (of a type) gives way to a name from inside.
fn figure(expr: &Expr) -> Option<(String, bool)> {
    let strong = |name: &str| Some((name.to_string(), true));
    match expr {
        Expr::Identifier(ident) => Some((folded(ident), true)),
        Expr::CompoundIdentifier(idents) => Some((folded(idents.last()?), true)),
        Expr::CompoundFieldAccess { root, access_chain } => match access_chain.last() {
            Some(ast::AccessExpr::Dot(Expr::Identifier(ident))) => Some((folded(ident), true)),
            _ => figure(root),
        },
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => figure(inner),
        Expr::Function(function) => {
            let part = function.name.0.last()?.as_ident()?;
            // What `ARRAY(query)` has become.
            if part.value == crate::query::functions::rowsets::EMPTY_FOR_NULL {
                return strong("array");
            }
            Some((folded(part), true))
        }
        Expr::Cast { expr, data_type, .. } => match figure(expr) {
            Some((name, true)) => Some((name, true)),
            _ => Some((short_type_name(data_type), false)),
        },
        Expr::TypedString(typed) => Some((short_type_name(&typed.data_type), false)),
        Expr::Interval(_) => Some(("interval".into(), false)),
        Expr::Case { else_result, .. } => match else_result.as_deref().and_then(figure) {
            Some((name, true)) => Some((name, true)),
            _ => Some(("case".into(), false)),
        },
        Expr::Exists { negated: false, .. } => strong("exists"),
        Expr::Array(_) => strong("array"),
        Expr::Subquery(query) => subquery_name(&query.body),
        Expr::Extract { .. } => strong("extract"),
        Expr::Position { .. } => strong("position"),
        Expr::Substring { shorthand, .. } => strong(if *shorthand { "substr" } else { "substring" }),
        Expr::Overlay { .. } => strong("overlay"),
        Expr::Trim { trim_where, .. } => strong(match trim_where {
            Some(ast::TrimWhereField::Leading) => "ltrim",
            Some(ast::TrimWhereField::Trailing) => "rtrim",
            _ => "btrim",
        }),
        Expr::Ceil { .. } => strong("ceil"),
        Expr::Floor { .. } => strong("floor"),
        Expr::AtTimeZone { .. } => strong("timezone"),
        Expr::Tuple(_) => strong("row"),
        Expr::BinaryOp { op: ast::BinaryOperator::Overlaps, .. } => strong("overlaps"),
        _ => None,
    }
}

fn subquery_name(body: &ast::SetExpr) -> Option<(String, bool)> {
    match body {
        ast::SetExpr::Select(select) => match select.projection.first()? {
            SelectItem::UnnamedExpr(expr) => figure(expr),
            SelectItem::ExprWithAlias { alias, .. } => Some((folded(alias), true)),
            _ => None,
        },
        ast::SetExpr::Query(query) => subquery_name(&query.body),
        ast::SetExpr::SetOperation { left, .. } => subquery_name(left),
        ast::SetExpr::Values(_) => Some(("column1".into(), true)),
        _ => None,
    }
}

fn short_type_name(data_type: &ast::DataType) -> String {
    let name = type_name(data_type).unwrap_or_else(|| data_type.to_string().to_lowercase());
    let base = name.split('(').next().unwrap_or(&name).trim_end_matches("[]");
    let base = base.split(" precision ").next().filter(|_| base != "double precision").unwrap_or(base);
    match base {
        "smallint" => "int2",
        "integer" => "int4",
        "bigint" => "int8",
        "real" => "float4",
        "double precision" => "float8",
        "boolean" => "bool",
        "timestamp without time zone" => "timestamp",
        "timestamp with time zone" => "timestamptz",
        "\"char\"" => "char",
        other => other,
    }
    .to_string()
}
