//! One answer, read into columns.

use arrow::array::ArrayRef;

use super::cell::{Cell, Column};
use super::client::{Answer, Unreadable};
use super::outcome::not_json;
use super::shape::{Shape, Slot};
use crate::catalog::Pointer;
use crate::catalog::manifest::Condition;
use crate::model::{FieldType, Micros};
use crate::source::Misfit;

/// A column that an answer fills.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// Column name in the batch.
    pub(crate) name: String,
    pub(crate) data_type: FieldType,
    pub(crate) slot: Slot,
    /// What the column is called in CSV.
    pub(crate) header: String,
}

/// What to take from every record beside columns.
#[derive(Debug, Clone, Default)]
pub(crate) struct Also {
    /// Where the parts of its key stand; empty when nobody needs to know.
    pub(crate) key: Vec<Slot>,
    /// What a deleted record has, and where it tells into which one it was merged.
    pub(crate) tombstone: Option<(Condition, Option<Pointer>)>,
    /// Where a record tells which others were merged into it, and what separates them.
    pub(crate) merged: Option<(Slot, String)>,
    /// The key for seeking.
    pub(crate) seek: Option<Pointer>,
    /// Only records that were deleted since.
    pub(crate) deleted_since: Option<(Pointer, Micros)>,
}

/// How to read the answers of one request.
#[derive(Debug)]
pub(crate) struct Recipe {
    shape: Shape,
    columns: Vec<Wanted>,
    key: Vec<usize>,
    tombstone: Option<(Condition, usize, Option<usize>)>,
    merged: Option<(usize, String)>,
    seek: Option<usize>,
    deleted_since: Option<(usize, Micros)>,
}

/// A record that is not there any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) key: Vec<String>,
    pub(crate) merged_into: Option<String>,
}

/// What an answer holds.
#[derive(Debug, Default)]
pub(crate) struct Part {
    /// The columns of the recipe.
    pub(crate) columns: Vec<ArrayRef>,
    /// Rows of the columns.
    pub(crate) rows: usize,
    /// The keys of the rows, where they are wanted.
    pub(crate) keys: Vec<Vec<String>>,
    pub(crate) misfits: Vec<Misfit>,
    pub(crate) lost: Vec<Lost>,
    /// Records, rows or not.
    pub(crate) records: u64,
    /// The key for seeking of the last record.
    pub(crate) last: Option<String>,
    /// The facts of the document, as JSON.
    pub(crate) facts: Vec<Option<String>>,
}

impl Recipe {
    /// `records` and `facts` are places in the document.
    pub(crate) fn new(records: &Pointer, columns: Vec<Wanted>, also: &Also, facts: &[&Pointer]) -> Self {
        let mut slots: Vec<Slot> = columns.iter().map(|column| column.slot.clone()).collect();
        let mut add = |slot: Slot| {
            slots.push(slot);
            slots.len() - 1
        };
        let inner = |at: &Pointer| Slot { at: at.clone(), is_outer: false };
        let key = also.key.iter().map(|slot| add(slot.clone())).collect();
        let tombstone = also.tombstone.as_ref().map(|(when, merged_into)| {
            let when_at = add(inner(&when.at));
            let here = Condition { at: Pointer::default(), ..when.clone() };
            (here, when_at, merged_into.as_ref().map(|at| add(inner(at))))
        });
        let merged = also.merged.as_ref().map(|(slot, separator)| (add(slot.clone()), separator.clone()));
        let seek = also.seek.as_ref().map(|at| add(inner(at)));
        let deleted_since = also.deleted_since.as_ref().map(|(at, since)| (add(inner(at)), *since));
        let shape = Shape::new(records, &slots, facts);
        Recipe { shape, columns, key, tombstone, merged, seek, deleted_since }
    }

    /// Reads an answer in JSON. Nothing of one that is broken is kept.
    pub(crate) fn json(&self, answer: &Answer) -> Result<Part, Unreadable> {
        if answer.is_empty {
            return Ok(self.empty());
        }
        let text = String::from_utf8_lossy(&answer.body);
        let is_lossy = matches!(text, std::borrow::Cow::Owned(_));
        // Records of vendors are rarely shorter.
        let mut rows = Rows::new(self, (text.len() / 400).clamp(16, 20_000), is_lossy);
        let facts = self.shape.walk(&text, &mut |values| rows.take(values));
        let facts = facts.map_err(|error| match error.to_string() {
            limit if limit.contains("over the limit") => Unreadable(limit),
            _ => Unreadable(not_json(&answer.body)),
        })?;
        let facts = facts.into_iter().map(|fact| fact.map(str::to_string)).collect();
        Ok(rows.finish(facts))
    }

