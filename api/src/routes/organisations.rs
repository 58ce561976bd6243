//! Organisations: whom technicians belong to, and what they were granted.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use mooring_store::{Grant, Offer, Organisation, OrganisationMember, OrganisationRole};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::HashMap;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::devices::DeviceBody;
use super::grants::GONE;
use super::invites::{InviteBody, MadeInvite, Terms, make};
use super::page::{PageBody, PageQuery};
use super::text;
use crate::access::Part;
use crate::caller::Caller;
use crate::{ApiContext, Problem};

/// An organisation.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OrganisationBody {
    /// Its id.
    id: Uuid,
    /// Its name.
    #[schema(example = "Washers Ltd")]
    name: String,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    /// What you are in it: `admin` or `technician`.
    #[schema(example = "admin")]
    role: &'static str,
}

impl OrganisationBody {
    fn new((organisation, role): (Organisation, OrganisationRole)) -> Self {
        let Organisation { id, name, created_at } = organisation;
        Self { id, name, created_at, role: role.as_str() }
    }
}

/// What an organisation is to be called.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OrganisationRequest {
    /// Its name.
    #[schema(example = "Washers Ltd")]
    name: String,
}

/// List your organisations
#[utoipa::path(
    get, path = "/v1/organisations", tag = "organisations", params(PageQuery),
    responses((status = 200, description = "A page of organisations", body = PageBody<OrganisationBody>)),
)]
pub(super) async fn list(
    State(context): State<ApiContext>,
    caller: Caller,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<PageBody<OrganisationBody>>, Problem> {
    let Query(query) = query?;
    let page = context.store.organisations_of_user(caller.user()?, &query.request()?).await?;
    Ok(Json(PageBody::new(page, OrganisationBody::new)))
}

/// Make an organisation
///
/// You are its first admin.
#[utoipa::path(
    post, path = "/v1/organisations", tag = "organisations",
    request_body(content = OrganisationRequest, example = json!({"name": "Washers Ltd"})),
    responses((status = 201, description = "The organisation", body = OrganisationBody)),
)]
pub(super) async fn create(
    State(context): State<ApiContext>,
    caller: Caller,
    body: Result<Json<OrganisationRequest>, JsonRejection>,
) -> Result<impl IntoResponse, Problem> {
    let Json(OrganisationRequest { name }) = body?;
    let (id, now) = (Uuid::now_v7(), OffsetDateTime::now_utc());
    let made = context.store.create_organisation(id, &text::name(&name)?, caller.user()?, now).await?;
    let detail = json!({"name": made.name});
    context
        .store
        .append_audit(&caller.actor(), "organisation.create", &format!("organisation:{id}"), &detail, now)
        .await?;
    Ok((StatusCode::CREATED, Json(OrganisationBody::new((made, OrganisationRole::Admin)))))
}

/// Somebody who belongs to an organisation.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MemberBody {
    /// Who.
    user: Uuid,
    /// The name to sign in with.
    #[schema(example = "otto")]
    name: String,
    /// `admin` or `technician`.
    #[schema(example = "technician")]
    role: &'static str,
    /// Since when.
    #[serde(with = "time::serde::rfc3339")]
    joined_at: OffsetDateTime,
}

impl From<OrganisationMember> for MemberBody {
    fn from(member: OrganisationMember) -> Self {
        let OrganisationMember { user, name, role, joined_at } = member;
        Self { user, name, role: role.as_str(), joined_at }
    }
}

