//! Where somebody goes after signing in: a path of this server's, and no other place.

use super::kit::see_other;
use super::paths::{AUTHORIZE, DEVICE, HOME};
use crate::authorize::{self, AuthorizationRequest};
use crate::params::Params;
use crate::provider::Provider;
use crate::redirect::form_target;
use axum::response::Response;

/// The field and parameter that it goes along in.
pub(crate) const NEXT: &str = "next";
const BYTES_MAX: usize = 8 * 1024;

/// A path with its query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Continuation(String);

impl Continuation {
    /// Takes one that came along with a request; anything else than our own pages leads to the account's page. So nobody is sent elsewhere by a link
    /// that begins here.
    pub(crate) fn of(params: &Params) -> Self {
        params.get(NEXT).and_then(Self::parse).unwrap_or_else(|| Self(HOME.to_owned()))
    }

    /// Back to an authorization request.
    pub(crate) fn to_authorize(params: &Params) -> Self {
        Self(format!("{AUTHORIZE}?{}", params.to_query()))
    }

    /// To the page for screens.
    pub(crate) fn to_device(user_code: Option<&str>) -> Self {
        match user_code {
            Some(code) => Self(crate::params::with_query(DEVICE, [("user_code", code)])),
            None => Self(DEVICE.to_owned()),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (path, _) = text.split_once('?').unwrap_or((text, ""));
        let is_ours = [AUTHORIZE, DEVICE, HOME].contains(&path) || path.starts_with("/account/");
        let is_plain = text.len() <= BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
        let stays = !path.split('/').any(|part| part == "..") && !path.contains("//");
        (is_ours && is_plain && stays).then(|| Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn go(&self) -> Response {
        see_other(&self.0)
    }

    /// A link to another of the pages that keeps where it goes on.
    pub(crate) fn link(&self, path: &str) -> String {
        crate::params::with_query(path, [(NEXT, self.as_str())])
    }

    /// The authorization request that it leads back to.
    async fn request(&self, provider: &Provider) -> Option<AuthorizationRequest> {
        let query = self.0.strip_prefix(AUTHORIZE)?.strip_prefix('?')?;
        authorize::check(provider, &Params::parse(query.as_bytes()).ok()?).await.ok()
    }

    /// What a page on the way says and allows.
    pub(crate) async fn destination(&self, provider: &Provider) -> Destination {
        match self.request(provider).await {
            Some(request) => Destination {
                form_target: form_target(&request.answer.redirect_uri),
                client: Some(request.client.name),
                login_hint: request.login_hint,
            },
            None => Destination::default(),
        }
    }
}

/// Where the way goes.
#[derive(Debug, Default)]
pub(crate) struct Destination {
    /// The name of the app.
    pub(crate) client: Option<String>,
    /// Where forms may lead in the end.
    pub(crate) form_target: Option<String>,
    /// Who signs in, as the app believes.
    pub(crate) login_hint: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_nobody_is_sent_elsewhere() {
        let check = |next: &str, expected: &str| {
            assert_eq!(Continuation::of(&Params::default().with(NEXT, next)).as_str(), expected, "{next}");
        };
        for ours in ["/oauth2/authorize?client_id=a", "/device", "/device?user_code=ABCD-EFGH", "/account/sessions"] {
            check(ours, ours);
        }
        for elsewhere in [
            "https://evil.example/",
            "//evil.example/",
            "/\\evil.example",
            "/account\\..\\evil",
            "/account/../../evil",
            "/account//evil.example",
            "/accounts",
            "/account\r\nset-cookie: a=b",
            "/sign-in?next=/account",
            "javascript:alert(1)",
            "account",
            "/oauth2/authorize/..//evil.example",
            "/device@evil.example",
        ] {
            check(elsewhere, "/account");
        }
    }
}
