//! PEM (RFC 7468): text around DER.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

pub(crate) const CERTIFICATE: &str = "CERTIFICATE";
pub(crate) const PRIVATE_KEY: &str = "PRIVATE KEY";
pub(crate) const CERTIFICATE_REQUEST: &str = "CERTIFICATE REQUEST";

/// RFC 7468, 2: lines of 64 characters.
const LINE_CHARS: usize = 64;

/// Writes one block.
pub(crate) fn encode(label: &str, der: &[u8]) -> String {
    let body = Zeroizing::new(STANDARD.encode(der));
    let mut text = String::with_capacity(body.len() + body.len() / LINE_CHARS + 2 * label.len() + 40);
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE_CHARS));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

/// Reads the first block that has one of these labels; text around it is skipped, as `openssl req -text` writes it.
pub(crate) fn decode(text: &str, labels: &[&str]) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    let mut lines = text.lines().map(str::trim);
    let label = lines
        .by_ref()
        .find_map(|line| labels.iter().find(|label| boundary(line, "BEGIN") == Some(**label)))
        .ok_or("there is no BEGIN line of the kind that is expected")?;
    let mut body = Zeroizing::new(String::with_capacity(text.len()));
    for line in lines {
        if boundary(line, "END") == Some(*label) {
            return STANDARD.decode(body.as_bytes()).map(Zeroizing::new).map_err(|_| "its body is not base64");
        }
        body.push_str(line);
    }
    Err("its END line is missing or has another label")
}

/// Reads every certificate.
pub(crate) fn decode_all(text: &str) -> Result<Vec<Vec<u8>>, &'static str> {
    let begin = format!("-----BEGIN {CERTIFICATE}-----");
    let starts: Vec<usize> = text.match_indices(&begin).map(|(at, _)| at).collect();
    if starts.is_empty() {
        return Err("there is no BEGIN line of the kind that is expected");
    }
    let block = |at: usize| Ok(decode(text.get(at..).unwrap_or_default(), &[CERTIFICATE])?.to_vec());
    starts.into_iter().map(block).collect()
}

fn boundary<'a>(line: &'a str, which: &str) -> Option<&'a str> {
    line.strip_prefix("-----")?.strip_suffix("-----")?.strip_prefix(which)?.strip_prefix(' ')
}
