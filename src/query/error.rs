//! Errors of the planner and of execution in PostgreSQL's words.

mod planner;

use arrow::error::ArrowError;
use datafusion::common::{Column, SchemaError};
use datafusion::error::DataFusionError;

use self::planner::{execution, plan, planner_words};
use crate::error::{Error, Kind, did_you_mean};

impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        DataFusionError::External(Box::new(error))
    }
}

/// What a client is told about an error of DataFusion.
pub fn translate(error: DataFusionError) -> Error {
    // The spill limit is told by words alone, and wrapped differently by every operator.
    let words = error.to_string();
    if words.contains(SPILL_FULL) {
        return spill_full(&words);
    }
    if words.contains(DISK_FULL) {
        return disk_full(&words);
    }
    if let Some(error) = of_filter(&words) {
        return error;
    }
    match error {
        DataFusionError::External(inner) => match inner.downcast::<Error>() {
            Ok(error) => *error,
            Err(inner) => match inner.downcast::<DataFusionError>() {
                Ok(error) => translate(*error),
                Err(inner) => match inner.downcast::<ArrowError>() {
                    Ok(error) => arrow(*error),
                    Err(inner) => {
                        Error::new(Kind::Internal, first_line(&inner.to_string())).with_source(inner)
                    }
                },
            },
        },
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => translate(*inner),
        DataFusionError::Shared(inner) => translate_shared(&inner),
        DataFusionError::Collection(errors) => match errors.into_iter().next() {
            Some(error) => translate(error),
            None => Error::internal("an empty list of errors"),
        },
        DataFusionError::ArrowError(inner, _) => arrow(*inner),
        DataFusionError::SchemaError(inner, _) => schema(*inner),
        DataFusionError::ResourcesExhausted(what) => {
            Error::new(Kind::Limit, "out of memory").with_detail(first_line(&what)).with_hint(
                "add a filter or a LIMIT, or ask for fewer columns; an admin can raise the memory limit",
            )
        }
        DataFusionError::NotImplemented(what) => Error::new(Kind::Unsupported, planner_words(&what)),
        DataFusionError::Plan(what) => plan(&what),
        DataFusionError::SQL(inner, _) => {
            Error::new(Kind::Invalid, first_line(&inner.to_string())).with_sqlstate("42601")
        }
        DataFusionError::Execution(what) => execution(&what),
        DataFusionError::ParquetError(ref inner) => match within(inner) {
            Some(ours) => copy(ours),
            None => Error::internal(first_line(&error.strip_backtrace())).with_source(error),
        },
        DataFusionError::ObjectStore(inner) => {
            Error::new(Kind::Unavailable, "the object store does not answer").with_source(inner)
        }
        DataFusionError::ExecutionJoin(inner) => {
            Error::internal("a part of the query stopped").with_source(inner)
        }
        other => {
            let what = first_line(&other.strip_backtrace());
            planner::mistaken(&what).unwrap_or_else(|| Error::internal(what).with_source(other))
        }
    }
}

/// An error that several partitions share can only be looked at.
fn translate_shared(error: &DataFusionError) -> Error {
    let words = error.to_string();
    if words.contains(SPILL_FULL) {
        return spill_full(&words);
    }
    if words.contains(DISK_FULL) {
        return disk_full(&words);
    }
    if let Some(error) = of_filter(&words) {
        return error;
    }
    match error {
        DataFusionError::External(inner) => match inner.downcast_ref::<Error>() {
            Some(error) => copy(error),
            None => Error::internal(first_line(&inner.to_string())),
        },
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => translate_shared(inner),
        DataFusionError::Shared(inner) => translate_shared(inner),
        DataFusionError::ArrowError(inner, _) => arrow_words(inner),
        DataFusionError::ResourcesExhausted(what) => {
            translate(DataFusionError::ResourcesExhausted(what.clone()))
        }
        DataFusionError::ParquetError(inner) => match within(inner) {
            Some(ours) => copy(ours),
            None => Error::internal(first_line(&error.strip_backtrace())),
        },
        DataFusionError::Execution(what) => execution(what),
        DataFusionError::Plan(what) => plan(what),
        DataFusionError::NotImplemented(what) => Error::new(Kind::Unsupported, planner_words(what)),
        other => Error::internal(first_line(&other.strip_backtrace())),
    }
}

/// What the engine says when the spill limit is reached.
const SPILL_FULL: &str = "used disk space during the spilling";

/// What the operating system says when there is no space; statements write nothing but what they spill.
const DISK_FULL: &str = "No space left on device";

