//! Invites: what an owner offers, and to whom.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use mooring_accounts::texts::texts;
use mooring_auth::{Secret, SecretKind};
use mooring_store::{GrantRole, Invite, NewInvite, Offer, OrganisationRole};
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::{Duration, OffsetDateTime};
use utoipa::ToSchema;
use uuid::Uuid;

use super::grants::GONE;
use super::page::{self, PageBody, PageQuery};
use super::terms::{parse_email, parse_scopes, parse_until};
use super::text;
use crate::access::DeviceAccess;
use crate::caller::Caller;
use crate::{ApiContext, Letter, Problem};

/// Whom you let in, and as what.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InviteRequest {
    /// `guest` sees; `member` sees and commands; `technician` has the scopes that you choose.
    #[schema(example = "technician")]
    role: String,
    /// What a technician may do: `telemetry`, `events`, `logs`, `state`, `presence`, `commands` (to see them), `command:<name>` (to send that one),
    /// `updates`.
    #[serde(default)]
    #[schema(example = json!(["telemetry", "logs", "command:self-test"]))]
    scopes: Vec<String>,
    /// When the grant will end by itself (RFC 3339). A technician's has to.
    #[schema(format = DateTime, example = "2027-01-31T18:00:00Z")]
    until: Option<String>,
    /// Why. A technician's has to say.
    #[serde(default)]
    #[schema(example = "It leaks.")]
    reason: String,
    /// Only who has this e-mail address may accept; the invite is sent there. Without it, whoever has the code may.
    #[schema(example = "otto@example.com")]
    email: Option<String>,
    /// An organisation is invited: one of its admins accepts for it.
    #[serde(default)]
    organisation: bool,
    /// How long the invite can be accepted, hours.
    #[serde(default = "hours")]
    #[schema(minimum = 1, maximum = 720, default = 72)]
    valid_hours: u32,
}

fn hours() -> u32 {
    72
}

/// An invite, with its code: shown this once.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MadeInvite {
    #[serde(flatten)]
    invite: InviteBody,
    /// Who has it may accept.
    #[schema(example = "miv_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    code: String,
    /// The same as a link, for a mail or a QR code: the code is behind the `#`, which is sent to no server.
    #[schema(example = "https://mooring.example.com/app/invite#miv_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    link: String,
    /// Whether a mail with the link is on its way.
    mailed: bool,
}

/// An invite.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct InviteBody {
    /// Its id.
    id: Uuid,
    /// The device in which a part is offered, or that is given away.
    #[serde(skip_serializing_if = "Option::is_none")]
    device_id: Option<Uuid>,
    /// The organisation to which one is invited.
    #[serde(skip_serializing_if = "Option::is_none")]
    organisation_id: Option<Uuid>,
    /// `guest`, `member`, `technician`, `owner` for a device that is given away; `admin` or `colleague` in an organisation.
    #[schema(example = "technician")]
    role: &'static str,
    /// Whether an organisation is invited.
    organisation: bool,
    /// What a technician may do.
    scopes: Vec<String>,
    /// When the grant will end by itself.
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    until: Option<OffsetDateTime>,
    /// Why.
    #[schema(example = "It leaks.")]
    reason: String,
    /// Only who has this address may accept.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    /// Until when it can be accepted.
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
    /// `open`, `accepted`, `cancelled` or `expired`.
    #[schema(example = "open")]
    status: &'static str,
}

impl From<Invite> for InviteBody {
    fn from(invite: Invite) -> Self {
        let now = OffsetDateTime::now_utc();
        let status = match (invite.accepted_at, invite.cancelled_at, invite.expires_at <= now) {
            (Some(_), _, _) => "accepted",
            (None, Some(_), _) => "cancelled",
            (None, None, true) => "expired",
            (None, None, false) => "open",
        };
        let (device_id, organisation_id, role, organisation) = match invite.offer {
            Offer::Part { device, role, for_organisation } => (Some(device), None, role.as_str(), for_organisation),
            Offer::Device { device } => (Some(device), None, "owner", false),
            Offer::Membership { organisation, role: OrganisationRole::Admin } => {
                (None, Some(organisation), "admin", false)
            }
            Offer::Membership { organisation, role: OrganisationRole::Technician } => {
                (None, Some(organisation), "colleague", false)
            }
        };
        Self {
            id: invite.id,
            device_id,
            organisation_id,
            role,
            organisation,
            scopes: invite.scopes,
            until: invite.until,
            reason: invite.reason,
            email: invite.email,
            created_at: invite.created_at,
            expires_at: invite.expires_at,
            status,
        }
    }
}

