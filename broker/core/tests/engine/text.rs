//! Packets as short text, for tests to compare.

use std::fmt::Write as _;

use mooring_protocol::{Ack, Packet, Publish, ReasonCodes};

/// `PUBLISH q1 #3 a/b hello dup retain`, `SUBACK #9 GrantedQoS1`, and so on. Only what is there is named.
pub(crate) fn describe(packet: &Packet<'_>) -> String {
    match packet {
        Packet::ConnAck(ack) => {
            let mut text = format!("CONNACK {:?}", ack.reason);
            let properties = &ack.properties;
            if ack.session_present {
                text += " present";
            }
            add(&mut text, "expiry", properties.session_expiry_s);
            add(&mut text, "keep-alive", properties.server_keep_alive_s);
            add(&mut text, "assigned", properties.assigned_client_id);
            add(&mut text, "responses", properties.response_information);
            add(&mut text, "method", properties.authentication_method);
            add(&mut text, "data", properties.authentication_data.map(String::from_utf8_lossy));
            text
        }
        Packet::Publish(publish) => describe_publish(publish),
        Packet::PubAck(ack) => describe_ack("PUBACK", ack),
        Packet::PubRec(ack) => describe_ack("PUBREC", ack),
        Packet::PubRel(ack) => describe_ack("PUBREL", ack),
        Packet::PubComp(ack) => describe_ack("PUBCOMP", ack),
        Packet::SubAck(ack) => format!("SUBACK #{}{}", ack.packet_id, codes(&ack.reasons)),
        Packet::UnsubAck(ack) => format!("UNSUBACK #{}{}", ack.packet_id, codes(&ack.reasons)),
        Packet::PingResp => "PINGRESP".to_owned(),
        Packet::Disconnect(disconnect) => format!("DISCONNECT {:?}", disconnect.reason),
        Packet::Auth(auth) => {
            let mut text = format!("AUTH {:?}", auth.reason);
            add(&mut text, "method", auth.properties.authentication_method);
            add(&mut text, "data", auth.properties.authentication_data.map(String::from_utf8_lossy));
            text
        }
        other => format!("{other:?}"),
    }
}

fn describe_publish(publish: &Publish<'_>) -> String {
    let mut text = format!("PUBLISH q{}", u8::from(publish.qos));
    if let Some(packet_id) = publish.packet_id {
        let _ = write!(text, " #{packet_id}");
    }
    let _ = write!(text, " {} {}", publish.topic, String::from_utf8_lossy(publish.payload));
    if publish.dup {
        text += " dup";
    }
    if publish.retain {
        text += " retain";
    }
    let properties = &publish.properties;
    add(&mut text, "alias", properties.topic_alias);
    add(&mut text, "expiry", properties.message_expiry_s);
    properties.subscription_ids.iter().for_each(|id| add(&mut text, "id", Some(id)));
    properties.user_properties.iter().for_each(|(name, value)| add(&mut text, name, Some(value)));
    text
}

fn describe_ack(name: &str, ack: &Ack<'_>) -> String {
    let mut text = format!("{name} #{}", ack.packet_id);
    if ack.reason != mooring_protocol::ReasonCode::Success {
        let _ = write!(text, " {:?}", ack.reason);
    }
    text
}

fn codes(reasons: &ReasonCodes<'_>) -> String {
    reasons.iter().map(|reason| format!(" {reason:?}")).collect()
}

fn add(text: &mut String, name: &str, value: Option<impl std::fmt::Display>) {
    if let Some(value) = value {
        let _ = write!(text, " {name}={value}");
    }
}
