//! The other side of a simulated Salesforce, for tests and demonstrations.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::schema::Field;
use super::store::Store;
use super::value::Cell;
use super::{RegisteredApp, Salesforce};
use crate::demo::business::{self, Business};
use crate::demo::clock::Clock;
use crate::demo::company::{STAGES, decimal};
use crate::demo::traffic::Traffic;

/// A record that is not deleted, formulas included, as a query would show it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    /// Its id of 18 characters.
    pub id: String,
    /// Every field that the login may see.
    pub fields: BTreeMap<String, Cell>,
}

/// What happens at the vendor. An unknown object or record is a mistake of the caller that changes nothing and is
/// told by `false` or `None`.
#[derive(Debug, Clone)]
pub struct Control {
    vendor: Arc<Salesforce>,
    org: usize,
}

impl Control {
    pub(super) fn new(vendor: Arc<Salesforce>, org: usize) -> Self {
        Control { vendor, org }
    }

    /// The same, for the organisation that a login as somebody else leads to.
    pub fn other_org(&self) -> Control {
        Control { vendor: self.vendor.clone(), org: (self.org + 1) % self.vendor.orgs.len() }
    }

    /// The organisation's id.
    pub fn org_id(&self) -> &str {
        &self.vendor.orgs[self.org].id
    }

    /// The vendor's clock.
    pub fn clock(&self) -> &Clock {
        &self.vendor.clock
    }

    /// Calls that arrived, and failures to come.
    pub fn traffic(&self) -> &Traffic {
        &self.vendor.traffic
    }

    /// All records that are committed and not deleted, by id.
    pub fn live(&self, object: &str) -> Vec<Live> {
        let now = self.now();
        self.with(|store| {
            store.catch_up(now);
            let Some(table) = store.table(object) else { return Vec::new() };
            let visible: Vec<&Field> = table.object.fields.iter().filter(|field| !field.hidden).collect();
            let live = table.records.iter().filter(|(_, version)| version.deleted.is_none());
            live.map(|(id, version)| Live {
                id: id.clone(),
                fields: visible.iter().map(|field| (field.name.clone(), field.value(version, now))).collect(),
            })
            .collect()
        })
    }

    /// Makes a record and returns its id.
    pub fn create(&self, object: &str, fields: &[(&str, Cell)]) -> Option<String> {
        self.create_late(object, fields, Duration::ZERO)
    }

    /// Makes a record whose transaction takes so long: it is stamped now and seen later.
    pub fn create_late(&self, object: &str, fields: &[(&str, Cell)], delay: Duration) -> Option<String> {
        let fields = fields.iter().map(|(name, cell)| (name.to_string(), cell.clone())).collect();
        let (now, visible) = (self.now(), self.after(delay));
        self.with(|store| store.create(object, fields, now, visible))
    }

    /// Changes fields.
    pub fn update(&self, object: &str, id: &str, fields: &[(&str, Cell)]) -> bool {
        self.update_late(object, id, fields, Duration::ZERO)
    }

    /// Changes fields in a transaction that takes so long: stamped now, seen later.
    pub fn update_late(&self, object: &str, id: &str, fields: &[(&str, Cell)], delay: Duration) -> bool {
        let (now, visible) = (self.now(), self.after(delay));
        self.with(|store| {
            store.change(object, id, now, visible, |version| {
                for (name, cell) in fields {
                    version.set(name, cell.clone());
                }
            })
        })
    }

    /// Moves a record to the recycle bin.
    pub fn delete(&self, object: &str, id: &str) -> bool {
        let now = self.now();
        self.with(|store| store.delete(object, id, now, None))
    }

    /// Takes a record out of the recycle bin.
    pub fn undelete(&self, object: &str, id: &str) -> bool {
        let now = self.now();
        self.with(|store| store.undelete(object, id, now))
    }

    /// Removes a record for ever: only the log of deletions still names it.
    pub fn purge(&self, object: &str, id: &str) -> bool {
        let now = self.now();
        self.with(|store| store.purge(object, id, now))
    }

    /// Removes a record from the login's sight without deleting it, as a change of sharing does: nothing tells.
    pub fn unshare(&self, object: &str, id: &str) -> bool {
        let now = self.now();
        self.with(|store| {
            let known = store.table(object).is_some_and(|table| table.deletions.contains_key(id));
            let done = store.purge(object, id, now);
            if let (false, Some(table)) = (known, store.table_mut(object)) {
                table.deletions.remove(id);
            }
            done
        })
    }

    /// Merges `loser` into `winner`: the loser is deleted and names the winner, which takes over what it lacks.
    pub fn merge(&self, object: &str, winner: &str, loser: &str) -> bool {
        let now = self.now();
        self.with(|store| {
            let Some(table) = store.table(object) else { return false };
            let Some(lost) = table.records.get(loser).cloned() else { return false };
            if winner == loser
                || !table.records.contains_key(winner)
                || !store.delete(object, loser, now, Some(winner))
            {
                return false;
            }
            store.change(object, winner, now, now, |version| {
                for (name, cell) in lost.fields() {
                    if version.get(name) == Cell::Null && name != "MasterRecordId" {
                        version.set(name, cell.clone());
                    }
                }
            })
        })
    }

