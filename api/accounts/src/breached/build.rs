//! Building the file: the list is read once, in any order and of any size. What is in memory at a time is some 64 MiB of keys and one shard.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek as _, SeekFrom, Write};
use std::path::Path;

use tempfile::TempDir;
use xorf::BinaryFuse16;

use super::file::{ENTRY_BYTES, Entry, FIXED_BYTES, MAGIC, SHARD_BITS_MAX, VERSION, filter_bytes, shard_of};
use super::key_of;

/// Why a list could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Something could not be read or written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A line is not `HASH:COUNT`.
    #[error("line {line}: {what}")]
    Line {
        /// The line, from 1.
        line: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The filter over a shard could not be built.
    #[error("shard {0}: no filter could be built")]
    Filter(usize),
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The list is read: bytes so far, hashes so far.
    Reading(u64, u64),
    /// Filters are built: hashes so far, and of how many.
    Building(u64, u64),
}

/// What was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Built {
    /// Different hashes.
    pub hashes: u64,
    /// Lines that repeated one.
    pub repeated: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Hashes of a shard, on average: its filter has some 150 KB.
const SHARD_HASHES: u64 = 65_536;
/// Keys that are sorted in memory: 64 MiB.
const SORTED_MAX: u64 = 8 * 1024 * 1024;
const SPILLS: usize = 256;
const SPILL_BUFFER_BYTES: usize = 64 * 1024;
/// `HASH:COUNT` has 40 digits, a colon and at most 20.
const LINE_BYTES_MAX: u64 = 256;
const PROGRESS_EVERY: u64 = 1_000_000;

/// Builds the file `out` from lines of `HASH:COUNT` (SHA-1 in hexadecimal), in any order. It is there only once it is whole. Beside it are 8
/// bytes of temporary files for each hash meanwhile.
///
/// # Errors
/// A line that is none, or something can't be read or written.
pub fn build(from: impl Read, out: &Path, progress: &mut dyn FnMut(Progress)) -> Result<Built, BuildError> {
    let directory = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let spills = tempfile::Builder::new().prefix(".mooring-passwords-").tempdir_in(directory)?;
    let (spilled, lines) = spill_lines(from, &spills, progress)?;
    let shard_bits = shard_bits_for(lines);
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    let mut writer = ShardWriter::new(file.as_file_mut(), shard_bits)?;
    let mut hashes = 0;
    for spill in spilled {
        each_sorted(spill, 1, &spills, &mut |keys| {
            for key in keys {
                writer.add(*key)?;
            }
            hashes += keys.len() as u64;
            progress(Progress::Building(hashes, lines));
            Ok(())
        })?;
    }
    let bytes = writer.finish(hashes)?;
    file.as_file().sync_all()?;
    file.persist(out).map_err(|error| error.error)?;
    Ok(Built { hashes, repeated: lines - hashes, bytes })
}

/// As many bits as keep shards at their size, or below it.
fn shard_bits_for(hashes: u64) -> u32 {
    let shards = hashes.div_ceil(SHARD_HASHES).max(1).next_power_of_two();
    shards.trailing_zeros().min(SHARD_BITS_MAX)
}

/// Keys of one range, on disk.
struct Spill {
    file: File,
    keys: u64,
}

/// Spills that are filled, one for each value of a byte.
struct Spilling {
    writers: Vec<(BufWriter<File>, u64)>,
}

impl Spilling {
    fn begin(directory: &TempDir) -> io::Result<Self> {
        let writers = (0..SPILLS).map(|_| {
            let file = tempfile::tempfile_in(directory.path())?;
            Ok((BufWriter::with_capacity(SPILL_BUFFER_BYTES, file), 0))
        });
        Ok(Self { writers: writers.collect::<io::Result<_>>()? })
    }

    fn add(&mut self, range: u8, key: u64) -> io::Result<()> {
        match self.writers.get_mut(usize::from(range)) {
            Some((writer, keys)) => {
                *keys += 1;
                writer.write_all(&key.to_be_bytes())
            }
            None => Ok(()),
        }
    }

    fn finish(self) -> io::Result<Vec<Spill>> {
        let finished = self.writers.into_iter().map(|(writer, keys)| {
            let mut file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.seek(SeekFrom::Start(0))?;
            Ok(Spill { file, keys })
        });
        finished.collect()
    }
}

