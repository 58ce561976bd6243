//! The summary for a terminal.

use super::{Report, Step, Unit};

/// The report as lines of text.
pub(crate) fn render(report: &Report) -> String {
    let mut rows: Vec<(String, String)> = Vec::new();
    for figure in &report.figures {
        rows.push((figure.label.clone(), format_value(figure.unit, figure.value)));
    }
    if let Some(latency) = &report.latency {
        for (label, us) in [
            ("latency p50", latency.p50_us),
            ("latency p90", latency.p90_us),
            ("latency p99", latency.p99_us),
            ("latency p99.9", latency.p999_us),
            ("latency p99.99", latency.p9999_us),
            ("latency max", latency.max_us),
        ] {
            rows.push((label.to_owned(), format_value(Unit::Microseconds, us)));
        }
    }
    rows.push(("checked".to_owned(), check_line(report)));
    let parameters: Vec<_> = report.parameters.iter().map(|(name, value)| format!("{name} {value}")).collect();
    let width = rows.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
    let mut text = format!("{}: {}\n", report.row, parameters.join(", "));
    for (label, value) in &rows {
        text.push_str(&format!("  {label:width$}  {value}\n"));
    }
    for step in &report.growth {
        text.push_str(&step_line(step));
    }
    for error in &report.errors {
        text.push_str(&format!("  ! {error}\n"));
    }
    text
}

/// One step of growth, in one line.
fn step_line(step: &Step) -> String {
    let mut line = format!("  at {:>9}: {} a second", group_digits(step.items), group_digits(step.added_per_s as u64));
    let costs = [
        ("each", Unit::Bytes, step.rss_bytes_per_item),
        ("CPU each", Unit::Microseconds, step.cpu_us_per_item),
        ("CPU per million messages beside them", Unit::Seconds, step.cpu_s_per_million),
    ];
    for (label, unit, value) in costs {
        if let Some(value) = value {
            line.push_str(&format!(", {} {label}", format_value(unit, value)));
        }
    }
    line + "\n"
}

/// What the receivers found, in one line.
pub(crate) fn check_line(report: &Report) -> String {
    let verdict = &report.verdict;
    let mut line = format!(
        "{} received, {} lost, {} duplicates, {} out of order",
        group_digits(verdict.received),
        group_digits(verdict.lost),
        group_digits(verdict.duplicates),
        group_digits(verdict.out_of_order)
    );
    if verdict.corrupt > 0 {
        line.push_str(&format!(", {} corrupt", group_digits(verdict.corrupt)));
    }
    line.push_str(match (report.holds, verdict.lost) {
        (true, 0) => "",
        (true, _) => " (QoS 0 allows loss)",
        (false, _) => ": THE PROMISE IS BROKEN",
    });
    line
}

/// A number as people read it, with its unit.
pub(crate) fn format_value(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Count => group_digits(value.round() as u64),
        Unit::PerSecond if value < 100.0 => format!("{value:.1}/s"),
        Unit::PerSecond => format!("{}/s", group_digits(value.round() as u64)),
        Unit::Seconds => format!("{value:.3} s"),
        Unit::Microseconds if value > 0.0 && value < 10.0 => format!("{value:.2} us"),
        Unit::Microseconds if value >= 100_000.0 => format!("{:.1} ms", value / 1000.0),
        Unit::Microseconds => format!("{} us", group_digits(value.round() as u64)),
        Unit::Bytes => format_bytes(value),
        Unit::Ratio => format!("{value:.2} times"),
        Unit::Cores => format!("{value:.2} cores"),
    }
}

fn format_bytes(value: f64) -> String {
    match value {
        _ if value < 10_240.0 => format!("{} B", group_digits(value.round() as u64)),
        _ if value < 1_048_576.0 => format!("{:.1} KiB", value / 1024.0),
        _ => format!("{:.1} MiB", value / 1_048_576.0),
    }
}

/// 1234567 as 1,234,567.
pub(crate) fn group_digits(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Verdict;

    #[test]
    fn numbers_are_written_for_people() {
        for (unit, value, text) in [
            (Unit::Count, 1_234_567.0, "1,234,567"),
            (Unit::Count, 12.0, "12"),
            (Unit::PerSecond, 12.34, "12.3/s"),
            (Unit::PerSecond, 2_500_000.0, "2,500,000/s"),
            (Unit::Seconds, 0.5312, "0.531 s"),
            (Unit::Microseconds, 136.4, "136 us"),
            (Unit::Microseconds, 508_559.0, "508.6 ms"),
            (Unit::Bytes, 2500.0, "2,500 B"),
            (Unit::Bytes, 4.0 * 1024.0 * 1024.0 * 1024.0, "4096.0 MiB"),
            (Unit::Cores, 0.973, "0.97 cores"),
        ] {
            assert_eq!(format_value(unit, value), text);
        }
    }

    #[test]
    fn a_loss_is_never_silent() {
        let mut report = Report { row: "pairs".into(), holds: true, ..Report::default() };
        report.verdict = Verdict { received: 1000, lost: 7, ..Verdict::default() };
        report.push("delivered_per_s", "delivered", Unit::PerSecond, 1000.0);
        assert!(render(&report).contains("1,000 received, 7 lost, 0 duplicates, 0 out of order (QoS 0 allows loss)"));
        report.holds = false;
        assert!(render(&report).contains("THE PROMISE IS BROKEN"));
    }
}
