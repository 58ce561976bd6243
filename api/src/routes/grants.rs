//! Grants: who has a part in a device, and until when; and who looked.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use mooring_store::{AccessRow, Grant, GrantChange, GrantRecord, GrantRole, Grantee, StoreError, Transfer};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::page::{self, PageBody, PageQuery};
use super::terms::{parse_scopes, parse_until};
use super::text;
use super::version::{etag, expected_version, stale};
use crate::access::DeviceAccess;
use crate::caller::Caller;
use crate::{ApiContext, Problem};

/// A part in a device that somebody was given.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct GrantBody {
    /// Its id.
    id: Uuid,
    /// In which device.
    device_id: Uuid,
    /// As what: `guest`, `member` or `technician`.
    #[schema(example = "technician")]
    role: &'static str,
    /// What a technician may do.
    #[schema(example = json!(["telemetry:read", "command:self-test"]))]
    scopes: Vec<String>,
    /// When it ends by itself.
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    until: Option<OffsetDateTime>,
    /// Why it was given.
    #[schema(example = "It leaks.")]
    reason: String,
    /// The user who has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<Uuid>,
    /// The organisation that has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    organisation: Option<Uuid>,
    /// The name of who has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "otto")]
    name: Option<String>,
    /// When it was given.
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    /// When it was ended.
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    ended_at: Option<OffsetDateTime>,
    /// Whether it gives something now.
    active: bool,
    /// Counts its changes; also the entity tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
}

impl From<GrantRecord> for GrantBody {
    fn from(grant: GrantRecord) -> Self {
        let active = grant.holds(OffsetDateTime::now_utc());
        let (user, organisation) = match grant.to {
            Grantee::User(user) => (Some(user), None),
            Grantee::Organisation(organisation) => (None, Some(organisation)),
        };
        Self {
            id: grant.id,
            device_id: grant.device,
            role: grant.role.as_str(),
            scopes: grant.scopes,
            until: grant.until,
            reason: grant.reason,
            user,
            organisation,
            name: Some(grant.to_name),
            created_at: grant.created_at,
            ended_at: grant.ended_at,
            active,
            version: Some(grant.version),
        }
    }
}

/// As the one sees it who has it.
impl From<Grant> for GrantBody {
    fn from(grant: Grant) -> Self {
        Self {
            id: grant.id,
            device_id: grant.device,
            role: grant.role.as_str(),
            scopes: grant.scopes,
            until: grant.until,
            reason: grant.reason,
            user: grant.organisation.is_none().then_some(grant.user),
            organisation: grant.organisation,
            name: None,
            created_at: grant.created_at,
            ended_at: grant.ended_at,
            active: true,
            version: None,
        }
    }
}

/// List who has a part in a device
///
/// Ended grants, too, since the device is yours.
#[utoipa::path(
    get, path = "/v1/devices/{device_id}/grants", tag = "sharing", params(("device_id" = Uuid, Path), PageQuery),
    responses((status = 200, description = "A page of grants", body = PageBody<GrantBody>)),
)]
pub(super) async fn of_device(
    State(context): State<ApiContext>,
    access: DeviceAccess,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<PageBody<GrantBody>>, Problem> {
    let store = &context.store;
    page::of_device(&access, query, async |device, since, page| store.grant_records(device, since, page).await).await
}

/// What you were granted.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct GrantsBody {
    /// All that holds now.
    items: Vec<GrantBody>,
}

/// List what others share with you
#[utoipa::path(
    get, path = "/v1/grants", tag = "sharing",
    responses((status = 200, description = "Every grant that you have now", body = GrantsBody)),
)]
pub(super) async fn mine(State(context): State<ApiContext>, caller: Caller) -> Result<Json<GrantsBody>, Problem> {
    let grants = context.store.grants_of_user(caller.user()?, OffsetDateTime::now_utc()).await?;
    Ok(Json(GrantsBody { items: grants.into_iter().map(Into::into).collect() }))
}

/// What is to change in a grant; what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GrantPatch {
    /// What a technician may do.
    #[schema(example = json!(["telemetry:read"]))]
    scopes: Option<Vec<String>>,
    /// When it ends by itself (RFC 3339); for others than technicians, null for never.
    #[serde(default, deserialize_with = "super::devices::present")]
    #[schema(value_type = Option<String>, format = DateTime, example = "2027-01-31T18:00:00Z")]
    until: Option<Option<String>>,
    /// Why.
    reason: Option<String>,
}

