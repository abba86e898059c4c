//! A table whose columns are known when a statement is planned, and whose rows are asked for when it is scanned.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::compute::filter_record_batch;
use arrow::compute::kernels::cmp::eq;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::datasource::TableType;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use futures::future::BoxFuture;

use super::tables::{Constant, Wanted};
use crate::error::Result;

/// Asks for the rows. What is not wanted may be left out where that is less work.
type Ask = Box<dyn Fn(Wanted) -> BoxFuture<'static, Result<RecordBatch>> + Send + Sync>;

pub(super) struct Asked {
    /// As plans show it.
    name: String,
    schema: SchemaRef,
    ask: Ask,
}

impl Asked {
    pub(super) fn new(
        name: String,
        schema: SchemaRef,
        ask: impl Fn(Wanted) -> BoxFuture<'static, Result<RecordBatch>> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Asked { name, schema, ask: Box::new(ask) })
    }
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

#[async_trait]
impl TableProvider for Asked {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> datafusion::common::Result<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| match equality(filter) {
            Some(_) => TableProviderFilterPushDown::Exact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(support).collect())
    }

    /// A limit means the newest rows here: see [`super::newest`].
    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        let equal: Vec<_> = filters.iter().filter_map(equality).collect();
        let columns = projection.map(|places| {
            let read = places.iter().map(|place| self.schema.field(*place).name().clone());
            read.chain(equal.iter().map(|(name, _)| name.clone())).collect()
        });
        let rows = (self.ask)(Wanted { columns, equal: equal.clone(), newest: limit }).await?;
        let rows = matching(rows, &equal)?;
        Ok(MemorySourceConfig::try_new_exec(&[vec![rows]], self.schema.clone(), projection.cloned())?)
    }
}

/// The rows that have these values.
fn matching(mut rows: RecordBatch, equal: &[(String, Constant)]) -> datafusion::common::Result<RecordBatch> {
    for (name, value) in equal {
        let column = rows.column(rows.schema().index_of(name)?);
        let is_equal = match value {
            Constant::Number(number) => eq(column, &Int64Array::new_scalar(*number))?,
            Constant::Text(text) => eq(column, &StringArray::new_scalar(text))?,
        };
        rows = filter_record_batch(&rows, &is_equal)?;
    }
    Ok(rows)
}

/// Column and value of `column = 12` and of `column = 'text'`.
fn equality(filter: &Expr) -> Option<(String, Constant)> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = filter else { return None };
    let (column, value) = match (left.as_ref(), right.as_ref()) {
        (Expr::Column(column), Expr::Literal(value, _)) | (Expr::Literal(value, _), Expr::Column(column)) => {
            (column, value)
        }
        _ => return None,
    };
    let value = match value {
        ScalarValue::Int64(Some(number)) => Constant::Number(*number),
        ScalarValue::Utf8(Some(text)) => Constant::Text(text.clone()),
        _ => return None,
    };
    Some((column.name.clone(), value))
}
