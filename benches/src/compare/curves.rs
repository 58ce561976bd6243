//! The cost of growth: tables of each step, and curves over a logarithmic count.

use std::fmt::Write;

use super::Outcome;
use super::bars::{colour, escape};
use super::brokers::Broker;
use super::markdown::{Results, number};
use super::rows::Row;
use crate::report::table::group_digits;
use crate::report::{Step, nice_max};

/// One of the two panels of a picture.
struct Panel {
    title: &'static str,
    value: fn(&Step) -> Option<f64>,
}

const PANELS: [Panel; 2] = [
    Panel { title: "bytes of memory for each", value: |step| step.rss_bytes_per_item },
    Panel { title: "CPU for each, microseconds", value: |step| step.cpu_us_per_item },
];

const PANEL_WIDTH: f64 = 380.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 76.0;
const BOTTOM: f64 = 30.0;
const Y_STEPS: u32 = 4;

/// All rows that grew.
pub(super) fn render(results: &Results<'_>, picture_of: &dyn Fn(&str) -> Option<String>) -> String {
    let mut text = String::new();
    for row in results.rows {
        let grown: Vec<_> =
            results.brokers.iter().filter_map(|broker| Some((broker, steps(results, row, broker)?))).collect();
        if grown.is_empty() {
            continue;
        }
        if text.is_empty() {
            text.push_str("\n### The cost of growth\n\nMemory: of all there are, for each. CPU: of those of this step, for each. Beside them: CPU seconds per million QoS 0 messages of one pair.\n");
        }
        let _ = writeln!(text, "\n#### {}\n", row.title);
        if let Some(picture) = picture_of(&row.name) {
            let _ = writeln!(text, "![{}]({picture})\n", row.title);
        }
        text.push_str("| broker | how many | bytes each | CPU each, us | added/s | beside them |\n|---|---:|---:|---:|---:|---:|\n");
        for (broker, steps) in grown {
            for step in steps {
                let cell = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), number);
                let _ = writeln!(
                    text,
                    "| {} | {} | {} | {} | {} | {} |",
                    broker.name,
                    group_digits(step.items),
                    cell(step.rss_bytes_per_item),
                    cell(step.cpu_us_per_item),
                    number(step.added_per_s),
                    cell(step.cpu_s_per_million)
                );
            }
        }
    }
    text
}

