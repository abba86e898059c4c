//! Object types and their properties, as the discovery endpoints describe them.

use serde_json::{Value, json};

/// A property of an object type.
#[derive(Debug, Clone)]
pub(super) struct Property {
    pub(super) name: String,
    pub(super) label: String,
    /// `string`, `number`, `bool`, `enumeration`, `date`, `datetime` ...
    pub(super) kind: String,
    pub(super) field: String,
    /// Value and label of each option.
    pub(super) options: Vec<(String, String)>,
    pub(super) unique: bool,
    pub(super) calculated: bool,
    pub(super) sensitive: bool,
    pub(super) defined_by_hubspot: bool,
    pub(super) number_hint: Option<&'static str>,
    pub(super) refers_to: Option<&'static str>,
    pub(super) archived: bool,
}

impl Property {
    pub(super) fn new(name: &str, label: &str, kind: &str, field: &str) -> Self {
        Property {
            name: name.into(),
            label: label.into(),
            kind: kind.into(),
            field: field.into(),
            options: Vec::new(),
            unique: false,
            calculated: false,
            sensitive: false,
            defined_by_hubspot: true,
            number_hint: None,
            refers_to: None,
            archived: false,
        }
    }

    pub(super) fn options<'a>(mut self, options: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        self.options = options.into_iter().map(|(value, label)| (value.into(), label.into())).collect();
        self
    }

    pub(super) fn unique(mut self) -> Self {
        self.unique = true;
        self
    }

    pub(super) fn calculated(mut self) -> Self {
        self.calculated = true;
        self
    }

    pub(super) fn sensitive(mut self) -> Self {
        self.sensitive = true;
        self
    }

    pub(super) fn custom(mut self) -> Self {
        self.defined_by_hubspot = false;
        self
    }

    pub(super) fn hint(mut self, hint: &'static str) -> Self {
        self.number_hint = Some(hint);
        self
    }

    pub(super) fn owner(mut self) -> Self {
        self.refers_to = Some("OWNER");
        self
    }

    /// As `GET /crm/v3/properties/{type}` lists it.
    pub(super) fn describe(&self) -> Value {
        let options: Vec<_> = self.options.iter().enumerate().map(describe_option).collect();
        let mut described = json!({
            "name": self.name, "label": self.label, "type": self.kind, "fieldType": self.field,
            "description": "", "groupName": "information", "options": options,
            "displayOrder": -1, "calculated": self.calculated, "externalOptions": self.refers_to.is_some(),
            "archived": self.archived, "hasUniqueValue": self.unique, "hidden": false,
            "modificationMetadata": {
                "archivable": !self.defined_by_hubspot, "readOnlyDefinition": self.defined_by_hubspot,
                "readOnlyValue": self.calculated,
            },
            "formField": false,
            "dataSensitivity": if self.sensitive { "sensitive" } else { "non_sensitive" },
        });
        // HubSpot leaves these out where they say nothing.
        if self.defined_by_hubspot {
            described["hubspotDefined"] = true.into();
        }
        if let Some(hint) = self.number_hint {
            described["numberDisplayHint"] = hint.into();
        }
        if let Some(target) = self.refers_to {
            described["referencedObjectType"] = target.into();
        }
        described
    }
}

fn describe_option((order, (value, label)): (usize, &(String, String))) -> Value {
    json!({ "label": label, "value": value, "displayOrder": order, "hidden": false })
}

/// An object type.
#[derive(Debug, Clone)]
pub(super) struct ObjectType {
    /// In paths: `deals`.
    pub(super) name: String,
    /// `deal`.
    pub(super) singular: String,
    /// `0-3`, `2-12345678`.
    pub(super) id: String,
    pub(super) label: (String, String),
    pub(super) custom: bool,
    pub(super) display: String,
    /// The property that carries the modified date.
    pub(super) modified: &'static str,
    /// Properties of an answer that asks for none.
    pub(super) defaults: Vec<&'static str>,
    /// Any one of these scopes lets read records.
    pub(super) scopes: Vec<&'static str>,
    pub(super) properties: Vec<Property>,
    pub(super) archived: bool,
}

impl ObjectType {
    /// Whether a path may call the type so.
    pub(super) fn is_called(&self, name: &str) -> bool {
        let lower = name.to_lowercase();
        let by_name = !self.custom && (lower == self.name || lower == self.singular);
        by_name || lower == self.id || (self.custom && lower == self.qualified())
    }

