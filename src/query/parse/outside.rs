//! What is rewritten in an expression, but not in the subqueries within it: those have tables and lists of their own.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, Query, VisitMut, VisitorMut};

/// Rewrites the parts of an expression.
pub(super) trait Rewrite {
    /// Called with each part before what it is made of.
    fn before(&mut self, _: &mut Expr) {}

    /// Called with each part after what it is made of.
    fn after(&mut self, expr: &mut Expr);
}

/// Rewrites the parts of an expression that stand in no subquery of it.
pub(super) fn outside_subqueries(expr: &mut Expr, rewrite: &mut impl Rewrite) {
    let _flow: ControlFlow<()> = expr.visit(&mut Outside { rewrite, depth: 0 });
}

struct Outside<'a, R> {
    rewrite: &'a mut R,
    depth: usize,
}

impl<R: Rewrite> VisitorMut for Outside<'_, R> {
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
        if self.depth == 0 {
            self.rewrite.before(expr);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.depth == 0 {
            self.rewrite.after(expr);
        }
        ControlFlow::Continue(())
    }
}
