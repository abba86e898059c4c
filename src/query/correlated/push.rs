//! The domain joined to the inside of a subquery, as deep as it refers to it.

use std::sync::Arc;

use datafusion::common::{Column, NullEquality, Result, TableReference};
use datafusion::functions_window::row_number::row_number_udwf;
use datafusion::logical_expr::expr::{WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    Aggregate, Distinct, DistinctOn, Expr, ExprFunctionExt, FetchType, Filter, Join, JoinType, Limit,
    LogicalPlan, LogicalPlanBuilder, Operator, Projection, SkipType, Sort, SubqueryAlias, Union, Window,
    WindowFunctionDefinition, lit,
};

use super::Joining;
use super::domain::Domain;
use crate::error::{Error, Kind};

pub(super) struct Push<'a> {
    pub(super) joining: &'a Joining,
    pub(super) domain: &'a Domain,
}

/// A part of the subquery, worked out for each value of the domain.
pub(super) struct Pushed {
    pub(super) plan: LogicalPlan,
    /// The columns with the values of the domain.
    pub(super) keys: Vec<Column>,
}

impl Pushed {
    /// Under another name.
    pub(super) fn under(self, alias: TableReference) -> Result<Self> {
        let keys = self.keys.iter().map(|key| Column::new(Some(alias.clone()), key.name.clone())).collect();
        let plan = LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(self.plan), alias)?);
        Ok(Pushed { plan, keys })
    }
}

