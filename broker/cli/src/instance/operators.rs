//! The socket on which operators' commands reach this server.

use axum::extract::FromRef as _;
use mooring_api::{ApiContext, HttpLimits, OperatorContext, OperatorSocket, operator_router};

use crate::data_dir::DataDir;

/// Makes the socket in the data directory. Where there can be none, devices and people are served all the same: operators then use the API with a token.
pub(super) fn socket(data_dir: &DataDir, context: &ApiContext, limits: HttpLimits) -> Option<OperatorSocket> {
    let path = data_dir.operator_socket();
    let router = operator_router(OperatorContext::from_ref(context));
    match OperatorSocket::bind(&path, router, limits) {
        Ok(socket) => Some(socket),
        Err(error) => {
            let path = path.display();
            tracing::error!(%error, %path, "no socket for operators: their commands need --server and a token");
            None
        }
    }
}
