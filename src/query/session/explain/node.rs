//! From the operators that run to the nodes that PostgreSQL would show for the same work.

use std::any::Any;
use std::sync::Arc;

use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::{LexOrdering, split_conjunction};
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::{ExecutionPlan, filter::FilterExec};

use crate::error::Result;
use crate::query::error::translate;
use crate::query::parse::Explain;

/// PostgreSQL's costs: of a page, of a row, of an operator.
const PAGE: f64 = 1.0;
const PAGE_BYTES: f64 = 8_192.0;
const ROW: f64 = 0.01;
const OPERATOR: f64 = 0.0025;
/// Rows where nothing is known, as PostgreSQL guesses them.
const UNKNOWN_ROWS: f64 = 1_000.0;
/// What a condition lets through where nothing is known.
const SELECTED: f64 = 1.0 / 3.0;

/// A table of the query.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) schema: Option<String>,
    pub(super) table: String,
    pub(super) alias: Option<String>,
    /// The folder of its files.
    pub(super) folder: Option<String>,
    pub(super) columns: Vec<String>,
}

/// A node as it is shown.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// `Seq Scan`, `Aggregate`: the `Node Type` of JSON.
    pub(super) kind: &'static str,
    /// What stands before and behind it in text: `Partial Hash`, `Left`.
    pub(super) text: String,
    pub(super) source: Option<Source>,
    /// Keys and values behind the name, in JSON alone.
    pub(super) facts: Vec<(&'static str, String)>,
    /// Lines below it: label, and one text or several.
    pub(super) details: Vec<(&'static str, Vec<String>)>,
    /// The operators that do it, as they show themselves.
    pub(super) operators: Vec<String>,
    pub(super) startup: f64,
    pub(super) total: f64,
    pub(super) rows: f64,
    pub(super) width: usize,
    pub(super) actual: Option<Actual>,
    pub(super) children: Vec<Node>,
}

/// What was measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Actual {
    pub(super) startup_ms: f64,
    pub(super) total_ms: f64,
    pub(super) rows: usize,
}

impl Node {
    /// The nodes of a plan.
    pub(super) fn of(plan: &Arc<dyn ExecutionPlan>, sources: Vec<Source>, options: Explain) -> Result<Node> {
        let statistics = StatisticsContext::new();
        let mut builder = Builder { sources, options, statistics };
        builder.node(plan)
    }

    fn blocks(&self) -> bool {
        matches!(self.kind, "Sort" | "Aggregate")
    }
}

struct Builder {
    sources: Vec<Source>,
    options: Explain,
    statistics: StatisticsContext,
}

impl Builder {
    fn node(&mut self, plan: &Arc<dyn ExecutionPlan>) -> Result<Node> {
        let children =
            plan.children().into_iter().map(|child| self.node(child)).collect::<Result<Vec<_>>>()?;
        let mut node = match self.shape(plan) {
            Some(node) => node,
            // What PostgreSQL has no node for belongs to the one below it.
            None => match <[Node; 1]>::try_from(children) {
                Ok([mut below]) => {
                    self.merge(plan, &mut below)?;
                    return Ok(below);
                }
                Err(children) => {
                    let mut node = Node { kind: "Result", text: "Result".into(), ..Node::default() };
                    self.measure(plan, &mut node, children)?;
                    return Ok(node);
                }
            },
        };
        if let Some(sort) = plan.downcast_ref::<SortExec>()
            && sort.fetch().is_some()
        {
            let mut below = Node { kind: "Sort", text: "Sort".into(), ..Node::default() };
            below.details = node.details.split_off(0);
            self.measure(plan, &mut below, children)?;
            node = Node { kind: "Limit", text: "Limit".into(), ..Node::default() };
            (node.rows, node.width, node.actual) = (below.rows, below.width, below.actual);
            (node.startup, node.total) = (below.total, below.total + below.rows * ROW);
            node.children = vec![below];
            return Ok(node);
        }
        self.measure(plan, &mut node, children)?;
        Ok(node)
    }

