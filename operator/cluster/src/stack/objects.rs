//! Objects in the namespace of an installation.

use std::fmt::Debug;

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::NamespaceResourceScope;
use kube::{
    Api, Resource,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde::{Serialize, de::DeserializeOwned};

use super::installation::Installation;
use crate::{client::GatewayClient, resources};

/// Concurrent requests to the API server.
const CONCURRENCY: usize = 48;

impl Installation {
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Applies an object, server-side.
    pub async fn apply<K>(&self, object: &K) -> anyhow::Result<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + Serialize
            + DeserializeOwned,
    {
        let name = object.meta().name.clone().unwrap_or_default();
        let params = PatchParams::apply("llm-cluster").force();
        let applied = self.api().patch(&name, &params, &Patch::Apply(object)).await;
        applied.with_context(|| format!("applying {name}"))
    }

    /// Creates many objects, several at a time.
    pub async fn create_all<K>(
        &self,
        objects: impl IntoIterator<Item = anyhow::Result<K>>,
    ) -> anyhow::Result<()>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + Serialize
            + DeserializeOwned,
    {
        let api = self.api::<K>();
        let create = async |object: anyhow::Result<K>| {
            let created = api.create(&PostParams::default(), &object?).await;
            created.context("creating an object").map(drop)
        };
        stream::iter(objects).map(create).buffer_unordered(CONCURRENCY).try_collect().await
    }

    pub async fn delete<K>(&self, name: &str) -> anyhow::Result<()>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        let deleted = self.api::<K>().delete(name, &DeleteParams::default()).await;
        deleted.with_context(|| format!("deleting {name}")).map(drop)
    }

    /// Creates the key of this number, and a client that presents it.
    pub async fn client_with_key(&self, number: u32) -> anyhow::Result<GatewayClient> {
        let key = resources::key(number)?;
        self.apply(&resources::key_resource(&key, &resources::hash(&key)?)?).await?;
        GatewayClient::new(&key)
    }
}
