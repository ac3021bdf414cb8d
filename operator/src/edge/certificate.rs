//! The certificate for both host names: issued by cert-manager, or provided.

pub(super) mod check;

use super::{
    manifest::labels,
    settings::{CertificateSource, EdgeSettings},
};
use serde_json::{Value, json};

/// The name of the Certificate, and of the Secret that cert-manager stores it in.
pub(super) const NAME: &str = "nebari-llm-shared-tls";

/// The Certificate for cert-manager, unless the certificate is provided.
pub(super) fn certificate(settings: &EdgeSettings) -> Option<Value> {
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
