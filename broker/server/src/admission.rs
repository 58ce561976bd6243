//! How many may be connected, from one address and in all, and how many may be on their way in.
//!
//! A socket that has sent nothing costs little, and there may be many; one whose handshake has begun costs memory and time, and there may be few.

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
    /// There may be room for one more that is silent.
    silent_room: Notify,
    /// There may be room for one more that speaks.
    speaking_room: Notify,
}

#[derive(Debug, Default)]
struct State {
    connections: usize,
    per_address: HashMap<IpAddr, usize>,
    /// By number, that is by age.
    silent: BTreeMap<u64, Handshake>,
    speaking: BTreeMap<u64, Handshake>,
    next_handshake: u64,
}

#[derive(Debug)]
struct Handshake {
    since: Instant,
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
        Self { limits, state: Mutex::default(), silent_room: Notify::new(), speaking_room: Notify::new() }
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

    /// A place among those that have sent nothing yet. Where there is none, the oldest of them makes room, once it has had its time.
    pub(crate) async fn handshake_slot(self: &Arc<Self>) -> HandshakeSlot {
        loop {
            match self.try_handshake_slot() {
                Ok(slot) => return slot,
                Err(patience) => wait(&self.silent_room, patience).await,
            }
        }
    }

    /// The slot, or how long until somebody can be sent away for it.
    fn try_handshake_slot(self: &Arc<Self>) -> Result<HandshakeSlot, Duration> {
        let mut state = self.lock();
        make_room(&mut state.silent, self.limits.silent_max, self.limits.silent_ms_min)?;
        let number = state.next_handshake;
        state.next_handshake += 1;
        let evict = Arc::new(Notify::new());
        state.silent.insert(number, Handshake { since: Instant::now(), evict: Arc::clone(&evict) });
        Ok(HandshakeSlot { admission: Arc::clone(self), number, evict })
    }

    /// Connections now.
    pub(crate) fn connections(&self) -> usize {
        self.lock().connections
    }

    /// Those on their way in now.
    pub(crate) fn handshakes(&self) -> usize {
        let state = self.lock();
        state.silent.len() + state.speaking.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until somebody may have left, at most so long.
async fn wait(room: &Notify, patience: Duration) {
    // Whoever is told and has gone meanwhile passes it on to the next.
    let _ = tokio::time::timeout(patience, room.notified()).await;
}

/// Sends the oldest away where there are too many, or says how long until that is fair.
fn make_room(handshakes: &mut BTreeMap<u64, Handshake>, max: usize, ms_min: u64) -> Result<(), Duration> {
    if handshakes.len() < max.max(1) {
        return Ok(());
    }
    let Some(oldest) = handshakes.first_entry() else {
        return Ok(());
    };
    match Duration::from_millis(ms_min).checked_sub(oldest.get().since.elapsed()) {
        None | Some(Duration::ZERO) => {
            oldest.remove().evict.notify_one();
            Ok(())
        }
        Some(left) => Err(left),
    }
}

impl HandshakeSlot {
    /// The peer has sent something: its handshake begins, once there is room. Where there is none, the oldest unfinished one makes it, once it has had its
    /// time.
    pub(crate) async fn speak(&self) {
        loop {
            match self.try_speak() {
                Ok(()) => return,
                Err(patience) => wait(&self.admission.speaking_room, patience).await,
            }
        }
    }

    fn try_speak(&self) -> Result<(), Duration> {
        let mut state = self.admission.lock();
        let limits = &self.admission.limits;
        if !state.silent.contains_key(&self.number) {
            // It has been sent away meanwhile.
            return Ok(());
        }
        make_room(&mut state.speaking, limits.handshakes_max, limits.unfinished_ms_min)?;
        if let Some(handshake) = state.silent.remove(&self.number) {
            state.speaking.insert(self.number, Handshake { since: Instant::now(), ..handshake });
        }
        drop(state);
        self.admission.silent_room.notify_one();
        Ok(())
    }

    /// Waits until the slot is needed for somebody else.
    pub(crate) async fn evicted(&self) {
        self.evict.notified().await;
    }
}

impl Drop for HandshakeSlot {
    fn drop(&mut self) {
        let mut state = self.admission.lock();
        let was_silent = state.silent.remove(&self.number).is_some();
        let spoke = state.speaking.remove(&self.number).is_some();
        drop(state);
        if was_silent {
            self.admission.silent_room.notify_one();
        }
        if spoke {
            self.admission.speaking_room.notify_one();
        }
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
    fn the_oldest_silent_socket_makes_room_and_not_one_that_has_spoken() {
        let limits = ConnectionLimits { silent_max: 2, silent_ms_min: 0, ..Default::default() };
        let admission = admission(limits);
        let spoke = admission.try_handshake_slot().unwrap();
        spoke.try_speak().unwrap();
        let _silent = [admission.try_handshake_slot().unwrap(), admission.try_handshake_slot().unwrap()];
        let _new = admission.try_handshake_slot().unwrap();
        assert_eq!(admission.lock().silent.keys().copied().collect::<Vec<_>>(), [2, 3]);
        assert_eq!(admission.lock().speaking.keys().copied().collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn a_handshake_that_has_begun_has_its_time_before_it_makes_room() {
        let limits = ConnectionLimits { handshakes_max: 1, unfinished_ms_min: 60_000, ..Default::default() };
        let admission = admission(limits);
        let first = admission.try_handshake_slot().unwrap();
        first.try_speak().unwrap();
        let second = admission.try_handshake_slot().unwrap();
        assert!(second.try_speak().is_err());
        drop(first);
        second.try_speak().unwrap();
        drop(second);
        assert_eq!(admission.handshakes(), 0);
    }
}
