//! What the connections of one server share.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::Method;
use http::request::Parts;
use tokio::time::Instant;

use crate::clock;
use crate::config::Config;
use crate::engine::Engine;
use crate::fault::{Fault, Injection, InvalidFault};
use crate::received::Log;
use crate::state::StateWatch;
use crate::stored_responses::StoredResponses;
use crate::wire::{Control, Ending};

/// Whether a path belongs to the control API; its requests are neither recorded nor failed.
pub(crate) fn is_control(path: &str) -> bool {
    path.starts_with("/sim/")
}

/// Everything the connections of one server share.
pub(crate) struct ServerState {
    pub(crate) config: Config,
    pub(crate) engine: Arc<Engine>,
    pub(crate) state: Arc<StateWatch>,
    pub(crate) log: Log,
    pub(crate) stored: StoredResponses,
    pub(crate) ids: AtomicU64,
    injection: Mutex<Option<Injection>>,
    controls: Mutex<HashMap<u64, Arc<Control>>>,
    pub(crate) started: Instant,
    pub(crate) connections: AtomicU64,
    pub(crate) requests: AtomicU64,
}

impl ServerState {
    pub(crate) fn new(config: Config) -> Self {
        let state = Arc::new(StateWatch::new());
        Self {
            engine: Arc::new(Engine::new(&config, state.clone())),
            state,
            log: Log::new(config.received_max),
            stored: StoredResponses::default(),
            ids: AtomicU64::new(config.seed),
            injection: Mutex::default(),
            controls: Mutex::default(),
            started: clock::now(),
            connections: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            config,
        }
    }

    pub(crate) fn inject(&self, injection: Option<Injection>) {
        *self.injection() = injection;
    }

    pub(crate) fn cut_connections(&self, ending: Ending) {
        for control in self.controls().values() {
            control.end(ending);
        }
    }

    /// The fault that hits this request: its own, if it may name one, else the server's.
    pub(crate) fn fault(&self, head: &Parts) -> Result<Option<Fault>, InvalidFault> {
        if is_control(head.uri.path()) {
            return Ok(None);
        }
        let named = head.headers.get("x-sim-fault").filter(|_| self.config.allow_faults);
        if let Some(named) = named {
            return String::from_utf8_lossy(named.as_bytes()).parse().map(Some);
        }
        let post = head.method == Method::POST;
        let mut injection = self.injection();
        Ok(injection.as_mut().and_then(|injection| injection.take(head.uri.path(), post)))
    }

    pub(crate) fn injection(&self) -> MutexGuard<'_, Option<Injection>> {
        self.injection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn controls(&self) -> MutexGuard<'_, HashMap<u64, Arc<Control>>> {
        self.controls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
