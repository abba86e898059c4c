//! What happens in a simulated world: fixed scenarios, and scripts made from a seed.

use std::sync::Mutex;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tributary::model::FieldType;
use tributary::sync::Mode;

use super::faults::{Failure, Fault};
use super::source::{Remote, Row, Script};
use super::world::{World, field, sync};

/// One step. Numbers are seeds of their own, so that a step does the same whatever came before it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// Rows of an object change at the source: some new, some changed, and with `deletes` some gone.
    Change {
        object: &'static str,
        seed: u64,
        rows: usize,
        deletes: bool,
    },
    Sync {
        objects: &'static [&'static str],
        mode: Mode,
        is_untidy: bool,
    },
    /// The syncs of two objects end at the same time.
    Both(&'static str, &'static str),
    /// A writer that lost its lease wakes up after another one has taken over.
    Race {
        object: &'static str,
        mode: Mode,
        seed: u64,
    },
    /// The rows of an object are arranged anew.
    Compact(&'static str),
    /// The newest release is frozen.
    Freeze,
    /// Releases that nothing protects are removed, and the files that only they needed.
    Vacuum,
    /// The source has a new field, and it is selected.
    AddField(&'static str),
    /// The type of a field of the source gets wider.
    Widen(&'static str),
    /// A field is no longer wanted.
    Deselect(&'static str),
    /// Some changes of the object become known late from now on.
    Overlap(&'static str),
    Restart,
}

use Step::*;

impl Step {
    /// Does it. What fails on the way is what the world's faults made fail.
    pub(super) async fn run(self, world: &mut World) {
        match self {
            Change { object, seed, rows, deletes } => {
                change(&mut world.remote.lock().unwrap(), object, seed, rows, deletes);
            }
            Sync { objects, mode, is_untidy } => {
                world.sync(objects, mode, is_untidy).await.ok();
            }
            Both(one, other) => {
                let script = || Script::new(&world.remote, false, None);
                let process = world.process();
                let (one, other) = (
                    tokio::spawn(sync(process.clone(), [one], Mode::Diff, script())),
                    tokio::spawn(sync(process, [other], Mode::Diff, script())),
                );
                let (one, other) = (one.await.unwrap(), other.await.unwrap());
                world.take_over(one).await.ok();
                world.take_over(other).await.ok();
            }
            Race { object, mode, seed } => {
                let meanwhile = |remote: &Mutex<Remote>| {
                    change(&mut remote.lock().unwrap(), object, seed, 4, false);
                };
                world.race(object, mode, meanwhile).await;
            }
            Compact(object) => {
                world.process().compact(object).await.ok();
            }
            Freeze => {
                world.process().freeze().await.ok();
            }
            Vacuum => {
                world.process().vacuum().await.ok();
            }
            AddField(object) => {
                world.remote.lock().unwrap().objects.get_mut(object).unwrap().has_extra = true;
                let select = |object: &mut tributary::model::Object| {
                    if object.fields.iter().all(|field| field.name != "extra") {
                        object.fields.push(field("extra", FieldType::Int64, false));
                    }
                };
                world.redefine(object, select).await.ok();
            }
            Widen(object) => {
                world.remote.lock().unwrap().objects.get_mut(object).unwrap().is_wide = true;
            }
            Deselect(object) => {
                let deselect = |object: &mut tributary::model::Object| {
                    let name = object.fields.iter_mut().find(|field| field.name == "name").unwrap();
                    name.selected = !name.selected;
                };
                world.redefine(object, deselect).await.ok();
            }
            Overlap(object) => {
                world.remote.lock().unwrap().objects.get_mut(object).unwrap().overlap = 3;
            }
            Restart => world.restart().await,
        }
    }
}

/// Rows change at the source. A change is dated at the clock, which often stands still, or a little before it
/// where diffs reach back.
fn change(remote: &mut Remote, object: &str, seed: u64, rows: usize, deletes: bool) {
    let random = &mut StdRng::seed_from_u64(seed);
    let object = remote.objects.get_mut(object).unwrap();
    for _ in 0..rows {
        if random.random_bool(0.5) {
            remote.clock += 1;
        }
        let at = remote.clock - random.random_range(0..=object.overlap);
        let id = random.random_range(0..40);
        if deletes && random.random_bool(0.4) {
            object.rows.remove(&id);
            continue;
        }
        let largest = if object.is_wide { i64::from(i32::MAX) + 1000 } else { 1000 };
        let row = Row {
            at,
            name: random.random_bool(0.8).then(|| random.random_range(0..1000)),
            amount: random.random_bool(0.8).then(|| random.random_range(0..largest)),
            extra: object.has_extra.then(|| random.random_range(0..1000)),
        };
        // A change never goes back before the one before it.
        let at = object.rows.get(&id).map_or(at, |before| before.at.max(at));
        object.rows.insert(id, Row { at, ..row });
    }
}

/// A fixed scenario: what is there before, and the steps during which everything may fail.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) objects: &'static [&'static str],
    pub(super) before: Vec<Step>,
    pub(super) during: Vec<Step>,
}

const DEAL: &[&str] = &["deal"];
const TWO: &[&str] = &["deal", "owner"];
const THREE: &[&str] = &["deal", "log", "owner"];

fn filled(object: &'static str, seed: u64) -> Step {
    Change { object, seed, rows: 12, deletes: false }
}

fn full(objects: &'static [&'static str]) -> Step {
    Sync { objects, mode: Mode::Full, is_untidy: false }
}

fn diff(objects: &'static [&'static str]) -> Step {
    Sync { objects, mode: Mode::Diff, is_untidy: false }
}

pub(super) fn scenarios() -> Vec<Scenario> {
    let scenario = |name, objects, before: &[Step], during: &[Step]| Scenario {
        name,
        objects,
        before: before.to_vec(),
        during: during.to_vec(),
    };
    let known = [filled("deal", 1), full(DEAL)];
    let changed = Change { object: "deal", seed: 2, rows: 5, deletes: true };
    let both = [filled("deal", 1), filled("owner", 2), full(TWO)];
    let checkpointed: Vec<_> = (0..10)
        .flat_map(|seed| [Change { object: "deal", seed, rows: 3, deletes: false }, diff(DEAL)])
        .collect();
    vec![
        scenario("the first sync", DEAL, &[filled("deal", 1)], &[full(DEAL)]),
        scenario("the first sync of an empty object", DEAL, &[], &[diff(DEAL)]),
        scenario("a full sync", DEAL, &[&known[..], &[changed]].concat(), &[full(DEAL)]),
        scenario("a diff", DEAL, &[&known[..], &[changed]].concat(), &[diff(DEAL)]),
        scenario("a diff without changes", DEAL, &known, &[diff(DEAL)]),
        scenario(
            "two diffs of untidy rows",
            DEAL,
            &known,
            &[
                changed,
                Sync { objects: DEAL, mode: Mode::Diff, is_untidy: true },
                filled("deal", 3),
                diff(DEAL),
            ],
        ),
        scenario(
            "several objects in one release",
            THREE,
            &[filled("log", 1), filled("deal", 2)],
            &[full(THREE)],
        ),
        scenario("a diff of two objects", TWO, &[&both[..], &[changed]].concat(), &[diff(TWO)]),
        scenario(
            "two syncs at a time",
            TWO,
            &[&both[..], &[changed, filled("owner", 4)]].concat(),
            &[Both("deal", "owner")],
        ),
        scenario("a new field", DEAL, &known, &[AddField("deal"), filled("deal", 3), diff(DEAL)]),
        scenario("a wider type", DEAL, &known, &[Widen("deal"), filled("deal", 3), diff(DEAL)]),
        scenario("a field less", DEAL, &known, &[Deselect("deal"), diff(DEAL), changed, diff(DEAL)]),
        scenario(
            "a lost lease during a diff",
            DEAL,
            &[&known[..], &[changed]].concat(),
            &[Race { object: "deal", mode: Mode::Diff, seed: 5 }],
        ),
        scenario(
            "a lost lease during a full sync",
            DEAL,
            &[&known[..], &[changed]].concat(),
            &[Race { object: "deal", mode: Mode::Full, seed: 5 }],
        ),
        scenario("a compaction", DEAL, &checkpointed[..8], &[Compact("deal"), changed, diff(DEAL)]),
        scenario(
            "a clean-up",
            DEAL,
            &[&known[..], &[Freeze, Compact("deal")], &checkpointed[..6]].concat(),
            &[Vacuum, changed, diff(DEAL)],
        ),
        scenario("a checkpoint", DEAL, &[&known[..], &checkpointed[..18]].concat(), &checkpointed[18..]),
    ]
}

/// The objects of a random script.
pub(super) fn objects(seed: u64) -> &'static [&'static str] {
    if seed.is_multiple_of(3) { THREE } else { TWO }
}

