//! The hash of what clients choose: SipHash under a key that nobody outside knows, as std's maps have it.
//!
//! It decides where a table keeps things, and nothing else: no table with it is gone through in its own order.

/// Makes the hashers of tables whose keys clients choose.
pub(crate) type BuildClientKeyHasher = std::hash::RandomState;
