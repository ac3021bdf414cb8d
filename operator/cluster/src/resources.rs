//! Custom resources for tests and measurements.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use llm_contract::{Hashing, KeyHash, KeyId, SecretKey};
use llm_crd::{ApiKeyResource, LLMModel, PassthroughModel};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The model that every simulated provider has.
pub const UPSTREAM_MODEL: &str = "tiny";
/// The group that owns every key and may use every model.
const TEAM: &str = "ml-team";
/// The alphabet of a key's id.
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
const SALT: [u8; 16] = [7; 16];

/// A provider at this address, whose model has these ids.
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

/// A served model without replicas.
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

/// Addresses of replicas, as if the model had some.
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
                "endpointslice.kubernetes.io/managed-by": "llm-cluster",
            },
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8000}],
        "endpoints": endpoints.collect::<Value>(),
    }))
}

/// A key that is always the same for a number.
pub fn key(number: u32) -> anyhow::Result<SecretKey> {
    let digit = |place: u32| {
        let digit = number.checked_shr(5 * place).unwrap_or_default() as usize % BASE32.len();
        BASE32.get(digit).copied().map_or('a', char::from)
    };
    let id: String = (0..12).rev().map(digit).collect();
    Ok(SecretKey::assemble(
        &KeyId::parse(&id).context("building a key")?,
        &[b'k'; SecretKey::SECRET_BYTES],
    ))
}

pub fn hash(key: &SecretKey) -> anyhow::Result<String> {
    Ok(KeyHash::of(key, Hashing::MINTED, SALT, None).context("hashing a key")?.to_string())
}

pub fn key_resource(key: &SecretKey, hash: &str) -> anyhow::Result<ApiKeyResource> {
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
    serde_json::from_value(value).context("building a resource")
}
