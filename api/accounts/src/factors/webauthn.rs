//! What an authenticator sends, and whether it is what it should be (Web Authentication Level 3, 7.1 and 7.2).
//!
//! No attestation is asked for, and none is looked at: any authenticator will do. Three kinds of keys are taken: ES256, EdDSA and RS256, which
//! is all that platforms make.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;

use super::cbor::Cbor;
use crate::token::sha256;

/// Why a passkey, or what was sent of it, is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the passkey was not accepted: {0}")]
pub struct PasskeyError(pub &'static str);

/// COSE algorithms (RFC 9053, 2; RFC 8812, 2).
pub(super) const ES256: i64 = -7;
pub(super) const EDDSA: i64 = -8;
pub(super) const RS256: i64 = -257;

/// The longest credential id (Web Authentication, 4).
const CREDENTIAL_ID_BYTES_MAX: usize = 1023;

/// Flags of the authenticator data (6.1).
const USER_PRESENT: u8 = 0x01;
const USER_VERIFIED: u8 = 0x04;
const BACKUP_ELIGIBLE: u8 = 0x08;
const BACKED_UP: u8 = 0x10;
const HAS_CREDENTIAL: u8 = 0x40;

/// What is expected of an answer.
pub(super) struct Expected<'a> {
    /// `webauthn.create` or `webauthn.get`.
    pub(super) kind: &'static str,
    pub(super) challenge: &'a [u8; 32],
    pub(super) origin: &'a str,
    pub(super) relying_party: &'a str,
    /// Whether the authenticator has to have verified its user, by a PIN or a finger.
    pub(super) user_verified: bool,
}

/// A credential that was made.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Created {
    pub(super) id: Vec<u8>,
    pub(super) public_key: Vec<u8>,
    pub(super) sign_count: u32,
    pub(super) backed_up: bool,
}

/// A signature that is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asserted {
    pub(super) sign_count: u32,
    pub(super) backed_up: bool,
}

/// `clientDataJSON` (5.8.1).
#[derive(Deserialize)]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(rename = "crossOrigin", default)]
    cross_origin: bool,
}

/// The authenticator data (6.1).
struct AuthenticatorData<'a> {
    flags: u8,
    sign_count: u32,
    rest: &'a [u8],
}

/// Checks what came of making a credential (7.1).
pub(super) fn check_creation(
    expected: &Expected<'_>,
    client_data: &[u8],
    attestation_object: &[u8],
) -> Result<Created, PasskeyError> {
    check_client_data(expected, client_data)?;
    let (attestation, _) = Cbor::parse(attestation_object).ok_or(PasskeyError("the attestation can't be read"))?;
    let Some(Cbor::Bytes(data)) = attestation.entry(&Cbor::Text("authData")) else {
        return Err(PasskeyError("the attestation has no authenticator data"));
    };
    let data = authenticator_data(expected, data)?;
    if data.flags & HAS_CREDENTIAL == 0 {
        return Err(PasskeyError("no credential was made"));
    }
    let (id, key) = attested_credential(data.rest).ok_or(PasskeyError("the credential can't be read"))?;
    PublicKey::parse(key).ok_or(PasskeyError("the key is not of a kind that was asked for"))?;
    let backed_up = data.flags & BACKED_UP != 0;
    Ok(Created { id: id.to_vec(), public_key: key.to_vec(), sign_count: data.sign_count, backed_up })
}

/// Checks a signature by a credential (7.2).
pub(super) fn check_assertion(
    expected: &Expected<'_>,
    client_data: &[u8],
    data: &[u8],
    signature: &[u8],
    public_key: &[u8],
    sign_count: u64,
) -> Result<Asserted, PasskeyError> {
    check_client_data(expected, client_data)?;
    let key = PublicKey::parse(public_key).ok_or(PasskeyError("the key on record can't be read"))?;
    let signed = [data, &sha256(client_data)].concat();
    if !key.has_signed(&signed, signature) {
        return Err(PasskeyError("the signature is wrong"));
    }
    let data = authenticator_data(expected, data)?;
    // 7.2, 22: a count that does not grow means that there are two of what should be one.
    if (data.sign_count != 0 || sign_count != 0) && u64::from(data.sign_count) <= sign_count {
        return Err(PasskeyError("its count of signatures went back: there may be a copy of it"));
    }
    Ok(Asserted { sign_count: data.sign_count, backed_up: data.flags & BACKED_UP != 0 })
}

