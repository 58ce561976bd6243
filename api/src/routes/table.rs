//! Every route, declared once: its handler, the scopes that a token needs, and whose the thing is that its path names. The router is made of this
//! table, and so is its description; each route stands behind a guard that keeps what the table says.

use axum::extract::FromRef;
use axum::middleware;
use serde_json::{Map, Value, json};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

use super::operator;
use super::{
    acceptance, account, account_apps, authority, certificates, claims, commands, devices, est, events, grants,
    history, invites, late_renewal, organisations, revocation, rooms, shadow, status, stream,
};
use crate::caller::Scope;
use crate::guard::{Need, Rule, guard};
use crate::{ApiContext, OperatorContext};

/// What is declared of some handlers that share a path.
struct Declared<S = ApiContext> {
    scopes: &'static [Scope],
    rule: Rule,
    routes: fn() -> UtoipaMethodRouter<S>,
}

/// A route as others see it, for tests and documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteRule {
    /// The method.
    pub method: String,
    /// The path, with its parameters in braces.
    pub path: String,
    /// The scopes that a token needs, all of them.
    pub scopes: Vec<&'static str>,
    /// Whose the thing is that the path names.
    pub rule: Rule,
}

macro_rules! declare {
    ($($($handler:path),+ => $rule:expr, [$($scope:ident)*];)*) => {
        vec![$(Declared { rule: $rule, scopes: &[$(Scope::$scope),*], routes: || routes!($($handler),+) }),*]
    };
}

fn table() -> Vec<Declared> {
    use Need::{Command, Look, Own as Owner, See, State, Steer, Telemetry};
    use Rule::{Device, Own, Proof, Public, Thing};
    let mut declared = declare! {
        // Certificates: the proof is a secret, a certificate or an operator's token.
        certificates::sign => Proof, [];
        late_renewal::see, late_renewal::confirm => Device(Owner), [DevicesWrite];
        authority::bundle => Public, [];
        est::ca_certificates => Public, [];
        est::simple_enrol => Proof, [];
        est::simple_reenrol => Proof, [];
        est::csr_attributes => Public, [];
        est::server_key_generation => Public, [];
        status::list => Public, [];
        status::issuer => Public, [];
        status::ocsp_post => Public, [];
        status::ocsp_get => Public, [];

        devices::list => Own, [DevicesRead];
        devices::one => Device(Look), [DevicesRead];
        devices::change => Device(Owner), [DevicesWrite];
        devices::release => Device(Owner), [DevicesWrite];
        devices::factory_reset => Device(Owner), [CommandsSend];
        shadow::one => Device(State), [DevicesRead];
        shadow::set_desired => Device(Steer), [DevicesWrite];
        events::list => Device(Look), [DevicesRead];
        history::show => Device(Telemetry), [DevicesRead];
        commands::send => Device(Command), [CommandsSend];
        commands::list => Device(See), [DevicesRead];
        commands::one => Thing, [DevicesRead];
        claims::claim => Own, [DevicesWrite];
        stream::watch => Own, [DevicesRead];
        rooms::list, rooms::create => Own, [DevicesWrite];
        rooms::rename, rooms::delete => Thing, [DevicesWrite];

        invites::create, invites::of_device => Device(Owner), [DevicesWrite];
        invites::transfer => Device(Owner), [DevicesWrite];
        invites::mine => Own, [DevicesRead];
        invites::cancel => Thing, [DevicesWrite];
        acceptance::accept => Own, [DevicesWrite];
        grants::of_device => Device(Owner), [DevicesRead];
        grants::accesses => Device(Owner), [DevicesRead];
        grants::mine => Own, [DevicesRead];
        grants::change, grants::end => Thing, [DevicesWrite];
        grants::transfers => Own, [DevicesRead];
        organisations::list => Own, [DevicesRead];
        organisations::create => Own, [DevicesWrite];
        organisations::members => Thing, [DevicesRead];
        organisations::remove => Thing, [DevicesWrite];
        organisations::invite, organisations::invites => Thing, [DevicesWrite];
        organisations::devices => Thing, [DevicesRead];

        account::show, account::change => Own, [Account];
        account::change_password => Own, [Account];
        account::sessions, account::end_sessions => Own, [Account];
        account::end_session => Thing, [Account];
        account::offer_totp => Own, [Account];
        account::confirm_totp => Own, [Account];
        account::new_recovery_codes => Own, [Account];
        account_apps::list => Own, [Account];
        account_apps::withdraw => Thing, [Account];
        account::export => Own, [Account];
        account::delete => Own, [Account];
    };
    declared.extend(operator_table());
    declared
}

