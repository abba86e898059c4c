//! The other side of a simulated HubSpot, for tests and demonstrations.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::oauth::Grants;
use super::schema::Property;
use super::store::{Store, Version};
use super::{HubSpot, RegisteredApp};
use crate::demo::business::{self, Business};
use crate::demo::clock::Clock;
use crate::demo::company::{STAGES, decimal};
use crate::demo::random;
use crate::demo::traffic::Traffic;

/// A record as it is, whatever the search may say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    /// Its number.
    pub id: u64,
    /// Properties that have a value.
    pub properties: BTreeMap<String, String>,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// Milliseconds since 1970.
    pub updated_at: i64,
}

/// What happens at the vendor. Object types are named as in paths (`deals`); an unknown type or record is a mistake
/// of the caller that changes nothing and is told by `false` or `None`.
#[derive(Debug, Clone)]
pub struct Control {
    vendor: Arc<HubSpot>,
    portal: usize,
}

impl Control {
    pub(super) fn new(vendor: Arc<HubSpot>, portal: usize) -> Self {
        Control { vendor, portal }
    }

    /// The same, for the portal that a login as somebody else leads to.
    pub fn other_portal(&self) -> Control {
        Control { vendor: self.vendor.clone(), portal: (self.portal + 1) % self.vendor.portals.len() }
    }

    /// The portal's number, as `GET /account-info/v3/details` tells it.
    pub fn portal_id(&self) -> u64 {
        self.vendor.portals[self.portal].id
    }

    /// The vendor's clock.
    pub fn clock(&self) -> &Clock {
        &self.vendor.clock
    }

    /// Calls that arrived, and failures to come.
    pub fn traffic(&self) -> &Traffic {
        &self.vendor.traffic
    }

    /// All records that are neither archived nor merged away, by number.
    pub fn live(&self, object: &str) -> Vec<Live> {
        let store = self.vendor.portals[self.portal].store.lock();
        let records = store.table(object).into_iter().flat_map(|table| &table.records);
        let live = records.filter(|(_, version)| version.archived.is_none());
        live.map(|(id, version)| Live {
            id: *id,
            properties: version.properties.clone(),
            created_at: version.created,
            updated_at: version.updated,
        })
        .collect()
    }

    /// Makes a record.
    pub fn create(&self, object: &str, properties: &[(&str, &str)]) -> Option<u64> {
        let properties =
            properties.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let (now, lag) = (self.now(), self.vendor.lag());
        self.with(|store| store.create(object, properties, now, lag))
    }

    /// Changes properties; an empty value clears one.
    pub fn update(&self, object: &str, id: u64, properties: &[(&str, &str)]) -> bool {
        self.set(object, id, properties, true)
    }

    /// Changes properties without moving the modified date, as calculations do.
    pub fn update_silently(&self, object: &str, id: u64, properties: &[(&str, &str)]) -> bool {
        self.set(object, id, properties, false)
    }

    /// Moves a record to the recycle bin.
    pub fn archive(&self, object: &str, id: u64) -> bool {
        let now = self.now();
        self.change(object, id, true, |version| version.archived = Some(now))
    }

    /// Takes a record out of the recycle bin.
    pub fn restore(&self, object: &str, id: u64) -> bool {
        self.change(object, id, true, |version| version.archived = None)
    }

    /// Removes a record for ever, as a request of the GDPR does.
    pub fn purge(&self, object: &str, id: u64) -> bool {
        self.with(|store| store.purge(object, id))
    }

    /// Merges `loser` into `winner`.
    pub fn merge(&self, object: &str, winner: u64, loser: u64) -> bool {
        let (now, lag) = (self.now(), self.vendor.lag());
        self.with(|store| store.merge(object, winner, loser, now, lag))
    }

    /// Links two records; the modified dates do not move.
    pub fn associate(&self, from: (&str, u64), to: (&str, u64), label: Option<&str>) -> bool {
        self.with(|store| store.link(from, to, label))
    }

    /// Removes the links between two records; the modified dates do not move.
    pub fn dissociate(&self, from: (&str, u64), to: (&str, u64)) {
        self.with(|store| store.unlink(from, to));
    }

    /// Numbers of the records that one is linked to.
    pub fn associated(&self, from: (&str, u64), to: &str) -> Vec<u64> {
        self.with(|store| {
            let other = store.table(to).map(|table| table.kind.name.clone()).unwrap_or_default();
            let links = store.table(from.0).and_then(|table| table.links.get(&other)?.get(&from.1));
            let mut ids: Vec<_> = links.into_iter().flatten().map(|link| link.to).collect();
            ids.dedup();
            ids
        })
    }

    /// Numbers, names and e-mail addresses of all owners, and whether they are archived.
    pub fn owners(&self) -> Vec<(u64, String, String, bool)> {
        let of = |owner: &super::store::Owner| {
            (owner.id, format!("{} {}", owner.first, owner.last), owner.email.clone(), owner.archived)
        };
        self.with(|store| store.owners.iter().map(of).collect())
    }

