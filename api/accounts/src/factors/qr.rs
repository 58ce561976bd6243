//! QR codes as SVG that can stand in a page without script and without a style of its own.

use std::fmt::Write as _;

use qrcodegen::{QrCode, QrCodeEcc};
use zeroize::Zeroizing;

use crate::error::{AccountsError, Result};

/// The quiet zone that readers need (ISO/IEC 18004, 9.1): four modules.
const QUIET: i32 = 4;

/// The text as an `<svg>` element of the class `qr` and of no size of its own, black on white whatever the page's colours are: readers want it so.
pub(super) fn svg(text: &str) -> Result<Zeroizing<String>> {
    let code = QrCode::encode_text(text, QrCodeEcc::Medium);
    let code = code.map_err(|_| AccountsError::Internal("the text is too long for a QR code"))?;
    let size = code.size() + 2 * QUIET;
    let mut svg = Zeroizing::new(format!(
        "<svg class=\"qr\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {size} {size}\" role=\"img\" \
         shape-rendering=\"crispEdges\"><path fill=\"#fff\" d=\"M0 0h{size}v{size}h-{size}z\"/><path fill=\"#000\" d=\"",
    ));
    for y in 0..code.size() {
        for x in (0..code.size()).filter(|x| code.get_module(*x, y)) {
            // Writing to a string does not fail.
            let _ = write!(svg, "M{} {}h1v1h-1z", x + QUIET, y + QUIET);
        }
    }
    svg.push_str("\"/></svg>");
    Ok(svg)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_text_becomes_one_element() {
        let svg = super::svg("otpauth://totp/Mooring:ada%40example.com?secret=ABC").unwrap();
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>") && svg.len() > 1000);
        assert!(super::svg(&"x".repeat(10_000)).is_err());
    }
}
