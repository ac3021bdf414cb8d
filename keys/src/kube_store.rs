//! The keys of a cluster: `ApiKey` resources in one namespace, changed through the API server.
//!
//! Changes use optimistic concurrency and are retried on a conflict. Nothing here can print a key:
//! only hashes are written.
//!
//! A rotation creates a new resource, which names the old key and the end of the overlap in
//! `spec.replaces`. Then it claims the old key: one conditional write sets the annotation with the
//! new id, and the end of the overlap as the old key's own `spec.expiresAt`. That write decides
//! between concurrent rotations, and between a rotation and a suspension. So a replaced key ends
//! whatever happens to the new one, and a key that was not replaced keeps its expiry. A rotation that
//! loses deletes its new key. A crash in between leaves a listed key that no one has, and deleting
//! it undoes everything. In the opposite order, a crash would end a key that has no replacement.

mod error;
mod owner;
mod resource;
mod resource_scope;

pub use error::{ApiCall, ApiStatus, KubeStoreError};
pub use owner::KubeOwner;
pub use resource::{ActiveCondition, KubeKey};
pub use resource_scope::{InvalidResourceScope, ResourceScope};

use crate::{
    error::{KEYS_MAX, KeysError},
    mint::{MintedKey, mint},
    stored_key::NewKey,
};
use jiff::Timestamp;
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use llm_contract::{KeyId, SecretKey};
use llm_crd::ApiKeyResource;
use serde_json::{Value, json};
use std::{collections::HashMap, io, time::Duration};

const FIELD_MANAGER: &str = "llm-keys";
/// Keys in one page of a list.
const PAGE_KEYS: u32 = 500;
/// Attempts at a change that conflicts with others, or at a new id that is taken.
const ATTEMPTS_MAX: u32 = 20;
const KEYS: &str = "apikeys";
const STATUS: &str = "apikeys/status";

/// The keys in a namespace of a cluster.
#[derive(Clone, Debug)]
pub struct KubeStore {
    api: Api<ApiKeyResource>,
    namespace: String,
}

/// The outcome of marking a key as replaced.
enum Claim {
    Won,
    /// The key was changed or replaced by others.
    Lost,
    /// There was no response: the write may have happened, or may still happen.
    Unclear(KubeStoreError),
}

impl KubeStore {
    /// `client` should not retry by itself, which could create a key twice.
    pub fn new(client: Client, namespace: impl Into<String>) -> Self {
        let namespace = namespace.into();
        Self { api: Api::namespaced(client, &namespace), namespace }
    }

    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Lists all keys, oldest first.
    pub async fn list(&self) -> Result<Vec<KubeKey>, KubeStoreError> {
        let mut keys = Vec::new();
        let mut page = ListParams::default().limit(PAGE_KEYS);
        loop {
            let read = self.api.list(&page).await.map_err(self.failed("list", KEYS))?;
            keys.extend(read.items);
            let Some(next) = read.metadata.continue_.filter(|token| !token.is_empty()) else {
                break;
            };
            if KEYS_MAX <= keys.len() {
                return Err(KubeStoreError::TooMany { namespace: self.namespace.clone() });
            }
            page = page.continue_token(&next);
        }
        let replacements = resource::replacements(&keys);
        let mut listed: Vec<_> = keys.iter().map(|key| KubeKey::of(key, &replacements)).collect();
        listed.sort_by(|one, other| {
            (one.validity.created_at, &one.id).cmp(&(other.validity.created_at, &other.id))
        });
        Ok(listed)
    }

    pub async fn get(&self, id: KeyId) -> Result<KubeKey, KubeStoreError> {
        let key = self.read(id).await?;
        let successor = self.successor(&key).await?;
        Ok(KubeKey::of(&key, &resource::replacements(&successor)))
    }

