//! `int2vector` and `oidvector`: arrays whose elements are counted from 0.

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawFieldAccessExpr};
use datafusion::logical_expr::{Cast, Expr, GetFieldAccess, Operator, binary_expr};

use super::casts::pg_type;

/// Plans their subscripts.
#[derive(Debug)]
pub(in crate::query) struct Vectors;

impl ExprPlanner for Vectors {
    fn plan_field_access(
        &self,
        mut raw: RawFieldAccessExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawFieldAccessExpr>> {
        if let GetFieldAccess::ListIndex { key } = &mut raw.field_access
            && pg_type(&raw.expr, schema)
                .is_some_and(|name| matches!(name.as_str(), "int2vector" | "oidvector"))
        {
            let one = Expr::Literal(ScalarValue::Int64(Some(1)), None);
            let place = Expr::Cast(Cast::new(key.clone(), DataType::Int64));
            **key = binary_expr(place, Operator::Plus, one);
        }
        Ok(PlannerResult::Original(raw))
    }
}