fn spill_lines(
    from: impl Read,
    directory: &TempDir,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Vec<Spill>, u64), BuildError> {
    let mut lines = BufReader::with_capacity(1024 * 1024, from);
    let mut spilling = Spilling::begin(directory)?;
    let (mut line, mut number, mut bytes, mut hashes) = (Vec::new(), 0, 0, 0);
    loop {
        line.clear();
        let read = lines.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? as u64;
        if read == 0 {
            break;
        }
        number += 1;
        bytes += read;
        let text = line.trim_ascii();
        if text.is_empty() {
            continue;
        }
        let hash = parse_line(text).map_err(|what| BuildError::Line { line: number, what })?;
        spilling.add(hash[0], key_of(&hash))?;
        hashes += 1;
        if hashes % PROGRESS_EVERY == 0 {
            progress(Progress::Reading(bytes, hashes));
        }
    }
    progress(Progress::Reading(bytes, hashes));
    Ok((spilling.finish()?, hashes))
}

fn parse_line(text: &[u8]) -> Result<[u8; 20], &'static str> {
    let (digits, rest) = text.split_at_checked(40).ok_or("shorter than the 40 digits of a SHA-1")?;
    let is_count = |rest: &[u8]| rest.strip_prefix(b":").is_some_and(|count| count.iter().all(u8::is_ascii_digit));
    if !rest.is_empty() && !is_count(rest) {
        return Err("not as HASH:COUNT");
    }
    let mut hash = [0; 20];
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: Option<&u8>| digit.and_then(|digit| char::from(*digit).to_digit(16));
        let (Some(high), Some(low)) = (digit(pair.first()), digit(pair.last())) else {
            return Err("not hexadecimal: the list has SHA-1 hashes, and not NTLM hashes or passwords");
        };
        *byte = u8::try_from(high << 4 | low).unwrap_or_default();
    }
    Ok(hash)
}

/// What is done with keys that are in order, and different.
type Taker<'a> = dyn FnMut(&[u64]) -> Result<(), BuildError> + 'a;

/// Hands over the keys of a spill in order. One that is too large for memory is spilled again by the next byte.
fn each_sorted(spill: Spill, depth: u32, directory: &TempDir, take: &mut Taker<'_>) -> Result<(), BuildError> {
    let mut keys = BufReader::with_capacity(1024 * 1024, spill.file);
    let mut bytes = [0; 8];
    if spill.keys > SORTED_MAX && depth < 4 {
        let mut spilling = Spilling::begin(directory)?;
        for _ in 0..spill.keys {
            keys.read_exact(&mut bytes)?;
            let range = bytes.get(depth as usize).copied().unwrap_or_default();
            spilling.add(range, u64::from_be_bytes(bytes))?;
        }
        drop(keys);
        return spilling.finish()?.into_iter().try_for_each(|spill| each_sorted(spill, depth + 1, directory, take));
    }
    let mut sorted = Vec::with_capacity(usize::try_from(spill.keys).unwrap_or_default());
    for _ in 0..spill.keys {
        keys.read_exact(&mut bytes)?;
        sorted.push(u64::from_be_bytes(bytes));
    }
    sorted.sort_unstable();
    sorted.dedup();
    take(&sorted)
}

/// Takes keys in order, and writes a shard when its last has come.
struct ShardWriter<'a> {
    file: BufWriter<&'a mut File>,
    shard_bits: u32,
    entries: Vec<Entry>,
    offset: u64,
    shard: usize,
    keys: Vec<u64>,
}

impl<'a> ShardWriter<'a> {
    fn new(file: &'a mut File, shard_bits: u32) -> io::Result<Self> {
        let header_bytes = (FIXED_BYTES + (ENTRY_BYTES << shard_bits) + 4) as u64;
        file.seek(SeekFrom::Start(header_bytes))?;
        let entries = vec![Entry::default(); 1 << shard_bits];
        Ok(Self { file: BufWriter::new(file), shard_bits, entries, offset: header_bytes, shard: 0, keys: Vec::new() })
    }

    fn add(&mut self, key: u64) -> Result<(), BuildError> {
        let shard = shard_of(key, self.shard_bits);
        if shard != self.shard {
            self.write_shard()?;
            self.shard = shard;
        }
        self.keys.push(key);
        Ok(())
    }

    fn write_shard(&mut self) -> Result<(), BuildError> {
        if self.keys.is_empty() {
            return Ok(());
        }
        let filter = BinaryFuse16::try_from(&self.keys).map_err(|_| BuildError::Filter(self.shard))?;
        let bytes = filter_bytes(&filter);
        let fingerprints = u32::try_from(filter.fingerprints.len()).map_err(|_| BuildError::Filter(self.shard))?;
        self.file.write_all(&bytes)?;
        if let Some(entry) = self.entries.get_mut(self.shard) {
            *entry = Entry { offset: self.offset, fingerprints, checksum: crc32c::crc32c(&bytes) };
        }
        self.offset += bytes.len() as u64;
        self.keys.clear();
        Ok(())
    }

