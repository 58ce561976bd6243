//! `mooring oauth`: what can be typed.

use clap::{Args as ClapArgs, Subcommand};

use super::OperatorArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum OauthCommand {
    /// Programs that ask people for access, or work for themselves.
    #[command(subcommand)]
    Client(OauthClientCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum OauthClientCommand {
    /// Register a client: prints its id, and the secret of a confidential one, this once.
    Create(Box<CreateClient>),
    /// List clients.
    List {
        /// Print JSON, a line a client.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        config: OperatorArgs,
    },
    /// Remove a client: everything that people have let it have ends within a second.
    Remove {
        /// Its id.
        id: String,
        #[command(flatten)]
        config: OperatorArgs,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct CreateClient {
    /// What people read when it asks them.
    #[arg(long)]
    pub(crate) name: String,
    /// Its `client_id`; without it, one is made.
    #[arg(long)]
    pub(crate) id: Option<String>,
    /// A program that can't keep a secret: an app on a phone, in a browser, on a desk. PKCE protects it.
    #[arg(long)]
    pub(crate) public: bool,
    /// One's own: people are not asked for consent.
    #[arg(long)]
    pub(crate) first_party: bool,
    /// Where answers may go: https://..., http://127.0.0.1/... (with any port) or com.example.app:/...
    #[arg(long = "redirect-uri", value_name = "URI")]
    pub(crate) redirect_uris: Vec<String>,
    /// Where browsers may go after signing out.
    #[arg(long = "sign-out-uri", value_name = "URI")]
    pub(crate) sign_out_uris: Vec<String>,
    /// The most that it can be given.
    #[arg(long, value_delimiter = ',', default_values_t = ["openid", "profile", "email", "offline_access", "devices:read"].map(String::from))]
    pub(crate) scope: Vec<String>,
    /// Its tokens have to be bound to a key of its own (DPoP, RFC 9449).
    #[arg(long)]
    pub(crate) requires_dpop: bool,
    /// Screens without a keyboard may ask (RFC 8628).
    #[arg(long)]
    pub(crate) device_code: bool,
    /// It works for itself, with its own credentials, and for nobody else.
    #[arg(long, conflicts_with_all = ["public", "device_code", "redirect_uris"])]
    pub(crate) service: bool,
    /// It may ask about tokens of others (RFC 7662).
    #[arg(long, conflicts_with = "public")]
    pub(crate) introspects: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) config: OperatorArgs,
}
