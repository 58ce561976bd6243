//! What stands before each route: who calls, with which scopes, and whose the thing is that the path names.

use axum::extract::{FromRequestParts as _, RawPathParams, Request};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use mooring_oauth::ProvenRequest;
use mooring_store::EventKind;
use uuid::Uuid;

use crate::access::Wish;
use crate::caller::{Caller, Scope};
use crate::{ApiContext, Problem, idempotency};

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Anybody: what is here is public.
    Public,
    /// Who brings a proof in the request itself: a secret, a certificate, a password in CONNECT. The handler judges it.
    Proof,
    /// Whoever has the scopes: it is about the caller's own things, and names none of others.
    Own,
    /// The path names a device: the caller has a part in it that includes this.
    Device(Need),
    /// The path names something else, which the handler looks up among what is the caller's.
    Thing,
    /// Operators alone.
    Operator,
}

/// What part in a device a route needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Any.
    See,
    /// Any: the handler shows only what the part includes.
    Look,
    /// One that includes telemetry.
    Telemetry,
    /// One that includes the state.
    State,
    /// One that includes the command whose `name` is in the path.
    Command,
    /// Owner's or member's.
    Steer,
    /// The owner's.
    Own,
}

/// Lets a request through to its handler, with the caller and the device in its extensions; or answers it.
pub(crate) async fn guard(rule: Rule, scopes: &'static [Scope], request: Request, next: Next) -> Response {
    match admit(rule, scopes, request, next).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn admit(rule: Rule, scopes: &'static [Scope], mut request: Request, next: Next) -> Result<Response, Problem> {
    if matches!(rule, Rule::Public | Rule::Proof) {
        return Ok(next.run(request).await);
    }
    let context = request.extensions().get::<ApiContext>().cloned();
    let context = context.ok_or_else(|| Problem::internal("The router has no context."))?;
    let proven = ProvenRequest { method: request.method(), path: request.uri().path() };
    let caller = Caller::of_request(&context, request.headers(), proven).await?;
    for scope in scopes {
        caller.require(*scope)?;
    }
    if rule == Rule::Operator {
        caller.require_operator()?;
    }
    request.extensions_mut().insert(caller.clone());
    let key = (request.method() == Method::POST).then(|| idempotency::key_of(request.headers())).flatten();
    match key {
        None => enter(rule, &context, &caller, request, next).await,
        // Before the question whose it is: the answer to giving a device away is given again to who had it.
        Some(key) => {
            let key = key?;
            let actor = caller.actor();
            idempotency::once(&context, &actor, &key, request, |request| enter(rule, &context, &caller, request, next))
                .await
        }
    }
}

async fn enter(
    rule: Rule,
    context: &ApiContext,
    caller: &Caller,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let Rule::Device(need) = rule else { return Ok(next.run(request).await) };
    let (mut parts, body) = request.into_parts();
    let params = RawPathParams::from_request_parts(&mut parts, &()).await;
    let params = params.map_err(|_| Problem::invalid_request("The path is not UTF-8."))?;
    let param = |name: &str| params.iter().find(|(known, _)| *known == name).map(|(_, value)| value);
    let id: Uuid = param("device_id")
        .and_then(|id| id.parse().ok())
        .ok_or_else(|| Problem::invalid_request("The id of the device is no UUID."))?;
    let access = caller.access(context, id).await?;
    let wish = match need {
        Need::See | Need::Look => Wish::See,
        Need::Telemetry => Wish::Hear(EventKind::Telemetry),
        Need::State => Wish::Hear(EventKind::State),
        Need::Command => Wish::Command(param("name").unwrap_or_default()),
        Need::Steer => Wish::Steer,
        Need::Own => Wish::Own,
    };
    access.require(wish)?;
    if let Ok(user) = caller.user() {
        access.note(context, user, wish, &looked_at(parts.uri.path(), parts.uri.query())).await?;
    }
    parts.extensions.insert(access);
    Ok(next.run(Request::from_parts(parts, body)).await)
}

/// What an access is called: `device`, `history`, `events:telemetry`, `commands:start`.
fn looked_at(path: &str, query: Option<&str>) -> String {
    let mut rest = path.split('/').skip(4);
    let thing = rest.next().unwrap_or("device");
    let kind = query.and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("kind=")));
    let detail = rest.next().or(kind);
    let name = match detail {
        Some(detail) => format!("{thing}:{detail}"),
        None => thing.to_owned(),
    };
    // What is in a path is the caller's own words: they go into the owner's list in small portions.
    name.chars().filter(char::is_ascii_graphic).take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::looked_at;

    #[test]
    fn an_access_is_called_by_what_was_looked_at() {
        let device = "/v1/devices/01980000-0000-7000-8000-000000000001";
        assert_eq!(looked_at(device, None), "device");
        assert_eq!(looked_at(&format!("{device}/history"), Some("field=/a")), "history");
        assert_eq!(looked_at(&format!("{device}/events"), Some("limit=3&kind=log")), "events:log");
        assert_eq!(looked_at(&format!("{device}/commands/start"), None), "commands:start");
    }
}
