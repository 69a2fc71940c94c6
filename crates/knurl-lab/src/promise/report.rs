//! What a run found, for people and as JSON.

use std::{fmt, path::PathBuf, time::Instant};

use serde_json::{Map, Value};

/// Sentences of one kind are all alike: this many are enough.
const FINDINGS_MAX: usize = 50;

#[derive(Clone, Debug, serde::Serialize)]
pub struct Report {
    /// `P-9`.
    pub promise: &'static str,
    pub held: bool,
    pub seed: u64,
    pub seconds: u64,
    /// In the order in which they were noted.
    pub figures: Map<String, Value>,
    pub findings: Vec<String>,
    /// Findings beyond those that are listed.
    pub more_findings: u64,
    /// Where the directories of a run with findings are.
    pub kept: Option<PathBuf>,
    #[serde(skip)]
    order: Vec<String>,
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
            findings: Vec::new(),
            more_findings: 0,
            kept: None,
            order: Vec::new(),
            began: Instant::now(),
        }
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
        writeln!(f, "{} {verdict}, {} s (seed {})", self.promise, self.seconds, self.seed)?;
        for name in &self.order {
            if let Some(figure) = self.figures.get(name) {
                let shown = figure.as_f64().map_or_else(|| figure.to_string(), shown);
                writeln!(f, "  {:<34} {shown}", name.replace('_', " "))?;
            }
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
}
