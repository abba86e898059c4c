//! The syntax tree as the planner wants it.
//!
//! The planner lets us decide about dictionary literals, which PostgreSQL does not have. So every number, cast and
//! array comparison becomes one, whose first key says what it is; `super::super::typing` turns it into an
//! expression once the types of its parts are known.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, CastKind, DataType, DictionaryField, Expr, Ident, LimitClause, Query, SelectItem,
    Value, VisitMut, VisitorMut, WindowFrameBound, WindowSpec, WindowType,
};

use super::marks::{placed, placed_node};
use super::outside::outside_subqueries;
use super::places::Places;
use super::tests_as_values::TestsAsValues;
use super::{custom, expand, marks, name, rowsets};

/// Key of a number.
pub(in crate::query) const NUMBER: &str = "number";
/// Key of a cast, followed by the type.
pub(in crate::query) const CAST: &str = "cast ";
/// Key of a parameter, followed by `$n` and a type where the place asks for one.
pub(in crate::query) const PARAMETER: &str = "parameter ";
/// Key of `x op ANY(array)`, followed by the operator.
pub(in crate::query) const ANY: &str = "any ";
/// Key of `x op ALL(array)`, followed by the operator.
pub(in crate::query) const EVERY: &str = "every ";

/// Key of a whole `CASE`, followed by the positions of its results.
pub(in crate::query) const CASE: &str = "case ";
/// Key of the arguments of a function that gives one of them, followed by its name.
pub(in crate::query) const ALIKE: &str = "alike ";
/// Key of a time and the zone it is taken to.
pub(in crate::query) const AT_ZONE: &str = "at time zone";

/// Key of a condition, followed by the clause it is the argument of.
pub(in crate::query) const CONDITION: &str = "condition ";
/// Key of a number of rows, followed by its clause.
pub(in crate::query) const LIMIT: &str = "limit ";
/// Key of what is taken apart, followed by the name of the function that does so.
pub(in crate::query) const UNNEST: &str = "unnest ";
/// Key of a value in a list of rows, and of values above it in its column.
pub(in crate::query) const VALUES: &str = "values";
/// Key of a value and two bounds, and of their negation.
pub(in crate::query) const BETWEEN: &str = "between";
pub(in crate::query) const NOT_BETWEEN: &str = "not between";
/// Key of a value and the list it is looked for in, and of their negation.
pub(in crate::query) const IN: &str = "in";
pub(in crate::query) const NOT_IN: &str = "not in";

/// Key of the elements of an array.
pub(in crate::query) const ARRAY: &str = "array";
/// Key of the values of a row.
pub(in crate::query) const ROW: &str = "row";
/// Key of a whole row, followed by the name of its table.
pub(in crate::query) const WHOLE: &str = "whole row ";

/// Normalizes a whole query.
pub(super) fn query(query: &mut Query, places: Places<'_>) {
    marks::query(query, places);
    super::qualified::query(query);
    rowsets::query(query);
    let _flow: ControlFlow<()> = query.visit(&mut Normalizer { places, open: Vec::new() });
    let _flow: ControlFlow<()> = query.visit(&mut expand::Rows);
}

/// Normalizes an expression that stands alone.
pub(super) fn expr(expr: &mut Expr, places: Places<'_>) {
    let _flow: ControlFlow<()> = expr.visit(&mut Normalizer { places, open: Vec::new() });
    let _flow: ControlFlow<()> = expr.visit(&mut expand::Rows);
}

struct Normalizer<'a> {
    places: Places<'a>,
    /// Where the parts of the expressions around stand: once these are normalized, nothing tells it any more.
    open: Vec<Vec<Option<u32>>>,
}

