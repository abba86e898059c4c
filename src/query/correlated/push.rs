//! The domain joined to the inside of a subquery, as deep as it refers to it.

use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{Column, NullEquality, Result, TableReference};
use datafusion::datasource::cte_worktable::CteWorkTable;
use datafusion::datasource::provider_as_source;
use datafusion::error::DataFusionError;
use datafusion::functions_window::row_number::row_number_udwf;
use datafusion::logical_expr::expr::{WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    Aggregate, Distinct, DistinctOn, Expr, FetchType, Filter, Join, JoinType, Limit, LogicalPlan,
    LogicalPlanBuilder, Operator, Projection, RecursiveQuery, SkipType, Sort, SubqueryAlias, Union, Window,
    WindowFrame, WindowFunctionDefinition, lit,
};

use super::Joining;
use super::domain::Domain;
use crate::error::{Error, Kind};

pub(super) struct Push<'a> {
    joining: &'a Joining,
    domain: &'a Domain,
    /// Within the recursive part of a query.
    work: Option<Work>,
}

/// The rows of the step before in a recursive query. They have the values of the domain already.
struct Work {
    name: String,
    rows: LogicalPlan,
    keys: Vec<Column>,
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

impl<'a> Push<'a> {
    pub(super) fn new(joining: &'a Joining, domain: &'a Domain) -> Self {
        Push { joining, domain, work: None }
    }

    /// Whether a plan refers to the domain, or to rows that have its values.
    fn is_needed(&self, plan: &LogicalPlan) -> Result<bool> {
        let Some(work) = &self.work else { return self.domain.is_needed(plan) };
        let is_work = |node: &LogicalPlan| {
            Ok(matches!(node, LogicalPlan::TableScan(scan) if scan.table_name.table() == work.name))
        };
        Ok(self.domain.is_needed(plan)? || plan.exists(is_work)?)
    }

    pub(super) fn plan(&self, plan: &LogicalPlan) -> Result<Pushed> {
        if !self.is_needed(plan)? {
            return self.beside(plan);
        }
        match plan {
            LogicalPlan::TableScan(_) if self.work.is_some() => match &self.work {
                Some(work) => Ok(Pushed { plan: work.rows.clone(), keys: work.keys.clone() }),
                None => self.beside(plan),
            },
            LogicalPlan::RecursiveQuery(query) => self.recursive(query),
            LogicalPlan::Projection(projection) => {
                let input = self.plan(&projection.input)?;
                self.project(&projection.expr, input)
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

    /// Expressions over what has the values of the domain.
    fn project(&self, expressions: &[Expr], input: Pushed) -> Result<Pushed> {
        let names = NamePreserver::new_for_projection();
        let expressions = expressions.iter().map(|expr| {
            let name = names.save(expr);
            Ok(name.restore(self.domain.resolve(expr.clone(), &input.keys)?))
        });
        let expressions = expressions.collect::<Result<Vec<_>>>()?;
        let all = key_exprs(&input.keys).into_iter().chain(expressions).collect();
        self.again(LogicalPlan::Projection(Projection::try_new(all, Arc::new(input.plan))?), input.keys)
    }

    /// Both parts of a recursive query with the values of the domain, which go from step to step.
    fn recursive(&self, query: &RecursiveQuery) -> Result<Pushed> {
        let named = |pushed: Pushed, names: &[String], columns: Vec<Column>| {
            let keys = pushed.keys.iter().zip(names).map(|(key, name)| Expr::Column(key.clone()).alias(name));
            let all = keys.chain(columns.into_iter().map(Expr::Column)).collect();
            Ok::<_, DataFusionError>(LogicalPlan::Projection(Projection::try_new(
                all,
                Arc::new(pushed.plan),
            )?))
        };
        let first = self.plan(&query.static_term)?;
        let names: Vec<_> = first.keys.iter().map(|_| self.joining.names.next("key")).collect();
        let first = named(first, &names, query.static_term.schema().columns())?;
        // As the planner makes it: what a step gives may be NULL.
        let fields = first.schema().fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
        let table = CteWorkTable::new(&query.name, Arc::new(Schema::new(fields.collect::<Vec<_>>())));
        let rows = LogicalPlanBuilder::scan(query.name.as_str(), provider_as_source(Arc::new(table)), None)?;
        let keys = names.iter().map(|name| Column::new(Some(query.name.as_str()), name)).collect();
        let work = Work { name: query.name.clone(), rows: rows.build()?, keys };
        let step = Push { joining: self.joining, domain: self.domain, work: Some(work) };
        let next = named(step.plan(&query.recursive_term)?, &names, query.recursive_term.schema().columns())?;
        let plan = LogicalPlanBuilder::from(first).to_recursive_query(
            query.name.clone(),
            next,
            query.is_distinct,
        )?;
        let keys = names.into_iter().map(Column::new_unqualified).collect();
        Ok(Pushed { plan: plan.build()?, keys })
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
        // What is sorted by may be left out after it.
        let (projection, body) = match &*limit.input {
            LogicalPlan::Projection(projection) if matches!(&*projection.input, LogicalPlan::Sort(_)) => {
                (Some(projection), &projection.input)
            }
            _ => (None, &limit.input),
        };
        let input = self.plan(body)?;
        let columns: Vec<_> = input.plan.schema().columns().into_iter().map(Expr::Column).collect();
        let (order, plan) = match input.plan {
            LogicalPlan::Sort(sort) => (sort.expr.clone(), Arc::unwrap_or_clone(sort.input)),
            other => (Vec::new(), other),
        };
        let name = self.joining.names.next("row");
        let mut number =
            WindowFunction::new(WindowFunctionDefinition::WindowUDF(row_number_udwf()), Vec::new());
        number.params.window_frame = WindowFrame::new((!order.is_empty()).then_some(false));
        number.params.partition_by = key_exprs(&input.keys);
        number.params.order_by = order;
        let number = Expr::WindowFunction(Box::new(number)).alias(&name);
        let numbered = LogicalPlanBuilder::from(plan).window(vec![number])?;
        let row = || Expr::Column(Column::new_unqualified(&name));
        let number = |rows: usize| lit(u64::try_from(rows).unwrap_or(u64::MAX));
        let mut condition = row().gt(number(skip));
        if let Some(fetch) = fetch {
            condition = condition.and(row().lt_eq(number(skip.saturating_add(fetch))));
        }
        let first = Pushed { plan: numbered.filter(condition)?.build()?, keys: input.keys };
        match projection {
            Some(projection) => self.project(&projection.expr, first),
            None => {
                let plan = LogicalPlan::Projection(Projection::try_new(columns, Arc::new(first.plan))?);
                Ok(Pushed { plan, keys: first.keys })
            }
        }
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
        let (mut by_left, mut by_right) = (self.is_needed(&join.left)?, self.is_needed(&join.right)?);
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
