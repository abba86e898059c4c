//! `CALL`: arguments against the signature, and the run itself.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::Expr;

use super::engine::Engine;
use super::functions::cast::{Target, cast_scalar, sql_name};
use super::parse::CallArgument;
use super::plan::{Found, Planner, collect_parameters};
use super::run::{Limits, cancelled, timed_out};
use super::session::{NoticeSender, SessionUser};
use super::settings::Reading;
use super::verb::{VerbCall, VerbParam, VerbSignature};
use crate::error::{Error, Kind, Result, did_you_mean};

/// How long a call that was told to stop may take to say so.
const STOP_PATIENCE: Duration = Duration::from_millis(900);

/// The signature of a procedure that the user may call.
pub(super) fn signature<'a>(
    verbs: &'a [VerbSignature],
    name: &str,
    who: &SessionUser,
) -> Result<&'a VerbSignature> {
    let Some(verb) = verbs.iter().find(|verb| verb.name == name) else {
        let shown: String = name.chars().take(200).collect();
        let error =
            Error::new(Kind::NotFound, format!("procedure {shown} does not exist")).with_sqlstate("42883");
        return Err(match did_you_mean(name, verbs.iter().map(|verb| verb.name.as_str())) {
            hint if hint.is_empty() => error,
            hint => error.with_hint(hint.trim().trim_matches(['(', ')']).to_string()),
        });
    };
    if verb.admin_only && !who.is_admin {
        return Err(Error::new(Kind::Denied, format!("permission denied for procedure {name}"))
            .with_hint("only an admin may call it"));
    }
    Ok(verb)
}

/// `name(a text, b boolean DEFAULT ...)` for hints.
fn usage(verb: &VerbSignature) -> String {
    let params: Vec<_> = verb
        .params
        .iter()
        .map(|param| {
            let default = if param.default.is_some() { ", optional" } else { "" };
            format!("{} ({}{default})", param.name, sql_name(&param.data_type))
        })
        .collect();
    format!("arguments are: {}", params.join(", "))
}

/// The parameter that each argument goes to.
fn assign<'a>(verb: &'a VerbSignature, arguments: &[CallArgument]) -> Result<Vec<&'a VerbParam>> {
    let wrong = |what: String, argument: &CallArgument| {
        Error::new(Kind::NotFound, what)
            .with_sqlstate("42883")
            .with_position(argument.position)
            .with_hint(usage(verb))
    };
    let mut assigned: Vec<&VerbParam> = Vec::new();
    let mut named = false;
    for (index, argument) in arguments.iter().enumerate() {
        let param = match &argument.name {
            Some(name) => {
                named = true;
                let close = did_you_mean(name, verb.params.iter().map(|param| param.name.as_str()));
                let missing =
                    || wrong(format!("procedure {} has no argument `{name}`{close}", verb.name), argument);
                verb.params.iter().find(|param| param.name == *name).ok_or_else(missing)?
            }
            None if named => {
                return Err(Error::new(Kind::Invalid, "positional argument cannot follow named argument")
                    .with_sqlstate("42601")
                    .with_position(argument.position));
            }
            None => {
                let most = verb.params.len();
                let too_many =
                    || wrong(format!("procedure {} takes at most {most} arguments", verb.name), argument);
                verb.params.get(index).ok_or_else(too_many)?
            }
        };
        if assigned.iter().any(|other| other.name == param.name) {
            return Err(Error::new(
                Kind::Invalid,
                format!("argument `{}` is given more than once", param.name),
            )
            .with_sqlstate("42601")
            .with_position(argument.position));
        }
        assigned.push(param);
    }
    Ok(assigned)
}

/// The types of `$1`, `$2` ... in a call.
pub(super) fn parameters(
    planner: &Planner<'_>,
    verb: &VerbSignature,
    arguments: &[CallArgument],
    declared: &[Option<DataType>],
) -> Result<Vec<DataType>> {
    let mut found: Vec<Option<DataType>> = declared.to_vec();
    for (param, argument) in assign(verb, arguments)?.into_iter().zip(arguments) {
        let (mut types, no_columns) = (Vec::new(), DFSchema::empty());
        let planned = planner.constant(&argument.value)?;
        collect_parameters(&planned, &no_columns, &mut types).map_err(super::error::translate)?;
        if found.len() < types.len() {
            found.resize(types.len(), None);
        }
        // A parameter that is the whole argument has the argument's type.
        let alone = matches!(planned, Expr::Placeholder(_)).then(|| param.data_type.clone());
        for (place, Found { data_type, .. }) in types.into_iter().enumerate() {
            let is_here = matches!(&planned, Expr::Placeholder(p) if p.id == format!("${}", place + 1));
            if found[place].is_none() {
                found[place] = data_type.or_else(|| alone.clone().filter(|_| is_here));
            }
        }
    }
    Ok(found.into_iter().map(|data_type| data_type.unwrap_or(DataType::Utf8)).collect())
}

