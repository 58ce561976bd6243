//! One life of the server, from its start to its SIGKILL.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the actors of a round share.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) port: u16,
    /// Seeds the choices of this round.
    pub(crate) seed: u64,
    killed: AtomicBool,
}

impl Round {
    pub(crate) fn new(port: u16, seed: u64) -> Self {
        Self { port, seed, killed: AtomicBool::new(false) }
    }

    /// To be called before the kill: from now on a lost connection is what was to be expected.
    pub(crate) fn end(&self) {
        self.killed.store(true, Ordering::SeqCst);
    }

    /// Does something until the server is gone. A connection that is lost before is the server's fault.
    pub(crate) fn until_killed(&self, name: &str, mut step: impl FnMut() -> io::Result<()>) {
        loop {
            if let Err(error) = step() {
                assert!(self.killed.load(Ordering::SeqCst), "{name}: the connection was lost without a kill: {error}");
                return;
            }
        }
    }
}
