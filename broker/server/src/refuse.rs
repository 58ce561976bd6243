//! Tells a client that it is not let in, and why, as far as its version of the protocol can say it.

use std::cell::RefCell;
use std::future::poll_fn;
use std::time::Duration;

use mooring_protocol::{ConnAck, DecodeError, DecodeErrorKind, ReasonCode, Version, encode};

use crate::shard::Shard;
use crate::stream::READ_BYTES_MAX;
use crate::transport::Transport;

/// Bytes that a closed connection may still send before it is reset.
const LINGER_BYTES_MAX: usize = 4 * READ_BYTES_MAX;

/// Sends the CONNACK that refuses, then closes.
pub(crate) async fn refuse(shard: &Shard, transport: Transport, version: Version, reason: ReasonCode) {
    let transport = RefCell::new(transport);
    let close_within = Duration::from_millis(shard.shared.admission.limits().close_ms_max);
    let mut bytes = Vec::new();
    if encode(&ConnAck::new(false, reason).into(), version, &mut bytes).is_err() {
        return;
    }
    let told = async {
        poll_fn(|cx| transport.borrow_mut().poll_write(cx, &bytes)).await?;
        poll_fn(|cx| transport.borrow_mut().poll_flush(cx)).await?;
        close(shard, &transport).await
    };
    // Whether the peer hears it changes nothing.
    let _ = tokio::time::timeout(close_within, told).await;
}

/// What a CONNECT that can't be read is answered with: nothing, where not even its version can be told. [MQTT-3.1.2-2]
pub(crate) fn answer_to(error: &DecodeError) -> Option<(Version, ReasonCode)> {
    match (error.version(), error.reason()) {
        // Who names another protocol understands no CONNACK.
        _ if error.kind() == DecodeErrorKind::ProtocolName => None,
        // A client of an unknown version understands the first CONNACK that there was.
        (version, ReasonCode::UnsupportedProtocolVersion) => {
            Some((version.unwrap_or(Version::V3_1_1), ReasonCode::UnsupportedProtocolVersion))
        }
        (Some(Version::V5), reason) => Some((Version::V5, reason)),
        (Some(version), ReasonCode::ClientIdentifierNotValid) => Some((version, ReasonCode::ClientIdentifierNotValid)),
        _ => None,
    }
}

/// Ends the sending side and takes what still comes: closing with bytes unread would reset the connection, and the peer might lose our last packet.
pub(crate) async fn close(shard: &Shard, transport: &RefCell<Transport>) -> std::io::Result<()> {
    poll_fn(|cx| transport.borrow_mut().poll_shutdown(cx)).await?;
    let mut taken = 0;
    while taken < LINGER_BYTES_MAX {
        let received =
            poll_fn(|cx| transport.borrow_mut().stream.poll_read(cx, &mut shard.scratch.borrow_mut())).await?;
        if received.ended {
            break;
        }
        taken += received.bytes;
    }
    Ok(())
}
