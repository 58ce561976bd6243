//! How many may be connected, from one address, of one identity and in all; how fast they may come; and how many may be on their way in.
//!
//! A socket that has sent nothing costs little, and there may be many; one whose handshake has begun costs memory and time, and there may be few.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use mooring_core::Identity;
use tokio::sync::Notify;

use crate::config::ConnectionLimits;
use crate::metric_names;
use crate::rates::{Rates, TooFast, counted_as};

/// The doorkeeper of all listeners.
#[derive(Debug)]
pub(crate) struct Admission {
    limits: ArcSwap<ConnectionLimits>,
    state: Mutex<State>,
    /// There may be room for one more that is silent.
    silent_room: Notify,
    /// There may be room for one more that speaks.
    speaking_room: Notify,
}

#[derive(Debug)]
struct State {
    connections: usize,
    /// Since the start.
    accepted: u64,
    per_address: HashMap<IpAddr, usize>,
    per_identity: HashMap<Identity, usize>,
    rates: Rates,
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
    /// Unknown of a proxy that has not yet said for whom it connects, and of what comes from no address.
    address: Option<IpAddr>,
    identity: Option<Identity>,
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
    Identity,
    AddressRate,
    Banned,
}

impl Full {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections_max",
            Self::Address => "per_address_max",
            Self::Identity => "per_identity_max",
            Self::AddressRate => "per_address_rate_max",
            Self::Banned => "banned",
        }
    }
}

impl Admission {
    pub(crate) fn new(limits: ConnectionLimits) -> Self {
        let state = State {
            connections: 0,
            accepted: 0,
            per_address: HashMap::new(),
            per_identity: HashMap::new(),
            rates: Rates::new(),
            silent: BTreeMap::new(),
            speaking: BTreeMap::new(),
            next_handshake: 0,
        };
        let (silent_room, speaking_room) = (Notify::new(), Notify::new());
        Self { limits: ArcSwap::from_pointee(limits), state: Mutex::new(state), silent_room, speaking_room }
    }

    /// The limits of now.
    pub(crate) fn limits(&self) -> Arc<ConnectionLimits> {
        self.limits.load_full()
    }

    /// New limits, for those that come from now on.
    pub(crate) fn set_limits(&self, limits: ConnectionLimits) {
        self.limits.store(Arc::new(limits));
        // There may be more room than before.
        self.silent_room.notify_waiters();
        self.speaking_room.notify_waiters();
    }

    /// Counts one more connection. Where it comes from is told with [`Admitted::locate`].
    pub(crate) fn admit(self: &Arc<Self>) -> Result<Admitted, Full> {
        let limits = self.limits();
        let mut state = self.lock();
        if state.connections >= limits.connections_max {
            return Err(Full::Connections);
        }
        state.connections += 1;
        state.accepted += 1;
        Ok(Admitted { admission: Arc::clone(self), address: None, identity: None })
    }

    /// A place among those that have sent nothing yet, once it is this connection's turn. Where there is none, the oldest of them makes room, once it has
    /// had its time.
    pub(crate) async fn handshake_slot(self: &Arc<Self>, admitted: &Admitted) -> HandshakeSlot {
        while let Err(patience) = self.turn(admitted.address) {
            tokio::time::sleep(patience).await;
        }
        loop {
            match self.try_handshake_slot() {
                Ok(slot) => return slot,
                Err(patience) => wait(&self.silent_room, patience).await,
            }
        }
    }

    fn turn(&self, address: Option<IpAddr>) -> Result<(), Duration> {
        let limits = self.limits();
        self.lock().rates.turn(Instant::now(), address, &limits)
    }

    /// The slot, or how long until somebody can be sent away for it.
    fn try_handshake_slot(self: &Arc<Self>) -> Result<HandshakeSlot, Duration> {
        let limits = self.limits();
        let mut state = self.lock();
        make_room(&mut state.silent, limits.silent_max, limits.silent_ms_min)?;
        let number = state.next_handshake;
        state.next_handshake += 1;
        let evict = Arc::new(Notify::new());
        state.silent.insert(number, Handshake { since: Instant::now(), evict: Arc::clone(&evict) });
        Ok(HandshakeSlot { admission: Arc::clone(self), number, evict })
    }

    /// Counts a connection that came to nothing by its peer's fault. That may ban its address.
    pub(crate) fn fail(&self, address: Option<IpAddr>) {
        let (limits, Some(address)) = (self.limits(), address) else {
            return;
        };
        let banned = self.lock().rates.fail(Instant::now(), address, &limits);
        if let Some(ban) = banned {
            metrics::counter!(metric_names::BANS).increment(1);
            // As many lines as there are bans: each address has its next one after twice the time.
            tracing::warn!(%address, ban_ms = ban.as_millis(), reason = "too many failed connections", "address banned");
        }
    }