    /// The node of an operator without its numbers; `None` where PostgreSQL shows none for such work.
    fn shape(&mut self, plan: &Arc<dyn ExecutionPlan>) -> Option<Node> {
        let named = |kind: &'static str| Some(Node { kind, text: kind.into(), ..Node::default() });
        if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
            return Some(aggregation(aggregate));
        }
        if let Some(sort) = plan.downcast_ref::<SortExec>() {
            return Some(sorted("Sort", sort.expr()));
        }
        if plan.is::<SortPreservingMergeExec>() {
            return named("Gather Merge");
        }
        if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
            let mut node = joined("Hash", "Hash Join", &join.join_type().to_string());
            let on = join.on().iter().map(|(l, r)| format!("{} = {}", plain(l), plain(r)));
            node.details.push(("Hash Cond", vec![format!("({})", on.collect::<Vec<_>>().join(" AND "))]));
            let filter = join.filter().map(|filter| vec![format!("({})", plain(filter.expression()))]);
            node.details.extend(filter.map(|filter| ("Join Filter", filter)));
            return Some(node);
        }
        if let Some(join) = plan.downcast_ref::<SortMergeJoinExec>() {
            let mut node = joined("Merge", "Merge Join", &join.join_type().to_string());
            let on = join.on().iter().map(|(l, r)| format!("{} = {}", plain(l), plain(r)));
            node.details.push(("Merge Cond", vec![format!("({})", on.collect::<Vec<_>>().join(" AND "))]));
            return Some(node);
        }
        if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
            let mut node = joined("Nested Loop", "Nested Loop", &join.join_type().to_string());
            let filter = join.filter().map(|filter| vec![format!("({})", plain(filter.expression()))]);
            node.details.extend(filter.map(|filter| ("Join Filter", filter)));
            return Some(node);
        }
        if plan.is::<CrossJoinExec>() {
            return Some(joined("Nested Loop", "Nested Loop", "Inner"));
        }
        if plan.is::<GlobalLimitExec>() || plan.is::<LocalLimitExec>() {
            return named("Limit");
        }
        match plan.name() {
            "DataSourceExec" => Some(self.scan(plan)),
            "CoalescePartitionsExec" => named("Gather"),
            "UnionExec" | "InterleaveExec" => named("Append"),
            "WindowAggExec" | "BoundedWindowAggExec" => named("WindowAgg"),
            "UnnestExec" => named("ProjectSet"),
            "RecursiveQueryExec" => named("Recursive Union"),
            "WorkTableExec" => named("WorkTable Scan"),
            "ValuesExec" => named("Values Scan"),
            "DiffExec" => {
                let mut node = named("Function Scan")?;
                node.text = "Function Scan on diff".into();
                node.facts.push(("Function Name", "diff".into()));
                Some(node)
            }
            "EmptyExec" if !self.sources.is_empty() => Some(self.scan(plan)),
            _ if plan.children().is_empty() && plan.name() != "PlaceholderRowExec" => Some(self.scan(plan)),
            _ => None,
        }
    }

    /// The scan of a table: by the folder its files lie in, or by its columns.
    fn scan(&mut self, plan: &Arc<dyn ExecutionPlan>) -> Node {
        let shown = operator(plan, false);
        let schema = plan.schema();
        let by_folder = |source: &Source| source.folder.as_ref().is_some_and(|folder| shown.contains(folder));
        let by_columns = |source: &Source| schema.fields().iter().all(|f| source.columns.contains(f.name()));
        let place =
            self.sources.iter().position(by_folder).or_else(|| self.sources.iter().position(by_columns));
        let source = place.map(|place| self.sources.remove(place));
        let mut node = Node { kind: "Seq Scan", text: "Seq Scan".into(), ..Node::default() };
        match &source {
            Some(source) => {
                let schema = source.schema.as_ref().filter(|_| self.options.verbose);
                let schema = schema.map(|schema| format!("{schema}.")).unwrap_or_default();
                node.text = format!("Seq Scan on {schema}{}", source.table);
                if let Some(alias) = source.alias.as_ref().filter(|alias| **alias != source.table) {
                    node.text += &format!(" {alias}");
                }
            }
            None if plan.name() == "DataSourceExec" => {
                (node.kind, node.text) = ("Values Scan", "Values Scan".into());
            }
            None => (node.kind, node.text) = ("Function Scan", "Function Scan".into()),
        }
        node.details.extend(condition_of_files(plan).map(|condition| ("Filter", vec![condition])));
        node.source = source;
        node
    }

    /// Adds what an operator without a node of its own does to the node below it.
    fn merge(&mut self, plan: &Arc<dyn ExecutionPlan>, below: &mut Node) -> Result<()> {
        if let Some(filter) = plan.downcast_ref::<FilterExec>() {
            let condition = format!("({})", plain(filter.predicate()));
            // The scan may skip files by it; it is one condition all the same.
            below.details.retain(|(label, _)| *label != "Filter" || below.kind != "Seq Scan");
            below.details.push(("Filter", vec![condition]));
            let before = below.actual.map(|actual| actual.rows);
            let known = self.rows(plan)?;
            below.total += below.rows * OPERATOR;
            below.rows = known.unwrap_or((below.rows * SELECTED).max(1.0).round());
            self.time(plan, below);
            if let (Some(before), Some(actual)) = (before, below.actual) {
                let removed = before.saturating_sub(actual.rows);
                below.details.push(("Rows Removed by Filter", vec![removed.to_string()]));
            }
        } else {
            below.width = width(plan);
            self.time(plan, below);
        }
        if self.options.verbose {
            below.operators.insert(0, operator(plan, self.options.analyze));
        }
        Ok(())
    }

    fn rows(&self, plan: &Arc<dyn ExecutionPlan>) -> Result<Option<f64>> {
        let known = self.statistics.compute(plan.as_ref(), &StatisticsArgs::new()).map_err(translate)?;
        Ok(known.num_rows.get_value().map(|rows| *rows as f64))
    }

    /// Fills in estimates and measurements.
    fn measure(&mut self, plan: &Arc<dyn ExecutionPlan>, node: &mut Node, children: Vec<Node>) -> Result<()> {
        let input: f64 = children.iter().map(|child| child.rows).sum();
        let cost: f64 = children.iter().map(|child| child.total).sum();
        let startup = children.iter().map(|child| child.startup).fold(0.0, f64::max);
        let known = self.rows(plan)?;
        let is_filtered = node.details.iter().any(|(label, _)| *label == "Filter");
        let known = known.map(|rows| if is_filtered { (rows * SELECTED).max(1.0).round() } else { rows });
        node.rows = known.unwrap_or(match (node.kind, children.is_empty()) {
            ("Result", true) => 1.0,
            (_, true) => UNKNOWN_ROWS,
            ("Nested Loop", _) => {
                children.iter().map(|child| child.rows.max(1.0)).product::<f64>() * SELECTED
            }
            ("Aggregate", _) => (input * 0.1).max(1.0).round(),
            _ => input,
        });
        node.width = width(plan);
        let handled = match node.kind {
            "Sort" => input * (input.max(2.0)).log2() * 2.0 * OPERATOR,
            "Nested Loop" => children.iter().map(|child| child.rows.max(1.0)).product::<f64>() * OPERATOR,
            "Result" => ROW,
            _ if children.is_empty() => {
                (node.rows * node.width as f64 / PAGE_BYTES).ceil() * PAGE + node.rows * ROW
            }
            _ => input * ROW,
        };
        node.total = cost + handled;
        node.startup = if node.blocks() { node.total } else { startup };
        node.children = children;
        self.time(plan, node);
        if self.options.verbose {
            node.operators.push(operator(plan, self.options.analyze));
        }
        Ok(())
    }

    /// Takes over what an operator measured. Its time is its own; that of a node is the time of all below it, too.
    fn time(&self, plan: &Arc<dyn ExecutionPlan>, node: &mut Node) {
        if !self.options.analyze {
            return;
        }
        let metrics = plan.metrics();
        let own = metrics.as_ref().and_then(|metrics| metrics.elapsed_compute()).unwrap_or(0) as f64 / 1e6;
        let below = match node.actual {
            Some(actual) => actual.total_ms,
            None => node.children.iter().filter_map(|child| child.actual).map(|a| a.total_ms).sum(),
        };
        let input = match node.actual {
            Some(actual) => actual.rows,
            None => node.children.iter().filter_map(|child| child.actual).map(|a| a.rows).sum(),
        };
        let first =
            node.children.iter().filter_map(|child| child.actual).map(|a| a.startup_ms).fold(0.0, f64::max);
        let rows = metrics.and_then(|metrics| metrics.output_rows()).unwrap_or(input);
        let startup_ms = if node.blocks() { below + own } else { first };
        node.actual = Some(Actual { startup_ms, total_ms: below + own, rows });
    }
}

