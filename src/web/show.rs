//! How values look: times, numbers, states.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use maud::{Markup, html};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::person::Person;
use crate::model::{Micros, now_micros};

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A point in time in the person's zone; the exact one is its title.
pub(super) fn moment(person: &Person, at: Micros) -> Markup {
    time(at, written(person.zone, at, "%-d %b %Y %H:%M"))
}

/// The same, a dash where there is none.
pub(super) fn maybe_moment(person: &Person, at: Option<Micros>) -> Markup {
    at.map_or_else(dash, |at| moment(person, at))
}

/// How long ago it was; the exact time is its title.
pub(super) fn ago(at: Micros) -> Markup {
    time(at, since(now_micros() - at))
}

/// The same, a dash where there is none.
pub(super) fn maybe_ago(at: Option<Micros>) -> Markup {
    at.map_or_else(dash, ago)
}

fn time(at: Micros, shown: String) -> Markup {
    let exact = written(Tz::UTC, at, "%Y-%m-%d %H:%M:%S%.6f UTC");
    html! { time datetime=(written(Tz::UTC, at, "%Y-%m-%dT%H:%M:%S%.6fZ")) title=(exact) { (shown) } }
}

fn written(zone: Tz, at: Micros, form: &str) -> String {
    let at = DateTime::<Utc>::from_timestamp_micros(at);
    at.map_or_else(|| "beyond all calendars".into(), |at| at.with_timezone(&zone).format(form).to_string())
}

fn since(passed: i64) -> String {
    let (unit, name) = match passed.abs() {
        0..MINUTE => return if passed < -SECOND { "in a moment".into() } else { "just now".into() },
        MINUTE..HOUR => (MINUTE, "min"),
        HOUR..DAY => (HOUR, "h"),
        _ => (DAY, "d"),
    };
    let count = passed.abs() / unit;
    if passed < 0 { format!("in {count} {name}") } else { format!("{count} {name} ago") }
}

/// How long something took.
pub(super) fn duration(micros: i64) -> String {
    match micros {
        ..SECOND => format!("{} ms", micros.max(0) / 1_000),
        SECOND..MINUTE => format!("{}.{} s", micros / SECOND, micros % SECOND / 100_000),
        MINUTE..HOUR => format!("{} min {} s", micros / MINUTE, micros % MINUTE / SECOND),
        _ => format!("{} h {} min", micros / HOUR, micros % HOUR / MINUTE),
    }
}

/// A number with its thousands apart.
pub(super) fn count(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if number < 0 {
        shown.push('-');
    }
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// The same, a dash where there is none.
pub(super) fn maybe_count(number: Option<i64>) -> Markup {
    number.map_or_else(dash, |number| html! { (count(number)) })
}

/// A number with its noun: `1 row`, `2 rows`.
pub(super) fn counted(number: i64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(number))
}

/// What stands for nothing.
pub(super) fn dash() -> Markup {
    html! { span.muted { "–" } }
}

/// A text, a dash where there is none.
pub(super) fn maybe(text: Option<&str>) -> Markup {
    match text.filter(|text| !text.is_empty()) {
        Some(text) => html! { (text) },
        None => dash(),
    }
}

/// A text on one line, cut where there is no room; the whole is its title.
pub(super) fn cut(text: &str) -> Markup {
    html! { span.cut title=(text) { (text) } }
}

/// A state as a badge whose tone says how it is.
pub(super) fn badge(state: &str) -> Markup {
    html! { span class={ "badge " (tone(state)) } { (state) } }
}

/// `good`, `warn`, `bad`, `busy` or `calm`.
pub(super) fn tone(state: &str) -> &'static str {
    match state {
        "connected" | "succeeded" | "ok" | "healthy" | "fresh" | "published" | "done" | "approved"
        | "verified" | "computed" | "good" | "up to date" | "current" | "active" | "insert" => "good",
        "attention" | "held" | "capped" | "expiring" | "retrying" | "late" | "stale" | "warning"
        | "waiting" | "queued" | "partial" | "update" | "record gone" | "key changed" | "does not fit"
        | "field not imported" => "warn",
        "failed" | "needs you" | "rejected" | "lost" | "error" | "critical" | "broken" | "delete"
        | "cancelled" => "bad",
        "running" | "in progress" | "cancelling" => "busy",
        state if state.starts_with("succeeded") => "warn",
        _ => "calm",
    }
}

/// Where there is nothing yet: what to do about it.
pub(super) fn empty(title: &str, body: Markup) -> Markup {
    html! { div.empty { p.title { (title) } (body) } }
}

/// Links to the pages before and after one of a list; `path` ends where a number may be added.
pub(super) fn pager(path: &str, page: i64, has_more: bool) -> Markup {
    html! {
        @if page > 0 || has_more {
            nav.pager aria-label="Pages" {
                @if page > 0 { a.button href={ (path) (page - 1) } rel="prev" { "‹ Newer" } }
                span.muted { "Page " (page + 1) }
                @if has_more { a.button href={ (path) (page + 1) } rel="next" { "Older ›" } }
            }
        }
    }
}

/// What stands for itself in a part of a path.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b',');

/// A part of a path of ours.
pub(super) fn part(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_read_at_a_glance() {
        assert_eq!([0, 999, 1_000, -1_234_567].map(count), ["0", "999", "1,000", "-1,234,567"]);
        assert_eq!([1, 2].map(|n| counted(n, "row")), ["1 row", "2 rows"]);
        assert_eq!(
            [40, 1_500, 65_000, 3_700_000].map(|ms| duration(ms * 1_000)),
            ["40 ms", "1.5 s", "1 min 5 s", "1 h 1 min"]
        );
        assert_eq!(
            [5, 90, 7_300, 200_000].map(|s| since(s * SECOND)),
            ["just now", "1 min ago", "2 h ago", "2 d ago"]
        );
        assert_eq!(since(-3 * HOUR), "in 3 h");
        assert!(time(0, "x".into()).into_string().contains("1970-01-01 00:00:00.000000 UTC"));
    }
}
