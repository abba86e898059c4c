//! Functions of single values: what they take and give, and how a call finds the one it means.
//!
//! A call is resolved as PostgreSQL resolves it: by the types of its arguments, where a constant without a type of
//! its own fits everywhere and numbers and times widen. What is called is a plain Rust function of one row.

mod args;
mod kind;
mod missing;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

pub(in crate::query) use self::args::{Args, Call, Value};
pub(in crate::query) use self::kind::{Type, shown_type};
pub(in crate::query) use self::missing::missing;
use super::arithmetic::VARIABLE;
use super::cast::{cast_array, cast_scalar};
use crate::error::{Error, Kind, Result};
use crate::query::PG_TYPE;
use crate::query::settings::Reading;

/// One form of a function.
pub(in crate::query) struct Definition {
    pub(in crate::query) name: &'static str,
    takes: &'static [Type],
    /// How many of the last parameters may be left out.
    optional: usize,
    /// Whether the last parameter may be there any number of times.
    is_variadic: bool,
    gives: Type,
    /// Whether it is called with NULL, too.
    is_lenient: bool,
    is_volatile: bool,
    /// Names of the parameters, where they may be given by name.
    names: &'static [&'static str],
    apply: fn(&Args<'_>) -> Result<Value>,
}

impl Definition {
    pub(in crate::query) const fn new(
        name: &'static str,
        takes: &'static [Type],
        gives: Type,
        apply: fn(&Args<'_>) -> Result<Value>,
    ) -> Self {
        Definition {
            name,
            takes,
            optional: 0,
            is_variadic: false,
            gives,
            is_lenient: false,
            is_volatile: false,
            names: &[],
            apply,
        }
    }

    /// The last `count` parameters may be left out.
    pub(in crate::query) const fn optional(mut self, count: usize) -> Self {
        self.optional = count;
        self
    }

    /// The last parameter may be there any number of times.
    pub(in crate::query) const fn variadic(mut self) -> Self {
        self.is_variadic = true;
        self
    }

    /// It is called with NULL, too.
    pub(in crate::query) const fn lenient(mut self) -> Self {
        self.is_lenient = true;
        self
    }

    /// Every call may give something else.
    pub(in crate::query) const fn volatile(mut self) -> Self {
        self.is_volatile = true;
        self
    }

    /// Parameters may be given by these names.
    pub(in crate::query) const fn named(mut self, names: &'static [&'static str]) -> Self {
        self.names = names;
        self
    }

    /// The type of the parameter that an argument is for.
    fn parameter(&self, at: usize) -> Type {
        let last = self.takes.len().saturating_sub(1);
        self.takes.get(at.min(last)).copied().unwrap_or(Type::Any)
    }

    /// How far the arguments are from what it takes; `None` where they do not fit.
    fn distance(&self, args: &[FieldRef], unknown: &[bool]) -> Option<u32> {
        let least = self.takes.len() - self.optional - usize::from(self.is_variadic);
        if args.len() < least || (!self.is_variadic && args.len() > self.takes.len()) {
            return None;
        }
        let costs = args.iter().enumerate().map(|(at, arg)| self.parameter(at).distance(arg, unknown[at]));
        costs.sum()
    }
}

type Forms = HashMap<&'static str, Vec<&'static Definition>>;

static FORMS: LazyLock<Forms> = LazyLock::new(|| {
    let mut forms = Forms::new();
    for list in super::DEFINITIONS {
        for definition in *list {
            forms.entry(definition.name).or_default().push(definition);
        }
    }
    forms
});

/// Names of all of them.
pub(in crate::query) fn names() -> impl Iterator<Item = &'static str> {
    FORMS.keys().copied()
}

/// Whether there is one of that name.
pub(in crate::query) fn is_known(name: &str) -> bool {
    FORMS.contains_key(name)
}

/// The function of that name, for a session that reads times so.
pub(in crate::query) fn function(name: &str, reading: impl Into<Reading>) -> Option<ScalarUDF> {
    let (name, forms) = FORMS.get_key_value(name)?;
    Some(ScalarUDF::from(RowFunction::new(name, forms, reading.into())))
}

/// Name of the function that gives its argument, which may be absent. No statement can contain it.
pub(in crate::query) const MAYBE: &str = "\u{1f}maybe";

/// The digits after the point that a numeric result of a column can have.
pub(in crate::query) const SCALE: i32 = 36;

/// The function that gives the digits after the point of what a function of exact numbers gives; `None` for other
/// functions.
pub(in crate::query) fn scale(function: &ScalarUDF) -> Option<ScalarUDF> {
    let any: &dyn std::any::Any = function.inner().as_ref();
    let function = any.downcast_ref::<RowFunction>()?;
    let is_exact = function.forms.iter().any(|form| form.gives == Type::Numeric && !form.is_volatile);
    let scale = || RowFunction {
        gives_scale: true,
        ..RowFunction::new(function.name, function.forms, function.reading)
    };
    is_exact.then(|| ScalarUDF::from(scale()))
}

