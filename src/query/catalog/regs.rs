//! What of `regclass` and its kin is sent: the name to whom reads text, the number to whom reads binary.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StructArray};
use arrow::compute::kernels::cast::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, Projection, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};

use super::functions::reg_name;
use super::scope::Scope;
use crate::query::{PG_TYPE, parse};

/// The plan whose columns of such a type hold both.
pub(in crate::query) fn shown(plan: LogicalPlan, scope: Option<&Scope>) -> Result<LogicalPlan> {
    let Some(scope) = scope else { return Ok(plan) };
    let reg = |field: &Field| {
        let told = field.metadata().get(PG_TYPE)?;
        match field.data_type() {
            DataType::Int64 => reg_name(told).map(|reg| (reg, false)),
            DataType::List(element) if *element.data_type() == DataType::Int64 => {
                reg_name(told.strip_prefix('_')?).map(|reg| (reg, true))
            }
            _ => None,
        }
    };
    let regs: Vec<_> = plan.schema().fields().iter().map(|field| reg(field)).collect();
    if regs.iter().all(Option::is_none) {
        return Ok(plan);
    }
    let columns = plan.schema().columns().into_iter().zip(regs).enumerate();
    let expressions = columns.map(|(place, (column, reg))| {
        let name = format!("{}{}{place}", parse::shown_name(&column.name), parse::NAME_END);
        match reg {
            Some((reg, is_array)) => {
                let both = Both {
                    reg,
                    is_array,
                    scope: scope.clone(),
                    signature: Signature::any(1, Volatility::Stable),
                };
                ScalarUDF::from(both).call(vec![Expr::Column(column)]).alias(name)
            }
            None => Expr::Column(column).alias(name),
        }
    });
    Ok(LogicalPlan::Projection(Projection::try_new(expressions.collect(), Arc::new(plan))?))
}

#[derive(Debug)]
struct Both {
    reg: &'static str,
    is_array: bool,
    scope: Scope,
    signature: Signature,
}

impl PartialEq for Both {
    fn eq(&self, other: &Self) -> bool {
        self.reg == other.reg && Arc::ptr_eq(self.scope.catalog(), other.scope.catalog())
    }
}

impl Eq for Both {}

impl std::hash::Hash for Both {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.reg.hash(state);
    }
}

fn fields() -> Fields {
    let parts = [Field::new("oid", DataType::Int64, true), Field::new("name", DataType::Utf8, true)];
    parts.into_iter().collect()
}

impl Both {
    fn data_type(&self) -> DataType {
        let one = DataType::Struct(fields());
        if self.is_array { DataType::List(Arc::new(Field::new_list_field(one, true))) } else { one }
    }

    fn of(&self, array: &ArrayRef) -> Result<ArrayRef> {
        let (true, Some(list)) = (self.is_array, array.as_list_opt::<i32>()) else { return self.each(array) };
        let DataType::List(element) = self.data_type() else { return self.each(array) };
        let (values, nulls) = (self.each(list.values())?, list.nulls().cloned());
        Ok(Arc::new(ListArray::try_new(element, list.offsets().clone(), values, nulls)?))
    }

    fn each(&self, array: &ArrayRef) -> Result<ArrayRef> {
        let numbers = cast(array, &DataType::Int64)?;
        let names: ArrayRef = Arc::new(super::casts::names(&self.scope, self.reg, &numbers)?);
        let nulls = numbers.nulls().cloned();
        Ok(Arc::new(StructArray::try_new(fields(), vec![numbers, names], nulls)?))
    }
}

impl ScalarUDFImpl for Both {
    fn name(&self) -> &str {
        self.reg
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.data_type())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let told = if self.is_array { format!("_{}", self.reg) } else { self.reg.to_string() };
        let metadata = [(PG_TYPE.to_string(), told)].into();
        Ok(Arc::new(Field::new(self.reg, self.data_type(), true).with_metadata(metadata)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match &args.args[0] {
            ColumnarValue::Array(array) => Ok(ColumnarValue::Array(self.of(array)?)),
            ColumnarValue::Scalar(value) => {
                let array = self.of(&value.to_array()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?))
            }
        }
    }
}
