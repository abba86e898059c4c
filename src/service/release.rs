//! Releases of the past: which one a text means, which are kept, and the periods that keep them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Weak;
use std::time::Duration;

use super::cells::{Cell, time};
use super::{Actor, App, list, shorten};
use crate::error::{Error, Kind, Result};
use crate::model::{Micros, Period, Release, ReleaseHeader, now_micros};
use crate::query::AsOf;

/// Microseconds of a day.
pub(super) const DAY: Micros = 24 * 3_600 * 1_000_000;
/// How long the other nodes leave a release alone after they were told that it is read here.
const HELD: Duration = Duration::from_secs(300);
/// How often they are told about what is still being read.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// A hundred years: more is a slip of the hand.
const MOST_DAYS: i64 = 36_500;

/// When each release may be removed, and under which names it is frozen.
pub(super) struct Fate {
    headers: Vec<ReleaseHeader>,
    frozen: HashMap<i64, Vec<String>>,
    /// Names of the statements whose results need a release.
    results: HashMap<i64, BTreeSet<String>>,
    retention: Micros,
}

impl Fate {
    /// As it is at `now`.
    pub(super) async fn load(app: &App, now: Micros) -> Result<Self> {
        let mut frozen: HashMap<i64, Vec<String>> = HashMap::new();
        for period in app.state.periods().await? {
            frozen.entry(period.release).or_default().push(period.name);
        }
        let mut results: HashMap<i64, BTreeSet<String>> = HashMap::new();
        for (release, statement) in app.state.releases_of_results(now).await? {
            results.entry(release).or_default().insert(statement);
        }
        let retention = app.state.retention_days().await?.saturating_mul(DAY);
        Ok(Fate { headers: app.state.release_headers().await?, frozen, results, retention })
    }

    /// When the release was replaced by the next one.
    fn replaced_at(&self, index: usize) -> Option<Micros> {
        self.headers.get(index + 1).map(|next| next.published_at)
    }

    /// Releases that nothing protects any more: replaced longer ago than the retention, and than `grace`.
    pub(super) fn expired(&self, now: Micros, grace: Micros) -> Vec<i64> {
        let limit = now.saturating_sub(self.retention.max(grace));
        let is_expired = |index: usize, header: &ReleaseHeader| {
            header.removed_at.is_none()
                && !self.frozen.contains_key(&header.id)
                && !self.results.contains_key(&header.id)
                && self.replaced_at(index).is_some_and(|at| at <= limit)
        };
        let headers = self.headers.iter().enumerate();
        headers.filter(|(index, header)| is_expired(*index, header)).map(|(_, header)| header.id).collect()
    }

    /// Every release by number, whether it was removed or not.
    pub(super) fn headers(&self) -> &[ReleaseHeader] {
        &self.headers
    }

    /// `frozen`, `kept_until`, `removed_at` and `kept_for` of a release, as the table `release` shows them.
    pub(super) fn cells(&self, release: i64) -> [Cell; 4] {
        let index = self.headers.binary_search_by_key(&release, |header| header.id).ok();
        let removed = index.and_then(|index| self.headers.get(index)).and_then(|header| header.removed_at);
        let frozen = self.frozen.get(&release).map(|names| names.join(", "));
        let until = index
            .and_then(|index| self.replaced_at(index))
            .map(|at| at.saturating_add(self.retention))
            .filter(|_| frozen.is_none() && removed.is_none() && !self.results.contains_key(&release));
        let results = self.results.get(&release).filter(|_| removed.is_none());
        let kept_for = results.map(|names| names.iter().cloned().collect::<Vec<_>>().join(", "));
        [frozen.into(), time(until), time(removed), kept_for.into()]
    }
}

impl App {
    /// The release that `as_of` means. Where there is none, the error says what is kept instead.
    pub(super) async fn release_as_of(&self, as_of: &AsOf) -> Result<Release> {
        if let AsOf::Time(at) = as_of
            && *at > now_micros()
        {
            return Err(Error::new(Kind::Invalid, format!("{} is still to come", shown(*at)))
                .with_hint("tributary.as_of takes a time of the past"));
        }
        let found = match as_of {
            AsOf::Release(id) => self.state.release(*id).await?,
            AsOf::Time(micros) => self.state.release_at(*micros).await?,
            AsOf::Cause(cause) => self.state.release_by_cause(cause).await?,
            AsOf::Period(name) => self.state.release(self.period(name).await?.release).await?,
        };
        let Some(release) = found else { return Err(self.no_release(as_of).await?) };
        match self.state.removed_at(release.id).await? {
            None => Ok(release),
            Some(at) => Err(self.removed(&release, at).await?),
        }
    }

