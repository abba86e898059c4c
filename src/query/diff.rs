//! `diff(object, from, to)`: the rows in which an object differs between two releases.
//!
//! Its columns depend on the object, so planning needs what only state knows. Therefore a statement is planned until
//! it asks for a call that was not resolved yet, and once more when that is.

mod columns;
mod rows;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{NullEquality, Result as PlanResult, ScalarValue, TableReference};
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::{TableType, provider_as_source};
use datafusion::logical_expr::{Expr, JoinType, Operator, TableProviderFilterPushDown, TableSource};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::joins::SortMergeJoinExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use parking_lot::Mutex;

use self::columns::Columns;
use self::rows::DiffExec;
pub(super) use self::rows::printed;
use super::as_of;
use super::engine::Engine;
use super::resolve;
use super::session::SessionUser;
use super::settings::Reading;
use super::shield;
use super::zone::Zone;
use crate::error::{Error, Kind, Result};
use crate::model::{Release, ReleaseObject};

/// The function's name.
pub(super) const NAME: &str = "diff";
/// Different calls in one statement: each costs a planning of it.
const MAX_CALLS: usize = 16;
/// The columns beside the key.
const OTHER_COLUMNS: [&str; 4] = ["op", "changed", "old", "new"];

/// The constants of a call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Call {
    object: String,
    from: String,
    to: String,
}

impl Call {
    fn parse(args: &[Expr]) -> Result<Call> {
        let wrong = |what: &str| {
            Error::new(Kind::Unsupported, what).with_hint(
                "write diff('connection.object', 12, 15), with releases as tributary.as_of takes them",
            )
        };
        let [object, from, to] = args else {
            return Err(wrong("function diff takes an object and two releases").with_sqlstate("42883"));
        };
        let text = |arg: &Expr| match arg {
            Expr::Literal(ScalarValue::Utf8(Some(text)), _) => Ok(text.clone()),
            Expr::Literal(ScalarValue::Int64(Some(number)), _) => Ok(format!("release {number}")),
            _ => Err(wrong("the arguments of diff must be constants: texts or release numbers")),
        };
        Ok(Call { object: text(object)?, from: text(from)?, to: text(to)? })
    }
}

/// The calls in a statement that were resolved, and the one that planning stopped at.
#[derive(Default)]
pub(super) struct Calls {
    known: HashMap<Call, Arc<dyn TableSource>>,
    wanted: Mutex<Option<Call>>,
}

impl Calls {
    /// The table of a call; an error when it is still to be resolved.
    pub(super) fn source(&self, args: &[Expr]) -> Result<Arc<dyn TableSource>> {
        let call = Call::parse(args)?;
        match self.known.get(&call) {
            Some(source) => Ok(source.clone()),
            None => {
                *self.wanted.lock() = Some(call);
                Err(Error::internal("a call of diff was not resolved"))
            }
        }
    }

    /// The call that planning stopped at.
    pub(super) fn take_wanted(&self) -> Option<Call> {
        self.wanted.lock().take()
    }

    /// Looks up what `call` names, for a reader of `release`.
    ///
    /// # Errors
    /// 42P01 for an unknown object, 42501 without the right to read it, 22023 for an unknown release.
    pub(super) async fn resolve(
        &mut self,
        engine: &Arc<Engine>,
        who: &SessionUser,
        release: &Arc<Release>,
        reading: Reading,
        call: Call,
    ) -> Result<()> {
        if self.known.len() >= MAX_CALLS {
            let what = format!("a statement can call diff in at most {MAX_CALLS} ways");
            return Err(Error::new(Kind::Limit, what).with_sqlstate("54000"));
        }
        let (mut releases, texts) = (Vec::new(), [&call.from, &call.to]);
        for text in texts {
            releases.push(match as_of::parse(text, reading)? {
                Some(as_of) => engine.system.release(&as_of).await?,
                None => release.clone(),
            });
        }
        let name = TableReference::parse_str(&call.object);
        let (Some(to), Some(from)) = (releases.pop(), releases.pop()) else {
            return Err(Error::internal("a call of diff without releases"));
        };
        let table = DiffTable::new(engine, who, &name, from, to, reading.zone).await?;
        self.known.insert(call, provider_as_source(Arc::new(table)));
        Ok(())
    }
}

/// An object in a release.
struct Side {
    release: Arc<Release>,
    /// Without an object in that release it has the key of the other one, and no rows.
    object: ReleaseObject,
    exists: bool,
}

