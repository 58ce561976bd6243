//! Each line of `testdata/refused.txt` is refused, for its reason.

use mooring_protocol::{DecodeLimits, Fault, decode};

use crate::notation;

#[test]
fn every_listed_packet_is_refused_for_its_reason() {
    let wrong: Vec<String> = include_str!("../../testdata/refused.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .filter_map(|line| check(line).err())
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn check(line: &str) -> Result<(), String> {
    let columns: Vec<&str> = line.split(" | ").map(str::trim).collect();
    let [version, bytes, kind, reason, statement, _why] = columns[..] else { return Err(format!("columns: {line}")) };
    let bytes = notation::bytes(bytes);
    let error = match decode(&bytes, notation::version(version), &LIMITS) {
        Err(error) => error,
        Ok(accepted) => return Err(format!("accepted: {line}: {accepted:?}")),
    };
    let found =
        (format!("{:?}", error.kind()), format!("{:02X}", u8::from(error.reason())), error.statement().unwrap_or("-"));
    if found != (kind.to_owned(), reason.to_owned(), statement) {
        return Err(format!("{found:?}: {line}"));
    }
    if error.offset() > bytes.len() || error.field().is_empty() {
        return Err(format!("{error:?}: {line}"));
    }
    Ok(())
}

const LIMITS: DecodeLimits = DecodeLimits {
    packet_size_max: 1000,
    topic_levels_max: 8,
    topic_length_max: 100,
    properties_max: 6,
    user_properties_max: 3,
    filters_max: 3,
    strict_utf8: false,
};

#[test]
fn an_error_says_where_and_whose_fault() {
    let at = |notation: &str| decode(&notation::bytes(notation), notation::version("v5"), &LIMITS).unwrap_err();

    let error = at(r#"30 [ "a" [ 01 00 23 0000 ] ]"#);
    assert_eq!((error.offset(), error.field(), error.fault()), (11, "topic alias", Fault::PeerMisbehaved));
    assert_eq!(error.to_string(), "topic alias at byte 11: a topic alias is not 0 [MQTT-3.3.2-8]");

    assert_eq!(at(r#"10 [ "MQTT" 07 ]"#).fault(), Fault::PeerIncompatible);
    assert_eq!(at(r#"10 [ "MQTT" 07 ]"#).version(), None);
    assert_eq!(at(r#"10 [ "MQTT" 04 01 ]"#).version(), Some(notation::version("v311")));
    assert_eq!(at("30 FF 7F").fault(), Fault::LimitExceeded);
    assert_eq!(at(r#"30 [ "/////////" 00 ]"#).fault(), Fault::LimitExceeded);
}

/// One more of the same is refused in `testdata/refused.txt`.
#[test]
fn what_is_exactly_at_a_limit_is_accepted() {
    let topic = "x".repeat(100);
    for (version, notation) in [
        ("v5", r#"30 [ "1/2/3/4/5/6/7/8" 00 ]"#),
        ("v311", &format!(r#"30 [ "{topic}" ]"#)),
        ("v5", r#"30 [ "a" [ 26 "k" "" 26 "k" "" 26 "k" "" ] ]"#),
        ("v5", r#"30 [ "a" [ 0B 01 0B 01 0B 01 0B 01 0B 01 0B 01 ] ]"#),
        ("v5", r#"82 [ 0001 00 "a" 00 "b" 00 "c" 00 ]"#),
        ("v311", r#"A2 [ 0001 "a" "b" "c" ]"#),
    ] {
        let bytes = notation::bytes(notation);
        let read = decode(&bytes, notation::version(version), &LIMITS);
        assert!(matches!(read, Ok(Some(_))), "{notation}: {read:?}");
    }
    let mut largest = notation::bytes(r#"30 E5 07 "a""#);
    largest.resize(1000, 0);
    assert!(matches!(decode(&largest, notation::version("v311"), &LIMITS), Ok(Some((_, 1000)))));
}

#[test]
fn the_header_alone_is_enough_to_refuse() {
    for header in ["00 7F", "36 7F", "38 7F", "60 7F", "81 7F", "C0 01", "30 E8 07", "10 E8 07", "30 85 00"] {
        let bytes = notation::bytes(header);
        let refused = decode(&bytes, notation::version("v5"), &LIMITS);
        assert!(refused.is_err(), "{header}: {refused:?}");
    }
}

#[test]
fn strict_strings_have_neither_control_characters_nor_non_characters() {
    let strict = DecodeLimits { strict_utf8: true, ..DecodeLimits::default() };
    for text in ["\u{1}", "a\u{7f}", "\u{9f}", "\u{fdd0}", "\u{ffff}", "\u{1fffe}"] {
        let mut packet = vec![0x30, u8::try_from(text.len() + 2).unwrap(), 0, u8::try_from(text.len()).unwrap()];
        packet.extend(text.bytes());
        let lax = decode(&packet, notation::version("v311"), &DecodeLimits::default());
        assert!(lax.is_ok(), "{text:?}");
        let error = decode(&packet, notation::version("v311"), &strict).unwrap_err();
        assert_eq!(u8::from(error.reason()), 0x81, "{text:?}");
    }
    let fine = notation::bytes("30 [ 0003 EF BB BF ]");
    assert!(decode(&fine, notation::version("v311"), &strict).is_ok(), "[MQTT-1.5.4-3] U+FEFF is a character");
}
