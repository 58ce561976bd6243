//! Every metric of the server, with what it says.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

pub(crate) const CONNECTIONS: &str = "mooring_connections";
pub(crate) const HANDSHAKES: &str = "mooring_handshakes";
pub(crate) const SESSIONS: &str = "mooring_sessions";
pub(crate) const SUBSCRIPTIONS: &str = "mooring_subscriptions";
pub(crate) const RETAINED: &str = "mooring_retained_messages";
pub(crate) const QUEUED_BYTES: &str = "mooring_queued_bytes";
pub(crate) const PUBLISH_RECEIVED: &str = "mooring_publish_received_total";
pub(crate) const PUBLISH_SENT: &str = "mooring_publish_sent_total";
pub(crate) const DROPPED: &str = "mooring_messages_dropped_total";
pub(crate) const REFUSED: &str = "mooring_acl_refused_total";
pub(crate) const PACKETS_RECEIVED: &str = "mooring_packets_received_total";
pub(crate) const PACKETS_SENT: &str = "mooring_packets_sent_total";
pub(crate) const BYTES_RECEIVED: &str = "mooring_bytes_received_total";
pub(crate) const BYTES_SENT: &str = "mooring_bytes_sent_total";
pub(crate) const SENDS: &str = "mooring_sends_total";
pub(crate) const CONNECTIONS_ACCEPTED: &str = "mooring_connections_accepted_total";
pub(crate) const CONNECTIONS_REFUSED: &str = "mooring_connections_refused_total";
pub(crate) const BANS: &str = "mooring_address_bans_total";
pub(crate) const ACCEPT_ERRORS: &str = "mooring_accept_errors_total";
pub(crate) const HANDSHAKES_FAILED: &str = "mooring_handshakes_failed_total";
pub(crate) const NOTICES: &str = "mooring_client_notices_total";
pub(crate) const LOG_RECORDS: &str = "mooring_log_records_total";
pub(crate) const LOG_COMMITS: &str = "mooring_log_commits_total";
pub(crate) const LOG_COMMIT_SECONDS: &str = "mooring_log_commit_seconds";
pub(crate) const LOG_FAILED: &str = "mooring_log_failed";
pub(crate) const EVENTS_END: &str = "mooring_events_end_position";

/// Tells the process's metrics recorder what each metric of the server is. Call once, after the recorder is installed.
pub fn describe_metrics() {
    describe_gauge!(CONNECTIONS, "Connections now, by shard");
    describe_gauge!(HANDSHAKES, "Connections that are not yet let in");
    describe_gauge!(SESSIONS, "Sessions now, connected or not, by shard");
    describe_gauge!(SUBSCRIPTIONS, "Subscriptions now, by shard");
    describe_gauge!(RETAINED, "Retained messages now, by shard; each shard has them all");
    describe_gauge!(QUEUED_BYTES, Unit::Bytes, "Bytes queued for sessions now, by shard");
    describe_counter!(PUBLISH_RECEIVED, "PUBLISH packets received, by shard");
    describe_counter!(PUBLISH_SENT, "PUBLISH packets sent, by shard");
    describe_counter!(DROPPED, "Messages dropped, for whatever reason, by shard");
    describe_counter!(REFUSED, "Publishes and subscribes refused by the access rules, by shard");
    describe_counter!(PACKETS_RECEIVED, "Packets received, by shard");
    describe_counter!(PACKETS_SENT, "Packets sent, by shard");
    describe_counter!(BYTES_RECEIVED, Unit::Bytes, "Bytes of packets received, by shard");
    describe_counter!(BYTES_SENT, Unit::Bytes, "Bytes of packets sent, by shard");
    describe_counter!(SENDS, "Writes to sockets, by shard: each carries all packets that waited for that client");
    describe_counter!(CONNECTIONS_ACCEPTED, "Sockets accepted, by listener");
    describe_counter!(CONNECTIONS_REFUSED, "Sockets closed at once, by reason: the limit that was hit");
    describe_counter!(BANS, "Addresses banned for a while because too many of their connections failed");
    describe_counter!(ACCEPT_ERRORS, "Failed accepts, by listener; no file descriptor left is the usual reason");
    describe_counter!(HANDSHAKES_FAILED, "Sockets that did not become clients, by listener and reason");
    describe_counter!(NOTICES, "What happened to clients, by kind, as in their timelines");
    describe_counter!(LOG_RECORDS, "Records handed to the log");
    describe_counter!(LOG_COMMITS, "Groups of records made durable");
    describe_histogram!(LOG_COMMIT_SECONDS, Unit::Seconds, "Time that it took to make one group durable");
    describe_gauge!(LOG_FAILED, "1 once the log has failed and nothing is acknowledged any more");
    describe_gauge!(EVENTS_END, "Position behind the last durable event");
}
