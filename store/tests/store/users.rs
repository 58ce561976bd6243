//! Users and their tokens.

use mooring_store::{NewToken, NewUser, PageRequest, StoreError};
use time::Duration;
use uuid::Uuid;

use crate::common::{Database, NOW, fresh_hash};
use crate::on_both_databases;

on_both_databases!(
    a_name_is_found_in_any_case,
    a_name_and_an_address_are_taken_once,
    a_token_is_good_until_it_ends,
    a_revoked_token_is_no_good,
    a_token_of_a_shut_account_is_no_good,
    a_token_needs_its_user,
    a_scope_has_no_white_space,
);

fn user(name: &str, email: Option<&str>) -> NewUser {
    NewUser { id: Uuid::now_v7(), name: name.to_owned(), email: email.map(str::to_owned) }
}

fn token(user: Option<Uuid>) -> NewToken {
    NewToken {
        id: Uuid::now_v7(),
        hash: fresh_hash(),
        user,
        scopes: vec!["devices:read".to_owned(), "devices:command".to_owned()],
        label: "laptop".to_owned(),
        expires_at: Some(NOW + Duration::HOUR),
    }
}

async fn a_name_is_found_in_any_case(db: Database) {
    let made = db.store.create_user(&user("Ada", Some("ada@example.com")), NOW).await.unwrap();
    assert_eq!((made.name.as_str(), made.created_at, made.disabled_at), ("Ada", NOW, None));
    assert_eq!(db.store.user_by_name("aDA").await.unwrap().as_ref(), Some(&made));
    assert_eq!(db.store.user(made.id).await.unwrap().as_ref(), Some(&made));
    assert_eq!(db.store.user_by_name("bob").await.unwrap(), None);
    assert_eq!(db.store.users(&PageRequest::default()).await.unwrap().items, [made]);
}

async fn a_name_and_an_address_are_taken_once(db: Database) {
    db.store.create_user(&user("ada", Some("ada@example.com")), NOW).await.unwrap();
    for (second, taken) in [(user("ADA", None), "user name"), (user("eve", Some("Ada@Example.com")), "e-mail address")]
    {
        let error = db.store.create_user(&second, NOW).await.unwrap_err();
        assert!(matches!(&error, StoreError::Conflict { what } if what == taken), "{error}");
    }
}

async fn a_token_is_good_until_it_ends(db: Database) {
    let new = token(Some(db.user().await));
    db.store.create_token(&new, NOW).await.unwrap();
    let found = db.store.token_by_hash(&new.hash, NOW).await.unwrap().unwrap();
    assert_eq!((found.id, found.user, found.scopes, found.label), (new.id, new.user, new.scopes, new.label));
    assert_eq!(db.store.token_by_hash(&new.hash, NOW + Duration::HOUR).await.unwrap(), None);
    assert_eq!(db.store.token_by_hash(&fresh_hash(), NOW).await.unwrap(), None);

    let endless = NewToken { expires_at: None, ..token(None) };
    db.store.create_token(&endless, NOW).await.unwrap();
    assert!(db.store.token_by_hash(&endless.hash, NOW + Duration::days(9999)).await.unwrap().is_some());
}

async fn a_revoked_token_is_no_good(db: Database) {
    let new = token(None);
    db.store.create_token(&new, NOW).await.unwrap();
    db.store.revoke_token(new.id, NOW).await.unwrap();
    db.store.revoke_token(new.id, NOW + Duration::MINUTE).await.unwrap();
    assert_eq!(db.store.token_by_hash(&new.hash, NOW).await.unwrap(), None);
    assert_eq!(db.store.tokens(&PageRequest::default()).await.unwrap().items[0].revoked_at, Some(NOW));
    let unknown = db.store.revoke_token(Uuid::now_v7(), NOW).await;
    assert!(matches!(unknown, Err(StoreError::NotFound { what: "token" })));
}

async fn a_token_of_a_shut_account_is_no_good(db: Database) {
    let new = token(Some(db.user().await));
    db.store.create_token(&new, NOW).await.unwrap();
    db.run_sql("UPDATE users SET disabled_at = created_at").await.unwrap();
    assert_eq!(db.store.token_by_hash(&new.hash, NOW).await.unwrap(), None);
}

async fn a_token_needs_its_user(db: Database) {
    let result = db.store.create_token(&token(Some(Uuid::now_v7())), NOW).await;
    assert!(matches!(result, Err(StoreError::NotFound { .. })));
}

async fn a_scope_has_no_white_space(db: Database) {
    let token = NewToken { scopes: vec!["read write".to_owned()], ..token(None) };
    assert!(matches!(db.store.create_token(&token, NOW).await, Err(StoreError::Invalid { .. })));
}
