//! Verdicts of the real rights.

use std::sync::Arc;

use mooring_auth::{AnonymousPolicy, Rights};
use mooring_certs::{DeviceId, TrustDomain};
use mooring_core::{Access, Principal};
use mooring_protocol::{TopicFilter, TopicName};

use crate::counted::counted_region;

const DEVICE: &str = "0192f0c1-5b6e-7c55-8d7b-2f3a4b5c6d7e";

fn device() -> (Rights, Principal) {
    let trust_domain = TrustDomain::parse("mooring.test").expect("a trust domain");
    let rights = Rights::new(&trust_domain, AnonymousPolicy::Deny, Arc::new(|| 1_800_000_000_000));
    let identity = rights.device_identity(DeviceId::parse(DEVICE).expect("an id"));
    let principal = Principal {
        identity,
        client_id: None,
        certificate_serial: None,
        presence_topic: None,
        address: "127.0.0.1:1".into(),
        listener: "tls".into(),
    };
    (rights, principal)
}

pub(crate) fn device_publishes() {
    let (rights, device) = device();
    let topic = format!("devices/{DEVICE}/telemetry");
    let topic = TopicName::parse(&topic).expect("a topic");
    counted_region(|| {
        for _ in 0..1000 {
            assert!(std::hint::black_box(&rights).publish(&device, topic).allow);
        }
    });
}

pub(crate) fn device_subscribes() {
    let (rights, device) = device();
    let filter = format!("devices/{DEVICE}/commands/+");
    let filter = TopicFilter::parse(&filter).expect("a filter");
    counted_region(|| {
        for _ in 0..1000 {
            assert!(std::hint::black_box(&rights).subscribe(&device, filter).allow);
        }
    });
}