    /// `p62515_car`: the name with the portal's number, which is the same in all simulated portals.
    pub(super) fn qualified(&self) -> String {
        format!("p62515_{}", self.name)
    }

    pub(super) fn property(&self, name: &str) -> Option<&Property> {
        self.properties.iter().find(|property| property.name == name && !property.archived)
    }

    /// As `GET /crm-object-schemas/v3/schemas` lists it.
    pub(super) fn describe(&self) -> Value {
        json!({
            "labels": { "singular": self.label.0, "plural": self.label.1 },
            "requiredProperties": [self.display], "searchableProperties": [self.display],
            "primaryDisplayProperty": self.display, "secondaryDisplayProperties": [], "archived": self.archived,
            "id": self.id.trim_start_matches("2-"), "fullyQualifiedName": self.qualified(),
            "createdAt": "2025-01-01T00:00:00Z", "updatedAt": "2025-01-01T00:00:00Z",
            "objectTypeId": self.id, "name": self.name,
            "properties": self.properties.iter().filter(|p| !p.archived).map(Property::describe).collect::<Vec<_>>(),
            "associations": [],
        })
    }
}

/// The standard types a portal of ours has, and one custom type.
pub(super) fn types(stages: &[(&str, &str)], industries: &[&str]) -> Vec<ObjectType> {
    let industries: Vec<_> = industries.iter().map(|name| (*name, *name)).collect();
    vec![
        standard("contacts", "contact", "0-1", ("Contact", "Contacts"), "email", contact_properties()),
        standard(
            "companies",
            "company",
            "0-2",
            ("Company", "Companies"),
            "name",
            company_properties(&industries),
        ),
        standard("deals", "deal", "0-3", ("Deal", "Deals"), "dealname", deal_properties(stages)),
        standard("tickets", "ticket", "0-5", ("Ticket", "Tickets"), "subject", ticket_properties()),
        standard("products", "product", "0-7", ("Product", "Products"), "name", product_properties()),
        standard(
            "line_items",
            "line_item",
            "0-8",
            ("Line item", "Line items"),
            "name",
            line_item_properties(),
        ),
        ObjectType {
            name: "car".into(),
            singular: "car".into(),
            id: "2-12345678".into(),
            label: ("Car".into(), "Cars".into()),
            custom: true,
            display: "plate".into(),
            modified: "hs_lastmodifieddate",
            defaults: vec!["hs_object_id", "hs_createdate", "hs_lastmodifieddate"],
            scopes: vec!["crm.objects.custom.read"],
            properties: with_common(
                "hs_lastmodifieddate",
                "hs_createdate",
                vec![
                    Property::new("plate", "Number plate", "string", "text").unique().custom(),
                    Property::new("seats", "Seats", "number", "number").custom(),
                    Property::new("electric", "Electric", "bool", "booleancheckbox").custom(),
                ],
            ),
            archived: false,
        },
    ]
}

fn standard(
    name: &str,
    singular: &str,
    id: &str,
    label: (&str, &str),
    display: &str,
    properties: Vec<Property>,
) -> ObjectType {
    let is_contact = name == "contacts";
    let modified = if is_contact { "lastmodifieddate" } else { "hs_lastmodifieddate" };
    let (defaults, scopes): (&[&str], &[&str]) = match name {
        "contacts" => (&["firstname", "lastname", "email"], &["crm.objects.contacts.read"]),
        "companies" => (&["name", "domain"], &["crm.objects.companies.read"]),
        "deals" => {
            (&["dealname", "amount", "closedate", "dealstage", "pipeline"], &["crm.objects.deals.read"])
        }
        "tickets" => (&["subject", "content", "hs_pipeline", "hs_pipeline_stage"], &["tickets"]),
        "products" => (&["name", "price"], &["crm.objects.products.read", "e-commerce"]),
        _ => (&["quantity", "amount", "price"], &["crm.objects.line_items.read", "e-commerce"]),
    };
    let mut defaults = defaults.to_vec();
    defaults.extend(["createdate", modified, "hs_object_id"]);
    let mut properties = with_common(modified, "createdate", properties);
    if is_contact {
        // Exists, but does not move: a filter on it finds the wrong records.
        properties.push(Property::new("hs_lastmodifieddate", "Object last modified", "datetime", "date"));
    }
    ObjectType {
        name: name.into(),
        singular: singular.into(),
        id: id.into(),
        label: (label.0.into(), label.1.into()),
        custom: false,
        display: display.into(),
        modified,
        defaults,
        scopes: scopes.to_vec(),
        properties,
        archived: false,
    }
}

