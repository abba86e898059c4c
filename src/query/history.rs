//! `tributary.explain(object, key)`: what happened to one record. Its columns are always the same; its rows are asked
//! for when it is scanned.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{Expr, TableSource};

use super::asked::Asked;
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
            Some([object, key @ ..]) if !key.is_empty() => {
                let (asked, object, key) = (self.clone(), object.clone(), key.to_vec());
                let name = format!("explain({object})");
                let ask = move |_| {
                    let (Historian { system, who }, object, key) =
                        (asked.clone(), object.clone(), key.clone());
                    Box::pin(async move { system.history(&who, &object, &key).await }) as _
                };
                Ok(provider_as_source(Asked::new(name, self.system.history_schema(), ask)))
            }
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
