//! Segments, groups and frames.
//!
//! Format 1, all integers little-endian. A segment is a file `<base position, 16 hex digits>.log`:
//!
//! ```text
//! header   magic "MOORLOG\n" (8)  format u32  base position u64  crc32c of the 20 bytes before (u32)
//! frame*   length of kind and body u32   crc32c of (position u64, kind, body) u32   kind u8   body
//! ```
//!
//! The position of a frame is the base position of its segment plus its offset in the file; positions grow over all segments and are never used again.
//! As the position is in the checksum, a frame that is a leftover of something else, at another place, is never taken for a valid one.
//!
//! Frames come in groups, one per commit. The first frame of a group, kind [`KIND_GROUP`], says in its body up to which position (u64) everything was
//! on disk when the group was written. One group is in flight at a time, so after a crash the last group may be
//! torn in any way; all before it is whole. Therefore, where a frame is bad:
//!
//! - in a segment that is not the last, or before the checkpoint: damage;
//! - before the position that a later, valid group says was on disk: damage;
//! - else it is the torn end of what was never acknowledged: the segment is cut there.

use crate::wire::Malformed;

/// The format that this version writes, and the newest that it reads.
pub(crate) const FORMAT: u32 = 1;

/// Bytes of the header of a segment.
pub(crate) const SEGMENT_HEADER_BYTES: u64 = 24;

/// Bytes of a frame before its body: length, checksum, kind.
pub(crate) const FRAME_HEADER_BYTES: usize = 9;

/// The kind of the frame that opens a group.
pub(crate) const KIND_GROUP: u8 = 1;

/// Bytes of the frame that opens a group.
pub(crate) const GROUP_FRAME_BYTES: usize = FRAME_HEADER_BYTES + 8;

const MAGIC: [u8; 8] = *b"MOORLOG\n";

/// The name of the segment with this base position.
pub(crate) fn segment_name(base: u64) -> String {
    format!("{base:016x}.log")
}

/// The base position that a file name says, when it is the name of a segment.
pub(crate) fn segment_base(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    let base = u64::from_str_radix(digits, 16).ok()?;
    (segment_name(base) == name).then_some(base)
}

/// The header of the segment with this base position.
pub(crate) fn segment_header(base: u64) -> Vec<u8> {
    let mut header = Vec::with_capacity(SEGMENT_HEADER_BYTES as usize);
    header.extend_from_slice(&MAGIC);
    header.extend_from_slice(&FORMAT.to_le_bytes());
    header.extend_from_slice(&base.to_le_bytes());
    let checksum = crc32c::crc32c(&header);
    header.extend_from_slice(&checksum.to_le_bytes());
    header
}

/// What the first bytes of a segment say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SegmentHeader {
    /// A header that this version reads.
    Good,
    /// A header of a newer format.
    Newer(u32),
    /// No header, or one for another base position.
    Bad,
}

/// Judges the first bytes of a segment. The layout after the format may differ in a newer one, so the format is believed before the checksum.
pub(crate) fn check_segment_header(bytes: &[u8], base: u64) -> SegmentHeader {
    let Some((magic, rest)) = bytes.split_first_chunk::<8>() else { return SegmentHeader::Bad };
    let Some((format, _)) = rest.split_first_chunk::<4>() else { return SegmentHeader::Bad };
    let format = u32::from_le_bytes(*format);
    if *magic == MAGIC && format > FORMAT {
        return SegmentHeader::Newer(format);
    }
    if bytes.get(..SEGMENT_HEADER_BYTES as usize) == Some(&segment_header(base)) {
        SegmentHeader::Good
    } else {
        SegmentHeader::Bad
    }
}

/// Appends a frame whose first byte will be at `position`; `body` writes the body.
pub(crate) fn put_frame(into: &mut Vec<u8>, position: u64, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
    let start = into.len();
    into.extend_from_slice(&[0; FRAME_HEADER_BYTES - 1]);
    into.push(kind);
    body(into);
    seal_frame(into.get_mut(start..).unwrap_or_default(), position);
}

/// Fills in length and checksum of one whole frame.
pub(crate) fn seal_frame(frame: &mut [u8], position: u64) {
    let Some((header, content)) = frame.split_first_chunk_mut::<8>() else { return };
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
    let (length_field, checksum_field) = header.split_at_mut(4);
    length_field.copy_from_slice(&length.to_le_bytes());
    checksum_field.copy_from_slice(&checksum(position, content).to_le_bytes());
}

