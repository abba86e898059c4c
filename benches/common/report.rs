//! The table at the end.

/// What was found, line by line.
#[derive(Default)]
pub(crate) struct Report {
    lines: Vec<(String, String, String, &'static str)>,
}

impl Report {
    /// A number without a promise.
    pub(crate) fn fact(&mut self, what: &str, found: f64, unit: &str) {
        self.add(what, found, unit, String::new(), "");
    }

    /// A number that must not be above `limit`.
    pub(crate) fn limit(&mut self, what: &str, found: f64, limit: f64, unit: &str) {
        self.add(
            what,
            found,
            unit,
            format!("at most {limit}"),
            if found <= limit { "kept" } else { "BROKEN" },
        );
    }

    /// A number that must not be below `limit`.
    pub(crate) fn least(&mut self, what: &str, found: f64, limit: f64, unit: &str) {
        self.add(
            what,
            found,
            unit,
            format!("at least {limit}"),
            if found >= limit { "kept" } else { "BROKEN" },
        );
    }

    fn add(&mut self, what: &str, found: f64, unit: &str, promise: String, verdict: &'static str) {
        eprintln!("{what}: {found:.3} {unit} {promise} {verdict}");
        self.lines.push((what.into(), format!("{found:.3} {unit}"), promise, verdict));
    }

    pub(crate) fn print(&self) {
        println!("\n| measure | found | promise | |\n|---|---|---|---|");
        for (what, found, promise, verdict) in &self.lines {
            println!("| {what} | {found} | {promise} | {verdict} |");
        }
        let broken = self.lines.iter().filter(|line| line.3 == "BROKEN").count();
        println!(
            "\n{broken} of {} promises broken",
            self.lines.iter().filter(|line| !line.3.is_empty()).count()
        );
    }
}
