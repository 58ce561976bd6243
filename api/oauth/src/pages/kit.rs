//! What every page is made of: the frame, forms and their fields, and the headers that keep others out.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::texts::Texts;
use crate::error::{ErrorCode, OauthError};

/// A page, but for its frame. What is put into it by `{}` of `html!` is escaped.
pub(crate) struct Page {
    pub(crate) texts: &'static Texts,
    pub(crate) title: String,
    pub(crate) body: Markup,
    pub(crate) status: StatusCode,
    /// Where its forms may lead besides this server, for browsers that ask at each redirect (CSP 3, `form-action`).
    pub(crate) form_target: Option<String>,
    /// Whether it has the script for passkeys.
    pub(crate) has_script: bool,
}

impl Page {
    pub(crate) fn new(texts: &'static Texts, title: impl Into<String>, body: Markup) -> Self {
        let title = title.into();
        Self { texts, title, body, status: StatusCode::OK, form_target: None, has_script: false }
    }

    /// The same with another status.
    pub(crate) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// The same, with forms that may lead to this address.
    pub(crate) fn leading_to(self, form_target: Option<String>) -> Self {
        Self { form_target, ..self }
    }

    /// The same with the script for passkeys.
    pub(crate) fn with_script(self) -> Self {
        Self { has_script: true, ..self }
    }

    fn render(&self) -> Markup {
        html! {
            (DOCTYPE)
            html lang=(self.texts.language) {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) " · " (PRODUCT) }
                    link rel="stylesheet" href=(STYLE_PATH);
                    @if self.has_script { script src=(SCRIPT_PATH) defer {} }
                }
                body {
                    main {
                        p.brand { (LOGO) (PRODUCT) }
                        h1 { (self.title) }
                        (self.body)
                    }
                }
            }
        }
    }
}

const PRODUCT: &str = "Mooring";

/// An anchor: what a mooring holds by. Drawn here, since a page loads nothing but its style.
const LOGO: PreEscaped<&str> = PreEscaped(
    "<svg aria-hidden=\"true\" viewBox=\"0 0 24 24\" width=\"24\" height=\"24\" fill=\"none\" stroke=\"currentColor\" \
     stroke-width=\"2\" stroke-linecap=\"round\" stroke-linejoin=\"round\"><circle cx=\"12\" cy=\"5\" r=\"2.5\"/>\
     <path d=\"M12 7.5V21M7.5 11h9M4 14c0 4 3.5 7 8 7s8-3 8-7\"/></svg>",
);

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.render().into_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        let script = if self.has_script { " script-src 'self';" } else { "" };
        let target = self.form_target.as_deref().map_or_else(String::new, |target| format!(" {target}"));
        let policy = format!(
            "default-src 'none'; style-src 'self';{script} form-action 'self'{target}; frame-ancestors 'none'; base-uri 'none'"
        );
        // A target that is no header value leaves the stricter policy.
        let policy = HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        guard(headers);
        response
    }
}

/// What keeps a page, or an answer that leads away from one, to itself.
pub(crate) fn guard(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        // The address of a page may have a code in it. `no-referrer` would take Origin out of forms, too.
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (
            HeaderName::from_static("permissions-policy"),
            "publickey-credentials-get=(self), publickey-credentials-create=(self), camera=(), microphone=(), geolocation=()",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Sends the browser on by GET (RFC 9110, 15.4.4).
pub(crate) fn see_other(location: &str) -> Response {
    // A location that has control characters was made of what a client sent: it is not followed.
    let Ok(location) = HeaderValue::from_str(location) else { return StatusCode::BAD_REQUEST.into_response() };
    let mut response = StatusCode::SEE_OTHER.into_response();
    response.headers_mut().insert(header::LOCATION, location);
    guard(response.headers_mut());
    response
}

/// The page for an error that belongs to no form.
pub(crate) fn error_page(texts: &'static Texts, error: &OauthError) -> Page {
    let (code, why) = error.answer();
    let (title, text) = match code {
        ErrorCode::TemporarilyUnavailable => (texts.unavailable_title, texts.unavailable_text),
        ErrorCode::TooManyRequests => (texts.too_many_title, texts.too_many_text),
        ErrorCode::ServerError => (texts.fault_title, texts.fault_text),
        _ => (texts.error_title, texts.error_text),
    };
    let body = html! {
        p { (text) }
        @if !matches!(code, ErrorCode::ServerError | ErrorCode::TemporarilyUnavailable | ErrorCode::TooManyRequests) {
            p.note { code { (code.as_str()) } " " (why) }
        }
    };
    Page::new(texts, title, body).with_status(crate::answer::status(code))
}

/// A message above a form; screen readers say it at once.
pub(crate) fn alert(text: Option<&str>) -> Markup {
    html! { @if let Some(text) = text { p.alert role="alert" { (text) } } }
}

/// A field of a form with its label.
pub(crate) struct Field<'a> {
    pub(crate) name: &'a str,
    pub(crate) label: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) autocomplete: &'a str,
    pub(crate) value: &'a str,
    pub(crate) hint: Option<&'a str>,
    pub(crate) extra: Extra,
}

