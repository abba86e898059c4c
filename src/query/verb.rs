//! Verbs: what `CALL` and the statements for people and rights do. The service implements them.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use async_trait::async_trait;
use datafusion::common::ScalarValue;
use tokio_util::sync::CancellationToken;

use super::session::{NoticeSender, SessionUser};
use crate::error::Result;

/// The verbs that SQL can reach.
#[async_trait]
pub trait Verbs: Send + Sync {
    /// Every procedure that `CALL` knows.
    fn describe(&self) -> &[VerbSignature];

    /// Runs a procedure. The future is polled to its end even when the client has gone; `cancel` is set when a
    /// person or a deadline asks for it to stop.
    async fn call(
        &self,
        who: &SessionUser,
        call: VerbCall,
        notices: NoticeSender,
        cancel: CancellationToken,
    ) -> Result<RecordBatch>;

    /// Runs a statement about people and rights, and returns its command tag, for example `CREATE ROLE`.
    async fn statement(&self, who: &SessionUser, statement: AdminStatement) -> Result<String>;
}

/// What a procedure is called, takes and gives.
#[derive(Debug, Clone)]
pub struct VerbSignature {
    /// Name in SQL.
    pub name: String,
    /// Parameters in positional order.
    pub params: Vec<VerbParam>,
    /// The columns of its result.
    pub result: SchemaRef,
    /// Whether only admins may call it.
    pub admin_only: bool,
    /// One sentence for people.
    pub help: String,
}

/// A parameter of a procedure.
#[derive(Debug, Clone)]
pub struct VerbParam {
    /// Name, as in `name => value`.
    pub name: String,
    /// Its type; arguments are cast to it as PostgreSQL assigns.
    pub data_type: DataType,
    /// The value when it is not given; without one the argument is required. May be a typed NULL.
    pub default: Option<ScalarValue>,
    /// Whether its value must never be logged, shown or audited.
    pub secret: bool,
    /// One sentence for people.
    pub doc: String,
}

impl VerbParam {
    /// A required parameter.
    pub fn required(name: &str, data_type: DataType, doc: &str) -> Self {
        VerbParam { name: name.into(), data_type, default: None, secret: false, doc: doc.into() }
    }

    /// A parameter that may be left out.
    pub fn optional(name: &str, default: ScalarValue, doc: &str) -> Self {
        VerbParam {
            name: name.into(),
            data_type: default.data_type(),
            default: Some(default),
            secret: false,
            doc: doc.into(),
        }
    }

    /// The same parameter, holding a secret.
    pub fn secret(mut self) -> Self {
        self.secret = true;
        self
    }
}

/// A checked call: every parameter has a value of its type.
#[derive(Clone)]
pub struct VerbCall {
    /// The procedure.
    pub name: String,
    /// Parameter names with their values, in the order of the signature.
    pub args: Vec<(String, ScalarValue)>,
    /// The call as text with secrets replaced, for logs and the audit.
    pub redacted: String,
}

impl VerbCall {
    /// The value of a parameter; NULL when there is none of that name.
    pub fn arg(&self, name: &str) -> &ScalarValue {
        self.args.iter().find(|(arg, _)| arg == name).map_or(&ScalarValue::Null, |(_, value)| value)
    }

    /// A text argument; `None` when NULL.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.arg(name).try_as_str().flatten()
    }

    /// An integer argument of any width; `None` when NULL.
    pub fn integer(&self, name: &str) -> Option<i64> {
        match self.arg(name) {
            ScalarValue::Int16(value) => value.map(i64::from),
            ScalarValue::Int32(value) => value.map(i64::from),
            ScalarValue::Int64(value) => *value,
            _ => None,
        }
    }

    /// A boolean argument; `None` when NULL.
    pub fn boolean(&self, name: &str) -> Option<bool> {
        match self.arg(name) {
            ScalarValue::Boolean(value) => *value,
            _ => None,
        }
    }
}

impl std::fmt::Debug for VerbCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.redacted)
    }
}

/// A statement about people and rights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminStatement {
    /// `CREATE USER name PASSWORD '...'`
    CreateUser {
        /// Login name.
        name: String,
        /// In clear, to be turned into a verifier at once. `None`: cannot log in until one is set.
        password: Option<Password>,
        /// `SUPERUSER`: may administrate.
        admin: bool,
        /// `LOGIN`: may log in.
        login: bool,
    },
    /// `ALTER USER name ...`; what is `None` stays.
    AlterUser {
        /// Login name.
        name: String,
        /// A new password.
        password: Option<Password>,
        /// `SUPERUSER` or `NOSUPERUSER`.
        admin: Option<bool>,
        /// `LOGIN` or `NOLOGIN`.
        login: Option<bool>,
    },
    /// `DROP USER [IF EXISTS] name`
    DropUser {
        /// Login name.
        name: String,
        /// A missing user is no error.
        if_exists: bool,
    },
    /// `GRANT SELECT ON targets TO users`
    Grant {
        /// What may be read.
        targets: Vec<GrantTarget>,
        /// Who may read it.
        users: Vec<String>,
    },
    /// `REVOKE SELECT ON targets FROM users`
    Revoke {
        /// What may no longer be read.
        targets: Vec<GrantTarget>,
        /// Who may no longer read it.
        users: Vec<String>,
    },
}

/// What a right is about: all objects of a connection, an object, or fields of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantTarget {
    /// Connection name.
    pub connection: String,
    /// Object name; `None` means all objects of the connection.
    pub object: Option<String>,
    /// Names of the fields; none means all of them.
    pub fields: Vec<String>,
}

/// A password on its way to its verifier. It shows itself as `***` and is wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(zeroize::Zeroizing<String>);

impl Password {
    /// Takes over a password.
    pub fn new(text: String) -> Self {
        Password(zeroize::Zeroizing::new(text))
    }

    /// The password in clear.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}
