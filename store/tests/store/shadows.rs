//! The desired half of a shadow.

use futures_util::future::join_all;
use mooring_store::{Desired, StoreError};
use serde_json::json;
use time::Duration;
use uuid::Uuid;

use crate::common::{Database, NOW};
use crate::on_both_databases;

on_both_databases!(
    a_new_device_has_an_empty_shadow,
    patches_add_up,
    a_change_of_another_version_is_refused,
    of_racing_changes_none_is_lost,
    a_state_has_a_limit,
    a_state_stays_an_object,
);

async fn a_new_device_has_an_empty_shadow(db: Database) {
    let shadow = db.store.shadow(db.device().await).await.unwrap().unwrap();
    assert_eq!((shadow.reported, shadow.reported_version, shadow.reported_at), (json!({}), 0, None));
    assert_eq!(shadow.desired, Desired { state: json!({}), version: 0, at: None });
    assert_eq!(db.store.shadow(Uuid::now_v7()).await.unwrap(), None);
}

async fn patches_add_up(db: Database) {
    let device = db.device().await;
    db.store.set_desired(device, &json!({"program": "cotton", "spin": 1200}), None, NOW).await.unwrap();
    let later = NOW + Duration::SECOND;
    let desired = db.store.set_desired(device, &json!({"spin": null, "temperature": 40}), None, later).await.unwrap();
    let state = json!({"program": "cotton", "temperature": 40});
    assert_eq!(desired, Desired { state, version: 2, at: Some(later) });
    assert_eq!(db.store.shadow(device).await.unwrap().unwrap().desired, desired);
    let unknown = db.store.set_desired(Uuid::now_v7(), &json!({}), None, NOW).await;
    assert!(matches!(unknown, Err(StoreError::NotFound { what: "device" })));
}

async fn a_change_of_another_version_is_refused(db: Database) {
    let device = db.device().await;
    db.store.set_desired(device, &json!({"a": 1}), Some(0), NOW).await.unwrap();
    let stale = db.store.set_desired(device, &json!({"a": 2}), Some(0), NOW).await;
    assert!(matches!(stale, Err(StoreError::Conflict { .. })));
    let desired = db.store.set_desired(device, &json!({"a": 3}), Some(1), NOW).await.unwrap();
    assert_eq!((desired.state, desired.version), (json!({"a": 3}), 2));
}

async fn of_racing_changes_none_is_lost(db: Database) {
    let device = db.device().await;
    let racers = (0..8).map(|racer| {
        let store = db.store.clone();
        tokio::spawn(async move {
            store.set_desired(device, &json!({ format!("key-{racer}"): racer }), None, NOW).await.unwrap();
        })
    });
    join_all(racers).await.into_iter().for_each(|racer| racer.unwrap());
    let desired = db.store.shadow(device).await.unwrap().unwrap().desired;
    assert_eq!((desired.version, desired.state.as_object().unwrap().len()), (8, 8));
}

async fn a_state_has_a_limit(db: Database) {
    let device = db.device().await;
    let large = json!({"text": "x".repeat(64 * 1024)});
    assert!(matches!(db.store.set_desired(device, &large, None, NOW).await, Err(StoreError::Invalid { .. })));
    assert_eq!(db.store.shadow(device).await.unwrap().unwrap().desired.version, 0);
}

async fn a_state_stays_an_object(db: Database) {
    let device = db.device().await;
    let result = db.store.set_desired(device, &json!(["not", "an", "object"]), None, NOW).await;
    assert!(matches!(result, Err(StoreError::Invalid { .. })));
}
