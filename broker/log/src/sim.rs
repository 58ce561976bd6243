//! A disk in memory that behaves as badly as disks do: what was not synced may be lost, torn at any byte, or kept out of order when the power goes;
//! any operation can fail. The same seed gives the same behaviour.
//!
//! ```
//! use mooring_log::{Log, LogOptions, sim::FaultyDisk};
//!
//! let disk = FaultyDisk::new();
//! let (mut log, _) = Log::open(Box::new(disk.clone()), LogOptions::default())?;
//! // ... append and commit; then the power goes:
//! drop(log);
//! let after = disk.crash(42);
//! let (log, recovered) = Log::open(Box::new(after), LogOptions::default())?;
//! # Ok::<(), mooring_log::LogError>(())
//! ```

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, DiskFile};

/// What a failing operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// This write finds no room, after some of its bytes; later ones find some again. Syncs are not affected.
    DiskFull,
    /// This write or sync fails. After a failed sync, what was not synced before may never reach the disk, whatever later syncs say.
    Io,
    /// The power goes in the middle of it: this and every later operation fails.
    PowerOff,
}

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct FaultyDisk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<usize, FileState>,
    /// The directory as processes see it.
    names: BTreeMap<String, usize>,
    /// The directory as it is on disk.
    synced_names: BTreeMap<String, usize>,
    next_file: usize,
    operations: u64,
    faults: BTreeMap<u64, Fault>,
    is_off: bool,
}

#[derive(Clone, Debug, Default)]
struct FileState {
    /// As processes see it.
    content: Vec<u8>,
    /// As it is on disk for sure.
    synced: Vec<u8>,
    /// What was done since, in order; each of it may be on disk or not.
    unsynced: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

impl FaultyDisk {
    /// An empty disk without faults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The operation with this number fails; operations that change something are counted from 0.
    pub fn fail_at(&self, operation: u64, fault: Fault) {
        self.state().faults.insert(operation, fault);
    }

    /// How many operations that change something there were.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// The disk as it may look after the power went now. This disk refuses everything from here on.
    #[must_use]
    pub fn crash(&self, seed: u64) -> Self {
        let mut state = self.state();
        state.is_off = true;
        let mut random = Random(seed);
        // Each creation, removal and renaming since the last sync of the directory may be on disk or not.
        let mut names = state.synced_names.clone();
        let all: Vec<&String> = state.names.keys().chain(state.synced_names.keys()).collect();
        for name in all {
            if state.names.get(name) != state.synced_names.get(name) && random.one_in(2) {
                match state.names.get(name) {
                    Some(file) => names.insert(name.clone(), *file),
                    None => names.remove(name),
                };
            }
        }
        let mut after = State { next_file: state.next_file, ..State::default() };
        for file in names.values() {
            if let Some(before) = state.files.get(file) {
                let content = before.after_crash(&mut random);
                after.files.insert(*file, FileState { synced: content.clone(), content, ..FileState::default() });
            }
        }
        after.synced_names = names.clone();
        after.names = names;
        Self(Arc::new(Mutex::new(after)))
    }

    /// The disk as it looks when the process is killed and the system goes on. This disk refuses everything from here on.
    #[must_use]
    pub fn kill(&self) -> Self {
        let mut state = self.state();
        state.is_off = true;
        let files = std::mem::take(&mut state.files);
        Self(Arc::new(Mutex::new(State {
            files,
            names: state.names.clone(),
            synced_names: state.synced_names.clone(),
            next_file: state.next_file,
            ..State::default()
        })))
    }

    /// Another disk that is as this one is now, without its faults to come.
    #[must_use]
    pub fn copy(&self) -> Self {
        let state = self.state();
        Self(Arc::new(Mutex::new(State {
            files: state.files.clone(),
            names: state.names.clone(),
            synced_names: state.synced_names.clone(),
            next_file: state.next_file,
            ..State::default()
        })))
    }

    /// Flips one bit of a file, on disk and in memory. False when the file is not so long.
    pub fn flip_bit(&self, name: &str, bit: u64) -> bool {
        let mut state = self.state();
        let Some(file) = state.names.get(name).copied() else { return false };
        let Some(file) = state.files.get_mut(&file) else { return false };
        let index = usize::try_from(bit / 8).unwrap_or(usize::MAX);
        let mask = 1u8 << (bit % 8);
        let mut flipped = false;
        for content in [&mut file.content, &mut file.synced] {
            if let Some(byte) = content.get_mut(index) {
                *byte ^= mask;
                flipped = true;
            }
        }
        flipped
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn check_power(&self) -> io::Result<()> {
        if self.is_off { Err(io::Error::other("the power is off")) } else { Ok(()) }
    }

    /// Counts an operation that changes something, and says whether it fails.
    fn begin(&mut self) -> io::Result<Option<Fault>> {
        self.check_power()?;
        let fault = self.faults.remove(&self.operations);
        self.operations += 1;
        self.is_off |= fault == Some(Fault::PowerOff);
        Ok(fault)
    }

    /// Likewise for operations of which nothing happens when they fail.
    fn begin_whole(&mut self) -> io::Result<()> {
        self.begin()?.map_or(Ok(()), |fault| Err(fault.error()))
    }

    fn file(&mut self, file: usize) -> io::Result<&mut FileState> {
        self.files.get_mut(&file).ok_or_else(|| io::Error::other("no such file"))
    }
}

impl Fault {
    fn error(self) -> io::Error {
        match self {
            Self::DiskFull => io::Error::from(io::ErrorKind::StorageFull),
            Self::Io => io::Error::other("the disk failed"),
            Self::PowerOff => io::Error::other("the power is off"),
        }
    }
}

impl FileState {
    fn apply(&mut self, change: Change) {
        change.apply(&mut self.content);
        self.unsynced.push(change);
    }

    fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            change.apply(&mut self.synced);
        }
    }

    /// The system writes what it can and forgets the rest, while processes go on seeing all of it: a later sync says that all is well.
    fn fail_to_sync(&mut self, random: &mut Random) {
        self.synced = self.after_crash(random);
        self.unsynced.clear();
    }

    fn after_crash(&self, random: &mut Random) -> Vec<u8> {
        let mut content = self.synced.clone();
        for change in &self.unsynced {
            match random.below(4) {
                0 => {}
                1 => change.torn(random).iter().for_each(|part| part.apply(&mut content)),
                _ => change.apply(&mut content),
            }
        }
        content
    }
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Length(length) => content.resize(*length, 0),
            Self::Write { offset, bytes } => {
                let end = offset + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                if let Some(target) = content.get_mut(*offset..end) {
                    target.copy_from_slice(bytes);
                }
            }
        }
    }

    /// Some of a write: the beginning, the end, or both without what is between. Where nothing is written the old bytes stay.
    fn torn(&self, random: &mut Random) -> Vec<Self> {
        let Self::Write { offset, bytes } = self else { return vec![self.clone()] };
        let from = random.below(bytes.len() as u64 + 1) as usize;
        let to = from + random.below((bytes.len() - from) as u64 + 1) as usize;
        let part = |from: usize, to: usize| Self::Write {
            offset: offset + from,
            bytes: bytes.get(from..to).unwrap_or_default().to_vec(),
        };
        match random.below(3) {
            0 => vec![part(0, from)],
            1 => vec![part(0, from), part(to, bytes.len())],
            _ => vec![part(from, bytes.len())],
        }
    }
}

impl Disk for FaultyDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let state = self.state();
        state.check_power()?;
        Ok(state.names.keys().cloned().collect())
    }

    fn open(&self, name: &str, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        state.check_power()?;
        let known = state.names.get(name).copied();
        let file = match known {
            Some(file) => file,
            None if create => {
                state.begin_whole()?;
                let file = state.next_file;
                state.next_file += 1;
                state.files.insert(file, FileState::default());
                state.names.insert(name.to_owned(), file);
                file
            }
            None => return Err(io::Error::from(io::ErrorKind::NotFound)),
        };
        Ok(Arc::new(FaultyFile { disk: self.clone(), file }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.begin_whole()?;
        state.names.remove(name).map(drop).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.begin_whole()?;
        let file = state.names.remove(from).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        state.names.insert(to.to_owned(), file);
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.state();
        state.begin_whole()?;
        state.synced_names = state.names.clone();
        Ok(())
    }
}

#[derive(Debug)]
struct FaultyFile {
    disk: FaultyDisk,
    file: usize,
}

impl DiskFile for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        let mut state = self.disk.state();
        state.check_power()?;
        Ok(state.file(self.file)?.content.len() as u64)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        state.check_power()?;
        let content = &state.file(self.file)?.content;
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = offset.saturating_add(into.len());
        let bytes = content.get(offset..end).ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        into.copy_from_slice(bytes);
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        let fault = state.begin()?;
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let change = Change::Write { offset, bytes: bytes.to_vec() };
        let Some(fault) = fault else {
            state.file(self.file)?.apply(change);
            return Ok(());
        };
        // How much of it was written follows from the number of the operation, so that the same run fails in the same way.
        let mut random = Random(state.operations);
        for part in change.torn(&mut random) {
            state.file(self.file)?.apply(part);
        }
        Err(fault.error())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.begin_whole()?;
        state.file(self.file)?.apply(Change::Length(usize::try_from(length).unwrap_or(usize::MAX)));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        let fault = state.begin()?;
        let mut random = Random(state.operations);
        let file = state.file(self.file)?;
        match fault {
            None | Some(Fault::DiskFull) => {
                file.sync();
                Ok(())
            }
            Some(fault) => {
                file.fail_to_sync(&mut random);
                Err(fault.error())
            }
        }
    }
}

/// SplitMix64: small, and the same everywhere.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.next() % end }
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}
