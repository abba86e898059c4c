//! The gate: its rules, and what a person decides about a run that is held.

use std::sync::Arc;

use super::object::position;
use super::{Actor, App, list, shorten};
use crate::error::{Error, Kind, Result, did_you_mean};
use crate::model::{FieldType, GateRules, ImportSettings, Object, Rule, Run};
use crate::sync::Preview;

use super::sync::Wanted;

/// The most that a sum may be allowed to move, in percent.
const MOST: i64 = 1_000_000;
/// The most records of a preview.
const MOST_RECORDS: i64 = 1_000;

/// A change of one rule.
#[derive(Debug)]
pub(super) struct RuleChange {
    pub(super) rule: String,
    /// The new limit; `None` for the default.
    pub(super) max: Option<i64>,
    pub(super) field: Option<String>,
    /// The rule does not count.
    pub(super) off: bool,
}

/// What a person decides about a held run.
#[derive(Debug, Clone, Copy)]
enum Decision {
    Approve,
    Reject,
}

/// One rule as it applies.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Applies {
    pub(super) rule: Rule,
    pub(super) field: Option<String>,
    /// `None`: it is off.
    pub(super) max: Option<u32>,
    pub(super) is_default: bool,
}

impl App {
    /// Changes one rule of an object.
    pub(super) async fn set_gate(
        &self,
        actor: &Actor,
        connection: &str,
        object: &str,
        change: RuleChange,
    ) -> Result<Object> {
        let arguments = serde_json::json!({
            "connection": connection, "object": shorten(object), "rule": shorten(&change.rule),
            "max": change.max, "field": change.field, "off": change.off,
        });
        self.audited(actor, "set_gate", &arguments.to_string(), async {
            let connection = self.connection(connection).await?;
            let mut object = self.object(&connection, object).await?;
            apply(&mut object, &change)?;
            self.change(object, "set_gate").await
        })
        .await
    }

    /// Publishes what a held run committed.
    pub(super) async fn approve(
        self: &Arc<Self>,
        actor: &Actor,
        run: Option<i64>,
        object: Option<&str>,
        reason: Option<&str>,
    ) -> Result<Run> {
        self.decide(actor, Decision::Approve, run, object, reason).await
    }

    /// Goes back to what is published.
    pub(super) async fn reject(
        self: &Arc<Self>,
        actor: &Actor,
        run: Option<i64>,
        object: Option<&str>,
        reason: Option<&str>,
    ) -> Result<Run> {
        self.decide(actor, Decision::Reject, run, object, reason).await
    }

    async fn decide(
        self: &Arc<Self>,
        actor: &Actor,
        decision: Decision,
        run: Option<i64>,
        object: Option<&str>,
        reason: Option<&str>,
    ) -> Result<Run> {
        let (verb, done) = match decision {
            Decision::Approve => ("approve", "approved"),
            Decision::Reject => ("reject", "rejected"),
        };
        let arguments = serde_json::json!({ "run": run, "object": object.map(shorten), "reason": reason });
        self.audited(actor, verb, &arguments.to_string(), async {
            let (run, object) = self.held_run(run, object).await?;
            let cause = decided(done, actor, reason, &run);
            match decision {
                Decision::Approve => {
                    if let Some(release) = self.syncer.approve(&object, &run, &cause).await? {
                        self.announce(release);
                    }
                }
                Decision::Reject => self.syncer.reject(&object, &run, &cause).await?,
            }
            self.watch.alerts.notify_one();
            self.decided_run(run.id).await
        })
        .await
    }

    /// The first records that a sync of an object would read.
    pub(super) async fn preview(
        &self,
        actor: &Actor,
        connection: &str,
        object: &str,
        records: i64,
    ) -> Result<Preview> {
        let arguments =
            serde_json::json!({ "connection": connection, "object": shorten(object), "n": records })
                .to_string();
        self.audited(actor, "preview", &arguments, async {
            let rows = usize::try_from(records).ok().filter(|_| (1..=MOST_RECORDS).contains(&records));
            let rows = rows.ok_or_else(|| {
                Error::new(Kind::Invalid, format!("`n` cannot be {records}"))
                    .with_hint(format!("accepted: 1 to {MOST_RECORDS}"))
            })?;
            let wanted = Wanted { connection, mode: "full", object: Some(object), force: None };
            let request = self.request(actor, &wanted).await?;
            self.syncer.preview(&request, rows).await
        })
        .await
    }

