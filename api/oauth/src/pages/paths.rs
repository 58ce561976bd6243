//! Where the pages are.

pub(crate) const HOME: &str = "/account";
pub(crate) const SIGN_IN: &str = "/account/sign-in";
pub(crate) const SECOND_FACTOR: &str = "/account/second-factor";
pub(crate) const SECOND_FACTOR_CHOICE: &str = "/account/second-factor/choice";
pub(crate) const SECOND_FACTOR_PASSKEY: &str = "/account/second-factor/passkey";
pub(crate) const PASSKEY: &str = "/account/passkey";
pub(crate) const SIGN_UP: &str = "/account/sign-up";
pub(crate) const VERIFY: &str = "/account/verify";
pub(crate) const FORGOT: &str = "/account/forgot";
pub(crate) const RESET: &str = "/account/reset";
pub(crate) const SIGN_OUT: &str = "/account/sign-out";
pub(crate) const DEVICE: &str = "/device";
pub(crate) const DEVICE_DECISION: &str = "/device/decision";
pub(crate) const AUTHORIZE: &str = "/oauth2/authorize";
pub(crate) const CONSENT: &str = "/oauth2/consent";
pub(crate) const LOGOUT: &str = "/oauth2/logout";
