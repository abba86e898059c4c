//! Functions that give several rows. The planner's one way to make rows of an array is `unnest`; so these functions
//! give arrays, and a call becomes `unnest(f(...))`: in a list of outputs, or as a subquery in `FROM`, which may look
//! at the tables before it.

use datafusion::sql::sqlparser::ast::{
    self, Expr, Ident, ObjectName, ObjectNamePart, SelectItem, SetExpr, TableAlias, TableAliasColumnDef,
    TableFactor, Value,
};

use super::expand::{call, parsed};
use super::normalize::{CAST, NUMBER, node};

/// The columns of a function in `FROM`: their names, and the functions that give their arrays. A name that is empty
/// is that of the call.
struct Set {
    name: &'static str,
    columns: &'static [(&'static str, &'static str)],
}

const SETS: &[Set] = &[
    Set { name: "generate_series", columns: &[("", "generate_series")] },
    Set { name: "generate_subscripts", columns: &[("", "generate_subscripts")] },
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

/// The elements of an array that a function gives: JSON is called so again, for elements lose the name of their type.
pub(super) fn unnested(function: &str, array: Expr) -> Expr {
    let elements = call("unnest", vec![array]);
    match function {
        "json_array_elements" | "json_values" => node(format!("{CAST}json"), vec![elements]),
        "jsonb_array_elements" | "jsonb_values" => node(format!("{CAST}jsonb"), vec![elements]),
        _ => elements,
    }
}

/// The function that an expression calls.
fn called(expr: &Expr) -> String {
    match expr {
        Expr::Function(function) => function.name.to_string(),
        _ => String::new(),
    }
}

/// Whether a function gives several rows of one column.
pub(super) fn is_set(name: &str) -> bool {
    SETS.iter().any(|set| set.name == name && set.columns.len() == 1)
}

fn folded(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}

/// A function in `FROM` as a subquery; anything else stays as it is.
pub(super) fn factor(factor: &mut TableFactor) {
    let made = match factor {
        TableFactor::Table { name, alias, args: Some(args), with_ordinality, .. } => {
            function(name, &args.args, alias, *with_ordinality)
        }
        TableFactor::Function { name, args, alias, with_ordinality, .. } => {
            function(name, args, alias, *with_ordinality)
        }
        TableFactor::UNNEST { alias, array_exprs, with_ordinality, .. } => {
            let columns = array_exprs.iter().map(|array| ("unnest".to_string(), array.clone()));
            let is_single = array_exprs.len() == 1;
            derived("unnest", columns.collect(), is_single, alias, *with_ordinality)
        }
        _ => None,
    };
    if let Some(made) = made {
        *factor = made;
    }
}

fn function(
    name: &ObjectName,
    args: &[ast::FunctionArg],
    alias: &mut Option<TableAlias>,
    with_ordinality: bool,
) -> Option<TableFactor> {
    let name = match name.0.as_slice() {
        [ObjectNamePart::Identifier(name)] => folded(name),
        [ObjectNamePart::Identifier(schema), ObjectNamePart::Identifier(name)]
            if schema.value.eq_ignore_ascii_case("pg_catalog") =>
        {
            folded(name)
        }
        _ => return None,
    };
    let args = args.iter().map(|arg| match arg {
        ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(arg)) => Some(arg.clone()),
        _ => None,
    });
    let args: Vec<Expr> = args.collect::<Option<_>>()?;
    if name == "unnest" {
        let columns: Vec<_> = args.into_iter().map(|array| (name.clone(), array)).collect();
        let is_single = columns.len() == 1;
        return derived(&name, columns, is_single, alias, with_ordinality);
    }
    if let Some(set) = SETS.iter().find(|set| set.name == name) {
        if name == "generate_series" && !with_ordinality && args.iter().all(is_integer) {
            // The planner makes these rows one by one.
            name_series(alias);
            return None;
        }
        let columns = set.columns.iter().map(|(column, function)| {
            let column = if column.is_empty() { name.clone() } else { column.to_string() };
            (column, call(function, args.clone()))
        });
        let takes_alias = set.columns.len() == 1 && set.columns[0].0.is_empty();
        return derived(&name, columns.collect(), takes_alias, alias, with_ordinality);
    }
    if crate::query::functions::row::is_known(&name) {
        // A function of one value gives one row.
        let mut query = parsed("SELECT 1")?;
        if let SetExpr::Select(select) = &mut *query.body {
            select.projection = vec![item(call(&name, args), &alias_name(alias, &name))];
        }
        return Some(subquery(query, alias, &name));
    }
    None
}

fn is_integer(expr: &Expr) -> bool {
    let Expr::Dictionary(fields) = expr else { return false };
    let [field] = fields.as_slice() else { return false };
    let is_whole = |value: &Expr| match value {
        Expr::Value(value) => {
            matches!(&value.value, Value::Number(text, _) if text.trim_start_matches('-').bytes().all(|b| b.is_ascii_digit()))
        }
        _ => false,
    };
    field.key.value == NUMBER && is_whole(&field.value)
}

/// `generate_series(1, 3) n` has a column `n`.
fn name_series(alias: &mut Option<TableAlias>) {
    let alias = alias.get_or_insert_with(|| plain_alias("generate_series"));
    if alias.columns.is_empty() {
        alias.columns = vec![TableAliasColumnDef { name: alias.name.clone(), data_type: None }];
    }
}

fn plain_alias(name: &str) -> TableAlias {
    TableAlias { explicit: true, name: Ident::with_quote('"', name), columns: Vec::new(), at: None }
}

fn alias_name(alias: &Option<TableAlias>, name: &str) -> String {
    alias.as_ref().map_or_else(|| name.to_string(), |alias| folded(&alias.name))
}

fn item(expr: Expr, name: &str) -> SelectItem {
    SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', name) }
}

fn subquery(query: Box<ast::Query>, alias: &mut Option<TableAlias>, name: &str) -> TableFactor {
    let alias = alias.take().unwrap_or_else(|| plain_alias(name));
    TableFactor::Derived { lateral: true, subquery: query, alias: Some(alias), sample: None }
}

/// The rows of arrays side by side.
fn derived(
    name: &str,
    columns: Vec<(String, Expr)>,
    takes_alias: bool,
    alias: &mut Option<TableAlias>,
    with_ordinality: bool,
) -> Option<TableFactor> {
    let mut names: Vec<String> = columns.iter().map(|(name, _)| name.clone()).collect();
    if takes_alias && let Some(first) = names.first_mut() {
        *first = alias_name(alias, first);
    }
    let mut arrays: Vec<Expr> = columns.into_iter().map(|(_, array)| array).collect();
    if with_ordinality {
        names.push("ordinality".into());
        arrays.push(call("ordinality", arrays.clone()));
    }
    let mut query = parsed("SELECT 1")?;
    let SetExpr::Select(select) = &mut *query.body else { return None };
    // Names repeat where several arrays are unnested: they are told apart within the subquery.
    select.projection = arrays
        .into_iter()
        .zip(&names)
        .enumerate()
        .map(|(at, (array, name))| {
            let is_first = names[..at].iter().all(|other| other != name);
            let name =
                if is_first { name.clone() } else { format!("{name}{}{at}", super::normalize::NAME_END) };
            item(unnested(&called(&array), array), &name)
        })
        .collect();
    if let Some(alias) = alias
        && !alias.columns.is_empty()
    {
        for name in names.iter().skip(alias.columns.len()) {
            alias.columns.push(TableAliasColumnDef { name: Ident::with_quote('"', name), data_type: None });
        }
    }
    Some(subquery(query, alias, name))
}
