//! Decisions without a cluster; those with one are in `operator/tests/edge`.

mod listeners;
mod plan;
mod readiness;

use super::{
    observed::{InstalledKinds, ObservedEdge},
    settings::{
        CertificateSource, EdgeSettings, Exposure, GatewayName, Gateways, Hop, ListenerOwner,
    },
};
use kube::api::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

const GATEWAYS: &str = "gateway.networking.k8s.io";

fn gateway_name(name: &str) -> GatewayName {
    GatewayName { namespace: "gateways".into(), name: name.into() }
}

/// As production has it: both entries on one Gateway.
fn gateways() -> Gateways {
    let hop = |port| Hop { gateway: gateway_name("shared"), port };
    Gateways {
        external: hop(8080),
        internal: hop(8081),
        service: "llm-proxy".into(),
        listeners: ListenerOwner::Operator,
    }
}

fn settings_with(certificate: CertificateSource, exposure: Exposure) -> EdgeSettings {
    EdgeSettings::check("llm".into(), "example.org".into(), certificate, exposure).unwrap()
}

fn issued() -> CertificateSource {
    CertificateSource::Issued { cluster_issuer: "letsencrypt".into() }
}

fn provided() -> CertificateSource {
    CertificateSource::Provided { secret: "mine".into() }
}

fn settings() -> EdgeSettings {
    settings_with(issued(), Exposure::Gateways(gateways()))
}

fn resource(group: &str, version: &str, kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

fn everything() -> InstalledKinds {
    InstalledKinds {
        gateway: Some(resource(GATEWAYS, "v1", "Gateway")),
        http_route: Some(resource(GATEWAYS, "v1", "HTTPRoute")),
        reference_grant: Some(resource(GATEWAYS, "v1beta1", "ReferenceGrant")),
        certificate: Some(resource("cert-manager.io", "v1", "Certificate")),
    }
}

/// A Gateway with a listener that is not ours.
fn gateway() -> Value {
    json!({
        "metadata": { "name": "shared", "namespace": "gateways", "uid": "1", "resourceVersion": "7" },
        "spec": { "listeners": [{ "name": "web", "port": 80, "protocol": "HTTP" }] },
    })
}

fn observed(gateways: &[Value]) -> ObservedEdge {
    let named = |it: &Value| (gateway_name(super::manifest::name(it)), it.clone());
    ObservedEdge { gateways: gateways.iter().map(named).collect(), ..ObservedEdge::default() }
}

#[test]
fn an_empty_domain_namespace_or_issuer_is_rejected() {
    let check = |namespace: &str, domain: &str, certificate| {
        let checked =
            EdgeSettings::check(namespace.into(), domain.into(), certificate, Exposure::Direct);
        checked.unwrap_err().to_string()
    };
    let no_issuer = CertificateSource::Issued { cluster_issuer: String::new() };
    let no_secret = CertificateSource::Provided { secret: String::new() };
    for (message, start) in [
        (check("", "example.org", issued()), "the operator's namespace is empty: "),
        (check("llm", "", issued()), "platform.baseDomain is empty: "),
        (check("llm", "example.org", no_issuer), "platform.tls.clusterIssuer is empty: "),
        (check("llm", "example.org", no_secret), "platform.tls.secretName is empty: "),
    ] {
        assert!(message.starts_with(start), "{message}");
    }
}
