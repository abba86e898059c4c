//! Disks that are full and disks that fail, under the real server. Needs root: it mounts small file systems.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::link;
use crate::support::postgres::{self, Database};
use crate::support::server::Server;

/// A small file system in memory, unmounted at the end.
struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    /// `None`, said aloud, for users who may not mount.
    fn new(mebibytes: u32) -> Option<Self> {
        if !postgres::is_root() {
            println!("skipped: only root may mount a small disk");
            return None;
        }
        let disk = SmallDisk { folder: tempfile::tempdir().unwrap() };
        let size = format!("size={mebibytes}m");
        postgres::run(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(disk.path()));
        Some(disk)
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Uses all space but `left` bytes.
    fn fill(&self, left: u64) {
        let mut zero = std::fs::File::open("/dev/zero").unwrap();
        let mut filler = std::fs::File::create(self.filler()).unwrap();
        let full = std::io::copy(&mut zero, &mut filler).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
        let size = filler.metadata().unwrap().len();
        filler.set_len(size - left).unwrap();
    }

    fn free(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(self.path()).status().ok();
    }
}

/// Deals whose notes hardly compress.
async fn source() -> Database {
    let database = postgres::database().await;
    database
        .execute(
            "CREATE TABLE deal (id bigint PRIMARY KEY, note text, updated_at timestamptz NOT NULL);
             INSERT INTO deal SELECT i, md5(random()::text), now() FROM generate_series(1, 20000) i;",
        )
        .await;
    database
}

const CHANGE: &str = "UPDATE deal SET note = md5(random()::text), updated_at = clock_timestamp()";
const DIGEST: &str = "SELECT count(*), count(DISTINCT id), sum(length(note)), min(note), max(note) FROM deal";

async fn truth(database: &Database) -> String {
    let client = database.connect().await;
    let row = client.query_one(&format!("SELECT t::text FROM ({DIGEST}) t(a,b,c,d,e)"), &[]).await.unwrap();
    row.get::<_, String>(0).trim_matches(['(', ')']).replace(',', "|")
}

