//! Functions that give several rows, and arrays made of the rows of a query.
//!
//! The planner knows one way to make rows of a value: `unnest`. So a function of several rows is one that gives an
//! array, taken apart: in a select list in place, in `FROM` in a query of its own that may refer to what stands
//! before it. `ARRAY(query)` goes the other way.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, AccessExpr, Expr, FunctionArguments, Ident, Query, SelectItem, SetExpr, TableFactor, VisitMut,
    VisitorMut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use crate::query::catalog::COLUMNS;
use crate::query::functions::rowsets::{EMPTY_FOR_NULL, NUMBERED, PLACE, part};

/// Functions of several rows beside those of the catalog.
const OTHERS: &[&str] = &["generate_series"];

/// Rewrites a whole query.
pub(super) fn query(query: &mut Query) {
    let _flow: ControlFlow<()> = query.visit(&mut Sets);
}

struct Sets;

impl VisitorMut for Sets {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<()> {
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                let unnamed = super::name::of(expr);
                let mut rows = InSelect { depth: 0, found: false };
                let _flow: ControlFlow<()> = expr.visit(&mut rows);
                if rows.found && matches!(item, SelectItem::UnnamedExpr(_)) {
                    let SelectItem::UnnamedExpr(expr) = item else { continue };
                    *item = SelectItem::ExprWithAlias {
                        expr: take(expr),
                        alias: Ident::with_quote('"', unnamed),
                    };
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let Some(call) = Call::of(factor)
            && let Some(derived) = call.derived()
        {
            *factor = derived;
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr
            && function.name.to_string().eq_ignore_ascii_case("array")
            && let FunctionArguments::Subquery(rows) =
                std::mem::replace(&mut function.args, FunctionArguments::None)
            && let Some(array) = array_of(rows)
        {
            *expr = array;
        }
        ControlFlow::Continue(())
    }
}

/// Whether a function gives several rows, and the columns of them.
fn columns_of(name: &str) -> Option<&'static [&'static str]> {
    let known = COLUMNS.iter().find(|(known, _)| *known == name).map(|(_, columns)| *columns);
    known.or_else(|| OTHERS.contains(&name).then_some(&[]))
}

fn name_of(function: &ast::Function) -> Option<String> {
    let name = function.name.0.last()?.as_ident()?;
    let is_plain = function.over.is_none() && matches!(function.args, FunctionArguments::List(_));
    is_plain.then(|| name.value.to_lowercase())
}

/// Whether an expression makes rows of an array by itself.
fn takes_apart(expr: &Expr) -> bool {
    let is_one = |name: String| name == "unnest" || name == NUMBERED;
    matches!(expr, Expr::Function(function) if name_of(function).is_some_and(is_one))
}

/// Functions of several rows in an item of a select list.
struct InSelect {
    /// Within subqueries, and within what takes an array apart already.
    depth: usize,
    found: bool,
}

impl VisitorMut for InSelect {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        self.depth += usize::from(takes_apart(expr));
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        self.depth -= usize::from(takes_apart(expr));
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        if let Expr::Function(function) = expr
            && name_of(function).is_some_and(|name| columns_of(&name).is_some())
        {
            let inner = take(expr);
            *expr = call("unnest", vec![inner]);
            self.found = true;
        }
        if let Expr::CompoundFieldAccess { root, access_chain } = expr
            && let [AccessExpr::Dot(Expr::Identifier(field))] = access_chain.as_slice()
        {
            let is_rows = match &**root {
                Expr::Nested(inner) => is_unnest(inner),
                other => is_unnest(other),
            };
            if is_rows {
                let field = field.value.clone();
                let inner = match take(root) {
                    Expr::Nested(inner) => *inner,
                    other => other,
                };
                *expr = get_field(inner, &field);
            }
        }
        ControlFlow::Continue(())
    }
}

fn is_unnest(expr: &Expr) -> bool {
    matches!(expr, Expr::Function(function) if function.name.to_string() == "unnest")
}

/// A function in `FROM`.
struct Call {
    name: String,
    arguments: Vec<Expr>,
    with_ordinality: bool,
    alias: Option<ast::TableAlias>,
}

impl Call {
    fn of(factor: &TableFactor) -> Option<Self> {
        let plain = |args: &[ast::FunctionArg]| {
            let plain = args.iter().map(|arg| match arg {
                ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
                _ => None,
            });
            plain.collect::<Option<Vec<_>>>()
        };
        let last = |name: &ast::ObjectName| Some(name.0.last()?.as_ident()?.value.to_lowercase());
        match factor {
            TableFactor::Table { name, args: Some(args), with_ordinality, alias, .. } => Some(Call {
                name: last(name)?,
                arguments: plain(&args.args)?,
                with_ordinality: *with_ordinality,
                alias: alias.clone(),
            }),
            TableFactor::Function { name, args, with_ordinality, alias, .. } => Some(Call {
                name: last(name)?,
                arguments: plain(args)?,
                with_ordinality: *with_ordinality,
                alias: alias.clone(),
            }),
            TableFactor::UNNEST { alias, array_exprs, with_offset: false, with_ordinality, .. } => {
                Some(Call {
                    name: "unnest".into(),
                    arguments: array_exprs.clone(),
                    with_ordinality: *with_ordinality,
                    alias: alias.clone(),
                })
            }
            _ => None,
        }
    }

