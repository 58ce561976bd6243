//! The file: a header with a table of shards, and the shards. All numbers are little-endian.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `MOORPWF` and a zero |
//! | 4 | version, 1 |
//! | 4 | how many of a hash's first bits name its shard |
//! | 8 | how many hashes there are |
//! | 16 for each shard | where it begins, how many fingerprints it has, its CRC-32C |
//! | 4 | CRC-32C of all the above |
//!
//! A shard is the filter's seed (8), segment length, its mask, and the length of all segments (4 each), and the fingerprints (2 each).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use xorf::{BinaryFuse16, Descriptor, Filter as _};

use super::key_of;

pub(super) const MAGIC: &[u8; 8] = b"MOORPWF\0";
pub(super) const VERSION: u32 = 1;
pub(super) const FIXED_BYTES: usize = 24;
pub(super) const ENTRY_BYTES: usize = 16;
pub(super) const DESCRIPTOR_BYTES: usize = 20;
/// More shards than this gain nothing, and their table is kept in memory.
pub(super) const SHARD_BITS_MAX: u32 = 16;
/// The most fingerprints of a shard that is read: 128 MiB.
const FINGERPRINTS_MAX: u32 = 64 * 1024 * 1024;

/// Where a shard is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) offset: u64,
    /// None in a shard without hashes.
    pub(super) fingerprints: u32,
    pub(super) checksum: u32,
}

/// Why a file is no list of breached passwords.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file can't be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is something else, or damaged.
    #[error("not a list of breached passwords made by `mooring passwords build`: {0}")]
    Format(&'static str),
}

/// A list that can be asked. Only its table is in memory.
#[derive(Debug)]
pub struct BreachedList {
    file: File,
    shard_bits: u32,
    hashes: u64,
    entries: Box<[Entry]>,
}

impl BreachedList {
    /// Opens a file, and checks its header.
    ///
    /// # Errors
    /// It can't be read, or is not such a file.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let file = File::open(path)?;
        let mut header = vec![0; FIXED_BYTES];
        file.read_exact_at(&mut header, 0).map_err(|_| OpenError::Format("it is too short"))?;
        let fixed = Fixed::parse(&header).ok_or(OpenError::Format("it begins otherwise"))?;
        if fixed.version != VERSION {
            return Err(OpenError::Format("its version is not known: build it anew"));
        }
        if fixed.shard_bits > SHARD_BITS_MAX {
            return Err(OpenError::Format("its header is damaged"));
        }
        let table_bytes = ENTRY_BYTES << fixed.shard_bits;
        header.resize(FIXED_BYTES + table_bytes + 4, 0);
        file.read_exact_at(&mut header, 0).map_err(|_| OpenError::Format("it is too short"))?;
        let (covered, checksum) = header.split_last_chunk::<4>().ok_or(OpenError::Format("it is too short"))?;
        if crc32c::crc32c(covered) != u32::from_le_bytes(*checksum) {
            return Err(OpenError::Format("its header is damaged"));
        }
        let entries = covered.get(FIXED_BYTES..).unwrap_or_default().chunks_exact(ENTRY_BYTES).filter_map(Entry::parse);
        Ok(Self { entries: entries.collect(), file, shard_bits: fixed.shard_bits, hashes: fixed.hashes })
    }

    /// How many hashes it was built from.
    #[must_use]
    pub const fn hashes(&self) -> u64 {
        self.hashes
    }

    /// Whether the list has the password with this SHA-1; yes, too, for about one in 65,536 that it has not. Reads the disk: nothing for a
    /// reactor's thread.
    ///
    /// # Errors
    /// The file can't be read any more, or is damaged there.
    pub fn contains(&self, sha1: &[u8; 20]) -> io::Result<bool> {
        let key = key_of(sha1);
        match self.shard(shard_of(key, self.shard_bits))? {
            Some(filter) => Ok(filter.contains(&key)),
            None => Ok(false),
        }
    }

    /// Reads all of it, and checks each checksum; says how many shards these were.
    ///
    /// # Errors
    /// The first shard that is damaged.
    pub fn verify(&self) -> io::Result<usize> {
        for number in 0..self.entries.len() {
            self.shard(number)?;
        }
        Ok(self.entries.len())
    }

    fn shard(&self, number: usize) -> io::Result<Option<BinaryFuse16>> {
        let damaged = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("shard {number}: {what}"));
        let entry = *self.entries.get(number).ok_or_else(|| damaged("not in the table"))?;
        if entry.fingerprints == 0 {
            return Ok(None);
        }
        if entry.fingerprints > FINGERPRINTS_MAX {
            return Err(damaged("longer than any shard"));
        }
        let mut bytes = vec![0; DESCRIPTOR_BYTES + 2 * entry.fingerprints as usize];
        self.file.read_exact_at(&mut bytes, entry.offset)?;
        if crc32c::crc32c(&bytes) != entry.checksum {
            return Err(damaged("the checksum is wrong"));
        }
        parse_filter(&bytes).map(Some).ok_or_else(|| damaged("no filter"))
    }
}

