//! Tables without their keys, for queries that make rows of arrays.
//!
//! The planner takes a column that was unique before `unnest` for unique after it: it would leave out what such a
//! query sorts by behind the key, and its `DISTINCT`.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, Statistics};
use datafusion::datasource::{TableType, provider_as_source, source_as_provider};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableSource};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::sqlparser::ast::{self, Visit, Visitor};

/// Whether a query makes rows of arrays anywhere.
pub(super) fn unnests(query: &ast::Query) -> bool {
    struct Unnests;
    impl Visitor for Unnests {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<()> {
            match expr {
                ast::Expr::Function(call) if call.name.to_string().eq_ignore_ascii_case("unnest") => {
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            }
        }

        fn pre_visit_table_factor(&mut self, factor: &ast::TableFactor) -> ControlFlow<()> {
            match factor {
                ast::TableFactor::UNNEST { .. } => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    query.visit(&mut Unnests).is_break()
}

/// The table without its key.
pub(super) fn without_key(source: &Arc<dyn TableSource>) -> Result<Arc<dyn TableSource>> {
    Ok(provider_as_source(Arc::new(Unkeyed(source_as_provider(source)?))))
}

#[derive(Debug)]
struct Unkeyed(Arc<dyn TableProvider>);

#[async_trait]
impl TableProvider for Unkeyed {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn table_type(&self) -> TableType {
        self.0.table_type()
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        self.0.supports_filters_pushdown(filters)
    }

    fn statistics(&self) -> Option<Statistics> {
        self.0.statistics()
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.0.scan(state, projection, filters, limit).await
    }
}
