//! The checks a run must pass before its snapshot is committed.

use crate::model::Object;
use crate::snapshot::Counts;

/// Why a run is held, and what the person can do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) cause: String,
    pub(super) remedy: String,
}

/// Looks at what a run would make of a table that has `before` rows. Duplicates and NULL keys are counted and
/// shown but hold a run only when they would empty the table: the rows themselves are lost either way.
pub(super) fn check(object: &Object, before: Option<u64>, counts: &Counts) -> Option<Held> {
    let name = object.full_name();
    if counts.read > 0 && counts.null_keys == counts.read {
        return Some(Held {
            cause: format!("every row of `{name}` has an empty key field ({})", object.key().join(", ")),
            remedy: "choose other unique fields with `CALL set_fields(...)`".into(),
        });
    }
    let before = before.filter(|rows| *rows > 0)?;
    let lost = before.saturating_sub(counts.total);
    let limit = u64::from(object.import.max_loss_percent);
    if lost * 100 <= before * limit {
        return None;
    }
    Some(Held {
        cause: format!(
            "`{name}` would go from {before} to {} rows, losing more than {limit} %",
            counts.total
        ),
        remedy: format!(
            "if that is right: CALL sync('{}', 'full', object => '{}', force => true)",
            object.connection, object.name
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ImportSettings;

    fn object() -> Object {
        Object {
            id: "1".into(),
            connection_id: 1,
            connection: "crm".into(),
            name: "deal".into(),
            api: "public.deal".into(),
            label: "Deal".into(),
            fields: vec![],
            import: ImportSettings::default(),
            schema_version: 1,
            created_at: 0,
        }
    }

    fn after(total: u64) -> Counts {
        Counts { total, read: total, ..Counts::default() }
    }

    #[test]
    fn losing_exactly_the_limit_passes_and_one_row_more_is_held() {
        assert_eq!(check(&object(), Some(1000), &after(700)), None);
        assert!(check(&object(), Some(1000), &after(699)).is_some());
        assert!(check(&object(), Some(10), &after(0)).is_some());
    }

    #[test]
    fn a_first_sync_and_growth_pass() {
        assert_eq!(check(&object(), None, &after(0)), None);
        assert_eq!(check(&object(), Some(0), &after(0)), None);
        assert_eq!(check(&object(), Some(10), &after(100_000)), None);
    }

    #[test]
    fn a_table_of_empty_keys_is_held() {
        let counts = Counts { read: 5, null_keys: 5, ..Counts::default() };
        assert!(check(&object(), None, &counts).is_some());
    }
}
