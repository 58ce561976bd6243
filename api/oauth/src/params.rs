//! The parameters of a request, from its query or its form.

use axum::extract::{FromRequest, Request};
use axum::http::{Method, header};

use crate::error::{OauthError, Result};

/// A form is small: the largest has a client's name for the state and a passkey's answer in it.
const BODY_BYTES_MAX: usize = 64 * 1024;
const PARAMETERS_MAX: usize = 64;

/// Parameters by their names; each is there once (RFC 6749, 3.1), and one without a value is as good as absent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// Reads `a=b&c=d`.
    pub(crate) fn parse(text: &[u8]) -> Result<Self> {
        let mut parameters: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(text) {
            if parameters.len() == PARAMETERS_MAX {
                return Err(OauthError::invalid_request("There are too many parameters."));
            }
            if parameters.iter().any(|(known, _)| *known == name) {
                return Err(OauthError::invalid_request(format!("The parameter {name} is there twice.")));
            }
            parameters.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(parameters))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        value.filter(|value| !value.is_empty())
    }

    pub(crate) fn require(&self, name: &str) -> Result<&str> {
        self.get(name).ok_or_else(|| OauthError::invalid_request(format!("The parameter {name} is missing.")))
    }

    /// The same without one of them.
    pub(crate) fn without(&self, name: &str) -> Self {
        Self(self.0.iter().filter(|(known, _)| known != name).cloned().collect())
    }

    /// The same with one more, or with another value.
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let mut changed = self.without(name);
        changed.0.push((name.to_owned(), value.to_owned()));
        changed
    }

    /// As a query.
    pub(crate) fn to_query(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish()
    }
}

/// `base?query`, or `base&query` where there is a query already.
pub(crate) fn with_query<'a>(base: &str, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    let joint = if base.contains('?') { '&' } else { '?' };
    format!("{base}{joint}{query}")
}

/// The form of a POST.
impl<S: Send + Sync> FromRequest<S> for Params {
    type Rejection = OauthError;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        if request.method() != Method::POST {
            return Err(OauthError::invalid_request("This takes POST."));
        }
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            let why = "The body must be application/x-www-form-urlencoded.";
            return Err(OauthError::invalid_request(why));
        }
        let body = axum::body::to_bytes(request.into_body(), BODY_BYTES_MAX).await;
        let body = body.map_err(|_| OauthError::invalid_request("The body is too large, or was cut off."))?;
        Self::parse(&body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_there_once_and_an_empty_one_not_at_all() {
        let params = Params::parse(b"a=1&b=&c=%26+x").unwrap();
        assert_eq!((params.get("a"), params.get("b"), params.get("c")), (Some("1"), None, Some("& x")));
        assert!(Params::parse(b"a=1&a=1").is_err());
        assert!(Params::parse(b"a=1&%61=2").is_err(), "the same name in another spelling");
        assert!(Params::parse("x=1&".repeat(2).as_bytes()).is_err());
        let many: String = (0..=PARAMETERS_MAX).map(|number| format!("p{number}=&")).collect();
        assert!(Params::parse(many.as_bytes()).is_err());
    }

    #[test]
    fn a_query_is_put_behind_what_is_there() {
        assert_eq!(with_query("https://a/b", [("x", "1 2")]), "https://a/b?x=1+2");
        assert_eq!(with_query("https://a/b?c=d", [("x", "&")]), "https://a/b?c=d&x=%26");
        let params = Params::parse(b"a=1&b=2").unwrap();
        assert_eq!(params.with("a", "3").to_query(), "b=2&a=3");
    }
}
