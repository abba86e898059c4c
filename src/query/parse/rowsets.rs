//! Functions that give several rows, and arrays made of the rows of a query.
//!
//! The planner knows one way to make rows of a value: `unnest`. So a function of several rows is one that gives an
//! array, taken apart: in a select list in place, in `FROM` in a query of its own that may refer to what stands
//! before it. `ARRAY(query)` goes the other way.

mod gathered;

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, AccessExpr, Expr, FunctionArguments, Ident, Query, SelectItem, SetExpr, TableAliasColumnDef,
    TableFactor, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::parser::Parser;

use self::gathered::array_of;
use super::dialect::Postgres;
use super::normalize::{CAST, NAME_END, node};
use super::outside::{Rewrite, outside_subqueries};
use crate::query::catalog::COLUMNS;
use crate::query::functions::row::is_known;
use crate::query::functions::rowsets::{NUMBERED, PLACE, part};

/// A function of several rows: the columns it has in `FROM`, and the functions that give their arrays. A column
/// without a name is called as the function is.
struct Set {
    name: &'static str,
    columns: &'static [(&'static str, &'static str)],
}

/// Functions of several rows beside those of the catalog.
#[rustfmt::skip]
const SETS: &[Set] = &[
    Set { name: SERIES, columns: &[("", SERIES)] },
    Set { name: "regexp_matches", columns: &[("", "regexp_matches")] },
    Set { name: "regexp_split_to_table", columns: &[("", "regexp_split_to_table")] },
    Set { name: "string_to_table", columns: &[("", "string_to_table")] },
    Set { name: "json_array_elements", columns: &[("value", "json_array_elements")] },
    Set { name: "jsonb_array_elements", columns: &[("value", "jsonb_array_elements")] },
    Set { name: "json_array_elements_text", columns: &[("value", "json_array_elements_text")] },
    Set { name: "jsonb_array_elements_text", columns: &[("value", "jsonb_array_elements_text")] },
    Set { name: "json_object_keys", columns: &[("", "json_object_keys")] },
    Set { name: "jsonb_object_keys", columns: &[("", "jsonb_object_keys")] },
    Set { name: "json_each", columns: &[("key", "json_object_keys"), ("value", "json_values")] },
    Set { name: "jsonb_each", columns: &[("key", "jsonb_object_keys"), ("value", "jsonb_values")] },
    Set { name: "json_each_text", columns: &[("key", "json_object_keys"), ("value", "json_values_text")] },
    Set { name: "jsonb_each_text", columns: &[("key", "jsonb_object_keys"), ("value", "jsonb_values_text")] },
];

/// The one of them that the planner has for whole numbers, without making an array.
const SERIES: &str = "generate_series";

/// Rewrites a whole query.
pub(super) fn query(query: &mut Query) {
    let _flow: ControlFlow<()> = query.visit(&mut Sets { has_rows: Vec::new() });
}

struct Sets {
    /// For the queries around: whether a select list of it makes rows.
    has_rows: Vec<bool>,
}

/// The name of a query whose rows are made before they are sorted.
const MADE: &str = "\u{1f}made";

/// A query whose select list makes rows, within one that sorts them: the planner would sort first.
fn sort_after(query: &mut Query) -> Option<()> {
    let Some(ast::OrderBy { kind: ast::OrderByKind::Expressions(order), .. }) = &query.order_by else {
        return None;
    };
    let SetExpr::Select(select) = &*query.body else { return None };
    let names: Vec<String> = select
        .projection
        .iter()
        .filter_map(|item| match item {
            SelectItem::UnnamedExpr(expr) => Some(super::name::of(expr)),
            SelectItem::ExprWithAlias { alias, .. } => Some(folded(alias)),
            _ => None,
        })
        .collect();
    let is_output = |expr: &Expr| match expr {
        Expr::Identifier(name) => names.contains(&folded(name)),
        Expr::Value(value) => matches!(value.value, ast::Value::Number(..)),
        _ => false,
    };
    if !order.iter().all(|by| is_output(&by.expr)) {
        return None;
    }
    let mut outer = parsed(&format!("SELECT * FROM (SELECT 1) AS \"{MADE}\""))?;
    let TableFactor::Derived { subquery, .. } = &mut select_of(&mut outer)?.from.first_mut()?.relation else {
        return None;
    };
    std::mem::swap(&mut subquery.body, &mut query.body);
    query.body = outer.body;
    Some(())
}