/// A function with all its forms.
struct RowFunction {
    name: &'static str,
    /// Whether it gives the digits after the point of its result in place of the result.
    gives_scale: bool,
    forms: &'static [&'static Definition],
    reading: Reading,
    signature: Signature,
}

impl RowFunction {
    fn new(name: &'static str, forms: &'static [&'static Definition], reading: Reading) -> Self {
        let is_volatile = forms.iter().any(|form| form.is_volatile);
        let volatility = if is_volatile { Volatility::Volatile } else { Volatility::Immutable };
        let mut signature = match forms.iter().any(|form| !form.takes.is_empty()) {
            true => Signature::variadic_any(volatility),
            false => Signature::nullary(volatility),
        };
        if forms.iter().any(|form| form.takes.len() <= form.optional + usize::from(form.is_variadic)) {
            signature = Signature::user_defined(volatility);
        }
        if let Some(form) = forms.iter().find(|form| !form.names.is_empty()) {
            signature.parameter_names = Some(form.names.iter().map(ToString::to_string).collect());
        }
        RowFunction { name, gives_scale: false, forms, reading, signature }
    }

    /// The form that a call means. As in PostgreSQL, constants without a type are texts where that fits.
    fn resolve(&self, args: &[FieldRef], unknown: &[bool]) -> Result<&'static Definition> {
        let fitting = self.forms.iter().filter_map(|form| Some((form.distance(args, unknown)?, *form)));
        let fitting: Vec<_> = fitting.collect();
        let takes = |at: usize| fitting.iter().map(move |(_, form)| form.parameter(at));
        let is_open = |at: &usize| unknown[*at] && kind::are_of_several_kinds(takes(*at));
        if (0..args.len()).any(|at| is_open(&at)) {
            let alike = self.resolve_alike(args, unknown);
            return alike.ok_or_else(|| not_unique(self.name, args, unknown));
        }
        match fitting.into_iter().min_by_key(|(distance, _)| *distance) {
            Some((_, form)) => Ok(form),
            None => Err(no_function(self.name, args, unknown)),
        }
    }

    /// The form for constants without a type that have the one type of all other arguments.
    fn resolve_alike(&self, args: &[FieldRef], unknown: &[bool]) -> Option<&'static Definition> {
        let mut known = args.iter().zip(unknown).filter(|(_, unknown)| !**unknown).map(|(arg, _)| arg);
        let first = known.next()?;
        if known.any(|arg| arg.data_type() != first.data_type()) {
            return None;
        }
        let all = vec![first.clone(); args.len()];
        let forms = self.forms.iter();
        let fitting = forms.filter_map(|form| Some((form.distance(&all, &vec![false; all.len()])?, *form)));
        fitting.min_by_key(|(distance, _)| *distance).map(|(_, form)| form)
    }

    fn invoke(
        &self,
        form: &Definition,
        values: &[ColumnarValue],
        fields: &[FieldRef],
        rows: usize,
        to: &DataType,
    ) -> Result<ArrayRef> {
        let internal =
            |error: datafusion::error::DataFusionError| Error::internal("an argument").with_source(error);
        let mut arrays = Vec::with_capacity(values.len());
        for (at, value) in values.iter().enumerate() {
            let array = match value {
                ColumnarValue::Array(array) => array.clone(),
                ColumnarValue::Scalar(scalar) => scalar.to_array().map_err(internal)?,
            };
            arrays.push(match form.parameter(at).target(array.data_type()) {
                Some((target, data_type)) => cast_array(&array, &target, &data_type, self.reading)?,
                None => array,
            });
        }
        let is_constant = values.iter().map(|value| matches!(value, ColumnarValue::Scalar(_))).collect();
        let call = Call::new(form.name, arrays, is_constant, fields, self.reading.zone);
        let results = (0..rows).map(|row| {
            let args = call.row(row);
            match !form.is_lenient && args.has_null() {
                true => Ok(Value::Null),
                false => (form.apply)(&args),
            }
        });
        if self.gives_scale {
            let scales = results.map(|result| match result? {
                Value::Number(number) => Ok(Value::Int(number.scale.min(SCALE).into())),
                _ => Ok(Value::Null),
            });
            return args::build(&DataType::Int32, scales);
        }
        match form.gives {
            // A value of an argument, or one that was made.
            Type::Same(_) | Type::ElementOf(_) | Type::ArrayOf(_) => args::build_or_take(to, results),
            _ => args::build(to, results),
        }
    }
}

