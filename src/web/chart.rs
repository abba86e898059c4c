//! Charts, drawn on the server as SVG. Colours come from the style by class, since a policy forbids inline styles.
//! What a chart shows is also told in words, and each mark names its value.

use maud::{Markup, PreEscaped, html};

use super::show::count;

/// Of a chart that has half of a page, and of one that has all of it: texts are as large in both.
pub(super) const HALF: f64 = 480.0;
pub(super) const WHOLE: f64 = 900.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 8.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 24.0;
/// What a label below a chart takes.
const LABEL: f64 = 76.0;

/// A series of values, one for each label of its chart.
pub(super) struct Series {
    pub(super) name: String,
    pub(super) values: Vec<Option<f64>>,
}

/// What a chart is of.
pub(super) struct Chart<'a> {
    /// One sentence that tells what is shown.
    pub(super) title: &'a str,
    /// Along the bottom.
    pub(super) labels: Vec<String>,
    pub(super) series: Vec<Series>,
    pub(super) width: f64,
    pub(super) height: f64,
    /// How a value is written.
    pub(super) written: fn(f64) -> String,
}

/// How a value is written where nothing better is known: up to two digits after the point.
pub(super) fn plain(value: f64) -> String {
    let whole = value.trunc();
    match (value - whole).abs() < 0.005 && whole.abs() < 9e15 {
        true => count(whole as i64),
        false if value.abs() < 1e15 => format!("{value:.2}"),
        false => format!("{value:e}"),
    }
}

/// The same in few characters, for an axis: `12k`, `3.4M`.
fn short(value: f64) -> String {
    let units = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    match units.iter().find(|(size, _)| value.abs() >= *size) {
        Some((size, unit)) => {
            let text = format!("{:.1}", value / size);
            format!("{}{unit}", text.strip_suffix(".0").unwrap_or(&text))
        }
        None => plain(value),
    }
}

/// Values between which a chart reaches, with even steps.
struct Scale {
    low: f64,
    high: f64,
    step: f64,
}

impl Scale {
    /// At least from zero, so that lengths can be compared.
    fn of(values: impl Iterator<Item = f64>) -> Scale {
        let (mut low, mut high) = (0.0_f64, 0.0_f64);
        for value in values.filter(|value| value.is_finite()) {
            (low, high) = (low.min(value), high.max(value));
        }
        if high - low <= 0.0 {
            high = 1.0;
        }
        let raw = (high - low) / 4.0;
        let size = 10_f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|times| times * size).into_iter().find(|step| *step >= raw);
        let step = step.unwrap_or(raw);
        Scale { low: (low / step).floor() * step, high: (high / step).ceil() * step, step }
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        let steps = ((self.high - self.low) / self.step).round().clamp(1.0, 12.0) as i32;
        let (low, step) = (self.low, self.step);
        (0..=steps).map(move |tick| low + f64::from(tick) * step)
    }
}

/// Where things are in a drawing.
struct Place {
    scale: Scale,
    width: f64,
    height: f64,
    slot: f64,
}

impl Place {
    fn new(chart: &Chart<'_>, scale: Scale) -> Place {
        let slot = (chart.width - LEFT - RIGHT) / chart.labels.len().max(1) as f64;
        Place { scale, width: chart.width, height: chart.height, slot }
    }

    fn y(&self, value: f64) -> f64 {
        let share = (value - self.scale.low) / (self.scale.high - self.scale.low);
        let y = TOP + (1.0 - share) * (self.height - TOP - BOTTOM);
        (y * 10.0).round() / 10.0
    }

    fn x(&self, index: usize) -> f64 {
        ((LEFT + index as f64 * self.slot) * 10.0).round() / 10.0
    }

