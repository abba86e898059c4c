//! Logins by SCRAM-SHA-256 (RFC 5802, 7677), as a pool of a client makes them: what depends on the password alone is
//! worked out once, so that what is measured is the server.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use crate::WINDOW;
use crate::report::Report;
use crate::support::postgres::{self, Database};
use crate::support::server::{ADMIN, ADMIN_PASSWORD, COMPANY, Server};

const CLIENTS: usize = 8;

pub(crate) fn rates(report: &mut Report, source: &Database, server: &Server) {
    let theirs = rate(source.port, postgres::USER, &source.name, postgres::PASSWORD);
    let ours = rate(server.port, ADMIN, COMPANY, ADMIN_PASSWORD);
    report.fact("new connections with SCRAM, PostgreSQL", theirs, "/s");
    report.fact("new connections with SCRAM", ours, "/s");
    report.least("tributary : PostgreSQL", ours / theirs, 2.0, "x");
}

fn rate(port: u16, user: &str, database: &str, password: &str) -> f64 {
    let done = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut keys = None;
                let until = Instant::now() + WINDOW;
                while Instant::now() < until {
                    log_in(port, user, database, password, &mut keys);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    done.load(Ordering::Relaxed) as f64 / WINDOW.as_secs_f64()
}

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

fn log_in(port: u16, user: &str, database: &str, password: &str, keys: &mut Option<(String, Vec<u8>)>) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut startup = 196_608_u32.to_be_bytes().to_vec();
    for part in ["user", user, "database", database, ""] {
        startup.extend_from_slice(part.as_bytes());
        startup.push(0);
    }
    stream.write_all(&((startup.len() + 4) as u32).to_be_bytes()).unwrap();
    stream.write_all(&startup).unwrap();
    assert_eq!(answer(&mut stream, b'R')[..4], [0, 0, 0, 10]);
    let first = "n=,r=rOprNGfwEbeRWgbNEkqO";
    let mut initial = b"SCRAM-SHA-256\0".to_vec();
    initial.extend_from_slice(&((first.len() + 3) as u32).to_be_bytes());
    initial.extend_from_slice(format!("n,,{first}").as_bytes());
    send(&mut stream, &initial);
    let challenge = String::from_utf8(answer(&mut stream, b'R')[4..].to_vec()).unwrap();
    let part = |name: &str| challenge.split(',').find_map(|part| part.strip_prefix(name)).unwrap();
    let (salt, rounds) = (part("s="), part("i=").parse().unwrap());
    if keys.as_ref().is_none_or(|(known, _)| known != salt) {
        let mut salted = [0; 32];
        let bytes = BASE64.decode(salt).unwrap();
        pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), &bytes, rounds, &mut salted);
        *keys = Some((salt.to_string(), hmac(&salted, b"Client Key")));
    }
    let client_key = &keys.as_ref().unwrap().1;
    let last = format!("c=biws,r={}", part("r="));
    let signature = hmac(&Sha256::digest(client_key), format!("{first},{challenge},{last}").as_bytes());
    let proof: Vec<u8> = client_key.iter().zip(signature).map(|(key, sign)| key ^ sign).collect();
    send(&mut stream, format!("{last},p={}", BASE64.encode(proof)).as_bytes());
    while answer_of_any(&mut stream).0 != b'Z' {}
    stream.write_all(&[b'X', 0, 0, 0, 4]).unwrap();
}

fn send(stream: &mut TcpStream, body: &[u8]) {
    let mut message = vec![b'p'];
    message.extend_from_slice(&((body.len() + 4) as u32).to_be_bytes());
    message.extend_from_slice(body);
    stream.write_all(&message).unwrap();
}

fn answer(stream: &mut TcpStream, kind: u8) -> Vec<u8> {
    let (found, body) = answer_of_any(stream);
    assert_eq!(found, kind, "{}", String::from_utf8_lossy(&body));
    body
}

fn answer_of_any(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut header = [0; 5];
    stream.read_exact(&mut header).unwrap();
    let length = u32::from_be_bytes(header[1..].try_into().unwrap());
    let mut body = vec![0; length as usize - 4];
    stream.read_exact(&mut body).unwrap();
    assert_ne!(header[0], b'E', "{}", String::from_utf8_lossy(&body));
    (header[0], body)
}
