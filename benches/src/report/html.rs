//! The page: figures, checks and charts in one file that loads nothing.

use super::chart::{Chart, Series, escape, render};
use super::table::{check_line, format_value, group_digits};
use super::{Report, Sample, Step, Unit};
use crate::date::minute;

/// The report as a page.
pub(crate) fn page(report: &Report) -> String {
    let parameters: Vec<_> = report.parameters.iter().map(|(name, value)| format!("{name} {value}")).collect();
    let verdict = if report.holds { "good" } else { "bad" };
    let errors: String = report.errors.iter().map(|error| format!("<li>{}</li>", escape(error))).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>mooring-bench: {row}</title><style>{STYLE}</style></head><body><main>\
         <h1>{row}</h1><p class=\"sub\">{parameters}</p>\
         <section class=\"tiles\">{tiles}</section>\
         <p class=\"verdict {verdict}\">{check}</p><ul class=\"errors\">{errors}</ul>\
         {charts}<h2>All figures</h2><table>{rows}</table>\
         <footer>mooring-bench {version}, {started} UTC</footer></main></body></html>\n",
        row = escape(&report.row),
        parameters = escape(&parameters.join(" · ")),
        tiles = tiles(report),
        check = escape(&check_line(report)),
        charts = charts(report),
        rows = rows(report),
        version = env!("CARGO_PKG_VERSION"),
        started = minute(report.started_unix_s),
    )
}

/// The few figures that people look for first.
const TILES: [&str; 15] = [
    "delivered_per_s",
    "stored_per_s",
    "reached_per_s",
    "added_per_s",
    "cpu_s_per_million",
    "cpu_s_per_million_ratio",
    "rss_bytes_per_item",
    "cpu_us_per_item",
    "connected_per_s",
    "cpu_us_per_connect",
    "rss_bytes_per_connection",
    "rss_max_bytes",
    "rss_bytes_per_session",
    "queued_per_s",
    "subscribed_per_s",
];

