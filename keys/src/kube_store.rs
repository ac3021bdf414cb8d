//! The keys of a cluster: `ApiKey` resources in one namespace, changed through the API server.
//!
//! A change says which state of a resource it goes by; if that is not the state any more, it
//! begins anew. Nothing here can print a key: what is written are hashes.
//!
//! A rotation makes a new resource, which names the old key and the end of the overlap in
//! `spec.replaces`. Then the old one is marked with the id of the new one and gets that end as its
//! own `spec.expiresAt`, in one write and under the condition that nobody changed it meanwhile:
//! that decides between rotations at the same time, and between a rotation and a suspension. So an
//! old key that was replaced ends whatever becomes of the new one, and one that was not keeps its
//! time. Who loses deletes what it made; until then the end of its overlap counts too. After a
//! crash in between, a key is there that nobody has; it stands in the list, and deleting it undoes
//! all that was done. The other way round a crash would end a key that nothing replaces.

mod error;
mod owner;
mod resource;
mod scope;

pub use error::{Attempt, KubeStoreError, Refusal};
pub use owner::KubeOwner;
pub use resource::{KubeKey, Standing, Verdict};
pub use scope::{InvalidScope, Scope};

use crate::{KeysError, Minted, NewKey, mint};
use jiff::Timestamp;
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use llm_contract::KeyId;
use llm_crd::ApiKeyResource;
use serde_json::{Value, json};
use std::{collections::HashMap, io, time::Duration};

/// Who the API server notes as the author of changes.
const FIELD_MANAGER: &str = "llm-keys";
/// Keys that are listed with one request.
const PAGE_KEYS: u32 = 500;
/// How often a change begins anew because somebody else was faster, or because the randomness
/// repeated itself.
const ATTEMPTS_MAX: u32 = 20;
/// As Roles name it.
const KEYS: &str = "apikeys";
/// As Roles name it.
const STATUS: &str = "apikeys/status";

/// The keys in a namespace of a cluster.
#[derive(Clone, Debug)]
pub struct KubeStore {
    api: Api<ApiKeyResource>,
    namespace: String,
}

/// How it went to mark a key as replaced.
enum Claim {
    Won,
    /// The key is not what the rotation went by.
    Moved,
    /// No answer came, so that it may be done or yet to be done.
    Unclear(KubeStoreError),
}

impl KubeStore {
    /// The keys in this namespace. `client` should not repeat requests by itself: a key could be
    /// made twice.
    pub fn new(client: Client, namespace: impl Into<String>) -> Self {
        let namespace = namespace.into();
        Self { api: Api::namespaced(client, &namespace), namespace }
    }

    /// Where they are.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Lists all keys, oldest first.
    ///
    /// # Errors
    /// [`KubeStoreError`].
    pub async fn list(&self) -> Result<Vec<KubeKey>, KubeStoreError> {
        let mut keys = Vec::new();
        let mut page = ListParams::default().limit(PAGE_KEYS);
        loop {
            let read = self.api.list(&page).await.map_err(self.failed("list", KEYS))?;
            keys.extend(read.items);
            let Some(next) = read.metadata.continue_.filter(|token| !token.is_empty()) else {
                break;
            };
            if crate::Keys::KEYS_MAX <= keys.len() {
                return Err(KubeStoreError::TooMany { namespace: self.namespace.clone() });
            }
            page = page.continue_token(&next);
        }
        let overlaps = resource::overlaps(&keys);
        let mut listed: Vec<_> = keys.iter().map(|key| KubeKey::of(key, &overlaps)).collect();
        listed.sort_by(|one, other| {
            (one.validity.created_at, &one.id).cmp(&(other.validity.created_at, &other.id))
        });
        Ok(listed)
    }

    /// Reads one key.
    ///
    /// # Errors
    /// [`KeysError::Unknown`], [`KubeStoreError`].
    pub async fn get(&self, id: KeyId) -> Result<KubeKey, KubeStoreError> {
        let key = self.read(id).await?;
        let successor = self.successor(&key).await?;
        Ok(KubeKey::of(&key, &resource::overlaps(&successor)))
    }

    /// Makes a key. The key in clear is in the answer and nowhere else.
    ///
    /// # Errors
    /// [`KubeStoreError`]; no key is made then.
    pub async fn create(
        &self,
        new: NewKey<KubeOwner, Scope>,
        now: Timestamp,
        random: &mut impl FnMut(&mut [u8]) -> io::Result<()>,
    ) -> Result<(KubeKey, llm_contract::SecretKey), KubeStoreError> {
        let (made, minted) =
            self.add(random, |minted| resource::create(new.clone(), minted, now)).await?;
        Ok((KubeKey::of(&made, &HashMap::new()), minted.key))
    }

    /// Makes a key in place of another, which stays valid for `overlap`, or less if it expires
    /// before. All that was said of the old one holds for the new one, which lives as long as the
    /// old one was meant to, counted from now.
    ///
    /// # Errors
    /// [`KubeStoreError`]; nothing is changed then, unless that says otherwise.
    pub async fn rotate(
        &self,
        id: KeyId,
        overlap: Duration,
        now: Timestamp,
        random: &mut impl FnMut(&mut [u8]) -> io::Result<()>,
    ) -> Result<(KubeKey, llm_contract::SecretKey), KubeStoreError> {
        for _ in 0..ATTEMPTS_MAX {
            let old = self.read(id).await?;
            if let Some(by) = resource::replaced_by(&old) {
                return Err(KeysError::Replaced { id, by }.into());
            }
            let rotation = resource::validity(&old).rotate(id, overlap, now)?;
            let (made, minted) =
                self.add(random, |minted| Ok(resource::successor(&old, rotation, minted))).await?;
            let by = minted.key.id();
            match self.claim(id, old, by, rotation.overlap_until).await {
                Ok(Claim::Won) => return Ok((KubeKey::of(&made, &HashMap::new()), minted.key)),
                Ok(Claim::Moved) => self.take_back(by).await?,
                Ok(Claim::Unclear(error)) => {
                    return Err(KubeStoreError::Unclear { id, by, source: error.into() });
                }
                Err(error) => return Err(self.without(by, error).await),
            }
        }
        Err(KubeStoreError::Contended { id })
    }

