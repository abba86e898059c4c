//! What this process reads at the moment. A release that is pinned is not cleaned up.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::common::Result as PlanResult;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt;
use parking_lot::Mutex;

use super::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::model::Release;

/// After so long the other nodes are told again that a release is read here. A fraction of what they are told.
const TELL_AGAIN: Duration = Duration::from_secs(60);

/// The pinned releases of a process.
#[derive(Debug, Default)]
pub(super) struct Pins(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// How many pins a release has.
    held: BTreeMap<i64, usize>,
    /// When the other nodes were told last.
    told: BTreeMap<i64, Instant>,
    /// Releases that are being removed: nobody may begin to read them.
    retired: BTreeSet<i64>,
}

/// A release that stays readable as long as this lives.
#[derive(Debug)]
pub(super) struct Pin {
    release: Arc<Release>,
    pins: Arc<Pins>,
}

impl Pin {
    pub(super) fn release(&self) -> &Arc<Release> {
        &self.release
    }
}

/// A release that stays readable as long as this lives, for whoever runs several queries over it.
#[derive(Debug)]
pub struct KeptRelease {
    _pin: Arc<Pin>,
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut inner = self.pins.0.lock();
        if let Some(count) = inner.held.get_mut(&self.release.id) {
            *count -= 1;
            if *count == 0 {
                inner.held.remove(&self.release.id);
            }
        }
    }
}

impl Pins {
    fn pin(self: &Arc<Self>, release: &Arc<Release>) -> Option<Pin> {
        let mut inner = self.0.lock();
        if inner.retired.contains(&release.id) {
            return None;
        }
        *inner.held.entry(release.id).or_default() += 1;
        Some(Pin { release: release.clone(), pins: self.clone() })
    }

    fn was_told(&self, release: i64) -> bool {
        self.0.lock().told.get(&release).is_some_and(|told| told.elapsed() < TELL_AGAIN)
    }

    fn tell(&self, release: i64, at: Instant) {
        let mut inner = self.0.lock();
        inner.told.retain(|_, told| told.elapsed() < TELL_AGAIN);
        inner.told.insert(release, at);
    }
}

impl Engine {
    /// Pins a release against clean-up by this node and, through state, by any other; `None` when it was removed.
    pub(super) async fn pin(&self, release: &Arc<Release>) -> Result<Option<Arc<Pin>>> {
        let Some(pin) = self.pins.pin(release) else { return Ok(None) };
        if !self.pins.was_told(release.id) {
            let now = Instant::now();
            if !self.system.hold(release.id).await? {
                return Ok(None);
            }
            self.pins.tell(release.id, now);
        }
        Ok(Some(Arc::new(pin)))
    }

    /// Keeps a release readable.
    ///
    /// # Errors
    /// `Invalid` when it was removed.
    pub async fn keep(&self, release: &Arc<Release>) -> Result<KeptRelease> {
        match self.pin(release).await? {
            Some(pin) => Ok(KeptRelease { _pin: pin }),
            None => Err(Error::new(Kind::Invalid, format!("release {} is no longer kept", release.id))),
        }
    }

    /// The releases that statements and transactions of this process read now.
    pub fn read_now(&self) -> Vec<i64> {
        self.pins.0.lock().held.keys().copied().collect()
    }

    /// Lets nobody begin to read these releases any more, but for those that are read now: those are returned and
    /// stay as they are.
    pub fn retire(&self, releases: &[i64]) -> Vec<i64> {
        let mut inner = self.pins.0.lock();
        let (read, free): (Vec<i64>, Vec<i64>) =
            releases.iter().copied().partition(|release| inner.held.contains_key(release));
        inner.retired.extend(free);
        read
    }

    /// Takes back [`Engine::retire`].
    pub fn reopen(&self, releases: &[i64]) {
        let mut inner = self.pins.0.lock();
        inner.retired.retain(|release| !releases.contains(release));
    }
}

/// A plan that keeps its release readable, and so do its rows as long as somebody may still ask for more of them.
#[derive(Debug)]
pub(super) struct PinnedExec {
    inner: Arc<dyn ExecutionPlan>,
    pin: Arc<Pin>,
}

impl PinnedExec {
    pub(super) fn new(inner: Arc<dyn ExecutionPlan>, pin: Arc<Pin>) -> Arc<dyn ExecutionPlan> {
        Arc::new(PinnedExec { inner, pin })
    }

    /// The plan itself, to be shown.
    pub(super) fn inner_of(plan: &Arc<dyn ExecutionPlan>) -> &Arc<dyn ExecutionPlan> {
        plan.downcast_ref::<PinnedExec>().map_or(plan, |pinned| &pinned.inner)
    }
}

impl DisplayAs for PinnedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PinnedExec: release={}", self.pin.release.id)
    }
}

impl ExecutionPlan for PinnedExec {
    fn name(&self) -> &str {
        "PinnedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.inner.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.inner]
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
        let inner = children.into_iter().next().unwrap_or_else(|| self.inner.clone());
        Ok(PinnedExec::new(inner, self.pin.clone()))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> PlanResult<SendableRecordBatchStream> {
        let pin = self.pin.clone();
        let rows = self.inner.execute(partition, context)?.map(move |batch| {
            // Held as long as the stream is.
            let _pin = &pin;
            batch
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.inner.schema(), rows)))
    }
}
