//! Enrolment: the device's own key, a signing request, the chain that comes back.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::Request;
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};

use crate::error::SimError;
use crate::{SimOptions, tls};

/// What proves who the device is. The key never leaves it.
#[derive(Clone)]
pub struct Credentials {
    /// The private key, PKCS#8 PEM.
    pub key_pem: String,
    /// The certificate and its intermediate, PEM.
    pub chain_pem: String,
}

/// Makes a P-256 key and has it certified with the one-time enrolment secret.
///
/// # Errors
/// [`SimError::EnrolmentRefused`] with the server's problem details; [`SimError::Io`] when it can't be reached.
pub async fn enrol(options: &SimOptions) -> Result<Credentials, SimError> {
    let key =
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|error| SimError::Credentials(error.to_string()))?;
    let request = CertificateParams::default()
        .serialize_request(&key)
        .and_then(|request| request.pem())
        .map_err(|error| SimError::Credentials(error.to_string()))?;
    let chain_pem = post_signing_request(options, request).await?;
    Ok(Credentials { key_pem: key.serialize_pem(), chain_pem })
}

async fn post_signing_request(options: &SimOptions, csr_pem: String) -> Result<String, SimError> {
    let stream = tls::connect(options, &options.api, None).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let authorization = BASE64_STANDARD.encode(format!("{}:{}", options.device_id, options.enrolment_secret));
    let request = Request::post("/v1/certificates")
        .header("host", &options.api)
        .header("authorization", format!("Basic {authorization}"))
        .header("content-type", "application/x-pem-file")
        .body(Full::new(Bytes::from(csr_pem)))
        .map_err(|error| SimError::Credentials(error.to_string()))?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| SimError::Credentials(format!("the answer can't be read: {error}")))?;
        let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        if status.is_success() {
            Ok(body)
        } else {
            Err(SimError::EnrolmentRefused { status: status.as_u16(), problem: body })
        }
    };
    // The connection drives the exchange, and ends when the sender is dropped.
    tokio::select! {
        answer = exchange => answer,
        ended = connection => Err(ended.map_or_else(SimError::Http, |()| SimError::Closed)),
    }
}

/// A chain of two certificates is under 4 KiB; a server that sends more is not ours.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