    async fn period(&self, name: &str) -> Result<Period> {
        let mut periods = self.state.periods().await?;
        if let Some(at) = periods.iter().position(|period| period.name == name) {
            return Ok(periods.swap_remove(at));
        }
        let what = format!("nothing is frozen as period `{}`", shorten(name));
        let hint = match periods.is_empty() {
            true => "no period is frozen yet: CALL freeze('2026-10')".to_string(),
            false => format!("frozen periods: {}", list(periods.iter().map(|period| period.name.as_str()))),
        };
        Err(Error::new(Kind::Invalid, what).with_hint(hint))
    }

    async fn no_release(&self, as_of: &AsOf) -> Result<Error> {
        let headers = self.state.release_headers().await?;
        let what = match as_of {
            AsOf::Release(id) => format!("there is no release {id}"),
            AsOf::Time(at) => format!("there was no release yet at {}", shown(*at)),
            AsOf::Cause(cause) => format!("there is no release of `{}`", shorten(cause)),
            AsOf::Period(name) => format!("the release of period `{}` is unknown", shorten(name)),
        };
        let kept: Vec<_> = headers.iter().filter(|header| header.removed_at.is_none()).collect();
        let detail = match (as_of, headers.first(), kept.first(), kept.last()) {
            (AsOf::Time(_), Some(first), ..) => {
                format!("the first is release {}, published at {}", first.id, shown(first.published_at))
            }
            (_, _, Some(first), Some(last)) if first.id == last.id => {
                format!("only release {} is kept, published at {}", first.id, shown(first.published_at))
            }
            (_, _, Some(first), Some(last)) => format!(
                "kept are releases {} of {} to {} of {}",
                first.id,
                shown(first.published_at),
                last.id,
                shown(last.published_at)
            ),
            _ => "nothing was published yet".to_string(),
        };
        let hint = "SELECT id, published_at, cause, frozen, removed_at FROM tributary.release lists them";
        Ok(Error::new(Kind::Invalid, what).with_detail(detail).with_hint(hint))
    }

    async fn removed(&self, release: &Release, at: Micros) -> Result<Error> {
        let headers = self.state.release_headers().await?;
        let kept = headers.iter().filter(|header| header.removed_at.is_none());
        let nearest = kept.min_by_key(|header| (header.published_at - release.published_at).abs());
        let days = self.state.retention_days().await?;
        let error = Error::new(
            Kind::Invalid,
            format!(
                "release {} of {} is no longer kept: it was removed at {}",
                release.id,
                shown(release.published_at),
                shown(at)
            ),
        )
        .with_hint(format!(
            "releases are kept for {days} days after the next one; an admin keeps one for good with CALL freeze(...)"
        ));
        Ok(match nearest {
            Some(nearest) => error.with_detail(format!(
                "the nearest that is kept is release {} of {}",
                nearest.id,
                shown(nearest.published_at)
            )),
            None => error,
        })
    }

    /// Announces that this process reads a release; false when it was removed. State being away is no reason to
    /// stop reading: nobody can remove anything without it.
    pub(super) async fn hold(&self, release: i64) -> Result<bool> {
        match self.state.hold_release(release, HELD).await {
            Err(error) if error.kind() == Kind::Unavailable => {
                tracing::warn!(release.id = release, error = ?error, "could not announce what is read");
                Ok(true)
            }
            answer => answer,
        }
    }

    /// Protects a release from clean-up under a name: the newest one unless `as_of` says otherwise.
    pub(super) async fn freeze(
        &self,
        actor: &Actor,
        period: &str,
        as_of: Option<&str>,
        reason: Option<&str>,
    ) -> Result<(Period, Release)> {
        let arguments =
            serde_json::json!({ "period": shorten(period), "as_of": as_of.map(shorten), "reason": reason });
        self.audited(actor, "freeze", &arguments.to_string(), async {
            let name = period_name(period)?;
            let release = match AsOf::parse(as_of.unwrap_or_default())? {
                Some(as_of) => self.release_as_of(&as_of).await?,
                None => self.state.newest_release().await?.ok_or_else(|| {
                    Error::new(Kind::Invalid, "there is no release to freeze")
                        .with_hint("a sync publishes the first one")
                })?,
            };
            let period = Period {
                name,
                release: release.id,
                frozen_at: now_micros(),
                frozen_by: actor.name.clone(),
                reason: reason.map(str::to_string),
            };
            self.state.freeze(&period).await?;
            self.mirror_period(&period).await;
            Ok((period, release))
        })
        .await
    }

