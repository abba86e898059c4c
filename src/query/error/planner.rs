//! What the planner says in free text, in PostgreSQL's words.

use crate::error::{Error, Kind};
use crate::query::functions::row::NO_FUNCTION;
use crate::query::typing::NO_OPERATOR;

/// A message of the planner by how it begins, PostgreSQL's and its state.
const RETOLD: &[(&str, &str, &str)] = &[
    (
        "Aggregate functions are not allowed in the WHERE clause",
        "aggregate functions are not allowed in WHERE",
        "42803",
    ),
    ("Aggregate function calls cannot be nested", "aggregate function calls cannot be nested", "42803"),
    (
        "Too many columns! The subquery should only return one column",
        "subquery must return only one column",
        "42601",
    ),
    (
        "For SELECT DISTINCT, ORDER BY expressions",
        "for SELECT DISTINCT, ORDER BY expressions must appear in select list",
        "42P10",
    ),
    (
        "SELECT DISTINCT ON expressions must match",
        "SELECT DISTINCT ON expressions must match initial ORDER BY expressions",
        "42P10",
    ),
    ("Source table contains", "subquery has too many columns", "42601"),
];

/// Functions that are called with `OVER` only.
const WINDOW_FUNCTIONS: &[&str] = &[
    "row_number",
    "rank",
    "dense_rank",
    "percent_rank",
    "cume_dist",
    "ntile",
    "lag",
    "lead",
    "first_value",
    "last_value",
    "nth_value",
];

/// PostgreSQL's error for one of the planner's that says what it means.
fn retold(what: &str) -> Option<Error> {
    let error = |what: String, state| Some(Error::new(Kind::Invalid, what).with_sqlstate(state));
    if let Some((_, own, state)) = RETOLD.iter().find(|(theirs, ..)| what.starts_with(theirs)) {
        return error((*own).to_string(), state);
    }
    if let Some(set) = ["UNION", "INTERSECT", "EXCEPT"].iter().find(|set| what.starts_with(*set))
        && what.ends_with("queries have different number of columns")
    {
        return error(format!("each {set} query must have the same number of columns"), "42601");
    }
    if let Some(rest) = what.strip_prefix("Order by column out of bounds, specified: ") {
        let place = rest.split(',').next()?;
        return error(format!("ORDER BY position {place} is not in select list"), "42P10");
    }
    if what.starts_with("WITH query name ") && what.ends_with("specified more than once") {
        return error(what.to_string(), "42712");
    }
    if let Some(rest) = what.strip_prefix("The window ")
        && let Some(name) = rest.strip_suffix(" is not defined!")
    {
        return error(format!("window \"{name}\" does not exist"), "42704");
    }
    if let Some(table) = what.strip_prefix("Invalid qualifier ") {
        return error(format!("missing FROM-clause entry for table \"{table}\""), "42P01");
    }
    if let Some(found) = what.strip_prefix("Unary operator 'NOT' requires a boolean expression, got ") {
        let found = sql_word(found);
        return error(format!("argument of NOT must be type boolean, not type {found}"), "42804");
    }
    let types = |rest: &str| {
        // `Int32 AND Boolean`
        let (left, rest) = rest.split_once(' ')?;
        let (op, right) = rest.split_once(' ')?;
        Some((sql_word(left).to_string(), op.to_string(), sql_word(right).to_string()))
    };
    if let Some(rest) = what.strip_prefix("Cannot infer common argument type for comparison operation ") {
        let (left, op, right) = types(rest)?;
        let error = error(format!("operator does not exist: {left} {op} {right}"), "42883");
        return error.map(|error| error.with_hint(NO_OPERATOR));
    }
    if let Some(rest) = what.strip_prefix("Cannot coerce arithmetic expression ") {
        let (left, op, right) = types(rest.strip_suffix(" to valid types")?)?;
        let error = error(format!("operator does not exist: {left} {op} {right}"), "42883");
        return error.map(|error| error.with_hint(NO_OPERATOR));
    }
    if let Some(rest) = what.strip_prefix("Cannot infer common argument type for logical boolean operation ")
    {
        let (left, op, right) = types(rest)?;
        let found = if left == "boolean" { right } else { left };
        return error(format!("argument of {op} must be type boolean, not type {found}"), "42804");
    }
    if what.starts_with("Failed to coerce then") {
        let found: Vec<_> = what.split('(').skip(1).filter_map(|rest| rest.split(')').next()).collect();
        let [.., left, right] = found.as_slice() else { return None };
        return cannot_be_matched("CASE", sql_word(left), sql_word(right));
    }
    if let Some(rest) = what.strip_prefix("Incompatible inputs for Union: Previous inputs were of type ") {
        let (left, rest) = rest.split_once(", but got incompatible type ")?;
        let right = rest.split(" on column").next()?;
        return cannot_be_matched("UNION", sql_word(left), sql_word(right));
    }
    if let Some((_, rest)) = what.split_once("Failed to unify argument types of make_array: [") {
        let mut types = rest.split(']').next()?.split(", ").map(sql_word);
        let left = types.next()?;
        let right = types.find(|right| *right != left)?;
        return cannot_be_matched("ARRAY", left, right);
    }
    if let Some((_, rest)) = what.split_once("failed with: External error: function ")
        && let Some((function, _)) = rest.split_once(" does not exist")
    {
        return no_function(function);
    }
    if let Some((_, rest)) = what.split_once("No function matches the given name and argument types '")
        && let Some((name, rest)) = rest.split_once('(')
    {
        let arguments = rest.split("'. You might").next()?.trim_end_matches('\'').strip_suffix(')')?;
        let arguments: Vec<_> = listed(arguments).into_iter().map(sql_word).collect();
        return no_function(&format!("{name}({})", arguments.join(", ")));
    }
    None
}