fn with_common(modified: &str, created: &str, mut properties: Vec<Property>) -> Vec<Property> {
    properties.extend([
        Property::new("hs_object_id", "Record ID", "number", "number").unique(),
        Property::new(created, "Create date", "datetime", "date"),
        Property::new(modified, "Last modified date", "datetime", "date"),
        Property::new("hs_merged_object_ids", "Merged record IDs", "enumeration", "checkbox"),
        Property::new("hubspot_owner_id", "Owner", "enumeration", "select").owner(),
    ]);
    properties
}

fn contact_properties() -> Vec<Property> {
    vec![
        Property::new("email", "Email", "string", "text").unique(),
        Property::new("firstname", "First name", "string", "text"),
        Property::new("lastname", "Last name", "string", "text"),
        Property::new("phone", "Phone number", "phone_number", "phonenumber"),
        Property::new("lifecyclestage", "Lifecycle stage", "enumeration", "radio")
            .options([("lead", "Lead"), ("customer", "Customer")]),
        Property::new("interests", "Interests", "enumeration", "checkbox").custom().options([
            ("mail", "Mail"),
            ("events", "Events"),
            ("calls", "Calls"),
        ]),
        Property::new("tax_number", "Tax number", "string", "text").custom().sensitive(),
    ]
}

fn company_properties(industries: &[(&str, &str)]) -> Vec<Property> {
    vec![
        Property::new("name", "Company name", "string", "text"),
        Property::new("domain", "Company domain name", "string", "text"),
        Property::new("industry", "Industry", "enumeration", "select").options(industries.iter().copied()),
        Property::new("city", "City", "string", "text"),
        Property::new("numberofemployees", "Number of employees", "number", "number"),
    ]
}

fn deal_properties(stages: &[(&str, &str)]) -> Vec<Property> {
    vec![
        Property::new("dealname", "Deal name", "string", "text"),
        Property::new("amount", "Amount", "number", "number").hint("currency"),
        Property::new(
            "amount_in_home_currency",
            "Amount in company currency",
            "number",
            "calculation_equation",
        )
        .calculated()
        .hint("currency"),
        Property::new("deal_currency_code", "Currency", "enumeration", "select")
            .options([("EUR", "Euro"), ("USD", "US dollar")]),
        Property::new("dealstage", "Deal stage", "enumeration", "radio").options(stages.iter().copied()),
        Property::new("pipeline", "Pipeline", "enumeration", "select")
            .options([("default", "Sales pipeline")]),
        Property::new("closedate", "Close date", "datetime", "date"),
        Property::new("signed_on", "Signed on", "date", "date").custom(),
        Property::new("is_renewal", "Renewal", "enumeration", "booleancheckbox")
            .custom()
            .options([("true", "Yes"), ("false", "No")]),
        Property::new("hs_is_closed", "Is deal closed?", "bool", "calculation_equation").calculated(),
        Property::new("days_to_close", "Days to close", "number", "calculation_equation").calculated(),
        Property::new("hs_time_in_stage", "Time in stage", "number", "calculation_read_time")
            .calculated()
            .hint("duration"),
        Property::new("description", "Description", "string", "textarea"),
    ]
}

fn ticket_properties() -> Vec<Property> {
    vec![
        Property::new("subject", "Ticket name", "string", "text"),
        Property::new("content", "Description", "string", "textarea"),
        Property::new("hs_pipeline", "Pipeline", "enumeration", "select")
            .options([("0", "Support pipeline")]),
        Property::new("hs_pipeline_stage", "Status", "enumeration", "select")
            .options([("1", "New"), ("4", "Closed")]),
    ]
}

fn product_properties() -> Vec<Property> {
    vec![
        Property::new("name", "Name", "string", "text"),
        Property::new("hs_sku", "SKU", "string", "text").unique(),
        Property::new("price", "Unit price", "number", "number").hint("currency"),
    ]
}

fn line_item_properties() -> Vec<Property> {
    vec![
        Property::new("name", "Name", "string", "text"),
        Property::new("quantity", "Quantity", "number", "number"),
        Property::new("price", "Unit price", "number", "number").hint("currency"),
        Property::new("amount", "Net price", "number", "calculation_equation").calculated().hint("currency"),
        Property::new("hs_product_id", "Product ID", "number", "number"),
    ]
}
