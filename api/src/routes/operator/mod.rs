//! What operators do: devices, groups, users, certificates, sessions, tokens and the audit log.

pub(super) mod audit;
pub(super) mod devices;
pub(super) mod groups;
pub(super) mod sessions;
pub(super) mod users;
