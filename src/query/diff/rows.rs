//! From joined rows to differences: equal rows drop out, the rest says what changed.

use std::fmt;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, ListBuilder, RecordBatch, StringArray, StringBuilder,
    make_comparator,
};
use arrow::compute::kernels::cmp::distinct;
use arrow::compute::{SortOptions, can_cast_types, cast, filter, filter_record_batch, is_not_null, or};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::Result as PlanResult;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
};
use futures::TryStreamExt;

use super::columns::{Columns, Pair};
use crate::query::functions::cast::to_text;
use crate::query::pin::Pin;
use crate::query::zone::Zone;

/// The differences in the full join of both sides by key.
pub(super) struct DiffExec {
    name: String,
    joined: Arc<dyn ExecutionPlan>,
    columns: Arc<Columns>,
    /// All columns.
    whole: SchemaRef,
    projection: Option<Vec<usize>>,
    /// Both releases stay readable as long as this or its rows live.
    pins: Vec<Arc<Pin>>,
    properties: Arc<PlanProperties>,
}

impl DiffExec {
    pub(super) fn new(
        name: String,
        joined: Arc<dyn ExecutionPlan>,
        columns: Arc<Columns>,
        whole: &SchemaRef,
        projection: Option<Vec<usize>>,
        pins: Vec<Arc<Pin>>,
    ) -> PlanResult<Self> {
        let schema = match &projection {
            Some(projection) => Arc::new(whole.project(projection)?),
            None => whole.clone(),
        };
        let partitions = joined.output_partitioning().partition_count();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let properties = Arc::new(properties);
        Ok(DiffExec { name, joined, columns, whole: whole.clone(), projection, pins, properties })
    }
}

impl fmt::Debug for DiffExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl DisplayAs for DiffExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DiffExec: {}", self.name)
    }
}

