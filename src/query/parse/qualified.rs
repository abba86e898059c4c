//! What tools write in full to be safe from every search path: `OPERATOR(pg_catalog.=)`, `pg_catalog.lower(x)`,
//! `COLLATE pg_catalog.default`. And `tableoid`, the number of the table that a row is of.

use std::ops::ControlFlow;

use super::rowsets::{call, folded};
use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, CastKind, DataType, Expr, Ident, ObjectName, Query, SelectItem, TableFactor, Value,
    VisitMut, VisitorMut,
};

/// Rewrites a whole query.
pub(super) fn query(query: &mut Query) {
    let _flow: ControlFlow<()> = query.visit(&mut Qualified { tables: Vec::new() });
}

/// Collations that sort as everything does here.
const COLLATIONS: &[&str] = &["default", "c", "posix", "ucs_basic", "c.utf8", "c.utf-8"];
/// The column with the number of the table.
const TABLEOID: &str = "tableoid";

struct Qualified {
    /// The tables of the selects around, each with the name it has there; subqueries have no other.
    tables: Vec<Vec<(String, Option<ObjectName>)>>,
}

impl Qualified {
    /// The table of the select whose name an expression is.
    fn table(&self, expr: &Expr) -> Option<Ident> {
        let Expr::Identifier(name) = expr else { return None };
        let is_one = self.tables.last()?.iter().any(|(known, _)| *known == folded(name));
        is_one.then(|| name.clone())
    }
}

