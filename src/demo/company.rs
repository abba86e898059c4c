//! The customer of the simulated vendors: its people, accounts, contacts and deals. A seed determines everything.

use super::random::Random;

/// How many of everything there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// People who own deals.
    pub people: usize,
    /// Companies that buy.
    pub accounts: usize,
    /// People who work there.
    pub contacts: usize,
    /// Deals with them.
    pub deals: usize,
}

impl Default for Size {
    fn default() -> Self {
        Size { people: 8, accounts: 40, contacts: 90, deals: 250 }
    }
}

/// Somebody who sells.
#[derive(Debug, Clone)]
pub(super) struct Person {
    pub(super) first: &'static str,
    pub(super) last: &'static str,
    pub(super) email: String,
    /// Left the company: archived at HubSpot, inactive at Salesforce.
    pub(super) left: bool,
}

/// Somebody who buys.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) domain: String,
    pub(super) industry: &'static str,
    pub(super) city: &'static str,
    pub(super) employees: usize,
    pub(super) owner: usize,
    /// Milliseconds since 1970.
    pub(super) created: i64,
}

/// Somebody to talk to.
#[derive(Debug, Clone)]
pub(super) struct Contact {
    pub(super) first: &'static str,
    pub(super) last: &'static str,
    pub(super) email: String,
    pub(super) account: usize,
    pub(super) created: i64,
}

/// Something that may be sold.
#[derive(Debug, Clone)]
pub(super) struct Deal {
    pub(super) name: String,
    pub(super) account: usize,
    pub(super) contact: usize,
    pub(super) owner: usize,
    /// Hundredths of the currency; a few deals have none yet.
    pub(super) cents: Option<u64>,
    /// Index into [`STAGES`].
    pub(super) stage: usize,
    pub(super) created: i64,
    pub(super) modified: i64,
    /// `2025-03-01`.
    pub(super) closes: String,
}

/// A step of the way to a sale.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stage {
    /// Identifier at HubSpot.
    pub(super) id: &'static str,
    /// Label, and the stage's name at Salesforce.
    pub(super) label: &'static str,
    /// Chance of a sale in percent.
    pub(super) percent: u64,
    pub(super) closed: bool,
}

/// The way to a sale.
pub(super) const STAGES: &[Stage] = &[
    Stage { id: "appointmentscheduled", label: "Appointment Scheduled", percent: 20, closed: false },
    Stage { id: "qualifiedtobuy", label: "Qualified To Buy", percent: 40, closed: false },
    Stage { id: "presentationscheduled", label: "Presentation Scheduled", percent: 60, closed: false },
    Stage { id: "contractsent", label: "Contract Sent", percent: 90, closed: false },
    Stage { id: "closedwon", label: "Closed Won", percent: 100, closed: true },
    Stage { id: "closedlost", label: "Closed Lost", percent: 0, closed: true },
];

/// Industries of accounts.
pub(super) const INDUSTRIES: &[&str] = &["Retail", "Banking", "Energy", "Healthcare", "Machinery", "Media"];

const FIRST: &[&str] = &[
    "Anna", "Ben", "Carla", "David", "Elif", "Felix", "Grace", "Hugo", "Ines", "Jonas", "Katja", "Liam",
    "Mona", "Noah", "Olga", "Paul",
];
const LAST: &[&str] = &[
    "Albrecht", "Baker", "Costa", "Duarte", "Evans", "Fischer", "Garcia", "Hansen", "Ivanova", "Jansen",
    "Kaya", "Lopez", "Møller", "Novak", "O'Brien", "Petrov",
];
const NAME: &[&str] =
    &["North", "Blue", "Prime", "Alpine", "Harbor", "Silver", "Quick", "Solid", "Urban", "Vital"];
