//! MQTT over WebSocket at `/mqtt`: the upgrade (RFC 6455, 4.2); the broker serves what follows.

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper_util::rt::TokioIo;

use crate::{ApiContext, PeerAddress, PeerCertificate, Problem};

/// The name of this way in, in logs and timelines.
const LISTENER: &str = "https";

/// Upgrades the connection and hands it to the broker.
pub(crate) async fn mqtt(
    State(context): State<ApiContext>,
    Extension(PeerAddress(address)): Extension<PeerAddress>,
    Extension(PeerCertificate(certificate)): Extension<PeerCertificate>,
    mut request: Request,
) -> Result<Response, Problem> {
    let handshake = Handshake::read(request.headers())?;
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        match upgrade.await {
            Ok(upgraded) => {
                let certificate = certificate.map(|certificate| certificate.to_vec());
                let stream = TokioIo::new(upgraded);
                let served =
                    context.node.serve_websocket(stream, address.to_string(), LISTENER, false, certificate).await;
                if let Err(error) = served {
                    tracing::debug!(%error, "the broker took no WebSocket");
                }
            }
            Err(error) => tracing::debug!(%error, "the upgrade failed"),
        }
    });
    Ok(handshake.response())
}

struct Handshake {
    accept: String,
    protocol: HeaderValue,
}

impl Handshake {
    fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        let has = |name: header::HeaderName, token: &str| {
            let values = headers.get_all(name);
            values.iter().filter_map(|value| value.to_str().ok()).any(|value| lists(value, token))
        };
        if !has(header::UPGRADE, "websocket") || !has(header::CONNECTION, "upgrade") {
            return Err(Problem::invalid_request("This is a WebSocket endpoint: connect an MQTT client to it."));
        }
        if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
            return Err(Problem::invalid_request("Sec-WebSocket-Version must be 13."));
        }
        let key = headers.get(header::SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok()).unwrap_or_default();
        if BASE64_STANDARD.decode(key).map_or(0, |nonce| nonce.len()) != 16 {
            return Err(Problem::invalid_request("Sec-WebSocket-Key must be 16 bytes in base64."));
        }
        // [MQTT-6.0.0-3] the subprotocol must be there, and is echoed. [MQTT-6.0.0-4]
        let protocol = ["mqtt", "mqttv3.1"].into_iter().find(|name| has(header::SEC_WEBSOCKET_PROTOCOL, name));
        let protocol = protocol.ok_or_else(|| Problem::invalid_request("Sec-WebSocket-Protocol must offer mqtt."))?;
        Ok(Self { accept: accept_key(key), protocol: HeaderValue::from_static(protocol) })
    }

    fn response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, self.protocol);
        if let Ok(accept) = HeaderValue::from_str(&self.accept) {
            headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        }
        response
    }
}

fn lists(value: &str, token: &str) -> bool {
    value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token))
}

/// RFC 6455, 4.2.2: SHA-1 of the key and a fixed text; a handshake check, no secret depends on it.
fn accept_key(key: &str) -> String {
    const MAGIC: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{MAGIC}").as_bytes());
    BASE64_STANDARD.encode(digest)
}

#[cfg(test)]
mod tests {
    use super::accept_key;

    #[test]
    fn the_accept_key_is_that_of_the_rfc() {
        assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
