//! Who may have a certificate, and getting it: one way for all endpoints that sign.

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use mooring_auth::{Secret, SecretKind, Shown};
use mooring_certs::{
    ClientUuid, CsrError, DeviceId, Issued, LeafIdentity, ManufacturerLeaf, SigningRequest, SpiffeKind, Validity,
};
use mooring_core::Identity;
use mooring_store::{
    BatchFinding, BatchRefusal, CertificateHolder, EnrolError, FindingKind, ManufacturerCertificate, ManufacturerError,
    NewCertificate, RenewError, StoreError,
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::caller::{Caller, bearer};
use crate::{ApiContext, Problem, ShownCertificate};

/// The proof that somebody may have a certificate.
#[derive(Debug)]
pub(crate) enum Proof {
    /// The one-time secret of a device.
    Secret { device: Uuid, hash: [u8; 32] },
    /// The certificate that is in force: the one that follows is for the same holder.
    Certificate(Box<LeafIdentity>),
    /// A device's certificate that ended not long ago.
    Late(Box<LeafIdentity>),
    /// A manufacturer's certificate, which makes a device.
    Manufacturer { certificate: Box<ManufacturerCertificate>, device: Uuid },
    /// An operator's word for a device.
    Operator { device: Uuid, actor: String },
}

impl Proof {
    /// From `Basic <id>:<secret>` (`curl -u`); from `Bearer <secret>`, which names its device by itself; from an operator's `Bearer <token>`, for
    /// `device`; or from the certificate that the peer showed in the handshake, ours or a manufacturer's. What is written goes over what was shown.
    pub(crate) async fn read(
        context: &ApiContext,
        headers: &HeaderMap,
        shown: Option<&ShownCertificate>,
        device: Option<Uuid>,
    ) -> Result<Self, Problem> {
        match bearer(headers) {
            Some(token) if token.starts_with(SecretKind::ApiToken.prefix()) => {
                let caller = Caller::of_token(context, token).await?;
                caller.require_operator()?;
                let device = device.ok_or_else(|| {
                    Problem::invalid_request("With an operator's token, say for which device: `?device=<id>`.")
                })?;
                return Ok(Self::Operator { device, actor: caller.actor() });
            }
            Some(secret) => {
                let hash = enrolment_hash(secret)?;
                let device = context.store.device_of_enrolment_secret(&hash).await?;
                let device = device.ok_or_else(|| enrolment_problem(EnrolError::UnknownOrWrongSecret))?;
                return Ok(Self::Secret { device, hash });
            }
            None => {}
        }
        if let Some((device, secret)) = basic(headers) {
            let device = device.parse().map_err(|_| {
                Problem::enrolment_secret_wrong(
                    "The user name must be the device's id, a UUID as `mooring device create` printed it.",
                )
            })?;
            return Ok(Self::Secret { device, hash: enrolment_hash(&secret)? });
        }
        match shown {
            Some(ShownCertificate { leaf, shown: Shown::Manufacturer { authority } }) => {
                Self::of_manufacturer(leaf, *authority)
            }
            Some(shown) => Self::of_certificate(context, shown),
            None => Err(Problem::unauthorized(
                "Send the device's id and its enrolment secret: `curl -u \"$DEVICE_ID:$ENROLMENT_SECRET\"`; or, to renew, connect with the \
                 certificate that is in force.",
            )),
        }
    }

    /// The handshake has verified the certificate. A connection lives longer than a handshake: what may have changed is asked again.
    pub(crate) fn of_certificate(context: &ApiContext, shown: &ShownCertificate) -> Result<Self, Problem> {
        let leaf = match &shown.shown {
            Shown::InForce(leaf) | Shown::Late(leaf) => leaf.clone(),
            Shown::Manufacturer { .. } => {
                return Err(Problem::unauthorized(
                    "A manufacturer's certificate enrols; to renew, connect with the one that was got by it.",
                ));
            }
        };
        if context.revoker.is_revoked(leaf.issuer_id, leaf.serial) {
            return Err(renewal_problem(RenewError::Revoked));
        }
        if context.rights.is_blocked(&Identity::new(&leaf.spiffe_id.to_string())) {
            return Err(renewal_problem(RenewError::Retired));
        }
        match shown.shown {
            Shown::Late(_) => Ok(Self::Late(Box::new(leaf))),
            _ if leaf.not_after <= OffsetDateTime::now_utc() => Err(renewal_problem(RenewError::Expired)),
            _ => Ok(Self::Certificate(Box::new(leaf))),
        }
    }

    /// The connection of a device stands for a certificate in force: the newest of the device, since a connection does not say which.
    pub(crate) async fn of_connection(context: &ApiContext, device: Uuid) -> Result<Self, Problem> {
        let now = OffsetDateTime::now_utc();
        let certificates = context.store.certificates_of_device(device).await?;
        let mut in_force = certificates.iter().filter(|one| one.revoked.is_none() && one.not_after > now);
        let newest = in_force.next().ok_or_else(|| renewal_problem(RenewError::Expired))?;
        let leaf = LeafIdentity::read(&newest.der).map_err(|error| {
            tracing::error!(serial = newest.serial, %error, "a certificate on record can't be read");
            Problem::internal("The certificate on record can't be read; the server's log says why.")
        })?;
        Ok(Self::Certificate(Box::new(leaf)))
    }

    /// The handshake has verified the chain up to this authority. The device that is made gets its id here.
    fn of_manufacturer(leaf: &[u8], authority: [u8; 32]) -> Result<Self, Problem> {
        let ManufacturerLeaf { fingerprint, issuer, serial, .. } =
            ManufacturerLeaf::read(leaf).map_err(|why| Problem::unauthorized(format!("The certificate: {why}.")))?;
        let certificate = ManufacturerCertificate { fingerprint, authority, issuer, serial };
        Ok(Self::Manufacturer { certificate: Box::new(certificate), device: Uuid::now_v7() })
    }

    /// What a limit on requests counts by.
    pub(crate) fn subject(&self) -> String {
        match self {
            Self::Secret { device, .. } | Self::Operator { device, .. } => format!("device:{device}"),
            Self::Manufacturer { device, .. } => format!("device:{device}"),
            Self::Certificate(leaf) | Self::Late(leaf) => match &leaf.spiffe_id.kind {
                SpiffeKind::Device(id) => format!("device:{id}"),
                SpiffeKind::Client(id) => format!("client:{id}"),
                SpiffeKind::Server(name) => format!("server:{name}"),
            },
        }
    }

    /// Whose budget a request is taken from: a manufacturer's certificate has one of its own, since each request with it names another device.
    fn payer(&self) -> String {
        match self {
            Self::Manufacturer { certificate, .. } => format!("certificate:{}", hex(&certificate.fingerprint)),
            _ => self.subject(),
        }
    }

    /// Signs the key of the request. What leaves this function is on record, and its proof used up where it works once.
    pub(crate) async fn issue(&self, context: &ApiContext, request: &[u8]) -> Result<Issued, Problem> {
        let now = OffsetDateTime::now_utc();
        match self {
            Self::Secret { device, hash } => {
                context.store.check_enrolment(*device, hash, now).await.map_err(enrolment_problem)?;
            }
            Self::Manufacturer { certificate, .. } => {
                context.store.check_manufactured(certificate).await.map_err(manufacturer_problem)?;
            }
            Self::Certificate(_) | Self::Late(_) | Self::Operator { .. } => {}
        }
        // Counted once it is known who asks: somebody else's guesses cannot use up a device's budget. Operators have none.
        if !matches!(self, Self::Operator { .. }) {
            context.rates.subject(&self.payer())?;
        }
        let request = SigningRequest::parse(request).map_err(signing_request_problem)?;
        let issued = self.sign(context, &request, now)?;
        self.record(context, &issued, now).await?;
        tracing::info!(subject = self.subject(), serial = %issued.serial, "certificate issued");
        Ok(issued)
    }

    /// Puts the certificate on record, into the audit log too, and uses the proof up, all or nothing.
    async fn record(&self, context: &ApiContext, issued: &Issued, now: OffsetDateTime) -> Result<(), Problem> {
        match self {
            Self::Secret { device, hash } => {
                // Of two requests that race with one secret, the store lets one through.
                let certificate = record(issued, CertificateHolder::Device(*device));
                context.store.enrol(*device, hash, now, &certificate).await.map_err(enrolment_problem)
            }
            Self::Operator { device, actor } => {
                let certificate = record(issued, CertificateHolder::Device(*device));
                let recorded = context.store.record_for_device(*device, actor, now, &certificate).await;
                recorded.map_err(enrolment_problem)
            }
            Self::Certificate(leaf) => {
                let holder = match &leaf.spiffe_id.kind {
                    SpiffeKind::Device(id) => CertificateHolder::Device(id.uuid()),
                    SpiffeKind::Client(id) => CertificateHolder::Client(id.uuid()),
                    SpiffeKind::Server(name) => CertificateHolder::Server(name.to_string()),
                };
                let renewed = context.store.renew(&leaf.serial.to_string(), now, &record(issued, holder)).await;
                renewed.map_err(renewal_problem)
            }
            Self::Late(leaf) => {
                let SpiffeKind::Device(id) = leaf.spiffe_id.kind else {
                    return Err(renewal_problem(RenewError::Expired));
                };
                let certificate = record(issued, CertificateHolder::Device(id.uuid()));
                let renewed =
                    context.store.renew_late(&leaf.serial.to_string(), context.grace, now, &certificate).await;
                renewed.map_err(renewal_problem)
            }
            Self::Manufacturer { certificate: shown, device } => {
                let certificate = record(issued, CertificateHolder::Device(*device));
                let enrolled = context.store.enrol_manufactured(shown, *device, now, &certificate).await;
                if let Err(ManufacturerError::Batch(refusal)) = &enrolled {
                    note_overrun(context, shown, refusal, now).await;
                }
                enrolled.map(drop).map_err(manufacturer_problem)
            }
        }
    }

    fn sign(&self, context: &ApiContext, request: &SigningRequest, now: OffsetDateTime) -> Result<Issued, Problem> {
        let authority = context.authority.current();
        let device = |id: DeviceId| authority.issue_device(request, id, &Validity::new(now, context.lifetimes.device));
        let client =
            |id: ClientUuid| authority.issue_client(request, id, &Validity::new(now, context.lifetimes.client));
        let issued = match self {
            Self::Secret { device: id, .. }
            | Self::Operator { device: id, .. }
            | Self::Manufacturer { device: id, .. } => device(DeviceId::from(*id)),
            Self::Certificate(leaf) | Self::Late(leaf) => match leaf.spiffe_id.kind {
                SpiffeKind::Device(id) => device(id),
                SpiffeKind::Client(id) => client(id),
                SpiffeKind::Server(_) => {
                    return Err(Problem::forbidden("The certificate of a server is not renewed here."));
                }
            },
        };
        issued.map_err(|error| {
            tracing::error!(subject = self.subject(), %error, "a certificate could not be issued");
            Problem::internal("The certificate could not be issued; the server's log says why.")
        })
    }
}

/// What has not even the form of a secret is as wrong as a wrong one.
fn enrolment_hash(text: &str) -> Result<[u8; 32], Problem> {
    let secret = Secret::parse(SecretKind::Enrolment, text);
    secret.map(|secret| secret.hash()).ok_or_else(|| enrolment_problem(EnrolError::UnknownOrWrongSecret))
}

/// User name and password of `Authorization: Basic` (RFC 7617).
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let (scheme, credentials) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let credentials = String::from_utf8(BASE64_STANDARD.decode(credentials.trim()).ok()?).ok()?;
    let (user, password) = credentials.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

fn record(issued: &Issued, holder: CertificateHolder) -> NewCertificate {
    NewCertificate {
        serial: issued.serial.to_string(),
        holder,
        issuer: issued.issuer_id.to_string(),
        not_before: issued.not_before,
        not_after: issued.not_after,
        fingerprint: issued.fingerprint_sha256,
        der: issued.der.to_vec(),
    }
}

fn enrolment_problem(error: EnrolError) -> Problem {
    match error {
        EnrolError::UnknownOrWrongSecret => Problem::enrolment_secret_wrong(
            "Check the device's id and the secret against what `mooring device create` printed.",
        ),
        EnrolError::Used => Problem::enrolment_secret_used(
            "A secret works once. If the device lost its key, have the operator make a new secret for it.",
        ),
        EnrolError::Expired => Problem::enrolment_secret_expired("Have the operator make a new secret for the device."),
        EnrolError::Retired => Problem::device_retired("A retired device gets no certificate."),
        EnrolError::Batch(refusal) => batch_problem(&refusal),
        EnrolError::Store(StoreError::NotFound { .. }) => Problem::not_found("There is no such device."),
        EnrolError::Store(error) => error.into(),
    }
}

/// The names of batches are no secret of whoever has proved to be in one.
fn batch_problem(refusal: &BatchRefusal) -> Problem {
    match refusal {
        BatchRefusal::Quota { .. } => Problem::batch_full(format!("{refusal}. Have the operator raise its quota.")),
        BatchRefusal::Ended { .. } => Problem::batch_ended(format!("{refusal}. Have the operator extend it.")),
        BatchRefusal::Unknown(_) | BatchRefusal::Model { .. } => Problem::batch_ended(format!("{refusal}.")),
    }
}

fn manufacturer_problem(error: ManufacturerError) -> Problem {
    match error {
        ManufacturerError::Untrusted => Problem::manufacturer_untrusted("The authority was removed here."),
        ManufacturerError::Used(_) => Problem::manufacturer_certificate_used(
            "A manufacturer's certificate works once. If the device lost its key, have the operator sign for it.",
        ),
        ManufacturerError::Batch(refusal) => batch_problem(&refusal),
        ManufacturerError::Store(error) => error.into(),
    }
}

/// So that an operator sees who was kept out, and can make room.
async fn note_overrun(
    context: &ApiContext,
    shown: &ManufacturerCertificate,
    refusal: &BatchRefusal,
    now: OffsetDateTime,
) {
    let (kind, batch) = match refusal {
        BatchRefusal::Quota { batch, .. } => (FindingKind::Overrun, batch),
        BatchRefusal::Ended { batch, .. } => (FindingKind::Late, batch),
        BatchRefusal::Unknown(_) | BatchRefusal::Model { .. } => return,
    };
    let finding = BatchFinding {
        batch: batch.clone(),
        kind,
        subject: hex(&shown.fingerprint),
        source: format!("manufacturer {}", hex(&shown.authority)),
        detail: format!("a device with the certificate {} asked to enrol", shown.serial),
        at: now,
    };
    if let Err(error) = context.store.note_finding(&finding).await {
        tracing::warn!(%error, batch, "a device that was kept out could not be noted");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn renewal_problem(error: RenewError) -> Problem {
    match error {
        RenewError::Unknown => Problem::certificate_not_in_force("The certificate is not on record here."),
        RenewError::Revoked => Problem::certificate_not_in_force("The certificate is revoked."),
        RenewError::Expired => Problem::certificate_not_in_force("The certificate has expired."),
        RenewError::Superseded => Problem::certificate_not_in_force(
            "The certificate has expired, and the device has had a newer one since: renew with that.",
        ),
        RenewError::NotConfirmed => Problem::renewal_not_confirmed(
            "The certificate has expired. The device's owner, or an operator, has to confirm the renewal; then send the request again.",
        ),
        RenewError::Retired => Problem::device_retired("A retired device gets no certificate."),
        RenewError::Store(error) => error.into(),
    }
}

fn signing_request_problem(error: CsrError) -> Problem {
    match error {
        error @ (CsrError::KeyType(_) | CsrError::KeyEncoding(_)) => Problem::unacceptable_key(format!("{error}.")),
        error => Problem::malformed_signing_request(format!("{error}.")),
    }
}
