//! The objects of an organisation of ours: standard ones, a custom one, and some that a connector must not offer or
//! cannot read in bulk.

use super::schema::{Field, Object};
use super::store::Version;
use super::value::Cell;
use crate::demo::company::{INDUSTRIES, STAGES};

/// All objects.
pub(super) fn all() -> Vec<Object> {
    let stages = STAGES.iter().map(|stage| stage.label);
    vec![
        object(
            "Account",
            "Account",
            "Accounts",
            "001",
            vec![
                Field::new("Name", "Account Name", "string").name(),
                owner(),
                Field::new("MasterRecordId", "Master Record ID", "reference")
                    .refers(&["Account"], "MasterRecord"),
                Field::new("Industry", "Industry", "picklist").options(INDUSTRIES.iter().copied()),
                Field::new("NumberOfEmployees", "Employees", "int").number(8, 0),
                Field::new("AnnualRevenue", "Annual Revenue", "currency").number(18, 0),
                Field::new("Website", "Website", "url"),
                Field::new("BillingCity", "Billing City", "string").part_of("BillingAddress"),
                Field::new("BillingCountry", "Billing Country", "string").part_of("BillingAddress"),
                Field::new("BillingAddress", "Billing Address", "address").formula(billing_address),
                Field::new("Description", "Account Description", "textarea"),
                Field::new("Regions__c", "Regions", "multipicklist").options(["North", "South", "West"]),
                Field::new("ERP_Number__c", "ERP Number", "string").external(),
            ],
        ),
        object(
            "Contact",
            "Contact",
            "Contacts",
            "003",
            vec![
                Field::new("LastName", "Last Name", "string").part_of("Name").required(),
                Field::new("FirstName", "First Name", "string").part_of("Name"),
                Field::new("Name", "Full Name", "string").name().formula(full_name),
                Field::new("AccountId", "Account ID", "reference").refers(&["Account"], "Account"),
                owner(),
                Field::new("MasterRecordId", "Master Record ID", "reference")
                    .refers(&["Contact"], "MasterRecord"),
                Field::new("Email", "Email", "email"),
            ],
        ),
        object(
            "Opportunity",
            "Opportunity",
            "Opportunities",
            "006",
            vec![
                Field::new("Name", "Name", "string").name(),
                Field::new("AccountId", "Account ID", "reference").refers(&["Account"], "Account"),
                owner(),
                Field::new("StageName", "Stage", "picklist").options(stages).required(),
                Field::new("Amount", "Amount", "currency").number(18, 2),
                Field::new("Probability", "Probability (%)", "percent").number(3, 0),
                Field::new("ExpectedRevenue", "Expected Amount", "currency").number(18, 2).formula(expected),
                Field::new("CloseDate", "Close Date", "date").required(),
                Field::new("IsClosed", "Closed", "boolean").required(),
                Field::new("IsWon", "Won", "boolean").required(),
                Field::new("Description", "Description", "textarea"),
                Field::new("Days_Open__c", "Days Open", "double").number(18, 0).formula(days_open),
            ],
        ),
        object(
            "OpportunityLineItem",
            "Opportunity Product",
            "Opportunity Product",
            "00k",
            vec![
                Field::new("OpportunityId", "Opportunity ID", "reference")
                    .refers(&["Opportunity"], "Opportunity")
                    .required(),
                Field::new("Product2Id", "Product ID", "reference").refers(&["Product2"], "Product2"),
                Field::new("Name", "Opportunity Product Name", "string").name(),
                Field::new("Quantity", "Quantity", "double").number(12, 2),
                Field::new("UnitPrice", "Sales Price", "currency").number(18, 2),
            ],
        ),
        object(
            "Product2",
            "Product",
            "Products",
            "01t",
            vec![
                Field::new("Name", "Product Name", "string").name(),
                Field::new("ProductCode", "Product Code", "string"),
            ],
        ),
        object(
            "Task",
            "Task",
            "Tasks",
            "00T",
            vec![
                Field::new("Subject", "Subject", "combobox").name(),
                Field::new("WhoId", "Name ID", "reference").refers(&["Contact", "Lead"], "Who"),
                Field::new("WhatId", "Related To ID", "reference")
                    .refers(&["Account", "Opportunity"], "What"),
                owner(),
            ],
        ),
        object(
            "Lead",
            "Lead",
            "Leads",
            "00Q",
            vec![
                Field::new("LastName", "Last Name", "string").name(),
                Field::new("Company", "Company", "string").required(),
            ],
        ),
        user(),
        organization(),
        object(
            "Invoice__c",
            "Invoice",
            "Invoices",
            "a00",
            vec![
                Field::new("Name", "Invoice Number", "string").name(),
                Field::new("Opportunity__c", "Opportunity", "reference")
                    .refers(&["Opportunity"], "Opportunity__r"),
                Field::new("Total__c", "Total", "currency").number(16, 2),
                Field::new("Paid__c", "Paid", "boolean").required(),
            ],
        ),
        Object {
            bulk: false,
            ..object(
                "CaseStatus",
                "Case Status Value",
                "Case Status Value",
                "01J",
                vec![
                    Field::new("MasterLabel", "Master Label", "string").name(),
                    Field::new("IsClosed", "Closed", "boolean"),
                ],
            )
        },
        Object {
            must_filter: &["ContentDocumentId", "LinkedEntityId"],
            ..object(
                "ContentDocumentLink",
                "Content Document Link",
                "Content Document Link",
                "06A",
                vec![
                    Field::new("ContentDocumentId", "ContentDocument ID", "reference"),
                    Field::new("LinkedEntityId", "Linked Entity ID", "reference"),
                ],
            )
        },
        Object {
            queryable: false,
            replicateable: false,
            ..object(
                "OpportunityChangeEvent",
                "Opportunity Change Event",
                "Opportunity Change Event",
                "0x1",
                Vec::new(),
            )
        },
    ]
}

