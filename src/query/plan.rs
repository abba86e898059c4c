//! From a query's syntax tree to its logical plan.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result as PlanResult, TableReference};
use datafusion::datasource::cte_worktable::CteWorkTable;
use datafusion::datasource::provider_as_source;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    AggregateUDF, Expr, ExprSchemable, HigherOrderUDF, LogicalPlan, ScalarUDF, TableSource, WindowUDF,
};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::sql::planner::{ContextProvider, ParserOptions, PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast;

use super::catalog;
use super::diff::{self, Calls};
use super::error::translate;
use super::functions::registry::Registry;
use super::functions::relation;
use super::functions::row;
use super::functions::system::{self, Facts};
use super::history::{self, Historian};
use super::same_type;
use super::ties;
use super::typing::{Parameters, TYPE_NAME, Typing};
use super::unkeyed;
use crate::error::{Error, Kind, Result};

/// Everything that planning one statement needs.
pub(super) struct Planner<'a> {
    state: &'a SessionState,
    registry: &'a Registry,
    facts: Facts,
    tables: HashMap<TableReference, Arc<dyn TableSource>>,
    planners: Vec<Arc<dyn ExprPlanner>>,
    /// The calls of the function `diff`.
    pub(super) diffs: Calls,
    /// Answers calls of the function `explain`.
    pub(super) historian: Option<Historian>,
    /// Whether the query makes rows of arrays.
    unnests: AtomicBool,
}

impl<'a> Planner<'a> {
    pub(super) fn new(
        state: &'a SessionState,
        registry: &'a Registry,
        facts: Facts,
        tables: HashMap<TableReference, Arc<dyn TableSource>>,
        parameters: Parameters,
    ) -> Self {
        let reading = facts.reading;
        let mut planners: Vec<Arc<dyn ExprPlanner>> =
            vec![Arc::new(Typing { parameters, reading, scope: facts.scope.clone() })];
        planners.push(Arc::new(catalog::Vectors));
        planners.extend(registry.planners.iter().cloned());
        let (diffs, unnests) = (Calls::default(), AtomicBool::new(false));
        Planner { state, registry, facts, tables, planners, diffs, historian: None, unnests }
    }

    fn options(&self) -> ParserOptions {
        ParserOptions::new().with_parse_float_as_decimal(true)
    }

    /// The logical plan of a query. It only reads.
    pub(super) fn query(&self, query: &ast::Query) -> Result<LogicalPlan> {
        self.unnests.store(unkeyed::unnests(query), Ordering::Relaxed);
        let planner = SqlToRel::new_with_options(self, self.options());
        let statement = ast::Statement::Query(Box::new(query.clone()));
        let plan = planner
            .sql_statement_to_plan(statement)
            .and_then(catalog::prune)
            .and_then(ties::ranked)
            .and_then(same_type::checked)
            .and_then(super::copies::counted)
            .and_then(|plan| super::unions::typed(plan, self.facts.reading))
            .and_then(super::membership::spelled)
            .and_then(super::correlated::joined)
            .and_then(super::absent::told)
            .and_then(super::doomed::told)
            .map_err(|error| same_type::told(error, query))?;
        let only_reading =
            SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        only_reading.verify_plan(&plan).map_err(|error| {
            Error::new(Kind::Denied, "tributary is read-only").with_sqlstate("25006").with_source(error)
        })?;
        Ok(plan)
    }

    /// The plan with all types settled, ending in what is sent.
    pub(super) fn settled(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let config = self.state.config_options();
        let analyzed = self.state.analyzer().execute_and_check(plan, config, |_, _| {}).map_err(translate)?;
        let analyzed = super::typing::by_clocks(analyzed, self.facts.reading).map_err(translate)?;
        let shown = catalog::shown(analyzed, self.facts.scope.as_ref()).map_err(translate)?;
        super::output::finish(shown).map_err(translate)
    }

    /// An expression without columns, as far as it can be worked out.
    pub(super) fn constant(&self, expr: &ast::Expr) -> Result<Expr> {
        let planner = SqlToRel::new_with_options(self, self.options());
        let schema = datafusion::common::DFSchema::empty();
        let planned =
            planner.sql_to_expr(expr.clone(), &schema, &mut PlannerContext::new()).map_err(translate)?;
        let simplifier = ExprSimplifier::new(
            SimplifyContext::builder().with_config_options(Arc::clone(self.state.config_options())).build(),
        );
        let coerced = simplifier.coerce(planned, &schema).map_err(translate)?;
        simplifier.simplify(coerced).map_err(translate)
    }
}

