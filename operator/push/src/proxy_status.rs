//! What the registry tells about proxies.

use jiff::Timestamp;
use llm_contract::push::{Digest, Name};
use std::{collections::BTreeSet, sync::Arc};

/// Names in [`ChangedDocuments`]; beyond, all may have changed.
const NAMES_MAX: usize = 64 * 1024;

/// Where a document is applied. Proxies are ordered by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Programmed {
    Everywhere {
        proxies: usize,
    },
    /// Not yet on these proxies.
    Lagging(Vec<Arc<str>>),
    /// Rejected by these proxies; others may lag.
    Rejected(Vec<RejectedBy>),
    NoProxies,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedBy {
    pub proxy: Arc<str>,
    pub reason: Arc<str>,
}

/// Documents that a proxy has newly applied, dropped or rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangedDocuments {
    Names(BTreeSet<Name>),
    /// Perhaps all: a proxy has connected or disconnected.
    All,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyStatus {
    /// From its token, or else as it calls itself.
    pub name: Arc<str>,
    /// The identity in its token.
    pub peer: Arc<str>,
    /// Of the program.
    pub version: String,
    /// When its stream began.
    pub since: Timestamp,
    pub connected: bool,
    /// Whether it subscribes to updates of this replica.
    pub follows: bool,
    /// Whether an acknowledgement is overdue.
    pub lagging: bool,
    /// Its table.
    pub digest: Option<Digest>,
    /// Custom resources with routes.
    pub routes: usize,
    /// Documents that it rejected.
    pub rejected: usize,
}

impl Default for ChangedDocuments {
    fn default() -> Self {
        Self::Names(BTreeSet::new())
    }
}

impl ChangedDocuments {
    pub(crate) fn extend(&mut self, mut added: BTreeSet<Name>) {
        let Self::Names(names) = self else { return };
        names.append(&mut added);
        if NAMES_MAX < names.len() {
            *self = Self::All;
        }
    }
}