/// What operators alone do: also without a server, on what its database keeps.
fn operator_table<S>() -> Vec<Declared<S>>
where
    S: Clone + Send + Sync + 'static,
    OperatorContext: FromRef<S>,
{
    use Rule::Operator;
    declare! {
        revocation::revoke => Operator, [];
        revocation::retire => Operator, [];

        operator::devices::search, operator::making::create => Operator, [];
        operator::devices::tag => Operator, [];
        operator::devices::certificates => Operator, [];
        operator::secrets::claim_code => Operator, [];
        operator::secrets::set_password, operator::secrets::remove_password => Operator, [];
        operator::secrets::confirm_late_renewal => Operator, [];
        operator::secrets::revoke_certificates => Operator, [];
        operator::groups::list, operator::groups::create => Operator, [];
        operator::groups::devices => Operator, [];
        operator::groups::delete => Operator, [];
        operator::users::search, operator::users::create => Operator, [];
        operator::users::one, operator::users::change => Operator, [];
        operator::tokens::list_tokens, operator::tokens::create_token => Operator, [];
        operator::tokens::revoke_token => Operator, [];
        operator::oauth_clients::list, operator::oauth_clients::create => Operator, [];
        operator::oauth_clients::remove => Operator, [];
        operator::batches::list, operator::batches::create => Operator, [];
        operator::batches::one, operator::batches::change => Operator, [];
        operator::sessions::list, operator::sessions::end => Operator, [];
        operator::audit::list => Operator, [];
        grants::search => Operator, [];
    }
}

/// The operators' routes, without a guard: for those whom the way that they come vouches for.
pub(crate) fn operator_routes<S>(mut router: OpenApiRouter<S>) -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    OperatorContext: FromRef<S>,
{
    for Declared { routes, .. } in operator_table() {
        router = router.routes(routes());
    }
    router
}

/// The router of the table, each route behind its guard.
pub(super) fn routed(mut router: OpenApiRouter<ApiContext>) -> OpenApiRouter<ApiContext> {
    for Declared { scopes, rule, routes } in table() {
        let (schemas, paths, methods) = routes();
        let keep = move |request, next| guard(rule, scopes, request, next);
        router = router.routes((schemas, paths, methods.route_layer(middleware::from_fn(keep))));
    }
    router
}

/// Every route that the router has, with what is declared of it.
#[must_use]
pub fn route_rules() -> Vec<RouteRule> {
    let mut rules = Vec::new();
    for Declared { scopes, rule, routes } in table() {
        let (_, paths, _) = routes();
        let paths = serde_json::to_value(&paths).unwrap_or_default();
        for (path, methods) in paths.as_object().into_iter().flatten() {
            for method in methods.as_object().into_iter().flat_map(Map::keys) {
                let scopes = scopes.iter().map(|scope| scope.as_str()).collect();
                let (method, path) = (method.to_uppercase(), described_path(path));
                rules.push(RouteRule { method, path, scopes, rule });
            }
        }
    }
    // These two are no part of the description: the one is it, the other speaks another protocol, with passwords in it.
    let apart =
        |path: &str, rule| RouteRule { method: "GET".to_owned(), path: path.to_owned(), scopes: Vec::new(), rule };
    rules.push(apart("/api/openapi.json", Rule::Public));
    rules.push(apart("/mqtt", Rule::Proof));
    rules
}

/// Adds to the description what follows from the table: how one shows who one is, and what any request may be answered.
pub(super) fn complete(description: &mut Value) {
    let paths = description.get_mut("paths").and_then(Value::as_object_mut).map(std::mem::take).unwrap_or_default();
    description["paths"] = paths.into_iter().map(|(path, item)| (described_path(&path), item)).collect();
    for route in route_rules() {
        let place = format!("/paths/{}/{}", escaped(&route.path), route.method.to_lowercase());
        let Some(operation) = description.pointer_mut(&place).and_then(Value::as_object_mut) else { continue };
        operation.insert("operationId".to_owned(), operation_id(&route).into());
        let has_body = operation.contains_key("requestBody");
        match route.rule {
            Rule::Public | Rule::Proof => {}
            _ => {
                operation.insert("security".to_owned(), json!([{"token": []}, {"oauth": route.scopes}]));
                if route.method == "POST" {
                    add_idempotency_key(operation);
                }
            }
        }
        let Some(responses) = operation.entry("responses").or_insert_with(|| json!({})).as_object_mut() else {
            continue;
        };
        for (status, text) in answers(&route, has_body) {
            responses.entry(status).or_insert_with(|| problem(text));
        }
        // Each answer with a body that is no problem has the headers of all answers; they are told once, in the text of the description.
    }
}

/// Names an operation among all of the description (OpenAPI 3.1, 4.8.10.1): `get_devices_by_device_id`. Names of handlers are unique in their module alone.
fn operation_id(route: &RouteRule) -> String {
    let path = route.path.trim_start_matches("/v1/").replace('{', "by_").replace('}', "");
    let name: String = path.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("{}_{}", route.method.to_lowercase(), name.trim_matches('_'))
}

