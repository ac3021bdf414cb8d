//! Custom resources for tests and measurements.

use crate::{caller::Caller, installation::Installation};
use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::{NamespaceResourceScope, api::discovery::v1::EndpointSlice};
use kube::{
    Api, Resource,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use llm_contract::{Hashing, KeyHash, KeyId, SecretKey};
use llm_crd::{LLMModel, PassthroughModel};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{
    fmt::Debug,
    net::{Ipv4Addr, SocketAddr},
};

/// The model that upstreams have.
pub const UPSTREAM_MODEL: &str = "tiny";
/// The group that may use every model, and whose every key is.
const TEAM: &str = "ml-team";
/// Requests to the API server at a time.
const AT_A_TIME: usize = 48;
/// What the characters of a key's id are.
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
const SALT: [u8; 16] = [7; 16];

/// A provider at this address, with these ids for its model.
///
/// # Errors
/// If the schema has become another; so for all resources here.
pub fn provider(
    name: &str,
    upstream: SocketAddr,
    ids: &[&str],
) -> anyhow::Result<PassthroughModel> {
    let aliases = ids.iter().map(|id| json!({"id": id, "upstream": UPSTREAM_MODEL}));
    parse(json!({
        "apiVersion": "llm.nebari.dev/v1alpha1",
        "kind": "PassthroughModel",
        "metadata": {"name": name},
        "spec": {
            "provider": {
                "scheme": "http",
                "hostname": upstream.ip().to_string(),
                "port": upstream.port(),
                "credential": {"type": "None"},
            },
            "models": {"aliases": aliases.collect::<Value>()},
            "access": {"groups": [TEAM]},
        },
    }))
}

/// A model that is served here, without replicas.
///
/// # Errors
/// As [`provider`].
pub fn model(name: &str) -> anyhow::Result<LLMModel> {
    parse(json!({
        "apiVersion": "llm.nebari.dev/v1alpha1",
        "kind": "LLMModel",
        "metadata": {"name": name},
        "spec": {
            "model": {
                "name": format!("acme/{name}"),
                "source": "huggingface",
                "storage": {"type": "emptyDir"},
            },
            "resources": {"gpu": {"count": 0, "type": "none"}},
            "serving": {"replicas": 0},
            "access": {"groups": [TEAM]},
        },
    }))
}

/// Where the replicas of a model are, as if it had some.
///
/// # Errors
/// As [`provider`].
pub fn endpoints(model: &str, addresses: &[Ipv4Addr]) -> anyhow::Result<EndpointSlice> {
    let endpoints = addresses.iter().map(|address| json!({"addresses": [address.to_string()]}));
    parse(json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{model}-by-hand"),
            "labels": {
                "kubernetes.io/service-name": model,
                "app.kubernetes.io/managed-by": "nebari-llm-operator",
                "endpointslice.kubernetes.io/managed-by": "llm-scale",
            },
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8000}],
        "endpoints": endpoints.collect::<Value>(),
    }))
}

/// The key of this number.
///
/// # Errors
/// If what keys look like has changed.
pub fn key(number: u32) -> anyhow::Result<SecretKey> {
    let digit = |place: u32| {
        let digit = number.checked_shr(5 * place).unwrap_or_default() as usize % BASE32.len();
        BASE32.get(digit).copied().map_or('a', char::from)
    };
    let id: String = (0..12).rev().map(digit).collect();
    Ok(SecretKey::assemble(
        &KeyId::parse(&id).context("making a key")?,
        &[b'k'; SecretKey::SECRET_BYTES],
    ))
}

/// What a key hashes to.
///
/// # Errors
/// If it cannot be hashed.
pub fn hash(key: &SecretKey) -> anyhow::Result<String> {
    Ok(KeyHash::of(key, Hashing::MINTED, SALT, None).context("hashing a key")?.to_string())
}

/// The resource of a key that hashes to this.
///
/// # Errors
/// As [`provider`].
pub fn key_resource(key: &SecretKey, hash: &str) -> anyhow::Result<llm_crd::ApiKeyResource> {
    let id = key.id();
    parse(json!({
        "apiVersion": "llm.nebari.dev/v1alpha1",
        "kind": "ApiKey",
        "metadata": {"name": id.as_str()},
        "spec": {
            "displayName": format!("number {id}"),
            "clientId": format!("client-{id}"),
            "owner": {"team": TEAM},
            "hash": hash,
            "models": ["*"],
        },
    }))
}

fn parse<T: DeserializeOwned>(value: Value) -> anyhow::Result<T> {
    serde_json::from_value(value).context("making a resource")
}

impl Installation {
    /// Objects of a kind.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Makes an object, or makes it as it is here.
    ///
    /// # Errors
    /// If the API server refuses it.
    pub async fn put<K>(&self, object: &K) -> anyhow::Result<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + Serialize
            + DeserializeOwned,
    {
        let name = object.meta().name.clone().unwrap_or_default();
        let params = PatchParams::apply("llm-scale").force();
        let put = self.api().patch(&name, &params, &Patch::Apply(object)).await;
        put.with_context(|| format!("making {name}"))
    }

    /// Makes many objects, several at a time.
    ///
    /// # Errors
    /// If the API server refuses one.
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
            api.create(&PostParams::default(), &object?).await.context("making an object").map(drop)
        };
        stream::iter(objects).map(create).buffer_unordered(AT_A_TIME).try_collect().await
    }

    /// Deletes an object.
    ///
    /// # Errors
    /// If the API server refuses.
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

    /// Makes the key of this number, and somebody who has it.
    ///
    /// # Errors
    /// If the API server refuses it.
    pub async fn caller(&self, number: u32) -> anyhow::Result<Caller> {
        let key = key(number)?;
        self.put(&key_resource(&key, &hash(&key)?)?).await?;
        Caller::new(&key)
    }
}