fn check_client_data(expected: &Expected<'_>, client_data: &[u8]) -> Result<(), PasskeyError> {
    let data: ClientData =
        serde_json::from_slice(client_data).map_err(|_| PasskeyError("the client data can't be read"))?;
    if data.kind != expected.kind {
        return Err(PasskeyError("it is an answer to something else"));
    }
    if data.challenge != URL_SAFE_NO_PAD.encode(expected.challenge) {
        return Err(PasskeyError("it answers another challenge"));
    }
    if data.origin != expected.origin || data.cross_origin {
        return Err(PasskeyError("it was made for another site"));
    }
    Ok(())
}

fn authenticator_data<'a>(expected: &Expected<'_>, bytes: &'a [u8]) -> Result<AuthenticatorData<'a>, PasskeyError> {
    let short = PasskeyError("the authenticator data is too short");
    let (party, rest) = bytes.split_first_chunk::<32>().ok_or(short)?;
    let (flags, rest) = rest.split_first().ok_or(short)?;
    let (sign_count, rest) = rest.split_first_chunk::<4>().ok_or(short)?;
    if *party != sha256(expected.relying_party.as_bytes()) {
        return Err(PasskeyError("it belongs to another site"));
    }
    if flags & USER_PRESENT == 0 || (expected.user_verified && flags & USER_VERIFIED == 0) {
        return Err(PasskeyError("the authenticator did not verify that it is you"));
    }
    // 6.1.3: only what may be backed up can be.
    if flags & BACKED_UP != 0 && flags & BACKUP_ELIGIBLE == 0 {
        return Err(PasskeyError("its flags contradict each other"));
    }
    Ok(AuthenticatorData { flags: *flags, sign_count: u32::from_be_bytes(*sign_count), rest })
}

/// The id and the key of the attested credential data (6.5.1).
fn attested_credential(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_aaguid, rest) = bytes.split_first_chunk::<16>()?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let length = usize::from(u16::from_be_bytes(*length));
    if length == 0 || length > CREDENTIAL_ID_BYTES_MAX {
        return None;
    }
    let (id, rest) = rest.split_at_checked(length)?;
    let (_, behind) = Cbor::parse(rest)?;
    Some((id, rest.get(..rest.len() - behind.len())?))
}

/// A COSE_Key (RFC 9052, 7) of one of the kinds that are taken.
enum PublicKey<'a> {
    P256([u8; 65]),
    Ed25519(&'a [u8]),
    Rsa { n: &'a [u8], e: &'a [u8] },
}

