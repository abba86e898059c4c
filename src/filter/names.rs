//! Filters keep their meaning when fields get other names.

use datafusion::sql::sqlparser::tokenizer::Location;

use super::{Named, field_of, read};
use crate::error::Result;
use crate::model::ObjectField;

/// `text`, a condition over `before`, as one over `after`, in which fields have other names. Only names that would
/// mean something else, or nothing, are written anew.
pub fn renamed(text: &str, before: &[ObjectField], after: &[ObjectField]) -> Result<String> {
    let (_, named) = read(text, before)?;
    Ok(replaced(text, &named, |named| {
        let now = after.iter().find(|field| field.api == named.api)?;
        let same = field_of(after, &named.ident).is_some_and(|field| field.api == named.api);
        (!same).then_some(now.name.as_str())
    }))
}

/// `text` with all fields under the source's names: the same text before and after a renaming. What cannot be read
/// stays as it is.
pub fn by_source_names(text: &str, fields: &[ObjectField]) -> String {
    match read(text, fields) {
        Ok((_, named)) => replaced(text, &named, |named| Some(named.api.as_str())),
        Err(_) => text.to_string(),
    }
}

fn replaced<'a>(text: &str, named: &'a [Named], name: impl Fn(&'a Named) -> Option<&'a str>) -> String {
    let mut new: Vec<_> = named.iter().filter_map(|named| Some((named.span, name(named)?))).collect();
    new.sort_by_key(|(span, _)| span.start);
    new.dedup_by_key(|(span, _)| span.start);
    let mut result = String::with_capacity(text.len());
    let mut rest = 0;
    for (span, name) in new {
        result.push_str(&text[rest..offset(text, span.start)]);
        result.push_str(&format!("\"{}\"", name.replace('"', "\"\"")));
        rest = offset(text, span.end);
    }
    result.push_str(&text[rest..]);
    result
}

/// Where in `text` the tokenizer's line and column are; both count from 1, columns in characters.
fn offset(text: &str, place: Location) -> usize {
    let (mut line, mut column) = (1, 1);
    for (at, c) in text.char_indices() {
        if (line, column) == (place.line, place.column) {
            return at;
        }
        (line, column) = if c == '\n' { (line + 1, 1) } else { (line, column + 1) };
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn fields(names: &[(&str, &str)]) -> Vec<ObjectField> {
        let field = |(api, name): &(&str, &str)| ObjectField {
            api: api.to_string(),
            name: name.to_string(),
            column: name.to_string(),
            label: name.to_string(),
            data_type: "integer".parse().unwrap(),
            native_type: String::new(),
            note: None,
            selected: true,
            key_position: None,
            is_name: false,
            volatile: false,
        };
        names.iter().map(field).collect()
    }

    #[test]
    fn a_filter_means_the_same_after_a_renaming() {
        let before = fields(&[("Amount", "amount"), ("date", "date"), ("b", "b")]);
        let after = fields(&[("Amount", "select"), ("date", "amount"), ("b", "b")]);
        for (text, expected) in [
            ("amount > 1", "\"select\" > 1"),
            ("\"Amount\" > 1 AND b = 2", "\"Amount\" > 1 AND b = 2"),
            ("/* é */ AMOUNT\n IN (1, 2) OR\n date<3", "/* é */ \"select\"\n IN (1, 2) OR\n \"amount\"<3"),
            ("NOT (\"amount\" BETWEEN 1 AND 2)", "NOT (\"select\" BETWEEN 1 AND 2)"),
        ] {
            let new = renamed(text, &before, &after).unwrap();
            assert_eq!(new, expected);
            assert_eq!(parse(&new, &after).unwrap(), parse(text, &before).unwrap());
            assert_eq!(by_source_names(&new, &after), by_source_names(text, &before));
        }
        assert_eq!(by_source_names("nothing like it", &before), "nothing like it");
    }
}
