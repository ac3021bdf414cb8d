//! Why something could not be done in a cluster, with what to do next.

use crate::{KeysError, MintError};
use kube::core::Status;
use llm_contract::KeyId;
use std::{error::Error, fmt};

/// Why keys in a cluster could not be read or changed. Nothing is changed then, unless
/// [`KubeStoreError::LeftOver`] or [`KubeStoreError::Unclear`] says so.
#[derive(Debug, thiserror::Error)]
pub enum KubeStoreError {
    /// What was asked for is not possible.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// See the source.
    #[error(transparent)]
    Mint(#[from] MintError),
    /// The cluster knows no keys at all.
    #[error(
        "the cluster has no resource apikeys.llm.nebari.dev; install the CRDs: they come with the \
         chart nebari-llm-serving, or with `kubectl apply --server-side -f \
         charts/nebari-llm-serving/crds`"
    )]
    NotInstalled,
    /// Nothing can be made where nothing is.
    #[error("there is no namespace {namespace}; create it, or name another with --namespace")]
    NoNamespace {
        /// Its name.
        namespace: String,
    },
    /// The API server does not know who asks.
    #[error("the API server does not accept these credentials; log in again")]
    Unauthorized(#[source] Refusal),
    /// The API server knows who asks, and says no.
    #[error("you may not {attempt}; ask for a Role with that verb on that resource")]
    Forbidden {
        /// What was tried.
        attempt: Attempt,
        /// What the API server says.
        source: Refusal,
    },
    /// The API server did not do it for another reason.
    #[error("the API server refused to {attempt}")]
    Refused {
        /// What was tried.
        attempt: Attempt,
        /// What the API server says.
        source: Refusal,
    },
    /// No answer, or none that can be read.
    #[error("could not {attempt}; is the API server reachable from here?")]
    Request {
        /// What was tried.
        attempt: Attempt,
        /// What went wrong.
        source: Box<dyn Error + Send + Sync>,
    },
    /// Others were always faster.
    #[error(
        "key {id} was changed by others {} times while it was being changed; try again",
        super::ATTEMPTS_MAX
    )]
    Contended {
        /// Its public part.
        id: KeyId,
    },
    /// More than can be listed.
    #[error("namespace {namespace} has more than {} keys", crate::Keys::KEYS_MAX)]
    TooMany {
        /// Where.
        namespace: String,
    },
    /// A key was or may have been made, was not finished, and could not be taken back.
    #[error("key {id} may be left over, and nobody has it; revoke it if it is listed")]
    LeftOver {
        /// Its public part.
        id: KeyId,
        /// Why it could not be finished.
        source: Box<Self>,
    },
    /// A rotation was or was not the last thing that the API server did.
    #[error(
        "it is not known whether key {by} replaced key {id}, and nobody has key {by}; rotate \
         {id} again, and revoke {by} unless that says that it is the one"
    )]
    Unclear {
        /// The key that was to be rotated.
        id: KeyId,
        /// The one that was made.
        by: KeyId,
        /// Why it could not be finished.
        source: Box<Self>,
    },
}

/// What was tried, in the words of a Role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// `get`, `list`, `create`, `patch`, `delete`.
    pub verb: &'static str,
    /// `apikeys` or `apikeys/status`.
    pub resource: &'static str,
    /// Where.
    pub namespace: String,
}

/// What the API server said.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.message)]
pub struct Refusal(pub Box<Status>);

impl Attempt {
    /// What it means that the API server did not do this.
    pub(super) fn failed(self, error: kube::Error) -> KubeStoreError {
        if let kube::Error::Service(source) = error {
            // This level says as much as that one does; what is in it says more.
            return KubeStoreError::Request { attempt: self, source };
        }
        let kube::Error::Api(status) = error else {
            return KubeStoreError::Request { attempt: self, source: error.into() };
        };
        if status.code == 404 {
            return self.missing(&status);
        }
        if let Some(id) = key_id(&status).filter(|_| status.is_already_exists()) {
            return KeysError::IdTaken(id).into();
        }
        let (code, source) = (status.code, Refusal(status));
        match code {
            401 => KubeStoreError::Unauthorized(source),
            403 => KubeStoreError::Forbidden { attempt: self, source },
            _ => KubeStoreError::Refused { attempt: self, source },
        }
    }

    /// Of an object that is not there the server tells the name; of a path that it does not know
    /// it tells nothing.
    fn missing(self, status: &Status) -> KubeStoreError {
        if status.details.as_ref().is_some_and(|about| about.kind == "namespaces") {
            return KubeStoreError::NoNamespace { namespace: self.namespace };
        }
        key_id(status).map_or(KubeStoreError::NotInstalled, |id| KeysError::Unknown(id).into())
    }
}

fn key_id(status: &Status) -> Option<KeyId> {
    status.details.as_ref().and_then(|about| KeyId::parse(&about.name).ok())
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verb, resource, namespace } = self;
        write!(f, "{verb} {resource} in namespace {namespace}")
    }
}