/// List who belongs to an organisation
#[utoipa::path(
    get, path = "/v1/organisations/{organisation_id}/members", tag = "organisations",
    params(("organisation_id" = Uuid, Path), PageQuery),
    responses((status = 200, description = "A page of members", body = PageBody<MemberBody>)),
)]
pub(super) async fn members(
    State(context): State<ApiContext>,
    caller: Caller,
    id: Result<Path<Uuid>, PathRejection>,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<PageBody<MemberBody>>, Problem> {
    let (Path(id), Query(query)) = (id?, query?);
    find(&context, &caller, id).await?;
    let page = context.store.organisation_members(id, &query.request()?).await?;
    Ok(Json(PageBody::new(page, Into::into)))
}

/// Take somebody out of an organisation
///
/// An admin anybody, and everybody oneself; the last admin stays. What they had by it ends at once.
#[utoipa::path(
    delete, path = "/v1/organisations/{organisation_id}/members/{user_id}", tag = "organisations",
    params(("organisation_id" = Uuid, Path), ("user_id" = Uuid, Path)),
    responses(
        (status = 204, description = "They do not belong to it any more"),
        (status = 409, description = "The last admin stays", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn remove(
    State(context): State<ApiContext>,
    caller: Caller,
    path: Result<Path<(Uuid, Uuid)>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let Path((id, user)) = path?;
    let role = find(&context, &caller, id).await?;
    if role != OrganisationRole::Admin && caller.user()? != user {
        return Err(Problem::forbidden("Only an admin takes others out."));
    }
    context.store.remove_member(id, user).await?;
    context.sharing.membership_changed(id, user, None).await?;
    let (now, detail) = (OffsetDateTime::now_utc(), json!({"user": user}));
    context
        .store
        .append_audit(&caller.actor(), "organisation.remove", &format!("organisation:{id}"), &detail, now)
        .await?;
    Ok(GONE)
}

/// Whom you let join.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct JoinRequest {
    /// `technician` has what the organisation was granted; `admin` invites others and accepts for it, too.
    #[schema(example = "technician")]
    role: String,
    /// Only who has this e-mail address may accept; the invite is sent there.
    #[schema(example = "otto@example.com")]
    email: Option<String>,
    /// How long the invite can be accepted, hours: 1 to 720, 72 without it.
    #[schema(minimum = 1, maximum = 720)]
    valid_hours: Option<u32>,
}

/// Invite somebody to an organisation
///
/// Admins alone.
#[utoipa::path(
    post, path = "/v1/organisations/{organisation_id}/invites", tag = "organisations",
    params(("organisation_id" = Uuid, Path)),
    request_body(content = JoinRequest, example = json!({"role": "technician"})),
    responses((status = 201, description = "The invite, with its code", body = MadeInvite)),
)]
pub(super) async fn invite(
    State(context): State<ApiContext>,
    caller: Caller,
    id: Result<Path<Uuid>, PathRejection>,
    body: Result<Json<JoinRequest>, JsonRejection>,
) -> Result<impl IntoResponse, Problem> {
    let (Path(id), Json(JoinRequest { role, email, valid_hours })) = (id?, body?);
    require_admin(find(&context, &caller, id).await?)?;
    let role =
        OrganisationRole::from_name(&role).ok_or_else(|| Problem::invalid_request("role is admin or technician."))?;
    let terms = Terms {
        offer: Offer::Membership { organisation: id, role },
        scopes: Vec::new(),
        until: None,
        reason: String::new(),
        email,
        valid_hours: valid_hours.unwrap_or(72),
    };
    let by = caller.user()?;
    Ok((StatusCode::CREATED, Json(make(&context, &caller, by, terms).await?)))
}

/// List the invites to an organisation
///
/// Admins alone.
#[utoipa::path(
    get, path = "/v1/organisations/{organisation_id}/invites", tag = "organisations",
    params(("organisation_id" = Uuid, Path), PageQuery),
    responses((status = 200, description = "A page of invites, without their codes", body = PageBody<InviteBody>)),
)]
pub(super) async fn invites(
    State(context): State<ApiContext>,
    caller: Caller,
    id: Result<Path<Uuid>, PathRejection>,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<PageBody<InviteBody>>, Problem> {
    let (Path(id), Query(query)) = (id?, query?);
    require_admin(find(&context, &caller, id).await?)?;
    let page = context.store.invites_of_organisation(id, &query.request()?).await?;
    Ok(Json(PageBody::new(page, Into::into)))
}

/// List the devices of an organisation
///
/// Those that their owners granted to it.
#[utoipa::path(
    get, path = "/v1/organisations/{organisation_id}/devices", tag = "organisations",
    params(("organisation_id" = Uuid, Path), PageQuery),
    responses((status = 200, description = "A page of devices", body = PageBody<DeviceBody>)),
)]
pub(super) async fn devices(
    State(context): State<ApiContext>,
    caller: Caller,
    id: Result<Path<Uuid>, PathRejection>,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<PageBody<DeviceBody>>, Problem> {
    let (Path(id), Query(query)) = (id?, query?);
    find(&context, &caller, id).await?;
    let now = OffsetDateTime::now_utc();
    let page = context.store.devices_of_organisation(id, now, &query.request()?).await?;
    let mut grants: HashMap<Uuid, Vec<Grant>> = HashMap::new();
    for grant in context.store.holders_by_organisation(id, now).await? {
        grants.entry(grant.device).or_default().push(grant);
    }
    let part = |device: Uuid| {
        let held = grants.get(&device).cloned().unwrap_or_default();
        Part::of_grants(held).unwrap_or(Part::Technician(Vec::new()))
    };
    Ok(Json(PageBody::new(page, |device| {
        let part = part(device.id);
        DeviceBody::new(device, &part)
    })))
}

/// What the caller is in an organisation; one that is not theirs looks as if it did not exist.
async fn find(context: &ApiContext, caller: &Caller, id: Uuid) -> Result<OrganisationRole, Problem> {
    let role = context.store.role_in_organisation(id, caller.user()?).await?;
    role.ok_or_else(|| Problem::not_found(format!("You belong to no organisation {id}.")))
}

fn require_admin(role: OrganisationRole) -> Result<(), Problem> {
    if role == OrganisationRole::Admin { Ok(()) } else { Err(Problem::forbidden("Only an admin invites others.")) }
}
