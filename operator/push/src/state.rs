//! The state that all connections and streams share.

use crate::{
    authenticate::{Authenticate, AuthenticateError, Peer, bearer},
    clock,
    key_usage::KeyUsage,
    limits::PushLimits,
    preauth_limit::PreAuthLimit,
    registry::ProxyRegistry,
    stats::Stats,
    store::DocumentStore,
};
use std::sync::{Arc, atomic::AtomicBool};
use tokio::{sync::Semaphore, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Concurrent authentications: each may be a request to the API server.
const AUTHENTICATIONS_MAX: usize = 16;

pub(crate) struct PushState {
    pub(crate) table: DocumentStore,
    pub(crate) proxies: Arc<ProxyRegistry>,
    pub(crate) stats: Stats,
    pub(crate) key_usage: KeyUsage,
    pub(crate) limits: PushLimits,
    pub(crate) preauth_limit: PreAuthLimit,
    pub(crate) sessions: TaskTracker,
    pub(crate) stopping: CancellationToken,
    pub(crate) is_serving: AtomicBool,
    authenticate: Box<dyn Authenticate>,
    authentications: Semaphore,
}

impl PushState {
    pub(crate) fn new(authenticate: impl Authenticate, limits: PushLimits) -> Self {
        Self {
            table: DocumentStore::new(),
            proxies: Arc::new(ProxyRegistry::new(limits.clone())),
            stats: Stats::new(),
            key_usage: KeyUsage::default(),
            preauth_limit: PreAuthLimit::new(limits.unauthenticated_per_ip),
            limits,
            sessions: TaskTracker::new(),
            stopping: CancellationToken::new(),
            is_serving: AtomicBool::new(false),
            authenticate: Box::new(authenticate),
            authentications: Semaphore::new(AUTHENTICATIONS_MAX),
        }
    }

    /// Authenticates a request by its `authorization` header.
    pub(crate) async fn authenticate(
        &self,
        header: Option<&str>,
    ) -> Result<Peer, AuthenticateError> {
        let token = bearer(header)?;
        let authenticate = async {
            let _permit = self.authentications.acquire().await;
            self.authenticate.authenticate(&token).await
        };
        let wait = self.limits.handshake_timeout;
        let peer = timeout(wait, authenticate).await.unwrap_or_else(|_elapsed| {
            Err(AuthenticateError::Unavailable { reason: format!("it took longer than {wait:?}") })
        })?;
        if peer.expires_at <= clock::wall() {
            let reason = "it has expired".to_owned();
            return Err(AuthenticateError::Unauthenticated { reason });
        }
        Ok(peer)
    }
}
