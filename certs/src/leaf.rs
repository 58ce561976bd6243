//! Reading whom a certificate is for. The bytes come from a peer, before anything about them is verified.

use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time};

use crate::der::{self, DerError, Reader, Value};
use crate::ids::{IdError, SpiffeId};
use crate::serial::{KeyId, Serial};

/// Whom a leaf is for, who signed it, and when it is valid. It says nothing of whether the certificate is genuine:
/// the verifier of the chain decides that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafIdentity {
    /// The one URI of the subject alternative name. The common name is never looked at.
    pub spiffe_id: SpiffeId,
    /// The serial number, unique together with the issuer.
    pub serial: Serial,
    /// The authority key identifier.
    pub issuer_id: KeyId,
    /// The start of its validity.
    pub not_before: OffsetDateTime,
    /// The end of its validity.
    pub not_after: OffsetDateTime,
}

/// Why a certificate has no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LeafError {
    /// Not a certificate in DER.
    #[error("it is malformed {0}")]
    Malformed(#[from] DerError),
    /// Not exactly one URI.
    #[error("its subject alternative name has {0} URIs; exactly one is an identity")]
    UriCount(usize),
    /// The URI is not one of ours.
    #[error("its URI is not an identity: {0}")]
    SpiffeId(#[from] IdError),
    /// A certificate of an authority presented as a leaf.
    #[error("it is the certificate of an authority")]
    IsCa,
    /// No authority key identifier of the length that ours have.
    #[error("it does not say by its key identifier who signed it")]
    IssuerId,
    /// An extension is there twice. RFC 5280, 4.2: a certificate must not include more than one instance.
    #[error("it has the same extension twice")]
    DuplicateExtension,
}

impl LeafIdentity {
    /// Reads a certificate in DER.
    pub fn read(der: &[u8]) -> Result<Self, LeafError> {
        let mut outer = Reader::new(der);
        let mut certificate = outer.take(der::SEQUENCE, "a Certificate")?.inside();
        outer.end("the end of the certificate")?;
        let mut fields = certificate.take(der::SEQUENCE, "a TBSCertificate")?.inside();

        let mut version = fields.take(0xa0, "the version")?.inside();
        let version = version.take(der::INTEGER, "the version")?;
        if version.content != [2] {
            return Err(version.error("version 3").into());
        }
        let serial = serial(fields.take(der::INTEGER, "the serial number")?)?;
        fields.take(der::SEQUENCE, "the signature algorithm")?;
        fields.take(der::SEQUENCE, "the issuer")?;
        let mut validity = fields.take(der::SEQUENCE, "the validity")?.inside();
        let not_before = instant(&mut validity)?;
        let not_after = instant(&mut validity)?;
        fields.take(der::SEQUENCE, "the subject")?;
        fields.take(der::SEQUENCE, "the public key")?;
        fields.take_if(0x81, "the issuer's unique id")?;
        fields.take_if(0x82, "the subject's unique id")?;
        let extensions = Extensions::read(fields.take(0xa3, "the extensions")?)?;
        fields.end("the end of the TBSCertificate")?;

        if extensions.is_ca()? {
            return Err(LeafError::IsCa);
        }
        Ok(Self {
            spiffe_id: extensions.spiffe_id()?,
            serial,
            issuer_id: extensions.issuer_id()?,
            not_before,
            not_after,
        })
    }
}

fn serial(value: Value<'_>) -> Result<Serial, DerError> {
    let expected = "a positive serial number of at most 20 octets";
    Serial::from_be_bytes(value.positive(expected)?).ok_or_else(|| value.error(expected))
}

/// The contents of those extensions that matter here.
#[derive(Default)]
struct Extensions<'a> {
    alternative_name: Option<Value<'a>>,
    basic_constraints: Option<Value<'a>>,
    authority_key_id: Option<Value<'a>>,
}