    /// Grid lines with their values, and the labels below.
    fn axes(&self, labels: &[String]) -> Markup {
        // Labels that touch each other are left out.
        let room = ((self.width - LEFT - RIGHT) / LABEL).max(1.0) as usize;
        let every = labels.len().div_ceil(room).max(1);
        html! {
            @for tick in self.scale.ticks() {
                line.grid x1=(LEFT) x2=(self.width - RIGHT) y1=(self.y(tick)) y2=(self.y(tick)) {}
                text.axis x=(LEFT - 6.0) y=(self.y(tick) + 3.5) text-anchor="end" { (short(tick)) }
            }
            @for (index, label) in labels.iter().enumerate().step_by(every) {
                text.axis x=(self.x(index) + self.slot / 2.0) y=(self.height - 7.0) text-anchor="middle" {
                    (cut(label, 12))
                }
            }
        }
    }
}

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_string(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

fn frame(chart: &Chart<'_>, marks: &Markup) -> Markup {
    html! {
        figure.chart.whole[chart.width > HALF] {
            @if chart.series.len() > 1 {
                ul.legend { @for (index, series) in chart.series.iter().enumerate() {
                    li { svg.key viewBox="0 0 10 10" aria-hidden="true" { rect class=(format!("s{}", index % 6)) width="10" height="10" rx="2" {} }
                        (cut(&series.name, 40)) }
                } }
            }
            div.table tabindex="0" role="region" aria-label=(chart.title) {
                svg viewBox=(format!("0 0 {} {}", chart.width, chart.height)) role="img" aria-label=(chart.title) { (marks) }
            }
        }
    }
}

/// Bars, those of one label on top of each other. Values below zero are drawn below it.
pub(super) fn bars(chart: &Chart<'_>) -> Markup {
    let stacked = |index: usize, sign: f64| {
        let values =
            chart.series.iter().filter_map(move |series| series.values.get(index).copied().flatten());
        values.filter(|value| value * sign > 0.0).sum::<f64>()
    };
    let ends = (0..chart.labels.len()).flat_map(|index| [stacked(index, 1.0), stacked(index, -1.0)]);
    let place = Place::new(chart, Scale::of(ends));
    let width = (place.slot * 0.72).clamp(1.0, 46.0);
    let mut marks = String::new();
    for (index, label) in chart.labels.iter().enumerate() {
        let x = place.x(index) + (place.slot - width) / 2.0;
        let (mut above, mut below) = (0.0, 0.0);
        for (number, series) in chart.series.iter().enumerate() {
            let Some(value) =
                series.values.get(index).copied().flatten().filter(|v| v.is_finite() && *v != 0.0)
            else {
                continue;
            };
            let base = if value > 0.0 { &mut above } else { &mut below };
            let (from, to) = (place.y(*base), place.y(*base + value));
            *base += value;
            let told = told(chart, label, series, value);
            let (top, size) = (from.min(to), (from - to).abs().max(0.5));
            marks += &html! {
                rect class=(format!("s{}", number % 6)) x=(format!("{x:.1}")) y=(top) width=(format!("{width:.1}"))
                    height=(format!("{size:.1}")) { title { (told) } }
            }
            .into_string();
        }
    }
    frame(chart, &html! { (place.axes(&chart.labels)) (PreEscaped(marks)) })
}

/// Lines through the values of each series; where one is missing, the line is broken.
pub(super) fn lines(chart: &Chart<'_>) -> Markup {
    let values = chart.series.iter().flat_map(|series| series.values.iter().flatten().copied());
    let place = Place::new(chart, Scale::of(values));
    let middle = |index: usize| place.x(index) + place.slot / 2.0;
    let mut marks = String::new();
    for (number, series) in chart.series.iter().enumerate() {
        let class = format!("l{}", number % 6);
        let points: Vec<_> =
            series.values.iter().map(|value| value.filter(|value| value.is_finite())).collect();
        let mut at = 0;
        for run in points.split(Option::is_none) {
            let text: Vec<_> = run
                .iter()
                .flatten()
                .enumerate()
                .map(|(offset, value)| format!("{:.1},{}", middle(at + offset), place.y(*value)))
                .collect();
            if text.len() > 1 {
                marks += &html! { polyline class=(class) points=(text.join(" ")) {} }.into_string();
            }
            at += run.len() + 1;
        }
        for (index, value) in points.iter().enumerate() {
            let (Some(value), Some(label)) = (value, chart.labels.get(index)) else { continue };
            let radius = if points.len() > 60 { 1.5 } else { 3.0 };
            marks += &html! {
                circle class=(format!("s{}", number % 6)) cx=(format!("{:.1}", middle(index))) cy=(place.y(*value))
                    r=(radius) { title { (told(chart, label, series, *value)) } }
            }
            .into_string();
        }
    }
    frame(chart, &html! { (place.axes(&chart.labels)) (PreEscaped(marks)) })
}

fn told(chart: &Chart<'_>, label: &str, series: &Series, value: f64) -> String {
    format!("{}, {}: {}", cut(label, 60), cut(&series.name, 60), (chart.written)(value))
}

/// Something with a beginning and an end on a common clock.
pub(super) struct Bar {
    pub(super) label: String,
    /// In the units of the whole.
    pub(super) from: i64,
    pub(super) to: i64,
    /// `good`, `warn`, `bad`, `busy` or `calm`.
    pub(super) tone: &'static str,
    pub(super) told: String,
}

/// Bars one below the other, from the first beginning to the last end.
pub(super) fn course(title: &str, bars: &[Bar]) -> Markup {
    const ROW: f64 = 20.0;
    const NAMES: f64 = 190.0;
    let first = bars.iter().map(|bar| bar.from).min().unwrap_or_default();
    let last = bars.iter().map(|bar| bar.to).max().unwrap_or_default().max(first + 1);
    let share = |at: i64| (at - first) as f64 / (last - first) as f64 * (WHOLE - NAMES - RIGHT);
    let height = bars.len() as f64 * ROW + 6.0;
    html! {
        figure.chart.whole { div.table tabindex="0" role="region" aria-label=(title) {
            svg viewBox=(format!("0 0 {WHOLE} {height}")) role="img" aria-label=(title) {
                @for (row, bar) in bars.iter().enumerate() {
                    @let y = row as f64 * ROW + 4.0;
                    text.name x="0" y=(y + 11.5) { (cut(&bar.label, 30)) }
                    line.grid x1=(NAMES) x2=(WHOLE - RIGHT) y1=(y + 7.5) y2=(y + 7.5) {}
                    rect class=(format!("t-{}", bar.tone)) rx="2" height="15" y=(y)
                        x=(format!("{:.1}", NAMES + share(bar.from)))
                        width=(format!("{:.1}", (share(bar.to) - share(bar.from)).max(2.0))) { title { (bar.told) } }
                }
            }
        } }
    }
}

/// A moment on a line of time.
pub(super) struct Dot {
    /// 0 at the left, 1 at the right.
    pub(super) at: f64,
    pub(super) lane: usize,
    pub(super) href: String,
    pub(super) told: String,
}

/// Dots in lanes over time, each a link. `labels` stand along the bottom at their shares.
pub(super) fn moments(title: &str, lanes: &[&str], dots: &[Dot], labels: &[(f64, String)]) -> Markup {
    const ROW: f64 = 26.0;
    const NAMES: f64 = 92.0;
    let across = WHOLE - NAMES - RIGHT - 8.0;
    let height = lanes.len() as f64 * ROW + 22.0;
    let x = |share: f64| format!("{:.1}", NAMES + share.clamp(0.0, 1.0) * across);
    html! {
        figure.chart.whole { div.table tabindex="0" role="region" aria-label=(title) {
            svg viewBox=(format!("0 0 {WHOLE} {height}")) aria-label=(title) role="group" {
                @for (row, lane) in lanes.iter().enumerate() {
                    @let y = row as f64 * ROW + ROW / 2.0;
                    text.name x="0" y=(y + 4.0) { (lane) }
                    line.grid x1=(NAMES - 6.0) x2=(WHOLE - RIGHT) y1=(y) y2=(y) {}
                }
                @for dot in dots {
                    a href=(dot.href) aria-label=(dot.told) {
                        circle class=(format!("s{}", dot.lane % 6)) cx=(x(dot.at)) cy=(dot.lane as f64 * ROW + ROW / 2.0)
                            r="4.5" { title { (dot.told) } }
                    }
                }
                @for (share, label) in labels {
                    text.axis x=(x(*share)) y=(height - 5.0) text-anchor=(if *share > 0.95 { "end" } else { "middle" }) { (label) }
                }
            }
        } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(values: Vec<Option<f64>>) -> Chart<'static> {
        let labels = (0..values.len()).map(|index| format!("<b>{index}")).collect();
        let series = vec![Series { name: "rows & more".into(), values }];
        Chart { title: "rows", labels, series, width: HALF, height: 160.0, written: plain }
    }

    #[test]
    fn any_values_give_a_finite_drawing() {
        for values in [
            vec![],
            vec![None, None],
            vec![Some(0.0)],
            vec![Some(-3.0), Some(5.0)],
            vec![Some(1e300), Some(f64::NAN), Some(-1e-300)],
            vec![Some(0.1), Some(0.2)],
        ] {
            for html in
                [bars(&chart(values.clone())).into_string(), lines(&chart(values.clone())).into_string()]
            {
                assert!(!html.contains("NaN") && !html.contains("inf") && !html.contains("<b>"), "{html}");
            }
        }
    }

    #[test]
    fn axes_have_round_numbers() {
        let ticks: Vec<_> = Scale::of([0.0, 93.0].into_iter()).ticks().collect();
        assert_eq!(ticks, [0.0, 50.0, 100.0]);
        assert_eq!(short(12_500.0), "12.5k");
        assert_eq!(short(2_000_000.0), "2M");
        assert_eq!(plain(0.5), "0.50");
    }
}
