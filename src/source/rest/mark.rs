//! Where a full read that broke off is gone on with.

use super::page::{Pager, Place};
use super::plan::Plan;
use crate::catalog::manifest::Bulk;
use crate::error::{Error, Kind, Result};
use crate::model::Micros;
use crate::source::{Bookmark, Resume};

/// What the places of one full read are part of.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mark {
    /// Until when the watermark at the end knows everything.
    pub(crate) until: Micros,
    /// The job whose result is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) job: Option<String>,
    /// None at the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) place: Option<Place>,
}

impl Mark {
    /// That of a read which begins now, unless it goes on with an earlier one; `None` where nobody wants places.
    pub(crate) fn of(resume: &Resume, until: Micros) -> Result<Option<Self>> {
        match resume {
            Resume::Never => Ok(None),
            Resume::Begin => Ok(Some(Mark { until, job: None, place: None })),
            Resume::From(Bookmark(value)) => match serde_json::from_value(value.clone()) {
                Ok(mark) => Ok(Some(mark)),
                Err(error) => {
                    Err(Error::new(Kind::Unsupported, "the place to go on from is of another version")
                        .with_source(error))
                }
            },
        }
    }

    /// Whether it is that of a read from the beginning.
    pub(crate) fn is_new(&self) -> bool {
        self.place.is_none()
    }

    /// The job whose result is gone on with; `None` for pages.
    ///
    /// # Errors
    /// `Unsupported` where the source does not go on from there any more.
    pub(crate) fn went_on_with<'a>(
        &self,
        plan: &Plan<'a>,
        now: Micros,
        label: &str,
    ) -> Result<Option<&'a Bulk>> {
        let bulk = plan.reads.bulk.as_ref().filter(|_| self.job.is_some());
        let lives = match (&self.job, bulk) {
            (Some(_), bulk) => bulk.and_then(|bulk| bulk.resumes),
            (None, _) => plan.full()?.resumes,
        };
        match lives.is_some_and(|lives| now.saturating_sub(self.until) <= lives.micros()) {
            true => Ok(bulk),
            false => {
                Err(Error::new(Kind::Unsupported, format!("{label} does not go on with a read of then")))
            }
        }
    }

    /// The place at which a pager is.
    pub(crate) fn at(&self, pager: &Pager) -> Result<Bookmark> {
        let mark = Mark { place: pager.place(), ..self.clone() };
        let value = serde_json::to_value(mark);
        value.map(Bookmark).map_err(|error| Error::internal("a place is not JSON").with_source(error))
    }
}
