//! `tributary.release` and `tributary.release_object`.

use super::{Catalog, Cell, SHOWN, Sight, Wanted, time};
use crate::error::Result;
use crate::model::{ReleaseHeader, now_micros};
use crate::service::release::Fate;
use crate::state::SpanHead;

impl Catalog {
    pub(super) async fn releases(&self, sight: &Sight, wanted: &Wanted) -> Result<Vec<Vec<Cell>>> {
        let fate = Fate::load(&self.app, now_micros()).await?;
        let mut headers = fate.headers();
        if let Some(id) = wanted.number("id") {
            let at = headers.binary_search_by_key(&id, |header| header.id);
            headers = at.map_or(&[], |at| &headers[at..=at]);
        }
        let most = wanted.newest_by(&["id"]).unwrap_or(SHOWN).min(SHOWN);
        let shown = usize::try_from(most).unwrap_or(usize::MAX);
        let headers = &headers[headers.len().saturating_sub(shown)..];
        let heads = match (wanted.reads("objects") || wanted.reads("rows"), headers) {
            (true, [one]) => self.app.state.span_heads_of(one.id).await?,
            (true, _) => self.app.state.span_heads().await?,
            (false, _) => Vec::new(),
        };
        let counted = counted(headers, heads.iter().filter(|head| sight.sees(&head.connection, &head.name)));
        let row = |(header, (objects, rows)): (&ReleaseHeader, (i64, i64))| {
            let mut row = vec![
                header.id.into(),
                time(header.published_at),
                header.cause.as_str().into(),
                objects.into(),
                rows.into(),
            ];
            row.extend(fate.cells(header.id));
            row
        };
        Ok(headers.iter().zip(counted).map(row).collect())
    }

    pub(super) async fn release_objects(&self, sight: &Sight, wanted: &Wanted) -> Result<Vec<Vec<Cell>>> {
        let state = &self.app.state;
        let (releases, heads) = match wanted.number("release") {
            Some(id) => (vec![id], state.span_heads_of(id).await?),
            None => {
                let headers = state.release_headers().await?;
                let old = headers.len().saturating_sub(usize::try_from(SHOWN).unwrap_or(usize::MAX));
                (headers[old..].iter().map(|header| header.id).collect(), state.span_heads().await?)
            }
        };
        let seen = |head: &&SpanHead| {
            sight.sees(&head.connection, &head.name)
                && wanted.text("connection").is_none_or(|connection| head.connection == connection)
                && wanted.text("object").is_none_or(|object| head.name == object)
        };
        let mut coming = heads.iter().filter(seen).peekable();
        let mut current: Vec<&SpanHead> = Vec::new();
        let mut rows = Vec::new();
        for release in releases {
            while let Some(head) = coming.next_if(|head| head.from <= release) {
                current.push(head);
            }
            current.retain(|head| head.to.is_none_or(|to| to > release));
            current.sort_by(|a, b| (&a.connection, &a.name).cmp(&(&b.connection, &b.name)));
            rows.extend(current.iter().map(|head| {
                vec![
                    release.into(),
                    head.connection.as_str().into(),
                    head.name.as_str().into(),
                    head.version.into(),
                    head.rows.into(),
                ]
            }));
        }
        Ok(rows)
    }
}

/// How many objects each of the releases, in order, has, and rows in them.
fn counted<'a>(headers: &[ReleaseHeader], heads: impl Iterator<Item = &'a SpanHead>) -> Vec<(i64, i64)> {
    let place = |release: i64| headers.partition_point(|header| header.id < release);
    let mut changes = vec![(0_i64, 0_i64); headers.len() + 1];
    for head in heads {
        let (from, to) = (place(head.from), head.to.map_or(headers.len(), place));
        changes[from] = (changes[from].0 + 1, changes[from].1 + head.rows);
        changes[to] = (changes[to].0 - 1, changes[to].1 - head.rows);
    }
    let (mut objects, mut rows) = (0, 0);
    let counted = changes.into_iter().take(headers.len()).map(|(more, more_rows)| {
        (objects, rows) = (objects + more, rows + more_rows);
        (objects, rows)
    });
    counted.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(from: i64, to: Option<i64>, rows: i64) -> SpanHead {
        let (connection, name) = ("crm".into(), "deal".into());
        SpanHead { from, to, object_id: String::new(), connection, name, version: 1, rows }
    }

    #[test]
    fn releases_count_what_lasts_through_them() {
        let header = |id| ReleaseHeader { id, published_at: 0, cause: String::new(), removed_at: None };
        let heads = [head(1, Some(3), 10), head(2, None, 5), head(3, Some(5), 7), head(1, Some(2), 100)];
        let headers: Vec<_> = [2, 3, 5].map(header).into();
        assert_eq!(counted(&headers, heads.iter()), [(2, 15), (2, 12), (1, 5)]);
        assert_eq!(counted(&[], heads.iter()), []);
    }
}
