//! What operators look for, what charts show, what streams go on from, and answers that are given again.

use mooring_store::{
    DeviceQuery, EventsSince, HistoryQuery, IDEMPOTENCY_LIFETIME, Idempotent, PageRequest, StoreError,
};
use time::Duration;
use uuid::Uuid;

use crate::common::{Database, NOW, batch_of, fresh_hash, hash_of, new_event};
use crate::on_both_databases;

on_both_databases!(
    a_query_finds_devices_by_all_that_it_says,
    history_is_the_least_most_mean_and_last_of_each_bucket,
    a_stream_goes_on_behind_its_position,
    an_answer_is_given_again_to_the_same_request_alone,
);

async fn a_query_finds_devices_by_all_that_it_says(db: Database) {
    let (user, one, other) = (db.user().await, db.device().await, db.device().await);
    db.store.claim_device(user, one, &hash_of(one, b'c'), NOW).await.unwrap();
    db.store.rename_device(one, "Washer 100%").await.unwrap();
    let version = db.store.set_tags(one, &["beta".to_owned(), "site/a".to_owned()], None).await.unwrap();
    db.store.set_tags(other, &["beta".to_owned()], None).await.unwrap();
    let stale = db.store.set_tags(one, &[], Some(version - 1)).await;
    assert!(matches!(stale, Err(StoreError::Conflict { .. })));
    for bad in ["", "a b", "a:b"] {
        let result = db.store.set_tags(one, &[bad.to_owned()], None).await;
        assert!(matches!(result, Err(StoreError::Invalid { .. })), "{bad:?}");
    }
    let check = async |text: &str, expected: &[Uuid]| {
        let query = DeviceQuery::parse(text).unwrap();
        let found = db.store.search_devices(&query, &PageRequest::default()).await.unwrap();
        assert_eq!(found.items.iter().map(|device| device.id).collect::<Vec<_>>(), expected, "{text}");
    };
    check("", &[one, other]).await;
    check("tag:beta", &[one, other]).await;
    check("tag:beta tag:site/a", &[one]).await;
    check("tag:beta claimed:no model:washer", &[other]).await;
    check(&format!("owner:{user}"), &[one]).await;
    check("online:yes", &[]).await;
    check("retired:no enrolled:no WASHER", &[one]).await;
    check("100%", &[one]).await;
    check("%", &[one]).await;
    check(&one.to_string(), &[one]).await;
    check("zzz", &[]).await;
    assert!(DeviceQuery::parse("colour:red").is_err());
    assert!(DeviceQuery::parse("online:maybe").is_err());
    let tags = db.store.tags_of_devices(&[one, other]).await.unwrap();
    assert_eq!((tags[&one].len(), tags[&other].len()), (2, 1));
    let group = db.store.create_group(Uuid::now_v7(), "Beta", "tag:beta", NOW).await.unwrap();
    let twice = db.store.create_group(Uuid::now_v7(), "Beta", "", NOW).await;
    assert!(matches!(twice, Err(StoreError::Conflict { .. })), "{twice:?}");
    assert_eq!(db.store.groups(&PageRequest::default()).await.unwrap().items, std::slice::from_ref(&group));
    db.store.delete_group(group.id).await.unwrap();
    assert_eq!(db.store.group(group.id).await.unwrap(), None);
}

async fn history_is_the_least_most_mean_and_last_of_each_bucket(db: Database) {
    let device = db.device().await;
    let numbers = [(0, "3"), (1, "1"), (2, "5"), (10, "-2.5"), (11, "null"), (59, "7")];
    let events = numbers.iter().enumerate().map(|(position, (second, number))| {
        let payload = format!("{{\"a\":{{\"b\":{number}}},\"c\":1}}");
        let at = NOW + Duration::seconds(*second);
        mooring_store::NewEvent { at, payload: payload.into(), ..new_event(u64::try_from(position).unwrap(), device) }
    });
    db.store.ingest(&batch_of(events.collect()), NOW).await.unwrap();
    let query = HistoryQuery {
        device,
        fields: vec!["/a/b".to_owned(), "/none".to_owned()],
        from: NOW,
        to: NOW + Duration::MINUTE,
        buckets: 6,
    };
    let series = db.store.history(&query).await.unwrap();
    let buckets: Vec<_> = series[0].buckets.iter().map(|b| (b.index, b.count, b.min, b.max, b.mean, b.last)).collect();
    assert_eq!(buckets, [(0, 3, 1.0, 5.0, 3.0, 5.0), (1, 1, -2.5, -2.5, -2.5, -2.5), (5, 1, 7.0, 7.0, 7.0, 7.0)]);
    assert_eq!((series[1].field.as_str(), series[1].buckets.len()), ("/none", 0));
    assert_eq!(query.bucket_start(1), NOW + Duration::seconds(10));
    let wrong = [
        HistoryQuery { to: NOW, ..query.clone() },
        HistoryQuery { buckets: 0, ..query.clone() },
        HistoryQuery { buckets: 2_001, ..query.clone() },
        HistoryQuery { fields: vec![], ..query.clone() },
        HistoryQuery { fields: vec!["a".to_owned()], ..query.clone() },
    ];
    for query in wrong {
        assert!(matches!(db.store.history(&query).await, Err(StoreError::Invalid { .. })), "{query:?}");
    }
}

async fn a_stream_goes_on_behind_its_position(db: Database) {
    let (device, other) = (db.device().await, db.device().await);
    let events = (0..10).map(|position| new_event(position, if position % 2 == 0 { device } else { other }));
    db.store.ingest(&batch_of(events.collect()), NOW).await.unwrap();
    let since = EventsSince {
        source: "node-1".to_owned(),
        after: 2,
        before: 8,
        from: NOW - Duration::SECOND,
        devices: vec![device],
        limit: 10,
    };
    let positions = async |since: &EventsSince| {
        let events = db.store.events_since(since).await.unwrap();
        events.iter().map(|event| event.position).collect::<Vec<_>>()
    };
    assert_eq!(positions(&since).await, [4, 6]);
    assert_eq!(positions(&EventsSince { limit: 1, ..since.clone() }).await, [4]);
    assert_eq!(positions(&EventsSince { devices: vec![device, other], ..since.clone() }).await, [3, 4, 5, 6, 7]);
    assert_eq!(positions(&EventsSince { devices: vec![], ..since.clone() }).await, [0; 0]);
    assert_eq!(positions(&EventsSince { source: "node-2".to_owned(), ..since }).await, [0; 0]);
}

async fn an_answer_is_given_again_to_the_same_request_alone(db: Database) {
    let (key, request) = (fresh_hash(), fresh_hash());
    let begin = async |request: &[u8; 32], now| db.store.begin_idempotent(&key, request, now).await.unwrap();
    assert_eq!(begin(&request, NOW).await, Idempotent::New);
    assert_eq!(begin(&request, NOW).await, Idempotent::InProgress);
    // The server was stopped under it.
    assert_eq!(begin(&request, NOW + Duration::minutes(6)).await, Idempotent::New);
    db.store.finish_idempotent(&key, 201, b"made").await.unwrap();
    assert_eq!(begin(&request, NOW).await, Idempotent::Answered { status: 201, answer: b"made".to_vec() });
    assert_eq!(begin(&fresh_hash(), NOW).await, Idempotent::OtherRequest);
    assert_eq!(begin(&request, NOW + IDEMPOTENCY_LIFETIME * 2).await, Idempotent::New);
    db.store.forget_idempotent(&key).await.unwrap();
    assert_eq!(begin(&fresh_hash(), NOW).await, Idempotent::New);
}
