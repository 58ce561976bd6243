//! For any filter and any topic: what is granted reaches nothing else.

use mooring_auth::{Role, Scope};
use mooring_protocol::{TopicFilter, TopicName};
use proptest::prelude::*;

use crate::desk::{A, B, Desk, FRIEND, Publish, Subscribe, client, device};

/// Levels that collide with what matters, and some that do not.
fn level() -> impl Strategy<Value = String> {
    let known = [
        "devices",
        A,
        B,
        "telemetry",
        "commands",
        "start",
        "result",
        "7",
        "state",
        "desired",
        "reported",
        "presence",
        "update",
        "status",
        "certificate",
        "request",
        "$SYS",
        "$share",
        "",
        "x",
    ];
    prop_oneof![8 => prop::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => "[a-z+#]{1,3}"]
}

/// Topic names, most of them below one of two devices.
fn topic() -> impl Strategy<Value = String> {
    let levels = prop::collection::vec(level(), 1..6).prop_map(|levels| levels.join("/"));
    let below = (prop::sample::select(vec![A, B]), prop::collection::vec(level(), 0..4))
        .prop_map(|(device, levels)| format!("devices/{device}/{}", levels.join("/")));
    prop_oneof![levels, below].prop_filter("a topic name", |text| TopicName::parse(text).is_ok())
}

fn filter() -> impl Strategy<Value = String> {
    let wild = prop_oneof![6 => level(), 3 => Just("+".to_owned())];
    let levels = prop::collection::vec(wild, 1..6);
    (levels, any::<bool>(), any::<bool>(), prop::sample::select(vec![A, B]))
        .prop_map(|(mut levels, hash, below, device)| {
            if below {
                levels.splice(0..0, ["devices".to_owned(), device.to_owned()]);
            }
            if hash {
                levels.push("#".to_owned());
            }
            levels.join("/")
        })
        .prop_filter("a topic filter", |text| TopicFilter::parse(text).is_ok())
}

proptest! {
    #[test]
    fn what_a_device_may_subscribe_to_matches_no_topic_of_another(filter in filter(), topic in topic()) {
        let desk = Desk::new();
        if desk.asks(&device(A), Subscribe, &filter).allow {
            let parsed = TopicFilter::parse(&filter).unwrap();
            let own = format!("devices/{A}/#");
            prop_assert!(TopicFilter::parse(&own).unwrap().contains(parsed));
            if parsed.matches(TopicName::parse(&topic).unwrap()) {
                prop_assert!(topic.starts_with(&format!("devices/{A}")), "{topic}");
            }
        }
    }

    #[test]
    fn a_device_that_may_publish_is_below_its_own_topics(topic in topic()) {
        let desk = Desk::new();
        if desk.asks(&device(A), Publish, &topic).allow {
            let own = format!("devices/{A}/");
            prop_assert!(topic.starts_with(&own), "{topic}");
        }
    }

    #[test]
    fn what_a_technician_may_subscribe_to_is_contained_in_a_scope(filter in filter(), scope in prop::sample::select(Scope::ALL.to_vec())) {
        let desk = Desk::shared_as(Role::Technician(vec![scope.clone()]), None);
        if desk.asks(&client(FRIEND), Subscribe, &filter).allow {
            let name = scope.name();
            let root = name.split(':').next().unwrap();
            let bound = format!("devices/{A}/{root}/#");
            prop_assert!(TopicFilter::parse(&bound).unwrap().contains(TopicFilter::parse(&filter).unwrap()), "{filter}");
        }
    }
}
