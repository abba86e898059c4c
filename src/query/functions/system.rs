//! Functions that answer from the session.

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use std::any::Any;
use std::net::SocketAddr;
use std::sync::Arc;

use super::datetime::DateTime;
use super::setting;
use crate::query::PG_TYPE;
use crate::query::catalog::Scope;
use crate::query::notify::Mailbox;
use crate::query::session::Ends;
use crate::query::settings::Reading;
use crate::query::settings::SharedSettings;

/// The PostgreSQL whose behaviour and catalog are the reference.
pub(in crate::query) const SERVER_VERSION: &str = "15.18";

/// What a session's functions answer.
#[derive(Debug, Clone)]
pub(in crate::query) struct Facts {
    pub(in crate::query) user: String,
    pub(in crate::query) database: String,
    pub(in crate::query) session_id: i32,
    /// When the transaction began, microseconds UTC.
    pub(in crate::query) transaction_start: i64,
    /// When the statement began.
    pub(in crate::query) statement_start: i64,
    /// How times are read, and by which clocks.
    pub(in crate::query) reading: Reading,
    pub(in crate::query) settings: SharedSettings,
    pub(in crate::query) mailbox: Arc<Mailbox>,
    /// Of a statement that asks the catalog.
    pub(in crate::query) scope: Option<Scope>,
    /// `None` for a statement that came by no connection.
    pub(in crate::query) ends: Option<Ends>,
    /// When the server began, microseconds UTC.
    pub(in crate::query) server_start: i64,
}

/// The function of that name, when it is one of the session's.
pub(in crate::query) fn function(name: &str, facts: &Facts) -> Option<ScalarUDF> {
    if let Some(function) = DateTime::named(name, facts.reading) {
        return Some(function);
    }
    let local = facts.reading.zone.to_local(facts.transaction_start);
    let utc = || Some("UTC".into());
    let text = |value: &str| ScalarValue::Utf8(Some(value.to_string()));
    let (value, pg_type) = match name {
        "version" => {
            let version = env!("CARGO_PKG_VERSION");
            let machine = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
            (text(&format!("PostgreSQL {SERVER_VERSION} (tributary {version}) on {machine}, 64-bit")), None)
        }
        "current_database" | "current_catalog" => (text(&facts.database), Some("name")),
        "current_user" | "session_user" | "user" | "current_role" => (text(&facts.user), Some("name")),
        "pg_backend_pid" => (ScalarValue::Int32(Some(facts.session_id)), None),
        // There are no such locks, so that none is left behind.
        "pg_advisory_unlock_all" => (text(""), None),
        "pg_is_in_recovery" => (ScalarValue::Boolean(Some(false)), None),
        "pg_my_temp_schema" => (ScalarValue::Int64(Some(0)), Some("oid")),
        "now" | "current_timestamp" | "transaction_timestamp" => {
            (ScalarValue::TimestampMicrosecond(Some(facts.transaction_start), utc()), None)
        }
        "statement_timestamp" | "clock_timestamp" => {
            (ScalarValue::TimestampMicrosecond(Some(facts.statement_start), utc()), None)
        }
        "localtime" => (ScalarValue::Time64Microsecond(Some(local.rem_euclid(86_400_000_000))), None),
        "current_time" => {
            let offset = facts.reading.zone.offset_at(facts.transaction_start);
            (text(&clock_in_zone(local.rem_euclid(86_400_000_000), offset)), None)
        }
        "localtimestamp" => (ScalarValue::TimestampMicrosecond(Some(local), None), None),
        "current_date" => (ScalarValue::Date32(Some(local.div_euclid(86_400_000_000) as i32)), None),
        "pg_postmaster_start_time" | "pg_conf_load_time" => {
            (ScalarValue::TimestampMicrosecond(Some(facts.server_start), utc()), None)
        }
        "inet_server_addr" => (address(facts.ends.map(|ends| ends.server)), Some("inet")),
        "inet_client_addr" => (address(facts.ends.map(|ends| ends.client)), Some("inet")),
        "inet_server_port" => (port(facts.ends.map(|ends| ends.server)), None),
        "inet_client_port" => (port(facts.ends.map(|ends| ends.client)), None),
        "pg_notification_queue_usage" => (ScalarValue::Float64(Some(0.0)), None),
        _ => return setting::function(name, facts),
    };
    let signature = Signature::nullary(Volatility::Stable);
    let function = Constant { name: name.to_string(), value, pg_type, signature };
    Some(ScalarUDF::from(function))
}

/// A time of the day, microseconds, with the seconds that its zone is ahead of UTC.
fn clock_in_zone(micros: i64, offset: i32) -> String {
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let fraction = match fraction {
        0 => String::new(),
        micros => format!(".{micros:06}").trim_end_matches('0').to_string(),
    };
    let (sign, ahead) = (if offset < 0 { '-' } else { '+' }, offset.abs());
    let minutes = if ahead % 3_600 == 0 { String::new() } else { format!(":{:02}", ahead / 60 % 60) };
    let (hour, minute) = (seconds / 3_600, seconds / 60 % 60);
    format!("{hour:02}:{minute:02}:{:02}{fraction}{sign}{:02}{minutes}", seconds % 60, ahead / 3_600)
}

fn address(end: Option<SocketAddr>) -> ScalarValue {
    ScalarValue::Utf8(end.map(|end| end.ip().to_canonical().to_string()))
}

fn port(end: Option<SocketAddr>) -> ScalarValue {
    ScalarValue::Int32(end.map(|end| i32::from(end.port())))
}

/// Whether a plan holds the time of its statement or transaction.
pub(in crate::query) fn is_of_moment(plan: &LogicalPlan) -> bool {
    let mut found = false;
    let is_time = |constant: &Constant| {
        constant.name == "current_time"
            || matches!(
                constant.value,
                ScalarValue::TimestampMicrosecond(..)
                    | ScalarValue::Date32(_)
                    | ScalarValue::Time64Microsecond(_)
            )
    };
    let walked = plan.apply_with_subqueries(|node| {
        for expr in node.expressions() {
            found |= expr.exists(|expr| {
                let Expr::ScalarFunction(call) = expr else { return Ok(false) };
                let function: &dyn Any = call.func.inner().as_ref();
                Ok(function.downcast_ref::<Constant>().is_some_and(is_time))
            })?;
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found || walked.is_err()
}

/// The names of all of them, for suggestions.
pub(in crate::query) const NAMES: &[&str] = &[
    "version",
    "current_database",
    "current_user",
    "session_user",
    "current_schema",
    "pg_backend_pid",
    "now",
    "transaction_timestamp",
    "statement_timestamp",
    "clock_timestamp",
    "current_setting",
    "set_config",
    "pg_notify",
    "pg_is_in_recovery",
    "pg_postmaster_start_time",
    "pg_conf_load_time",
    "inet_server_addr",
    "inet_server_port",
    "inet_client_addr",
    "inet_client_port",
];

/// A function without arguments whose answer is known when the statement is planned.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Constant {
    name: String,
    value: ScalarValue,
    pg_type: Option<&'static str>,
    signature: Signature,
}

impl ScalarUDFImpl for Constant {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.value.data_type())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let mut field = Field::new(&self.name, self.value.data_type(), true);
        if let Some(pg_type) = self.pg_type {
            field = field.with_metadata([(PG_TYPE.to_string(), pg_type.to_string())].into());
        }
        Ok(Arc::new(field))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(self.value.clone()))
    }
}
