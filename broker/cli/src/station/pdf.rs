//! Pages of labels as PDF 1.4: rectangles, and text in the fonts that every reader has.

use super::labels::{PAGE_HEIGHT_MM, PAGE_WIDTH_MM, Page};

/// ISO 32000-1, 8.3.2.3: lengths are points, of which an inch has 72.
const POINTS_PER_MM: f64 = 72.0 / 25.4;

/// The numbers of the objects that are there once; those of the pages follow.
const CATALOG: usize = 1;
const PAGES: usize = 2;
const FONT: usize = 3;
const BOLD_FONT: usize = 4;

/// Writes a document.
pub(super) fn document(pages: &[Page]) -> Vec<u8> {
    let page_number = |index: usize| BOLD_FONT + 1 + 2 * index;
    let kids: Vec<String> = (0..pages.len()).map(|index| format!("{} 0 R", page_number(index))).collect();
    let (width, height) = (PAGE_WIDTH_MM * POINTS_PER_MM, PAGE_HEIGHT_MM * POINTS_PER_MM);
    let mut objects = vec![
        format!("<< /Type /Catalog /Pages {PAGES} 0 R >>"),
        format!(
            "<< /Type /Pages /Kids [{}] /Count {} /MediaBox [0 0 {width:.2} {height:.2}] >>",
            kids.join(" "),
            pages.len()
        ),
        font("Helvetica"),
        font("Helvetica-Bold"),
    ];
    for (index, page) in pages.iter().enumerate() {
        objects.push(format!(
            "<< /Type /Page /Parent {PAGES} 0 R /Resources << /Font << /F1 {FONT} 0 R /F2 {BOLD_FONT} 0 R >> >> /Contents {} 0 R >>",
            page_number(index) + 1
        ));
        let content = content(page);
        objects.push(format!("<< /Length {} >>\nstream\n{content}\nendstream", content.len()));
    }
    write(&objects)
}

fn font(name: &str) -> String {
    format!("<< /Type /Font /Subtype /Type1 /BaseFont /{name} /Encoding /WinAnsiEncoding >>")
}

/// The origin of PDF is at the bottom left.
fn content(page: &Page) -> String {
    let mut content = String::new();
    let at = |mm: f64| mm * POINTS_PER_MM;
    for rectangle in &page.rectangles {
        let (x, y) = (at(rectangle.x), at(PAGE_HEIGHT_MM - rectangle.y - rectangle.height));
        let (width, height) = (at(rectangle.width), at(rectangle.height));
        content.push_str(&format!("{x:.3} {y:.3} {width:.3} {height:.3} re\n"));
    }
    content.push_str("f\n");
    for text in &page.texts {
        let font = if text.is_bold { "F2" } else { "F1" };
        let (x, y, size) = (at(text.x), at(PAGE_HEIGHT_MM - text.y), at(text.size));
        content.push_str(&format!("BT /{font} {size:.2} Tf {x:.2} {y:.2} Td ({}) Tj ET\n", escape(&text.text)));
    }
    content
}

/// ISO 32000-1, 7.3.4.2. The fonts have more characters than ASCII, but under other codes than these.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '(' | ')' | '\\' => escaped.extend(['\\', c]),
            ' '..='~' => escaped.push(c),
            _ => escaped.push('?'),
        }
    }
    escaped
}

/// Header, objects, and the table of where each object is (ISO 32000-1, 7.5).
fn write(objects: &[String]) -> Vec<u8> {
    let mut file = b"%PDF-1.4\n".to_vec();
    let mut offsets = Vec::with_capacity(objects.len());
    for (number, object) in (1..).zip(objects) {
        offsets.push(file.len());
        file.extend_from_slice(format!("{number} 0 obj\n{object}\nendobj\n").as_bytes());
    }
    let table = file.len();
    let mut end = format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1);
    for offset in offsets {
        end.push_str(&format!("{offset:010} 00000 n \n"));
    }
    end.push_str(&format!(
        "trailer\n<< /Size {} /Root {CATALOG} 0 R >>\nstartxref\n{table}\n%%EOF\n",
        objects.len() + 1
    ));
    file.extend_from_slice(end.as_bytes());
    file
}