    /// Reads an answer in CSV with a header of field names.
    pub(crate) fn csv(&self, answer: &Answer) -> Result<Part, Unreadable> {
        let broken = |error: csv::Error| Unreadable(format!("broken CSV: {error}"));
        let mut reader = csv::ReaderBuilder::new().from_reader(&answer.body[..]);
        let header = reader.headers().map_err(broken)?.clone();
        let mut places = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            let place = header.iter().position(|name| name == column.header);
            if place.is_none() && !header.is_empty() {
                return Err(Unreadable(format!("CSV without the column `{}`", column.header)));
            }
            places.push(place);
        }
        let mut part = Part::default();
        let mut columns: Vec<_> =
            self.columns.iter().map(|wanted| Column::new(&wanted.name, &wanted.data_type, 4096)).collect();
        let mut record = csv::StringRecord::new();
        while reader.read_record(&mut record).map_err(broken)? {
            part.records += 1;
            part.rows += 1;
            for (column, place) in columns.iter_mut().zip(&places) {
                column.append(place.and_then(|place| record.get(place)).map(Cell::Csv));
            }
        }
        part.finish(columns);
        Ok(part)
    }

    fn empty(&self) -> Part {
        let facts = Vec::new();
        Rows::new(self, 0, false).finish(facts)
    }
}

impl Part {
    fn finish(&mut self, columns: Vec<Column>) {
        for column in columns {
            let (array, misfit) = column.finish();
            self.columns.push(array);
            self.misfits.extend(misfit);
        }
    }
}

/// The rows of one answer under way.
struct Rows<'r> {
    recipe: &'r Recipe,
    columns: Vec<Column>,
    part: Part,
}

impl<'r> Rows<'r> {
    fn new(recipe: &'r Recipe, rows: usize, is_lossy: bool) -> Self {
        let column = |wanted: &Wanted| Column::new(&wanted.name, &wanted.data_type, rows).doubting(is_lossy);
        Rows { recipe, columns: recipe.columns.iter().map(column).collect(), part: Part::default() }
    }

    /// Takes the values of one record.
    fn take(&mut self, values: &[Option<&str>]) {
        let recipe = self.recipe;
        let text = |slot: usize| {
            values[slot].filter(|json| *json != "null").map(|json| Cell::Json(json).text().into_owned())
        };
        self.part.records += 1;
        if let Some(seek) = recipe.seek {
            self.part.last = text(seek);
        }
        if let Some((slot, since)) = recipe.deleted_since {
            let at = text(slot).and_then(|at| super::cell::timestamp(&at));
            // Without a time nobody knows that it was before.
            if at.is_some_and(|at| at < since) {
                return;
            }
        }
        let key: Vec<String> = recipe.key.iter().filter_map(|slot| text(*slot)).collect();
        if let Some((when, slot, merged_into)) = &recipe.tombstone
            && values[*slot].is_some_and(|json| holds(when, json))
        {
            let merged_into = merged_into.and_then(text).filter(|into| !into.is_empty());
            self.part.lost.push(Lost { key, merged_into });
            return;
        }
        if let Some((slot, separator)) = &recipe.merged
            && let Some(merged) = text(*slot)
        {
            let losers = merged.split(separator.as_str()).map(str::trim).filter(|loser| !loser.is_empty());
            let winner = key.first().cloned();
            let losers = losers.filter(|loser| Some(*loser) != winner.as_deref());
            self.part.lost.extend(
                losers.map(|loser| Lost { key: vec![loser.to_string()], merged_into: winner.clone() }),
            );
        }
        if !recipe.key.is_empty() {
            self.part.keys.push(key);
        }
        for (column, value) in self.columns.iter_mut().zip(values) {
            column.append(value.map(Cell::Json));
        }
        self.part.rows += 1;
    }

    fn finish(mut self, facts: Vec<Option<String>>) -> Part {
        self.part.facts = facts;
        self.part.finish(self.columns);
        self.part
    }
}