/// The answers that a route may give besides its own.
fn answers(route: &RouteRule, has_body: bool) -> Vec<(&'static str, &'static str)> {
    let mut answers = vec![
        ("400", "The request is not usable"),
        ("408", "The request took too long to arrive"),
        ("413", "The body is too large"),
        ("429", "Too many requests; Retry-After says when to try again"),
        ("500", "Something is wrong with the server"),
        ("503", "The database is away; try again in a few seconds"),
    ];
    if has_body {
        answers.push(("415", "The body is not of the declared type"));
        answers.push(("422", "A field is missing or of the wrong type"));
    }
    match route.rule {
        Rule::Public => {}
        Rule::Proof => answers.push(("401", "Nothing that shows who asks, or nothing good")),
        Rule::Own | Rule::Operator | Rule::Device(_) | Rule::Thing => {
            answers.push(("401", "No valid token"));
            answers.push(("403", "The token, or your part in the device, does not include this"));
            answers.push(("404", "There is no such thing, or it is not yours"));
            if route.method != "GET" {
                answers.push(("409", "The state does not allow it"));
                answers.push(("412", "The version is another one"));
            }
            if route.method == "POST" {
                answers.push((
                    "422",
                    "A field is missing or of the wrong type, or the Idempotency-Key belongs to another request",
                ));
            }
        }
    }
    answers
}

fn problem(text: &str) -> Value {
    json!({
        "description": text,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    })
}

fn add_idempotency_key(operation: &mut Map<String, Value>) {
    let parameter = json!({
        "name": "Idempotency-Key",
        "in": "header",
        "description": "A name for this request, such as a UUID: sent again within a day, it is done once, and gets the first answer",
        "required": false,
        "schema": {"type": "string", "minLength": 8, "maxLength": 128, "pattern": "^[!#-~]+$"},
    });
    if let Some(parameters) = operation.entry("parameters").or_insert_with(|| json!([])).as_array_mut() {
        parameters.push(parameter);
    }
}

/// A parameter that takes the rest of a path has no form of its own in OpenAPI.
fn described_path(path: &str) -> String {
    path.replace("{*", "{")
}

/// A path as one level of a JSON pointer (RFC 6901, 3).
fn escaped(path: &str) -> String {
    path.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_route_lacks_a_rule() {
        let described: Value = serde_json::from_str(&super::super::openapi_json()).unwrap();
        let mut routes = BTreeSet::new();
        for (path, methods) in described["paths"].as_object().unwrap() {
            routes.extend(methods.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone())));
        }
        let ruled: BTreeSet<_> = route_rules().into_iter().map(|route| (route.method, route.path)).collect();
        let missing: Vec<_> = routes.difference(&ruled).collect();
        assert!(missing.is_empty(), "{missing:?}");
        assert_eq!(ruled.len() - routes.len(), 2, "those that are not described: the description itself, and /mqtt");
    }

    #[test]
    fn each_operation_has_a_name_of_its_own() {
        let described: Value = serde_json::from_str(&super::super::openapi_json()).unwrap();
        let mut names = BTreeSet::new();
        for methods in described["paths"].as_object().unwrap().values() {
            for operation in methods.as_object().unwrap().values() {
                let name = operation["operationId"].as_str().unwrap().to_owned();
                assert!(names.insert(name.clone()), "{name}");
            }
        }
    }

    #[test]
    fn each_body_has_an_example() {
        let described: Value = serde_json::from_str(&super::super::openapi_json()).unwrap();
        for route in route_rules() {
            let operation = &described["paths"][&route.path][route.method.to_lowercase()];
            let content = operation["requestBody"]["content"].as_object().into_iter().flatten();
            for (kind, body) in content.filter(|(kind, _)| kind.ends_with("json")) {
                assert!(!body["example"].is_null(), "{} {} {kind}", route.method, route.path);
            }
        }
    }

    #[test]
    fn a_path_that_names_something_has_a_rule_that_looks_whose_it_is() {
        for route in route_rules() {
            let names_something = route.path.contains('{');
            let looked_at = matches!(route.rule, Rule::Device(_) | Rule::Thing | Rule::Operator | Rule::Public);
            assert!(!names_something || looked_at, "{route:?}");
            assert_eq!(
                matches!(route.rule, Rule::Device(_)),
                looked_at && route.path.contains("{device_id}") && route.rule != Rule::Operator,
                "{route:?}"
            );
            let is_for_operators = route.path.starts_with("/v1/operator/");
            assert!(!is_for_operators || route.rule == Rule::Operator, "{route:?}");
        }
    }

    #[test]
    fn a_route_that_changes_something_needs_a_scope_or_an_operator() {
        for route in route_rules().into_iter().filter(|route| route.method != "GET") {
            let open = matches!(route.rule, Rule::Public | Rule::Proof | Rule::Operator);
            let writes = route.scopes.iter().any(|scope| ["devices:write", "commands:send", "account"].contains(scope));
            assert!(open || writes, "{route:?}");
        }
    }
}