fn tiles(report: &Report) -> String {
    let found = TILES.iter().filter_map(|name| report.figures.iter().find(|figure| figure.name == *name));
    let mut tiles: Vec<_> =
        found.map(|figure| (figure.label.clone(), format_value(figure.unit, figure.value))).collect();
    if let Some(latency) = &report.latency {
        tiles.push(("latency p50".to_owned(), format_value(Unit::Microseconds, latency.p50_us)));
        tiles.push(("latency p99".to_owned(), format_value(Unit::Microseconds, latency.p99_us)));
    }
    let tile = |(label, value): (String, String)| {
        format!(r#"<div class="tile"><span>{}</span><strong>{}</strong></div>"#, escape(&label), escape(&value))
    };
    tiles.into_iter().map(tile).collect()
}

fn rows(report: &Report) -> String {
    let row = |label: &str, value: &str| format!("<tr><th>{}</th><td>{}</td></tr>", escape(label), escape(value));
    let mut rows: String =
        report.figures.iter().map(|figure| row(&figure.label, &format_value(figure.unit, figure.value))).collect();
    if let Some(latency) = &report.latency {
        for (percentile, us) in &latency.curve {
            rows.push_str(&row(&format!("latency p{percentile}"), &format_value(Unit::Microseconds, *us)));
        }
    }
    rows
}

fn charts(report: &Report) -> String {
    let line = |name, value: fn(&Sample) -> Option<f64>| {
        let points = report.timeline.iter().filter_map(|sample| Some((sample.at_s, value(sample)?)));
        Series { name, points: points.collect() }
    };
    let mut cores = vec![line("generator", |sample| Some(sample.generator_cores))];
    if report.timeline.iter().any(|sample| sample.broker_cores.is_some()) {
        cores.insert(0, line("broker", |sample| sample.broker_cores));
    }
    let chart =
        |title, series, format_y| render(&Chart { title, series, x_labels: Vec::new(), format_y, logarithmic: false });
    [
        chart("Messages delivered per second", vec![line("delivered", |sample| Some(sample.delivered_per_s))], |y| {
            format_value(Unit::Count, y)
        }),
        latency_chart(report),
        growth_charts(report),
        chart("CPU, in cores", cores, |y| format!("{y:.2}")),
        chart(
            "Memory of the broker",
            vec![line("broker", |sample| sample.broker_rss_bytes.map(|bytes| bytes as f64 / 1_048_576.0))],
            |mib| format!("{} MiB", (mib * 10.0).round() / 10.0),
        ),
    ]
    .concat()
}

/// What each one costs, over a logarithmic count.
fn growth_charts(report: &Report) -> String {
    let place = |items: u64| (items.max(1) as f64).log10();
    let least = report.growth.iter().map(|step| place(step.items)).fold(f64::INFINITY, f64::min);
    let labels: Vec<_> =
        report.growth.iter().map(|step| (place(step.items) - least, group_digits(step.items))).collect();
    let chart = |title, value: fn(&Step) -> Option<f64>, format_y| {
        let points = report.growth.iter().filter_map(|step| Some((place(step.items) - least, value(step)?))).collect();
        let series = vec![Series { name: "broker", points }];
        render(&Chart { title, series, x_labels: labels.clone(), format_y, logarithmic: false })
    };
    [
        chart("Memory of the broker for each", |step| step.rss_bytes_per_item, |y| format_value(Unit::Bytes, y)),
        chart(
            "CPU of the broker for each of the step",
            |step| step.cpu_us_per_item,
            |y| format_value(Unit::Microseconds, y),
        ),
        chart(
            "CPU per million messages of a pair beside them",
            |step| step.cpu_s_per_million,
            |y| format_value(Unit::Seconds, y),
        ),
    ]
    .concat()
}

/// Percentiles, spread so that each nine has the same room.
fn latency_chart(report: &Report) -> String {
    let Some(latency) = &report.latency else { return String::new() };
    let place = |percentile: f64| -(1.0 - percentile.min(99.997) / 100.0).log10();
    let points: Vec<_> = latency.curve.iter().map(|(percentile, us)| (place(*percentile), *us)).collect();
    let labels = [
        (0.0, "0 %"),
        (50.0, "50 %"),
        (90.0, "90 %"),
        (99.0, "99 %"),
        (99.9, "99.9 %"),
        (99.99, "99.99 %"),
        (100.0, "max"),
    ];
    render(&Chart {
        title: "Latency by percentile",
        series: vec![Series { name: "latency", points }],
        x_labels: labels.iter().map(|(percentile, label)| (place(*percentile), (*label).to_owned())).collect(),
        format_y: |y| format_value(Unit::Microseconds, y),
        logarithmic: true,
    })
}

const STYLE: &str = "\
:root{color-scheme:light dark;--page:#f7f8f9;--card:#fff;--ink:#17202a;--soft:#5d6b7a;--line:#e1e5ea;--s1:#0b66c3;--s2:#c2570c;--good:#1a7f4b;--bad:#c0262d}\
@media(prefers-color-scheme:dark){:root{--page:#0f1418;--card:#182027;--ink:#e8edf2;--soft:#98a6b4;--line:#2a343d;--s1:#5aa9f5;--s2:#f0934a;--good:#4cc38a;--bad:#ff6b70}}\
*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,sans-serif}\
main{max-width:820px;margin:0 auto;padding:32px 20px}h1{margin:0;font-size:28px}h2{font-size:18px;margin:32px 0 8px}\
.sub,footer{color:var(--soft);margin:4px 0 24px}footer{margin-top:32px;font-size:13px}\
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(170px,1fr));gap:12px}\
.tile,figure,table{background:var(--card);border:1px solid var(--line);border-radius:8px}\
.tile{padding:12px 14px;display:flex;flex-direction:column;justify-content:space-between}.tile span{display:block;color:var(--soft);font-size:13px}.tile strong{font-size:22px;font-variant-numeric:tabular-nums}\
.verdict{border-left:4px solid var(--good);padding:6px 12px;margin:20px 0;background:var(--card)}.verdict.bad{border-color:var(--bad);font-weight:600}\
.errors{color:var(--bad)}.errors:empty{display:none}\
figure{margin:16px 0;padding:12px 14px}figcaption{font-weight:600;margin-bottom:6px}svg{display:block;width:100%;height:auto}\
.grid{stroke:var(--line)}.tick{fill:var(--soft);font-size:12px;font-variant-numeric:tabular-nums}\
.line{fill:none;stroke-width:2;stroke-linejoin:round}.line.s1{stroke:var(--s1)}.line.s2{stroke:var(--s2)}\
.dot{opacity:0}.dot:hover{opacity:1}.dot.s1{fill:var(--s1)}.dot.s2{fill:var(--s2)}\
.key{font-weight:400;font-size:13px;color:var(--soft);margin-left:14px}.key::before{content:'';display:inline-block;width:14px;height:3px;margin-right:6px;vertical-align:middle}\
.k1::before{background:var(--s1)}.k2::before{background:var(--s2)}\
table{border-collapse:collapse;width:100%}th,td{padding:6px 14px;border-bottom:1px solid var(--line);text-align:left;font-weight:400}\
tr:last-child>*{border-bottom:0}td{text-align:right;font-variant-numeric:tabular-nums}";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Verdict;
    use crate::latency::Latency;

    fn report() -> Report {
        let mut report = Report { row: "pairs".into(), holds: true, ..Report::default() };
        report.push("delivered_per_s", "delivered", Unit::PerSecond, 2_500_000.0);
        report.verdict = Verdict { received: 10, ..Verdict::default() };
        report.timeline = (1..5)
            .map(|second| Sample {
                at_s: f64::from(second),
                delivered_per_s: 1000.0,
                broker_cores: Some(0.5),
                broker_rss_bytes: Some(1 << 20),
                ..Sample::default()
            })
            .collect();
        let mut latency = Latency::new().unwrap();
        latency.record(136_000);
        report.latency = Some(latency.summary());
        report
    }

    #[test]
    fn the_page_has_figures_checks_and_all_charts() {
        let page = page(&report());
        for part in [
            "<h1>pairs</h1>",
            "2,500,000/s",
            "10 received, 0 lost",
            "Messages delivered per second",
            "Latency by percentile",
            "CPU, in cores",
            "Memory of the broker",
            "prefers-color-scheme:dark",
        ] {
            assert!(page.contains(part), "{part} is missing");
        }
        assert_eq!(page.matches("<svg").count(), 4);
    }

    #[test]
    fn growth_has_a_chart_for_each_cost() {
        let step =
            |items| Step { items, cpu_us_per_item: Some(2.0), rss_bytes_per_item: Some(300.0), ..Step::default() };
        let page = page(&Report { growth: vec![step(1000), step(1_000_000)], ..Report::default() });
        assert_eq!(page.matches("<svg").count(), 2, "one without numbers has no chart");
        assert!(page.contains("Memory of the broker for each") && page.contains(">1,000,000<"));
    }

    #[test]
    fn the_page_loads_nothing() {
        let page = page(&report());
        for part in ["http://", "https://", "src=", "href=", "@import", "url("] {
            assert!(!page.contains(part), "{part} loads something");
        }
    }

    #[test]
    fn a_broken_promise_is_seen() {
        let report = Report { holds: false, ..report() };
        assert!(page(&report).contains("class=\"verdict bad\"") && page(&report).contains("THE PROMISE IS BROKEN"));
    }
}
