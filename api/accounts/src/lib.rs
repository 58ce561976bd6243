//! Accounts of people: sign-up, sign-in, passwords, second factors, sessions.
//!
//! [`Accounts`] is the one way in. It has the rules, and asks [`mooring_store::Store`]; it knows no HTTP: pages and API are built on it.
//!
//! Invariants, each with a test:
//! - No answer, and no time that it takes, says whether an account exists.
//! - An account is made only when its address is verified by whoever chose its password.
//! - What is good once (a code, a link, a step of TOTP, a recovery code, a challenge) is used up in one statement of the database.
//! - Tries are counted before they are made; nobody's failures lock out somebody else.
//! - Mails go to the address on record, and say nothing that a stranger typed.

mod accounts;
pub mod breached;
mod change;
mod config;
mod email;
mod error;
mod factors;
mod hooks;
mod mail;
mod password;
mod profile;
mod session;
mod sign_in;
mod sign_up;
pub mod texts;
mod throttle;
mod token;
mod visitor;

pub use accounts::{Accounts, Now, Proof};
pub use config::AccountsConfig;
pub use email::{EmailAddress, EmailError};
pub use error::{AccountsError, Result};
pub use factors::{PasskeyAnswer, PasskeyCreation, PasskeyError, PasskeyRequest, TotpOffer, totp_code};
pub use hooks::{Ended, Hooks};
pub use mail::{FileOutbox, Mail, MailError, Mailer, Sender, SmtpMailer, SmtpSecurity, SmtpSettings};
pub use mooring_auth::Argon2Cost;
pub use password::{PASSWORD_CHARS_MAX, PasswordFault, is_common};
pub use profile::{PasskeyInfo, Profile};
pub use session::{NewSession, Session};
pub use sign_in::{SecondFactor, SignIn, SignedIn};
pub use sign_up::{SignUp, Verification};
pub use throttle::ThrottleConfig;
pub use token::{AccountKey, OpaqueToken};
pub use visitor::Visitor;
