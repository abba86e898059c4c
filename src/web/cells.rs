//! Single values as pages show them: long texts, what is missing, changes, sizes.

use chrono::{DateTime, NaiveDateTime};
use chrono_tz::Tz;
use maud::{Markup, html};

use super::show::{count, duration};
use crate::model::Micros;

/// The local date and time of a moment.
pub(super) fn local(zone: Tz, at: Micros) -> Option<NaiveDateTime> {
    DateTime::from_timestamp_micros(at).map(|at| at.with_timezone(&zone).naive_local())
}

/// From one moment to another, where both are known.
pub(super) fn took(from: Option<Micros>, to: Option<Micros>) -> String {
    match (from, to) {
        (Some(from), Some(to)) => duration((to - from).max(0)),
        _ => "–".into(),
    }
}

/// A change: `+12`, `−3`, and nothing where nothing changed.
pub(super) fn change(by: i64) -> Markup {
    match by {
        0 => html! { span.muted { "±0" } },
        1.. => html! { span.grown { "+" (count(by)) } },
        _ => html! { span.shrunk { (count(by)) } },
    }
}

/// A size of files: `1.2 MB`.
pub(super) fn bytes(bytes: i64) -> String {
    let units = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
    match units.iter().find(|(_, size)| bytes >= *size) {
        Some((unit, size)) => format!("{}.{} {unit}", bytes / size, bytes % size * 10 / size),
        None => format!("{bytes} B"),
    }
}

/// A text that may be very long: cut by the style, whole when opened.
pub(super) fn long(text: &str) -> Markup {
    const SHORT: usize = 160;
    match text.char_indices().nth(SHORT) {
        None => html! { span dir="auto" { (text) } },
        Some((cut, _)) => html! {
            details.long {
                summary dir="auto" { (text[..cut]) "…" }
                div dir="auto" { (text) }
            }
        },
    }
}

/// A value of a table: what is not there is told from an empty text.
pub(super) fn value(text: Option<&str>) -> Markup {
    match text {
        None => html! { span.null { "NULL" } },
        Some("") => html! { span.null { "empty" } },
        Some(text) => long(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_spans_are_told_as_people_say_them() {
        assert_eq!((bytes(1_250_000), bytes(12)), ("1.2 MB".to_string(), "12 B".to_string()));
        assert_eq!(took(Some(0), Some(1_430_000)), "1.4 s");
        assert_eq!(took(Some(0), None), "–");
        let summer = local(Tz::Europe__Berlin, 1_782_864_000_000_000).unwrap();
        assert_eq!(summer.to_string(), "2026-07-01 02:00:00");
    }

    #[test]
    fn what_is_not_ours_is_text() {
        let hostile = "<script>alert(1)</script>\"'&";
        for shown in [value(Some(hostile)), long(&hostile.repeat(50))] {
            let html = shown.into_string();
            assert!(!html.contains("<script") && html.contains("&lt;script&gt;"), "{html}");
        }
    }
}