impl VisitorMut for Sets {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.has_rows.push(false);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if self.has_rows.pop() == Some(true) {
            sort_after(query);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<()> {
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                let unnamed = super::name::of(expr);
                let mut rows = InSelect { depth: 0, found: false, makes: false };
                outside_subqueries(expr, &mut rows);
                if let Some(has_rows) = self.has_rows.last_mut() {
                    *has_rows |= rows.makes;
                }
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
        let Some(call) = Call::of(factor) else { return ControlFlow::Continue(()) };
        let is_single =
            call.name != "unnest" && set(&call.name).is_none() && of_catalog(&call.name).is_none();
        match if is_single { call.single() } else { call.derived() } {
            Some(derived) => *factor = derived,
            None => typed_series(factor),
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

fn set(name: &str) -> Option<&'static Set> {
    SETS.iter().find(|set| set.name == name)
}

/// The columns of the rows that a function of the catalog gives.
fn of_catalog(name: &str) -> Option<&'static [&'static str]> {
    COLUMNS.iter().find(|(known, _)| *known == name).map(|(_, columns)| *columns)
}

/// Whether a function stands for several rows in a select list.
fn gives_rows(name: &str) -> bool {
    of_catalog(name).is_some() || set(name).is_some_and(|set| set.columns.len() == 1)
}

/// A value taken out of an array that a function gave: JSON is called so again, for elements lose the name of their
/// type.
fn named_json(function: &str, element: Expr) -> Expr {
    match function {
        "json_array_elements" | "json_values" => node(format!("{CAST}json"), vec![element]),
        "jsonb_array_elements" | "jsonb_values" => node(format!("{CAST}jsonb"), vec![element]),
        _ => element,
    }
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
    /// Within what takes an array apart already.
    depth: usize,
    /// Whether one was taken apart here.
    found: bool,
    /// Whether there are rows of any kind.
    makes: bool,
}

impl Rewrite for InSelect {
    fn before(&mut self, expr: &mut Expr) {
        self.makes |= self.depth == 0 && takes_apart(expr);
        self.depth += usize::from(takes_apart(expr));
    }