    /// Archives an owner, who keeps the records.
    pub fn archive_owner(&self, id: u64) -> bool {
        let now = self.now();
        self.with(|store| match store.owners.iter_mut().find(|owner| owner.id == id) {
            Some(owner) => {
                owner.archived = true;
                owner.updated = now;
                true
            }
            None => false,
        })
    }

    /// Adds a custom property.
    pub fn add_property(&self, object: &str, name: &str, kind: &str) -> bool {
        let field = if kind == "number" { "number" } else { "text" };
        self.with(|store| match store.table_mut(object) {
            Some(table) => {
                table.kind.properties.retain(|property| property.name != name);
                table.kind.properties.push(Property::new(name, name, kind, field).custom());
                true
            }
            None => false,
        })
    }

    /// Archives a property: it disappears from the list and from answers, in silence.
    pub fn archive_property(&self, object: &str, name: &str) -> bool {
        self.with(|store| {
            let properties = store.table_mut(object).map(|table| &mut table.kind.properties);
            match properties.and_then(|properties| properties.iter_mut().find(|one| one.name == name)) {
                Some(property) => {
                    property.archived = true;
                    true
                }
                None => false,
            }
        })
    }

    /// Archives a custom object type.
    pub fn archive_type(&self, object: &str) -> bool {
        self.with(|store| store.table_mut(object).map(|table| table.kind.archived = true).is_some())
    }

    /// Registers an app, in place of one with the same client id.
    pub fn register(&self, app: RegisteredApp) {
        self.vendor.grants.lock().register(app);
    }

    /// Makes a private app with these scopes and returns its token.
    pub fn private_app(&self, scopes: &[&str]) -> String {
        let token = random::secret("pat-eu1-");
        self.vendor.grants.lock().add_private(token.clone(), self.portal, scopes);
        token
    }

    /// Ends a token at once; whether it was known.
    pub fn revoke(&self, token: &str) -> bool {
        self.vendor.grants.lock().forget(token)
    }

    /// Uninstalls the app: its refresh and access tokens of this portal end.
    pub fn uninstall(&self) {
        self.vendor.grants.lock().uninstall(self.portal);
    }

    /// Lets all access tokens that came by OAuth expire now.
    pub fn expire_tokens(&self) {
        let now = self.now();
        self.vendor.grants.lock().expire(now);
    }

    /// Access tokens that are known now, expired ones included.
    pub fn access_tokens(&self) -> Vec<String> {
        self.vendor.grants.lock().access_tokens()
    }

    /// Refresh tokens that are valid now.
    pub fn refresh_tokens(&self) -> Vec<String> {
        self.vendor.grants.lock().refresh_tokens()
    }

    /// Lets no portal grant these scopes from now on.
    pub fn withhold(&self, scopes: &[&str]) {
        let Grants { withheld, .. } = &mut *self.vendor.grants.lock();
        *withheld = scopes.iter().map(|scope| scope.to_string()).collect();
    }

    /// Changes a deal after every `pause`, makes a new one now and then, and sometimes archives one.
    pub fn keep_busy(&self, pause: Duration) -> Business {
        let control = self.clone();
        business::start(pause, move |turn| control.take_turn(turn))
    }

    fn take_turn(&self, turn: u64) {
        let deals = self.live("deals");
        let Some(deal) = deals.get(turn as usize % deals.len().max(1)) else { return };
        let stage = STAGES.get((turn >> 32) as usize % STAGES.len()).unwrap_or(&STAGES[0]);
        let amount = decimal(50_000 + (turn >> 16) % 25_000_000);
        match turn % 20 {
            0 => {
                self.archive("deals", deal.id);
            }
            1..4 => {
                let name = format!("New business {}", deals.len() + 1);
                let properties = [
                    ("dealname", name.as_str()),
                    ("dealstage", STAGES[0].id),
                    ("pipeline", "default"),
                    ("amount", &amount),
                    ("deal_currency_code", "EUR"),
                ];
                self.create("deals", &properties);
            }
            4..12 => {
                self.update("deals", deal.id, &[("amount", &amount)]);
            }
            _ => {
                self.update("deals", deal.id, &[("dealstage", stage.id)]);
            }
        }
    }

    fn set(&self, object: &str, id: u64, properties: &[(&str, &str)], touch: bool) -> bool {
        self.change(object, id, touch, |version| {
            for (name, value) in properties {
                match value.is_empty() {
                    true => version.properties.remove(*name),
                    false => version.properties.insert(name.to_string(), value.to_string()),
                };
            }
        })
    }

    fn change(&self, object: &str, id: u64, touch: bool, change: impl FnOnce(&mut Version)) -> bool {
        let (now, lag) = (self.now(), self.vendor.lag());
        self.with(|store| store.change(object, id, now, lag, touch, change))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Store) -> T) -> T {
        act(&mut self.vendor.portals[self.portal].store.lock())
    }

    fn now(&self) -> i64 {
        self.vendor.clock.millis()
    }
}
