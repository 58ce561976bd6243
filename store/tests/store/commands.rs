//! Commands and their answers, as the API records them.

use bytes::Bytes;
use mooring_store::{CommandResult, NewCommand, PageRequest, StoreError};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::common::{Database, NOW};
use crate::on_both_databases;

on_both_databases!(
    a_command_is_as_it_was_recorded,
    a_request_is_recorded_once,
    the_first_answer_of_the_right_device_counts,
    an_empty_answer_is_an_answer,
    commands_come_newest_first_in_pages,
);

fn command(device: Uuid, at: OffsetDateTime) -> NewCommand {
    NewCommand {
        request: Uuid::now_v7(),
        device,
        name: "start".to_owned(),
        by: "operator".to_owned(),
        at,
        content_type: Some("application/json".to_owned()),
        payload: Bytes::from_static(b"{\"program\":\"cotton\"}"),
    }
}

fn answer(payload: &[u8]) -> CommandResult {
    CommandResult { at: NOW + Duration::SECOND, content_type: None, payload: payload.to_vec() }
}

async fn a_command_is_as_it_was_recorded(db: Database) {
    let new = command(db.device().await, NOW);
    db.store.record_command(&new).await.unwrap();
    let found = db.store.command(new.request).await.unwrap().unwrap();
    assert_eq!((found.device, found.name, found.by, found.at), (new.device, new.name, new.by, NOW));
    assert_eq!((found.content_type, found.payload), (new.content_type, new.payload.to_vec()));
    assert_eq!(found.result, None);
    assert_eq!(db.store.command(Uuid::now_v7()).await.unwrap(), None);
}

async fn a_request_is_recorded_once(db: Database) {
    let new = command(db.device().await, NOW);
    db.store.record_command(&new).await.unwrap();
    assert!(matches!(db.store.record_command(&new).await, Err(StoreError::Conflict { .. })));
    let of_nobody = command(Uuid::now_v7(), NOW);
    assert!(matches!(db.store.record_command(&of_nobody).await, Err(StoreError::NotFound { .. })));
}

async fn the_first_answer_of_the_right_device_counts(db: Database) {
    let (device, other) = (db.device().await, db.device().await);
    let new = command(device, NOW);
    db.store.record_command(&new).await.unwrap();
    assert!(!db.store.record_command_result(new.request, other, &answer(b"forged")).await.unwrap());
    assert!(db.store.record_command_result(new.request, device, &answer(b"done")).await.unwrap());
    assert!(!db.store.record_command_result(new.request, device, &answer(b"late")).await.unwrap());
    assert_eq!(db.store.command(new.request).await.unwrap().unwrap().result, Some(answer(b"done")));
}

async fn an_empty_answer_is_an_answer(db: Database) {
    let new = command(db.device().await, NOW);
    db.store.record_command(&new).await.unwrap();
    assert!(db.store.record_command_result(new.request, new.device, &answer(b"")).await.unwrap());
    assert_eq!(db.store.command(new.request).await.unwrap().unwrap().result, Some(answer(b"")));
}

async fn commands_come_newest_first_in_pages(db: Database) {
    let device = db.device().await;
    // Two share a time, so that only the request tells them apart.
    let mut made = Vec::new();
    for second in [0, 1, 1, 2, 3] {
        made.push(command(device, NOW + Duration::seconds(second)));
        db.store.record_command(made.last().unwrap()).await.unwrap();
    }
    made.sort_by_key(|command| std::cmp::Reverse((command.at, command.request)));
    let (mut seen, mut page) = (Vec::new(), PageRequest::first(2));
    loop {
        let found = db.store.commands_of_device(device, &page).await.unwrap();
        seen.extend(found.items.into_iter().map(|command| command.request));
        let Some(next) = found.next else { break };
        page = PageRequest::after(next, 2);
    }
    assert_eq!(seen, made.iter().map(|command| command.request).collect::<Vec<_>>());
}
