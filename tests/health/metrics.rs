//! `/health` and `/metrics`, the latter read as strictly as its format is written down.

use std::collections::{BTreeMap, BTreeSet};

use super::{configured, link, moved, vendor};
use crate::oauth::web_of;

const TOKEN: &str = "canary-of-the-metrics-token";

/// Names and values, sorted.
type Labels = Vec<(String, String)>;

/// A page of Prometheus' text format 0.0.4, by sample name and labels.
struct Page {
    kinds: BTreeMap<String, String>,
    samples: BTreeMap<(String, Labels), f64>,
}

impl Page {
    /// Reads a page; panics where it is not as the format says, or not as `promtool check metrics` wants names.
    fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n') && !text.contains('\r'), "lines end with a line feed, the last one too");
        let mut page = Page { kinds: BTreeMap::new(), samples: BTreeMap::new() };
        let (mut helped, mut current) = (BTreeSet::new(), None::<String>);
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a text after the name");
                assert!(!help.trim().is_empty() && helped.insert(name.to_string()), "{line}");
                current = Some(name.into());
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert_eq!(current.as_deref(), Some(name), "TYPE follows HELP of the same name: {line}");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
                assert!(page.kinds.insert(name.into(), kind.into()).is_none(), "{name} comes twice");
            } else {
                page.sample(line, current.as_deref().expect("a family before its samples"));
            }
        }
        page.check_histograms();
        page
    }

    fn sample(&mut self, line: &str, family: &str) {
        let end = line.find(['{', ' ']).unwrap();
        let name = &line[..end];
        let is_name = |name: &str, more: &str| {
            !name.is_empty()
                && !name.starts_with(|c: char| c.is_ascii_digit())
                && name.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
        };
        assert!(is_name(name, "_:"), "{line}");
        let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("{line} within {family}"));
        let allowed: &[&str] = match self.kinds[family].as_str() {
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        assert!(allowed.contains(&suffix), "{line}");
        let (mut labels, mut rest) = (Vec::new(), &line[end..]);
        if let Some(inside) = rest.strip_prefix('{') {
            rest = inside;
            loop {
                let (label, after) = rest.split_once("=\"").unwrap();
                assert!(is_name(label, "_") && !label.starts_with("__"), "{line}");
                let (value, after) = quoted(after);
                assert!(labels.iter().all(|(known, _)| known != label), "{line}");
                labels.push((label.to_string(), value));
                match after.strip_prefix(',') {
                    Some(more) => rest = more,
                    None => {
                        rest = after.strip_prefix('}').unwrap();
                        break;
                    }
                }
            }
        }
        let value = rest.strip_prefix(' ').unwrap();
        assert!(!value.contains(' '), "no timestamps: {line}");
        let value: f64 = value.parse().unwrap();
        assert!(value.is_finite() && (self.kinds[family] == "gauge" || value >= 0.0), "{line}");
        labels.sort();
        assert!(self.samples.insert((name.into(), labels), value).is_none(), "{line} comes twice");
    }

    /// Buckets only grow, and the last one has all.
    fn check_histograms(&self) {
        for family in self.kinds.iter().filter(|(_, kind)| *kind == "histogram").map(|(name, _)| name) {
            let mut series: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
            for ((name, labels), count) in &self.samples {
                if *name == format!("{family}_bucket") {
                    let (le, others): (Vec<_>, Vec<_>) =
                        labels.iter().cloned().partition(|(name, _)| name == "le");
                    let bound = le[0].1.replace("+Inf", "inf").parse().unwrap();
                    series.entry(others).or_default().push((bound, *count));
                }
            }
            assert!(!series.is_empty(), "{family}");
            for (labels, mut buckets) in series {
                buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
                assert!(buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{buckets:?}");
                let (last, all) = *buckets.last().unwrap();
                assert!(last.is_infinite());
                assert_eq!(self.samples[&(format!("{family}_count"), labels.clone())], all);
                assert!(self.samples.contains_key(&(format!("{family}_sum"), labels)));
            }
        }
    }

    fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let mut labels: Vec<_> = labels.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
        labels.sort();
        *self
            .samples
            .get(&(name.into(), labels))
            .unwrap_or_else(|| panic!("{name} in {:?}", self.samples.keys()))
    }
}

