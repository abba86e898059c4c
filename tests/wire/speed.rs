//! Measurements, not run by default: `cargo test --test integration wire::speed -- --ignored --nocapture`.

use std::time::Instant;

use tokio::io::AsyncReadExt;

use crate::support::wire::*;

/// Processor seconds of this process so far.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// Reads and throws away everything up to ReadyForQuery, as fast as a client can. Bytes read.
async fn drain(raw: &mut Raw) -> u64 {
    let (mut total, mut tail) = (0, Vec::new());
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = raw.stream.read(&mut buffer).await.unwrap();
        total += read as u64;
        tail.extend_from_slice(&buffer[..read]);
        if tail.ends_with(b"Z\0\0\0\x05I") {
            return total;
        }
        let keep = tail.len().saturating_sub(16);
        tail.drain(..keep);
    }
}

const TEN_COLUMNS: &str =
    "select id, name, stage, amount, currency, close_date, created, rate, won, owner from deal";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn rows_a_second() {
    let wire = start(|_| {}).await;
    let mut raw = wire.raw_session().await;
    for (name, format) in [("text", 0_u8), ("binary", 1)] {
        for round in 0..3 {
            let parse = message(b'P', format!("\0{TEN_COLUMNS}\0\0\0").as_bytes());
            let bind = message(b'B', &[0, 0, 0, 0, 0, 0, 0, 1, 0, format]);
            let messages = [parse, bind, message(b'E', b"\0\0\0\0\0"), message(b'S', b"")].concat();
            let (begin, used) = (Instant::now(), cpu());
            raw.send(&messages).await;
            let bytes = drain(&mut raw).await;
            let (seconds, used) = (begin.elapsed().as_secs_f64(), cpu() - used);
            println!(
                "{name} {round}: {:.2} M rows/s, {:.2} CPU s per M rows, {:.0} MB, {:.0} MB resident",
                DEALS as f64 / seconds / 1e6,
                used / (DEALS as f64 / 1e6),
                bytes as f64 / 1e6,
                resident()
            );
        }
    }
}

#[tokio::test]
#[ignore = "a measurement"]
async fn memory_with_a_client_that_stops_reading() {
    let wire = start(|_| {}).await;
    let mut raw = wire.raw_session().await;
    let before = resident();
    raw.send(&message(b'Q', b"select * from endless\0")).await;
    for _ in 0..5 {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        println!("{:.1} MB above idle", resident() - before);
    }
}
