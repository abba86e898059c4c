//! A table whose columns are known when a statement is planned, and whose rows are asked for when it is scanned.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::datasource::TableType;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use futures::future::BoxFuture;

use crate::error::Result;

/// Only rows are wanted in which an integer column has this value.
pub(super) type Wanted = (String, i64);

/// Asks for the rows. Those that are not wanted may be left out where that is less work.
type Ask = Box<dyn Fn(Option<Wanted>) -> BoxFuture<'static, Result<RecordBatch>> + Send + Sync>;

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
        ask: impl Fn(Option<Wanted>) -> BoxFuture<'static, Result<RecordBatch>> + Send + Sync + 'static,
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

    /// What is left out is left out once more above.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> datafusion::common::Result<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| match wanted(filter) {
            Some(_) => TableProviderFilterPushDown::Inexact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _: Option<usize>,
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        let rows = (self.ask)(filters.iter().find_map(wanted)).await?;
        Ok(MemorySourceConfig::try_new_exec(&[vec![rows]], self.schema.clone(), projection.cloned())?)
    }
}

/// Column and value of `column = 12`.
fn wanted(filter: &Expr) -> Option<Wanted> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = filter else { return None };
    match (left.as_ref(), right.as_ref()) {
        (Expr::Column(column), Expr::Literal(ScalarValue::Int64(Some(value)), _))
        | (Expr::Literal(ScalarValue::Int64(Some(value)), _), Expr::Column(column)) => {
            Some((column.name.clone(), *value))
        }
        _ => None,
    }
}