    /// The query that gives its rows; `None` where the planner has a way of its own.
    fn derived(mut self) -> Option<TableFactor> {
        let is_unnest = self.name == "unnest";
        let columns = match is_unnest {
            true => &[],
            false => columns_of(&self.name)?,
        };
        let is_own = columns.is_empty() && (is_unnest || self.name == "generate_series");
        if is_own && !self.with_ordinality && !self.arguments.iter_mut().any(names_a_column) {
            return None;
        }
        // The only column of a function is called as the table is.
        let table = self.alias.as_ref().map(|alias| folded(&alias.name)).unwrap_or_else(|| self.name.clone());
        let count = if is_unnest { self.arguments.len() } else { 1 };
        let arrays = match is_unnest {
            true => self.arguments,
            false => vec![call(&self.name, self.arguments)],
        };
        let row = || Expr::Identifier(Ident::with_quote('"', "row"));
        let mut items: Vec<(Expr, String)> = Vec::new();
        if !columns.is_empty() {
            let whole = || get_field(row(), &part(0));
            items.extend(columns.iter().map(|column| (get_field(whole(), column), (*column).to_string())));
        } else {
            let name = |_: usize| if count == 1 { table.clone() } else { "unnest".to_string() };
            items.extend((0..count).map(|place| (get_field(row(), &part(place)), name(place))));
        }
        if self.with_ordinality {
            items.push((get_field(row(), PLACE), "ordinality".into()));
        }
        let alias = self.alias.unwrap_or_else(|| table_alias(&table));
        // `AS name(column type)` is for functions whose columns nobody knows.
        let mut alias = alias;
        alias.columns.iter_mut().for_each(|column| column.data_type = None);
        // Fewer names than columns rename the first of them.
        let given: Vec<_> = alias.columns.iter().map(|column| folded(&column.name)).collect();
        for (item, name) in items.iter_mut().zip(given) {
            item.1 = name;
        }
        alias.columns.clear();
        let mut rows = parsed("SELECT 1 AS \"row\"")?;
        select_of(&mut rows)?.projection = vec![item(call("unnest", vec![call(NUMBERED, arrays)]), "row")];
        let mut query = parsed("SELECT 1 FROM (SELECT 1) AS s")?;
        let select = select_of(&mut query)?;
        select.projection = items.into_iter().map(|(expr, name)| item(expr, &name)).collect();
        if let TableFactor::Derived { subquery, .. } = &mut select.from.first_mut()?.relation {
            **subquery = rows;
        }
        Some(TableFactor::Derived {
            lateral: true,
            subquery: Box::new(query),
            alias: Some(alias),
            sample: None,
        })
    }
}

/// Whether an expression names a column: one of what stands before, since a function has none itself.
fn names_a_column(expr: &mut Expr) -> bool {
    struct Names;
    impl VisitorMut for Names {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            match expr {
                Expr::Identifier(_) | Expr::CompoundIdentifier(_) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    expr.visit(&mut Names).is_break()
}

/// `ARRAY(query)`: the values of its only column in its order; empty where it has no rows.
fn array_of(rows: Box<Query>) -> Option<Expr> {
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

fn folded(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}

fn take(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, Expr::value(ast::Value::Null))
}

fn item(expr: Expr, name: &str) -> SelectItem {
    SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', name) }
}

fn table_alias(name: &str) -> ast::TableAlias {
    ast::TableAlias { explicit: true, name: Ident::with_quote('"', name), columns: Vec::new(), at: None }
}

fn get_field(value: Expr, name: &str) -> Expr {
    call("get_field", vec![value, Expr::value(ast::Value::SingleQuotedString(name.into()))])
}

/// A call of a function.
pub(super) fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    let args = arguments.into_iter().map(|expr| ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)));
    let list =
        ast::FunctionArgumentList { duplicate_treatment: None, args: args.collect(), clauses: Vec::new() };
    let quote = if name.starts_with('\u{1f}') { Ident::with_quote('"', name) } else { Ident::new(name) };
    Expr::Function(ast::Function {
        name: quote.into(),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(list),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

fn parsed(text: &str) -> Option<Query> {
    let query = Parser::new(&PostgreSqlDialect {}).try_with_sql(text).ok()?.parse_query().ok()?;
    Some(*query)
}

fn select_of(query: &mut Query) -> Option<&mut ast::Select> {
    match &mut *query.body {
        SetExpr::Select(select) => Some(select),
        _ => None,
    }
}