    /// Hides a field from the login, or shows it again.
    pub fn set_field_visible(&self, object: &str, field: &str, visible: bool) -> bool {
        let now = self.now();
        self.with(|store| {
            let Some(table) = store.table_mut(object) else { return false };
            table.object.changed = now;
            let found = table.object.fields.iter_mut().find(|one| one.name == field);
            found.map(|field| field.hidden = !visible).is_some()
        })
    }

    /// Hides an object from the login, or shows it again.
    pub fn set_object_visible(&self, object: &str, visible: bool) -> bool {
        self.with(|store| store.table_mut(object).map(|table| table.object.hidden = !visible).is_some())
    }

    /// Adds a custom text field.
    pub fn add_field(&self, object: &str, name: &str) -> bool {
        let now = self.now();
        self.with(|store| match store.table_mut(object) {
            Some(table) => {
                table.object.changed = now;
                table.object.fields.push(Field::new(name, name, "string"));
                true
            }
            None => false,
        })
    }

    /// Registers a connected app, in place of one with the same consumer key.
    pub fn register(&self, app: RegisteredApp) {
        self.vendor.grants.lock().register(app);
    }

    /// A session of the organisation's admin, as if somebody had logged in.
    pub fn open_session(&self) -> String {
        let until = self.after(self.vendor.options.session);
        self.vendor.grants.lock().open(self.org, until)
    }

    /// Ends all sessions; grants stay.
    pub fn end_sessions(&self) {
        self.vendor.grants.lock().end_sessions();
    }

    /// Ends all grants of the organisation and their sessions.
    pub fn revoke_grants(&self) {
        self.vendor.grants.lock().revoke_org(self.org);
    }

    /// Access tokens that are known now, expired ones included.
    pub fn access_tokens(&self) -> Vec<String> {
        self.vendor.grants.lock().access_tokens()
    }

    /// Refresh tokens that are valid now.
    pub fn refresh_tokens(&self) -> Vec<String> {
        self.vendor.grants.lock().refresh_tokens()
    }

    /// How often a refresh token was used that had been rotated out before.
    pub fn reused_tokens(&self) -> u64 {
        self.vendor.grants.lock().reused
    }

    /// Uses up calls of the last 24 hours.
    pub fn use_calls(&self, calls: u64) {
        let now = self.now();
        self.vendor.meter.lock().add(self.org, now, calls);
    }

    /// Lets the next bulk job fail.
    pub fn fail_next_job(&self, message: &str) {
        self.vendor.jobs.lock().fail_next(message);
    }

    /// Bulk jobs that nobody deleted, with their states.
    pub fn jobs(&self) -> Vec<(String, &'static str)> {
        self.vendor.jobs.lock().states()
    }

    /// Changes an opportunity after every `pause`, makes a new one now and then, and sometimes deletes one.
    pub fn keep_busy(&self, pause: Duration) -> Business {
        let control = self.clone();
        business::start(pause, move |turn| control.take_turn(turn))
    }

    fn take_turn(&self, turn: u64) {
        const OBJECT: &str = "Opportunity";
        let deals = self.live(OBJECT);
        let Some(deal) = deals.get(turn as usize % deals.len().max(1)) else { return };
        let stage = STAGES.get((turn >> 32) as usize % STAGES.len()).unwrap_or(&STAGES[0]);
        let amount = Cell::number(decimal(50_000 + (turn >> 16) % 25_000_000));
        let staged = [
            ("StageName", Cell::from(stage.label)),
            ("Probability", Cell::number(stage.percent.to_string())),
            ("IsClosed", stage.closed.into()),
            ("IsWon", (stage.closed && stage.percent == 100).into()),
        ];
        match turn % 20 {
            0 => {
                self.delete(OBJECT, &deal.id);
            }
            1..4 => {
                let name = format!("New business {}", deals.len() + 1);
                let mut fields = staged.to_vec();
                fields.extend([
                    ("Name", name.into()),
                    ("Amount", amount),
                    ("CloseDate", Cell::date("2027-01-31")),
                ]);
                self.create(OBJECT, &fields);
            }
            4..12 => {
                self.update(OBJECT, &deal.id, &[("Amount", amount)]);
            }
            _ => {
                self.update(OBJECT, &deal.id, &staged);
            }
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Store) -> T) -> T {
        act(&mut self.vendor.orgs[self.org].store.lock())
    }

    fn now(&self) -> i64 {
        self.vendor.clock.millis()
    }

    fn after(&self, delay: Duration) -> i64 {
        self.now().saturating_add(i64::try_from(delay.as_millis()).unwrap_or(i64::MAX / 4))
    }
}
