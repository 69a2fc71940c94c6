//! What a run found, for people and as JSON.

use std::{fmt, path::PathBuf, time::Instant};

use serde_json::{Map, Value};

/// Sentences of one kind are all alike: this many are enough.
const FINDINGS_MAX: usize = 50;

/// A time or a speed that was promised, beside what was seen of it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Compared {
    pub what: String,
    /// `at most 60`.
    pub promised: String,
    pub seen: f64,
    pub kept: bool,
}

#[derive(Clone, Debug, serde::Serialize)]
pub struct Report {
    /// `P-9`.
    pub promise: &'static str,
    pub held: bool,
    pub seed: u64,
    pub seconds: u64,
    /// In the order in which they were noted.
    pub figures: Map<String, Value>,
    pub compared: Vec<Compared>,
    pub findings: Vec<String>,
    /// Findings beyond those that are listed.
    pub more_findings: u64,
    /// Where the directories of a run with findings are.
    pub kept: Option<PathBuf>,
    #[serde(skip)]
    order: Vec<String>,
    /// What was not kept is a finding.
    #[serde(skip)]
    strict: bool,
    #[serde(skip)]
    began: Instant,
}

impl Report {
    pub fn new(promise: &'static str, seed: u64) -> Self {
        Self {
            promise,
            held: true,
            seed,
            seconds: 0,
            figures: Map::new(),
            compared: Vec::new(),
            findings: Vec::new(),
            more_findings: 0,
            kept: None,
            order: Vec::new(),
            strict: false,
            began: Instant::now(),
        }
    }

    #[must_use]
    pub fn strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    /// Promised was no more than this.
    pub fn at_most(&mut self, what: &str, promised: f64, seen: f64) {
        self.compare(what, format!("at most {}", shown(promised)), seen, seen <= promised);
    }

    /// Promised was no less than this.
    pub fn at_least(&mut self, what: &str, promised: f64, seen: f64) {
        self.compare(what, format!("at least {}", shown(promised)), seen, seen >= promised);
    }

    fn compare(&mut self, what: &str, promised: String, seen: f64, kept: bool) {
        if self.strict && !kept {
            self.find(format!("{what}: promised {promised}, seen {}", shown(seen)));
        }
        self.compared.push(Compared { what: what.to_owned(), promised, seen, kept });
    }

    /// Promised figures that were not kept.
    pub fn missed(&self) -> usize {
        self.compared.iter().filter(|compared| !compared.kept).count()
    }

    pub fn note(&mut self, name: &str, figure: impl Into<Value>) {
        self.order.push(name.to_owned());
        self.figures.insert(name.to_owned(), figure.into());
    }

    /// The figure as a number; 0 where there is none.
    pub fn figure(&self, name: &str) -> f64 {
        self.figures.get(name).and_then(Value::as_f64).unwrap_or(0.0)
    }

    /// The promise did not hold, and this is how.
    pub fn find(&mut self, finding: impl Into<String>) {
        self.held = false;
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding.into());
        } else {
            self.more_findings += 1;
        }
    }

    /// Progress, on standard error.
    pub fn say(&self, what: &str) {
        eprintln!("{} {:>4} s  {what}", self.promise, self.began.elapsed().as_secs());
    }

    #[must_use]
    pub fn finished(mut self) -> Self {
        self.seconds = self.began.elapsed().as_secs();
        self
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.held { "held" } else { "BROKEN" };
        write!(f, "{} {verdict}", self.promise)?;
        if self.missed() > 0 {
            write!(f, ", {} of {} promised figures NOT KEPT", self.missed(), self.compared.len())?;
        }
        writeln!(f, ", {} s (seed {})", self.seconds, self.seed)?;
        for name in &self.order {
            if let Some(figure) = self.figures.get(name) {
                let shown = figure.as_f64().map_or_else(|| figure.to_string(), shown);
                writeln!(f, "  {:<34} {shown}", name.replace('_', " "))?;
            }
        }
        for Compared { what, promised, seen, kept } in &self.compared {
            let verdict = if *kept { "kept" } else { "NOT KEPT" };
            writeln!(f, "  {:<34} promised {promised}, seen {}: {verdict}", what.replace('_', " "), shown(*seen))?;
        }
        for finding in &self.findings {
            writeln!(f, "  finding: {finding}")?;
        }
        if self.more_findings > 0 {
            writeln!(f, "  and {} findings more", self.more_findings)?;
        }
        self.kept.iter().try_for_each(|kept| writeln!(f, "  kept: {}", kept.display()))
    }
}

fn shown(figure: f64) -> String {
    if figure.fract() == 0.0 { format!("{figure:.0}") } else { format!("{figure:.2}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_was_noted_in_that_order_and_holds_until_something_is_found() {
        let mut report = Report::new("P-0", 7);
        report.note("zebras", 3);
        report.note("apples_a_second", 1.5);
        assert!(report.held);
        let text = report.clone().finished().to_string();
        assert!(text.starts_with("P-0 held, 0 s (seed 7)\n  zebras"), "{text}");
        assert!(text.find("zebras") < text.find("apples a second"), "{text}");
        for n in 0..FINDINGS_MAX + 3 {
            report.find(format!("lost {n}"));
        }
        let text = report.to_string();
        assert!(
            !report.held && text.contains("BROKEN") && text.contains("lost 49") && text.contains("and 3 findings more"),
            "{text}"
        );
        assert_eq!(serde_json::to_value(&report).unwrap()["figures"]["zebras"], 3);
    }

    #[test]
    fn a_promised_figure_that_is_missed_is_told_and_a_finding_where_that_was_asked_for() {
        for strict in [false, true] {
            let mut report = Report::new("P-0", 7).strict(strict);
            report.at_most("drained_after_s", 60.0, 60.0);
            report.at_least("goodput_percent", 90.0, 216.0);
            assert!(report.held && report.to_string().starts_with("P-0 held, 0 s"), "{report}");
            report.at_most("told_ms", 50.0, 262.5);
            report.at_least("goodput_percent", 90.0, 89.0);
            let text = report.to_string();
            assert_eq!((report.held, report.findings.len()), (!strict, if strict { 2 } else { 0 }), "{text}");
            assert!(
                text.contains(", 2 of 4 promised figures NOT KEPT, ") && text.contains("promised at most 60, seen 60: kept"),
                "{text}"
            );
            assert!(text.contains("promised at most 50, seen 262.50: NOT KEPT"), "{text}");
        }
    }
}
