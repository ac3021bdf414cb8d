//! One request in the record of received requests.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use http::Request;
use http::header::{AUTHORIZATION, HeaderMap};
use hyper::body::Incoming;

use crate::clock;
use crate::received::{Ended, Received};
use crate::shared::{ServerState, is_control};

/// One request in the record, from its head to its end.
pub(crate) struct Exchange {
    shared: Arc<ServerState>,
    pub(crate) id: u64,
    /// Unset for the control API, which is not part of what is tested.
    counted: bool,
    completed: bool,
}

impl Exchange {
    pub(crate) fn open(
        shared: Arc<ServerState>,
        connection: u64,
        request: &Request<Incoming>,
    ) -> Self {
        let id = shared.requests.fetch_add(1, Relaxed) + 1;
        let counted = !is_control(request.uri().path());
        if counted {
            let mut headers = request.headers().clone();
            mark_credentials(&mut headers);
            shared.log.push(Received {
                id,
                connection,
                at: clock::now() - shared.started,
                method: request.method().clone(),
                path_and_query: request
                    .uri()
                    .path_and_query()
                    .map_or_else(|| "/".to_owned(), ToString::to_string),
                version: request.version(),
                headers,
                body: Bytes::new(),
                ended: Ended::Open,
            });
            shared.state.change(|state| state.received += 1);
        }
        Self { shared, id, counted, completed: false }
    }

    pub(crate) fn complete(&mut self) {
        self.completed = true;
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.counted {
            return;
        }
        let ended = if self.completed { Ended::Completed } else { Ended::Aborted };
        self.shared.log.set_ended(self.id, ended);
        self.shared.state.change(|state| {
            state.completed += u64::from(self.completed);
            state.aborted += u64::from(!self.completed);
        });
    }
}

fn mark_credentials(headers: &mut HeaderMap) {
    for (name, value) in headers.iter_mut() {
        if *name == AUTHORIZATION || name == "x-api-key" {
            value.set_sensitive(true);
        }
    }
}
