//! Making devices and accounts: what the `device`, `user` and `token` commands do, and the demonstration with them.

use anyhow::Context as _;
use mooring_auth::{ClaimCode, Secret, SecretKind};
use mooring_store::{NewDevice, NewToken, NewUser, Store, User};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

/// A device as it leaves the factory. The secrets are nowhere else: the store has their hashes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct MadeDevice {
    pub(crate) id: Uuid,
    pub(crate) model: String,
    pub(crate) enrolment_secret: String,
    pub(crate) claim_code: String,
}

/// Makes `count` devices, all or none.
pub(crate) async fn make_devices(
    store: &Store,
    model: &str,
    batch: Option<&str>,
    count: u32,
    secret_lifetime: Duration,
) -> anyhow::Result<Vec<MadeDevice>> {
    let now = OffsetDateTime::now_utc();
    let devices = (0..count).map(|_| new_device(model, batch, now, secret_lifetime));
    let (made, rows): (Vec<_>, Vec<_>) = devices.collect::<anyhow::Result<Vec<_>>>()?.into_iter().unzip();
    store.create_devices(&rows, now).await.context("the devices could not be stored")?;
    let detail = serde_json::json!({"model": model, "batch": batch, "count": count});
    store.append_audit("operator", "device.create", &format!("model:{model}"), &detail, now).await?;
    Ok(made)
}

/// Makes the id and the secrets of a device: what is shown once, and what is stored.
pub(crate) fn new_device(
    model: &str,
    batch: Option<&str>,
    now: OffsetDateTime,
    secret_lifetime: Duration,
) -> anyhow::Result<(MadeDevice, NewDevice)> {
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

/// Makes an account.
pub(crate) async fn make_user(store: &Store, name: &str) -> anyhow::Result<User> {
    let now = OffsetDateTime::now_utc();
    let user = store.create_user(&NewUser { id: Uuid::now_v7(), name: name.to_owned(), email: None }, now).await?;
    store
        .append_audit("operator", "user.create", &format!("user:{}", user.id), &serde_json::json!({"name": name}), now)
        .await?;
    Ok(user)
}

/// A token as it is shown, once.
pub(crate) struct MadeToken {
    pub(crate) id: Uuid,
    pub(crate) token: String,
}

/// Makes a bearer token.
pub(crate) async fn make_token(
    store: &Store,
    user: Option<Uuid>,
    scopes: Vec<String>,
    label: &str,
    lifetime: Option<Duration>,
) -> anyhow::Result<MadeToken> {
    let now = OffsetDateTime::now_utc();
    let secret = Secret::generate(SecretKind::ApiToken)?;
    let id = Uuid::now_v7();
    let detail = serde_json::json!({"user": user, "scopes": scopes, "label": label});
    let token = NewToken {
        id,
        hash: secret.hash(),
        user,
        scopes,
        label: label.to_owned(),
        expires_at: lifetime.map(|lifetime| now + lifetime),
    };
    store.create_token(&token, now).await?;
    store.append_audit("operator", "token.create", &format!("token:{id}"), &detail, now).await?;
    Ok(MadeToken { id, token: secret.reveal().to_owned() })
}
