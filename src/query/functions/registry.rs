//! All functions by name. Made once; sessions share it.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::compute::kernels::cast;
use arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::catalog::TableFunction;
use datafusion::common::Result;
use datafusion::execution::SessionStateDefaults;
use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::logical_expr::{
    AggregateUDF, ColumnarValue, HigherOrderUDF, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, WindowUDF,
};

use super::aggregate::Sum;
use super::arrays;
use super::collect::ArrayAgg;
use super::rounding::{Rounding, Way};
use crate::error::{Error, Kind};

/// Bytes of one text that a function may make.
const MAX_TEXT_BYTES: usize = 16 << 20;
/// Bytes of all texts of one batch.
const MAX_BATCH_BYTES: usize = 256 << 20;

/// Every function that needs nothing of a session.
pub(in crate::query) struct Registry {
    pub(in crate::query) scalar: HashMap<String, Arc<ScalarUDF>>,
    pub(in crate::query) higher_order: HashMap<String, Arc<HigherOrderUDF>>,
    pub(in crate::query) aggregate: HashMap<String, Arc<AggregateUDF>>,
    pub(in crate::query) window: HashMap<String, Arc<WindowUDF>>,
    pub(in crate::query) table: HashMap<String, Arc<TableFunction>>,
    pub(in crate::query) planners: Vec<Arc<dyn ExprPlanner>>,
}

impl Registry {
    pub(in crate::query) fn new() -> Self {
        let mut scalar = HashMap::new();
        let ours = [Way::Round, Way::Trunc, Way::Ceil, Way::Floor]
            .map(|way| ScalarUDF::from(Rounding::new(way)))
            .into_iter()
            .chain(super::rowsets::all())
            .map(Arc::new);
        for function in SessionStateDefaults::default_scalar_functions().into_iter().chain(ours) {
            let function = match function.name() {
                name if CAPPED.contains(&name) => capped(function),
                name if arrays::COUNTING.contains(&name) => arrays::counting(function),
                _ => function,
            };
            add(&mut scalar, function.name(), function.aliases(), &function);
        }
        // `arrow_cast` and its kin would reveal and make types that the wire does not have.
        scalar.retain(|name, _| !name.starts_with("arrow_"));
        let mut aggregate = HashMap::new();
        let ours = [AggregateUDF::from(Sum::new()), AggregateUDF::from(ArrayAgg::new())].map(Arc::new);
        for function in SessionStateDefaults::default_aggregate_functions().into_iter().chain(ours) {
            add(&mut aggregate, function.name(), function.aliases(), &function);
        }
        for name in [
            "json_agg",
            "jsonb_agg",
            "json_object_agg",
            "jsonb_object_agg",
            "mode",
            "percentile_cont",
            "percentile_disc",
        ] {
            aggregate.insert(name.to_string(), Arc::new(AggregateUDF::from(ArrayAgg::named(name))));
        }
        if let Some(bool_and) = aggregate.get("bool_and").cloned() {
            aggregate.insert("every".into(), bool_and);
        }
        if let Some(variance) = aggregate.get("var_samp").cloned() {
            aggregate.insert("variance".into(), variance);
        }
        let mut window = HashMap::new();
        for function in SessionStateDefaults::default_window_functions() {
            add(&mut window, function.name(), function.aliases(), &function);
        }
        let mut higher_order = HashMap::new();
        for function in SessionStateDefaults::default_higher_order_functions() {
            add(&mut higher_order, function.name(), function.aliases(), &function);
        }
        let tables = SessionStateDefaults::default_table_functions();
        let table = tables.into_iter().map(|function| (function.name().to_string(), function)).collect();
        let planners = SessionStateDefaults::default_expr_planners();
        Registry { scalar, higher_order, aggregate, window, table, planners }
    }
}

fn add<T>(map: &mut HashMap<String, Arc<T>>, name: &str, aliases: &[String], function: &Arc<T>) {
    for name in aliases.iter().map(String::as_str).chain([name]) {
        map.insert(name.to_string(), function.clone());
    }
}

/// Functions whose result can be as long as a number says.
const CAPPED: &[&str] = &["lpad", "rpad", "repeat", "space"];

fn capped(inner: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(Capped { inner }))
}

/// A function that refuses to make enormous texts.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Capped {
    inner: Arc<ScalarUDF>,
}

impl Capped {
    fn check(&self, args: &ScalarFunctionArgs) -> Result<()> {
        let number_at = usize::from(self.inner.name() != "space");
        let Some(lengths) = args.args.get(number_at) else { return Ok(()) };
        let rows = match lengths {
            ColumnarValue::Scalar(_) => 1,
            ColumnarValue::Array(array) => array.len(),
        };
        let lengths = cast::cast(&lengths.to_array(rows)?, &DataType::Int64)?;
        let lengths = lengths.as_primitive::<Int64Type>();
        let unit = match (self.inner.name(), args.args.first()) {
            ("repeat", Some(text)) => longest(text)?,
            // A character has at most four bytes.
            _ => 4,
        };
        let bytes = |length: i64| usize::try_from(length).unwrap_or(0).saturating_mul(unit);
        let most = lengths.iter().flatten().map(bytes).max().unwrap_or(0);
        let all = lengths.iter().flatten().map(bytes).fold(0_usize, usize::saturating_add);
        let all = if rows == 1 { all.saturating_mul(args.number_rows) } else { all };
        if most > MAX_TEXT_BYTES.saturating_mul(unit.min(4)) || all > MAX_BATCH_BYTES.saturating_mul(4) {
            let error = Error::new(Kind::Limit, format!("the result of {} is too long", self.inner.name()));
            let hint = format!("at most {MAX_TEXT_BYTES} bytes are accepted");
            return Err(error.with_sqlstate("54000").with_hint(hint).into());
        }
        Ok(())
    }
}

fn longest(text: &ColumnarValue) -> Result<usize> {
    let array = match text {
        ColumnarValue::Scalar(value) => value.to_array()?,
        ColumnarValue::Array(array) => array.clone(),
    };
    let texts = cast::cast(&array, &DataType::Utf8)?;
    Ok(texts.as_string::<i32>().iter().flatten().map(str::len).max().unwrap_or(0).max(1))
}

impl ScalarUDFImpl for Capped {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.inner().return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.check(&args)?;
        self.inner.invoke_with_args(args)
    }
}
