//! Bulk API 2.0: a query becomes a job, its result a file that is fetched in parts.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::access::guarded;
use super::error::{data, malformed, not_found};
use super::evaluate::{self, View};
use super::plan::{Plan, plan};
use super::route::{segment, version};
use super::soql::Select;
use super::store::Version;
use super::{Salesforce, id};
use crate::demo::clock::iso_millis;
use crate::demo::http::{Answer, Reply, Request};

const DAY: i64 = 86_400_000;
/// Results are kept a week.
const KEPT_MILLIS: i64 = 7 * DAY;
const MOST_JOBS: u64 = 10_000;
/// Rows of a part where the client does not say.
const PART: usize = 50_000;

/// All jobs.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    jobs: BTreeMap<String, Job>,
    next: u64,
    created: Vec<i64>,
    /// What the next jobs fail with.
    failures: Vec<String>,
}

impl Jobs {
    /// Jobs of the last 24 hours.
    pub(super) fn created(&self, now: i64) -> u64 {
        self.created.iter().filter(|at| **at > now - DAY).count() as u64
    }

    /// Lets a later job fail.
    pub(super) fn fail_next(&mut self, message: &str) {
        self.failures.push(message.into());
    }

    /// Jobs that are not deleted, with their states.
    pub(super) fn states(&self) -> Vec<(String, &'static str)> {
        self.jobs.iter().map(|(id, job)| (id.clone(), job.state())).collect()
    }
}

#[derive(Debug)]
struct Job {
    org: usize,
    operation: String,
    /// The API version that it was made with: results are refused to others.
    version: String,
    plan: Plan,
    rows: Option<Vec<Arc<Version>>>,
    polls: u32,
    aborted: bool,
    failure: Option<String>,
    created: i64,
    needed_polls: u32,
}

impl Job {
    fn state(&self) -> &'static str {
        match self {
            Job { aborted: true, .. } => "Aborted",
            Job { polls, needed_polls, .. } if *polls == 0 && *needed_polls > 0 => "UploadComplete",
            Job { polls, needed_polls, .. } if polls < needed_polls => "InProgress",
            Job { failure: Some(_), .. } => "Failed",
            _ => "JobComplete",
        }
    }

    fn describe(&self, id: &str) -> Value {
        let number: f64 = self.version.trim_start_matches('v').parse().unwrap_or_default();
        let mut described = json!({
            "id": id, "operation": self.operation, "object": self.plan.object, "createdById": "",
            "createdDate": iso_millis(self.created).replace('Z', "+0000"),
            "systemModstamp": iso_millis(self.created).replace('Z', "+0000"), "state": self.state(),
            "concurrencyMode": "Parallel", "contentType": "CSV", "apiVersion": number, "jobType": "V2Query",
            "lineEnding": "LF", "columnDelimiter": "COMMA",
        });
        if self.state() == "JobComplete" {
            described["numberRecordsProcessed"] = self.rows.as_ref().map_or(0, Vec::len).into();
            described["retries"] = 0.into();
            described["totalProcessingTime"] = 1.into();
        }
        if let (Some(message), "Failed") = (&self.failure, self.state()) {
            described["errorMessage"] = message.as_str().into();
        }
        described
    }
}

