//! Versions: an entity tag on what is shown, `If-Match` on what is changed.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use mooring_store::StoreError;

use crate::Problem;

/// The entity tag of a version.
pub(super) fn etag(version: u64) -> [(HeaderName, HeaderValue); 1] {
    let tag = HeaderValue::try_from(format!("\"{version}\"")).unwrap_or_else(|_| HeaderValue::from_static("\"0\""));
    [(header::ETAG, tag)]
}

/// The version that a change is for; none without `If-Match`, or with `*`.
pub(super) fn expected_version(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().ok().map(str::trim);
    if text == Some("*") {
        return Ok(None);
    }
    let version = text.and_then(|text| text.trim_matches('"').parse().ok());
    version.map(Some).ok_or_else(|| Problem::invalid_request("If-Match is a version in quotes, such as \"3\"."))
}

/// A conflict of versions is a precondition that failed.
pub(super) fn stale(error: StoreError) -> Problem {
    match error {
        StoreError::Conflict { .. } => {
            Problem::precondition_failed("Fetch it again, and repeat the change on its current version.")
        }
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_match_is_a_version_in_quotes() {
        let check = |value: &str, expected: Option<Option<u64>>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_MATCH, HeaderValue::from_str(value).unwrap());
            assert_eq!(expected_version(&headers).ok(), expected, "{value}");
        };
        check("\"3\"", Some(Some(3)));
        check("*", Some(None));
        check("W/\"3\"", None);
        check("1x", None);
        assert_eq!(expected_version(&HeaderMap::new()).ok(), Some(None));
    }
}
