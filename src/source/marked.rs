//! Marks errors as those of the source, for whoever must tell them from our own trouble with disks and databases.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::BoxStream;

use super::{Capabilities, Expected, FieldInfo, Identity, ObjectInfo, Page, Quota, Read, Source};
use crate::error::{Error, Result};
use crate::model::Micros;

/// A source whose errors say where they come from.
pub(super) struct Marked(pub(super) Arc<dyn Source>);

#[async_trait::async_trait]
impl Source for Marked {
    async fn whoami(&self) -> Result<Identity> {
        self.0.whoami().await.map_err(Error::of_source)
    }

    async fn objects(&self) -> Result<Vec<ObjectInfo>> {
        self.0.objects().await.map_err(Error::of_source)
    }

    async fn fields(&self, object: &str) -> Result<Vec<FieldInfo>> {
        self.0.fields(object).await.map_err(Error::of_source)
    }

    async fn can(&self, object: &str) -> Result<Capabilities> {
        self.0.can(object).await.map_err(Error::of_source)
    }

    fn read(&self, read: Read) -> BoxStream<'static, Result<Page>> {
        self.0.read(read).map(|page| page.map_err(Error::of_source)).boxed()
    }

    fn suggest(&self, info: &mut ObjectInfo, fields: &[FieldInfo]) {
        self.0.suggest(info, fields);
    }

    async fn expect(&self, read: &Read) -> Result<Option<Expected>> {
        self.0.expect(read).await.map_err(Error::of_source)
    }

    async fn notes(&self, read: &Read) -> Result<Vec<String>> {
        self.0.notes(read).await.map_err(Error::of_source)
    }

    fn waits_until(&self) -> Option<Micros> {
        self.0.waits_until()
    }

    fn quota(&self) -> Option<Quota> {
        self.0.quota()
    }

    fn clock(&self) -> Option<Micros> {
        self.0.clock()
    }

    async fn warnings(&self, read: &Read) -> Result<Vec<String>> {
        self.0.warnings(read).await.map_err(Error::of_source)
    }
}
