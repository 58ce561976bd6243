//! Commands that wait for their answers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mooring_core::message::{MessageProperties, SharedMessage};
use mooring_protocol::{TopicFilterBuf, TopicNameBuf};
use mooring_server::{Node, NodeError, Publish};
use tokio::sync::oneshot;
use uuid::Uuid;

/// Sends commands and brings each answer to whoever waits for it.
#[derive(Default)]
pub struct CommandDesk {
    waiting: Mutex<HashMap<Uuid, Waiting>>,
}

struct Waiting {
    device: Uuid,
    name: String,
    /// Who waits; none for an operator.
    user: Option<Uuid>,
    answer: oneshot::Sender<SharedMessage>,
}

/// What came of a command.
pub(crate) enum Outcome {
    /// The device's answer.
    Answered(SharedMessage),
    /// None in time.
    Silent,
    /// Whoever waited may not command the device any more.
    Withdrawn,
}

/// A command on its way.
pub(crate) struct Outgoing<'a> {
    pub(crate) request: Uuid,
    pub(crate) device: Uuid,
    pub(crate) name: &'a str,
    /// Who sends it; none for an operator.
    pub(crate) user: Option<Uuid>,
    pub(crate) payload: Vec<u8>,
    /// How long the device has to answer; the message expires with it, so that a device that comes back tomorrow does not start a wash.
    pub(crate) patience: Duration,
}

impl CommandDesk {
    /// Begins to listen for answers. One tap serves all commands; it ends with the node.
    #[must_use]
    pub fn open(node: &Node) -> Arc<Self> {
        let desk = Arc::new(Self::default());
        let filters = TopicFilterBuf::parse("devices/+/commands/+/result/+").into_iter().collect();
        let mut results = node.subscribe(filters);
        let listener = Arc::clone(&desk);
        tokio::spawn(async move {
            while let Some(message) = results.recv().await {
                listener.deliver(message);
            }
        });
        desk
    }

    /// Sends a command and waits for the answer.
    pub(crate) async fn send(&self, node: &Node, command: Outgoing<'_>) -> Result<Outcome, NodeError> {
        let (answer, answered) = oneshot::channel();
        let Outgoing { request, device, name, user, patience, .. } = command;
        let _waiting = self.wait_for(request, Waiting { device, name: name.to_owned(), user, answer });
        let Some(publish) = publish(command) else { return Ok(Outcome::Silent) };
        node.publish(publish).await?;
        Ok(match tokio::time::timeout(patience, answered).await {
            Ok(Ok(message)) => Outcome::Answered(message),
            // The other end is gone: it was withdrawn.
            Ok(Err(_)) => Outcome::Withdrawn,
            Err(_) => Outcome::Silent,
        })
    }

    /// Ends the waits of those who may not command a device any more: `may` is asked for each of a user on a device, with the command's name.
    pub(crate) fn withdraw(&self, may: impl Fn(Uuid, Uuid, &str) -> bool) {
        self.lock().retain(|_, waiting| waiting.user.is_none_or(|user| may(user, waiting.device, &waiting.name)));
    }

    fn wait_for(&self, request: Uuid, waiting: Waiting) -> Registration<'_> {
        self.lock().insert(request, waiting);
        Registration { desk: self, request }
    }

    fn deliver(&self, message: SharedMessage) {
        let Some((device, request)) = answered_request(message.topic.as_str()) else { return };
        let mut waiting = self.lock();
        // The ACL lets a device answer below its own topics only; an answer counts for commands to that device alone.
        if waiting.get(&request).is_some_and(|waiting| waiting.device == device)
            && let Some(found) = waiting.remove(&request)
        {
            // Whoever waited may have given up.
            let _ = found.answer.send(message);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, Waiting>> {
        // A panic elsewhere leaves the map whole: each change is one call.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets the command when nobody waits any more, however that came about.
struct Registration<'a> {
    desk: &'a CommandDesk,
    request: Uuid,
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        self.desk.lock().remove(&self.request);
    }
}

/// `None` when the name makes no topic; the caller has checked it.
fn publish(command: Outgoing<'_>) -> Option<Publish> {
    let Outgoing { request, device, name, payload, patience, .. } = command;
    let topic = TopicNameBuf::parse(&format!("devices/{device}/commands/{name}")).ok()?;
    let response_topic = TopicNameBuf::parse(&format!("devices/{device}/commands/{name}/result/{request}")).ok()?;
    Some(Publish {
        message_expiry_s: Some(u32::try_from(patience.as_secs().max(1)).unwrap_or(u32::MAX)),
        properties: MessageProperties {
            content_type: Some("application/json".into()),
            response_topic: Some(response_topic),
            correlation_data: Some(request.as_bytes().as_slice().into()),
            ..MessageProperties::default()
        },
        ..Publish::new(topic, payload)
    })
}

/// The device and request of `devices/{id}/commands/{name}/result/{request}`.
fn answered_request(topic: &str) -> Option<(Uuid, Uuid)> {
    let mut levels = topic.split('/');
    let device = (levels.next() == Some("devices")).then(|| levels.next())??;
    let request = levels.next_back()?;
    Some((device.parse().ok()?, request.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::answered_request;

    #[test]
    fn the_answer_names_device_and_request() {
        let (device, request) = (uuid::Uuid::from_u128(1), uuid::Uuid::from_u128(2));
        let topic = format!("devices/{device}/commands/start/result/{request}");
        assert_eq!(answered_request(&topic), Some((device, request)));
        assert_eq!(answered_request("devices/x/commands/start/result/y"), None);
        assert_eq!(answered_request("devices"), None);
    }
}
