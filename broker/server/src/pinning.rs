//! Which core each shard stays on.

use std::fmt;

/// Whether shards stay on cores of their own. A thread that stays keeps what it knows in the caches of its core; one that does not leaves the choice to the
/// kernel, which is better where other programs are busy on the same cores.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Pinning {
    /// The kernel chooses.
    #[default]
    Free,
    /// Each shard stays on one of the cores that the process may use, in their order; again from the first when there are more shards.
    Each,
    /// The same with these cores, by the kernel's numbers.
    Cores(Vec<usize>),
}

/// A core that the process may not use, or that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreNotAllowed {
    /// The kernel's number of it.
    pub core: usize,
}

impl fmt::Display for CoreNotAllowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "core {} is not among those that the process may use", self.core)
    }
}

impl Pinning {
    /// The core of each shard, among those that may be used.
    fn cores(&self, shards: u16, allowed: &[usize]) -> Result<Vec<Option<usize>>, CoreNotAllowed> {
        let chosen = match self {
            Self::Free => &[][..],
            Self::Each => allowed,
            Self::Cores(cores) => cores,
        };
        if let Some(core) = chosen.iter().copied().find(|core| !allowed.contains(core)) {
            return Err(CoreNotAllowed { core });
        }
        let in_turn = chosen.iter().copied().map(Some).cycle();
        Ok(in_turn.chain(std::iter::repeat(None)).take(shards.into()).collect())
    }

    /// The core of each shard of this process.
    pub(crate) fn cores_here(&self, shards: u16) -> Result<Vec<Option<usize>>, CoreNotAllowed> {
        match self {
            Self::Free => Ok(vec![None; shards.into()]),
            Self::Each | Self::Cores(_) => self.cores(shards, &os::allowed()),
        }
    }
}

/// Keeps this thread on a core. One that the process has lost meanwhile is as if none had been asked for.
pub(crate) fn stay_on(core: Option<usize>) {
    if let Some(core) = core
        && let Err(error) = os::stay_on(core)
    {
        tracing::warn!(core, %error, "the shard is not kept on its core");
    }
}

#[cfg(target_os = "linux")]
mod os {
    use std::io;

    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    pub(super) fn allowed() -> Vec<usize> {
        let set = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
        (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect()
    }

    pub(super) fn stay_on(core: usize) -> io::Result<()> {
        let mut set = CpuSet::new();
        set.set(core);
        Ok(sched_setaffinity(None, &set)?)
    }
}

/// Elsewhere no core can be chosen.
#[cfg(not(target_os = "linux"))]
mod os {
    use std::io;

    pub(super) fn allowed() -> Vec<usize> {
        Vec::new()
    }

    pub(super) fn stay_on(_: usize) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether so many shards get these cores, of those that may be used.
    fn check(pinning: &Pinning, allowed: &[usize], expected: Result<&[Option<usize>], usize>) {
        let cores = pinning.cores(3, allowed);
        assert_eq!(cores, expected.map(<[_]>::to_vec).map_err(|core| CoreNotAllowed { core }));
    }

    #[test]
    fn shards_take_cores_in_turn() {
        check(&Pinning::Free, &[0, 1], Ok(&[None; 3]));
        check(&Pinning::Each, &[0, 1, 2, 3], Ok(&[Some(0), Some(1), Some(2)]));
        check(&Pinning::Each, &[4, 6], Ok(&[Some(4), Some(6), Some(4)]));
        check(&Pinning::Each, &[], Ok(&[None; 3]));
        check(&Pinning::Cores(vec![6]), &[4, 6], Ok(&[Some(6); 3]));
        check(&Pinning::Cores(vec![4, 5]), &[4, 6], Err(5));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_thread_stays_on_the_core_that_it_is_given() {
        let core = os::allowed()[0];
        let stays = std::thread::spawn(move || {
            stay_on(Some(core));
            os::allowed()
        });
        assert_eq!(stays.join().unwrap(), [core]);
    }
}
