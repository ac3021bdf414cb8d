//! The listeners of a running gateway, its ledger, and how they stop.

use super::{ledger::Ledger, signals::ShutdownSignals};
use crate::{
    auth::{
        key_verifier::KeyVerifier,
        oidc::{Issuers, VERIFIED_TOKENS_DEFAULT},
    },
    gateway::{Gateway, ServerLimits},
    server::{Listener, Server},
    stage::{accept::Entry, authenticate::Authenticator, read::BodyLimits, record::UsageEvent},
    tls::Certificate,
};
use axum::Router;
use llm_contract::Pepper;
use std::{future::IntoFuture as _, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// Usage events that may wait to be written.
pub const EVENTS_MAX: usize = 16 * 1024;
/// What all bodies together may take, in bodies of the largest size.
const BODIES_MAX: usize = 64;
/// How long a body may take to arrive.
const BODY_WAIT: Duration = Duration::from_secs(120);
/// How long background tasks and the ledger may take to end after the last request.
const END_WAIT: Duration = Duration::from_secs(5);

/// A port that is taken, or that this process may not use.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}; choose another address with {option}")]
pub struct BindError {
    pub address: SocketAddr,
    /// The option or field that sets the address.
    pub option: &'static str,
    pub source: io::Error,
}

/// Binds the listener of an entry.
pub fn bind(
    address: SocketAddr,
    entry: Entry,
    option: &'static str,
    certificate: Option<Certificate>,
) -> Result<Listener, BindError> {
    Listener::bind(address, entry, certificate).map_err(|source| BindError {
        address,
        option,
        source,
    })
}

/// Binds the admin listener.
pub async fn bind_admin(
    address: SocketAddr,
    option: &'static str,
) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| BindError { address, option, source })
}

/// An authenticator that knows no key and no issuer yet.
pub fn authenticator(pepper: Option<Pepper>) -> io::Result<Authenticator> {
    let mut process_secret = [0; 64];
    getrandom::fill(&mut process_secret)?;
    Ok(Authenticator {
        key_verifier: KeyVerifier::new(&process_secret, pepper),
        issuers: Issuers::new(VERIFIED_TOKENS_DEFAULT),
    })
}

pub fn limits(header_bytes: usize, body_bytes: usize, connections: usize) -> ServerLimits {
    let bodies_bytes = body_bytes.saturating_mul(BODIES_MAX);
    let body = BodyLimits { body_bytes, bodies_bytes, body_wait: BODY_WAIT };
    ServerLimits { header_bytes, connections, body }
}

/// Running listeners and the writer of the ledger.
pub struct Servers {
    gateway: Arc<Gateway>,
    server: Server,
    admin: JoinHandle<io::Result<()>>,
    ledger: Option<JoinHandle<()>>,
}

impl Servers {
    /// Serves requests, and writes usage if there is a ledger.
    pub fn start(
        gateway: Arc<Gateway>,
        entries: Vec<Listener>,
        (admin, router): (TcpListener, Router),
        usage: Option<(Ledger, mpsc::Receiver<UsageEvent>)>,
    ) -> Self {
        let write = |(ledger, events): (Ledger, _)| {
            tokio::task::spawn_blocking(move || ledger.write_all(events))
        };
        Self {
            server: Server::start(Arc::clone(&gateway), entries),
            admin: gateway.background.spawn(axum::serve(admin, router).into_future()),
            ledger: usage.map(write),
            gateway,
        }
    }

    /// Lets running requests end, and cuts them off after `drain` or at the next signal. Writes the
    /// rest of the usage.
    pub async fn stop(self, drain: Duration, signals: &mut ShutdownSignals) {
        tracing::info!("stopping; running requests have {} s to finish", drain.as_secs());
        let cut = self.gateway.cut.clone();
        let mut ending = pin!(self.end(drain));
        tokio::select! {
            () = &mut ending => return,
            () = signals.recv() => {}
        }
        tracing::warn!("second signal; running requests are cut off");
        CancellationToken::cancel(&cut);
        ending.await;
    }

    async fn end(self, drain: Duration) {
        let Self { gateway, server, admin, ledger } = self;
        let cut = server.stop(drain).await;
        if 0 < cut {
            tracing::warn!(cut, "requests were cut off");
        }
        admin.abort();
        gateway.background.close();
        let _ = tokio::time::timeout(END_WAIT, gateway.background.wait()).await;
        // The ledger ends when its last sender is dropped.
        drop(gateway);
        let Some(ledger) = ledger else {
            return;
        };
        if tokio::time::timeout(END_WAIT, ledger).await.is_err() {
            tracing::error!("the last usage may not have been written");
        }
    }
}
