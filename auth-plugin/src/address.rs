//! Topics of one device: `devices/{id}/...`.

/// The part of a topic name or filter that says which device, and what follows.
///
/// The id is compared as text with ids in canonical form, so that a wildcard in its place names no device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DeviceAddress<'a> {
    /// The second level.
    pub(crate) id: &'a str,
    /// The levels after it; none when there are none.
    pub(crate) rest: Option<&'a str>,
}

impl<'a> DeviceAddress<'a> {
    /// Splits a topic name or an unshared filter; none when it is not below `devices/`.
    pub(crate) fn split(text: &'a str) -> Option<Self> {
        let after = text.strip_prefix("devices/")?;
        Some(match after.split_once('/') {
            Some((id, rest)) => Self { id, rest: Some(rest) },
            None => Self { id: after, rest: None },
        })
    }
}

/// A piece of a peer's text for a log line: short, and without control characters.
pub(crate) fn quoted(text: &str) -> String {
    const CHARS_MAX: usize = 64;
    let start: String = text.chars().take(CHARS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(CHARS_MAX).is_some() { start + "..." } else { start }
}