pub(super) fn create(vendor: &Salesforce, request: &Request) -> Reply {
    guarded(vendor, request, |login| {
        let body = body(request)?;
        let operation = body["operation"].as_str().unwrap_or_default();
        if !["query", "queryAll"].contains(&operation) {
            return Err(data(400, "INVALIDJOB", format!("operation '{operation}' is not possible")));
        }
        for (key, only) in [("contentType", "CSV"), ("columnDelimiter", "COMMA"), ("lineEnding", "LF")] {
            if body[key].as_str().is_some_and(|value| value != only) {
                return Err(data(400, "INVALIDJOB", format!("{key} must be {only} in this simulation")));
            }
        }
        let text = body["query"].as_str().ok_or_else(|| data(400, "INVALIDJOB", "query is missing"))?;
        let plan = {
            let store = vendor.orgs[login.org].store.lock();
            let plan = plan(&store, text)?;
            refuse(&store, &plan)?;
            plan
        };
        let now = vendor.clock.millis();
        let mut jobs = vendor.jobs.lock();
        if jobs.created(now) >= MOST_JOBS {
            return Err(data(400, "LIMIT_EXCEEDED", "Number of jobs per 24 hour exceeded"));
        }
        jobs.next += 1;
        jobs.created.push(now);
        let id = id::make("750", jobs.next);
        let failure = if jobs.failures.is_empty() { None } else { Some(jobs.failures.remove(0)) };
        let job = Job {
            org: login.org,
            operation: operation.into(),
            version: version(request).into(),
            plan,
            rows: None,
            polls: 0,
            aborted: false,
            failure,
            created: now,
            needed_polls: vendor.options.bulk_polls,
        };
        let mut described = job.describe(&id);
        described["state"] = "UploadComplete".into();
        jobs.jobs.insert(id, job);
        Ok(Answer::json(200, &described))
    })
}

/// What the Bulk API does not do.
fn refuse(store: &super::store::Store, plan: &Plan) -> Result<(), Answer> {
    let Some(table) = store.table(&plan.object) else { return Err(not_found()) };
    if !table.object.bulk {
        return Err(data(
            400,
            "INVALIDENTITY",
            format!("Entity '{}' is not supported by the Bulk API.", plan.object),
        ));
    }
    if plan.is_count || matches!(plan.query.select, Select::Kind(_)) {
        return Err(data(
            400,
            "API_ERROR",
            "Implementation restriction: aggregates and FIELDS() are not possible in Bulk API queries",
        ));
    }
    if plan.query.offset.is_some() {
        return Err(data(
            400,
            "API_ERROR",
            "Implementation restriction: OFFSET is not possible in Bulk API queries",
        ));
    }
    for column in &plan.columns {
        let field = super::plan::resolve(store, &table.object, column)?.1;
        if matches!(field.kind, "address" | "location" | "base64") {
            return Err(data(
                400,
                "FEATURENOTENABLED",
                format!("Selecting compound data not supported in Bulk Query: {}", field.name),
            ));
        }
    }
    Ok(())
}

fn body(request: &Request) -> Result<Value, Answer> {
    if request.content_type() != "application/json" {
        return Err(data(415, "UNSUPPORTED_MEDIA_TYPE", "send application/json"));
    }
    serde_json::from_slice(&request.body).map_err(|error| malformed(error.to_string()))
}

/// Runs `act` on a job of the login's organisation.
fn with_job(vendor: &Salesforce, request: &Request, act: impl FnOnce(&str, &mut Job) -> Reply) -> Reply {
    guarded(vendor, request, |login| {
        let id = id::lengthen(segment(request, 2));
        let now = vendor.clock.millis();
        let mut jobs = vendor.jobs.lock();
        jobs.jobs.retain(|_, job| job.created > now - KEPT_MILLIS);
        match jobs.jobs.get_mut(&id).filter(|job| job.org == login.org) {
            Some(job) => act(&id, job),
            None => Err(not_found()),
        }
    })
}

pub(super) fn poll(vendor: &Salesforce, request: &Request) -> Reply {
    with_job(vendor, request, |id, job| {
        job.polls += 1;
        if job.state() == "JobComplete" && job.rows.is_none() {
            run(vendor, job);
        }
        Ok(Answer::json(200, &job.describe(id)))
    })
}

/// The job sees the records as they are when it is worked on.
fn run(vendor: &Salesforce, job: &mut Job) {
    let store = vendor.orgs[job.org].store.lock();
    job.rows = Some(evaluate::run(&store, &job.plan, job.operation == "queryAll", vendor.clock.millis()));
}