/// Change a grant
///
/// The owner of the device alone: scopes, date and reason; never whom it is to, or as what. It takes effect at once.
#[utoipa::path(
    patch, path = "/v1/grants/{grant_id}", tag = "sharing",
    params(("grant_id" = Uuid, Path), ("If-Match" = Option<String>, Header, description = "The version that the change is for, in quotes")),
    request_body(content = GrantPatch, example = json!({"until": "2027-01-31T18:00:00Z"})),
    responses((status = 200, description = "The grant after the change", body = GrantBody)),
)]
pub(super) async fn change(
    State(context): State<ApiContext>,
    caller: Caller,
    id: Result<Path<Uuid>, PathRejection>,
    headers: HeaderMap,
    patch: Result<Json<GrantPatch>, JsonRejection>,
) -> Result<impl IntoResponse, Problem> {
    let (Path(id), Json(patch)) = (id?, patch?);
    let (grant, right) = find(&context, &caller, id).await?;
    if right != Over::Giver {
        return Err(Problem::forbidden("Only the owner of the device changes a grant."));
    }
    let change = patch.read(grant.role)?;
    let (expected, now) = (expected_version(&headers)?, OffsetDateTime::now_utc());
    let changed = context.store.change_grant(id, &change, expected, now).await.map_err(|error| match error {
        StoreError::NotFound { .. } => Problem::conflict("The grant has ended: invite again."),
        other => stale(other),
    })?;
    context.sharing.put_in_force(&context.store.holders_of_grant(id).await?);
    let detail = json!({"scopes": changed.scopes, "until": changed.until.map(OffsetDateTime::unix_timestamp)});
    context.store.append_audit(&caller.actor(), "grant.change", &format!("grant:{id}"), &detail, now).await?;
    Ok((etag(changed.version), Json(GrantBody::from(changed))))
}

impl GrantPatch {
    fn read(self, role: GrantRole) -> Result<GrantChange, Problem> {
        let scopes = self.scopes.map(|scopes| parse_scopes(role, &scopes)).transpose()?;
        let until = match self.until {
            Some(None) if role == GrantRole::Technician => {
                return Err(Problem::invalid_request("A technician's grant ends at some date."));
            }
            Some(until) => Some(parse_until(role, until.as_deref())?),
            None => None,
        };
        Ok(GrantChange { scopes, until, reason: self.reason.as_deref().map(text::reason).transpose()? })
    }
}

/// End a grant
///
/// The owner ends any grant on the device; whoever has one gives it back. Live subscriptions, streams and commands that wait end within a second.
#[utoipa::path(
    delete, path = "/v1/grants/{grant_id}", tag = "sharing", params(("grant_id" = Uuid, Path)),
    responses((status = 200, description = "The grant, ended", body = GrantBody)),
)]
pub(super) async fn end(
    State(context): State<ApiContext>,
    caller: Caller,
    id: Result<Path<Uuid>, PathRejection>,
) -> Result<Json<GrantBody>, Problem> {
    let Path(id) = id?;
    find(&context, &caller, id).await?;
    Ok(Json(end_for(&context, &caller, id).await?.into()))
}

/// Ends a grant on the word of somebody who may.
pub(super) async fn end_for(context: &ApiContext, caller: &Caller, id: Uuid) -> Result<GrantRecord, Problem> {
    let now = OffsetDateTime::now_utc();
    let held = context.store.holders_of_grant(id).await?;
    let ended = context.store.end_grant(id, now).await?;
    context.sharing.take_back(&held);
    let detail = json!({"device": ended.device, "to": ended.to_name});
    context.store.append_audit(&caller.actor(), "grant.end", &format!("grant:{id}"), &detail, now).await?;
    Ok(ended)
}

/// What a caller is to a grant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Over {
    /// Owns the device, or is an operator.
    Giver,
    /// Has it.
    Holder,
}

/// The grant, when it is the caller's to give or to have; else there is none.
async fn find(context: &ApiContext, caller: &Caller, id: Uuid) -> Result<(GrantRecord, Over), Problem> {
    let none = || Problem::not_found(format!("You have no grant {id}."));
    let grant = context.store.grant_record(id).await?.ok_or_else(none)?;
    if caller.is_operator() {
        return Ok((grant, Over::Giver));
    }
    let user = caller.user()?;
    let device = context.store.device(grant.device).await?.ok_or_else(none)?;
    // The grants of the owner before are that one's.
    if device.owner == Some(user) && device.claimed_at.is_none_or(|claimed| grant.created_at >= claimed) {
        return Ok((grant, Over::Giver));
    }
    let holds = match grant.to {
        Grantee::User(holder) => holder == user,
        Grantee::Organisation(organisation) => {
            let role = context.store.role_in_organisation(organisation, user).await?;
            // A technician of an organisation does not give back what is its.
            role == Some(mooring_store::OrganisationRole::Admin)
        }
    };
    if holds && grant.ended_at.is_none() { Ok((grant, Over::Holder)) } else { Err(none()) }
}