impl Push<'_> {
    pub(super) fn plan(&self, plan: &LogicalPlan) -> Result<Pushed> {
        if !self.domain.is_needed(plan)? {
            return self.beside(plan);
        }
        match plan {
            LogicalPlan::Projection(projection) => {
                let input = self.plan(&projection.input)?;
                let names = NamePreserver::new_for_projection();
                let expressions = projection.expr.iter().map(|expr| {
                    let name = names.save(expr);
                    Ok(name.restore(self.domain.resolve(expr.clone(), &input.keys)?))
                });
                let expressions = expressions.collect::<Result<Vec<_>>>()?;
                let all = key_exprs(&input.keys).into_iter().chain(expressions).collect();
                self.again(
                    LogicalPlan::Projection(Projection::try_new(all, Arc::new(input.plan))?),
                    input.keys,
                )
            }
            LogicalPlan::Filter(filter) => {
                let input = self.plan(&filter.input)?;
                let predicate = self.domain.resolve(filter.predicate.clone(), &input.keys)?;
                self.again(LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(input.plan))?), input.keys)
            }
            LogicalPlan::SubqueryAlias(alias) => self.plan(&alias.input)?.under(alias.alias.clone()),
            LogicalPlan::Sort(sort) => {
                let input = self.plan(&sort.input)?;
                let expr = sort.expr.iter().map(|sort| {
                    let expr = self.domain.resolve(sort.expr.clone(), &input.keys)?;
                    Ok(datafusion::logical_expr::SortExpr { expr, ..sort.clone() })
                });
                let expr = expr.collect::<Result<_>>()?;
                let sort = Sort { expr, input: Arc::new(input.plan), fetch: sort.fetch };
                Ok(Pushed { plan: LogicalPlan::Sort(sort), keys: input.keys })
            }
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let input = self.plan(input)?;
                let plan = LogicalPlan::Distinct(Distinct::All(Arc::new(input.plan)));
                Ok(Pushed { plan, keys: input.keys })
            }
            LogicalPlan::Distinct(Distinct::On(on)) => self.distinct_on(on),
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Limit(limit) => self.limit(limit),
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Union(union) => self.union(union),
            LogicalPlan::Unnest(unnest) => {
                let input = self.plan(&unnest.input)?;
                let plan = LogicalPlanBuilder::from(input.plan)
                    .unnest_columns_with_options(unnest.exec_columns.clone(), unnest.options.clone())?
                    .build()?;
                Ok(Pushed { plan, keys: input.keys })
            }
            LogicalPlan::Window(window) => {
                let input = self.plan(&window.input)?;
                let expressions = window.window_expr.iter().map(|expr| {
                    let expr = self.domain.resolve(expr.clone(), &input.keys)?;
                    Ok(per_value(expr, &input.keys))
                });
                let names = NamePreserver::new_for_projection();
                let saved: Vec<_> = window.window_expr.iter().map(|expr| names.save(expr)).collect();
                let expressions = expressions.collect::<Result<Vec<_>>>()?.into_iter().zip(saved);
                let expressions = expressions.map(|(expr, name)| name.restore(expr)).collect();
                let plan = LogicalPlan::Window(Window::try_new(expressions, Arc::new(input.plan))?);
                Ok(Pushed { plan, keys: input.keys })
            }
            other => {
                let what = format!("a subquery that refers outside of it within {}", other.display());
                Err(Error::new(Kind::Unsupported, format!("{what} is not supported")).into())
            }
        }
    }

    /// A plan whose own subqueries now refer to the columns of the domain beside it.
    fn again(&self, plan: LogicalPlan, keys: Vec<Column>) -> Result<Pushed> {
        Ok(Pushed { plan: self.joining.node(plan)?, keys })
    }

    /// All rows of what does not refer to the domain, for each of its values.
    fn beside(&self, plan: &LogicalPlan) -> Result<Pushed> {
        let values = self.domain.values(&self.joining.names)?;
        if matches!(plan, LogicalPlan::EmptyRelation(empty) if empty.produce_one_row) {
            return Ok(Pushed { plan: values.plan, keys: values.keys });
        }
        let plan = LogicalPlanBuilder::from(values.plan).cross_join(plan.clone())?.build()?;
        Ok(Pushed { plan, keys: values.keys })
    }

    fn aggregate(&self, aggregate: &Aggregate) -> Result<Pushed> {
        let input = self.plan(&aggregate.input)?;
        let names = NamePreserver::new_for_projection();
        let resolve = |expr: &Expr| {
            let name = names.save(expr);
            Ok(name.restore(self.domain.resolve(expr.clone(), &input.keys)?))
        };
        let groups = aggregate.group_expr.iter().map(resolve).collect::<Result<Vec<_>>>()?;
        let aggregates = aggregate.aggr_expr.iter().map(resolve).collect::<Result<Vec<_>>>()?;
        let is_scalar = groups.is_empty();
        let groups = key_exprs(&input.keys).into_iter().chain(groups).collect();
        let plan = Aggregate::try_new(Arc::new(input.plan), groups, aggregates)?;
        let plan = LogicalPlan::Aggregate(plan);
        if !is_scalar {
            return self.again(plan, input.keys);
        }
        // Of no rows there is one result, too.
        let values = self.domain.values(&self.joining.names)?;
        let outputs = aggregate.schema.columns();
        let joined = LogicalPlanBuilder::from(values.plan).join_detailed(
            plan,
            JoinType::Left,
            (values.keys.clone(), input.keys),
            None,
            NullEquality::NullEqualsNull,
        )?;
        let columns = outputs.into_iter().zip(&aggregate.aggr_expr).map(|(column, expr)| {
            let name = column.name.clone();
            match is_count(expr) {
                true => datafusion::functions::core::coalesce()
                    .call(vec![Expr::Column(column), lit(0_i64)])
                    .alias(name),
                false => Expr::Column(column),
            }
        });
        let columns = key_exprs(&values.keys).into_iter().chain(columns).collect();
        let plan = LogicalPlan::Projection(Projection::try_new(columns, Arc::new(joined.build()?))?);
        Ok(Pushed { plan, keys: values.keys })
    }

    /// The first rows for each value.
    fn limit(&self, limit: &Limit) -> Result<Pushed> {
        let (skip, fetch) = match (limit.get_skip_type()?, limit.get_fetch_type()?) {
            (SkipType::Literal(skip), FetchType::Literal(fetch)) => (skip, fetch),
            _ => {
                let what =
                    "a LIMIT that is no constant in a subquery that refers outside of it is not supported";
                return Err(Error::new(Kind::Unsupported, what).into());
            }
        };
        let input = self.plan(&limit.input)?;
        let columns: Vec<_> = input.plan.schema().columns().into_iter().map(Expr::Column).collect();
        let (order, plan) = match input.plan {
            LogicalPlan::Sort(sort) => (sort.expr.clone(), Arc::unwrap_or_clone(sort.input)),
            other => (Vec::new(), other),
        };
        let name = self.joining.names.next("row");
        let number = Expr::WindowFunction(Box::new(WindowFunction::new(
            WindowFunctionDefinition::WindowUDF(row_number_udwf()),
            Vec::new(),
        )));
        let number = number.partition_by(key_exprs(&input.keys)).order_by(order).build()?.alias(&name);
        let numbered = LogicalPlanBuilder::from(plan).window(vec![number])?;
        let row = || Expr::Column(Column::new_unqualified(&name));
        let number = |rows: usize| lit(u64::try_from(rows).unwrap_or(u64::MAX));
        let mut condition = row().gt(number(skip));
        if let Some(fetch) = fetch {
            condition = condition.and(row().lt_eq(number(skip.saturating_add(fetch))));
        }
        let plan = numbered.filter(condition)?.project(columns)?.build()?;
        Ok(Pushed { plan, keys: input.keys })
    }

    fn distinct_on(&self, on: &DistinctOn) -> Result<Pushed> {
        let input = self.plan(&on.input)?;
        let resolve = |expr: &Expr| self.domain.resolve(expr.clone(), &input.keys);
        let keys = key_exprs(&input.keys);
        let on_expr = on.on_expr.iter().map(resolve).collect::<Result<Vec<_>>>()?;
        let select = on.select_expr.iter().map(resolve).collect::<Result<Vec<_>>>()?;
        let on_expr = keys.iter().cloned().chain(on_expr).collect();
        let select = keys.iter().cloned().chain(select).collect();
        let sort = on.sort_expr.clone().map(|sort| {
            keys.iter().cloned().map(|key| key.sort(true, false)).chain(sort).collect::<Vec<_>>()
        });
        let plan = DistinctOn::try_new(on_expr, select, sort, Arc::new(input.plan))?;
        Ok(Pushed { plan: LogicalPlan::Distinct(Distinct::On(plan)), keys: input.keys })
    }

    fn join(&self, join: &Join) -> Result<Pushed> {
        let conditions: Vec<_> =
            join.on.iter().flat_map(|(l, r)| [l.clone(), r.clone()]).chain(join.filter.clone()).collect();
        let by_condition = self.domain.is_needed_by(&conditions)?;
        let (mut by_left, mut by_right) =
            (self.domain.is_needed(&join.left)?, self.domain.is_needed(&join.right)?);
        match join.join_type {
            JoinType::Inner => by_left |= by_condition && !by_right,
            JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => {
                by_right = true
            }
            JoinType::Full => (by_left, by_right) = (true, true),
            _ => by_left = true,
        }
        let side = |needed: bool, plan: &Arc<LogicalPlan>| match needed {
            true => self.plan(plan),
            false => Ok(Pushed { plan: plan.as_ref().clone(), keys: Vec::new() }),
        };
        let (left, right) = (side(by_left, &join.left)?, side(by_right, &join.right)?);
        let keys = if by_left { left.keys.clone() } else { right.keys.clone() };
        let same = match join.null_equality {
            NullEquality::NullEqualsNull => Operator::IsNotDistinctFrom,
            NullEquality::NullEqualsNothing => Operator::Eq,
        };
        let mut filters = Vec::new();
        for (l, r) in &join.on {
            let condition = datafusion::logical_expr::binary_expr(l.clone(), same, r.clone());
            filters.push(self.domain.resolve(condition, &keys)?);
        }
        if let Some(filter) = &join.filter {
            filters.push(self.domain.resolve(filter.clone(), &keys)?);
        }
        let filter = filters.into_iter().reduce(Expr::and);
        let (left_keys, right_keys) = match by_left && by_right {
            true => (left.keys, right.keys),
            false => (Vec::new(), Vec::new()),
        };
        let plan = LogicalPlanBuilder::from(left.plan).join_detailed(
            right.plan,
            join.join_type,
            (left_keys, right_keys),
            filter,
            NullEquality::NullEqualsNull,
        )?;
        Ok(Pushed { plan: plan.build()?, keys })
    }

    fn union(&self, union: &Union) -> Result<Pushed> {
        let mut names: Vec<String> = Vec::new();
        let mut inputs = Vec::new();
        for input in &union.inputs {
            let columns = input.schema().columns();
            let pushed = self.plan(input)?;
            if names.is_empty() {
                names = (0..pushed.keys.len()).map(|_| self.joining.names.next("key")).collect();
            }
            let keys =
                pushed.keys.iter().zip(&names).map(|(key, name)| Expr::Column(key.clone()).alias(name));
            let columns = columns.into_iter().map(Expr::Column);
            let all = keys.chain(columns).collect();
            inputs.push(Arc::new(LogicalPlan::Projection(Projection::try_new(all, Arc::new(pushed.plan))?)));
        }
        let plan = LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?);
        let keys = names.into_iter().map(Column::new_unqualified).collect();
        Ok(Pushed { plan, keys })
    }
}

fn key_exprs(keys: &[Column]) -> Vec<Expr> {
    keys.iter().cloned().map(Expr::Column).collect()
}

/// A window within the rows of each value of the domain.
fn per_value(expr: Expr, keys: &[Column]) -> Expr {
    match expr {
        Expr::Alias(mut alias) => {
            *alias.expr = per_value(*alias.expr, keys);
            Expr::Alias(alias)
        }
        Expr::WindowFunction(mut window) => {
            let WindowFunctionParams { partition_by, .. } = &mut window.params;
            partition_by.extend(key_exprs(keys));
            Expr::WindowFunction(window)
        }
        other => other,
    }
}

fn is_count(expr: &Expr) -> bool {
    match expr {
        Expr::Alias(alias) => is_count(&alias.expr),
        Expr::AggregateFunction(call) => call.func.name() == "count",
        _ => false,
    }
}
