//! What stands beside the password, or in its place: authenticator apps, recovery codes, passkeys.

mod cbor;
mod passkeys;
#[cfg(test)]
mod passkeys_tests;
mod qr;
mod recovery;
mod totp;
mod webauthn;

pub use passkeys::{PasskeyAnswer, PasskeyCreation, PasskeyRequest};
pub use totp::{TotpOffer, totp_code};
pub use webauthn::PasskeyError;
