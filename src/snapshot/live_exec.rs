//! A filter that mostly keeps what it sees: what is left of files of which many rows were deleted.
//!
//! DataFusion's own copies what it keeps, and once more whatever it joins into batches of even size. Here a batch of
//! which most is left goes on as it is.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::BatchCoalescer;
use arrow::error::ArrowError;
use datafusion::common::cast::as_boolean_array;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, Statistics};
use datafusion::config::ConfigOptions;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::projection::{ProjectionExpr, ProjectionRef};
use datafusion::physical_expr::{PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::execution_plan::{
    CardinalityEffect, ChildrenPropertiesMode, ReplaceChildrenOptions,
};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, SortOrderPushdownResult,
};
use futures::StreamExt;

use super::fill::fill;
use super::live::LiveRows;
use super::squeeze::squeeze;

/// What is left of a batch goes on by itself when it is at least one in so many of its rows. It must not wait for others
/// because it is small: those above tell the scan by what they see which rows they no longer want.
const MOST: usize = 2;

/// Plans as the filter that it holds, and gives the same rows in the same order, unless nobody asks for it.
#[derive(Debug)]
pub(super) struct LiveExec {
    filter: FilterExec,
    in_any_order: bool,
    metrics: ExecutionPlanMetricsSet,
}

impl LiveExec {
    pub(super) fn new(filter: FilterExec) -> Self {
        LiveExec { filter, in_any_order: false, metrics: ExecutionPlanMetricsSet::new() }
    }

    /// The same without a promise in which order the rows of a batch come.
    pub(super) fn in_any_order(&self) -> Self {
        LiveExec { in_any_order: true, ..LiveExec::new(self.filter.clone()) }
    }

    /// The one that is at the top of `plan`, which looks like its filter.
    pub(super) fn of(plan: &Arc<dyn ExecutionPlan>) -> Option<&Self> {
        (plan.as_ref() as &dyn Any).downcast_ref()
    }

    /// What has become of the filter, which is at the top of `plan` or below a projection.
    fn again(&self, plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        if let Some(filter) = plan.downcast_ref::<FilterExec>() {
            return Ok(Arc::new(LiveExec {
                in_any_order: self.in_any_order,
                ..LiveExec::new(filter.clone())
            }));
        }
        match plan.downcast_ref::<ProjectionExec>() {
            Some(projection) if projection.input().is::<FilterExec>() => {
                let filter = self.again(projection.input().clone())?;
                plan.replace_children(vec![filter], ReplaceChildrenOptions::new(ChildrenPropertiesMode::Keep))
            }
            _ => Ok(plan),
        }
    }

    /// The same over another input.
    fn over(
        &self,
        input: Vec<Arc<dyn ExecutionPlan>>,
        options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.again(Arc::new(self.filter.clone()).replace_children(input, options)?)
    }

    /// What `column` of the rows is in the input.
    fn below(&self, column: &Column) -> Column {
        let input = self.filter.input().schema();
        let index = match self.filter.projection() {
            Some(projection) => projection[column.index()],
            None => column.index(),
        };
        Column::new(input.field(index).name(), index)
    }

    /// The columns of `projection`, with a scan that reads no others: those of filters, which it applies itself, are
    /// read for nothing otherwise. `None` where there is nothing to gain.
    fn narrowed(&self, projection: &ProjectionExec) -> Result<Option<LiveExec>> {
        let scan = self.filter.input();
        let Some(rows) = LiveRows::of_predicate(self.filter.predicate().as_ref()) else { return Ok(None) };
        // What is computed may fail for a deleted row.
        let columns = projection.expr().iter().map(|column| {
            let below = self.below(column.expr.downcast_ref::<Column>()?);
            Some(ProjectionExpr::new(Arc::new(below), column.alias.clone()))
        });
        let Some(mut columns) = columns.collect::<Option<Vec<_>>>() else { return Ok(None) };
        for number in self.filter.predicate().children() {
            let Some(column) = number.downcast_ref::<Column>() else { return Ok(None) };
            columns.push(ProjectionExpr::new(number.clone(), column.name()));
        }
        if columns.len() >= scan.schema().fields().len() {
            return Ok(None);
        }
        let narrowed = scan.try_swapping_with_projection(&ProjectionExec::try_new(columns, scan.clone())?)?;
        narrowed.map(|scan| rows.of(scan, self.filter.fetch())).transpose()
    }
}