/// The condition that a scan of files applies by itself. What a join tells it while it runs is none of the query's.
fn condition_of_files(plan: &Arc<dyn ExecutionPlan>) -> Option<String> {
    let scan = plan.downcast_ref::<DataSourceExec>()?.data_source();
    let scan = (scan.as_ref() as &dyn Any).downcast_ref::<FileScanConfig>()?;
    let condition = scan.file_source().filter()?;
    let conditions = split_conjunction(&condition).into_iter().map(plain);
    let conditions: Vec<_> = conditions.filter(|condition| !condition.contains("DynamicFilter")).collect();
    (!conditions.is_empty()).then(|| format!("({})", conditions.join(" AND ")))
}

fn aggregation(aggregate: &AggregateExec) -> Node {
    let groups = aggregate.group_expr();
    let keys: Vec<String> = groups.expr().iter().map(|(key, _)| plain(key)).collect();
    let hashed = !keys.is_empty();
    let (mode, before) = match aggregate.mode() {
        AggregateMode::Partial => ("Partial", "Partial "),
        AggregateMode::Final | AggregateMode::FinalPartitioned => ("Finalize", "Finalize "),
        _ => ("Simple", ""),
    };
    let mut node = Node { kind: "Aggregate", ..Node::default() };
    node.text = format!("{before}{}Aggregate", if hashed { "Hash" } else { "" });
    node.facts.push(("Strategy", if hashed { "Hashed" } else { "Plain" }.into()));
    node.facts.push(("Partial Mode", mode.into()));
    if hashed {
        node.details.push(("Group Key", keys));
    }
    node
}

