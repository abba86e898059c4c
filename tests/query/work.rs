//! Cancel, deadlines, admission, memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use tokio::sync::mpsc;
use tributary::error::Result;
use tributary::query::{Execution, Session};

use crate::support::company::{Company, run};

/// Never ends by itself.
const ENDLESS: &str = "select count(*) from opportunity a, opportunity b, opportunity c, opportunity d where a.id + b.id < c.id - d.id - 99999";

async fn start(session: &Session, sql: &str) -> Result<Execution> {
    let parsed = session.parse(sql)?.remove(0);
    let prepared = session.prepare(&parsed, &[]).await?;
    let (notices, _) = mpsc::unbounded_channel();
    session.execute(&prepared, Vec::new(), notices).await
}

#[tokio::test]
async fn a_running_statement_is_cancelled_at_once() {
    let company = Company::new();
    let session = Arc::new(company.admin());
    for sql in [
        ENDLESS,
        "select a.id from opportunity a, opportunity b, opportunity c",
        &format!("explain analyze {ENDLESS}"),
    ] {
        let canceller = session.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(200)).await;
            canceller.cancel();
        });
        let started = Instant::now();
        let error = match start(&session, sql).await {
            Ok(Execution::Rows { mut stream, .. }) => loop {
                match stream.next().await {
                    Some(Ok(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
                    Some(Err(error)) => break tributary::query::translate(error),
                    None => panic!("{sql} ended"),
                }
            },
            Ok(_) => panic!("no rows"),
            Err(error) => error,
        };
        assert_eq!(error.sqlstate(), "57014", "{sql}");
        assert!(started.elapsed() < Duration::from_secs(1), "{sql}: {:?}", started.elapsed());
        assert_eq!(run(&session, "select 1").await.unwrap().value(), "1");
    }
}

#[tokio::test]
async fn statement_timeout_covers_the_rows() {
    let company = Company::new();
    let session = company.admin();
    run(&session, "set statement_timeout = '200ms'").await.unwrap();
    let started = Instant::now();
    let error = run(&session, ENDLESS).await.unwrap_err();
    assert_eq!((error.sqlstate(), error.what()), ("57014", "canceling statement due to statement timeout"));
    assert!(started.elapsed() < Duration::from_millis(1_200), "{:?}", started.elapsed());
    assert_eq!(run(&session, "select 1").await.unwrap().value(), "1");
}

#[tokio::test]
async fn other_statements_answer_while_heavy_ones_run() {
    let company = Company::new();
    let session = company.admin();
    let mut heavy = Vec::new();
    for _ in 0..2 {
        heavy.push(start(&session, ENDLESS).await.unwrap());
    }
    let started = Instant::now();
    assert_eq!(run(&company.admin(), "select 1").await.unwrap().value(), "1");
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[tokio::test]
async fn too_many_statements_are_refused() {
    let company = Company::with(|config| {
        config.max_running = 1;
        config.max_waiting = 1;
    });
    // One that is not answered at once.
    let one = "select max(n) from (values (1)) v (n)";
    let session = Arc::new(company.admin());
    let running = start(&session, ENDLESS).await.unwrap();
    let waiting = session.clone();
    let waiting =
        tokio::spawn(async move { run(&waiting, one).await.map(|answer| answer.value().to_string()) });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(run(&company.admin(), one).await.unwrap_err().sqlstate(), "53400");
    drop(running);
    assert_eq!(waiting.await.unwrap().unwrap(), "1");
}

#[tokio::test]
async fn a_reader_that_stops_keeps_nobody_waiting() {
    let company = Company::with(|config| config.max_running = 1);
    let session = company.admin();
    let Execution::Rows { mut stream, .. } =
        start(&session, "select a.id, b.name from opportunity a, opportunity b").await.unwrap()
    else {
        panic!("no rows");
    };
    stream.next().await.unwrap().unwrap();
    for _ in 0..3 {
        assert_eq!(run(&company.admin(), "select 1").await.unwrap().value(), "1");
    }
    let mut rows = 0;
    while let Some(batch) = stream.next().await {
        rows += batch.unwrap().num_rows();
    }
    assert!(rows > 900_000);
}

#[tokio::test]
async fn memory_is_bounded() {
    let company = Company::with(|config| {
        config.memory_bytes = 1 << 20;
        config.spill_bytes = 4 << 20;
    });
    let session = company.admin();
    let sql = "select a.name || b.name || repeat('x', 100), count(*) from opportunity a, opportunity b group by 1 order by 2";
    let error = run(&session, sql).await.unwrap_err();
    assert!(["53200", "53100", "53400"].contains(&error.sqlstate()), "{error:?}");
    assert_eq!(run(&session, "select count(*) from opportunity").await.unwrap().value(), "1000");
}
