//! Decisions, without a cluster. What it says of them is in `operator/tests/edge.rs`.

mod listeners;
mod plan;
mod readiness;

use super::{
    Observed, Served,
    settings::{CertificateSource, Exposure, GatewayName, Gateways, Hop, ListenerOwner, Settings},
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

fn settings_with(certificate: CertificateSource, exposure: Exposure) -> Settings {
    Settings::check("llm".into(), "example.org".into(), certificate, exposure).unwrap()
}

fn issued() -> CertificateSource {
    CertificateSource::Issued { cluster_issuer: "letsencrypt".into() }
}

fn provided() -> CertificateSource {
    CertificateSource::Provided { secret: "mine".into() }
}

fn settings() -> Settings {
    settings_with(issued(), Exposure::Gateways(gateways()))
}

fn resource(group: &str, version: &str, kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

fn everything() -> Served {
    Served {
        gateway: Some(resource(GATEWAYS, "v1", "Gateway")),
        http_route: Some(resource(GATEWAYS, "v1", "HTTPRoute")),
        reference_grant: Some(resource(GATEWAYS, "v1beta1", "ReferenceGrant")),
        certificate: Some(resource("cert-manager.io", "v1", "Certificate")),
    }
}

/// A Gateway with somebody's listener.
fn gateway() -> Value {
    json!({
        "metadata": { "name": "shared", "namespace": "gateways", "uid": "1", "resourceVersion": "7" },
        "spec": { "listeners": [{ "name": "web", "port": 80, "protocol": "HTTP" }] },
    })
}

fn observed(gateways: &[Value]) -> Observed {
    let named = |it: &Value| (gateway_name(super::object::name(it)), it.clone());
    Observed { gateways: gateways.iter().map(named).collect(), ..Observed::default() }
}

#[test]
fn a_domain_a_namespace_or_an_issuer_that_is_empty_is_refused() {
    let check = |namespace: &str, domain: &str, certificate| {
        let checked =
            Settings::check(namespace.into(), domain.into(), certificate, Exposure::Direct);
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
