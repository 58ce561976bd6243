//! Renewal over MQTT: a device sends a signing request to `devices/<id>/certificate/request`, and gets its certificate on `devices/<id>/certificate`.

use mooring_certs::DeviceId;
use mooring_core::message::{MessageProperties, SharedMessage};
use mooring_protocol::{QoS, TopicFilterBuf, TopicNameBuf};
use mooring_server::{Node, Publish};
use tokio::sync::watch;
use uuid::Uuid;

use crate::enrolment::Proof;
use crate::{ApiContext, Problem};

/// How long an answer waits for a device that is away, seconds.
const ANSWER_EXPIRY_S: u32 = 7 * 86_400;
/// The content type of a chain in PEM.
const CHAIN: &str = "application/pem-certificate-chain";

/// Answers requests until `stop` turns true. To be started before clients can connect.
pub async fn serve_renewals(context: ApiContext, node: Node, mut stop: watch::Receiver<bool>) {
    let filters = TopicFilterBuf::parse("devices/+/certificate/request").into_iter().collect();
    let mut requests = node.subscribe(filters);
    loop {
        let message = tokio::select! {
            message = requests.recv() => message,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let Some(message) = message else { return };
        let Some(device) = device_of(message.topic.as_str()) else { continue };
        let answer = renew(&context, device, &message).await;
        if let Err(problem) = &answer {
            tracing::info!(%device, problem = problem.title(), "a renewal over MQTT was refused");
        }
        let Some(publish) = answer_to(device, &message, answer) else { continue };
        if let Err(error) = node.publish(publish).await {
            tracing::warn!(%device, %error, "the answer to a renewal could not be published");
        }
    }
}

/// The device's word counts on its own topic alone: rules of the operator may let others publish there, and these get no certificate.
async fn renew(context: &ApiContext, device: Uuid, message: &SharedMessage) -> Result<String, Problem> {
    let own = context.rights.device_identity(DeviceId::from(device));
    if message.publisher != own {
        return Err(Problem::forbidden("Only the device itself renews its certificate."));
    }
    if context.rights.is_blocked(&own) {
        return Err(Problem::device_retired("A retired device gets no certificate."));
    }
    let proof = Proof::of_connection(context, device).await?;
    Ok(proof.issue(context, &message.payload).await?.chain_pem)
}

/// A certificate is kept for a device that loses its connection before it has read it; a refusal is for the moment.
fn answer_to(device: Uuid, request: &SharedMessage, answer: Result<String, Problem>) -> Option<Publish> {
    let topic = TopicNameBuf::parse(&format!("devices/{device}/certificate")).ok()?;
    let (payload, content_type, retain) = match answer {
        Ok(chain) => (chain.into_bytes(), CHAIN, true),
        Err(problem) => (serde_json::to_vec(&problem).unwrap_or_default(), "application/problem+json", false),
    };
    let correlation_data = request.properties.as_ref().and_then(|properties| properties.correlation_data.clone());
    Some(Publish {
        qos: QoS::AtLeastOnce,
        retain,
        message_expiry_s: Some(ANSWER_EXPIRY_S),
        properties: MessageProperties {
            content_type: Some(content_type.into()),
            correlation_data,
            ..MessageProperties::default()
        },
        ..Publish::new(topic, payload)
    })
}

/// The device of `devices/<id>/certificate/request`, in the one spelling that its identity has.
fn device_of(topic: &str) -> Option<Uuid> {
    let id = topic.strip_prefix("devices/")?.strip_suffix("/certificate/request")?;
    DeviceId::parse(id).ok().map(DeviceId::uuid)
}

#[cfg(test)]
mod tests {
    use super::device_of;

    #[test]
    fn the_topic_names_the_device() {
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        assert_eq!(device_of(&format!("devices/{id}/certificate/request")), id.parse().ok());
        assert_eq!(device_of(&format!("devices/{}/certificate/request", id.to_uppercase())), None);
        assert_eq!(device_of("devices//certificate/request"), None);
    }
}
