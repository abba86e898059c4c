//! A subquery for all its keys at once, node by node.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, JoinConstraint, JoinType, NullEquality, Result, ScalarValue};
use datafusion::logical_expr::expr::{WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::{
    Aggregate, Distinct, Expr, Filter, Join, Limit, LogicalPlan, LogicalPlanBuilder, Projection, Sort,
    SortExpr, SubqueryAlias, Window, WindowFrame, WindowFunctionDefinition, lit,
};

use crate::error::{Error, Kind};
use crate::query::parse::NAME_END;

/// The values that a subquery looks at.
pub(super) struct Keys {
    outer: Vec<Column>,
    /// Each combination of them once.
    values: LogicalPlan,
    names: Vec<Column>,
}

/// How many rows a limit says.
pub(in crate::query) fn rows_of(expr: Option<&Expr>) -> Result<Option<i64>> {
    let Some(expr) = expr else { return Ok(None) };
    let expr = match expr {
        Expr::ScalarFunction(call) if call.func.name() == "with_ties" => &call.args[0],
        other => other,
    };
    match expr {
        Expr::Literal(value, _) if value.is_null() => Ok(None),
        Expr::Literal(value, _) => match value.cast_to(&arrow::datatypes::DataType::Int64)? {
            ScalarValue::Int64(rows) => Ok(rows),
            _ => Ok(None),
        },
        _ => Err(unsupported("a LIMIT that is no constant")),
    }
}

fn unsupported(what: &str) -> datafusion::error::DataFusionError {
    Error::new(Kind::Unsupported, format!("{what} is not supported in a subquery that looks at outer tables"))
        .into()
}

fn is_correlated(plan: &LogicalPlan) -> bool {
    !plan.all_out_ref_exprs().is_empty()
}

impl Keys {
    pub(super) fn columns_of(references: &[Expr]) -> Vec<Column> {
        let mut columns = Vec::new();
        for reference in references {
            if let Expr::OuterReferenceColumn(_, column) = reference
                && !columns.contains(column)
            {
                columns.push(column.clone());
            }
        }
        columns
    }

    pub(super) fn of(left: &Arc<LogicalPlan>, outer: Vec<Column>) -> Result<Self> {
        let names: Vec<_> =
            (0..outer.len()).map(|at| Column::new_unqualified(format!("{NAME_END}key{at}"))).collect();
        let chosen =
            outer.iter().zip(&names).map(|(column, name)| Expr::Column(column.clone()).alias(&name.name));
        let values = Projection::try_new(chosen.collect(), Arc::clone(left))?;
        let values = Distinct::All(Arc::new(LogicalPlan::Projection(values)));
        Ok(Keys { outer, values: LogicalPlan::Distinct(values), names })
    }

    /// The expression with the keys in place of what is outside.
    fn inside(&self, expr: Expr, keys: &[Column]) -> Result<Expr> {
        let expr = expr.transform_up(|expr| {
            let Expr::OuterReferenceColumn(_, column) = &expr else { return Ok(Transformed::no(expr)) };
            let at = self.outer.iter().position(|outer| outer == column);
            Ok(match at {
                Some(at) => Transformed::yes(Expr::Column(keys[at].clone())),
                None => Transformed::no(expr),
            })
        })?;
        Ok(expr.data)
    }

    /// The same under its old name, which tells it to the nodes above.
    fn named(&self, expr: Expr, keys: &[Column]) -> Result<Expr> {
        let (qualifier, name) = expr.qualified_name();
        let changed = self.inside(expr.clone(), keys)?;
        Ok(match changed == expr {
            true => expr,
            false => changed.unalias().alias_qualified(qualifier, name),
        })
    }

    fn all(&self, expressions: Vec<Expr>, keys: &[Column]) -> Result<Vec<Expr>> {
        let own = keys.iter().cloned().map(Expr::Column).map(Ok);
        own.chain(expressions.into_iter().map(|expr| self.named(expr, keys))).collect()
    }

    fn sorted(&self, sorts: Vec<SortExpr>, keys: &[Column]) -> Result<Vec<SortExpr>> {
        sorts.into_iter().map(|sort| Ok(SortExpr { expr: self.inside(sort.expr, keys)?, ..sort })).collect()
    }

    /// The plan for all keys, and the columns that hold them.
    pub(super) fn push(&self, plan: LogicalPlan) -> Result<(LogicalPlan, Vec<Column>)> {
        if !is_correlated(&plan) {
            let joined = LogicalPlanBuilder::from(self.values.clone()).cross_join(plan)?.build()?;
            return Ok((joined, self.names.clone()));
        }
        match plan {
            LogicalPlan::Projection(projection) => {
                let (input, keys) = self.push(Arc::unwrap_or_clone(projection.input))?;
                let chosen = self.all(projection.expr, &keys)?;
                Ok((LogicalPlan::Projection(Projection::try_new(chosen, Arc::new(input))?), keys))
            }
            LogicalPlan::Filter(filter) => {
                let (input, keys) = self.push(Arc::unwrap_or_clone(filter.input))?;
                let predicate = self.inside(filter.predicate, &keys)?;
                Ok((LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(input))?), keys))
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let (input, keys) = self.push(Arc::unwrap_or_clone(alias.input))?;
                let keys =
                    keys.into_iter().map(|key| Column::new(Some(alias.alias.clone()), key.name)).collect();
                let plan = SubqueryAlias::try_new(Arc::new(input), alias.alias)?;
                Ok((LogicalPlan::SubqueryAlias(plan), keys))
            }
            // Without a limit no order leaves a subquery.
            LogicalPlan::Sort(sort) => self.push(Arc::unwrap_or_clone(sort.input)),
            LogicalPlan::Limit(limit) => self.limit(limit),
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let (input, keys) = self.push(Arc::unwrap_or_clone(input))?;
                Ok((LogicalPlan::Distinct(Distinct::All(Arc::new(input))), keys))
            }
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Window(window) => {
                let (input, keys) = self.push(Arc::unwrap_or_clone(window.input))?;
                let within = window.window_expr.into_iter().map(|expr| {
                    let (qualifier, name) = expr.qualified_name();
                    match self.inside(expr, &keys)?.unalias() {
                        Expr::WindowFunction(mut function) => {
                            function.params.partition_by.extend(keys.iter().cloned().map(Expr::Column));
                            Ok(Expr::WindowFunction(function).alias_qualified(qualifier, name))
                        }
                        other => Ok(other),
                    }
                });
                let within = within.collect::<Result<_>>()?;
                Ok((LogicalPlan::Window(Window::try_new(within, Arc::new(input))?), keys))
            }
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Unnest(unnest) => {
                let (input, keys) = self.push(Arc::unwrap_or_clone(unnest.input))?;
                let plan = LogicalPlanBuilder::from(input)
                    .unnest_columns_with_options(unnest.exec_columns, unnest.options)?
                    .build()?;
                Ok((plan, keys))
            }
            other => Err(unsupported(&other.display().to_string())),
        }
    }

    /// The first rows of each key.
    fn limit(&self, limit: Limit) -> Result<(LogicalPlan, Vec<Column>)> {
        let skip = rows_of(limit.skip.as_deref())?.unwrap_or(0);
        let fetch = rows_of(limit.fetch.as_deref())?;
        let ties = matches!(
            limit.fetch.as_deref(),
            Some(Expr::ScalarFunction(call)) if call.func.name() == "with_ties"
        );
        self.first(Arc::unwrap_or_clone(limit.input), skip, fetch, ties)
    }

    fn first(
        &self,
        plan: LogicalPlan,
        skip: i64,
        fetch: Option<i64>,
        ties: bool,
    ) -> Result<(LogicalPlan, Vec<Column>)> {
        let (order, input) = match plan {
            LogicalPlan::Projection(projection) if holds_sort(&projection.input) => {
                let input = Arc::unwrap_or_clone(projection.input);
                let (input, keys) = self.first(input, skip, fetch, ties)?;
                let chosen = self.all(projection.expr, &keys)?;
                return Ok((LogicalPlan::Projection(Projection::try_new(chosen, Arc::new(input))?), keys));
            }
            LogicalPlan::Sort(sort) => (sort.expr, Arc::unwrap_or_clone(sort.input)),
            other => (Vec::new(), other),
        };
        let columns = input.schema().columns();
        let (input, keys) = self.push(input)?;
        let order = self.sorted(order, &keys)?;
        let numbered = numbered(input, keys.clone(), order, ties)?;
        let number = Expr::Column(Column::new_unqualified(NUMBER));
        let behind = number.clone().gt(lit(skip));
        let wanted = match fetch {
            Some(fetch) => behind.and(number.lt_eq(lit(skip.saturating_add(fetch)))),
            None => behind,
        };
        let kept = LogicalPlan::Filter(Filter::try_new(wanted, Arc::new(numbered))?);
        let shown = keys.iter().cloned().chain(columns).map(Expr::Column).collect();
        Ok((LogicalPlan::Projection(Projection::try_new(shown, Arc::new(kept))?), keys))
    }

    /// Groups within a key. Without groups of its own a subquery has a row for every key.
    fn aggregate(&self, aggregate: Aggregate) -> Result<(LogicalPlan, Vec<Column>)> {
        let is_single = aggregate.group_expr.is_empty();
        if aggregate.group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_))) {
            return Err(unsupported("GROUPING SETS"));
        }
        let counts: Vec<bool> = aggregate.aggr_expr.iter().map(is_count).collect();
        let outputs = aggregate.schema.columns();
        let (input, keys) = self.push(Arc::unwrap_or_clone(aggregate.input))?;
        let groups = self.all(aggregate.group_expr, &keys)?;
        let values = aggregate.aggr_expr.into_iter().map(|expr| self.named(expr, &keys));
        let values = values.collect::<Result<Vec<_>>>()?;
        let grouped = LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(input), groups, values)?);
        if !is_single {
            return Ok((grouped, keys));
        }
        let renamed: Vec<_> = (0..keys.len()).map(|at| format!("{NAME_END}group{at}")).collect();
        let shown = keys.iter().zip(&renamed).map(|(key, name)| Expr::Column(key.clone()).alias(name));
        let shown = shown.chain(outputs.iter().cloned().map(Expr::Column)).collect();
        let grouped = LogicalPlan::Projection(Projection::try_new(shown, Arc::new(grouped))?);
        let on = self.names.iter().zip(&renamed);
        let on =
            on.map(|(key, name)| (Expr::Column(key.clone()), Expr::Column(Column::new_unqualified(name))));
        let joined = Join::try_new(
            Arc::new(self.values.clone()),
            Arc::new(grouped),
            on.collect(),
            None,
            JoinType::Left,
            JoinConstraint::On,
            NullEquality::NullEqualsNull,
            false,
        )?;
        // Nothing is counted as 0.
        let values = outputs.into_iter().zip(counts).map(|(column, is_count)| {
            let value = Expr::Column(column.clone());
            match is_count {
                true => datafusion::functions::core::coalesce()
                    .call(vec![value, lit(0_i64)])
                    .alias_qualified(column.relation, column.name),
                false => value,
            }
        });
        let shown = self.names.iter().cloned().map(Expr::Column).chain(values).collect();
        let plan = Projection::try_new(shown, Arc::new(LogicalPlan::Join(joined)))?;
        Ok((LogicalPlan::Projection(plan), self.names.clone()))
    }

    fn join(&self, join: Join) -> Result<(LogicalPlan, Vec<Column>)> {
        if !matches!(join.join_type, JoinType::Inner | JoinType::Left) {
            return Err(unsupported("this kind of join"));
        }
        let (left, left_keys) = self.push(Arc::unwrap_or_clone(join.left))?;
        let mut on = Vec::new();
        let right = match is_correlated(&join.right) {
            false => Arc::unwrap_or_clone(join.right),
            true => {
                let columns = join.right.schema().columns();
                let (right, keys) = self.push(Arc::unwrap_or_clone(join.right))?;
                let renamed = keys.iter().enumerate().map(|(at, key)| {
                    let name = format!("{NAME_END}other{at}");
                    on.push((
                        Expr::Column(left_keys[at].clone()),
                        Expr::Column(Column::new_unqualified(&name)),
                    ));
                    Expr::Column(key.clone()).alias(name)
                });
                let shown: Vec<_> = renamed.collect();
                let shown = shown.into_iter().chain(columns.into_iter().map(Expr::Column)).collect();
                LogicalPlan::Projection(Projection::try_new(shown, Arc::new(right))?)
            }
        };
        let own = join.on.into_iter().map(|(left, right)| left.eq(right)).chain(join.filter);
        let own = own.map(|expr| self.inside(expr, &left_keys)).collect::<Result<Vec<_>>>()?;
        let filter = datafusion::logical_expr::utils::conjunction(own);
        let joined = Join::try_new(
            Arc::new(left),
            Arc::new(right),
            on,
            filter,
            join.join_type,
            JoinConstraint::On,
            NullEquality::NullEqualsNull,
            false,
        )?;
        Ok((LogicalPlan::Join(joined), left_keys))
    }
}

