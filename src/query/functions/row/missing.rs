//! A call of a function that does not exist.

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::{is_unknown, no_function};

/// Stands for a function of that name, and fails with the types of its arguments.
pub(in crate::query) fn missing(name: &str) -> ScalarUDF {
    let signature = Signature::user_defined(Volatility::Immutable);
    ScalarUDF::from(Missing { name: name.to_string(), signature })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Missing {
    name: String,
    signature: Signature,
}

impl ScalarUDFImpl for Missing {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Err(no_function(&self.name, &[], &[]).into())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let unknown: Vec<bool> = args
            .arg_fields
            .iter()
            .zip(args.scalar_arguments)
            .map(|(field, value)| is_unknown(field, *value))
            .collect();
        Err(no_function(&self.name, args.arg_fields, &unknown).into())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(no_function(&self.name, &args.arg_fields, &vec![false; args.arg_fields.len()]).into())
    }
}
