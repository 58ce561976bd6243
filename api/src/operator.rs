//! What operators' routes work with: a running server, or the database alone when none runs. Either way the same handlers do the same, and write the
//! same into the audit log; with a server, what they change is felt by live connections at once.

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRef};
use axum::middleware::map_request;
use mooring_store::Store;
use time::Duration;
use utoipa_axum::router::OpenApiRouter;

use crate::caller::Caller;
use crate::routes::operator_routes;
use crate::{ApiContext, Problem, Revoker, Sharing};

/// What a handler of an operator's route may use. Cheap to clone.
#[derive(Clone)]
pub struct OperatorContext {
    /// The database.
    pub store: Store,
    /// Takes certificates back.
    pub revoker: Revoker,
    /// The running server's live half; none when no server runs.
    pub live: Option<Sharing>,
    /// How long the enrolment secret of a device that is made is good.
    pub enrolment_secret: Duration,
}

impl OperatorContext {
    /// For work on a database that no server uses: the next start finds what was changed.
    #[must_use]
    pub fn without_server(store: Store, enrolment_secret: Duration) -> Self {
        Self { revoker: Revoker::new(store.clone(), None), store, live: None, enrolment_secret }
    }

    /// The live half, for what is about connections and nothing else.
    pub(crate) fn server(&self) -> Result<&Sharing, Problem> {
        self.live.as_ref().ok_or_else(|| Problem::unavailable("No server runs here: nobody is connected."))
    }
}

impl FromRef<ApiContext> for OperatorContext {
    fn from_ref(context: &ApiContext) -> Self {
        Self {
            store: context.store.clone(),
            revoker: context.revoker.clone(),
            live: Some(context.sharing.clone()),
            enrolment_secret: context.lifetimes.enrolment_secret,
        }
    }
}

/// A body that registers a client or tags a device is small; a log of a factory is the largest.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The operators' routes for somebody whom the operating system vouches for: the owner of the data directory, on its socket or in the process itself.
/// There is no token to ask for; the audit log calls them `operator`.
pub fn operator_router(context: OperatorContext) -> Router {
    let (routes, _) = operator_routes::<OperatorContext>(OpenApiRouter::new()).split_for_parts();
    routes
        .fallback(|| async { Problem::not_found("Here are the operators' routes only.") })
        .layer(map_request(async |mut request: axum::extract::Request| {
            request.extensions_mut().insert(Caller::local_operator());
            request
        }))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(context)
}
