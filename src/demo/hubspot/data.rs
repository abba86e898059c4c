//! The company's records as HubSpot holds them.

use std::collections::BTreeMap;

use super::schema;
use super::store::{Owner, Store};
use crate::demo::company::{Company, Deal, INDUSTRIES, STAGES, decimal};

/// Number of the first owner.
const FIRST_OWNER: u64 = 52_550_101;

type Properties = BTreeMap<String, String>;

/// A store with the company in it.
pub(super) fn fill(company: &Company) -> Store {
    let stages: Vec<_> = STAGES.iter().map(|stage| (stage.id, stage.label)).collect();
    let mut store = Store::new(schema::types(&stages, INDUSTRIES));
    store.owners = owners(company);
    let accounts = create_companies(&mut store, company);
    let contacts = create_contacts(&mut store, company, &accounts);
    let products = create_products(&mut store, company);
    for deal in &company.deals {
        create_deal(&mut store, deal, &accounts, &contacts, &products);
    }
    create_others(&mut store, company);
    store
}

fn owners(company: &Company) -> Vec<Owner> {
    let created = company.accounts.first().map_or(0, |account| account.created);
    let owner = |(number, person): (usize, &crate::demo::company::Person)| Owner {
        id: FIRST_OWNER + number as u64,
        user_id: 12_282_500 + number as u64,
        email: person.email.clone(),
        first: person.first.into(),
        last: person.last.into(),
        created,
        updated: created,
        archived: person.left,
    };
    company.people.iter().enumerate().map(owner).collect()
}

fn owner_id(number: usize) -> String {
    (FIRST_OWNER + number as u64).to_string()
}

fn properties<const N: usize>(pairs: [(&str, String); N]) -> Properties {
    pairs.into_iter().map(|(name, value)| (name.to_string(), value)).collect()
}

fn create_companies(store: &mut Store, company: &Company) -> Vec<u64> {
    let mut ids = Vec::new();
    for account in &company.accounts {
        let properties = properties([
            ("name", account.name.clone()),
            ("domain", account.domain.clone()),
            ("industry", account.industry.into()),
            ("city", account.city.into()),
            ("numberofemployees", account.employees.to_string()),
            ("hubspot_owner_id", owner_id(account.owner)),
        ]);
        ids.extend(store.create("companies", properties, account.created, 0));
    }
    ids
}

fn create_contacts(store: &mut Store, company: &Company, accounts: &[u64]) -> Vec<u64> {
    let mut ids = Vec::new();
    for (number, contact) in company.contacts.iter().enumerate() {
        let interests = ["mail", "events;calls", ";calls", ""][number % 4];
        let mut properties = properties([
            ("email", contact.email.clone()),
            ("firstname", contact.first.into()),
            ("lastname", contact.last.into()),
            ("lifecyclestage", if number % 3 == 0 { "customer" } else { "lead" }.into()),
            ("tax_number", format!("DE{:09}", number * 7_919)),
        ]);
        if !interests.is_empty() {
            properties.insert("interests".into(), interests.into());
        }
        let Some(id) = store.create("contacts", properties, contact.created, 0) else { continue };
        if let Some(account) = accounts.get(contact.account) {
            store.link(("contacts", id), ("companies", *account), None);
            if number % 5 == 0 {
                store.link(("contacts", id), ("companies", *account), Some("Decision maker"));
            }
        }
        ids.push(id);
    }
    ids
}

fn create_products(store: &mut Store, company: &Company) -> Vec<u64> {
    let created = company.accounts.first().map_or(0, |account| account.created);
    let mut ids = Vec::new();
    for (number, name) in ["Licence", "Support", "Training"].into_iter().enumerate() {
        let properties = properties([
            ("name", name.into()),
            ("hs_sku", format!("SKU-{}", number + 1)),
            ("price", decimal(45_000 + number as u64 * 12_050)),
        ]);
        ids.extend(store.create("products", properties, created, 0));
    }
    ids
}

fn create_deal(store: &mut Store, deal: &Deal, accounts: &[u64], contacts: &[u64], products: &[u64]) {
    let stage = STAGES.get(deal.stage).unwrap_or(&STAGES[0]);
    let mut properties = properties([
        ("dealname", deal.name.clone()),
        ("dealstage", stage.id.into()),
        ("pipeline", "default".into()),
        ("closedate", format!("{}T00:00:00Z", deal.closes)),
        ("deal_currency_code", "EUR".into()),
        ("hs_is_closed", stage.closed.to_string()),
        ("days_to_close", (deal.created % 90).to_string()),
        ("hubspot_owner_id", owner_id(deal.owner)),
        ("is_renewal", (deal.created % 2 == 0).to_string()),
    ]);
    if let Some(cents) = deal.cents {
        properties.insert("amount".into(), decimal(cents));
        properties.insert("amount_in_home_currency".into(), decimal(cents));
    }
    if stage.id == "closedwon" {
        properties.insert("signed_on".into(), deal.closes.clone());
    }
    let Some(id) = store.create("deals", properties, deal.created, 0) else { return };
    store.change("deals", id, deal.modified, 0, true, |_| {});
    if let Some(account) = accounts.get(deal.account) {
        store.link(("deals", id), ("companies", *account), None);
    }
    if let Some(contact) = contacts.get(deal.contact) {
        store.link(("deals", id), ("contacts", *contact), None);
    }
    if let (Some(cents), Some(product)) = (deal.cents, products.get(id as usize % products.len().max(1))) {
        let quantity = 1 + id % 4;
        let item = self::properties([
            ("name", format!("Item of {}", deal.name)),
            ("quantity", quantity.to_string()),
            ("price", decimal(cents / quantity)),
            ("amount", decimal(cents / quantity * quantity)),
            ("hs_product_id", product.to_string()),
        ]);
        if let Some(item) = store.create("line_items", item, deal.created, 0) {
            store.link(("deals", id), ("line_items", item), None);
        }
    }
}

fn create_others(store: &mut Store, company: &Company) {
    for (number, account) in company.accounts.iter().enumerate().take(12) {
        let ticket = properties([
            ("subject", format!("Question of {}", account.name)),
            ("content", "How do we export \"everything\"?\nThanks; bye".into()),
            ("hs_pipeline", "0".into()),
            ("hs_pipeline_stage", if number % 2 == 0 { "1" } else { "4" }.into()),
        ]);
        store.create("tickets", ticket, account.created, 0);
        let car = properties([
            ("plate", format!("B-TR {}", 100 + number)),
            ("seats", (2 + number % 4).to_string()),
            ("electric", (number % 2 == 0).to_string()),
        ]);
        store.create("2-12345678", car, account.created, 0);
    }
}