    async fn held_run(&self, run: Option<i64>, object: Option<&str>) -> Result<(Run, Object)> {
        let held = "SELECT id, object, cause FROM tributary.run WHERE status = 'held'";
        let objects = self.state.objects().await?;
        let run =
            match (run, object) {
                (Some(id), None) => self.state.run(id).await?.ok_or_else(|| {
                    Error::new(Kind::NotFound, format!("there is no run {id}")).with_hint(held)
                })?,
                (None, Some(name)) => {
                    let object = named(&objects, name)?;
                    self.state.held_run(&object.id).await?.ok_or_else(|| {
                        Error::new(Kind::NotFound, format!("no run of `{}` is held", object.full_name()))
                            .with_hint(held)
                    })?
                }
                _ => {
                    return Err(Error::new(Kind::Invalid, "name either a run or an object")
                        .with_hint("CALL approve(12), or CALL approve(object => 'crm.deal')"));
                }
            };
        if run.status != "held" {
            let what =
                format!("run {} of `{}` is not held: its status is `{}`", run.id, run.object, run.status);
            return Err(Error::new(Kind::Invalid, what).with_hint(held));
        }
        let object = objects.into_iter().find(|object| object.id == run.object_id).ok_or_else(|| {
            Error::new(Kind::NotFound, format!("`{}`, of which run {} is, was dropped", run.object, run.id))
        })?;
        Ok((run, object))
    }

    async fn decided_run(&self, id: i64) -> Result<Run> {
        let run = self.state.run(id).await?;
        run.ok_or_else(|| Error::internal(format!("run {id} is gone")))
    }
}

/// `approved by ada (reason): what was wrong`
fn decided(verb: &str, actor: &Actor, reason: Option<&str>, run: &Run) -> String {
    let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    let cause = run.cause.as_deref().unwrap_or("no cause is known");
    format!("{verb} by {}{reason}: {cause}", actor.name)
}

/// The object of that name, with its connection's or alone where that is unique.
fn named<'a>(objects: &'a [Object], name: &str) -> Result<&'a Object> {
    let is_it = |object: &&Object| {
        object.full_name() == name || format!("{}.{}", object.connection, object.name) == name
    };
    let short: Vec<_> = objects.iter().filter(|object| object.name == name).collect();
    match (objects.iter().find(is_it), short.as_slice()) {
        (Some(object), _) => Ok(object),
        (None, [object]) => Ok(object),
        (None, []) => {
            let names: Vec<_> = objects.iter().map(Object::full_name).collect();
            let suggestion = did_you_mean(name, names.iter().map(String::as_str));
            let what = format!("unknown object `{}`{suggestion}", shorten(name));
            Err(Error::new(Kind::NotFound, what)
                .with_hint(format!("objects: {}", list(names.iter().map(String::as_str)))))
        }
        (None, _) => {
            let what = format!("several connections have an object `{}`", shorten(name));
            let names: Vec<_> = short.iter().map(|object| object.full_name()).collect();
            Err(Error::new(Kind::Invalid, what).with_sqlstate("42P09").with_hint(names.join(", ")))
        }
    }
}

