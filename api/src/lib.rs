//! The HTTP API: certificates for devices; devices, events, shadows and commands for people; MQTT over WebSocket for apps; and, on loopback, what
//! an operator needs.
//!
//! [`router`] is the API, [`admin_router`] the operator's half, [`Service`] accepts connections for either. Errors are problem details (RFC 9457).

mod access;
mod admin;
mod caller;
mod commands;
mod context;
mod enrolment;
mod guard;
mod house;
mod idempotency;
mod making;
mod operator;
mod operator_socket;
mod problem;
mod rates;
mod renewal;
mod revocation;
mod routes;
mod serve;
mod sharing;
mod status;
mod stream;
mod tokens;
mod websocket;

pub use access::AccessLog;
pub use admin::{AdminContext, admin_router};
pub use caller::Scope;
pub use commands::CommandDesk;
pub use context::{ApiContext, Claims, Letter, Lifetimes, PostBox};
pub use guard::{Need, Rule};
pub use house::HttpRules;
pub use making::{DeviceOrder, MadeDevice, TokenOrder, make_devices, make_token, make_user, new_device};
pub use operator::{OperatorContext, operator_router};
pub use operator_socket::OperatorSocket;
pub use problem::Problem;
pub use rates::{RateLimits, Rates};
pub use renewal::serve_renewals;
pub use revocation::{LiveBroker, Order, Reason, Receipt, RevokedCertificate, Revoker, SessionReceipt, Target};
pub use routes::{RouteRule, openapi_json, route_rules, router, status_router};
pub use serve::{HttpLimits, PeerAddress, PeerCertificate, PeerShown, Service, ShownCertificate, Tls};
pub use sharing::Sharing;
pub use status::StatusDesk;
pub use stream::StreamDesk;
pub use tokens::revoke_token;
