//! What of an object somebody who is no admin does not see: fields that were not granted, and masked ones.
//!
//! A field that was not granted may not be named, as in PostgreSQL: the scan of a table refuses to read it, whatever
//! asks. A masked field is another expression in the place of the column, as in a view, so that filters, joins,
//! orders and aggregates work on what is shown.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::{Column, Constraints, Result as PlanResult, ScalarValue, TableReference};
use datafusion::datasource::{TableType, ViewTable, provider_as_source};
use datafusion::functions::expr_fn::left;
use datafusion::logical_expr::{
    Expr, LogicalPlanBuilder, Operator, TableProviderFilterPushDown, binary_expr, lit,
};
use datafusion::physical_plan::ExecutionPlan;

use super::PG_TYPE;
use super::error::translate;
use super::session::SessionUser;
use super::tables::Hidden;
use crate::error::{Error, Kind, Result};
use crate::model::{Mask, ReleaseObject, quote_ident};

/// What a partial mask shows after the first character.
const STARS: &str = "***";

/// The table of an object without what is `hidden` of its fields.
pub(super) fn shielded(
    table: Arc<dyn TableProvider>,
    object: &ReleaseObject,
    hidden: &[Option<Hidden>],
    who: &SessionUser,
) -> Result<Arc<dyn TableProvider>> {
    let is_denied = |hidden: &Option<Hidden>| *hidden == Some(Hidden::Denied);
    let table = match hidden.iter().any(is_denied) {
        true => {
            let denied = object.fields.iter().zip(hidden).filter(|(_, hidden)| is_denied(hidden));
            let denied = denied.map(|(field, _)| field.name.clone()).collect();
            Arc::new(Guarded { table, denied, object: object.clone(), who: who.clone() })
        }
        false => table,
    };
    match hidden.iter().any(|hidden| matches!(hidden, Some(Hidden::Masked(_)))) {
        true => masked(table, object, hidden).map_err(translate),
        false => Ok(table),
    }
}

/// Takes the hidden fields out of what is known of an object.
///
/// # Errors
/// 42501 when one of its unique fields is among them: nothing can be told of its records then.
pub(super) fn leave_out(
    object: &mut ReleaseObject,
    hidden: &[Option<Hidden>],
    who: &SessionUser,
) -> Result<()> {
    let is_hidden = |place: usize| hidden.get(place).is_some_and(Option::is_some);
    let fields = object.fields.iter().enumerate();
    let mut keys = fields.filter(|(place, field)| is_hidden(*place) && field.key_position.is_some());
    if let Some((_, key)) = keys.next() {
        return Err(denied(object, &[&key.name], who));
    }
    let mut place = 0..;
    object.fields.retain(|_| !place.next().is_some_and(is_hidden));
    Ok(())
}

/// 42501, as PostgreSQL says it.
fn denied(object: &ReleaseObject, fields: &[&str], who: &SessionUser) -> Error {
    let names: Vec<_> = fields.iter().map(|name| quote_ident(name)).collect();
    Error::new(Kind::Denied, format!("permission denied for table {}", object.name)).with_hint(format!(
        "an admin can run GRANT SELECT ({}) ON {}.{} TO {}",
        names.join(", "),
        quote_ident(&object.connection),
        quote_ident(&object.name),
        quote_ident(&who.name)
    ))
}

/// A view of the table that shows the masks.
fn masked(
    table: Arc<dyn TableProvider>,
    object: &ReleaseObject,
    hidden: &[Option<Hidden>],
) -> PlanResult<Arc<dyn TableProvider>> {
    let (name, schema) = (TableReference::bare(object.name.as_str()), table.schema());
    let shown = |field: &Arc<Field>| -> PlanResult<Expr> {
        let column = Expr::Column(Column::new(Some(name.clone()), field.name()));
        let place = object.fields.iter().position(|known| known.name == *field.name());
        let value = match place.and_then(|place| hidden.get(place)).copied().flatten() {
            Some(Hidden::Masked(Mask::Partial)) if is_plain_text(field) => {
                binary_expr(left(column, lit(1_i64)), Operator::StringConcat, lit(STARS))
            }
            Some(Hidden::Masked(_)) => lit(ScalarValue::try_from(field.data_type())?),
            Some(Hidden::Denied) | None => return Ok(column),
        };
        let metadata = FieldMetadata::from(field.metadata());
        Ok(value.alias_with_metadata(field.name(), Some(metadata)))
    };
    let columns = schema.fields().iter().map(shown).collect::<PlanResult<Vec<_>>>()?;
    let scan = LogicalPlanBuilder::scan(name.clone(), provider_as_source(table), None)?;
    Ok(Arc::new(ViewTable::new(scan.project(columns)?.build()?, None)))
}

/// Whether a column holds text and no other type that is kept as one.
fn is_plain_text(field: &Field) -> bool {
    *field.data_type() == DataType::Utf8 && !field.metadata().contains_key(PG_TYPE)
}

/// A table some of whose columns must not be read.
#[derive(Debug)]
struct Guarded {
    table: Arc<dyn TableProvider>,
    denied: Vec<String>,
    object: ReleaseObject,
    who: SessionUser,
}

#[async_trait]
impl TableProvider for Guarded {
    fn schema(&self) -> SchemaRef {
        self.table.schema()
    }

    fn table_type(&self) -> TableType {
        self.table.table_type()
    }

    fn constraints(&self) -> Option<&Constraints> {
        self.table.constraints()
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> PlanResult<Vec<TableProviderFilterPushDown>> {
        self.table.supports_filters_pushdown(filters)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        let schema = self.table.schema();
        let is_read = |name: &&String| {
            let is_shown = match projection {
                Some(places) => places.iter().any(|place| schema.field(*place).name() == *name),
                None => true,
            };
            let is_asked = |filter: &Expr| filter.column_refs().iter().any(|column| column.name == **name);
            is_shown || filters.iter().any(is_asked)
        };
        let read: Vec<_> = self.denied.iter().filter(is_read).map(String::as_str).collect();
        if !read.is_empty() {
            return Err(denied(&self.object, &read, &self.who).into());
        }
        self.table.scan(state, projection, filters, limit).await
    }
}
