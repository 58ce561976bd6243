//! Invites, organisations, transfers, accesses and rooms: what people do with devices.

use futures_util::TryStreamExt;
use futures_util::future::join_all;
use mooring_store::{
    Accepted, Accepting, Access, ClaimError, ClaimPolicy, DeviceChange, GrantChange, GrantFilter, GrantRole, Grantee,
    InviteError, InviteKey, NewInvite, NewUser, Offer, OrganisationRole, PageRequest, PresenceChange, StoreError,
};
use serde_json::json;
use time::Duration;
use uuid::Uuid;

use crate::common::{Database, NOW, fresh_hash, hash_of};
use crate::on_both_databases;

on_both_databases!(
    an_invite_is_accepted_once_however_many_race,
    an_invite_is_for_its_address_alone,
    an_invite_ends_with_its_time_and_with_the_owner,
    a_grant_to_an_organisation_is_held_by_each_who_belongs_to_it,
    a_grant_changes_in_the_version_that_was_seen,
    a_transfer_wipes_what_the_owner_before_made,
    a_claim_code_works_once_and_in_its_window,
    an_access_is_noted_once_a_minute,
    rooms_are_their_owners_alone,
    the_devices_of_a_person_are_owned_and_granted_ones,
    an_organisation_keeps_an_admin,
);

/// A device that somebody owns.
async fn owned(db: &Database) -> (Uuid, Uuid) {
    let (owner, device) = (db.user().await, db.device().await);
    db.store.claim_device(owner, device, &hash_of(device, b'c'), NOW).await.unwrap();
    (owner, device)
}

fn part(device: Uuid, role: GrantRole) -> Offer {
    Offer::Part { device, role, for_organisation: false }
}

async fn invite(db: &Database, by: Uuid, offer: Offer, email: Option<&str>) -> [u8; 32] {
    let hash = fresh_hash();
    let invite = NewInvite {
        id: Uuid::now_v7(),
        hash,
        offer,
        scopes: vec!["telemetry:read".to_owned()],
        until: Some(NOW + Duration::days(7)),
        reason: "It leaks.".to_owned(),
        email: email.map(str::to_owned),
        created_by: by,
        expires_at: NOW + Duration::DAY,
    };
    db.store.create_invite(&invite, NOW).await.unwrap();
    hash
}

fn by(user: Uuid) -> Accepting<'static> {
    Accepting { user, email: None, organisation: None }
}

async fn an_invite_is_accepted_once_however_many_race(db: Database) {
    let (owner, device) = owned(&db).await;
    let hash = invite(&db, owner, part(device, GrantRole::Technician), None).await;
    let users = join_all((0..6).map(|_| db.user())).await;
    let racers = users.iter().map(|&user| {
        let store = db.store.clone();
        tokio::spawn(async move { store.accept_invite(InviteKey::Code(&hash), &by(user), NOW).await })
    });
    let results: Vec<_> = join_all(racers).await.into_iter().map(Result::unwrap).collect();
    let won = results.iter().filter(|result| matches!(result, Ok(Accepted::Grant(_)))).count();
    let late = results.iter().filter(|result| matches!(result, Err(InviteError::UnknownOrOver))).count();
    assert_eq!((won, late), (1, 5), "{results:?}");
    let grants: Vec<_> = db.store.grants(NOW).try_collect().await.unwrap();
    assert_eq!((grants.len(), grants[0].scopes.as_slice()), (1, ["telemetry:read".to_owned()].as_slice()));
    assert_eq!(grants[0].until, Some(NOW + Duration::days(7)));
}

async fn an_invite_is_for_its_address_alone(db: Database) {
    let (owner, device) = owned(&db).await;
    let hash = invite(&db, owner, part(device, GrantRole::Guest), Some("Otto@Example.com")).await;
    let otto = db.user().await;
    let key = InviteKey::Code(&hash);
    for email in [None, Some("erika@example.com")] {
        let result = db.store.accept_invite(key, &Accepting { email, ..by(otto) }, NOW).await;
        assert!(matches!(result, Err(InviteError::NotForYou)), "{email:?}");
    }
    let page = PageRequest::default();
    assert!(db.store.invites_for_email("erika@example.com", NOW, &page).await.unwrap().items.is_empty());
    let mine = db.store.invites_for_email("otto@example.com", NOW, &page).await.unwrap().items;
    let otto = Accepting { email: Some("otto@example.com"), ..by(otto) };
    let stranger = db.store.accept_invite(InviteKey::Addressed(mine[0].id), &by(owner), NOW).await;
    assert!(matches!(stranger, Err(InviteError::UnknownOrOver)), "an id is no secret");
    let accepted = db.store.accept_invite(InviteKey::Addressed(mine[0].id), &otto, NOW).await;
    assert!(matches!(accepted, Ok(Accepted::Grant(_))), "{accepted:?}");
}