/// What some fields have besides.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extra {
    None,
    /// The field in which a person begins to type.
    Focus,
    /// A code of digits: a phone shows its digits.
    Digits,
    /// A code of letters.
    Letters,
    /// May stay empty.
    Optional,
}

impl<'a> Field<'a> {
    pub(crate) fn new(name: &'a str, label: &'a str, kind: &'a str, autocomplete: &'a str) -> Self {
        Self { name, label, kind, autocomplete, value: "", hint: None, extra: Extra::None }
    }

    pub(crate) fn value(self, value: &'a str) -> Self {
        Self { value, ..self }
    }

    pub(crate) fn hint(self, hint: &'a str) -> Self {
        Self { hint: Some(hint), ..self }
    }

    pub(crate) fn extra(self, extra: Extra) -> Self {
        Self { extra, ..self }
    }

    pub(crate) fn render(&self) -> Markup {
        let hint_id = format!("{}-hint", self.name);
        let is_code = matches!(self.extra, Extra::Digits | Extra::Letters);
        let input_mode = (self.extra == Extra::Digits).then_some("numeric");
        let capitals = match self.extra {
            Extra::Letters => Some("characters"),
            _ if self.kind == "text" || self.kind == "email" => Some("none"),
            _ => None,
        };
        html! {
            div.field {
                label for=(self.name) { (self.label) }
                input id=(self.name) name=(self.name) type=(self.kind) value=(self.value) autocomplete=(self.autocomplete)
                    class=[is_code.then_some("code")] inputmode=[input_mode] autocapitalize=[capitals] spellcheck="false"
                    aria-describedby=[self.hint.map(|_| &hint_id)] required[self.extra != Extra::Optional]
                    autofocus[self.extra == Extra::Focus || is_code];
                @if let Some(hint) = self.hint { p.hint id=(hint_id) { (hint) } }
            }
        }
    }
}

/// A value that goes along with a form.
pub(crate) fn hidden(name: &str, value: &str) -> Markup {
    html! { input type="hidden" name=(name) value=(value); }
}

/// Where the style is; its name changes with its content, so that browsers may keep it.
pub(crate) const STYLE_PATH: &str = "/oauth2/static/mooring.css";
/// Where the script for passkeys is.
pub(crate) const SCRIPT_PATH: &str = "/oauth2/static/passkey.js";

/// `GET /oauth2/static/mooring.css`
pub(crate) async fn style() -> Response {
    asset("text/css; charset=utf-8", include_str!("../static/mooring.css"))
}

/// `GET /oauth2/static/passkey.js`
pub(crate) async fn script() -> Response {
    asset("text/javascript; charset=utf-8", include_str!("../static/passkey.js"))
}

fn asset(kind: &'static str, content: &'static str) -> Response {
    let mut response = content.into_response();
    guard(response.headers_mut());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    response
}

#[cfg(test)]
mod tests {
    use super::super::texts;
    use super::*;

    #[test]
    fn attack_what_is_put_into_a_page_is_escaped() {
        let evil = "\"><script>alert('x')</script>&";
        let field = Field::new("email", evil, "email", "username").value(evil).hint(evil);
        let body = html! { (alert(Some(evil))) (field.render()) (hidden("next", evil)) a title=(evil) { (evil) } };
        let page = Page::new(texts::of("en"), evil, body).render().into_string();
        assert!(!page.contains("<script"), "{page}");
        assert_eq!(page.matches("&quot;&gt;&lt;script&gt;").count(), 9, "{page}");
    }

    #[test]
    fn a_page_loads_its_style_alone_and_is_framed_by_nobody() {
        let policy = |page: Page| {
            let response = page.into_response();
            response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned()
        };
        let page = || Page::new(texts::of("en"), "x", html! {});
        let plain = "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
        assert_eq!(policy(page()), plain);
        assert!(policy(page().with_script()).contains(" script-src 'self';"));
        assert!(policy(page().leading_to(Some("https://a".to_owned()))).contains("form-action 'self' https://a;"));
    }

    #[test]
    fn attack_a_location_with_a_line_end_is_not_followed() {
        assert_eq!(see_other("/account\r\nset-cookie: a=b").status(), StatusCode::BAD_REQUEST);
        assert_eq!(see_other("/account").headers()[header::LOCATION], "/account");
    }
}
