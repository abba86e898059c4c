//! Processes that die during a refresh, at every moment of it. Each is a runtime that is torn down; the next one opens
//! the same state. `TRIBUTARY_KILLS=600` for more than the few of an ordinary run.

use std::path::Path;
use std::time::{Duration, Instant};

use tributary::error::Kind;
use tributary::source::rest::token::{AccessToken, Tokens};

use super::{file, log_in, open, salesforce_client, tokens, vendor};

const KILLS: u64 = 60;

/// Runs `work` as a process that dies after `life`, if it is not done by then.
fn process<T: Send + 'static>(
    life: Option<Duration>,
    work: impl Future<Output = T> + Send + 'static,
) -> Option<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let task = runtime.spawn(work);
    let started = Instant::now();
    while !task.is_finished() && life.is_none_or(|life| started.elapsed() < life) {
        std::thread::sleep(Duration::from_micros(50));
    }
    let done = task.is_finished().then(|| runtime.block_on(task).unwrap());
    runtime.shutdown_timeout(Duration::from_secs(5));
    done
}

async fn renew(
    folder: std::path::PathBuf,
    login_url: String,
) -> Result<AccessToken, tributary::error::Error> {
    let (_state, vault) = open(&file(&folder), &folder).await;
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
    let path = folder.path().to_path_buf();
    let login = || {
        let (login_url, org, path) =
            (vendor.login_url.clone(), vendor.control.org_id().to_string(), path.clone());
        process(None, async move {
            let (_state, vault) = open(&file(&path), &path).await;
            vault.keep(1, &log_in(&salesforce_client(&login_url), &org).await).await.unwrap();
        });
    };
    login();
    let started = Instant::now();
    process(None, renew(path.clone(), vendor.login_url.clone())).unwrap().unwrap();
    let whole = started.elapsed();
    let (mut finished, mut lost, mut reused) = (0, 0, 0);
    for kill in 0..kills {
        let share = kill as f64 / kills as f64 * 1.2;
        let done = process(Some(whole.mul_f64(share)), renew(path.clone(), vendor.login_url.clone()));
        finished += u64::from(done.is_some());
        let kept = process(None, {
            let path = path.clone();
            async move { stored(&path).await }
        })
        .unwrap();
        let is_current = vendor.control.refresh_tokens().contains(&kept);
        let next = process(None, renew(path.clone(), vendor.login_url.clone())).unwrap();
        match is_current {
            true => drop(next.unwrap_or_else(|error| panic!("kill {kill}: {error:?}"))),
            false => {
                lost += 1;
                reused += 1;
                assert_eq!(next.unwrap_err().kind(), Kind::Unauthenticated, "kill {kill}");
                login();
            }
        }
        assert_eq!(vendor.control.reused_tokens(), reused, "kill {kill}: a token was used twice");
    }
    println!("{kills} kills: {finished} refreshes had ended, {lost} answers were lost on their way");
    assert!(finished < kills, "no refresh was interrupted");
}
