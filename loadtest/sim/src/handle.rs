//! The handle of a running server.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use crate::config::Config;
use crate::fault::Injection;
use crate::received::Received;
use crate::server::{Command, accept, listen};
use crate::shared::ServerState;
use crate::state::State;
use crate::tasks;
use crate::wire::Ending;

/// How long [`Sim::wait_until`] waits.
pub const WAIT_MAX: Duration = Duration::from_secs(10);
/// Commands that wait for the accept loop; each sender waits for its answer.
const COMMANDS_MAX: usize = 8;

/// A simulated server. Dropping it stops it and closes its connections.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let sim = llm_sim::Sim::start(llm_sim::Config::default()).await?;
/// assert!(sim.url().starts_with("http://127.0.0.1:"));
/// assert_eq!(sim.state().running, 0);
/// # Ok(())
/// # }
/// ```
pub struct Sim {
    shared: Arc<ServerState>,
    addr: SocketAddr,
    commands: mpsc::Sender<Command>,
    accepting: AbortHandle,
}

/// A state was not reached within [`WAIT_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not reached within {} s; the state is {state:?}", WAIT_MAX.as_secs())]
pub struct WaitTimeout {
    /// The state at the end of the wait.
    pub state: State,
}

impl Sim {
    /// Binds and serves on the current runtime.
    #[expect(clippy::unused_async, reason = "says that it must be called on a runtime")]
    pub async fn start(config: Config) -> io::Result<Self> {
        let listener = listen(config.bind)?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(ServerState::new(config));
        let (commands, received) = mpsc::channel(COMMANDS_MAX);
        let accepting = tasks::spawn(accept(shared.clone(), listener, received));
        Ok(Self { shared, addr, commands, accepting })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://` or `https://` and the address, without a path.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.shared.config.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.addr)
    }

    /// The requests so far, oldest first, those under `/sim/` left out.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.shared.log.all()
    }

    /// Clears the record of requests; the counts in [`State`] stay.
    pub fn clear_received(&self) {
        self.shared.log.clear();
    }

    #[must_use]
    pub fn state(&self) -> State {
        self.shared.state.now()
    }

    /// Waits until `wanted` holds, for example `|state| state.running == 0`.
    pub async fn wait_until(
        &self,
        wanted: impl FnMut(&State) -> bool,
    ) -> Result<State, WaitTimeout> {
        let reached = tokio::time::timeout(WAIT_MAX, self.shared.state.until(wanted)).await;
        reached.map_err(|_elapsed| WaitTimeout { state: self.state() })
    }

    /// Injects a fault, in place of an earlier one.
    pub fn inject(&self, injection: impl Into<Injection>) {
        self.shared.inject(Some(injection.into()));
    }

    /// Ends the fault in force.
    pub fn heal(&self) {
        self.shared.inject(None);
    }

    /// Closes the listener, so that new connections are refused; open ones go on. The port stays
    /// its own.
    pub async fn stop_listening(&self) {
        let (done, closed) = oneshot::channel();
        if self.commands.send(Command::Stop(done)).await.is_ok() {
            // The loop answers unless the runtime is shutting down, and then it is closed too.
            let _answered = closed.await;
        }
    }

    /// Opens the listener again, on the same port.
    pub async fn resume(&self) -> io::Result<()> {
        let (done, opened) = oneshot::channel();
        if self.commands.send(Command::Resume(done)).await.is_ok() {
            return opened.await.unwrap_or(Ok(()));
        }
        Ok(())
    }

    /// Cuts all open connections soon.
    pub fn cut_connections(&self, ending: Ending) {
        self.shared.cut_connections(ending);
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
