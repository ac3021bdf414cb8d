//! Listeners that serve a gateway, and stopping them.

use super::{ledger::Ledger, signals::Signals};
use crate::{
    gateway::Gateway,
    server::{Listener, Server},
    stage::{accept::Entry, record::UsageEvent},
    tls::Certificate,
};
use axum::Router;
use std::{future::IntoFuture as _, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// Usage events that may wait to be written.
pub const EVENTS_MAX: usize = 16 * 1024;
/// What all bodies together may take, in bodies of the largest size.
pub const BODIES_MAX: usize = 64;
/// How long a body may take to arrive.
pub const BODY_WAIT: Duration = Duration::from_secs(120);
/// How long the rest may take to end when no request runs any more: background tasks, and the
/// writing of usage.
const END_WAIT: Duration = Duration::from_secs(5);

/// Another process has the port, or it is not ours to take.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}; choose another address with {choose}")]
pub struct NoPort {
    /// Where.
    pub address: SocketAddr,
    /// The option or field that says where.
    pub choose: &'static str,
    /// What the system says.
    pub source: io::Error,
}

/// Binds the port of an entry.
///
/// # Errors
/// [`NoPort`].
pub fn bind(
    address: SocketAddr,
    entry: Entry,
    choose: &'static str,
    certificate: Option<Certificate>,
) -> Result<Listener, NoPort> {
    let no_port = |source| NoPort { address, choose, source };
    Listener::bind(address, entry, certificate).map_err(no_port)
}

/// Binds the port of the admin listener.
///
/// # Errors
/// [`NoPort`].
pub async fn bind_admin(address: SocketAddr, choose: &'static str) -> Result<TcpListener, NoPort> {
    let no_port = |source| NoPort { address, choose, source };
    TcpListener::bind(address).await.map_err(no_port)
}

/// Listeners that serve.
pub struct Serving {
    shared: Arc<Gateway>,
    server: Server,
    admin: JoinHandle<io::Result<()>>,
    ledger: Option<JoinHandle<()>>,
}

impl Serving {
    /// Begins to serve, and to write usage down if there is a ledger.
    pub fn start(
        shared: Arc<Gateway>,
        entries: Vec<Listener>,
        (admin, router): (TcpListener, Router),
        usage: Option<(Ledger, mpsc::Receiver<UsageEvent>)>,
    ) -> Self {
        let write = |(ledger, events): (Ledger, _)| {
            tokio::task::spawn_blocking(move || ledger.write_all(events))
        };
        Self {
            server: Server::start(Arc::clone(&shared), entries),
            admin: shared.background.spawn(axum::serve(admin, router).into_future()),
            ledger: usage.map(write),
            shared,
        }
    }

    /// Stops: lets what runs end, and cuts it off after `drain`, or when it is told to stop once
    /// more. Writes all usage down.
    pub async fn stop(self, drain: Duration, signals: &mut Signals) {
        tracing::info!("stopping; running requests may take {} s to end", drain.as_secs());
        let cut = self.shared.cut.clone();
        let mut ending = pin!(self.end(drain));
        tokio::select! {
            () = &mut ending => return,
            () = signals.next() => {}
        }
        tracing::warn!("told to stop once more; running requests are cut off");
        CancellationToken::cancel(&cut);
        ending.await;
    }

    async fn end(self, drain: Duration) {
        let Self { shared, server, admin, ledger } = self;
        let cut = server.stop(drain).await;
        if 0 < cut {
            tracing::warn!(cut, "requests were cut off");
        }
        admin.abort();
        shared.background.close();
        let _ = tokio::time::timeout(END_WAIT, shared.background.wait()).await;
        // The ledger ends when the last of those who write to it are gone.
        drop(shared);
        let Some(ledger) = ledger else {
            return;
        };
        if tokio::time::timeout(END_WAIT, ledger).await.is_err() {
            tracing::error!("the last usage may not have been written down");
        }
    }
}