/// What the planner takes for a defect of its own, though the statement is wrong.
pub(super) fn mistaken(what: &str) -> Option<Error> {
    if what.contains("failed to match any signature") {
        return no_function(what.split('\'').nth(1)?);
    }
    let (_, rest) = what.split_once("Failed to coerce types ")?;
    let (left, right) = rest.split_once(" in BETWEEN")?.0.split_once(" and ")?;
    let what = format!("operator does not exist: {} >= {}", sql_word(left), sql_word(right));
    Some(Error::new(Kind::Invalid, what).with_sqlstate("42883").with_hint(NO_OPERATOR))
}

fn cannot_be_matched(what: &str, left: &str, right: &str) -> Option<Error> {
    let what = format!("{what} types {left} and {right} cannot be matched");
    Some(Error::new(Kind::Invalid, what).with_sqlstate("42804"))
}

/// 42883
fn no_function(call: &str) -> Option<Error> {
    let what = format!("function {call} does not exist");
    Some(Error::new(Kind::NotFound, what).with_sqlstate("42883").with_hint(NO_FUNCTION))
}

/// The types in a list, each with what it has in brackets.
fn listed(types: &str) -> Vec<&str> {
    let (mut all, mut depth, mut start) = (Vec::new(), 0_usize, 0);
    for (at, c) in types.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                all.push(types[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    all.push(types[start..].trim());
    all.retain(|name| !name.is_empty());
    all
}

/// Whatever the planner says in free text.
pub(super) fn plan(what: &str) -> Error {
    let what = planner_words(what);
    if let Some(error) = retold(&what) {
        return error;
    }
    let lower = what.to_lowercase();
    let invalid = |state| Error::new(Kind::Invalid, what.clone()).with_sqlstate(state);
    for (clause, state) in [("LIMIT", "2201W"), ("OFFSET", "2201X")] {
        if what.starts_with(&format!("{clause} must be >=")) {
            return Error::new(Kind::Invalid, format!("{clause} must not be negative")).with_sqlstate(state);
        }
    }
    if lower.starts_with("cannot create filter with non-boolean predicate") {
        let found = what.split("returning ").nth(1).map(|rest| rest.split([' ', ',']).next().unwrap_or(rest));
        let found = found.map(|name| format!(", not type {}", sql_word(name))).unwrap_or_default();
        let what = format!("argument of WHERE must be type boolean{found}");
        return Error::new(Kind::Invalid, what).with_sqlstate("42804");
    }
    if lower.starts_with("invalid function") {
        let name = what.split('\'').nth(1).unwrap_or_default();
        if WINDOW_FUNCTIONS.contains(&name) {
            let what = format!("window function {name} requires an OVER clause");
            return Error::new(Kind::Invalid, what).with_sqlstate("42809");
        }
        let hint = what.split("Did you mean '").nth(1).and_then(|rest| rest.split('\'').next());
        let error =
            Error::new(Kind::NotFound, format!("function {name} does not exist")).with_sqlstate("42883");
        return match hint {
            Some(hint) => error.with_hint(format!("did you mean `{hint}`?")),
            None => error,
        };
    }
    if lower.contains("must appear in the group by") {
        let column = what.split("column \"").nth(1).and_then(|rest| rest.split('"').next());
        return match column {
            Some(column) => {
                // The schema of a table is not shown.
                let parts: Vec<&str> = column.rsplitn(3, '.').take(2).collect();
                let column = parts.into_iter().rev().collect::<Vec<_>>().join(".");
                let must = "must appear in the GROUP BY clause or be used in an aggregate function";
                Error::new(Kind::Invalid, format!("column \"{column}\" {must}")).with_sqlstate("42803")
            }
            None => invalid("42803"),
        };
    }
    if lower.contains("could not be resolved from available columns") {
        return invalid("42803");
    }
    if lower.contains("failed to coerce arguments") || lower.contains("no function matches") {
        return invalid("42883");
    }
    if lower.contains("table function") && lower.contains("not found") {
        return invalid("42883");
    }
    if lower.contains("cannot coerce")
        || lower.contains("cannot infer common")
        || lower.contains("incompatible")
    {
        return invalid("42804");
    }
    if lower.contains("placeholder") && lower.contains("type") {
        return invalid("42P18");
    }
    if lower.contains("unexpectedly") || lower.contains("internal error") {
        return Error::internal(what);
    }
    invalid("42601")
}

/// PostgreSQL's word for an Arrow type in a message of the planner.
fn sql_word(name: &str) -> &str {
    match name {
        "Boolean" => "boolean",
        "Null" => "unknown",
        "Interval(MonthDayNano)" => "interval",
        "Binary" | "LargeBinary" | "BinaryView" => "bytea",
        "String" => "text",
        "Utf8" | "LargeUtf8" | "Utf8View" => "text",
        "Int16" => "smallint",
        "Int32" => "integer",
        "Int64" => "bigint",
        "Float32" => "real",
        "Float64" => "double precision",
        "Date32" => "date",
        name if name.starts_with("Decimal") => "numeric",
        name if name.starts_with("Timestamp") && name.contains('"') => "timestamp with time zone",
        name if name.starts_with("Timestamp") => "timestamp without time zone",
        name if name.starts_with("Time64") => "time without time zone",
        name if name.starts_with("List(") => "anyarray",
        name if name.starts_with("Struct(") => "record",
        name => name,
    }
}

pub(super) fn execution(what: &str) -> Error {
    let lower = what.to_lowercase();
    let data = |state| Error::new(Kind::Data, super::first_line(what)).with_sqlstate(state);
    if lower.contains("divide by zero") || lower.contains("division by zero") {
        return Error::new(Kind::Data, "division by zero").with_sqlstate("22012");
    }
    if lower.contains("overflow") || lower.contains("out of range") {
        return data("22003");
    }
    if lower.contains("error parsing timestamp") || lower.contains("error parsing date") {
        return data("22007");
    }
    if lower.contains("more than one row") {
        let what = "more than one row returned by a subquery used as an expression";
        return Error::new(Kind::Data, what).with_sqlstate("21000");
    }
    data("22023")
}

/// The first line without the planner's own prefixes and without our name marks.
pub(super) fn planner_words(what: &str) -> String {
    let what = super::first_line(what);
    let what = what.trim_start_matches("Error during planning: ");
    what.chars().filter(|c| *c != '\u{1f}').collect()
}
