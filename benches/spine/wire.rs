//! The cheapest possible client: it logs in, asks, and counts messages without looking into them, so that what
//! is measured is the server.

use std::io::{Read, Write};
use std::net::TcpStream;

/// How results are asked for.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Format {
    /// Simple protocol.
    Text,
    /// Extended protocol, every column in binary.
    Binary,
}

/// A connection that is logged in and idle.
pub(crate) struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Wire {
    pub(crate) fn connect(config: &tokio_postgres::Config) -> Self {
        let port = config.get_ports()[0];
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        let for_login = stream.try_clone().unwrap();
        for_login.set_nonblocking(true).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let for_login = tokio::net::TcpStream::from_std(for_login).unwrap();
            // Dropped after the login without a farewell; the other handle of the socket stays open.
            let _logged_in = config.connect_raw(for_login, tokio_postgres::NoTls).await.unwrap();
        });
        stream.set_nonblocking(false).unwrap();
        Wire { stream, buffer: vec![0; 256 * 1024] }
    }

    /// Runs the query to its end and returns how many rows came.
    pub(crate) fn fetch(&mut self, sql: &str, format: Format) -> u64 {
        self.stream.write_all(&request(sql, format)).unwrap();
        let mut rows = 0;
        // What is left of the current message, and the part of a header that has arrived.
        let mut body = 0;
        let mut header = Vec::with_capacity(5);
        loop {
            let length = self.stream.read(&mut self.buffer).unwrap();
            assert!(length > 0, "the server closed the connection");
            let mut rest = &self.buffer[..length];
            while !rest.is_empty() {
                let skipped = body.min(rest.len());
                (body, rest) = (body - skipped, &rest[skipped..]);
                let taken = (5 - header.len()).min(rest.len());
                if body > 0 || taken == 0 {
                    continue;
                }
                header.extend_from_slice(&rest[..taken]);
                rest = &rest[taken..];
                if header.len() < 5 {
                    continue;
                }
                body = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize - 4;
                match header[0] {
                    b'D' => rows += 1,
                    b'E' => panic!("{sql}: {}", String::from_utf8_lossy(rest)),
                    b'Z' => return rows,
                    _ => {}
                }
                header.clear();
            }
        }
    }

    /// Starts the query, reads about so many bytes of the result, and then nothing any more.
    pub(crate) fn fetch_and_stop(&mut self, sql: &str, format: Format, bytes: usize) {
        self.stream.write_all(&request(sql, format)).unwrap();
        let mut read = 0;
        while read < bytes {
            let length = self.stream.read(&mut self.buffer).unwrap();
            assert!(length > 0, "the server closed the connection");
            read += length;
        }
    }
}

fn request(sql: &str, format: Format) -> Vec<u8> {
    let mut out = Vec::new();
    if format == Format::Text {
        message(&mut out, b'Q', &[sql.as_bytes(), b"\0"]);
        return out;
    }
    // Unnamed statement and portal, no parameters, one result format for all columns: binary.
    message(&mut out, b'P', &[b"\0", sql.as_bytes(), b"\0", &[0, 0]]);
    message(&mut out, b'B', &[b"\0\0", &[0, 0, 0, 0], &[0, 1, 0, 1]]);
    message(&mut out, b'D', &[b"P\0"]);
    message(&mut out, b'E', &[b"\0", &[0, 0, 0, 0]]);
    message(&mut out, b'S', &[]);
    out
}

fn message(out: &mut Vec<u8>, kind: u8, parts: &[&[u8]]) {
    let length = 4 + parts.iter().map(|part| part.len()).sum::<usize>();
    out.push(kind);
    out.extend_from_slice(&(length as u32).to_be_bytes());
    for part in parts {
        out.extend_from_slice(part);
    }
}
