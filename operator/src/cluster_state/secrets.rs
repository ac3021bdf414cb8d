//! Reads the Secrets that resources refer to, and no others.
//!
//! Of all Secrets only the metadata is watched. The data of one is read when it is asked for, and
//! again when its version has changed.

use crate::cluster_state::Store;
use k8s_openapi::{ByteString, api::core::v1};
use kube::{Api, Client, Error};
use llm_contract::ResourceName;
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
    time::Duration,
};

pub type SecretData = BTreeMap<String, ByteString>;

const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads and caches Secrets.
pub struct SecretReader {
    client: Client,
    versions: Store<()>,
    cache: Mutex<HashMap<ResourceName, CachedSecret>>,
}

/// The version at which a Secret was read, and its data.
type CachedSecret = (Box<str>, Arc<SecretData>);

impl SecretReader {
    pub(super) fn new(client: Client, versions: Store<()>) -> Self {
        Self { client, versions, cache: Mutex::default() }
    }

    /// `None` if the Secret does not exist. Asks the API server only if it has changed since.
    pub async fn read(&self, name: &ResourceName) -> Result<Option<Arc<SecretData>>, Error> {
        let Some(version) = self.versions.version(name) else {
            self.cache.lock().remove(name);
            return Ok(None);
        };
        if let Some((cached, data)) = self.cache.lock().get(name)
            && *cached == version
        {
            return Ok(Some(Arc::clone(data)));
        }
        let api: Api<v1::Secret> = Api::namespaced(self.client.clone(), name.namespace());
        let answer = tokio::time::timeout(READ_TIMEOUT, api.get_opt(name.name())).await;
        let answer = answer.unwrap_or_else(|late| Err(Error::Service(Box::new(late))));
        let Some(secret) = answer? else { return Ok(None) };
        let data = Arc::new(secret.data.unwrap_or_default());
        // Under the watched version even if a newer one was read: then the watch brings that
        // version next, and the Secret is read once more.
        self.cache.lock().insert(name.clone(), (version, Arc::clone(&data)));
        Ok(Some(data))
    }
}

impl fmt::Debug for SecretReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretReader").finish_non_exhaustive()
    }
}
