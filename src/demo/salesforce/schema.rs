//! Objects and their fields, as describe tells them.

use serde_json::{Value, json};

use super::store::Version;
use super::value::Cell;

/// Computes the value of a formula field when it is read.
pub(super) type Formula = fn(&Version, i64) -> Cell;

/// A field.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) label: String,
    pub(super) kind: &'static str,
    pub(super) length: u32,
    pub(super) precision: u32,
    pub(super) scale: u32,
    pub(super) nillable: bool,
    pub(super) compound: Option<&'static str>,
    pub(super) options: Vec<String>,
    pub(super) refers_to: Vec<&'static str>,
    pub(super) relationship: Option<&'static str>,
    pub(super) filterable: bool,
    pub(super) is_name: bool,
    pub(super) unique: bool,
    pub(super) external: bool,
    pub(super) formula: Option<Formula>,
    /// Hidden by field-level security.
    pub(super) hidden: bool,
}

impl Field {
    pub(super) fn new(name: &str, label: &str, kind: &'static str) -> Self {
        Field {
            name: name.into(),
            label: label.into(),
            kind,
            length: if matches!(kind, "string" | "picklist" | "textarea" | "email" | "url") {
                255
            } else {
                0
            },
            precision: 0,
            scale: 0,
            nillable: true,
            compound: None,
            options: Vec::new(),
            refers_to: Vec::new(),
            relationship: None,
            // Long text cannot be filtered, nor can compound fields.
            filterable: !matches!(kind, "textarea" | "address" | "location" | "base64"),
            is_name: false,
            unique: false,
            external: false,
            formula: None,
            hidden: false,
        }
    }

    pub(super) fn number(mut self, precision: u32, scale: u32) -> Self {
        (self.precision, self.scale) = (precision, scale);
        self
    }

    pub(super) fn options<'a>(mut self, options: impl IntoIterator<Item = &'a str>) -> Self {
        self.options = options.into_iter().map(String::from).collect();
        self
    }

    pub(super) fn refers(mut self, to: &[&'static str], relationship: &'static str) -> Self {
        (self.refers_to, self.relationship) = (to.to_vec(), Some(relationship));
        self
    }

    pub(super) fn part_of(mut self, compound: &'static str) -> Self {
        self.compound = Some(compound);
        self
    }

    pub(super) fn name(mut self) -> Self {
        (self.is_name, self.nillable) = (true, false);
        self
    }

    pub(super) fn external(mut self) -> Self {
        (self.external, self.unique) = (true, true);
        self
    }

    pub(super) fn required(mut self) -> Self {
        self.nillable = false;
        self
    }

    pub(super) fn formula(mut self, formula: Formula) -> Self {
        self.formula = Some(formula);
        self
    }

    pub(super) fn is_custom(&self) -> bool {
        self.name.ends_with("__c")
    }

    /// The value of the field in a record at `now`.
    pub(super) fn value(&self, version: &Version, now: i64) -> Cell {
        match self.formula {
            Some(formula) => formula(version, now),
            None => version.get(&self.name),
        }
    }

    fn describe(&self) -> Value {
        let soap = match self.kind {
            "id" | "reference" => "tns:ID",
            "boolean" => "xsd:boolean",
            "int" => "xsd:int",
            "currency" | "double" | "percent" => "xsd:double",
            "date" => "xsd:date",
            "datetime" => "xsd:dateTime",
            "address" => "urn:address",
            _ => "xsd:string",
        };
        let picklist: Vec<_> = self
            .options
            .iter()
            .map(|value| json!({ "active": true, "defaultValue": false, "label": value, "value": value, "validFor": null }))
            .collect();
        json!({
            "name": self.name, "label": self.label, "type": self.kind, "soapType": soap, "length": self.length,
            "byteLength": self.length * 3, "precision": self.precision, "scale": self.scale,
            "digits": if self.kind == "int" { self.precision } else { 0 }, "nillable": self.nillable,
            "custom": self.is_custom(), "calculated": self.formula.is_some(), "compoundFieldName": self.compound,
            "picklistValues": picklist, "restrictedPicklist": false, "referenceTo": self.refers_to,
            "relationshipName": self.relationship, "polymorphicForeignKey": self.refers_to.len() > 1,
            "filterable": self.filterable, "sortable": self.filterable && self.kind != "multipicklist",
            "groupable": self.filterable, "encrypted": self.kind == "encryptedstring", "nameField": self.is_name,
            "unique": self.unique, "externalId": self.external, "idLookup": self.kind == "id" || self.external,
            "highScaleNumber": false, "deprecatedAndHidden": false, "createable": self.formula.is_none(),
            "updateable": self.formula.is_none(), "aggregatable": true, "autoNumber": false,
            "caseSensitive": false, "defaultedOnCreate": false, "htmlFormatted": false, "namePointing": self.refers_to.len() > 1,
            "permissionable": self.nillable, "queryByDistance": false, "inlineHelpText": null,
        })
    }
}

/// An object.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) name: String,
    pub(super) label: String,
    pub(super) plural: String,
    /// First three characters of its ids.
    pub(super) prefix: &'static str,
    pub(super) queryable: bool,
    pub(super) replicateable: bool,
    /// Whether the Bulk API knows it.
    pub(super) bulk: bool,
    /// A query must filter by one of these.
    pub(super) must_filter: &'static [&'static str],
    pub(super) fields: Vec<Field>,
    /// Hidden from the login.
    pub(super) hidden: bool,
    /// When its definition last changed, in milliseconds.
    pub(super) changed: i64,
}

impl Object {
    /// A field that the login may see, whatever its case.
    pub(super) fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name) && !field.hidden)
    }

    /// The entry of the list of objects.
    pub(super) fn summary(&self, version: &str) -> Value {
        let root = format!("/services/data/{version}/sobjects/{}", self.name);
        let custom = self.name.ends_with("__c");
        json!({
            "activateable": false, "associateEntityType": null, "createable": true, "custom": custom,
            "customSetting": false, "deepCloneable": false, "deletable": true, "deprecatedAndHidden": false,
            "feedEnabled": false, "hasSubtypes": false, "isInterface": false, "isSubtype": false,
            "keyPrefix": self.prefix, "label": self.label, "labelPlural": self.plural, "layoutable": true,
            "mergeable": matches!(self.prefix, "001" | "003" | "00Q" | "500"), "mruEnabled": true, "name": self.name,
            "queryable": self.queryable, "replicateable": self.replicateable, "retrieveable": true,
            "searchable": true, "triggerable": true, "undeletable": true, "updateable": true,
            "urls": { "sobject": root, "describe": format!("{root}/describe"), "rowTemplate": format!("{root}/{{ID}}") },
        })
    }

    /// The complete description.
    pub(super) fn describe(&self, version: &str) -> Value {
        let mut described = self.summary(version);
        let fields = self.fields.iter().filter(|field| !field.hidden);
        described["fields"] = fields.map(Field::describe).collect();
        described["childRelationships"] = json!([]);
        described["recordTypeInfos"] = json!([]);
        described
    }
}
