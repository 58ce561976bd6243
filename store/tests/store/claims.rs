//! Claims and grants: who owns a device, and whom the owner lets in.

use futures_util::TryStreamExt;
use futures_util::future::join_all;
use mooring_store::{ClaimError, GrantRole, NewGrant, Ownership, StoreError};
use time::Duration;
use uuid::Uuid;

use crate::common::{Database, NOW, fresh_hash, hash_of};
use crate::on_both_databases;

on_both_databases!(
    of_racing_claims_one_wins,
    a_wrong_code_says_nothing_of_the_device,
    a_retired_device_cannot_be_claimed,
    a_claim_needs_its_user,
    a_released_device_can_be_claimed_again,
    only_the_owner_releases,
    all_ownerships_are_streamed,
    a_grant_holds_until_it_ends,
    a_grant_is_as_it_was_made,
    a_grant_needs_its_device_and_user,
);

async fn of_racing_claims_one_wins(db: Database) {
    let device = db.device().await;
    let users = join_all((0..8).map(|_| db.user())).await;
    let racers = users.iter().map(|&user| {
        let store = db.store.clone();
        tokio::spawn(async move { store.claim_device(user, device, &hash_of(device, b'c'), NOW).await })
    });
    let results: Vec<_> = join_all(racers).await.into_iter().map(Result::unwrap).collect();
    let winners: Vec<Uuid> =
        users.iter().zip(&results).filter(|(_, result)| result.is_ok()).map(|(user, _)| *user).collect();
    let late = results.iter().filter(|result| matches!(result, Err(ClaimError::AlreadyClaimed))).count();
    assert_eq!((winners.len(), late), (1, 7), "{results:?}");
    let claimed = db.store.device(device).await.unwrap().unwrap();
    assert_eq!((claimed.owner, claimed.claimed_at), (Some(winners[0]), Some(NOW)));
}

async fn a_wrong_code_says_nothing_of_the_device(db: Database) {
    let (user, free, taken) = (db.user().await, db.device().await, db.device().await);
    db.store.claim_device(user, taken, &hash_of(taken, b'c'), NOW).await.unwrap();
    for device in [free, taken, Uuid::now_v7()] {
        let result = db.store.claim_device(user, device, &fresh_hash(), NOW).await;
        assert!(matches!(result, Err(ClaimError::WrongCodeOrUnknown)));
    }
}

async fn a_retired_device_cannot_be_claimed(db: Database) {
    let (user, device) = (db.user().await, db.device().await);
    db.store.retire_device(device, NOW).await.unwrap();
    let result = db.store.claim_device(user, device, &hash_of(device, b'c'), NOW).await;
    assert!(matches!(result, Err(ClaimError::WrongCodeOrUnknown)));
}

async fn a_claim_needs_its_user(db: Database) {
    let device = db.device().await;
    let result = db.store.claim_device(Uuid::now_v7(), device, &hash_of(device, b'c'), NOW).await;
    assert!(matches!(result, Err(ClaimError::Store(StoreError::NotFound { .. }))));
}

async fn a_released_device_can_be_claimed_again(db: Database) {
    let (first, second, device) = (db.user().await, db.user().await, db.device().await);
    let code = hash_of(device, b'c');
    db.store.claim_device(first, device, &code, NOW).await.unwrap();
    db.store.rename_device(device, "Kitchen").await.unwrap();
    db.store.create_grant(&grant(device, second, first), NOW).await.unwrap();
    db.store.release_device(first, device, NOW).await.unwrap();

    let released = db.store.device(device).await.unwrap().unwrap();
    assert_eq!((released.owner, released.name.as_str()), (None, ""));
    assert!(db.store.grants_of_user(second, NOW).await.unwrap().is_empty());
    db.store.claim_device(second, device, &code, NOW).await.unwrap();
}

