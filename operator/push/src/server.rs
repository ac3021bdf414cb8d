//! Accepts connections, each within limits and with the current certificate.

use crate::{
    authenticate::Authenticate,
    certificate::ServingCertificate,
    clock,
    connection::Connection,
    key_usage::KeyUsage,
    limits::{CLOSE_TIMEOUT, PushLimits},
    registry::ProxyRegistry,
    state::PushState,
    stats::Stats,
    store::DocumentStore,
};
use rustls::{ServerConfig, crypto::ring, version::TLS13};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

const EXPIRY_INTERVAL: Duration = Duration::from_secs(1);
/// After a failed accept: most likely out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// The push server: the table, its subscribers and their state.
#[derive(Clone)]
pub struct Push(Arc<PushState>);

impl Push {
    pub fn new(authenticate: impl Authenticate, limits: PushLimits) -> Self {
        Self(Arc::new(PushState::new(authenticate, limits)))
    }

    pub fn table(&self) -> &DocumentStore {
        &self.0.table
    }

    pub fn proxies(&self) -> &ProxyRegistry {
        &self.0.proxies
    }

    pub fn key_usage(&self) -> &KeyUsage {
        &self.0.key_usage
    }

    pub fn stats(&self) -> &Stats {
        &self.0.stats
    }

    /// Whether connections are accepted.
    pub fn is_serving(&self) -> bool {
        self.0.is_serving.load(Ordering::Acquire)
    }

    /// Serves until `stop`, then sends every proxy to another replica.
    pub async fn serve(
        &self,
        listener: TcpListener,
        certificate: ServingCertificate,
        stop: CancellationToken,
    ) -> Result<(), rustls::Error> {
        let state = &self.0;
        let acceptor = TlsAcceptor::from(Arc::new(tls(certificate)?));
        let permits = Arc::new(Semaphore::new(state.limits.connections));
        let mut connections = JoinSet::new();
        let mut expiry = interval(EXPIRY_INTERVAL);
        expiry.set_missed_tick_behavior(MissedTickBehavior::Delay);
        state.is_serving.store(true, Ordering::Release);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = expiry.tick() => state.proxies.remove_expired(clock::now()),
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((socket, peer)) => {
                        let preauth = state.preauth_limit.try_acquire(peer.ip());
                        let permit = Arc::clone(&permits).try_acquire_owned().ok();
                        let Some((preauth, permit)) = preauth.zip(permit) else {
                            state.stats.connections_refused.inc();
                            continue;
                        };
                        let connection = Connection { state: Arc::clone(state), preauth };
                        let acceptor = acceptor.clone();
                        connections.spawn(async move {
                            connection.serve(acceptor, socket).await;
                            drop(permit);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "accepting a connection failed");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        state.is_serving.store(false, Ordering::Release);
        drop(listener);
        state.stopping.cancel();
        state.sessions.close();
        let ended = async {
            state.sessions.wait().await;
            while connections.join_next().await.is_some() {}
        };
        let _ = timeout(CLOSE_TIMEOUT, ended).await;
        Ok(())
    }
}

/// TLS 1.3 only: both sides are this project's.
fn tls(certificate: ServingCertificate) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(certificate));
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}
