//! `/account/second-factor`: a code of the authenticator app, a recovery code, or a passkey, after the password.

use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use mooring_accounts::{PasskeyAnswer, SecondFactor};

use super::continuation::{Continuation, NEXT};
use super::kit::{Extra, Field, Page, alert, hidden, see_other};
use super::passkey::{self, CHALLENGE, CREDENTIAL};
use super::paths::{SECOND_FACTOR, SECOND_FACTOR_CHOICE, SECOND_FACTOR_PASSKEY, SIGN_IN};
use super::visit::{Problem, Visit};
use crate::error::Result;
use crate::params::Params;

const PENDING: &str = "pending";
const METHODS: &str = "methods";
const METHOD: &str = "method";
const CODE: &str = "code";

/// A sign-in that waits for its second factor. It goes along in the forms; what counts of it is checked by its token.
pub(crate) struct Begun {
    pub(crate) pending: String,
    pub(crate) methods: Vec<SecondFactor>,
    pub(crate) next: Continuation,
}

impl Begun {
    fn of(params: &Params) -> Self {
        let methods = params.get(METHODS).unwrap_or_default().split(' ').filter_map(method).collect();
        let pending = params.get(PENDING).unwrap_or_default().to_owned();
        Self { pending, methods, next: Continuation::of(params) }
    }

    fn fields(&self) -> Markup {
        let methods: Vec<_> = self.methods.iter().map(|method| name(*method)).collect();
        html! {
            (hidden(PENDING, &self.pending))
            (hidden(METHODS, &methods.join(" ")))
            (hidden(NEXT, self.next.as_str()))
        }
    }
}

fn name(method: SecondFactor) -> &'static str {
    match method {
        SecondFactor::Passkey => "passkey",
        SecondFactor::Totp => "totp",
        SecondFactor::RecoveryCode => "recovery",
    }
}

fn method(name: &str) -> Option<SecondFactor> {
    match name {
        "passkey" => Some(SecondFactor::Passkey),
        "totp" => Some(SecondFactor::Totp),
        "recovery" => Some(SecondFactor::RecoveryCode),
        _ => None,
    }
}

/// The page for the most convenient way.
pub(crate) async fn first_page(visit: &Visit, begun: Begun) -> Result<Response> {
    let first = begun.methods.first().copied().unwrap_or(SecondFactor::Totp);
    page_for(visit, &begun, first, None).await
}

/// `GET` of any of these: there is nothing to show without a sign-in that has begun.
pub(crate) async fn begin_again(visit: Visit) -> Response {
    visit.answer(Ok(see_other(SIGN_IN)))
}

/// `POST /account/second-factor/choice`: another way.
pub(crate) async fn choose(visit: Visit, params: Result<Params>) -> Response {
    let answer = match params {
        Ok(params) => chosen(&visit, &params).await,
        Err(error) => Err(error),
    };
    visit.answer(answer)
}

async fn chosen(visit: &Visit, params: &Params) -> Result<Response> {
    let begun = Begun::of(params);
    let wished = params.get(METHOD).and_then(method).unwrap_or(SecondFactor::Totp);
    let problem = (!visit.is_ours(SECOND_FACTOR_CHOICE, params)).then(|| visit.stale_form());
    page_for(visit, &begun, wished, problem).await
}

/// `POST /account/second-factor`: a code.
pub(crate) async fn send(visit: Visit, params: Result<Params>) -> Response {
    let answer = match params {
        Ok(params) => sent(&visit, &params).await,
        Err(error) => Err(error),
    };
    visit.answer(answer)
}

async fn sent(visit: &Visit, params: &Params) -> Result<Response> {
    let begun = Begun::of(params);
    let used = params.get(METHOD).and_then(method).unwrap_or(SecondFactor::Totp);
    if !visit.is_ours(SECOND_FACTOR, params) {
        return page_for(visit, &begun, used, Some(visit.stale_form())).await;
    }
    let code = params.get(CODE).unwrap_or_default();
    match visit.accounts.finish_with_code(&begun.pending, used, code, &visit.visitor).await {
        Ok(signed_in) => visit.begin_session(&signed_in, &begun.next).await,
        Err(error) => page_for(visit, &begun, used, Some(visit.problem(error)?)).await,
    }
}

/// `POST /account/second-factor/passkey`
pub(crate) async fn send_passkey(visit: Visit, params: Result<Params>) -> Response {
    let answer = match params {
        Ok(params) => sent_passkey(&visit, &params).await,
        Err(error) => Err(error),
    };
    visit.answer(answer)
}

