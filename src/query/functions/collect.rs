//! `array_agg` that keeps the type PostgreSQL has for its elements: of oids it makes an `oid[]`.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::Result;
use datafusion::functions_aggregate::array_agg::array_agg_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, Signature,
};

use crate::query::PG_TYPE;

/// `array_agg`
#[derive(Debug)]
pub(in crate::query) struct ArrayAgg {
    inner: Arc<dyn AggregateUDFImpl>,
    name: &'static str,
}

impl PartialEq for ArrayAgg {
    fn eq(&self, other: &Self) -> bool {
        self.inner.as_ref() == other.inner.as_ref() && self.name == other.name
    }
}

impl Eq for ArrayAgg {}

impl Hash for ArrayAgg {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ArrayAgg {
    pub(in crate::query) fn new() -> Self {
        Self::named("array_agg")
    }

    /// Stands for an aggregate that the planner makes of the array.
    pub(in crate::query) fn named(name: &'static str) -> Self {
        ArrayAgg { inner: Arc::clone(array_agg_udaf().inner()), name }
    }
}

impl AggregateUDFImpl for ArrayAgg {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field(&self, arguments: &[FieldRef]) -> Result<FieldRef> {
        let field = self.inner.return_field(arguments)?;
        let element = arguments.first().and_then(|argument| argument.metadata().get(PG_TYPE));
        Ok(match element {
            Some(element) => {
                let metadata = [(PG_TYPE.to_string(), format!("_{element}"))].into();
                Arc::new(field.as_ref().clone().with_metadata(metadata))
            }
            None => field,
        })
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner.order_sensitivity()
    }

    fn with_beneficial_ordering(
        self: Arc<Self>,
        beneficial_ordering: bool,
    ) -> Result<Option<Arc<dyn AggregateUDFImpl>>> {
        let inner = Arc::clone(&self.inner).with_beneficial_ordering(beneficial_ordering)?;
        Ok(inner.map(|inner| Arc::new(ArrayAgg { inner, name: self.name }) as _))
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        self.inner.accumulator(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        self.inner.create_groups_accumulator(args)
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Reversed(Arc::new(AggregateUDF::from(ArrayAgg::new())))
    }

    fn supports_within_group_clause(&self) -> bool {
        super::ordered::is_ordered_set(self.name)
    }

    fn supports_null_handling_clause(&self) -> bool {
        self.inner.supports_null_handling_clause()
    }
}
