//! The company's records as Salesforce holds them.

use std::collections::BTreeMap;

use super::objects;
use super::store::Store;
use super::value::Cell;
use crate::demo::company::{Company, Deal, STAGES, decimal};

type Fields = BTreeMap<String, Cell>;

/// A store with the company in it.
pub(super) fn fill(company: &Company, org: &str) -> Store {
    let mut store = Store::new(objects::all());
    let start = company.accounts.iter().map(|account| account.created).min().unwrap_or_default();
    let users = create_users(&mut store, company, start);
    let accounts = create_accounts(&mut store, company, &users);
    let contacts = create_contacts(&mut store, company, &accounts, &users);
    let products: Vec<_> = ["Licence", "Support", "Training"]
        .into_iter()
        .enumerate()
        .filter_map(|(number, name)| {
            let code = format!("P-{}", number + 1);
            create(
                &mut store,
                "Product2",
                fields([("Name", name.into()), ("ProductCode", code.into())]),
                start,
            )
        })
        .collect();
    for (number, deal) in company.deals.iter().enumerate() {
        create_opportunity(&mut store, deal, number, &accounts, &users, &products);
    }
    create_others(&mut store, &accounts, &contacts, &users, start, org);
    store
}

fn fields<const N: usize>(pairs: [(&str, Cell); N]) -> Fields {
    pairs.into_iter().map(|(name, cell)| (name.to_string(), cell)).collect()
}

fn create(store: &mut Store, object: &str, fields: Fields, at: i64) -> Option<String> {
    store.create(object, fields, at, at)
}

fn pick(ids: &[String], at: usize) -> Cell {
    ids.get(at).map_or(Cell::Null, |id| Cell::Text(id.clone()))
}

fn create_users(store: &mut Store, company: &Company, start: i64) -> Vec<String> {
    let mut ids = Vec::new();
    for person in &company.people {
        let fields = fields([
            ("Username", person.email.clone().into()),
            ("FirstName", person.first.into()),
            ("LastName", person.last.into()),
            ("Email", person.email.clone().into()),
            ("IsActive", (!person.left).into()),
        ]);
        ids.extend(create(store, "User", fields, start));
    }
    ids
}

fn create_accounts(store: &mut Store, company: &Company, users: &[String]) -> Vec<String> {
    let mut ids = Vec::new();
    for (number, account) in company.accounts.iter().enumerate() {
        let regions = ["North;West", "South", "", "North"][number % 4];
        let mut fields = fields([
            ("Name", account.name.clone().into()),
            ("OwnerId", pick(users, account.owner)),
            ("Industry", account.industry.into()),
            ("NumberOfEmployees", Cell::number(account.employees.to_string())),
            ("AnnualRevenue", Cell::number((account.employees * 125_000).to_string())),
            ("Website", format!("https://{}", account.domain).into()),
            ("BillingCity", account.city.into()),
            ("Regions__c", regions.into()),
            ("ERP_Number__c", format!("E{:06}", number + 1).into()),
        ]);
        if number % 3 == 0 {
            let text = format!("Talk to \"{}\",\nthen call back; N/A", account.name);
            fields.insert("Description".into(), text.into());
        }
        ids.extend(create(store, "Account", fields, account.created));
    }
    ids
}

fn create_contacts(
    store: &mut Store,
    company: &Company,
    accounts: &[String],
    users: &[String],
) -> Vec<String> {
    let mut ids = Vec::new();
    for contact in &company.contacts {
        let fields = fields([
            ("FirstName", contact.first.into()),
            ("LastName", contact.last.into()),
            ("Email", contact.email.clone().into()),
            ("AccountId", pick(accounts, contact.account)),
            ("OwnerId", pick(users, 0)),
        ]);
        ids.extend(create(store, "Contact", fields, contact.created));
    }
    ids
}

fn create_opportunity(
    store: &mut Store,
    deal: &Deal,
    number: usize,
    accounts: &[String],
    users: &[String],
    products: &[String],
) {
    let stage = STAGES.get(deal.stage).unwrap_or(&STAGES[0]);
    let made = fields([
        ("Name", deal.name.clone().into()),
        ("AccountId", pick(accounts, deal.account)),
        ("OwnerId", pick(users, deal.owner)),
        ("StageName", stage.label.into()),
        ("Amount", deal.cents.map_or(Cell::Null, |cents| Cell::number(decimal(cents)))),
        ("Probability", Cell::number(stage.percent.to_string())),
        ("CloseDate", Cell::date(deal.closes.clone())),
        ("IsClosed", stage.closed.into()),
        ("IsWon", (stage.closed && stage.percent == 100).into()),
    ]);
    let Some(id) = create(store, "Opportunity", made, deal.created) else { return };
    store.change("Opportunity", &id, deal.modified, deal.modified, |_| {});
    let Some(cents) = deal.cents else { return };
    let quantity = 1 + number as u64 % 4;
    let item = fields([
        ("OpportunityId", Cell::Text(id.clone())),
        ("Product2Id", pick(products, number % products.len().max(1))),
        ("Name", format!("Item of {}", deal.name).into()),
        ("Quantity", Cell::number(format!("{quantity}.00"))),
        ("UnitPrice", Cell::number(decimal(cents / quantity))),
    ]);
    create(store, "OpportunityLineItem", item, deal.created);
    if stage.percent == 100 {
        let invoice = fields([
            ("Name", format!("INV-{:05}", number + 1).into()),
            ("Opportunity__c", Cell::Text(id)),
            ("Total__c", Cell::number(decimal(cents))),
            ("Paid__c", number.is_multiple_of(2).into()),
        ]);
        create(store, "Invoice__c", invoice, deal.modified);
    }
}

fn create_others(
    store: &mut Store,
    accounts: &[String],
    contacts: &[String],
    users: &[String],
    start: i64,
    org: &str,
) {
    for (number, account) in accounts.iter().enumerate().take(10) {
        let task = fields([
            ("Subject", format!("Call {}", number + 1).into()),
            ("WhatId", Cell::Text(account.clone())),
            ("WhoId", pick(contacts, number)),
            ("OwnerId", pick(users, 0)),
        ]);
        create(store, "Task", task, start);
    }
    for (label, closed) in [("New", false), ("Closed", true)] {
        create(
            store,
            "CaseStatus",
            fields([("MasterLabel", label.into()), ("IsClosed", closed.into())]),
            start,
        );
    }
    let organization = fields([
        ("Name", format!("Organisation {org}").into()),
        ("IsSandbox", false.into()),
        ("InstanceName", "DEMO1".into()),
        ("TimeZoneSidKey", "Europe/Berlin".into()),
    ]);
    create(store, "Organization", organization, start);
}