fn sorted(kind: &'static str, ordering: &LexOrdering) -> Node {
    let keys = ordering.iter().map(|key| {
        let (descending, nulls_first) = (key.options.descending, key.options.nulls_first);
        let direction = if descending { " DESC" } else { "" };
        let nulls = match (descending, nulls_first) {
            (false, true) => " NULLS FIRST",
            (true, false) => " NULLS LAST",
            _ => "",
        };
        format!("{}{direction}{nulls}", plain(&key.expr))
    });
    let mut node = Node { kind, text: kind.into(), ..Node::default() };
    node.details.push(("Sort Key", keys.collect()));
    node
}

/// A join: `Hash Left Join`, `Nested Loop Anti Join`.
fn joined(method: &str, kind: &'static str, join_type: &str) -> Node {
    let word = match join_type {
        "Left" => "Left",
        "Right" => "Right",
        "Full" => "Full",
        other if other.ends_with("Semi") => "Semi",
        other if other.ends_with("Anti") => "Anti",
        "LeftMark" | "RightMark" => "Semi",
        _ => "Inner",
    };
    let mut node = Node { kind, ..Node::default() };
    node.text = match word {
        "Inner" => kind.into(),
        word => format!("{method} {word} Join"),
    };
    node.facts.push(("Join Type", word.into()));
    node
}

/// An expression without the numbers of its columns.
fn plain(expression: &impl std::fmt::Display) -> String {
    let text = expression.to_string().replace('\u{1f}', "#");
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once('@') {
        out.push_str(before);
        let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        let names_a_column =
            end > 0 && before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | ')' | ']'));
        if !names_a_column {
            out.push('@');
            out.push_str(&after[..end]);
        }
        rest = &after[end..];
    }
    out.push_str(rest);
    out
}

/// Bytes of an average row, as PostgreSQL counts them: texts as 32.
fn width(plan: &Arc<dyn ExecutionPlan>) -> usize {
    plan.schema().fields().iter().map(|field| field.data_type().primitive_width().unwrap_or(32)).sum()
}

/// An operator as it shows itself, with its measurements where there are some.
fn operator(plan: &Arc<dyn ExecutionPlan>, measured: bool) -> String {
    let shown = match measured {
        true => DisplayableExecutionPlan::with_metrics(plan.as_ref()),
        false => DisplayableExecutionPlan::new(plan.as_ref()),
    };
    shown.one_line().to_string().trim_end().replace('\u{1f}', "#")
}
