//! Casts to and from the types of the catalog's own: `oid`, `name`, `"char"`, `regclass` and its kin.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray, StringBuilder};
use arrow::compute::kernels::cast::cast as arrow_cast;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};

use super::functions::{of_oid, oid_of, reg_name};
use super::scope::Scope;
use crate::error::{Error, Kind};
use crate::query::PG_TYPE;
use crate::query::typing::TYPE_NAME;

/// Bytes of a `name`.
const NAME_BYTES: usize = 63;

/// Whether a cast to a type asks the catalog.
pub(super) fn asks_catalog(target: &str) -> bool {
    reg_name(target.trim_end_matches("[]")).is_some()
}

/// A cast to or from a type of the catalog's own; `None` for any other.
pub(in crate::query) fn cast(
    value: &Expr,
    target: &str,
    schema: &DFSchema,
    scope: Option<&Scope>,
) -> Result<Option<Expr>> {
    if let Some(element) = target.strip_suffix("[]") {
        return Ok(list_cast(value, element, scope));
    }
    let reg = reg_name(target);
    let to = match (target, reg) {
        (_, Some(reg)) => reg,
        ("oid" | "name" | "\"char\"" | "xid" | "cid" | "int2vector" | "oidvector", None) => target,
        ("text" | "varchar", None) => {
            let told = pg_type(value, schema);
            let Some(from) = told.and_then(|name| reg_name(name.trim_start_matches('_'))) else {
                return Ok(None);
            };
            return Ok(Some(convert(value.clone(), Way::Text(from), scope)));
        }
        _ => return Ok(None),
    };
    let value = open(value, to);
    Ok(Some(match (to, reg) {
        (_, Some(reg)) => convert(value, Way::Reg(reg), scope),
        ("name", None) => convert(value, Way::Name, scope),
        ("\"char\"", None) => convert(value, Way::Char, scope),
        ("int2vector" | "oidvector", None) => return Ok(None),
        ("xid", None) => convert(value, Way::Number("xid"), scope),
        ("cid", None) => convert(value, Way::Number("cid"), scope),
        _ => convert(value, Way::Number("oid"), scope),
    }))
}

/// `{1,2}` as an array of numbers of something. What is an array already only takes the name.
fn list_cast(value: &Expr, element: &str, scope: Option<&Scope>) -> Option<Expr> {
    let told = match element {
        "oid" => "_oid",
        "name" => "_name",
        "\"char\"" => "_char",
        "regtype" => "_regtype",
        "regclass" => "_regclass",
        "regproc" => "_regproc",
        _ => return None,
    };
    Some(convert(value.clone(), Way::List(told), scope))
}

/// A parameter beside a value: of its type, announced as PostgreSQL announces it.
pub(in crate::query) fn parameter_like(
    parameter: Expr,
    other: &Expr,
    data_type: DataType,
    schema: &DFSchema,
) -> Expr {
    let Expr::Placeholder(Placeholder { id, field: None }) = parameter else { return parameter };
    let told = pg_type(other, schema).and_then(|told| match told.as_str() {
        "oid" | "name" | "char" | "xid" => Some(told),
        // What is written by a name is compared by its number.
        reg if reg_name(reg).is_some() => Some("oid".to_string()),
        _ => None,
    });
    let metadata = told.map(|told| (TYPE_NAME.to_string(), told)).into_iter().collect();
    let field = Field::new(&id, data_type, true).with_metadata(metadata);
    Expr::Placeholder(Placeholder::new_with_field(id, Some(Arc::new(field))))
}

/// A text constant like `{0}` beside an array, as an array of that type; `None` for anything else.
pub(in crate::query) fn array_like(value: &Expr, other: &DataType) -> Result<Option<Expr>> {
    let (Expr::Literal(ScalarValue::Utf8(Some(text)), None), DataType::List(_)) = (value, other) else {
        return Ok(None);
    };
    let mut lists = arrow::array::ListBuilder::new(arrow::array::StringBuilder::new());
    lists.append_value(crate::query::functions::text::parse_array(text)?);
    let list = arrow_cast(&(Arc::new(lists.finish()) as ArrayRef), other)?;
    Ok(Some(Expr::Literal(ScalarValue::try_from_array(&list, 0)?, None)))
}

