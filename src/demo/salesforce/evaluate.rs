//! Running a checked query over the records.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;

use super::id;
use super::plan::{Plan, resolve};
use super::schema::Object;
use super::soql::{Condition, Literal, Operator};
use super::store::{Store, Version};
use super::value::Cell;
use crate::demo::clock::parse_millis;
use crate::demo::random::mix;

const DAY: i64 = 86_400_000;

/// The records that a query finds at `now`, in its order. Where it asks for none they come in an order that nobody
/// should rely on.
pub(super) fn run(store: &Store, plan: &Plan, with_deleted: bool, now: i64) -> Vec<Arc<Version>> {
    let Some(table) = store.table(&plan.object) else { return Vec::new() };
    let view = View { store, object: &table.object, now };
    let filter = plan.query.filter.as_ref();
    let mut found: Vec<_> = table
        .records
        .values()
        .filter(|version| with_deleted || version.deleted.is_none())
        .filter(|version| filter.is_none_or(|condition| view.holds(condition, version)))
        .cloned()
        .collect();
    if plan.query.order.is_empty() {
        // Neither by id nor by time.
        found.sort_by_cached_key(|version| scatter(&version.id()));
    } else {
        found.sort_by(|a, b| view.compare(plan, a, b));
    }
    let offset = plan.query.offset.unwrap_or(0);
    found.into_iter().skip(offset).take(plan.query.limit.unwrap_or(usize::MAX)).collect()
}

fn scatter(id: &str) -> u64 {
    id.bytes().fold(7, |sum, byte| mix(sum ^ u64::from(byte)))
}

/// A record with everything that its fields may lead to.
pub(super) struct View<'a> {
    pub(super) store: &'a Store,
    pub(super) object: &'a Object,
    pub(super) now: i64,
}

impl View<'_> {
    /// The value at a path, and the type of the field it comes from.
    pub(super) fn value(&self, path: &[String], version: &Version) -> (Cell, &'static str) {
        let Ok((_, field)) = resolve(self.store, self.object, path) else { return (Cell::Null, "string") };
        let Some((_, parents)) = path.split_last() else { return (Cell::Null, "string") };
        if parents.is_empty() {
            return (field.value(version, self.now), field.kind);
        }
        let mut object = self.object;
        let mut current = Arc::new(version.clone());
        for parent in parents {
            let reference = object
                .fields
                .iter()
                .find(|one| one.relationship.is_some_and(|name| name.eq_ignore_ascii_case(parent)));
            let id = match reference.map(|reference| current.get(&reference.name)) {
                Some(Cell::Text(id)) => id,
                _ => return (Cell::Null, field.kind),
            };
            let Some((table, target)) = self.store.find(&id) else { return (Cell::Null, field.kind) };
            (object, current) = (&table.object, target.clone());
        }
        match object.field(&field.name) {
            Some(field) => (field.value(&current, self.now), field.kind),
            None => (Cell::Null, field.kind),
        }
    }

    fn holds(&self, condition: &Condition, version: &Version) -> bool {
        match condition {
            Condition::And(all) => all.iter().all(|one| self.holds(one, version)),
            Condition::Or(all) => all.iter().any(|one| self.holds(one, version)),
            Condition::Not(inner) => !self.holds(inner, version),
            Condition::Compare { path, operator, value } => {
                let (cell, kind) = self.value(path, version);
                self.compares(&cell, kind, *operator, value)
            }
            Condition::In { path, values, negated } => {
                let (cell, kind) = self.value(path, version);
                values.iter().any(|value| self.compares(&cell, kind, Operator::Equal, value)) != *negated
            }
            Condition::Includes { path, values, negated } => {
                let chosen: HashSet<String> = match self.value(path, version).0 {
                    Cell::Text(text) => text.split(';').map(String::from).collect(),
                    _ => HashSet::new(),
                };
                // `'A;B'` asks for both, several texts for any.
                let includes = |wanted: &String| wanted.split(';').all(|one| chosen.contains(one));
                values.iter().any(includes) != *negated
            }
        }
    }

    fn compares(&self, cell: &Cell, kind: &str, operator: Operator, value: &Literal) -> bool {
        if *cell == Cell::Null || *value == Literal::Null {
            let both = *cell == Cell::Null && *value == Literal::Null;
            return match operator {
                Operator::Equal => both,
                // Unlike in SQL, a record without a value is unequal to every value.
                Operator::Unequal => !both,
                _ => false,
            };
        }
        match (cell, value) {
            (Cell::Bool(left), Literal::Bool(right)) => ordered(operator, left.cmp(right)),
            (Cell::Number(_), Literal::Number(right)) => {
                let order = cell.as_f64().and_then(|left| left.partial_cmp(right));
                order.is_some_and(|order| ordered(operator, order))
            }
            (Cell::Text(left), Literal::Text(pattern)) if operator == Operator::Like => {
                like(&left.to_lowercase(), &pattern.to_lowercase())
            }
            (Cell::Text(left), Literal::Text(right)) if kind == "id" || kind == "reference" => {
                ordered(operator, left.as_str().cmp(&id::lengthen(right)))
            }
            // Without regard to case.
            (Cell::Text(left), Literal::Text(right)) => {
                ordered(operator, left.to_lowercase().cmp(&right.to_lowercase()))
            }
            (Cell::Time(left), Literal::Time(right)) => ordered(operator, left.cmp(right)),
            (Cell::Time(left), Literal::Days(first, last)) => self.within(*left, *first, *last, operator),
            (Cell::Date(left), Literal::Date(right)) => {
                parse_millis(left).is_some_and(|left| ordered(operator, left.cmp(right)))
            }
            (Cell::Date(left), Literal::Days(first, last)) => {
                parse_millis(left).is_some_and(|left| self.within(left, *first, *last, operator))
            }
            _ => false,
        }
    }

    /// Compares with the days from `first` to `last`, counted from today.
    fn within(&self, millis: i64, first: i64, last: i64, operator: Operator) -> bool {
        let today = self.now.div_euclid(DAY) * DAY;
        let (start, end) = (today + first * DAY, today + (last + 1) * DAY);
        match operator {
            Operator::Equal => (start..end).contains(&millis),
            Operator::Unequal => !(start..end).contains(&millis),
            Operator::Less => millis < start,
            Operator::LessOrEqual => millis < end,
            Operator::Greater => millis >= end,
            Operator::GreaterOrEqual => millis >= start,
            Operator::Like => false,
        }
    }

    fn compare(&self, plan: &Plan, a: &Version, b: &Version) -> Ordering {
        for order in &plan.query.order {
            let (left, right) = (self.value(&order.path, a).0, self.value(&order.path, b).0);
            let nulls = match order.nulls_last {
                true => (left == Cell::Null).cmp(&(right == Cell::Null)),
                false => (right == Cell::Null).cmp(&(left == Cell::Null)),
            };
            let values = if order.descending { by_value(&right, &left) } else { by_value(&left, &right) };
            let decided = nulls.then(values);
            if decided != Ordering::Equal {
                return decided;
            }
        }
        // Equal ones come in the opposite order of their ids: nothing is promised.
        b.id().cmp(&a.id())
    }
}

