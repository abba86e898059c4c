//! Releases. An object's part of a release is stored once for all the releases in which it is the same, so a
//! release costs what it changes.

use std::collections::HashMap;

use sqlx::any::AnyRow;
use sqlx::{Any, Transaction};

use super::{State, commit, failed, get, get_json, json, next, overrides};
use crate::error::Result;
use crate::model::{Micros, ObjectField, Release, ReleaseObject, now_micros};

const CURRENT: &str = "SELECT * FROM release_objects WHERE to_release IS NULL";

impl State {
    /// Publishes the release after the newest one: `changes` replace what it says of those objects, `removed`
    /// objects are gone, and the release is noted in the given runs. One transaction; concurrent publications
    /// queue and lose nothing.
    ///
    /// A change may come from a sync that began long ago. So the definitions have the last word: an object that
    /// was dropped meanwhile stays away, names and the choice of fields are those of now, and a snapshot older
    /// than the published one does not come back.
    pub async fn publish(
        &self,
        cause: &str,
        changes: &[ReleaseObject],
        removed: &[String],
        runs: &[i64],
    ) -> Result<Release> {
        let mut transaction = self.begin().await?;
        // Taking the number first makes publications queue on that row.
        let id = next(&mut transaction, "release").await?;
        let published_at = announce(&mut transaction, id, cause).await?;
        for object_id in removed {
            close(&mut transaction, object_id, id).await?;
        }
        for change in changes {
            put(&mut transaction, id, change).await?;
        }
        for run in runs {
            sqlx::query("UPDATE runs SET release_id = $1 WHERE id = $2")
                .bind(id)
                .bind(*run)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        }
        complete(transaction, id, published_at, cause).await
    }

    /// Number of the newest release; `None` before the first.
    pub async fn newest_release_id(&self) -> Result<Option<i64>> {
        let row = sqlx::query("SELECT max(id) AS id FROM releases").fetch_one(&self.pool).await;
        get(&row.map_err(failed)?, "id")
    }

    /// What everybody reads.
    pub async fn newest_release(&self) -> Result<Option<Release>> {
        self.find("SELECT * FROM releases ORDER BY id DESC LIMIT 1", Bound::Nothing).await
    }

    /// What everybody reads of an object; `None` when nothing of it was ever published.
    pub async fn published(&self, object_id: &str) -> Result<Option<ReleaseObject>> {
        let query = format!("{CURRENT} AND object_id = $1");
        let row = sqlx::query(&query).bind(object_id).fetch_optional(&self.pool).await.map_err(failed)?;
        row.as_ref().map(object).transpose()
    }

    /// The release of that number.
    pub async fn release(&self, id: i64) -> Result<Option<Release>> {
        self.find("SELECT * FROM releases WHERE id = $1", Bound::Number(id)).await
    }

    /// The newest release published at or before a time.
    pub async fn release_at(&self, at: Micros) -> Result<Option<Release>> {
        let query = "SELECT * FROM releases WHERE published_at <= $1 ORDER BY id DESC LIMIT 1";
        self.find(query, Bound::Number(at)).await
    }

    /// The newest release with that cause, for example `batch 2026-10-31`; where the results of statements were
    /// published after it, the release that has them too.
    pub async fn release_by_cause(&self, cause: &str) -> Result<Option<Release>> {
        let query = "SELECT * FROM releases WHERE cause = $1 OR cause = $2 ORDER BY id DESC LIMIT 1";
        let results = format!("statements of {cause}");
        self.find(query, Bound::Texts(cause, &results)).await
    }

    /// Number of the newest release with exactly that cause that was published since a time.
    pub async fn release_id_of(&self, cause: &str, since: Micros) -> Result<Option<i64>> {
        let row = sqlx::query("SELECT max(id) AS id FROM releases WHERE cause = $1 AND published_at >= $2")
            .bind(cause)
            .bind(since);
        get(&row.fetch_one(&self.pool).await.map_err(failed)?, "id")
    }

