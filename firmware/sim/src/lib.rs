//! A simulated washing machine: it makes its own key, enrols over HTTPS, connects with mutual TLS, washes, reports and obeys.
//!
//! Everything that it knows of the server it learns over real sockets, as a device in a home would.

mod enrol;
mod error;
mod link;
mod machine;
mod options;
mod tls;

pub use enrol::{Credentials, enrol};
pub use error::SimError;
pub use link::run;
pub use machine::{Machine, Phase, Program};
pub use options::SimOptions;
