//! Subqueries that refer to the query around them, joined to it.
//!
//! The engine joins the simple ones by itself: an aggregate over rows chosen by equality. All others are made joins
//! here, after T. Neumann and A. Kemper, "Unnesting Arbitrary Queries" (BTW 2015): the distinct values that the
//! subquery refers to are joined to its inside, so that it can be worked out for all of them at once, and its result
//! is joined back by those values.

mod domain;
mod push;
mod single;

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, NullEquality, Result, ScalarValue};
use datafusion::logical_expr::expr::Exists;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Expr, Filter, Join, JoinType, LogicalPlan, LogicalPlanBuilder, Operator,
    Projection, Subquery, SubqueryAlias,
};

use self::domain::{Domain, refers_outward};
use self::push::Push;
use self::single::single;

/// The plan without subqueries that the engine could not join by itself.
pub(super) fn joined(plan: LogicalPlan) -> Result<LogicalPlan> {
    if !has_correlated(&plan)? {
        return Ok(plan);
    }
    Joining { names: Names::default() }.plan(plan)
}

fn has_correlated(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        found |= matches!(node, LogicalPlan::Subquery(_));
        node.apply_expressions(|expr| {
            found |= refers(expr);
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// Names that no statement can contain.
#[derive(Default)]
struct Names(std::cell::Cell<usize>);

impl Names {
    fn next(&self, what: &str) -> String {
        self.0.set(self.0.get() + 1);
        format!("\u{1f}{what}{}", self.0.get())
    }
}

struct Joining {
    names: Names,
}

impl Joining {
    fn plan(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let plan = plan.map_children(|child| self.plan(child).map(Transformed::yes))?.data;
        let plan = plan.map_subqueries(|subquery| match subquery {
            LogicalPlan::Subquery(subquery) => self.inside(subquery).map(Transformed::yes),
            other => Ok(Transformed::no(other)),
        })?;
        self.node(plan.data)
    }

    /// A subquery whose own subqueries are joined.
    fn inside(&self, subquery: Subquery) -> Result<LogicalPlan> {
        let plan = self.plan(Arc::unwrap_or_clone(subquery.subquery))?;
        Ok(LogicalPlan::Subquery(with_plan(plan, subquery.spans)))
    }

    fn node(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        match plan {
            // What it refers to is outside of it anyway.
            LogicalPlan::Subquery(subquery) => Ok(Arc::unwrap_or_clone(subquery.subquery)),
            LogicalPlan::Join(join) if refers_outward(&join.right) => self.lateral(join),
            LogicalPlan::Projection(Projection { expr, input, .. }) => {
                let (expr, input, _) = self.expressions(expr, input)?;
                Ok(LogicalPlan::Projection(Projection::try_new(expr, input)?))
            }
            LogicalPlan::Filter(Filter { predicate, input, .. }) => {
                let columns = input.schema().columns();
                let (mut expr, input, changed) = self.expressions(vec![predicate], input)?;
                let predicate = expr.pop().unwrap_or_else(|| Expr::Literal(ScalarValue::Boolean(None), None));
                let filter = LogicalPlan::Filter(Filter::try_new(predicate, input)?);
                if !changed {
                    return Ok(filter);
                }
                let columns = columns.into_iter().map(Expr::Column).collect();
                Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(filter))?))
            }
            LogicalPlan::Aggregate(Aggregate { input, group_expr, aggr_expr, .. }) => {
                let groups = group_expr.len();
                let all = group_expr.into_iter().chain(aggr_expr).collect();
                let (mut all, input, _) = self.expressions(all, input)?;
                let aggr_expr = all.split_off(groups);
                Ok(LogicalPlan::Aggregate(Aggregate::try_new(input, all, aggr_expr)?))
            }
            other => Ok(other),
        }
    }

    /// Expressions over an input, with the subqueries in them joined to it.
    fn expressions(
        &self,
        expressions: Vec<Expr>,
        input: Arc<LogicalPlan>,
    ) -> Result<(Vec<Expr>, Arc<LogicalPlan>, bool)> {
        let mut plan = Arc::clone(&input);
        let mut changed = false;
        let mut rewritten = Vec::with_capacity(expressions.len());
        for expr in expressions {
            let name = NamePreserver::new_for_projection().save(&expr);
            let expr = expr.transform_up(|expr| {
                let subquery = match &expr {
                    Expr::ScalarSubquery(subquery) if !is_simple(&subquery.subquery) => subquery,
                    Expr::Exists(Exists { subquery, .. }) if !is_filtered(&subquery.subquery) => subquery,
                    _ => return Ok(Transformed::no(expr)),
                };
                let Some(domain) = Domain::of(&subquery.subquery, &input)? else {
                    return Ok(Transformed::no(expr));
                };
                let (joined, value) = match &expr {
                    Expr::Exists(exists) => {
                        self.exists(&plan, &subquery.subquery, &domain, exists.negated)?
                    }
                    _ => self.scalar(&plan, &subquery.subquery, &domain)?,
                };
                plan = Arc::new(joined);
                changed = true;
                Ok(Transformed::yes(value))
            })?;
            rewritten.push(if expr.transformed { name.restore(expr.data) } else { expr.data });
        }
        Ok((rewritten, plan, changed))
    }

    /// The only value of a subquery for each row.
    fn scalar(
        &self,
        outer: &LogicalPlan,
        inner: &LogicalPlan,
        domain: &Domain,
    ) -> Result<(LogicalPlan, Expr)> {
        let value = inner.schema().columns().into_iter().next();
        let value = value.ok_or_else(|| crate::error::Error::internal("a subquery without a column"))?;
        let pushed = Push::new(self, domain).plan(inner)?;
        let name = self.names.next("value");
        let keys: Vec<_> = pushed.keys.iter().cloned().map(Expr::Column).collect();
        let aggregate = single().call(vec![Expr::Column(value)]).alias(&name);
        let one = LogicalPlanBuilder::from(pushed.plan).aggregate(keys, vec![aggregate])?.build()?;
        self.join_back(outer, one, &pushed.keys, domain, &name)
    }

    /// Whether a subquery has a row for each row.
    fn exists(
        &self,
        outer: &LogicalPlan,
        inner: &LogicalPlan,
        domain: &Domain,
        negated: bool,
    ) -> Result<(LogicalPlan, Expr)> {
        let pushed = Push::new(self, domain).plan(inner)?;
        let name = self.names.next("mark");
        let keys: Vec<_> = pushed.keys.iter().cloned().map(Expr::Column).collect();
        let distinct = LogicalPlanBuilder::from(pushed.plan).aggregate(keys, Vec::<Expr>::new())?.build()?;
        let mark = Expr::Literal(ScalarValue::Boolean(Some(true)), None).alias(&name);
        let columns = pushed.keys.iter().cloned().map(Expr::Column).chain([mark]).collect();
        let marked = LogicalPlan::Projection(Projection::try_new(columns, Arc::new(distinct))?);
        let (plan, mark) = self.join_back(outer, marked, &pushed.keys, domain, &name)?;
        Ok((plan, if negated { mark.is_null() } else { mark.is_not_null() }))
    }

    /// The outer rows with the value that belongs to what they refer by; NULL where there is none.
    fn join_back(
        &self,
        outer: &LogicalPlan,
        inner: LogicalPlan,
        keys: &[Column],
        domain: &Domain,
        value: &str,
    ) -> Result<(LogicalPlan, Expr)> {
        let alias = self.names.next("of");
        let renamed = keys
            .iter()
            .enumerate()
            .map(|(place, key)| Expr::Column(key.clone()).alias(format!("\u{1f}k{place}")));
        let columns = renamed.chain([Expr::Column(Column::new_unqualified(value))]).collect();
        let inner = LogicalPlan::Projection(Projection::try_new(columns, Arc::new(inner))?);
        let inner = LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(inner), alias.as_str())?);
        let right: Vec<_> = (0..keys.len())
            .map(|place| Column::new(Some(alias.as_str()), format!("\u{1f}k{place}")))
            .collect();
        let joined = LogicalPlanBuilder::from(outer.clone()).join_detailed(
            inner,
            JoinType::Left,
            (domain.columns.clone(), right),
            None,
            NullEquality::NullEqualsNull,
        )?;
        Ok((joined.build()?, Expr::Column(Column::new(Some(alias.as_str()), value))))
    }

    /// A join whose right side may refer to its left.
    fn lateral(&self, join: Join) -> Result<LogicalPlan> {
        let Some(domain) = Domain::of(&join.right, &join.left)? else { return Ok(LogicalPlan::Join(join)) };
        let columns = join.schema.columns().into_iter().map(Expr::Column).collect();
        let pushed = Push::new(self, &domain).plan(&join.right)?;
        // The conditions of the join do not hold for NULL, those of the domain do.
        let conditions = join.on.into_iter().map(|(left, right)| left.eq(right));
        let filters = conditions.chain(join.filter);
        let filter = filters.reduce(Expr::and);
        let joined = LogicalPlanBuilder::from(Arc::unwrap_or_clone(join.left)).join_detailed(
            pushed.plan,
            join.join_type,
            (domain.columns.clone(), pushed.keys),
            filter,
            NullEquality::NullEqualsNull,
        )?;
        Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(joined.build()?))?))
    }
}

