//! Plots of a verdict, as SVG that stands by itself.

use std::fmt::Write as _;

use super::verdict::{Moments, Verdict};

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 170.0;
const LEFT: f64 = 52.0;
const TOP: f64 = 22.0;

struct Line<'a> {
    label: &'a str,
    colour: &'a str,
    values: Vec<f64>,
}

/// How many a second, and how long redirects took.
pub(super) fn of(verdict: &Verdict) -> [String; 2] {
    let line = |label, colour, value: fn(&super::verdict::Tick) -> f64| Line {
        label,
        colour,
        values: verdict.series.iter().map(value).collect(),
    };
    let load = [
        line("redirects", "#2563eb", |tick| f64::from(tick.redirects)),
        line("creates", "#16a34a", |tick| f64::from(tick.creates)),
        line("refused (503)", "#d97706", |tick| f64::from(tick.refused)),
        line("failed", "#dc2626", |tick| f64::from(tick.failed)),
    ];
    let latency = [line("p50", "#2563eb", |tick| tick.p50_ms), line("p99", "#9333ea", |tick| tick.p99_ms)];
    [plot(verdict, "a second", &load, false), plot(verdict, "ms a redirect", &latency, true)]
}

fn plot(verdict: &Verdict, unit: &str, lines: &[Line<'_>], is_log: bool) -> String {
    let Moments { began_s, hurt_s, heal_s, healed_s, end_s } = verdict.moments;
    let end = end_s.max(1.0);
    let x = |second: f64| LEFT + (WIDTH - LEFT - 10.0) * (second / end).clamp(0.0, 1.0);
    let greatest = lines.iter().flat_map(|line| &line.values).copied().fold(1.0_f64, f64::max);
    let scaled = |value: f64| if is_log { (1.0 + value * 10.0).ln() / (1.0 + greatest * 10.0).ln() } else { value / greatest };
    let y = |value: f64| TOP + (HEIGHT - TOP - 22.0) * (1.0 - scaled(value));
    let mut svg = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="11">"#
    );
    for (from, to, colour) in [(hurt_s, heal_s, "#fee2e2"), (heal_s, healed_s, "#fef9c3")] {
        let (from, to) = (x(from), x(to));
        let (width, height) = ((to - from).max(0.0), HEIGHT - TOP - 22.0);
        let _ = write!(svg, r#"<rect x="{from:.1}" y="{TOP}" width="{width:.1}" height="{height}" fill="{colour}"/>"#);
    }
    for alert in &verdict.alerts {
        if let Some(after) = alert.firing_after_s {
            let at = x(hurt_s + after);
            let _ = write!(
                svg,
                r##"<line x1="{at:.1}" y1="{TOP}" x2="{at:.1}" y2="{:.1}" stroke="#dc2626" stroke-dasharray="3 3"/><text x="{:.1}" y="{:.1}" fill="#dc2626">{}</text>"##,
                HEIGHT - 22.0,
                at + 3.0,
                TOP + 10.0,
                alert.name
            );
        }
    }
    for line in lines {
        let mut points = String::new();
        for (at, value) in line.values.iter().enumerate() {
            let _ = write!(points, "{:.1},{:.1} ", x(at as f64 + 0.5), y(*value));
        }
        let _ = write!(svg, r#"<polyline fill="none" stroke="{}" stroke-width="1.4" points="{points}"/>"#, line.colour);
    }
    let mut at = LEFT;
    for line in lines {
        let _ = write!(svg, r#"<text x="{at:.0}" y="14" fill="{}">{}</text>"#, line.colour, line.label);
        at += 20.0 + line.label.len() as f64 * 6.5;
    }
    let bottom = HEIGHT - 22.0;
    let _ = write!(
        svg,
        r##"<line x1="{LEFT}" y1="{bottom}" x2="{:.1}" y2="{bottom}" stroke="#888"/><text x="4" y="{:.1}" fill="#666">{greatest:.0}</text><text x="4" y="{bottom}" fill="#666">0</text><text x="4" y="14" fill="#666">{unit}</text>"##,
        WIDTH - 10.0,
        TOP + 8.0
    );
    for (second, word) in [(began_s, "before"), (hurt_s, "hurt"), (heal_s, "heals"), (healed_s, "after")] {
        let _ = write!(svg, r##"<text x="{:.1}" y="{:.1}" fill="#666">{word} {second:.0} s</text>"##, x(second), HEIGHT - 6.0);
    }
    svg.push_str("</svg>");
    svg
}
