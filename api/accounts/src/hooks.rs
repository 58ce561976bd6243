//! What others do when an account changes: live connections end, certificates are revoked, refresh tokens die.

use futures_util::future::BoxFuture;
use uuid::Uuid;

/// What ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// One session of a browser, and what was signed in through it.
    Session(Uuid),
    /// Everything of the user, but what came of this session: after a new password, or at "sign out everywhere".
    EverythingBut(Option<Uuid>),
}

/// Told of changes that reach beyond accounts. Each is called after the database says so.
pub trait Hooks: Send + Sync {
    /// A person signed out, here or everywhere: what hangs on the sessions ends now.
    fn signed_out<'a>(&'a self, user: Uuid, ended: Ended) -> BoxFuture<'a, Result<(), String>> {
        let _ = (user, ended);
        Box::pin(async { Ok(()) })
    }

    /// An account is shut and about to be deleted: certificates of the user's clients are revoked, live connections ended. When it fails,
    /// the account stays shut, and the deletion is tried again later.
    fn deleting<'a>(&'a self, user: Uuid) -> BoxFuture<'a, Result<(), String>> {
        let _ = user;
        Box::pin(async { Ok(()) })
    }

    /// An account is deleted, and these devices have no owner any more.
    fn deleted<'a>(&'a self, user: Uuid, released: &'a [Uuid]) -> BoxFuture<'a, ()> {
        let _ = (user, released);
        Box::pin(async {})
    }
}