async fn sent_passkey(visit: &Visit, params: &Params) -> Result<Response> {
    let begun = Begun::of(params);
    if !visit.is_ours(SECOND_FACTOR_PASSKEY, params) {
        return page_for(visit, &begun, SecondFactor::Passkey, Some(visit.stale_form())).await;
    }
    let challenge = params.get(CHALLENGE).unwrap_or_default();
    let finished = match PasskeyAnswer::parse(params.get(CREDENTIAL).unwrap_or_default()) {
        Ok(answer) => {
            let accounts = &visit.accounts;
            accounts.finish_passkey_second_factor(&begun.pending, challenge, &answer, &visit.visitor).await
        }
        Err(error) => Err(error.into()),
    };
    match finished {
        Ok(signed_in) => visit.begin_session(&signed_in, &begun.next).await,
        Err(error) => page_for(visit, &begun, SecondFactor::Passkey, Some(visit.problem(error)?)).await,
    }
}

async fn page_for(visit: &Visit, begun: &Begun, method: SecondFactor, problem: Option<Problem>) -> Result<Response> {
    let destination = begun.next.destination(&visit.provider).await;
    let status = problem.as_ref().map(|problem| problem.status);
    let page = match method {
        SecondFactor::Passkey => match passkey_page(visit, begun, problem).await? {
            Ok(page) => page,
            Err(problem) => code_page(visit, begun, SecondFactor::Totp, Some(&problem)),
        },
        SecondFactor::Totp | SecondFactor::RecoveryCode => code_page(visit, begun, method, problem.as_ref()),
    };
    let page = page.leading_to(destination.form_target);
    Ok(match status {
        Some(status) => page.with_status(status).into_response(),
        None => page.into_response(),
    })
}

fn code_page(visit: &Visit, begun: &Begun, method: SecondFactor, problem: Option<&Problem>) -> Page {
    let texts = visit.texts;
    let is_recovery = method == SecondFactor::RecoveryCode;
    let (text, field) = if is_recovery {
        let field = Field::new(CODE, texts.recovery_code, "text", "off").extra(Extra::Letters);
        (texts.second_recovery, field)
    } else {
        (texts.second_totp, Field::new(CODE, texts.code, "text", "one-time-code").extra(Extra::Digits))
    };
    let body = html! {
        p { (text) }
        (alert(problem.map(|problem| problem.text.as_str())))
        form method="post" action=(SECOND_FACTOR) {
            (visit.csrf_field(SECOND_FACTOR))
            (begun.fields())
            (hidden(METHOD, name(method)))
            (field.render())
            button { (texts.continue_) }
        }
        (others(visit, begun, method))
    };
    visit.page(texts.second_title, body)
}

async fn passkey_page(visit: &Visit, begun: &Begun, problem: Option<Problem>) -> Result<Result<Page, Problem>> {
    let request = match visit.accounts.start_passkey_second_factor(&begun.pending).await {
        Ok(request) => request,
        Err(error) => return Ok(Err(visit.problem(error)?)),
    };
    let fields = html! { (begun.fields()) (others_hidden()) };
    let body = html! {
        (passkey::form(visit, SECOND_FACTOR_PASSKEY, &request, &fields, problem.as_ref()))
        (others(visit, begun, SecondFactor::Passkey))
    };
    Ok(Ok(visit.page(visit.texts.second_title, body).with_script()))
}

fn others_hidden() -> Markup {
    hidden(METHOD, name(SecondFactor::Passkey))
}

/// Buttons for the other ways that the account has.
fn others(visit: &Visit, begun: &Begun, current: SecondFactor) -> Markup {
    let texts = visit.texts;
    let others: Vec<_> = begun.methods.iter().copied().filter(|method| *method != current).collect();
    let said = |method| match method {
        SecondFactor::Passkey => texts.use_passkey,
        SecondFactor::Totp => texts.use_totp,
        SecondFactor::RecoveryCode => texts.use_recovery,
    };
    html! {
        @if !others.is_empty() {
            form method="post" action=(SECOND_FACTOR_CHOICE) {
                (visit.csrf_field(SECOND_FACTOR_CHOICE))
                (begun.fields())
                @for other in others { button.plain name=(METHOD) value=(name(other)) { (said(other)) } }
            }
        }
        p { a href=(begun.next.link(SIGN_IN)) { (texts.begin_again) } }
    }
}
