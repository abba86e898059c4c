//! The vendors that the suite runs against: what it needs to know of each, and how records change there.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use serde_json::json;
use tributary::catalog::{Catalog, manifest::Manifest};
use tributary::demo::{Clock, Size, Traffic, hubspot, salesforce};
use tributary::error::{Error, Result};
use tributary::source::rest::token::{AccessToken, Tokens};
use tributary::source::rest::{Options, Patience};
use tributary::source::{Connectors, Source};
use zeroize::Zeroizing;

use super::replica::{Table, plain};

/// A simulated vendor with one object that has everything the suite asks for.
pub(crate) enum Vendor {
    HubSpot(hubspot::Running),
    Salesforce(salesforce::Running),
}

/// What happens to a record.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Event {
    Create,
    Update,
    Delete,
    Restore,
    Merge,
}

impl Vendor {
    pub(crate) async fn start(name: &str, seed: u64) -> Self {
        Vendor::with(name, seed, Size::default(), 100).await
    }

    /// One with so many deals, in pages as large as the vendor makes them.
    pub(crate) async fn of_size(name: &str, deals: usize) -> Self {
        Vendor::with(name, 7, Size { deals, ..Size::default() }, 2_000).await
    }

    /// One with so many deals, a hundred a page.
    pub(crate) async fn in_pages(name: &str, seed: u64, deals: usize) -> Self {
        Vendor::with(name, seed, Size { deals, ..Size::default() }, 100).await
    }

    async fn with(name: &str, seed: u64, size: Size, page_rows: usize) -> Self {
        match name {
            "hubspot" => {
                let limits = hubspot::Limits::none();
                let options = hubspot::Options { seed, size, limits, ..hubspot::Options::default() };
                Vendor::HubSpot(hubspot::start(options).await.unwrap())
            }
            _ => {
                let options = salesforce::Options { seed, size, page_rows, ..salesforce::Options::default() };
                Vendor::Salesforce(salesforce::start(options).await.unwrap())
            }
        }
    }

