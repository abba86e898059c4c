//! `regtype`: the oid of a type that is written and shown as the type's name.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray};
use arrow::compute::kernels::cast::cast as arrow_cast;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::{DFSchema, ExprSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::{
    Cast, ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::types::{type_name, type_oid};
use crate::error::{Error, Kind};
use crate::query::PG_TYPE;

/// A cast to or from a type of the catalog's own; `None` for any other.
pub(in crate::query) fn cast(value: &Expr, target: &str, schema: &DFSchema) -> Result<Option<Expr>> {
    Ok(match target {
        "regtype" => {
            let value = match value {
                Expr::Placeholder(Placeholder { id, field: None }) => {
                    let field = Arc::new(Field::new(id, DataType::Utf8, true));
                    Expr::Placeholder(Placeholder::new_with_field(id.clone(), Some(field)))
                }
                other => other.clone(),
            };
            Some(ScalarUDF::from(Regtype::new(Way::Cast)).call(vec![value]))
        }
        // Functions of the catalog are known by their names.
        "regproc" => Some(match value {
            Expr::Literal(ScalarValue::Utf8(Some(name)), _) => {
                let name = name.strip_prefix("pg_catalog.").unwrap_or(name);
                Expr::Literal(ScalarValue::Utf8(Some(name.to_string())), None)
            }
            other => Expr::Cast(Cast::new(Box::new(other.clone()), DataType::Utf8)),
        }),
        "text" if is_regtype(value, schema) => {
            Some(ScalarUDF::from(Regtype::new(Way::Name)).call(vec![value.clone()]))
        }
        _ => None,
    })
}

fn is_regtype(value: &Expr, schema: &DFSchema) -> bool {
    match value {
        Expr::Column(column) => schema
            .field_from_column(column)
            .is_ok_and(|field| field.metadata().get(PG_TYPE).is_some_and(|name| name == "regtype")),
        Expr::ScalarFunction(call) => matches!(call.func.name(), "regtype" | "to_regtype"),
        _ => false,
    }
}

/// `to_regtype(text)`: NULL where there is no such type.
pub(in crate::query) fn to_regtype() -> ScalarUDF {
    Regtype::new(Way::Find).into()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Way {
    /// From a name, or the text of a number, or a number; it is an error where there is no such name.
    Cast,
    /// From a name, to NULL where there is none.
    Find,
    /// To the name.
    Name,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Regtype {
    way: Way,
    signature: Signature,
}

impl Regtype {
    fn new(way: Way) -> Self {
        let signature = match way {
            Way::Find => Signature::exact(vec![DataType::Utf8], Volatility::Immutable),
            _ => Signature::any(1, Volatility::Immutable),
        };
        Regtype { way, signature }
    }

    fn of(&self, array: &ArrayRef) -> Result<ArrayRef> {
        if self.way == Way::Name {
            let numbers = arrow_cast(array, &DataType::Int64)?;
            let names = numbers.as_primitive::<Int64Type>().iter().map(|oid| oid.map(type_name));
            return Ok(Arc::new(names.collect::<StringArray>()));
        }
        if array.data_type().is_integer() || array.data_type().is_null() {
            return Ok(arrow_cast(array, &DataType::Int64)?);
        }
        let names = arrow_cast(array, &DataType::Utf8)?;
        let found = names.as_string::<i32>().iter().map(|name| self.find(name));
        Ok(Arc::new(found.collect::<Result<Int64Array>>()?))
    }

    fn find(&self, name: Option<&str>) -> Result<Option<i64>> {
        let Some(name) = name else { return Ok(None) };
        let number = || name.trim().parse::<u32>().ok().map(i64::from);
        match self.way {
            Way::Find => Ok(type_oid(name)),
            _ => match type_oid(name).or_else(number) {
                Some(oid) => Ok(Some(oid)),
                None => {
                    let shown: String = name.chars().take(100).collect();
                    let error = Error::new(Kind::NotFound, format!("type \"{shown}\" does not exist"));
                    Err(error.with_sqlstate("42704").into())
                }
            },
        }
    }
}

impl ScalarUDFImpl for Regtype {
    fn name(&self) -> &str {
        match self.way {
            Way::Cast => "regtype",
            Way::Find => "to_regtype",
            Way::Name => "text",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(if self.way == Way::Name { DataType::Utf8 } else { DataType::Int64 })
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(match self.way {
            Way::Name => Field::new(self.name(), DataType::Utf8, true),
            _ => Field::new(self.name(), DataType::Int64, true)
                .with_metadata([(PG_TYPE.to_string(), "regtype".to_string())].into()),
        }))
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