/// Invite somebody to a device
///
/// The owner alone. The answer has a code and a link for a QR code; with an e-mail address, the link is sent there, too. Nothing is shared until the
/// other side accepts.
#[utoipa::path(
    post, path = "/v1/devices/{device_id}/invites", tag = "sharing", params(("device_id" = Uuid, Path)),
    request_body(content = InviteRequest, example = json!({"role": "technician", "scopes": ["telemetry", "logs", "command:self-test"], "until": "2027-01-31T18:00:00Z", "reason": "It leaks."})),
    responses((status = 201, description = "The invite, with its code", body = MadeInvite)),
)]
pub(super) async fn create(
    State(context): State<ApiContext>,
    caller: Caller,
    access: DeviceAccess,
    body: Result<Json<InviteRequest>, JsonRejection>,
) -> Result<impl IntoResponse, Problem> {
    let Json(request) = body?;
    let role = GrantRole::from_name(&request.role)
        .ok_or_else(|| Problem::invalid_request("role is guest, member or technician."))?;
    let terms = Terms {
        offer: Offer::Part { device: access.device.id, role, for_organisation: request.organisation },
        scopes: parse_scopes(role, &request.scopes)?,
        until: parse_until(role, request.until.as_deref())?,
        reason: text::reason(&request.reason)?,
        email: request.email,
        valid_hours: request.valid_hours,
    };
    if role == GrantRole::Technician && terms.reason.is_empty() {
        return Err(Problem::invalid_request("A technician's invite says for what reason."));
    }
    let by = access.device.owner.ok_or_else(|| Problem::conflict("The device has no owner."))?;
    Ok((StatusCode::CREATED, Json(make(&context, &caller, by, terms).await?)))
}

/// To whom a device is given.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TransferRequest {
    /// Only who has this e-mail address may take it; the invite is sent there. Without it, whoever has the code may.
    #[schema(example = "otto@example.com")]
    email: Option<String>,
    /// How long it can be taken, hours.
    #[serde(default = "hours")]
    #[schema(minimum = 1, maximum = 720, default = 72)]
    valid_hours: u32,
}

/// Give a device to somebody
///
/// It changes hands when the other side accepts. Shares end then, state and what was retained are wiped, and the new owner does not see what was
/// before. Both find the receipt among their transfers.
#[utoipa::path(
    post, path = "/v1/devices/{device_id}/transfer", tag = "sharing", params(("device_id" = Uuid, Path)),
    request_body(content = TransferRequest, example = json!({"valid_hours": 24})),
    responses((status = 201, description = "The offer, with its code", body = MadeInvite)),
)]
pub(super) async fn transfer(
    State(context): State<ApiContext>,
    caller: Caller,
    access: DeviceAccess,
    body: Result<Json<TransferRequest>, JsonRejection>,
) -> Result<impl IntoResponse, Problem> {
    let Json(TransferRequest { email, valid_hours }) = body?;
    let by = access.device.owner.ok_or_else(|| Problem::conflict("The device has no owner."))?;
    let offer = Offer::Device { device: access.device.id };
    let terms = Terms { offer, scopes: Vec::new(), until: None, reason: String::new(), email, valid_hours };
    Ok((StatusCode::CREATED, Json(make(&context, &caller, by, terms).await?)))
}

/// What is offered, on which terms.
pub(super) struct Terms {
    pub(super) offer: Offer,
    pub(super) scopes: Vec<String>,
    pub(super) until: Option<OffsetDateTime>,
    pub(super) reason: String,
    pub(super) email: Option<String>,
    pub(super) valid_hours: u32,
}

/// Makes an invite, and mails it where it has an address.
pub(super) async fn make(context: &ApiContext, caller: &Caller, by: Uuid, terms: Terms) -> Result<MadeInvite, Problem> {
    context.rates.subject(&format!("invites of {by}"))?;
    if !(1..=720).contains(&terms.valid_hours) {
        return Err(Problem::invalid_request("valid_hours is between 1 and 720."));
    }
    let email = terms.email.as_deref().map(parse_email).transpose()?;
    let now = OffsetDateTime::now_utc();
    let random = |_| Problem::internal("The system has no random numbers.");
    let code = Secret::generate(SecretKind::Invite).map_err(random)?;
    let invite = NewInvite {
        id: Uuid::now_v7(),
        hash: code.hash(),
        offer: terms.offer,
        scopes: terms.scopes,
        until: terms.until,
        reason: terms.reason,
        email: email.clone(),
        created_by: by,
        expires_at: now + Duration::hours(i64::from(terms.valid_hours)),
    };
    context.store.create_invite(&invite, now).await?;
    let made = context.store.invite(invite.id).await?.ok_or_else(|| Problem::conflict("The invite is gone."))?;
    let link = format!("{}/app/invite#{}", context.public_url, code.reveal());
    let mailed = match (&email, &context.post) {
        (Some(email), Some(post)) => {
            post(letter(context, by, email, &link, &made).await?);
            true
        }
        _ => false,
    };
    let body = InviteBody::from(made);
    let detail = json!({"role": body.role, "device": body.device_id, "organisation": body.organisation_id, "email": email.is_some()});
    context.store.append_audit(&caller.actor(), "invite.create", &format!("invite:{}", body.id), &detail, now).await?;
    Ok(MadeInvite { invite: body, code: code.reveal().to_owned(), link, mailed })
}

