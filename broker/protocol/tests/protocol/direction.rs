//! Which packets come from which side.

use mooring_protocol::{DecodeLimits, decode};

use crate::notation;

/// `sides` names who may send the packet: `c` the client, `s` the server.
fn check(notation: &str, sides: &str) {
    let bytes = notation::bytes(notation);
    let (packet, _) = decode(&bytes, notation::version("v5"), &DecodeLimits::default()).unwrap().unwrap();
    assert_eq!(packet.is_from_client(), sides.contains('c'), "{notation} from a client");
    assert_eq!(packet.is_from_server(), sides.contains('s'), "{notation} from a server");
}

#[test]
fn each_side_has_its_packets() {
    check(r#"10 [ "MQTT" 05 02 003C 00 "c" ]"#, "c");
    check("20 [ 00 00 00 ]", "s");
    check(r#"30 [ "a" 00 ]"#, "cs");
    for ack in ["40 [ 0001 ]", "50 [ 0001 ]", "62 [ 0001 ]", "70 [ 0001 ]"] {
        check(ack, "cs");
    }
    check(r#"82 [ 0001 00 "a" 00 ]"#, "c");
    check("90 [ 0001 00 00 ]", "s");
    check(r#"A2 [ 0001 00 "a" ]"#, "c");
    check("B0 [ 0001 00 00 ]", "s");
    check("C0 00", "c");
    check("D0 00", "s");
    check("E0 00", "cs");
}

#[test]
fn each_side_has_its_properties_and_reasons() {
    check(r#"30 [ "a" [ 0B 01 ] ]"#, "s");
    check("E0 [ 04 ]", "c");
    check("E0 [ 00 [ 11 00000001 ] ]", "c");
    check(r#"E0 [ 9C [ 1C "other" ] ]"#, "s");
    check("F0 00", "s");
    check("F0 [ 18 00 ]", "cs");
    check("F0 [ 19 00 ]", "c");
}