/// The column with the number of a row.
pub(in crate::query) const NUMBER: &str = "\u{1f}number";

/// Rows with their number, or their rank, within a partition.
pub(in crate::query) fn numbered(
    input: LogicalPlan,
    partition: Vec<Column>,
    order: Vec<SortExpr>,
    ties: bool,
) -> Result<LogicalPlan> {
    let function = match ties {
        true => datafusion::functions_window::rank::rank_udwf(),
        false => datafusion::functions_window::row_number::row_number_udwf(),
    };
    let frame = WindowFrame::new((!order.is_empty()).then_some(false));
    let number = Expr::WindowFunction(Box::new(WindowFunction {
        fun: WindowFunctionDefinition::WindowUDF(function),
        params: WindowFunctionParams {
            args: Vec::new(),
            partition_by: partition.into_iter().map(Expr::Column).collect(),
            order_by: order,
            window_frame: frame,
            filter: None,
            null_treatment: None,
            distinct: false,
        },
    }));
    let number = number.alias(NUMBER);
    LogicalPlanBuilder::from(input).window(vec![number])?.build()
}

fn holds_sort(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Sort(Sort { .. }) => true,
        LogicalPlan::Projection(projection) => holds_sort(&projection.input),
        _ => false,
    }
}

fn is_count(expr: &Expr) -> bool {
    match expr {
        Expr::Alias(alias) => is_count(&alias.expr),
        Expr::AggregateFunction(function) => function.func.name() == "count",
        _ => false,
    }
}
