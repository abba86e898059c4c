//! Functions in FROM that answer from the session.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Int32Array, ListBuilder, RecordBatch, StringArray, StringBuilder,
};
use datafusion::catalog::TableProvider;
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::MemTable;
use datafusion::logical_expr::LogicalPlan;

use super::system::Facts;
use crate::query::settings::{Kindly, SharedSettings, Shown};

/// The names of all of them.
pub(in crate::query) const NAMES: &[&str] = &["pg_listening_channels", "pg_show_all_settings"];

/// The rows of the function of that name, when it is one of these.
pub(in crate::query) fn relation(name: &str, facts: &Facts) -> Result<Option<Arc<dyn TableProvider>>> {
    let batch = match name {
        "pg_listening_channels" => {
            let channels: ArrayRef = Arc::new(StringArray::from(facts.mailbox.channels()));
            RecordBatch::try_from_iter_with_nullable([("pg_listening_channels", channels, true)])?
        }
        "pg_show_all_settings" => settings(&facts.settings)?,
        _ => return Ok(None),
    };
    Ok(Some(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?)))
}

/// Whether a plan holds rows that such a function gave.
pub(in crate::query) fn is_in(plan: &LogicalPlan) -> bool {
    let mut found = false;
    let walked = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            found |= NAMES.contains(&scan.table_name.table());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found || walked.is_err()
}

/// The columns of `pg_settings` for the user of the session.
pub(in crate::query) fn settings(settings: &SharedSettings) -> Result<RecordBatch> {
    let listed: Vec<Shown> = settings.lock().listed().collect();
    let column = |text: &dyn Fn(&Shown) -> Option<String>| -> ArrayRef {
        Arc::new(StringArray::from(listed.iter().map(text).collect::<Vec<_>>()))
    };
    let some = |text: &str| (!text.is_empty()).then(|| text.to_string());
    let mut words = ListBuilder::new(StringBuilder::new());
    for shown in &listed {
        match &shown.definition.kind {
            Kindly::Enum(options) => words.append_value(options.iter().map(Some)),
            _ => words.append_null(),
        }
    }
    let nothing = || -> ArrayRef { Arc::new(StringArray::from(vec![None::<&str>; listed.len()])) };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("name", column(&|shown| Some(shown.definition.name.into()))),
        ("setting", column(&|shown| Some(shown.setting.clone()))),
        ("unit", column(&|shown| some(shown.definition.unit))),
        ("category", column(&|shown| Some(shown.definition.category.into()))),
        ("short_desc", column(&|shown| Some(shown.definition.short.into()))),
        ("extra_desc", column(&|shown| some(shown.definition.extra))),
        ("context", column(&|shown| Some(shown.definition.context_name.into()))),
        ("vartype", column(&|shown| Some(shown.definition.vartype.into()))),
        ("source", column(&|shown| Some(shown.source.into()))),
        ("min_val", column(&|shown| some(shown.definition.min))),
        ("max_val", column(&|shown| some(shown.definition.max))),
        ("enumvals", Arc::new(words.finish())),
        ("boot_val", column(&|shown| Some(shown.definition.boot.into()))),
        ("reset_val", column(&|shown| Some(shown.reset.clone()))),
        ("sourcefile", nothing()),
        ("sourceline", Arc::new(Int32Array::from(vec![None; listed.len()]))),
        ("pending_restart", Arc::new(BooleanArray::from(vec![false; listed.len()]))),
    ];
    let columns = columns.into_iter().map(|(name, array)| (name, array, true));
    Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
}