/// A call as messages show it.
fn shown_call(name: &str, args: &[FieldRef], unknown: &[bool]) -> String {
    let types = args.iter().zip(unknown).map(|(arg, unknown)| match unknown {
        true => "unknown".to_string(),
        false => shown_type(arg),
    });
    format!("{name}({})", types.collect::<Vec<_>>().join(", "))
}

/// 42883
pub(in crate::query) fn no_function(name: &str, args: &[FieldRef], unknown: &[bool]) -> Error {
    let what = format!("function {} does not exist", shown_call(name, args, unknown));
    Error::new(Kind::NotFound, what).with_sqlstate("42883").with_hint(NO_FUNCTION)
}

/// 42725
fn not_unique(name: &str, args: &[FieldRef], unknown: &[bool]) -> Error {
    let what = format!("function {} is not unique", shown_call(name, args, unknown));
    Error::new(Kind::Invalid, what).with_sqlstate("42725").with_hint(NOT_UNIQUE)
}

/// What PostgreSQL advises where no function has the name and the types of a call.
pub(in crate::query) const NO_FUNCTION: &str =
    "No function matches the given name and argument types. You might need to add explicit type casts.";

/// What PostgreSQL advises where several functions have the name and fit the types of a call.
pub(in crate::query) const NOT_UNIQUE: &str =
    "Could not choose a best candidate function. You might need to add explicit type casts.";

/// Whether an argument is a constant that has no type of its own.
fn is_unknown(field: &Field, value: Option<&ScalarValue>) -> bool {
    match value {
        Some(ScalarValue::Null) => true,
        Some(ScalarValue::Utf8(_)) => !field.metadata().contains_key(PG_TYPE),
        _ => *field.data_type() == DataType::Null,
    }
}

impl std::fmt::Debug for RowFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for RowFunction {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.reading == other.reading && self.gives_scale == other.gives_scale
    }
}

impl Eq for RowFunction {}

impl std::hash::Hash for RowFunction {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for RowFunction {
    fn name(&self) -> &str {
        // Results are told apart by the names of calls.
        if self.gives_scale { "row_scale" } else { self.name }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> datafusion::common::Result<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn return_type(&self, _: &[DataType]) -> datafusion::common::Result<DataType> {
        Err(Error::internal("the type depends on the arguments").into())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> datafusion::common::Result<FieldRef> {
        let scalars = args.scalar_arguments;
        let unknown: Vec<bool> =
            args.arg_fields.iter().zip(scalars).map(|(field, value)| is_unknown(field, *value)).collect();
        let form = self.resolve(args.arg_fields, &unknown)?;
        // What is written for a number or a time has to be one, whatever rows there are.
        for (at, value) in scalars.iter().enumerate().filter(|(at, _)| unknown[*at]) {
            if let (Some(text @ ScalarValue::Utf8(Some(_))), Some((target, _))) =
                (value, form.parameter(at).target(&DataType::Utf8))
                && form.parameter(at) != Type::Text
            {
                cast_scalar(text, &target, self.reading)?;
            }
        }
        if self.gives_scale {
            return Ok(Arc::new(Field::new(self.name(), DataType::Int32, true)));
        }
        let (data_type, tag) = form.gives.field(args.arg_fields);
        let mut metadata = HashMap::new();
        let mut data_type = data_type;
        if form.gives == Type::Numeric {
            // A numeric keeps the digits of each value; those of constants are known.
            let constants: Option<Vec<_>> =
                scalars.iter().map(|value| Some(ColumnarValue::Scalar((*value)?.clone()))).collect();
            let exact = constants
                .filter(|_| !form.is_volatile)
                .and_then(|constants| self.invoke(form, &constants, args.arg_fields, 1, &args::EXACT).ok());
            match exact.and_then(|value| args::digits(&value)) {
                Some(exact) => data_type = exact,
                None => {
                    metadata.insert(VARIABLE.to_string(), String::new());
                }
            }
        }
        if let Some(tag) = tag {
            metadata.insert(PG_TYPE.to_string(), tag);
        }
        Ok(Arc::new(Field::new(self.name, data_type, true).with_metadata(metadata)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> datafusion::common::Result<ColumnarValue> {
        let unknown: Vec<bool> = args
            .arg_fields
            .iter()
            .zip(&args.args)
            .map(|(field, value)| match value {
                ColumnarValue::Scalar(value) => is_unknown(field, Some(value)),
                ColumnarValue::Array(_) => is_unknown(field, None),
            })
            .collect();
        let form = self.resolve(&args.arg_fields, &unknown)?;
        let is_constant = args.args.iter().all(|value| matches!(value, ColumnarValue::Scalar(_)));
        let is_once = is_constant && !form.is_volatile;
        let rows = if is_once { 1 } else { args.number_rows };
        let result = self.invoke(form, &args.args, &args.arg_fields, rows, args.return_field.data_type())?;
        Ok(match is_once {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?),
            false => ColumnarValue::Array(result),
        })
    }
}
