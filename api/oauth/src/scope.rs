//! Scopes: what a client may be given.

use crate::error::{ErrorCode, OauthError, Result};

/// Every scope there is. What each allows is said to people on the consent page.
pub const SCOPES: [&str; 9] =
    [OPENID, "profile", "email", OFFLINE_ACCESS, "devices:read", "devices:write", "commands:send", "account", OPERATOR];

/// Asks for an ID token.
pub(crate) const OPENID: &str = "openid";
/// Asks for refresh tokens, which work when the person is away (OpenID Connect Core, 11).
pub(crate) const OFFLINE_ACCESS: &str = "offline_access";
/// For services of the operator's: no person can give it.
pub(crate) const OPERATOR: &str = "operator";

/// Reads `a b c`, and refuses what the client may not have. Without the parameter: nothing but what needs no scope.
pub(crate) fn parse(text: Option<&str>, allowed: &[String]) -> Result<Vec<String>> {
    let mut scopes: Vec<String> = Vec::new();
    for scope in text.unwrap_or_default().split(' ').filter(|scope| !scope.is_empty()) {
        if !allowed.iter().any(|known| known == scope) {
            let why = format!("The scope {scope} is unknown, or this client may not have it.");
            return Err(OauthError::refused(ErrorCode::InvalidScope, why));
        }
        if !scopes.iter().any(|known| known == scope) {
            scopes.push(scope.to_owned());
        }
    }
    Ok(scopes)
}

/// The same where a person gives them.
pub(crate) fn parse_for_person(text: Option<&str>, allowed: &[String]) -> Result<Vec<String>> {
    let scopes = parse(text, allowed)?;
    if contains(&scopes, OPERATOR) {
        let why = "The scope operator is for services: no person can give it.";
        return Err(OauthError::refused(ErrorCode::InvalidScope, why));
    }
    Ok(scopes)
}

pub(crate) fn contains(scopes: &[String], scope: &str) -> bool {
    scopes.iter().any(|held| held == scope)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_those_that_the_client_may_have() {
        let allowed = ["openid".to_owned(), "devices:read".to_owned(), "operator".to_owned()];
        assert_eq!(parse(Some("devices:read  openid devices:read"), &allowed).unwrap(), ["devices:read", "openid"]);
        assert!(parse(None, &allowed).unwrap().is_empty());
        for bad in ["devices:write", "openid email", "OPENID", "openid\tdevices:read"] {
            assert!(parse(Some(bad), &allowed).is_err(), "{bad}");
        }
        assert!(parse(Some("operator"), &allowed).is_ok());
        assert!(parse_for_person(Some("openid operator"), &allowed).is_err());
    }
}