    /// Connections now.
    pub(crate) fn connections(&self) -> usize {
        self.lock().connections
    }

    /// Connections since the start.
    pub(crate) fn accepted(&self) -> u64 {
        self.lock().accepted
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
        let limits = self.admission.limits();
        let mut state = self.admission.lock();
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

impl Admitted {
    /// The address that it counts as one of.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Counts the connection as one of an address, unless that has as many as it may, comes too fast or is banned.
    pub(crate) fn locate(&mut self, address: IpAddr) -> Result<(), Full> {
        let address = counted_as(address);
        let limits = self.admission.limits();
        let mut state = self.admission.lock();
        state.rates.connect(Instant::now(), address, &limits)?;
        let from_address = state.per_address.entry(address).or_default();
        if *from_address >= limits.per_address_max {
            release_none(&mut state.per_address, &address);
            return Err(Full::Address);
        }
        *from_address += 1;
        self.address = Some(address);
        Ok(())
    }

    /// Counts the connection as one of an identity, unless that has as many as it may; one that takes over a connected session may always.
    pub(crate) fn identify(&mut self, identity: &Identity, takes_over: bool) -> Result<(), Full> {
        let limits = self.admission.limits();
        let mut state = self.admission.lock();
        let of_identity = state.per_identity.entry(identity.clone()).or_default();
        if *of_identity >= limits.per_identity_max && !takes_over {
            release_none(&mut state.per_identity, identity);
            return Err(Full::Identity);
        }
        *of_identity += 1;
        self.identity = Some(identity.clone());
        Ok(())
    }
}

impl From<TooFast> for Full {
    fn from(too_fast: TooFast) -> Self {
        match too_fast {
            TooFast::Rate => Self::AddressRate,
            TooFast::Banned => Self::Banned,
        }
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
        if let Some(address) = &self.address {
            release(&mut state.per_address, address);
        }
        if let Some(identity) = &self.identity {
            release(&mut state.per_identity, identity);
        }
    }
}

/// Counts one less; who has none left costs nothing.
fn release<K: Hash + Eq>(counts: &mut HashMap<K, usize>, of: &K) {
    if let Some(count) = counts.get_mut(of) {
        *count = count.saturating_sub(1);
        release_none(counts, of);
    }
}

fn release_none<K: Hash + Eq>(counts: &mut HashMap<K, usize>, of: &K) {
    if counts.get(of) == Some(&0) {
        counts.remove(of);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn admission(limits: ConnectionLimits) -> Arc<Admission> {
        Arc::new(Admission::new(limits))
    }

    fn admit(admission: &Arc<Admission>, address: IpAddr) -> Result<Admitted, Full> {
        let mut admitted = admission.admit()?;
        admitted.locate(address).map(|()| admitted)
    }

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

    #[test]
    fn connections_are_counted_in_all_and_by_address_while_they_are_held() {
        let admission = admission(ConnectionLimits { connections_max: 3, per_address_max: 2, ..Default::default() });
        let first = admit(&admission, HERE).unwrap();
        let second = admit(&admission, HERE).unwrap();
        assert_eq!(admit(&admission, HERE).unwrap_err(), Full::Address);
        let third = admit(&admission, THERE).unwrap();
        drop(first);
        let fourth = admit(&admission, HERE).unwrap();
        assert_eq!(admit(&admission, THERE).unwrap_err(), Full::Connections);
        drop((second, third, fourth));
        assert_eq!(admission.connections(), 0);
        assert!(admission.lock().per_address.is_empty(), "an address that left costs nothing");
    }

    #[test]
    fn an_identity_has_as_many_as_it_may_and_one_more_to_take_over() {
        let admission = admission(ConnectionLimits { per_identity_max: 1, ..Default::default() });
        let identity = Identity::new("device");
        let connect = |takes_over| {
            let mut admitted = admit(&admission, HERE).unwrap();
            admitted.identify(&identity, takes_over).map(|()| admitted)
        };
        let first = connect(false).unwrap();
        assert_eq!(connect(false).unwrap_err(), Full::Identity);
        let second = connect(true).unwrap();
        drop(first);
        assert_eq!(connect(false).unwrap_err(), Full::Identity);
        drop(second);
        drop(connect(false).unwrap());
        assert!(admission.lock().per_identity.is_empty(), "an identity that left costs nothing");
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