    /// Publishes the results of statements that read `base`: one release that holds `base` and the results, whatever
    /// was published since, and where something was, a second one that goes on from there. Both in one transaction:
    /// nobody ever reads the first as the newest.
    pub async fn publish_results(
        &self,
        cause: &str,
        base: i64,
        results: &[ReleaseObject],
        runs: &[i64],
    ) -> Result<Vec<Release>> {
        let mut transaction = self.begin().await?;
        let id = next(&mut transaction, "release").await?;
        let published_at = announce(&mut transaction, id, cause).await?;
        let is_of_base = "SELECT * FROM release_objects
            WHERE from_release <= $1 AND (to_release IS NULL OR to_release > $2)";
        let rows = sqlx::query(is_of_base).bind(base).bind(base).fetch_all(&mut *transaction).await;
        let of_base = rows.map_err(failed)?.iter().map(object).collect::<Result<Vec<_>>>()?;
        let rows = sqlx::query(CURRENT).fetch_all(&mut *transaction).await.map_err(failed)?;
        let now = rows.iter().map(object).collect::<Result<Vec<_>>>()?;
        let (then, after) = (with(of_base, results), with(now.clone(), results));
        turn(&mut transaction, &now, &then, id).await?;
        let mut releases =
            vec![Release { id, published_at, cause: cause.to_string(), objects: sorted(then.clone()) }];
        if sorted(then.clone()) != sorted(after.clone()) {
            let id = next(&mut transaction, "release").await?;
            let cause = format!("after {cause}");
            let published_at = announce(&mut transaction, id, &cause).await?;
            turn(&mut transaction, &then, &after, id).await?;
            releases.push(Release { id, published_at, cause, objects: sorted(after) });
        }
        for run in runs {
            sqlx::query("UPDATE statement_runs SET result_release = $1 WHERE id = $2")
                .bind(id)
                .bind(*run)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        }
        commit(transaction).await?;
        Ok(releases)
    }

    /// The newest releases, oldest first.
    pub async fn releases(&self, limit: i64) -> Result<Vec<Release>> {
        let rows = sqlx::query("SELECT * FROM releases ORDER BY id DESC LIMIT $1")
            .bind(limit)
            .fetch_all(&self.pool)
            .await
            .map_err(failed)?;
        let mut releases = rows.iter().rev().map(header).collect::<Result<Vec<_>>>()?;
        let Some(oldest) = releases.first().map(|release| release.id) else { return Ok(releases) };
        let rows = sqlx::query("SELECT * FROM release_objects WHERE to_release IS NULL OR to_release > $1")
            .bind(oldest)
            .fetch_all(&self.pool)
            .await
            .map_err(failed)?;
        let mut spans: HashMap<i64, Vec<(Option<i64>, ReleaseObject)>> = HashMap::new();
        for row in &rows {
            spans.entry(get(row, "from_release")?).or_default().push((get(row, "to_release")?, object(row)?));
        }
        let mut current: Vec<(Option<i64>, ReleaseObject)> = Vec::new();
        current.extend(spans.iter().filter(|(from, _)| **from < oldest).flat_map(|(_, spans)| spans.clone()));
        for release in &mut releases {
            current.retain(|(to, _)| to.is_none_or(|to| to > release.id));
            current.extend(spans.remove(&release.id).into_iter().flatten());
            release.objects = sorted(current.iter().map(|(_, object)| object.clone()).collect());
        }
        Ok(releases)
    }

    /// What releases said of objects, by object and time.
    pub async fn spans(&self) -> Result<Vec<Span>> {
        let rows = sqlx::query("SELECT * FROM release_objects ORDER BY object_id, from_release")
            .fetch_all(&self.pool)
            .await
            .map_err(failed)?;
        rows.iter().map(span).collect()
    }

    /// The same of one object.
    pub async fn spans_of(&self, object_id: &str) -> Result<Vec<Span>> {
        let query = "SELECT * FROM release_objects WHERE object_id = $1 ORDER BY from_release";
        let rows = sqlx::query(query).bind(object_id).fetch_all(&self.pool).await.map_err(failed)?;
        rows.iter().map(span).collect()
    }

    /// What releases said of all objects, without the fields, which are most of what there is to load, by release.
    pub async fn span_heads(&self) -> Result<Vec<SpanHead>> {
        self.heads("").await
    }

    /// What one release says of objects, without the fields.
    pub async fn span_heads_of(&self, release: i64) -> Result<Vec<SpanHead>> {
        // A number, so that it can stand in the text.
        let of_release =
            format!("WHERE from_release <= {release} AND (to_release IS NULL OR to_release > {release})");
        self.heads(&of_release).await
    }

    /// What everybody reads now, without the fields.
    pub async fn current_heads(&self) -> Result<Vec<SpanHead>> {
        self.heads("WHERE to_release IS NULL").await
    }

    async fn heads(&self, only: &str) -> Result<Vec<SpanHead>> {
        let query = format!(
            "SELECT object_id, from_release, to_release, connection, name, version, row_count FROM release_objects {only}
             ORDER BY from_release, connection, name"
        );
        let head = |row: &AnyRow| {
            Ok(SpanHead {
                from: get(row, "from_release")?,
                to: get(row, "to_release")?,
                object_id: get(row, "object_id")?,
                connection: get(row, "connection")?,
                name: get(row, "name")?,
                version: get(row, "version")?,
                rows: get(row, "row_count")?,
            })
        };
        sqlx::query(&query).fetch_all(&self.pool).await.map_err(failed)?.iter().map(head).collect()
    }