/// A resolved call.
struct DiffTable {
    engine: Arc<Engine>,
    from: Side,
    to: Side,
    columns: Arc<Columns>,
    schema: SchemaRef,
}

impl DiffTable {
    async fn new(
        engine: &Arc<Engine>,
        who: &SessionUser,
        name: &TableReference,
        from: Arc<Release>,
        to: Arc<Release>,
        zone: Zone,
    ) -> Result<Self> {
        let is_reversed = from.id > to.id;
        let (older, newer) = if is_reversed { (to, from) } else { (from, to) };
        let known = match resolve::readable(engine, who, &newer, name).await {
            Ok(object) => object.clone(),
            // What has gone since can be compared, too.
            Err(error) if error.sqlstate() == "42P01" => {
                match resolve::readable(engine, who, &older, name).await {
                    Ok(object) => object.clone(),
                    Err(other) if other.sqlstate() == "42P01" => return Err(error),
                    Err(other) => return Err(other),
                }
            }
            Err(error) => return Err(error),
        };
        let shown = format!("{}.{}", known.connection, known.name);
        let mut newer = Side::new(newer, &known);
        let mut older = Side::new(older, &known);
        if !who.is_admin {
            for side in [&mut newer, &mut older] {
                let hidden = engine.system.hidden(who, &side.object).await?;
                shield::leave_out(&mut side.object, &hidden, who)?;
            }
        }
        let columns = Columns::pair(&newer.object, &mut older.object, zone).ok_or_else(|| {
            let (first, second) = (older.release.id, newer.release.id);
            let what = format!("`{shown}` has no key that is the same in releases {first} and {second}");
            Error::new(Kind::Unsupported, what).with_hint("rows are compared by their key")
        })?;
        let key = columns::key_fields(&newer.object);
        if let Some(field) = key.iter().find(|field| OTHER_COLUMNS.contains(&field.name().as_str())) {
            let what =
                format!("the key column `{}` of `{shown}` has the name of a column of diff", field.name());
            return Err(
                Error::new(Kind::Unsupported, what).with_hint("an admin can rename it: CALL rename_field")
            );
        }
        let (from, to) = if is_reversed { (newer, older) } else { (older, newer) };
        let columns = Arc::new(if is_reversed { columns.reversed() } else { columns });
        let text = |name: &str| Field::new(name, DataType::Utf8, true);
        let names = Field::new("changed", DataType::new_list(DataType::Utf8, true), true);
        let fields = std::iter::once(text("op")).chain(key).chain([names, text("old"), text("new")]);
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Ok(DiffTable { engine: engine.clone(), from, to, columns, schema })
    }

    /// Whether a filter asks of the key alone, and cannot fail for a key that is no difference.
    fn is_of_key(&self, filter: &Expr) -> bool {
        match filter {
            Expr::BinaryExpr(binary) => {
                use Operator::{And, Eq, Gt, GtEq, Lt, LtEq, NotEq, Or};
                matches!(binary.op, And | Or | Eq | NotEq | Lt | LtEq | Gt | GtEq)
                    && self.is_of_key(&binary.left)
                    && self.is_of_key(&binary.right)
            }
            Expr::InList(list) => {
                self.is_of_key(&list.expr) && list.list.iter().all(|one| self.is_of_key(one))
            }
            Expr::Between(between) => {
                [&between.expr, &between.low, &between.high].into_iter().all(|part| self.is_of_key(part))
            }
            Expr::Column(column) => {
                // The key comes after the first column.
                self.schema
                    .index_of(&column.name)
                    .is_ok_and(|at| (1..=self.columns.to_key.len()).contains(&at))
            }
            Expr::Literal(..) => true,
            _ => false,
        }
    }

    /// One side by key, without the rows that filters of the key leave out where that saves reading them.
    async fn side(
        &self,
        table: Arc<dyn TableProvider>,
        key: &[usize],
        state: &dyn Session,
        filters: &[Expr],
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        let schema = table.schema();
        let renamed = |expr: Expr| match &expr {
            Expr::Column(column) => {
                let at = self.schema.index_of(&column.name)? - 1;
                let name = key.get(at).map(|place| schema.field(*place).name().clone());
                let name =
                    name.ok_or_else(|| Error::internal("a filter of a difference is not of its key"))?;
                Ok(Transformed::yes(Expr::Column(datafusion::common::Column::from_name(name))))
            }
            _ => Ok(Transformed::no(expr)),
        };
        let filters = filters.iter().map(|filter| Ok(filter.clone().transform(renamed)?.data));
        let filters = filters.collect::<PlanResult<Vec<_>>>()?;
        let support = table.supports_filters_pushdown(&filters.iter().collect::<Vec<_>>())?;
        let taken = filters.into_iter().zip(support);
        let taken = taken.filter(|(_, support)| *support != TableProviderFilterPushDown::Unsupported);
        let taken: Vec<_> = taken.map(|(filter, _)| filter).collect();
        sorted(table.scan(state, None, &taken, None).await?, key)
    }