async fn an_invite_ends_with_its_time_and_with_the_owner(db: Database) {
    let (owner, device) = owned(&db).await;
    let guest = db.user().await;
    let hash = invite(&db, owner, part(device, GrantRole::Guest), None).await;
    let late = db.store.accept_invite(InviteKey::Code(&hash), &by(guest), NOW + Duration::DAY).await;
    assert!(matches!(late, Err(InviteError::Expired)));
    let own = db.store.accept_invite(InviteKey::Code(&hash), &by(owner), NOW).await;
    assert!(matches!(own, Err(InviteError::Already)));
    let cancelled = invite(&db, owner, part(device, GrantRole::Guest), None).await;
    let listed = db.store.invites_of_device(device, NOW, &PageRequest::default()).await.unwrap().items;
    assert!(db.store.cancel_invite(listed[1].id, NOW).await.unwrap());
    assert!(!db.store.cancel_invite(listed[1].id, NOW).await.unwrap());
    let released = db.store.release_device(owner, device, NOW).await.unwrap();
    assert_eq!(released.invites_cancelled, 1);
    for hash in [hash, cancelled, fresh_hash()] {
        let result = db.store.accept_invite(InviteKey::Code(&hash), &by(guest), NOW).await;
        assert!(matches!(result, Err(InviteError::UnknownOrOver)));
    }
}

async fn a_grant_to_an_organisation_is_held_by_each_who_belongs_to_it(db: Database) {
    let (owner, device) = owned(&db).await;
    let (boss, hand, stranger) = (db.user().await, db.user().await, db.user().await);
    let organisation = Uuid::now_v7();
    db.store.create_organisation(organisation, "Washers Ltd", boss, NOW).await.unwrap();
    let membership = Offer::Membership { organisation, role: OrganisationRole::Technician };
    let hash = invite(&db, boss, membership, None).await;
    let joined = db.store.accept_invite(InviteKey::Code(&hash), &by(hand), NOW).await.unwrap();
    assert_eq!(joined, Accepted::Membership(organisation));
    let offer = Offer::Part { device, role: GrantRole::Technician, for_organisation: true };
    let hash = invite(&db, owner, offer, None).await;
    // Who is no admin there accepts nothing for it, nor does somebody without an organisation.
    for who in [by(boss), Accepting { organisation: Some(organisation), ..by(hand) }, by(stranger)] {
        let refused = db.store.accept_invite(InviteKey::Code(&hash), &who, NOW).await;
        assert!(matches!(refused, Err(InviteError::ForOrganisation)), "{who:?}");
    }
    let who = Accepting { organisation: Some(organisation), ..by(boss) };
    let Ok(Accepted::Grant(grant)) = db.store.accept_invite(InviteKey::Code(&hash), &who, NOW).await else {
        panic!("no grant")
    };
    for (user, holds) in [(boss, true), (hand, true), (stranger, false), (owner, false)] {
        let held = db.store.grants_of_user_on(user, device, NOW).await.unwrap();
        assert_eq!(
            held.iter().map(|grant| (grant.id, grant.user)).collect::<Vec<_>>(),
            [(grant, user)][..usize::from(holds)]
        );
        assert_eq!(db.store.grants_of_user(user, NOW).await.unwrap(), held);
    }
    let ids = |holders: Vec<mooring_store::Grant>| {
        let mut ids: Vec<_> = holders.iter().map(mooring_store::Grant::id_of_holder).collect();
        ids.sort();
        ids.dedup();
        ids.len()
    };
    assert_eq!(ids(db.store.holders_of_grant(grant).await.unwrap()), 2);
    assert_eq!(ids(db.store.holders_by_organisation(organisation, NOW).await.unwrap()), 2);
    assert_eq!(ids(db.store.grants(NOW).try_collect().await.unwrap()), 2);
    let record = db.store.grant_record(grant).await.unwrap().unwrap();
    assert_eq!((record.to, record.to_name.as_str()), (Grantee::Organisation(organisation), "Washers Ltd"));
    let page = PageRequest::default();
    let devices = db.store.devices_of_organisation(organisation, NOW, &page).await.unwrap();
    assert_eq!(devices.items[0].id, device);
    db.store.remove_member(organisation, hand).await.unwrap();
    assert!(db.store.grants_of_user(hand, NOW).await.unwrap().is_empty());
    let by_user = GrantFilter { user: Some(boss), ..GrantFilter::default() };
    assert_eq!(db.store.search_grants(by_user, NOW, &page).await.unwrap().items[0].id, grant);
    db.store.end_grant(grant, NOW).await.unwrap();
    assert!(db.store.search_grants(by_user, NOW, &page).await.unwrap().items.is_empty());
}