impl VisitorMut for Qualified {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<()> {
        let mut tables = Vec::new();
        for from in &select.from {
            note(&from.relation, &mut tables);
            from.joins.iter().for_each(|join| note(&join.relation, &mut tables));
        }
        self.tables.push(tables);
        for item in &mut select.projection {
            let SelectItem::UnnamedExpr(expr) = item else { continue };
            let is_rewritten = match expr {
                Expr::CompoundFieldAccess { .. } => true,
                Expr::Identifier(name) => is_tableoid(name),
                Expr::CompoundIdentifier(names) => names.last().is_some_and(is_tableoid),
                _ => false,
            };
            if is_rewritten {
                let alias = Ident::with_quote('"', super::name::of(expr));
                let expr = std::mem::replace(expr, Expr::value(Value::Null));
                *item = SelectItem::ExprWithAlias { expr, alias };
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } = factor
            && let [schema, function] = name.0.as_slice()
            && schema.as_ident().is_some_and(|schema| is_catalog(schema) || folded(schema) == "tributary")
        {
            *name = ObjectName(vec![function.clone()]);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _: &mut ast::Select) -> ControlFlow<()> {
        self.tables.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::BinaryOp { op, .. }
            | Expr::AnyOp { compare_op: op, .. }
            | Expr::AllOp { compare_op: op, .. } => {
                if let BinaryOperator::PGCustomBinaryOperator(name) = op
                    && let Some(plain) = plain_operator(name)
                {
                    *op = plain;
                }
            }
            Expr::Function(function) => {
                if let [schema, name] = function.name.0.as_slice()
                    && schema.as_ident().is_some_and(is_catalog)
                {
                    function.name = ObjectName(vec![name.clone()]);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let replaced = match expr {
            Expr::Collate { expr: inner, collation } => {
                let name = collation.0.last().and_then(|part| part.as_ident());
                let is_usual =
                    name.is_some_and(|name| COLLATIONS.contains(&name.value.to_lowercase().as_str()));
                is_usual.then(|| std::mem::replace(&mut **inner, Expr::value(Value::Null)))
            }
            // A function that is called without brackets.
            Expr::Identifier(name) if is_current_schema(name) => Some(call("current_schema", Vec::new())),
            Expr::CompoundFieldAccess { root, access_chain } => {
                match (&mut **root, access_chain.as_slice()) {
                    // `(o).name` is `o.name`.
                    (Expr::Nested(value), [ast::AccessExpr::Dot(Expr::Identifier(field))])
                        if let Some(table) = self.table(value) =>
                    {
                        Some(Expr::CompoundIdentifier(vec![table, field.clone()]))
                    }
                    (Expr::Nested(value), [ast::AccessExpr::Dot(Expr::Identifier(field))])
                        if is_column(value) =>
                    {
                        let field = Expr::value(Value::SingleQuotedString(folded(field)));
                        let value = std::mem::replace(&mut **value, Expr::value(Value::Null));
                        Some(call("get_field", vec![value, field]))
                    }
                    _ => None,
                }
            }
            Expr::Identifier(name) if is_tableoid(name) => match self.tables.last().map(Vec::as_slice) {
                Some([(_, Some(table))]) => Some(number_of(table)),
                _ => None,
            },
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [table, column] if is_tableoid(column) => {
                    let name = folded(table);
                    let mut around = self.tables.iter().rev().flatten();
                    around
                        .find(|(known, _)| *known == name)
                        .and_then(|(_, table)| table.as_ref().map(number_of))
                }
                _ => None,
            },
            _ => None,
        };
        if let Some(replaced) = replaced {
            *expr = replaced;
        }
        ControlFlow::Continue(())
    }
}

fn note(factor: &TableFactor, tables: &mut Vec<(String, Option<ObjectName>)>) {
    match factor {
        TableFactor::Table { name, alias, args: None, .. } => {
            let own = name.0.last().and_then(|part| part.as_ident());
            let shown = alias.as_ref().map(|alias| &alias.name).or(own);
            if let Some(shown) = shown {
                tables.push((folded(shown), Some(name.clone())));
            }
        }
        TableFactor::Derived { alias: Some(alias), .. } => tables.push((folded(&alias.name), None)),
        TableFactor::NestedJoin { table_with_joins, .. } => {
            note(&table_with_joins.relation, tables);
            table_with_joins.joins.iter().for_each(|join| note(&join.relation, tables));
        }
        _ => {}
    }
}

fn is_current_schema(ident: &Ident) -> bool {
    ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("current_schema")
}

fn is_column(expr: &Expr) -> bool {
    matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
}

fn is_tableoid(ident: &Ident) -> bool {
    folded(ident) == TABLEOID
}

fn is_catalog(ident: &Ident) -> bool {
    matches!(folded(ident).as_str(), "pg_catalog" | "information_schema")
}

/// `'schema.table'::regclass::oid`
fn number_of(table: &ObjectName) -> Expr {
    let cast = |expr: Expr, data_type: DataType| Expr::Cast {
        kind: CastKind::DoubleColon,
        expr: Box::new(expr),
        data_type,
        array: false,
        format: None,
    };
    let name = Expr::value(Value::SingleQuotedString(table.to_string()));
    let class = cast(name, DataType::Regclass);
    cast(class, DataType::Custom(ObjectName::from(Ident::new("oid")), Vec::new()))
}

/// The operator of that name, where it is one that is written without `OPERATOR` too.
fn plain_operator(name: &[String]) -> Option<BinaryOperator> {
    if let [schema, _] = name
        && schema != "pg_catalog"
    {
        return None;
    }
    Some(match name.last()?.as_str() {
        "=" => BinaryOperator::Eq,
        "<>" | "!=" => BinaryOperator::NotEq,
        "<" => BinaryOperator::Lt,
        "<=" => BinaryOperator::LtEq,
        ">" => BinaryOperator::Gt,
        ">=" => BinaryOperator::GtEq,
        "+" => BinaryOperator::Plus,
        "-" => BinaryOperator::Minus,
        "*" => BinaryOperator::Multiply,
        "/" => BinaryOperator::Divide,
        "%" => BinaryOperator::Modulo,
        "||" => BinaryOperator::StringConcat,
        "~" => BinaryOperator::PGRegexMatch,
        "~*" => BinaryOperator::PGRegexIMatch,
        "!~" => BinaryOperator::PGRegexNotMatch,
        "!~*" => BinaryOperator::PGRegexNotIMatch,
        "~~" => BinaryOperator::PGLikeMatch,
        "~~*" => BinaryOperator::PGILikeMatch,
        "!~~" => BinaryOperator::PGNotLikeMatch,
        "!~~*" => BinaryOperator::PGNotILikeMatch,
        "^@" => BinaryOperator::PGStartsWith,
        "@>" => BinaryOperator::AtArrow,
        "<@" => BinaryOperator::ArrowAt,
        _ => return None,
    })
}
