//! Export, and the end of an account.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use mooring_accounts::{AccountsError, Hooks, Proof};
use mooring_store::{GrantRole, NewDevice, NewGrant, NewToken};
use time::Duration;
use uuid::Uuid;

use crate::bench::{ADA, Bench, OTHER_PASSWORD, PASSWORD, visitor};

/// Makes a device of this user.
async fn device_of(bench: &Bench, user: Uuid) -> Uuid {
    let (id, now) = (Uuid::now_v7(), bench.now());
    let hash = |salt: u8| {
        let mut hash = [salt; 32];
        hash[..16].copy_from_slice(id.as_bytes());
        hash
    };
    let device = NewDevice {
        id,
        model: "washer".to_owned(),
        batch: None,
        enrolment_secret_hash: hash(1),
        enrolment_expires_at: now + Duration::DAY,
        claim_code_hash: hash(2),
    };
    bench.store.create_devices(std::slice::from_ref(&device), now).await.unwrap();
    bench.store.claim_device(user, id, &hash(2), now).await.unwrap();
    bench.store.rename_device(id, "Ada's washer").await.unwrap();
    id
}

async fn token_of_user(bench: &Bench, user: Uuid, salt: u8) -> [u8; 32] {
    let token = NewToken {
        id: Uuid::now_v7(),
        hash: [salt; 32],
        user: Some(user),
        scopes: vec!["devices:read".to_owned()],
        label: "laptop".to_owned(),
        expires_at: None,
    };
    bench.store.create_token(&token, bench.now()).await.unwrap();
    token.hash
}

fn grant(device: Uuid, user: Uuid, by: Uuid) -> NewGrant {
    NewGrant {
        id: Uuid::now_v7(),
        device,
        user,
        role: GrantRole::Guest,
        scopes: vec![],
        until: None,
        created_by: by,
        reason: "visit".to_owned(),
    }
}

#[tokio::test]
async fn all_that_is_kept_of_a_person_is_given_to_them() {
    let bench = Bench::new().await;
    let ada = bench.sign_up(ADA).await;
    bench.accounts.create_session(&ada, &visitor(), None).await.unwrap();
    let device = device_of(&bench, ada.user).await;
    token_of_user(&bench, ada.user, 9).await;
    let export = bench.accounts.export(ada.user).await.unwrap();
    assert_eq!(export["account"]["email"], ADA);
    assert_eq!(export["devices"][0]["id"], device.to_string());
    assert_eq!(export["devices"][0]["name"], "Ada's washer");
    assert_eq!(export["sessions"].as_array().unwrap().len(), 1);
    assert_eq!(export["tokens"][0]["label"], "laptop");
    assert_eq!(export["audit"][0]["action"], "account.create");
    let text = export.to_string();
    assert!(!text.contains("argon2") && !text.contains("\"hash\""), "{text}");
}

#[tokio::test]
async fn a_deleted_account_leaves_nothing_but_its_id_in_the_audit_log() {
    let bench = Bench::new().await;
    let (ada, bob) = (bench.sign_up(ADA).await, bench.sign_up("bob@example.com").await);
    let session = bench.accounts.create_session(&ada, &visitor(), None).await.unwrap();
    let (device, of_bob) = (device_of(&bench, ada.user).await, device_of(&bench, bob.user).await);
    let token = token_of_user(&bench, ada.user, 9).await;
    bench.store.create_grant(&grant(device, bob.user, ada.user), bench.now()).await.unwrap();
    bench.store.create_grant(&grant(of_bob, ada.user, bob.user), bench.now()).await.unwrap();

    let wrong = bench.accounts.delete_account(ada.user, Proof::Password(OTHER_PASSWORD), &visitor()).await;
    assert!(matches!(wrong, Err(AccountsError::WrongCredentials)));
    bench.accounts.delete_account(ada.user, Proof::Password(PASSWORD), &visitor()).await.unwrap();

    assert!(bench.store.user(ada.user).await.unwrap().is_none());
    assert!(bench.accounts.find_session(session.token.reveal()).await.unwrap().is_none());
    assert!(bench.store.token_by_hash(&token, bench.now()).await.unwrap().is_none());
    let released = bench.store.device(device).await.unwrap().unwrap();
    assert_eq!((released.owner, released.name.as_str()), (None, ""));
    assert!(bench.store.grants_of_user(bob.user, bench.now()).await.unwrap().is_empty());
    assert!(bench.store.grants_of_device(of_bob).await.unwrap().is_empty());
    assert!(bench.sign_in(ADA, PASSWORD).await.is_err());
    assert!(bench.last_mail(3).await.subject.contains("deleted"));
    // What is left anywhere in the file names nobody.
    let page = bench.store.audit(&mooring_store::PageRequest::default()).await.unwrap();
    assert!(page.items.iter().all(|row| !format!("{row:?}").contains("ada")), "{page:?}");
    assert_eq!(page.items[0].action, "account.delete");
    // The address is free again, for another account.
    assert_ne!(bench.sign_up(ADA).await.user, ada.user);
}

struct Refusing;

impl Hooks for Refusing {
    fn deleting<'a>(&'a self, _user: Uuid) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async { Err("the broker is away".to_owned()) })
    }
}

#[tokio::test]
async fn a_deletion_that_cannot_be_finished_shuts_the_account_and_goes_on_later() {
    let bench = Bench::new().await;
    let ada = bench.sign_up(ADA).await;
    let session = bench.accounts.create_session(&ada, &visitor(), None).await.unwrap();
    bench.accounts.add_hooks(Arc::new(Refusing));
    let result = bench.accounts.delete_account(ada.user, Proof::Password(PASSWORD), &visitor()).await;
    assert!(matches!(result, Err(AccountsError::Hook(_))));
    assert!(bench.sign_in(ADA, PASSWORD).await.is_err());
    assert!(bench.accounts.find_session(session.token.reveal()).await.unwrap().is_none());
    assert_eq!(bench.store.deletions_begun().await.unwrap(), [ada.user]);
    bench.accounts.tidy().await.unwrap();
    assert!(bench.store.user(ada.user).await.unwrap().is_some(), "tried again, and not given up");
}
