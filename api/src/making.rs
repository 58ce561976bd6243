//! Making devices, accounts and tokens, with the secrets that are shown this once.

use mooring_auth::{AuthError, ClaimCode, Secret, SecretKind};
use mooring_store::{NewDevice, NewToken, NewUser, Store, User};
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::{Duration, OffsetDateTime};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::Problem;

/// A device as it leaves the factory. The secrets are nowhere else: the store has their hashes.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MadeDevice {
    /// Its id.
    pub id: Uuid,
    /// What it is.
    #[schema(example = "washer")]
    pub model: String,
    /// With it the device gets its first certificate, once.
    #[schema(example = "enr_0123456789abcdefghijklmnopqrstuv")]
    pub enrolment_secret: String,
    /// With it, from the label, somebody makes the device their own.
    #[schema(example = "7F3K-9QXM-2R8T-W4BN")]
    pub claim_code: String,
}

/// Which devices are to be made.
#[derive(Clone, Copy, Debug)]
pub struct DeviceOrder<'a> {
    /// What they are.
    pub model: &'a str,
    /// The batch, whose quota and end they keep.
    pub batch: Option<&'a str>,
    /// How many.
    pub count: u32,
    /// How long their enrolment secrets are good.
    pub secret_lifetime: Duration,
}

/// Makes devices, all or none.
///
/// # Errors
/// What the store refuses, such as a batch that is full, or its absence.
pub async fn make_devices(store: &Store, order: &DeviceOrder<'_>, actor: &str) -> Result<Vec<MadeDevice>, Problem> {
    let DeviceOrder { model, batch, count, secret_lifetime } = *order;
    let now = OffsetDateTime::now_utc();
    let devices = (0..count).map(|_| new_device(model, batch, now, secret_lifetime));
    let devices = devices.collect::<Result<Vec<_>, _>>().map_err(no_random)?;
    let (made, rows): (Vec<_>, Vec<_>) = devices.into_iter().unzip();
    store.create_devices(&rows, now).await?;
    let detail = json!({"model": model, "batch": batch, "count": count});
    store.append_audit(actor, "device.create", &format!("model:{model}"), &detail, now).await?;
    Ok(made)
}

/// Makes the id and the secrets of a device: what is shown once, and what is stored.
///
/// # Errors
/// [`AuthError::Random`].
pub fn new_device(
    model: &str,
    batch: Option<&str>,
    now: OffsetDateTime,
    secret_lifetime: Duration,
) -> Result<(MadeDevice, NewDevice), AuthError> {
    let (id, secret, code) = (Uuid::now_v7(), Secret::generate(SecretKind::Enrolment)?, ClaimCode::generate()?);
    let stored = NewDevice {
        id,
        model: model.to_owned(),
        batch: batch.map(str::to_owned),
        enrolment_secret_hash: secret.hash(),
        enrolment_expires_at: now + secret_lifetime,
        claim_code_hash: code.hash(),
    };
    let (enrolment_secret, claim_code) = (secret.reveal().to_owned(), code.reveal());
    Ok((MadeDevice { id, model: model.to_owned(), enrolment_secret, claim_code }, stored))
}

/// Makes an account without a password.
///
/// # Errors
/// The name is taken, or the store is away.
pub async fn make_user(store: &Store, name: &str, actor: &str) -> Result<User, Problem> {
    let now = OffsetDateTime::now_utc();
    let user = store.create_user(&NewUser { id: Uuid::now_v7(), name: name.to_owned(), email: None }, now).await?;
    let subject = format!("user:{}", user.id);
    store.append_audit(actor, "user.create", &subject, &json!({"name": user.name}), now).await?;
    Ok(user)
}

/// A token that is to be made.
#[derive(Clone, Debug)]
pub struct TokenOrder {
    /// The user whom it stands for; none for an operator's.
    pub user: Option<Uuid>,
    /// What it may do.
    pub scopes: Vec<String>,
    /// What it is for.
    pub label: String,
    /// When it ends; without it, never.
    pub expires_at: Option<OffsetDateTime>,
}

/// Makes a bearer token: gives its id, and the token, which is shown this once.
///
/// # Errors
/// There is no such user, or the store is away.
pub async fn make_token(store: &Store, order: TokenOrder, actor: &str) -> Result<(Uuid, Secret), Problem> {
    let TokenOrder { user, scopes, label, expires_at } = order;
    let (id, now) = (Uuid::now_v7(), OffsetDateTime::now_utc());
    let secret = Secret::generate(SecretKind::ApiToken).map_err(no_random)?;
    let detail = json!({"user": user, "scopes": scopes, "label": label});
    store.create_token(&NewToken { id, hash: secret.hash(), user, scopes, label, expires_at }, now).await?;
    store.append_audit(actor, "token.create", &format!("token:{id}"), &detail, now).await?;
    Ok((id, secret))
}

pub(crate) fn no_random(_: AuthError) -> Problem {
    Problem::internal("The system has no random numbers.")
}
