//! A condition that is chosen instead of typed, as the text of a filter.

use maud::{Markup, html};

use crate::web::form::{Field, Form};

/// What can be said of a field, with what people read and whether it takes a value.
const OPERATORS: &[(&str, &str)] = &[
    ("=", "is"),
    ("<>", "is not"),
    (">", "is more than"),
    (">=", "is at least"),
    ("<", "is less than"),
    ("<=", "is at most"),
    ("in", "is one of (a, b, c)"),
    ("not in", "is none of (a, b, c)"),
    ("between", "is between (a, b)"),
    ("begins", "begins with"),
    ("contains", "contains"),
    ("is null", "is empty"),
    ("is not null", "is not empty"),
    ("is true", "is true"),
    ("is false", "is false"),
];

/// A field that a condition can be about.
pub(super) struct Subject {
    pub(super) name: String,
    pub(super) data_type: String,
}

impl Subject {
    fn is_number(&self) -> bool {
        let kinds = ["smallint", "integer", "bigint", "numeric", "real", "double precision"];
        kinds.iter().any(|kind| self.data_type.starts_with(kind)) && !self.data_type.ends_with("[]")
    }

    fn is_text(&self) -> bool {
        self.data_type == "text"
    }
}

/// The fields of the builder.
pub(super) fn fields(form: &Form, subjects: &[Subject]) -> Markup {
    let names: Vec<_> = subjects
        .iter()
        .map(|subject| (subject.name.clone(), format!("{} ({})", subject.name, subject.data_type)))
        .collect();
    let options: Vec<_> = names.iter().map(|(name, shown)| (name.as_str(), shown.as_str())).collect();
    html! {
        fieldset.builder {
            legend { "Add a condition" }
            div.row {
                (Field::new(form, "builder.join", "Joined by").select(&[("AND", "and"), ("OR", "or")]))
                (Field::new(form, "builder.field", "Field").select(&options))
                (Field::new(form, "builder.op", "Condition").select(OPERATORS))
                (Field::new(form, "builder.value", "Value").input())
                div.field.end { button name="then" value="add" { "Add" } }
            }
        }
    }
}

/// The filter with the condition that was chosen. What is wrong is said at its field.
pub(super) fn added(form: &mut Form, subjects: &[Subject]) -> Option<String> {
    let before = form.text("filter").map(str::to_string);
    let join = if form.raw("builder.join") == "OR" { "OR" } else { "AND" };
    let Some(subject) = subjects.iter().find(|subject| subject.name == form.raw("builder.field")) else {
        form.wrong("builder.field", "choose a field");
        return None;
    };
    let condition = match condition(subject, form.raw("builder.op"), form.raw("builder.value")) {
        Ok(condition) => condition,
        Err(what) => {
            form.wrong("builder.value", what);
            return None;
        }
    };
    Some(match before {
        None => condition,
        // What stands there may be joined by the other word, which binds otherwise.
        Some(before) if join == "AND" && has_word(&before, "or") => format!("({before}) AND {condition}"),
        Some(before) => format!("{before} {join} {condition}"),
    })
}

fn has_word(text: &str, word: &str) -> bool {
    text.to_lowercase().split(|c: char| !c.is_alphanumeric()).any(|found| found == word)
}

fn condition(subject: &Subject, operator: &str, value: &str) -> Result<String, String> {
    let name = &subject.name;
    let value = value.trim();
    let list =
        || value.split(',').map(str::trim).filter(|one| !one.is_empty()).map(|one| literal(subject, one));
    match operator {
        "is null" | "is not null" | "is true" | "is false" => {
            Ok(format!("{name} {}", operator.to_uppercase()))
        }
        _ if value.is_empty() => Err("a value is needed".into()),
        "in" | "not in" => {
            let values = list().collect::<Result<Vec<_>, _>>()?;
            Ok(format!("{name} {} ({})", operator.to_uppercase(), values.join(", ")))
        }
        "between" => match list().collect::<Result<Vec<_>, _>>()?.as_slice() {
            [low, high] => Ok(format!("{name} BETWEEN {low} AND {high}")),
            _ => Err("write two values with a comma between them".into()),
        },
        "begins" | "contains" if !subject.is_text() => Err(format!("`{name}` is no text")),
        "begins" => Ok(format!("{name} LIKE {}", quoted(&format!("{}%", escaped(value))))),
        "contains" => Ok(format!("{name} LIKE {}", quoted(&format!("%{}%", escaped(value))))),
        "=" | "<>" | ">" | ">=" | "<" | "<=" => Ok(format!("{name} {operator} {}", literal(subject, value)?)),
        _ => Err("choose a condition".into()),
    }
}

fn literal(subject: &Subject, value: &str) -> Result<String, String> {
    if subject.is_number() {
        let is_number = value.parse::<f64>().is_ok_and(f64::is_finite);
        return if is_number { Ok(value.to_string()) } else { Err(format!("`{value}` is not a number")) };
    }
    match (subject.data_type.as_str(), value) {
        ("boolean", "true" | "false") => Ok(value.to_string()),
        ("boolean", _) => Err("write true or false".into()),
        _ => Ok(quoted(value)),
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A text in a pattern that stands for itself.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(data_type: &str, operator: &str, value: &str) -> Result<String, String> {
        condition(&Subject { name: "f".into(), data_type: data_type.into() }, operator, value)
    }

    #[test]
    fn conditions_are_written_by_the_type_of_their_field() {
        for (data_type, operator, value, expected) in [
            ("numeric(18,2)", ">", " 10.5 ", "f > 10.5"),
            ("text", "=", "it's", "f = 'it''s'"),
            ("text", "in", "a, b,,c ", "f IN ('a', 'b', 'c')"),
            ("bigint", "between", "1, 2", "f BETWEEN 1 AND 2"),
            ("text", "contains", "50%_\\", "f LIKE '%50\\%\\_\\\\%'"),
            ("date", ">=", "2026-01-01", "f >= '2026-01-01'"),
            ("boolean", "is true", "", "f IS TRUE"),
            ("text", "is null", "", "f IS NULL"),
        ] {
            assert_eq!(said(data_type, operator, value).unwrap(), expected);
        }
        for (data_type, operator, value) in [
            ("integer", "=", "x"),
            ("integer", "=", ""),
            ("integer", "begins", "1"),
            ("date", "between", "a"),
            ("text", "; DROP", "x"),
        ] {
            assert!(said(data_type, operator, value).is_err(), "{operator} {value}");
        }
    }

    #[test]
    fn a_condition_is_joined_to_what_is_there() {
        let subjects = [Subject { name: "n".into(), data_type: "integer".into() }];
        let joined = |filter: &str, join: &str| {
            let pairs = [
                ("filter", filter),
                ("builder.join", join),
                ("builder.field", "n"),
                ("builder.op", "="),
                ("builder.value", "1"),
            ];
            added(&mut Form::of(pairs.map(|(name, value)| (name, value.to_string()))), &subjects).unwrap()
        };
        assert_eq!(joined("", "AND"), "n = 1");
        assert_eq!(joined("a = 2", "AND"), "a = 2 AND n = 1");
        assert_eq!(joined("a = 2 OR b = 3", "AND"), "(a = 2 OR b = 3) AND n = 1");
        assert_eq!(joined("a = 2", "OR"), "a = 2 OR n = 1");
    }
}
