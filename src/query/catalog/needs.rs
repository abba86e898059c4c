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
        let mut looking = Looking { needs: Needs::Nothing };
        let _flow: ControlFlow<()> = query.visit(&mut looking);
        looking.needs
    }

    /// What finding a table of that name needs.
    pub(in crate::query) fn of_table(name: &TableReference) -> Needs {
        if super::named(name).is_some() { Needs::Catalog } else { Needs::Nothing }
    }
}

struct Looking {
    needs: Needs,
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
        }
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
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn folded(ident: &ast::Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}