impl<'a> PublicKey<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (key, behind) = Cbor::parse(bytes)?;
        if !behind.is_empty() {
            return None;
        }
        let of_length = |label, length| key.bytes(label).filter(|bytes| bytes.len() == length);
        match (key.int(1)?, key.int(3)?) {
            (2, ES256) if key.int(-1)? == 1 => {
                let mut point = [0x04; 65];
                point.get_mut(1..33)?.copy_from_slice(of_length(-2, 32)?);
                point.get_mut(33..)?.copy_from_slice(of_length(-3, 32)?);
                Some(Self::P256(point))
            }
            (1, EDDSA) if key.int(-1)? == 6 => Some(Self::Ed25519(of_length(-2, 32)?)),
            (3, RS256) => {
                let (n, e) = (key.bytes(-1)?, key.bytes(-2)?);
                ((256..=1024).contains(&n.len()) && (1..=8).contains(&e.len())).then_some(Self::Rsa { n, e })
            }
            _ => None,
        }
    }

    fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(message, signature).is_ok()
            }
            Self::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok(),
            Self::Rsa { n, e } => {
                let key = RsaPublicKeyComponents { n, e };
                key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok()
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};

    const CHALLENGE: [u8; 32] = [7; 32];

    fn expected(kind: &'static str) -> Expected<'static> {
        Expected {
            kind,
            challenge: &CHALLENGE,
            origin: "https://example.com:8443",
            relying_party: "example.com",
            user_verified: true,
        }
    }

    /// An authenticator in software.
    pub(crate) struct SoftKey {
        key: EcdsaKeyPair,
        pub(crate) id: Vec<u8>,
    }

    impl SoftKey {
        pub(crate) fn generate() -> Self {
            let random = SystemRandom::new();
            let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
            let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random).unwrap();
            let id = sha256(key.public_key().as_ref())[..20].to_vec();
            Self { key, id }
        }

        fn cose(&self) -> Vec<u8> {
            let point = self.key.public_key().as_ref();
            [&[0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 0x20][..], &point[1..33], &[0x22, 0x58, 0x20], &point[33..]]
                .concat()
        }

        pub(crate) fn data(&self, party: &str, flags: u8, count: u32) -> Vec<u8> {
            [&sha256(party.as_bytes())[..], &[flags], &count.to_be_bytes()].concat()
        }

        pub(crate) fn attestation(&self, party: &str, flags: u8) -> Vec<u8> {
            let mut data = self.data(party, flags, 0);
            data.extend([0; 16]);
            data.extend(u16::try_from(self.id.len()).unwrap().to_be_bytes());
            data.extend(&self.id);
            data.extend(self.cose());
            let length = u8::try_from(data.len()).unwrap();
            [
                &[0xa3, 0x63][..],
                b"fmt",
                &[0x64],
                b"none",
                &[0x67],
                b"attStmt",
                &[0xa0, 0x68],
                b"authData",
                &[0x58, length],
                &data,
            ]
            .concat()
        }

        pub(crate) fn sign(&self, data: &[u8], client_data: &[u8]) -> Vec<u8> {
            let signed = [data, &sha256(client_data)].concat();
            self.key.sign(&SystemRandom::new(), &signed).unwrap().as_ref().to_vec()
        }
    }

    pub(crate) fn client_data(kind: &str, challenge: &str, origin: &str) -> Vec<u8> {
        serde_json::json!({"type": kind, "challenge": challenge, "origin": origin, "crossOrigin": false})
            .to_string()
            .into_bytes()
    }

    fn usual(kind: &str) -> Vec<u8> {
        client_data(kind, &URL_SAFE_NO_PAD.encode(CHALLENGE), "https://example.com:8443")
    }

    #[test]
    fn a_credential_is_made_and_signs() {
        let key = SoftKey::generate();
        let created = check_creation(
            &expected("webauthn.create"),
            &usual("webauthn.create"),
            &key.attestation("example.com", 0x45),
        )
        .unwrap();
        assert_eq!((&created.id, created.sign_count, created.backed_up), (&key.id, 0, false));
        let (data, client_data) = (key.data("example.com", 0x1d, 6), usual("webauthn.get"));
        let signature = key.sign(&data, &client_data);
        let check = |count| {
            check_assertion(&expected("webauthn.get"), &client_data, &data, &signature, &created.public_key, count)
        };
        assert_eq!(check(5), Ok(Asserted { sign_count: 6, backed_up: true }));
        assert_eq!(check(6), Err(PasskeyError("its count of signatures went back: there may be a copy of it")));
    }

    #[test]
    fn attack_answers_for_others_and_forged_ones_are_refused() {
        let key = SoftKey::generate();
        let created = check_creation(
            &expected("webauthn.create"),
            &usual("webauthn.create"),
            &key.attestation("example.com", 0x45),
        )
        .unwrap();
        let challenge = URL_SAFE_NO_PAD.encode(CHALLENGE);
        let check = |client_data: &[u8], party: &str, flags: u8, says: &str| {
            let data = key.data(party, flags, 1);
            let signature = key.sign(&data, client_data);
            let result =
                check_assertion(&expected("webauthn.get"), client_data, &data, &signature, &created.public_key, 0);
            assert!(result.unwrap_err().0.contains(says), "{result:?}: {says}");
        };
        check(&usual("webauthn.create"), "example.com", 0x05, "something else");
        check(&client_data("webauthn.get", "AAAA", "https://example.com:8443"), "example.com", 0x05, "challenge");
        check(&client_data("webauthn.get", &challenge, "https://evil.example"), "example.com", 0x05, "another site");
        check(&client_data("webauthn.get", &challenge, "https://example.com"), "example.com", 0x05, "another site");
        check(&usual("webauthn.get"), "evil.example", 0x05, "another site");
        check(&usual("webauthn.get"), "example.com", 0x04, "verify");
        check(&usual("webauthn.get"), "example.com", 0x01, "verify");
        check(&usual("webauthn.get"), "example.com", 0x15, "contradict");
        check(b"{", "example.com", 0x05, "can't be read");

        let (data, other) = (key.data("example.com", 0x05, 1), SoftKey::generate());
        let forged = other.sign(&data, &usual("webauthn.get"));
        for signature in [&forged[..], &[], &[0; 64]] {
            let result = check_assertion(
                &expected("webauthn.get"),
                &usual("webauthn.get"),
                &data,
                signature,
                &created.public_key,
                0,
            );
            assert_eq!(result, Err(PasskeyError("the signature is wrong")));
        }
    }

    #[test]
    fn attack_attestations_cut_anywhere_are_refused() {
        let whole = SoftKey::generate().attestation("example.com", 0x45);
        for length in 0..whole.len() {
            let result = check_creation(&expected("webauthn.create"), &usual("webauthn.create"), &whole[..length]);
            assert!(result.is_err(), "{length}");
        }
    }
}
