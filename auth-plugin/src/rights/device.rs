//! What a device may do: speak and listen below its own topics.

use crate::address::{DeviceAddress, quoted};
use crate::rules::Asked;

/// Below these levels the broker and the cloud speak to the device; of what is there, only the named topics are the device's to publish.
/// Everything else below `devices/<own id>/` is its own.
const SPOKEN_TO_DEVICE: [(&str, &[&[&str]]); 5] = [
    ("presence", &[]),
    ("certificate", &[&["request"]]),
    ("state", &[&["reported"]]),
    ("update", &[&["status"]]),
    ("commands", &[&["+", "result", "+"]]),
];

/// Whether the device with this id, in canonical form, may; the error says why not.
pub(super) fn may(own_id: &str, asked: Asked<'_>) -> Result<(), String> {
    let text = asked.text();
    let Some(address) = DeviceAddress::split(text) else {
        return Err(format!("default-deny: {} is not below this device's own devices/<id>/", quoted(text)));
    };
    if address.id != own_id {
        return Err(format!("default-deny: devices/{} is not this device's", quoted(address.id)));
    }
    match (asked, address.rest) {
        // The id is a literal, so the filter lies within `devices/<own id>/#` whatever follows.
        (Asked::Subscribe(_), _) => Ok(()),
        (Asked::Publish(_), Some(rest)) => may_publish(rest),
        (Asked::Publish(_), None) => Err("default-deny: a device publishes below devices/<id>/, not to it".to_owned()),
    }
}

fn may_publish(rest: &str) -> Result<(), String> {
    let mut levels = rest.split('/');
    let first = levels.next().unwrap_or_default();
    let Some((_, exceptions)) = SPOKEN_TO_DEVICE.iter().find(|(root, _)| *root == first) else {
        return Ok(());
    };
    if exceptions.iter().any(|pattern| matches(pattern, levels.clone())) {
        return Ok(());
    }
    Err(format!("device-own-topics: {} is for the broker and the cloud to publish", quoted(rest)))
}

/// `+` stands for one level that is not empty.
fn matches<'a>(pattern: &[&str], mut levels: impl Iterator<Item = &'a str>) -> bool {
    let all = pattern
        .iter()
        .all(|wanted| levels.next().is_some_and(|level| *wanted == level || (*wanted == "+" && !level.is_empty())));
    all && levels.next().is_none()
}
