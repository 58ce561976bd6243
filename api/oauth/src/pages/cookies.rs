//! The two cookies: which session this is, and which browser, for what protects forms.
//!
//! Names with the prefix `__Host-` are taken by browsers from this host alone, over TLS alone (RFC 6265bis, 4.1.3.2): a neighbouring subdomain can't
//! plant one.

use axum::http::{HeaderMap, HeaderValue, header};

/// Who is signed in. Opaque; the database has its hash.
pub(crate) const SESSION: &str = "__Host-mooring-session";
/// Which browser has signed in here before: it is not stopped by the guesses of others.
pub(crate) const KNOWN_DEVICE: &str = "__Host-mooring-device";
/// What a browser has begun to sign up with.
pub(crate) const SIGN_UP: &str = "__Host-mooring-sign-up";
/// A secret of the browser's, from which the tokens in forms are made.
pub(crate) const BROWSER: &str = "__Host-mooring-browser";

/// The value of a cookie, when it has only the characters that ours have.
pub(crate) fn read<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let values = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let value = pairs.filter(|(found, _)| *found == name).map(|(_, value)| value).next()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (!value.is_empty() && value.len() <= 256 && value.bytes().all(is_plain)).then_some(value)
}

/// Sets a cookie: until the browser is closed, or for so long.
pub(crate) fn set(headers: &mut HeaderMap, name: &str, value: &str, max_age_s: Option<i64>) {
    let max_age = max_age_s.map_or_else(String::new, |seconds| format!("; Max-Age={seconds}"));
    // Lax: a client's page leads here by GET, and the session has to come along; a form of another site's gets none.
    let cookie = format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax{max_age}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        headers.append(header::SET_COOKIE, cookie);
    }
}

/// Takes a cookie away.
pub(crate) fn clear(headers: &mut HeaderMap, name: &str) {
    set(headers, name, "", Some(0));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_read_by_its_whole_name() {
        let mut headers = HeaderMap::new();
        let sent = "a=1; __Host-mooring-session2=x; __Host-mooring-session=good-1; __Host-mooring-session=later";
        headers.insert(header::COOKIE, HeaderValue::from_static(sent));
        assert_eq!(read(&headers, SESSION), Some("good-1"));
        assert_eq!(read(&headers, BROWSER), None);
        headers.insert(header::COOKIE, HeaderValue::from_static("__Host-mooring-session=a\"b"));
        assert_eq!(read(&headers, SESSION), None);
    }
}
