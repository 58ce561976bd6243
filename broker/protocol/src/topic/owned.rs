//! Topic names and filters that own their text.

use alloc::boxed::Box;
use core::borrow::Borrow;
use core::fmt;

use super::{TopicError, TopicFilter, TopicName};

/// Defines an owned form of a checked text.
macro_rules! owned {
    ($(#[$doc:meta])* $owned:ident, $borrowed:ident, $as_borrowed:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $owned(Box<str>);

        impl $owned {
            /// Checks with the limits of the protocol itself.
            pub fn parse(text: &str) -> Result<Self, TopicError> {
                $borrowed::parse(text).map(Self::from)
            }

            /// The borrowed form.
            #[must_use]
            pub const fn $as_borrowed(&self) -> $borrowed<'_> {
                $borrowed::trusted(&self.0)
            }

            /// The text.
            #[must_use]
            pub const fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<$borrowed<'_>> for $owned {
            fn from(borrowed: $borrowed<'_>) -> Self {
                Self(borrowed.as_str().into())
            }
        }

        impl $borrowed<'_> {
            /// A copy that owns its text.
            #[must_use]
            pub fn to_buf(self) -> $owned {
                $owned::from(self)
            }
        }

        impl Borrow<str> for $owned {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $owned {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $owned {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($owned)).field(&&*self.0).finish()
            }
        }

        impl fmt::Display for $owned {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

owned! {
    /// A [`TopicName`] that owns its text. Maps keyed by it can be asked with a `&str`.
    TopicNameBuf, TopicName, as_name
}

owned! {
    /// A [`TopicFilter`] that owns its text. Maps keyed by it can be asked with a `&str`.
    TopicFilterBuf, TopicFilter, as_filter
}
