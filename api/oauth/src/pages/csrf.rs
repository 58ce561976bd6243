//! What keeps other sites from sending our forms: a token in each form that only this browser, in this session, for this form, can have got.

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::hmac;

use crate::params::Params;
use crate::secret::{are_equal, sha256};

/// The field that the token is in.
pub(crate) const FIELD: &str = "csrf";

/// The token of a form. The secret of the browser is the key: whoever does not have that cookie can't make it. The session is part of it: a form
/// from before a sign-in or sign-out is stale.
pub(crate) fn token(browser: &str, session: Option<&str>, form: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &sha256(browser.as_bytes()));
    let session = sha256(session.unwrap_or_default().as_bytes());
    let tag = hmac::sign(&key, &[&session[..], form.as_bytes()].concat());
    BASE64_URL_SAFE_NO_PAD.encode(tag)
}

/// Whether a form was sent from a page of ours.
pub(crate) fn is_ours(headers: &HeaderMap, params: &Params, expected: &str, issuer: &str) -> bool {
    let sent = params.get(FIELD).unwrap_or_default();
    are_equal(sent, expected) && is_from_here(headers, issuer)
}

/// What the browser says of where a request comes from; one that says nothing is judged by the token alone.
fn is_from_here(headers: &HeaderMap, issuer: &str) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST.as_str()).map(|host| format!("https://{host}"));
    let origin_fits = text(header::ORIGIN.as_str())
        .is_none_or(|origin| origin == issuer || host.as_deref().is_some_and(|host| host == origin));
    let site_fits = text("sec-fetch-site").is_none_or(|site| matches!(site, "same-origin" | "none"));
    origin_fits && site_fits
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn attack_a_token_is_of_one_browser_session_and_form() {
        let good = token("browser", Some("session"), "/sign-in");
        assert_eq!(token("browser", Some("session"), "/sign-in"), good);
        for other in [
            token("another", Some("session"), "/sign-in"),
            token("browser", Some("another"), "/sign-in"),
            token("browser", None, "/sign-in"),
            token("browser", Some("session"), "/sign-up"),
        ] {
            assert_ne!(other, good);
        }
    }

    #[test]
    fn attack_a_form_of_another_site_is_refused() {
        let (issuer, good) = ("https://mooring.example", token("browser", None, "/sign-in"));
        let check = |origin: Option<&'static str>, site: Option<&'static str>, csrf: &str, expected: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("10.0.0.1:8443"));
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            }
            if let Some(site) = site {
                headers.insert("sec-fetch-site", HeaderValue::from_static(site));
            }
            let params = Params::default().with(FIELD, csrf);
            assert_eq!(is_ours(&headers, &params, &good, issuer), expected, "{origin:?} {site:?} {csrf}");
        };
        check(None, None, &good, true);
        check(Some("https://mooring.example"), Some("same-origin"), &good, true);
        check(Some("https://10.0.0.1:8443"), None, &good, true);
        check(Some("https://evil.example"), None, &good, false);
        check(Some("http://mooring.example"), None, &good, false);
        check(Some("null"), None, &good, false);
        check(None, Some("cross-site"), &good, false);
        check(None, Some("same-site"), &good, false);
        check(None, None, "", false);
        check(None, None, "wrong", false);
    }
}
