//! Invites: what an owner offers, and who takes it.

use axum::Extension;
use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use mooring_auth::{Scope as TechnicianScope, Secret, SecretKind};
use mooring_store::{
    Accepted, Accepting, GrantRole, Invite, InviteError, InviteKey, NewInvite, Offer, OrganisationRole,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::{Duration, OffsetDateTime};
use utoipa::ToSchema;
use uuid::Uuid;

use super::events::parse_time;
use super::grants::{GONE, TransferBody};
use super::page::{PageBody, PageQuery};
use super::text;
use crate::access::DeviceAccess;
use crate::caller::Caller;
use crate::{ApiContext, Letter, PeerAddress, Problem};

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
    let what = match invite.offer {
        Offer::Part { role: GrantRole::Guest, .. } => "to see a device",
        Offer::Part { role: GrantRole::Member, .. } => "to use a device",
        Offer::Part { role: GrantRole::Technician, .. } => "to service a device",
        Offer::Device { .. } => "to take over a device",
        Offer::Membership { .. } => "to join an organisation",
    };
    Ok(Letter {
        to: email.to_owned(),
        subject: format!("{name} invites you {what}"),
        text: format!(
            "{name} invites you {what}.\n\nOpen this link to accept it:\n\n{link}\n\nYou need not do anything if you don't know {name}.\n"
        ),
    })
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
    let Query(query) = query?;
    let page = context.store.invites_of_device(access.device.id, access.since(), &query.request()?).await?;
    Ok(Json(PageBody::new(page, Into::into)))
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
    for (user, did) in [(transfer.from, "given away"), (transfer.to, "taken over")] {
        let Some(email) = context.store.verified_email(user).await? else { continue };
        let device = transfer.device;
        post(Letter {
            to: email,
            subject: format!("A device was {did}"),
            text: format!(
                "You have {did} the device {device}.\n\nShares have ended, its state was wiped, and the new owner does not see what was before.\nReceipt: {}\n",
                transfer.id
            ),
        });
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

/// The scopes of a technician, in the names that rights are recorded with. Others have none to choose.
pub(super) fn parse_scopes(role: GrantRole, scopes: &[String]) -> Result<Vec<String>, Problem> {
    match (role, scopes.is_empty()) {
        (GrantRole::Technician, true) => {
            return Err(Problem::invalid_request("Say in `scopes` what the technician may do."));
        }
        (GrantRole::Technician, false) => {}
        (_, true) => return Ok(Vec::new()),
        (_, false) => return Err(Problem::invalid_request("Only technicians have scopes.")),
    }
    if scopes.len() > SCOPES_MAX {
        return Err(Problem::invalid_request(format!("There are at most {SCOPES_MAX} scopes.")));
    }
    let mut parsed = scopes.iter().map(|scope| parse_scope(scope)).collect::<Result<Vec<_>, _>>()?;
    parsed.sort();
    parsed.dedup();
    Ok(parsed)
}

const SCOPES_MAX: usize = 32;

fn parse_scope(scope: &str) -> Result<String, Problem> {
    let name = match scope {
        "telemetry" => "telemetry:read",
        "events" => "events:read",
        "logs" => "logs:read",
        "state" => "state:read",
        "presence" => "presence:read",
        "commands" => "commands:read",
        "updates" => "update:read",
        other => other,
    };
    // Every command at once is the owner's and members'; a technician's are named one by one.
    match TechnicianScope::from_name(name) {
        Some(scope) if scope != TechnicianScope::CommandsSend => Ok(scope.name().into_owned()),
        _ => Err(Problem::invalid_request(format!(
            "{scope:?} is no scope of a technician: there are telemetry, events, logs, state, presence, commands, updates and command:<name>."
        ))),
    }
}

/// When a grant ends: in the future, a technician's within a year.
pub(super) fn parse_until(role: GrantRole, until: Option<&str>) -> Result<Option<OffsetDateTime>, Problem> {
    let until = parse_time("until", until)?;
    let now = OffsetDateTime::now_utc();
    match until {
        Some(until) if until <= now => Err(Problem::invalid_request("until is in the past.")),
        Some(until) if role == GrantRole::Technician && until > now + Duration::days(366) => {
            Err(Problem::invalid_request("A technician's grant ends within a year."))
        }
        None if role == GrantRole::Technician => {
            Err(Problem::invalid_request("Say in `until` when the technician's grant ends."))
        }
        until => Ok(until),
    }
}

/// An address that can stand in a mail's header and in a list: one @, no spaces, nothing hidden. Whether it exists, the mail will tell.
fn parse_email(text: &str) -> Result<String, Problem> {
    let text = text.trim();
    let usable =
        |c: char| !c.is_control() && !c.is_whitespace() && !matches!(c, '<' | '>' | ',' | ';' | '"' | '(' | ')' | '\\');
    match text.split_once('@') {
        Some((local, domain))
            if !local.is_empty()
                && domain.contains('.')
                && !domain.contains('@')
                && text.len() <= 254
                && text.chars().all(usable) =>
        {
            Ok(text.to_owned())
        }
        _ => Err(Problem::invalid_request("email is an address such as otto@example.com.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_an_address_begins_no_other_header() {
        let check = |text: &str, good: bool| assert_eq!(parse_email(text).is_ok(), good, "{text:?}");
        check("otto@example.com", true);
        check("o.t-t+o@mail.example.com", true);
        for bad in
            ["", "otto", "otto@", "@example.com", "a@b@c.d", "a@b.c\r\nBcc: x@y.z", "a b@c.d", "a@b.c,d@e.f", "<a@b.c>"]
        {
            check(bad, false);
        }
    }

    #[test]
    fn a_technician_has_named_scopes_and_an_end() {
        let scopes = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            parse_scopes(GrantRole::Technician, &names).ok()
        };
        assert_eq!(
            scopes(&["telemetry", "telemetry:read", "command:start"]).unwrap(),
            ["command:start", "telemetry:read"]
        );
        for bad in
            [&[][..], &["everything"], &["commands:send"], &["command:a b"], &["command:"], &["command:+"], &["*"]]
        {
            assert_eq!(scopes(bad), None, "{bad:?}");
        }
        assert!(parse_scopes(GrantRole::Guest, &["telemetry".to_owned()]).is_err());
        assert!(parse_until(GrantRole::Technician, None).is_err());
        assert!(parse_until(GrantRole::Technician, Some("2020-01-01T00:00:00Z")).is_err());
        assert!(parse_until(GrantRole::Technician, Some("2120-01-01T00:00:00Z")).is_err());
        assert!(parse_until(GrantRole::Guest, None).unwrap().is_none());
    }
}
