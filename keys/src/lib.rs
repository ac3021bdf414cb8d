//! The gateway's key manager: creating API keys, and storing their hashes.
//!
//! [`mint()`] and [`Keys`] are pure. [`FileStore`] keeps keys in a folder, safely for several
//! processes at once; `KubeStore`, with the feature `kubernetes`, keeps them as `ApiKey` resources
//! on an API server. A key in clear exists only until it is shown to the person who asked for it.
//!
//! # The program `llm-keys`
//!
//! Manages the keys of a cluster, with the rights of the user who runs it:
//!
//! ```text
//! KEY=$(llm-keys create --name laptop --team ml-team --models models/qwen3 --expires 90d)
//! llm-keys list
//! KEY=$(llm-keys rotate abcdefgh2345 --overlap 24h)
//! llm-keys suspend abcdefgh2345     # and resume
//! llm-keys revoke abcdefgh2345      # deletes the resource
//! ```
//!
//! It finds the cluster as kubectl does: `--kubeconfig` and `--context`, `$KUBECONFIG`,
//! `~/.kube/config`, or the service account of its pod. A Role for all of it:
//!
//! ```yaml
//! rules:
//!   - apiGroups: [llm.nebari.dev]
//!     resources: [apikeys]
//!     verbs: [get, list, create, patch, delete]
//!   - apiGroups: [llm.nebari.dev]
//!     resources: [apikeys/status]
//!     verbs: [patch]
//! ```
//!
//! A rotation sets the old key's own `spec.expiresAt`, at the latest to the end of the overlap, so
//! the old key stays expired even when the new one is deleted. A key under version control has to be
//! revoked there, because a deleted resource would be applied again; likewise a rotation has to be
//! recorded there if the manifest sets `expiresAt`.
//!
//! # The groups of an owner
//!
//! The groups of its owner decide which models a key may use. A team is in its own group, and a
//! service account in those that Kubernetes gives it. A person's groups are in the resource's
//! `status.ownerGroups`, not in its spec, because they change on their own: a new key gets those in
//! `--groups`, and each login and each query of the directory replaces them. A rotated key takes the
//! groups of the old one.
//!
//! So anyone who may write keys decides who owns them. The operator trusts that in its own namespace,
//! where keys for all models belong; a key in another namespace can only use models of that
//! namespace. A Role that creates keys in the operator's namespace grants access to every model.

pub mod error;
mod mint;
mod validity;
mod stored_key;
mod keys;
pub mod file_lock;
mod file_store;
#[cfg(feature = "kubernetes")]
mod kube_store;
#[cfg(feature = "kubernetes")]
mod connect;
#[cfg(feature = "kubernetes")]
pub mod cli;
#[cfg(feature = "kubernetes")]
pub mod command;
#[cfg(feature = "kubernetes")]
pub mod clock;

#[cfg(feature = "kubernetes")]
pub use connect::ConnectError;
pub use error::KeysError;
pub use file_store::{FileStore, StoreError};
pub use keys::{InvalidKeys, Keys};
#[cfg(feature = "kubernetes")]
pub use kube_store::{
    ActiveCondition, ApiCall, ApiStatus, InvalidResourceScope, KubeKey, KubeOwner, KubeStore,
    KubeStoreError, ResourceScope,
};
pub use mint::{MintError, MintedKey, mint, system_random};
pub use stored_key::{NewKey, StoredKey};
pub use validity::{StoredKeyState, Validity};
