//! How many may be connected, from one address and in all, and how many may be on their way in.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::config::ConnectionLimits;

/// The doorkeeper of all listeners.
#[derive(Debug)]
pub(crate) struct Admission {
    limits: ConnectionLimits,
    state: Mutex<State>,
    /// A handshake slot became free.
    freed: Notify,
}

#[derive(Debug, Default)]
struct State {
    connections: usize,
    per_address: HashMap<IpAddr, usize>,
    handshakes: BTreeMap<u64, Handshake>,
    next_handshake: u64,
}

#[derive(Debug)]
struct Handshake {
    since: Instant,
    silent: bool,
    evict: Arc<Notify>,
}

/// One of the connections that are counted, for as long as it is held.
#[derive(Debug)]
pub(crate) struct Admitted {
    admission: Arc<Admission>,
    address: IpAddr,
}

/// One of the connections on their way in, for as long as it is held.
#[derive(Debug)]
pub(crate) struct HandshakeSlot {
    admission: Arc<Admission>,
    number: u64,
    evict: Arc<Notify>,
}

/// Why a connection is closed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    Connections,
    Address,
}

impl Full {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections_max",
            Self::Address => "per_address_max",
        }
    }
}

impl Admission {
    pub(crate) fn new(limits: ConnectionLimits) -> Self {
        Self { limits, state: Mutex::default(), freed: Notify::new() }
    }

    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Admitted, Full> {
        let mut state = self.lock();
        if state.connections >= self.limits.connections_max {
            return Err(Full::Connections);
        }
        let from_address = state.per_address.entry(address).or_default();
        if *from_address >= self.limits.per_address_max {
            return Err(Full::Address);
        }
        *from_address += 1;
        state.connections += 1;
        Ok(Admitted { admission: Arc::clone(self), address })
    }

    /// Waits for room among the handshakes in flight, and makes it where one is silent or slow for too long.
    pub(crate) async fn handshake_slot(self: &Arc<Self>) -> HandshakeSlot {
        loop {
            let freed = self.freed.notified();
            match self.try_handshake_slot() {
                Ok(slot) => return slot,
                Err(patience) => {
                    let _ = tokio::time::timeout(patience, freed).await;
                }
            }
        }
    }

    /// The slot, or how long until somebody can be sent away for it.
    fn try_handshake_slot(self: &Arc<Self>) -> Result<HandshakeSlot, Duration> {
        let mut state = self.lock();
        if state.handshakes.len() >= self.limits.handshakes_max.max(1) {
            let number = self.least_worth(&state)?;
            if let Some(handshake) = state.handshakes.remove(&number) {
                handshake.evict.notify_one();
            }
        }
        let number = state.next_handshake;
        state.next_handshake += 1;
        let evict = Arc::new(Notify::new());
        let handshake = Handshake { since: Instant::now(), silent: true, evict: Arc::clone(&evict) };
        state.handshakes.insert(number, handshake);
        Ok(HandshakeSlot { admission: Arc::clone(self), number, evict })
    }

    /// The oldest that has sent nothing, else the oldest, when they had their time; numbers are in the order of age.
    fn least_worth(&self, state: &State) -> Result<u64, Duration> {
        let silent_min = Duration::from_millis(self.limits.silent_ms_min);
        let unfinished_min = Duration::from_millis(self.limits.unfinished_ms_min);
        let candidates = [
            (state.handshakes.iter().find(|(_, handshake)| handshake.silent), silent_min),
            (state.handshakes.iter().next(), unfinished_min),
        ];
        let mut patience = unfinished_min;
        for ((number, handshake), time_min) in candidates.into_iter().filter_map(|(found, min)| Some((found?, min))) {
            match time_min.checked_sub(handshake.since.elapsed()) {
                None | Some(Duration::ZERO) => return Ok(*number),
                Some(left) => patience = patience.min(left),
            }
        }
        Err(patience)
    }

    /// Connections now.
    pub(crate) fn connections(&self) -> usize {
        self.lock().connections
    }

    /// Handshakes in flight now.
    pub(crate) fn handshakes(&self) -> usize {
        self.lock().handshakes.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HandshakeSlot {
    /// The peer has sent something.
    pub(crate) fn heard(&self) {
        if let Some(handshake) = self.admission.lock().handshakes.get_mut(&self.number) {
            handshake.silent = false;
        }
    }

    /// Waits until the slot is needed for somebody else.
    pub(crate) async fn evicted(&self) {
        self.evict.notified().await;
    }
}

impl Drop for HandshakeSlot {
    fn drop(&mut self) {
        self.admission.lock().handshakes.remove(&self.number);
        self.admission.freed.notify_waiters();
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut state = self.admission.lock();
        state.connections = state.connections.saturating_sub(1);
        if let Some(count) = state.per_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                state.per_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn admission(limits: ConnectionLimits) -> Arc<Admission> {
        Arc::new(Admission::new(limits))
    }

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

    #[test]
    fn connections_are_counted_in_all_and_by_address_while_they_are_held() {
        let admission = admission(ConnectionLimits { connections_max: 3, per_address_max: 2, ..Default::default() });
        let first = admission.admit(HERE).unwrap();
        let second = admission.admit(HERE).unwrap();
        assert_eq!(admission.admit(HERE).unwrap_err(), Full::Address);
        let third = admission.admit(THERE).unwrap();
        drop(first);
        let fourth = admission.admit(HERE).unwrap();
        assert_eq!(admission.admit(THERE).unwrap_err(), Full::Connections);
        drop((second, third, fourth));
        assert_eq!(admission.connections(), 0);
        assert!(admission.lock().per_address.is_empty(), "an address that left costs nothing");
    }

    #[test]
    fn the_oldest_silent_handshake_makes_room_before_one_that_has_spoken() {
        let limits =
            ConnectionLimits { handshakes_max: 2, silent_ms_min: 0, unfinished_ms_min: 60_000, ..Default::default() };
        let admission = admission(limits);
        let spoke = admission.try_handshake_slot().unwrap();
        spoke.heard();
        let silent = admission.try_handshake_slot().unwrap();
        let new = admission.try_handshake_slot().unwrap();
        let in_flight: Vec<_> = admission.lock().handshakes.keys().copied().collect();
        assert_eq!(in_flight, [spoke.number, new.number]);
        drop(silent);
        new.heard();
        assert!(admission.try_handshake_slot().is_err(), "those that have spoken get their time");
    }
}
