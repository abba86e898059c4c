//! `current_setting()`, `set_config()` and `pg_notify()`: functions that read or change the session, row by row.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::system::Facts;
use crate::error::{Error, Kind};
use crate::query::notify::Mailbox;
use crate::query::settings::{Lasts, SharedSettings};

/// The function of that name, when it is one of these.
pub(super) fn function(name: &str, facts: &Facts) -> Option<ScalarUDF> {
    let what = match name {
        "current_setting" => What::Current,
        "set_config" => What::Set,
        "pg_notify" => What::Notify,
        _ => return None,
    };
    let (settings, mailbox) = (facts.settings.clone(), facts.mailbox.clone());
    let signature = Signature::variadic_any(Volatility::Volatile);
    Some(ScalarUDF::from(SessionFunction { what, settings, mailbox, signature }))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum What {
    Current,
    Set,
    Notify,
}

#[derive(Debug)]
struct SessionFunction {
    what: What,
    settings: SharedSettings,
    mailbox: Arc<Mailbox>,
    signature: Signature,
}

impl PartialEq for SessionFunction {
    fn eq(&self, other: &Self) -> bool {
        self.what == other.what && Arc::ptr_eq(&self.settings, &other.settings)
    }
}

impl Eq for SessionFunction {}

impl Hash for SessionFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.what.hash(state);
    }
}

impl SessionFunction {
    /// The answer for one row.
    fn answer(&self, texts: &[Option<&str>], flag: Option<bool>) -> crate::error::Result<Option<String>> {
        let text = |index: usize| texts.get(index).copied().flatten();
        match self.what {
            What::Current => {
                let Some(name) = text(0) else { return Ok(None) };
                match self.settings.lock().examine(&name.to_lowercase()) {
                    Err(error) if flag == Some(true) && error.sqlstate() == "42704" => Ok(None),
                    answer => answer.map(Some),
                }
            }
            What::Set => {
                let Some(name) = text(0) else {
                    let error = Error::new(Kind::Invalid, "SET requires parameter name");
                    return Err(error.with_sqlstate("22004"));
                };
                let name = name.to_lowercase();
                let lasts = if flag == Some(true) { Lasts::Transaction } else { Lasts::Session };
                let mut settings = self.settings.lock();
                match text(1) {
                    Some(value) => settings.set(&name, value, lasts)?,
                    None => settings.reset(&name, lasts)?,
                }
                Ok(settings.show(&name))
            }
            What::Notify => {
                let channel = text(0).unwrap_or_default();
                self.mailbox.notify(channel, text(1).unwrap_or_default())?;
                Ok(Some(String::new()))
            }
        }
    }
}

impl ScalarUDFImpl for SessionFunction {
    fn name(&self) -> &str {
        match self.what {
            What::Current => "current_setting",
            What::Set => "set_config",
            What::Notify => "pg_notify",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        let (least, most) = match self.what {
            What::Current => (1, 2),
            What::Set => (3, 3),
            What::Notify => (2, 2),
        };
        if !(least..=most).contains(&arguments.len()) {
            return plan_err!("function {} does not take {} arguments", self.name(), arguments.len());
        }
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let arrays = args.args.iter().map(|arg| arg.to_array(rows)).collect::<Result<Vec<ArrayRef>>>()?;
        let flag_place = match self.what {
            What::Current => 1,
            What::Set => 2,
            What::Notify => usize::MAX,
        };
        let flags = arrays.get(flag_place).map(|array| cast(array, &DataType::Boolean)).transpose()?;
        let texts = arrays.iter().take(2.min(flag_place));
        let texts = texts.map(|array| cast(array, &DataType::Utf8)).collect::<Result<Vec<_>, _>>()?;
        let mut answers = Vec::with_capacity(rows);
        for row in 0..rows {
            let row_texts: Vec<_> = texts
                .iter()
                .map(|array| array.is_valid(row).then(|| array.as_string::<i32>().value(row)))
                .collect();
            let flag = flags.as_ref().filter(|flags| flags.is_valid(row));
            answers.push(self.answer(&row_texts, flag.map(|flags| flags.as_boolean().value(row)))?);
        }
        let is_scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_))) && rows == 1;
        match (is_scalar, answers.pop()) {
            (true, Some(answer)) => Ok(ColumnarValue::Scalar(ScalarValue::Utf8(answer))),
            (_, last) => {
                answers.extend(last);
                Ok(ColumnarValue::Array(Arc::new(StringArray::from(answers))))
            }
        }
    }
}