    /// Writes the header, now that the table is known; gives the length of the file.
    fn finish(mut self, hashes: u64) -> Result<u64, BuildError> {
        self.write_shard()?;
        let mut header = Vec::with_capacity(FIXED_BYTES + self.entries.len() * ENTRY_BYTES + 4);
        header.extend(MAGIC);
        header.extend(VERSION.to_le_bytes());
        header.extend(self.shard_bits.to_le_bytes());
        header.extend(hashes.to_le_bytes());
        header.extend(self.entries.iter().flat_map(Entry::bytes));
        header.extend(crc32c::crc32c(&header).to_le_bytes());
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&header)?;
        self.file.flush()?;
        Ok(self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{BreachedList, OpenError, sha1};
    use super::*;

    fn built(text: &str) -> (TempDir, std::path::PathBuf, Built) {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("list");
        let built = build(text.as_bytes(), &out, &mut |_| {}).unwrap();
        (directory, out, built)
    }

    fn line(password: &str) -> String {
        let digits: String = sha1(password.as_bytes()).iter().map(|byte| format!("{byte:02X}")).collect();
        format!("{digits}:3\r\n")
    }

    #[test]
    fn what_is_on_the_list_is_found_in_any_order_and_case() {
        for count in [0, 1, 2, 3, 10, 1000] {
            let mut lines: Vec<String> = (0..count).map(|number| line(&format!("password {number}"))).collect();
            lines.reverse();
            let (_directory, out, built) = built(&(lines.concat() + &lines.concat().to_lowercase() + "\n"));
            assert_eq!((built.hashes, built.repeated), (count, count));
            let list = BreachedList::open(&out).unwrap();
            assert_eq!((list.hashes(), list.verify().unwrap()), (count, 1));
            for number in 0..count {
                assert!(list.contains(&sha1(format!("password {number}").as_bytes())).unwrap(), "{number}");
            }
            let wrong =
                (0..10_000).filter(|number| list.contains(&sha1(format!("other {number}").as_bytes())).unwrap());
            assert!(wrong.count() < 5);
        }
    }

    #[test]
    fn a_long_list_has_shards_and_few_false_positives() {
        let text: String = (0..200_000).map(|number| line(&number.to_string())).collect();
        let (_directory, out, built) = built(&text);
        let list = BreachedList::open(&out).unwrap();
        assert_eq!(list.verify().unwrap(), 4);
        assert!(built.bytes < 200_000 * 26 / 10, "{built:?}");
        let has = |text: String| list.contains(&sha1(text.as_bytes())).unwrap();
        assert!((0..200_000).step_by(199).all(|number: u32| has(number.to_string())));
        let wrong = (0..5_000).filter(|number| has(format!("x{number}"))).count();
        assert!(wrong < 4, "{wrong} of 5,000");
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        let directory = tempfile::tempdir().unwrap();
        for (text, says) in [
            ("x", "line 2: shorter"),
            ("password:3", "line 2: shorter"),
            (&"g".repeat(40), "line 2: not hexadecimal"),
            (&"a".repeat(41), "line 2: not as HASH:COUNT"),
            (&format!("{}:x", "a".repeat(40)), "line 2: not as HASH:COUNT"),
        ] {
            let out = directory.path().join("list");
            let error = build(format!("{}{text}", line("a")).as_bytes(), &out, &mut |_| {}).unwrap_err().to_string();
            assert!(error.starts_with(says), "{text}: {error}");
            assert!(!out.exists());
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is left behind");
    }

    #[test]
    fn attack_a_file_that_was_changed_or_cut_is_not_believed() {
        let (_directory, out, _) = built(&(0..100).map(|number| line(&number.to_string())).collect::<String>());
        let whole = std::fs::read(&out).unwrap();
        for at in (0..whole.len()).step_by(3) {
            let mut changed = whole.clone();
            changed[at] ^= 0x10;
            std::fs::write(&out, &changed).unwrap();
            let is_believed = BreachedList::open(&out).is_ok_and(|list| list.verify().is_ok());
            assert!(!is_believed, "byte {at}");
            std::fs::write(&out, &whole[..at]).unwrap();
            let is_believed = BreachedList::open(&out).is_ok_and(|list| list.verify().is_ok());
            assert!(!is_believed, "cut at {at}");
        }
        std::fs::write(&out, b"HASH:COUNT, and not a filter at all").unwrap();
        assert!(matches!(BreachedList::open(&out), Err(OpenError::Format("it begins otherwise"))));
    }
}