    /// Refuses a key for good: the resource is deleted. Says what it was.
    ///
    /// # Errors
    /// [`KeysError::Unknown`], [`KubeStoreError`].
    pub async fn revoke(&self, id: KeyId) -> Result<KubeKey, KubeStoreError> {
        let mut key = self.get(id).await?;
        self.delete(id).await?;
        key.validity.revoked = true;
        Ok(key)
    }

    /// Refuses a key until it is resumed.
    ///
    /// # Errors
    /// [`KeysError::Unknown`], [`KubeStoreError`].
    pub async fn suspend(&self, id: KeyId) -> Result<KubeKey, KubeStoreError> {
        self.set_suspended(id, json!(true)).await
    }

    /// Takes a suspension back.
    ///
    /// # Errors
    /// [`KeysError::Unknown`], [`KubeStoreError`].
    pub async fn resume(&self, id: KeyId) -> Result<KubeKey, KubeStoreError> {
        self.set_suspended(id, Value::Null).await
    }

    /// The last one to say so is right, so that this goes by no earlier state.
    async fn set_suspended(&self, id: KeyId, suspended: Value) -> Result<KubeKey, KubeStoreError> {
        let successor = self.successor(&self.read(id).await?).await?;
        let patch = Patch::Merge(json!({ "spec": { "suspended": suspended } }));
        let key = self.api.patch(id.as_str(), &authored(), &patch).await;
        let key = key.map_err(self.failed("patch", KEYS))?;
        Ok(KubeKey::of(&key, &resource::overlaps(&successor)))
    }

    /// Mints a key and adds the resource for it.
    async fn add(
        &self,
        random: &mut impl FnMut(&mut [u8]) -> io::Result<()>,
        resource: impl Fn(&Minted) -> Result<ApiKeyResource, KeysError>,
    ) -> Result<(ApiKeyResource, Minted), KubeStoreError> {
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

    /// Adds a resource, and then its status: the server takes no status with a new resource. In
    /// between the key has no groups, so that it may use less and not more.
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
                // Unless the server refused it, it may have been added.
                return Err(if refused { error } else { self.without(id, error).await });
            }
        };
        let Some(status) = resource.status.filter(|status| !status.owner_groups.is_empty()) else {
            return Ok(added);
        };
        let patch = Patch::Merge(json!({ "status": status }));
        match self.api.patch_status(id.as_str(), &authored(), &patch).await {
            Ok(added) => Ok(added),
            Err(error) => Err(self.without(id, self.failed("patch", STATUS)(error)).await),
        }
    }

    /// Marks a key as replaced and ends it with the overlap, if it still is what the rotation goes
    /// by.
    async fn claim(
        &self,
        id: KeyId,
        mut old: ApiKeyResource,
        by: KeyId,
        overlap_until: Timestamp,
    ) -> Result<Claim, KubeStoreError> {
        // A write without an answer may be done at any time, so that nothing may be taken back.
        let mut lost = None;
        for _ in 0..ATTEMPTS_MAX {
            let patch = Patch::Merge(resource::replaced(&old, by, overlap_until));
            match self.api.patch(id.as_str(), &authored(), &patch).await {
                Ok(_) => return Ok(Claim::Won),
                Err(kube::Error::Api(status)) if status.is_conflict() => {}
                Err(error) if is_refused(&error) && lost.is_none() => {
                    return Err(self.failed("patch", KEYS)(error));
                }
                Err(error) => lost = Some(self.failed("patch", KEYS)(error)),
            }
            match self.read(id).await {
                Ok(read) if resource::replaced_by(&read) == Some(by) => return Ok(Claim::Won),
                Ok(read) if resource::is_same(&old, &read) => old = read,
                Ok(_) => return Ok(Claim::Moved),
                Err(error @ KubeStoreError::Keys(_)) => return Err(error),
                Err(error) => return Ok(Claim::Unclear(error)),
            }
        }
        lost.map_or(Err(KubeStoreError::Contended { id }), |error| Ok(Claim::Unclear(error)))
    }

    /// The key that was made in place of this one, if it is still there.
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

    /// Deletes a key that nobody was given.
    async fn take_back(&self, id: KeyId) -> Result<(), KubeStoreError> {
        match self.delete(id).await {
            Ok(()) | Err(KubeStoreError::Keys(KeysError::Unknown(_))) => Ok(()),
            Err(error) => Err(KubeStoreError::LeftOver { id, source: error.into() }),
        }
    }

    /// The same because of an error: says what is to be said then.
    async fn without(&self, id: KeyId, because: KubeStoreError) -> KubeStoreError {
        match self.take_back(id).await {
            Ok(()) => because,
            Err(_) => KubeStoreError::LeftOver { id, source: because.into() },
        }
    }

    fn failed(
        &self,
        verb: &'static str,
        resource: &'static str,
    ) -> impl FnOnce(kube::Error) -> KubeStoreError {
        let attempt = Attempt { verb, resource, namespace: self.namespace.clone() };
        |error| attempt.failed(error)
    }
}

/// Whether the server said no, so that certainly nothing was done.
fn is_refused(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code < 500)
}

fn authored() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() }
}