fn apply(object: &mut Object, change: &RuleChange) -> Result<()> {
    let known = Rule::ALL.iter().find(|rule| rule.as_str() == change.rule);
    let Some(rule) = known.copied() else {
        let names = Rule::ALL.map(Rule::as_str);
        let suggestion = did_you_mean(&change.rule, names.iter().copied());
        let what = format!("unknown rule `{}`{suggestion}", shorten(&change.rule));
        return Err(Error::new(Kind::Invalid, what).with_hint(format!("rules: {}", names.join(", "))));
    };
    let most = if rule == Rule::Sum { MOST } else { 100 };
    let max = change.max.map(|max| {
        u32::try_from(max).ok().filter(|_| max <= most).ok_or_else(|| {
            Error::new(Kind::Invalid, format!("rule `{}` cannot allow {max}", rule.as_str()))
                .with_hint(format!("accepted: 0 to {most}"))
        })
    });
    let max = max.transpose()?;
    if max.is_some() && change.off {
        return Err(Error::new(
            Kind::Invalid,
            format!("rule `{}` cannot have a limit and be off", rule.as_str()),
        ));
    }
    let field = match &change.field {
        None => None,
        Some(_) if !matches!(rule, Rule::Nulls | Rule::Sum) => {
            return Err(Error::new(Kind::Invalid, format!("rule `{}` is of no single field", rule.as_str()))
                .with_hint("only `nulls` and `sum` take a field"));
        }
        Some(name) => Some(object.fields[position(object, name)?].clone()),
    };
    let defaults = ImportSettings::default();
    let wanted = |default: Option<u32>| if change.off { None } else { max.or(default) };
    let gate = &mut object.import.gate;
    match (rule, field) {
        (Rule::Rows, _) if change.off => object.import.max_loss_percent = 100,
        (Rule::Rows, _) => object.import.max_loss_percent = max.unwrap_or(defaults.max_loss_percent),
        (Rule::Duplicates, _) => gate.duplicate_percent = wanted(defaults.gate.duplicate_percent),
        (Rule::Count, _) => gate.missing_percent = wanted(defaults.gate.missing_percent),
        (Rule::Nulls, None) => gate.null_points = wanted(defaults.gate.null_points),
        (Rule::Nulls, Some(field)) if max.is_none() && !change.off => {
            gate.null_points_of.remove(&field.api);
        }
        (Rule::Nulls, Some(field)) => {
            gate.null_points_of.insert(field.api, max);
        }
        (Rule::Sum, None) => {
            return Err(Error::new(Kind::Invalid, "rule `sum` needs a field")
                .with_hint("CALL set_gate('crm', 'deal', 'sum', 50, field => 'amount')"));
        }
        (Rule::Sum, Some(field)) => match max {
            None => {
                gate.sum_percent_of.remove(&field.api);
            }
            Some(max) if has_sum(&field.data_type) => {
                gate.sum_percent_of.insert(field.api, max);
            }
            Some(_) => {
                let what = format!("field `{}` of type {} has no sum", field.name, field.data_type);
                return Err(Error::new(Kind::Invalid, what).with_hint("a sum is of numbers"));
            }
        },
    }
    Ok(())
}

fn has_sum(data_type: &FieldType) -> bool {
    matches!(
        data_type,
        FieldType::Int16
            | FieldType::Int32
            | FieldType::Int64
            | FieldType::Float32
            | FieldType::Float64
            | FieldType::Decimal(..)
    )
}

/// Every rule of an object.
pub(super) fn rules(object: &Object) -> Vec<Applies> {
    let (import, defaults) = (&object.import, ImportSettings::default());
    let GateRules { null_points, duplicate_percent, missing_percent, .. } = import.gate;
    let whole = |rule, max: Option<u32>, default: Option<u32>| Applies {
        rule,
        field: None,
        max,
        is_default: max == default,
    };
    let loss = Some(import.max_loss_percent);
    let mut rules = vec![
        whole(Rule::Rows, loss, Some(defaults.max_loss_percent)),
        whole(Rule::Nulls, null_points, defaults.gate.null_points),
        whole(Rule::Duplicates, duplicate_percent, defaults.gate.duplicate_percent),
        whole(Rule::Count, missing_percent, defaults.gate.missing_percent),
    ];
    let name = |api: &String| {
        let field = object.fields.iter().find(|field| field.api == *api);
        field.map_or_else(|| api.clone(), |field| field.name.clone())
    };
    let own = |rule, api: &String, max| Applies { rule, field: Some(name(api)), max, is_default: false };
    rules.extend(import.gate.null_points_of.iter().map(|(api, max)| own(Rule::Nulls, api, *max)));
    rules.extend(import.gate.sum_percent_of.iter().map(|(api, max)| own(Rule::Sum, api, Some(*max))));
    rules
}
