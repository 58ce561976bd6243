//! `Idempotency-Key`: a POST that is sent again gets the first answer, and is done once.

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use http_body_util::BodyExt as _;
use mooring_store::Idempotent;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::{digest, hkdf};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{ApiContext, Problem};

/// The header, as the draft of the IETF's HTTPAPI group has it.
const KEY: &str = "idempotency-key";
/// Says that an answer is a first one's, given again.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// An answer that is larger is not kept; the request may be done again then. No route has one.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// The key that a request names; the error when it can be none.
pub(crate) fn key_of(headers: &HeaderMap) -> Option<Result<String, Problem>> {
    let value = headers.get(KEY)?;
    let text = value.to_str().ok().map(|text| text.trim().trim_matches('"'));
    let usable =
        text.filter(|text| (8..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()));
    let wrong = || Problem::invalid_request("Idempotency-Key has 8 to 128 visible characters, such as a UUID.");
    Some(usable.map(str::to_owned).ok_or_else(wrong))
}

/// An answer as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    headers: Vec<(String, String)>,
    body: String,
}

/// Does the request, or gives the answer that the first one with this key got. The keys of different callers are different keys.
pub(crate) async fn once<F>(
    context: &ApiContext,
    actor: &str,
    key: &str,
    request: Request,
    run: impl FnOnce(Request) -> F,
) -> Result<Response, Problem>
where
    F: Future<Output = Result<Response, Problem>>,
{
    let (parts, body) = request.into_parts();
    // The whole body is here already: it was read within its time and size.
    let body = body.collect().await.map_err(|_| Problem::invalid_request("The body can't be read."))?.to_bytes();
    let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
    let key_hash = hash(&[actor.as_bytes(), key.as_bytes()]);
    let request_hash = hash(&[parts.method.as_str().as_bytes(), path.as_bytes(), &body]);
    let seal = Seal::new(actor, key);
    match context.store.begin_idempotent(&key_hash, &request_hash, OffsetDateTime::now_utc()).await? {
        Idempotent::Answered { status, answer } => return replay(status, seal.open(&answer)),
        Idempotent::InProgress => {
            return Err(Problem::idempotency_in_progress("The first request with this key is not answered yet."));
        }
        Idempotent::OtherRequest => {
            return Err(Problem::idempotency_key_reused("The key belongs to another request: take a new one."));
        }
        Idempotent::New => {}
    }
    // When the client goes away, the handler is dropped with this function: the key is free again after a while.
    let answered = run(Request::from_parts(parts, Body::from(body))).await;
    let response = match answered {
        Ok(response) => response,
        Err(problem) => axum::response::IntoResponse::into_response(problem),
    };
    keep(context, &key_hash, &seal, response).await
}

/// Keeps an answer that says something about the request; one that is about the moment (429, 5xx) is forgotten, and the request may be tried again.
async fn keep(context: &ApiContext, key_hash: &[u8; 32], seal: &Seal, response: Response) -> Result<Response, Problem> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(|_| Problem::internal("The answer can't be read."))?.to_bytes();
    let passing = parts.status.is_server_error()
        || matches!(
            parts.status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::UNAUTHORIZED | StatusCode::REQUEST_TIMEOUT
        );
    let kept = kept(&parts.headers, &body).filter(|_| !passing).and_then(|kept| seal.close(&kept));
    match kept {
        Some(kept) => context.store.finish_idempotent(key_hash, parts.status.as_u16(), &kept).await?,
        None => context.store.forget_idempotent(key_hash).await?,
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}

fn kept(headers: &HeaderMap, body: &Bytes) -> Option<Vec<u8>> {
    if body.len() > ANSWER_BYTES_MAX {
        return None;
    }
    let headers = [header::CONTENT_TYPE, header::ETAG, header::LOCATION]
        .iter()
        .filter_map(|name| Some((name.as_str().to_owned(), headers.get(name)?.to_str().ok()?.to_owned())));
    let body = String::from_utf8(body.to_vec()).ok()?;
    serde_json::to_vec(&Kept { headers: headers.collect(), body }).ok()
}

fn replay(status: u16, kept: Option<Vec<u8>>) -> Result<Response, Problem> {
    let kept = kept.and_then(|kept| serde_json::from_slice::<Kept>(&kept).ok());
    let Kept { headers, body } = kept.ok_or_else(|| Problem::internal("The kept answer can't be read."))?;
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

/// Each part goes in with its length before it, so that no two lists make the same bytes.
fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(part);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// Encrypts answers with a key that follows from the client's: the database has its hash alone, and an answer may hold a secret that is shown once.
struct Seal(Option<LessSafeKey>);

impl Seal {
    fn new(actor: &str, key: &str) -> Self {
        let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, b"mooring idempotency").extract(key.as_bytes());
        let info = [actor.as_bytes()];
        let key = secret.expand(&info, &AES_256_GCM).ok().map(UnboundKey::from);
        Self(key.map(LessSafeKey::new))
    }

    /// The nonce, then what is sealed.
    fn close(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).ok()?;
        let mut sealed = plain.to_vec();
        let nonce_used = Nonce::assume_unique_for_key(nonce);
        self.0.as_ref()?.seal_in_place_append_tag(nonce_used, Aad::empty(), &mut sealed).ok()?;
        Some([nonce.as_slice(), &sealed].concat())
    }

    fn open(&self, kept: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = kept.split_at_checked(NONCE_LEN)?;
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let plain = self.0.as_ref()?.open_in_place(nonce, Aad::empty(), &mut sealed).ok()?;
        Some(plain.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_opens_with_its_own_key_alone() {
        let sealed = Seal::new("user:1", "one-key-of-mine").close(b"a secret").unwrap();
        assert!(!sealed.windows(8).any(|window| window == b"a secret"));
        assert_eq!(Seal::new("user:1", "one-key-of-mine").open(&sealed).unwrap(), b"a secret");
        assert!(Seal::new("user:2", "one-key-of-mine").open(&sealed).is_none());
        assert!(Seal::new("user:1", "another-key").open(&sealed).is_none());
    }

    #[test]
    fn attack_a_key_with_other_characters_is_none() {
        let check = |value: &str, good: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(KEY, HeaderValue::from_str(value).unwrap());
            assert_eq!(key_of(&headers).unwrap().is_ok(), good, "{value:?}");
        };
        check("01980000-0000-7000-8000-000000000001", true);
        check("\"01980000-0000\"", true);
        check("short", false);
        check("with a space in it", false);
        check(&"x".repeat(129), false);
        assert!(key_of(&HeaderMap::new()).is_none());
    }
}