impl ExecutionPlan for DiffExec {
    fn name(&self) -> &str {
        "DiffExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.joined]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> PlanResult<TreeNodeRecursion>,
    ) -> PlanResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        let joined = children.into_iter().next().unwrap_or_else(|| self.joined.clone());
        let (columns, projection) = (self.columns.clone(), self.projection.clone());
        let (name, pins) = (self.name.clone(), self.pins.clone());
        Ok(Arc::new(DiffExec::new(name, joined, columns, &self.whole, projection, pins)?))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> PlanResult<SendableRecordBatchStream> {
        let (columns, whole, projection) =
            (self.columns.clone(), self.whole.clone(), self.projection.clone());
        let pins = self.pins.clone();
        let rows = self.joined.execute(partition, context)?.and_then(move |joined| {
            // Held as long as the stream is.
            let _pins = &pins;
            let found = differences(&columns, &whole, &joined);
            let found = found.and_then(|rows| match &projection {
                Some(projection) => Ok(rows.project(projection)?),
                None => Ok(rows),
            });
            std::future::ready(found)
        });
        let rows = rows.try_filter(|rows| std::future::ready(rows.num_rows() > 0));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}

fn differences(columns: &Columns, schema: &SchemaRef, joined: &RecordBatch) -> PlanResult<RecordBatch> {
    let mut is_kept = BooleanArray::from(vec![false; joined.num_rows()]);
    let mut differ = Vec::with_capacity(columns.pairs.len());
    for pair in &columns.pairs {
        let (from, to) = sides(columns, joined, pair);
        let differs = match (from, to) {
            (Some(from), Some(to)) => different(from, to)?,
            (Some(one), None) | (None, Some(one)) => is_not_null(one)?,
            (None, None) => continue,
        };
        // A key is never NULL, so that of a row without a partner differs.
        is_kept = or(&is_kept, &differs)?;
        differ.push(differs);
    }
    let rows = filter_record_batch(joined, &is_kept)?;
    let differ: Vec<_> =
        differ.iter().map(|differs| filter(differs, &is_kept)).collect::<std::result::Result<_, _>>()?;
    let from_key: Vec<_> = columns.from_key.iter().map(|at| rows.column(*at)).collect();
    let to_key: Vec<_> = columns.to_key.iter().map(|at| rows.column(columns.from_width + at)).collect();
    let had = is_not_null(from_key[0])?;
    let has = is_not_null(to_key[0])?;
    let op = (0..rows.num_rows()).map(|row| match (had.value(row), has.value(row)) {
        (true, true) => "update",
        (true, false) => "delete",
        _ => "insert",
    });
    let mut out: Vec<ArrayRef> = vec![Arc::new(op.map(Some).collect::<StringArray>())];
    for (from, to) in from_key.into_iter().zip(to_key) {
        out.push(arrow::compute::kernels::zip::zip(&has, to, from)?);
    }
    let printed = columns.pairs.iter().map(|pair| {
        let (from, to) = sides(columns, &rows, pair);
        let json = |side: Option<&ArrayRef>| side.map(|array| Json::new(array, columns.zone)).transpose();
        Ok((json(from)?, json(to)?))
    });
    let printed = printed.collect::<PlanResult<Vec<_>>>()?;
    let names = columns.pairs.iter().map(|pair| serde_json::Value::from(pair.name.as_str()).to_string());
    let names: Vec<String> = names.collect();
    let mut changed = ListBuilder::new(StringBuilder::new());
    let (mut old, mut new) = (StringBuilder::new(), StringBuilder::new());
    for row in 0..rows.num_rows() {
        let is_update = had.value(row) && has.value(row);
        let (mut before, mut after) = (String::from("{"), String::from("{"));
        for (at, (from, to)) in printed.iter().enumerate() {
            let differs = differ[at].as_boolean().value(row);
            if is_update && !differs {
                continue;
            }
            if is_update {
                changed.values().append_value(&columns.pairs[at].name);
            }
            // A changed column is told on both sides; a whole row has the columns of its release.
            if is_update || from.is_some() {
                member(&mut before, &names[at], from.as_ref(), row);
            }
            if is_update || to.is_some() {
                member(&mut after, &names[at], to.as_ref(), row);
            }
        }
        changed.append(is_update);
        old.append_option(had.value(row).then(|| before + "}"));
        new.append_option(has.value(row).then(|| after + "}"));
    }
    out.push(Arc::new(changed.finish()));
    out.push(Arc::new(old.finish()));
    out.push(Arc::new(new.finish()));
    Ok(RecordBatch::try_new(schema.clone(), out)?)
}

fn sides<'a>(
    columns: &Columns,
    joined: &'a RecordBatch,
    pair: &Pair,
) -> (Option<&'a ArrayRef>, Option<&'a ArrayRef>) {
    (pair.from.map(|at| joined.column(at)), pair.to.map(|at| joined.column(columns.from_width + at)))
}

/// Where two columns differ, bit by bit: a value equals itself, also NULL and NaN. Of different types, values are
/// equal when each is the other in its own type.
fn different(from: &ArrayRef, to: &ArrayRef) -> PlanResult<BooleanArray> {
    if from.data_type() == to.data_type() {
        return same_type(from, to);
    }
    if !can_cast_types(from.data_type(), to.data_type()) || !can_cast_types(to.data_type(), from.data_type())
    {
        return Ok(or(&is_not_null(from)?, &is_not_null(to)?)?);
    }
    let there = same_type(&cast(from, to.data_type())?, to)?;
    let back = same_type(from, &cast(to, from.data_type())?)?;
    Ok(or(&there, &back)?)
}

fn same_type(from: &ArrayRef, to: &ArrayRef) -> PlanResult<BooleanArray> {
    if !from.data_type().is_nested() {
        return Ok(distinct(from, to)?);
    }
    let order = make_comparator(from, to, SortOptions::default())?;
    Ok((0..from.len()).map(|row| Some(order(row, row).is_ne())).collect())
}

/// The values of a column as PostgreSQL prints them.
struct Json {
    texts: StringArray,
    /// Whether a value stands for itself; others are JSON strings.
    is_bare: bool,
}

impl Json {
    fn new(array: &ArrayRef, zone: Zone) -> PlanResult<Json> {
        let is_bare = array.data_type().is_numeric() || *array.data_type() == DataType::Boolean;
        Ok(Json { texts: printed(array, zone)?, is_bare })
    }
}