fn object(name: &str, label: &str, plural: &str, prefix: &'static str, own: Vec<Field>) -> Object {
    let mut fields = vec![
        Field::new("Id", "Record ID", "id").required(),
        Field::new("IsDeleted", "Deleted", "boolean").required(),
    ];
    fields.extend(own);
    fields.extend([
        Field::new("CurrencyIsoCode", "Currency", "picklist").options(["EUR", "USD"]),
        Field::new("CreatedDate", "Created Date", "datetime").required(),
        Field::new("LastModifiedDate", "Last Modified Date", "datetime").required(),
        Field::new("SystemModstamp", "System Modstamp", "datetime").required(),
    ]);
    fields[0].length = 18;
    Object {
        name: name.into(),
        label: label.into(),
        plural: plural.into(),
        prefix,
        queryable: true,
        replicateable: true,
        bulk: true,
        must_filter: &[],
        fields,
        hidden: false,
        changed: 0,
    }
}

fn user() -> Object {
    let mut user = object(
        "User",
        "User",
        "Users",
        "005",
        vec![
            Field::new("Username", "Username", "string").required(),
            Field::new("LastName", "Last Name", "string").part_of("Name").required(),
            Field::new("FirstName", "First Name", "string").part_of("Name"),
            Field::new("Name", "Full Name", "string").name().formula(full_name),
            Field::new("Email", "Email", "email"),
            Field::new("IsActive", "Active", "boolean").required(),
        ],
    );
    // Users are never deleted.
    user.fields.retain(|field| field.name != "IsDeleted");
    user
}

fn organization() -> Object {
    let mut organization = object(
        "Organization",
        "Organization",
        "Organization",
        "00D",
        vec![
            Field::new("Name", "Name", "string").name(),
            Field::new("IsSandbox", "Is Sandbox", "boolean"),
            Field::new("InstanceName", "Instance Name", "string"),
            Field::new("TimeZoneSidKey", "Time Zone", "picklist"),
        ],
    );
    organization.fields.retain(|field| field.name != "IsDeleted" && field.name != "CurrencyIsoCode");
    organization.replicateable = false;
    organization
}

fn owner() -> Field {
    Field::new("OwnerId", "Owner ID", "reference").refers(&["User", "Group"], "Owner").required()
}

fn full_name(version: &Version, _: i64) -> Cell {
    let text = |name: &str| match version.get(name) {
        Cell::Text(text) => text,
        _ => String::new(),
    };
    Cell::from(format!("{} {}", text("FirstName"), text("LastName")).trim())
}

fn billing_address(version: &Version, _: i64) -> Cell {
    let (city, country) = (version.get("BillingCity"), version.get("BillingCountry"));
    if city == Cell::Null && country == Cell::Null {
        return Cell::Null;
    }
    let part = |name: &str, cell: Cell| (name.to_string(), cell);
    Cell::Compound(vec![
        part("city", city),
        part("country", country),
        part("geocodeAccuracy", Cell::Null),
        part("latitude", Cell::Null),
        part("longitude", Cell::Null),
        part("postalCode", Cell::Null),
        part("state", Cell::Null),
        part("street", Cell::Null),
    ])
}

/// Amount times probability, in whole hundredths.
fn expected(version: &Version, _: i64) -> Cell {
    let (Some(amount), Some(percent)) = (version.get("Amount").as_f64(), version.get("Probability").as_f64())
    else {
        return Cell::Null;
    };
    Cell::Number(format!("{:.2}", amount * percent / 100.0))
}

/// Changes every day without moving any date.
fn days_open(version: &Version, now: i64) -> Cell {
    match version.get("CreatedDate") {
        Cell::Time(created) => Cell::Number((now - created).div_euclid(86_400_000).to_string()),
        _ => Cell::Null,
    }
}
