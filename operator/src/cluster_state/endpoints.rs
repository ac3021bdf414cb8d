//! The ready endpoints of a Service, from its EndpointSlices.

use crate::cluster_state::resource_name;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kube::ResourceExt as _;
use llm_contract::ResourceName;
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// The label of a slice with the name of its Service.
const SERVICE: &str = "kubernetes.io/service-name";
/// The name of the port in a model's Service.
const PORT: &str = "http";

pub(super) fn service(slice: &EndpointSlice) -> Option<ResourceName> {
    resource_name(slice.metadata.namespace.as_deref()?, slice.labels().get(SERVICE)?)
}

/// Sorted, each once.
pub(super) fn ready(slices: &[Arc<EndpointSlice>]) -> Vec<SocketAddr> {
    let all: BTreeSet<SocketAddr> = slices.iter().flat_map(|slice| of_slice(slice)).collect();
    all.into_iter().collect()
}

fn of_slice(slice: &EndpointSlice) -> impl Iterator<Item = SocketAddr> {
    let ports = slice.ports.iter().flatten();
    let port = ports.filter(|port| port.name.as_deref() == Some(PORT)).find_map(|port| port.port);
    let port = port.and_then(|port| u16::try_from(port).ok());
    let endpoints = slice.endpoints.iter().flatten().filter(|endpoint| is_ready(endpoint));
    let addresses = endpoints.flat_map(|endpoint| &endpoint.addresses);
    let addresses = addresses.filter_map(|address| address.parse::<IpAddr>().ok());
    addresses.filter_map(move |address| Some(SocketAddr::new(address, port?)))
}

/// Absent conditions mean ready; a terminating pod is not.
fn is_ready(endpoint: &Endpoint) -> bool {
    endpoint.conditions.as_ref().is_none_or(|conditions| conditions.ready != Some(false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_ready_endpoints_count_at_the_named_port() {
        let slice = |value| Arc::new(serde_json::from_value::<EndpointSlice>(value).unwrap());
        let first = slice(json!({
            "metadata": {"name": "a", "namespace": "models", "labels": {SERVICE: "qwen3"}},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8000}, {"name": "other", "port": 9}],
            "endpoints": [
                {"addresses": ["10.0.0.2"], "conditions": {"ready": true}},
                {"addresses": ["10.0.0.3"], "conditions": {"ready": false}},
                {"addresses": ["10.0.0.1"]},
            ],
        }));
        let second = slice(json!({
            "metadata": {"name": "b", "namespace": "models", "labels": {SERVICE: "qwen3"}},
            "addressType": "FQDN",
            "ports": [{"name": "http", "port": 8000}],
            "endpoints": [{"addresses": ["example.org"]}],
        }));
        let addresses: Vec<_> =
            ready(&[first.clone(), second]).iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["10.0.0.1:8000", "10.0.0.2:8000"]);
        assert_eq!(service(&first).unwrap().as_str(), "models/qwen3");
    }
}
