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
    incoming: Incoming,
}

/// What has been read of an answer.
#[derive(Default)]
struct Incoming {
    /// Bytes that are left of the current message.
    body: usize,
    /// The part of a header that has arrived.
    header: Vec<u8>,
    rows: u64,
    /// Whether the server waits for the next request.
    is_ready: bool,
}

impl Incoming {
    fn take(&mut self, mut rest: &[u8]) {
        while !rest.is_empty() {
            let skipped = self.body.min(rest.len());
            (self.body, rest) = (self.body - skipped, &rest[skipped..]);
            let taken = (5 - self.header.len()).min(rest.len());
            if self.body > 0 || taken == 0 {
                continue;
            }
            self.header.extend_from_slice(&rest[..taken]);
            rest = &rest[taken..];
            let [kind, length @ ..] = self.header.as_slice() else { continue };
            let Ok(length) = <[u8; 4]>::try_from(length) else { continue };
            let kind = *kind;
            self.body = u32::from_be_bytes(length) as usize - 4;
            match kind {
                // A row of a query, or of COPY.
                b'D' | b'd' => self.rows += 1,
                b'E' => panic!("{}", String::from_utf8_lossy(rest)),
                b'Z' => self.is_ready = true,
                _ => {}
            }
            self.header.clear();
        }
    }
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
        Wire { stream, buffer: vec![0; 256 * 1024], incoming: Incoming::default() }
    }

    /// Runs the query to its end and returns how many rows came.
    pub(crate) fn fetch(&mut self, sql: &str, format: Format) -> u64 {
        self.stream.write_all(&request(sql, format)).unwrap();
        self.rest()
    }

    /// Starts the query and waits for its first row.
    pub(crate) fn start(&mut self, sql: &str, format: Format) {
        self.stream.write_all(&request(sql, format)).unwrap();
        while self.incoming.rows == 0 && !self.incoming.is_ready {
            self.read();
        }
    }

    /// Reads to the end of what was started and returns how many rows came in all.
    pub(crate) fn rest(&mut self) -> u64 {
        while !self.incoming.is_ready {
            self.read();
        }
        self.incoming.is_ready = false;
        std::mem::take(&mut self.incoming.rows)
    }

    /// Prepares the statement that [`Self::execute`] executes.
    pub(crate) fn prepare(&mut self, sql: &str) {
        let mut out = Vec::new();
        message(&mut out, b'P', &[b"s\0", sql.as_bytes(), b"\0", &[0, 0]]);
        message(&mut out, b'S', &[]);
        self.stream.write_all(&out).unwrap();
        self.rest();
    }

    /// Executes it, with a text as its parameter where it has one, and returns how many rows came, in binary.
    pub(crate) fn execute(&mut self, parameter: Option<&str>) -> u64 {
        let mut out = Vec::new();
        match parameter {
            None => message(&mut out, b'B', &[b"\0s\0", &[0, 0, 0, 0], &[0, 1, 0, 1]]),
            Some(text) => {
                let length = (text.len() as u32).to_be_bytes();
                message(&mut out, b'B', &[b"\0s\0", &[0, 0, 0, 1], &length, text.as_bytes(), &[0, 1, 0, 1]]);
            }
        }
        message(&mut out, b'E', &[b"\0", &[0, 0, 0, 0]]);
        message(&mut out, b'S', &[]);
        self.stream.write_all(&out).unwrap();
        self.rest()
    }

    fn read(&mut self) {
        let length = self.stream.read(&mut self.buffer).unwrap();
        assert!(length > 0, "the server closed the connection");
        self.incoming.take(&self.buffer[..length]);
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
