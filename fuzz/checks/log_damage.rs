//! What can happen to files: bytes change, are lost, come twice; whole files go, come back from a backup, or change places. And what can't happen but by a
//! bug: a frame with a right checksum and wrong contents.

use std::sync::Arc;

use mooring_log::sim::FaultyDisk;
use mooring_log::{Disk, DiskFile};

use super::input::Input;

const SEGMENT_HEADER_BYTES: usize = 24;
const FRAME_HEADER_BYTES: usize = 8;

/// A file grows to this at most.
const FILE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What was done to a log.
#[derive(Default)]
pub(crate) struct Damage {
    /// A checksum was made right for what nobody wrote.
    pub(crate) is_forged: bool,
    pub(crate) touches_checkpoint: bool,
    removes_or_renames: bool,
}

impl Damage {
    pub(crate) const fn changes_files(&self) -> bool {
        self.removes_or_renames
    }

    /// Does one thing to one file.
    pub(crate) fn one(&mut self, disk: &FaultyDisk, earlier: &FaultyDisk, input: &mut Input<'_>) {
        let names = disk.list().unwrap();
        let choice = input.byte();
        let Some(place) = usize::from(choice >> 4).checked_rem(names.len()) else { return };
        let name = &names[place];
        let file = disk.open(name, false).unwrap();
        self.touches_checkpoint |= !name.ends_with(".log");
        let mut bytes = content(&file);
        match choice & 0x0F {
            0 => edit(&mut bytes, input, |byte, with| *byte = with),
            1 => edit(&mut bytes, input, |byte, with| *byte ^= 1 << (with % 8)),
            2 => bytes.truncate(offset(&bytes, input)),
            3 => bytes.extend(vec![input.byte(); usize::from(input.byte()) * 8]),
            4 => self.copy_range(&mut bytes, input, true),
            5 => self.copy_range(&mut bytes, input, false),
            6 => {
                let range = range(&bytes, input);
                drop(bytes.drain(range));
            }
            7 => {
                let range = range(&bytes, input);
                bytes[range].fill(0);
            }
            8 => {
                let (at, length) = (offset(&bytes, input), usize::from(input.byte()));
                let with = input.bytes(length);
                bytes.truncate(at.max(bytes.len().saturating_sub(with.len())));
                let end = (at + with.len()).min(bytes.len());
                bytes.splice(at.min(end)..end, with.iter().copied());
            }
            9 => {
                self.removes_or_renames = true;
                return disk.remove(name).unwrap();
            }
            10 => {
                self.removes_or_renames = true;
                let to = names[usize::from(input.byte()) % names.len()].clone();
                self.touches_checkpoint |= !to.ends_with(".log");
                return disk.rename(name, &to).unwrap();
            }
            11 => {
                let old = earlier.list().unwrap();
                let from = &old[usize::from(input.byte()) % old.len()];
                self.touches_checkpoint |= !from.ends_with(".log");
                self.removes_or_renames = true;
                let kept = content(&earlier.open(from, false).unwrap());
                return replace(&disk.open(from, true).unwrap(), &kept);
            }
            12 => {
                let other = disk.open(&names[usize::from(input.byte()) % names.len()], false).unwrap();
                bytes = content(&other);
            }
            13 => self.forge_change(name, &mut bytes, input),
            14 => self.forge_frame(name, &mut bytes, input),
            _ => bytes.clear(),
        }
        bytes.truncate(FILE_BYTES_MAX);
        replace(&file, &bytes);
    }

    /// Bytes come again, over others or between them.
    fn copy_range(&mut self, bytes: &mut Vec<u8>, input: &mut Input<'_>, over: bool) {
        let from = range(bytes, input);
        let copied = bytes[from].to_vec();
        let at = offset(bytes, input);
        let end = if over { (at + copied.len()).min(bytes.len()) } else { at };
        bytes.splice(at..end, copied);
    }

    /// Changes bytes of a frame and makes its checksum right.
    fn forge_change(&mut self, name: &str, bytes: &mut [u8], input: &mut Input<'_>) {
        let Some(base) = base_of(name) else { return };
        let frames = frames(bytes);
        let Some(place) = usize::from(input.byte()).checked_rem(frames.len()) else { return };
        let frame = &mut bytes[frames[place].clone()];
        for _ in 0..=input.byte() % 4 {
            let at = FRAME_HEADER_BYTES + usize::from(input.byte()) % (frame.len() - FRAME_HEADER_BYTES);
            frame[at] = input.byte();
        }
        seal(frame, base + frames[place].start as u64);
        self.is_forged = true;
    }

    /// Appends a frame of the input's own.
    fn forge_frame(&mut self, name: &str, bytes: &mut Vec<u8>, input: &mut Input<'_>) {
        let Some(base) = base_of(name) else { return };
        let start = bytes.len();
        let length = 1 + usize::from(input.byte());
        bytes.extend([0; FRAME_HEADER_BYTES]);
        let body = input.bytes(length);
        bytes.extend(if body.is_empty() { &[0] } else { body });
        seal(&mut bytes[start..], base + start as u64);
        self.is_forged = true;
    }
}

fn content(file: &Arc<dyn DiskFile>) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_at(0, &mut bytes).unwrap();
    bytes
}

fn replace(file: &Arc<dyn DiskFile>, bytes: &[u8]) {
    file.set_len(bytes.len() as u64).unwrap();
    file.write_at(0, bytes).unwrap();
    file.sync().unwrap();
}

fn offset(bytes: &[u8], input: &mut Input<'_>) -> usize {
    let (high, low) = (usize::from(input.byte()), usize::from(input.byte()));
    let offset = high << 8 | low;
    // Of a long file, the ends of blocks and what is near them.
    let offset = if bytes.len() > 1 << 16 { offset << 4 | usize::from(input.byte() & 0x0F) } else { offset };
    offset % (bytes.len() + 1)
}

fn range(bytes: &[u8], input: &mut Input<'_>) -> std::ops::Range<usize> {
    let start = offset(bytes, input);
    start..(start + 1 + usize::from(input.byte()) * 2).min(bytes.len()).max(start)
}

fn edit(bytes: &mut [u8], input: &mut Input<'_>, with: impl Fn(&mut u8, u8)) {
    let at = offset(bytes, input);
    let value = input.byte();
    if let Some(byte) = bytes.get_mut(at) {
        with(byte, value);
    }
}

fn base_of(name: &str) -> Option<u64> {
    u64::from_str_radix(name.strip_suffix(".log")?, 16).ok()
}

/// Where the frames of a segment are, by their lengths.
fn frames(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut frames = Vec::new();
    let mut start = SEGMENT_HEADER_BYTES;
    while let Some(length) = bytes.get(start..).and_then(<[u8]>::first_chunk::<4>) {
        let end = start.saturating_add(FRAME_HEADER_BYTES).saturating_add(u32::from_le_bytes(*length) as usize);
        if end > bytes.len() || end == start + FRAME_HEADER_BYTES {
            break;
        }
        frames.push(start..end);
        start = end;
    }
    frames
}

fn seal(frame: &mut [u8], position: u64) {
    let (header, content) = frame.split_at_mut(FRAME_HEADER_BYTES);
    let sum = crc32c::crc32c_append(crc32c::crc32c(&position.to_le_bytes()), content);
    header[..4].copy_from_slice(&u32::try_from(content.len()).unwrap().to_le_bytes());
    header[4..].copy_from_slice(&sum.to_le_bytes());
}
