//! A browser that asks for a page: its session, its language, and what protects the forms that it gets.

use std::net::IpAddr;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use maud::Markup;
use mooring_accounts::{Accounts, AccountsError, Session, Visitor};
use mooring_store::SignedIn;

use super::continuation::Continuation;
use super::kit::{self, Page};
use super::texts::{self, Texts};
use super::{cookies, csrf};
use crate::error::{OauthError, Result};
use crate::params::Params;
use crate::provider::Provider;
use crate::secret::{self, Kind};
use crate::{ClientAddress, Pages};

/// A browser, at one request.
pub(crate) struct Visit {
    pub(crate) provider: Provider,
    pub(crate) accounts: Accounts,
    pub(crate) texts: &'static Texts,
    pub(crate) visitor: Visitor,
    pub(crate) address: IpAddr,
    /// The parameters of the URL.
    pub(crate) query: Params,
    /// What this browser has begun to sign up with.
    pub(crate) sign_up: Option<String>,
    /// Who is signed in.
    pub(crate) session: Option<Session>,
    session_token: Option<String>,
    browser: String,
    browser_is_new: bool,
    headers: HeaderMap,
}

impl Visit {
    /// The session of whoever must be signed in here.
    pub(crate) fn signed_in(&self) -> Option<SignedIn> {
        self.session.as_ref().map(|session| SignedIn { at: session.auth_at, amr: session.amr.clone() })
    }

    /// The field that proves that a form is from here. `form` is the path that it is sent to.
    pub(crate) fn csrf_field(&self, form: &str) -> Markup {
        kit::hidden(csrf::FIELD, &self.csrf_token(form))
    }

    /// Whether a form was sent from a page of ours, in this session.
    pub(crate) fn is_ours(&self, form: &str, params: &Params) -> bool {
        !self.browser_is_new && csrf::is_ours(&self.headers, params, &self.csrf_token(form), self.provider.issuer())
    }

    fn csrf_token(&self, form: &str) -> String {
        let session = self.session.as_ref().and(self.session_token.as_deref());
        csrf::token(&self.browser, session, form)
    }

    /// The token of the session in the cookie, whether it is good or not.
    pub(crate) fn session_token(&self) -> Option<&str> {
        self.session_token.as_deref()
    }

    /// The answer, or the page that says why there is none. A browser that is here for the first time gets its secret.
    pub(crate) fn answer(&self, answer: Result<Response>) -> Response {
        let mut response = match answer {
            Ok(response) => response,
            Err(error) => kit::error_page(self.texts, &error).into_response(),
        };
        if self.browser_is_new && !sets(&response, cookies::BROWSER) {
            cookies::set(response.headers_mut(), cookies::BROWSER, &self.browser, None);
        }
        response
    }

    /// A page of this visit's language.
    pub(crate) fn page(&self, title: &str, body: Markup) -> Page {
        Page::new(self.texts, title, body)
    }

    /// Begins a session for who has signed in, and goes on. The session that the browser had ends, and its secret is a new one: what somebody may
    /// have planted there before is good for nothing.
    pub(crate) async fn begin_session(
        &self,
        signed_in: &mooring_accounts::SignedIn,
        next: &Continuation,
    ) -> Result<Response> {
        let begun = self.accounts.create_session(signed_in, &self.visitor, self.session_token()).await?;
        let mut response = next.go();
        let headers = response.headers_mut();
        let max_age_s = (begun.session.expires_at - begun.session.created_at).whole_seconds();
        cookies::set(headers, cookies::SESSION, begun.token.reveal(), Some(max_age_s));
        cookies::set(headers, cookies::KNOWN_DEVICE, &begun.known_device, Some(KNOWN_DEVICE_S));
        cookies::set(headers, cookies::BROWSER, &secret::generate(Kind::Cookie)?, None);
        Ok(response)
    }

    /// What a person is told of an error that they can do something about; other errors are the server's.
    pub(crate) fn problem(&self, error: AccountsError) -> Result<Problem> {
        let status = StatusCode::from_u16(error.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if status.is_server_error() {
            return Err(error.into());
        }
        let (mut seconds, mut count) = (String::new(), String::new());
        match &error {
            AccountsError::TooManyTries { retry_after } => seconds = retry_after.as_secs().max(1).to_string(),
            AccountsError::Password(fault) => count = fault.count().map(|count| count.to_string()).unwrap_or_default(),
            _ => {}
        }
        let catalogue = mooring_accounts::texts::texts(self.texts.language);
        let text = catalogue.fill(error.text_key(), &[("seconds", &seconds), ("count", &count)]);
        Ok(Problem { text, status })
    }

    /// The problem of a form that was not ours.
    pub(crate) fn stale_form(&self) -> Problem {
        Problem { text: self.texts.stale_form.to_owned(), status: StatusCode::FORBIDDEN }
    }

    /// The page for a form that was not ours: it is shown again, with a fresh token.
    pub(crate) fn stale(&self, page: Page) -> Page {
        page.with_status(StatusCode::FORBIDDEN)
    }
}

/// What was wrong with a form.
#[derive(Debug)]
pub(crate) struct Problem {
    /// For the person.
    pub(crate) text: String,
    pub(crate) status: StatusCode,
}

/// How long a browser is known.
const KNOWN_DEVICE_S: i64 = 365 * 86_400;

fn sets(response: &Response, name: &str) -> bool {
    let values = response.headers().get_all(header::SET_COOKIE).iter();
    values.filter_map(|value| value.to_str().ok()).any(|value| value.starts_with(name))
}

impl<S> FromRequestParts<S> for Visit
where
    S: Send + Sync,
    Pages: FromRef<S>,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let Pages { provider, accounts } = Pages::from_ref(state);
        let texts = texts::negotiate(&parts.headers);
        let failed = |error: OauthError| kit::error_page(texts, &error).into_response();
        let query = Params::parse(parts.uri.query().unwrap_or_default().as_bytes()).map_err(failed)?;
        let address = parts.extensions.get::<ClientAddress>().map_or(IpAddr::from([0, 0, 0, 0]), |address| address.0);
        let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let visitor = Visitor {
            address,
            user_agent: text(header::USER_AGENT),
            known_device: cookies::read(&parts.headers, cookies::KNOWN_DEVICE).map(str::to_owned),
            language: texts.language.to_owned(),
        };
        let session_token = cookies::read(&parts.headers, cookies::SESSION).map(str::to_owned);
        let session = match &session_token {
            Some(token) => accounts.find_session(token).await.map_err(|error| failed(error.into()))?,
            None => None,
        };
        let browser = cookies::read(&parts.headers, cookies::BROWSER);
        let browser = browser.filter(|browser| secret::hash_of(Kind::Cookie, browser).is_some()).map(str::to_owned);
        let browser_is_new = browser.is_none();
        let browser = browser.map_or_else(|| secret::generate(Kind::Cookie), Ok).map_err(failed)?;
        let headers = parts.headers.clone();
        Ok(Self {
            provider,
            accounts,
            texts,
            visitor,
            address,
            query,
            sign_up: cookies::read(&parts.headers, cookies::SIGN_UP).map(str::to_owned),
            session,
            session_token,
            browser,
            browser_is_new,
            headers,
        })
    }
}