fn disk_full(what: &str) -> Error {
    Error::new(Kind::Limit, "no space left on the disk for spilled data")
        .with_sqlstate("53100")
        .with_hint("add a filter or ask for fewer columns; an admin can free space in the folder `spill`")
        .with_source(what.to_string())
}

fn spill_full(what: &str) -> Error {
    Error::new(Kind::Limit, "the statement needs more space for spilled data than it may have")
        .with_sqlstate("53100")
        .with_hint("add a filter or ask for fewer columns; an admin can raise the spill limit")
        .with_source(what.to_string())
}

/// What the reader of Parquet files puts before the debug form of an error of a condition that it checks.
const IN_FILTER: &str = "Error evaluating filter predicate: ";

/// The error of a condition that was checked while a file was read: nothing but its debug form is left of it.
fn of_filter(words: &str) -> Option<Error> {
    let (_, inner) = words.split_once(IN_FILTER)?;
    if let Some(ours) = inner.strip_prefix("External(") {
        return of_debug(ours.trim_end().strip_suffix(')')?);
    }
    let is = |name: &str| inner.contains(name);
    let data = |what: &str, state| Some(Error::new(Kind::Data, what).with_sqlstate(state));
    match inner {
        _ if is("DivideByZero") => data("division by zero", "22012"),
        _ if is("Overflow") => data("value out of range", "22003"),
        _ => None,
    }
}

/// States that a condition can fail with.
const OF_CONDITIONS: &[&str] = &[
    "0A000", "22001", "22003", "22007", "22008", "22009", "2200H", "22011", "22012", "22015", "2201B",
    "2201E", "2201F", "2201G", "22019", "2201X", "22021", "22023", "22025", "22026", "22032", "22034",
    "22035", "22P02", "22P03", "42846", "42883", "54000",
];

/// One of our errors by its debug form: `Invalid [2201B]: invalid regular expression: ...`.
fn of_debug(text: &str) -> Option<Error> {
    let (kind, rest) = text.split_once(" [")?;
    let (state, what) = rest.split_once("]: ")?;
    let state = OF_CONDITIONS.iter().find(|known| **known == state)?;
    let kind = match kind {
        "Data" => Kind::Data,
        "Unsupported" => Kind::Unsupported,
        "Limit" => Kind::Limit,
        _ => Kind::Invalid,
    };
    let what = what.split("; caused by: ").next().unwrap_or(what);
    let (what, hint) = what.split_once("; hint: ").map_or((what, None), |(what, hint)| (what, Some(hint)));
    let error = Error::new(kind, what).with_sqlstate(state);
    Some(match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    })
}

/// One of our errors inside another one.
fn within<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(ours) = error.downcast_ref::<Error>() {
            return Some(ours);
        }
        next = error.source();
    }
    None
}

fn copy(error: &Error) -> Error {
    let mut copy = Error::new(error.kind(), error.what()).with_sqlstate(error.sqlstate());
    if let Some(detail) = error.detail() {
        copy = copy.with_detail(detail);
    }
    if let Some(hint) = error.hint() {
        copy = copy.with_hint(hint);
    }
    copy
}

fn first_line(what: &str) -> String {
    what.lines().next().unwrap_or_default().trim().to_string()
}

fn arrow(error: ArrowError) -> Error {
    match error {
        ArrowError::ExternalError(inner) => translate(DataFusionError::External(inner)),
        other => arrow_words(&other).with_source(other),
    }
}

fn arrow_words(error: &ArrowError) -> Error {
    let data = |what: &str, state| Error::new(Kind::Data, what).with_sqlstate(state);
    match error {
        ArrowError::DivideByZero => data("division by zero", "22012"),
        ArrowError::ArithmeticOverflow(what) => {
            data("value out of range", "22003").with_detail(first_line(what))
        }
        ArrowError::CastError(what) if what.contains("is too large") || what.contains("Can't cast value") => {
            data("value out of range", "22003").with_detail(first_line(what))
        }
        ArrowError::CastError(what) => data(&first_line(what), "22P02"),
        ArrowError::ComputeError(what) if what.contains("Array overflow on ") => {
            let types = [("Int16", "smallint"), ("Int32", "integer"), ("Int64", "bigint")];
            let name =
                types.iter().find(|(arrow, _)| what.starts_with(arrow)).map_or("value", |(_, name)| name);
            data(&format!("{name} out of range"), "22003")
        }
        ArrowError::ParseError(what) => data(&first_line(what), "22007"),
        ArrowError::InvalidArgumentError(what) if what.contains("too large to store in a Decimal") => {
            data("numeric field overflow", "22003").with_detail(first_line(what))
        }
        ArrowError::ExternalError(inner) => match inner.downcast_ref::<Error>() {
            Some(error) => copy(error),
            None => Error::internal(first_line(&inner.to_string())),
        },
        other => Error::internal(first_line(&other.to_string())),
    }
}

