//! Reads Secrets that somebody refers to, and no others.
//!
//! Of all Secrets only the metadata is watched. The data of one is read when it is asked for, and
//! again when its version has changed.

use crate::{cluster_state::Store, routes::SecretData};
use k8s_openapi::api::core::v1;
use kube::{Api, Client, Error};
use llm_contract::ResourceName;
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc, time::Duration};

/// How long the API server may take to answer.
const READ_MAX: Duration = Duration::from_secs(10);

/// Secrets by name. Cheap to clone.
#[derive(Clone)]
pub struct Secrets(Arc<Inner>);

struct Inner {
    client: Client,
    known: Store<()>,
    read: Mutex<HashMap<ResourceName, Read>>,
}

/// What was read, and at which version.
type Read = (Box<str>, Arc<SecretData>);

impl Secrets {
    pub(super) fn new(client: Client, known: Store<()>) -> Self {
        Self(Arc::new(Inner { client, known, read: Mutex::default() }))
    }

    /// What is in a Secret; `None` if it is not there. Asks the API server only if it has changed
    /// since it was read.
    ///
    /// # Errors
    /// If the API server does not answer, or does not let us.
    pub async fn read(&self, name: &ResourceName) -> Result<Option<Arc<SecretData>>, Error> {
        let Some(version) = self.0.known.version(name) else {
            self.0.read.lock().remove(name);
            return Ok(None);
        };
        if let Some((read, data)) = self.0.read.lock().get(name)
            && *read == version
        {
            return Ok(Some(Arc::clone(data)));
        }
        let api: Api<v1::Secret> = Api::namespaced(self.0.client.clone(), name.namespace());
        let answer = tokio::time::timeout(READ_MAX, api.get_opt(name.name())).await;
        let answer = answer.unwrap_or_else(|late| Err(Error::Service(Box::new(late))));
        let Some(secret) = answer? else { return Ok(None) };
        let data = Arc::new(secret.data.unwrap_or_default());
        // Under the version that was seen, even if a newer one was read: then the watch brings
        // that one next, and it is read once more.
        self.0.read.lock().insert(name.clone(), (version, Arc::clone(&data)));
        Ok(Some(data))
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}
