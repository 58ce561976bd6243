//! The suite against a broker that we did not write: what it fails there must be what that broker is known to do.

mod tools;

use std::time::Duration;

use mooring_conformance::{Options, Outcome, Tls, WebSocket, run};

/// What mosquitto 2.0.11 does otherwise than the standard asks; docs/conformance-mosquitto.md says what. A later release
/// may fail fewer.
const KNOWN: &[&str] = &[
    "v3/header/puback-flags",
    "v5/header/puback-flags",
    "v3/header/pubrec-flags",
    "v5/header/pubrec-flags",
    "v3/header/pubcomp-flags",
    "v5/header/pubcomp-flags",
    "v3/header/pingreq-flags",
    "v5/header/pingreq-flags",
    "v3/connect/keep-alive",
    "v5/connect/keep-alive",
    "v5/connect-properties/will-response-wildcard",
    "v5/session/takeover-reason",
    "v5/will/delay-no-session",
    "v3/publish/overlap",
    "v5/properties/response-topic-wildcard",
    "v5/properties/client-subscription-id",
    "v5/properties/expiry-qos-2-sent",
    "v5/options/no-local-shared",
    "v3/control/ping-with-body",
    "v5/control/ping-with-body",
    "v5/control/disconnect-code",
    "v5/control/disconnect-error",
    "v5/auth/data-without-method",
    "v5/shared/no-name",
    "v5/shared/name-wildcard",
    "v5/shared/no-filter",
    "v5/flow/receive-maximum",
    "v5/flow/resume-quota",
    "v5/flow/over-servers",
    "v5/size/too-large-quota",
    "v5/size/exact",
    "v3/websocket/text",
    "v5/websocket/text",
    "v3/attack/suback",
    "v5/attack/suback",
    "v3/attack/unsuback",
    "v5/attack/unsuback",
    "v3/attack/pingresp",
    "v5/attack/pingresp",
    "v5/attack/reason-unknown",
    "v5/attack/puback-tail",
];

#[test]
fn mosquitto_fails_only_where_it_is_known_to() {
    let mosquitto = tools::Mosquitto::start();
    let mut options = Options::new(mosquitto.target());
    options.parallel = 32;
    options.websocket = Some(WebSocket { target: mosquitto.websocket_target(), path: "/mqtt".into(), tls: None });
    let report = run(&options, &mut |_| {}).expect("the suite runs");
    let unknown: Vec<_> = report.failures().filter(|result| !KNOWN.contains(&result.id.as_str())).collect();
    assert!(unknown.is_empty(), "{report}");
    let passed = report.results.iter().filter(|result| matches!(result.outcome, Outcome::Pass)).count();
    assert!(passed > 500, "only {passed} cases passed\n{report}");
}

#[test]
fn the_suite_speaks_tls() {
    let mosquitto = tools::Mosquitto::start();
    let mut options = Options::new(mosquitto.tls_target());
    options.tls = Some(Tls::from_pem(&mosquitto.ca(), None, "localhost").expect("TLS settings"));
    options.patience = Duration::from_millis(100);
    options.filter = Some("/subscribe/".into());
    let report = run(&options, &mut |_| {}).expect("the suite runs");
    assert!(!report.failed() && report.results.len() > 20, "{report}");
}