/// The curves of a row; `None` when nothing grew.
pub(super) fn picture(results: &Results<'_>, row: &Row) -> Option<String> {
    let lines: Vec<_> = results
        .brokers
        .iter()
        .enumerate()
        .filter_map(|(at, broker)| Some((at, broker.name.as_str(), steps(results, row, broker)?)))
        .collect();
    if lines.is_empty() {
        return None;
    }
    let width = PANEL_WIDTH * PANELS.len() as f64;
    let mut body = format!(r#"<text class="title" x="12" y="22">{}</text>"#, escape(&row.title));
    let mut x = 12;
    for (at, name, _) in &lines {
        let _ = write!(body, r#"<rect x="{x}" y="34" width="10" height="10" fill="{}"/>"#, colour(*at));
        let _ = write!(body, r#"<text x="{}" y="43">{}</text>"#, x + 15, escape(name));
        x += 32 + 7 * name.len();
    }
    for (number, panel) in PANELS.iter().enumerate() {
        write_panel(&mut body, panel, PANEL_WIDTH * number as f64, &lines);
    }
    Some(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {HEIGHT}\" width=\"{width}\" height=\"{HEIGHT}\" role=\"img\">\
         <style>text{{font:12px system-ui,sans-serif;fill:#17202a}}.title{{font-weight:600;font-size:14px}}rect.page{{fill:#fff}}.grid{{stroke:#d5dbe1}}\
         @media(prefers-color-scheme:dark){{text{{fill:#e8edf2}}rect.page{{fill:#10161b}}.grid{{stroke:#2a343d}}}}</style>\
         <rect class=\"page\" width=\"{width}\" height=\"{HEIGHT}\"/>{body}</svg>\n"
    ))
}

/// The steps of the last run that did not fail.
fn steps<'a>(results: &'a Results<'_>, row: &Row, broker: &Broker) -> Option<&'a [Step]> {
    let rounds = results.outcomes.get(&(row.name.clone(), broker.name.clone()))?;
    let growth = |outcome: &'a Outcome| match outcome {
        Outcome::Done(report) => Some(report.growth.as_slice()),
        Outcome::Failed(_) => None,
    };
    rounds.iter().rev().find_map(growth).filter(|steps| !steps.is_empty())
}

fn write_panel(body: &mut String, panel: &Panel, x_offset: f64, lines: &[(usize, &str, &[Step])]) {
    let steps = || lines.iter().flat_map(|(_, _, steps)| steps.iter());
    let place = |items: u64| (items.max(1) as f64).log10();
    let x_min = steps().map(|step| place(step.items)).fold(f64::INFINITY, f64::min);
    let x_max = steps().map(|step| place(step.items)).fold(x_min + 0.1, f64::max);
    let y_max = nice_max(steps().filter_map(panel.value).fold(0.0, f64::max), Y_STEPS);
    let x_of = |items: u64| x_offset + LEFT + (place(items) - x_min) / (x_max - x_min) * (PANEL_WIDTH - LEFT - RIGHT);
    let y_of = |y: f64| HEIGHT - BOTTOM - y / y_max * (HEIGHT - TOP - BOTTOM);
    let _ = write!(body, r#"<text x="{}" y="64">{}</text>"#, x_offset + 12.0, panel.title);
    for step in 0..=Y_STEPS {
        let value = y_max * f64::from(step) / f64::from(Y_STEPS);
        let (y, left, right) = (y_of(value), x_offset + LEFT, x_offset + PANEL_WIDTH - RIGHT);
        let label = if step == 0 { "0".to_owned() } else { number(value) };
        let _ = write!(body, r#"<line class="grid" x1="{left}" x2="{right}" y1="{y:.1}" y2="{y:.1}"/>"#);
        let _ = write!(body, r#"<text x="{}" y="{:.1}" text-anchor="end">{label}</text>"#, left - 6.0, y + 4.0);
    }
    let mut counts: Vec<_> = steps().map(|step| step.items).collect();
    counts.sort_unstable();
    counts.dedup();
    for items in counts {
        let label =
            if items % 1_000_000 == 0 { format!("{}M", items / 1_000_000) } else { format!("{}k", items / 1000) };
        let _ =
            write!(body, r#"<text x="{:.1}" y="{}" text-anchor="middle">{label}</text>"#, x_of(items), HEIGHT - 10.0);
    }
    for (at, _, steps) in lines {
        let points: Vec<_> =
            steps.iter().filter_map(|step| Some((x_of(step.items), y_of((panel.value)(step)?)))).collect();
        let path: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let colour = colour(*at);
        let _ =
            write!(body, r#"<polyline fill="none" stroke="{colour}" stroke-width="2" points="{}"/>"#, path.join(" "));
        for (x, y) in points {
            let _ = write!(body, r#"<circle cx="{x:.1}" cy="{y:.1}" r="3" fill="{colour}"/>"#);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Outcomes;
    use super::super::brokers::Plan;
    use super::*;
    use crate::report::Report;

    #[test]
    fn what_grew_has_a_table_and_a_curve() {
        let brokers = Plan::load(&[]).unwrap().brokers;
        let rows = Plan::load(&[]).unwrap().choose_rows(&["grow-retained".into(), "qos0".into()]).unwrap();
        let step =
            |items| Step { items, cpu_us_per_item: Some(2.0), rss_bytes_per_item: Some(300.0), ..Step::default() };
        let report = Report { growth: vec![step(1000), step(1_000_000)], ..Report::default() };
        let key = ("grow-retained".to_owned(), "mosquitto".to_owned());
        let outcomes = Outcomes::from([(key, vec![Outcome::Failed("no".into()), Outcome::Done(Box::new(report))])]);
        let results = Results { brokers: &brokers, versions: &[], rows: &rows, outcomes: &outcomes };
        let text = render(&results, &|name| Some(format!("{name}.svg")));
        assert!(
            text.contains("| mosquitto | 1,000,000 | 300 | 2.00 |") && text.contains("](grow-retained.svg)"),
            "{text}"
        );
        let svg = picture(&results, &rows[0]).unwrap();
        assert_eq!((svg.matches("<polyline").count(), svg.matches("<circle").count()), (2, 4));
        assert!(svg.contains(">1k<") && svg.contains(">1M<"));
        assert!(picture(&results, &rows[1]).is_none());
    }
}