fn schema(error: SchemaError) -> Error {
    let undefined = |what: String| Error::new(Kind::NotFound, what).with_sqlstate("42703");
    match error {
        SchemaError::FieldNotFound { field, valid_fields } if is_unknown_table(&field, &valid_fields) => {
            let table =
                field.relation.as_ref().map(|relation| relation.table().to_string()).unwrap_or_default();
            let error =
                Error::new(Kind::NotFound, format!("missing FROM-clause entry for table \"{table}\""))
                    .with_sqlstate("42P01");
            let tables = valid_fields.iter().filter_map(|field| Some(field.relation.as_ref()?.table()));
            match did_you_mean(&table, tables) {
                hint if hint.is_empty() => error,
                hint => error.with_hint(hint.trim().trim_matches(['(', ')']).to_string()),
            }
        }
        // Outputs of one name in a subquery are told apart by what follows the name.
        SchemaError::FieldNotFound { field, valid_fields }
            if valid_fields.iter().any(|valid| {
                valid.name != field.name && super::parse::shown_name(&valid.name) == field.name
            }) =>
        {
            schema(SchemaError::AmbiguousReference { field })
        }
        SchemaError::FieldNotFound { field, valid_fields } => {
            let error = undefined(format!("column {} does not exist", shown(&field)));
            if let Some(hint) = suggestion(&field, &valid_fields) {
                return error.with_hint(hint);
            }
            let mut names: Vec<&str> = valid_fields.iter().map(|field| field.name.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            names.truncate(30);
            match names.is_empty() {
                true => error,
                false => error.with_hint(format!("columns are: {}", names.join(", "))),
            }
        }
        SchemaError::AmbiguousReference { field } => {
            Error::new(Kind::Invalid, format!("column reference \"{}\" is ambiguous", field.name))
                .with_sqlstate("42702")
                .with_hint("put the name of the table before it")
        }
        SchemaError::DuplicateQualifiedField { name, .. }
        | SchemaError::DuplicateUnqualifiedField { name } => Error::new(
            Kind::Invalid,
            format!("column \"{}\" is there more than once", super::parse::shown_name(&name)),
        )
        .with_sqlstate("42701")
        .with_hint("give one of them another name with AS"),
    }
}

/// Letters that a column's name may differ from what was written.
const MOST_DIFFERENT: usize = 3;

/// The one or two columns nearest to what was written, as PostgreSQL chooses them: not more than three letters
/// away, nor more than half of the name.
fn suggestion(field: &Column, valid: &[Column]) -> Option<String> {
    let mut best = MOST_DIFFERENT + 1;
    let mut found: Vec<&Column> = Vec::new();
    for candidate in valid {
        let far = strsim::levenshtein(&candidate.name, &field.name);
        if far > field.name.chars().count() / 2 {
            continue;
        }
        let table = match (&field.relation, &candidate.relation) {
            (Some(written), Some(own)) => strsim::levenshtein(own.table(), written.table()),
            _ => 0,
        };
        match (far + table).cmp(&best) {
            std::cmp::Ordering::Less => (best, found) = (far + table, vec![candidate]),
            std::cmp::Ordering::Equal if best <= MOST_DIFFERENT => found.push(candidate),
            _ => {}
        }
    }
    let name = |column: &Column| match &column.relation {
        Some(relation) => format!("\"{}.{}\"", relation.table(), column.name),
        None => format!("\"{}\"", column.name),
    };
    match found.as_slice() {
        [one] => Some(format!("Perhaps you meant to reference the column {}.", name(one))),
        [one, two] => {
            let (one, two) = (name(one), name(two));
            Some(format!("Perhaps you meant to reference the column {one} or the column {two}."))
        }
        _ => None,
    }
}

fn is_unknown_table(field: &Column, valid: &[Column]) -> bool {
    let Some(relation) = &field.relation else { return false };
    !valid.iter().any(|other| other.relation.as_ref().is_some_and(|other| other.table() == relation.table()))
}

fn shown(column: &Column) -> String {
    match &column.relation {
        Some(relation) => format!("{}.{}", relation.table(), column.name),
        None => format!("\"{}\"", column.name),
    }
}
