//! What happened to each client lately, in memory: answers "why did it drop?".

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use mooring_core::notice::{Notice, NoticeKind};
use mooring_core::{ClientId, DisconnectCause, Identity, SessionKey};
use mooring_protocol::{ReasonCode, Version};

/// One thing that happened to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimelineEntry {
    /// When: milliseconds since the Unix epoch.
    pub at_unix_ms: u64,
    /// To whom.
    pub session: SessionKey,
    /// What, in one word that programs can compare: `connected`, `connect_refused`, `subscribed`, `unsubscribed`, `subscribe_refused`,
    /// `publish_refused`, `dropped`, `disconnected`, `session_ended`.
    pub kind: &'static str,
    /// The particulars, for people.
    pub text: String,
}

/// The timelines of one shard's clients.
#[derive(Debug)]
pub(crate) struct Timeline {
    /// Boxed: a table has room for up to twice as many as are in it.
    clients: HashTable<Box<Client>>,
    /// Clients choose their names.
    hasher: RandomState,
    clients_max: usize,
    entries_max: usize,
    /// Sockets that never became clients, by address: apart, so that a flood of them pushes no client out.
    strangers: Option<Box<Self>>,
}

/// Addresses of which is remembered why nobody was let in from them.
const STRANGERS_MAX: usize = 1024;
/// What is remembered of each.
const ENTRIES_OF_STRANGER_MAX: usize = 8;
/// Who comes from such an address.
const STRANGER: &str = "unknown";

#[derive(Debug)]
struct Client {
    session: SessionKey,
    /// At least one, the last the newest.
    entries: VecDeque<(u64, NoticeKind)>,
}

const _: () = assert!(size_of::<(u64, NoticeKind)>() <= 48, "each client has two entries at least");

impl Timeline {
    pub(crate) fn new(clients_max: usize, entries_max: usize) -> Self {
        let (addresses_max, of_each_max) = (STRANGERS_MAX.min(clients_max), ENTRIES_OF_STRANGER_MAX.min(entries_max));
        let strangers = Self::empty(addresses_max, of_each_max, None);
        Self::empty(clients_max, entries_max, Some(Box::new(strangers)))
    }

    fn empty(clients_max: usize, entries_max: usize, strangers: Option<Box<Self>>) -> Self {
        Self { clients: HashTable::new(), hasher: RandomState::new(), clients_max, entries_max, strangers }
    }

    /// A connection ended before it was known whose it is. It is found by the address that it came from.
    pub(crate) fn add_stranger(&mut self, at_unix_ms: u64, address: &str, reason: ReasonCode, why: &str) {
        let session = SessionKey { identity: Identity::new(STRANGER), client_id: ClientId::new(host_of(address)) };
        let kind = NoticeKind::ConnectRefused { reason, why: format!("{why} (from {address})").into() };
        if let Some(strangers) = &mut self.strangers {
            strangers.add(at_unix_ms, Notice { session, kind });
        }
    }

    pub(crate) fn add(&mut self, at_unix_ms: u64, notice: Notice) {
        if self.clients_max == 0 || self.entries_max == 0 {
            return;
        }
        let Notice { session, kind } = notice;
        let hash = self.hasher.hash_one(&session);
        if self.clients.len() >= self.clients_max
            && self.clients.find(hash, |client| client.session == session).is_none()
        {
            self.forget_silent();
        }
        let same = self.clients.entry(
            hash,
            |client| client.session == session,
            |client| self.hasher.hash_one(&client.session),
        );
        let client = same.or_insert_with(|| Box::new(Client { session, entries: VecDeque::new() })).into_mut();
        if client.entries.len() >= self.entries_max {
            client.entries.pop_front();
        }
        let length = client.entries.len();
        if length == client.entries.capacity() {
            // Most clients connect, subscribe, and are quiet: twice as much as that would be theirs for nothing.
            client.entries.reserve_exact(length.max(2));
        }
        client.entries.push_back((at_unix_ms, kind));
    }

    /// The entries of every session with this client id or identity, and of what came from this address and was not let in, oldest first.
    pub(crate) fn of(&self, client_id_or_identity: &str) -> Vec<TimelineEntry> {
        let named = |key: &SessionKey| {
            key.client_id.as_str() == client_id_or_identity || key.identity.as_str() == client_id_or_identity
        };
        let mut entries: Vec<_> = self
            .clients
            .iter()
            .filter(|client| named(&client.session))
            .flat_map(|client| client.entries.iter().map(|(at, kind)| entry(*at, &client.session, kind)))
            .collect();
        entries.extend(self.strangers.iter().flat_map(|strangers| strangers.of(client_id_or_identity)));
        entries.sort_by_key(|entry| entry.at_unix_ms);
        entries
    }

    /// Forgets a sixteenth of the clients at once, those longest silent, so that a flood of new names costs each of them little.
    fn forget_silent(&mut self) {
        let mut times: Vec<u64> = self.clients.iter().map(|client| client.last_unix_ms()).collect();
        times.sort_unstable();
        let oldest_kept = times.get(times.len() / 16).copied().unwrap_or(u64::MAX);
        self.clients.retain(|client| client.last_unix_ms() > oldest_kept);
    }
}

impl Client {
    /// When it was heard of last.
    fn last_unix_ms(&self) -> u64 {
        self.entries.back().map_or(0, |(at_unix_ms, _)| *at_unix_ms)
    }
}