/// A position for each value of the node that an expression becomes; `None` for other expressions.
fn placed_parts(expr: &Expr, places: Places<'_>) -> Option<Vec<Option<u32>>> {
    let of = |expr: &Expr| places.of(expr);
    Some(match expr {
        Expr::Case { conditions, else_result, .. } => {
            let results = conditions.iter().map(|when| &when.result);
            results.chain(else_result.as_deref()).map(of).collect()
        }
        Expr::Array(array) if !array.elem.is_empty() => array.elem.iter().map(of).collect(),
        Expr::Function(function) if is_alike(function) => {
            let ast::FunctionArguments::List(list) = &function.args else { return None };
            // Two values are compared by the function.
            let is_comparison = function.name.to_string().eq_ignore_ascii_case("nullif");
            let args = list.args.iter().map(|arg| match arg {
                _ if is_comparison => of(expr),
                ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(arg)) => of(arg),
                _ => None,
            });
            args.collect()
        }
        Expr::Between { low, .. } => vec![places.of_keyword("between", low)],
        Expr::InList { list, .. } => vec![list.first().and_then(|first| places.of_keyword("in", first))],
        _ => return None,
    })
}

impl VisitorMut for Normalizer<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        self.open.extend(placed_parts(expr, self.places));
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<()> {
        name::name_outputs(select);
        expand::whole_rows(select);
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                outside_subqueries(expr, &mut TestsAsValues);
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<()> {
        if let ast::GroupByExpr::Expressions(expressions, _) = &mut select.group_by {
            expressions.iter_mut().for_each(plain_number);
        }
        if let Some(ast::Distinct::On(expressions)) = &mut select.distinct {
            expressions.iter_mut().for_each(plain_number);
        }
        for window in &mut select.named_window {
            if let ast::NamedWindowExpr::WindowSpec(spec) = &mut window.1 {
                plain_frame(spec);
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut ast::TableFactor) -> ControlFlow<()> {
        if let ast::TableFactor::Derived { subquery, alias: Some(alias), .. } = factor {
            name::part_equals(subquery);
            name::name_rest(alias, subquery);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        for table in query.with.iter_mut().flat_map(|with| &mut with.cte_tables) {
            name::part_equals(&mut table.query);
            name::name_rest(&mut table.alias, &table.query);
        }
        if let ast::SetExpr::Values(values) = &mut *query.body {
            alike_values(values);
        }
        if let Some(ast::OrderBy { kind: ast::OrderByKind::Expressions(expressions), .. }) =
            &mut query.order_by
        {
            expressions.iter_mut().for_each(|order| plain_number(&mut order.expr));
        }
        if let Some(LimitClause::LimitOffset { limit, offset, .. }) = &mut query.limit_clause {
            for place in limit.iter_mut().chain(offset.iter_mut().map(|offset| &mut offset.value)) {
                plain_number(place);
                number_of_text(place);
                parameter_as(place, "bigint");
            }
        }
        if let Some(fetch) = query.fetch.take() {
            let mut quantity =
                fetch.quantity.unwrap_or_else(|| Expr::value(Value::Number("1".into(), false)));
            if fetch.with_ties {
                quantity = rowsets::call("with_ties", vec![quantity]);
            } else {
                plain_number(&mut quantity);
            }
            let (limit, offset) = match query.limit_clause.take() {
                Some(LimitClause::LimitOffset { limit, offset, .. }) => (limit, offset),
                _ => (None, None),
            };
            let limit = limit.or(Some(quantity));
            query.limit_clause = Some(LimitClause::LimitOffset { limit, offset, limit_by: Vec::new() });
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let has_parts = match expr {
            Expr::Case { .. } | Expr::Between { .. } | Expr::InList { .. } => true,
            Expr::Array(array) => !array.elem.is_empty(),
            Expr::Function(function) => is_alike(function),
            _ => false,
        };
        let mut parts = if has_parts { self.open.pop().unwrap_or_default() } else { Vec::new() }.into_iter();
        expand::expr(expr);
        match expr {
            Expr::Value(ast::ValueWithSpan { value: Value::Number(number, _), .. }) => {
                let value = match number.contains(['e', 'E']) {
                    true => Expr::value(Value::SingleQuotedString(number.replace('_', ""))),
                    false => take(expr),
                };
                *expr = node(NUMBER.into(), vec![value]);
            }
            Expr::Value(ast::ValueWithSpan { value: Value::Placeholder(id), .. }) => {
                *expr = node(format!("{PARAMETER}{id}"), vec![Expr::value(Value::Null)]);
            }
            Expr::Case { .. } => {
                let parts = parts.map(|place| place.unwrap_or(0).to_string()).collect::<Vec<_>>().join(",");
                *expr = node(format!("{CASE}{parts}"), vec![take(expr)]);
            }
            Expr::Between { expr: value, negated, low, high } => {
                let key = placed(if *negated { NOT_BETWEEN } else { BETWEEN }, parts.next().flatten());
                *expr = node(key, vec![take(value), take(low), take(high)]);
            }
            Expr::InList { expr: value, list, negated } => {
                let key = placed(if *negated { NOT_IN } else { IN }, parts.next().flatten());
                let all = std::iter::once(take(value)).chain(list.drain(..));
                *expr = node(key, all.collect());
            }
            Expr::UnaryOp { op: ast::UnaryOperator::Minus, expr: inner } => {
                if negate(inner) {
                    *expr = take(inner);
                }
            }
            Expr::Cast { kind: CastKind::Cast | CastKind::DoubleColon, expr: inner, data_type, .. } => {
                if let Some(name) = kept_as_text(data_type) {
                    parameter_as(inner, name);
                }
                if let Some(name) = type_name(data_type) {
                    *expr = node(format!("{CAST}{name}"), vec![take(inner)]);
                }
            }
            Expr::TypedString(typed) => {
                if let Some(name) = type_name(&typed.data_type) {
                    let value = Expr::Value(typed.value.clone());
                    *expr = node(format!("{CAST}{name}"), vec![value]);
                }
            }
            // The planner's own arrays know nothing of the query around a subquery.
            Expr::Array(array) if !array.elem.is_empty() => {
                let elements = std::mem::take(&mut array.elem);
                let places = parts.chain(std::iter::repeat(None));
                *expr = placed_node(ARRAY, elements.into_iter().zip(places).collect());
            }
            Expr::AtTimeZone { timestamp, time_zone } => {
                *expr = node(AT_ZONE.into(), vec![take(timestamp), take(time_zone)]);
            }
            Expr::AnyOp { left, compare_op, right, .. }
                if is_comparison(compare_op) && !matches!(**right, Expr::Subquery(_)) =>
            {
                *expr = node(format!("{ANY}{compare_op}"), vec![take(left), take(right)]);
            }
            Expr::AllOp { left, compare_op, right }
                if is_comparison(compare_op) && !matches!(**right, Expr::Subquery(_)) =>
            {
                *expr = node(format!("{EVERY}{compare_op}"), vec![take(left), take(right)]);
            }
            Expr::Function(function) if is_alike(function) => {
                let name = function.name.to_string().to_lowercase();
                if let ast::FunctionArguments::List(list) = &mut function.args {
                    let args = list.args.iter_mut().filter_map(|arg| match arg {
                        ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(arg)) => Some(take(arg)),
                        _ => None,
                    });
                    let places = parts.chain(std::iter::repeat(None));
                    *expr = placed_node(&format!("{ALIKE}{name}"), args.zip(places).collect());
                }
            }
            Expr::Function(function) => {
                if let Some(WindowType::WindowSpec(spec)) = &mut function.over {
                    plain_frame(spec);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn is_comparison(op: &BinaryOperator) -> bool {
    use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq)
}

/// Constants without a type in a list of values have that of the first cast in their column.
fn alike_values(values: &mut ast::Values) {
    let width = values.rows.first().map_or(0, |row| row.content.len());
    for column in 0..width {
        let mut cells = values.rows.iter().filter_map(|row| row.content.get(column));
        let Some(key) = cells.find_map(cast_of) else { continue };
        let is_float = ["real", "double precision"].contains(&key.trim_start_matches(CAST));
        for cell in values.rows.iter_mut().filter_map(|row| row.content.get_mut(column)).map(value_of) {
            let is_constant = match cell {
                Expr::Value(value) => matches!(value.value, Value::SingleQuotedString(_) | Value::Null),
                // A numeric beside a float is one.
                Expr::Dictionary(fields) => is_float && fields.iter().all(|field| field.key.value == NUMBER),
                _ => false,
            };
            if is_constant {
                *cell = node(key.clone(), vec![take(cell)]);
            }
        }
    }
}

/// The value itself, without those above it.
fn value_of(cell: &mut Expr) -> &mut Expr {
    let is_beside = matches!(cell, Expr::Dictionary(fields)
        if fields.first().is_some_and(|field| field.key.value.starts_with(VALUES)));
    if !is_beside {
        return cell;
    }
    match cell {
        Expr::Dictionary(fields) => &mut fields[0].value,
        other => other,
    }
}

/// The key of a cast.
fn cast_of(expr: &Expr) -> Option<String> {
    let Expr::Dictionary(fields) = expr else { return None };
    let field = fields.first()?;
    match field.key.value.starts_with(VALUES) {
        true => cast_of(&field.value),
        false => field.key.value.starts_with(CAST).then(|| field.key.value.clone()),
    }
}

pub(super) fn take(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, Expr::value(Value::Null))
}

/// A number that is normalized already.
pub(super) fn number(text: &str) -> Expr {
    node(NUMBER.into(), vec![Expr::value(Value::Number(text.into(), false))])
}

pub(super) fn node(key: String, values: Vec<Expr>) -> Expr {
    let fields = values
        .into_iter()
        .map(|value| DictionaryField { key: Ident::new(key.clone()), value: Box::new(value) });
    Expr::Dictionary(fields.collect())
}

/// Takes a number back where a number is a place, not a value.
fn plain_number(expr: &mut Expr) {
    if let Expr::Dictionary(fields) = expr
        && let [field] = fields.as_mut_slice()
        && field.key.value == NUMBER
    {
        *expr = take(&mut field.value);
    }
}

/// A constant without a type is a number where only numbers can be.
fn number_of_text(expr: &mut Expr) {
    if let Expr::Value(value) = expr
        && let Value::SingleQuotedString(text) = &value.value
        && let Ok(number) = text.trim().parse::<i64>()
    {
        value.value = Value::Number(number.to_string(), false);
    }
}

/// `-5` is one constant.
fn negate(expr: &mut Expr) -> bool {
    if let Expr::Nested(inner) = expr {
        let is_negated = negate(inner);
        if is_negated {
            *expr = take(inner);
        }
        return is_negated;
    }
    let Expr::Dictionary(fields) = expr else { return false };
    let [field] = fields.as_mut_slice() else { return false };
    if field.key.value != NUMBER {
        return false;
    }
    let Expr::Value(value) = &mut *field.value else { return false };
    let (Value::Number(number, _) | Value::SingleQuotedString(number)) = &mut value.value else {
        return false;
    };
    match number.strip_prefix('-') {
        Some(positive) => *number = positive.to_string(),
        None => number.insert(0, '-'),
    }
    true
}

/// Whether a call is of a function whose arguments are all of one type.
fn is_alike(function: &ast::Function) -> bool {
    let ast::FunctionArguments::List(list) = &function.args else { return false };
    let is_plain =
        |arg: &ast::FunctionArg| matches!(arg, ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(_)));
    ["coalesce", "nullif", "greatest", "least"]
        .iter()
        .any(|name| function.name.to_string().eq_ignore_ascii_case(name))
        && function.over.is_none()
        && function.filter.is_none()
        && list.clauses.is_empty()
        && !list.args.is_empty()
        && list.args.iter().all(is_plain)
}

/// A parameter in a place that tells its type.
fn parameter_as(expr: &mut Expr, type_name: &str) {
    if let Expr::Dictionary(fields) = expr
        && let [field] = fields.as_mut_slice()
        && field.key.value.strip_prefix(PARAMETER).is_some_and(|id| !id.contains(' '))
    {
        field.key.value = format!("{} {type_name}", field.key.value);
    }
}

/// PostgreSQL's name of a type whose values are text here. A parameter that is cast to one is announced as one, so
/// that drivers send what they have for it.
fn kept_as_text(data_type: &DataType) -> Option<&'static str> {
    Some(match data_type {
        DataType::Uuid => "uuid",
        DataType::JSON => "json",
        DataType::JSONB => "jsonb",
        DataType::Array(ast::ArrayElemTypeDef::SquareBracket(element, _)) => match &**element {
            DataType::Uuid => "_uuid",
            DataType::JSON => "_json",
            DataType::JSONB => "_jsonb",
            DataType::Custom(name, _) if name.to_string().eq_ignore_ascii_case("oid") => "_oid",
            _ => return None,
        },
        DataType::Custom(name, _) if name.to_string().eq_ignore_ascii_case("oid") => "oid",
        _ => return None,
    })
}

fn plain_frame(spec: &mut WindowSpec) {
    spec.order_by.iter_mut().for_each(|order| plain_number(&mut order.expr));
    let Some(frame) = &mut spec.window_frame else { return };
    for bound in std::iter::once(&mut frame.start_bound).chain(frame.end_bound.as_mut()) {
        if let WindowFrameBound::Preceding(Some(expr)) | WindowFrameBound::Following(Some(expr)) = bound {
            plain_number(expr);
        }
    }
}

/// PostgreSQL's name of a type whose casts are ours; `None` leaves the cast to the planner.
pub(in crate::query) fn type_name(data_type: &DataType) -> Option<String> {
    use ast::{ArrayElemTypeDef, CharacterLength, ExactNumberInfo, TimezoneInfo};
    let length = |length: &Option<CharacterLength>| match length {
        Some(CharacterLength::IntegerLength { length, .. }) => format!("({length})"),
        _ => String::new(),
    };
    Some(match data_type {
        DataType::SmallInt(None) | DataType::Int2(None) => "smallint".into(),
        DataType::Integer(None) | DataType::Int(None) | DataType::Int4(None) => "integer".into(),
        DataType::BigInt(None) | DataType::Int8(None) => "bigint".into(),
        DataType::Real | DataType::Float4 => "real".into(),
        DataType::DoublePrecision | DataType::Double(_) | DataType::Float8 | DataType::Float64 => {
            "double precision".into()
        }
        DataType::Float(ExactNumberInfo::None) => "double precision".into(),
        DataType::Numeric(info) | DataType::Decimal(info) | DataType::Dec(info) => match info {
            ExactNumberInfo::None => "numeric".into(),
            ExactNumberInfo::Precision(precision) => format!("numeric({precision},0)"),
            ExactNumberInfo::PrecisionAndScale(precision, scale) => format!("numeric({precision},{scale})"),
        },
        DataType::Text | DataType::String(None) => "text".into(),
        DataType::Varchar(size) | DataType::CharacterVarying(size) | DataType::CharVarying(size) => {
            format!("varchar{}", length(size))
        }
        DataType::Boolean | DataType::Bool => "boolean".into(),
        DataType::Date => "date".into(),
        DataType::Timestamp(None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            "timestamp without time zone".into()
        }
        DataType::Timestamp(None, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => {
            "timestamp with time zone".into()
        }
        DataType::Timestamp(Some(digits), TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            format!("timestamp without time zone precision {digits}")
        }
        DataType::Timestamp(Some(digits), TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => {
            format!("timestamp with time zone precision {digits}")
        }
        DataType::Time(None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => "time".into(),
        DataType::Time(Some(digits), TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            format!("time precision {digits}")
        }
        DataType::Interval { fields: None, .. } => "interval".into(),
        DataType::Bytea => "bytea".into(),
        DataType::JSON => "json".into(),
        DataType::JSONB => "jsonb".into(),
        DataType::Uuid => "uuid".into(),
        DataType::Char(size) | DataType::Character(size) => match length(size).as_str() {
            "" => "bpchar(1)".into(),
            length => format!("bpchar{length}"),
        },
        DataType::Array(ArrayElemTypeDef::SquareBracket(element, _)) => format!("{}[]", type_name(element)?),
        DataType::Custom(name, modifiers) => custom::type_name(name, modifiers),
        DataType::Regclass => "regclass".into(),
        _ => return None,
    })
}

/// Separates the name of an output column from the number that makes it unique.
pub(in crate::query) const NAME_END: char = '\u{1f}';

/// What a select item may be seen as, for [`name`].
pub(super) fn is_wildcard(item: &SelectItem) -> bool {
    matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..))
}