fn member(object: &mut String, name: &str, column: Option<&Json>, row: usize) {
    if object.len() > 1 {
        object.push_str(", ");
    }
    object.push_str(name);
    object.push_str(": ");
    match column {
        Some(column) if column.texts.is_valid(row) => {
            let text = column.texts.value(row);
            // JSON has no numbers for these.
            let is_number = !matches!(text, "NaN" | "Infinity" | "-Infinity");
            match column.is_bare && is_number {
                true => object.push_str(text),
                false => object.push_str(&serde_json::Value::from(text).to_string()),
            }
        }
        _ => object.push_str("null"),
    }
}

pub(in crate::query) fn printed(array: &ArrayRef, zone: Zone) -> PlanResult<StringArray> {
    Ok(match array.data_type() {
        DataType::Binary => {
            let hex = |bytes: &[u8]| {
                let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("\\x{digits}")
            };
            array.as_binary::<i32>().iter().map(|bytes| bytes.map(hex)).collect()
        }
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            let texts = lists.iter().map(|list| list.map(|list| elements(&list, zone)).transpose());
            texts.collect::<PlanResult<_>>()?
        }
        _ => to_text(array, zone)?.as_string::<i32>().clone(),
    })
}

/// `{1,NULL,"a b"}`
fn elements(values: &ArrayRef, zone: Zone) -> PlanResult<String> {
    let is_boolean = *values.data_type() == DataType::Boolean;
    let texts = printed(values, zone)?;
    let texts = texts.iter().map(|text| match text {
        None => "NULL".to_string(),
        Some(text) if is_boolean => text.chars().take(1).collect(),
        Some(text) => {
            let special = |c: char| matches!(c, '{' | '}' | ',' | '"' | '\\') || c.is_ascii_whitespace();
            match text.is_empty() || text.eq_ignore_ascii_case("null") || text.contains(special) {
                true => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
                false => text.to_string(),
            }
        }
    });
    Ok(format!("{{{}}}", texts.collect::<Vec<_>>().join(",")))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Decimal128Array, Float64Array, Int32Array, Int64Array};

    use super::*;

    #[test]
    fn values_of_different_types_are_compared_without_loss() {
        let decimal = |values: Vec<i128>, scale| -> ArrayRef {
            Arc::new(Decimal128Array::from(values).with_precision_and_scale(12, scale).unwrap())
        };
        let places = |found: BooleanArray| found.values().set_indices().collect::<Vec<_>>();
        let (fine, coarse) = (decimal(vec![1000, 1001], 3), decimal(vec![100, 100], 2));
        assert_eq!(places(different(&fine, &coarse).unwrap()), [1]);
        assert_eq!(places(different(&coarse, &fine).unwrap()), [1]);
        let narrow: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None, None]));
        let wide: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(1 << 40)]));
        assert_eq!(places(different(&narrow, &wide).unwrap()), [2]);
        assert_eq!(places(different(&wide, &narrow).unwrap()), [2]);
    }

    #[test]
    fn values_are_printed_as_json() {
        let json = |array: ArrayRef| {
            let (column, mut text) = (Json::new(&array, Zone::UTC).unwrap(), String::from("{"));
            (0..array.len()).for_each(|row| member(&mut text, "\"a\"", Some(&column), row));
            text
        };
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.5), Some(f64::NAN), None]));
        assert_eq!(json(floats), r#"{"a": 1.5, "a": "NaN", "a": null"#);
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["a\"b\\\n", "NaN"]));
        assert_eq!(json(texts), r#"{"a": "a\"b\\\n", "a": "NaN""#);
        let mut lists = ListBuilder::new(StringBuilder::new());
        lists.append_value([Some("x"), None, Some("a b"), Some("")]);
        assert_eq!(json(Arc::new(lists.finish())), r#"{"a": "{x,NULL,\"a b\",\"\"}""#);
        let bytes: ArrayRef = Arc::new(arrow::array::BinaryArray::from(vec![&[0_u8, 255][..]]));
        assert_eq!(json(bytes), r#"{"a": "\\x00ff""#);
    }
}