/// What the mail says: nothing but names that were checked, and the link.
async fn letter(context: &ApiContext, by: Uuid, email: &str, link: &str, invite: &Invite) -> Result<Letter, Problem> {
    let name = context.store.user(by).await?.map(|user| user.name).unwrap_or_default();
    let subject = match invite.offer {
        Offer::Part { role: GrantRole::Guest, .. } => "mail-invite-guest-subject",
        Offer::Part { role: GrantRole::Member, .. } => "mail-invite-member-subject",
        Offer::Part { role: GrantRole::Technician, .. } => "mail-invite-technician-subject",
        Offer::Device { .. } => "mail-invite-transfer-subject",
        Offer::Membership { .. } => "mail-invite-organisation-subject",
    };
    // Whom the address belongs to is not looked up: the language is that of the one who invites.
    let texts = texts(&context.accounts.profile(by).await?.language);
    let subject = texts.fill(subject, &[("name", &name)]);
    let text = texts.fill("mail-invite-text", &[("what", &subject), ("link", link), ("name", &name)]);
    Ok(Letter { to: email.to_owned(), subject, text })
}

/// List the invites to a device
#[utoipa::path(
    get, path = "/v1/devices/{device_id}/invites", tag = "sharing", params(("device_id" = Uuid, Path), PageQuery),
    responses((status = 200, description = "A page of invites, without their codes", body = PageBody<InviteBody>)),
)]
pub(super) async fn of_device(
    State(context): State<ApiContext>,
    access: DeviceAccess,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<PageBody<InviteBody>>, Problem> {
    let store = &context.store;
    page::of_device(&access, query, async |device, since, page| store.invites_of_device(device, since, page).await)
        .await
}

/// Take an invite back
///
/// Whoever made it may, and the admins of the organisation that it is to.
#[utoipa::path(
    delete, path = "/v1/invites/{invite_id}", tag = "sharing", params(("invite_id" = Uuid, Path)),
    responses(
        (status = 204, description = "Nobody can accept it any more"),
        (status = 409, description = "It is over already", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn cancel(
    State(context): State<ApiContext>,
    caller: Caller,
    id: Result<Path<Uuid>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let Path(id) = id?;
    let none = || Problem::not_found(format!("You have no invite {id}."));
    let invite = context.store.invite(id).await?.ok_or_else(none)?;
    if !caller.is_operator() && !may_cancel(&context, caller.user()?, &invite).await? {
        return Err(none());
    }
    let now = OffsetDateTime::now_utc();
    if !context.store.cancel_invite(id, now).await? {
        return Err(Problem::conflict("It was accepted or taken back before."));
    }
    context.store.append_audit(&caller.actor(), "invite.cancel", &format!("invite:{id}"), &json!({}), now).await?;
    Ok(GONE)
}

async fn may_cancel(context: &ApiContext, user: Uuid, invite: &Invite) -> Result<bool, Problem> {
    if invite.created_by == user {
        return Ok(true);
    }
    let Offer::Membership { organisation, .. } = invite.offer else { return Ok(false) };
    let role = context.store.role_in_organisation(organisation, user).await?;
    Ok(role == Some(OrganisationRole::Admin))
}

/// List the invites to you
///
/// Those that are addressed to your e-mail address, once it is verified.
#[utoipa::path(
    get, path = "/v1/invites", tag = "sharing", params(PageQuery),
    responses((status = 200, description = "A page of invites", body = PageBody<InviteBody>)),
)]
pub(super) async fn mine(
    State(context): State<ApiContext>,
    caller: Caller,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<PageBody<InviteBody>>, Problem> {
    let Query(query) = query?;
    let page = query.request()?;
    let page = match context.store.verified_email(caller.user()?).await? {
        Some(email) => context.store.invites_for_email(&email, OffsetDateTime::now_utc(), &page).await?,
        None => mooring_store::Page { items: Vec::new(), next: None },
    };
    Ok(Json(PageBody::new(page, Into::into)))
}
