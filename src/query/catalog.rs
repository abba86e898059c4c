//! `pg_catalog` and `information_schema`: what tools ask about the company, answered as PostgreSQL 15 does.
//!
//! The columns of every relation and the rows that are the same in every PostgreSQL come from one ([`shape`],
//! [`archive`]). The rows about the company are made from [`facts`], a relation when it is asked for first, and kept
//! until the release or the catalog's version changes ([`live`]). Everybody may read them, as in PostgreSQL; what
//! depends on who asks is in [`scope`].

mod acl;
mod archive;
mod build;
mod casts;
pub(super) mod facts;
mod functions;
mod information_schema;
mod key;
mod keywords;
mod live;
mod needs;
mod provider;
mod prune;
mod regs;
mod rows;
mod scope;
mod session;
mod shape;
mod types;
mod vectors;

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use futures::{StreamExt, TryStreamExt};

pub(super) use self::casts::{array_like, cast, parameter_like};
pub(super) use self::functions::{COLUMNS, ENCODINGS, function};
pub(super) use self::live::Catalog;
pub(super) use self::needs::Needs;
use self::provider::Known;
pub(super) use self::prune::prune;
pub(super) use self::regs::shown;
pub(super) use self::scope::Scope;
use self::shape::{Shape, shape};
pub use self::types::type_name;
pub(super) use self::types::type_oid;
pub(super) use self::vectors::Vectors;
use super::engine::Engine;
use super::session::SessionUser;
use crate::model::Release;

/// The schema of the catalog. As in PostgreSQL its tables are found without it too.
pub(super) const SCHEMA: &str = "pg_catalog";
/// The schema of the catalog in the standard's terms.
pub(super) const INFORMATION: &str = "information_schema";
/// The oid of the role that owns everything.
const OWNER: i64 = 10;
/// The oid of the one database.
const DATABASE: i64 = 5;
/// Tables whose size is looked up at the same time.
const SIZES_AT_ONCE: usize = 16;

/// The relation of the catalog that a name means, if it means one.
fn named(name: &TableReference) -> Option<&'static Shape> {
    match name.schema() {
        None => shape(SCHEMA, name.table()),
        Some(schema) if schema == SCHEMA || schema == INFORMATION => shape(schema, name.table()),
        Some(_) => None,
    }
}

/// The table of the catalog that a name means, if it means one.
pub(super) async fn table(
    engine: &Engine,
    scope: Option<&Scope>,
    name: &TableReference,
) -> crate::error::Result<Option<Arc<dyn TableProvider>>> {
    let (Some(shape), Some(scope)) = (named(name), scope) else { return Ok(None) };
    let rows = match shape.schema {
        INFORMATION => information_schema::rows(scope, shape),
        _ => match session::rows(engine, scope, shape).await? {
            Some(rows) => Ok(Arc::from([rows])),
            None => scope.catalog.relation(shape),
        },
    };
    let rows = rows.map_err(super::error::translate)?;
    Ok(Some(Arc::new(Known { schema: shape.arrow(), rows })))
}

impl Engine {
    /// The catalog of a release, as it is now.
    pub(super) async fn catalog(&self, release: &Release) -> crate::error::Result<Arc<Catalog>> {
        // Asked first: what changes while the facts are gathered makes them old at once.
        let version = self.system.catalog_version().await?;
        if let Some(known) = self.catalogs.get(release.id, version) {
            return Ok(known);
        }
        let facts = self.system.catalog(release).await?;
        let catalog = Catalog::new(&self.config.company, facts, self.verbs.describe().to_vec());
        Ok(self.catalogs.keep(release.id, version, Arc::new(catalog)))
    }

    /// Looks up how many bytes the tables of a release take up, unless that is known.
    pub(super) async fn measure(&self, catalog: &Catalog, release: &Release) -> crate::error::Result<()> {
        if catalog.sizes().is_some() {
            return Ok(());
        }
        let objects = catalog.objects().into_iter();
        let objects = objects.filter_map(|(oid, place)| Some((oid, release.objects.get(place)?.clone())));
        let objects: Vec<_> = objects.collect();
        let sizes = futures::stream::iter(objects).map(|(oid, object)| {
            let system = Arc::clone(&self.system);
            async move { system.bytes(&object).await.map(|bytes| (oid, bytes)) }
        });
        let sizes: Vec<_> = sizes.buffer_unordered(SIZES_AT_ONCE).try_collect().await?;
        let sizes: HashMap<u32, u64> = sizes.into_iter().collect();
        catalog.set_sizes(sizes);
        Ok(())
    }
}

/// The catalogs of the releases that are read now.
#[derive(Default)]
pub(super) struct Catalogs(parking_lot::Mutex<Vec<(i64, i64, Arc<Catalog>)>>);

/// Releases whose catalogs are kept.
const KEPT: usize = 2;

impl Catalogs {
    fn get(&self, release: i64, version: i64) -> Option<Arc<Catalog>> {
        let kept = self.0.lock();
        let found = kept.iter().find(|(r, v, _)| *r == release && *v == version);
        found.map(|(_, _, catalog)| Arc::clone(catalog))
    }

    /// Keeps a catalog; where another statement was faster, its.
    fn keep(&self, release: i64, version: i64, catalog: Arc<Catalog>) -> Arc<Catalog> {
        let mut kept = self.0.lock();
        if let Some((_, _, known)) = kept.iter().find(|(r, v, _)| *r == release && *v == version) {
            return Arc::clone(known);
        }
        kept.retain(|(r, ..)| *r != release);
        kept.insert(0, (release, version, Arc::clone(&catalog)));
        kept.truncate(KEPT);
        catalog
    }
}

/// The catalog for a statement that needs it.
pub(super) async fn scope(
    engine: &Engine,
    needs: Needs,
    release: &Release,
    who: &SessionUser,
    settings: &super::settings::SharedSettings,
) -> crate::error::Result<Option<Scope>> {
    if needs == Needs::Nothing {
        return Ok(None);
    }
    let catalog = engine.catalog(release).await?;
    if needs == Needs::Sizes {
        engine.measure(&catalog, release).await?;
    }
    Ok(Some(Scope::new(catalog, who.clone(), Arc::clone(settings))))
}
