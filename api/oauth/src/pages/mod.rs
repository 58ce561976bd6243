//! The pages for people: rendered here, without scripts but for passkeys.

pub(crate) mod continuation;
pub(crate) mod cookies;
pub(crate) mod csrf;
pub(crate) mod kit;
pub(crate) mod texts;
