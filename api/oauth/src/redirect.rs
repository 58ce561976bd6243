//! Where an answer to an authorization request may go: to an address that was registered, compared character by character.
//!
//! The one exception is the port of a loopback address, which a native app learns only when it listens (RFC 8252, 7.3).

use url::Url;

/// Says what is wrong with an address that is to be registered.
///
/// # Errors
/// What a person has to change.
pub fn check_redirect_uri(uri: &str) -> Result<(), String> {
    let parsed = Url::parse(uri).map_err(|error| format!("{uri:?} is no absolute URI: {error}"))?;
    if !uri.bytes().all(|byte| byte.is_ascii_graphic()) || parsed.as_str() != uri {
        return Err(format!("{uri:?} is not in its normal form: write {}", parsed.as_str()));
    }
    if parsed.fragment().is_some() || !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(format!(
            "{uri:?} has a fragment, a user name or a password: a redirect URI has none (RFC 6749, 3.1.2)"
        ));
    }
    match parsed.scheme() {
        "https" => Ok(()),
        "http" if loopback(uri).is_some() => Ok(()),
        "http" => Err(format!(
            "{uri:?}: http is for native apps on http://127.0.0.1 or http://[::1] alone (RFC 8252, 8.3); use https"
        )),
        // A scheme of a reversed domain name belongs to whoever has the domain; and no scheme with a dot runs scripts (RFC 8252, 7.1).
        scheme if scheme.contains('.') => Ok(()),
        scheme => Err(format!(
            "{uri:?}: a native app's own scheme is a reversed domain name, such as com.example.app, not {scheme}"
        )),
    }
}

/// Whether an answer may go to the address that a request names.
pub(crate) fn matches(registered: &str, presented: &str) -> bool {
    if registered == presented {
        return true;
    }
    match (loopback(registered), loopback(presented)) {
        (Some(registered), Some(presented)) => registered == presented,
        _ => false,
    }
}

/// Host and the rest behind the port, of a loopback address.
fn loopback(uri: &str) -> Option<(&str, &str)> {
    let host = ["http://127.0.0.1", "http://[::1]"].into_iter().find(|host| uri.starts_with(host))?;
    let rest = uri.get(host.len()..)?;
    let rest = match rest.strip_prefix(':') {
        Some(with_port) => {
            let end = with_port.find(|c: char| !c.is_ascii_digit()).unwrap_or(with_port.len());
            let (port, rest) = with_port.split_at_checked(end)?;
            port.parse::<u16>().ok().filter(|port| *port > 0)?;
            rest
        }
        None => rest,
    };
    (rest.is_empty() || rest.starts_with('/')).then_some((host, rest))
}

/// What a form may lead to when it ends at this address, for `form-action` (CSP 3): the origin, or a native app's scheme.
pub(crate) fn form_target(uri: &str) -> Option<String> {
    let parsed = Url::parse(uri).ok()?;
    match parsed.scheme() {
        "http" | "https" => Some(parsed.origin().ascii_serialization()),
        scheme => Some(format!("{scheme}:")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_registered() {
        for fine in [
            "https://app.example/callback",
            "https://app.example/callback?from=mooring",
            "http://127.0.0.1/callback",
            "http://127.0.0.1:7777/",
            "http://[::1]/callback",
            "com.example.app:/callback",
        ] {
            assert_eq!(check_redirect_uri(fine), Ok(()));
        }
        for bad in [
            "",
            "/callback",
            "https://app.example",
            "https://APP.example/callback",
            "https://app.example/a/../b",
            "https://app.example:443/callback",
            "https://app.example/callback#fragment",
            "https://user@app.example/callback",
            "https://app.example/\u{e9}",
            "https://app.example/call back",
            "http://app.example/callback",
            "http://localhost/callback",
            "http://127.0.0.1.evil.example/callback",
            "http://127.0.0.1@evil.example/callback",
            "javascript:alert(1)",
            "data:text/html,x",
            "myapp:/callback",
        ] {
            assert!(check_redirect_uri(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_address_matches_itself_alone_and_loopback_with_any_port() {
        let check = |registered: &str, presented: &str, expected: bool| {
            assert_eq!(matches(registered, presented), expected, "{registered} {presented}");
        };
        check("https://app.example/callback", "https://app.example/callback", true);
        for presented in [
            "https://app.example/callback/",
            "https://app.example/callback/x",
            "https://app.example/callbackx",
            "https://app.example/callback?x=1",
            "https://app.example/callback#x",
            "https://app.example:444/callback",
            "https://app.example:443/callback",
            "https://APP.example/callback",
            "https://app.example/%63allback",
            "https://app.example/x/../callback",
            "https://app.example.evil.example/callback",
            "https://app.example@evil.example/callback",
            "http://app.example/callback",
            " https://app.example/callback",
            "",
        ] {
            check("https://app.example/callback", presented, false);
        }
        check("http://127.0.0.1/callback", "http://127.0.0.1:51004/callback", true);
        check("http://127.0.0.1:8/callback", "http://127.0.0.1/callback", true);
        check("http://[::1]/callback", "http://[::1]:51004/callback", true);
        for presented in [
            "http://127.0.0.1:51004/callback2",
            "http://127.0.0.1:51004/",
            "http://127.0.0.1:/callback",
            "http://127.0.0.1:0/callback",
            "http://127.0.0.1:99999/callback",
            "http://127.0.0.1:80@evil.example/callback",
            "http://127.0.0.1.evil.example/callback",
            "http://localhost:51004/callback",
            "http://[::1]:51004/callback",
            "https://127.0.0.1:51004/callback",
        ] {
            check("http://127.0.0.1/callback", presented, false);
        }
        check("com.example.app:/callback", "com.example.app:/callback", true);
        check("com.example.app:/callback", "com.example.app:/callback2", false);
    }

    #[test]
    fn a_form_may_lead_to_the_origin_or_the_scheme() {
        let check = |uri: &str, target: &str| assert_eq!(form_target(uri).as_deref(), Some(target));
        check("https://app.example/callback?x=1", "https://app.example");
        check("http://127.0.0.1:51004/callback", "http://127.0.0.1:51004");
        check("com.example.app:/callback", "com.example.app:");
    }
}
