//! What operators do: devices, groups, users, certificates, sessions, tokens, clients, batches and the audit log.

pub(super) mod audit;
pub(super) mod batches;
pub(super) mod devices;
pub(super) mod groups;
pub(super) mod making;
pub(super) mod oauth_clients;
pub(super) mod secrets;
pub(super) mod sessions;
pub(super) mod tokens;
pub(super) mod users;
