//! Whether a statement asks the catalog.

use std::ops::ControlFlow;

use datafusion::common::TableReference;
use datafusion::sql::sqlparser::ast::{self, Expr, Visit, Visitor};

use super::casts;
use super::functions::{is_function, is_size};
use crate::query::parse::CAST;

/// What of the catalog a statement needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::query) enum Needs {
    Nothing,
    Catalog,
    /// The sizes of tables, too: their files have to be looked at.
    Sizes,
}

impl Needs {
    /// What a query needs.
    pub(in crate::query) fn of(query: &ast::Query) -> Needs {
        let mut looking = Looking { needs: Needs::Nothing, classes: false, pages: false };
        let _flow: ControlFlow<()> = query.visit(&mut looking);
        if looking.classes && looking.pages { Needs::Sizes } else { looking.needs }
    }

    /// What finding a table of that name needs.
    pub(in crate::query) fn of_table(name: &TableReference) -> Needs {
        if super::named(name).is_some() { Needs::Catalog } else { Needs::Nothing }
    }
}

struct Looking {
    needs: Needs,
    /// Whether `pg_class` is read.
    classes: bool,
    /// Whether its columns with sizes may be.
    pages: bool,
}

impl Looking {
    fn need(&mut self, needs: Needs) {
        self.needs = self.needs.max(needs);
    }
}

impl Visitor for Looking {
    type Break = ();

    fn pre_visit_relation(&mut self, name: &ast::ObjectName) -> ControlFlow<()> {
        let parts: Vec<_> = name.0.iter().filter_map(|part| part.as_ident()).map(folded).collect();
        let reference = match parts.as_slice() {
            [table] => TableReference::bare(table.as_str()),
            [.., schema, table] => TableReference::partial(schema.as_str(), table.as_str()),
            [] => return ControlFlow::Continue(()),
        };
        if super::named(&reference).is_some() {
            self.need(Needs::Catalog);
            self.classes |= reference.table() == "pg_class";
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &ast::Select) -> ControlFlow<()> {
        self.pages |= select.projection.iter().any(|item| {
            matches!(item, ast::SelectItem::Wildcard(_) | ast::SelectItem::QualifiedWildcard(..))
        });
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(function) => {
                if let Some(name) = function.name.0.last().and_then(|part| part.as_ident()) {
                    let name = folded(name);
                    if is_size(&name) {
                        self.need(Needs::Sizes);
                    } else if is_function(&name) {
                        self.need(Needs::Catalog);
                    }
                }
            }
            Expr::Dictionary(fields) => {
                let key = fields.first().map(|field| field.key.value.as_str());
                if key.and_then(|key| key.strip_prefix(CAST)).is_some_and(casts::asks_catalog) {
                    self.need(Needs::Catalog);
                }
            }
            Expr::Identifier(name) => self.pages |= is_pages(name),
            Expr::CompoundIdentifier(names) => self.pages |= names.last().is_some_and(is_pages),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn is_pages(name: &ast::Ident) -> bool {
    matches!(folded(name).as_str(), "relpages" | "relallvisible")
}

fn folded(ident: &ast::Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}