    /// Takes the protection and the name from a release.
    pub(super) async fn unfreeze(
        &self,
        actor: &Actor,
        period: &str,
        reason: Option<&str>,
    ) -> Result<(Period, Release)> {
        let arguments = serde_json::json!({ "period": shorten(period), "reason": reason });
        self.audited(actor, "unfreeze", &arguments.to_string(), async {
            let found = self.period(&period_name(period)?).await?;
            let release = self.state.release(found.release).await?;
            let release = release.ok_or_else(|| Error::internal("a frozen release is missing"))?;
            self.state.unfreeze(&found.name).await?;
            self.mirror_unfrozen(&found).await;
            Ok((found, release))
        })
        .await
    }

    /// Changes how long a release is kept after the next one replaced it.
    pub(super) async fn set_retention(&self, actor: &Actor, days: i64) -> Result<i64> {
        self.audited(actor, "set_retention", &serde_json::json!({ "days": days }).to_string(), async {
            if !(0..=MOST_DAYS).contains(&days) {
                return Err(Error::new(
                    Kind::Invalid,
                    format!("a retention of `{days}` days is not accepted"),
                )
                .with_hint(format!(
                    "accepted are 0 to {MOST_DAYS}; CALL freeze(...) keeps a release for good"
                )));
            }
            self.state.set_retention_days(days).await?;
            if let Err(error) = self.mirror_retention().await {
                tracing::error!(error = ?error, "the retention is not mirrored; the next start tries again");
            }
            Ok(days)
        })
        .await
    }
}

/// Goes on announcing what this process reads, for as long as the service lives.
pub(super) async fn keep_holding(app: Weak<App>) {
    loop {
        tokio::time::sleep(TELL_EVERY).await;
        let Some(app) = app.upgrade() else { return };
        let read = app.engine.get().map(|engine| engine.read_now()).unwrap_or_default();
        for release in read {
            match app.hold(release).await {
                Ok(true) => {}
                Ok(false) => tracing::warn!(release.id = release, "a release that is read was removed"),
                Err(error) => {
                    tracing::warn!(release.id = release, error = ?error, "could not announce what is read");
                }
            }
        }
    }
}

/// A name that can be written as `period <name>`: case does not matter.
fn period_name(text: &str) -> Result<String> {
    let name = text.trim().to_lowercase();
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    match (1..=63).contains(&name.chars().count()) && name.chars().all(is_plain) {
        true => Ok(name),
        false => Err(Error::new(Kind::Invalid, format!("`{}` is no name for a period", shorten(text)))
            .with_hint("accepted are up to 63 letters, digits, - _ and ., for example '2026-10'")),
    }
}

/// A time for people, in UTC.
pub(super) fn shown(at: Micros) -> String {
    let time = chrono::DateTime::from_timestamp_micros(at).unwrap_or_default();
    format!("{}+00", time.format("%Y-%m-%d %H:%M:%S"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(id: i64, day: i64) -> ReleaseHeader {
        ReleaseHeader { id, published_at: day * DAY, cause: format!("sync {id}"), removed_at: None }
    }

    #[test]
    fn a_release_expires_by_the_time_it_was_replaced() {
        let mut fate = Fate {
            headers: vec![header(1, 0), header(2, 10), header(3, 20), header(4, 21)],
            frozen: HashMap::new(),
            results: HashMap::new(),
            retention: 30 * DAY,
        };
        assert_eq!(fate.expired(39 * DAY, 0), Vec::<i64>::new());
        // Release 1 was what everybody read until day 10.
        assert_eq!(fate.expired(40 * DAY, 0), [1]);
        assert_eq!(fate.expired(40 * DAY, 31 * DAY), Vec::<i64>::new(), "grace is longer");
        assert_eq!(fate.expired(1_000 * DAY, 0), [1, 2, 3], "the newest stays");
        fate.frozen.insert(2, vec!["2026-10".into()]);
        fate.results.insert(3, ["commission".to_string()].into());
        assert_eq!(fate.expired(1_000 * DAY, 0), [1], "a result needs it");
        fate.results.clear();
        fate.headers[0].removed_at = Some(41 * DAY);
        assert_eq!(fate.expired(1_000 * DAY, 0), [3]);
    }

    #[test]
    fn names_of_periods_are_plain() {
        assert_eq!(period_name(" 2026-10 ").unwrap(), "2026-10");
        assert_eq!(period_name("Q3_2026").unwrap(), "q3_2026");
        for text in ["", "a b", "'", &"x".repeat(64)] {
            assert_eq!(period_name(text).unwrap_err().sqlstate(), "22023", "{text}");
        }
    }
}
