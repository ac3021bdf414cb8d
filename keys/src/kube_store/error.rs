//! Errors of the cluster's key store, with what to do next.

use crate::{
    MintError,
    error::{KEYS_MAX, KeysError},
};
use kube::core::Status;
use llm_contract::KeyId;
use std::{error::Error, fmt};

/// A failed read or change. The keys stay as they were, except in [`KubeStoreError::LeftOver`] and
/// [`KubeStoreError::Unclear`].
#[derive(Debug, thiserror::Error)]
pub enum KubeStoreError {
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error(transparent)]
    Mint(#[from] MintError),
    #[error(
        "the cluster has no resource apikeys.llm.nebari.dev; install the CRDs: they come with the \
         chart nebari-llm-serving, or with `kubectl apply --server-side -f \
         charts/nebari-llm-serving/crds`"
    )]
    NotInstalled,
    #[error("there is no namespace {namespace}; create it, or choose another with --namespace")]
    NoNamespace { namespace: String },
    #[error("the API server does not accept these credentials; log in again")]
    Unauthorized(#[source] ApiStatus),
    #[error("you may not {call}; ask for a Role with that verb on that resource")]
    Forbidden { call: ApiCall, source: ApiStatus },
    #[error("the API server refused to {call}")]
    Refused { call: ApiCall, source: ApiStatus },
    /// There was no response, or none that can be read.
    #[error("could not {call}; is the API server reachable from here?")]
    Request { call: ApiCall, source: Box<dyn Error + Send + Sync> },
    #[error(
        "key {id} was changed {} times by others during this change; try again",
        super::ATTEMPTS_MAX
    )]
    Contended { id: KeyId },
    #[error("namespace {namespace} has more than {KEYS_MAX} keys")]
    TooMany { namespace: String },
    /// A key was or may have been created, and could not be deleted after a failure.
    #[error("key {id} may be left over, and no one has it; revoke it if it is listed")]
    LeftOver { id: KeyId, source: Box<Self> },
    /// The last write of a rotation has no known outcome.
    #[error(
        "it is unknown whether key {by} replaced key {id}, and no one has key {by}; rotate {id} \
         again, and revoke {by} unless the error then names it as the replacement"
    )]
    Unclear { id: KeyId, by: KeyId, source: Box<Self> },
}

/// A call to the API server, in the terms of a Role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiCall {
    pub verb: &'static str,
    /// `apikeys` or `apikeys/status`.
    pub resource: &'static str,
    pub namespace: String,
}

/// The error that the API server returned.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.message)]
pub struct ApiStatus(pub Box<Status>);

impl ApiCall {
    pub(super) fn failed(self, error: kube::Error) -> KubeStoreError {
        if let kube::Error::Service(source) = error {
            // The cause says more than this level, which only repeats that the call failed.
            return KubeStoreError::Request { call: self, source };
        }
        let kube::Error::Api(status) = error else {
            return KubeStoreError::Request { call: self, source: error.into() };
        };
        if status.code == 404 {
            return self.not_found(&status);
        }
        if let Some(id) = key_id(&status).filter(|_| status.is_already_exists()) {
            return KeysError::IdTaken(id).into();
        }
        let (code, source) = (status.code, ApiStatus(status));
        match code {
            401 => KubeStoreError::Unauthorized(source),
            403 => KubeStoreError::Forbidden { call: self, source },
            _ => KubeStoreError::Refused { call: self, source },
        }
    }

    /// For a missing object the server returns its name; for an unknown resource it returns none.
    fn not_found(self, status: &Status) -> KubeStoreError {
        if status.details.as_ref().is_some_and(|details| details.kind == "namespaces") {
            return KubeStoreError::NoNamespace { namespace: self.namespace };
        }
        key_id(status).map_or(KubeStoreError::NotInstalled, |id| KeysError::Unknown(id).into())
    }
}

fn key_id(status: &Status) -> Option<KeyId> {
    status.details.as_ref().and_then(|details| KeyId::parse(&details.name).ok())
}

impl fmt::Display for ApiCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verb, resource, namespace } = self;
        write!(f, "{verb} {resource} in namespace {namespace}")
    }
}