    fn after(&mut self, expr: &mut Expr) {
        self.depth -= usize::from(takes_apart(expr));
        if self.depth > 0 {
            return;
        }
        if let Expr::Function(function) = expr
            && let Some(name) = name_of(function).filter(|name| gives_rows(name))
        {
            let inner = take(expr);
            *expr = named_json(&name, call("unnest", vec![inner]));
            (self.found, self.makes) = (true, true);
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
        // The only column of a function is called as the table is.
        let table = self.alias.as_ref().map(|alias| folded(&alias.name)).unwrap_or_else(|| self.name.clone());
        let mut items = self.items(&table)?;
        let arrays = match self.name.as_str() {
            "unnest" => std::mem::take(&mut self.arguments),
            name => match set(name) {
                Some(set) => {
                    set.columns.iter().map(|(_, function)| call(function, self.arguments.clone())).collect()
                }
                None => vec![call(&self.name, std::mem::take(&mut self.arguments))],
            },
        };
        if self.with_ordinality {
            items.push((get_field(row(), PLACE), "ordinality".into()));
        }
        let mut rows = parsed("SELECT 1 AS \"row\"")?;
        select_of(&mut rows)?.projection = vec![item(call("unnest", vec![call(NUMBERED, arrays)]), "row")];
        let mut query = parsed("SELECT 1 FROM (SELECT 1) AS s")?;
        let select = select_of(&mut query)?;
        if let TableFactor::Derived { subquery, .. } = &mut select.from.first_mut()?.relation {
            **subquery = rows;
        }
        self.subquery(query, items, &table)
    }

    /// The columns of its rows, with what gives each.
    fn items(&mut self, table: &str) -> Option<Vec<(Expr, String)>> {
        let element = |place: usize| get_field(row(), &part(place));
        if self.name == "unnest" {
            if !self.with_ordinality && !self.arguments.iter_mut().any(names_a_column) {
                return None;
            }
            let count = self.arguments.len();
            let name = if count == 1 { table } else { "unnest" };
            return Some((0..count).map(|place| (element(place), name.to_string())).collect());
        }
        if let Some(set) = set(&self.name) {
            if self.name == SERIES && !self.with_ordinality && self.arguments.iter().all(is_whole) {
                return None;
            }
            let columns = set.columns.iter().enumerate().map(|(place, (name, function))| {
                let name = if name.is_empty() { table } else { name };
                (named_json(function, element(place)), name.to_string())
            });
            return Some(columns.collect());
        }
        let columns = of_catalog(&self.name)?;
        if columns.is_empty() {
            return Some(vec![(element(0), table.to_string())]);
        }
        let columns = columns.iter().map(|column| (get_field(element(0), column), (*column).to_string()));
        Some(columns.collect())
    }

    /// A function of one value, which gives one row.
    fn single(mut self) -> Option<TableFactor> {
        if self.with_ordinality || !is_known(&self.name) {
            return None;
        }
        let table = self.alias.as_ref().map(|alias| folded(&alias.name)).unwrap_or_else(|| self.name.clone());
        let value = call(&self.name, std::mem::take(&mut self.arguments));
        let query = parsed("SELECT 1")?;
        self.subquery(query, vec![(value, table.clone())], &table)
    }

    fn subquery(self, mut query: Query, mut items: Vec<(Expr, String)>, table: &str) -> Option<TableFactor> {
        let mut alias = self.alias.unwrap_or_else(|| table_alias(table));
        // Fewer names than columns rename the first of them. `AS name(column type)` is for functions whose columns
        // nobody knows.
        let given: Vec<_> = alias.columns.drain(..).map(|column| folded(&column.name)).collect();
        for (item, name) in items.iter_mut().zip(given) {
            item.1 = name;
        }
        let names: Vec<_> = items.iter().map(|(_, name)| name.clone()).collect();
        let items = items.into_iter().enumerate().map(|(at, (expr, name))| {
            // Names repeat where several arrays are unnested: they are told apart within the subquery.
            match names[..at].contains(&name) {
                true => item(expr, &format!("{name}{NAME_END}{at}")),
                false => item(expr, &name),
            }
        });
        select_of(&mut query)?.projection = items.collect();
        Some(TableFactor::Derived {
            lateral: true,
            subquery: Box::new(query),
            alias: Some(alias),
            sample: None,
        })
    }
}

/// The alias of the planner's own series within the subquery that gives its numbers their type.
const OWN_SERIES: &str = "\u{1f}series";

/// `generate_series(1, 3) n`: a column `n` of integers, of 64 bits where 32 are not enough.
fn typed_series(factor: &mut TableFactor) {
    let Some(call) = Call::of(factor) else { return };
    let is_own = call.alias.as_ref().is_some_and(|alias| alias.name.value == OWN_SERIES);
    if call.name != SERIES || is_own {
        return;
    }
    let alias = call.alias.clone();
    let table = alias.as_ref().map(|alias| folded(&alias.name)).unwrap_or_else(|| SERIES.into());
    let value = "\"value\"";
    let value = match call.arguments.iter().all(fits_integer) {
        true => format!("{value}::integer"),
        false => value.into(),
    };
    let text = format!("SELECT {value} FROM (SELECT 1) AS s");
    let Some(mut query) = parsed(&text) else { return };
    let Some(select) = select_of(&mut query) else { return };
    let mut own = table_alias(OWN_SERIES);
    own.columns = vec![TableAliasColumnDef { name: Ident::with_quote('"', "value"), data_type: None }];
    let mut series = factor.clone();
    if let TableFactor::Table { alias, .. } | TableFactor::Function { alias, .. } = &mut series {
        *alias = Some(own);
    }
    let Some(from) = select.from.first_mut() else { return };
    from.relation = series;
    let Some(SelectItem::UnnamedExpr(expr)) = select.projection.first_mut() else { return };
    let expr = take(expr);
    if let Some(derived) = (Call { alias, ..call }).subquery(query, vec![(expr, table.clone())], &table) {
        *factor = derived;
    }
}

fn fits_integer(expr: &Expr) -> bool {
    let digits = match expr {
        Expr::UnaryOp { expr, .. } => expr.to_string(),
        other => other.to_string(),
    };
    digits.parse::<i32>().is_ok()
}

fn row() -> Expr {
    Expr::Identifier(Ident::with_quote('"', "row"))
}

/// Whether an expression is a whole number that is written out.
fn is_whole(expr: &Expr) -> bool {
    match expr {
        Expr::Value(ast::ValueWithSpan { value: ast::Value::Number(text, _), .. }) => {
            text.bytes().all(|byte| byte.is_ascii_digit())
        }
        Expr::UnaryOp { op: ast::UnaryOperator::Minus, expr } => is_whole(expr),
        _ => false,
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

/// A name as it is looked up: in small letters unless it is quoted.
pub(in crate::query) fn folded(ident: &Ident) -> String {
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

pub(super) fn table_alias(name: &str) -> ast::TableAlias {
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

/// A query that is the frame of another one.
pub(super) fn parsed(text: &str) -> Option<Query> {
    let query = Parser::new(&Postgres).try_with_sql(text).ok()?.parse_query().ok()?;
    Some(*query)
}

pub(super) fn select_of(query: &mut Query) -> Option<&mut ast::Select> {
    match &mut *query.body {
        SetExpr::Select(select) => Some(select),
        _ => None,
    }
}
