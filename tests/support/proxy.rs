//! A proxy of HTTP/1.1 between a server under test and an object store, that injects what goes wrong on the way.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// 503 as S3 says it; the store never sees the request.
    SlowDown,
    /// 500; the store never sees the request.
    Broken,
    /// The store does it, and the answer is lost.
    LostAnswer,
    /// The connection ends before the store sees the request.
    Cut,
    /// It takes longer.
    Delay(Duration),
    /// 403.
    Denied,
    /// 400 with the code of S3 for a session token that has expired.
    Expired,
    /// 401, as Google says of a token that has expired.
    LoggedOut,
    /// 429, as Google says of an object that is written too often; the store never sees the request.
    TooMany,
}

/// A request as the rules see it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Whether it creates only what does not exist.
    pub(crate) is_conditional: bool,
}

impl Seen {
    pub(crate) fn is_commit(&self) -> bool {
        self.method == "PUT" && self.path.contains("/_delta_log/") && self.is_conditional
    }
}

type Rule = Box<dyn FnMut(&Seen) -> Option<Fault> + Send>;

/// A proxy on a free port. It lives as long as the test process.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    store: u16,
    rule: Mutex<Option<Rule>>,
    requests: AtomicUsize,
    injected: AtomicUsize,
    /// The stores used here look first and write then, with a gap between: real ones do both at once.
    conditional: Mutex<()>,
}

impl Proxy {
    /// In front of the store at `port` of this machine.
    pub(crate) fn start(store: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            store,
            rule: Mutex::new(None),
            requests: AtomicUsize::new(0),
            injected: AtomicUsize::new(0),
            conditional: Mutex::new(()),
        });
        let proxy = Proxy { port, shared: shared.clone() };
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = shared.clone();
                // A client that goes away in the middle is no failure of the test.
                std::thread::spawn(move || serve(&shared, &client).ok());
            }
        });
        proxy
    }

    /// From now on every request is asked about; replaces the rule before.
    pub(crate) fn rule(&self, rule: impl FnMut(&Seen) -> Option<Fault> + Send + 'static) {
        *self.shared.rule.lock().unwrap() = Some(Box::new(rule));
    }

    /// No more faults.
    pub(crate) fn heal(&self) {
        *self.shared.rule.lock().unwrap() = None;
    }

    pub(crate) fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Faults injected so far.
    pub(crate) fn injected(&self) -> usize {
        self.shared.injected.load(Ordering::SeqCst)
    }
}

fn serve(shared: &Shared, client: &TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut head = String::new();
    while reader.read_line(&mut head)? > 2 {}
    if head.is_empty() {
        return Ok(());
    }
    let header = |name: &str| {
        head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_string())
        })
    };
    let mut body = vec![0; header("content-length").map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body)?;
    let mut words = head.split(' ');
    let seen = Seen {
        method: words.next().unwrap_or_default().to_string(),
        path: words.next().unwrap_or_default().to_string(),
        is_conditional: ["if-none-match", "x-goog-if-generation-match"]
            .iter()
            .any(|name| header(name).is_some()),
    };
    shared.requests.fetch_add(1, Ordering::SeqCst);
    let fault = shared.rule.lock().unwrap().as_mut().and_then(|rule| rule(&seen));
    if fault.is_some() {
        shared.injected.fetch_add(1, Ordering::SeqCst);
    }
    let mut client = client;
    let refuse = |client: &mut &TcpStream, status: &str, code: &str| {
        let body =
            format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>injected</Message></Error>");
        let length = body.len();
        let head =
            format!("HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {length}\r\n");
        write!(client, "{head}Connection: close\r\n\r\n{body}")
    };
    match fault {
        Some(Fault::SlowDown) => return refuse(&mut client, "503 Slow Down", "SlowDown"),
        Some(Fault::Broken) => return refuse(&mut client, "500 Internal Server Error", "InternalError"),
        Some(Fault::Denied) => return refuse(&mut client, "403 Forbidden", "AccessDenied"),
        Some(Fault::Expired) => return refuse(&mut client, "400 Bad Request", "ExpiredToken"),
        Some(Fault::LoggedOut) => return refuse(&mut client, "401 Unauthorized", "AuthenticationRequired"),
        Some(Fault::TooMany) => return refuse(&mut client, "429 Too Many Requests", "SlowDown"),
        Some(Fault::Cut) => return Ok(()),
        Some(Fault::Delay(time)) => std::thread::sleep(time),
        Some(Fault::LostAnswer) | None => {}
    }
    let answer = {
        let _one = seen.is_conditional.then(|| shared.conditional.lock().unwrap());
        forward(shared, &head, &body)?
    };
    match fault {
        Some(Fault::LostAnswer) => Ok(()),
        _ => client.write_all(&answer),
    }
}

/// One request on a connection of its own; what comes back until the store closes it.
fn forward(shared: &Shared, head: &str, body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut lines: Vec<String> = head
        .trim_end()
        .lines()
        .filter(|line| !line.to_lowercase().starts_with("connection:"))
        .map(str::to_string)
        .collect();
    lines.push("Connection: close".into());
    let mut store = TcpStream::connect(("127.0.0.1", shared.store))?;
    write!(store, "{}\r\n\r\n", lines.join("\r\n"))?;
    store.write_all(body)?;
    let mut answer = Vec::new();
    store.read_to_end(&mut answer)?;
    Ok(answer)
}

/// Sends one request by hand, for what a store must have before a test; returns its status line.
pub(crate) fn request(port: u16, head: &[&str]) -> String {
    let mut store = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let host = format!("Host: 127.0.0.1:{port}");
    write!(store, "{}\r\n{host}\r\nConnection: close\r\n\r\n", head.join("\r\n")).unwrap();
    let mut answer = Vec::new();
    store.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_string()
}
