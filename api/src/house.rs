//! House rules, the same for each request: its size, its time, its depth, its origin, how often, and what every answer has in common.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Body as _;
use uuid::Uuid;

use crate::rates::{Allowance, RateLimits};
use crate::{PeerAddress, Problem};

/// What a request may be.
#[derive(Clone, Debug)]
pub struct HttpRules {
    /// The largest body, bytes.
    pub body_bytes_max: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// How long an answer may take. A stream is answered at once, and goes on.
    pub answer_timeout: Duration,
    /// How deep JSON may be nested.
    pub json_depth_max: usize,
    /// The origins whose pages may read answers, such as `https://app.example.com`.
    pub cors_origins: Vec<String>,
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Takes a request in: names it, judges its origin and how often it comes, reads its body, and finishes the answer.
pub(crate) async fn keep_house(
    rules: Arc<HttpRules>,
    rates: Arc<RateLimits>,
    request: Request,
    next: Next,
) -> Response {
    let id = request_id(request.headers());
    let origin = request.headers().get(header::ORIGIN).cloned().filter(|origin| rules.allows(origin));
    let preflight = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
        && origin.is_some();
    let (allowance, admitted) = admit(&rates, &request);
    let mut response = match admitted {
        Err(problem) => problem.into_response(),
        Ok(()) if preflight => preflight_answer(),
        Ok(()) => match intake(&rules, request).await {
            Ok(request) => answer(&rules, request, next).await,
            Err(problem) => problem.into_response(),
        },
    };
    if response.status() == StatusCode::METHOD_NOT_ALLOWED && !is_problem(&response) {
        response = method_not_allowed(&response);
    }
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id);
    allowance.write(headers);
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let exposed = "etag, location, retry-after, ratelimit-limit, ratelimit-remaining, ratelimit-reset, x-request-id, idempotency-replayed";
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(exposed));
    }
    finish(headers);
    response
}

impl HttpRules {
    fn allows(&self, origin: &HeaderValue) -> bool {
        self.cors_origins.iter().any(|allowed| origin.as_bytes() == allowed.as_bytes())
    }
}

/// The client's own name of the request, when it is a usable one; else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let usable = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let given = headers.get(REQUEST_ID).filter(|id| (1..=64).contains(&id.len()) && id.as_bytes().iter().all(usable));
    given.cloned().unwrap_or_else(|| {
        HeaderValue::try_from(Uuid::now_v7().to_string()).unwrap_or_else(|_| HeaderValue::from_static("-"))
    })
}

/// Takes the request from the budgets of its address and its token; the tighter of both is told.
fn admit(rates: &RateLimits, request: &Request) -> (Allowance, Result<(), Problem>) {
    let peer = request.extensions().get::<PeerAddress>().map(|PeerAddress(address)| address.ip());
    let of_address = peer.map(|address| rates.request_of_address(address));
    if let Some((allowance, Err(problem))) = of_address {
        return (allowance, Err(problem));
    }
    let of_token = request.headers().get(header::AUTHORIZATION).map(|value| rates.request_of_token(value.as_bytes()));
    match (of_address, of_token) {
        (_, Some((allowance, Err(problem)))) => (allowance, Err(problem)),
        (Some((address, _)), Some((token, _))) => (address.tighter(token), Ok(())),
        (Some((allowance, _)), None) | (None, Some((allowance, _))) => (allowance, Ok(())),
        (None, None) => (Allowance::default(), Ok(())),
    }
}

fn preflight_answer() -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE"));
    let allowed = "authorization, content-type, if-match, idempotency-key, last-event-id, x-request-id, dpop";
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(allowed));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}

/// Reads the body within its size and time, and looks how deep its JSON is: what comes behind holds no more memory than that, and waits for nobody.
async fn intake(rules: &HttpRules, request: Request) -> Result<Request, Problem> {
    let declared = |headers: &HeaderMap| headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse::<usize>().ok();
    let max = rules.body_bytes_max;
    // Refused before it is read: a client that asks first (RFC 9110, 10.1.1) then never sends it.
    if let Some(length) = declared(request.headers()).filter(|length| *length > max) {
        return Err(Problem::body_too_large(format!("The body has {length} bytes, and {max} is the most.")));
    }
    if request.body().is_end_stream() {
        return Ok(request);
    }
    let (parts, body) = request.into_parts();
    let read = tokio::time::timeout(rules.body_timeout, Limited::new(body, max).collect()).await;
    let body: Bytes = match read {
        Err(_) => return Err(Problem::request_timeout("The body took too long to arrive.")),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return Err(Problem::body_too_large(format!("The body has more than {max} bytes.")));
        }
        Ok(Err(_)) => return Err(Problem::invalid_request("The body did not arrive whole.")),
        Ok(Ok(body)) => body.to_bytes(),
    };
    let is_json = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let is_json = is_json.is_some_and(|kind| kind.split(';').next().is_some_and(|kind| kind.trim().ends_with("json")));
    if is_json && depth(&body) > rules.json_depth_max {
        let deepest = rules.json_depth_max;
        return Err(Problem::invalid_request(format!("The JSON is nested deeper than {deepest} levels.")));
    }
    Ok(Request::from_parts(parts, Body::from(body)))
}

/// How deep arrays and objects are nested, by their brackets outside of strings; of what is no JSON it says something, too.
fn depth(json: &[u8]) -> usize {
    let (mut now, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                now += 1;
                deepest = deepest.max(now);
            }
            b']' | b'}' if !in_string => now = now.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

async fn answer(rules: &HttpRules, request: Request, next: Next) -> Response {
    match tokio::time::timeout(rules.answer_timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::unavailable("The answer took too long.").into_response(),
    }
}

/// No sniffing, no framing, no caching of what is private, TLS only.
fn finish(headers: &mut HeaderMap) {
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000; includeSubDomains"));
    headers.entry(header::REFERRER_POLICY).or_insert(HeaderValue::from_static("no-referrer"));
    // Pages of people set their own; what is no page runs nothing.
    let nothing = "default-src 'none'; frame-ancestors 'none'";
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(nothing));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    // What is answered depends on who asks, from where.
    headers.append(header::VARY, HeaderValue::from_static("origin"));
}

fn is_problem(response: &Response) -> bool {
    response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/problem+json")
}

/// An error that axum made by itself becomes a problem detail.
fn method_not_allowed(old: &Response) -> Response {
    let problem = Problem::invalid_request("This path does not know this method.");
    let mut response = problem.with_status(StatusCode::METHOD_NOT_ALLOWED).into_response();
    if let Some(allow) = old.headers().get(header::ALLOW) {
        response.headers_mut().insert(header::ALLOW, allow.clone());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_deep_json_is_seen_whatever_is_in_its_strings() {
        let check = |json: &str, expected: usize| assert_eq!(depth(json.as_bytes()), expected, "{json}");
        check("1", 0);
        check("{}", 1);
        check("{\"a\":[1,[2]]}", 3);
        check("\"[[[[\"", 0);
        check("\"\\\"[[\"", 0);
        check("[\"\\\\\",[]]", 2);
        check(&"[".repeat(50_000), 50_000);
        check(&format!("{}{}", "[]".repeat(1000), "}"), 1);
    }

    #[test]
    fn attack_a_request_id_is_taken_only_when_it_is_harmless() {
        let check = |given: &str, taken: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_str(given).unwrap());
            assert_eq!(request_id(&headers) == given, taken, "{given}");
        };
        check("abc-1.2_3", true);
        check("", false);
        check("a b", false);
        check("<script>", false);
        check(&"x".repeat(65), false);
    }
}
