//! `tributary.explain(object, key)`: what happened to one record. Its columns are always the same; its rows are asked
//! for when it is scanned.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::{TableType, provider_as_source};
use datafusion::logical_expr::{Expr, TableSource};
use datafusion::physical_plan::ExecutionPlan;

use super::engine::Engine;
use super::session::SessionUser;
use super::tables::SystemTables;
use crate::error::{Error, Kind, Result};

/// The function's name.
pub(super) const NAME: &str = "explain";

/// Who asks whom.
#[derive(Clone)]
pub(super) struct Historian {
    system: Arc<dyn SystemTables>,
    who: SessionUser,
}

impl Historian {
    pub(super) fn new(engine: &Engine, who: &SessionUser) -> Self {
        Historian { system: engine.system.clone(), who: who.clone() }
    }

    /// The table of a call.
    ///
    /// # Errors
    /// 42883 for other arguments than constants.
    pub(super) fn source(&self, args: &[Expr]) -> Result<Arc<dyn TableSource>> {
        let text = |arg: &Expr| match arg {
            Expr::Literal(ScalarValue::Utf8(Some(text)), _) => Some(text.clone()),
            Expr::Literal(ScalarValue::Int64(Some(number)), _) => Some(number.to_string()),
            _ => None,
        };
        let texts: Option<Vec<String>> = args.iter().map(text).collect();
        match texts.as_deref() {
            Some([object, key @ ..]) if !key.is_empty() => Ok(provider_as_source(Arc::new(History {
                schema: self.system.history_schema(),
                asked: self.clone(),
                object: object.clone(),
                key: key.to_vec(),
            }))),
            _ => Err(Error::new(
                Kind::Unsupported,
                "function explain takes an object and the key of a record",
            )
            .with_sqlstate("42883")
            .with_hint(
                "write explain('connection.object', '4711'), with constants; one for each unique field",
            )),
        }
    }
}

struct History {
    asked: Historian,
    schema: SchemaRef,
    object: String,
    key: Vec<String>,
}

impl std::fmt::Debug for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "explain({})", self.object)
    }
}

#[async_trait]
impl TableProvider for History {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        let Historian { system, who } = &self.asked;
        let rows = system.history(who, &self.object, &self.key).await?;
        Ok(MemorySourceConfig::try_new_exec(&[vec![rows]], self.schema.clone(), projection.cloned())?)
    }
}