impl DisplayAs for LiveExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.filter.fmt_as(format, f)?;
        f.write_str(if self.in_any_order { ", in any order" } else { "" })
    }
}

impl ExecutionPlan for LiveExec {
    fn name(&self) -> &str {
        "LiveExec"
    }

    fn downcast_delegate(&self) -> Option<&dyn ExecutionPlan> {
        Some(&self.filter)
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.filter.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.filter.children()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.filter.apply_expressions(f)
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        self.filter.maintains_input_order()
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.over(children, options)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let batch_size = context.session_config().batch_size();
        let rows = Rows {
            predicate: self.filter.predicate().clone(),
            projection: self.filter.projection().clone(),
            input: Some(self.filter.input().execute(partition, context)?),
            few: BatchCoalescer::new(self.schema(), batch_size),
            ready: VecDeque::new(),
            fetch: self.filter.fetch(),
            leave_out: if self.in_any_order { fill } else { squeeze },
            metrics: BaselineMetrics::new(&self.metrics, partition),
        };
        let rows = futures::stream::unfold(rows, |mut rows| async {
            let next = rows.next().await.transpose()?;
            if next.is_err() {
                rows.input = None;
            }
            Some((next, rows))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        self.filter.child_stats_requests(partition)
    }

    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        self.filter.statistics_from_inputs(inputs, args)
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        self.filter.cardinality_effect()
    }

    fn fetch(&self) -> Option<usize> {
        self.filter.fetch()
    }

    fn with_fetch(&self, fetch: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        self.again(self.filter.with_fetch(fetch)?).ok()
    }

    fn try_swapping_with_projection(
        &self,
        projection: &ProjectionExec,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        match self.narrowed(projection)? {
            Some(narrowed) => Ok(Some(Arc::new(narrowed))),
            None => {
                let swapped = self.filter.try_swapping_with_projection(projection)?;
                swapped.map(|plan| self.again(plan)).transpose()
            }
        }
    }

    fn try_pushdown_sort(
        &self,
        order: &[PhysicalSortExpr],
    ) -> Result<SortOrderPushdownResult<Arc<dyn ExecutionPlan>>> {
        let order = order.iter().map(|sort| {
            let expr = sort.expr.clone().transform(|expr| match expr.downcast_ref::<Column>() {
                Some(column) => Ok(Transformed::yes(Arc::new(self.below(column)) as _)),
                None => Ok(Transformed::no(expr)),
            })?;
            Ok(PhysicalSortExpr { expr: expr.data, options: sort.options })
        });
        let order: Vec<_> = order.collect::<Result<_>>()?;
        // Files come in the best order for it, but rows of one are not sorted.
        match self.filter.input().try_pushdown_sort(&order)?.into_inner() {
            Some(scan) => {
                let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
                Ok(SortOrderPushdownResult::Inexact { inner: self.over(vec![scan], options)? })
            }
            None => Ok(SortOrderPushdownResult::Unsupported),
        }
    }

    fn gather_filters_for_pushdown(
        &self,
        phase: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        config: &ConfigOptions,
    ) -> Result<FilterDescription> {
        self.filter.gather_filters_for_pushdown(phase, parent_filters, config)
    }

    fn handle_child_pushdown_result(
        &self,
        phase: FilterPushdownPhase,
        result: ChildPushdownResult,
        config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        let mut pushed = self.filter.handle_child_pushdown_result(phase, result, config)?;
        pushed.updated_node = pushed.updated_node.map(|plan| self.again(plan)).transpose()?;
        Ok(pushed)
    }
}

/// The rows of one partition.
struct Rows {
    predicate: Arc<dyn PhysicalExpr>,
    projection: Option<ProjectionRef>,
    /// `None` once all of it is read, or nobody needs more.
    input: Option<SendableRecordBatchStream>,
    /// What is left of batches of which little is left.
    few: BatchCoalescer,
    ready: VecDeque<RecordBatch>,
    /// How many more rows are wanted at most.
    fetch: Option<usize>,
    leave_out: fn(RecordBatch, &BooleanArray) -> Result<RecordBatch, ArrowError>,
    metrics: BaselineMetrics,
}

impl Rows {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Ok(Some(self.within_limit(batch)));
            }
            let Some(input) = &mut self.input else { return Ok(None) };
            let batch = input.next().await.transpose()?;
            let timer = self.metrics.elapsed_compute().clone();
            let _timer = timer.timer();
            match batch {
                Some(batch) => self.push(batch)?,
                None => {
                    self.input = None;
                    self.few.finish_buffered_batch()?;
                    self.take_joined();
                }
            }
        }
    }

    fn push(&mut self, batch: RecordBatch) -> Result<()> {
        let keep = self.predicate.evaluate(&batch)?.into_array(batch.num_rows())?;
        let keep = as_boolean_array(&keep)?;
        let kept = keep.true_count();
        let rows = match &self.projection {
            Some(projection) => batch.project(projection)?,
            None => batch.clone(),
        };
        // The columns of `rows` are to be its own.
        drop(batch);
        if kept * MOST < rows.num_rows() {
            self.few.push_batch_with_filter(rows, keep)?;
            self.take_joined();
        } else {
            self.few.finish_buffered_batch()?;
            self.take_joined();
            self.ready.push_back((self.leave_out)(rows, keep)?);
        }
        Ok(())
    }

    fn take_joined(&mut self) {
        self.ready.extend(std::iter::from_fn(|| self.few.next_completed_batch()));
    }

    /// The batch, or as much of it as is wanted: the rest is not read then.
    fn within_limit(&mut self, mut batch: RecordBatch) -> RecordBatch {
        if let Some(fetch) = &mut self.fetch {
            batch = batch.slice(0, batch.num_rows().min(*fetch));
            *fetch -= batch.num_rows();
            if *fetch == 0 {
                self.input = None;
                self.ready.clear();
            }
        }
        self.metrics.record_output(batch.num_rows());
        batch
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringArray};
    use arrow::compute::concat_batches;
    use datafusion::datasource::memory::MemorySourceConfig;
    use datafusion::physical_expr::expressions::Column;
    use datafusion::physical_plan::collect;
    use datafusion::physical_plan::filter::FilterExecBuilder;

    use super::*;

    /// Batches of so many rows, of which one in so many is left, or all but one in so many.
    const BATCHES: [(usize, usize, bool); 9] = [
        (8192, 50, false),
        (8192, 50, true),
        (700, 3, false),
        (8192, 1, true),
        (1, 1, true),
        (5000, 9000, true),
        (8192, 2, true),
        (8192, 3, false),
        (8192, 3, true),
    ];

    fn batches() -> Vec<RecordBatch> {
        let mut next = 0;
        let batch = |(rows, one_in, is_left): (usize, usize, bool)| {
            let numbers = Int64Array::from_iter_values(next..next + rows as i64);
            next += rows as i64;
            let texts: StringArray = numbers.iter().map(|n| n.map(|n| format!("row {n}"))).collect();
            let keep: BooleanArray = (0..rows).map(|row| Some((row % one_in == 0) == is_left)).collect();
            let columns: [(&str, ArrayRef); 3] =
                [("n", Arc::new(numbers)), ("t", Arc::new(texts)), ("keep", Arc::new(keep))];
            RecordBatch::try_from_iter(columns).unwrap()
        };
        BATCHES.map(batch).to_vec()
    }

    #[tokio::test]
    async fn the_rows_are_those_of_the_filter() {
        let schema = batches()[0].schema();
        for fetch in [None, Some(0), Some(1), Some(9000), Some(40_000), Some(1_000_000)] {
            let scan = MemorySourceConfig::try_new_exec(&[batches()], schema.clone(), None).unwrap();
            let keep = Arc::new(Column::new("keep", 2));
            let filter = FilterExecBuilder::new(keep, scan)
                .apply_projection(Some(vec![1, 0]))
                .unwrap()
                .with_fetch(fetch)
                .build()
                .unwrap();
            let live: Arc<dyn ExecutionPlan> = Arc::new(LiveExec::new(filter.clone()));
            let rows = |plan| async {
                let found = collect(plan, Arc::default()).await.unwrap();
                let sizes: Vec<_> = found.iter().map(RecordBatch::num_rows).collect();
                (concat_batches(&live.schema(), &found).unwrap(), sizes)
            };
            let (expected, _) = rows(Arc::new(filter) as Arc<dyn ExecutionPlan>).await;
            let (found, sizes) = rows(live.clone()).await;
            assert_eq!(found, expected, "{fetch:?}");
            assert!(sizes.len() <= BATCHES.len(), "little that is left is joined: {sizes:?}");
            let counted = live.metrics().unwrap().output_rows();
            assert_eq!(counted, Some(expected.num_rows()));
        }
    }
}
