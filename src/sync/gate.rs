//! The checks a run must pass before its snapshot is published.

use crate::model::{FieldType, Object, ObjectField, Rule, Run, Verdict};
use crate::snapshot::{Counts, Profile};

/// Shares of fewer rows than this mean nothing.
const FEWEST_ROWS: u64 = 20;
/// So many records may come and go between counting and reading.
const SLACK: u64 = 5;

/// Why a run is held, and what the person can do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) cause: String,
    pub(super) remedy: String,
}

/// Rows without a key cannot be kept at all: nothing of such a read is worth a commit.
pub(super) fn unusable(object: &Object, counts: &Counts) -> Option<Held> {
    (counts.read > 0 && counts.null_keys == counts.read).then(|| Held {
        cause: format!(
            "every row of `{}` has an empty key field ({})",
            object.full_name(),
            object.key().join(", ")
        ),
        remedy: "choose other unique fields with `CALL set_fields(...)`".into(),
    })
}

/// What is known of a run that is committed and not yet published.
pub(super) struct Measured<'a> {
    pub(super) object: &'a Object,
    pub(super) run: &'a Run,
    pub(super) is_full: bool,
    /// API names of fields that the source lost: of them everybody is told already.
    pub(super) missing: &'a [String],
    /// The published snapshot; `None` when the object never was.
    pub(super) before: Option<Profile>,
    pub(super) after: Profile,
    /// Rows of the published snapshot that the new one lacks.
    pub(super) lost: u64,
    /// Why this run must not remove rows; it may do so in this run alone.
    pub(super) keeps_rows: Option<&'a str>,
    /// How many records the source counted, where all were to be read, and how many arrived.
    pub(super) counted: Option<(u64, u64)>,
}

impl Measured<'_> {
    /// What did not pass, and every sum that is watched.
    pub(super) fn verdicts(&self) -> Vec<Verdict> {
        let mut verdicts: Vec<_> =
            self.rows().into_iter().chain(self.duplicates()).chain(self.count()).collect();
        let fields = self.object.selected().filter(|field| !self.missing.contains(&field.api));
        for field in fields {
            verdicts.extend(self.nulls(field));
            verdicts.extend(self.sum(field));
        }
        verdicts
    }

    fn rows(&self) -> Option<Verdict> {
        let before = self.before.as_ref()?.rows;
        let limit = if self.keeps_rows.is_some() { 0 } else { self.object.import.max_loss_percent };
        let is_too_many = self.lost * 100 > before * u64::from(limit);
        (before > 0 && is_too_many).then(|| failed(Rule::Rows, None, before, self.after.rows, limit))
    }

    fn duplicates(&self) -> Option<Verdict> {
        let limit = self.object.import.gate.duplicate_percent?;
        let counts = &self.run.counts;
        let is_too_many = counts.duplicates * 100 > counts.read * u64::from(limit);
        let judges = self.is_full && counts.read >= FEWEST_ROWS;
        (judges && is_too_many).then(|| failed(Rule::Duplicates, None, counts.read, counts.duplicates, limit))
    }

    fn count(&self) -> Option<Verdict> {
        let (limit, (counted, arrived)) = (self.object.import.gate.missing_percent?, self.counted?);
        let missing = counted.saturating_sub(arrived);
        let is_too_many = missing * 100 > counted * u64::from(limit) && missing > SLACK;
        is_too_many.then(|| failed(Rule::Count, None, counted, arrived, limit))
    }

    fn nulls(&self, field: &ObjectField) -> Option<Verdict> {
        let rules = &self.object.import.gate;
        let limit = match rules.null_points_of.get(&field.api) {
            Some(own) => (*own)?,
            None => rules.null_points?,
        };
        let before = self.before.as_ref()?;
        let share = |profile: &Profile| {
            let nulls = *profile.nulls.get(&field.column)?;
            (profile.rows >= FEWEST_ROWS).then(|| nulls as f64 * 100.0 / profile.rows as f64)
        };
        let (old, new) = (share(before)?, share(&self.after)?);
        let shown = |share: f64| format!("{share:.1} %");
        (new - old > f64::from(limit))
            .then(|| failed(Rule::Nulls, Some(&field.name), shown(old), shown(new), limit))
    }

    fn sum(&self, field: &ObjectField) -> Option<Verdict> {
        let limit = *self.object.import.gate.sum_percent_of.get(&field.api)?;
        let old = *self.before.as_ref()?.sums.get(&field.column)?;
        let new = *self.after.sums.get(&field.column)?;
        let moved = (new.value() - old.value()).abs() * 100.0;
        let passed = moved <= old.value().abs() * f64::from(limit);
        Some(Verdict { passed, ..failed(Rule::Sum, Some(&field.name), old, new, limit) })
    }

    /// Why the run is held; `None` when every rule passed.
    pub(super) fn held(&self, verdicts: &[Verdict]) -> Option<Held> {
        let causes: Vec<_> =
            verdicts.iter().filter(|verdict| !verdict.passed).map(|verdict| self.told(verdict)).collect();
        let run = self.run.id;
        (!causes.is_empty()).then(|| Held {
            cause: causes.join("; "),
            remedy: format!(
                "SELECT * FROM tributary.removal WHERE run = {run} lists what would be removed; if it is right: \
                 CALL approve({run}, reason => '...'), else CALL reject({run})"
            ),
        })
    }

    fn told(&self, verdict: &Verdict) -> String {
        let Verdict { before, after, limit, .. } = verdict;
        let name = self.object.full_name();
        let field = verdict.field.as_deref().unwrap_or_default();
        match verdict.rule {
            Rule::Rows => match self.keeps_rows {
                Some(why) => format!("`{name}` would lose {} of {before} rows, and {why}", self.lost),
                None => format!(
                    "`{name}` would go from {before} to {after} rows, losing {} of them: more than {limit} %",
                    self.lost
                ),
            },
            Rule::Nulls => format!(
                "field `{field}` of `{name}` would be NULL in {after} of the rows instead of {before}: \
                 {limit} points more are allowed"
            ),
            Rule::Duplicates => {
                format!(
                    "{after} of {before} rows of `{name}` have the key of another row: more than {limit} %"
                )
            }
            Rule::Count => format!(
                "the source counts {before} records of `{name}` and {after} arrived: more than {limit} % are missing"
            ),
            Rule::Sum => format!(
                "the sum of `{field}` of `{name}` would go from {before} to {after}: more than {limit} %"
            ),
        }
    }
}

