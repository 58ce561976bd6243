//! Line charts as inline SVG. Colours are CSS variables of the page, so that the same chart serves light and dark.

use std::fmt::Write;

/// One line of a chart.
pub(super) struct Series<'a> {
    pub(super) name: &'a str,
    pub(super) points: Vec<(f64, f64)>,
}

/// One chart: what it shows, and how its numbers are written.
pub(super) struct Chart<'a> {
    pub(super) title: &'a str,
    pub(super) series: Vec<Series<'a>>,
    /// Where the horizontal axis is labelled, with the labels; empty for seconds.
    pub(super) x_labels: Vec<(f64, String)>,
    pub(super) format_y: fn(f64) -> String,
    /// Powers of ten at the same distance: for values whose small ones matter, too.
    pub(super) logarithmic: bool,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 32.0;
const Y_STEPS: u32 = 4;
const X_STEPS: u32 = 6;

/// A figure with a title, a legend if there are several lines, and the chart. Empty without points.
pub(super) fn render(chart: &Chart<'_>) -> String {
    let points = || chart.series.iter().flat_map(|series| &series.points);
    if points().next().is_none() {
        return String::new();
    }
    let x_min = points().map(|point| point.0).fold(f64::INFINITY, f64::min).min(0.0);
    let x_max = points().map(|point| point.0).fold(x_min + f64::EPSILON, f64::max);
    let scale = Scale::new(points().map(|point| point.1), chart.logarithmic);
    let x_of = |x: f64| LEFT + (x - x_min) / (x_max - x_min) * (WIDTH - LEFT - RIGHT);
    let y_of = |y: f64| HEIGHT - BOTTOM - scale.place(y) * (HEIGHT - TOP - BOTTOM);
    let mut body = String::new();
    for value in scale.ticks() {
        let y = y_of(value);
        let label = (chart.format_y)(value);
        let _ = write!(body, r#"<line class="grid" x1="{LEFT}" x2="{:.1}" y1="{y:.1}" y2="{y:.1}"/>"#, WIDTH - RIGHT);
        let _ = write!(
            body,
            r#"<text class="tick" x="{:.1}" y="{:.1}" text-anchor="end">{label}</text>"#,
            LEFT - 8.0,
            y + 4.0
        );
    }
    for (x, label) in x_ticks(chart, x_max) {
        // A label in the middle of the right edge would be cut.
        let anchor = if x_of(x) > WIDTH - RIGHT - 20.0 { "end" } else { "middle" };
        let _ = write!(
            body,
            r#"<text class="tick" x="{:.1}" y="{:.1}" text-anchor="{anchor}">{}</text>"#,
            x_of(x),
            HEIGHT - 10.0,
            escape(&label)
        );
    }
    for (number, series) in chart.series.iter().enumerate() {
        write_series(&mut body, chart, series, number + 1, &x_of, &y_of);
    }
    format!(
        r#"<figure><figcaption>{}{}</figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{}">{body}</svg></figure>"#,
        escape(chart.title),
        legend(chart),
        escape(chart.title)
    )
}

/// The vertical axis: from 0, or over powers of ten.
struct Scale {
    min: f64,
    max: f64,
    logarithmic: bool,
}

impl Scale {
    fn new(values: impl Iterator<Item = f64>, logarithmic: bool) -> Self {
        let (least, most) =
            values.fold((f64::INFINITY, 0.0), |(least, most), value| (value.min(least), value.max(most)));
        if !logarithmic || least <= 0.0 {
            return Self { min: 0.0, max: nice_max(most, Y_STEPS), logarithmic: false };
        }
        let (min, max) = (10_f64.powf(least.log10().floor()), 10_f64.powf(most.log10().ceil()));
        Self { min, max: max.max(min * 10.0), logarithmic }
    }

    /// From 0 at the bottom to 1 at the top.
    fn place(&self, value: f64) -> f64 {
        if self.logarithmic { (value / self.min).log10() / (self.max / self.min).log10() } else { value / self.max }
    }

    fn ticks(&self) -> Vec<f64> {
        if !self.logarithmic {
            return (0..=Y_STEPS).map(|step| self.max * f64::from(step) / f64::from(Y_STEPS)).collect();
        }
        std::iter::successors(Some(self.min), |value| Some(value * 10.0))
            .take_while(|value| *value <= self.max * 1.001)
            .collect()
    }
}

fn write_series(
    body: &mut String,
    chart: &Chart<'_>,
    series: &Series<'_>,
    number: usize,
    x_of: &dyn Fn(f64) -> f64,
    y_of: &dyn Fn(f64) -> f64,
) {
    let path: Vec<_> = series.points.iter().map(|(x, y)| format!("{:.1},{:.1}", x_of(*x), y_of(*y))).collect();
    let _ = write!(body, r#"<polyline class="line s{number}" points="{}"/>"#, path.join(" "));
    for (x, y) in &series.points {
        let at = chart.x_labels.iter().find(|(label_x, _)| label_x == x).map(|(_, label)| label.clone());
        let at = at.unwrap_or_else(|| format!("{x:.2} s"));
        let _ = write!(
            body,
            r#"<circle class="dot s{number}" cx="{:.1}" cy="{:.1}" r="3"><title>{} at {}: {}</title></circle>"#,
            x_of(*x),
            y_of(*y),
            escape(series.name),
            escape(&at),
            (chart.format_y)(*y)
        );
    }
}

fn legend(chart: &Chart<'_>) -> String {
    if chart.series.len() < 2 {
        return String::new();
    }
    let entries = chart.series.iter().enumerate();
    entries.map(|(at, series)| format!(r#"<span class="key k{}">{}</span>"#, at + 1, escape(series.name))).collect()
}

fn x_ticks(chart: &Chart<'_>, x_max: f64) -> Vec<(f64, String)> {
    if !chart.x_labels.is_empty() {
        return chart.x_labels.clone();
    }
    let step = nice_step(x_max / f64::from(X_STEPS), &[1.0, 2.0, 5.0, 10.0]);
    let ticks = (0..=X_STEPS).map(|number| step * f64::from(number)).filter(|x| *x <= x_max * 1.001);
    ticks.map(|x| (x, format!("{} s", (x * 100.0).round() / 100.0))).collect()
}

/// The smallest round number from `value` on that `steps` divides into round numbers.
pub(crate) fn nice_max(value: f64, steps: u32) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    nice_step(value / f64::from(steps), &[1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0]) * f64::from(steps)
}

/// The smallest of these times a power of ten that is at least `step`.
fn nice_step(step: f64, factors: &[f64]) -> f64 {
    let magnitude = 10_f64.powf(step.max(f64::MIN_POSITIVE).log10().floor());
    let factor = factors.iter().find(|factor| *factor * magnitude >= step * 0.999_999);
    factor.unwrap_or(&10.0) * magnitude
}

/// Text as HTML.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        for (value, max) in [(0.0, 1.0), (3.9, 4.0), (4.0, 4.0), (4.1, 6.0), (97.0, 100.0), (1_234_567.0, 1_600_000.0)]
        {
            let found = nice_max(value, 4);
            assert!((found - max).abs() < max * 1e-9, "{value}: {found} is not {max}");
        }
    }

    #[test]
    fn a_logarithmic_axis_has_the_powers_of_ten() {
        let scale = Scale::new([39.0, 27_000.0].into_iter(), true);
        assert_eq!(scale.ticks(), [10.0, 100.0, 1000.0, 10_000.0, 100_000.0]);
        assert!((scale.place(10.0), scale.place(1000.0), scale.place(100_000.0)) == (0.0, 0.5, 1.0));
        let with_zero = Scale::new([0.0, 3.9].into_iter(), true);
        assert_eq!(with_zero.ticks(), [0.0, 1.0, 2.0, 3.0, 4.0]);
    }

    #[test]
    fn a_chart_without_points_is_nothing() {
        let chart = Chart {
            title: "x",
            series: Vec::new(),
            x_labels: Vec::new(),
            format_y: |y| y.to_string(),
            logarithmic: false,
        };
        assert_eq!(render(&chart), "");
    }

    #[test]
    fn names_cannot_become_markup() {
        let series = Series { name: "<b>", points: vec![(0.0, 1.0), (1.0, 2.0)] };
        let chart = Chart {
            title: "a & b",
            series: vec![series],
            x_labels: Vec::new(),
            format_y: |y| y.to_string(),
            logarithmic: false,
        };
        let svg = render(&chart);
        assert!(svg.contains("a &amp; b") && svg.contains("&lt;b&gt;") && !svg.contains("<b>"));
    }
}
