//! The verbs as SQL sees them: groups of names, arguments and results, one dispatch.

mod batch;
mod check;
mod connection;
mod erase;
mod field;
mod gate;
mod health;
mod object;
mod overrides;
mod people;
mod release;
mod statement;
mod storage;
mod sync;
mod visibility;

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::cells::{Columns, schema};
use super::{Actor, App};
use crate::error::{Error, Kind, Result};
use crate::model::Grant;
use crate::query::{
    AdminStatement, GrantTarget, Notice, NoticeSender, SessionUser, VerbCall, VerbParam, VerbSignature, Verbs,
};

pub(super) use gate::rule_row;

/// Verbs that belong together: what they take and give, and what they do.
struct Group {
    signatures: fn() -> Vec<VerbSignature>,
    call: for<'a> fn(&'a Asked) -> BoxFuture<'a, Result<RecordBatch>>,
}

const GROUPS: &[Group] = &[
    Group { signatures: connection::signatures, call: connection::call },
    Group { signatures: check::signatures, call: check::call },
    Group { signatures: people::signatures, call: people::call },
    Group { signatures: erase::signatures, call: erase::call },
    Group { signatures: field::signatures, call: field::call },
    Group { signatures: gate::signatures, call: gate::call },
    Group { signatures: health::signatures, call: health::call },
    Group { signatures: object::signatures, call: object::call },
    Group { signatures: overrides::signatures, call: overrides::call },
    Group { signatures: batch::signatures, call: batch::call },
    Group { signatures: release::signatures, call: release::call },
    Group { signatures: statement::signatures, call: statement::call },
    Group { signatures: sync::signatures, call: sync::call },
    Group { signatures: storage::signatures, call: storage::call },
    Group { signatures: visibility::signatures, call: visibility::call },
];

/// A call with everything it needs.
struct Asked {
    app: Arc<App>,
    actor: Actor,
    call: VerbCall,
    notices: NoticeSender,
    cancel: CancellationToken,
}

impl Asked {
    fn connection(&self) -> &str {
        self.call.text("connection").unwrap_or_default()
    }

    fn object(&self) -> &str {
        self.call.text("object").unwrap_or_default()
    }

    /// A defect: a group was asked for what it does not have.
    fn unknown(&self) -> Error {
        Error::internal(format!("procedure `{}` is declared but not dispatched", self.call.name))
    }
}

/// The verbs of a service, for the query engine.
pub struct Registry {
    app: Arc<App>,
    signatures: Vec<VerbSignature>,
}

impl Registry {
    /// The names of all verbs, in the order of [`Verbs::describe`].
    pub(super) fn names() -> Vec<String> {
        GROUPS.iter().flat_map(|group| (group.signatures)()).map(|signature| signature.name).collect()
    }

    /// All verbs of `app`.
    pub fn new(app: Arc<App>) -> Arc<Self> {
        Arc::new(Registry { app, signatures: GROUPS.iter().flat_map(|group| (group.signatures)()).collect() })
    }
}

fn text(name: &str, doc: &str) -> VerbParam {
    VerbParam::required(name, DataType::Utf8, doc)
}

fn optional_text(name: &str, doc: &str) -> VerbParam {
    VerbParam::optional(name, ScalarValue::Utf8(None), doc)
}

fn flag(name: &str, doc: &str) -> VerbParam {
    VerbParam::optional(name, ScalarValue::Boolean(Some(false)), doc)
}

fn verb(name: &str, help: &str, result: Columns, params: Vec<VerbParam>) -> VerbSignature {
    VerbSignature { name: name.into(), params, result: schema(result), admin_only: true, help: help.into() }
}

fn connection_param() -> VerbParam {
    text("connection", "name of the connection")
}

fn object_param() -> VerbParam {
    text("object", "name of the object, or the source's own")
}

#[async_trait::async_trait]
impl Verbs for Registry {
    fn describe(&self) -> &[VerbSignature] {
        &self.signatures
    }

    async fn call(
        &self,
        who: &SessionUser,
        call: VerbCall,
        notices: NoticeSender,
        cancel: CancellationToken,
    ) -> Result<RecordBatch> {
        let has = |group: &&Group| (group.signatures)().iter().any(|signature| signature.name == call.name);
        let group = GROUPS.iter().find(has);
        let asked = Asked { app: self.app.clone(), actor: actor(who), call, notices, cancel };
        match group {
            Some(group) => (group.call)(&asked).await,
            None => Err(asked.unknown()),
        }
    }

    async fn statement(&self, who: &SessionUser, statement: AdminStatement) -> Result<String> {
        let actor = actor(who);
        let app = &self.app;
        let tag = match statement {
            AdminStatement::CreateUser { name, password, admin, login } => {
                let password = password.ok_or_else(|| password_needed(&name))?;
                app.create_user(&actor, &name, password.reveal(), admin, login).await?;
                "CREATE ROLE"
            }
            AdminStatement::AlterUser { name, password, admin, login } => {
                let password = password.as_ref().map(|password| password.reveal());
                app.alter_user(&actor, &name, password, admin, login).await?;
                "ALTER ROLE"
            }
            AdminStatement::DropUser { name, if_exists } => {
                match app.drop_user(&actor, &name).await {
                    Err(error) if if_exists && error.kind() == Kind::NotFound => {}
                    result => result?,
                }
                "DROP ROLE"
            }
            AdminStatement::Grant { targets, users } => {
                for grant in grants(&targets, &users) {
                    app.grant(&actor, &grant).await?;
                }
                "GRANT"
            }
            AdminStatement::Revoke { targets, users } => {
                for grant in grants(&targets, &users) {
                    app.revoke(&actor, &grant).await?;
                }
                "REVOKE"
            }
        };
        Ok(tag.into())
    }
}

fn actor(who: &SessionUser) -> Actor {
    Actor { name: who.name.clone(), is_admin: who.is_admin }
}

fn password_needed(name: &str) -> Error {
    Error::new(Kind::Invalid, format!("user `{name}` needs a password"))
        .with_hint(format!("CREATE USER {name} PASSWORD '...'"))
}

fn grants(targets: &[GrantTarget], users: &[String]) -> Vec<Grant> {
    let mut grants = Vec::new();
    for (user, target) in users.iter().flat_map(|user| targets.iter().map(move |target| (user, target))) {
        let whole = Grant {
            user: user.clone(),
            connection: target.connection.clone(),
            object: target.object.clone(),
            field: None,
        };
        let of_field = |field: &String| Grant { field: Some(field.clone()), ..whole.clone() };
        match target.fields.as_slice() {
            [] => grants.push(whole),
            fields => grants.extend(fields.iter().map(of_field)),
        }
    }
    grants
}

/// Comma-separated names.
fn names(text: Option<&str>) -> Option<Vec<String>> {
    Some(text?.split(',').map(|name| name.trim().to_string()).filter(|name| !name.is_empty()).collect())
}

fn warn(notices: &NoticeSender, message: String) {
    // The client may have gone; what happened is in the run.
    notices.send(Notice::warning("01000", message)).ok();
}
