//! A HubSpot that has nothing to do but answer: pages made before anybody asks, one thread a connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Deals of a page: HubSpot's most.
pub(crate) const PAGE: usize = 100;

const PROPERTIES: [(&str, &str, &str); 12] = [
    ("dealname", "string", "text"),
    ("amount", "number", "number"),
    ("dealstage", "enumeration", "radio"),
    ("pipeline", "enumeration", "select"),
    ("closedate", "datetime", "date"),
    ("createdate", "datetime", "date"),
    ("hs_lastmodifieddate", "datetime", "date"),
    ("hubspot_owner_id", "enumeration", "select"),
    ("deal_currency_code", "enumeration", "select"),
    ("hs_is_closed_won", "bool", "booleancheckbox"),
    ("hs_deal_stage_probability", "number", "number"),
    ("description", "string", "textarea"),
];

pub(crate) struct Vendor {
    base: String,
    shared: Arc<Shared>,
}

struct Shared {
    rows: usize,
    pages: Vec<String>,
    latency: Duration,
    asked: AtomicUsize,
}

impl Vendor {
    /// One with so many deals, that takes so long for a page of them.
    pub(crate) fn start(rows: usize, latency: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let pages = (0..rows.div_ceil(PAGE)).map(|number| page(number, rows)).collect();
        let shared = Arc::new(Shared { rows, pages, latency, asked: AtomicUsize::new(0) });
        let there = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, shared) = (stream.unwrap(), there.clone());
                std::thread::spawn(move || serve(&stream, &shared));
            }
        });
        Vendor { base, shared }
    }

    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Pages of deals that were asked for.
    pub(crate) fn pages(&self) -> usize {
        self.shared.asked.load(Ordering::Relaxed)
    }
}

fn page(number: usize, rows: usize) -> String {
    let mut text = String::from("{\"results\":[");
    let first = number * PAGE;
    let last = (first + PAGE).min(rows);
    for id in first..last {
        if id > first {
            text.push(',');
        }
        let cents = (id * 7919) % 10_000_000;
        text += &format!(
            "{{\"id\":\"{id}\",\"properties\":{{\"dealname\":\"Renewal of the framework agreement {id}\",\
             \"amount\":\"{}.{:02}\",\"dealstage\":\"presentationscheduled\",\"pipeline\":\"default\",\
             \"closedate\":\"2026-0{}-17T09:30:00Z\",\"createdate\":\"2025-11-04T08:15:22.171Z\",\
             \"hs_lastmodifieddate\":\"2026-03-02T16:44:09.{:03}Z\",\"hubspot_owner_id\":\"{}\",\
             \"deal_currency_code\":\"EUR\",\"hs_is_closed_won\":\"{}\",\
             \"hs_deal_stage_probability\":\"0.{}\",\"description\":\"Asked for three offers; decides in spring\",\
             \"hs_object_id\":\"{id}\"}},\"createdAt\":\"2025-11-04T08:15:22.171Z\",\
             \"updatedAt\":\"2026-03-02T16:44:09.{:03}Z\",\"archived\":false}}",
            cents / 100,
            cents % 100,
            1 + id % 9,
            id % 1000,
            50_000_000 + id % 60,
            id % 3 == 0,
            id % 10,
            id % 1000,
        );
    }
    text += "]";
    if last < rows {
        text += &format!(",\"paging\":{{\"next\":{{\"after\":\"{}\"}}}}", number + 1);
    }
    text + "}"
}

fn serve(stream: &TcpStream, shared: &Shared) {
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let mut words = line.split(' ');
        let (method, path) = (words.next().unwrap().to_string(), words.next().unwrap().to_string());
        let mut body_bytes = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).unwrap();
            if header == "\r\n" {
                break;
            }
            if let Some(bytes) = header.to_ascii_lowercase().strip_prefix("content-length:") {
                body_bytes = bytes.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; body_bytes];
        reader.read_exact(&mut body).unwrap();
        let (status, text) = answer(shared, &method, &path);
        let head = format!(
            "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Date: Thu, 26 Nov 2026 03:00:00 GMT\r\n\r\n",
            text.len()
        );
        let mut stream = stream;
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
    }
}

fn answer<'a>(shared: &'a Shared, method: &str, path: &str) -> (u16, std::borrow::Cow<'a, str>) {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let text = match (method, path) {
        ("GET", "/crm/v3/objects/deals") if query.contains("limit=100") => {
            shared.asked.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(shared.latency);
            let after = query.split('&').find_map(|pair| pair.strip_prefix("after="));
            let number = after.map_or(0, |number| number.parse::<usize>().unwrap());
            return (200, shared.pages[number].as_str().into());
        }
        ("GET", "/crm/v3/objects/deals" | "/crm-object-schemas/v3/schemas") => "{\"results\":[]}".into(),
        ("POST", "/crm/v3/objects/deals/search") => format!("{{\"total\":{},\"results\":[]}}", shared.rows),
        ("GET", "/account-info/v3/details") => "{\"portalId\":1}".into(),
        ("GET", "/crm/v3/properties/deals") => {
            let property = |(name, kind, field): &(&str, &str, &str)| {
                format!(
                    "{{\"name\":\"{name}\",\"label\":\"{name}\",\"type\":\"{kind}\",\"fieldType\":\"{field}\"}}"
                )
            };
            let all: Vec<_> = PROPERTIES.iter().map(property).collect();
            format!("{{\"results\":[{}]}}", all.join(","))
        }
        _ => return (404, "{\"status\":\"error\",\"category\":\"OBJECT_NOT_FOUND\"}".into()),
    };
    (200, text.into())
}
