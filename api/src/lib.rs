//! The HTTP API: certificates for devices; devices, events, shadows and commands for people; MQTT over WebSocket for apps; and, on loopback, what
//! an operator needs.
//!
//! [`router`] is the API, [`admin_router`] the operator's half, [`Service`] accepts connections for either. Errors are problem details (RFC 9457).

mod admin;
mod caller;
mod commands;
mod context;
mod enrolment;
mod problem;
mod rates;
mod revocation;
mod routes;
mod serve;
mod status;
mod tokens;
mod websocket;

pub use admin::{AdminContext, admin_router};
pub use commands::CommandDesk;
pub use context::{ApiContext, Lifetimes};
pub use problem::Problem;
pub use rates::{RateLimits, Rates};
pub use revocation::{LiveBroker, Order, Reason, Receipt, RevokedCertificate, Revoker, SessionReceipt, Target};
pub use routes::{openapi_json, router, status_router};
pub use serve::{HttpLimits, PeerAddress, PeerCertificate, Service};
pub use status::StatusDesk;
pub use tokens::revoke_token;
