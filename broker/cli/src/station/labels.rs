//! Labels: what is on them and where, independent of the kind of file.

use anyhow::Context as _;
use mooring_api::MadeDevice;
use qrcodegen::{QrCode, QrCodeEcc};

/// The sheet: A4, three columns of eight labels of 70 by 37 mm, as they are sold.
pub(super) const PAGE_WIDTH_MM: f64 = 210.0;
pub(super) const PAGE_HEIGHT_MM: f64 = 297.0;
const COLUMNS: usize = 3;
const ROWS: usize = 8;
const LABEL_WIDTH_MM: f64 = 70.0;
const LABEL_HEIGHT_MM: f64 = 37.0;
/// Printers leave the top and the bottom of a page free.
const TOP_MM: f64 = 0.5;
const QR_SIDE_MM: f64 = 29.0;
const MARGIN_MM: f64 = 4.0;
const TEXT_LEFT_MM: f64 = MARGIN_MM + QR_SIDE_MM + 2.5;

/// What a label says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    /// What the QR code says: the claim, as a URI.
    pub(crate) uri: String,
    /// Lines for people, the first in bold.
    pub(crate) lines: Vec<String>,
}

impl Label {
    /// What a phone needs to claim the device is in the fragment of the URI, which no server and no proxy on its way ever sees.
    pub(crate) fn of(device: &MadeDevice, batch: &str, number: u64, url: &str) -> Self {
        let id = device.id.to_string();
        let (first, rest) = id.split_at(18);
        Self {
            uri: format!("{url}#device={id}&code={}", device.claim_code),
            lines: vec![
                device.model.clone(),
                format!("{batch} / {number}"),
                first.to_owned(),
                rest.to_owned(),
                String::new(),
                device.claim_code.clone(),
            ],
        }
    }
}

/// A page, drawn with rectangles and text. The origin is at the top left, lengths are millimetres.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) rectangles: Vec<Rectangle>,
    pub(super) texts: Vec<Text>,
}

/// A black rectangle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rectangle {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// A line of text; `y` is its base line.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) size: f64,
    pub(super) is_bold: bool,
    pub(super) text: String,
}

/// Puts labels on pages.
pub(super) fn pages(labels: &[Label]) -> anyhow::Result<Vec<Page>> {
    labels.chunks(COLUMNS * ROWS).map(page).collect()
}

fn page(labels: &[Label]) -> anyhow::Result<Page> {
    let mut page = Page::default();
    for (at, label) in labels.iter().enumerate() {
        let (column, row) = (at % COLUMNS, at / COLUMNS);
        draw(&mut page, label, column as f64 * LABEL_WIDTH_MM, TOP_MM + row as f64 * LABEL_HEIGHT_MM)?;
    }
    Ok(page)
}

fn draw(page: &mut Page, label: &Label, left: f64, top: f64) -> anyhow::Result<()> {
    // A scratched label is still read: level M restores 15 %.
    let code =
        QrCode::encode_text(&label.uri, QrCodeEcc::Medium).context("the label's URI is too long for a QR code")?;
    draw_code(page, &code, left + MARGIN_MM, top + MARGIN_MM);
    for (at, line) in label.lines.iter().enumerate() {
        let is_bold = at == 0;
        let size = if is_bold { 3.6 } else { 2.6 };
        let text = Text { x: left + TEXT_LEFT_MM, y: top + 8.0 + at as f64 * 4.2, size, is_bold, text: line.clone() };
        page.texts.push(text);
    }
    Ok(())
}

/// Dark modules that touch in a row are one rectangle, so that no printer leaves a gap between them.
fn draw_code(page: &mut Page, code: &QrCode, left: f64, top: f64) {
    // ISO/IEC 18004, 5.3.8: four modules around it stay light.
    let quiet = 4;
    let module = QR_SIDE_MM / f64::from(code.size() + 2 * quiet);
    for y in 0..code.size() {
        let mut x = 0;
        while x < code.size() {
            let start = x;
            while code.get_module(x, y) {
                x += 1;
            }
            if x > start {
                page.rectangles.push(Rectangle {
                    x: left + f64::from(start + quiet) * module,
                    y: top + f64::from(y + quiet) * module,
                    width: f64::from(x - start) * module,
                    height: module,
                });
            }
            x += 1;
        }
    }
}
