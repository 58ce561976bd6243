//! Accepting an invite: a grant begins, somebody joins an organisation, or a device changes hands.

use axum::Extension;
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use mooring_accounts::texts::texts;
use mooring_auth::{Secret, SecretKind};
use mooring_store::{Accepted, Accepting, InviteError, InviteKey};
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::grants::TransferBody;
use crate::caller::Caller;
use crate::{ApiContext, Letter, PeerAddress, Problem};

/// Which invite you accept: by its code, or by its id when it is addressed to you.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AcceptRequest {
    /// The code.
    #[schema(example = "miv_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    code: Option<String>,
    /// The id.
    id: Option<Uuid>,
    /// Where an organisation is invited: yours, of which you are an admin.
    organisation: Option<Uuid>,
}

/// What you have now.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AcceptedBody {
    /// The grant.
    #[serde(skip_serializing_if = "Option::is_none")]
    grant: Option<Uuid>,
    /// The device in which you have a part, or that is yours now.
    #[serde(skip_serializing_if = "Option::is_none")]
    device_id: Option<Uuid>,
    /// The organisation that you belong to.
    #[serde(skip_serializing_if = "Option::is_none")]
    organisation: Option<Uuid>,
    /// The receipt, when the device changed hands.
    #[serde(skip_serializing_if = "Option::is_none")]
    transfer: Option<TransferBody>,
    /// Retained messages that were removed, when the device changed hands.
    #[serde(skip_serializing_if = "Option::is_none")]
    retained_purged: Option<Vec<String>>,
}

/// Accept an invite
///
/// Once: who comes second is refused.
#[utoipa::path(
    post, path = "/v1/invites/acceptance", tag = "sharing",
    request_body(content = AcceptRequest, example = json!({"code": "miv_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"})),
    responses(
        (status = 201, description = "It is yours", body = AcceptedBody),
        (status = 409, description = "It is yours already", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn accept(
    State(context): State<ApiContext>,
    Extension(PeerAddress(address)): Extension<PeerAddress>,
    caller: Caller,
    body: Result<Json<AcceptRequest>, JsonRejection>,
) -> Result<impl IntoResponse, Problem> {
    context.rates.address(address.ip())?;
    let Json(AcceptRequest { code, id, organisation }) = body?;
    let user = caller.user()?;
    context.rates.subject(&format!("accepting by {user}"))?;
    let code = code.map(|code| Secret::parse(SecretKind::Invite, &code).ok_or(InviteError::UnknownOrOver));
    let code = code.transpose().map_err(refused)?.map(|code| code.hash());
    let key = match (&code, id) {
        (Some(hash), None) => InviteKey::Code(hash),
        (None, Some(id)) => InviteKey::Addressed(id),
        _ => return Err(Problem::invalid_request("Name either the code or the id of the invite.")),
    };
    let email = context.store.verified_email(user).await?;
    let who = Accepting { user, email: email.as_deref(), organisation };
    let now = OffsetDateTime::now_utc();
    let accepted = context.store.accept_invite(key, &who, now).await.map_err(refused)?;
    let (action, subject, body) = bring_into_force(&context, user, accepted).await?;
    context.store.append_audit(&caller.actor(), action, &subject, &json!({"device": body.device_id}), now).await?;
    Ok((StatusCode::CREATED, Json(body)))
}

async fn bring_into_force(
    context: &ApiContext,
    user: Uuid,
    accepted: Accepted,
) -> Result<(&'static str, String, AcceptedBody), Problem> {
    let nothing =
        AcceptedBody { grant: None, device_id: None, organisation: None, transfer: None, retained_purged: None };
    Ok(match accepted {
        Accepted::Grant(grant) => {
            let held = context.store.holders_of_grant(grant).await?;
            context.sharing.put_in_force(&held);
            let device_id = held.first().map(|grant| grant.device);
            ("grant.accept", format!("grant:{grant}"), AcceptedBody { grant: Some(grant), device_id, ..nothing })
        }
        Accepted::Membership(organisation) => {
            let role = context.store.role_in_organisation(organisation, user).await?;
            context.sharing.membership_changed(organisation, user, role).await?;
            let body = AcceptedBody { organisation: Some(organisation), ..nothing };
            ("organisation.join", format!("organisation:{organisation}"), body)
        }
        Accepted::Transfer(transfer) => {
            let device = transfer.device;
            context.sharing.owner_changed(device, Some(user));
            let purged = context.sharing.purge_retained(device).await;
            tell_both(context, &transfer).await?;
            let body = AcceptedBody {
                device_id: Some(device),
                transfer: Some(transfer.into()),
                retained_purged: Some(purged),
                ..nothing
            };
            ("device.transfer", format!("device:{device}"), body)
        }
    })
}

/// Both owners get a receipt by mail, where they have an address.
async fn tell_both(context: &ApiContext, transfer: &mooring_store::Transfer) -> Result<(), Problem> {
    let Some(post) = &context.post else { return Ok(()) };
    let (device, receipt) = (transfer.device.to_string(), transfer.id.to_string());
    for (user, did) in [(transfer.from, "given-away"), (transfer.to, "taken-over")] {
        let Some(to) = context.store.verified_email(user).await? else { continue };
        let texts = texts(&context.accounts.profile(user).await?.language);
        let values = [("device", device.as_str()), ("receipt", receipt.as_str())];
        let text = |part: &str| texts.fill(&format!("mail-{did}-{part}"), &values);
        post(Letter { to, subject: text("subject"), text: text("text") });
    }
    Ok(())
}

fn refused(error: InviteError) -> Problem {
    match error {
        InviteError::UnknownOrOver => {
            Problem::invite_refused("Ask for a new one: this one is unknown, used or taken back.")
        }
        InviteError::Expired => Problem::invite_refused("Ask for a new one: the time of this one is over."),
        InviteError::NotForYou => {
            Problem::invite_for_another("It is for another e-mail address than the verified one of your account.")
        }
        InviteError::ForOrganisation => Problem::invite_for_another(
            "It is for an organisation: name yours in `organisation`, of which you have to be an admin.",
        ),
        InviteError::Already => Problem::conflict("What is offered is yours already."),
        InviteError::Store(error) => error.into(),
    }
}
