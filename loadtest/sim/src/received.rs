//! What a server received, for tests to read.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Version};

/// Body bytes kept over all recorded requests; beyond that the oldest requests go.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    /// Counts requests from 1.
    pub id: u64,
    /// Counts connections from 1; requests with the same number shared one.
    pub connection: u64,
    /// Since the server started.
    pub at: Duration,
    /// The method.
    pub method: Method,
    /// The target, percent-encoding untouched.
    pub path_and_query: String,
    /// HTTP/1.1 or HTTP/2.
    pub version: Version,
    /// All headers. Names come in the order of their first mention, and the values of one
    /// name in the order they were sent. Credentials do not show in debug output.
    pub headers: HeaderMap,
    /// The part of the body that was read.
    pub body: Bytes,
    /// How it ended.
    pub ended: Ended,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It goes on.
    Open,
    /// The whole reply was handed to the connection.
    Completed,
    /// The client went away, or a fault cut the exchange.
    Aborted,
}

/// The last requests, at most as many as configured.
#[derive(Debug)]
pub(crate) struct Log {
    count_max: usize,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    kept: VecDeque<Received>,
    body_bytes: usize,
}

impl Log {
    pub(crate) fn new(count_max: usize) -> Self {
        Self { count_max, entries: Mutex::default() }
    }

    pub(crate) fn push(&self, received: Received) {
        let mut entries = self.entries();
        entries.kept.push_back(received);
        entries.shrink(self.count_max);
    }

    pub(crate) fn set_body(&self, id: u64, body: Bytes) {
        let mut entries = self.entries();
        let bytes = body.len();
        if let Some(entry) = entries.find(id) {
            entry.body = body;
            entries.body_bytes += bytes;
            entries.shrink(self.count_max);
        }
    }

    pub(crate) fn set_ended(&self, id: u64, ended: Ended) {
        if let Some(entry) = self.entries().find(id) {
            entry.ended = ended;
        }
    }

    pub(crate) fn all(&self) -> Vec<Received> {
        self.entries().kept.iter().cloned().collect()
    }

    pub(crate) fn clear(&self) {
        *self.entries() = Entries::default();
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    /// Searched from the end: what changes is nearly always young.
    fn find(&mut self, id: u64) -> Option<&mut Received> {
        self.kept.iter_mut().rev().find(|entry| entry.id == id)
    }

    fn shrink(&mut self, count_max: usize) {
        while self.kept.len() > count_max || self.body_bytes > BODY_BYTES_MAX {
            let Some(oldest) = self.kept.pop_front() else { return };
            self.body_bytes -= oldest.body.len();
        }
    }
}
