//! What `CALL` knows.

use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use datafusion::common::Result;

use crate::query::catalog::build::Rows;
use crate::query::catalog::live::Catalog;
use crate::query::catalog::shape::Shape;
use crate::query::catalog::{OWNER, acl};

pub(super) fn of(catalog: &Catalog, shape: &'static Shape) -> Result<Option<RecordBatch>> {
    match shape.name {
        "pg_proc" => procedures(catalog, shape).map(Some),
        _ => Ok(None),
    }
}

/// The oid of the type that an Arrow type stands for.
pub(in crate::query::catalog) fn oid_of(data_type: &DataType) -> i64 {
    match data_type {
        DataType::Boolean => 16,
        DataType::Int16 => 21,
        DataType::Int32 => 23,
        DataType::Int64 => 20,
        DataType::Float32 => 700,
        DataType::Float64 => 701,
        DataType::Date32 => 1082,
        DataType::Timestamp(_, None) => 1114,
        DataType::Timestamp(_, Some(_)) => 1184,
        DataType::Decimal128(..) | DataType::Decimal256(..) => 1700,
        _ => 25,
    }
}

fn procedures(catalog: &Catalog, shape: &'static Shape) -> Result<RecordBatch> {
    let mut rows = Rows::new(
        shape,
        &[
            "oid",
            "proname",
            "pronamespace",
            "proowner",
            "prolang",
            "procost",
            "prorows",
            "provariadic",
            "prosupport",
            "prokind",
            "prosecdef",
            "proleakproof",
            "proisstrict",
            "proretset",
            "provolatile",
            "proparallel",
            "pronargs",
            "pronargdefaults",
            "prorettype",
            "proargtypes",
            "proallargtypes",
            "proargmodes",
            "proargnames",
            "prosrc",
            "proacl",
        ],
    );
    let schema = catalog.schema_oid("tributary")?;
    for (signature, oid) in catalog.procedures.iter().zip(&catalog.facts.procedures) {
        let inputs: Vec<i64> = signature.params.iter().map(|param| oid_of(&param.data_type)).collect();
        let outputs = signature.result.fields();
        let all = inputs.iter().copied().chain(outputs.iter().map(|field| oid_of(field.data_type())));
        let names = signature.params.iter().map(|param| param.name.clone());
        let names = names.chain(outputs.iter().map(|field| field.name().clone()));
        let modes = inputs.iter().map(|_| "i".to_string()).chain(outputs.iter().map(|_| "o".to_string()));
        let defaults = signature.params.iter().filter(|param| param.default.is_some()).count();
        let has_outputs = !outputs.is_empty();
        rows.push(&[
            (*oid).into(),
            (&signature.name).into(),
            schema.into(),
            OWNER.into(),
            // internal
            12.into(),
            1.0.into(),
            0.0.into(),
            0.into(),
            0.into(),
            "p".into(),
            false.into(),
            false.into(),
            false.into(),
            false.into(),
            "v".into(),
            "u".into(),
            (inputs.len() as i64).into(),
            (defaults as i64).into(),
            (if has_outputs { 2249 } else { 0 }).into(),
            inputs.clone().into(),
            has_outputs.then(|| all.collect::<Vec<i64>>()).into(),
            has_outputs.then(|| modes.collect::<Vec<_>>()).into(),
            Some(names.collect::<Vec<_>>()).filter(|names| !names.is_empty()).into(),
            (&signature.name).into(),
            signature.admin_only.then(|| vec![acl::of_procedure()]).into(),
        ]);
    }
    rows.finish()
}