const KIND: &[&str] = &["Works", "Foods", "Systems", "Logistics", "Labs", "Energy", "Textiles", "Partners"];
const CITY: &[&str] = &["Berlin", "Lisbon", "Kraków", "Oslo", "Lyon", "Porto", "Graz", "Gent"];
const THING: &[&str] = &["Rollout", "Renewal", "Pilot", "Expansion", "Migration", "Support"];

/// 2025-01-01T00:00:00Z in milliseconds.
const START: i64 = 1_735_689_600_000;
const DAY: i64 = 86_400_000;
/// Deals were made over so many days.
const DAYS: usize = 300;

/// The whole customer.
#[derive(Debug, Clone)]
pub(super) struct Company {
    pub(super) people: Vec<Person>,
    pub(super) accounts: Vec<Account>,
    pub(super) contacts: Vec<Contact>,
    pub(super) deals: Vec<Deal>,
}

impl Company {
    pub(super) fn new(seed: u64, size: Size) -> Self {
        let mut random = Random::new(seed);
        let people: Vec<_> = (0..size.people.max(1)).map(|n| person(&mut random, n)).collect();
        let accounts: Vec<_> =
            (0..size.accounts.max(1)).map(|n| account(&mut random, n, people.len())).collect();
        let contacts: Vec<_> =
            (0..size.contacts.max(1)).map(|n| contact(&mut random, n, &accounts)).collect();
        let deals =
            (0..size.deals).map(|n| deal(&mut random, n, &accounts, contacts.len(), people.len())).collect();
        Company { people, accounts, contacts, deals }
    }
}

fn moment(random: &mut Random) -> i64 {
    START + random.below(DAYS) as i64 * DAY + random.below(DAY as usize) as i64
}

fn ascii(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase()
}

fn person(random: &mut Random, number: usize) -> Person {
    let (first, last) = (random.pick(FIRST), random.pick(LAST));
    let email = format!("{}.{}{number}@tributary.example", ascii(first), ascii(last));
    Person { first, last, email, left: number % 8 == 7 }
}

fn account(random: &mut Random, number: usize, people: usize) -> Account {
    let name = format!("{} {} {}", random.pick(NAME), random.pick(KIND), number + 1);
    Account {
        domain: format!("{}.example", ascii(&name)),
        name,
        industry: random.pick(INDUSTRIES),
        city: random.pick(CITY),
        employees: 5 + random.below(5_000),
        owner: random.below(people),
        created: moment(random),
    }
}

fn contact(random: &mut Random, number: usize, accounts: &[Account]) -> Contact {
    let account = random.below(accounts.len());
    let (first, last) = (random.pick(FIRST), random.pick(LAST));
    let domain = accounts.get(account).map_or("example", |account| account.domain.as_str());
    let email = format!("{}.{}{number}@{domain}", ascii(first), ascii(last));
    Contact { first, last, email, account, created: moment(random) }
}

fn deal(random: &mut Random, number: usize, accounts: &[Account], contacts: usize, people: usize) -> Deal {
    let account = random.below(accounts.len());
    let buyer = accounts.get(account).map_or("", |account| account.name.as_str());
    let created = moment(random);
    let length = (5 + random.below(90)) as i64 * DAY;
    let closes = chrono::DateTime::from_timestamp_millis(created + length).unwrap_or_default();
    Deal {
        name: format!("{buyer} - {} {}", random.pick(THING), number + 1),
        account,
        contact: random.below(contacts),
        owner: random.below(people),
        cents: (random.below(20) != 0).then(|| 50_000 + random.next() % 25_000_000),
        stage: random.below(STAGES.len()),
        created,
        modified: created + random.below(length as usize) as i64,
        closes: closes.format("%Y-%m-%d").to_string(),
    }
}

/// `77600.55` of 7760055.
pub(super) fn decimal(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_determines_the_company() {
        let make = |seed| format!("{:?}", Company::new(seed, Size::default()));
        assert_eq!(make(7), make(7));
        assert_ne!(make(7), make(8));
        assert_eq!(decimal(7_760_005), "77600.05");
    }
}