impl ContextProvider for Planner<'_> {
    fn get_table_source(&self, name: TableReference) -> PlanResult<Arc<dyn TableSource>> {
        let missing = || super::resolve::undefined(&name);
        let table = self.tables.get(&name).ok_or_else(missing)?;
        match self.unnests.load(Ordering::Relaxed) && table.constraints().is_some() {
            true => unkeyed::without_key(table),
            false => Ok(table.clone()),
        }
    }

    fn get_table_function_source(&self, name: &str, args: Vec<Expr>) -> PlanResult<Arc<dyn TableSource>> {
        let simplifier = ExprSimplifier::new(
            SimplifyContext::builder().with_config_options(Arc::clone(self.state.config_options())).build(),
        );
        let schema = datafusion::common::DFSchema::empty();
        let args = args
            .into_iter()
            .map(|arg| simplifier.coerce(arg, &schema).and_then(|arg| simplifier.simplify(arg)).map(widen))
            .collect::<PlanResult<Vec<_>>>()?;
        if name == diff::NAME {
            return Ok(self.diffs.source(&args)?);
        }
        if let (history::NAME, Some(historian)) = (name, &self.historian) {
            return Ok(historian.source(&args)?);
        }
        if let Some(relation) = relation::relation(name, &self.facts)? {
            return Ok(provider_as_source(relation));
        }
        let Some(function) = self.registry.table.get(name) else {
            let error = Error::new(Kind::NotFound, format!("function {name} does not exist in FROM"));
            return Err(error.with_sqlstate("42883").into());
        };
        let args = datafusion::catalog::TableFunctionArgs::new(&args, self.state);
        Ok(provider_as_source(function.create_table_provider_with_args(args)?))
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> PlanResult<Arc<dyn TableSource>> {
        Ok(provider_as_source(Arc::new(CteWorkTable::new(name, schema))))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.planners
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        // The planner's own take out or replace the first element only.
        let name = match name {
            "array_remove" => "array_remove_all",
            "array_replace" => "array_replace_all",
            other => other,
        };
        let of_catalog = || catalog::function(name, self.facts.scope.as_ref()?);
        let of_session = || system::function(name, &self.facts);
        let own = || row::function(name, self.facts.reading);
        let found = of_catalog().or_else(of_session).or_else(own).map(Arc::new);
        let found = found.or_else(|| self.registry.scalar.get(name).cloned());
        let is_other = self.registry.aggregate.contains_key(name)
            || self.registry.window.contains_key(name)
            || self.registry.higher_order.contains_key(name)
            || matches!(name, "unnest" | "unnest_outer" | "grouping");
        // The types of its arguments belong to the error, and are known when it is called.
        found.or_else(|| (!is_other).then(|| Arc::new(row::missing(name))))
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.registry.higher_order.get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.registry.aggregate.get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.registry.window.get(name).cloned()
    }

    fn get_variable_type(&self, _: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.state.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        let ours = row::names().chain(system::NAMES.iter().copied()).map(str::to_string);
        self.registry.scalar.keys().cloned().chain(ours).collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.registry.higher_order.keys().cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.registry.aggregate.keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.registry.window.keys().cloned().collect()
    }
}

/// Table functions take 64-bit integers only.
fn widen(expr: Expr) -> Expr {
    use datafusion::common::ScalarValue;
    match expr {
        Expr::Literal(ScalarValue::Int32(value), metadata) => {
            Expr::Literal(ScalarValue::Int64(value.map(i64::from)), metadata)
        }
        other => other,
    }
}

/// What is known of a parameter: the type it got, and the name of that type where Arrow's does not tell it.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    pub(super) data_type: Option<DataType>,
    pub(super) type_name: Option<String>,
}

/// The parameters in a plan with the types they got.
pub(super) fn parameters_of(plan: &LogicalPlan) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Union(union) = node {
            for (id, data_type) in super::unions::parameters(union) {
                note(id, Some(data_type), &mut found);
            }
        }
        let schema = merge_schema(&node.inputs());
        for expr in node.expressions() {
            collect_parameters(&expr, &schema, &mut found)?;
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map_err(translate)?;
    Ok(found)
}

/// The parameters in an expression with the types they got.
pub(super) fn collect_parameters(expr: &Expr, schema: &DFSchema, found: &mut Vec<Found>) -> PlanResult<()> {
    expr.apply(|expr| {
        match expr {
            Expr::Placeholder(Placeholder { id, field }) => {
                note(id, field.as_ref().map(|field| field.data_type().clone()), found);
                let name = field.as_ref().and_then(|field| field.metadata().get(TYPE_NAME));
                if let (Some(name), Some(found)) = (name, index_of(id).and_then(|index| found.get_mut(index)))
                {
                    found.type_name.get_or_insert_with(|| name.clone());
                }
            }
            Expr::ScalarFunction(call)
                if ["coalesce", "nullif", "greatest", "least"].contains(&call.func.name()) =>
            {
                alike(call.args.iter().collect(), schema, found);
            }
            Expr::Case(case) => {
                let results = case.when_then_expr.iter().map(|(_, then)| then).chain(&case.else_expr);
                alike(results.map(AsRef::as_ref).collect(), schema, found);
                if let Some(operand) = &case.expr {
                    let compared = case.when_then_expr.iter().map(|(when, _)| when).chain([operand]);
                    alike(compared.map(AsRef::as_ref).collect(), schema, found);
                }
            }
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

fn index_of(id: &str) -> Option<usize> {
    id.trim_start_matches('$').parse::<usize>().ok()?.checked_sub(1)
}

fn note(id: &str, data_type: Option<DataType>, found: &mut Vec<Found>) {
    let Some(index) = index_of(id) else { return };
    if found.len() <= index {
        found.resize(index + 1, Found::default());
    }
    if found[index].data_type.is_none() {
        found[index].data_type = data_type;
    }
}

/// Expressions of one type: a parameter among them takes that of the others.
fn alike(expressions: Vec<&Expr>, schema: &DFSchema, found: &mut Vec<Found>) {
    let is_open = |expr: &Expr| matches!(expr, Expr::Placeholder(Placeholder { field: None, .. }));
    let typed =
        expressions.iter().filter(|expr| !is_open(expr)).filter_map(|expr| expr.get_type(schema).ok());
    let Some(data_type) = typed.into_iter().find(|data_type| *data_type != DataType::Null) else { return };
    for expr in expressions {
        if let Expr::Placeholder(Placeholder { id, field: None }) = expr {
            note(id, Some(data_type.clone()), found);
        }
    }
}

/// The columns as clients see them: names may repeat.
pub(super) fn shown_schema(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| {
        let name = super::parse::shown_name(field.name()).to_string();
        let mut metadata = field.metadata().clone();
        metadata.retain(|key, _| key == super::PG_TYPE);
        field.as_ref().clone().with_name(name).with_metadata(metadata)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}
