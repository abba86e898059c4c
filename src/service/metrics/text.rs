//! The text format of Prometheus, version 0.0.4: families with their samples, each family once.

use std::fmt::Write;

/// What a family measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// All samples of one name.
#[derive(Debug)]
pub(super) struct Family {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    samples: Vec<String>,
}

impl Family {
    pub(super) fn new(name: &'static str, kind: Kind, help: &'static str) -> Self {
        Family { name, kind, help, samples: Vec::new() }
    }

    pub(super) fn add(&mut self, labels: &[(&str, &str)], value: f64) {
        self.add_to("", labels, value);
    }

    /// A sample whose name ends with `suffix`, as those of a histogram do.
    pub(super) fn add_to(&mut self, suffix: &str, labels: &[(&str, &str)], value: f64) {
        let mut sample = format!("{}{suffix}", self.name);
        for (at, (name, text)) in labels.iter().enumerate() {
            sample.push(if at == 0 { '{' } else { ',' });
            sample.push_str(name);
            sample.push_str("=\"");
            sample.extend(text.chars().flat_map(escaped));
            sample.push('"');
        }
        if !labels.is_empty() {
            sample.push('}');
        }
        // Rust writes numbers as Go reads them.
        let written = write!(sample, " {value}");
        if written.is_ok() {
            self.samples.push(sample);
        }
    }
}

fn escaped(c: char) -> impl Iterator<Item = char> {
    let (first, second) = match c {
        '\\' => ('\\', Some('\\')),
        '"' => ('\\', Some('"')),
        '\n' => ('\\', Some('n')),
        c => (c, None),
    };
    std::iter::once(first).chain(second)
}

/// The whole page. Families without samples are left out.
pub(super) fn page(families: &[Family]) -> String {
    let mut page = String::new();
    for family in families.iter().filter(|family| !family.samples.is_empty()) {
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        page.push_str(&format!("# HELP {0} {1}\n# TYPE {0} {kind}\n", family.name, family.help));
        for sample in &family.samples {
            page.push_str(sample);
            page.push('\n');
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_empty_families_left_out() {
        let mut rows = Family::new("rows", Kind::Gauge, "Rows.");
        rows.add(&[("object", "a\"b\\c\nd"), ("x", "")], 1_700_000_000.5);
        rows.add(&[], 0.0);
        let empty = Family::new("empty", Kind::Counter, "Nothing.");
        let expected = "# HELP rows Rows.\n# TYPE rows gauge\n\
                        rows{object=\"a\\\"b\\\\c\\nd\",x=\"\"} 1700000000.5\nrows 0\n";
        assert_eq!(page(&[rows, empty]), expected);
    }
}