    /// Creates a key. The key in clear is returned and stored nowhere.
    pub async fn create(
        &self,
        new: NewKey<KubeOwner, ResourceScope>,
        now: Timestamp,
        random: &mut impl FnMut(&mut [u8]) -> io::Result<()>,
    ) -> Result<(KubeKey, SecretKey), KubeStoreError> {
        let (created, minted) =
            self.add(random, |minted| resource::create(new.clone(), minted, now)).await?;
        Ok((KubeKey::of(&created, &HashMap::new()), minted.key))
    }

    /// Creates a key in place of another, which stays valid for `overlap`, or less if it expires
    /// sooner. The new key has the same spec and lifetime.
    pub async fn rotate(
        &self,
        id: KeyId,
        overlap: Duration,
        now: Timestamp,
        random: &mut impl FnMut(&mut [u8]) -> io::Result<()>,
    ) -> Result<(KubeKey, SecretKey), KubeStoreError> {
        for _ in 0..ATTEMPTS_MAX {
            let old = self.read(id).await?;
            if let Some(by) = resource::replaced_by(&old) {
                return Err(KeysError::Replaced { id, by }.into());
            }
            let rotation = resource::validity(&old).rotate(id, overlap, now)?;
            let (created, minted) =
                self.add(random, |minted| Ok(resource::successor(&old, rotation, minted))).await?;
            let by = minted.key.id();
            match self.claim(id, old, by, rotation.overlap_until).await {
                Ok(Claim::Won) => return Ok((KubeKey::of(&created, &HashMap::new()), minted.key)),
                Ok(Claim::Lost) => self.delete_unused(by).await?,
                Ok(Claim::Unclear(error)) => {
                    return Err(KubeStoreError::Unclear { id, by, source: error.into() });
                }
                Err(error) => return Err(self.roll_back(by, error).await),
            }
        }
        Err(KubeStoreError::Contended { id })
    }

    /// Revokes a key for good by deleting its resource.
    pub async fn revoke(&self, id: KeyId) -> Result<KubeKey, KubeStoreError> {
        let mut key = self.get(id).await?;
        self.delete(id).await?;
        key.validity.revoked = true;
        Ok(key)
    }

    pub async fn suspend(&self, id: KeyId) -> Result<KubeKey, KubeStoreError> {
        self.set_suspended(id, json!(true)).await
    }

    pub async fn resume(&self, id: KeyId) -> Result<KubeKey, KubeStoreError> {
        self.set_suspended(id, Value::Null).await
    }

    /// Unconditional: the last writer wins.
    async fn set_suspended(&self, id: KeyId, suspended: Value) -> Result<KubeKey, KubeStoreError> {
        let successor = self.successor(&self.read(id).await?).await?;
        let patch = Patch::Merge(json!({ "spec": { "suspended": suspended } }));
        let key = self.api.patch(id.as_str(), &patch_params(), &patch).await;
        let key = key.map_err(self.failed("patch", KEYS))?;
        Ok(KubeKey::of(&key, &resource::replacements(&successor)))
    }

    /// Mints a key and creates its resource.
    async fn add(
        &self,
        random: &mut impl FnMut(&mut [u8]) -> io::Result<()>,
        resource: impl Fn(&MintedKey) -> Result<ApiKeyResource, KeysError>,
    ) -> Result<(ApiKeyResource, MintedKey), KubeStoreError> {
        let mut attempts = 1;
        loop {
            let minted = mint(random)?;
            match self.add_one(minted.key.id(), resource(&minted)?).await {
                Err(KubeStoreError::Keys(KeysError::IdTaken(_))) if attempts < ATTEMPTS_MAX => {}
                added => return added.map(|added| (added, minted)),
            }
            attempts += 1;
        }
    }