pub(super) fn results(vendor: &Salesforce, request: &Request) -> Reply {
    with_job(vendor, request, |_, job| {
        if job.version != version(request) {
            return Err(data(409, "API_ERROR", format!("the job was created with {}", job.version)));
        }
        let Some(rows) = job.rows.as_ref().filter(|_| job.state() == "JobComplete") else {
            return Err(data(400, "INVALIDJOBSTATE", format!("the job is {}", job.state())));
        };
        let invalid =
            |name: &str, text: &str| data(400, "INVALIDREQUEST", format!("{name} {text} is not valid"));
        let start = match request.param("locator") {
            None => 0,
            Some(text) => {
                locator(text).filter(|at| *at < rows.len()).ok_or_else(|| invalid("locator", text))?
            }
        };
        let most = match request.param("maxRecords") {
            None => PART,
            Some(text) => {
                text.parse().ok().filter(|most| *most > 0).ok_or_else(|| invalid("maxRecords", text))?
            }
        };
        let part = &rows[start..rows.len().min(start.saturating_add(most))];
        let end = start + part.len();
        let next = if end < rows.len() { name(end) } else { "null".into() };
        let store = vendor.orgs[job.org].store.lock();
        let Some(table) = store.table(&job.plan.object) else { return Err(not_found()) };
        let view = View { store: &store, object: &table.object, now: vendor.clock.millis() };
        let mut text = String::new();
        push_line(&mut text, job.plan.columns.iter().map(|column| column.join(".")));
        for row in part {
            push_line(&mut text, job.plan.columns.iter().map(|column| cell(&view, column, row)));
        }
        Ok(Answer::new(200, "text/csv", text)
            .with("sforce-numberofrecords", part.len().to_string())
            .with("sforce-locator", next))
    })
}

/// A value of the file. Integers are written with a decimal in some rows, as was seen in reality.
fn cell(view: &View<'_>, column: &[String], row: &Version) -> String {
    let (cell, kind) = view.value(column, row);
    let text = cell.csv(kind);
    let odd = row.id().as_bytes().get(14).is_some_and(|byte| byte % 2 == 1);
    if kind == "int" && odd && !text.is_empty() { format!("{text}.0") } else { text }
}

fn push_line(out: &mut String, cells: impl Iterator<Item = String>) {
    for (at, cell) in cells.enumerate() {
        if at > 0 {
            out.push(',');
        }
        out.push('"');
        out.push_str(&cell.replace('"', "\"\""));
        out.push('"');
    }
    out.push('\n');
}

/// Locators tell nothing to a client: the position is hidden in base 64.
fn name(position: usize) -> String {
    use base64::Engine;
    base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(format!("MT:{position}"))
}

fn locator(text: &str) -> Option<usize> {
    use base64::Engine;
    let bytes = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    String::from_utf8(bytes).ok()?.strip_prefix("MT:")?.parse().ok()
}

pub(super) fn abort(vendor: &Salesforce, request: &Request) -> Reply {
    let body = body(request)?;
    with_job(vendor, request, |id, job| {
        if body["state"] != "Aborted" {
            return Err(data(400, "INVALIDJOBSTATE", "only Aborted is possible"));
        }
        if ["JobComplete", "Failed"].contains(&job.state()) {
            return Err(data(400, "INVALIDJOBSTATE", format!("the job is {}", job.state())));
        }
        job.aborted = true;
        Ok(Answer::json(200, &job.describe(id)))
    })
}

pub(super) fn delete(vendor: &Salesforce, request: &Request) -> Reply {
    let mut done = None;
    let answer = with_job(vendor, request, |id, job| match job.state() {
        "JobComplete" | "Failed" | "Aborted" => {
            done = Some(id.to_string());
            Ok(Answer::empty(204))
        }
        state => Err(data(400, "INVALIDJOBSTATE", format!("the job is {state}"))),
    });
    if let Some(id) = done {
        vendor.jobs.lock().jobs.remove(&id);
    }
    answer
}