    async fn find(&self, query: &str, bound: Bound<'_>) -> Result<Option<Release>> {
        let query = match bound {
            Bound::Nothing => sqlx::query(query),
            Bound::Number(number) => sqlx::query(query).bind(number),
            Bound::Texts(one, other) => sqlx::query(query).bind(one.to_string()).bind(other.to_string()),
        };
        let Some(row) = query.fetch_optional(&self.pool).await.map_err(failed)? else { return Ok(None) };
        let mut release = header(&row)?;
        let rows = sqlx::query(
            "SELECT * FROM release_objects WHERE from_release <= $1 AND (to_release IS NULL OR to_release > $2)",
        )
        .bind(release.id)
        .bind(release.id)
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        release.objects = sorted(rows.iter().map(object).collect::<Result<_>>()?);
        Ok(Some(release))
    }
}

/// Consecutive releases that say the same of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The first of them.
    pub from: i64,
    /// The first after them; `None` when the newest release is one of them.
    pub to: Option<i64>,
    /// What they say.
    pub object: ReleaseObject,
}

/// A [`Span`] without the fields of the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpanHead {
    /// The first release that says so.
    pub from: i64,
    /// The first release after those that say so; `None` when the newest one does.
    pub to: Option<i64>,
    /// The object.
    pub object_id: String,
    /// Name of its connection then.
    pub connection: String,
    /// Its name then.
    pub name: String,
    /// Snapshot version.
    pub version: i64,
    /// Rows in it.
    pub rows: i64,
}

enum Bound<'a> {
    Nothing,
    Number(i64),
    Texts(&'a str, &'a str),
}

/// `objects`, with `results` in the place of those they replace.
fn with(mut objects: Vec<ReleaseObject>, results: &[ReleaseObject]) -> Vec<ReleaseObject> {
    objects.retain(|object| results.iter().all(|result| result.object_id != object.object_id));
    objects.extend(results.iter().cloned());
    objects
}

/// Makes a release hold `to` where the one before it held `from`.
async fn turn(
    transaction: &mut Transaction<'static, Any>,
    from: &[ReleaseObject],
    to: &[ReleaseObject],
    release: i64,
) -> Result<()> {
    for gone in from.iter().filter(|object| !to.contains(object)) {
        close(transaction, &gone.object_id, release).await?;
    }
    for new in to.iter().filter(|object| !from.contains(object)) {
        insert(transaction, new, release).await?;
    }
    Ok(())
}

fn sorted(mut objects: Vec<ReleaseObject>) -> Vec<ReleaseObject> {
    objects.sort_by(|a, b| (&a.connection, &a.name).cmp(&(&b.connection, &b.name)));
    objects
}

/// Enters the release. The clock may have been set back: a release is never published before an earlier one.
pub(super) async fn announce(
    transaction: &mut Transaction<'static, Any>,
    id: i64,
    cause: &str,
) -> Result<Micros> {
    let last =
        sqlx::query("SELECT max(published_at) AS last FROM releases").fetch_one(&mut **transaction).await;
    let last: Option<Micros> = get(&last.map_err(failed)?, "last")?;
    let published_at = now_micros().max(last.unwrap_or(Micros::MIN));
    sqlx::query("INSERT INTO releases (id, published_at, cause) VALUES ($1, $2, $3)")
        .bind(id)
        .bind(published_at)
        .bind(cause)
        .execute(&mut **transaction)
        .await
        .map_err(failed)?;
    Ok(published_at)
}

/// The end of every publication: what definitions and overrides changed beside it, and the commit.
pub(super) async fn complete(
    mut transaction: Transaction<'static, Any>,
    id: i64,
    published_at: Micros,
    cause: &str,
) -> Result<Release> {
    let mut changed = outdated(&mut transaction).await?;
    changed.extend(overrides::settle(&mut transaction, id, published_at).await?);
    for changed in changed {
        put(&mut transaction, id, &changed).await?;
    }
    let rows = sqlx::query(CURRENT).fetch_all(&mut *transaction).await.map_err(failed)?;
    let objects = sorted(rows.iter().map(object).collect::<Result<_>>()?);
    commit(transaction).await?;
    Ok(Release { id, published_at, cause: cause.to_string(), objects })
}

