//! The names that the authority gives: trust domains, and the SPIFFE ids of devices, clients and servers.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::authority::CaRole;

/// The longest SPIFFE id that is read, in bytes.
pub const SPIFFE_ID_BYTES_MAX: usize = 255;
/// The longest trust domain, in bytes.
pub const TRUST_DOMAIN_BYTES_MAX: usize = 128;
/// The longest server name, in bytes: it is the common name too. RFC 5280, appendix A.1: ub-common-name is 64.
pub const SERVER_NAME_BYTES_MAX: usize = 64;

const SCHEME: &str = "spiffe://";
const UUID_BYTES: usize = 36;

// Every id that can be made can be read back.
const _: () = assert!(
    SCHEME.len() + TRUST_DOMAIN_BYTES_MAX + "/server/".len() + SERVER_NAME_BYTES_MAX <= SPIFFE_ID_BYTES_MAX
        && UUID_BYTES <= SERVER_NAME_BYTES_MAX
);

/// Who a certificate is for: `spiffe://<trust domain>/<kind>/<name>`.
///
/// Two ids are the same exactly when their bytes are: there is no case folding, no percent-encoding and no
/// normalisation, so that no two spellings mean the same peer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SpiffeId {
    /// The trust domain, which is that of the authority which issued it.
    pub trust_domain: TrustDomain,
    /// What kind of peer, and which.
    pub kind: SpiffeKind,
}

/// What kind of peer an id names, and which one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SpiffeKind {
    /// `/device/<uuid>`: a device.
    Device(DeviceId),
    /// `/client/<uuid>`: a client of a person, such as the phone app.
    Client(ClientUuid),
    /// `/server/<name>`: a node of the broker.
    Server(ServerName),
}

impl SpiffeKind {
    /// Which intermediate signs this kind of peer, and no other kind.
    pub const fn issuer_role(&self) -> CaRole {
        match self {
            Self::Device(_) => CaRole::Devices,
            Self::Client(_) => CaRole::Clients,
            Self::Server(_) => CaRole::Servers,
        }
    }
}

impl SpiffeId {
    /// Reads an id; strict, see the type.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        if text.len() > SPIFFE_ID_BYTES_MAX {
            return Err(IdError::TooLong { what: "SPIFFE id", bytes: text.len(), bytes_max: SPIFFE_ID_BYTES_MAX });
        }
        let rest = text.strip_prefix(SCHEME).ok_or(IdError::Scheme)?;
        let mut parts = rest.split('/');
        let (Some(trust_domain), Some(kind), Some(name), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(IdError::Path);
        };
        let trust_domain = TrustDomain::parse(trust_domain)?;
        let kind = match kind {
            "device" => SpiffeKind::Device(DeviceId::parse(name)?),
            "client" => SpiffeKind::Client(ClientUuid::parse(name)?),
            "server" => SpiffeKind::Server(ServerName::parse(name)?),
            _ => return Err(IdError::Kind),
        };
        Ok(Self { trust_domain, kind })
    }

    /// The name for people to read, which is the certificate's common name.
    pub fn common_name(&self) -> String {
        match &self.kind {
            SpiffeKind::Device(id) => id.to_string(),
            SpiffeKind::Client(id) => id.to_string(),
            SpiffeKind::Server(name) => name.to_string(),
        }
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.trust_domain)?;
        match &self.kind {
            SpiffeKind::Device(id) => write!(f, "/device/{id}"),
            SpiffeKind::Client(id) => write!(f, "/client/{id}"),
            SpiffeKind::Server(name) => write!(f, "/server/{name}"),
        }
    }
}

impl FromStr for SpiffeId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::parse(text)
    }
}

/// The namespace of one authority's ids: labels as of DNS, in lower case, `mooring.local` by default.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TrustDomain(Arc<str>);

impl TrustDomain {
    /// The trust domain of an authority for which none was chosen.
    pub const DEFAULT: &'static str = "mooring.local";