/// What a technician looked at, or did.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AccessBody {
    /// In which minute.
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    /// Who.
    user: Uuid,
    /// The name of who it was; absent when the account is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "otto")]
    name: Option<String>,
    /// For which organisation.
    #[serde(skip_serializing_if = "Option::is_none")]
    organisation: Option<String>,
    /// By which grant.
    grant: Uuid,
    /// What: `device`, `events:telemetry`, `history`, `commands:start`; `live:...` over MQTT and streams.
    #[schema(example = "events:telemetry")]
    what: String,
}

impl From<AccessRow> for AccessBody {
    fn from(row: AccessRow) -> Self {
        Self {
            at: row.access.minute,
            user: row.access.user,
            name: row.user_name,
            organisation: row.organisation_name,
            grant: row.access.grant,
            what: row.access.what,
        }
    }
}

/// List who looked at a device
///
/// Every access of a technician since the device is yours, the newest first; those of one minute are one.
#[utoipa::path(
    get, path = "/v1/devices/{device_id}/accesses", tag = "sharing", params(("device_id" = Uuid, Path), PageQuery),
    responses((status = 200, description = "A page of accesses", body = PageBody<AccessBody>)),
)]
pub(super) async fn accesses(
    State(context): State<ApiContext>,
    access: DeviceAccess,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<PageBody<AccessBody>>, Problem> {
    let Query(query) = query?;
    let page = context.store.accesses(access.device.id, access.since(), &query.request()?).await?;
    Ok(Json(PageBody::new(page, Into::into)))
}

/// A device that went from one owner to another: the receipt of both.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TransferBody {
    /// Its id.
    id: Uuid,
    /// Which device.
    device_id: Uuid,
    /// Whose it was.
    from: Uuid,
    /// Whose it is.
    to: Uuid,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    /// What went with the owner before.
    #[schema(example = json!({"grants_ended": 1, "invites_cancelled": 0, "state_wiped": true}))]
    receipt: Value,
}

impl From<Transfer> for TransferBody {
    fn from(transfer: Transfer) -> Self {
        let Transfer { id, device, from, to, at, receipt } = transfer;
        Self { id, device_id: device, from, to, at, receipt }
    }
}

/// List your transfers
///
/// Of devices that you gave away, and that you were given.
#[utoipa::path(
    get, path = "/v1/transfers", tag = "sharing", params(PageQuery),
    responses((status = 200, description = "A page of receipts", body = PageBody<TransferBody>)),
)]
pub(super) async fn transfers(
    State(context): State<ApiContext>,
    caller: Caller,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<PageBody<TransferBody>>, Problem> {
    let Query(query) = query?;
    let page = context.store.transfers_of_user(caller.user()?, &query.request()?).await?;
    Ok(Json(PageBody::new(page, Into::into)))
}

/// The grants that an operator asks for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct GrantQuery {
    /// On this device.
    device: Option<Uuid>,
    /// Of this user, by an organisation, too.
    user: Option<Uuid>,
    /// Also those that have ended.
    ended: Option<bool>,
}

/// Search grants
#[utoipa::path(
    get, path = "/v1/operator/grants", tag = "operator", params(GrantQuery, PageQuery),
    responses((status = 200, description = "A page of grants", body = PageBody<GrantBody>)),
)]
pub(super) async fn search(
    State(context): State<crate::OperatorContext>,
    query: Result<Query<GrantQuery>, QueryRejection>,
    page: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<PageBody<GrantBody>>, Problem> {
    let (Query(GrantQuery { device, user, ended }), Query(page)) = (query?, page?);
    let filter = mooring_store::GrantFilter { device, user, ended: ended.unwrap_or_default() };
    let grants = context.store.search_grants(filter, OffsetDateTime::now_utc(), &page.request()?).await?;
    Ok(Json(PageBody::new(grants, Into::into)))
}

/// No content, for routes that answer nothing.
pub(super) const GONE: StatusCode = StatusCode::NO_CONTENT;