    pub(crate) fn connector(&self) -> &'static str {
        match self {
            Vendor::HubSpot(_) => "hubspot",
            Vendor::Salesforce(_) => "salesforce",
        }
    }

    pub(crate) fn base(&self) -> &str {
        match self {
            Vendor::HubSpot(running) => &running.base_url,
            Vendor::Salesforce(running) => &running.base_url,
        }
    }

    pub(crate) fn traffic(&self) -> &Traffic {
        match self {
            Vendor::HubSpot(running) => running.control.traffic(),
            Vendor::Salesforce(running) => running.control.traffic(),
        }
    }

    pub(crate) fn clock(&self) -> &Clock {
        match self {
            Vendor::HubSpot(running) => running.control.clock(),
            Vendor::Salesforce(running) => running.control.clock(),
        }
    }

    /// The object, its key and three fields: a name, a stage, an amount.
    pub(crate) fn object(&self) -> (&'static str, [&'static str; 4]) {
        match self {
            Vendor::HubSpot(_) => ("deal", ["id", "dealname", "dealstage", "amount"]),
            Vendor::Salesforce(_) => ("Opportunity", ["Id", "Name", "StageName", "Amount"]),
        }
    }

    /// The part of a path that every page of a full read has.
    pub(crate) fn list_path(&self) -> &'static str {
        match self {
            Vendor::HubSpot(_) => "GET /crm/v3/objects/deals",
            Vendor::Salesforce(_) => "/services/data/v62.0/query",
        }
    }

    /// A source of its own, as one sync opens it.
    pub(crate) fn source(&self) -> Arc<dyn Source> {
        self.source_of(&|_| ())
    }

    /// A source of the vendor's manifest with changes.
    pub(crate) fn source_of(&self, change: &dyn Fn(&mut Manifest)) -> Arc<dyn Source> {
        let mut manifest = Manifest::clone(Catalog::embedded().unwrap().get(self.connector()).unwrap());
        // The suite is no test of patience.
        manifest.http.limits.clear();
        change(&mut manifest);
        let mut catalog = Catalog::default();
        catalog.add(manifest);
        let patience = Patience {
            between_bytes: Duration::from_secs(1),
            unit: Duration::from_millis(2),
            ..Patience::default()
        };
        let bases = [(self.connector().to_string(), self.base().to_string())].into();
        let connectors = Connectors::new(catalog, Options { bases, patience }).unwrap();
        let tokens: Option<Arc<dyn Tokens>> = match self {
            Vendor::HubSpot(_) => None,
            Vendor::Salesforce(running) => {
                Some(Arc::new(Sessions(running.control.clone(), running.base_url.clone())))
            }
        };
        let secrets = match self {
            Vendor::HubSpot(_) => HashMap::from([("token".to_string(), hubspot::PRIVATE_TOKEN.to_string())]),
            Vendor::Salesforce(_) => HashMap::new(),
        };
        connectors.open(self.connector(), &json!({}), &secrets, tokens).unwrap()
    }

    /// What the vendor has now.
    pub(crate) fn truth(&self) -> Table {
        match self {
            Vendor::HubSpot(running) => {
                let row = |live: hubspot::Live| {
                    let get = |name: &str| live.properties.get(name).cloned();
                    let values =
                        vec![get("dealname"), get("dealstage"), get("amount").map(|amount| plain(&amount))];
                    (live.id.to_string(), values)
                };
                running.control.live("deals").into_iter().map(row).collect()
            }
            Vendor::Salesforce(running) => {
                let text = |cell: Option<&salesforce::Cell>| match cell {
                    Some(salesforce::Cell::Text(text)) => Some(text.clone()),
                    Some(salesforce::Cell::Number(digits)) => Some(plain(digits)),
                    _ => None,
                };
                let row = |live: salesforce::Live| {
                    let get = |name: &str| text(live.fields.get(name));
                    (live.id.clone(), vec![get("Name"), get("StageName"), get("Amount")])
                };
                running.control.live("Opportunity").into_iter().map(row).collect()
            }
        }
    }

    /// Every value that the vendor has of the object, by key and field.
    pub(crate) fn values(&self) -> BTreeMap<String, BTreeMap<String, String>> {
        let moment = |millis: i64| chrono::DateTime::from_timestamp_millis(millis).unwrap().to_rfc3339();
        match self {
            Vendor::HubSpot(running) => {
                let row = |live: hubspot::Live| {
                    let fixed = [
                        ("id", live.id.to_string()),
                        ("created_at", moment(live.created_at)),
                        ("updated_at", moment(live.updated_at)),
                        ("archived", "false".into()),
                    ];
                    let fixed = fixed.map(|(name, value)| (name.to_string(), value));
                    (live.id.to_string(), live.properties.into_iter().chain(fixed).collect())
                };
                running.control.live("deals").into_iter().map(row).collect()
            }
            Vendor::Salesforce(running) => {
                let text = |cell: &salesforce::Cell| match cell {
                    salesforce::Cell::Null | salesforce::Cell::Compound(_) => None,
                    salesforce::Cell::Bool(value) => Some(value.to_string()),
                    salesforce::Cell::Time(millis) => Some(moment(*millis)),
                    salesforce::Cell::Number(text)
                    | salesforce::Cell::Text(text)
                    | salesforce::Cell::Date(text) => Some(text.clone()),
                };
                let row = |live: salesforce::Live| {
                    let fields = live.fields.iter();
                    (live.id, fields.filter_map(|(name, cell)| Some((name.clone(), text(cell)?))).collect())
                };
                running.control.live("Opportunity").into_iter().map(row).collect()
            }
        }
    }

    /// Lets so much time pass that an index has caught up.
    pub(crate) fn settle(&self) {
        self.clock().advance(Duration::from_secs(180));
    }

    /// Lets anything happen to a record.
    pub(crate) fn anything(&self, random: &mut StdRng, deleted: &mut Vec<String>) {
        use Event::{Create, Delete, Merge, Restore, Update};
        let events = [Create, Update, Update, Delete, Restore, Merge];
        self.happen(events[random.random_range(0..events.len())], random, deleted);
    }

    /// Makes a deal.
    pub(crate) fn create(&self, name: &str, random: &mut StdRng) {
        let amount = amount(random);
        match self {
            Vendor::HubSpot(running) => {
                running.control.create("deals", &[("dealname", name), ("amount", &amount)]).unwrap();
            }
            Vendor::Salesforce(running) => {
                let fields = [
                    ("Name", salesforce::Cell::from(name.to_string())),
                    ("StageName", "Prospecting".into()),
                    ("Amount", salesforce::Cell::number(amount)),
                    ("CloseDate", salesforce::Cell::date("2026-01-31")),
                ];
                running.control.create("Opportunity", &fields).unwrap();
            }
        }
    }

    /// Lets something happen to a record; `deleted` remembers who may come back.
    pub(crate) fn happen(&self, event: Event, random: &mut StdRng, deleted: &mut Vec<String>) {
        let keys: Vec<String> = self.truth().into_keys().collect();
        let amount = amount(random);
        let name = format!("Deal {} 'é\"", random.random_range(0..1_000_000));
        let any = |random: &mut StdRng| keys[random.random_range(0..keys.len())].clone();
        let (one, other) = (any(random), any(random));
        let number = |key: &str| key.parse::<u64>().unwrap();
        match (self, event) {
            (_, Event::Create) => self.create(&name, random),
            (Vendor::HubSpot(running), Event::Update) => {
                assert!(running.control.update(
                    "deals",
                    number(&one),
                    &[("amount", &amount), ("dealname", &name)]
                ));
            }
            (Vendor::HubSpot(running), Event::Delete) => {
                assert!(running.control.archive("deals", number(&one)));
                deleted.push(one);
            }
            (Vendor::HubSpot(running), Event::Restore) => {
                if let Some(key) = deleted.pop() {
                    running.control.restore("deals", number(&key));
                }
            }
            (Vendor::HubSpot(running), Event::Merge) if one != other => {
                assert!(running.control.merge("deals", number(&one), number(&other)));
            }
            (Vendor::Salesforce(running), Event::Update) => {
                let fields =
                    [("Amount", salesforce::Cell::number(amount)), ("Name", salesforce::Cell::from(name))];
                assert!(running.control.update("Opportunity", &one, &fields));
            }
            (Vendor::Salesforce(running), Event::Delete) => {
                assert!(running.control.delete("Opportunity", &one));
                deleted.push(one);
            }
            (Vendor::Salesforce(running), Event::Restore) => {
                if let Some(key) = deleted.pop() {
                    running.control.undelete("Opportunity", &key);
                }
            }
            // Opportunities cannot be merged there.
            (_, Event::Merge) => {}
        }
    }
}

fn amount(random: &mut StdRng) -> String {
    format!("{}.{:02}", random.random_range(1..1_000_000), random.random_range(0..100))
}

/// A session that is opened anew when the old one is refused.
struct Sessions(salesforce::Control, String);

#[async_trait::async_trait]
impl Tokens for Sessions {
    async fn current(&self) -> Result<Arc<AccessToken>> {
        Ok(Arc::new(AccessToken {
            secret: Zeroizing::new(self.0.open_session()),
            scheme: "Bearer".into(),
            kept: HashMap::from([("instance_url".to_string(), self.1.clone())]),
        }))
    }

    async fn renew(&self, _refused: &AccessToken) -> std::result::Result<Arc<AccessToken>, Error> {
        self.current().await
    }
}
