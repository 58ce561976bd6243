//! Passwords: what is accepted as a new one, and how they are hashed.

mod common;
mod hasher;
mod policy;

pub use policy::{PASSWORD_CHARS_MAX, PasswordFault, is_common};

pub(crate) use hasher::{Comparison, Hasher};
pub(crate) use policy::{PasswordPolicy, normalised};