/// A parameter is announced as text where the other side will be, so that drivers send what they have.
fn open(value: &Expr, target: &str) -> Expr {
    match value {
        Expr::Placeholder(Placeholder { id, field: None }) => {
            let data_type = match target {
                "oid" | "xid" | "cid" => DataType::Int64,
                _ => DataType::Utf8,
            };
            let field = Arc::new(Field::new(id, data_type, true));
            Expr::Placeholder(Placeholder::new_with_field(id.clone(), Some(field)))
        }
        other => other.clone(),
    }
}

/// The name of the type of an expression where its Arrow type does not tell it.
pub(super) fn pg_type(value: &Expr, schema: &DFSchema) -> Option<String> {
    let (_, field) = value.to_field(schema).ok()?;
    field.metadata().get(PG_TYPE).cloned()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Way {
    /// From a name, or the text of a number, or a number.
    Reg(&'static str),
    /// From a number to the name.
    Text(&'static str),
    /// A number of something else.
    Number(&'static str),
    Name,
    Char,
    /// An array.
    List(&'static str),
    /// The same value under the name of its type.
    Told(&'static str),
}

/// Names that a value keeps on its way through `CASE`.
const TOLD: &[&str] = &["oid", "_oid", "name", "_name", "char", "_char", "xid", "int2vector", "oidvector"];

/// An expression under the name of its type.
pub(super) fn told_as(value: Expr, told: &str) -> Option<Expr> {
    let known = TOLD.iter().find(|known| **known == told).copied().or_else(|| reg_name(told))?;
    Some(convert(value, Way::Told(known), None))
}

fn convert(value: Expr, way: Way, scope: Option<&Scope>) -> Expr {
    ScalarUDF::from(Convert::new(way, scope.cloned())).call(vec![value])
}

#[derive(Debug)]
struct Convert {
    way: Way,
    scope: Option<Scope>,
    signature: Signature,
}

impl PartialEq for Convert {
    fn eq(&self, other: &Self) -> bool {
        let catalog = |convert: &Self| convert.scope.as_ref().map(|scope| Arc::as_ptr(scope.catalog()));
        self.way == other.way && catalog(self) == catalog(other)
    }
}

impl Eq for Convert {}

impl std::hash::Hash for Convert {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.way.hash(state);
    }
}

impl Convert {
    fn new(way: Way, scope: Option<Scope>) -> Self {
        Convert { way, scope, signature: Signature::any(1, Volatility::Stable) }
    }

    fn scope(&self) -> Result<&Scope> {
        let missing = || Error::internal("a cast without the catalog").into();
        self.scope.as_ref().ok_or_else(missing)
    }

    fn of(&self, array: &ArrayRef) -> Result<ArrayRef> {
        match self.way {
            Way::Told(_) => Ok(Arc::clone(array)),
            Way::Text(reg) => {
                let scope = self.scope()?;
                if let Some(list) = array.as_list_opt::<i32>() {
                    let each = list.iter().map(|part| part.map(|part| braced(scope, reg, &part)).transpose());
                    return Ok(Arc::new(each.collect::<Result<StringArray>>()?));
                }
                let numbers = arrow_cast(array, &DataType::Int64)?;
                Ok(Arc::new(names(scope, reg, &numbers)?))
            }
            _ if array.data_type().is_null() => {
                Ok(arrow::array::new_null_array(&self.data_type(), array.len()))
            }
            Way::Name | Way::Char => {
                let texts = arrow_cast(array, &DataType::Utf8)?;
                let bytes = if self.way == Way::Name { NAME_BYTES } else { 1 };
                let cut = texts.as_string::<i32>().iter().map(|text| text.map(|text| cut(text, bytes)));
                Ok(Arc::new(cut.collect::<StringArray>()))
            }
            Way::List(_) => self.list(array),
            Way::Reg(_) | Way::Number(_) if array.data_type().is_integer() => {
                Ok(arrow_cast(array, &DataType::Int64)?)
            }
            Way::Reg(_) | Way::Number(_) => {
                let texts = arrow_cast(array, &DataType::Utf8)?;
                let numbers = texts.as_string::<i32>().iter();
                let numbers = numbers.map(|text| text.map(|text| self.number(text)).transpose());
                Ok(Arc::new(numbers.collect::<Result<Int64Array>>()?))
            }
        }
    }

    fn number(&self, text: &str) -> Result<i64> {
        match self.way {
            Way::Reg(reg) => oid_of(self.scope()?, reg, text),
            Way::Number(name) => {
                let number = text.trim().parse::<i64>();
                // As in PostgreSQL a negative number is the one with the same bits.
                let fits = |n: &i64| (i64::from(i32::MIN)..=i64::from(u32::MAX)).contains(n);
                match number.ok().filter(fits) {
                    Some(number) => Ok(i64::from(number as u32)),
                    None => {
                        let shown: String = text.chars().take(100).collect();
                        let what = format!("invalid input syntax for type {name}: \"{shown}\"");
                        Err(Error::new(Kind::Data, what).with_sqlstate("22P02").into())
                    }
                }
            }
            _ => Ok(0),
        }
    }

    fn list(&self, array: &ArrayRef) -> Result<ArrayRef> {
        let to = self.data_type();
        if matches!(array.data_type(), DataType::List(_)) {
            return Ok(arrow_cast(array, &to)?);
        }
        let texts = arrow_cast(array, &DataType::Utf8)?;
        let mut lists = arrow::array::ListBuilder::new(arrow::array::StringBuilder::new());
        for text in texts.as_string::<i32>() {
            let mut elements = text.map(crate::query::functions::text::parse_array).transpose()?;
            let reg = self.told().and_then(|told| reg_name(told.trim_start_matches('_')));
            if let Some(reg) = reg {
                for element in elements.iter_mut().flatten().flatten() {
                    *element = oid_of(self.scope()?, reg, element)?.to_string();
                }
            }
            lists.append_option(elements);
        }
        Ok(arrow_cast(&(Arc::new(lists.finish()) as ArrayRef), &to)?)
    }

    fn data_type(&self) -> DataType {
        let list = |element| DataType::List(Arc::new(Field::new_list_field(element, true)));
        match self.way {
            Way::Reg(_) | Way::Number(_) | Way::Told(_) => DataType::Int64,
            Way::Text(_) | Way::Name | Way::Char => DataType::Utf8,
            Way::List("_name" | "_char") => list(DataType::Utf8),
            Way::List(_) => list(DataType::Int64),
        }
    }

    fn told(&self) -> Option<&'static str> {
        match self.way {
            Way::Reg(name) | Way::Number(name) | Way::List(name) | Way::Told(name) => Some(name),
            Way::Name => Some("name"),
            Way::Char => Some("char"),
            Way::Text(_) => None,
        }
    }
}

/// The names of numbers. Most columns have few different ones.
pub(super) fn names(scope: &Scope, reg: &'static str, numbers: &ArrayRef) -> Result<StringArray> {
    let mut known: HashMap<i64, String> = HashMap::new();
    let mut names = StringBuilder::new();
    for number in numbers.as_primitive::<Int64Type>() {
        let Some(number) = number else {
            names.append_null();
            continue;
        };
        if let Some(name) = known.get(&number) {
            names.append_value(name);
            continue;
        }
        let name = of_oid(scope, reg, number)?;
        names.append_value(&name);
        known.insert(number, name);
    }
    Ok(names.finish())
}

/// The names of numbers as the text of an array.
fn braced(scope: &Scope, reg: &'static str, numbers: &ArrayRef) -> Result<String> {
    let names = names(scope, reg, &arrow_cast(numbers, &DataType::Int64)?)?;
    let quoted = |name: Option<&str>| match name {
        None => "NULL".to_string(),
        Some(name) if name.is_empty() || name.contains(['{', '}', ',', '"', '\\', ' ']) => {
            format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
        }
        Some(name) => name.to_string(),
    };
    Ok(format!("{{{}}}", names.iter().map(quoted).collect::<Vec<_>>().join(",")))
}

/// At most so many bytes of a text, without a part of a character.
fn cut(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

impl ScalarUDFImpl for Convert {
    fn name(&self) -> &str {
        self.told().unwrap_or("text")
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(match (self.way, types.first()) {
            (Way::Told(_), Some(same)) => same.clone(),
            _ => self.data_type(),
        })
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let metadata = self.told().map(|told| (PG_TYPE.to_string(), told.to_string()));
        let types: Vec<_> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let field = Field::new(self.name(), self.return_type(&types)?, true);
        Ok(Arc::new(field.with_metadata(metadata.into_iter().collect())))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match &args.args[0] {
            ColumnarValue::Array(array) => Ok(ColumnarValue::Array(self.of(array)?)),
            ColumnarValue::Scalar(value) => {
                let array = self.of(&value.to_array()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?))
            }
        }
    }
}