fn ordered(operator: Operator, order: Ordering) -> bool {
    match operator {
        Operator::Equal => order.is_eq(),
        Operator::Unequal => order.is_ne(),
        Operator::Less => order.is_lt(),
        Operator::LessOrEqual => order.is_le(),
        Operator::Greater => order.is_gt(),
        Operator::GreaterOrEqual => order.is_ge(),
        Operator::Like => false,
    }
}

fn by_value(left: &Cell, right: &Cell) -> Ordering {
    match (left, right) {
        (Cell::Text(left), Cell::Text(right)) | (Cell::Date(left), Cell::Date(right)) => left.cmp(right),
        (Cell::Time(left), Cell::Time(right)) => left.cmp(right),
        (Cell::Bool(left), Cell::Bool(right)) => left.cmp(right),
        _ => left.as_f64().partial_cmp(&right.as_f64()).unwrap_or(Ordering::Equal),
    }
}

/// `%` stands for any text, `_` for one character, a backslash takes either as it is.
fn like(text: &str, pattern: &str) -> bool {
    let (text, pattern): (Vec<_>, Vec<_>) = (text.chars().collect(), pattern.chars().collect());
    matches(&text, &pattern)
}

fn matches(text: &[char], pattern: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['%', rest @ ..] => (0..=text.len()).any(|skipped| matches(&text[skipped..], rest)),
        ['_', rest @ ..] => !text.is_empty() && matches(&text[1..], rest),
        ['\\', escaped, rest @ ..] => text.first() == Some(escaped) && matches(&text[1..], rest),
        [first, rest @ ..] => text.first() == Some(first) && matches(&text[1..], rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_knows_its_wildcards() {
        assert!(like("acme ltd", "ac%"));
        assert!(like("acme", "a_me"));
        assert!(like("100%", "100\\%"));
        assert!(!like("1000", "100\\%"));
        assert!(!like("acme", "cme"));
    }
}
