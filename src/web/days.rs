//! The last days in the reader's zone, as labels of a chart.

use chrono::{Days, NaiveDate};
use chrono_tz::Tz;

use super::cells;
use super::desk::Rows;
use crate::model::now_micros;

/// The dates of the last `days` days, oldest first, and how they are written below a chart.
pub(super) fn last(zone: Tz, days: i64) -> (Vec<String>, Vec<String>) {
    let today = cells::local(zone, now_micros()).map(|now| now.date()).unwrap_or_default();
    let before = |back: i64| today.checked_sub_days(Days::new(back.unsigned_abs())).unwrap_or(today);
    let dates: Vec<NaiveDate> = (0..days).rev().map(before).collect();
    let written = |form: &str| dates.iter().map(|date| date.format(form).to_string()).collect();
    (written("%Y-%m-%d"), written("%d %b"))
}

/// A column of rows that have one for each `day`, in the order of `dates`; a day without a row is zero.
pub(super) fn values(rows: &Rows, dates: &[String], column: &str) -> Vec<Option<f64>> {
    let of_day = |date: &String| {
        let found = rows.iter().find(|row| row.text("day").as_deref() == Some(date));
        Some(found.and_then(|row| row.number(column)).unwrap_or_default() as f64)
    };
    dates.iter().map(of_day).collect()
}
