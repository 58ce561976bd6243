//! The pages for people: rendered here, without scripts but for passkeys.

mod account;
mod apps;
mod authorize;
mod continuation;
mod cookies;
mod csrf;
mod device;
mod home;
pub(crate) mod kit;
mod passkey;
mod paths;
mod reset;
mod second_factor;
mod sign_in;
mod sign_out;
mod sign_up;
pub(crate) mod texts;
mod visit;

use axum::Router;
use axum::routing::{get, post};

use crate::Pages;
use paths::{
    APPS, APPS_REMOVE, AUTHORIZE, CONSENT, DEVICE, DEVICE_DECISION, FORGOT, HOME, LOGOUT, PASSKEY, RESET,
    SECOND_FACTOR, SECOND_FACTOR_CHOICE, SECOND_FACTOR_PASSKEY, SIGN_IN, SIGN_OUT, SIGN_UP, VERIFY,
};

/// Every page, and what they load.
pub(crate) fn router(pages: Pages) -> Router {
    Router::new()
        .route(AUTHORIZE, get(authorize::show).post(authorize::send))
        .route(CONSENT, get(home::show).post(authorize::decide))
        .route(LOGOUT, get(sign_out::show).post(sign_out::ask))
        .route(HOME, get(home::show))
        .route(APPS, get(apps::show))
        .route(APPS_REMOVE, get(apps::show).post(apps::remove))
        .route(SIGN_IN, get(sign_in::show).post(sign_in::send))
        .route(SECOND_FACTOR, get(second_factor::begin_again).post(second_factor::send))
        .route(SECOND_FACTOR_CHOICE, get(second_factor::begin_again).post(second_factor::choose))
        .route(SECOND_FACTOR_PASSKEY, get(second_factor::begin_again).post(second_factor::send_passkey))
        .route(PASSKEY, get(passkey::show).post(passkey::send))
        .route(SIGN_UP, get(sign_up::show).post(sign_up::send))
        .route(VERIFY, get(sign_up::show_link).post(sign_up::verify))
        .route(FORGOT, get(reset::show_forgot).post(reset::forgot))
        .route(RESET, get(reset::show_reset).post(reset::reset))
        .route(SIGN_OUT, get(sign_out::show).post(sign_out::sign_out))
        .merge(security())
        .route(DEVICE, get(device::show).post(device::type_code))
        .route(DEVICE_DECISION, get(device::show).post(device::decide))
        .route(kit::STYLE_PATH, get(kit::style))
        .route(kit::SCRIPT_PATH, get(kit::script))
        .with_state(pages)
}

/// The account's security page, and the forms on it.
fn security() -> Router<Pages> {
    use account::{data, factors, passkeys};
    Router::new()
        .route(paths::SECURITY, get(account::show))
        .route(paths::SECURITY_NAME, post(data::change_name))
        .route(paths::SECURITY_EMAIL, post(data::change_email))
        .route(paths::SECURITY_EMAIL_CODE, post(data::confirm_email))
        .route(paths::SECURITY_PASSWORD, post(factors::change_password))
        .route(paths::SECURITY_PASSWORD_REMOVE, post(factors::remove_password))
        .route(paths::SECURITY_TOTP, post(factors::offer_totp))
        .route(paths::SECURITY_TOTP_CONFIRM, post(factors::confirm_totp))
        .route(paths::SECURITY_TOTP_REMOVE, post(factors::remove_totp))
        .route(paths::SECURITY_CODES, post(factors::new_codes))
        .route(paths::SECURITY_PASSKEYS, post(passkeys::begin))
        .route(paths::SECURITY_PASSKEYS_ADD, post(passkeys::add))
        .route(paths::SECURITY_PASSKEYS_REMOVE, post(passkeys::remove))
        .route(paths::SECURITY_SESSIONS, post(data::end_sessions))
        .route(paths::SECURITY_EXPORT, post(data::export))
        .route(paths::SECURITY_DELETE, post(data::delete))
}
