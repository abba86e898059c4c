//! Processes that die during a refresh, at every moment of it. Each is a runtime that is torn down; the next one opens
//! the same state. `TRIBUTARY_KILLS=600` for more than the few of an ordinary run.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tributary::error::{Error, Kind};
use tributary::source::rest::token::{AccessToken, Tokens};

use super::{file, log_in, open, salesforce_client, tokens, vendor};

const KILLS: u64 = 60;

/// Runs `work` as a process. With `life` it dies so long after it said that it is up, if it is not done by then.
/// Returns what it did, and how long that took.
fn process<T, W>(life: Option<Duration>, work: impl FnOnce(Arc<AtomicBool>) -> W) -> (Option<T>, Duration)
where
    T: Send + 'static,
    W: Future<Output = T> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let up = Arc::new(AtomicBool::new(false));
    let task = runtime.spawn(work(up.clone()));
    while !up.load(Ordering::Relaxed) && !task.is_finished() {
        std::thread::sleep(Duration::from_micros(50));
    }
    let started = Instant::now();
    while !task.is_finished() && life.is_none_or(|life| started.elapsed() < life) {
        std::thread::sleep(Duration::from_micros(50));
    }
    let took = started.elapsed();
    let done = task.is_finished().then(|| runtime.block_on(task).unwrap());
    runtime.shutdown_timeout(Duration::from_secs(5));
    (done, took)
}

async fn renew(folder: PathBuf, login_url: String, up: Arc<AtomicBool>) -> Result<AccessToken, Error> {
    let (_state, vault) = open(&file(&folder), &folder).await;
    up.store(true, Ordering::Relaxed);
    let tokens = tokens(&vault, &login_url);
    let current = tokens.current().await?;
    tokens.renew(&current).await.map(|token| token.as_ref().clone())
}

async fn stored(folder: &Path) -> String {
    let (_state, vault) = open(&file(folder), folder).await;
    vault.refresh_token(1).await.unwrap().unwrap().expose().to_string()
}

#[test]
fn a_killed_refresh_loses_the_grant_only_when_the_answer_was_on_its_way() {
    let kills = std::env::var("TRIBUTARY_KILLS").map_or(KILLS, |text| text.parse().unwrap());
    let outside = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let vendor = outside.block_on(vendor(true));
    let folder = tempfile::tempdir().unwrap();
    let path = || folder.path().to_path_buf();
    let url = || vendor.login_url.clone();
    let login = || {
        let (path, url, org) = (path(), url(), vendor.control.org_id().to_string());
        process(None, |_| async move {
            let (_state, vault) = open(&file(&path), &path).await;
            vault.keep(1, &log_in(&salesforce_client(&url), &org).await).await.unwrap();
        });
    };
    login();
    let (done, whole) = process(None, |up| renew(path(), url(), up));
    done.unwrap().unwrap();
    let (mut finished, mut lost) = (0, 0);
    for kill in 0..kills {
        let life = whole.mul_f64(kill as f64 / kills as f64 * 1.2);
        finished += u64::from(process(Some(life), |up| renew(path(), url(), up)).0.is_some());
        let path_of_state = path();
        let kept = process(None, |_| async move { stored(&path_of_state).await }).0.unwrap();
        let is_current = vendor.control.refresh_tokens().contains(&kept);
        let next = process(None, |up| renew(path(), url(), up)).0.unwrap();
        if is_current {
            assert!(next.is_ok(), "kill {kill}: {next:?}");
        } else {
            lost += 1;
            assert_eq!(next.unwrap_err().kind(), Kind::Unauthenticated, "kill {kill}");
            login();
        }
        assert_eq!(vendor.control.reused_tokens(), lost, "kill {kill}: a token was used twice");
    }
    println!("{kills} kills: {finished} refreshes had ended, {lost} answers were lost on their way");
    assert!(finished < kills, "no refresh was interrupted");
}
