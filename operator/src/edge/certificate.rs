//! The certificate for both names: asked of cert-manager, or kept by somebody else.

pub(super) mod check;

use super::{
    object::labels,
    settings::{CertificateSource, Settings},
};
use serde_json::{Value, json};

/// The Certificate, and the Secret that cert-manager puts it into.
pub(super) const NAME: &str = "nebari-llm-shared-tls";

/// The Certificate that cert-manager is asked for.
pub(super) fn certificate(settings: &Settings) -> Option<Value> {
    let CertificateSource::Issued { cluster_issuer } = &settings.certificate else {
        return None;
    };
    Some(json!({
        "metadata": { "name": NAME, "namespace": settings.namespace, "labels": labels() },
        "spec": {
            "secretName": NAME,
            "dnsNames": settings.hosts(),
            "issuerRef": { "kind": "ClusterIssuer", "name": cluster_issuer, "group": "cert-manager.io" },
        },
    }))
}