/// An address without its port.
fn host_of(address: &str) -> &str {
    let host = address.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map(|(host, _)| host);
    match host {
        Some(host) if !address.starts_with("unix:") => host.trim_start_matches('[').trim_end_matches(']'),
        _ => address,
    }
}

fn entry(at_unix_ms: u64, session: &SessionKey, kind: &NoticeKind) -> TimelineEntry {
    TimelineEntry { at_unix_ms, session: session.clone(), kind: kind_name(kind), text: kind_text(kind) }
}

/// The name of a kind of notice, as programs compare it.
pub(crate) const fn kind_name(kind: &NoticeKind) -> &'static str {
    match kind {
        NoticeKind::Connected { .. } => "connected",
        NoticeKind::ConnectRefused { .. } => "connect_refused",
        NoticeKind::Subscribed { .. } => "subscribed",
        NoticeKind::Unsubscribed { .. } => "unsubscribed",
        NoticeKind::SubscribeRefused { .. } => "subscribe_refused",
        NoticeKind::PublishRefused { .. } => "publish_refused",
        NoticeKind::Dropped { .. } => "dropped",
        NoticeKind::Disconnected { .. } => "disconnected",
        NoticeKind::SessionEnded { .. } => "session_ended",
    }
}

/// The particulars of a notice.
pub(crate) fn kind_text(kind: &NoticeKind) -> String {
    match kind {
        NoticeKind::Connected { address, listener, session_present, version } => {
            let session = if *session_present { "resumed session" } else { "new session" };
            let version = match version {
                Version::V3_1 => "3.1",
                Version::V3_1_1 => "3.1.1",
                Version::V5 => "5.0",
            };
            format!("MQTT {version} from {address} on {listener}, {session}")
        }
        NoticeKind::ConnectRefused { reason, why } => format!("{reason}: {why}"),
        NoticeKind::Subscribed { filter, qos } => format!("{filter} at QoS {qos}"),
        NoticeKind::Unsubscribed { filter } => filter.to_string(),
        NoticeKind::SubscribeRefused { filter, rule } => format!("{filter}: {rule}"),
        NoticeKind::PublishRefused { topic, rule } => format!("{topic}: {rule}"),
        NoticeKind::Dropped { why, count } => format!("{count} messages: {why}"),
        NoticeKind::Disconnected { cause } => cause_text(cause),
        NoticeKind::SessionEnded { why } => (*why).to_owned(),
    }
}

fn cause_text(cause: &DisconnectCause) -> String {
    match cause {
        DisconnectCause::Client(reason) => format!("by the client: {reason}"),
        DisconnectCause::Lost(error) => format!("connection lost: {error}"),
        DisconnectCause::KeepAlive => "nothing heard for one and a half keep alive intervals".to_owned(),
        DisconnectCause::TakenOver => "another connection took the session over".to_owned(),
        DisconnectCause::Protocol(reason, what) => format!("the client broke the protocol: {reason}: {what}"),
        DisconnectCause::Server(reason, why) => format!("by the server: {reason}: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(client: &str) -> Notice {
        let session = SessionKey { identity: Identity::new("somebody"), client_id: ClientId::new(client) };
        Notice { session, kind: NoticeKind::SessionEnded { why: "expired" } }
    }

    #[test]
    fn who_was_not_let_in_is_found_by_address_and_pushes_no_client_out() {
        let mut timeline = Timeline::new(8, 8);
        timeline.add(1, notice("a"));
        for port in 1000..4000 {
            let address = format!("192.0.2.{}:{port}", port % 200);
            timeline.add_stranger(port, &address, ReasonCode::MalformedPacket, "TLS: no certificate");
        }
        timeline.add_stranger(4000, "[2001:db8::1]:5000", ReasonCode::MalformedPacket, "CONNECT took too long");
        timeline.add_stranger(4001, "unix:1000", ReasonCode::MalformedPacket, "the first packet is not CONNECT");
        assert_eq!(timeline.of("a").len(), 1);
        assert_eq!(timeline.of("2001:db8::1")[0].kind, "connect_refused");
        assert!(timeline.of("2001:db8::1")[0].text.contains("CONNECT took too long (from [2001:db8::1]:5000)"));
        assert_eq!(timeline.of("unix:1000").len(), 1);
        assert!(timeline.of("unknown").len() <= 8 * 8);
    }

    #[test]
    fn the_oldest_entries_of_a_client_are_forgotten_first() {
        let mut timeline = Timeline::new(10, 3);
        for at in 1..=5 {
            timeline.add(at, notice("a"));
        }
        let times: Vec<_> = timeline.of("a").iter().map(|entry| entry.at_unix_ms).collect();
        assert_eq!(times, [3, 4, 5]);
    }

    #[test]
    fn the_clients_longest_silent_are_forgotten_first_and_their_count_is_bounded() {
        let mut timeline = Timeline::new(32, 3);
        for at in 1..=100 {
            timeline.add(at, notice(&format!("client-{at}")));
            assert!(timeline.clients.len() <= 32);
        }
        assert!(timeline.of("client-1").is_empty());
        assert_eq!(timeline.of("client-100").len(), 1);
        assert!(timeline.of("somebody").len() > 16, "the identity names all of its clients");
    }
}