struct Fixed {
    version: u32,
    shard_bits: u32,
    hashes: u64,
}

impl Fixed {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (version, rest) = rest.split_first_chunk()?;
        let (shard_bits, rest) = rest.split_first_chunk()?;
        let (hashes, _) = rest.split_first_chunk()?;
        Some(Self {
            version: u32::from_le_bytes(*version),
            shard_bits: u32::from_le_bytes(*shard_bits),
            hashes: u64::from_le_bytes(*hashes),
        })
    }
}

impl Entry {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (offset, rest) = bytes.split_first_chunk()?;
        let (fingerprints, rest) = rest.split_first_chunk()?;
        let (checksum, _) = rest.split_first_chunk()?;
        Some(Self {
            offset: u64::from_le_bytes(*offset),
            fingerprints: u32::from_le_bytes(*fingerprints),
            checksum: u32::from_le_bytes(*checksum),
        })
    }

    pub(super) fn bytes(&self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..8].copy_from_slice(&self.offset.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.fingerprints.to_le_bytes());
        bytes[12..].copy_from_slice(&self.checksum.to_le_bytes());
        bytes
    }
}

/// Which shard a key is in: the number that its first bits are.
pub(super) fn shard_of(key: u64, shard_bits: u32) -> usize {
    // A shift by 64 would be none.
    key.checked_shr(u64::BITS - shard_bits).and_then(|prefix| usize::try_from(prefix).ok()).unwrap_or(0)
}

pub(super) fn filter_bytes(filter: &BinaryFuse16) -> Vec<u8> {
    let Descriptor { seed, segment_length, segment_length_mask, segment_count_length } = filter.descriptor;
    let mut bytes = Vec::with_capacity(DESCRIPTOR_BYTES + 2 * filter.fingerprints.len());
    bytes.extend(seed.to_le_bytes());
    for number in [segment_length, segment_length_mask, segment_count_length] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(filter.fingerprints.iter().flat_map(|fingerprint| fingerprint.to_le_bytes()));
    bytes
}

fn parse_filter(bytes: &[u8]) -> Option<BinaryFuse16> {
    let (seed, rest) = bytes.split_first_chunk()?;
    let (segment_length, rest) = rest.split_first_chunk()?;
    let (mask, rest) = rest.split_first_chunk()?;
    let (count_length, rest) = rest.split_first_chunk()?;
    let (pairs, _) = rest.as_chunks();
    let descriptor = Descriptor {
        seed: u64::from_le_bytes(*seed),
        segment_length: u32::from_le_bytes(*segment_length),
        segment_length_mask: u32::from_le_bytes(*mask),
        segment_count_length: u32::from_le_bytes(*count_length),
    };
    let filter =
        BinaryFuse16 { descriptor, fingerprints: pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect() };
    is_consistent(&filter).then_some(filter)
}

/// Whether no key can lead the filter beyond its fingerprints: it looks at three places, each at most two segments behind where the first can be.
fn is_consistent(filter: &BinaryFuse16) -> bool {
    let Descriptor { segment_length, segment_length_mask, segment_count_length, .. } = filter.descriptor;
    let needed = u64::from(segment_count_length) + 2 * u64::from(segment_length);
    segment_length.is_power_of_two()
        && segment_length_mask == segment_length - 1
        && segment_count_length > 0
        && segment_count_length.is_multiple_of(segment_length)
        && needed <= filter.fingerprints.len() as u64
}