/// The text up to the closing quote, and what follows it.
fn quoted(text: &str) -> (String, &str) {
    let (mut value, mut chars) = (String::new(), text.char_indices());
    loop {
        match chars.next().unwrap() {
            (at, '"') => return (value, &text[at + 1..]),
            (_, '\\') => value.push(match chars.next().unwrap().1 {
                'n' => '\n',
                c @ ('"' | '\\') => c,
                other => panic!("\\{other} is no escape"),
            }),
            (_, c) => value.push(c),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_for_whoever_brings_the_token() {
    let vendor = vendor().await;
    let builder = configured(&moved(&vendor)).args(&["--web-listen", "127.0.0.1:0"]);
    let server = builder.env("TRIBUTARY_METRICS_TOKEN", TOKEN).start();
    let web = web_of(&server);
    let get = async |path: &str, name: &'static str, value: String| {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.get(format!("{web}{path}")).header(name, value).send().await.unwrap();
        let kind = answer.headers()["content-type"].to_str().unwrap().to_string();
        (answer.status().as_u16(), kind, answer.text().await.unwrap())
    };
    let scrape = async || {
        let (status, kind, text) = get("/metrics", "authorization", format!("Bearer {TOKEN}")).await;
        assert_eq!((status, kind.as_str()), (200, "text/plain; version=0.0.4; charset=utf-8"), "{text}");
        Page::parse(&text)
    };
    // Before anything was done there is little to say, and that is well-formed.
    assert_eq!(scrape().await.value("tributary_alerts_open", &[("severity", "critical")]), 0.0);
    link(&server);
    server.rows(&["CALL health()"]);
    let page = scrape().await;
    let ended = [("object", "crm.deal"), ("mode", "full"), ("outcome", "succeeded")];
    assert_eq!(page.value("tributary_runs_total", &ended), 1.0);
    let deals = vendor.control.live("deals").len() as f64;
    assert_eq!(page.value("tributary_rows_total", &[("object", "crm.deal"), ("what", "read")]), deals);
    assert_eq!(page.value("tributary_rows_total", &[("object", "crm.deal"), ("what", "inserted")]), deals);
    assert_eq!(page.value("tributary_object_rows", &[("object", "crm.deal")]), deals);
    assert_eq!(page.value("tributary_run_duration_seconds_count", &[("mode", "full")]), 2.0);
    let calls: f64 =
        server.rows(&["SELECT calls FROM tributary.run WHERE object = 'crm.deal'"]).parse().unwrap();
    assert_eq!(page.value("tributary_source_calls_total", &[("object", "crm.deal")]), calls);
    let release: f64 = server.rows(&["SELECT max(id) FROM tributary.release"]).parse().unwrap();
    assert_eq!(page.value("tributary_release", &[]), release);
    let now = tributary::model::now_micros() as f64 / 1e6;
    for moment in ["tributary_release_published_timestamp_seconds", "process_start_time_seconds"] {
        assert!((now - page.value(moment, &[])).abs() < 120.0, "{moment}");
    }
    let success = page.value("tributary_object_last_success_timestamp_seconds", &[("object", "crm.deal")]);
    assert!((now - success).abs() < 120.0);
    assert!(page.value("tributary_release_age_seconds", &[]) < 120.0);
    for (state, expected) in [("green", 1.0), ("amber", 0.0), ("red", 0.0)] {
        let labels = [("connection", "crm"), ("state", state)];
        assert_eq!(page.value("tributary_connection_health", &labels), expected);
    }
    let client = server.connect().await;
    assert_eq!(scrape().await.value("tributary_sessions", &[]), 1.0);
    drop(client);
    let rss = page.value("process_resident_memory_bytes", &[]);
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap().trim();
    let told = kib.split(' ').next().unwrap().parse::<f64>().unwrap() * 1024.0;
    assert!(rss > told / 2.0 && rss < told * 2.0, "{rss} is not near {told}");

    // What failed since is counted, and what it leads to is seen.
    vendor.control.revoke(tributary::demo::hubspot::PRIVATE_TOKEN);
    server.error("CALL sync('crm', 'full')");
    super::until("the alert", || server.rows(&[super::OPEN]) == "1").await;
    let page = scrape().await;
    let failed = [("object", "crm.deal"), ("mode", "full"), ("outcome", "failed")];
    assert_eq!(page.value("tributary_runs_total", &failed), 1.0);
    assert_eq!(page.value("tributary_alerts_open", &[("severity", "critical")]), 1.0);

    let (status, kind, text) = get("/health", "accept", "application/json".into()).await;
    assert_eq!((status, kind.as_str()), (200, "application/json"));
    let told: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&told["status"], &told["release"]), (&"ok".into(), &(release as i64).into()));
    assert_eq!(told["alerts"], serde_json::json!({"critical": 1, "warning": 0}));
    assert_eq!(told["connections"], serde_json::json!({"amber": 0, "green": 1, "red": 0}));
    assert!(!text.contains("crm"), "{text}");
    assert_eq!(
        get("/health", "accept", "*/*".into()).await,
        (200, "text/plain; charset=utf-8".into(), "ok\n".into())
    );
    for wrong in [String::new(), TOKEN.to_string(), format!("Bearer {TOKEN}x"), format!("Basic {TOKEN}")] {
        let (status, _, text) = get("/metrics", "authorization", wrong).await;
        assert!(status == 401 && !text.contains("tributary_"), "{text}");
    }
    assert!(!server.said().contains(TOKEN));
    // Nobody reads them where no token was chosen.
    let open = configured("").args(&["--web-listen", "127.0.0.1:0"]).start();
    let answer = reqwest::get(format!("{}/metrics", web_of(&open))).await.unwrap();
    assert_eq!(answer.status().as_u16(), 404);
}