    /// Reads a trust domain.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        check_dns_like("trust domain", text, TRUST_DOMAIN_BYTES_MAX)?;
        Ok(Self(text.into()))
    }

    /// The SPIFFE id of the domain itself, which is that of its authority.
    pub(crate) fn to_uri(&self) -> String {
        format!("{SCHEME}{self}")
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for TrustDomain {
    fn default() -> Self {
        Self(Self::DEFAULT.into())
    }
}

/// The name of a node of the broker: labels as of DNS, in lower case, at most 64 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServerName(Arc<str>);

impl ServerName {
    /// Reads a server name.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        check_dns_like("server name", text, SERVER_NAME_BYTES_MAX)?;
        Ok(Self(text.into()))
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The id of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeviceId(Uuid);

/// The id of a client of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientUuid(Uuid);

macro_rules! uuid_id {
    ($type:ident, $what:literal) => {
        impl $type {
            /// Reads the canonical form alone: 36 bytes, lower case, hyphens.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                parse_uuid($what, text).map(Self)
            }

            /// The UUID itself.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $type {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl FromStr for $type {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }
    };
}

uuid_id!(DeviceId, "device id");
uuid_id!(ClientUuid, "client id");

macro_rules! name_text {
    ($type:ident) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $type {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $type {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                Self::parse(&text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0.as_ref().to_owned()
            }
        }
    };
}

name_text!(TrustDomain);
name_text!(ServerName);

/// What is wrong with a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    /// Longer than allowed.
    #[error("a {what} has at most {bytes_max} bytes; this one has {bytes}")]
    TooLong {
        /// Which kind of name.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// Not a SPIFFE URI.
    #[error("a SPIFFE id starts with `spiffe://`, in lower case")]
    Scheme,
    /// Not exactly a kind and a name after the trust domain.
    #[error("a SPIFFE id is `spiffe://<trust domain>/<device|client|server>/<name>`, and nothing after it")]
    Path,
    /// A kind of peer that does not exist.
    #[error("the kind in a SPIFFE id is one of `device`, `client`, `server`")]
    Kind,
    /// An empty name or an empty label.
    #[error("a {what} has no empty label: `a.b`, not `.a`, `a..b` or `a.`")]
    EmptyLabel {
        /// Which kind of name.
        what: &'static str,
    },
    /// A label that is too long, or has a hyphen at one end.
    #[error("a label of a {what} has at most 63 bytes and no hyphen at its start or end")]
    Label {
        /// Which kind of name.
        what: &'static str,
    },
    /// A byte that the name may not have.
    #[error("a {what} has only a-z, 0-9, `-` and `.`: not {found:?}, at byte {at_byte}")]
    Character {
        /// Which kind of name.
        what: &'static str,
        /// What stands there.
        found: char,
        /// Where, from 0.
        at_byte: usize,
    },
    /// Not the canonical form of a UUID.
    #[error("a {what} is a UUID in lower case with hyphens, as 01890a5d-ac96-774b-bcce-b302099a8057")]
    Uuid {
        /// Which kind of id.
        what: &'static str,
    },
}

/// Checks a dotted name of labels: `a-z`, `0-9` and inner hyphens, at most 63 bytes each (RFC 1035, 2.3.1).
fn check_dns_like(what: &'static str, text: &str, bytes_max: usize) -> Result<(), IdError> {
    if text.len() > bytes_max {
        return Err(IdError::TooLong { what, bytes: text.len(), bytes_max });
    }
    let wrong = text.char_indices().find(|&(_, c)| !matches!(c, 'a'..='z' | '0'..='9' | '-' | '.'));
    if let Some((at_byte, found)) = wrong {
        return Err(IdError::Character { what, found, at_byte });
    }
    for label in text.split('.') {
        if label.is_empty() {
            return Err(IdError::EmptyLabel { what });
        }
        if label.len() > 63 || label.starts_with('-') || label.ends_with('-') {
            return Err(IdError::Label { what });
        }
    }
    Ok(())
}

/// The `uuid` crate reads upper case, braces and other forms too: a second spelling of one identity.
fn parse_uuid(what: &'static str, text: &str) -> Result<Uuid, IdError> {
    let canonical = text.len() == UUID_BYTES && text.bytes().all(|b| matches!(b, b'a'..=b'f' | b'0'..=b'9' | b'-'));
    match Uuid::try_parse(text) {
        Ok(uuid) if canonical => Ok(uuid),
        _ => Err(IdError::Uuid { what }),
    }
}