async fn a_grant_changes_in_the_version_that_was_seen(db: Database) {
    let (owner, device) = owned(&db).await;
    let technician = db.user().await;
    let hash = invite(&db, owner, part(device, GrantRole::Technician), None).await;
    let Ok(Accepted::Grant(grant)) = db.store.accept_invite(InviteKey::Code(&hash), &by(technician), NOW).await else {
        panic!("no grant")
    };
    let until = Some(NOW + Duration::hours(1));
    let change = GrantChange { until: Some(until), ..GrantChange::default() };
    let changed = db.store.change_grant(grant, &change, Some(1), NOW).await.unwrap();
    assert_eq!((changed.version, changed.until, changed.reason.as_str()), (2, until, "It leaks."));
    let again = db.store.change_grant(grant, &change, Some(1), NOW).await;
    assert!(matches!(again, Err(StoreError::Conflict { .. })));
    // What is over stays over.
    let late = db.store.change_grant(grant, &change, None, NOW + Duration::hours(2)).await;
    assert!(matches!(late, Err(StoreError::NotFound { .. })));
}

async fn a_transfer_wipes_what_the_owner_before_made(db: Database) {
    let (seller, device) = owned(&db).await;
    let (buyer, guest) = (db.user().await, db.user().await);
    let room = db.store.create_room(Uuid::now_v7(), seller, "Cellar", NOW).await.unwrap();
    let change = DeviceChange { name: Some("Washer".to_owned()), room: Some(Some(room.id)) };
    db.store.change_device(seller, device, &change, None).await.unwrap();
    db.store.set_desired(device, &json!({"program": "wool"}), None, NOW).await.unwrap();
    let shared = invite(&db, seller, part(device, GrantRole::Member), None).await;
    db.store.accept_invite(InviteKey::Code(&shared), &by(guest), NOW).await.unwrap();
    let open = invite(&db, seller, part(device, GrantRole::Guest), None).await;
    let sold = invite(&db, seller, Offer::Device { device }, None).await;
    let later = NOW + Duration::hours(1);
    let Ok(Accepted::Transfer(transfer)) = db.store.accept_invite(InviteKey::Code(&sold), &by(buyer), later).await
    else {
        panic!("no transfer")
    };
    assert_eq!((transfer.from, transfer.to, &transfer.receipt["grants_ended"]), (seller, buyer, &json!(1)));
    assert_eq!(transfer.receipt["invites_cancelled"], json!(1));
    let of = db.store.device(device).await.unwrap().unwrap();
    assert_eq!((of.owner, of.name.as_str(), of.room, of.history_from), (Some(buyer), "", None, Some(later)));
    assert_eq!(db.store.shadow(device).await.unwrap().unwrap().desired.state, json!({}));
    assert!(db.store.grants_of_user(guest, later).await.unwrap().is_empty());
    let late = db.store.accept_invite(InviteKey::Code(&open), &by(guest), later).await;
    assert!(matches!(late, Err(InviteError::UnknownOrOver)));
    for user in [seller, buyer] {
        let receipts = db.store.transfers_of_user(user, &PageRequest::default()).await.unwrap().items;
        assert_eq!(receipts, std::slice::from_ref(&transfer));
    }
    // The label on the device is no way back.
    let again = db.store.claim_device(seller, device, &hash_of(device, b'c'), later).await;
    assert!(matches!(again, Err(ClaimError::AlreadyClaimed)));
}

async fn a_claim_code_works_once_and_in_its_window(db: Database) {
    let (user, device) = (db.user().await, db.device().await);
    let code = hash_of(device, b'c');
    let policy = ClaimPolicy {
        power_on_window: Some(Duration::minutes(10)),
        code_lifetime: Some(Duration::days(1)),
        code_works_again: false,
    };
    let shut = db.store.claim_device_by(&policy, user, device, &code, NOW).await;
    assert!(matches!(shut, Err(ClaimError::WindowIsShut)), "{shut:?}");
    let online = PresenceChange { device, online: true, at: NOW, reason: None };
    let batch = mooring_store::IngestBatch {
        source: "node".to_owned(),
        from_position: 0,
        to_position: 1,
        events: vec![],
        presence: vec![online],
    };
    db.store.ingest(&batch, NOW).await.unwrap();
    let late = db.store.claim_device_by(&policy, user, device, &code, NOW + Duration::minutes(10)).await;
    assert!(matches!(late, Err(ClaimError::WindowIsShut)), "{late:?}");
    let old = db.store.claim_device_by(&policy, user, device, &code, NOW + Duration::days(2)).await;
    assert!(matches!(old, Err(ClaimError::CodeIsOver)), "{old:?}");
    db.store.claim_device_by(&policy, user, device, &code, NOW + Duration::minutes(9)).await.unwrap();
    db.store.release_device_by(&policy, user, device, NOW).await.unwrap();
    let used = db.store.claim_device_by(&policy, user, device, &code, NOW + Duration::minutes(9)).await;
    assert!(matches!(used, Err(ClaimError::CodeIsOver)), "{used:?}");
    db.store.add_claim_code(device, &fresh_hash(), NOW).await.unwrap();
}