/// What is published of objects that were renamed or dropped without a publication of its own, because the
/// process ended between the two.
async fn outdated(transaction: &mut Transaction<'static, Any>) -> Result<Vec<ReleaseObject>> {
    let rows = sqlx::query(
        "SELECT release_objects.* FROM release_objects
         LEFT JOIN objects ON objects.id = release_objects.object_id
         LEFT JOIN connections ON connections.id = objects.connection_id
         LEFT JOIN statements ON statements.id = release_objects.object_id
         WHERE to_release IS NULL AND statements.id IS NULL AND (objects.id IS NULL OR objects.name <> release_objects.name
             OR connections.name <> release_objects.connection)",
    )
    .fetch_all(&mut **transaction)
    .await
    .map_err(failed)?;
    rows.iter().map(object).collect()
}

/// Puts an object into the release as its definition wants it.
async fn put(
    transaction: &mut Transaction<'static, Any>,
    release: i64,
    change: &ReleaseObject,
) -> Result<()> {
    let row = sqlx::query(&format!("{CURRENT} AND object_id = $1"))
        .bind(&change.object_id)
        .fetch_optional(&mut **transaction)
        .await
        .map_err(failed)?;
    let published = row.as_ref().map(object).transpose()?;
    let newest = published.as_ref().filter(|published| published.version > change.version).unwrap_or(change);
    let wanted = defined(transaction, newest).await?;
    if wanted == published {
        return Ok(());
    }
    close(transaction, &change.object_id, release).await?;
    match &wanted {
        Some(wanted) => insert(transaction, wanted, release).await,
        None => Ok(()),
    }
}

/// What was imported, under the names and with the fields that the definition has now; `None` when the object
/// was dropped.
async fn defined(
    transaction: &mut Transaction<'static, Any>,
    imported: &ReleaseObject,
) -> Result<Option<ReleaseObject>> {
    let row = sqlx::query(
        "SELECT objects.name, objects.fields, connections.name AS connection
         FROM objects JOIN connections ON connections.id = objects.connection_id WHERE objects.id = $1",
    )
    .bind(&imported.object_id)
    .fetch_optional(&mut **transaction)
    .await
    .map_err(failed)?;
    let Some(row) = row else {
        // The result of a statement is what its query made.
        let statement = sqlx::query("SELECT id FROM statements WHERE id = $1").bind(&imported.object_id);
        let found = statement.fetch_optional(&mut **transaction).await.map_err(failed)?;
        return Ok(found.map(|_| imported.clone()));
    };
    let definition: Vec<ObjectField> = get_json(&row, "fields")?;
    let as_imported = |field: ObjectField| {
        let imported = imported.fields.iter().find(|imported| imported.api == field.api)?;
        Some(ObjectField { data_type: imported.data_type.clone(), column: imported.column.clone(), ..field })
    };
    let fields = definition.into_iter().filter(|field| field.selected).filter_map(as_imported).collect();
    let (connection, name) = (get(&row, "connection")?, get(&row, "name")?);
    let overrides = overrides::version(transaction, &imported.object_id).await?;
    Ok(Some(ReleaseObject { connection, name, fields, overrides, ..imported.clone() }))
}

/// Ends what earlier releases say of an object.
pub(super) async fn close(
    transaction: &mut Transaction<'static, Any>,
    object_id: &str,
    release: i64,
) -> Result<()> {
    sqlx::query("UPDATE release_objects SET to_release = $1 WHERE object_id = $2 AND to_release IS NULL")
        .bind(release)
        .bind(object_id)
        .execute(&mut **transaction)
        .await
        .map_err(failed)?;
    Ok(())
}

pub(super) async fn insert(
    transaction: &mut Transaction<'static, Any>,
    object: &ReleaseObject,
    release: i64,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO release_objects
             (object_id, from_release, connection, name, version, row_count, fields, overrides)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(&object.object_id)
    .bind(release)
    .bind(&object.connection)
    .bind(&object.name)
    .bind(object.version)
    .bind(object.rows)
    .bind(json(&object.fields)?)
    .bind(object.overrides)
    .execute(&mut **transaction)
    .await
    .map_err(failed)?;
    Ok(())
}

fn span(row: &AnyRow) -> Result<Span> {
    Ok(Span { from: get(row, "from_release")?, to: get(row, "to_release")?, object: object(row)? })
}

fn header(row: &AnyRow) -> Result<Release> {
    Ok(Release {
        id: get(row, "id")?,
        published_at: get(row, "published_at")?,
        cause: get(row, "cause")?,
        objects: Vec::new(),
    })
}

pub(super) fn object(row: &AnyRow) -> Result<ReleaseObject> {
    Ok(ReleaseObject {
        object_id: get(row, "object_id")?,
        connection: get(row, "connection")?,
        name: get(row, "name")?,
        version: get(row, "version")?,
        rows: get(row, "row_count")?,
        fields: get_json(row, "fields")?,
        overrides: get(row, "overrides")?,
    })
}
