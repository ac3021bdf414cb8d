//! The gateway's key manager: minting keys, and keeping what is stored of them.
//!
//! [`mint()`] and [`Keys`] decide and touch nothing. [`FileStore`] keeps keys in a folder, safely
//! for several processes at once; `KubeStore`, with the feature `kubernetes`, keeps them as
//! `ApiKey` resources on an API server. A key in clear exists only between minting and the person
//! who asked for it.
//!
//! # The program `llm-keys`
//!
//! Works on the keys of a cluster, with the rights of whoever starts it:
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
//! `~/.kube/config`, or the account of the pod it runs in. A Role for all of it:
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
//! A rotation ends the old key by its own `spec.expiresAt`, at the latest when the overlap is over,
//! so that it stays ended when the new key is deleted, by whomever. A key that is under version
//! control is revoked there: what is deleted here would come back. If it says there when it
//! expires, its rotation is to be written there too, or that is taken back.
//!
//! # The groups of an owner
//!
//! Which models a key may use is decided by the groups its owner is in. A team is in its own group,
//! and a service account in those that Kubernetes gives it. Those of a person stand in the
//! resource's `status.ownerGroups`, not in its spec, as they change without it; a new key gets there
//! what is known when it is made: what `--groups` says, and for a team or a service account its own
//! groups too. A person's groups are then replaced at each login, and whenever the directory is
//! asked. A rotated key takes the groups of the old one.
//!
//! So whoever may write keys says who is behind them. The operator believes that in its own
//! namespace, which is where keys for all models belong; a key in any other namespace is for the
//! models of that namespace alone. A Role that makes keys in the operator's namespace is a right to
//! every model.

mod mint;
mod validity;
mod stored_key;
mod keys;
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
pub use file_store::{FileStore, StoreError};
pub use keys::{InvalidKeys, Keys, KeysError};
#[cfg(feature = "kubernetes")]
pub use kube_store::{
    Attempt, InvalidScope, KubeKey, KubeOwner, KubeStore, KubeStoreError, Refusal, Scope, Standing,
    Verdict,
};
pub use mint::{MintError, Minted, mint, system_random};
pub use stored_key::{KeyOwner, NewKey, StoredKey, StoredLimits, StoredOwner};
pub use validity::{State, Validity};