fn failed(
    rule: Rule,
    field: Option<&str>,
    before: impl ToString,
    after: impl ToString,
    limit: u32,
) -> Verdict {
    let (before, after) = (before.to_string(), after.to_string());
    Verdict { rule, field: field.map(str::to_string), before, after, limit, passed: false }
}

/// The columns whose NULLs are looked at, and those whose sums are.
pub(super) fn watched(object: &Object, missing: &[String]) -> (Vec<String>, Vec<String>) {
    let rules = &object.import.gate;
    let present = || object.selected().filter(|field| !missing.contains(&field.api));
    let is_watched = |field: &&ObjectField| match rules.null_points_of.get(&field.api) {
        Some(own) => own.is_some(),
        // An empty list is no NULL, and counting them would mean to read them.
        None => rules.null_points.is_some() && !matches!(field.data_type, FieldType::List(_)),
    };
    let nulls = present().filter(is_watched).map(|field| field.column.clone());
    let sums = present().filter(|field| rules.sum_percent_of.contains_key(&field.api));
    (nulls.collect(), sums.map(|field| field.column.clone()).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::{ImportSettings, RunCounts};
    use crate::snapshot::Sum;

    fn object() -> Object {
        let amount = ObjectField {
            api: "Amount".into(),
            name: "amount".into(),
            column: "amount".into(),
            label: "Amount".into(),
            data_type: FieldType::Decimal(18, 2),
            native_type: "numeric".into(),
            note: None,
            selected: true,
            key_position: None,
            is_name: false,
            volatile: false,
        };
        Object {
            id: "1".into(),
            connection_id: 1,
            connection: "crm".into(),
            name: "deal".into(),
            api: "public.deal".into(),
            label: "Deal".into(),
            fields: vec![amount],
            import: ImportSettings::default(),
            schema_version: 1,
            created_at: 0,
        }
    }

    fn run(counts: RunCounts) -> Run {
        Run {
            id: 7,
            sync_id: 1,
            object_id: "1".into(),
            object: "crm.deal".into(),
            mode: "full".into(),
            status: "running".into(),
            started_at: 0,
            ended_at: None,
            counts,
            version: None,
            release: None,
            cause: None,
            remedy: None,
            fault: None,
            summary: None,
        }
    }

    fn profile(rows: u64, nulls: u64, cents: i128) -> Profile {
        Profile {
            rows,
            nulls: BTreeMap::from([("amount".into(), nulls)]),
            sums: BTreeMap::from([("amount".into(), Sum::Exact { units: cents, scale: 2 })]),
        }
    }

    fn judged(object: &Object, before: Option<Profile>, after: Profile, lost: u64) -> Vec<Rule> {
        let run = run(RunCounts { read: after.rows, ..RunCounts::default() });
        let (is_full, missing, keeps_rows, counted) = (true, &[][..], None, None);
        let measured =
            Measured { object, run: &run, is_full, missing, before, after, lost, keeps_rows, counted };
        measured
            .verdicts()
            .into_iter()
            .filter(|verdict| !verdict.passed)
            .map(|verdict| verdict.rule)
            .collect()
    }

    #[test]
    fn losing_exactly_the_limit_passes_and_one_row_more_is_held() {
        let object = object();
        let before = || Some(profile(1000, 0, 0));
        assert_eq!(judged(&object, before(), profile(700, 0, 0), 300), []);
        assert_eq!(judged(&object, before(), profile(699, 0, 0), 301), [Rule::Rows]);
        // As many others came: those that were there are gone all the same.
        assert_eq!(judged(&object, before(), profile(1000, 0, 0), 1000), [Rule::Rows]);
    }

    #[test]
    fn a_first_sync_and_growth_pass() {
        let object = object();
        assert_eq!(judged(&object, None, profile(0, 0, 0), 0), []);
        assert_eq!(judged(&object, Some(profile(0, 0, 0)), profile(9, 0, 0), 0), []);
        assert_eq!(judged(&object, Some(profile(10, 0, 0)), profile(100_000, 0, 0), 0), []);
    }

    #[test]
    fn more_nulls_than_allowed_are_held() {
        let mut object = object();
        let before = || Some(profile(100, 10, 0));
        assert_eq!(judged(&object, before(), profile(100, 30, 0), 0), []);
        assert_eq!(judged(&object, before(), profile(100, 31, 0), 0), [Rule::Nulls]);
        assert_eq!(judged(&object, Some(profile(19, 0, 0)), profile(19, 19, 0), 0), []);
        object.import.gate.null_points_of.insert("Amount".into(), None);
        assert_eq!(judged(&object, before(), profile(100, 100, 0), 0), []);
    }

    #[test]
    fn sums_are_watched_where_somebody_asked_for_it() {
        let mut object = object();
        let before = || Some(profile(100, 0, 10_000));
        assert_eq!(judged(&object, before(), profile(100, 0, 99_999), 0), []);
        object.import.gate.sum_percent_of.insert("Amount".into(), 50);
        assert_eq!(judged(&object, before(), profile(100, 0, 15_000), 0), []);
        assert_eq!(judged(&object, before(), profile(100, 0, 15_001), 0), [Rule::Sum]);
        assert_eq!(judged(&object, before(), profile(100, 0, 4_999), 0), [Rule::Sum]);
    }

    #[test]
    fn what_the_source_counts_must_arrive() {
        let object = object();
        let after = |read, counted, duplicates| {
            let run = run(RunCounts { read, duplicates, ..RunCounts::default() });
            let measured = Measured {
                object: &object,
                run: &run,
                is_full: true,
                missing: &[],
                before: None,
                after: profile(read, 0, 0),
                lost: 0,
                keeps_rows: None,
                counted: Some((counted, read)),
            };
            measured.verdicts().into_iter().map(|verdict| verdict.rule).collect::<Vec<_>>()
        };
        assert_eq!(after(990, 1000, 0), []);
        assert_eq!(after(989, 1000, 0), [Rule::Count]);
        assert_eq!(after(5, 10, 0), [], "as many may come and go meanwhile");
        assert_eq!(after(1000, 1000, 100), []);
        assert_eq!(after(1000, 1000, 101), [Rule::Duplicates]);
    }

    #[test]
    fn a_table_of_empty_keys_is_unusable() {
        let counts = Counts { read: 5, null_keys: 5, ..Counts::default() };
        assert!(unusable(&object(), &counts).is_some());
        assert!(unusable(&object(), &Counts { null_keys: 4, ..counts }).is_none());
    }
}
