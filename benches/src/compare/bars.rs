//! A table as a picture: for each row one bar per broker, on a scale of the row's own, since rows differ by factors of a hundred.

use std::fmt::Write;

/// One row: its title, and for each broker the number and its text.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) title: String,
    pub(super) bars: Vec<Option<(f64, String)>>,
}

const WIDTH: usize = 880;
const LEFT: usize = 450;
const BAR: usize = 16;
const GAP: usize = 14;
const HEAD: usize = 56;
/// Room for the number behind the longest bar.
const LABEL: usize = 80;

/// Colours that keep their difference for people who see red and green alike, on light and on dark; one broker more starts again.
const COLOURS: [&str; 6] = ["#0b66c3", "#d9822b", "#7a8794", "#2f9e78", "#9b5fc0", "#c0504d"];

/// A self-contained SVG.
pub(super) fn render(title: &str, brokers: &[&str], groups: &[Group]) -> String {
    let group_height = BAR * brokers.len() + GAP;
    let height = HEAD + group_height * groups.len();
    let mut body = format!(r#"<text class="title" x="12" y="22">{}</text>"#, escape(title));
    let mut x = 12;
    for (at, broker) in brokers.iter().enumerate() {
        let _ = write!(body, r#"<rect x="{x}" y="34" width="10" height="10" fill="{}"/>"#, colour(at));
        let _ = write!(body, r#"<text x="{}" y="43">{}</text>"#, x + 15, escape(broker));
        x += 32 + 7 * broker.len();
    }
    for (at, group) in groups.iter().enumerate() {
        write_group(&mut body, group, HEAD + at * group_height);
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\
         <style>text{{font:12px system-ui,sans-serif;fill:#17202a}}.title{{font-weight:600;font-size:14px}}rect.page{{fill:#fff}}\
         @media(prefers-color-scheme:dark){{text{{fill:#e8edf2}}rect.page{{fill:#10161b}}}}</style>\
         <rect class=\"page\" width=\"{WIDTH}\" height=\"{height}\"/>{body}</svg>\n"
    )
}

fn write_group(body: &mut String, group: &Group, top: usize) {
    let most = group.bars.iter().flatten().map(|(value, _)| *value).fold(f64::MIN_POSITIVE, f64::max);
    let middle = top + BAR * group.bars.len() / 2 + 4;
    let _ = write!(body, r#"<text x="{}" y="{middle}" text-anchor="end">{}</text>"#, LEFT - 10, escape(&group.title));
    for (at, bar) in group.bars.iter().enumerate() {
        let y = top + at * BAR;
        let Some((value, label)) = bar else {
            let _ = write!(body, r#"<text x="{LEFT}" y="{}">-</text>"#, y + 12);
            continue;
        };
        let width = (value / most * (WIDTH - LEFT - LABEL) as f64).max(1.0);
        let _ = write!(
            body,
            r#"<rect x="{LEFT}" y="{}" width="{width:.1}" height="{}" fill="{}"/>"#,
            y + 1,
            BAR - 3,
            colour(at)
        );
        let _ = write!(body, r#"<text x="{:.1}" y="{}">{}</text>"#, LEFT as f64 + width + 6.0, y + 12, escape(label));
    }
}

pub(super) fn colour(at: usize) -> &'static str {
    COLOURS[at % COLOURS.len()]
}

pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_of_each_row_fills_it_and_a_missing_number_is_a_dash() {
        let bars =
            |values: [Option<f64>; 2]| values.map(|value| value.map(|value| (value, value.to_string()))).to_vec();
        let groups = [
            Group { title: "a < b".into(), bars: bars([Some(1.0), Some(4.0)]) },
            Group { title: "c".into(), bars: bars([Some(100.0), None]) },
        ];
        let svg = render("CPU", &["one", "two"], &groups);
        assert_eq!(svg.matches("width=\"350.0\"").count(), 2);
        assert_eq!(svg.matches("width=\"87.5\"").count(), 1);
        assert!(svg.contains("a &lt; b") && svg.contains(">-</text>"));
    }
}