    /// Creates a resource and then writes its status, which the API server ignores in a new resource.
    /// In between the key has no groups, and so less access, not more.
    async fn add_one(
        &self,
        id: KeyId,
        resource: ApiKeyResource,
    ) -> Result<ApiKeyResource, KubeStoreError> {
        let params = PostParams { field_manager: Some(FIELD_MANAGER.into()), dry_run: false };
        let added = match self.api.create(&params, &resource).await {
            Ok(added) => added,
            Err(error) => {
                let refused = is_refused(&error);
                let error = self.failed("create", KEYS)(error);
                // Unless the server refused it, it may have been created.
                return Err(if refused { error } else { self.roll_back(id, error).await });
            }
        };
        let Some(status) = resource.status.filter(|status| !status.owner_groups.is_empty()) else {
            return Ok(added);
        };
        let patch = Patch::Merge(json!({ "status": status }));
        match self.api.patch_status(id.as_str(), &patch_params(), &patch).await {
            Ok(added) => Ok(added),
            Err(error) => Err(self.roll_back(id, self.failed("patch", STATUS)(error)).await),
        }
    }

    /// Marks a key as replaced and sets its expiry, unless it has changed.
    async fn claim(
        &self,
        id: KeyId,
        mut old: ApiKeyResource,
        by: KeyId,
        overlap_until: Timestamp,
    ) -> Result<Claim, KubeStoreError> {
        // A write without a response may still happen, so nothing may be rolled back then.
        let mut lost = None;
        for _ in 0..ATTEMPTS_MAX {
            let patch = Patch::Merge(resource::replaced_patch(&old, by, overlap_until));
            match self.api.patch(id.as_str(), &patch_params(), &patch).await {
                Ok(_) => return Ok(Claim::Won),
                Err(kube::Error::Api(status)) if status.is_conflict() => {}
                Err(error) if is_refused(&error) && lost.is_none() => {
                    return Err(self.failed("patch", KEYS)(error));
                }
                Err(error) => lost = Some(self.failed("patch", KEYS)(error)),
            }
            match self.read(id).await {
                Ok(read) if resource::replaced_by(&read) == Some(by) => return Ok(Claim::Won),
                Ok(read) if resource::is_same_spec(&old, &read) => old = read,
                Ok(_) => return Ok(Claim::Lost),
                Err(error @ KubeStoreError::Keys(_)) => return Err(error),
                Err(error) => return Ok(Claim::Unclear(error)),
            }
        }
        lost.map_or(Err(KubeStoreError::Contended { id }), |error| Ok(Claim::Unclear(error)))
    }

    /// The key that replaced this one, if it still exists.
    async fn successor(
        &self,
        key: &ApiKeyResource,
    ) -> Result<Option<ApiKeyResource>, KubeStoreError> {
        let Some(by) = resource::replaced_by(key) else {
            return Ok(None);
        };
        match self.read(by).await {
            Ok(successor) => Ok(Some(successor)),
            Err(KubeStoreError::Keys(KeysError::Unknown(_))) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn read(&self, id: KeyId) -> Result<ApiKeyResource, KubeStoreError> {
        self.api.get(id.as_str()).await.map_err(self.failed("get", KEYS))
    }

    async fn delete(&self, id: KeyId) -> Result<(), KubeStoreError> {
        let deleted = self.api.delete(id.as_str(), &DeleteParams::default()).await;
        deleted.map(drop).map_err(self.failed("delete", KEYS))
    }

    /// Deletes a key that was not handed out.
    async fn delete_unused(&self, id: KeyId) -> Result<(), KubeStoreError> {
        match self.delete(id).await {
            Ok(()) | Err(KubeStoreError::Keys(KeysError::Unknown(_))) => Ok(()),
            Err(error) => Err(KubeStoreError::LeftOver { id, source: error.into() }),
        }
    }

    /// Deletes a key after a failure; returns the error to report.
    async fn roll_back(&self, id: KeyId, because: KubeStoreError) -> KubeStoreError {
        match self.delete_unused(id).await {
            Ok(()) => because,
            Err(_) => KubeStoreError::LeftOver { id, source: because.into() },
        }
    }

    fn failed(
        &self,
        verb: &'static str,
        resource: &'static str,
    ) -> impl FnOnce(kube::Error) -> KubeStoreError {
        let call = ApiCall { verb, resource, namespace: self.namespace.clone() };
        |error| call.failed(error)
    }
}

/// Whether the server refused the request, so that certainly nothing was changed.
fn is_refused(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code < 500)
}

fn patch_params() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() }
}
