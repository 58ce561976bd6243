//! AUTH (section 3.15), 5.0 only.

use crate::{ReasonCode, UserProperties};

/// A step of an enhanced authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth<'a> {
    /// Success, Continue authentication or Re-authenticate.
    pub reason: ReasonCode,
    /// Properties.
    pub properties: AuthProperties<'a>,
}

/// Properties of AUTH (section 3.15.2.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthProperties<'a> {
    /// The method of CONNECT, again.
    pub authentication_method: Option<&'a str>,
    /// The message of the method; never without a method.
    pub authentication_data: Option<&'a [u8]>,
    /// The reason, for people.
    pub reason_string: Option<&'a str>,
    /// User properties.
    pub user_properties: UserProperties<'a>,
}
