//! A page of labels as SVG.

use super::labels::{PAGE_HEIGHT_MM, PAGE_WIDTH_MM, Page};

/// Draws a page.
pub(super) fn page(page: &Page) -> String {
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{PAGE_WIDTH_MM}mm\" height=\"{PAGE_HEIGHT_MM}mm\" \
         viewBox=\"0 0 {PAGE_WIDTH_MM} {PAGE_HEIGHT_MM}\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <g shape-rendering=\"crispEdges\">\n"
    );
    for rectangle in &page.rectangles {
        let super::labels::Rectangle { x, y, width, height } = rectangle;
        text.push_str(&format!("<rect x=\"{x:.3}\" y=\"{y:.3}\" width=\"{width:.3}\" height=\"{height:.3}\"/>\n"));
    }
    text.push_str("</g>\n<g font-family=\"Helvetica, Arial, sans-serif\">\n");
    for line in &page.texts {
        let weight = if line.is_bold { "bold" } else { "normal" };
        let (x, y, size, escaped) = (line.x, line.y, line.size, escape(&line.text));
        text.push_str(&format!(
            "<text x=\"{x:.2}\" y=\"{y:.2}\" font-size=\"{size}\" font-weight=\"{weight}\">{escaped}</text>\n"
        ));
    }
    text.push_str("</g>\n</svg>\n");
    text
}

/// Text that is no markup, and has no characters that XML does not have (XML 1.0, 2.2).
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}
