//! Queries that can only fail: told when PostgreSQL tells it. A wrong regular expression in a condition is found when the
//! query is planned, a negative number of rows only when it runs.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{FieldMetadata, ScalarFunction};
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, EmptyRelation, Expr, Filter, Limit, LogicalPlan, Operator, Projection,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::error::{Error, Kind};

/// The plan, which fails where it has to; or the error that it already is.
pub(super) fn told(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut is_negative = false;
    plan.apply_with_subqueries(|node| {
        match node {
            LogicalPlan::Filter(filter) => patterns(&filter.predicate)?,
            LogicalPlan::Join(join) => join.filter.iter().try_for_each(patterns)?,
            LogicalPlan::Limit(limit) => is_negative |= negative(limit).is_some(),
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    if !is_negative {
        return Ok(plan);
    }
    let failing = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Limit(limit) => match negative(&limit) {
            Some(clause) => failing(clause, &limit).map(Transformed::yes),
            None => Ok(Transformed::yes(LogicalPlan::Limit(limit))),
        },
        other => Ok(Transformed::yes(other.recompute_schema()?)),
    })?;
    Ok(failing.data)
}

/// Functions whose second argument is a pattern, where conditions are made of them.
const MATCHING: &[&str] = &["textregexeq", "texticregexeq", "similar_to"];

/// Reads the constant patterns of a condition.
fn patterns(condition: &Expr) -> Result<()> {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And | Operator::Or, right }) => {
            patterns(left)?;
            patterns(right)
        }
        Expr::Not(inner) => patterns(inner),
        Expr::ScalarFunction(call) if MATCHING.contains(&call.func.name()) => pattern(call),
        _ => Ok(()),
    }
}

/// Whatever is matched, a pattern that cannot be read fails: it is tried with an empty text.
fn pattern(call: &ScalarFunction) -> Result<()> {
    let constants = call.args.iter().skip(1).map(|arg| match arg {
        Expr::Literal(value @ ScalarValue::Utf8(Some(_)), _) => Some(value.clone()),
        _ => None,
    });
    let Some(constants) = constants.collect::<Option<Vec<_>>>() else { return Ok(()) };
    let values = std::iter::once(ScalarValue::Utf8(Some(String::new()))).chain(constants);
    let text = Arc::new(Field::new("", DataType::Utf8, true));
    let args: Vec<_> = values.map(ColumnarValue::Scalar).collect();
    call.func.invoke_with_args(ScalarFunctionArgs {
        arg_fields: vec![text; args.len()],
        args,
        number_rows: 1,
        return_field: Arc::new(Field::new("", DataType::Boolean, true)),
        config_options: Arc::new(ConfigOptions::new()),
    })?;
    Ok(())
}

/// The clause of a limit whose number of rows is negative.
fn negative(limit: &Limit) -> Option<Clause> {
    let is_below = |expr: Option<&Expr>| {
        matches!(expr, Some(Expr::Literal(ScalarValue::Int64(Some(rows)), _)) if *rows < 0)
            || matches!(expr, Some(Expr::Literal(ScalarValue::Int32(Some(rows)), _)) if *rows < 0)
    };
    match (is_below(limit.skip.as_deref()), is_below(limit.fetch.as_deref())) {
        (true, _) => Some(Clause::Offset),
        (_, true) => Some(Clause::Limit),
        _ => None,
    }
}

/// Rows of the limit's columns that cannot be made.
fn failing(clause: Clause, limit: &Limit) -> Result<LogicalPlan> {
    let one = EmptyRelation { produce_one_row: true, schema: Arc::new(DFSchema::empty()) };
    let fails = ScalarUDF::from(Fails { clause, signature: Signature::nullary(Volatility::Volatile) });
    let never = Filter::try_new(fails.call(Vec::new()), Arc::new(LogicalPlan::EmptyRelation(one)))?;
    let columns = limit.input.schema().iter().map(|(qualifier, field)| {
        let value = ScalarValue::try_from(field.data_type())?;
        let metadata = (!field.metadata().is_empty()).then(|| FieldMetadata::from(field.as_ref()));
        Ok(Expr::Literal(value, metadata).alias_qualified(qualifier.cloned(), field.name()))
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(LogicalPlan::Filter(never)))?))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Clause {
    Limit,
    Offset,
}

impl Clause {
    fn error(self) -> Error {
        let (name, state) = match self {
            Clause::Limit => ("LIMIT", "2201W"),
            Clause::Offset => ("OFFSET", "2201X"),
        };
        Error::new(Kind::Invalid, format!("{name} must not be negative")).with_sqlstate(state)
    }
}

/// A condition that nothing comes through.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Fails {
    clause: Clause,
    signature: Signature,
}

impl ScalarUDFImpl for Fails {
    fn name(&self) -> &str {
        "number_of_rows"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(self.clause.error().into())
    }
}