async fn only_the_owner_releases(db: Database) {
    let (owner, other, device) = (db.user().await, db.user().await, db.device().await);
    db.store.claim_device(owner, device, &hash_of(device, b'c'), NOW).await.unwrap();
    let result = db.store.release_device(other, device, NOW).await;
    assert!(matches!(result, Err(StoreError::NotFound { what: "device" })));
    assert_eq!(db.store.device(device).await.unwrap().unwrap().owner, Some(owner));
}

async fn all_ownerships_are_streamed(db: Database) {
    let user = db.user().await;
    let (first, second, retired, _free) = (db.device().await, db.device().await, db.device().await, db.device().await);
    for device in [first, second, retired] {
        db.store.claim_device(user, device, &hash_of(device, b'c'), NOW).await.unwrap();
    }
    db.store.retire_device(retired, NOW).await.unwrap();
    let mut all: Vec<Ownership> = db.store.ownerships().try_collect().await.unwrap();
    all.sort_by_key(|ownership| ownership.device);
    assert_eq!(all, [Ownership { device: first, user }, Ownership { device: second, user }]);
}

fn grant(device: Uuid, user: Uuid, created_by: Uuid) -> NewGrant {
    NewGrant {
        id: Uuid::now_v7(),
        device,
        user,
        role: GrantRole::Technician,
        scopes: vec!["telemetry:read".to_owned(), "command:self-test".to_owned()],
        until: Some(NOW + Duration::DAY),
        created_by,
        reason: "It leaks.".to_owned(),
    }
}

async fn a_grant_holds_until_it_ends(db: Database) {
    let (owner, technician, device) = (db.user().await, db.user().await, db.device().await);
    let (timed, ended) = (grant(device, technician, owner), grant(device, technician, owner));
    let endless = NewGrant { until: None, role: GrantRole::Guest, scopes: vec![], ..grant(device, technician, owner) };
    for grant in [&timed, &ended, &endless] {
        db.store.create_grant(grant, NOW).await.unwrap();
    }
    assert_eq!(db.store.end_grant(ended.id, NOW).await.unwrap().ended_at, Some(NOW));
    assert_eq!(db.store.end_grant(ended.id, NOW + Duration::DAY).await.unwrap().ended_at, Some(NOW));

    for (now, holding) in [(NOW, vec![timed.id, endless.id]), (NOW + Duration::DAY, vec![endless.id])] {
        let of_user = db.store.grants_of_user(technician, now).await.unwrap();
        assert_eq!(of_user.iter().map(|grant| grant.id).collect::<Vec<_>>(), holding);
        let mut streamed: Vec<_> = db.store.grants(now).try_collect().await.unwrap();
        streamed.sort_by_key(|grant| grant.id);
        assert_eq!(streamed, of_user);
    }
    assert_eq!(db.store.grants_of_device(device).await.unwrap().len(), 3);
}

async fn a_grant_is_as_it_was_made(db: Database) {
    let (owner, technician, device) = (db.user().await, db.user().await, db.device().await);
    let new = grant(device, technician, owner);
    db.store.create_grant(&new, NOW).await.unwrap();
    let found = db.store.grants_of_device(device).await.unwrap().pop().unwrap();
    assert_eq!((found.id, found.device, found.user, found.role), (new.id, new.device, new.user, new.role));
    assert_eq!((found.scopes, found.until, found.created_by), (new.scopes, new.until, new.created_by));
    assert_eq!((found.reason, found.created_at, found.ended_at), (new.reason, NOW, None));
}

async fn a_grant_needs_its_device_and_user(db: Database) {
    let (user, device) = (db.user().await, db.device().await);
    for (device, user) in [(Uuid::now_v7(), user), (device, Uuid::now_v7())] {
        let result = db.store.create_grant(&grant(device, user, user), NOW).await;
        assert!(matches!(result, Err(StoreError::NotFound { .. })));
    }
    assert!(matches!(db.store.end_grant(Uuid::now_v7(), NOW).await, Err(StoreError::NotFound { what: "grant" })));
}