/// A random script, with the fault of each step.
pub(super) fn random(seed: u64) -> Vec<(Step, Option<Fault>)> {
    let random = &mut StdRng::seed_from_u64(seed);
    let objects = objects(seed);
    let steps = random.random_range(3..8);
    let mut script = vec![(filled("deal", seed), None)];
    for _ in 0..steps {
        let step = step(random, objects);
        script.push((step, fault(random, &step)));
    }
    if random.random_bool(0.3) {
        script.insert(0, (Overlap("deal"), None));
    }
    script
}

fn step(random: &mut StdRng, objects: &'static [&'static str]) -> Step {
    let seed = random.random();
    let object = if random.random_bool(0.7) { "deal" } else { "owner" };
    let mode = if random.random_bool(0.6) { Mode::Diff } else { Mode::Full };
    match random.random_range(0..100) {
        0..30 => Change { object, seed, rows: random.random_range(1..12), deletes: random.random_bool(0.5) },
        30..35 => Change { object: objects[1], seed, rows: 3, deletes: true },
        35..60 => Sync { objects: DEAL, mode, is_untidy: random.random_bool(0.3) },
        60..78 => Sync { objects, mode, is_untidy: random.random_bool(0.3) },
        78..80 => Both("deal", "owner"),
        80..83 => Compact(object),
        83..86 => Vacuum,
        86 => Freeze,
        87..90 => Race { object, mode, seed },
        90..92 => AddField(object),
        92..94 => Widen(object),
        94..97 => Deselect(object),
        _ => Restart,
    }
}

fn fault(random: &mut StdRng, step: &Step) -> Option<Fault> {
    let failures = [Failure::Before, Failure::After, Failure::Torn];
    let may_fail = !matches!(step, Change { .. } | Widen(_) | Overlap(_) | Restart);
    (may_fail && random.random_bool(0.8)).then(|| Fault {
        at: random.random_range(1..14),
        failure: failures[random.random_range(0..3)],
        is_crash: random.random_bool(0.7),
    })
}
