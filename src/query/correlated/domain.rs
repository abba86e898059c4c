//! What a subquery refers to outside of itself.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Projection, Subquery, SubqueryAlias};

use super::{Names, with_plan};

/// The columns of the query around that a subquery refers to.
pub(super) struct Domain {
    pub(super) columns: Vec<Column>,
    /// Their distinct values.
    values: LogicalPlan,
}

/// The distinct values under names of their own.
pub(super) struct Values {
    pub(super) plan: LogicalPlan,
    pub(super) keys: Vec<Column>,
}

impl Domain {
    /// The domain of a subquery over the rows of `outer`; `None` where it refers to none of its columns.
    pub(super) fn of(inner: &LogicalPlan, outer: &LogicalPlan) -> Result<Option<Self>> {
        let mut columns = Vec::new();
        each_outer(inner, &mut |column| {
            if outer.schema().has_column(column) && !columns.contains(column) {
                columns.push(column.clone());
            }
        })?;
        if columns.is_empty() {
            return Ok(None);
        }
        let groups: Vec<_> = columns.iter().cloned().map(Expr::Column).collect();
        let values =
            LogicalPlanBuilder::from(outer.clone()).aggregate(groups, Vec::<Expr>::new())?.build()?;
        Ok(Some(Domain { columns, values }))
    }

    /// The values, to be joined to a part of the subquery.
    pub(super) fn values(&self, names: &Names) -> Result<Values> {
        let alias = names.next("domain");
        let name = |place: usize| format!("{alias}\u{1f}{place}");
        let columns = self.columns.iter().enumerate();
        let columns = columns.map(|(place, column)| Expr::Column(column.clone()).alias(name(place)));
        let plan =
            LogicalPlan::Projection(Projection::try_new(columns.collect(), Arc::new(self.values.clone()))?);
        let plan = LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(plan), alias.as_str())?);
        let keys = (0..self.columns.len()).map(|place| Column::new(Some(alias.as_str()), name(place)));
        Ok(Values { plan, keys: keys.collect() })
    }

    /// Whether a plan refers to the domain.
    pub(super) fn is_needed(&self, plan: &LogicalPlan) -> Result<bool> {
        let mut needed = false;
        each_outer(plan, &mut |column| needed |= self.columns.contains(column))?;
        Ok(needed)
    }

    /// Whether expressions refer to the domain.
    pub(super) fn is_needed_by(&self, expressions: &[Expr]) -> Result<bool> {
        let mut needed = false;
        for expr in expressions {
            each_outer_of(expr, &mut |column| needed |= self.columns.contains(column))?;
        }
        Ok(needed)
    }

    /// An expression that refers to columns beside it in place of those outside.
    pub(super) fn resolve(&self, expr: Expr, keys: &[Column]) -> Result<Expr> {
        let key = |column: &Column| {
            let place = self.columns.iter().position(|known| known == column)?;
            keys.get(place).cloned()
        };
        let expr = expr.transform_up(|expr| {
            Ok(match expr {
                Expr::OuterReferenceColumn(field, column) => match key(&column) {
                    Some(key) => Transformed::yes(Expr::Column(key)),
                    None => Transformed::no(Expr::OuterReferenceColumn(field, column)),
                },
                Expr::ScalarSubquery(subquery) => {
                    Transformed::yes(Expr::ScalarSubquery(self.renamed(subquery, &key)?))
                }
                Expr::Exists(mut exists) => {
                    exists.subquery = self.renamed(exists.subquery, &key)?;
                    Transformed::yes(Expr::Exists(exists))
                }
                Expr::InSubquery(mut within) => {
                    within.subquery = self.renamed(within.subquery, &key)?;
                    Transformed::yes(Expr::InSubquery(within))
                }
                Expr::SetComparison(mut comparison) => {
                    comparison.subquery = self.renamed(comparison.subquery, &key)?;
                    Transformed::yes(Expr::SetComparison(comparison))
                }
                other => Transformed::no(other),
            })
        })?;
        Ok(expr.data)
    }

    /// A subquery within the subquery: what it refers to is still outside of it, but under another name.
    fn renamed(&self, subquery: Subquery, key: &impl Fn(&Column) -> Option<Column>) -> Result<Subquery> {
        let plan = Arc::unwrap_or_clone(subquery.subquery).transform_up_with_subqueries(|node| {
            let names = datafusion::logical_expr::expr_rewriter::NamePreserver::new(&node);
            node.map_expressions(|expr| {
                let name = names.save(&expr);
                let expr = expr.transform_up(|expr| {
                    Ok(match expr {
                        Expr::OuterReferenceColumn(field, column) => match key(&column) {
                            Some(key) => Transformed::yes(Expr::OuterReferenceColumn(field, key)),
                            None => Transformed::no(Expr::OuterReferenceColumn(field, column)),
                        },
                        other => Transformed::no(other),
                    })
                })?;
                Ok(expr.update_data(|expr| name.restore(expr)))
            })
        })?;
        Ok(with_plan(plan.data, subquery.spans))
    }
}

/// Whether a plan refers to anything outside of it.
pub(super) fn refers_outward(plan: &LogicalPlan) -> bool {
    let mut found = false;
    each_outer(plan, &mut |_| found = true).is_err() || found
}

fn each_outer(plan: &LogicalPlan, note: &mut impl FnMut(&Column)) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        for expr in node.expressions() {
            expr.apply(|expr| {
                if let Expr::OuterReferenceColumn(_, column) = expr {
                    note(column);
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

fn each_outer_of(expr: &Expr, note: &mut impl FnMut(&Column)) -> Result<()> {
    expr.apply(|expr| {
        match expr {
            Expr::OuterReferenceColumn(_, column) => note(column),
            Expr::ScalarSubquery(subquery) => each_outer(&subquery.subquery, note)?,
            Expr::Exists(exists) => each_outer(&exists.subquery.subquery, note)?,
            Expr::InSubquery(within) => each_outer(&within.subquery.subquery, note)?,
            Expr::SetComparison(comparison) => each_outer(&comparison.subquery.subquery, note)?,
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}