async fn an_access_is_noted_once_a_minute(db: Database) {
    let (owner, device) = owned(&db).await;
    let grant = Uuid::now_v7();
    for (second, what) in [(1, "telemetry"), (59, "telemetry"), (30, "logs"), (61, "telemetry")] {
        let access = Access::new(device, owner, grant, what, NOW + Duration::seconds(second));
        db.store.record_access(&access).await.unwrap();
    }
    let mut seen = Vec::new();
    let mut page = PageRequest::first(2);
    loop {
        let accesses = db.store.accesses(device, NOW, &page).await.unwrap();
        seen.extend(accesses.items.into_iter().map(|row| (row.access.minute - NOW, row.access.what)));
        let Some(next) = accesses.next else { break };
        page = PageRequest::after(next, 2);
    }
    let expected = [(Duration::MINUTE, "telemetry"), (Duration::ZERO, "telemetry"), (Duration::ZERO, "logs")];
    assert_eq!(seen, expected.map(|(minute, what)| (minute, what.to_owned())));
}

async fn rooms_are_their_owners_alone(db: Database) {
    let (owner, device) = owned(&db).await;
    let other = db.user().await;
    let mine = db.store.create_room(Uuid::now_v7(), owner, "Bath", NOW).await.unwrap();
    let theirs = db.store.create_room(Uuid::now_v7(), other, "Bath", NOW).await.unwrap();
    let put = |room| DeviceChange { room: Some(Some(room)), ..DeviceChange::default() };
    let refused = db.store.change_device(owner, device, &put(theirs.id), None).await;
    assert!(matches!(refused, Err(StoreError::NotFound { what: "room" })), "{refused:?}");
    let changed = db.store.change_device(owner, device, &put(mine.id), None).await.unwrap();
    let stale = db.store.change_device(owner, device, &put(mine.id), Some(changed.version - 1)).await;
    assert!(matches!(stale, Err(StoreError::Conflict { .. })));
    assert!(matches!(db.store.rename_room(other, mine.id, "Mine", None).await, Err(StoreError::NotFound { .. })));
    assert_eq!(db.store.rename_room(owner, mine.id, "Cellar", Some(1)).await.unwrap().version, 2);
    db.store.delete_room(owner, mine.id, Some(2)).await.unwrap();
    assert_eq!(db.store.device(device).await.unwrap().unwrap().room, None);
    assert_eq!(db.store.rooms_of_user(other, &PageRequest::default()).await.unwrap().items, [theirs]);
}

async fn the_devices_of_a_person_are_owned_and_granted_ones(db: Database) {
    let (owner, own) = owned(&db).await;
    let (other, shared) = owned(&db).await;
    let (_, _strange) = owned(&db).await;
    let hash = invite(&db, other, part(shared, GrantRole::Guest), None).await;
    db.store.accept_invite(InviteKey::Code(&hash), &by(owner), NOW).await.unwrap();
    let list = async |now, limit| {
        let page = db.store.devices_of_person(owner, now, &PageRequest::first(limit)).await.unwrap();
        page.items.iter().map(|device| device.id).collect::<Vec<_>>()
    };
    assert_eq!(list(NOW, 10).await, [own, shared]);
    assert_eq!(list(NOW, 1).await, [own]);
    assert_eq!(list(NOW + Duration::days(7), 10).await, [own], "the grant is over");
}

async fn an_organisation_keeps_an_admin(db: Database) {
    let (boss, organisation) = (db.user().await, Uuid::now_v7());
    db.store.create_organisation(organisation, "Washers Ltd", boss, NOW).await.unwrap();
    let result = db.store.remove_member(organisation, boss).await;
    assert!(matches!(result, Err(StoreError::Conflict { .. })));
    assert_eq!(db.store.role_in_organisation(organisation, boss).await.unwrap(), Some(OrganisationRole::Admin));
    let page = PageRequest::default();
    assert_eq!(db.store.organisation_members(organisation, &page).await.unwrap().items.len(), 1);
    assert_eq!(db.store.organisations_of_user(boss, &page).await.unwrap().items[0].0.name, "Washers Ltd");
    let nobody = NewUser { id: Uuid::now_v7(), name: "x".to_owned(), email: Some("x@example.com".to_owned()) };
    db.store.create_user(&nobody, NOW).await.unwrap();
    assert_eq!(db.store.search_users("EXAMPLE.com", &page).await.unwrap().items[0].id, nobody.id);
    assert!(db.store.search_users("ex_mple", &page).await.unwrap().items.is_empty(), "no pattern of LIKE");
}
