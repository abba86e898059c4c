//! Crashes and races, simulated: the real code from sync to release over a store and a state database that fail
//! at every durable operation in turn, and then at random ones.
//!
//! After each failure the company is opened again from what is left and compared with a model: no row is lost, too
//! much or there twice, every release reads as it did, a run makes at most one version, and a watermark is never
//! ahead of the rows. Random scripts have seeds; a failure says how to repeat it.

mod faults;
mod readers;
mod script;
mod source;
mod sqlite;
mod store;
mod world;

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tributary::sync::Mode;

use faults::{Failure, Fault};
use script::{Scenario, Step, objects, random, scenarios};
use world::World;

/// Random scripts of an ordinary test run; `TRIBUTARY_SEEDS` says another number.
const SEEDS: u64 = 500;
/// Worlds at a time: they wait for each other's disks and back-offs, so more than there are cores.
const WORLDS: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn every_durable_operation_of_every_scenario_may_fail() {
    let mut worlds = JoinSet::new();
    for number in 0..scenarios().len() {
        let kinds = [
            (Failure::Before, true),
            (Failure::After, true),
            (Failure::Torn, true),
            (Failure::Before, false),
            (Failure::After, false),
            (Failure::Torn, false),
        ];
        // Half a file that a living process knows of is the least of what can happen.
        let wanted = if std::env::var_os("TRIBUTARY_SEEDS").is_some() { 6 } else { 5 };
        for (failure, is_crash) in kinds.into_iter().take(wanted) {
            worlds.spawn(async move { all_faults(&scenarios()[number], failure, is_crash).await });
        }
    }
    let (mut faults, mut failed) = (0, 0);
    while let Some(ended) = worlds.join_next().await {
        match ended {
            Ok(happened) => faults += happened,
            Err(_) => failed += 1,
        }
    }
    assert_eq!(failed, 0, "of the scenarios; what failed is told above");
    println!("{faults} faults in {} scenarios", scenarios().len());
    assert!(faults > 500, "only {faults} faults happened");
}

/// Runs a scenario with its first, second, third ... durable operation failing, until there is none left to fail.
async fn all_faults(scenario: &Scenario, failure: Failure, is_crash: bool) -> u64 {
    for at in 1.. {
        let what = format!("`{}` with {failure:?} at {at}, crash {is_crash}", scenario.name);
        let scope = Told::of(what.clone());
        let mut world = World::new(scenario.objects).await;
        for step in &scenario.before {
            step.run(&mut world).await;
        }
        world.check(at == 1).await;
        world.arm(Fault { at, failure, is_crash });
        for step in &scenario.during {
            if !world.is_dead() {
                step.run(&mut world).await;
            }
        }
        let trace = world.trace();
        scope.add(&trace);
        let reached = world.recover().await;
        world.check(true).await;
        world.resume(Mode::Diff).await;
        world.check(false).await;
        if !reached {
            assert!(at > 3, "{what} has hardly anything to fail:\n{trace}");
            return at - 1;
        }
    }
    unreachable!("a scenario has an end")
}

#[tokio::test(flavor = "multi_thread")]
async fn random_scripts_with_random_faults_agree_with_the_model() {
    if let Ok(seed) = std::env::var("TRIBUTARY_SEED") {
        return one(seed.parse().unwrap()).await;
    }
    let seeds = std::env::var("TRIBUTARY_SEEDS").map_or(SEEDS, |seeds| seeds.parse().unwrap());
    let started = Instant::now();
    let permits = Arc::new(Semaphore::new(WORLDS));
    let mut worlds = JoinSet::new();
    let mut failed = 0;
    for seed in 0..seeds {
        let permit = permits.clone().acquire_owned().await.unwrap();
        worlds.spawn(async move {
            one(seed).await;
            drop(permit);
        });
        while let Some(ended) = worlds.try_join_next() {
            failed += u32::from(ended.is_err());
        }
        if failed > 0 {
            break;
        }
    }
    while let Some(ended) = worlds.join_next().await {
        failed += u32::from(ended.is_err());
    }
    assert_eq!(failed, 0, "of the seeds; which ones is told above");
    println!("{seeds} seeds in {:.1} s", started.elapsed().as_secs_f64());
}

/// Runs one random script.
async fn one(seed: u64) {
    let command = format!(
        "TRIBUTARY_SEED={seed} cargo test --test integration -- simulation::random_scripts --nocapture"
    );
    let scope = Told::of(format!("seed {seed}; repeat it with: {command}"));
    let mut world = World::new(objects(seed)).await;
    for (step, fault) in random(seed) {
        scope.add(&format!("{step:?} {fault:?}"));
        if let Some(fault) = fault {
            world.arm(fault);
        }
        step.run(&mut world).await;
        scope.add(&world.trace());
        world.recover().await;
        // A clean-up must not have touched what older releases read.
        world.check(matches!(step, Step::Vacuum)).await;
    }
    // Only a diff can tell whether the watermark was right; a full sync would hide it.
    world.resume(Mode::Diff).await;
    world.restart().await;
    world.check(seed.is_multiple_of(3)).await;
}

/// Says what was going on when a world panics.
struct Told(std::sync::Mutex<String>);

impl Told {
    fn of(what: String) -> Self {
        Told(std::sync::Mutex::new(what))
    }

    fn add(&self, line: &str) {
        let mut told = self.0.lock().unwrap();
        told.push('\n');
        told.push_str(line);
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed: {}", self.0.lock().unwrap());
        }
    }
}