/// One valid frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// What the body is.
    pub(crate) kind: u8,
    /// The body.
    pub(crate) body: &'a [u8],
    /// The length of all of it in the segment.
    pub(crate) bytes: usize,
}

/// Why there is no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoFrame {
    /// It goes on beyond the bytes given, if its length is right: it needs this many.
    Beyond(usize),
    /// The checksum is wrong.
    Bad,
}

/// The frame at the front of `bytes`, which are at `position`.
pub(crate) fn parse_frame(bytes: &[u8], position: u64) -> Result<Frame<'_>, NoFrame> {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return Err(NoFrame::Beyond(FRAME_HEADER_BYTES)) };
    let Some((expected, content)) = rest.split_first_chunk::<4>() else {
        return Err(NoFrame::Beyond(FRAME_HEADER_BYTES));
    };
    let length = u32::from_le_bytes(*length) as usize;
    if length == 0 {
        return Err(NoFrame::Bad);
    }
    let content = content.get(..length).ok_or(NoFrame::Beyond(8 + length))?;
    if checksum(position, content) != u32::from_le_bytes(*expected) {
        return Err(NoFrame::Bad);
    }
    let (kind, body) = content.split_first().ok_or(NoFrame::Bad)?;
    Ok(Frame { kind: *kind, body, bytes: 8 + length })
}

/// Up to which position all was on disk when the group with this body was written.
pub(crate) fn on_disk_before(group_body: &[u8]) -> Result<u64, Malformed> {
    group_body.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes)).ok_or(Malformed)
}

/// The greatest position that any group in `bytes` says was on disk before it; 0 when there is no group. Groups are looked for at every byte, as
/// what comes before them cannot be trusted.
pub(crate) fn greatest_on_disk_before(bytes: &[u8], position: u64) -> u64 {
    let length = ((GROUP_FRAME_BYTES - 8) as u32).to_le_bytes();
    bytes
        .windows(GROUP_FRAME_BYTES)
        .enumerate()
        .filter(|(_, window)| window.starts_with(&length) && window.get(8) == Some(&KIND_GROUP))
        .filter_map(|(offset, window)| parse_frame(window, position + offset as u64).ok())
        .filter_map(|frame| on_disk_before(frame.body).ok())
        .max()
        .unwrap_or(0)
}

fn checksum(position: u64, content: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&position.to_le_bytes()), content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_comes_back_at_its_own_position_only() {
        let mut bytes = Vec::new();
        put_frame(&mut bytes, 77, 9, |into| into.extend_from_slice(b"body"));
        assert_eq!(parse_frame(&bytes, 77), Ok(Frame { kind: 9, body: b"body", bytes: bytes.len() }));
        assert_eq!(parse_frame(&bytes, 78), Err(NoFrame::Bad));
    }

    #[test]
    fn every_flipped_bit_of_a_frame_is_noticed() {
        let mut bytes = Vec::new();
        put_frame(&mut bytes, 77, 9, |into| into.extend_from_slice(b"body"));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(parse_frame(&flipped, 77).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn zeros_are_no_frame() {
        assert_eq!(parse_frame(&[0; 64], 0), Err(NoFrame::Bad));
    }

    #[test]
    fn names_and_bases_of_segments_belong_together() {
        assert_eq!(segment_base(&segment_name(0)), Some(0));
        assert_eq!(segment_base(&segment_name(0xabc)), Some(0xabc));
        assert_eq!(segment_base("abc.log"), None);
        assert_eq!(segment_base("checkpoint.redb"), None);
    }

    #[test]
    fn a_header_is_for_one_base_and_a_newer_format_is_told() {
        let mut header = segment_header(5);
        assert_eq!(check_segment_header(&header, 5), SegmentHeader::Good);
        assert_eq!(check_segment_header(&header, 6), SegmentHeader::Bad);
        assert_eq!(check_segment_header(&header[..10], 5), SegmentHeader::Bad);
        header[8] = 2;
        assert_eq!(check_segment_header(&header, 5), SegmentHeader::Newer(2));
    }

    #[test]
    fn a_group_behind_garbage_is_found() {
        let mut bytes = vec![7; 31];
        put_frame(&mut bytes, 1031, KIND_GROUP, |into| into.extend_from_slice(&1031u64.to_le_bytes()));
        assert_eq!(greatest_on_disk_before(&bytes, 1000), 1031);
        assert_eq!(greatest_on_disk_before(&bytes, 1001), 0);
    }
}
