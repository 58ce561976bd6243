//! The endpoints for programs.

pub(crate) mod device;
pub(crate) mod discovery;
pub(crate) mod introspect;
pub(crate) mod par;
pub(crate) mod token;
pub(crate) mod userinfo;
