//! The certificate authority: issue, renew, revoke.
