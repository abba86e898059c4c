//! Several nodes on one state and one store.

use super::*;

/// A node of the company whose state is `state`. Data folders differ, the key does not.
fn node(state: &Database, bucket: &Bucket, first: Option<&Server>) -> Server {
    let builder = Server::builder();
    if let Some(first) = first {
        std::fs::create_dir_all(builder.data_directory()).unwrap();
        std::fs::copy(first.data.join("key"), builder.data_directory().join("key")).unwrap();
    }
    bucket.used_by(builder).args(&["--state", &state.url(), "--lease-seconds", "2"]).start()
}

/// Holds up every write of data until it is told to go on.
fn slow_writes(bucket: &Bucket, time: Duration) {
    bucket.proxy.rule(move |seen| {
        (seen.method == "PUT" && seen.path.contains(".parquet")).then_some(Fault::Delay(time))
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_nodes_one_syncs_an_object_and_both_serve_the_result() {
    let (bucket, state, database) = (Bucket::new(Kind::S3), postgres::database().await, source().await);
    let first = node(&state, &bucket, None);
    adopt(&first, &database);
    first.rows(&["CALL sync('crm','full')"]);
    slow_writes(&bucket, Duration::from_secs(4));
    let mut syncing = first.client("psql").args(["-c", "CALL sync('crm','full')"]).spawn().unwrap();
    until(|| first.rows(&["SELECT count(*) FROM tributary.run WHERE status = 'running'"]) == "1");
    // A second node starts and ends nothing of the first.
    let second = node(&state, &bucket, Some(&first));
    assert_eq!(second.rows(&["SELECT count(*) FROM tributary.run WHERE status = 'running'"]), "1");
    let refused = second.error("CALL sync('crm','full')");
    assert!(refused.contains("55P03") && refused.contains("is being synced already"), "{refused}");
    let run = second.rows(&["SELECT id FROM tributary.run WHERE status = 'running'"]);
    assert!(second.error(&format!("CALL cancel({run})")).contains("by another node"));
    assert!(syncing.wait().unwrap().success());
    bucket.proxy.heal();
    change(&database).await;
    first.rows(&["CALL sync('crm','diff')"]);
    until(|| seen(&second) == seen(&first));
    assert_eq!(seen(&second), truth(&database).await);
    change(&database).await;
    second.rows(&["CALL sync('crm','diff')"]);
    until(|| seen(&first) == seen(&second));
    assert_eq!(seen(&first), truth(&database).await);
}

/// What a session that listens on both channels hears.
async fn listening(node: &Server) -> (tokio_postgres::Client, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let (client, mut connection) = node.config().connect(tokio_postgres::NoTls).await.unwrap();
    let (sender, heard) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut messages = futures::stream::poll_fn(move |context| connection.poll_message(context));
        while let Some(Ok(message)) = futures::StreamExt::next(&mut messages).await {
            if let tokio_postgres::AsyncMessage::Notification(told) = message {
                sender.send(format!("{} {}", told.channel(), told.payload())).ok();
            }
        }
    });
    client.batch_execute("LISTEN tributary_batch; LISTEN tributary_sync").await.unwrap();
    (client, heard)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_told_on_every_node() {
    let (bucket, state, database) = (Bucket::new(Kind::S3), postgres::database().await, source().await);
    let first = node(&state, &bucket, None);
    adopt(&first, &database);
    let second = node(&state, &bucket, Some(&first));
    let (here, mut heard_here) = listening(&first).await;
    let (there, mut heard_there) = listening(&second).await;
    // The second node looks every second, from when it looked first.
    tokio::time::sleep(Duration::from_secs(3)).await;
    first.rows(&["CALL sync('crm','full')", "CALL run_batch()"]);
    for _ in 0..3 {
        let limit = Duration::from_secs(30);
        let told = tokio::time::timeout(limit, heard_here.recv()).await.unwrap().unwrap();
        let also = tokio::time::timeout(limit, heard_there.recv()).await.unwrap().unwrap();
        assert_eq!(told, also);
        // Who hears of a release can read it there.
        let payload: serde_json::Value = serde_json::from_str(told.split_once(' ').unwrap().1).unwrap();
        if let Some(release) = payload["release"].as_i64() {
            let newest: i64 = second.rows(&["SELECT max(id) FROM tributary.release"]).parse().unwrap();
            assert!(newest >= release, "{told}");
        }
    }
    assert!(heard_there.try_recv().is_err(), "nothing twice");
    drop((here, there));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_slept_beyond_its_lease_commits_nothing() {
    let (bucket, state, database) = (Bucket::new(Kind::S3), postgres::database().await, source().await);
    let sleeper = node(&state, &bucket, None);
    adopt(&sleeper, &database);
    sleeper.rows(&["CALL sync('crm','full')"]);
    let awake = node(&state, &bucket, Some(&sleeper));
    let signal = |name: &str| {
        let pid = sleeper.pid().to_string();
        assert!(std::process::Command::new("kill").args([name, &pid]).status().unwrap().success());
    };
    change(&database).await;
    slow_writes(&bucket, Duration::from_secs(3));
    let mut syncing = sleeper.client("psql").args(["-c", "CALL sync('crm','diff')"]).spawn().unwrap();
    let writing = bucket.proxy.injected();
    until(|| bucket.proxy.injected() > writing);
    signal("-STOP");
    bucket.proxy.heal();
    // The lease and the node run out; the run is ended by the other, which takes over.
    until(|| awake.rows(&["SELECT count(*) FROM tributary.run WHERE status = 'running'"]) == "0");
    until(|| awake.psql(&["CALL sync('crm','diff')"]).status.success());
    let version_then = version(&awake);
    signal("-CONT");
    assert!(!syncing.wait().unwrap().success(), "the sleeper says that it failed");
    until(|| {
        sleeper
            .rows(&["SELECT cause FROM tributary.run ORDER BY id"])
            .contains("lost the lease on \"crm\".deal")
            || sleeper.rows(&["SELECT cause FROM tributary.run ORDER BY id"]).contains("lost the lease on")
    });
    assert_eq!((version(&awake), seen(&awake)), (version_then, truth(&database).await));
    change(&database).await;
    sleeper.rows(&["CALL sync('crm','diff')"]);
    assert_eq!(seen(&sleeper), truth(&database).await);
}