/// Whether a condition holds for a value given as JSON.
fn holds(condition: &Condition, json: &str) -> bool {
    if json == "null" {
        return false;
    }
    let text = Cell::Json(json).text();
    condition.is.as_ref().is_none_or(|is| *is == text)
        && condition.begins.as_ref().is_none_or(|begins| text.starts_with(begins.as_str()))
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::Decimal128Type;
    use reqwest::header::HeaderMap;

    use super::*;

    fn answer(body: impl Into<Vec<u8>>) -> Answer {
        Answer { status: 200, headers: HeaderMap::new(), body: body.into().into(), is_empty: false }
    }

    fn wanted(name: &str, data_type: &str, at: &str) -> Wanted {
        let slot = Slot { at: at.parse().unwrap(), is_outer: false };
        Wanted { name: name.into(), data_type: data_type.parse().unwrap(), slot, header: name.into() }
    }

    fn slot(at: &str) -> Slot {
        Slot { at: at.parse().unwrap(), is_outer: false }
    }

    #[test]
    fn a_page_becomes_columns_keys_and_what_is_lost() {
        let columns = vec![wanted("id", "text", "/id"), wanted("amount", "numeric(12,2)", "/p/amount")];
        let also = Also {
            key: vec![slot("/id")],
            tombstone: Some((
                Condition { at: "/gone".parse().unwrap(), is: Some("true".into()), begins: None },
                Some("/into".parse().unwrap()),
            )),
            merged: Some((slot("/p/merged"), ";".into())),
            seek: Some("/id".parse().unwrap()),
            deleted_since: None,
        };
        let next: Pointer = "/next".parse().unwrap();
        let recipe = Recipe::new(&"/r".parse().unwrap(), columns, &also, &[&next]);
        let body = r#"{"next": "x", "r": [
            {"id": "1", "p": {"amount": "1.50", "merged": "7;8;1"}, "gone": false},
            {"id": "2", "gone": true, "into": "1"},
            {"id": "3", "p": {"amount": "many"}}]}"#;
        let part = recipe.json(&answer(body)).ok().unwrap();
        assert_eq!((part.rows, part.records), (2, 3));
        assert_eq!(part.keys, [["1"], ["3"]]);
        let amounts = part.columns[1].as_primitive::<Decimal128Type>();
        assert_eq!(amounts.iter().collect::<Vec<_>>(), [Some(150), None]);
        assert_eq!((part.misfits.len(), part.misfits[0].sample.as_str()), (1, "many"));
        let lost: Vec<_> =
            part.lost.iter().map(|lost| (lost.key[0].as_str(), lost.merged_into.as_deref())).collect();
        assert_eq!(lost, [("7", Some("1")), ("8", Some("1")), ("2", Some("1"))]);
        assert_eq!((part.last.as_deref(), part.facts[0].as_deref()), (Some("3"), Some("\"x\"")));
    }

    #[test]
    fn nothing_of_a_broken_page_is_kept() {
        let recipe =
            Recipe::new(&"/r".parse().unwrap(), vec![wanted("id", "text", "/id")], &Also::default(), &[]);
        for cut in 1..30 {
            let body = r#"{"r": [{"id": "1"}, {"id": "2"}]}"#;
            assert!(recipe.json(&answer(&body.as_bytes()[..cut])).is_err(), "{cut}");
        }
        let why = recipe.json(&answer("<html><title>Sign in</title>")).err().unwrap().0;
        assert!(why.contains("Sign in"), "{why}");
    }

    #[test]
    fn broken_utf8_is_replaced_and_counted() {
        let recipe =
            Recipe::new(&"/r".parse().unwrap(), vec![wanted("id", "text", "/id")], &Also::default(), &[]);
        let part =
            recipe.json(&answer(b"{\"r\": [{\"id\": \"a\xffb\"}, {\"id\": \"c\"}]}".to_vec())).ok().unwrap();
        assert_eq!(part.columns[0].as_string::<i32>().value(0), "a\u{fffd}b");
        assert_eq!((part.misfits.len(), part.misfits[0].count), (1, 1));
    }

    #[test]
    fn csv_is_read_by_its_header_and_only_nothing_is_null() {
        let columns = vec![wanted("Id", "text", "/Id"), wanted("Amount", "numeric(12,2)", "/Amount")];
        let recipe = Recipe::new(&Pointer::default(), columns, &Also::default(), &[]);
        let body = "\"Amount\",\"Id\"\n\"1.5\",\"a\"\"b\nc\"\n\"\",\"null\"\n\"0.0\",\"NA\"\n";
        let part = recipe.csv(&answer(body)).ok().unwrap();
        let ids: Vec<_> = part.columns[0].as_string::<i32>().iter().collect();
        assert_eq!(ids, [Some("a\"b\nc"), Some("null"), Some("NA")]);
        let amounts = part.columns[1].as_primitive::<Decimal128Type>();
        assert_eq!(amounts.iter().collect::<Vec<_>>(), [Some(150), None, Some(0)]);
        assert!(recipe.csv(&answer("\"Id\"\n\"1\"\n")).is_err());
        assert_eq!(recipe.csv(&answer("\"Id\",\"Amount\"\n")).ok().unwrap().rows, 0);
        assert!(recipe.csv(&answer("\"Id\",\"Amount\"\n\"1\"\n")).is_err());
    }
}