    /// The rows of both sides that may differ.
    async fn sides(&self) -> Result<(Arc<dyn TableProvider>, Arc<dyn TableProvider>)> {
        let tables = &self.engine.tables;
        if self.from.exists && self.to.exists {
            return tables.difference(&self.from.object, &self.to.object).await;
        }
        let mut sides = Vec::new();
        for side in [&self.from, &self.to] {
            sides.push(match side.exists {
                true => tables.provider(&side.object).await?,
                false => Arc::new(EmptyTable::new(columns::schema(&side.object))) as Arc<dyn TableProvider>,
            });
        }
        match (sides.pop(), sides.pop()) {
            (Some(to), Some(from)) => Ok((from, to)),
            _ => Err(Error::internal("a difference without sides")),
        }
    }
}

impl Side {
    fn new(release: Arc<Release>, known: &ReleaseObject) -> Self {
        let by_id = release.objects.iter().find(|object| object.object_id == known.object_id);
        let is_named =
            |object: &&ReleaseObject| object.connection == known.connection && object.name == known.name;
        let found = by_id.or_else(|| release.objects.iter().find(is_named)).cloned();
        let exists = found.is_some();
        let object = found.unwrap_or_else(|| {
            let fields = known.fields.iter().filter(|field| field.key_position.is_some()).cloned().collect();
            ReleaseObject { fields, ..known.clone() }
        });
        Side { release, object, exists }
    }
}

impl fmt::Debug for DiffTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (object, from, to) = (&self.to.object.name, self.from.release.id, self.to.release.id);
        write!(f, "diff({object}, {from}, {to})")
    }
}

#[async_trait]
impl TableProvider for DiffTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> PlanResult<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| match self.is_of_key(filter) {
            // One side may do without.
            true => TableProviderFilterPushDown::Inexact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _: Option<usize>,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        let mut pins = Vec::new();
        for side in [&self.from, &self.to] {
            let id = side.release.id;
            let removed = || Error::new(Kind::Conflict, format!("release {id} is being removed"));
            pins.push(self.engine.pin(&side.release).await?.ok_or_else(removed)?);
        }
        let (from, to) = self.sides().await?;
        let from = self.side(from, &self.columns.from_key, state, filters).await?;
        let to = self.side(to, &self.columns.to_key, state, filters).await?;
        let keys = |plan: &Arc<dyn ExecutionPlan>, key: &[usize]| -> Vec<_> {
            key.iter().map(|at| column(plan, *at)).collect()
        };
        let on: Vec<_> =
            keys(&from, &self.columns.from_key).into_iter().zip(keys(&to, &self.columns.to_key)).collect();
        let options = vec![Default::default(); on.len()];
        let equal = NullEquality::NullEqualsNothing;
        let joined = SortMergeJoinExec::try_new(from, to, on, None, JoinType::Full, options, equal)?;
        let projection = projection.cloned();
        let name = format!("{self:?}");
        Ok(Arc::new(DiffExec::new(
            name,
            Arc::new(joined),
            self.columns.clone(),
            &self.schema,
            projection,
            pins,
        )?))
    }
}

fn column(plan: &Arc<dyn ExecutionPlan>, at: usize) -> Arc<dyn PhysicalExpr> {
    Arc::new(Column::new(plan.schema().field(at).name(), at))
}

/// Sorted by key in one stream; what does not fit in memory is spilled.
fn sorted(plan: Arc<dyn ExecutionPlan>, key: &[usize]) -> PlanResult<Arc<dyn ExecutionPlan>> {
    let order = key.iter().map(|at| PhysicalSortExpr::new(column(&plan, *at), Default::default()));
    let order = LexOrdering::new(order).ok_or_else(|| Error::internal("a difference without a key"))?;
    let plan: Arc<dyn ExecutionPlan> = Arc::new(CoalescePartitionsExec::new(plan));
    Ok(Arc::new(SortExec::new(order, plan)))
}