/// A subquery over another plan, with what that refers to.
fn with_plan(plan: LogicalPlan, spans: datafusion::common::Spans) -> Subquery {
    let outer_ref_columns = plan.all_out_ref_exprs();
    Subquery { subquery: Arc::new(plan), outer_ref_columns, spans }
}

/// Whether the engine joins a scalar subquery by itself: it refers to nothing outside, or is one aggregate over rows
/// that are chosen by equality with what is outside.
fn is_simple(plan: &LogicalPlan) -> bool {
    if !refers_outward(plan) {
        return true;
    }
    match plan {
        LogicalPlan::Projection(projection) => {
            let is_plain = !projection.expr.iter().any(|expr| refers(expr) || has_subquery(expr));
            is_plain && is_simple(&projection.input)
        }
        LogicalPlan::Aggregate(aggregate) => {
            let all = || aggregate.aggr_expr.iter();
            aggregate.group_expr.is_empty()
                && !all().any(|expr| refers(expr) || has_subquery(expr))
                && is_filtered(&aggregate.input)
        }
        _ => false,
    }
}

/// Whether a plan refers outside only in conditions of equality, each a column on the outer side.
pub(super) fn is_filtered(plan: &LogicalPlan) -> bool {
    if !refers_outward(plan) {
        return true;
    }
    match plan {
        LogicalPlan::Filter(filter) => {
            let conditions = datafusion::logical_expr::utils::split_conjunction(&filter.predicate);
            let is_equality = |expr: &Expr| match expr {
                Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
                    let is_outer = |expr: &Expr| matches!(expr, Expr::OuterReferenceColumn(..));
                    (is_outer(left) && !refers(right)) || (is_outer(right) && !refers(left))
                }
                _ => false,
            };
            conditions.iter().all(|expr| (!refers(expr) || is_equality(expr)) && !has_subquery(expr))
                && is_filtered(&filter.input)
        }
        _ => false,
    }
}

pub(super) fn refers(expr: &Expr) -> bool {
    expr.exists(|expr| Ok(matches!(expr, Expr::OuterReferenceColumn(..)))).unwrap_or(true)
}

fn has_subquery(expr: &Expr) -> bool {
    let is_one = |expr: &Expr| {
        matches!(
            expr,
            Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_)
        )
    };
    expr.exists(|expr| Ok(is_one(expr))).unwrap_or(true)
}