impl<'a> Extensions<'a> {
    fn read(explicit: Value<'a>) -> Result<Self, LeafError> {
        let mut explicit = explicit.inside();
        let mut list = explicit.take(der::SEQUENCE, "the extensions")?.inside();
        explicit.end("the end of the extensions")?;
        let mut found = Self::default();
        while !list.is_empty() {
            let mut extension = list.take(der::SEQUENCE, "an extension")?.inside();
            let oid = extension.take(der::OID, "the extension's object identifier")?.content;
            extension.take_if(der::BOOLEAN, "whether the extension is critical")?;
            let value = extension.take(der::OCTET_STRING, "the extension's value")?;
            extension.end("the end of the extension")?;
            let place = match oid {
                [0x55, 0x1d, 0x11] => &mut found.alternative_name,
                [0x55, 0x1d, 0x13] => &mut found.basic_constraints,
                [0x55, 0x1d, 0x23] => &mut found.authority_key_id,
                _ => continue,
            };
            if place.replace(value).is_some() {
                return Err(LeafError::DuplicateExtension);
            }
        }
        Ok(found)
    }

    fn is_ca(&self) -> Result<bool, DerError> {
        let Some(value) = self.basic_constraints else { return Ok(false) };
        let mut fields = value.inside().take(der::SEQUENCE, "the basic constraints")?.inside();
        let ca = fields.take_if(der::BOOLEAN, "whether it is of an authority")?;
        Ok(ca.is_some_and(|ca| ca.content != [0]))
    }

    fn spiffe_id(&self) -> Result<SpiffeId, LeafError> {
        let value = self.alternative_name.ok_or(LeafError::UriCount(0))?;
        let mut outer = value.inside();
        let mut names = outer.take(der::SEQUENCE, "the alternative names")?.inside();
        outer.end("the end of the alternative names")?;
        let mut uri = None;
        let mut uris = 0;
        while !names.is_empty() {
            let name = names.take_any("an alternative name")?;
            if name.tag == 0x86 {
                uri = Some(name);
                uris += 1;
            }
        }
        let (1, Some(uri)) = (uris, uri) else { return Err(LeafError::UriCount(uris)) };
        let text = std::str::from_utf8(uri.content).map_err(|_| uri.error("a URI in ASCII"))?;
        Ok(SpiffeId::parse(text)?)
    }

    fn issuer_id(&self) -> Result<KeyId, LeafError> {
        let value = self.authority_key_id.ok_or(LeafError::IssuerId)?;
        let mut fields = value.inside().take(der::SEQUENCE, "the authority key identifier")?.inside();
        let id = fields.take_if(0x80, "the key identifier")?.ok_or(LeafError::IssuerId)?;
        id.content.try_into().map(KeyId).map_err(|_| LeafError::IssuerId)
    }
}

/// A Time of RFC 5280, 4.1.2.5: in UTC, with seconds, without fractions.
fn instant(reader: &mut Reader<'_>) -> Result<OffsetDateTime, DerError> {
    let expected = "a time as RFC 5280 has it";
    let value = reader.take_any(expected)?;
    let digits = value.content.strip_suffix(b"Z").unwrap_or_default();
    let digits = if digits.iter().all(u8::is_ascii_digit) { digits } else { &[] };
    let parsed = match (value.tag, digits) {
        (der::UTC_TIME, [y1, y2, rest @ ..]) => {
            // RFC 5280, 4.1.2.5.1: 50 and above are of the twentieth century.
            let year = i32::from(two(*y1, *y2));
            date_time(if year >= 50 { 1900 + year } else { 2000 + year }, rest)
        }
        (der::GENERALIZED_TIME, [y1, y2, y3, y4, rest @ ..]) => {
            date_time(100 * i32::from(two(*y1, *y2)) + i32::from(two(*y3, *y4)), rest)
        }
        _ => None,
    };
    parsed.ok_or_else(|| value.error(expected))
}

fn date_time(year: i32, rest: &[u8]) -> Option<OffsetDateTime> {
    let &[mo1, mo2, d1, d2, h1, h2, mi1, mi2, s1, s2] = rest else { return None };
    let date = Date::from_calendar_date(year, Month::try_from(two(mo1, mo2)).ok()?, two(d1, d2)).ok()?;
    let time = Time::from_hms(two(h1, h2), two(mi1, mi2), two(s1, s2)).ok()?;
    Some(PrimitiveDateTime::new(date, time).assume_utc())
}

/// Two ASCII digits.
fn two(tens: u8, ones: u8) -> u8 {
    10 * (tens - b'0') + (ones - b'0')
}