fn adopt(server: &Server, database: &Database) {
    link(server, database);
    server.rows(&[
        "CALL add_object('crm', 'public.deal', unique_fields => 'id', cursor_field => 'updated_at')",
        "CALL sync('crm', 'full')",
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_onto_a_full_disk_fails_with_the_place_and_the_old_data_stay() {
    let Some(disk) = SmallDisk::new(16) else { return };
    let database = source().await;
    let storage = disk.path().join("snapshots");
    let server = Server::builder().args(&["--storage", storage.to_str().unwrap()]).start();
    adopt(&server, &database);
    let first = truth(&database).await;
    assert_eq!(server.rows(&[DIGEST]), first);
    let mut failures = 0;
    for mode in ["diff", "full"] {
        database.execute(CHANGE).await;
        let old = server.rows(&[DIGEST]);
        // A little more space each time, so that it ends at the first byte, in the rows and at the commit.
        for left in (0..).step_by(100_000) {
            disk.fill(left);
            let out = server.psql(&[&format!("CALL sync('crm', '{mode}')")]);
            disk.free();
            if out.status.success() {
                break;
            }
            failures += 1;
            let error = String::from_utf8(out.stderr).unwrap();
            assert!(error.contains("the disk is full: `"), "{left} {mode}: {error}");
            assert!(error.contains(disk.path().to_str().unwrap()) && error.contains(" MB left"), "{error}");
            assert!(error.contains("free some space"), "{error}");
            assert_eq!(server.rows(&[DIGEST]), old, "{left} {mode}");
        }
        assert_eq!(server.rows(&[DIGEST]), truth(&database).await, "{mode}");
    }
    assert!(failures > 4, "the disk was full only {failures} times");
    assert_eq!(server.rows(&["SET tributary.as_of = '1'", DIGEST]), format!("SET\n{first}"));
    let server = server.kill().start();
    assert_eq!(server.rows(&[DIGEST]), truth(&database).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_on_a_full_disk_goes_on_reading() {
    let Some(disk) = SmallDisk::new(32) else { return };
    let database = source().await;
    let server = Server::builder().data(&disk.path().join("data")).start();
    adopt(&server, &database);
    let old = truth(&database).await;
    database.execute(CHANGE).await;
    disk.fill(0);
    let error = server.error("CALL sync('crm', 'full')");
    assert!(error.contains("the disk is full"), "{error}");
    assert_eq!(server.rows(&[DIGEST]), old);
    // Nor does a start need space, but the little that is kept for it.
    let server = server.kill().start();
    assert_eq!(server.rows(&[DIGEST]), old, "after a start on the full disk");
    disk.free();
    server.rows(&["CALL sync('crm', 'full')"]);
    assert_eq!(server.rows(&[DIGEST]), truth(&database).await);
    assert_eq!(server.rows(&["SELECT count(*) FROM tributary.run WHERE status = 'running'"]), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_spills_onto_a_full_disk_fails_alone() {
    let Some(disk) = SmallDisk::new(2) else { return };
    let database = source().await;
    let builder = Server::builder().args(&["--query-memory-mib", "24"]);
    let spill = builder.data_directory().join("spill");
    std::fs::create_dir_all(&spill).unwrap();
    postgres::run(Command::new("mount").arg("--bind").arg(disk.path()).arg(&spill));
    let bound = SmallDiskBind(spill);
    let server = builder.start();
    adopt(&server, &database);
    let large = "SELECT max(n) FROM (SELECT row_number() OVER (ORDER BY a.note || b.note) AS n
                 FROM deal a JOIN deal b ON b.id % 100 = a.id % 100 AND a.id < 4000) t";
    // Memory may end before the disk does, depending on which operator takes how much first.
    let mut errors = Vec::new();
    while !errors.last().is_some_and(|error: &String| error.contains("53100")) {
        assert!(errors.len() < 10 && errors.iter().all(|error| error.contains("53200")), "{errors:?}");
        errors.push(server.error(large));
    }
    assert_eq!(server.rows(&[DIGEST]), truth(&database).await);
    drop(server);
    drop(bound);
}

struct SmallDiskBind(PathBuf);

impl Drop for SmallDiskBind {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).status().ok();
    }
}

/// Makes every fsync of one file or folder of a running server fail while it lives.
struct FailingSync(Child);

impl FailingSync {
    fn of(server: &Server, path: &Path) -> Self {
        let mut strace = Command::new("strace")
            .args(["-f", "-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO"])
            .args(["-o", "/dev/null", "-p", &server.pid().to_string(), "-P"])
            .arg(path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // It is attached when the kernel says that every thread is traced.
        let asked = Instant::now();
        while !is_traced(server.pid()) {
            assert!(strace.try_wait().unwrap().is_none(), "strace ended: may this user trace?");
            assert!(asked.elapsed() < Duration::from_secs(20), "strace did not attach");
            std::thread::sleep(Duration::from_millis(20));
        }
        FailingSync(strace)
    }

    fn end(mut self) {
        postgres::run(Command::new("kill").args(["-INT", &self.0.id().to_string()]));
        self.0.wait().unwrap();
    }
}

fn is_traced(pid: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let statuses = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("status")).ok());
    statuses.into_iter().all(|status| !status.contains("TracerPid:\t0\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failed_fsync_nothing_is_written_until_a_restart() {
    if !postgres::is_root() {
        println!("skipped: only root may make system calls of another process fail");
        return;
    }
    let database = source().await;
    let mut server = Server::start();
    adopt(&server, &database);
    let tables = std::fs::read_dir(server.data.join("snapshots/company/crm")).unwrap();
    let table = tables.map(|entry| entry.unwrap().path()).next().unwrap();
    for (folder, mode) in [("base", "full"), ("_delta_log", "diff"), ("_delta_log", "full"), ("runs", "diff")]
    {
        database.execute(&format!("{CHANGE} WHERE id % 3 = 0")).await;
        if folder == "runs" {
            // The folder must be there to be watched.
            server.rows(&["CALL sync('crm', 'diff')"]);
            database.execute(&format!("{CHANGE} WHERE id % 3 = 1")).await;
        }
        let old = server.rows(&[DIGEST]);
        let failing = FailingSync::of(&server, &table.join(folder).canonicalize().unwrap());
        let error = server.error(&format!("CALL sync('crm', '{mode}')"));
        assert!(error.contains("fsync below `") && error.contains("Input/output error"), "{folder}: {error}");
        assert!(error.contains("restart the server"), "{error}");
        failing.end();
        // The disk seems well again. That proves nothing about what it was given before.
        let refused = server.error("CALL sync('crm', 'diff')");
        assert!(refused.contains("fsync below `"), "{folder}: {refused}");
        assert_eq!(server.rows(&[DIGEST]), old, "{folder}");
        server = server.kill().start();
        assert_eq!(server.rows(&[DIGEST]), old, "{folder} after a restart");
        server.rows(&["CALL sync('crm', 'full')"]);
        assert_eq!(server.rows(&[DIGEST]), truth(&database).await, "{folder}");
    }
    assert_eq!(server.rows(&["SELECT count(*) FROM tributary.run WHERE status = 'running'"]), "0");
}
