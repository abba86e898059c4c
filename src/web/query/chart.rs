//! A result as bars or lines: which column is along the bottom, which are drawn.

use maud::{Markup, html};

use super::super::chart::{self, Chart, Series};
use super::super::desk::Rows;
use super::super::form::Form;
use super::super::person::Person;
use super::DRAWN;
use super::grid::is_number;

/// Series of one chart.
const MOST_SERIES: usize = 6;

const KINDS: &[(&str, &str)] = &[("", "no chart"), ("bar", "bars"), ("line", "lines")];

/// The chart that was asked for, and the form to ask for another.
pub(super) fn drawn(person: &Person, form: &Form, rows: &Rows) -> Markup {
    let Some(schema) = rows.schema() else { return html! {} };
    let names = rows.columns();
    let numbers: Vec<usize> = (0..names.len()).filter(|at| is_number(schema.field(*at))).collect();
    if numbers.is_empty() {
        return html! {};
    }
    let place = |name: &str| name.parse::<usize>().ok().filter(|at| *at < names.len());
    let first_other = (0..names.len()).find(|at| !numbers.contains(at)).unwrap_or_default();
    let along = place(form.raw("x")).unwrap_or(first_other);
    let mut heights: Vec<usize> = form.all("y").filter_map(place).filter(|at| numbers.contains(at)).collect();
    if heights.is_empty() {
        heights.extend(numbers.iter().find(|at| **at != along).or(numbers.first()));
    }
    heights.truncate(MOST_SERIES);
    let kind = form.raw("chart");
    html! {
        details.draw open[!kind.is_empty()] {
            summary { "Chart" }
            form.inline method="post" action="/query" {
                (person.csrf())
                input type="hidden" name="sql" value=(form.raw("sql"));
                input type="hidden" name="as_of" value=(form.raw("as_of"));
                label { span { "Draw" } select name="chart" { @for (value, words) in KINDS { option value=(value) selected[*value == kind] { (words) } } } }
                label { span { "Along" } select name="x" { @for (at, name) in names.iter().enumerate() { option value=(at) selected[at == along] { (name) } } } }
                fieldset.ticks { legend { "Values" } @for at in numbers.iter().take(24) {
                    label.tick { input type="checkbox" name="y" value=(at) checked[heights.contains(at)]; " " (names[*at]) }
                } }
                button { "Draw" }
            }
            @match kind {
                "bar" => (chart::bars(&of(rows, along, &heights))),
                "line" => (chart::lines(&of(rows, along, &heights))),
                _ => {}
            }
        }
    }
}

fn of(rows: &Rows, along: usize, heights: &[usize]) -> Chart<'static> {
    let names = rows.columns();
    let value = |at: usize| rows.iter().take(DRAWN).map(move |row| row.shown(at)?.parse().ok()).collect();
    Chart {
        title: "The result as a chart",
        labels: rows
            .iter()
            .take(DRAWN)
            .map(|row| row.shown(along).unwrap_or_else(|| "NULL".into()))
            .collect(),
        series: heights
            .iter()
            .map(|at| Series { name: names[*at].to_string(), values: value(*at) })
            .collect(),
        width: chart::WHOLE,
        height: 260.0,
        written: chart::plain,
    }
}