/// Every parameter of the signature with its value.
pub(super) fn bind(
    planner: &Planner<'_>,
    verb: &VerbSignature,
    arguments: &[CallArgument],
    redacted: &str,
) -> Result<VerbCall> {
    let assigned = assign(verb, arguments)?;
    let mut args = Vec::with_capacity(verb.params.len());
    for param in &verb.params {
        let given = assigned.iter().position(|other| other.name == param.name);
        let value = match (given, &param.default) {
            (Some(index), _) => argument(planner, verb, param, &arguments[index])?,
            (None, Some(default)) => default.clone(),
            (None, None) => {
                let what = format!("procedure {} needs the argument `{}`", verb.name, param.name);
                return Err(Error::new(Kind::NotFound, what).with_sqlstate("42883").with_hint(usage(verb)));
            }
        };
        args.push((param.name.clone(), value));
    }
    Ok(VerbCall { name: verb.name.clone(), args, redacted: redacted.to_string() })
}

fn argument(
    planner: &Planner<'_>,
    verb: &VerbSignature,
    param: &VerbParam,
    argument: &CallArgument,
) -> Result<ScalarValue> {
    let Expr::Literal(value, _) = planner.constant(&argument.value)? else {
        let what = format!("argument `{}` of {} is no constant", param.name, verb.name);
        return Err(Error::new(Kind::Unsupported, what).with_position(argument.position));
    };
    if value.data_type() == param.data_type {
        return Ok(value);
    }
    if let (DataType::List(element), Some(Some(text))) = (&param.data_type, value.try_as_str()) {
        return list(element.data_type(), text);
    }
    // PostgreSQL assigns a text constant to any type, but no number to a text.
    let is_number = value.data_type().is_numeric() && !param.data_type.is_numeric();
    let wrong = |error: Option<Error>| {
        let what =
            format!("argument `{}` of {} must be {}", param.name, verb.name, sql_name(&param.data_type));
        let wrong = Error::new(Kind::Invalid, what).with_position(argument.position);
        match error {
            // The message of a failed cast quotes the value.
            Some(error) if !param.secret => wrong.with_detail(error.what()),
            _ => wrong,
        }
    };
    if is_number || (value.data_type() == DataType::Boolean && param.data_type != DataType::Boolean) {
        return Err(wrong(None));
    }
    cast_scalar(&value, &Target::Exact(param.data_type.clone()), Reading::UTC)
        .map_err(|error| wrong(Some(error)))
}

/// `'{a,b}'`, or `'a'` for a list of one.
pub(super) fn list(element: &DataType, text: &str) -> Result<ScalarValue> {
    let elements = match text.trim_start().starts_with('{') {
        true => super::functions::text::parse_array(text)?,
        false => vec![Some(text.to_string())],
    };
    let target = Target::Exact(element.clone());
    let values =
        elements.into_iter().map(|value| cast_scalar(&ScalarValue::Utf8(value), &target, Reading::UTC));
    let values = values.collect::<Result<Vec<_>>>()?;
    Ok(ScalarValue::List(ScalarValue::new_list_nullable(&values, element)))
}

/// Runs a call. It goes on to its end when the client goes away; only a cancel or a deadline stops it.
pub(super) async fn run(
    engine: &Arc<Engine>,
    who: &SessionUser,
    call: VerbCall,
    notices: NoticeSender,
    limits: Limits,
) -> Result<RecordBatch> {
    let (verbs, who) = (engine.verbs.clone(), who.clone());
    let cancel = tokio_util::sync::CancellationToken::new();
    let told = cancel.clone();
    let mut task = tokio::spawn(async move { verbs.call(&who, call, notices, told).await });
    let stopped = tokio::select! {
        biased;
        result = &mut task => return joined(result),
        () = limits.cancel.cancelled() => cancelled(),
        () = limits.passed() => timed_out(),
    };
    cancel.cancel();
    match tokio::time::timeout(STOP_PATIENCE, task).await {
        // It may have ended well at the last moment.
        Ok(Ok(Ok(batch))) => Ok(batch),
        _ => Err(stopped),
    }
}

fn joined(result: std::result::Result<Result<RecordBatch>, tokio::task::JoinError>) -> Result<RecordBatch> {
    result.unwrap_or_else(|error| Err(Error::internal("the call stopped").with_source(error)))
}
