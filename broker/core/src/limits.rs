//! Every limit of the engine, in one place, with the relations between them; and what else an operator may set.

use std::sync::Arc;

/// What one engine holds at most. Each is documented with what a client sees when it hits it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest packet accepted, bytes. A larger one: DISCONNECT 0x95. Told in CONNACK.
    pub packet_size_max: u32,
    /// Session expiry interval at most, seconds. A longer wish is clamped and the value told in CONNACK.
    pub session_expiry_s_max: u32,
    /// QoS 1 and 2 messages that a client may have unacknowledged towards the broker. One more: DISCONNECT 0x93. Told in CONNACK.
    pub receive_max: u16,
    /// Unacknowledged messages towards a client, whatever it offers.
    pub inflight_max: u16,
    /// Topic aliases accepted from a client. A higher one: DISCONNECT 0x94. Told in CONNACK.
    pub topic_alias_max: u16,
    /// Topic aliases used towards a client, whatever it offers.
    pub outgoing_topic_alias_max: u16,
    /// Keep alive at most, seconds; 0 leaves the client's. A longer or no wish of a 5.0 client is answered with this as server keep alive.
    pub keepalive_s_max: u16,
    /// Subscriptions of one session. One more: SUBACK 0x97.
    pub subscriptions_per_session_max: usize,
    /// Messages queued for one session. Beyond it, the newest is dropped, counted, and told in the timeline.
    pub queue_messages_max: usize,
    /// Bytes queued for one session, likewise. An entry counts its message (as [`crate::Message::size_bytes`]) and 256 bytes for itself; of what has gone
    /// straight out to a session that ends with its connection, those alone.
    pub queue_bytes_max: usize,
    /// Bytes queued for all sessions of the node. When seven eighths are reached, QoS 0 goes only to clients that read; when it is full, room is made by
    /// dropping the newest message of the longest queue of each shard that has a longer one, which is counted and told like that of a full queue. A quarter
    /// is divided between the shards for good.
    pub queue_bytes_total_max: usize,
    /// Sessions of one identity on the node. One more: CONNACK 0x97; those that there are can be resumed.
    pub sessions_per_identity_max: usize,
    /// Wills on the node. A CONNECT with one more: CONNACK 0x97.
    pub wills_max: usize,
    /// Bytes of wills on the node, likewise.
    pub will_bytes_max: usize,
    /// PUBLISH packets a second of one client, with a second's worth at once; 0 for no limit. A faster client is read more slowly, and told nothing.
    pub publish_rate_max: u32,
    /// Bytes of topics and payloads a second of one client, likewise.
    pub publish_bytes_rate_max: u32,
    /// Bytes that wait in memory for one connection that does not read. Beyond it QoS 0 is dropped; QoS 1 and 2 stay in the queue.
    pub output_bytes_max: usize,
    /// Bytes of message payloads that the shard keeps in memory for queues; beyond it, queues refer to the log.
    pub queue_memory_bytes_max: usize,
    /// Retained messages. One more: 0x97.
    pub retained_messages_max: usize,
    /// Bytes of retained messages, likewise.
    pub retained_bytes_max: usize,
    /// Bytes handed to the log and not yet on disk, beyond which publishers are no longer read.
    pub log_backlog_bytes_max: usize,
    /// Levels of a topic or filter.
    pub topic_levels_max: usize,
    /// Bytes of a topic or filter.
    pub topic_length_max: usize,
    /// User properties of one packet.
    pub user_properties_max: usize,
    /// Whether connects, refusals and disconnects of clients with a presence topic are events, too. Clients do not see it.
    pub timeline_events: bool,
    /// Who of a shared subscription gets a message. Clients do not see it.
    pub shared_strategy: SharedStrategy,
    /// What CONNACK says to a 5.0 client that asks for response information, with `{client}` for its client id. `None`: nothing.
    pub response_information: Option<Arc<str>>,
}

/// How a member of a shared subscription is chosen, among those that are connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SharedStrategy {
    /// In turn.
    #[default]
    RoundRobin,
    /// Who has the fewest messages to acknowledge, as far as the shard that chooses has heard.
    LeastInFlight,
    /// The same for all messages of a publisher, as long as members neither come nor go.
    StickyByPublisher,
    /// In turn among those on the shard that chooses; if there are none, among all.
    LocalFirst,
}

impl Limits {
    /// The defaults of the documentation.
    pub const DEFAULT: Self = Self {
        packet_size_max: 1024 * 1024,
        session_expiry_s_max: 30 * 24 * 3600,
        receive_max: 256,
        inflight_max: 256,
        topic_alias_max: 32,
        outgoing_topic_alias_max: 32,
        keepalive_s_max: 3600,
        subscriptions_per_session_max: 10_000,
        queue_messages_max: 100_000,
        queue_bytes_max: 64 * 1024 * 1024,
        queue_bytes_total_max: 1024 * 1024 * 1024,
        sessions_per_identity_max: 1_000_000,
        wills_max: 1_000_000,
        will_bytes_max: 256 * 1024 * 1024,
        publish_rate_max: 0,
        publish_bytes_rate_max: 0,
        output_bytes_max: 2 * 1024 * 1024,
        queue_memory_bytes_max: 256 * 1024 * 1024,
        retained_messages_max: 2_000_000,
        retained_bytes_max: 1024 * 1024 * 1024,
        log_backlog_bytes_max: 64 * 1024 * 1024,
        topic_levels_max: 64,
        topic_length_max: 4096,
        user_properties_max: 64,
        timeline_events: false,
        shared_strategy: SharedStrategy::RoundRobin,
        response_information: None,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

const _: () = {
    let limits = Limits::DEFAULT;
    assert!(
        limits.output_bytes_max > limits.packet_size_max as usize,
        "one packet of the greatest size fits a connection's output"
    );
    assert!(limits.queue_bytes_max >= limits.packet_size_max as usize, "one packet of the greatest size fits a queue");
    assert!(limits.queue_bytes_total_max >= limits.queue_bytes_max, "one full queue fits into all of them");
    assert!(limits.topic_length_max < u16::MAX as usize, "a topic fits its length prefix");
    assert!(
        limits.inflight_max < u16::MAX,
        "packet ids in flight stay distinct: a packet id follows from the place in the queue"
    );
};
